/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"

#include <time.h>

#include "tests/unit/support/check.h"

static void the_clocks_are_the_kernel_s(void **state)
{
	uint64_t before = km_now_us(), boot;
	int64_t wall = km_wall_ns();
	struct timespec ts;

	assert_true(km_now_us() >= before);
	boot = km_boottime_us();
	assert_true(boot + KM_USEC_PER_SEC >= before); /* BOOTTIME is MONOTONIC and the time asleep */
	clock_gettime(CLOCK_REALTIME, &ts);
	assert_true(ts.tv_sec - wall / KM_NSEC_PER_SEC >= 0 && ts.tv_sec - wall / KM_NSEC_PER_SEC < 60);
}

static void virtual_time_stands_until_it_is_moved(void **state)
{
	struct km_clock_virtual clock = {.monotonic_us = 5, .wall_ns = -7};

	km_clock_set_virtual(&clock);
	assert_int_equal(km_now_us(), 5);
	assert_int_equal(km_boottime_us(), 5);
	assert_true(km_wall_ns() == -7);
	clock.monotonic_us += 10;
	assert_int_equal(km_now_us(), 15);
	km_clock_set_virtual(NULL);
	assert_true(km_now_us() != 15);
	assert_true(km_wall_ns() > 0);
}

static void random_numbers_stay_below_and_reach_all(void **state)
{
	unsigned seen[7] = {0};

	assert_int_equal(km_random_below(0), 0);
	assert_int_equal(km_random_below(1), 0);
	for (int i = 0; i < 7000; i++) {
		uint64_t value = km_random_below(7);

		assert_true(value < 7);
		seen[value]++;
	}
	/* 1000 each on average with a deviation of 29: eight of them off is not chance */
	for (size_t i = 0; i < KM_ARRAY_LEN(seen); i++)
		assert_in_range(seen[i], 760, 1240);
	assert_true(km_random_below(UINT64_MAX) != km_random_below(UINT64_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_clocks_are_the_kernel_s),
		cmocka_unit_test(virtual_time_stands_until_it_is_moved),
		cmocka_unit_test(random_numbers_stay_below_and_reach_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
