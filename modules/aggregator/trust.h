/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the authenticators believe: the CAs, the allowed names and the header names, from the options where these name
 * files, else from the ConfigMap kube-system/extension-apiserver-authentication (spec metrics-api 1b, 5b). Immutable,
 * reference-counted; a change builds a new one and swaps.
 */
#pragma once

#include "aggregator/options.h"
#include "kube/cluster.h"
#include "net/x509.h"

struct agg_trust {
	unsigned refs;
	bool known; /* false: the ConfigMap has not been read and the options do not replace it: no front proxy can be
		       judged yet */
	STACK_OF(X509) *client_ca;        /* NULL: client certificates do not name users */
	STACK_OF(X509) *requestheader_ca; /* NULL: there is no front proxy */
	/* NULL-terminated, owned, never NULL. */
	char **allowed_names; /* empty: any */
	char **username_headers, **group_headers, **extra_prefixes, **uid_headers;
};

/*
 * The trust that options and ConfigMap make together; configmap may be NULL (nothing known yet). Header lists that are
 * empty in the ConfigMap get the names that kube-apiserver's proxy always sends (spec certs-and-wiring 3.1: its own
 * flags have no defaults). A file or key that cannot be read is an error, with its name.
 */
int agg_trust_new(const struct agg_options *options, const struct kube_auth_config *configmap, struct agg_trust **ret,
	struct km_err *err) _must_check_;
struct agg_trust *agg_trust_ref(struct agg_trust *t);
void agg_trust_unref(struct agg_trust *t); /* NULL is fine */
void agg_trust_unrefp(struct agg_trust **t);
