/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may (spec metrics-api 5c): system:masters everything; health to everybody (or what the operator says); discovery,
 * openapi and version to every authenticated user whom the front proxy vouches for; for the rest the API server is
 * asked (SubjectAccessReview) and its answer remembered. Requests with the same question share one review. The number
 * of reviews and of waiting requests is bounded. A list's selectors are left out at first, so that whoever polls with
 * different ones asks one question; whom that refuses is asked for again with them.
 */
#pragma once

#include "aggregator/options.h"
#include "aggregator/user.h"
#include "core/err.h"
#include "kube/review.h"

#define AGG_REVIEWS_MAX           64  /* under way at the API server */
#define AGG_REVIEWS_ANONYMOUS_MAX 16  /* of these for anonymous users, who can make up questions at will */
#define AGG_WAITERS_MAX           400 /* requests that wait for a review (metrics-server's max-requests-inflight) */

/* What is asked for. Borrowed texts; "" where a field does not apply. */
struct agg_attributes {
	bool resource;    /* else a path */
	bool discovery;   /* a path of discovery, openapi or version */
	const char *verb; /* "get", "list", ... */
	const char *group, *version, *resource_name, *namespace_, *name;
	const char *path;
	/* What a list is narrowed by, as kube_review has it; NULL in a question that leaves it out. */
	json_t *field_requirements, *label_requirements;
};

/* Where answers come from; a seam for tests. The three behave as kube_review_start and kube_call_cancel. */
struct agg_reviewer {
	int (*start)(void *source, const struct kube_review *review,
		void (*fn)(const struct kube_review_result *result, void *arg), void *arg, struct kube_call **ret);
	void (*cancel)(void *source, struct kube_call *call);
	void *source;
};

enum agg_verdict {
	AGG_ALLOWED,
	AGG_DENIED,   /* 403; text: the API server's reason, "" mostly */
	AGG_FAILED,   /* 500; text: why no answer could be had */
	AGG_TOO_MANY, /* 429 */
	AGG_WAIT,     /* fn will be called, never from inside agg_authz_ask */
};

typedef void (*agg_verdict_fn)(enum agg_verdict verdict, const char *text, void *arg);

struct agg_authz;
struct agg_waiter; /* one request that waits */

int agg_authz_new(const struct agg_reviewer *reviewer, struct agg_authz **ret)
	_must_check_;                     /* -ENOMEM; reviewer is copied */
void agg_authz_free(struct agg_authz *z); /* reviews under way end without a word; NULL is fine */
/*
 * How long answers are remembered, for those to come, and which paths anybody may read
 * (authorization-always-allow-paths;
 * "*" at the end: all that begin so). The options are borrowed until the next call.
 */
void agg_authz_configure(struct agg_authz *z, const struct agg_options *options);

/*
 * The verdict at once (text copied into reason, which may be NULL), or AGG_WAIT: then fn(verdict, text, arg) comes
 * later, exactly once, unless *ret_waiter is cancelled before. user and attributes are borrowed during the call.
 * now_us: monotonic.
 */
enum agg_verdict agg_authz_ask(struct agg_authz *z, const struct agg_user *user, const struct agg_attributes *what,
	uint64_t now_us, struct km_err *reason, agg_verdict_fn fn, void *arg, struct agg_waiter **ret_waiter)
	_must_check_;
/* The request is gone. Its review goes on: the answer is worth remembering. */
void agg_authz_cancel(struct agg_waiter *waiter);

struct agg_authz_stats {
	uint64_t reviews_total, cache_hits_total, failures_total, refused_total;
	size_t under_way, waiting, remembered;
};
void agg_authz_stats(const struct agg_authz *z, struct agg_authz_stats *ret);
