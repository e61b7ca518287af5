/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which HPAs' selectors match a pod (AmbiguousSelector, spec hpa 4.3): selectors are found by one label that they ask
 * for, so that a pod is compared with the few that may match it, however many HPAs there are.
 */
#pragma once

#include "core/map.h"
#include "kube/selector.h"

struct hpa_claim_place;

struct hpa_claims {
	struct km_interner *in; /* borrowed */
	struct km_map by_label; /* (namespace, key, value) -> hpa_claim_place; key NULL: those that ask for no label */
};

/* A selector of one who claims; zeroed: none. Lives where the claimant does. */
struct hpa_claim {
	char *text; /* owned, as everything here */
	struct kube_selector *selector;
	const char *namespace_, *key, *value; /* interned; one reference each */
	void *who;
	struct hpa_claim_place *place; /* NULL: it claims nothing */
	struct hpa_claim *next;        /* there */
};

void hpa_claims_init(struct hpa_claims *c, struct km_interner *in);
void hpa_claims_free(struct hpa_claims *c); /* after every claim was dropped */
/* From now on who claims what this selector matches in the namespace (interned). What does not change costs a
 * comparison. 0; on -ENOMEM or -EINVAL (not a selector) it claims nothing. */
int hpa_claim_set(struct hpa_claims *c, struct hpa_claim *claim, void *who, const char *namespace_, const char *text)
	_must_check_;
void hpa_claim_drop(struct hpa_claims *c, struct hpa_claim *claim);
/* Calls fn for each who claims a pod with these labels. */
void hpa_claims_of(const struct hpa_claims *c, const char *namespace_, const struct kube_labels *labels,
	void (*fn)(void *who, void *arg), void *arg);
