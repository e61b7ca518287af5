/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar and its texts follow k8s.io/apimachinery/pkg/labels/selector.go (1.36): a lexer of words and punctuation,
 * one token of look-ahead.
 */
#include "kube/selector.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES   63
#define PREFIX_MAX_BYTES 253

enum op { OP_EXISTS, OP_NOT_EXISTS, OP_EQUALS, OP_NOT_EQUALS, OP_IN, OP_NOT_IN, OP_GREATER, OP_LESS };

struct requirement {
	enum op op;
	char *key;
	char **values;
	size_t n_values;
	int64_t number; /* gt, lt */
};

struct kube_selector {
	bool nothing;
	size_t n;
	struct requirement reqs[KUBE_SELECTOR_REQUIREMENTS_MAX];
};

void kube_selector_free(struct kube_selector *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++) {
		for (size_t k = 0; k < s->reqs[i].n_values; k++)
			free(s->reqs[i].values[k]);
		free(s->reqs[i].values);
		free(s->reqs[i].key);
	}
	free(s);
}

void kube_selector_freep(struct kube_selector **s)
{
	kube_selector_free(*s);
	*s = NULL;
}

/* ---- what keys and values may be (validation.IsQualifiedName, IsValidLabelValue) ---- */

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

static bool is_name(const char *s, size_t n)
{
	if (n == 0 || n > NAME_MAX_BYTES || !isalnum((unsigned char)s[0]) || !isalnum((unsigned char)s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_name_char(s[i]))
			return false;
	return true;
}

static bool is_dns_alnum(char c)
{
	return islower((unsigned char)c) || isdigit((unsigned char)c);
}

static bool is_dns_subdomain(const char *s, size_t n)
{
	if (n == 0 || n > PREFIX_MAX_BYTES || !is_dns_alnum(s[0]) || !is_dns_alnum(s[n - 1]))
		return false;
	for (size_t i = 1; i + 1 < n; i++) {
		if (is_dns_alnum(s[i]) || (s[i] == '-' && s[i - 1] != '.' && s[i + 1] != '.'))
			continue;
		if (s[i] != '.' || !is_dns_alnum(s[i - 1]) || !is_dns_alnum(s[i + 1]))
			return false;
	}
	return true;
}

static int check_key(const char *key, struct km_err *err)
{
	const char *slash = strchr(key, '/'), *name = slash ? slash + 1 : key;

	if (slash && (strchr(name, '/') || !is_dns_subdomain(key, (size_t)(slash - key))))
		return km_fail(err, -EINVAL,
			"key: Invalid value: \"%.253s\": prefix part a lowercase RFC 1123 subdomain must consist of "
			"lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric "
			"character (e.g. 'example.com', regex used for validation is "
			"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
			key);
	if (strlen(name) > NAME_MAX_BYTES)
		return km_fail(
			err, -EINVAL, "key: Invalid value: \"%.253s\": name part must be no more than 63 bytes", key);
	if (!is_name(name, strlen(name)))
		return km_fail(err, -EINVAL,
			"key: Invalid value: \"%.253s\": name part must consist of alphanumeric characters, '-', '_' "
			"or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  "
			"or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
			key);
	return 0;
}

static int check_value(const char *key, size_t i, const char *value, struct km_err *err)
{
	if (strlen(value) > NAME_MAX_BYTES)
		return km_fail(err, -EINVAL,
			"values[%zu][%.253s]: Invalid value: \"%.128s\": must be no more than 63 bytes", i, key, value);
	if (*value && !is_name(value, strlen(value)))
		return km_fail(err, -EINVAL,
			"values[%zu][%.253s]: Invalid value: \"%.64s\": a valid label must be an empty string or "
			"consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
			"alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
			"validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
			i, key, value);
	return 0;
}

static int parse_number(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	const char *p = text + (*text == '-' || *text == '+');
	int64_t v = 0;

	if (!*p)
		return -EINVAL;
	for (; *p; p++)
		if (!isdigit((unsigned char)*p) || __builtin_mul_overflow(v, INT64_C(10), &v) ||
			__builtin_sub_overflow(v, (int64_t)(*p - '0'), &v))
			return -EINVAL;
	if (!negative && v == INT64_MIN)
		return -EINVAL;
	*ret = negative ? v : -v;
	return 0;
}

/* ---- building ---- */

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Copies everything; values become a sorted set. */
static int add_requirement(
	struct kube_selector *s, const char *key, enum op op, char *const *values, size_t n, struct km_err *err)
{
	struct requirement *r = &s->reqs[s->n];
	int e = check_key(key, err);

	if (e < 0)
		return e;
	if (s->n == KUBE_SELECTOR_REQUIREMENTS_MAX)
		return km_fail(err, -EINVAL, "a selector of more than %d requirements", KUBE_SELECTOR_REQUIREMENTS_MAX);
	*r = (struct requirement){.op = op, .key = strdup(key), .values = calloc(n + 1, sizeof(char *))};
	s->n++; /* from here on freed with the selector */
	if (!r->key || !r->values)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if ((e = check_value(key, i, values[i], err)) < 0)
			return e;
		if (!(r->values[r->n_values] = strdup(values[i])))
			return -ENOMEM;
		r->n_values++;
	}
	if ((op == OP_GREATER || op == OP_LESS) && (n != 1 || parse_number(values[0], &r->number) < 0))
		return km_fail(err, -EINVAL,
			"values[0][%.253s]: Invalid value: \"%.64s\": for 'Gt', 'Lt' operators, the value must be an "
			"integer",
			key, n ? values[0] : "");
	qsort(r->values, r->n_values, sizeof(char *), compare_strings);
	return 0;
}

/* ---- lexer ---- */

enum token {
	T_END,
	T_ERROR,
	T_WORD,
	T_COMMA,
	T_OPEN,
	T_CLOSE,
	T_NOT,
	T_EQUALS,
	T_DOUBLE_EQUALS,
	T_NOT_EQUALS,
	T_GREATER,
	T_LESS,
	T_IN,
	T_NOT_IN
};

struct parser {
	const char *p;
	bool values; /* in a value, "in" and "notin" are words */
	enum token token;
	char text[KUBE_SELECTOR_TEXT_MAX + 1]; /* literal of the token */
};

static bool is_special(char c)
{
	return c != '\0' && strchr("=!(),><", c);
}

static void literal(struct parser *x, enum token token, const char *start, size_t n)
{
	x->token = token;
	memcpy(x->text, start, n);
	x->text[n] = '\0';
	x->p = start + n;
}

static void next(struct parser *x)
{
	static const struct {
		const char *text;
		enum token token;
	} marks[] = {{"==", T_DOUBLE_EQUALS}, {"!=", T_NOT_EQUALS}, {"=", T_EQUALS}, {"!", T_NOT}, {"(", T_OPEN},
		{")", T_CLOSE}, {",", T_COMMA}, {">", T_GREATER}, {"<", T_LESS}};
	const char *start;
	size_t n;

	while (*x->p == ' ' || *x->p == '\t' || *x->p == '\r' || *x->p == '\n')
		x->p++;
	start = x->p;
	if (!*start) {
		literal(x, T_END, start, 0);
		return;
	}
	if (is_special(*start)) {
		/* upstream takes the longest run of special characters that still is a token */
		for (size_t i = 0; i < KM_ARRAY_LEN(marks); i++) {
			n = strlen(marks[i].text);
			if (strncmp(start, marks[i].text, n) == 0) {
				literal(x, marks[i].token, start, n);
				return;
			}
		}
	}
	for (n = 0; start[n] && !is_special(start[n]) && !strchr(" \t\r\n", start[n]); n++)
		;
	literal(x, T_WORD, start, n);
	if (x->values)
		return;
	if (strcmp(x->text, "in") == 0)
		x->token = T_IN;
	else if (strcmp(x->text, "notin") == 0)
		x->token = T_NOT_IN;
}

/* ---- parser ---- */

static int expected(const struct parser *x, const char *what, struct km_err *err)
{
	return km_fail(err, -EINVAL, "found '%.128s', expected: %s", x->text, what);
}

static int parse_values(struct parser *x, char **values, size_t *n, struct km_err *err)
{
	x->values = true;
	if (x->token != T_OPEN)
		return km_fail(err, -EINVAL, "found '%.128s' expected: '('", x->text);
	next(x);
	for (;;) {
		const char *value = "";

		if (x->token != T_WORD && x->token != T_COMMA && x->token != T_CLOSE)
			return km_fail(err, -EINVAL, "found '%.128s', expected: ',', ')' or identifier", x->text);
		if (x->token == T_WORD)
			value = x->text;
		if (*n == KUBE_SELECTOR_VALUES_MAX)
			return km_fail(err, -EINVAL, "a requirement of more than %d values", KUBE_SELECTOR_VALUES_MAX);
		if (!(values[*n] = strdup(value)))
			return -ENOMEM;
		(*n)++;
		if (x->token == T_WORD)
			next(x);
		if (x->token == T_CLOSE)
			break;
		if (x->token != T_COMMA)
			return km_fail(err, -EINVAL, "found '%.128s', expected: ',' or ')'", x->text);
		next(x);
	}
	x->values = false;
	next(x);
	return 0;
}

static int parse_exact_value(struct parser *x, char **values, size_t *n, struct km_err *err)
{
	const char *value = "";

	if (x->token == T_WORD)
		value = x->text;
	else if (x->token != T_END && x->token != T_COMMA)
		return expected(x, "identifier", err);
	if (!(values[0] = strdup(value)))
		return -ENOMEM;
	*n = 1;
	x->values = false;
	if (x->token == T_WORD)
		next(x);
	return 0;
}

static int parse_operator(struct parser *x, enum op *ret, struct km_err *err)
{
	switch (x->token) {
	case T_IN:
		*ret = OP_IN;
		break;
	case T_NOT_IN:
		*ret = OP_NOT_IN;
		break;
	case T_EQUALS:
	case T_DOUBLE_EQUALS:
		*ret = OP_EQUALS;
		break;
	case T_NOT_EQUALS:
		*ret = OP_NOT_EQUALS;
		break;
	case T_GREATER:
		*ret = OP_GREATER;
		break;
	case T_LESS:
		*ret = OP_LESS;
		break;
	default:
		return expected(x, "in, notin, =, ==, !=, gt, lt", err);
	}
	x->values = true;
	next(x);
	return 0;
}

static int parse_requirement(struct parser *x, struct kube_selector *s, struct km_err *err)
{
	_cleanup_free_ char *key = NULL;
	char *values[KUBE_SELECTOR_VALUES_MAX];
	bool negated = x->token == T_NOT;
	size_t n = 0;
	enum op op = OP_EXISTS;
	int r;

	if (negated)
		next(x);
	/* "in" and "notin" may also be keys */
	if (x->token != T_WORD && x->token != T_IN && x->token != T_NOT_IN)
		return expected(x, "identifier", err);
	if (!(key = strdup(x->text)))
		return -ENOMEM;
	if ((r = check_key(key, err)) < 0)
		return r;
	next(x);
	if (negated || x->token == T_END || x->token == T_COMMA) {
		if (negated)
			op = OP_NOT_EXISTS;
		return add_requirement(s, key, op, NULL, 0, err);
	}
	r = parse_operator(x, &op, err);
	if (r == 0)
		r = op == OP_IN || op == OP_NOT_IN ? parse_values(x, values, &n, err)
						   : parse_exact_value(x, values, &n, err);
	if (r == 0)
		r = add_requirement(s, key, op, values, n, err);
	while (n > 0)
		free(values[--n]);
	return r;
}

static int parse_all(struct parser *x, struct kube_selector *s, struct km_err *err)
{
	next(x);
	if (x->token == T_END)
		return 0;
	for (;;) {
		int r;

		if (x->token != T_WORD && x->token != T_NOT && x->token != T_IN && x->token != T_NOT_IN)
			return km_fail(
				err, -EINVAL, "found '%.128s', expected: !, identifier, or 'end of string'", x->text);
		if ((r = parse_requirement(x, s, err)) < 0) {
			km_err_prefix(err, "unable to parse requirement");
			return r;
		}
		if (x->token == T_END)
			return 0;
		if (x->token != T_COMMA)
			return km_fail(err, -EINVAL, "found '%.128s', expected: ',' or 'end of string'", x->text);
		next(x);
		if (x->token != T_WORD && x->token != T_NOT && x->token != T_IN && x->token != T_NOT_IN)
			return km_fail(err, -EINVAL, "found '%.128s', expected: identifier after ','", x->text);
	}
}

int kube_selector_parse(const char *text, struct kube_selector **ret, struct km_err *err)
{
	_cleanup_(kube_selector_freep) struct kube_selector *s = NULL;
	_cleanup_free_ struct parser *x = NULL;
	int r;

	if (strlen(text) > KUBE_SELECTOR_TEXT_MAX)
		return km_fail(err, -EINVAL, "a selector of more than %d bytes", KUBE_SELECTOR_TEXT_MAX);
	s = calloc(1, sizeof(*s));
	x = calloc(1, sizeof(*x));
	if (!s || !x)
		return km_fail(err, -ENOMEM, "out of memory");
	x->p = text;
	if ((r = parse_all(x, s, err)) < 0)
		return r;
	*ret = KM_TAKE(s);
	return 0;
}

/* ---- LabelSelector objects ---- */

static int add_expression(struct kube_selector *s, json_t *e, struct km_err *err)
{
	static const struct {
		const char *name;
		enum op op;
	} ops[] = {{"In", OP_IN}, {"NotIn", OP_NOT_IN}, {"Exists", OP_EXISTS}, {"DoesNotExist", OP_NOT_EXISTS}};
	const char *key = json_string_value(json_object_get(e, "key")),
		   *op = json_string_value(json_object_get(e, "operator"));
	json_t *list = json_object_get(e, "values"), *value;
	char *values[KUBE_SELECTOR_VALUES_MAX];
	size_t i, n = 0;

	json_array_foreach(list, i, value)
	{
		if (n == KUBE_SELECTOR_VALUES_MAX || !json_is_string(value))
			return km_fail(err, -EINVAL, "values of \"%.253s\": not strings, or more than %d",
				key ? key : "", KUBE_SELECTOR_VALUES_MAX);
		values[n++] = (char *)(uintptr_t)json_string_value(value); /* only copied from */
	}
	for (i = 0; key && op && i < KM_ARRAY_LEN(ops); i++)
		if (strcmp(op, ops[i].name) == 0) {
			if ((ops[i].op == OP_IN || ops[i].op == OP_NOT_IN) != (n > 0))
				return km_fail(err, -EINVAL, "values: Invalid value: for '%s' on \"%.253s\"", op, key);
			return add_requirement(s, key, ops[i].op, values, n, err);
		}
	return km_fail(err, -EINVAL, "\"%.64s\" is not a valid label selector operator", op ? op : "");
}

int kube_selector_decode(json_t *label_selector, struct kube_selector **ret, struct km_err *err)
{
	_cleanup_(kube_selector_freep) struct kube_selector *s = calloc(1, sizeof(*s));
	json_t *value, *e;
	const char *key;
	size_t i;
	int r;

	if (!s)
		return km_fail(err, -ENOMEM, "out of memory");
	s->nothing = !json_is_object(label_selector);
	json_object_foreach(json_object_get(label_selector, "matchLabels"), key, value)
	{
		char *text = (char *)(uintptr_t)json_string_value(value); /* only copied from */

		if (!text)
			return km_fail(err, -EINVAL, "matchLabels \"%.253s\" is no string", key);
		if ((r = add_requirement(s, key, OP_EQUALS, &text, 1, err)) < 0)
			return r;
	}
	json_array_foreach(json_object_get(label_selector, "matchExpressions"), i, e)
	{
		if ((r = add_expression(s, e, err)) < 0)
			return r;
	}
	*ret = KM_TAKE(s);
	return 0;
}

/* ---- matching ---- */

static bool has_value(const struct requirement *r, const char *value)
{
	return r->n_values > 0 && bsearch(&value, r->values, r->n_values, sizeof(char *), compare_strings);
}

static bool requirement_matches(const struct requirement *r, const struct kube_labels *labels)
{
	const char *value = kube_labels_value(labels, r->key);
	int64_t number;

	switch (r->op) {
	case OP_EXISTS:
		return value;
	case OP_NOT_EXISTS:
		return !value;
	case OP_EQUALS:
	case OP_IN:
		return value && has_value(r, value);
	case OP_NOT_EQUALS:
	case OP_NOT_IN:
		return !value || !has_value(r, value);
	case OP_GREATER:
	case OP_LESS:
		if (!value || parse_number(value, &number) < 0)
			return false;
		return r->op == OP_GREATER ? number > r->number : number < r->number;
	}
	return false;
}

bool kube_selector_matches(const struct kube_selector *s, const struct kube_labels *labels)
{
	if (s->nothing)
		return false;
	for (size_t i = 0; i < s->n; i++)
		if (!requirement_matches(&s->reqs[i], labels))
			return false;
	return true;
}
