/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /metrics in Prometheus' text format 0.0.4: metrics-server's names where they exist, so that its dashboards and alerts
 * go on working (spec metrics-api 4g), then the module's counters under kmetricsd_aggregator_. docs/metrics.md is the
 * table of them. Written in slices from a copy of the figures, because there are series for every node.
 */
#pragma once

#include "aggregator/scraper.h"
#include "aggregator/store.h"
#include "module.h"

/* What is told of; all borrowed for the call, and all but the store may be NULL. */
struct agg_figures {
	const struct agg_store *store;
	const struct agg_histogram *freshness; /* agg_buckets_freshness: age of served objects */
	const struct agg_scraper *scraper;
	const struct km_counter *counters; /* the module's rows, and where their values are */
	size_t n_counters;
	const void *counters_base;
};

struct agg_exposition;

int agg_exposition_new(const struct agg_figures *figures, struct agg_exposition **ret) _must_check_; /* -ENOMEM */
/* The two callbacks of km_http_stream. */
int agg_exposition_produce(struct km_buf *out, void *exposition);
void agg_exposition_done(void *exposition);
