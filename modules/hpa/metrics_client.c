/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a metric is asked for: which version of custom.metrics.k8s.io is served (for Pods and Object), which resource the
 * object is of (Object), then the request, which is keyed by its path so that equal ones are one. See metrics_client.h.
 */
#include "hpa/metrics_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/map.h"
#include "hpa/api_message.h"
#include "hpa/metrics_reply.h"
#include "kube/discovery.h"
#include "net/url.h"

#define CALL_MAGIC    0x68706d63u
#define REQUEST_MAGIC 0x68706d72u
#define CUSTOM        "custom.metrics.k8s.io"
#define EXTERNAL_PATH "/apis/external.metrics.k8s.io/v1beta1/namespaces/"
#define PATH_LEN_MAX  8000
#define ANSWER_MAX    (HPA_API_MESSAGE_MAX + 100)

enum api { API_CUSTOM, API_EXTERNAL, APIS };

struct hpa_metrics_call {
	uint32_t magic;
	struct hpa_metrics_client *c;
	struct hpa_metrics_call *next, **link; /* in the list of those that wait for the same; NULL: in none */
	const struct hpa_metric *metric;       /* borrowed, like the two below */
	const char *namespace_, *selector;
	struct kube_mapper_call *mapping;
	struct km_timer *timer; /* tells a failure in the loop's next turn */
	char failure[ANSWER_MAX];
	void (*fn)(const struct hpa_metric_answer *answer, void *arg);
	void *arg;
};

/* One request, under way or waiting its turn. */
struct request {
	uint32_t magic;
	struct hpa_metrics_client *c;
	enum api api;
	enum hpa_metric_type type;
	char *path; /* owned; the key */
	struct hpa_metrics_call *calls;
	struct kube_call *call; /* NULL: it waits its turn */
	struct hpa_metrics_reply *reply;
	struct request *next; /* in the queue */
	struct km_err err;    /* why the reply could not be taken */
};

struct hpa_metrics_client {
	struct kube_client *client;
	struct kube_mapper *mapper;
	struct km_map requests; /* by path; values struct request */
	struct {
		struct request *first, **last; /* wait their turn */
		size_t waiting, under_way;
	} apis[APIS];
	/* the version of custom.metrics.k8s.io */
	char version[64];    /* "": none is registered */
	uint64_t version_us; /* when it was learnt; 0: not known */
	struct kube_call *discovery;
	struct hpa_metrics_call *wait_for_version;
	struct hpa_metrics_stats stats;
};

static struct hpa_metrics_call *cast(void *arg)
{
	return KM_CAST(struct hpa_metrics_call, arg, CALL_MAGIC);
}

static enum api api_of(const struct hpa_metrics_call *call)
{
	return call->metric->type == HPA_METRIC_EXTERNAL ? API_EXTERNAL : API_CUSTOM;
}

static void word(enum api api, const char *text, char out[ANSWER_MAX])
{
	snprintf(out, ANSWER_MAX, "unable to fetch metrics from %s metrics API: %s",
		api == API_EXTERNAL ? "external" : "custom", text);
}

/* ---- calls ---- */

static void put_into(struct hpa_metrics_call *call, struct hpa_metrics_call **list)
{
	if ((call->next = *list))
		call->next->link = &call->next;
	call->link = list;
	*list = call;
}

static void take_out(struct hpa_metrics_call *call)
{
	if (!call->link)
		return;
	if ((*call->link = call->next))
		call->next->link = call->link;
	call->link = NULL;
	call->next = NULL;
}

static void call_free(struct hpa_metrics_call *call)
{
	take_out(call);
	kube_mapper_cancel(call->mapping);
	km_timer_free(call->timer);
	call->magic = 0;
	free(call);
}

/* The call is gone before fn, which may cancel others and free the client's owner's rounds. */
static void answer(struct hpa_metrics_call *call, const struct hpa_metric_answer *what)
{
	void (*fn)(const struct hpa_metric_answer *answer, void *arg) = call->fn;
	void *arg = call->arg;

	call_free(call);
	fn(what, arg);
}

static void on_failed(void *arg)
{
	struct hpa_metrics_call *call = cast(arg);
	char failure[ANSWER_MAX];

	memcpy(failure, call->failure, sizeof(failure));
	answer(call, &(const struct hpa_metric_answer){.error = failure});
}

/* Tells it in the loop's next turn: the caller may be in the middle of asking. */
static void fail(struct hpa_metrics_call *call, const char *text)
{
	take_out(call);
	word(api_of(call), text, call->failure);
	km_timer_set(call->timer, 0);
}

/* ---- requests ---- */

static void request_free(struct request *request)
{
	kube_call_cancel(request->call);
	hpa_metrics_reply_free(request->reply);
	free(request->path);
	request->magic = 0;
	free(request);
}

static void forget(struct request *request)
{
	km_map_remove(&request->c->requests, request->path, strlen(request->path));
}

static int on_data(int status, const char *bytes, size_t n, void *arg)
{
	struct request *request = KM_CAST(struct request, arg, REQUEST_MAGIC);

	return hpa_metrics_reply_feed(request->reply, bytes, n, &request->err);
}

/* The reply is whole: what it says. Upstream's client has words of its own for an empty list. */
static void take_reply(struct request *request, struct hpa_metric_answer *ret, char error[ANSWER_MAX])
{
	struct km_err err = {""};
	int r = hpa_metrics_reply_finish(request->reply, &err);

	if (r == 0) {
		ret->pods = hpa_metrics_reply_pods(request->reply, &ret->n);
		ret->values_milli = hpa_metrics_reply_values(request->reply, &ret->n);
		return;
	}
	if (r == -ENODATA && request->type != HPA_METRIC_OBJECT)
		snprintf(error, ANSWER_MAX, "%s", err.text);
	else
		word(request->api, err.text, error);
	ret->error = error;
}

static void start_next(struct hpa_metrics_client *c, enum api api);

static void on_done(const struct kube_result *result, void *arg)
{
	struct request *request = KM_CAST(struct request, arg, REQUEST_MAGIC);
	struct hpa_metrics_client *c = request->c;
	enum api api = request->api;
	struct hpa_metric_answer what = {0};
	char message[HPA_API_MESSAGE_MAX], error[ANSWER_MAX];

	request->call = NULL;
	c->apis[api].under_way--;
	if (result->error == 0) {
		take_reply(request, &what, error);
	} else {
		word(api, request->err.text[0] ? request->err.text : hpa_api_message(result, message), error);
		what.error = error;
	}
	c->stats.failed_total += what.error != NULL;
	forget(request); /* who asks from now on asks anew */
	/* An answer may cancel any other call of this request: the first one until none is left. */
	while (request->calls)
		answer(request->calls, &what);
	request_free(request);
	start_next(c, api);
}

static void start(struct request *request)
{
	struct hpa_metrics_client *c = request->c;
	const struct kube_request http = {
		.method = "GET",
		.path = request->path,
		.deadline_us = HPA_METRICS_DEADLINE_US,
		.on_data = on_data,
		.on_done = on_done,
		.arg = request,
	};
	int r = kube_request_start(c->client, &http, &request->call);

	if (r == 0) {
		c->stats.asked_total++;
		c->apis[request->api].under_way++;
		return;
	}
	forget(request);
	while (request->calls)
		fail(request->calls, strerror(-r));
	request_free(request);
}

static void start_next(struct hpa_metrics_client *c, enum api api)
{
	while (c->apis[api].first && c->apis[api].under_way < HPA_METRICS_ADAPTER_MAX) {
		struct request *request = c->apis[api].first;

		if (!(c->apis[api].first = request->next))
			c->apis[api].last = &c->apis[api].first;
		c->apis[api].waiting--;
		if (request->calls) {
			start(request);
			continue;
		}
		forget(request); /* nobody waits for it any more */
		request_free(request);
	}
}

static struct request *new_request(struct hpa_metrics_client *c, const struct hpa_metrics_call *call, const char *path)
{
	struct request *request = calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	*request = (struct request){
		.magic = REQUEST_MAGIC, .c = c, .api = api_of(call), .type = (enum hpa_metric_type)call->metric->type};
	request->path = strdup(path);
	if (!request->path || hpa_metrics_reply_new(request->type, &request->reply) < 0 ||
		km_map_put(&c->requests, request->path, strlen(request->path), request, NULL) < 0) {
		request_free(request);
		return NULL;
	}
	return request;
}

/* Joins the request of this path, or makes it. */
static void ask(struct hpa_metrics_call *call, const char *path)
{
	struct hpa_metrics_client *c = call->c;
	struct request *request = km_map_get(&c->requests, path, strlen(path));
	enum api api = api_of(call);

	if (request) {
		c->stats.shared_total++;
		put_into(call, &request->calls);
		return;
	}
	if (c->apis[api].waiting >= HPA_METRICS_WAITING_MAX) {
		fail(call, "too many requests wait for it");
		return;
	}
	if (!(request = new_request(c, call, path))) {
		fail(call, "out of memory");
		return;
	}
	put_into(call, &request->calls);
	*c->apis[api].last = request;
	c->apis[api].last = &request->next;
	c->apis[api].waiting++;
	start_next(c, api);
}

/* ---- paths ---- */

static void add_segment(struct km_buf *out, const char *text)
{
	km_buf_addc(out, '/');
	km_url_encode(out, text);
}

static void add_parameter(struct km_buf *out, char *separator, const char *key, const char *value)
{
	if (!*value)
		return;
	km_buf_addf(out, "%c%s=", *separator, key);
	km_url_encode(out, value);
	*separator = '&';
}

static bool is_namespace(const struct hpa_metric *metric)
{
	return strcmp(metric->object_kind, "Namespace") == 0 && !strchr(metric->object_api_version, '/');
}

/* resource: "ingresses.networking.k8s.io" of the object, "" otherwise. */
static void ask_path(struct hpa_metrics_call *call, const char *resource)
{
	const struct hpa_metric *metric = call->metric;
	_cleanup_buf_ struct km_buf path = KM_BUF_INIT(PATH_LEN_MAX);
	char separator = '?';

	if (metric->type == HPA_METRIC_EXTERNAL)
		km_buf_adds(&path, EXTERNAL_PATH);
	else
		km_buf_addf(&path, "/apis/" CUSTOM "/%s/namespaces/", call->c->version);
	km_url_encode(&path, call->namespace_);
	if (metric->type == HPA_METRIC_PODS) {
		km_buf_adds(&path, "/pods/%2A");
	} else if (metric->type == HPA_METRIC_OBJECT && is_namespace(metric)) {
		km_buf_adds(&path, "/metrics"); /* of the HPA's own namespace, whatever the object is called */
	} else if (metric->type == HPA_METRIC_OBJECT) {
		add_segment(&path, resource);
		add_segment(&path, metric->object_name);
	}
	add_segment(&path, metric->name);
	if (metric->type == HPA_METRIC_PODS)
		add_parameter(&path, &separator, "labelSelector", call->selector);
	add_parameter(&path, &separator, metric->type == HPA_METRIC_EXTERNAL ? "labelSelector" : "metricLabelSelector",
		metric->selector.query);
	if (path.error)
		fail(call, path.error == -EMSGSIZE ? "the names in the request are too long" : "out of memory");
	else
		ask(call, path.data);
}

static void on_mapped(struct kube_mapping *mapping, int error, const char *text, void *arg)
{
	struct hpa_metrics_call *call = cast(arg);
	char resource[2 * HPA_TEXT_MAX];

	call->mapping = NULL;
	if (!mapping) {
		fail(call, text);
		return;
	}
	snprintf(resource, sizeof(resource), "%s%s%s", mapping->versions[0].plural, *mapping->group ? "." : "",
		mapping->group);
	kube_mapping_free(mapping);
	ask_path(call, resource);
}

static void ask_for_object(struct hpa_metrics_call *call)
{
	const struct hpa_metric *metric = call->metric;

	if (metric->type != HPA_METRIC_OBJECT || is_namespace(metric))
		ask_path(call, "");
	else if (kube_mapper_find(call->c->mapper, metric->object_api_version, metric->object_kind, on_mapped, call,
			 &call->mapping) < 0)
		fail(call, "out of memory");
}

/* ---- the version of custom.metrics.k8s.io ---- */

/* The preferred one if it is known here, else the newest that is. */
static void choose_version(struct hpa_metrics_client *c, const struct kube_discovery *d)
{
	static const char *const known[] = {"v1beta2", "v1beta1"};
	const char *preferred = kube_discovery_preferred(d, CUSTOM), *chosen = "";

	for (size_t i = KM_ARRAY_LEN(known); i-- > 0;)
		if (kube_discovery_serves(d, CUSTOM, known[i]))
			chosen = known[i];
	for (size_t i = 0; preferred && i < KM_ARRAY_LEN(known); i++)
		if (strcmp(known[i], preferred) == 0)
			chosen = known[i];
	snprintf(c->version, sizeof(c->version), "%s", chosen);
	c->version_us = km_now_us();
}

static void go_on(struct hpa_metrics_call *call)
{
	if (*call->c->version)
		ask_for_object(call);
	else
		fail(call, "no custom metrics API (" CUSTOM ") registered");
}

static void on_discovered(struct kube_discovery *d, const char *text, void *arg)
{
	struct hpa_metrics_client *c = arg;

	c->discovery = NULL;
	if (d)
		choose_version(c, d);
	while (c->wait_for_version) {
		struct hpa_metrics_call *call = c->wait_for_version;

		take_out(call);
		if (d)
			go_on(call);
		else
			fail(call, text);
	}
}

static void ask_for_version(struct hpa_metrics_call *call)
{
	struct hpa_metrics_client *c = call->c;

	if (c->version_us != 0 && km_now_us() - c->version_us < HPA_METRICS_VERSION_US) {
		go_on(call);
		return;
	}
	put_into(call, &c->wait_for_version);
	if (!c->discovery && kube_discover(c->client, on_discovered, c, &c->discovery) < 0)
		while (c->wait_for_version)
			fail(c->wait_for_version, "out of memory");
}

/* ---- the whole ---- */

int hpa_metrics_get(struct hpa_metrics_client *c, const struct hpa_metric *metric, const char *namespace_,
	const char *selector, void (*fn)(const struct hpa_metric_answer *answer, void *arg), void *arg,
	struct hpa_metrics_call **ret)
{
	struct hpa_metrics_call *call = calloc(1, sizeof(*call));

	if (!call)
		return -ENOMEM;
	*call = (struct hpa_metrics_call){.magic = CALL_MAGIC,
		.c = c,
		.metric = metric,
		.namespace_ = namespace_,
		.selector = selector,
		.fn = fn,
		.arg = arg};
	if (km_timer_new(kube_client_loop(c->client), on_failed, call, &call->timer) < 0) {
		call_free(call);
		return -ENOMEM;
	}
	*ret = call;
	if (metric->type == HPA_METRIC_EXTERNAL)
		ask_path(call, "");
	else
		ask_for_version(call);
	return 0;
}

void hpa_metrics_cancel(struct hpa_metrics_call *call)
{
	if (call)
		call_free(cast(call));
}

int hpa_metrics_client_new(struct kube_client *client, struct kube_mapper *mapper, struct hpa_metrics_client **ret)
{
	struct hpa_metrics_client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->client = client;
	c->mapper = mapper;
	for (size_t i = 0; i < APIS; i++)
		c->apis[i].last = &c->apis[i].first;
	*ret = c;
	return 0;
}

void hpa_metrics_client_free(struct hpa_metrics_client *c)
{
	struct km_map_entry *e;
	size_t cursor = 0;

	if (!c)
		return;
	kube_call_cancel(c->discovery);
	while (c->wait_for_version)
		call_free(c->wait_for_version);
	while ((e = km_map_next(&c->requests, &cursor))) {
		struct request *request = e->value;

		while (request->calls)
			call_free(request->calls);
		forget(request);
		request_free(request);
	}
	km_map_free(&c->requests);
	free(c);
}

void hpa_metrics_stats(const struct hpa_metrics_client *c, struct hpa_metrics_stats *ret)
{
	*ret = c->stats;
	for (size_t i = 0; i < APIS; i++) {
		ret->under_way += c->apis[i].under_way;
		ret->waiting += c->apis[i].waiting;
	}
}
