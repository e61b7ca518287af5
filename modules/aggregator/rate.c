/* SPDX-License-Identifier: Apache-2.0 */
/* Points, pairs of points, and rates; see the header. */
#include "aggregator/point.h"

#include <errno.h>

#define SECOND         INT64_C(1000000000)
#define YEAR_2000_NS   (INT64_C(946684800) * SECOND)
#define FUTURE_NS      (3600 * SECOND)
/* A restart moves the start by more than this; /metrics/resource has it in nanoseconds, /stats/summary in seconds. */
#define START_SLACK_NS SECOND

bool agg_timestamp_ok(int64_t timestamp_ns, int64_t request_ns)
{
	return timestamp_ns >= YEAR_2000_NS && timestamp_ns <= request_ns + FUTURE_NS;
}

int agg_rate(const struct agg_point *earlier, const struct agg_point *later, struct agg_usage *ret)
{
	int64_t window = later->cpu_ts_ns - earlier->cpu_ts_ns;
	double nanocores;

	if (window <= 0)
		return -EAGAIN;
	if (later->cpu_ns < earlier->cpu_ns || later->start_ns > earlier->cpu_ts_ns)
		return -ERANGE;
	/* upstream's arithmetic: the figures must agree to the last digit */
	nanocores = (double)(later->cpu_ns - earlier->cpu_ns) / ((double)window / 1e9);
	if (nanocores > AGG_CORES_MAX * 1e9)
		return -ERANGE;
	*ret = (struct agg_usage){
		.cpu_nanocores = (uint64_t)nanocores,
		.mem_bytes = later->mem_bytes,
		.timestamp_ns = later->cpu_ts_ns,
		.window_ns = window,
		.more = {AGG_ABSENT, AGG_ABSENT},
	};
	return 0;
}

/* p as the only point; from its start when that is known and near. */
static void begin(struct agg_pair *pair, const struct agg_point *p, bool from_start, int64_t max_window_ns)
{
	const struct agg_point start = {.cpu_ts_ns = p->start_ns, .start_ns = p->start_ns};
	int64_t age = p->cpu_ts_ns - p->start_ns;
	struct agg_usage usage;

	pair->newest = *p;
	pair->earlier = (struct agg_point){0};
	if (from_start && p->start_ns > 0 && age >= AGG_MIN_WINDOW_NS && age <= max_window_ns &&
		agg_rate(&start, p, &usage) == 0)
		pair->earlier = start;
}

static void take_memory(struct agg_point *newest, const struct agg_point *sample)
{
	if (sample->mem_ts_ns == 0)
		return;
	newest->mem_ts_ns = sample->mem_ts_ns;
	newest->mem_bytes = sample->mem_bytes;
}

/* Whether the sample is of another incarnation than the newest point (which has a CPU figure, older than the
 * sample's). */
static bool restarted(const struct agg_point *newest, const struct agg_point *sample)
{
	if (sample->start_ns == 0)
		return false;
	return sample->start_ns > newest->cpu_ts_ns ||
	       (newest->start_ns != 0 && sample->start_ns > newest->start_ns + START_SLACK_NS);
}

enum agg_added agg_pair_add(
	struct agg_pair *pair, const struct agg_point *sample, int64_t since_ns, int64_t now_ns, int64_t max_window_ns)
{
	const struct agg_point *newest = &pair->newest;
	struct agg_point p = *sample;
	struct agg_usage usage;
	enum agg_added added = AGG_ADDED;
	bool again;

	if (p.cpu_ts_ns == 0 ||
		(p.cpu_ts_ns <= newest->cpu_ts_ns && newest->cpu_ts_ns - p.cpu_ts_ns <= AGG_CLOCK_STEP_NS)) {
		take_memory(&pair->newest, sample);
		return AGG_ADDED_REPEATED;
	}
	/* The sample was not there at the scrape before this one: it is no older than that, whatever its own clock
	 * says. */
	pair->dated_ns = KM_MIN(KM_MAX(p.cpu_ts_ns, since_ns), now_ns);
	if (newest->cpu_ts_ns == 0) {
		begin(pair, &p, true, max_window_ns);
		return AGG_ADDED;
	}
	again = restarted(newest, &p);
	if (p.cpu_ts_ns < newest->cpu_ts_ns) {
		added = AGG_ADDED_RESET;
	} else if (again || agg_rate(newest, &p, &usage) < 0) {
		added = AGG_ADDED_RESET;
	} else if (p.cpu_ts_ns - newest->cpu_ts_ns > max_window_ns) {
		added = AGG_ADDED_STALE;
	}
	if (added != AGG_ADDED) {
		/* a counter that went back without a restart says nothing about the time since the start */
		begin(pair, &p, again || added == AGG_ADDED_STALE, max_window_ns);
		return added;
	}
	if (p.start_ns == 0)
		p.start_ns = newest->start_ns;
	if (p.mem_ts_ns == 0)
		take_memory(&p, newest);
	if (pair->earlier.cpu_ts_ns == 0 || p.cpu_ts_ns - newest->cpu_ts_ns >= AGG_MIN_WINDOW_NS)
		pair->earlier = *newest;
	pair->newest = p;
	return AGG_ADDED;
}

int agg_pair_usage(const struct agg_pair *pair, int64_t max_window_ns, struct agg_usage *ret)
{
	const struct agg_point *earlier = &pair->earlier, *newest = &pair->newest;

	if (earlier->cpu_ts_ns == 0 || newest->mem_ts_ns == 0 ||
		newest->cpu_ts_ns - earlier->cpu_ts_ns < AGG_MIN_WINDOW_NS ||
		newest->cpu_ts_ns - newest->mem_ts_ns > max_window_ns)
		return -ENOENT;
	return agg_rate(earlier, newest, ret) < 0 ? -ENOENT : 0;
}

void agg_pair_mark(struct agg_pair *pair, enum agg_added added, int64_t window_ns)
{
	const struct agg_mark now = {pair->newest.cpu_ts_ns, pair->newest.cpu_ns};

	if (added == AGG_ADDED_RESET || added == AGG_ADDED_STALE)
		pair->old = pair->older = (struct agg_mark){0};
	if (now.cpu_ts_ns == 0 || (pair->old.cpu_ts_ns != 0 && now.cpu_ts_ns - pair->old.cpu_ts_ns < window_ns))
		return;
	pair->older = pair->old;
	pair->old = now;
}

int agg_pair_full_cpu(const struct agg_pair *pair, uint64_t *ret_nanocores)
{
	const struct agg_point earlier = {.cpu_ts_ns = pair->older.cpu_ts_ns, .cpu_ns = pair->older.cpu_ns};
	struct agg_usage usage;

	if (earlier.cpu_ts_ns == 0 || agg_rate(&earlier, &pair->newest, &usage) < 0)
		return -ENOENT;
	*ret_nanocores = usage.cpu_nanocores;
	return 0;
}
