/* SPDX-License-Identifier: Apache-2.0 */
/* Counting and printing; see the header. */
#include "aggregator/histogram.h"

#include <inttypes.h>
#include <stdio.h>

const struct agg_buckets agg_buckets_requests = {11, {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}};

/* prometheus.ExponentialBuckets(1, 1.364, 20), to the last bit. */
const struct agg_buckets agg_buckets_freshness = {
	20, {1.0, 1.364, 1.8604960000000004, 2.5377165440000007, 3.4614453660160014, 4.721411479245826,
		    6.440005257691307, 8.784167171490942, 11.981604021913647, 16.342907885890217, 22.291726356354257,
		    30.405914750067208, 41.47366771909167, 56.57008276884105, 77.16159289669919, 105.2484127110977,
		    143.55883493793726, 195.81425085534644, 267.09063816669254, 364.31163045936864}};

void agg_histogram_observe(struct agg_histogram *h, const struct agg_buckets *buckets, double seconds)
{
	size_t low = 0, high = buckets->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (buckets->bounds[middle] < seconds)
			low = middle + 1;
		else
			high = middle;
	}
	h->counts[low]++;
	h->sum += seconds;
}

uint64_t agg_histogram_count(const struct agg_histogram *h)
{
	uint64_t count = 0;

	for (size_t i = 0; i < KM_ARRAY_LEN(h->counts); i++)
		count += h->counts[i];
	return count;
}

void agg_write_number(struct km_buf *out, double value)
{
	char text[40];

	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	km_buf_adds(out, text);
}

void agg_histogram_write(struct km_buf *out, const struct agg_histogram *h, const struct agg_buckets *buckets,
	const char *name, const char *label)
{
	const char *separator = label ? "," : "", *inner = label ? label : "";
	uint64_t count = 0;

	for (size_t i = 0; i <= buckets->n; i++) {
		count += h->counts[i];
		km_buf_addf(out, "%s_bucket{%s%sle=\"", name, inner, separator);
		if (i < buckets->n)
			agg_write_number(out, buckets->bounds[i]);
		else
			km_buf_adds(out, "+Inf");
		km_buf_addf(out, "\"} %" PRIu64 "\n", count);
	}
	km_buf_addf(out, label ? "%s_sum{%s} " : "%s_sum%s ", name, inner);
	agg_write_number(out, h->sum);
	km_buf_addf(out, label ? "\n%s_count{%s} %" PRIu64 "\n" : "\n%s_count%s %" PRIu64 "\n", name, inner, count);
}
