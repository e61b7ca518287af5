/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slicer. Whatever the input: how it is split changes nothing, neither what is handed out nor the answer; what is
 * handed out is within the limit and ends where it says. When jansson reads the whole input, the slicer must take it
 * too, and its pieces must be the same values.
 *
 * The first byte of an input: bit 0 set is KM_SLICE_DOCS, bit 1 set small limits; the second seeds the splits.
 */
#include "core/slicer.h"

#include <errno.h>
#include <string.h>

#include <jansson.h>

#define LARGE (1 << 20)
#define SMALL 24
#define DEPTH 120 /* the slicer's 128, less what surrounds an element */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	struct km_buf items;    /* each followed by a NUL */
	struct km_buf envelope; /* after success */
	size_t n, max_item;
	int result;
	struct km_err err;
};

static void must(bool holds)
{
	if (!holds)
		abort();
}

static int on_item(const char *json, size_t len, void *arg)
{
	struct outcome *o = arg;

	must(len >= 2 && len <= o->max_item && strlen(json) == len);
	must((json[0] == '{' && json[len - 1] == '}') || (json[0] == '[' && json[len - 1] == ']'));
	km_buf_add(&o->items, json, len + 1);
	o->n++;
	return o->n == 1000 ? 1000 : 0;
}

/* step 0: pieces of pseudo-random sizes. */
static void run(enum km_slice_shape shape, size_t max, const char *text, size_t size, size_t step, uint32_t seed,
	struct outcome *o)
{
	struct km_slicer *s;
	size_t n, len;

	*o = (struct outcome){.items = KM_BUF_INIT(2 * LARGE), .envelope = KM_BUF_INIT(LARGE), .max_item = max};
	must(km_slicer_new(shape, max, max, on_item, o, &s) == 0);
	for (size_t at = 0; at < size && o->result == 0; at += n) {
		_cleanup_free_ char *piece = NULL;

		seed = seed * 1664525 + 1013904223;
		n = KM_MIN(step ? step : 1 + (seed >> 24) % 17, size - at);
		piece = malloc(n); /* exactly as large, so that reading beyond is seen */
		must(piece);
		memcpy(piece, text + at, n);
		o->result = km_slicer_feed(s, piece, n, &o->err);
	}
	if (o->result != 0)
		must(km_slicer_feed(s, "{}", 2, NULL) == o->result && km_slicer_finish(s, NULL) == o->result);
	else
		o->result = km_slicer_finish(s, &o->err);
	must(o->result == 0 || o->result == -EBADMSG || o->result == -EMSGSIZE || o->result == 1000);
	must((o->result == 0 || o->result == 1000) == !o->err.text[0]);
	if (o->result == 0 && shape == KM_SLICE_LIST) {
		const char *envelope = km_slicer_envelope(s, &len);

		must(len <= max && strlen(envelope) == len);
		km_buf_add(&o->envelope, envelope, len);
	}
	km_slicer_free(s);
}

static void release(struct outcome *o)
{
	km_buf_free(&o->items);
	km_buf_free(&o->envelope);
}

static bool same_bytes(const struct km_buf *a, const struct km_buf *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static void must_agree(const struct outcome *a, const struct outcome *b)
{
	must(a->result == b->result && a->n == b->n && strcmp(a->err.text, b->err.text) == 0);
	must(same_bytes(&a->items, &b->items) && same_bytes(&a->envelope, &b->envelope));
}

static size_t depth_of(json_t *value)
{
	size_t deepest = 0, depth, i;
	const char *key;
	json_t *child;

	json_object_foreach(value, key, child) deepest = (depth = depth_of(child)) > deepest ? depth : deepest;
	json_array_foreach(value, i, child) deepest = (depth = depth_of(child)) > deepest ? depth : deepest;
	return json_is_object(value) || json_is_array(value) ? deepest + 1 : 0;
}

static bool is_container(const json_t *value)
{
	return json_is_object(value) || json_is_array(value);
}

/* The next item of the outcome must be this value. */
static void must_be_next(const struct outcome *o, size_t *at, json_t *value)
{
	const char *text = o->items.data + *at;
	json_t *item;

	must(*at < o->items.len);
	item = json_loads(text, 0, NULL);
	must(item && json_equal(item, value));
	json_decref(item);
	*at += strlen(text) + 1;
}

static void check_list(const struct outcome *o, const char *text, size_t size)
{
	json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL), *items = json_object_get(root, "items");
	json_t *item, *envelope;
	size_t i, at = 0;
	bool fits = json_is_object(root) && (!items || json_is_null(items) || json_is_array(items)) &&
		    !memmem(text, size, "\\u", 2) && depth_of(root) <= DEPTH;

	json_array_foreach(items, i, item) fits = fits && is_container(item);
	if (fits && json_array_size(items) < 1000) {
		must(o->result == 0);
		json_array_foreach(items, i, item) must_be_next(o, &at, item);
		must(at == o->items.len);
		if (json_is_array(items))
			json_array_clear(items);
		envelope = json_loadb(o->envelope.data, o->envelope.len, 0, NULL);
		must(envelope && json_equal(envelope, root));
		json_decref(envelope);
	}
	json_decref(root);
}

static void check_docs(const struct outcome *o, const char *text, size_t size)
{
	size_t at = 0, out = 0;

	for (size_t n = 0; n < 999; n++) {
		json_error_t error;
		json_t *root;
		bool fits;

		while (at < size && strchr(" \t\r\n", text[at]) && text[at])
			at++;
		if (at == size) {
			must(o->result == 0 && out == o->items.len);
			return;
		}
		root = json_loadb(text + at, size - at, JSON_DISABLE_EOF_CHECK, &error);
		fits = json_is_object(root) && depth_of(root) <= DEPTH;
		if (fits)
			must_be_next(o, &out, root);
		json_decref(root);
		if (!fits)
			return;
		at += (size_t)error.position;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole, bytes, pieces;
	enum km_slice_shape shape;
	const char *text;
	size_t max;

	if (size < 2 || size > LARGE / 2)
		return 0;
	shape = data[0] & 1 ? KM_SLICE_DOCS : KM_SLICE_LIST;
	max = data[0] & 2 ? SMALL : LARGE;
	text = (const char *)data + 2;
	size -= 2;
	run(shape, max, text, size, SIZE_MAX, 0, &whole);
	run(shape, max, text, size, 1, 0, &bytes);
	run(shape, max, text, size, 0, data[1], &pieces);
	must_agree(&whole, &bytes);
	must_agree(&whole, &pieces);
	if (max == LARGE && shape == KM_SLICE_LIST)
		check_list(&whole, text, size);
	else if (max == LARGE)
		check_docs(&whole, text, size);
	release(&whole);
	release(&bytes);
	release(&pieces);
	return 0;
}
