/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it cuts: a scanner that knows only strings, nesting and the separators between values. An element is what lies
 * below the "items" array (LIST) or at the top (DOCS). Inside an element, nearly all of the stream, a tight loop looks
 * for its end and its bytes are collected a stretch at a time in one growing buffer that is used again for the next;
 * what stands in it is jansson's to check. In LIST everything else goes byte by byte through a second, slower loop
 * that checks the shape and keeps the envelope.
 */
#include "core/slicer.h"

#include <errno.h>
#include <string.h>

#define DEPTH_MAX 128
#define KEY_MAX   8 /* only "items" is of interest */

#define ITEMS_NO_ARRAY "items is no array"
#define ITEM_IS_SCALAR "items holds something that is neither an object nor an array"
#define MISMATCH       "brackets do not match"
#define TOO_DEEP       "nested deeper than 128 levels"
#define IN_STRING_BAD  "a control character inside a string"

enum where { OUTSIDE, IN_STRING, IN_ESCAPE };

struct km_slicer {
	enum km_slice_shape shape;
	km_slice_fn fn;
	void *arg;
	struct km_buf item, envelope;
	enum where where;
	uint8_t stack[DEPTH_MAX]; /* '{' or '[' of each open level */
	unsigned depth;
	bool in_element; /* collecting an element */
	/* LIST, at depth 1: the key that was read last, and whether the next string is one */
	char key[KEY_MAX];
	size_t key_len;
	bool key_is_next, reading_key;
	bool in_items; /* inside the top-level "items" array */
	bool seen_items, complete;
	bool comma;          /* in items: an element must follow */
	bool need_separator; /* in items: an element has ended, ',' or ']' must follow */
	int error;
};

/* What each byte may mean; 0: nothing, in a string or outside. */
enum { ENDS_STRING_RUN = 1, ENDS_PLAIN_RUN = 2 };

static const uint8_t meaning[256] = {
	[0 ... 0x1f] = ENDS_STRING_RUN | ENDS_PLAIN_RUN,
	['"'] = ENDS_STRING_RUN | ENDS_PLAIN_RUN,
	['\\'] = ENDS_STRING_RUN,
	['{'] = ENDS_PLAIN_RUN,
	['}'] = ENDS_PLAIN_RUN,
	['['] = ENDS_PLAIN_RUN,
	[']'] = ENDS_PLAIN_RUN,
};

int km_slicer_new(enum km_slice_shape shape, size_t max_item, size_t max_envelope, km_slice_fn fn, void *arg,
	struct km_slicer **ret)
{
	struct km_slicer *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->shape = shape;
	s->fn = fn;
	s->arg = arg;
	s->item = KM_BUF_INIT(max_item);
	s->envelope = KM_BUF_INIT(max_envelope);
	*ret = s;
	return 0;
}

void km_slicer_free(struct km_slicer *s)
{
	if (!s)
		return;
	km_buf_free(&s->item);
	km_buf_free(&s->envelope);
	free(s);
}

static int fail(struct km_slicer *s, struct km_err *err, int code, const char *what)
{
	s->error = code;
	return km_fail(err, code, "JSON %s: %s", s->shape == KM_SLICE_LIST ? "list" : "stream", what);
}

static int fail_full(struct km_slicer *s, struct km_err *err, int code, const char *too_large)
{
	return fail(s, err, code, code == -EMSGSIZE ? too_large : "out of memory");
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static int push(struct km_slicer *s, char c, struct km_err *err)
{
	if (s->depth == DEPTH_MAX)
		return fail(s, err, -EBADMSG, TOO_DEEP);
	s->stack[s->depth++] = (uint8_t)c;
	return 0;
}

static int pop(struct km_slicer *s, char c, struct km_err *err)
{
	if (s->depth == 0 || s->stack[s->depth - 1] != (c == '}' ? '{' : '['))
		return fail(s, err, -EBADMSG, MISMATCH);
	s->depth--;
	return 0;
}

/* ---- inside an element ---- */

/* Adds a stretch of the element; when that was its last, hands it over. */
static int collect(struct km_slicer *s, const char *p, size_t n, bool last, struct km_err *err)
{
	int r;

	km_buf_add(&s->item, p, n);
	if (s->item.error)
		return fail_full(s, err, s->item.error, "an element is larger than the limit");
	if (!last)
		return 0;
	s->in_element = false;
	s->need_separator = true;
	r = s->fn(s->item.data, s->item.len, s->arg);
	km_buf_reset(&s->item);
	return s->error = r;
}

static int string_byte(struct km_slicer *s, char c, struct km_err *err)
{
	if ((unsigned char)c < 0x20)
		return fail(s, err, -EBADMSG, IN_STRING_BAD);
	if (s->where == IN_ESCAPE)
		s->where = IN_STRING;
	else if (c == '\\')
		s->where = IN_ESCAPE;
	else if (c == '"')
		s->where = OUTSIDE;
	return 0;
}

static int structural_byte(struct km_slicer *s, char c, struct km_err *err)
{
	switch (c) {
	case '"':
		s->where = IN_STRING;
		return 0;
	case '{':
	case '[':
		return push(s, c, err);
	case '}':
	case ']':
		return pop(s, c, err);
	default:
		return is_space(c) ? 0 : fail(s, err, -EBADMSG, "a control character outside a string");
	}
}

static int element_bytes(struct km_slicer *s, const char *p, size_t n, size_t *ret_used, struct km_err *err)
{
	const unsigned end_depth = s->shape == KM_SLICE_LIST ? 2 : 0;
	size_t i = 0;
	bool last = false;

	/* What is beyond the limit is not looked at: the answer must not depend on how the stream was split. */
	n = KM_MIN(n, s->item.max - s->item.len);
	if (n == 0)
		return fail_full(s, err, -EMSGSIZE, "an element is larger than the limit");
	while (i < n && !last) {
		int r = 0;

		if (s->where == OUTSIDE) {
			while (i < n && !(meaning[(unsigned char)p[i]] & ENDS_PLAIN_RUN))
				i++;
			if (i < n)
				r = structural_byte(s, p[i++], err);
			last = s->depth == end_depth;
		} else {
			while (s->where == IN_STRING && i < n && !(meaning[(unsigned char)p[i]] & ENDS_STRING_RUN))
				i++;
			if (i < n)
				r = string_byte(s, p[i++], err);
		}
		if (r != 0)
			return r;
	}
	*ret_used = i;
	return collect(s, p, i, last, err);
}

/* ---- around the elements, byte by byte ---- */

/* LIST: what comes now is the value of the top-level key "items". */
static bool is_value_of_items(const struct km_slicer *s)
{
	return s->shape == KM_SLICE_LIST && s->depth == 1 && !s->key_is_next && s->key_len == 5 &&
	       memcmp(s->key, "items", 5) == 0;
}

static bool among_items(const struct km_slicer *s)
{
	return s->in_items && s->depth == 2;
}

static int envelope_byte(struct km_slicer *s, char c, struct km_err *err)
{
	km_buf_addc(&s->envelope, c);
	if (s->envelope.error)
		return fail_full(s, err, s->envelope.error, "what stands around the items is larger than the limit");
	return 0;
}

static int begin_element(struct km_slicer *s, char c, struct km_err *err)
{
	int r = push(s, c, err);

	if (r != 0)
		return r;
	s->in_element = true;
	s->comma = false;
	return collect(s, &c, 1, false, err);
}

static int open_level(struct km_slicer *s, char c, struct km_err *err)
{
	int r;

	if (s->depth == 0) {
		if (c != '{')
			return fail(s, err, -EBADMSG, "it does not start with an object");
		if (s->shape == KM_SLICE_DOCS)
			return begin_element(s, c, err);
		if (s->complete)
			return fail(s, err, -EBADMSG, "more follows after its end");
		s->key_is_next = true;
	} else if (is_value_of_items(s)) {
		if (c != '[')
			return fail(s, err, -EBADMSG, ITEMS_NO_ARRAY);
		if (s->seen_items)
			return fail(s, err, -EBADMSG, "it has items twice");
		s->seen_items = s->in_items = true;
	} else if (among_items(s)) {
		if (s->need_separator)
			return fail(s, err, -EBADMSG, "a comma is missing between items");
		return begin_element(s, c, err);
	}
	r = push(s, c, err);
	return r != 0 ? r : envelope_byte(s, c, err);
}

static int close_level(struct km_slicer *s, char c, struct km_err *err)
{
	int r;

	if (among_items(s) && s->comma)
		return fail(s, err, -EBADMSG, "an item is missing after a comma");
	r = pop(s, c, err);
	if (r != 0)
		return r;
	if (s->depth == 1)
		s->in_items = false;
	if (s->depth == 0)
		s->complete = true;
	return envelope_byte(s, c, err);
}

/* A byte outside strings that is neither bracket nor quote. */
static int plain(struct km_slicer *s, char c, struct km_err *err)
{
	if (is_space(c))
		return s->depth == 0 || among_items(s) ? 0 : envelope_byte(s, c, err);
	if (s->depth == 0)
		return fail(s, err, -EBADMSG, "an object was expected");
	if ((unsigned char)c < 0x20)
		return fail(s, err, -EBADMSG, "a control character outside a string");
	if (among_items(s)) {
		if (c != ',' || !s->need_separator)
			return fail(s, err, -EBADMSG, ITEM_IS_SCALAR);
		s->need_separator = false;
		s->comma = true;
		return 0;
	}
	if (s->depth == 1) {
		if (c == ',')
			s->key_is_next = true;
		else if (c == ':')
			s->key_is_next = false;
		else if (is_value_of_items(s) && !strchr("nul", c)) /* null is how Go writes a nil slice */
			return fail(s, err, -EBADMSG, ITEMS_NO_ARRAY);
	}
	return envelope_byte(s, c, err);
}

static int begin_string(struct km_slicer *s, struct km_err *err)
{
	if (s->depth == 0)
		return fail(s, err, -EBADMSG, "an object was expected");
	if (among_items(s))
		return fail(s, err, -EBADMSG, ITEM_IS_SCALAR);
	if (is_value_of_items(s))
		return fail(s, err, -EBADMSG, ITEMS_NO_ARRAY);
	s->where = IN_STRING;
	s->reading_key = s->depth == 1 && s->key_is_next;
	if (s->reading_key)
		s->key_len = 0;
	return envelope_byte(s, '"', err);
}

static int other_byte(struct km_slicer *s, char c, struct km_err *err)
{
	if (s->where != OUTSIDE) {
		int r = string_byte(s, c, err);

		if (r != 0)
			return r;
		if (s->reading_key && s->where != OUTSIDE && s->key_len < KEY_MAX)
			s->key[s->key_len++] = c;
		return envelope_byte(s, c, err);
	}
	switch (c) {
	case '{':
	case '[':
		return open_level(s, c, err);
	case '}':
	case ']':
		return close_level(s, c, err);
	case '"':
		return begin_string(s, err);
	default:
		return plain(s, c, err);
	}
}

int km_slicer_feed(struct km_slicer *s, const char *bytes, size_t n, struct km_err *err)
{
	if (s->error)
		return km_fail(err, s->error, "JSON: it has failed before");
	while (n > 0) {
		size_t used = 1;
		int r = s->in_element ? element_bytes(s, bytes, n, &used, err) : other_byte(s, *bytes, err);

		if (r != 0)
			return r;
		bytes += used;
		n -= used;
	}
	return 0;
}

int km_slicer_finish(struct km_slicer *s, struct km_err *err)
{
	if (s->error)
		return km_fail(err, s->error, "JSON: it has failed before");
	if (s->depth > 0 || s->where != OUTSIDE)
		return fail(s, err, -EBADMSG, "it ends in the middle of a value: the reply was cut short");
	if (s->shape == KM_SLICE_LIST && !s->complete)
		return fail(s, err, -EBADMSG, "it is empty");
	return 0;
}

const char *km_slicer_envelope(const struct km_slicer *s, size_t *ret_len)
{
	*ret_len = s->envelope.len;
	return s->envelope.data;
}
