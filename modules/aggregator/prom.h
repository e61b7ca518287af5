/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a kubelet's /metrics/resource (Prometheus text 0.0.4): the series of spec metrics-api 2c become agg_lines,
 * everything else is passed over. One pass, no allocation, no floating point. A bad line costs that line, never the
 * node (spec 7, row 6). Pure; fuzzed.
 */
#pragma once

#include "aggregator/point.h"

struct agg_prom_stats {
	uint64_t lines;    /* figures handed on */
	uint64_t skipped;  /* lines of ours that were not: bad number, negative or absurd time, broken labels, cut short
			    */
	bool scrape_error; /* the kubelet says that it could not get its figures */
};

/*
 * Calls fn for each figure, and with AGG_CONTAINER_LISTED for a container of which a line could not be used. Seconds
 * become nanoseconds exactly, rounded to nearest. request_ns: wall clock when the request was sent; the time of lines
 * that carry none. -EBADMSG when the text has no line of ours at all, good or bad: then it is something else's.
 */
int agg_prom_parse(const char *text, size_t len, int64_t request_ns, agg_line_fn fn, void *arg,
	struct agg_prom_stats *ret) _must_check_;
