/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/quantity.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

__extension__ typedef unsigned __int128 u128;

#define DIGITS_MAX   36 /* significant digits kept exactly: 10^36 * 2^... is checked against overflow below */
#define EXPONENT_MAX 1000

struct suffix {
	const char *text;
	int ten, two; /* powers */
};

static const struct suffix suffixes[] = {
	{"", 0, 0},
	{"n", -9, 0},
	{"u", -6, 0},
	{"m", -3, 0},
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

/* What follows the digits: a suffix, or e/E and a signed number. */
static int parse_suffix(const char *p, size_t len, int *ret_ten, int *ret_two)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(suffixes); i++)
		if (strlen(suffixes[i].text) == len && memcmp(suffixes[i].text, p, len) == 0) {
			*ret_ten = suffixes[i].ten;
			*ret_two = suffixes[i].two;
			return 0;
		}
	if (len >= 2 && (*p == 'e' || *p == 'E')) {
		bool negative = p[1] == '-';
		size_t i = p[1] == '-' || p[1] == '+' ? 2 : 1;
		int value = 0;

		if (i == len)
			return -EINVAL;
		for (; i < len; i++) {
			if (!isdigit((unsigned char)p[i]))
				return -EINVAL;
			value = KM_MIN(value * 10 + (p[i] - '0'), EXPONENT_MAX);
		}
		*ret_ten = negative ? -value : value;
		*ret_two = 0;
		return 0;
	}
	return -EINVAL;
}

/* mantissa * 10^ten * 2^two, rounded up to an integer, at most limit. */
static u128 scale(u128 mantissa, bool inexact, int ten, int two, u128 limit)
{
	if (mantissa == 0)
		return inexact ? 1 : 0;
	for (; two > 0; two--) {
		if (mantissa > limit && ten >= 0)
			return limit;
		if (mantissa >> 126) { /* give up digits that cannot matter to a saturated or rounded result */
			inexact |= mantissa % 10 != 0;
			mantissa /= 10;
			ten++;
		}
		mantissa <<= 1;
	}
	for (; ten > 0; ten--) {
		if (mantissa > limit)
			return limit;
		mantissa *= 10;
	}
	for (; ten < 0 && mantissa > 0; ten++) {
		inexact |= mantissa % 10 != 0;
		mantissa /= 10;
	}
	if (inexact)
		mantissa++;
	return KM_MIN(mantissa, limit);
}

int km_quantity_parse_milli(const char *text, size_t len, int64_t *ret_milli)
{
	const char *p = text, *end = text + len;
	bool negative = false, digits = false, inexact = false, point = false;
	int ten = 0, two = 0, kept = 0, shift = 0, r;
	u128 mantissa = 0, value;

	if (p < end && (*p == '+' || *p == '-'))
		negative = *p++ == '-';
	for (; p < end && (isdigit((unsigned char)*p) || (*p == '.' && !point)); p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		digits = true;
		if (kept < DIGITS_MAX) {
			mantissa = mantissa * 10 + (unsigned)(*p - '0');
			kept += mantissa > 0;
			shift -= point;
		} else {
			inexact |= *p != '0';
			shift += !point;
		}
	}
	if (!digits)
		return -EINVAL;
	if ((r = parse_suffix(p, (size_t)(end - p), &ten, &two)) < 0)
		return r;
	value = scale(mantissa, inexact, ten + shift + 3, two, (u128)INT64_MAX + negative);
	*ret_milli = negative ? (int64_t)(0 - (uint64_t)value) : (int64_t)value;
	return 0;
}

size_t km_quantity_format_cpu(uint64_t nanocores, char out[KM_QUANTITY_TEXT_MAX])
{
	static const char *const units[] = {"n", "u", "m", "", "k", "M", "G"};
	size_t unit = 0;

	if (nanocores == 0)
		return (size_t)snprintf(out, KM_QUANTITY_TEXT_MAX, "0");
	for (; unit + 1 < KM_ARRAY_LEN(units) && nanocores % 1000 == 0; unit++)
		nanocores /= 1000;
	return (size_t)snprintf(out, KM_QUANTITY_TEXT_MAX, "%" PRIu64 "%s", nanocores, units[unit]);
}

size_t km_quantity_format_memory(uint64_t bytes, char out[KM_QUANTITY_TEXT_MAX])
{
	static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
	size_t unit = 0;

	if (bytes < 1024) /* BinarySI below its first step is printed as DecimalSI */
		return bytes == 1000 ? (size_t)snprintf(out, KM_QUANTITY_TEXT_MAX, "1k")
				     : (size_t)snprintf(out, KM_QUANTITY_TEXT_MAX, "%" PRIu64, bytes);
	for (; unit + 1 < KM_ARRAY_LEN(units) && bytes % 1024 == 0; unit++)
		bytes /= 1024;
	return (size_t)snprintf(out, KM_QUANTITY_TEXT_MAX, "%" PRIu64 "%s", bytes, units[unit]);
}
