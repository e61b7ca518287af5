/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One node or pod with its figures, as it is served: NodeMetrics and PodMetrics, or only its metadata. Key order and
 * rules of spec metrics-api 3b, 3c.
 */
#pragma once

#include "aggregator/histogram.h"
#include "aggregator/view.h"
#include "core/json.h"
#include "kube/quantity.h"

/* Containers of a pod that can be served: those of the record, and some that only the kubelet knows. */
#define AGG_ITEM_CONTAINERS_MAX (KUBE_POD_CONTAINERS_MAX + 64)

/* The keys of "usage", in their order. The last two are there when the kubelet told. */
enum agg_key { AGG_KEY_CPU, AGG_KEY_STORAGE, AGG_KEY_MEMORY, AGG_KEY_SWAP, AGG_KEYS };
extern const char *const agg_key_names[AGG_KEYS];
/* The quantity of a key; false: there is none. */
bool agg_usage_text(const struct agg_usage *usage, enum agg_key key, char out[KM_QUANTITY_TEXT_MAX]);

struct agg_item {
	const char *kind, *namespace_, *name; /* borrowed from the record; namespace_ NULL for a node */
	const struct kube_labels *labels;
	struct agg_usage usage; /* a pod's: sums over its containers; the time of the one whose sample is the oldest */
	size_t n_containers;
	struct agg_container_usage containers[AGG_ITEM_CONTAINERS_MAX]; /* in the order of the pod's spec */
};

/* Looks the figures up. false: there is nothing to serve (no usable figures; a pod that is not running). */
bool agg_item_of_node(const struct agg_view *view, const struct kube_node *node, int64_t now_ns, struct agg_item *ret);
bool agg_item_of_pod(const struct agg_view *view, const struct kube_pod *pod, int64_t now_ns, struct agg_item *ret);

/* Counts how old the figures are that are served at now_ns. freshness: with agg_buckets_freshness. */
void agg_item_note_age(const struct agg_item *item, int64_t now_ns, struct agg_histogram *freshness);

/* created: creationTimestamp as text (the time of the request, as upstream). typed: with kind and apiVersion (items of
 * a list have none). */
void agg_item_write(struct km_json *j, const struct agg_item *item, const char *created, bool typed);
/* A PartialObjectMetadata. */
void agg_item_write_partial(
	struct km_json *j, const struct agg_item *item, const char *created, const char *meta_version);
