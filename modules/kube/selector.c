/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar and its texts follow k8s.io/apimachinery/pkg/labels/selector.go (1.36): a lexer of words and punctuation,
 * one token of look-ahead.
 */
#include "kube/selector.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "kube/label_rules.h"

#define ERRORS_MAX_BYTES 16384 /* of one requirement; what a struct km_err holds is cut from it */

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

/* As Go's strconv.ParseInt(text, 10, 64). */
static int parse_number(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	const char *p = text + (*text == '-' || *text == '+');
	int64_t v = 0;

	if (!*p)
		return -EINVAL;
	for (; *p; p++)
		if (*p < '0' || *p > '9' || __builtin_mul_overflow(v, INT64_C(10), &v) ||
			__builtin_sub_overflow(v, (int64_t)(*p - '0'), &v))
			return -EINVAL;
	if (!negative && v == INT64_MIN)
		return -EINVAL;
	*ret = negative ? v : -v;
	return 0;
}

/* ---- what a requirement must be (labels.NewRequirement) ---- */

/* What is wrong with a requirement, joined as upstream's aggregate prints it. */
struct errors {
	struct km_buf text;
	size_t n;
};

/* Starts one error: the field and the bad value. */
static struct km_buf *add_error(struct errors *e, const char *field, const char *value)
{
	km_buf_addf(&e->text, "%s%s: Invalid value: ", e->n++ ? ", " : "", field);
	if (value) {
		kube_add_quoted(&e->text, value);
		km_buf_adds(&e->text, ": ");
	}
	return &e->text;
}

static void add_error_values(struct errors *e, char *const *values, size_t n, const char *what)
{
	struct km_buf *text = add_error(e, "values", NULL);
	struct km_json j = KM_JSON_INIT(text, false);

	if (n == 0) {
		km_json_null(&j);
	} else {
		km_json_array(&j);
		for (size_t i = 0; i < n; i++)
			km_json_str(&j, values[i]);
		km_json_end_array(&j);
	}
	km_buf_addf(text, ": %s", what);
}

static int end_errors(struct errors *e, struct km_err *err)
{
	int r = 0;

	if (e->n > 0)
		r = km_fail(err, -EINVAL, e->n > 1 ? "[%s]" : "%s", e->text.data ? e->text.data : "out of memory");
	km_buf_free(&e->text);
	return r;
}

/* field is "<nil>" where upstream checks a key without knowing its place. */
static void check_key(struct errors *e, const char *field, const char *key)
{
	if (!kube_label_key_valid(key, NULL))
		kube_label_key_valid(key, add_error(e, field, key));
}

static void check_values(struct errors *e, const struct requirement *r, char *const *values, size_t n)
{
	char field[352]; /* a valid key has at most 317 bytes */
	int64_t number;

	if ((r->op == OP_IN || r->op == OP_NOT_IN) && n == 0)
		add_error_values(e, values, n, "for 'in', 'notin' operators, values set can't be empty");
	if ((r->op == OP_EXISTS || r->op == OP_NOT_EXISTS) && n > 0)
		add_error_values(e, values, n, "values set must be empty for exists and does not exist");
	if ((r->op == OP_GREATER || r->op == OP_LESS) && parse_number(values[0], &number) < 0)
		km_buf_adds(
			add_error(e, "values[0]", values[0]), "for 'Gt', 'Lt' operators, the value must be an integer");
	for (size_t i = 0; i < n; i++) {
		if (kube_label_value_valid(values[i], NULL))
			continue;
		snprintf(field, sizeof(field), "values[%zu][%.320s]", i, r->key);
		kube_label_value_valid(values[i], add_error(e, field, values[i]));
	}
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Copies everything; values become a sorted set. */
static int add_requirement(
	struct kube_selector *s, const char *key, enum op op, char *const *values, size_t n, struct km_err *err)
{
	struct requirement *r = &s->reqs[s->n];
	struct errors errors = {.text = KM_BUF_INIT(ERRORS_MAX_BYTES)};
	int e;

	if (s->n == KUBE_SELECTOR_REQUIREMENTS_MAX)
		return km_fail(
			err, -EINVAL, "the selector has more than %d requirements", KUBE_SELECTOR_REQUIREMENTS_MAX);
	*r = (struct requirement){.op = op, .key = strdup(key), .values = calloc(n + 1, sizeof(char *))};
	s->n++; /* from here on freed with the selector */
	if (!r->key || !r->values)
		return km_fail(err, -ENOMEM, "out of memory");
	check_key(&errors, "key", key);
	check_values(&errors, r, values, n);
	if ((e = end_errors(&errors, err)) < 0)
		return e;
	for (; r->n_values < n; r->n_values++)
		if (!(r->values[r->n_values] = strdup(values[r->n_values])))
			return km_fail(err, -ENOMEM, "out of memory");
	qsort(r->values, n, sizeof(char *), compare_strings);
	return op == OP_GREATER || op == OP_LESS ? parse_number(values[0], &r->number) : 0;
}

/* ---- lexer ---- */

enum token {
	T_END,
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
	if (strcmp(x->text, "in") == 0)
		x->token = T_IN;
	else if (strcmp(x->text, "notin") == 0)
		x->token = T_NOT_IN;
}

/* ---- parser ---- */

/* "in" and "notin" are operators only where an operator is due; elsewhere they are keys and values. */
static bool is_word(const struct parser *x)
{
	return x->token == T_WORD || x->token == T_IN || x->token == T_NOT_IN;
}

static int expected(const struct parser *x, const char *what, struct km_err *err)
{
	return km_fail(err, -EINVAL, "found '%s', expected: %s", x->text, what);
}

struct values {
	char *items[KUBE_SELECTOR_VALUES_MAX]; /* owned */
	size_t n;
};

static void values_clear(struct values *v)
{
	while (v->n > 0)
		free(v->items[--v->n]);
}

/* A value that is there already is not added again. */
static int add_value(struct values *v, const char *text, struct km_err *err)
{
	for (size_t i = 0; i < v->n; i++)
		if (strcmp(v->items[i], text) == 0)
			return 0;
	if (v->n == KUBE_SELECTOR_VALUES_MAX)
		return km_fail(err, -EINVAL, "a requirement has more than %d values", KUBE_SELECTOR_VALUES_MAX);
	if (!(v->items[v->n] = strdup(text)))
		return km_fail(err, -ENOMEM, "out of memory");
	v->n++;
	return 0;
}

/* What stands between the parentheses; an empty place is the empty value. Ends on the closing one. */
static int parse_list(struct parser *x, struct values *v, struct km_err *err)
{
	int r;

	for (;;) {
		if (is_word(x)) {
			if ((r = add_value(v, x->text, err)) < 0)
				return r;
			next(x);
			if (x->token == T_CLOSE)
				return 0;
			if (x->token != T_COMMA)
				return expected(x, "',' or ')'", err);
		} else if (x->token == T_COMMA) {
			if (v->n == 0 && (r = add_value(v, "", err)) < 0)
				return r;
			next(x);
			if ((x->token == T_CLOSE || x->token == T_COMMA) && (r = add_value(v, "", err)) < 0)
				return r;
			if (x->token == T_CLOSE)
				return 0;
		} else {
			return expected(x, "',', or identifier", err);
		}
	}
}

static int parse_values(struct parser *x, struct values *v, struct km_err *err)
{
	int r;

	if (x->token != T_OPEN)
		return km_fail(err, -EINVAL, "found '%s' expected: '('", x->text);
	next(x);
	if (x->token == T_CLOSE)
		r = add_value(v, "", err);
	else if (is_word(x) || x->token == T_COMMA)
		r = parse_list(x, v, err);
	else
		r = expected(x, "',', ')' or identifier", err);
	if (r < 0)
		return r;
	next(x);
	qsort(v->items, v->n, sizeof(char *), compare_strings);
	return 0;
}

static int parse_exact_value(struct parser *x, struct values *v, struct km_err *err)
{
	int r;

	if (x->token == T_END || x->token == T_COMMA)
		return add_value(v, "", err);
	if (!is_word(x))
		return expected(x, "identifier", err);
	r = add_value(v, x->text, err);
	next(x);
	return r;
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
	next(x);
	return 0;
}

static int parse_requirement(struct parser *x, struct kube_selector *s, struct km_err *err)
{
	_cleanup_(values_clear) struct values values = {.n = 0};
	struct errors errors = {.text = KM_BUF_INIT(ERRORS_MAX_BYTES)};
	_cleanup_free_ char *key = NULL;
	bool negated = x->token == T_NOT;
	enum op op = OP_EXISTS;
	int r;

	if (negated)
		next(x);
	if (!is_word(x))
		return expected(x, "identifier", err);
	if (!(key = strdup(x->text)))
		return km_fail(err, -ENOMEM, "out of memory");
	check_key(&errors, "<nil>", key);
	if ((r = end_errors(&errors, err)) < 0)
		return r;
	next(x);
	if (negated)
		return add_requirement(s, key, OP_NOT_EXISTS, NULL, 0, err);
	if (x->token == T_END || x->token == T_COMMA)
		return add_requirement(s, key, op, NULL, 0, err);
	if ((r = parse_operator(x, &op, err)) < 0)
		return r;
	r = op == OP_IN || op == OP_NOT_IN ? parse_values(x, &values, err) : parse_exact_value(x, &values, err);
	return r < 0 ? r : add_requirement(s, key, op, values.items, values.n, err);
}

static int parse_all(struct parser *x, struct kube_selector *s, struct km_err *err)
{
	next(x);
	if (x->token == T_END)
		return 0;
	if (!is_word(x) && x->token != T_NOT)
		return expected(x, "!, identifier, or 'end of string'", err);
	for (;;) {
		int r = parse_requirement(x, s, err);

		if (r < 0) {
			km_err_prefix(err, "unable to parse requirement");
			return r;
		}
		if (x->token == T_END)
			return 0;
		if (x->token != T_COMMA)
			return expected(x, "',' or 'end of string'", err);
		next(x);
		if (!is_word(x) && x->token != T_NOT)
			return expected(x, "identifier after ','", err);
	}
}

/* Room for no more requirements than there are: controllers keep selectors by the thousand. */
static struct kube_selector *fitted(struct kube_selector *s)
{
	struct kube_selector *small = realloc(s, offsetof(struct kube_selector, reqs) + s->n * sizeof(s->reqs[0]));

	return small ? small : s;
}

int kube_selector_parse(const char *text, struct kube_selector **ret, struct km_err *err)
{
	_cleanup_(kube_selector_freep) struct kube_selector *s = NULL;
	_cleanup_free_ struct parser *x = NULL;
	int r;

	if (strlen(text) > KUBE_SELECTOR_TEXT_MAX)
		return km_fail(err, -EINVAL, "the selector is longer than %d bytes", KUBE_SELECTOR_TEXT_MAX);
	s = calloc(1, sizeof(*s));
	x = calloc(1, sizeof(*x));
	if (!s || !x)
		return km_fail(err, -ENOMEM, "out of memory");
	x->p = text;
	if ((r = parse_all(x, s, err)) < 0)
		return r;
	*ret = fitted(KM_TAKE(s));
	return 0;
}

/* ---- LabelSelector objects ---- */

/* Borrows the strings of an array; add_requirement copies them. */
static int borrow_strings(json_t *array, const char *field, char **values, size_t *ret_n, struct km_err *err)
{
	size_t n = json_array_size(array);

	if (array && !json_is_null(array) && !json_is_array(array))
		return km_fail(err, -EINVAL, "%s is not a list", field);
	if (n > KUBE_SELECTOR_VALUES_MAX)
		return km_fail(err, -EINVAL, "%s has more than %d items", field, KUBE_SELECTOR_VALUES_MAX);
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(array, i));

		if (!text)
			return km_fail(err, -EINVAL, "%s[%zu] is not a string", field, i);
		values[i] = (char *)(uintptr_t)text;
	}
	*ret_n = n;
	return 0;
}

static int add_expression(struct kube_selector *s, json_t *e, struct km_err *err)
{
	static const struct {
		const char *name;
		enum op op;
	} ops[] = {{"In", OP_IN}, {"NotIn", OP_NOT_IN}, {"Exists", OP_EXISTS}, {"DoesNotExist", OP_NOT_EXISTS}};
	const char *key = json_string_value(json_object_get(e, "key")),
		   *op = json_string_value(json_object_get(e, "operator"));
	struct km_buf quoted = KM_BUF_INIT(ERRORS_MAX_BYTES);
	char *values[KUBE_SELECTOR_VALUES_MAX];
	size_t n = 0;
	int r = borrow_strings(json_object_get(e, "values"), "values", values, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; op && i < KM_ARRAY_LEN(ops); i++)
		if (strcmp(op, ops[i].name) == 0)
			return add_requirement(s, key ? key : "", ops[i].op, values, n, err);
	kube_add_quoted(&quoted, op ? op : "");
	r = km_fail(err, -EINVAL, "%s is not a valid label selector operator", quoted.data ? quoted.data : "");
	km_buf_free(&quoted);
	return r;
}

static int add_match_labels(struct kube_selector *s, json_t *labels, struct km_err *err)
{
	const char *key;
	json_t *value;

	if (labels && !json_is_null(labels) && !json_is_object(labels))
		return km_fail(err, -EINVAL, "matchLabels is not an object");
	json_object_foreach(labels, key, value)
	{
		char *text = (char *)(uintptr_t)json_string_value(value); /* borrowed: add_requirement copies it */
		int r;

		if (!text)
			return km_fail(err, -EINVAL, "matchLabels[%s] is not a string", key);
		if ((r = add_requirement(s, key, OP_EQUALS, &text, 1, err)) < 0)
			return r;
	}
	return 0;
}

int kube_selector_decode(json_t *label_selector, struct kube_selector **ret, struct km_err *err)
{
	_cleanup_(kube_selector_freep) struct kube_selector *s = calloc(1, sizeof(*s));
	json_t *list = json_object_get(label_selector, "matchExpressions"), *e;
	size_t i;
	int r;

	if (!s)
		return km_fail(err, -ENOMEM, "out of memory");
	s->nothing = !label_selector || json_is_null(label_selector);
	if (!s->nothing && !json_is_object(label_selector))
		return km_fail(err, -EINVAL, "the label selector is not an object");
	if ((r = add_match_labels(s, json_object_get(label_selector, "matchLabels"), err)) < 0)
		return r;
	if (list && !json_is_null(list) && !json_is_array(list))
		return km_fail(err, -EINVAL, "matchExpressions is not a list");
	json_array_foreach(list, i, e)
	{
		if ((r = add_expression(s, e, err)) < 0)
			return r;
	}
	*ret = fitted(KM_TAKE(s));
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

/* ---- as text ---- */

static int compare_keys(const void *a, const void *b)
{
	const struct requirement *const *x = a, *const *y = b;
	int order = strcmp((*x)->key, (*y)->key);

	return order ? order : (*x > *y) - (*x < *y); /* those of one key stay in the order given */
}

static void add_text(const struct requirement *r, struct km_buf *out)
{
	static const char *const operators[] = {[OP_EXISTS] = "",
		[OP_NOT_EXISTS] = "",
		[OP_EQUALS] = "=",
		[OP_NOT_EQUALS] = "!=",
		[OP_IN] = " in (",
		[OP_NOT_IN] = " notin (",
		[OP_GREATER] = ">",
		[OP_LESS] = "<"};

	if (r->op == OP_NOT_EXISTS)
		km_buf_addc(out, '!');
	km_buf_adds(out, r->key);
	km_buf_adds(out, operators[r->op]);
	for (size_t i = 0; i < r->n_values; i++) {
		if (i > 0)
			km_buf_addc(out, ',');
		km_buf_adds(out, r->values[i]);
	}
	if (r->op == OP_IN || r->op == OP_NOT_IN)
		km_buf_addc(out, ')');
}

bool kube_selector_asks_for(const struct kube_selector *selector, const char **ret_key, const char **ret_value)
{
	for (size_t i = 0; i < selector->n; i++) {
		const struct requirement *r = &selector->reqs[i];

		if ((r->op != OP_EQUALS && r->op != OP_IN) || r->n_values != 1)
			continue;
		*ret_key = r->key;
		*ret_value = r->values[0];
		return true;
	}
	return false;
}

void kube_selector_text(const struct kube_selector *s, struct km_buf *out)
{
	const struct requirement *sorted[KUBE_SELECTOR_REQUIREMENTS_MAX];

	for (size_t i = 0; i < s->n; i++)
		sorted[i] = &s->reqs[i];
	qsort(sorted, s->n, sizeof(*sorted), compare_keys);
	for (size_t i = 0; i < s->n; i++) {
		if (i > 0)
			km_buf_addc(out, ',');
		add_text(sorted[i], out);
	}
}

/* ---- as a review's requirements ---- */

static int add_review_requirement(json_t *list, const struct requirement *r)
{
	static const char *const operators[] = {[OP_EXISTS] = "Exists",
		[OP_NOT_EXISTS] = "DoesNotExist",
		[OP_EQUALS] = "In",
		[OP_NOT_EQUALS] = "NotIn",
		[OP_IN] = "In",
		[OP_NOT_IN] = "NotIn",
		[OP_LESS] = NULL};
	json_t *o, *values;

	if (!operators[r->op])
		return 0;
	o = json_pack("{s:s, s:s}", "key", r->key, "operator", operators[r->op]);
	if (!o || json_array_append_new(list, o) < 0)
		return -ENOMEM;
	if (r->n_values == 0)
		return 0;
	values = json_array();
	if (json_object_set_new(o, "values", values) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < r->n_values; i++)
		if (json_array_append_new(values, json_string(r->values[i])) < 0)
			return -ENOMEM;
	return 0;
}

json_t *kube_selector_requirements(const struct kube_selector *s)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < s->n; i++)
		if (add_review_requirement(list, &s->reqs[i]) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}
