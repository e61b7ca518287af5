/* SPDX-License-Identifier: Apache-2.0 */
/* Rates, and the two points that are kept: each row is a series of samples and what is served after the last of them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "aggregator/point.h"

#define S           INT64_C(1000000000)
#define T0          (INT64_C(1795410000) * S)
#define AT(seconds) (T0 + (int64_t)((seconds)*1e9))

/* ---- agg_rate ---- */

static void test_rate(void **state)
{
	static const struct {
		int64_t ts1, ts2, start2;
		uint64_t cpu1, cpu2;
		int result;
		uint64_t nanocores;
	} rows[] = {
		{AT(0), AT(15), 0, 0, 15 * S, 0, 1000000000},
		{AT(0), AT(15), 0, 5 * S, 5 * S, 0, 0},
		/* truncated, as upstream: (uint64)(1e9 / 3) */
		{AT(0), AT(3), 0, 0, S, 0, 333333333},
		/* upstream's float64 arithmetic to the last digit: 14.992 s, 2.949 s of CPU */
		{AT(0), T0 + INT64_C(14992123456), 0, 0, UINT64_C(2949658170), 0, 196747190},
		{AT(0), AT(0), 0, 0, 5, -EAGAIN, 0},
		{AT(5), AT(0), 0, 0, 5, -EAGAIN, 0},
		{AT(0), AT(15), 0, 6, 5, -ERANGE, 0},
		{AT(0), AT(15), AT(1), 0, 5, -ERANGE, 0}, /* started in between */
		{AT(0), AT(15), AT(0), 0, 15 * S, 0,
			1000000000}, /* just started then: the earlier point is its start */
		{AT(0), AT(1), 0, 0, (uint64_t)AGG_CORES_MAX * S, 0, (uint64_t)AGG_CORES_MAX * S},
		{AT(0), AT(1), 0, 0, (uint64_t)AGG_CORES_MAX * S + 1024, -ERANGE, 0},
		{AT(0), AT(1), 0, 0, UINT64_MAX, -ERANGE, 0},
		{T0, T0 + 1, 0, 0, UINT64_MAX, -ERANGE, 0},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		const struct agg_point a = {.cpu_ts_ns = rows[i].ts1, .cpu_ns = rows[i].cpu1},
				       b = {.cpu_ts_ns = rows[i].ts2,
					       .cpu_ns = rows[i].cpu2,
					       .mem_bytes = 7,
					       .start_ns = rows[i].start2};
		struct agg_usage usage = {.window_ns = 77};

		print_message("row %zu\n", i);
		assert_int_equal(agg_rate(&a, &b, &usage), rows[i].result);
		if (rows[i].result < 0) {
			assert_int_equal(usage.window_ns, 77);
			continue;
		}
		assert_int_equal(usage.cpu_nanocores, rows[i].nanocores);
		assert_int_equal(usage.window_ns, rows[i].ts2 - rows[i].ts1);
		assert_int_equal(usage.timestamp_ns, rows[i].ts2);
		assert_int_equal(usage.mem_bytes, 7);
	}
}

static void test_timestamps(void **state)
{
	assert_true(agg_timestamp_ok(T0, T0));
	assert_true(agg_timestamp_ok(T0 + 3600 * S, T0));
	assert_false(agg_timestamp_ok(T0 + 3600 * S + 1, T0));
	assert_false(agg_timestamp_ok(0, T0));
	assert_false(agg_timestamp_ok(INT64_MIN, T0));
	assert_false(agg_timestamp_ok(INT64_MAX, T0));
	assert_true(agg_timestamp_ok(INT64_C(946684800) * S, T0));
}

/* ---- pairs ---- */

#define NO_CPU (-1)
#define NO_MEM (-2)

#define P(at, cpu)                           \
	{                                    \
		(at), (cpu), 0, AGG_ADDED, 0 \
	}
#define Q(at, cpu, start)                          \
	{                                          \
		(at), (cpu), (start), AGG_ADDED, 0 \
	}

struct sample {
	double at, cpu, start; /* seconds after T0; cpu: cumulative; start 0: unknown */
	enum agg_added added;
	int without; /* NO_CPU, NO_MEM or 0 */
};

static const struct {
	const char *what;
	struct sample samples[6]; /* ended by at == 0 */
	double window;            /* 0: nothing is served */
	double cores;
} rows[] = {
	{"two points", {P(10, 1), P(25, 4)}, 15, 0.2},
	{"one point, start unknown", {P(10, 1)}, 0, 0},
	{"zero is a value", {P(10, 0), P(25, 0)}, 15, 0},
	{"the point before the newest, not the oldest", {P(10, 1), P(25, 4), P(40, 19)}, 15, 1},
	{"a missed scrape loses nothing", {P(10, 1), P(25, 4), P(85, 10)}, 60, 0.1},
	{"after too long a gap one begins anew", {P(10, 1), P(25, 4), {326, 10, 0, AGG_ADDED_STALE, 0}}, 0, 0},
	{"and goes on from there", {P(10, 1), {326, 10, 0, AGG_ADDED_STALE, 0}, P(341, 25)}, 15, 1},

	{"fresh: from its start", {Q(10, 1, 8)}, 2, 0.5},
	{"fresh at one second", {Q(10, 1, 9)}, 1, 1},
	{"too fresh", {Q(10, 0.5, 9.5)}, 0, 0},
	{"too fresh, then a second point", {Q(10, 0.5, 9.5), Q(25, 15.5, 9.5)}, 15, 1},
	{"fresh for five minutes", {Q(301, 30, 1)}, 300, 0.1},
	{"not after that", {Q(302, 30, 1)}, 0, 0},
	{"the second real point replaces the start", {Q(10, 1, 8), Q(25, 16, 8)}, 15, 1},
	{"started after its sample: the clocks differ", {Q(10, 1, 11)}, 0, 0},
	{"absurd since its start", {Q(10, 1e6, 8)}, 0, 0},

	{"repeated: the window stays", {P(10, 1), P(25, 4), {25, 4, 0, AGG_ADDED_REPEATED, 0}}, 15, 0.2},
	{"repeated once only", {P(10, 1), {10, 1, 0, AGG_ADDED_REPEATED, 0}}, 0, 0},
	{"an older sample is no news", {P(10, 1), P(25, 4), {20, 3, 0, AGG_ADDED_REPEATED, 0}}, 15, 0.2},
	{"the node's clock was set back", {P(100, 1), P(115, 4), {30, 5, 0, AGG_ADDED_RESET, 0}}, 0, 0},
	{"and goes on by its new clock", {P(100, 1), {30, 5, 0, AGG_ADDED_RESET, 0}, P(45, 8)}, 15, 0.2},

	{"restarted: from its new start", {Q(10, 100, 1), {25, 2, 21, AGG_ADDED_RESET, 0}}, 4, 0.5},
	{"restarted, counter already higher", {Q(10, 1, 1), {25, 8, 15, AGG_ADDED_RESET, 0}}, 10, 0.8},
	{"restarted before its predecessor's last sample", {Q(10, 1, 1), {25, 8, 9, AGG_ADDED_RESET, 0}}, 16, 0.5},
	{"restarted just now", {Q(10, 100, 1), {25, 0.1, 24.5, AGG_ADDED_RESET, 0}}, 0, 0},
	{"the start in whole seconds is the same start", {Q(10, 1, 1.9), Q(25, 4, 1)}, 15, 0.2},
	{"the same, later by less than a second", {Q(10, 1, 1), Q(25, 4, 1.9)}, 15, 0.2},
	{"counter went back, start unknown", {P(10, 100), {25, 2, 0, AGG_ADDED_RESET, 0}}, 0, 0},
	{"counter went back, start the same", {Q(10, 100, 1), {25, 2, 1, AGG_ADDED_RESET, 0}}, 0, 0},
	{"and goes on", {P(10, 100), {25, 2, 0, AGG_ADDED_RESET, 0}, P(40, 5)}, 15, 0.2},
	{"counter jumped", {P(10, 1), {25, 1e6, 0, AGG_ADDED_RESET, 0}}, 0, 0},

	{"points closer than a second", {P(10, 1), P(25, 4), P(25.5, 4.1)}, 15.5, 0.2},
	{"only such points", {P(10, 1), P(10.5, 4)}, 0, 0},
	{"then a real one", {P(10, 1), P(10.5, 2), P(25.5, 5)}, 15, 0.2},

	{"no CPU figure: the last one stays", {P(10, 1), P(25, 4), {40, 0, 0, AGG_ADDED_REPEATED, NO_CPU}}, 15, 0.2},
	{"no memory figure: the last one stays", {P(10, 1), {25, 4, 0, AGG_ADDED, NO_MEM}}, 15, 0.2},
	{"never a memory figure", {{10, 1, 0, AGG_ADDED, NO_MEM}, {25, 4, 0, AGG_ADDED, NO_MEM}}, 0, 0},
	{"never a CPU figure", {{10, 1, 0, AGG_ADDED_REPEATED, NO_CPU}, {25, 4, 0, AGG_ADDED_REPEATED, NO_CPU}}, 0, 0},
	{"the start is remembered", {Q(10, 1, 8), P(25, 16), {40, 1, 30, AGG_ADDED_RESET, 0}}, 10, 0.1},
};

static void test_pairs(void **state)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct agg_pair pair = {0};
		struct agg_usage usage;
		int64_t mem = 0;
		int r;

		print_message("%s\n", rows[i].what);
		for (const struct sample *x = rows[i].samples; x->at != 0; x++) {
			struct agg_point p = {
				.cpu_ts_ns = x->without == NO_CPU ? 0 : AT(x->at),
				.cpu_ns = (uint64_t)(x->cpu * 1e9 + 0.5),
				.mem_ts_ns = x->without == NO_MEM ? 0 : AT(x->at),
				.mem_bytes = x->without == NO_MEM ? 0 : (uint64_t)(x - rows[i].samples + 1),
				.start_ns = x->start != 0 ? AT(x->start) : 0,
			};

			mem = p.mem_ts_ns ? (int64_t)p.mem_bytes : mem;
			assert_int_equal(agg_pair_add(&pair, &p, 0, AT(x->at), AGG_MAX_WINDOW_NS), x->added);
		}
		r = agg_pair_usage(&pair, AGG_MAX_WINDOW_NS, &usage);
		assert_int_equal(r, rows[i].window != 0 ? 0 : -ENOENT);
		if (r < 0)
			continue;
		assert_int_equal(usage.window_ns, (int64_t)(rows[i].window * 1e9));
		assert_int_equal(usage.cpu_nanocores, (uint64_t)(rows[i].cores * 1e9 + 0.5));
		assert_int_equal(usage.mem_bytes, mem);
	}
}

/* By whose clock a sample is dated: a kubelet's may be wrong, then the scrapes around it tell. */
static void test_dated(void **state)
{
	struct agg_pair pair = {0};
	struct agg_point p = {.cpu_ts_ns = AT(100), .mem_ts_ns = AT(100)};

	(void)agg_pair_add(&pair, &p, 0, AT(110), AGG_MAX_WINDOW_NS);
	assert_int_equal(pair.dated_ns, AT(100)); /* the first: only its own time is known */
	p.cpu_ts_ns = AT(115);
	(void)agg_pair_add(&pair, &p, AT(110), AT(125), AGG_MAX_WINDOW_NS);
	assert_int_equal(pair.dated_ns, AT(115)); /* taken between two scrapes */
	(void)agg_pair_add(&pair, &p, AT(125), AT(140), AGG_MAX_WINDOW_NS);
	assert_int_equal(pair.dated_ns, AT(115)); /* repeated */
	p.cpu_ts_ns = AT(130);
	(void)agg_pair_add(&pair, &p, AT(440), AT(455), AGG_MAX_WINDOW_NS);
	assert_int_equal(pair.dated_ns, AT(440)); /* a clock that is minutes behind: it was not there then */
	p.cpu_ts_ns = AT(1000);
	(void)agg_pair_add(&pair, &p, AT(455), AT(470), 1000 * S);
	assert_int_equal(pair.dated_ns, AT(470)); /* a clock that is ahead */
}

/* Samples every 5 s of a container that begins to use a core at 120: the pair sees it at once, the long window has at
 * least 15 s of it in it, and a restart begins anew. */
static void test_marks(void **state)
{
	static const struct {
		int at;
		double cores; /* over the long window; < 0: none */
	} steps[] = {{100, -1}, {105, -1}, {110, -1}, {115, 0}, {120, 0}, {125, .2}, {130, 10. / 15}, {135, .75},
		{140, .8}, {145, 1}};
	struct agg_pair pair = {0};
	uint64_t nanocores = 0;
	struct agg_point p;

	for (size_t i = 0; i < KM_ARRAY_LEN(steps); i++) {
		p = (struct agg_point){.cpu_ts_ns = AT(steps[i].at),
			.cpu_ns = steps[i].at > 120 ? (uint64_t)(steps[i].at - 120) * S : 0,
			.mem_ts_ns = AT(steps[i].at)};
		agg_pair_mark(&pair, agg_pair_add(&pair, &p, 0, AT(steps[i].at), AGG_MAX_WINDOW_NS), 15 * S);
		assert_int_equal(agg_pair_full_cpu(&pair, &nanocores), steps[i].cores < 0 ? -ENOENT : 0);
		if (steps[i].cores >= 0)
			assert_int_equal(nanocores, (uint64_t)(steps[i].cores * 1e9));
	}
	p.cpu_ts_ns = AT(150);
	p.cpu_ns = 1; /* it was restarted */
	agg_pair_mark(&pair, agg_pair_add(&pair, &p, 0, AT(150), AGG_MAX_WINDOW_NS), 15 * S);
	assert_int_equal(agg_pair_full_cpu(&pair, &nanocores), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_timestamps),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_dated),
		cmocka_unit_test(test_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
