/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SubjectAccessReviews: one question, one answer; asked a second time when the API server could not be reached or was
 * not well.
 */
#include "kube/review.h"

#include <errno.h>

#include "core/clock.h"
#include "kube/call.h"

#define REVIEW_PATH "/apis/authorization.k8s.io/v1/subjectaccessreviews"
#define REVIEW_DEADLINE \
	(10 * KM_USEC_PER_SEC) /* of both tries together; metrics-server allows as much (spec metrics-api 5c) */
#define RETRY_LEAVE (500 * KM_USEC_PER_MSEC) /* less time than this left: a second try is of no use */

struct asking {
	struct kube_call *call; /* borrowed: it owns this */
	json_t *body;
	uint64_t until_us;
	bool again;
	void (*fn)(const struct kube_review_result *r, void *arg);
	void *arg;
};

/* ---- the question ---- */

/* Sets a member unless value is NULL or "". -EINVAL for what is not UTF-8. */
static int set(json_t *object, const char *key, const char *value)
{
	json_t *text;

	if (!value || !*value)
		return 0;
	text = json_string(value);
	if (!text)
		return -EINVAL;
	return json_object_set_new(object, key, text) < 0 ? -ENOMEM : 0;
}

static int set_list(json_t *object, const char *key, const char *const *values, size_t n)
{
	json_t *list = json_array();

	if (json_object_set_new(object, key, list) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (json_array_append_new(list, json_string(values[i])) < 0)
			return -EINVAL;
	return 0;
}

static int set_extra(json_t *spec, const struct kube_review *review)
{
	json_t *extra = json_object();
	int r = 0;

	if (json_object_set_new(spec, "extra", extra) < 0)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < review->n_extra; i++)
		r = set_list(extra, review->extra[i].key, review->extra[i].values, review->extra[i].n);
	return r;
}

static int set_attributes(json_t *spec, const struct kube_review *review)
{
	json_t *attributes = json_object();
	const char *key = review->path ? "nonResourceAttributes" : "resourceAttributes";
	int r;

	if (json_object_set_new(spec, key, attributes) < 0)
		return -ENOMEM;
	r = set(attributes, "verb", review->verb);
	if (r == 0 && review->path)
		return set(attributes, "path", review->path);
	if (r == 0)
		r = set(attributes, "group", review->group);
	if (r == 0)
		r = set(attributes, "version", review->version);
	if (r == 0)
		r = set(attributes, "resource", review->resource);
	if (r == 0)
		r = set(attributes, "namespace", review->namespace_);
	if (r == 0)
		r = set(attributes, "name", review->name);
	return r;
}

static int build(const struct kube_review *review, json_t **ret)
{
	json_t *spec = json_object();
	json_t *body = json_pack("{s:s, s:s, s:o}", "apiVersion", "authorization.k8s.io/v1", "kind",
		"SubjectAccessReview", "spec", spec);
	int r;

	if (!body)
		return -ENOMEM;
	r = set_attributes(spec, review);
	if (r == 0)
		r = set(spec, "user", review->user);
	if (r == 0)
		r = set(spec, "uid", review->uid);
	if (r == 0 && review->n_groups > 0)
		r = set_list(spec, "groups", review->groups, review->n_groups);
	if (r == 0 && review->n_extra > 0)
		r = set_extra(spec, review);
	if (r < 0) {
		json_decref(body);
		return r;
	}
	*ret = body;
	return 0;
}

/* ---- the answer ---- */

static void asking_free(void *arg)
{
	struct asking *a = arg;

	json_decref(a->body);
	free(a);
}

static void answer(struct asking *a, json_t *status)
{
	json_t *allowed = json_object_get(status, "allowed");
	const char *reason = json_string_value(json_object_get(status, "reason"));
	const char *trouble = json_string_value(json_object_get(status, "evaluationError"));
	struct kube_review_result result = {.reason = reason ? reason : "", .text = ""};

	if (!json_is_boolean(allowed)) {
		result.error = -EBADMSG;
		result.text = "POST " REVIEW_PATH ": the reply has no status.allowed";
	} else {
		result.allowed = json_is_true(allowed) && !json_is_true(json_object_get(status, "denied"));
		if (!result.allowed && !*result.reason && trouble)
			result.reason = trouble;
	}
	a->fn(&result, a->arg);
}

static void on_done(const struct kube_result *result, void *arg);

/* Whether a second try has been started: after a transport error (also in the middle of a reply) or a 5xx. */
static bool try_again(struct asking *a, const struct kube_result *result)
{
	uint64_t now = km_now_us();
	const struct kube_request request = {.method = "POST",
		.path = REVIEW_PATH,
		.body = a->body,
		.deadline_us = a->until_us > now ? a->until_us - now : 0,
		.on_done = on_done,
		.arg = a};

	if (a->again || (result->status >= 300 && result->status < 500) || now + RETRY_LEAVE > a->until_us)
		return false;
	a->again = true;
	return kube_call_continue(a->call, &request) == 0;
}

static void on_done(const struct kube_result *result, void *arg)
{
	struct asking *a = arg;
	struct kube_review_result failed = {.reason = ""};
	json_error_t where;
	json_t *reply;

	if (result->error != 0) {
		if (try_again(a, result))
			return;
		failed.error = result->error;
		failed.text = result->text;
		a->fn(&failed, a->arg);
		return;
	}
	reply = json_loadb(result->body, result->body_len, 0, &where);
	answer(a, json_object_get(reply, "status"));
	json_decref(reply);
}

int kube_review_start(struct kube_client *client, const struct kube_review *review,
	void (*fn)(const struct kube_review_result *r, void *arg), void *arg, struct kube_call **ret)
{
	struct asking *a = calloc(1, sizeof(*a));
	struct kube_request request = {
		.method = "POST", .path = REVIEW_PATH, .deadline_us = REVIEW_DEADLINE, .on_done = on_done, .arg = a};
	int r;

	if (!a)
		return -ENOMEM;
	a->fn = fn;
	a->arg = arg;
	a->until_us = km_now_us() + REVIEW_DEADLINE;
	r = build(review, &a->body);
	if (r == 0) {
		request.body = a->body;
		r = kube_request_start(client, &request, &a->call);
	}
	if (r < 0) {
		asking_free(a);
		return r;
	}
	kube_call_on_free(a->call, asking_free, a);
	*ret = a->call;
	return 0;
}
