/* SPDX-License-Identifier: Apache-2.0 */
#include "core/timetext.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/digits.h"

/* ---- Go durations ---- */

struct unit {
	const char *name;
	uint64_t ns;
};

/* Longer names first where one is the start of another. */
static const struct unit units[] = {
	{"ns", 1},
	{"us", 1000},
	{"\xc2\xb5s", 1000},
	{"\xce\xbcs", 1000},
	{"ms", 1000000},
	{"s", 1000000000},
	{"m", UINT64_C(60000000000)},
	{"h", UINT64_C(3600000000000)},
};

static const struct unit *unit_at(const char *p, const char *end)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(units); i++) {
		size_t n = strlen(units[i].name);
		if ((size_t)(end - p) >= n && memcmp(p, units[i].name, n) == 0)
			return &units[i];
	}
	return NULL;
}

/* The digits of a fraction as Go's leadingFraction reads them: those beyond 63 bits are dropped. */
static const char *parse_fraction(const char *p, const char *end, uint64_t *ret_fraction, double *ret_scale)
{
	uint64_t fraction = 0;
	double scale = 1;
	bool full = false;

	for (; p < end && isdigit((unsigned char)*p); p++) {
		if (full || fraction > INT64_MAX / 10) {
			full = true;
			continue;
		}
		fraction = fraction * 10 + (uint64_t)(*p - '0');
		scale *= 10;
	}
	*ret_fraction = fraction;
	*ret_scale = scale;
	return p;
}

/* One "digits[.digits]unit"; adds to *sum. */
static int parse_term(const char **pp, const char *end, uint64_t *sum)
{
	const char *p = *pp;
	uint64_t whole = 0, fraction = 0;
	double scale = 1;
	bool digits = false, too_large = false;
	const struct unit *unit;

	for (; p < end && isdigit((unsigned char)*p); p++, digits = true)
		too_large |= __builtin_mul_overflow(whole, UINT64_C(10), &whole) ||
			     __builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole);
	if (p < end && *p == '.') {
		const char *start = ++p;

		p = parse_fraction(p, end, &fraction, &scale);
		digits |= p > start;
	}
	unit = unit_at(p, end);
	if (!digits || !unit)
		return -EINVAL;
	/* The fraction in doubles, in Go's order of operations: the same last nanosecond as Go's. It is less than a
	 * unit. */
	if (too_large || __builtin_mul_overflow(whole, unit->ns, &whole) ||
		__builtin_add_overflow(whole, (uint64_t)((double)fraction * ((double)unit->ns / scale)), &whole) ||
		__builtin_add_overflow(*sum, whole, sum))
		return -ERANGE;
	*pp = p + strlen(unit->name);
	return 0;
}

int km_duration_parse(const char *text, size_t len, int64_t *ret_ns)
{
	const char *p = text, *end = text + len;
	bool negative = false;
	uint64_t sum = 0;

	if (p < end && (*p == '+' || *p == '-'))
		negative = *p++ == '-';
	if (p == end)
		return -EINVAL;
	if (end - p == 1 && *p == '0') {
		*ret_ns = 0;
		return 0;
	}
	while (p < end) {
		int r = parse_term(&p, end, &sum);
		if (r < 0)
			return r;
	}
	if (sum > (uint64_t)INT64_MAX + (negative ? 1 : 0))
		return -ERANGE;
	*ret_ns = negative ? (int64_t)(0 - sum) : (int64_t)sum;
	return 0;
}

/* Writes value/scale (a power of ten, at most 10^9) with its fraction, trailing zeros dropped, and the unit. */
static char *format_fraction(uint64_t value, uint64_t scale, const char *unit, char *out)
{
	char *p = km_digits(out, value / scale);

	if (value % scale != 0) {
		*p++ = '.';
		p = km_digits_padded(p, value % scale * (UINT64_C(1000000000) / scale), 9);
		while (p[-1] == '0')
			p--;
	}
	return stpcpy(p, unit);
}

size_t km_duration_format(int64_t ns, char out[KM_DURATION_TEXT_MAX])
{
	uint64_t u = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns, minutes;
	char *p = out;

	if (ns < 0)
		*p++ = '-';
	if (u == 0)
		return (size_t)(stpcpy(p, "0s") - out);
	if (u < 1000)
		return (size_t)(stpcpy(km_digits(p, u), "ns") - out);
	if (u < 1000000)
		return (size_t)(format_fraction(u, 1000, "\xc2\xb5s", p) - out);
	if (u < 1000000000)
		return (size_t)(format_fraction(u, 1000000, "ms", p) - out);
	minutes = u / UINT64_C(60000000000);
	if (minutes >= 60) {
		p = km_digits(p, minutes / 60);
		*p++ = 'h';
	}
	if (minutes > 0) {
		p = km_digits(p, minutes % 60);
		*p++ = 'm';
	}
	return (size_t)(format_fraction(u % UINT64_C(60000000000), 1000000000, "s", p) - out);
}

/* ---- RFC 3339 ---- */

/* Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant's algorithm). */
static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
	int64_t era;
	unsigned yoe, doy, doe;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = (unsigned)(y - era * 400);
	doy = (153 * (m + (m > 2 ? -3u : 9u)) + 2) / 5 + d - 1;
	doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + (int64_t)doe - 719468;
}

static void civil_from_days(int64_t z, int64_t *y, unsigned *m, unsigned *d)
{
	int64_t era;
	unsigned doe, yoe, doy, mp;

	z += 719468;
	era = (z >= 0 ? z : z - 146096) / 146097;
	doe = (unsigned)(z - era * 146097);
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	*d = doy - (153 * mp + 2) / 5 + 1;
	*m = mp < 10 ? mp + 3 : mp - 9;
	*y = (int64_t)yoe + era * 400 + (*m <= 2);
}

/* n digits at p as a number; false when there are fewer. */
static bool digits_at(const char *p, const char *end, int n, unsigned *ret)
{
	unsigned v = 0;

	if (end - p < n)
		return false;
	for (int i = 0; i < n; i++) {
		if (!isdigit((unsigned char)p[i]))
			return false;
		v = v * 10 + (unsigned)(p[i] - '0');
	}
	*ret = v;
	return true;
}

static bool is_leap(unsigned y)
{
	return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static bool valid_date(unsigned y, unsigned m, unsigned d)
{
	static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return m >= 1 && m <= 12 && d >= 1 && d <= days[m - 1] + (m == 2 && is_leap(y) ? 1 : 0);
}

int km_rfc3339_parse(const char *text, size_t len, int64_t *ret_ns)
{
	const char *p = text, *end = text + len;
	unsigned y, mo, d, h, mi, s, oh = 0, om = 0;
	__extension__ __int128 ns;
	int64_t fraction = 0;
	int sign = 0;

	if (len < 20 || !digits_at(p, end, 4, &y) || !digits_at(p + 5, end, 2, &mo) || !digits_at(p + 8, end, 2, &d) ||
		!digits_at(p + 11, end, 2, &h) || !digits_at(p + 14, end, 2, &mi) || !digits_at(p + 17, end, 2, &s) ||
		p[4] != '-' || p[7] != '-' || (p[10] != 'T' && p[10] != 't') || p[13] != ':' || p[16] != ':')
		return -EINVAL;
	if (!valid_date(y, mo, d) || h > 23 || mi > 59 || s > 60)
		return -EINVAL;
	p += 19;
	if (p < end && *p == '.') {
		int64_t scale = 100000000;
		const char *start = ++p;

		for (; p < end && scale > 0 && isdigit((unsigned char)*p); p++, scale /= 10)
			fraction += (*p - '0') * scale;
		if (p == start)
			return -EINVAL;
	}
	if (p < end && (*p == 'Z' || *p == 'z')) {
		p++;
	} else if (p < end && (*p == '+' || *p == '-')) {
		sign = *p == '-' ? -1 : 1;
		if (!digits_at(p + 1, end, 2, &oh) || end - p < 6 || p[3] != ':' || !digits_at(p + 4, end, 2, &om) ||
			oh > 23 || om > 59)
			return -EINVAL;
		p += 6;
	} else {
		return -EINVAL;
	}
	if (p != end)
		return -EINVAL;
	ns = (days_from_civil(y, mo, d) * 86400 + (int64_t)h * 3600 + mi * 60 + s -
		sign * (int64_t)(oh * 3600 + om * 60));
	ns = ns * KM_NSEC_PER_SEC + fraction;
	if (ns < INT64_MIN || ns > INT64_MAX)
		return -ERANGE;
	*ret_ns = (int64_t)ns;
	return 0;
}

static size_t format_civil(int64_t ns, const char *fraction, char out[KM_RFC3339_TEXT_MAX])
{
	int64_t seconds = ns / KM_NSEC_PER_SEC - (ns % KM_NSEC_PER_SEC < 0),
		days = seconds / 86400 - (seconds % 86400 < 0), rest = seconds - days * 86400, y;
	char *p = out;
	unsigned m, d;

	civil_from_days(days, &y, &m, &d); /* y is of four digits: an int64_t of ns ends in 1677 and 2262 */
	p = km_digits_padded(p, (uint64_t)y, 4);
	*p++ = '-';
	p = km_digits_padded(p, m, 2);
	*p++ = '-';
	p = km_digits_padded(p, d, 2);
	*p++ = 'T';
	p = km_digits_padded(p, (uint64_t)rest / 3600, 2);
	*p++ = ':';
	p = km_digits_padded(p, (uint64_t)rest / 60 % 60, 2);
	*p++ = ':';
	p = km_digits_padded(p, (uint64_t)rest % 60, 2);
	return (size_t)(stpcpy(stpcpy(p, fraction), "Z") - out);
}

size_t km_rfc3339_format(int64_t ns, char out[KM_RFC3339_TEXT_MAX])
{
	return format_civil(ns, "", out);
}

size_t km_rfc3339_format_micro(int64_t ns, char out[KM_RFC3339_TEXT_MAX])
{
	int64_t rest = ns % KM_NSEC_PER_SEC;
	char fraction[8] = ".";

	*km_digits_padded(fraction + 1, (uint64_t)(rest < 0 ? rest + KM_NSEC_PER_SEC : rest) / 1000, 6) = '\0';
	return format_civil(ns, fraction, out);
}
