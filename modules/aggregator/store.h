/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The samples: for each node, and each container seen there, the newest point and the one before it, as far as they are
 * of use. Filled by scrapes, read by the API. A good sample is kept for max_age after the scrape that
 * saw it last (2.5 x metric-resolution), so that one missed scrape loses nothing; then the node or pod is absent.
 * Everything is found by name in O(1); memory is bounded by what kubelets may report (named limits).
 */
#pragma once

#include "aggregator/point.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/intern.h"

#define AGG_CONTAINERS_PER_NODE_MAX 16384
#define AGG_CONTAINERS_PER_POD_MAX  256 /* that one node reports */
#define AGG_NAME_MAX                256 /* bytes of a namespace, pod or container name */
/* A sample that the kubelet keeps repeating is served for this long beyond max_age, not longer: its cAdvisor hangs. */
#define AGG_REPEATED_MAX_NS         (60 * INT64_C(1000000000))

struct agg_store;

int agg_store_new(struct km_interner *in, struct agg_store **ret) _must_check_;
void agg_store_free(struct agg_store *s); /* NULL is fine */
/* max_age: how long after the scrape that saw it last a figure is served (the module sets 2.5 x metric-resolution). */
void agg_store_configure(struct agg_store *s, int64_t max_age_ns);

/* ---- filling: begin, any number of lines, then commit or abort; one scrape at a time (parsing is synchronous) ---- */
int agg_store_begin(struct agg_store *s, const char *node) _must_check_; /* 0 or -ENOMEM */
void agg_store_line(const struct agg_line *line, void *store);           /* an agg_line_fn */
/* Makes the scrape visible: containers not in it are forgotten (their pod has ended or moved). now_ns: wall clock.
 * Returns how many lines went beyond the limits above and were left out. */
size_t agg_store_commit(struct agg_store *s, int64_t now_ns);
/* The node of the last commit, interned, if that brought a newer sample of any container; NULL: it repeated all. */
const char *agg_store_landed(const struct agg_store *s);
void agg_store_abort(struct agg_store *s); /* as if the scrape had never been begun */
/*
 * Ephemeral storage, which comes by itself and less often: begin for a node that is known (else -ENOENT), lines of
 * AGG_NODE_STORAGE and AGG_CONTAINER_STORAGE, commit; without the commit nothing may have been handed on. What is not
 * among them has none from then on, and all of it is forgotten after AGG_STORAGE_MAX_AGE_NS. Containers that no scrape
 * has seen are left out.
 */
#define AGG_STORAGE_MAX_AGE_NS (210 * INT64_C(1000000000))
int agg_store_storage_begin(struct agg_store *s, const char *node) _must_check_;
void agg_store_storage_line(const struct agg_line *line, void *store); /* an agg_line_fn */
void agg_store_storage_commit(struct agg_store *s, int64_t now_ns);
/* Counts lines that the parser had to skip. */
void agg_store_skipped(struct agg_store *s, uint64_t lines);
/* The node is gone from the cluster. */
void agg_store_forget_node(struct agg_store *s, const char *node);

/* ---- reading ---- */
/* -ENOENT: no usable figure (unknown, one point only, or older than max_age at now_ns). */
int agg_store_node(struct agg_store *s, const char *node, int64_t now_ns, struct agg_usage *ret) _must_check_;

struct agg_container_usage {
	const char *name; /* interned */
	struct agg_usage usage;
	const struct agg_pair *pair; /* what it was made of; borrowed until the next scrape */
};
/*
 * All names are interned in the store's interner (as are those in the cluster's cache, which shares it): a list of
 * 30,000 pods looks up each by its pointers. A pod's containers, in the order the caller asks for (names: the pod's
 * spec order; n of them): those of the spec first, others after by name. Returns how many were written into out (at
 * most max), 0 when the pod has no usable figures. node: spec.nodeName: what other nodes report under this name is
 * another pod, of before it was made anew, or a lie, and does not count; NULL: the newest report counts. A pod of which
 * some container has no usable figure yet, though its last scrape listed it, is withheld whole (0): an under-count
 * would mislead the HPA.
 */
size_t agg_store_pod(struct agg_store *s, const char *namespace_, const char *pod, const char *node,
	const char *const *names, size_t n, int64_t now_ns, struct agg_container_usage *out, size_t max);

/*
 * The pods that a node's last good scrape listed, each once, sorted by (namespace, name), bytewise: how many, or
 * -ENOMEM. *ret is the caller's; the names in it are interned and borrowed until the next scrape. O(what the node
 * runs).
 */
struct agg_pod_name {
	const char *namespace_, *name;
};
ssize_t agg_store_pods_of(const struct agg_store *s, const char *node, struct agg_pod_name **ret) _must_check_;
int agg_pod_name_compare(const struct agg_pod_name *a, const struct agg_pod_name *b); /* as strcmp */

/* ---- across a restart: the points, not the gauges, node by node as bytes of a form of our own (little-endian) ---- */
/* Appends the names of the nodes there are, each with a NUL behind it. For saving in slices: a node that goes meanwhile
 * is left out, one that comes is not in it. */
void agg_store_node_names(const struct agg_store *s, struct km_buf *out);
/* Appends a node's samples. Nothing when it is not there or has never been scraped well. O(what it runs). */
void agg_store_save(const struct agg_store *s, const char *node, struct km_buf *out);
/*
 * Takes what agg_store_save appended into a store that is empty. Nodes whose samples are too old to be of any use, or
 * of the future, are left out. Either all is well formed, or -EBADMSG and err, and nothing was taken in; or -ENOMEM
 * with a part of it taken in. *ret_nodes: how many.
 */
int agg_store_restore(struct agg_store *s, const void *data, size_t len, int64_t now_ns, size_t *ret_nodes,
	struct km_err *err) _must_check_;
/* Nodes of which nothing is of use any more, because no scrape has succeeded for so long, are forgotten. */
void agg_store_forget_old(struct agg_store *s, int64_t now_ns);

struct agg_store_stats {
	size_t nodes, containers;
	uint64_t lines_total, lines_skipped_total;
	uint64_t stale_dropped_total;  /* points that were too old to subtract from, after a gap */
	uint64_t counter_resets_total; /* restarts, and counters or clocks that went back */
	uint64_t duplicate_pods_total; /* pods that a second node began to report */
	int64_t newest_commit_ns;      /* wall clock of the newest commit, 0: none */
};
void agg_store_stats(const struct agg_store *s, struct agg_store_stats *ret);
