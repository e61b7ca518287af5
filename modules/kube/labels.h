/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Label sets: immutable, interned (keys, values and whole sets), so that 30,000 pods share a few hundred.
 */
#pragma once

#include <jansson.h>

#include "core/intern.h"

#define KUBE_LABELS_MAX 1024 /* of one object; the rest is left out */

struct kube_labels {
	uint32_t refs, n;
	struct {
		const char *key, *value; /* interned; one reference each */
	} items[];                       /* sorted by key, bytewise */
};

struct kube_label_pool;

int kube_label_pool_new(struct km_interner *in, struct kube_label_pool **ret) _must_check_; /* in is borrowed */
void kube_label_pool_free(struct kube_label_pool *pool); /* all sets must have been released; NULL is fine */

struct kube_label_pair {
	const char *key, *value; /* NUL-terminated */
};

/* The shared set of these pairs (any order; for a key given twice the last counts), with one reference for the caller.
 * 0 or -ENOMEM. */
int kube_labels_get(struct kube_label_pool *pool, const struct kube_label_pair *pairs, size_t n,
	struct kube_labels **ret) _must_check_;
/* From a metadata.labels object (NULL or no object: the empty set; values that are no strings are left out). */
int kube_labels_decode(struct kube_label_pool *pool, json_t *labels, struct kube_labels **ret) _must_check_;
struct kube_labels *kube_labels_ref(struct kube_labels *set);
void kube_labels_unref(struct kube_label_pool *pool, struct kube_labels *set); /* NULL is fine */

/* The value of a label, or NULL; O(log n). */
const char *kube_labels_value(const struct kube_labels *set, const char *key);
size_t kube_label_pool_count(const struct kube_label_pool *pool); /* distinct sets held */
