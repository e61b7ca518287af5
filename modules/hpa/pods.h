/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the cluster's pod records and their usage to what the calculator takes. The arrays are used again from one
 * collection to the next, so that a reconcile allocates nothing once they have grown.
 */
#pragma once

#include "hpa/calc.h"
#include "kube/selector.h"
#include "usage_source.h"

struct hpa_pods {
	struct hpa_pod *pods; /* all owned */
	struct hpa_container *containers;
	struct hpa_pod_metric *metrics;
	struct hpa_pod_metric *full; /* the same over the long window; beside metrics, one by one */
	const char **nodes;          /* of each of the pods; NULL: not scheduled */
	size_t n_pods, n_containers, n_metrics;
	size_t pods_capacity, containers_capacity, metrics_capacity, nodes_capacity;
};
void hpa_pods_clear(struct hpa_pods *p); /* a zeroed struct is an empty one */

/* Whether a pod that the selector returns belongs to another controller than the target. */
typedef bool (*hpa_is_foreign_fn)(const struct kube_pod *pod, void *arg);

/*
 * Of pods (n records sorted by name, of one namespace) those that selector matches, with their requests and usage of
 * resource ("cpu" or "memory"; of another one nobody has usage), of the whole pod or of the container of that name
 * where it is not "". A pod without usage in one of its containers, or in that one, has no metric. CPU is rounded up to
 * millicores by container, as upstream sums it (spec 2.4). is_foreign NULL: none is. 0 or -ENOMEM. Strings are borrowed
 * from the records.
 */
int hpa_pods_collect(struct hpa_pods *p, const struct kube_pod *const *pods, size_t n,
	const struct kube_selector *selector, const char *resource, const char *container,
	const struct km_usage_source *usage, hpa_is_foreign_fn is_foreign, void *arg) _must_check_;
