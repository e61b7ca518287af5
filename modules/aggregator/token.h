/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bearer tokens (spec metrics-api 5a, 5c): the API server is asked whose a token is (TokenReview) and its answer is
 * remembered for a while, a refusal too. Requests with the same token share one review. Tokens can be made up at will:
 * what is remembered, asked and waited for is bounded, and each peer and all together may cause only so many reviews a
 * second. A token itself is not kept: entries go by its HMAC under a key of this process.
 */
#pragma once

#include "aggregator/user.h"
#include "core/err.h"
#include "kube/token_review.h"

#define AGG_TOKEN_MAX         16384 /* bytes; longer ones are refused */
#define AGG_TOKENS_MAX        4096  /* remembered; the one unused longest gives way */
#define AGG_TOKEN_REVIEWS_MAX 32    /* under way at the API server */
#define AGG_TOKEN_WAITERS_MAX 400   /* requests that wait for a review */
/* Reviews a second and at once, of one peer address and of all. */
#define AGG_TOKEN_PEER_RATE   10
#define AGG_TOKEN_PEER_BURST  20
#define AGG_TOKEN_RATE        50
#define AGG_TOKEN_BURST       100
#define AGG_TOKEN_PEERS_MAX   1024 /* whose rate is remembered; the one unused longest gives way */

/* Where answers come from; a seam for tests. The two behave as kube_token_review_start and kube_call_cancel. */
struct agg_token_reviewer {
	int (*start)(void *source, const char *token, void (*fn)(const struct kube_token_result *r, void *arg),
		void *arg, struct kube_call **ret);
	void (*cancel)(void *source, struct kube_call *call);
	void *source;
};

enum agg_token_verdict {
	AGG_TOKEN_USER,     /* user: one reference */
	AGG_TOKEN_REFUSED,  /* 401; text: why */
	AGG_TOKEN_FAILED,   /* 401 as with Kubernetes; text: why no answer could be had */
	AGG_TOKEN_TOO_MANY, /* 429 */
	AGG_TOKEN_WAIT,     /* fn will be called, never from inside agg_tokens_ask */
};

typedef void (*agg_token_fn)(enum agg_token_verdict verdict, struct agg_user *user, const char *text, void *arg);

struct agg_tokens;
struct agg_token_waiter;

int agg_tokens_new(const struct agg_token_reviewer *reviewer, struct agg_tokens **ret)
	_must_check_;                       /* -ENOMEM, -EIO (no random numbers); reviewer is copied */
void agg_tokens_free(struct agg_tokens *t); /* reviews under way end without a word; NULL is fine */
/* How long answers are remembered, for those to come. 0: not at all. */
void agg_tokens_configure(struct agg_tokens *t, int64_t ttl_ns);

/*
 * The verdict at once (with the user, or text copied into reason), or AGG_TOKEN_WAIT: then fn(verdict, user, text, arg)
 * comes later, exactly once, unless *ret_waiter is cancelled before; it takes the user's reference over. token and peer
 * (an address) are borrowed during the call. now_us: monotonic.
 */
enum agg_token_verdict agg_tokens_ask(struct agg_tokens *t, const char *token, const char *peer, uint64_t now_us,
	struct agg_user **ret_user, struct km_err *reason, agg_token_fn fn, void *arg,
	struct agg_token_waiter **ret_waiter) _must_check_;
/* The request is gone. Its review goes on: the answer is worth remembering. NULL is fine. */
void agg_tokens_cancel(struct agg_token_waiter *waiter);

struct agg_token_stats {
	uint64_t reviews_total, cache_hits_total, failures_total, limited_total;
	size_t under_way, waiting, remembered;
};
void agg_tokens_stats(const struct agg_tokens *t, struct agg_token_stats *ret);

/* The token of an Authorization header, as Kubernetes finds it ("Bearer TOKEN", the word in any case; what follows a
 * second space is left out): its start and length, or false: the header is none of that kind, and says nothing. */
bool agg_token_find(const char *authorization, const char **ret, size_t *ret_len);
