/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a kubelet's certificate is to be trusted (kubelet-tls = auto|verify|pin|insecure). Pure.
 *
 *   verify    a CA of ours has signed it, for a server, and it is for this node: it carries the address or name that
 *             was dialled, the node's name or host name, or has the CN system:node:NAME (spec certs-and-wiring 8.11)
 *   pin       its fingerprint is the one seen first for this Node
 *   auto      verify; a certificate that no CA of ours has signed is pinned instead, unless this Node's has verified
 *             before (no silent downgrade). Signed by the CA, but expired or for somebody else, is refused
 *   insecure  anything goes
 *
 * A pin holds whatever the certificate's dates say: kubelets do not renew the one they sign themselves, and after a
 * year it is still the same key.
 */
#pragma once

#include "aggregator/kubelet_pins.h"
#include "aggregator/options.h"

enum agg_tls_verdict {
	AGG_TLS_VERIFIED,
	AGG_TLS_PINNED,
	AGG_TLS_PIN_NEW, /* to be pinned once the handshake is through: only then has the other side shown the key */
	AGG_TLS_UNCHECKED,
};

struct agg_tls_question {
	enum agg_kubelet_tls mode;
	const struct agg_pins *pins;
	const char *pins_path; /* for messages */
	const char *node, *uid;
	const char *dialled;  /* address or name */
	const char *address;  /* IP address behind it */
	const char *hostname; /* the Node's, or NULL */
	X509 *leaf;
	STACK_OF(X509) *chain; /* what came with it, may be NULL */
	STACK_OF(X509) *roots; /* may be NULL */
	int64_t now_s;
};

/*
 * enum agg_tls_verdict; or with reason and remedy in err: -EKEYREVOKED when what is remembered of this Node speaks
 * against the certificate (another one is pinned, or its certificate has verified before), -EKEYREJECTED otherwise.
 */
int agg_kubelet_judge(const struct agg_tls_question *q, struct km_err *err) _must_check_;
