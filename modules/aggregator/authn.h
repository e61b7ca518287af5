/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks (spec metrics-api 5a, certs-and-wiring 3.2): the front proxy's headers, if this connection's certificate
 * passed CA, extended key usage and allowed names; else the certificate itself, if a client CA signed it; else a bearer
 * token, which others judge (token.h); else system:anonymous. A certificate that nobody vouches for is an error, not
 * anonymity, unless a token says who it is. X-Remote-* headers of anybody else are not looked at.
 *
 * Judging a certificate costs signatures, so the judgement is kept for the connection, and made again when the trust
 * changes and once a minute (expiry).
 */
#pragma once

#include "aggregator/trust.h"
#include "aggregator/user.h"
#include "core/err.h"

#define AGG_JUDGEMENTS_MAX  1024 /* connections whose judgement is kept; one more takes another's place */
#define AGG_JUDGEMENT_TTL_S 60
#define AGG_CREDENTIAL_ID   "authentication.kubernetes.io/credential-id"
#define AGG_EXTRA_VALUE_MAX 8192 /* bytes of an extra header's value or decoded key; longer ones are refused */

/* The part of a request that the authenticators see; a seam for tests. All borrowed. */
struct agg_peer {
	uint64_t connection_id;
	const char *address; /* for messages */
	X509 *cert;          /* NULL: none */
	STACK_OF(X509) *chain;
	/* Calls fn for each header in order, stops at non-zero and returns that. */
	int (*headers)(const void *source, int (*fn)(const char *name, const char *value, void *arg), void *arg);
	const void *source;
};

struct agg_authn;

int agg_authn_new(struct agg_authn **ret) _must_check_; /* trusts nobody until it is told; -ENOMEM */
void agg_authn_free(struct agg_authn *a);               /* NULL is fine */
/* From now on this counts, for old connections too. Takes its own reference. */
void agg_authn_set_trust(struct agg_authn *a, struct agg_trust *trust);
const struct agg_trust *agg_authn_trust(const struct agg_authn *a); /* borrowed; NULL before the first */

struct agg_bearer {
	const char *token; /* in the request's headers; not NUL-terminated */
	size_t len;
};

/*
 * 0 and the user (one reference), with system:authenticated added unless anonymous; note then holds what an operator
 * should know all the same
 * ("" mostly). 1 and the bearer token: whose it is decides, and then agg_authn_admit; note tells what the certificate
 * failed for, if it did. -EACCES: 401, the reason in note. -EPERM: 403, likewise (impersonation). -ENOMEM.
 * now_s: wall clock, seconds since 1970.
 */
int agg_authn_check(struct agg_authn *a, const struct agg_peer *peer, int64_t now_s, struct agg_user **ret,
	struct agg_bearer *ret_bearer, struct km_err *note) _must_check_;
/* The last steps, also for the user of a token: system:authenticated is added, impersonation refused. 0, -EPERM with
 * the reason in note, -E2BIG or -ENOMEM. */
int agg_authn_admit(const struct agg_peer *peer, struct agg_user *user, struct km_err *note) _must_check_;
