/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a kubelet's certificate is to be trusted (kubelet-tls = auto|verify|pin|insecure), and the memory behind it:
 * for each Node (by UID) either "its certificate has verified by the CA" or the fingerprint that was pinned on first
 * use. Kept in state-dir/kubelet-pins.json.
 *
 *   verify    the CA has signed it and it carries the dialled address, the node's name, or CN system:node:NAME
 *   pin       the fingerprint must be the one seen first for this Node
 *   auto      verify; a certificate that no CA of ours has signed is pinned, unless this Node's has verified before (no
 * silent downgrade) insecure  anything goes
 */
#pragma once

#include "aggregator/options.h"
#include "core/err.h"
#include "net/x509.h"

#define AGG_PINS_MAX     65536
#define AGG_PINS_FILE    "kubelet-pins.json"
#define AGG_PINS_VERSION 1

struct agg_pins;

enum agg_tls_verdict { AGG_TLS_VERIFIED = 0, AGG_TLS_PINNED = 1, AGG_TLS_PINNED_NEW = 2, AGG_TLS_UNCHECKED = 3 };

int agg_pins_new(struct agg_pins **ret) _must_check_;
void agg_pins_free(struct agg_pins *p); /* NULL is fine */
/* Reads the file's text. A damaged file is -EBADMSG: no pin is known then, and none may be made until it was mended or
 * removed (agg_pins_judge refuses). */
int agg_pins_parse(struct agg_pins *p, const char *text, size_t len, struct km_err *err) _must_check_;
/* The file's text, malloc'ed; NULL without memory. */
char *agg_pins_print(const struct agg_pins *p, size_t *ret_len);
bool agg_pins_changed(struct agg_pins *p);                 /* since the last call */
void agg_pins_forget(struct agg_pins *p, const char *uid); /* the Node is gone */

struct agg_tls_question {
	enum agg_kubelet_tls mode;
	const char *node, *uid;
	const char *address; /* dialled */
	X509 *leaf;
	STACK_OF(X509) *chain; /* what came with it, may be NULL */
	STACK_OF(X509) *roots; /* may be NULL */
	int64_t now_s;
};

/* enum agg_tls_verdict, or -EKEYREJECTED with the reason and the remedy. */
int agg_pins_judge(struct agg_pins *p, const struct agg_tls_question *q, struct km_err *err) _must_check_;
