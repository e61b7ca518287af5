/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/quantity.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/digits.h"

#define DIGITS_MAX   36 /* significant digits that are kept; two more fit, which printing needs */
#define NANO         (-9)
#define EXPONENT_MAX 1000
#define COUNT_MAX    2000 /* where counting digits ends */
#define FAST_DIGITS  18   /* upstream keeps mantissas of up to 18 digits as they were written */

struct suffix {
	char text[3];
	int8_t ten, two; /* powers */
};

/* in rising order of the power of ten, so that index (power + 9) / 3 is the decimal suffix */
static const struct suffix suffixes[] = {
	{"n", -9, 0},
	{"u", -6, 0},
	{"m", -3, 0},
	{"", 0, 0},
	{"k", 3, 0},
	{"M", 6, 0},
	{"G", 9, 0},
	{"T", 12, 0},
	{"P", 15, 0},
	{"E", 18, 0},
	{"Ki", 0, 10},
	{"Mi", 0, 20},
	{"Gi", 0, 30},
	{"Ti", 0, 40},
	{"Pi", 0, 50},
	{"Ei", 0, 60},
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static km_u128 power_of_ten(int n)
{
	km_u128 p = 1;

	while (n-- > 0)
		p *= 10;
	return p;
}

/* What the text says, before anything is made of it: digits * 10^(ten - decimals) * 2^two. */
struct number {
	km_u128 digits;
	int whole,
		fraction; /* digits written before the point, without leading zeros, and behind it; up to COUNT_MAX */
	int decimals;     /* how far the point stands from the end of digits; negative: zeros are missing */
	bool inexact;     /* digits that are not 0 were left out */
	int ten, two;
	enum km_quantity_format format;
};

static int parse_suffix(const char *p, size_t len, struct number *n)
{
	bool negative = len > 1 && p[1] == '-';
	size_t i = len > 1 && (p[1] == '-' || p[1] == '+') ? 2 : 1;

	for (size_t k = 0; k < KM_ARRAY_LEN(suffixes); k++)
		if (strlen(suffixes[k].text) == len && memcmp(suffixes[k].text, p, len) == 0) {
			n->ten = suffixes[k].ten;
			n->two = suffixes[k].two;
			n->format = n->two ? KM_QUANTITY_BINARY_SI : KM_QUANTITY_DECIMAL_SI;
			return 0;
		}
	if (len < 2 || (*p != 'e' && *p != 'E') || i == len)
		return -EINVAL;
	for (; i < len; i++) {
		if (!is_digit(p[i]))
			return -EINVAL;
		n->ten = KM_MIN(n->ten * 10 + (p[i] - '0'), EXPONENT_MAX + 1);
	}
	if (negative)
		n->ten = -n->ten;
	n->format = KM_QUANTITY_DECIMAL_EXPONENT;
	return 0;
}

static void add_digit(struct number *n, char c, bool point)
{
	if (point && n->fraction < COUNT_MAX)
		n->fraction++;
	else if (!point && n->whole < COUNT_MAX && (n->whole > 0 || c != '0'))
		n->whole++;
	if (n->digits < power_of_ten(DIGITS_MAX - 1) && n->decimals < COUNT_MAX) {
		n->digits = n->digits * 10 + (unsigned)(c - '0');
		n->decimals += point;
	} else {
		n->inexact |= c != '0';
		n->decimals -= !point && n->decimals > -COUNT_MAX;
	}
}

static int parse_number(const char *p, const char *end, struct number *n)
{
	bool digits = false, point = false;

	for (; p < end && (is_digit(*p) || (*p == '.' && !point)); p++) {
		if (*p == '.') {
			point = true;
		} else {
			digits = true;
			add_digit(n, *p, point);
		}
	}
	return digits ? parse_suffix(p, (size_t)(end - p), n) : -EINVAL;
}

/* digits * 2^two / 10^tens, rounded up; at most limit. */
static km_u128 scale_binary(const struct number *n, int tens, km_u128 limit)
{
	km_u128 digits = n->digits, divisor, quotient, rest;
	bool inexact = n->inexact;

	for (; tens > DIGITS_MAX; tens--) { /* so far behind the point that only "is there anything" counts */
		inexact |= digits % 10 != 0;
		digits /= 10;
	}
	if (tens < 0) {
		/* fewer decimals than nano has: at most nine zeros to add, and the limit is far below overflow */
		if (digits > limit)
			return limit;
		digits *= power_of_ten(-tens);
		tens = 0;
	}
	divisor = power_of_ten(tens);
	quotient = digits / divisor;
	rest = digits % divisor;
	for (int i = 0; i < n->two && quotient <= limit; i++) {
		rest *= 2;
		quotient = quotient * 2 + (rest >= divisor);
		if (rest >= divisor)
			rest -= divisor;
	}
	if (rest != 0 || inexact)
		quotient++;
	return KM_MIN(quotient, limit);
}

/* digits at the given scale to scale -9, rounded up. False: does not fit. */
static bool scale_decimal(const struct number *n, int scale, km_u128 *ret)
{
	km_u128 digits = n->digits;
	bool inexact = n->inexact;

	for (; scale > NANO && digits > 0; scale--) {
		if (inexact || digits >= power_of_ten(DIGITS_MAX - 1))
			return false;
		digits *= 10;
	}
	for (; scale < NANO && digits > 0; scale++) {
		inexact |= digits % 10 != 0;
		digits /= 10;
	}
	*ret = digits + inexact;
	return true;
}

/* Upstream's ParseQuantity has a path for numbers of few digits and one for the others; they differ in the mantissa
 * they leave behind. */
static int settle(const struct number *n, struct km_quantity *ret)
{
	const km_u128 most = (km_u128)INT64_MAX * 1000000000;
	int scale = n->ten - n->decimals, whole = KM_MAX(n->whole, 1);

	if (n->ten > EXPONENT_MAX && (n->digits > 0 || n->inexact))
		return -ERANGE;
	if (n->two) {
		if (n->fraction == 0 && whole <= 14 - n->two * 3 / 10) {
			ret->mantissa = n->digits << n->two;
			return 0;
		}
		ret->mantissa = scale_binary(n, n->decimals + NANO, most);
		if (ret->mantissa == most) {
			ret->mantissa = INT64_MAX;
			return 0;
		}
		ret->scale = NANO;
		if (ret->mantissa > 0 && ret->mantissa < 1000000000)
			ret->format = KM_QUANTITY_DECIMAL_SI; /* less than one has no binary text */
		return 0;
	}
	if (whole + n->fraction <= FAST_DIGITS && scale >= NANO) {
		ret->mantissa = n->digits;
		ret->scale = scale;
		return 0;
	}
	if (scale_decimal(n, scale, &ret->mantissa)) {
		ret->scale = NANO;
		return 0;
	}
	if (n->inexact)
		return -ERANGE;
	/* exact, but too large to be counted in 10^-9: upstream's double may differ from ours in its last digits */
	ret->mantissa = n->digits;
	ret->scale = scale;
	return 0;
}

/* Whether |q| < 10^EXPONENT_MAX, so that its canonical text can be read again. */
static bool in_range(const struct km_quantity *q)
{
	km_u128 value = q->mantissa;
	int digits = 0;

	for (; value > 0; value /= 10)
		digits++;
	return digits == 0 || digits + q->scale <= EXPONENT_MAX;
}

int km_quantity_parse(const char *text, size_t len, struct km_quantity *ret)
{
	const char *p = text, *end = text + len;
	struct km_quantity q = {0};
	struct number n = {0};
	int r;

	if (p < end && (*p == '+' || *p == '-'))
		q.negative = *p++ == '-';
	if ((r = parse_number(p, end, &n)) < 0)
		return r;
	q.format = n.format;
	if ((r = settle(&n, &q)) < 0)
		return r;
	if (!in_range(&q))
		return -ERANGE;
	if (q.mantissa == 0)
		q.negative = false;
	*ret = q;
	return 0;
}

int64_t km_quantity_milli(const struct km_quantity *q)
{
	const km_u128 limit = (km_u128)INT64_MAX + q->negative;
	km_u128 value = q->mantissa;
	bool inexact = false;
	int ten = q->scale + 3;

	for (; ten > 0 && value > 0 && value <= limit; ten--)
		value *= 10;
	for (; ten < 0 && value > 0; ten++) {
		inexact |= value % 10 != 0;
		value /= 10;
	}
	value = KM_MIN(value + inexact, limit);
	return q->negative ? (int64_t)(0 - (uint64_t)value) : (int64_t)value;
}

/* Go's math.Pow10, whose results above 10^31 are products: 10^n for n >= 0, or n in -9...-1. */
static double pow10_go(int n)
{
	static const double low[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14,
		1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29, 1e30, 1e31};
	static const double high[] = {1e0, 1e32, 1e64, 1e96, 1e128, 1e160, 1e192, 1e224, 1e256, 1e288};

	if (n > 308)
		return HUGE_VAL;
	return n < 0 ? 1 / low[-n] : high[n / 32] * low[n % 32];
}

double km_quantity_float(const struct km_quantity *q)
{
	double base = (double)q->mantissa;

	if (q->mantissa == 0)
		return 0;
	if (q->scale != 0)
		base *= pow10_go(q->scale);
	return q->negative ? -base : base;
}

/* ---- printing ---- */

static size_t print(bool negative, km_u128 value, const char *suffix, char *out)
{
	char digits[KM_QUANTITY_TEXT_MAX];
	size_t i = sizeof(digits) - 1;

	digits[i] = '\0';
	do
		digits[--i] = (char)('0' + (int)(value % 10));
	while ((value /= 10) > 0);
	return (size_t)snprintf(out, KM_QUANTITY_TEXT_MAX, "%s%s%s", negative ? "-" : "", digits + i, suffix);
}

/* |q| as a whole number, if it is one that fits. */
static bool whole(const struct km_quantity *q, km_u128 *ret)
{
	km_u128 value = q->mantissa;
	int scale = q->scale;

	for (; scale > 0 && value > 0; scale--) {
		if (value >= power_of_ten(DIGITS_MAX))
			return false;
		value *= 10;
	}
	for (; scale < 0; scale++) {
		if (value % 10 != 0)
			return false;
		value /= 10;
	}
	*ret = value;
	return true;
}

size_t km_quantity_format(const struct km_quantity *q, char out[KM_QUANTITY_TEXT_MAX])
{
	static const char *const binary[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
	km_u128 value = q->mantissa;
	int exponent = q->scale;
	char suffix[16] = "";

	if (value == 0)
		return print(false, 0, "", out);
	/* below 1024, and where binary would have to round, the decimal form is used */
	if (q->format == KM_QUANTITY_BINARY_SI && whole(q, &value) && value >= 1024) {
		size_t unit = 0;

		for (; unit + 1 < KM_ARRAY_LEN(binary) && value % 1024 == 0; unit++)
			value /= 1024;
		return print(q->negative, value, binary[unit], out);
	}
	value = q->mantissa;
	for (; value % 10 == 0; exponent++)
		value /= 10;
	for (; exponent % 3 != 0; exponent--)
		value *= 10;
	if (q->format != KM_QUANTITY_DECIMAL_EXPONENT && exponent >= -9 && exponent <= 18)
		return print(q->negative, value, suffixes[(exponent + 9) / 3].text, out);
	if (exponent != 0)
		snprintf(suffix, sizeof(suffix), "e%d", exponent);
	return print(q->negative, value, suffix, out);
}

struct km_quantity km_quantity_of_milli(int64_t milli, enum km_quantity_format format)
{
	return (struct km_quantity){.mantissa = milli < 0 ? 0 - (uint64_t)milli : (uint64_t)milli,
		.scale = -3,
		.negative = milli < 0,
		.format = format};
}

int km_quantity_parse_milli(const char *text, size_t len, int64_t *ret_milli)
{
	struct km_quantity q;
	int r = km_quantity_parse(text, len, &q);

	if (r == -ERANGE) /* only ever because it is too large */
		*ret_milli = *text == '-' ? INT64_MIN : INT64_MAX;
	else if (r < 0)
		return r;
	else
		*ret_milli = km_quantity_milli(&q);
	return 0;
}

/* metrics-server divides what does not fit an int64 by ten and raises the scale (spec metrics-api 3b) */
static uint64_t drop_digit(uint64_t value)
{
	return value > INT64_MAX ? value - value % 10 : value;
}

static size_t with_suffix(uint64_t value, const char *suffix, char *out)
{
	char *p = km_digits(out, value);

	return (size_t)(stpcpy(p, suffix) - out);
}

size_t km_quantity_format_cpu(uint64_t nanocores, char out[KM_QUANTITY_TEXT_MAX])
{
	uint64_t value = drop_digit(nanocores);
	size_t unit = 0;

	if (value == 0)
		return with_suffix(0, "", out);
	for (; value % 1000 == 0; unit++) /* 2^64 n is 18 G: the suffixes do not run out */
		value /= 1000;
	return with_suffix(value, suffixes[unit].text, out);
}

size_t km_quantity_format_memory(uint64_t bytes, char out[KM_QUANTITY_TEXT_MAX])
{
	static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
	uint64_t value = drop_digit(bytes);
	size_t unit = 0;

	if (value == 1000) /* below 1024 the decimal form is used, and this is the one that has a suffix there */
		return with_suffix(1, "k", out);
	for (; value >= 1024 && value % 1024 == 0; unit++)
		value /= 1024;
	return with_suffix(value, units[unit], out);
}
