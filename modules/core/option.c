/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/config_private.h"
#include "core/timetext.h"

#define DOUBLE_DIGITS_MAX 15
#define DOUBLE_TEXT_MAX   48

static bool has_range(const struct km_opt *row)
{
	return row->min != 0 || row->max != 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The shortest text of a double that parse_double gave; no exponent, no locale. */
static void format_double(double value, char out[DOUBLE_TEXT_MAX])
{
	double magnitude = value < 0 ? -value : value, scale = 1;
	int64_t scaled, divisor = 1;
	int decimals = 0;

	while (decimals < DOUBLE_DIGITS_MAX && (double)(int64_t)(magnitude * scale + 0.5) / scale != magnitude) {
		scale *= 10;
		divisor *= 10;
		decimals++;
	}
	scaled = (int64_t)(magnitude * scale + 0.5);
	if (decimals == 0)
		snprintf(out, DOUBLE_TEXT_MAX, "%s%" PRId64, value < 0 ? "-" : "", scaled);
	else
		snprintf(out, DOUBLE_TEXT_MAX, "%s%" PRId64 ".%0*" PRId64, value < 0 ? "-" : "", scaled / divisor,
			decimals, scaled % divisor);
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

/* A whole number of any size: what does not fit is saturated, which no range contains. */
static int parse_whole(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	const char *p = text + negative;
	int64_t value = 0;

	if (!is_digit(*p))
		return -EINVAL;
	for (; is_digit(*p); p++) /* summed up as a negative number, which has room for INT64_MIN */
		if (__builtin_mul_overflow(value, INT64_C(10), &value) ||
			__builtin_sub_overflow(value, (int64_t)(*p - '0'), &value))
			value = INT64_MIN;
	if (*p)
		return -EINVAL;
	if (negative)
		*ret = value;
	else
		*ret = value == INT64_MIN ? INT64_MAX : -value;
	return 0;
}

static int parse_int(const struct km_opt *row, const char *text, int64_t *ret, struct km_err *err)
{
	int64_t value;

	if (parse_whole(text, &value) < 0)
		return km_fail(err, -EINVAL, "must be a whole number");
	if (has_range(row) && (value < row->min || value > row->max))
		return km_fail(err, -EINVAL, "must be from %" PRId64 " to %" PRId64, row->min, row->max);
	if (value == INT64_MIN || value == INT64_MAX)
		return km_fail(err, -EINVAL, "is too large a number");
	*ret = value;
	return 0;
}

/* Decimal digits with one point, whatever the locale says. With at most 15 digits both steps are exact up to the one
 * rounding of the quotient: the result is the nearest double, and its text the one that was read. */
static int parse_double(const struct km_opt *row, const char *text, double *ret, struct km_err *err)
{
	char low[DOUBLE_TEXT_MAX], high[DOUBLE_TEXT_MAX];
	double value = 0, scale = 1;
	bool negative = *text == '-', point = false;
	const char *p = text + negative;
	int digits = 0, decimals = 0; /* digits without leading zeros */
	bool any = false;

	for (; is_digit(*p) || (*p == '.' && !point); p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		any = true;
		digits += digits > 0 || *p != '0';
		decimals += point;
		if (digits > DOUBLE_DIGITS_MAX || decimals > DOUBLE_DIGITS_MAX)
			continue; /* refused below */
		value = value * 10 + (*p - '0');
		if (point)
			scale *= 10;
	}
	if (!any || *p)
		return km_fail(err, -EINVAL, "must be a number such as 0.1");
	if (digits > DOUBLE_DIGITS_MAX || decimals > DOUBLE_DIGITS_MAX)
		return km_fail(err, -EINVAL, "has more than %d digits", DOUBLE_DIGITS_MAX);
	value /= scale;
	if (negative && value != 0)
		value = -value;
	/* min / 1000 is the nearest double too, so that the bounds themselves are inside */
	if (has_range(row) && (value < (double)row->min / 1000 || value > (double)row->max / 1000)) {
		format_double((double)row->min / 1000, low);
		format_double((double)row->max / 1000, high);
		return km_fail(err, -EINVAL, "must be from %s to %s", low, high);
	}
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

static void print_quoted(const char *s, struct km_buf *out)
{
	km_buf_addc(out, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			km_buf_addc(out, '\\');
		km_buf_addc(out, *s);
	}
	km_buf_addc(out, '"');
}

void km_ini_print_value(const char *s, struct km_buf *out)
{
	size_t n = strlen(s);

	if (n > 0 && (s[0] == ' ' || s[0] == '\t' || s[0] == '"' || s[n - 1] == ' ' || s[n - 1] == '\t'))
		print_quoted(s, out);
	else
		km_buf_adds(out, s);
}

static void print_list(const struct km_strlist *list, struct km_buf *out)
{
	struct km_buf joined = KM_BUF_INIT(KM_INI_TEXT_MAX);

	for (size_t i = 0; i < list->n; i++)
		km_buf_addf(&joined, "%s%s", i ? "," : "", list->items[i]);
	km_ini_print_value(joined.data ? joined.data : "", out);
	km_buf_free(&joined);
}

void km_opt_print(const struct km_opt *row, const void *base, struct km_buf *out)
{
	const void *field = (const char *)base + row->offset;
	char text[KM_MAX(KM_DURATION_TEXT_MAX, DOUBLE_TEXT_MAX)];

	switch (row->type) {
	case KM_OPT_BOOL:
		km_buf_adds(out, *(const bool *)field ? "yes" : "no");
		break;
	case KM_OPT_INT:
		km_buf_addf(out, "%" PRId64, *(const int64_t *)field);
		break;
	case KM_OPT_DOUBLE:
		format_double(*(const double *)field, text);
		km_buf_adds(out, text);
		break;
	case KM_OPT_DURATION:
		km_duration_format(*(const int64_t *)field, text);
		km_buf_adds(out, text);
		break;
	case KM_OPT_ENUM:
		km_buf_adds(out, row->choices[*(const int *)field]);
		break;
	case KM_OPT_LIST:
		print_list(field, out);
		break;
	case KM_OPT_STRING:
	case KM_OPT_PATH:
		km_ini_print_value(*(const char *const *)field, out);
		break;
	}
}

static bool list_equal(const struct km_strlist *a, const struct km_strlist *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

bool km_opt_equal(const struct km_opt *row, const void *a, const void *b)
{
	const void *x = (const char *)a + row->offset, *y = (const char *)b + row->offset;

	switch (row->type) {
	case KM_OPT_BOOL:
		return *(const bool *)x == *(const bool *)y;
	case KM_OPT_INT:
	case KM_OPT_DURATION:
		return *(const int64_t *)x == *(const int64_t *)y;
	case KM_OPT_DOUBLE:
		return *(const double *)x == *(const double *)y;
	case KM_OPT_ENUM:
		return *(const int *)x == *(const int *)y;
	case KM_OPT_LIST:
		return list_equal(x, y);
	case KM_OPT_STRING:
	case KM_OPT_PATH:
		break;
	}
	return strcmp(*(const char *const *)x, *(const char *const *)y) == 0;
}
