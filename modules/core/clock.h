/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one clock seam. Monotonic microseconds inside, wall clock at the edges. Tests put virtual time here.
 */
#pragma once

#include "core/base.h"

#define KM_USEC_PER_SEC  UINT64_C(1000000)
#define KM_USEC_PER_MSEC UINT64_C(1000)
#define KM_NSEC_PER_SEC  INT64_C(1000000000)

uint64_t km_now_us(void);      /* CLOCK_MONOTONIC */
uint64_t km_boottime_us(void); /* CLOCK_BOOTTIME: goes on while the machine sleeps; for leases */
int64_t km_wall_ns(void);      /* CLOCK_REALTIME, ns since 1970 */

/* Test seam: from here on all three read these variables' values (NULL: the real clocks again). Borrowed. */
struct km_clock_virtual {
	uint64_t monotonic_us;
	int64_t wall_ns;
};
void km_clock_set_virtual(const struct km_clock_virtual *virtual_clock);

/* A uniformly random number in [0, below); 0 for below == 0. For phases and jitter, not for secrets. */
uint64_t km_random_below(uint64_t below);
