/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Label selectors: a first line with a selector (text, or a LabelSelector object when it starts with {), then lines
 * KEY=VALUE, a label set. Two selectors joined by a comma match what both match; a refusal says why.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "kube/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAIRS_MAX 32

static void must(bool holds)
{
	if (!holds)
		abort();
}

static struct kube_selector *parse(const char *text)
{
	struct kube_selector *s = NULL;
	struct km_err err = {0};
	int r;

	if (*text == '{') {
		json_t *json = json_loads(text, 0, NULL);

		r = json ? kube_selector_decode(json, &s, &err) : kube_selector_decode(NULL, &s, &err);
		json_decref(json);
	} else {
		r = kube_selector_parse(text, &s, &err);
	}
	must(r == 0 || r == -EINVAL);
	must((r == 0) == (s != NULL) && (r == 0) == (*err.text == '\0'));
	return s;
}

static void check_joined(const char *text, bool matches, const struct kube_labels *labels)
{
	static const char *const others[] = {"a", "!a", "b in (,c)", "d>1"};

	for (size_t i = 0; i < KM_ARRAY_LEN(others); i++) {
		struct km_buf joined = KM_BUF_INIT(1 << 20);
		struct kube_selector *other = parse(others[i]), *both = NULL;

		km_buf_addf(&joined, "%s,%s", text, others[i]);
		/* "" and what has the most requirements or bytes cannot be joined with more */
		if (kube_selector_parse(joined.data, &both, NULL) == 0)
			must(kube_selector_matches(both, labels) == (matches && kube_selector_matches(other, labels)));
		kube_selector_free(both);
		kube_selector_free(other);
		km_buf_free(&joined);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *rest, *line;
	struct kube_label_pair pairs[PAIRS_MAX];
	struct kube_label_pool *pool;
	struct kube_labels *labels;
	struct kube_selector *s;
	struct km_interner *in;
	size_t n = 0;

	if (!text || km_interner_new(&in) < 0 || kube_label_pool_new(in, &pool) < 0)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	rest = text;
	line = strsep(&rest, "\n");
	for (char *pair; n < PAIRS_MAX && (pair = strsep(&rest, "\n"));) {
		const char *key = strsep(&pair, "=");

		pairs[n++] = (struct kube_label_pair){key, pair ? pair : ""};
	}
	must(kube_labels_get(pool, pairs, n, &labels) == 0);
	for (size_t i = 0; i < n; i++)
		must(kube_labels_value(labels, pairs[i].key) != NULL);
	s = parse(line);
	if (s) {
		bool matches = kube_selector_matches(s, labels);

		if (*line != '{')
			check_joined(line, matches, labels);
		kube_selector_free(s);
	}
	kube_labels_unref(pool, labels);
	kube_label_pool_free(pool);
	must(km_interner_count(in) == 0);
	km_interner_free(in);
	free(text);
	return 0;
}
