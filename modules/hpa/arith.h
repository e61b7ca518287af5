/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic as Go on amd64 does it, where C leaves it undefined: integers wrap, division of the smallest number by -1
 * wraps, and a double that does not fit becomes the smallest integer. Times never wrap: they stop at the ends.
 */
#pragma once

#include "core/base.h"

static inline int32_t hpa_add32(int32_t a, int32_t b)
{
	return (int32_t)((uint32_t)a + (uint32_t)b);
}

static inline int32_t hpa_sub32(int32_t a, int32_t b)
{
	return (int32_t)((uint32_t)a - (uint32_t)b);
}

static inline int64_t hpa_add64(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static inline int64_t hpa_sub64(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}

static inline int64_t hpa_mul64(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a * (uint64_t)b);
}

/* b is not 0. */
static inline int64_t hpa_div64(int64_t a, int64_t b)
{
	return b == -1 ? hpa_sub64(0, a) : a / b;
}

/* int32(x); NaN does not fit either. */
static inline int32_t hpa_int32_of(double x)
{
	return x > (double)INT32_MIN - 1 && x < (double)INT32_MAX + 1 ? (int32_t)x : INT32_MIN;
}

/* int64(x); NaN does not fit either. */
static inline int64_t hpa_int64_of(double x)
{
	return x >= (double)INT64_MIN && x < -(double)INT64_MIN ? (int64_t)x : INT64_MIN;
}

static inline int64_t hpa_time_add(int64_t time_ns, int64_t duration_ns)
{
	int64_t sum;

	if (__builtin_add_overflow(time_ns, duration_ns, &sum))
		return duration_ns < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

static inline int64_t hpa_time_sub(int64_t time_ns, int64_t duration_ns)
{
	int64_t difference;

	if (__builtin_sub_overflow(time_ns, duration_ns, &difference))
		return duration_ns < 0 ? INT64_MAX : INT64_MIN;
	return difference;
}
