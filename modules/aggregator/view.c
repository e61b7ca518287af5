/* SPDX-License-Identifier: Apache-2.0 */
/* The view over the cluster's cache. */
#include "aggregator/view.h"

static bool nodes_synced(const void *source)
{
	return kube_cluster_nodes_synced(source);
}

static bool pods_synced(const void *source)
{
	return kube_cluster_pods_synced(source);
}

static const struct kube_node *const *nodes(const void *source, size_t *ret_n)
{
	return kube_cluster_nodes(source, ret_n);
}

static const char *const *namespaces(const void *source, size_t *ret_n)
{
	return kube_cluster_namespaces(source, ret_n);
}

static const struct kube_pod *const *pods(const void *source, const char *namespace_, size_t *ret_n)
{
	return kube_cluster_pods(source, namespace_, ret_n);
}

static const struct kube_node *node(const void *source, const char *name)
{
	return kube_cluster_node(source, name);
}

static const struct kube_pod *pod(const void *source, const char *namespace_, const char *name)
{
	return kube_cluster_pod(source, namespace_, name);
}

const struct agg_view_ops agg_view_of_cluster = {
	.nodes_synced = nodes_synced,
	.pods_synced = pods_synced,
	.nodes = nodes,
	.namespaces = namespaces,
	.pods = pods,
	.node = node,
	.pod = pod,
};
