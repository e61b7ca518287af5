/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Custom and external metrics against a scripted API server: what is asked for, what is shared, how many at once, and
 * that an adapter that hangs holds up nobody else.
 */
#include "hpa/metrics_client.h"

#include <errno.h>
#include <stdio.h>

#include "core/clock.h"
#include "tests/unit/support/apistub.h"
#include "tests/unit/support/check.h"

#define CALLS_MAX 64

struct world;

struct waiting {
	struct world *w;
	struct hpa_metrics_call *call, *cancels; /* cancels: another one, when this is answered */
	unsigned answers;
	char text[300];
};

struct world {
	struct km_loop *loop;
	struct apistub *stub;
	struct kube_client *client;
	struct kube_mapper *mapper;
	struct hpa_metrics_client *c;
	const char *versions; /* of custom.metrics.k8s.io in /apis; NULL: it is not there */
	bool hold;            /* external metrics get no answer yet */
	struct apistub_conn *held[CALLS_MAX];
	size_t n_held;
	unsigned discoveries;
	int status;
	const char *body;
	char last[600]; /* target of the last metrics request */
	unsigned requests;
	struct waiting waiting[CALLS_MAX];
	unsigned want;
};

#define VALUE(v) "{\"items\":[{\"describedObject\":{\"name\":\"a\"},\"value\":\"" v "\"}]}"

static void on_request(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct world *w = arg;
	const char *target = request->target;
	char body[1024];

	if (strcmp(target, "/version") == 0) {
		apistub_reply(c, 200, NULL, "{\"gitVersion\":\"v1.20.2\"}");
	} else if (strcmp(target, "/apis") == 0) {
		w->discoveries++;
		snprintf(body, sizeof(body),
			"{\"kind\":\"APIGroupList\",\"groups\":[{\"name\":\"networking.k8s.io\",\"versions\":[{"
			"\"groupVersion\":\"networking.k8s.io/v1\",\"version\":\"v1\"}]}%s%s%s]}",
			w->versions ? ",{\"name\":\"custom.metrics.k8s.io\"," : "", w->versions ? w->versions : "",
			w->versions ? "}" : "");
		apistub_reply(c, 200, NULL, body);
	} else if (strcmp(target, "/apis/networking.k8s.io/v1") == 0) {
		apistub_reply(c, 200, NULL,
			"{\"kind\":\"APIResourceList\",\"resources\":[{\"name\":\"ingresses\",\"namespaced\":true,"
			"\"kind\":"
			"\"Ingress\"}]}");
	} else {
		w->requests++;
		snprintf(w->last, sizeof(w->last), "%s", target);
		if (w->hold && strstr(target, "/external.metrics"))
			w->held[w->n_held++] = c;
		else
			apistub_reply(c, w->status, NULL, w->body);
	}
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct kube_access *access;

	if (!w || km_loop_new(&w->loop, NULL) < 0)
		return -1;
	w->stub = apistub_new(w->loop, on_request, w);
	access = apistub_access(w->stub, NULL);
	assert_int_equal(kube_client_new(w->loop, access, "t", &w->client, NULL), 0);
	kube_access_free(access);
	assert_int_equal(kube_mapper_new(w->client, &w->mapper), 0);
	assert_int_equal(hpa_metrics_client_new(w->client, w->mapper, &w->c), 0);
	w->versions =
		"\"versions\":[{\"version\":\"v1beta1\"},{\"version\":\"v1beta2\"}],\"preferredVersion\":{\"version\":"
		"\"v1beta1\"}";
	w->status = 200;
	w->body = VALUE("5");
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	hpa_metrics_client_free(w->c);
	kube_mapper_free(w->mapper);
	kube_client_free(w->client);
	apistub_free(w->stub);
	km_loop_free(w->loop);
	free(w);
	return 0;
}

static void on_answer(const struct hpa_metric_answer *answer, void *arg)
{
	struct waiting *waiting = arg;
	size_t len = 0;

	waiting->call = NULL;
	waiting->answers++;
	*waiting->text = '\0';
	if (answer->error)
		snprintf(waiting->text, sizeof(waiting->text), "%s", answer->error);
	for (size_t i = 0; !answer->error && i < answer->n; i++)
		len += (size_t)snprintf(waiting->text + len, sizeof(waiting->text) - len, "%lld ",
			(long long)(answer->pods ? answer->pods[i].value_milli : answer->values_milli[i]));
	hpa_metrics_cancel(KM_TAKE(waiting->cancels));
}

static void get(struct world *w, size_t i, const struct hpa_metric *metric)
{
	w->waiting[i] = (struct waiting){.w = w};
	assert_int_equal(hpa_metrics_get(w->c, metric, "shop", "app=web,tier in (a,b)", on_answer, &w->waiting[i],
				 &w->waiting[i].call),
		0);
	assert_int_equal(w->waiting[i].answers, 0); /* never from inside */
}

static bool all_answered(void *arg)
{
	const struct world *w = arg;

	for (size_t i = 0; i < w->want; i++)
		if (w->waiting[i].answers == 0)
			return false;
	return true;
}

static bool enough_held(void *arg)
{
	const struct world *w = arg;

	return w->n_held >= w->want;
}

static void wait_for(struct world *w, bool (*cond)(void *arg), unsigned want)
{
	w->want = want;
	assert_true(apistub_until(w->loop, cond, w));
}

static const struct hpa_metric pods = {.type = HPA_METRIC_PODS, .name = "qps", .selector = {.query = "env=prod"}};
static const struct hpa_metric ingress = {.type = HPA_METRIC_OBJECT,
	.name = "rps/s",
	.object_api_version = "networking.k8s.io/v1",
	.object_kind = "Ingress",
	.object_name = "main",
	.selector = {.query = ""}};
static const struct hpa_metric wagon = {.type = HPA_METRIC_OBJECT,
	.name = "rps",
	.object_api_version = "networking.k8s.io/v1",
	.object_kind = "Wagon",
	.object_name = "main",
	.selector = {.query = ""}};
static const struct hpa_metric namespace_ = {.type = HPA_METRIC_OBJECT,
	.name = "rps",
	.object_api_version = "v1",
	.object_kind = "Namespace",
	.object_name = "elsewhere",
	.selector = {.query = "a=b"}};
static const struct hpa_metric queue = {
	.type = HPA_METRIC_EXTERNAL, .name = "queue", .selector = {.query = "q in (x,y)"}};

/* The paths are upstream's clients'. */
static void test_paths(void **state)
{
	static const struct {
		const struct hpa_metric *metric;
		const char *path, *text;
	} rows[] = {
		{&pods,
			"/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/pods/%2A/"
			"qps?labelSelector=app%3Dweb%2Ctier%20in%20%28a%2Cb%29&metricLabelSelector=env%3Dprod",
			"5000 "},
		{&ingress,
			"/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/ingresses.networking.k8s.io/main/rps%2Fs",
			"5000 "},
		{&namespace_,
			"/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/metrics/rps?metricLabelSelector=a%3Db",
			"5000 "},
		{&queue,
			"/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/"
			"queue?labelSelector=q%20in%20%28x%2Cy%29",
			"5000 "},
		{&wagon, NULL,
			"unable to fetch metrics from custom metrics API: no matches for kind \"Wagon\" in group "
			"\"networking.k8s.io\""},
	};
	struct world *w = *state;

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		*w->last = '\0';
		get(w, 0, rows[i].metric);
		wait_for(w, all_answered, 1);
		assert_string_equal(w->last, rows[i].path ? rows[i].path : "");
		assert_string_equal(w->waiting[0].text, rows[i].text);
	}
	assert_int_equal(w->discoveries, 2); /* the version's, and the mapper's: both are remembered */
}

static void test_versions(void **state)
{
	static const struct {
		const char *versions, *wanted;
	} rows[] = {
		{"\"versions\":[{\"version\":\"v1beta1\"},{\"version\":\"v1beta2\"}],\"preferredVersion\":{\"version\":"
		 "\"v1beta2\"}",
			"/v1beta2/"},
		{"\"versions\":[{\"version\":\"v1\"},{\"version\":\"v1beta1\"}],\"preferredVersion\":{\"version\":"
		 "\"v1\"}",
			"/v1beta1/"},
		{"\"versions\":[{\"version\":\"v1beta2\"}]", "/v1beta2/"},
		{"\"versions\":[{\"version\":\"v9\"}]", NULL},
		{NULL, NULL},
	};
	struct world *w = *state;

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		hpa_metrics_client_free(w->c);
		assert_int_equal(hpa_metrics_client_new(w->client, w->mapper, &w->c), 0);
		w->versions = rows[i].versions;
		*w->last = '\0';
		get(w, 0, &pods);
		wait_for(w, all_answered, 1);
		if (rows[i].wanted)
			assert_non_null(strstr(w->last, rows[i].wanted));
		else
			assert_string_equal(w->waiting[0].text,
				"unable to fetch metrics from custom metrics API: no custom metrics API "
				"(custom.metrics.k8s.io) registered");
	}
}

static void test_errors(void **state)
{
	static const struct {
		const struct hpa_metric *metric;
		int status;
		const char *body, *text;
	} rows[] = {
		{&pods, 404, "{\"kind\":\"Status\",\"message\":\"the server could not find the metric qps for pods\"}",
			"unable to fetch metrics from custom metrics API: the server could not find the metric qps for "
			"pods"},
		{&queue, 503, "away", "unable to fetch metrics from external metrics API: GET /apis/external"},
		{&queue, 200, "{\"items\":[]}", "no metrics returned from external metrics API"},
		{&pods, 200, "{\"items\":[]}", "no metrics returned from custom metrics API"},
		{&ingress, 200, "{\"items\":[]}",
			"unable to fetch metrics from custom metrics API: the custom metrics API server returned 0 "
			"results"},
		{&queue, 200, "{\"items\":[{\"value\":\"x\"}]}",
			"unable to fetch metrics from external metrics API: the metrics API's reply has a value that "
			"is no "
			"quantity"},
		{&queue, 200, "<html>", "unable to fetch metrics from external metrics API: "},
	};
	struct world *w = *state;
	struct hpa_metrics_stats stats;

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		w->status = rows[i].status;
		w->body = rows[i].body;
		get(w, 0, rows[i].metric);
		wait_for(w, all_answered, 1);
		if (strncmp(w->waiting[0].text, rows[i].text, strlen(rows[i].text)) != 0)
			fail_msg("row %zu: %s", i, w->waiting[0].text);
	}
	hpa_metrics_stats(w->c, &stats);
	assert_int_equal(stats.failed_total, KM_ARRAY_LEN(rows));
	assert_int_equal(stats.under_way, 0);
}

/* Who asks the same shares one request; one of them may go, or take another one with it. */
static void test_shared(void **state)
{
	struct world *w = *state;
	struct hpa_metrics_stats stats;

	w->hold = true;
	for (size_t i = 0; i < 5; i++)
		get(w, i, &queue);
	wait_for(w, enough_held, 1);
	hpa_metrics_cancel(KM_TAKE(w->waiting[3].call));
	w->waiting[4].cancels = w->waiting[1].call; /* the last one is answered first */
	apistub_reply(w->held[0], 200, NULL, VALUE("7"));
	w->waiting[1].answers = w->waiting[3].answers = 1;
	wait_for(w, all_answered, 5);
	assert_string_equal(w->waiting[0].text, "7000 ");
	assert_string_equal(w->waiting[1].text, "");
	assert_string_equal(w->waiting[2].text, "7000 ");
	assert_string_equal(w->waiting[3].text, "");
	assert_string_equal(w->waiting[4].text, "7000 ");
	assert_int_equal(w->requests, 1);
	hpa_metrics_stats(w->c, &stats);
	assert_int_equal(stats.asked_total, 1);
	assert_int_equal(stats.shared_total, 4);
}

/* An external adapter that hangs: so many wait for it and no more, and custom metrics come all the same. */
static void test_hung_adapter(void **state)
{
	struct world *w = *state;
	struct hpa_metric metrics[HPA_METRICS_ADAPTER_MAX + 4];
	char names[HPA_METRICS_ADAPTER_MAX + 4][16];
	size_t n = KM_ARRAY_LEN(metrics);
	struct hpa_metrics_stats stats;

	w->hold = true;
	for (size_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "queue%zu", i);
		metrics[i] = queue;
		metrics[i].name = names[i];
		get(w, i + 1, &metrics[i]);
	}
	wait_for(w, enough_held, HPA_METRICS_ADAPTER_MAX);
	hpa_metrics_stats(w->c, &stats);
	assert_int_equal(stats.under_way, HPA_METRICS_ADAPTER_MAX);
	assert_int_equal(stats.waiting, 4);
	get(w, 0, &pods);
	wait_for(w, all_answered, 1);
	assert_string_equal(w->waiting[0].text, "5000 ");
	assert_int_equal(w->n_held, HPA_METRICS_ADAPTER_MAX);

	hpa_metrics_cancel(KM_TAKE(w->waiting[n].call)); /* the last one has not had its turn, and needs none now */
	w->waiting[n].answers = 1;
	w->hold = false;
	for (size_t i = 0; i < w->n_held; i++)
		apistub_reply(w->held[i], 200, NULL, VALUE("1"));
	wait_for(w, all_answered, (unsigned)n + 1);
	hpa_metrics_stats(w->c, &stats);
	assert_int_equal(stats.asked_total, n); /* pods and all external ones but the cancelled */
	assert_int_equal(stats.under_way + stats.waiting, 0);
}

/* Freed with calls at every stage: the sanitizers look on. */
static void test_freed_in_the_middle(void **state)
{
	struct world *w = *state;

	w->hold = true;
	get(w, 0, &queue);
	wait_for(w, enough_held, 1);
	get(w, 1, &queue);
	get(w, 2, &pods);
	get(w, 3, &ingress);
	hpa_metrics_client_free(w->c);
	w->c = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hung_adapter, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freed_in_the_middle, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
