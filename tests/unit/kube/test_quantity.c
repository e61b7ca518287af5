/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantities: what the recorded vectors (tests/vectors) do not reach: refusals, limits, saturation, the two printers of
 * the served API.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kube/quantity.h"

static void test_refused(void **state)
{
	static const char *const rows[] = {"", "+", "-", ".", "-.", "m", "Ki", "1.2.3", "1.1.M", "1+1.0M", "0.1mi",
		"0.1am", "aoeu", ".5i", "1i", "-3.01i", "-3.01e-", "1e", "1e+", "1e1.5", "1ee3", "1 ", " 1", "1K",
		"1ki", "1KI", "1g", "1MM", "--1", "+-1", "0x10", "1,5", "1_000", "inf", "nan", "1e5k", "1k1"};
	struct km_quantity q = {.scale = 77};
	int64_t milli = 5;

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		if (km_quantity_parse(rows[i], strlen(rows[i]), &q) != -EINVAL ||
			km_quantity_parse_milli(rows[i], strlen(rows[i]), &milli) != -EINVAL)
			fail_msg("\"%s\" is not refused", rows[i]);
	}
	assert_int_equal(q.scale, 77); /* untouched on failure */
	assert_int_equal(milli, 5);
	/* a NUL inside is no end */
	assert_int_equal(km_quantity_parse("1\0m", 3, &q), -EINVAL);
	/* len counts, not the NUL */
	assert_int_equal(km_quantity_parse_milli("123456", 2, &milli), 0);
	assert_int_equal(milli, 12000);
}

static void test_read(void **state)
{
	static const struct {
		const char *in;
		int64_t milli;
		const char *canonical;
	} rows[] = {
		{"0", 0, "0"},
		{"-0", 0, "0"},
		{"0Ki", 0, "0"},
		{"0e99999", 0, "0"},
		{".5", 500, "500m"},
		{"-.5Ki", -512000, "-512"},
		{"5.Gi", INT64_C(5368709120000), "5Gi"},
		{"0.25Ki", 256000, "256"},
		{"1000", 1000000, "1k"},
		{"1000Ki", 1024000000, "1000Ki"},
		{"1E", INT64_MAX, "1E"},
		{"-1E", INT64_MIN, "-1E"},
		{"1E+3", 1000000, "1e3"},
		{"1e-3", 1, "1e-3"},
		{"1e2", 100000, "100"},
		{"1e-1000", 1, "1e-9"},
		{"-1e-9999999999999999999999", -1, "-1e-9"},
		{"1e100", INT64_MAX, "10e99"},
		{"1000E", INT64_MAX, "1e21"},
		{"9223372036854775.807", INT64_MAX, "9223372036854775807m"},
		{"9223372036854775.8071", INT64_MAX, "9223372036854775807100u"},
		{"-9223372036854775.808", INT64_MIN, "-9223372036854775808m"},
		{"7.9999999999Ei", INT64_MAX, "9223372036739483657539315303n"},
		{"99999999999Ei", INT64_MAX, "9223372036854775807"},
		{"-8Ei", INT64_MIN, "-9223372036854775807"},
		{"0.0009765625Ki", 1000, "1"},
		{"1.00097656250000000000000000000000000000000001Ki", 1025001, "1025000000001n"},
		{"0.00000000000000000000000000000000000000000001", 1, "1n"},
		{"0.00000000000000000000000000000000000000000001Ei", 1, "1n"},
		{"1.00000000000000000000000000000000000000000001", 1001, "1000000001n"},
		{"000000000000000000000000000000000000000000001", 1000, "1"},
		{"1.50000000000000000000000000000000000000000000", 1500, "1500m"},
		{"100000000000000000000000000", INT64_MAX, "100e24"},
		{"1234567890123456789012345678", INT64_MAX, "1234567890123456789012345678"},
		{"10000000000000000000000000000000000000000000000000000000000000k", INT64_MAX, "10e63"},
		{"1e999", INT64_MAX, "1e999"},
		{"105560000000231018E500", INT64_MAX, "10556000000023101800e498"},
		{"123456789012345678901234567.123456789", INT64_MAX, "123456789012345678901234567123456789n"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		char text[KM_QUANTITY_TEXT_MAX];
		struct km_quantity q;
		int64_t milli;

		if (km_quantity_parse(rows[i].in, strlen(rows[i].in), &q) != 0 ||
			km_quantity_parse_milli(rows[i].in, strlen(rows[i].in), &milli) != 0)
			fail_msg("\"%s\" is refused", rows[i].in);
		if (km_quantity_format(&q, text) != strlen(rows[i].canonical) || milli != rows[i].milli ||
			km_quantity_milli(&q) != milli || strcmp(text, rows[i].canonical) != 0)
			fail_msg("\"%s\": milli %lld, canonical %s", rows[i].in, (long long)milli, text);
	}
}

/* What is too large to keep is an error, and saturated where only milli is asked for. */
static void test_range(void **state)
{
	static const char *const rows[] = {"1234567890123456789012345678901234567", "1e1000", "1e1001",
		"1e99999999999999999999", "0.1e1002", "1234567890123456789E982"};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		char negative[80];
		struct km_quantity q;
		int64_t milli;

		snprintf(negative, sizeof(negative), "-%s", rows[i]);
		assert_int_equal(km_quantity_parse(rows[i], strlen(rows[i]), &q), -ERANGE);
		assert_int_equal(km_quantity_parse_milli(rows[i], strlen(rows[i]), &milli), 0);
		assert_true(milli == INT64_MAX);
		assert_int_equal(km_quantity_parse_milli(negative, strlen(negative), &milli), 0);
		assert_true(milli == INT64_MIN);
	}
}

/* Longer than any number has a reason to be: an answer all the same, and at once. */
static void test_long(void **state)
{
	size_t n = 1024 * 1024;
	char *text = malloc(n);
	int64_t milli;

	assert_non_null(text);
	memset(text, '9', n);
	assert_int_equal(km_quantity_parse_milli(text, n, &milli), 0);
	assert_true(milli == INT64_MAX);
	memset(text, '0', n);
	assert_int_equal(km_quantity_parse_milli(text, n, &milli), 0);
	assert_int_equal(milli, 0);
	text[1] = '.';
	text[n - 1] = '1';
	assert_int_equal(km_quantity_parse_milli(text, n, &milli), 0);
	assert_int_equal(milli, 1);
	free(text);
}

static void test_float(void **state)
{
	static const struct {
		const char *in;
		double value;
	} rows[] = {
		{"0", 0},
		{"-0.0", 0},
		{"300m", 300 * 0.001},
		{"-9m", -9 * 0.001},
		{"1e40", 1e32 * 1e8},
		{"1e308", 1e288 * 1e20},
		{"1e309", HUGE_VAL},
		{"-1e999", -HUGE_VAL},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct km_quantity q;

		assert_int_equal(km_quantity_parse(rows[i].in, strlen(rows[i].in), &q), 0);
		if (km_quantity_float(&q) != rows[i].value || signbit(km_quantity_float(&q)) != signbit(rows[i].value))
			fail_msg("\"%s\": %.17g", rows[i].in, km_quantity_float(&q));
	}
}

static void test_cpu(void **state)
{
	static const struct {
		uint64_t value;
		const char *text;
	} rows[] = {
		{0, "0"},
		{1, "1n"},
		{999, "999n"},
		{1000, "1u"},
		{12345678, "12345678n"},
		{12345000, "12345u"},
		{5000000, "5m"},
		{1000000000, "1"},
		{1234567890, "1234567890n"},
		{UINT64_C(1000000000000), "1k"},
		{UINT64_C(18000000000000000000), "18G"},
		{INT64_MAX, "9223372036854775807n"},
		{UINT64_C(1) << 63, "9223372036854775800n"},
		{UINT64_MAX, "18446744073709551610n"},
	};
	char text[KM_QUANTITY_TEXT_MAX];

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		assert_int_equal(km_quantity_format_cpu(rows[i].value, text), strlen(rows[i].text));
		assert_string_equal(text, rows[i].text);
	}
}

static void test_memory(void **state)
{
	static const struct {
		uint64_t value;
		const char *text;
	} rows[] = {
		{0, "0"},
		{1, "1"},
		{999, "999"},
		{1000, "1k"},
		{1023, "1023"},
		{1024, "1Ki"},
		{1025, "1025"},
		{2000, "2000"},
		{1000000, "1000000"},
		{12533760, "12240Ki"},
		{12533761, "12533761"},
		{15728640, "15Mi"},
		{UINT64_C(1) << 30, "1Gi"},
		{UINT64_C(1) << 62, "4Ei"},
		{INT64_MAX, "9223372036854775807"},
		{UINT64_C(1) << 63, "9223372036854775800"},
		{UINT64_MAX, "18446744073709551610"},
	};
	char text[KM_QUANTITY_TEXT_MAX];

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		assert_int_equal(km_quantity_format_memory(rows[i].value, text), strlen(rows[i].text));
		assert_string_equal(text, rows[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_float),
		cmocka_unit_test(test_cpu),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
