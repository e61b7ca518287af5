/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"

#include <sys/random.h>
#include <time.h>

#define RANDOM_AT_ONCE 32 /* up to 256 bytes getrandom gives without being interrupted */

static const struct km_clock_virtual *virtual_clock_now;

void km_clock_set_virtual(const struct km_clock_virtual *virtual_clock)
{
	virtual_clock_now = virtual_clock;
}

static uint64_t read_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * KM_USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t km_now_us(void)
{
	return virtual_clock_now ? virtual_clock_now->monotonic_us : read_us(CLOCK_MONOTONIC);
}

uint64_t km_boottime_us(void)
{
	return virtual_clock_now ? virtual_clock_now->monotonic_us : read_us(CLOCK_BOOTTIME);
}

int64_t km_wall_ns(void)
{
	struct timespec ts;

	if (virtual_clock_now)
		return virtual_clock_now->wall_ns;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * KM_NSEC_PER_SEC + ts.tv_nsec;
}

uint64_t km_random_below(uint64_t below)
{
	static _Thread_local uint64_t pool[RANDOM_AT_ONCE];
	static _Thread_local size_t left;
	uint64_t value, limit;

	if (below == 0)
		return 0;
	limit = UINT64_MAX - UINT64_MAX % below; /* beyond it the remainders would not be uniform */
	do {
		if (left == 0 && getrandom(pool, sizeof(pool), 0) == sizeof(pool))
			left = RANDOM_AT_ONCE;
		if (left > 0)
			value = pool[--left];
		else
			value = km_now_us() * UINT64_C(0x9e3779b97f4a7c15); /* only for phases: any spread will do */
	} while (value >= limit);
	return value % below;
}
