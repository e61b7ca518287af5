/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which HPAs have pods on which node: a sample of a node that has landed concerns exactly these (spec hpa 10.1). Nodes
 * are interned names, whoever waits is an opaque pointer. What does not change costs a comparison.
 */
#pragma once

#include "core/intern.h"
#include "core/map.h"

struct hpa_wake {
	struct km_interner *in; /* borrowed */
	struct km_map nodes;    /* name's pointer -> struct hpa_wake_node, owned */
	/* Told when nobody waits for a node any more; NULL: nobody is told. */
	void (*left)(const char *node, void *arg);
	void *arg;
};

/* The nodes of one who waits; zeroed: none. */
struct hpa_wake_set {
	const char **nodes; /* owned, sorted by pointer, each with a reference */
	size_t n;
};

void hpa_wake_init(struct hpa_wake *w, struct km_interner *in);
void hpa_wake_free(struct hpa_wake *w); /* after every set was cleared */
/* From now on who waits for these nodes (with repetitions, NULLs are left out; the array is sorted in place). On
 * -ENOMEM it waits for none. */
int hpa_wake_set_nodes(struct hpa_wake *w, struct hpa_wake_set *set, void *who, const char **nodes, size_t n)
	_must_check_;
void hpa_wake_clear(struct hpa_wake *w, struct hpa_wake_set *set, void *who);
/* Calls fn for each who waits for this node; fn must not change who does. */
void hpa_wake_landed(const struct hpa_wake *w, const char *node, void (*fn)(void *who, void *arg), void *arg);
