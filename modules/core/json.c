/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

static void newline(struct km_json *j)
{
	km_buf_addc(j->out, '\n');
	for (unsigned i = 0; i < j->depth; i++)
		km_buf_add(j->out, "  ", 2);
}

/* What stands before a value or key: a comma after a sibling, the line break and indentation of pretty output. */
static void before(struct km_json *j)
{
	assert(j->depth > 0 || !(j->nonempty & 1)); /* one value at the top */
	if (j->nonempty & (1u << j->depth))
		km_buf_addc(j->out, ',');
	j->nonempty |= 1u << j->depth;
	if (j->pretty && j->depth > 0)
		newline(j);
}

/* The same for a value, which in an object follows its key at once. */
static void before_value(struct km_json *j)
{
	assert(!(j->objects & (1u << j->depth)) == !j->after_key);
	if (j->after_key)
		j->after_key = false;
	else
		before(j);
}

static void open_with(struct km_json *j, char c)
{
	before_value(j);
	km_buf_addc(j->out, c);
	assert(j->depth + 1 < KM_JSON_DEPTH_MAX);
	j->depth++;
	j->nonempty &= ~(1u << j->depth);
	if (c == '{')
		j->objects |= 1u << j->depth;
	else
		j->objects &= ~(1u << j->depth);
}

static void close_with(struct km_json *j, char c)
{
	bool nonempty;

	assert(j->depth > 0 && !j->after_key && !(j->objects & (1u << j->depth)) == (c != '}'));
	nonempty = j->nonempty & (1u << j->depth);
	j->depth--;
	if (j->pretty && nonempty)
		newline(j);
	km_buf_addc(j->out, c);
}

void km_json_object(struct km_json *j)
{
	open_with(j, '{');
}

void km_json_end_object(struct km_json *j)
{
	close_with(j, '}');
}

void km_json_array(struct km_json *j)
{
	open_with(j, '[');
}

void km_json_end_array(struct km_json *j)
{
	close_with(j, ']');
}

void km_json_keyn(struct km_json *j, const char *key, size_t n)
{
	assert(j->objects & (1u << j->depth) && !j->after_key);
	before(j);
	km_buf_addc(j->out, '"');
	km_buf_add(j->out, key, n);
	if (j->pretty)
		km_buf_add(j->out, "\": ", 3);
	else
		km_buf_add(j->out, "\":", 2);
	j->after_key = true;
}

static const bool needs_care[256] = {
	[0 ... 0x1f] = true,
	['"'] = true,
	['\\'] = true,
	['<'] = true,
	['>'] = true,
	['&'] = true,
	[0x7f ... 0xff] = true,
};

static bool is_plain(unsigned char c)
{
	return !needs_care[c];
}

static void add_escaped(struct km_buf *out, unsigned char c)
{
	char text[8];

	switch (c) {
	case '"':
	case '\\':
		snprintf(text, sizeof(text), "\\%c", c);
		break;
	case '\n':
		snprintf(text, sizeof(text), "\\n");
		break;
	case '\r':
		snprintf(text, sizeof(text), "\\r");
		break;
	case '\t':
		snprintf(text, sizeof(text), "\\t");
		break;
	case '\b': /* \b and \f since Go 1.22 */
		snprintf(text, sizeof(text), "\\b");
		break;
	case '\f':
		snprintf(text, sizeof(text), "\\f");
		break;
	default: /* Go writes 0x7f as it is and other controls, and <, >, &, as \u00xx */
		if (c == 0x7f)
			snprintf(text, sizeof(text), "%c", c);
		else
			snprintf(text, sizeof(text), "\\u%04x", c);
	}
	km_buf_adds(out, text);
}

/* The usual case in one pass: the string is copied while it is looked at. False when something needs more care, and
 * nothing was written then. */
static bool add_plain(struct km_buf *out, const unsigned char *p, size_t n)
{
	char *to;

	if (out->error || n + 2 >= out->cap - out->len || n + 2 > out->max - out->len)
		return false;
	to = out->data + out->len;
	*to++ = '"';
	for (size_t i = 0; i < n; i++) {
		if (!is_plain(p[i])) {
			out->data[out->len] = '\0';
			return false;
		}
		*to++ = (char)p[i];
	}
	*to++ = '"';
	*to = '\0';
	out->len += n + 2;
	return true;
}

void km_json_strn(struct km_json *j, const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;

	before_value(j);
	if (add_plain(j->out, p, n))
		return;
	km_buf_addc(j->out, '"');
	for (size_t i = 0; i < n;) {
		size_t run = i, len;

		while (run < n && is_plain(p[run]))
			run++;
		if (run > i) {
			km_buf_add(j->out, p + i, run - i);
			i = run;
			continue;
		}
		len = km_utf8_length(p + i, n - i);
		if (len == 0) {
			km_buf_adds(j->out, "\\ufffd");
			i++;
		} else if (len == 1) {
			add_escaped(j->out, p[i]);
			i++;
		} else {
			if (len == 3 && p[i] == 0xe2 && p[i + 1] == 0x80 && (p[i + 2] | 1) == 0xa9)
				km_buf_adds(j->out, p[i + 2] == 0xa8 ? "\\u2028" : "\\u2029");
			else
				km_buf_add(j->out, p + i, len);
			i += len;
		}
	}
	km_buf_addc(j->out, '"');
}

void km_json_str(struct km_json *j, const char *s)
{
	km_json_strn(j, s, strlen(s));
}

void km_json_int(struct km_json *j, int64_t v)
{
	before_value(j);
	km_buf_addf(j->out, "%" PRId64, v);
}

void km_json_bool(struct km_json *j, bool v)
{
	before_value(j);
	km_buf_adds(j->out, v ? "true" : "false");
}

void km_json_null(struct km_json *j)
{
	before_value(j);
	km_buf_adds(j->out, "null");
}

void km_json_raw(struct km_json *j, const char *json, size_t n)
{
	assert(!j->pretty);
	before_value(j);
	km_buf_add(j->out, json, n);
}

void km_json_kint(struct km_json *j, const char *key, int64_t value)
{
	km_json_key(j, key);
	km_json_int(j, value);
}

void km_json_kbool(struct km_json *j, const char *key, bool value)
{
	km_json_key(j, key);
	km_json_bool(j, value);
}
