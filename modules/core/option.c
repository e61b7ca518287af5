/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/config_private.h"
#include "core/timetext.h"

static bool has_range(const struct km_opt *row)
{
	return row->min != 0 || row->max != 0;
}

static int parse_bool(const char *text, bool *ret, struct km_err *err)
{
	static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off", "0"};

	for (size_t i = 0; i < KM_ARRAY_LEN(yes); i++) {
		if (strcasecmp(text, yes[i]) == 0) {
			*ret = true;
			return 0;
		}
		if (strcasecmp(text, no[i]) == 0) {
			*ret = false;
			return 0;
		}
	}
	return km_fail(err, -EINVAL, "must be yes or no");
}

static int parse_int(const struct km_opt *row, const char *text, int64_t *ret, struct km_err *err)
{
	int64_t value = 0;
	bool negative = *text == '-';
	const char *p = text + negative;

	if (!isdigit((unsigned char)*p))
		return km_fail(err, -EINVAL, "must be a whole number");
	for (; *p; p++)
		if (!isdigit((unsigned char)*p) || __builtin_mul_overflow(value, INT64_C(10), &value) ||
			__builtin_sub_overflow(value, (int64_t)(*p - '0'), &value))
			return km_fail(err, -EINVAL, "must be a whole number");
	/* summed up as a negative number, which has room for INT64_MIN */
	if (!negative && value == INT64_MIN)
		return km_fail(err, -EINVAL, "must be a whole number");
	value = negative ? value : -value;
	if (has_range(row) && (value < row->min || value > row->max))
		return km_fail(err, -EINVAL, "must be from %" PRId64 " to %" PRId64, row->min, row->max);
	*ret = value;
	return 0;
}

/* Decimal digits with one point, whatever the locale says. */
static int parse_double(const struct km_opt *row, const char *text, double *ret, struct km_err *err)
{
	double value = 0, scale = 1;
	bool negative = *text == '-', digits = false;
	const char *p = text + negative;

	for (; isdigit((unsigned char)*p); p++, digits = true)
		value = value * 10 + (*p - '0');
	if (*p == '.')
		for (p++; isdigit((unsigned char)*p); p++, digits = true) {
			value = value * 10 + (*p - '0');
			scale *= 10;
		}
	if (!digits || *p || p - text > 17)
		return km_fail(err, -EINVAL, "must be a number such as 0.1");
	value = (negative ? -value : value) / scale;
	if (has_range(row) && (value * 1000 < (double)row->min || value * 1000 > (double)row->max))
		return km_fail(err, -EINVAL, "must be from %g to %g", (double)row->min / 1000, (double)row->max / 1000);
	*ret = value;
	return 0;
}

static int parse_duration(const struct km_opt *row, const char *text, int64_t *ret, struct km_err *err)
{
	char low[KM_DURATION_TEXT_MAX], high[KM_DURATION_TEXT_MAX];
	int64_t value;

	if (km_duration_parse(text, strlen(text), &value) < 0)
		return km_fail(err, -EINVAL, "must be a duration such as 15s or 5m0s");
	if (has_range(row) && (value < row->min || value > row->max)) {
		km_duration_format(row->min, low);
		km_duration_format(row->max, high);
		return km_fail(err, -EINVAL, "must be from %s to %s", low, high);
	}
	*ret = value;
	return 0;
}

static int parse_enum(const struct km_opt *row, const char *text, int *ret, struct km_err *err)
{
	struct km_buf choices = KM_BUF_INIT(512);
	int i;

	for (i = 0; row->choices[i]; i++)
		if (strcmp(text, row->choices[i]) == 0) {
			*ret = i;
			return 0;
		}
	for (i = 0; row->choices[i]; i++)
		km_buf_addf(&choices, "%s%s", i ? ", " : "", row->choices[i]);
	km_fail(err, -EINVAL, "must be one of %s", choices.data ? choices.data : "");
	km_buf_free(&choices);
	return -EINVAL;
}

static int parse_list(struct km_config *config, const char *text, struct km_strlist *ret, struct km_err *err)
{
	const char *items[KM_INI_LIST_MAX], **copy;
	size_t n = 0;

	while (*text) {
		size_t len = strcspn(text, ","), lead = strspn(text, " \t"), end = len;

		while (end > lead && (text[end - 1] == ' ' || text[end - 1] == '\t'))
			end--;
		if (end <= lead)
			return km_fail(err, -EINVAL, "has an empty item: write A,B,C");
		if (n == KM_INI_LIST_MAX)
			return km_fail(err, -EINVAL, "has more than %d items", KM_INI_LIST_MAX);
		items[n] = km_config_strndup(config, text + lead, end - lead);
		if (!items[n++])
			return -ENOMEM;
		text += len;
		if (*text == ',' && *++text == '\0')
			return km_fail(err, -EINVAL, "has an empty item: write A,B,C");
	}
	copy = km_config_alloc(config, (n + 1) * sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	memcpy(copy, items, n * sizeof(*copy));
	*ret = (struct km_strlist){.items = copy, .n = n};
	return 0;
}

int km_opt_parse(struct km_config *config, const struct km_opt *row, const char *text, void *base, struct km_err *err)
{
	void *field = (char *)base + row->offset;
	char *copy;

	switch (row->type) {
	case KM_OPT_BOOL:
		return parse_bool(text, field, err);
	case KM_OPT_INT:
		return parse_int(row, text, field, err);
	case KM_OPT_DOUBLE:
		return parse_double(row, text, field, err);
	case KM_OPT_DURATION:
		return parse_duration(row, text, field, err);
	case KM_OPT_ENUM:
		return parse_enum(row, text, field, err);
	case KM_OPT_LIST:
		return parse_list(config, text, field, err);
	case KM_OPT_PATH:
		if (*text && *text != '/')
			return km_fail(err, -EINVAL, "must be an absolute path");
		break;
	case KM_OPT_STRING:
		break;
	}
	copy = km_config_strndup(config, text, strlen(text));
	if (!copy)
		return -ENOMEM;
	memcpy(field, &copy, sizeof(copy));
	return 0;
}

static void print_string(const char *s, struct km_buf *out)
{
	size_t n = strlen(s);
	bool quote = n > 0 && (s[0] == ' ' || s[0] == '\t' || s[0] == '"' || s[n - 1] == ' ' || s[n - 1] == '\t');

	if (!quote) {
		km_buf_adds(out, s);
		return;
	}
	km_buf_addc(out, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			km_buf_addc(out, '\\');
		km_buf_addc(out, *s);
	}
	km_buf_addc(out, '"');
}

void km_opt_print(const struct km_opt *row, const void *base, struct km_buf *out)
{
	const void *field = (const char *)base + row->offset;
	char text[KM_DURATION_TEXT_MAX];

	switch (row->type) {
	case KM_OPT_BOOL:
		km_buf_adds(out, *(const bool *)field ? "yes" : "no");
		break;
	case KM_OPT_INT:
		km_buf_addf(out, "%" PRId64, *(const int64_t *)field);
		break;
	case KM_OPT_DOUBLE:
		km_buf_addf(out, "%g", *(const double *)field);
		break;
	case KM_OPT_DURATION:
		km_duration_format(*(const int64_t *)field, text);
		km_buf_adds(out, text);
		break;
	case KM_OPT_ENUM:
		km_buf_adds(out, row->choices[*(const int *)field]);
		break;
	case KM_OPT_LIST: {
		const struct km_strlist *list = field;

		for (size_t i = 0; i < list->n; i++)
			km_buf_addf(out, "%s%s", i ? "," : "", list->items[i]);
		break;
	}
	case KM_OPT_STRING:
	case KM_OPT_PATH:
		print_string(*(const char *const *)field, out);
		break;
	}
}

bool km_opt_equal(const struct km_opt *row, const void *a, const void *b)
{
	_cleanup_buf_ struct km_buf x = KM_BUF_INIT(KM_INI_TEXT_MAX), y = KM_BUF_INIT(KM_INI_TEXT_MAX);

	km_opt_print(row, a, &x);
	km_opt_print(row, b, &y);
	return x.len == y.len && (x.len == 0 || memcmp(x.data, y.data, x.len) == 0);
}
