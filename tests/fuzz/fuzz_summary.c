/* SPDX-License-Identifier: Apache-2.0 */
/* /stats/summary as a kubelet, or whoever answers in its place, may send it. */
#include <stddef.h>
#include <stdint.h>

#include "aggregator/summary.h"

#define NOW_NS INT64_C(1795410090000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(const struct agg_line *line, void *arg)
{
	assert(line->series != AGG_SCRAPE_ERROR && line->value <= INT64_MAX);
	assert(line->series < AGG_CONTAINER_CPU ||
		(line->namespace_len > 0 && line->pod_len > 0 && line->container_len > 0));
	assert(agg_timestamp_ok(line->timestamp_ns, NOW_NS));
	*(size_t *)arg += line->series != AGG_CONTAINER_LISTED;
}

static void take_storage(const struct agg_line *line, void *arg)
{
	assert(line->value <= INT64_MAX && line->timestamp_ns == 0);
	assert(line->series == AGG_NODE_STORAGE || (line->series == AGG_CONTAINER_STORAGE && line->namespace_len > 0 &&
							   line->pod_len > 0 && line->container_len > 0));
	++*(size_t *)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct agg_prom_stats stats;
	struct km_err err = {0};
	size_t lines = 0;
	int r = agg_summary_parse((const char *)data, size, NOW_NS, take, &lines, &stats, &err);

	if (r < 0)
		assert(lines == 0 && *err.text != '\0');
	else
		assert(stats.lines == lines);
	lines = 0;
	if (agg_summary_parse_storage((const char *)data, size, take_storage, &lines, &err) < 0)
		assert(r < 0 && lines == 0);
	return 0;
}
