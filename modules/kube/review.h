/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SubjectAccessReview: asks the API server whether a user may do something.
 */
#pragma once

#include "kube/client.h"

struct kube_extra {
	const char *key;
	const char *const *values;
	size_t n;
};

/* Borrowed strings; NULL where a field does not apply. Either resource attributes (verb, group, version, resource ...)
 * or path + verb. */
struct kube_review {
	const char *user, *uid;
	const char *const *groups;
	size_t n_groups;
	const struct kube_extra *extra;
	size_t n_extra;
	const char *verb;
	const char *group, *version, *resource, *namespace_, *name;
	/* What the request is narrowed by, as arrays of requirements ({key, operator, values}); NULL where it is not.
	 * API servers before 1.31 do not look at them. */
	json_t *field_requirements, *label_requirements;
	const char *path; /* non-resource request; then resource must be NULL */
};

struct kube_review_result {
	int error; /* 0, or why no answer could be had (result then means nothing) */
	bool allowed;
	const char *reason; /* "" if none */
	const char *text;   /* error text */
};

/* Uses authorization.k8s.io/v1. Retries once on a transport error or 5xx within the 10 s deadline. */
int kube_review_start(struct kube_client *client, const struct kube_review *review,
	void (*fn)(const struct kube_review_result *r, void *arg), void *arg, struct kube_call **ret) _must_check_;
