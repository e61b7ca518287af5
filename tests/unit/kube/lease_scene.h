/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scene of the Lease tests: a small server that keeps one Lease, two contenders, and virtual time.
 */
#pragma once

#include "kube/lease.h"

#include <stdio.h>

#include "tests/unit/support/apistub.h"
#include "tests/unit/support/check.h"

#define TICK_US  (2 * KM_USEC_PER_MSEC)
#define IDLE_RUN 8 /* rounds of requests after which nothing has happened that should not */

struct player {
	struct world *w;
	struct kube_client *client;
	struct kube_lease *lease;
	unsigned gained, lost, stopped;
	char lost_text[KM_ERR_TEXT_MAX], trouble[KM_ERR_TEXT_MAX];
	bool free_on_gained, free_on_lost, free_on_trouble, stop_on_gained;
};

struct world {
	struct km_clock_virtual clock;
	struct km_loop *loop;
	struct apistub *stub;
	json_t *lease; /* what the server keeps; NULL: nothing */
	int version;   /* resourceVersion */
	unsigned gets, puts, posts, conflicts;
	const char *path;
	/* behaviour */
	int status;       /* 0: as it should; else answered to everything */
	const char *body; /* with status */
	bool hang_writes;
	uint64_t late_us; /* the clock moves on while a write is answered */
	struct player a, b;
	unsigned target;
};

static void on_gained(void *arg);
static void on_lost(const char *text, void *arg);
static void on_trouble(const char *text, void *arg);

/* ---- the server ---- */

static void store(struct world *w, json_t *object, const char *uid)
{
	json_t *metadata = json_object_get(object, "metadata");
	char rv[16];

	snprintf(rv, sizeof(rv), "%d", ++w->version);
	json_object_set_new(metadata, "resourceVersion", json_string(rv));
	json_object_set_new(metadata, "uid", json_string(uid));
	json_incref(object);
	json_decref(w->lease);
	w->lease = object;
}

static void reply_json(struct apistub_conn *c, int status, json_t *object)
{
	char *text = json_dumps(object, 0);

	apistub_reply(c, status, NULL, text);
	free(text);
}

static const char *text_at(json_t *object, const char *of, const char *key)
{
	const char *s = json_string_value(json_object_get(json_object_get(object, of), key));

	return s ? s : "";
}

static void write_lease(struct world *w, struct apistub_conn *c, json_t *sent, bool create)
{
	w->clock.monotonic_us += w->late_us;
	if (create && w->lease) {
		apistub_reply(c, 409, NULL, "{\"kind\":\"Status\",\"reason\":\"AlreadyExists\"}");
	} else if (!create && !w->lease) {
		apistub_reply(c, 404, NULL, "{\"kind\":\"Status\",\"reason\":\"NotFound\"}");
	} else if (!create && strcmp(text_at(sent, "metadata", "resourceVersion"),
				      text_at(w->lease, "metadata", "resourceVersion")) != 0) {
		w->conflicts++;
		apistub_reply(c, 409, NULL, "{\"kind\":\"Status\",\"reason\":\"Conflict\"}");
	} else {
		store(w, sent, create ? "uid-created" : text_at(w->lease, "metadata", "uid"));
		reply_json(c, create ? 201 : 200, w->lease);
	}
}

static void on_request(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct world *w = arg;
	bool get = strcmp(request->method, "GET") == 0, post = strcmp(request->method, "POST") == 0;
	json_t *sent = *request->body ? json_loads(request->body, 0, NULL) : NULL;

	(*(get ? &w->gets : post ? &w->posts : &w->puts))++;
	assert_int_equal(strncmp(request->target, w->path, strlen(w->path)), 0);
	assert_string_equal(request->target + strlen(w->path), post ? "" : "/kmetricsd-hpa");
	if (w->status != 0)
		apistub_reply(c, w->status, NULL, w->body);
	else if (!get && w->hang_writes)
		(void)c;
	else if (!get)
		write_lease(w, c, sent, post);
	else if (w->lease)
		reply_json(c, 200, w->lease);
	else
		apistub_reply(c, 404, NULL, "{\"kind\":\"Status\",\"reason\":\"NotFound\"}");
	json_decref(sent);
}

static json_t *spec(struct world *w)
{
	return json_object_get(w->lease, "spec");
}

static const char *holder(struct world *w)
{
	return text_at(w->lease, "spec", "holderIdentity");
}

/* Somebody else's write. */
static void put_lease(struct world *w, const char *uid, const char *holder_identity, int duration_s)
{
	json_t *o = json_pack("{s:s, s:s, s:{s:s, s:s, s:{s:s}}, s:{s:s, s:i, s:i}}", "apiVersion",
		"coordination.k8s.io/v1", "kind", "Lease", "metadata", "name", "kmetricsd-hpa", "namespace",
		"kube-system", "labels", "keep", "me", "spec", "holderIdentity", holder_identity,
		"leaseDurationSeconds", duration_s, "leaseTransitions", 6);

	store(w, o, uid);
	json_decref(o);
}

/* ---- the players ---- */

static void on_gained(void *arg)
{
	struct player *p = arg;

	p->gained++;
	if (p->free_on_gained)
		kube_lease_free(KM_TAKE(p->lease));
	if (p->stop_on_gained)
		kube_lease_stop(p->lease, NULL, NULL);
}

static void on_lost(const char *text, void *arg)
{
	struct player *p = arg;

	p->lost++;
	snprintf(p->lost_text, sizeof(p->lost_text), "%s", text);
	if (p->free_on_lost)
		kube_lease_free(KM_TAKE(p->lease));
}

static void on_trouble(const char *text, void *arg)
{
	struct player *p = arg;

	snprintf(p->trouble, sizeof(p->trouble), "%s", text);
	if (p->free_on_trouble)
		kube_lease_free(KM_TAKE(p->lease));
}

static void on_stopped(void *arg)
{
	((struct player *)arg)->stopped++;
}

static void make_player(struct player *p, struct world *w, const char *host, const char *version)
{
	struct kube_access *access = apistub_access(w->stub, NULL);
	const struct kube_lease_config config = {
		.version = version,
		.namespace_ = "kube-system",
		.name = "kmetricsd-hpa",
		.host = host,
		.retry_us = TICK_US,
		.gained = on_gained,
		.lost = on_lost,
		.trouble = on_trouble,
		.arg = p,
	};
	struct kube_lease_config with_client = config;

	p->w = w;
	assert_int_equal(kube_client_new(w->loop, access, "t", &p->client, NULL), 0);
	kube_access_free(access);
	with_client.client = p->client;
	assert_int_equal(kube_lease_new(&with_client, &p->lease, NULL), 0);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	if (!w || km_loop_new(&w->loop, NULL) < 0)
		return -1;
	w->path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
	w->stub = apistub_new(w->loop, on_request, w);
	w->clock = (struct km_clock_virtual){.monotonic_us = km_now_us(), .wall_ns = km_wall_ns()};
	km_clock_set_virtual(&w->clock);
	make_player(&w->a, w, "host-a", "v1");
	make_player(&w->b, w, "host-b", "v1");
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	kube_lease_free(w->a.lease);
	kube_lease_free(w->b.lease);
	kube_client_free(w->a.client);
	kube_client_free(w->b.client);
	apistub_free(w->stub);
	km_clock_set_virtual(NULL);
	km_loop_free(w->loop);
	json_decref(w->lease);
	free(w);
	return 0;
}

static bool a_gained(void *arg)
{
	struct world *w = arg;

	return w->a.gained == w->target;
}

static bool b_gained(void *arg)
{
	return ((struct world *)arg)->b.gained > 0;
}

static bool a_lost(void *arg)
{
	return ((struct world *)arg)->a.lost > 0;
}

static bool a_stopped(void *arg)
{
	return ((struct world *)arg)->a.stopped > 0;
}

static bool a_troubled(void *arg)
{
	return *((struct world *)arg)->a.trouble;
}

static bool a_untroubled(void *arg)
{
	return !a_troubled(arg);
}

static bool a_gone(void *arg)
{
	return !((struct world *)arg)->a.lease;
}

static bool enough_writes(void *arg)
{
	struct world *w = arg;

	return w->puts >= w->target;
}

static bool enough_reads(void *arg)
{
	struct world *w = arg;

	return w->gets >= w->target;
}

#define UNTIL(cond) assert_true(apistub_until(w->loop, cond, w))

static void writes(struct world *w, unsigned more)
{
	w->target = w->puts + more;
	UNTIL(enough_writes);
}

static void reads(struct world *w, unsigned more)
{
	w->target = w->gets + more;
	UNTIL(enough_reads);
}

static void pass(struct world *w, uint64_t us)
{
	w->clock.monotonic_us += us;
	w->clock.wall_ns += (int64_t)us * 1000; /* a renewal shows by its renewTime */
}

static void a_holds(struct world *w)
{
	kube_lease_start(w->a.lease);
	w->target = 1;
	UNTIL(a_gained);
}
