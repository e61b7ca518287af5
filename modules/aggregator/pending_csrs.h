/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubelets that wait for their serving certificate (serverTLSBootstrap, --rotate-server-certificates): nobody approves
 * such requests by himself, and without one no client can ask the kubelet for anything (spec metrics-api 7, row 2).
 * While some kubelet cannot be scraped, the API server is asked now and then which requests are pending; they are named
 * in one line. Approving is an administrator's decision, never ours.
 */
#pragma once

#include "core/buf.h"
#include "kube/client.h"

#define AGG_PENDING_CSRS_SHOWN 5 /* named in the line; the others are counted */

struct agg_pending_csrs;

/* What stands in a CertificateSigningRequestList (certificates.k8s.io v1 or v1beta1) that waits for approval and is a
 * kubelet's for serving: their number, and "NODE (REQUEST), ..." appended to names. -EBADMSG when it is no list. */
ssize_t agg_pending_csrs_read(const char *body, size_t len, struct km_buf *names) _must_check_;

/* wanted: whether it is worth asking, called every period_us. 0 or -ENOMEM. */
int agg_pending_csrs_new(struct kube_client *client, uint64_t period_us, bool (*wanted)(void *arg), void *arg,
	struct agg_pending_csrs **ret) _must_check_;
void agg_pending_csrs_free(struct agg_pending_csrs *p);          /* NULL is fine */
size_t agg_pending_csrs_count(const struct agg_pending_csrs *p); /* as of the last answer */
