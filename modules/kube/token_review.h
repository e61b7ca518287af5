/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TokenReview: asks the API server whose a bearer token is.
 */
#pragma once

#include "kube/client.h"

struct kube_token_result {
	int error;        /* 0, or why no answer could be had (the rest then means nothing) */
	const char *text; /* error text, or why the token is refused; "" if none */
	bool authenticated;
	json_t *user; /* borrowed: username, uid, groups, extra as they came; NULL unless authenticated */
};

/* Uses authentication.k8s.io/v1. Without audiences: the API server's own count (spec metrics-api 5c). Retries once on a
 * transport error or 5xx within the 10 s deadline. -EINVAL for a token that is not UTF-8. */
int kube_token_review_start(struct kube_client *client, const char *token,
	void (*fn)(const struct kube_token_result *r, void *arg), void *arg, struct kube_call **ret) _must_check_;
