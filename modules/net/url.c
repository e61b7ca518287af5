/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request targets; see url.h. All results point into the km_url's storage: first the raw path, then the decoded pieces.
 */
#include "net/url.h"

#include <errno.h>
#include <string.h>

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes [p, end) to *out, which moves behind the NUL it writes. */
static int decode(const char *p, const char *end, bool query, char **out)
{
	char *o = *out;

	while (p < end) {
		char c = *p++;

		if (c == '%') {
			int high = end - p >= 2 ? hex_value(p[0]) : -1, low = high >= 0 ? hex_value(p[1]) : -1;

			if (low < 0 || (high == 0 && low == 0))
				return -EINVAL;
			c = (char)(high << 4 | low);
			p += 2;
		} else if (c == '+' && query) {
			c = ' ';
		}
		*o++ = c;
	}
	*o++ = '\0';
	*out = o;
	return 0;
}

static int parse_path(const char *p, const char *end, struct km_url *url, char **out)
{
	while (p < end) {
		const char *start = p + 1, *stop = memchr(start, '/', (size_t)(end - start));
		char *segment = *out;
		int r;

		if (!stop)
			stop = end;
		p = stop;
		if (start == stop) {
			if (stop < end)
				return -EINVAL;
			url->trailing_slash = url->n_segments > 0;
			break;
		}
		if (url->n_segments == KM_URL_SEGMENTS_MAX)
			return -EMSGSIZE;
		r = decode(start, stop, false, out);
		if (r < 0)
			return r;
		if (strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0 || strchr(segment, '/'))
			return -EINVAL;
		url->segments[url->n_segments++] = segment;
	}
	return 0;
}

static int parse_query(const char *p, const char *end, struct km_url *url, char **out)
{
	while (p < end) {
		const char *stop = memchr(p, '&', (size_t)(end - p));
		const char *pair_end = stop ? stop : end;
		const char *equals = memchr(p, '=', (size_t)(pair_end - p));
		struct km_url_param *param = &url->params[url->n_params];
		int r;

		if (pair_end > p) {
			if (url->n_params == KM_URL_PARAMS_MAX)
				return -EMSGSIZE;
			param->key = *out;
			r = decode(p, equals ? equals : pair_end, true, out);
			if (r < 0)
				return r;
			param->value = equals ? *out : "";
			r = equals ? decode(equals + 1, pair_end, true, out) : 0;
			if (r < 0)
				return r;
			url->n_params++;
		}
		p = stop ? stop + 1 : end;
	}
	return 0;
}

int km_url_parse(const char *target, size_t len, struct km_url *ret)
{
	const char *end = target + len, *query;
	size_t path_len;
	char *out;
	int r;

	if (len == 0 || target[0] != '/')
		return -EINVAL;
	if (len > KM_URL_TARGET_MAX)
		return -EMSGSIZE;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)target[i];

		if (c <= ' ' || c >= 0x7f || c == '#')
			return -EINVAL;
	}
	ret->n_segments = ret->n_params = 0;
	ret->trailing_slash = false;
	query = memchr(target, '?', len);
	path_len = (size_t)((query ? query : end) - target);
	memcpy(ret->storage, target, path_len);
	ret->storage[path_len] = '\0';
	ret->path = ret->storage;
	out = ret->storage + path_len + 1;
	r = parse_path(target, target + path_len, ret, &out);
	if (r == 0 && query)
		r = parse_query(query + 1, end, ret, &out);
	assert(out <= ret->storage + sizeof(ret->storage));
	return r;
}

const char *km_url_param(const struct km_url *url, const char *key)
{
	for (size_t i = 0; i < url->n_params; i++)
		if (strcmp(url->params[i].key, key) == 0)
			return url->params[i].value;
	return NULL;
}

void km_url_encode(struct km_buf *out, const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (memchr(unreserved, c, sizeof(unreserved) - 1)) {
			km_buf_addc(out, *text);
		} else {
			km_buf_addc(out, '%');
			km_buf_addc(out, hex[c >> 4]);
			km_buf_addc(out, hex[c & 15]);
		}
	}
}
