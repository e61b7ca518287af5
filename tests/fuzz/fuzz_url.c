/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request targets: what is accepted keeps its promises, and a value that is encoded again reads back the same.
 */
#include <stdlib.h>
#include <string.h>

#include "net/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_again(const struct km_url *url)
{
	static struct km_url again;
	struct km_buf out = KM_BUF_INIT(16 * KM_URL_TARGET_MAX);

	for (size_t i = 0; i < url->n_segments; i++) {
		km_buf_addc(&out, '/');
		km_url_encode(&out, url->segments[i]);
	}
	if (url->n_segments == 0 || url->trailing_slash)
		km_buf_addc(&out, '/');
	for (size_t i = 0; i < url->n_params; i++) {
		km_buf_addc(&out, i ? '&' : '?');
		km_url_encode(&out, url->params[i].key);
		km_buf_addc(&out, '=');
		km_url_encode(&out, url->params[i].value);
	}
	must(out.error == 0);
	if (out.len <= KM_URL_TARGET_MAX) { /* what was not escaped before may not fit now */
		must(km_url_parse(out.data, out.len, &again) == 0);
		must(again.n_segments == url->n_segments && again.n_params == url->n_params);
		must(again.trailing_slash == url->trailing_slash);
		for (size_t i = 0; i < url->n_segments; i++)
			must(strcmp(again.segments[i], url->segments[i]) == 0);
		for (size_t i = 0; i < url->n_params; i++)
			must(strcmp(again.params[i].key, url->params[i].key) == 0 &&
				strcmp(again.params[i].value, url->params[i].value) == 0);
	}
	km_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct km_url url;

	if (km_url_parse((const char *)data, size, &url) != 0)
		return 0;
	must(url.n_segments <= KM_URL_SEGMENTS_MAX && url.n_params <= KM_URL_PARAMS_MAX && url.path[0] == '/');
	for (size_t i = 0; i < url.n_segments; i++) {
		const char *s = url.segments[i];

		must(s[0] && !strchr(s, '/') && strcmp(s, ".") != 0 && strcmp(s, "..") != 0);
	}
	check_again(&url);
	return 0;
}
