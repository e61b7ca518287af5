/* SPDX-License-Identifier: Apache-2.0 */
/* SubjectAccessReviews: one question, one answer. */
#include "kube/review.h"

#include <errno.h>

#include "kube/posting.h"

#define REVIEW_PATH "/apis/authorization.k8s.io/v1/subjectaccessreviews"

struct asking {
	void (*fn)(const struct kube_review_result *r, void *arg);
	void *arg;
};

/* ---- the question ---- */

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

static int set_requirements(json_t *attributes, const char *key, json_t *requirements)
{
	if (!requirements)
		return 0;
	return json_object_set_new(attributes, key, json_pack("{s:O}", "requirements", requirements)) < 0 ? -ENOMEM : 0;
}

static int set_attributes(json_t *spec, const struct kube_review *review)
{
	json_t *attributes = json_object();
	const char *key = review->path ? "nonResourceAttributes" : "resourceAttributes";
	int r;

	if (json_object_set_new(spec, key, attributes) < 0)
		return -ENOMEM;
	r = kube_posting_set(attributes, "verb", review->verb);
	if (r == 0 && review->path)
		return kube_posting_set(attributes, "path", review->path);
	if (r == 0)
		r = kube_posting_set(attributes, "group", review->group);
	if (r == 0)
		r = kube_posting_set(attributes, "version", review->version);
	if (r == 0)
		r = kube_posting_set(attributes, "resource", review->resource);
	if (r == 0)
		r = kube_posting_set(attributes, "namespace", review->namespace_);
	if (r == 0)
		r = kube_posting_set(attributes, "name", review->name);
	if (r == 0)
		r = set_requirements(attributes, "fieldSelector", review->field_requirements);
	if (r == 0)
		r = set_requirements(attributes, "labelSelector", review->label_requirements);
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
		r = kube_posting_set(spec, "user", review->user);
	if (r == 0)
		r = kube_posting_set(spec, "uid", review->uid);
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

static void answered(int error, json_t *status, const char *text, void *arg)
{
	struct asking *a = arg;
	json_t *allowed = json_object_get(status, "allowed");
	const char *reason = json_string_value(json_object_get(status, "reason"));
	const char *trouble = json_string_value(json_object_get(status, "evaluationError"));
	struct kube_review_result result = {.error = error, .reason = reason ? reason : "", .text = text};

	if (error == 0 && !json_is_boolean(allowed)) {
		result.error = -EBADMSG;
		result.text = "POST " REVIEW_PATH ": the reply has no status.allowed";
	} else if (error == 0) {
		result.allowed = json_is_true(allowed) && !json_is_true(json_object_get(status, "denied"));
		if (!result.allowed && !*result.reason && trouble)
			result.reason = trouble;
	}
	a->fn(&result, a->arg);
}

int kube_review_start(struct kube_client *client, const struct kube_review *review,
	void (*fn)(const struct kube_review_result *r, void *arg), void *arg, struct kube_call **ret)
{
	struct asking *a = calloc(1, sizeof(*a));
	json_t *body;
	int r;

	if (!a)
		return -ENOMEM;
	*a = (struct asking){.fn = fn, .arg = arg};
	r = build(review, &body);
	if (r == 0)
		r = kube_posting_start(client, REVIEW_PATH, body, answered, a, free, ret);
	if (r < 0)
		free(a);
	return r;
}
