/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scene of the controller's tests: a scripted API server with two pods and a Deployment, usage of the pods, and the
 * right to write. Included by one test program.
 */
#pragma once

#include "hpa/controller.h"

#include <errno.h>
#include <stdio.h>

#include "core/clock.h"
#include "tests/unit/support/apistub.h"
#include "tests/unit/support/check.h"

#define HELD_MAX 64

struct world {
	struct km_loop *loop;
	struct apistub *stub;
	struct kube_client *client;
	struct kube_cluster *cluster;
	struct kube_mapper *mapper;
	struct hpa_events *events;
	struct kube_scales *scales;
	struct hpa_controller *controller;
	struct km_context ctx;
	struct km_usage_source usage;
	struct hpa_options options;
	bool may_write, usage_ready;
	unsigned usage_milli; /* of each pod */
	void (*landed)(const char *node, void *arg);
	void *landed_arg;

	/* the API server */
	const char *target_kinds; /* of apps/v1 */
	int status_code;          /* of the answer to a status write */
	bool hold;                /* GETs of the scale get no answer yet */
	struct apistub_conn *held[HELD_MAX];
	size_t n_held;
	bool tells_deployments;           /* to whoever lists them */
	struct apistub_conn *deployments; /* their watch; NULL: none */
	unsigned scale_gets, scale_puts, status_puts, event_posts;
	int32_t replicas, put_replicas;
	json_t *status;           /* owned: of the last status write */
	json_t *state;            /* owned: the first ConfigMap of the controller's state; NULL: it is not there */
	unsigned version, newest; /* of the answer to the next status write; older ones conflict */
	char last_name[64];       /* of the HPA whose status was written last */
	/* conditions to wait for */
	unsigned want;
};

#define POD(name)                                                                                                     \
	"{\"metadata\":{\"namespace\":\"shop\",\"name\":\"" name "\",\"uid\":\"" name                                 \
	"\",\"resourceVersion\":\"1\",\"labels\":{\"app\":\"web\"}},\"spec\":{\"nodeName\":"                          \
	"\"n1\",\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"100m\"}}}]},\"status\":{"      \
	"\"phase\":\"Running\",\"startTime\":\"2020-01-01T00:00:00Z\",\"conditions\":[{\"type\":\"Ready\",\"status\"" \
	":\"True\",\"lastTransitionTime\":\"2020-01-01T00:00:10Z\"}],\"containerStatuses\":[{\"name\":\"c\","         \
	"\"ready\":true,\"state\":{\"running\":{\"startedAt\":\"2020-01-01T00:00:05Z\"}}}]}}"
#define DEPLOYMENT(version, replicas)                                                                            \
	"{\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"u\",\"resourceVersion\":\"" version    \
	"\"},\"spec\":{\"replicas\":" replicas ",\"selector\":{\"matchLabels\":{\"app\":\"web\"}}},\"status\":{" \
	"\"replicas\":" replicas "}}"
#define LIST(items) "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[" items "]}"
#define DEPLOYMENTS                                                                                         \
	"{\"name\":\"deployments\",\"namespaced\":true,\"kind\":\"Deployment\"},"                           \
	"{\"name\":\"deployments/scale\",\"namespaced\":true,\"group\":\"autoscaling\",\"version\":\"v1\"," \
	"\"kind\":\"Scale\"}"

/* ---- the API server ---- */

static void reply_scale(struct world *w, struct apistub_conn *c)
{
	char body[512];

	snprintf(body, sizeof(body),
		"{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/v1\",\"metadata\":{\"name\":\"web\",\"namespace\":"
		"\"shop\",\"resourceVersion\":\"7\"},\"spec\":{\"replicas\":%d},\"status\":{\"replicas\":%d,"
		"\"selector\":\"app=web\"}}",
		(int)w->replicas, (int)w->replicas);
	apistub_reply(c, 200, NULL, body);
}

static void on_scale(struct world *w, struct apistub_conn *c, const struct apistub_request *request)
{
	json_t *object;

	if (strcmp(request->method, "GET") == 0) {
		w->scale_gets++;
		if (w->hold) {
			assert_true(w->n_held < HELD_MAX);
			w->held[w->n_held++] = c;
			return;
		}
		reply_scale(w, c);
		return;
	}
	assert_string_equal(request->method, "PUT");
	object = json_loads(request->body, 0, NULL);
	w->put_replicas = (int32_t)json_integer_value(json_object_get(json_object_get(object, "spec"), "replicas"));
	json_decref(object);
	w->replicas = w->put_replicas;
	w->scale_puts++;
	apistub_reply(c, 200, NULL, request->body);
}

static void on_status(struct world *w, struct apistub_conn *c, const struct apistub_request *request)
{
	json_t *object = json_loads(request->body, 0, NULL), *metadata = json_object_get(object, "metadata");
	_cleanup_free_ char *body = NULL;
	char version[16];

	assert_non_null(object);
	if (strtoul(json_string_value(json_object_get(metadata, "resourceVersion")), NULL, 10) < w->newest) {
		json_decref(object);
		apistub_reply(c, 409, NULL, "{\"kind\":\"Status\"}");
		return;
	}
	w->status_puts++;
	snprintf(w->last_name, sizeof(w->last_name), "%s", json_string_value(json_object_get(metadata, "name")));
	json_decref(w->status);
	w->status = json_incref(json_object_get(object, "status"));
	snprintf(version, sizeof(version), "%u", ++w->version);
	json_object_set_new(metadata, "resourceVersion", json_string(version));
	body = json_dumps(object, 0);
	json_decref(object);
	apistub_reply(c, w->status_code, NULL, w->status_code == 200 ? body : "{\"kind\":\"Status\"}");
}

static void on_state(struct world *w, struct apistub_conn *c, const struct apistub_request *request)
{
	_cleanup_free_ char *body = NULL;

	if (strcmp(request->method, "GET") != 0) {
		json_decref(w->state);
		w->state = json_loads(request->body, 0, NULL);
		json_object_set_new(json_object_get(w->state, "metadata"), "resourceVersion", json_string("5"));
	}
	body = w->state ? json_dumps(w->state, 0) : NULL;
	apistub_reply(c, body ? 200 : 404, NULL, body ? body : "{\"kind\":\"Status\",\"reason\":\"NotFound\"}");
}

static void on_request(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct world *w = arg;
	const char *target = request->target;
	char body[1024];

	if (strstr(target, "watch=1")) {
		apistub_stream(c, 200);
		if (strstr(target, "/deployments?"))
			w->deployments = c;
	} else if (strncmp(target, "/apis/apps/v1/deployments?", 26) == 0) {
		if (w->tells_deployments)
			apistub_reply(c, 200, NULL, LIST(DEPLOYMENT("7", "3")));
		else
			apistub_reply(c, 403, NULL, "{\"kind\":\"Status\"}");
	} else if (strncmp(target, "/api/v1/pods?", 13) == 0) {
		apistub_reply(c, 200, NULL, LIST(POD("a") "," POD("b")));
	} else if (strncmp(target, "/api/v1/nodes?", 14) == 0 || strstr(target, "/configmaps?")) {
		apistub_reply(c, 200, NULL, LIST(""));
	} else if (strncmp(target, "/api/v1/namespaces/kube-system/configmaps", 41) == 0) {
		on_state(w, c, request);
	} else if (strcmp(target, "/apis") == 0) {
		apistub_reply(c, 200, NULL,
			"{\"kind\":\"APIGroupList\",\"groups\":[{\"name\":\"apps\",\"versions\":[{\"groupVersion\":"
			"\"apps/v1\",\"version\":\"v1\"}],\"preferredVersion\":{\"version\":\"v1\"}}]}");
	} else if (strcmp(target, "/apis/apps/v1") == 0) {
		snprintf(body, sizeof(body), "{\"kind\":\"APIResourceList\",\"resources\":[%s]}", w->target_kinds);
		apistub_reply(c, 200, NULL, body);
	} else if (strstr(target, "/deployments/web/scale")) {
		on_scale(w, c, request);
	} else if (strstr(target, "/horizontalpodautoscalers/")) {
		on_status(w, c, request);
	} else if (strstr(target, "/events")) {
		w->event_posts++;
		apistub_reply(c, 201, NULL, request->body);
	} else {
		fail_msg("unexpected %s %s", request->method, target);
	}
}

/* ---- around the controller ---- */

static int usage_of(const struct kube_pod *pod, void *arg, struct km_pod_usage *ret)
{
	static struct km_container_usage container = {.name = "c"};
	const struct world *w = arg;

	container.cpu_nanocores = (uint64_t)w->usage_milli * 1000 * 1000;

	*ret = (struct km_pod_usage){.time_ns = km_wall_ns(),
		.window_ns = 15 * KM_NSEC_PER_SEC,
		.containers = &container,
		.n_containers = 1};
	return 0;
}

static void usage_listen(void (*fn)(const char *node, void *arg), void *fn_arg, void *arg)
{
	struct world *w = arg;

	w->landed = fn;
	w->landed_arg = fn_arg;
}

static bool usage_ready(void *arg, const char **ret_why)
{
	*ret_why = "not yet";
	return ((struct world *)arg)->usage_ready;
}

static bool may_write(void *arg)
{
	return ((struct world *)arg)->may_write;
}

static bool until(struct world *w, bool (*cond)(void *arg))
{
	return apistub_until(w->loop, cond, w);
}

static bool pods_are_known(void *arg)
{
	return kube_cluster_pods_synced(((struct world *)arg)->cluster);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct hpa_events_config events = {.api_version = "autoscaling/v2", .retry_us = 1000};
	struct hpa_controller_config config;
	struct kube_access *access;

	if (!w || km_loop_new(&w->loop, NULL) < 0)
		return -1;
	w->stub = apistub_new(w->loop, on_request, w);
	access = apistub_access(w->stub, NULL);
	assert_int_equal(kube_client_new(w->loop, access, "t", &w->client, NULL), 0);
	kube_access_free(access);
	assert_int_equal(kube_cluster_new(w->client, &w->cluster, NULL), 0);
	assert_int_equal(kube_cluster_start(w->cluster, NULL), 0);
	assert_int_equal(kube_mapper_new(w->client, &w->mapper), 0);
	events.client = w->client;
	assert_int_equal(hpa_events_new(&events, &w->events), 0);
	assert_int_equal(kube_scales_new(w->client, &w->scales), 0);
	w->target_kinds = DEPLOYMENTS;
	w->status_code = 200;
	w->replicas = 3;
	w->version = 100;
	w->may_write = w->usage_ready = true;
	w->usage_milli = 200;
	w->usage = (struct km_usage_source){.pod = usage_of, .ready = usage_ready, .listen = usage_listen, .arg = w};
	w->ctx = (struct km_context){.loop = w->loop, .client = w->client, .cluster = w->cluster, .usage = &w->usage};
	/* what is not due at once would be due in an hour: whatever comes earlier was asked for */
	w->options = (struct hpa_options){.sync_period = 3600 * KM_NSEC_PER_SEC,
		.downscale_stabilization = 300 * KM_NSEC_PER_SEC,
		.cpu_initialization_period = 300 * KM_NSEC_PER_SEC,
		.initial_readiness_delay = 30 * KM_NSEC_PER_SEC,
		.tolerance = 0.1};
	config = (struct hpa_controller_config){.ctx = &w->ctx,
		.version = HPA_V2,
		.mapper = w->mapper,
		.events = w->events,
		.scales = w->scales,
		.options = &w->options,
		.may_write = may_write,
		.arg = w};
	assert_int_equal(hpa_controller_new(&config, &w->controller), 0);
	assert_true(until(w, pods_are_known));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	hpa_controller_free(w->controller);
	hpa_events_free(w->events);
	kube_scales_free(w->scales);
	kube_mapper_free(w->mapper);
	kube_cluster_free(w->cluster);
	kube_client_free(w->client);
	apistub_free(w->stub);
	km_loop_free(w->loop);
	json_decref(w->status);
	json_decref(w->state);
	free(w);
	return 0;
}

/* ---- telling and looking ---- */

static json_t *hpa(const char *name, unsigned version, int max, const char *kind)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", version);
	return json_pack("{s:{s:s, s:s, s:s, s:s}, s:{s:{s:s, s:s, s:s}, s:i, s:i, s:[{s:s, s:{s:s, s:{s:s, s:i}}}]}}",
		"metadata", "namespace", "shop", "name", name, "uid", name, "resourceVersion", text, "spec",
		"scaleTargetRef", "apiVersion", "apps/v1", "kind", kind, "name", "web", "minReplicas", 1, "maxReplicas",
		max, "metrics", "type", "Resource", "resource", "name", "cpu", "target", "type", "Utilization",
		"averageUtilization", 50);
}

static void tell(struct world *w, enum kube_event event, const char *name, unsigned version, int max)
{
	json_t *object = hpa(name, version, max, "Deployment");

	assert_int_equal(hpa_controller_object(w->controller, event, object, NULL), 0);
	json_decref(object);
}

static struct hpa_controller_counters counters(const struct world *w)
{
	struct hpa_controller_counters c;

	hpa_controller_counters(w->controller, &c);
	return c;
}

/* Of the first HPA. */
static inline const char *state_of(const struct world *w, const char *member, char *out, size_t size)
{
	json_t *list = hpa_controller_status(w->controller);
	json_t *value = json_object_get(json_array_get(list, 0), member);

	if (json_is_integer(value))
		snprintf(out, size, "%d", (int)json_integer_value(value));
	else
		snprintf(out, size, "%s", json_string_value(value) ? json_string_value(value) : "?");
	json_decref(list);
	return out;
}

static bool wanted_statuses(void *arg)
{
	const struct world *w = arg;

	return w->status_puts >= w->want && counters(w).status_writes_total >= w->want;
}

static inline bool wanted_rounds(void *arg)
{
	const struct world *w = arg;

	return counters(w).rounds_total >= w->want;
}

static inline bool wanted_held(void *arg)
{
	const struct world *w = arg;

	return w->n_held >= w->want;
}

static bool wanted_rounds_over(void *arg)
{
	const struct world *w = arg;
	json_t *list = hpa_controller_status(w->controller), *one;
	size_t i, over = 0;

	json_array_foreach(list, i, one) over += json_number_value(json_object_get(one, "last_round_seconds_ago")) >= 0;
	json_decref(list);
	return over >= w->want;
}

static inline bool an_event_came(void *arg)
{
	return ((struct world *)arg)->event_posts > 0;
}

static bool scale_was_put(void *arg)
{
	return ((struct world *)arg)->scale_puts > 0;
}

static void wait_for(struct world *w, bool (*cond)(void *arg), unsigned want)
{
	w->want = want;
	assert_true(until(w, cond));
}

static inline void release(struct world *w)
{
	w->hold = false;
	for (size_t i = 0; i < w->n_held; i++)
		reply_scale(w, w->held[i]);
	w->n_held = 0;
}
