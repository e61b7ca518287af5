/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms of seconds, with the bounds that metrics-server's have (spec metrics-api 4g). Pure. */
#pragma once

#include "core/buf.h"

#define AGG_BUCKETS_MAX 20

struct agg_buckets {
	size_t n;
	double bounds[AGG_BUCKETS_MAX]; /* upper, ascending; one without bound comes after them */
};
extern const struct agg_buckets agg_buckets_requests;  /* 5 ms to 10 s: Prometheus' default */
extern const struct agg_buckets agg_buckets_freshness; /* 1 s to 6 min */

struct agg_histogram {
	uint64_t counts[AGG_BUCKETS_MAX + 1]; /* not cumulative */
	double sum;
};

void agg_histogram_observe(struct agg_histogram *h, const struct agg_buckets *buckets, double seconds);
uint64_t agg_histogram_count(const struct agg_histogram *h);
/* Appends the samples of one series. label: `node="n1"`, escaped, or NULL. */
void agg_histogram_write(struct km_buf *out, const struct agg_histogram *h, const struct agg_buckets *buckets,
	const char *name, const char *label);
/* A number as Prometheus prints it: the shortest text that reads back as the same. */
void agg_write_number(struct km_buf *out, double value);
