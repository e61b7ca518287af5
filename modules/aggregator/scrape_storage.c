/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ephemeral storage (ephemeral-storage = yes): /metrics/resource does not have it, and the summary that does also lists
 * volumes and file systems, several times as much as a scrape. It is asked for once a minute behind a good scrape, over
 * the same connection. Nothing depends on it: when it fails, the figures that were there are served until they are too
 * old.
 */
#define KM_LOG_MODULE "aggregator"
#include <errno.h>
#include <string.h>

#include "aggregator/scrape.h"
#include "aggregator/summary.h"
#include "core/clock.h"
#include "core/log.h"

#define PATH        "/stats/summary"
#define PERIOD_US   (60 * KM_USEC_PER_SEC)
#define TIME_MIN_US KM_USEC_PER_SEC

/* Logged once, until it works again. */
static void missed(struct agg_scraped *n, const char *what)
{
	const struct km_log_fields fields = {.module = KM_LOG_MODULE, .node = n->name};

	if (!n->storage_missed)
		km_log(LOG_WARNING, &fields, "kubelet %s does not tell its ephemeral storage: " PATH ": %s", n->name,
			what);
	n->storage_missed = true;
}

static void take(struct agg_scraped *n, const struct km_fetch_result *result)
{
	struct agg_store *store = n->owner->store;
	struct km_err err = {0};

	if (agg_store_storage_begin(store, n->name) < 0)
		return; /* the node has gone meanwhile */
	if (agg_summary_parse_storage(result->body, result->body_len, agg_store_storage_line, store, &err) < 0) {
		missed(n, err.text);
		return;
	}
	agg_store_storage_commit(store, km_wall_ns());
	n->storage_missed = false;
}

static void on_fetched(const struct km_fetch_result *result, void *arg)
{
	struct agg_scraped *n = KM_CAST(struct agg_scraped, arg, AGG_SCRAPED_MAGIC);
	char text[64];

	if (result->error) {
		missed(n, result->error_text);
	} else {
		n->owner->counters.bytes_total += result->body_len;
		snprintf(text, sizeof(text), "status %d%s", result->status,
			result->status == 403 ? "; run kmetricsd wire apply" : "");
		if (result->status == 200)
			take(n, result);
		else
			missed(n, text);
	}
	agg_scrape_schedule(n);
}

bool agg_scrape_storage(struct agg_scraped *n)
{
	const struct agg_options *o = n->owner->options;
	uint64_t now = km_now_us(), limit_us;

	if (!o->ephemeral_storage || now < n->storage_due_us)
		return false;
	n->storage_due_us = now + PERIOD_US;
	/* what is slow here must not cost the next scrape its slot */
	limit_us = (uint64_t)KM_MIN(o->kubelet_request_timeout, o->metric_resolution / 2) / 1000;
	return km_fetch_get(n->peer, PATH, NULL, KM_MAX(limit_us, TIME_MIN_US), AGG_SUMMARY_MAX, on_fetched, n) == 0;
}
