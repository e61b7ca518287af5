/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a kubelet's /metrics/resource (Prometheus text 0.0.4): the series of spec metrics-api 2c become agg_lines,
 * everything else is passed over. One pass, no allocation. A bad line costs that line, never the node (spec 7, row 6).
 */
#pragma once

#include "aggregator/point.h"

struct agg_prom_stats {
	uint64_t lines;    /* lines of ours that were read */
	uint64_t skipped;  /* lines of ours that were not: bad number, negative or absurd timestamp, broken labels, cut
			      short */
	bool scrape_error; /* the kubelet says that it could not get its figures */
};

/* request_ns: wall clock when the request was sent; the timestamp of lines that carry none. -EBADMSG when no line of
 * ours is there at all. */
int agg_prom_parse(const char *text, size_t len, int64_t request_ns, agg_line_fn fn, void *arg,
	struct agg_prom_stats *ret) _must_check_;
