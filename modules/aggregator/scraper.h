/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scraping: every node by its own timer, phase and back-off; /metrics/resource, falling back per node to /stats/summary
 * when the kubelet has no such path. Nothing waits for the slowest node.
 */
#pragma once

#include "aggregator/histogram.h"
#include "aggregator/options.h"
#include "aggregator/store.h"
#include "kube/cluster.h"
#include "module.h"

struct agg_scraper;

struct agg_scraper_counters {
	uint64_t scrapes_total, scrape_failures_total, fallbacks_total, bytes_total, pins_made_total,
		pins_refused_total;
};

/*
 * roots: what verifies kubelets (cluster CA or kubelet-certificate-authority); identity: our client certificate, may be
 * NULL. Both are referenced. options are borrowed, with what they point to, until the next successful reconfigure.
 */
int agg_scraper_new(struct km_context *ctx, const struct agg_options *options, struct agg_store *store,
	STACK_OF(X509) *roots, struct km_identity *identity, struct agg_scraper **ret, struct km_err *err) _must_check_;
void agg_scraper_free(struct agg_scraper *s); /* NULL is fine */
/* The node came, changed or went (from the cluster's listener). */
void agg_scraper_node(struct agg_scraper *s, const struct kube_node *before, const struct kube_node *now);
/* New options, trust or identity take effect at each node's next scrape; the file of pins is read again. -errno with
 * nothing changed. */
int agg_scraper_reconfigure(struct agg_scraper *s, const struct agg_options *options, STACK_OF(X509) *roots,
	struct km_identity *identity, struct km_err *err) _must_check_;

/* As a km_scrape_lane has it. */
void agg_scraper_set_lane(struct agg_scraper *s, const char *node, uint64_t period_us);

/* fn is called after each scrape that brought newer samples of a node's containers. NULL: nobody. */
void agg_scraper_on_landed(struct agg_scraper *s, void (*fn)(const char *node, void *arg), void *arg);

struct agg_scraper_state {
	size_t nodes, healthy, failing;
	int64_t newest_success_ns; /* wall clock, 0: none */
};
void agg_scraper_state(const struct agg_scraper *s, struct agg_scraper_state *ret);
const struct agg_scraper_counters *agg_scraper_counters(const struct agg_scraper *s);

/* How long a kubelet's answers took. */
struct agg_node_timing {
	const char *name;
	struct agg_histogram requests; /* agg_buckets_requests */
	uint64_t last_request_ns;      /* wall clock; 0: none yet */
};
/* Calls fn for each node, in no order; the timing is borrowed. */
void agg_scraper_timings(
	const struct agg_scraper *s, void (*fn)(const struct agg_node_timing *timing, void *arg), void *arg);
/* How long scrapes took from the first request to the samples being stored, of all nodes. */
const struct agg_histogram *agg_scraper_scrapes(const struct agg_scraper *s);

/* One object a node: name, path, tls ("verified", "pinned", "insecure", "none"), last success, last error; for
 * `kmetricsd status -o json`. New reference. */
json_t *agg_scraper_status(const struct agg_scraper *s);
