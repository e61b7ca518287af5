/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to kube/: posting a review object (SubjectAccessReview, TokenReview), which the API server answers with the
 * same object and its status; a second time when it could not be reached or was not well.
 */
#pragma once

#include "core/clock.h"
#include "kube/client.h"

#define KUBE_POSTING_DEADLINE_US \
	(10 * KM_USEC_PER_SEC) /* of both tries together; metrics-server allows as much (spec metrics-api 5c) */

/*
 * path must outlive the call; body is taken over. fn: exactly once unless cancelled, never from inside; error 0 and the
 * reply's status (borrowed; NULL when it has none), or a negative errno and its text. 0, or a negative errno of
 * kube_request_start (fn is then not called). free_arg(arg) comes when the call is gone, however that came; not when it
 * was not started.
 */
int kube_posting_start(struct kube_client *client, const char *path, json_t *body,
	void (*fn)(int error, json_t *status, const char *text, void *arg), void *arg, void (*free_arg)(void *arg),
	struct kube_call **ret) _must_check_;

/* For building bodies: set a member unless value is NULL or "". 0, -EINVAL for what is not UTF-8, or -ENOMEM. */
int kube_posting_set(json_t *object, const char *key, const char *value) _must_check_;
