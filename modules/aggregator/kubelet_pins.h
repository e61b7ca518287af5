/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is remembered of the kubelets' certificates, by the UID of the Node: the fingerprint that was pinned on first
 * use, and whether its certificate has ever verified by the CA. And its text, the content of
 * state-dir/kubelet-pins.json, which an operator may edit:
 *
 *   {"version": 1, "nodes": {"<UID>": {"node": "node1", "sha256": "<hex>"}, "<UID>": {"node": "node2", "verified":
 * true}}}
 *
 * Pure.
 */
#pragma once

#include "core/err.h"
#include "net/x509.h"

#define AGG_PINS_MAX      16384 /* three times the nodes of the largest supported cluster */
#define AGG_PINS_TEXT_MAX (8 * 1024 * 1024)
#define AGG_PINS_FILE     "kubelet-pins.json"
#define AGG_PINS_VERSION  1

struct agg_pin {
	char *uid, *node;                /* owned; node is for people who read the file */
	bool verified;                   /* it has verified by the CA: never pinned silently afterwards */
	char sha256[KM_FINGERPRINT_MAX]; /* "" when none is pinned */
};

struct agg_pins;

int agg_pins_new(struct agg_pins **ret) _must_check_;
void agg_pins_free(struct agg_pins *p); /* NULL is fine */

/*
 * Replaces everything by what the text says. -EBADMSG when it is damaged, or of a later version: then what was known
 * before stays, and until a good text is read no pin may be made (to start afresh silently would hand the first use to
 * whoever damaged the file).
 */
int agg_pins_parse(struct agg_pins *p, const char *text, size_t len, struct km_err *err) _must_check_;
void agg_pins_clear(struct agg_pins *p);        /* as if there were no file: nothing is known, nothing is damaged */
void agg_pins_mark_damaged(struct agg_pins *p); /* the file cannot even be read */
bool agg_pins_damaged(const struct agg_pins *p);
/* The text, malloc'ed; NULL without memory. */
char *agg_pins_print(const struct agg_pins *p, size_t *ret_len);

/* NULL: unknown. Borrowed. */
const struct agg_pin *agg_pins_find(const struct agg_pins *p, const char *uid);
/* 0 when this UID could be given a pin: -EBADMSG (damaged), -ENOSPC (full), -EINVAL (no UID). */
int agg_pins_may_add(const struct agg_pins *p, const char *uid) _must_check_;
/* Pins; what was pinned before is replaced. As agg_pins_may_add, or -ENOMEM. */
int agg_pins_add(struct agg_pins *p, const char *uid, const char *node, const char *sha256) _must_check_;
/* The certificate has verified: a former pin goes. Also while the file is damaged. */
int agg_pins_verified(struct agg_pins *p, const char *uid, const char *node) _must_check_;
void agg_pins_forget(struct agg_pins *p, const char *uid); /* the Node is gone */
/* Whether anything has changed since the last call; parse and clear start anew. */
bool agg_pins_take_changed(struct agg_pins *p);
