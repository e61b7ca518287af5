/* SPDX-License-Identifier: Apache-2.0 */
/* Posting a review object: see posting.h. */
#include "kube/posting.h"

#include <errno.h>

#include "kube/call.h"

#define RETRY_LEAVE (500 * KM_USEC_PER_MSEC) /* less time than this left: a second try is of no use */

struct posting {
	struct kube_call *call; /* borrowed: it owns this */
	const char *path;
	json_t *body;
	uint64_t until_us;
	bool again;
	void (*fn)(int error, json_t *status, const char *text, void *arg);
	void (*free_arg)(void *arg);
	void *arg;
};

int kube_posting_set(json_t *object, const char *key, const char *value)
{
	json_t *text;

	if (!value || !*value)
		return 0;
	text = json_string(value);
	if (!text)
		return -EINVAL;
	return json_object_set_new(object, key, text) < 0 ? -ENOMEM : 0;
}

static void posting_free(void *arg)
{
	struct posting *p = arg;

	json_decref(p->body);
	if (p->free_arg)
		p->free_arg(p->arg);
	free(p);
}

static void on_done(const struct kube_result *result, void *arg);

/* Whether a second try has been started: after a transport error (also in the middle of a reply) or a 5xx. */
static bool try_again(struct posting *p, const struct kube_result *result)
{
	uint64_t now = km_now_us();
	const struct kube_request request = {.method = "POST",
		.path = p->path,
		.body = p->body,
		.deadline_us = p->until_us > now ? p->until_us - now : 0,
		.on_done = on_done,
		.arg = p};

	if (p->again || (result->status >= 300 && result->status < 500) || now + RETRY_LEAVE > p->until_us)
		return false;
	p->again = true;
	return kube_call_continue(p->call, &request) == 0;
}

static void on_done(const struct kube_result *result, void *arg)
{
	struct posting *p = arg;
	json_t *reply;

	if (result->error != 0) {
		if (!try_again(p, result))
			p->fn(result->error, NULL, result->text, p->arg);
		return;
	}
	reply = json_loadb(result->body, result->body_len, 0, NULL);
	p->fn(0, json_object_get(reply, "status"), "", p->arg);
	json_decref(reply);
}

int kube_posting_start(struct kube_client *client, const char *path, json_t *body,
	void (*fn)(int error, json_t *status, const char *text, void *arg), void *arg, void (*free_arg)(void *arg),
	struct kube_call **ret)
{
	struct posting *p = calloc(1, sizeof(*p));
	const struct kube_request request = {.method = "POST",
		.path = path,
		.body = body,
		.deadline_us = KUBE_POSTING_DEADLINE_US,
		.on_done = on_done,
		.arg = p};
	int r;

	if (!p) {
		json_decref(body);
		return -ENOMEM;
	}
	*p = (struct posting){.path = path,
		.body = body,
		.until_us = km_now_us() + KUBE_POSTING_DEADLINE_US,
		.fn = fn,
		.free_arg = free_arg,
		.arg = arg};
	if ((r = kube_request_start(client, &request, &p->call)) < 0) {
		p->free_arg = NULL;
		posting_free(p);
		return r;
	}
	kube_call_on_free(p->call, posting_free, p);
	*ret = p->call;
	return 0;
}
