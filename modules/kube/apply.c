/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting objects in place, one step after the other: GET, then nothing, POST or PUT. Somebody else may write at the
 * same time: a conflict, an object that appeared or one that vanished starts the step again, a few times.
 */
#include "kube/apply.h"

#include <errno.h>

#define APPLY_MAGIC 0x6b61706cU
#define TRIES_MAX   5 /* of one step */

struct kube_apply {
	uint32_t magic;
	struct kube_client *client;          /* borrowed */
	const struct kube_apply_step *steps; /* borrowed */
	size_t n, at;
	unsigned tries; /* of the present step */
	struct kube_call *call;
	void (*report)(
		const struct kube_apply_step *step, enum kube_apply_outcome outcome, const char *text, void *arg);
	void (*done)(int error, void *arg);
	void *arg;
	bool in_callback, cancelled;
};

static int get_step(struct kube_apply *a);

static void apply_free(void *arg)
{
	struct kube_apply *a = KM_CAST(struct kube_apply, arg, APPLY_MAGIC);

	a->magic = 0;
	free(a);
}

void kube_apply_cancel(struct kube_apply *a)
{
	if (!a)
		return;
	assert(a->magic == APPLY_MAGIC);
	kube_call_cancel(KM_TAKE(a->call));
	a->cancelled = true;
	if (!a->in_callback)
		apply_free(a);
}

static void finish(struct kube_apply *a, int error)
{
	a->in_callback = true;
	a->done(error, a->arg);
	apply_free(a);
}

/* Reports the present step. Returns false when the receiver cancelled everything (then a is gone). */
static bool report(struct kube_apply *a, enum kube_apply_outcome outcome, const char *text)
{
	a->in_callback = true;
	a->report(&a->steps[a->at], outcome, text, a->arg);
	a->in_callback = false;
	if (!a->cancelled)
		return true;
	apply_free(a);
	return false;
}

static void fail(struct kube_apply *a, enum kube_apply_outcome outcome, int error, const char *text)
{
	if (report(a, outcome, text))
		finish(a, error);
}

static void next_step(struct kube_apply *a, enum kube_apply_outcome outcome)
{
	int r;

	if (!report(a, outcome, ""))
		return;
	a->tries = 0;
	if (++a->at == a->n) {
		finish(a, 0);
		return;
	}
	r = get_step(a);
	if (r < 0)
		fail(a, KUBE_APPLY_FAILED, r, r == -EINVAL ? "the object lacks apiVersion or name" : "out of memory");
}

/* Something changed under our hands: look again. */
static void again(struct kube_apply *a, int error, const char *text)
{
	int r;

	if (a->tries >= TRIES_MAX) {
		fail(a, KUBE_APPLY_FAILED, error, text);
		return;
	}
	r = get_step(a);
	if (r < 0)
		fail(a, KUBE_APPLY_FAILED, r, "out of memory");
}

static void on_written(const struct kube_result *result, void *arg, enum kube_apply_outcome outcome)
{
	struct kube_apply *a = KM_CAST(struct kube_apply, arg, APPLY_MAGIC);

	a->call = NULL;
	if (result->error == 0) {
		next_step(a, outcome);
		return;
	}
	/* AlreadyExists after POST, Conflict or NotFound after PUT. A POST to a namespace that is missing is NotFound
	 * as well; that does not pass. */
	if (result->error == -EEXIST || result->error == -EAGAIN ||
		(result->error == -ENOENT && outcome == KUBE_APPLY_UPDATED))
		again(a, result->error, result->text);
	else
		fail(a, KUBE_APPLY_FAILED, result->error, result->text);
}

static void on_created(const struct kube_result *result, void *arg)
{
	on_written(result, arg, KUBE_APPLY_CREATED);
}

static void on_updated(const struct kube_result *result, void *arg)
{
	on_written(result, arg, KUBE_APPLY_UPDATED);
}

static int send_step(struct kube_apply *a, const char *method, json_t *body, bool collection,
	void (*on_done)(const struct kube_result *result, void *arg))
{
	const struct kube_apply_step *step = &a->steps[a->at];
	_cleanup_free_ char *path = kube_object_path(step->object, step->resource, collection);
	const struct kube_request request = {
		.method = method, .path = path, .body = body, .on_done = on_done, .arg = a};

	if (!path)
		return -EINVAL;
	return kube_request_start(a->client, &request, &a->call);
}

/* Decides over what is there (live NULL: absent) and writes. Returns 1 when nothing is to do. */
static int write_step(struct kube_apply *a, json_t *live)
{
	json_t *merged = NULL, *empty = NULL;
	int r;

	if (!live) { /* merged into nothing: without the nulls */
		empty = json_object();
		if (!empty)
			return -ENOMEM;
	}
	r = kube_merge(live ? live : empty, a->steps[a->at].object, &merged);
	json_decref(empty);
	if (r < 0)
		return r;
	if (!merged)
		return 1;
	r = live ? send_step(a, "PUT", merged, false, on_updated) : send_step(a, "POST", merged, true, on_created);
	json_decref(merged);
	return r;
}

static void on_got(const struct kube_result *result, void *arg)
{
	struct kube_apply *a = KM_CAST(struct kube_apply, arg, APPLY_MAGIC);
	const struct kube_apply_step *step = &a->steps[a->at];
	struct km_err err = {.text = ""};
	json_t *live = NULL;
	int r;

	a->call = NULL;
	if (result->error != 0 && result->error != -ENOENT) {
		fail(a, KUBE_APPLY_FAILED, result->error, result->text);
		return;
	}
	if (result->error == 0) {
		json_error_t where;
		live = json_loadb(result->body, result->body_len, 0, &where);
		if (!json_is_object(live)) {
			json_decref(live);
			fail(a, KUBE_APPLY_FAILED, -EBADMSG, "the API server's reply is not a JSON object");
			return;
		}
	}
	r = step->guard ? step->guard(live, a->arg, &err) : 0;
	if (r < 0) {
		json_decref(live);
		fail(a, KUBE_APPLY_REFUSED, r, err.text);
		return;
	}
	r = write_step(a, live);
	json_decref(live);
	if (r > 0)
		next_step(a, KUBE_APPLY_UNCHANGED);
	else if (r < 0)
		fail(a, KUBE_APPLY_FAILED, r, r == -ENOMEM ? "out of memory" : "the object cannot be written");
}

static int get_step(struct kube_apply *a)
{
	a->tries++;
	return send_step(a, "GET", NULL, false, on_got);
}

static void nothing_to_do(void *arg)
{
	struct kube_apply *a = KM_CAST(struct kube_apply, arg, APPLY_MAGIC);

	if (a->cancelled)
		apply_free(a);
	else
		finish(a, 0);
}

int kube_apply_start(struct kube_client *client, const struct kube_apply_step *steps, size_t n,
	void (*report_fn)(
		const struct kube_apply_step *step, enum kube_apply_outcome outcome, const char *text, void *arg),
	void (*done)(int error, void *arg), void *arg, struct kube_apply **ret)
{
	struct kube_apply *a = calloc(1, sizeof(*a));
	int r = 0;

	if (!a)
		return -ENOMEM;
	*a = (struct kube_apply){.magic = APPLY_MAGIC,
		.client = client,
		.steps = steps,
		.n = n,
		.report = report_fn,
		.done = done,
		.arg = arg};
	if (n > 0) {
		r = get_step(a);
	} else {
		a->in_callback = true; /* a cancel leaves the freeing to the loop's list, which holds it */
		km_loop_reap(kube_client_loop(client), nothing_to_do, a);
	}
	if (r < 0) {
		apply_free(a);
		return r;
	}
	*ret = a;
	return 0;
}
