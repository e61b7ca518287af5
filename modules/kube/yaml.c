/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading YAML: libyaml's events become jansson values. The nesting is a stack of our own with a fixed height, so that
 * a hostile document can neither grow the C stack nor the heap beyond a small multiple of its size. Writing is in
 * yaml_emit.c.
 */
#include "kube/yaml.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <string.h>
#include <yaml.h>

#define YAML_TEXT_MAX    (1024 * 1024)
#define YAML_NESTING_MAX 64
#define YAML_NUMBER_MAX  128 /* characters of a plain scalar that can still be a number */

struct level {
	json_t *container; /* owned by the level below, the lowest by the builder */
	char *key;         /* owned; mapping: the key whose value comes next, NULL when a key comes next */
};

struct builder {
	const char *what;
	struct km_err *err;
	locale_t c_locale;
	json_t *root; /* owned */
	size_t depth;
	struct level levels[YAML_NESTING_MAX];
};

static int refuse(const struct builder *b, const yaml_mark_t *at, int code, const char *text)
{
	return km_fail(b->err, code, "%s:%zu:%zu: %s", b->what, at->line + 1, at->column + 1, text);
}

static bool one_of(const char *text, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(text, *list) == 0)
			return true;
	return false;
}

/* [-+]?[0-9]+ | 0o[0-7]+ | 0x[0-9a-fA-F]+. Returns the base and where the digits start, 0 when it is no integer. */
static int integer_base(const char *s, const char **ret_digits)
{
	int base = 10;
	const char *set = "0123456789";

	if (s[0] == '0' && (s[1] == 'o' || s[1] == 'x')) {
		base = s[1] == 'o' ? 8 : 16;
		set = base == 8 ? "01234567" : "0123456789abcdefABCDEF";
		s += 2;
		*ret_digits = s;
	} else {
		*ret_digits = s;
		if (*s == '-' || *s == '+')
			s++;
	}
	return *s && s[strspn(s, set)] == '\0' ? base : 0;
}

/* [-+]? ( \.[0-9]+ | [0-9]+ ( \.[0-9]* )? ) ( [eE][-+]?[0-9]+ )? */
static bool is_float(const char *s)
{
	static const char digits[] = "0123456789";
	size_t whole, fraction = 0;

	if (*s == '-' || *s == '+')
		s++;
	whole = strspn(s, digits);
	s += whole;
	if (*s == '.') {
		s++;
		fraction = strspn(s, digits);
		s += fraction;
	}
	if (whole + fraction == 0)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		if (*s == '-' || *s == '+')
			s++;
		size_t exponent = strspn(s, digits);
		if (exponent == 0)
			return false;
		s += exponent;
	}
	return *s == '\0';
}

static int plain_number(const struct builder *b, const yaml_event_t *event, const char *text, json_t **ret)
{
	static const char *const specials[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf",
		"-.INF", ".nan", ".NaN", ".NAN", NULL};
	const char *digits = text;
	int base;

	if (one_of(text, specials))
		return refuse(b, &event->start_mark, -EINVAL, "infinity and not-a-number are not supported");
	base = integer_base(text, &digits);
	if (base != 0) {
		errno = 0;
		long long v = strtoll(digits, NULL, base);
		if (errno == 0) {
			*ret = json_integer(v);
			return *ret ? 0 : -ENOMEM;
		}
		if (base != 10)
			return refuse(b, &event->start_mark, -EINVAL, "the number does not fit in 64 bits");
	} else if (!is_float(text)) {
		*ret = NULL;
		return 0;
	}
	/* not strtod: the decimal point must not depend on the environment's locale */
	double d = strtod_l(text, NULL, b->c_locale);
	if (!isfinite(d))
		return refuse(b, &event->start_mark, -EINVAL, "the number is too large");
	*ret = json_real(d);
	return *ret ? 0 : -ENOMEM;
}

static int scalar_value(const struct builder *b, const yaml_event_t *event, json_t **ret)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const trues[] = {"true", "True", "TRUE", NULL};
	static const char *const falses[] = {"false", "False", "FALSE", NULL};
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	json_t *v = NULL;
	int r;

	if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
		if (one_of(text, nulls))
			v = json_null();
		else if (one_of(text, trues))
			v = json_true();
		else if (one_of(text, falses))
			v = json_false();
		else if (len <= YAML_NUMBER_MAX) {
			r = plain_number(b, event, text, &v);
			if (r < 0)
				return r;
		}
	}
	if (!v)
		v = json_stringn(text, len); /* NULL also for what is not UTF-8, which libyaml does not let through */
	if (!v)
		return -ENOMEM;
	*ret = v;
	return 0;
}

/* Puts a value (taken, also on failure) where the document stands. */
static int place(struct builder *b, const yaml_event_t *event, json_t *value)
{
	struct level *top;
	int r;

	if (b->depth == 0) {
		b->root = value;
		return 0;
	}
	top = &b->levels[b->depth - 1];
	if (json_is_array(top->container))
		return json_array_append_new(top->container, value) < 0 ? -ENOMEM : 0;
	if (!top->key) { /* a key: scalars only */
		json_decref(value);
		return refuse(b, &event->start_mark, -EINVAL, "a list or a mapping cannot be a key");
	}
	r = json_object_set_new(top->container, top->key, value) < 0 ? -ENOMEM : 0;
	free(top->key);
	top->key = NULL;
	return r;
}

static int on_scalar(struct builder *b, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	json_t *value = NULL;
	int r;

	if (event->data.scalar.anchor)
		return refuse(b, &event->start_mark, -EINVAL, "anchors are not supported");
	if (event->data.scalar.tag)
		return refuse(b, &event->start_mark, -EINVAL, "tags are not supported");
	if (strlen(text) != event->data.scalar.length)
		return refuse(b, &event->start_mark, -EINVAL, "a NUL character is not allowed");
	if (b->depth > 0) {
		struct level *top = &b->levels[b->depth - 1];
		if (json_is_object(top->container) && !top->key) {
			if (json_object_get(top->container, text))
				return refuse(b, &event->start_mark, -EINVAL, "a key stands twice in the same mapping");
			top->key = strdup(text);
			return top->key ? 0 : -ENOMEM;
		}
	}
	r = scalar_value(b, event, &value);
	return r < 0 ? r : place(b, event, value);
}

static int on_start(struct builder *b, const yaml_event_t *event)
{
	bool list = event->type == YAML_SEQUENCE_START_EVENT;
	const yaml_char_t *anchor = list ? event->data.sequence_start.anchor : event->data.mapping_start.anchor;
	const yaml_char_t *tag = list ? event->data.sequence_start.tag : event->data.mapping_start.tag;
	json_t *container;
	int r;

	if (anchor)
		return refuse(b, &event->start_mark, -EINVAL, "anchors are not supported");
	if (tag)
		return refuse(b, &event->start_mark, -EINVAL, "tags are not supported");
	if (b->depth == YAML_NESTING_MAX)
		return refuse(b, &event->start_mark, -EINVAL, "more than 64 levels of nesting");
	container = list ? json_array() : json_object();
	if (!container)
		return -ENOMEM;
	r = place(b, event, container);
	if (r < 0)
		return r;
	b->levels[b->depth++] = (struct level){.container = container};
	return 0;
}

/* Returns 1 at the end of the stream. */
static int on_event(struct builder *b, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(b, event);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		return on_start(b, event);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	case YAML_ALIAS_EVENT:
		return refuse(b, &event->start_mark, -EINVAL, "aliases are not supported");
	case YAML_DOCUMENT_START_EVENT:
		if (b->root)
			return refuse(b, &event->start_mark, -EINVAL, "a second document; only one is expected");
		return 0;
	case YAML_STREAM_END_EVENT:
		return 1;
	default:
		return 0;
	}
}

static int run(struct builder *b, yaml_parser_t *parser)
{
	int r = 0;

	while (r == 0) {
		yaml_event_t event;
		if (!yaml_parser_parse(parser, &event)) {
			if (parser->error == YAML_MEMORY_ERROR)
				return -ENOMEM;
			if (parser->error == YAML_READER_ERROR)
				return km_fail(b->err, -EINVAL, "%s: byte %zu: %s", b->what, parser->problem_offset,
					parser->problem ? parser->problem : "unreadable");
			return refuse(
				b, &parser->problem_mark, -EINVAL, parser->problem ? parser->problem : "not YAML");
		}
		r = on_event(b, &event);
		yaml_event_delete(&event);
	}
	if (r < 0)
		return r;
	if (!b->root)
		return km_fail(b->err, -EINVAL, "%s: is empty", b->what);
	return 0;
}

int kube_yaml_parse(const char *text, size_t len, const char *what, json_t **ret, struct km_err *err)
{
	struct builder b = {.what = what, .err = err};
	yaml_parser_t parser;
	int r;

	if (len > YAML_TEXT_MAX)
		return km_fail(err, -EMSGSIZE, "%s: larger than 1 MiB", what);
	b.c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (!b.c_locale)
		return km_fail(err, -ENOMEM, "%s: out of memory", what);
	if (!yaml_parser_initialize(&parser)) {
		freelocale(b.c_locale);
		return km_fail(err, -ENOMEM, "%s: out of memory", what);
	}
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	r = run(&b, &parser);
	yaml_parser_delete(&parser);
	freelocale(b.c_locale);
	while (b.depth > 0)
		free(b.levels[--b.depth].key);
	if (r < 0) {
		json_decref(b.root);
		return r == -ENOMEM ? km_fail(err, r, "%s: out of memory", what) : r;
	}
	*ret = b.root;
	return 0;
}
