/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and applying field selectors; syntax and texts of k8s.io/apimachinery fields.ParseSelector. */
#include "aggregator/fields.h"

#include <errno.h>
#include <string.h>

static const char *const names[AGG_FIELDS] = {
	[AGG_FIELD_NAME] = "metadata.name",
	[AGG_FIELD_NAMESPACE] = "metadata.namespace",
	[AGG_FIELD_NODE] = "spec.nodeName",
	[AGG_FIELD_PHASE] = "status.phase",
};

/* Where the term at s ends: at a comma that is not escaped. */
static size_t term_length(const char *s)
{
	size_t n = 0;

	while (s[n] && s[n] != ',')
		n += s[n] == '\\' && s[n + 1] ? 2 : 1;
	return n;
}

/* The operator of a term: its place, length and sense; -1 if there is none. */
static int find_operator(const char *s, size_t n, size_t *ret_at, size_t *ret_len, bool *ret_equal)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\\') {
			i++;
			continue;
		}
		if (s[i] != '=' && !(s[i] == '!' && i + 1 < n && s[i + 1] == '='))
			continue;
		*ret_at = i;
		*ret_equal = s[i] == '=';
		*ret_len = i + 1 < n && s[i + 1] == '=' ? 2 : 1;
		return 0;
	}
	return -1;
}

/* Copies an escaped value. Only \\ \, \= are escapes, and = and , must be escaped. */
static int unescape(const char *s, size_t n, char *out, struct km_err *err)
{
	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if (c == '\\') {
			c = i + 1 < n ? s[++i] : '\0';
			if (c != '\\' && c != ',' && c != '=')
				return km_fail(err, -EINVAL, "invalid field selector: invalid escape sequence: \\%.*s",
					c ? 1 : 0, &c);
		} else if (c == '=') {
			return km_fail(err, -EINVAL, "invalid field selector: unescaped character in value: =");
		}
		*out++ = c;
	}
	*out = '\0';
	return 0;
}

static int find_field(const char *s, size_t n, bool pods, enum agg_field *ret, struct km_err *err)
{
	for (size_t i = 0; i < (pods ? AGG_FIELDS : AGG_FIELD_NODE); i++)
		if (strlen(names[i]) == n && memcmp(names[i], s, n) == 0) {
			*ret = (enum agg_field)i;
			return 0;
		}
	return km_fail(err, -EINVAL,
		"\"%.*s\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"%s", (int)n, s,
		pods ? ", \"spec.nodeName\", \"status.phase\"" : "");
}

int agg_fields_parse(const char *text, bool pods, struct agg_fields *ret, struct km_err *err)
{
	size_t used = 0, n;

	ret->n = 0;
	if (strlen(text) >= AGG_FIELD_TEXT_MAX)
		return km_fail(err, -EINVAL, "the field selector is longer than %d bytes", AGG_FIELD_TEXT_MAX - 1);
	for (const char *s = text;; s += n + 1) {
		struct agg_field_term *t;
		size_t at, len;
		int r;

		n = term_length(s);
		if (n > 0) {
			if (ret->n >= AGG_FIELD_TERMS_MAX)
				return km_fail(
					err, -EINVAL, "the field selector has more than %d terms", AGG_FIELD_TERMS_MAX);
			t = &ret->terms[ret->n];
			if (find_operator(s, n, &at, &len, &t->equal) < 0)
				return km_fail(err, -EINVAL, "invalid selector: '%s'; can't understand '%.*s'", text,
					(int)n, s);
			if ((r = unescape(s + at + len, n - at - len, ret->text + used, err)) < 0 ||
				(r = find_field(s, at, pods, &t->field, err)) < 0)
				return r;
			t->value = (uint16_t)used;
			used += strlen(ret->text + used) + 1;
			ret->n++;
		}
		if (!s[n])
			return 0;
	}
}

const char *agg_fields_exact(const struct agg_fields *f, enum agg_field field)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->terms[i].field == field && f->terms[i].equal)
			return f->text + f->terms[i].value;
	return NULL;
}

bool agg_fields_match(const struct agg_fields *f, const char *const values[AGG_FIELDS])
{
	for (size_t i = 0; i < f->n; i++) {
		const char *have = values[f->terms[i].field];

		if ((strcmp(have ? have : "", f->text + f->terms[i].value) == 0) != f->terms[i].equal)
			return false;
	}
	return true;
}

json_t *agg_fields_requirements(const struct agg_fields *f)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < f->n; i++) {
		const struct agg_field_term *t = &f->terms[i];

		if (json_array_append_new(list, json_pack("{s:s, s:s, s:[s]}", "key", names[t->field], "operator",
							t->equal ? "In" : "NotIn", "values", f->text + t->value)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}
