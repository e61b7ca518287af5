/* SPDX-License-Identifier: Apache-2.0 */
#include "core/timetext.h"

#include <errno.h>

#include "tests/unit/support/check.h"

#define S INT64_C(1000000000)

static void durations_are_read_as_go_does(void **state)
{
	static const struct {
		const char *text;
		int result;
		int64_t ns;
	} rows[] = {
		{"0", 0, 0},
		{"0s", 0, 0},
		{"15s", 0, 15 * S},
		{"5m0s", 0, 300 * S},
		{"1.5h", 0, 5400 * S},
		{"1h2m3s", 0, 3723 * S},
		{"-1m", 0, -60 * S},
		{"+1m", 0, 60 * S},
		{"100ms", 0, S / 10},
		{"1us", 0, 1000},
		{"1\xc2\xb5s", 0, 1000},
		{"1\xce\xbcs", 0, 1000},
		{"1ns", 0, 1},
		{".5s", 0, S / 2},
		{"1.s", 0, S},
		{"0.100000000000000000000h", 0, 360 * S},
		{"0.3333333333333333333h", 0, 1200 * S}, /* these from Go's own tests */
		{"0.9223372036854775807h", 0, 3320 * S + 413933267},
		{"52763797000ns", 0, 52763797000},
		{"9223372036854775.807us", 0, INT64_MAX},
		{"-9223372036s854ms775us808ns", 0, INT64_MIN},
		{"-0", 0, 0},
		{"3000000h", -ERANGE, 0},
		{"9223372036854ms775us808ns", -ERANGE, 0},
		{"0.5", -EINVAL, 0},
		{"1m s", -EINVAL, 0},
		{"1hm", -EINVAL, 0},
		{"2562047h47m16.854775807s", 0, INT64_MAX},
		{"-2562047h47m16.854775808s", 0, INT64_MIN},
		{"2562047h47m16.854775808s", -ERANGE, 0},
		{"99999999999999999999s", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"15", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{".s", -EINVAL, 0},
		{"1d", -EINVAL, 0},
		{"1 s", -EINVAL, 0},
		{"-", -EINVAL, 0},
		{"1s ", -EINVAL, 0},
		{"1S", -EINVAL, 0},
		{"--1s", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		int64_t ns = 0;
		int r = km_duration_parse(rows[i].text, strlen(rows[i].text), &ns);

		if (r != rows[i].result || ns != rows[i].ns)
			fail_msg("\"%s\": %d, %lld", rows[i].text, r, (long long)ns);
	}
}

static void durations_are_printed_as_go_does(void **state)
{
	static const struct {
		int64_t ns;
		const char *text;
	} rows[] = {
		{0, "0s"},
		{1, "1ns"},
		{1100, "1.1\xc2\xb5s"},
		{2200000, "2.2ms"},
		{3300 * INT64_C(1000000), "3.3s"},
		{14992000000, "14.992s"},
		{15 * S, "15s"},
		{60 * S + S / 2, "1m0.5s"},
		{300 * S, "5m0s"},
		{3600 * S, "1h0m0s"},
		{INT64_MAX, "2562047h47m16.854775807s"},
		{INT64_MIN, "-2562047h47m16.854775808s"},
		{-S, "-1s"},
		{10040000000, "10.04s"},
	};
	char out[KM_DURATION_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		int64_t back;

		assert_int_equal(km_duration_format(rows[i].ns, out), strlen(rows[i].text));
		assert_string_equal(out, rows[i].text);
		assert_int_equal(km_duration_parse(out, strlen(out), &back), 0);
		assert_true(back == rows[i].ns);
	}
}

static void rfc3339(void **state)
{
	static const struct {
		const char *text;
		int result;
		int64_t ns;
	} rows[] = {
		{"1970-01-01T00:00:00Z", 0, 0},
		{"2026-11-23T05:20:36Z", 0, INT64_C(1795411236) * S},
		{"2026-11-23T05:20:36.5Z", 0, INT64_C(1795411236) * S + S / 2},
		{"2026-11-23T06:20:36+01:00", 0, INT64_C(1795411236) * S},
		{"2026-11-22T23:50:36-05:30", 0, INT64_C(1795411236) * S},
		{"2024-02-29T00:00:00Z", 0, INT64_C(1709164800) * S},
		{"1969-12-31T23:59:59Z", 0, -S},
		{"2026-11-23T05:20:36.123456789Z", 0, INT64_C(1795411236) * S + 123456789},
		{"2023-02-29T00:00:00Z", -EINVAL, 0},
		{"2026-13-01T00:00:00Z", -EINVAL, 0},
		{"2026-11-23T24:00:00Z", -EINVAL, 0},
		{"2026-11-23 05:20:36Z", -EINVAL, 0},
		{"2026-11-23T05:20:36", -EINVAL, 0},
		{"2026-11-23T05:20:36.Z", -EINVAL, 0},
		{"2026-11-23T05:20:36Zx", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"9999-12-31T23:59:59Z", -ERANGE, 0},
		{"1677-09-21T00:12:43.145224192Z", 0, INT64_MIN},
		{"1677-09-21T00:12:43.145224191Z", -ERANGE, 0},
		{"2262-04-11T23:47:16.854775807Z", 0, INT64_MAX},
		{"2262-04-11T23:47:16.854775808Z", -ERANGE, 0},
		{"2026-11-23T05:20:36.1234567890Z", -EINVAL, 0},
		{"2026-11-23T05:20:36+0100", -EINVAL, 0},
		{"2026-11-23T05:20:36+01:0", -EINVAL, 0},
		{"2026", -EINVAL, 0},
	};
	char out[KM_RFC3339_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		int64_t ns = 0;
		int r = km_rfc3339_parse(rows[i].text, strlen(rows[i].text), &ns);

		if (r != rows[i].result || ns != rows[i].ns)
			fail_msg("\"%s\": %d, %lld", rows[i].text, r, (long long)ns);
	}
	km_rfc3339_format(INT64_C(1795411236) * S + S - 1, out);
	assert_string_equal(out, "2026-11-23T05:20:36Z");
	km_rfc3339_format(-1, out);
	assert_string_equal(out, "1969-12-31T23:59:59Z");
	km_rfc3339_format_micro(INT64_C(1795411236) * S + 123456789, out);
	assert_string_equal(out, "2026-11-23T05:20:36.123456Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_read_as_go_does),
		cmocka_unit_test(durations_are_printed_as_go_does),
		cmocka_unit_test(rfc3339),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
