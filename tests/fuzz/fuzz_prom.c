/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /metrics/resource as a kubelet, or whoever answers in its place, may send it, through the parser into a store and out
 * again: twice, so that rates, restarts and disorder are met as well.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "aggregator/prom.h"
#include "aggregator/store.h"
#include "core/intern.h"

#define NOW_NS INT64_C(1795410090000000000)
#define STEP   INT64_C(15000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sink {
	struct agg_store *store;
	size_t lines;
};

static void take(const struct agg_line *line, void *arg)
{
	struct sink *s = arg;

	assert(line->series != AGG_SCRAPE_ERROR && line->value <= INT64_MAX);
	assert(line->series < AGG_CONTAINER_CPU ||
		(line->namespace_len > 0 && line->pod_len > 0 && line->container_len > 0));
	assert(agg_timestamp_ok(line->timestamp_ns, NOW_NS));
	s->lines += line->series != AGG_CONTAINER_LISTED;
	agg_store_line(line, s->store);
}

static void scrape(struct agg_store *store, const char *text, size_t len, int64_t now_ns)
{
	struct sink s = {.store = store};
	struct agg_prom_stats stats;

	if (agg_store_begin(store, "node") < 0)
		return;
	if (agg_prom_parse(text, len, NOW_NS, take, &s, &stats) < 0) {
		assert(s.lines == 0);
		agg_store_abort(store);
		return;
	}
	assert(stats.lines == s.lines);
	(void)agg_store_commit(store, now_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct agg_container_usage out[4];
	struct km_interner *in = NULL;
	struct agg_store *store = NULL;
	const char *text = (const char *)data;
	struct agg_usage usage;

	if (km_interner_new(&in) == 0 && agg_store_new(in, &store) == 0) {
		/* the first half is the first scrape, all of it the second */
		scrape(store, text, size / 2, NOW_NS);
		scrape(store, text, size, NOW_NS + STEP);
		if (agg_store_node(store, "node", NOW_NS + STEP, &usage) == 0)
			assert(usage.window_ns > 0 && usage.cpu_nanocores <= AGG_CORES_MAX * UINT64_C(1000000000));
		(void)agg_store_pod(store, km_intern_find(in, "default", 7), km_intern_find(in, "p", 1),
			km_intern_find(in, "node", 4), NULL, 0, NOW_NS + STEP, out, 4);
		agg_store_forget_node(store, "node");
		agg_store_free(store);
		assert(km_interner_count(in) == 0);
	}
	km_interner_free(in);
	return 0;
}
