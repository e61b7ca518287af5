/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it cuts: a scanner that knows only strings, nesting and the separators between values follows the bytes and says,
 * at each of them, how deep they are. An element is what lies at depth 3 (LIST: object, "items", array) or 1 (DOCS);
 * its bytes are collected in one growing buffer that is used again for the next. In LIST everything else is copied to
 * the envelope. What stands inside an element is jansson's to check; outside, the shape is checked here.
 */
#include "core/slicer.h"

#include <errno.h>
#include <string.h>

#define DEPTH_MAX 128
#define KEY_MAX   8 /* only "items" is of interest */

enum where { OUTSIDE, IN_STRING, IN_ESCAPE };

struct km_slicer {
	enum km_slice_shape shape;
	km_slice_fn fn;
	void *arg;
	struct km_buf item, envelope;
	enum where where;
	uint8_t stack[DEPTH_MAX]; /* '{' or '[' of each open level */
	unsigned depth;
	/* LIST, at depth 1: the key that was read last, and whether the next value belongs to it */
	char key[KEY_MAX];
	size_t key_len;
	bool key_is_next, reading_key;
	bool in_items;   /* inside the top-level "items" array */
	bool in_element; /* collecting an element */
	bool seen_items, complete;
	bool comma;          /* in items: an element must follow */
	bool need_separator; /* in items: an element has ended, ',' or ']' must follow */
	int error;
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

/* Where the bytes of the present run go. */
static struct km_buf *sink(struct km_slicer *s)
{
	return s->in_element || s->shape == KM_SLICE_DOCS ? &s->item : &s->envelope;
}

static int hand_over(struct km_slicer *s, struct km_err *err)
{
	int r = 0;

	s->in_element = false;
	if (s->item.error)
		return fail(s, err, s->item.error,
			s->item.error == -EMSGSIZE ? "an element is larger than the limit" : "out of memory");
	r = s->fn(s->item.data, s->item.len, s->arg);
	km_buf_reset(&s->item);
	if (r != 0)
		s->error = r;
	return r;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static int check_sinks(struct km_slicer *s, struct km_err *err)
{
	if (s->item.error)
		return fail(s, err, s->item.error,
			s->item.error == -EMSGSIZE ? "an element is larger than the limit" : "out of memory");
	if (s->envelope.error)
		return fail(s, err, s->envelope.error,
			s->envelope.error == -EMSGSIZE ? "what stands around the items is larger than the limit"
						       : "out of memory");
	return 0;
}

static int open_level(struct km_slicer *s, char c, struct km_err *err)
{
	if (s->depth == DEPTH_MAX)
		return fail(s, err, -EBADMSG, "nested deeper than 128 levels");
	if (s->depth == 0 && c != '{')
		return fail(s, err, -EBADMSG, "it does not start with an object");
	if (s->shape == KM_SLICE_LIST) {
		if (s->depth == 0 && s->complete)
			return fail(s, err, -EBADMSG, "more follows after its end");
		if (s->depth == 1 && c == '[' && s->stack[0] == '{' && !s->key_is_next && s->key_len == 5 &&
			memcmp(s->key, "items", 5) == 0) {
			if (s->seen_items)
				return fail(s, err, -EBADMSG, "it has items twice");
			s->seen_items = s->in_items = true;
			s->comma = s->need_separator = false;
		} else if (s->in_items && s->depth == 2) {
			if (s->need_separator)
				return fail(s, err, -EBADMSG, "a comma is missing between items");
			s->in_element = true;
			s->comma = false;
		}
		if (s->depth == 0)
			s->key_is_next = true;
	}
	km_buf_addc(sink(s), c);
	s->stack[s->depth++] = (uint8_t)c;
	return 0;
}

static int close_level(struct km_slicer *s, char c, struct km_err *err)
{
	if (s->depth == 0 || s->stack[s->depth - 1] != (c == '}' ? '{' : '['))
		return fail(s, err, -EBADMSG, "brackets do not match");
	if (s->in_items && s->depth == 2 && s->comma)
		return fail(s, err, -EBADMSG, "an item is missing after a comma");
	km_buf_addc(sink(s), c);
	s->depth--;
	if (s->shape == KM_SLICE_DOCS)
		return s->depth == 0 ? hand_over(s, err) : 0;
	if (s->in_element && s->depth == 2) {
		s->need_separator = true;
		return hand_over(s, err);
	}
	if (s->in_items && s->depth == 1)
		s->in_items = false;
	if (s->depth == 0)
		s->complete = true;
	return 0;
}

/* A byte outside strings that is neither bracket nor quote. */
static int plain(struct km_slicer *s, char c, struct km_err *err)
{
	if (is_space(c)) {
		if (s->depth > 0 && !(s->in_items && s->depth == 2))
			km_buf_addc(sink(s), c);
		return 0;
	}
	if (s->depth == 0)
		return fail(s, err, -EBADMSG, "an object was expected");
	if (s->in_items && s->depth == 2) {
		if (c != ',' || !s->need_separator)
			return fail(s, err, -EBADMSG, "items holds something that is no object");
		s->need_separator = false;
		s->comma = true;
		return 0;
	}
	if (s->shape == KM_SLICE_LIST && s->depth == 1) {
		if (c == ',')
			s->key_is_next = true;
		else if (c == ':')
			s->key_is_next = false;
	}
	if ((unsigned char)c < 0x20)
		return fail(s, err, -EBADMSG, "a control character outside a string");
	km_buf_addc(sink(s), c);
	return 0;
}

static void string_bytes(struct km_slicer *s, const char *p, size_t n)
{
	km_buf_add(sink(s), p, n);
	if (!s->reading_key)
		return;
	for (size_t i = 0; i < n && s->key_len < KEY_MAX; i++)
		s->key[s->key_len++] = p[i];
}

/* Inside a string: runs up to the next quote, backslash or control byte are taken at once. */
static size_t string_run(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] != '"' && p[i] != '\\' && (unsigned char)p[i] >= 0x20)
		i++;
	return i;
}

static int in_string(struct km_slicer *s, const char *p, size_t n, size_t *ret_used, struct km_err *err)
{
	size_t run = string_run(p, n);

	string_bytes(s, p, run);
	if (run == n) {
		*ret_used = run;
		return 0;
	}
	*ret_used = run + 1;
	if (p[run] == '"') {
		s->where = OUTSIDE;
		s->reading_key = false;
		km_buf_addc(sink(s), '"');
	} else if (p[run] == '\\') {
		s->where = IN_ESCAPE;
		string_bytes(s, p + run, 1);
	} else {
		return fail(s, err, -EBADMSG, "a control character inside a string");
	}
	return 0;
}

/* Outside strings, inside an element: what is neither bracket, quote nor control byte needs no decision. */
static size_t inert_run(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] != '"' && p[i] != '{' && p[i] != '}' && p[i] != '[' && p[i] != ']' &&
		(unsigned char)p[i] >= 0x20)
		i++;
	return i;
}

static int outside(struct km_slicer *s, const char *p, size_t n, size_t *ret_used, struct km_err *err)
{
	if (s->depth > 0 && (s->in_element || s->shape == KM_SLICE_DOCS)) {
		size_t run = inert_run(p, n);

		if (run > 0) {
			km_buf_add(&s->item, p, run);
			*ret_used = run;
			return 0;
		}
	}
	*ret_used = 1;
	switch (*p) {
	case '{':
	case '[':
		return open_level(s, *p, err);
	case '}':
	case ']':
		return close_level(s, *p, err);
	case '"':
		if (s->depth == 0 || (s->in_items && s->depth == 2))
			return fail(s, err, -EBADMSG,
				s->depth == 0 ? "an object was expected" : "items holds something that is no object");
		s->where = IN_STRING;
		if (s->shape == KM_SLICE_LIST && s->depth == 1 && s->key_is_next) {
			s->reading_key = true;
			s->key_len = 0;
		}
		km_buf_addc(sink(s), '"');
		return 0;
	default:
		return plain(s, *p, err);
	}
}

int km_slicer_feed(struct km_slicer *s, const char *bytes, size_t n, struct km_err *err)
{
	if (s->error)
		return km_fail(err, s->error, "JSON: it has failed before");
	while (n > 0) {
		size_t used = 1;
		int r = 0;

		switch (s->where) {
		case OUTSIDE:
			r = outside(s, bytes, n, &used, err);
			break;
		case IN_STRING:
			r = in_string(s, bytes, n, &used, err);
			break;
		case IN_ESCAPE:
			string_bytes(s, bytes, 1);
			s->where = IN_STRING;
			break;
		}
		if (r == 0)
			r = check_sinks(s, err);
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
