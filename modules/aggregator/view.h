/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the API reads: nodes and pods as the cluster's cache has them, and the samples. A small interface, so that the
 * API can be tested without an API server. Everything read is borrowed and valid until the loop's next turn.
 */
#pragma once

#include "aggregator/store.h"
#include "kube/cluster.h"
#include "kube/selector.h"

struct agg_view_ops {
	bool (*nodes_synced)(const void *source);
	bool (*pods_synced)(const void *source);
	/* Sorted by name; pods by (namespace, name), bytewise. */
	const struct kube_node *const *(*nodes)(const void *source, size_t *ret_n);
	const char *const *(*namespaces)(const void *source, size_t *ret_n);
	const struct kube_pod *const *(*pods)(const void *source, const char *namespace_, size_t *ret_n);
	const struct kube_node *(*node)(const void *source, const char *name);
	const struct kube_pod *(*pod)(const void *source, const char *namespace_, const char *name);
};

extern const struct agg_view_ops agg_view_of_cluster; /* source: a struct kube_cluster */

struct agg_view {
	const struct agg_view_ops *ops;
	const void *source;
	struct agg_store *store;
	const struct kube_selector *node_selector; /* which nodes are listed; NULL: all. May change between two turns */
};
