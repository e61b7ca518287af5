/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing YAML for kubectl, whose parser (sigs.k8s.io/yaml over go-yaml) still follows YAML 1.1 for plain scalars:
 * `yes`, `on`, `1_000`, `0x1f`, `1:30` or `2001-01-01` would change their type. So a string stays plain only when it
 * starts with a letter or a slash and is no 1.1 keyword; numbers, dates, `.inf`, `~` and `=` all start otherwise.
 */
#include "kube/yaml.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define EMIT_NESTING_MAX 64
#define EMIT_KEY_MAX \
	256 /* parsers give up on a simple key beyond 1024 characters; escaping makes four or more of one byte */
#define EMIT_INDENT 2

static void indent(struct km_buf *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		km_buf_addc(out, ' ');
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool plain_is_safe(const char *s, size_t len)
{
	static const char *const keywords[] = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"};

	if (len == 0 || !(is_letter(s[0]) || s[0] == '/'))
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = s[i], next = s[i + 1]; /* the NUL behind the last */
		if (is_letter(c) || (c >= '0' && c <= '9') || (c != '\0' && strchr("_./@+-=,()", c)))
			continue;
		if (c == ':' && next != ' ' && next != '\0')
			continue;
		if (c == ' ' && next != ' ' && next != '#' && next != '\0')
			continue;
		return false;
	}
	for (size_t i = 0; i < KM_ARRAY_LEN(keywords); i++)
		if (strcasecmp(s, keywords[i]) == 0)
			return false;
	return true;
}

/* Decodes one UTF-8 character of a string that jansson has validated. */
static size_t utf8_next(const char *s, uint32_t *ret)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t n = u[0] < 0x80 ? 1 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
	uint32_t c = n == 1 ? u[0] : u[0] & (0x7fU >> n);

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (u[i] & 0x3fU);
	*ret = c;
	return n;
}

/* Characters a YAML stream may hold as they are, line breaks and tabs aside. */
static bool is_printable(uint32_t c)
{
	return (c >= 0x20 && c <= 0x7e) || (c >= 0xa0 && c <= 0xfffd && c != 0xfeff && c != 0x2028 && c != 0x2029) ||
	       c >= 0x10000;
}

static void quoted(struct km_buf *out, const char *s, size_t len)
{
	km_buf_addc(out, '"');
	for (size_t i = 0, n; i < len; i += n) {
		uint32_t c;
		n = utf8_next(s + i, &c);
		if (c == '"' || c == '\\')
			km_buf_addf(out, "\\%c", (char)c);
		else if (c == '\n')
			km_buf_adds(out, "\\n");
		else if (c == '\t')
			km_buf_adds(out, "\\t");
		else if (is_printable(c))
			km_buf_add(out, s + i, n);
		else
			km_buf_addf(out, "\\u%04x", (unsigned)c);
	}
	km_buf_addc(out, '"');
}

void kube_yaml_emit_string(const char *s, struct km_buf *out)
{
	size_t len = strlen(s);

	if (plain_is_safe(s, len))
		km_buf_add(out, s, len);
	else
		quoted(out, s, len);
}

/* Whether a text (PEM, scripts) can be shown as a literal block; everything unusual goes in quotes instead. */
static bool literal_is_safe(const char *s, size_t len)
{
	if (len < 2 || s[0] == ' ' || s[0] == '\n' || !memchr(s, '\n', len - 1) ||
		(s[len - 1] == '\n' && s[len - 2] == '\n'))
		return false;
	for (size_t i = 0, n; i < len; i += n) {
		uint32_t c;
		n = utf8_next(s + i, &c);
		if (c != '\n' && !is_printable(c))
			return false;
	}
	return true;
}

static void literal(struct km_buf *out, const char *s, size_t len, size_t at)
{
	const char *end = s + len;

	km_buf_adds(out, end[-1] == '\n' ? "|" : "|-");
	while (s < end) {
		const char *stop = memchr(s, '\n', (size_t)(end - s));
		if (!stop)
			stop = end;
		km_buf_addc(out, '\n');
		if (stop > s) {
			indent(out, at);
			km_buf_add(out, s, (size_t)(stop - s));
		}
		s = stop + 1;
	}
}

/* block_at: where the lines of a literal block would be indented to; 0: none allowed here. */
static int scalar(struct km_buf *out, json_t *value, size_t block_at)
{
	char *text;

	switch (json_typeof(value)) {
	case JSON_STRING: {
		const char *s = json_string_value(value);
		size_t len = json_string_length(value);
		if (strlen(s) != len)
			return -EINVAL;
		if (plain_is_safe(s, len))
			km_buf_add(out, s, len);
		else if (block_at > 0 && literal_is_safe(s, len))
			literal(out, s, len, block_at);
		else
			quoted(out, s, len);
		return 0;
	}
	default: /* null, true, false and numbers read the same in JSON; jansson does not depend on the locale */
		text = json_dumps(value, JSON_ENCODE_ANY);
		if (!text)
			return -ENOMEM;
		km_buf_adds(out, text);
		free(text);
		return 0;
	}
}

static bool is_block(json_t *value)
{
	return (json_is_object(value) && json_object_size(value) > 0) ||
	       (json_is_array(value) && json_array_size(value) > 0);
}

static int node(struct km_buf *out, json_t *value, size_t at, size_t depth);

/* A value behind "key:" (in_mapping) or "-", whose own column is at. */
static int child(struct km_buf *out, json_t *value, size_t at, bool in_mapping, size_t depth)
{
	int r;

	if (is_block(value)) {
		if (!in_mapping) { /* "- key: ..." and "- - ..." share the line */
			km_buf_addc(out, ' ');
			return node(out, value, at + EMIT_INDENT, depth + 1);
		}
		km_buf_addc(out, '\n');
		/* lists stand under their key, as kubectl prints them */
		at = json_is_array(value) ? at : at + EMIT_INDENT;
		indent(out, at);
		return node(out, value, at, depth + 1);
	}
	km_buf_addc(out, ' ');
	if (json_is_object(value) || json_is_array(value)) {
		km_buf_adds(out, json_is_object(value) ? "{}" : "[]");
	} else {
		r = scalar(out, value, at + EMIT_INDENT);
		if (r < 0)
			return r;
	}
	km_buf_addc(out, '\n');
	return 0;
}

/* A collection that is not empty; the first line's indentation is written already. */
static int node(struct km_buf *out, json_t *value, size_t at, size_t depth)
{
	bool first = true;
	int r;

	if (depth > EMIT_NESTING_MAX)
		return -EINVAL;
	if (json_is_object(value)) {
		const char *key;
		json_t *v;
		json_object_foreach(value, key, v)
		{
			size_t len = strlen(key);
			if (len > EMIT_KEY_MAX)
				return -EINVAL;
			if (!first)
				indent(out, at);
			first = false;
			if (plain_is_safe(key, len))
				km_buf_adds(out, key);
			else
				quoted(out, key, len);
			km_buf_addc(out, ':');
			r = child(out, v, at, true, depth);
			if (r < 0)
				return r;
		}
		return 0;
	}
	for (size_t i = 0; i < json_array_size(value); i++) {
		if (!first)
			indent(out, at);
		first = false;
		km_buf_addc(out, '-');
		r = child(out, json_array_get(value, i), at, false, depth);
		if (r < 0)
			return r;
	}
	return 0;
}

int kube_yaml_emit(json_t *value, struct km_buf *out)
{
	int r = 0;

	if (is_block(value)) {
		r = node(out, value, 0, 1);
	} else if (json_is_object(value) || json_is_array(value)) {
		km_buf_adds(out, json_is_object(value) ? "{}\n" : "[]\n");
	} else {
		r = scalar(out, value, 0);
		km_buf_addc(out, '\n');
	}
	if (r < 0)
		return r;
	return out->error == -EMSGSIZE ? -EINVAL : out->error;
}
