/* SPDX-License-Identifier: Apache-2.0 */
/* TokenReviews; see the header. The token is in the body until the call ends, and nowhere else. */
#include "kube/token_review.h"

#include <errno.h>

#include "kube/posting.h"

#define REVIEW_PATH "/apis/authentication.k8s.io/v1/tokenreviews"

struct asking {
	void (*fn)(const struct kube_token_result *r, void *arg);
	void *arg;
};

static void answered(int error, json_t *status, const char *text, void *arg)
{
	struct asking *a = arg;
	json_t *authenticated = json_object_get(status, "authenticated"), *user = json_object_get(status, "user");
	const char *trouble = json_string_value(json_object_get(status, "error"));
	struct kube_token_result result = {.error = error, .text = error ? text : trouble ? trouble : ""};

	if (error == 0 && (!json_is_object(status) || (json_is_true(authenticated) && !json_is_object(user)))) {
		result.error = -EBADMSG;
		result.text = "POST " REVIEW_PATH ": the reply has no status, or names no user";
	} else if (error == 0 && json_is_true(authenticated)) {
		/* an absent member counts as false */
		result.authenticated = true;
		result.user = user;
	}
	a->fn(&result, a->arg);
}

int kube_token_review_start(struct kube_client *client, const char *token,
	void (*fn)(const struct kube_token_result *r, void *arg), void *arg, struct kube_call **ret)
{
	json_t *text = json_string(token), *body;
	struct asking *a;
	int r;

	if (!text)
		return -EINVAL;
	body = json_pack("{s:s, s:s, s:{s:o}}", "apiVersion", "authentication.k8s.io/v1", "kind", "TokenReview", "spec",
		"token", text);
	a = calloc(1, sizeof(*a));
	if (!body || !a) {
		json_decref(body);
		free(a);
		return -ENOMEM;
	}
	*a = (struct asking){.fn = fn, .arg = arg};
	if ((r = kube_posting_start(client, REVIEW_PATH, body, answered, a, free, ret)) < 0)
		free(a);
	return r;
}
