/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to kube/: pointers kept sorted by a string key, bytewise, in arrays that can be handed out as they are. Each
 * entry carries the generation of the list that saw it last, for mark and sweep. Look-ups are O(log n), changes O(n) by
 * memmove; an append at the end (lists arrive sorted) is O(1).
 */
#pragma once

#include "core/base.h"

struct kube_ordered {
	const char **keys; /* owned array of borrowed strings, usually part of the value */
	void **values;     /* owned array of borrowed pointers */
	uint32_t *marks;   /* owned */
	size_t n, capacity;
};

/* A zeroed struct is empty. */
void kube_ordered_free(struct kube_ordered *o); /* the arrays, not the values */
/* Whether key is there; *ret_at is its place, or where it belongs. */
bool kube_ordered_find(const struct kube_ordered *o, const char *key, size_t *ret_at);
/* Puts a new entry at the place kube_ordered_find gave. 0 or -ENOMEM. */
int kube_ordered_insert(struct kube_ordered *o, size_t at, const char *key, void *value, uint32_t mark) _must_check_;
void kube_ordered_remove(struct kube_ordered *o, size_t at);
/*
 * Takes out all entries whose mark is not this one, in one pass; their values go to gone, which has room for o->n.
 * Returns how many.
 */
size_t kube_ordered_sweep(struct kube_ordered *o, uint32_t mark, void **gone);
