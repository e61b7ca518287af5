/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event recorder against a scripted API server: what is written, counting by PATCH, retries, limits.
 */
#include "hpa/events.h"

#include <stdio.h>

#include "core/log.h"
#include "hpa/event_correlator.h"
#include "tests/unit/support/apistub.h"
#include "tests/unit/support/check.h"

struct world {
	struct km_clock_virtual clock;
	struct km_loop *loop;
	struct apistub *stub;
	struct kube_client *client;
	struct hpa_events *events;
	const int *statuses; /* answered one after the other; the last one again and again; 0: no answer */
	const char *body;
	struct km_buf log; /* requests */
	json_t *sent;      /* the last body */
	char head[2048];
	unsigned requests, want;
	unsigned warnings, notices;
	char line[512];
};

static void on_request(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct world *w = arg;
	int status = *w->statuses;

	if (w->statuses[1] >= 0)
		w->statuses++;
	km_buf_addf(&w->log, "%s %s; ", request->method, request->target);
	snprintf(w->head, sizeof(w->head), "%s", request->head);
	json_decref(w->sent);
	w->sent = json_loads(request->body, 0, NULL);
	w->requests++;
	if (status != 0)
		apistub_reply(c, status, NULL, w->body ? w->body : "{}");
}

static void on_line(int level, const struct km_log_fields *fields, const char *text, void *arg)
{
	struct world *w = arg;

	(*(level == LOG_WARNING ? &w->warnings : &w->notices))++;
	snprintf(w->line, sizeof(w->line), "%s", text);
}

static void make_events(struct world *w, uint64_t retry_us)
{
	const struct hpa_events_config config = {
		.client = w->client, .api_version = "autoscaling/v2", .retry_us = retry_us};

	hpa_events_free(w->events);
	assert_int_equal(hpa_events_new(&config, &w->events), 0);
}

static int setup(void **state)
{
	static const int fine[] = {201, -1};
	struct world *w = calloc(1, sizeof(*w));
	struct kube_access *access;

	if (!w || km_loop_new(&w->loop, NULL) < 0)
		return -1;
	w->statuses = fine;
	w->log = KM_BUF_INIT(1024 * 1024);
	km_buf_adds(&w->log, "");
	w->stub = apistub_new(w->loop, on_request, w);
	access = apistub_access(w->stub, NULL);
	w->clock = (struct km_clock_virtual){
		.monotonic_us = 1000 * KM_USEC_PER_SEC, .wall_ns = INT64_C(1767323045) * KM_NSEC_PER_SEC};
	km_clock_set_virtual(&w->clock);
	km_log_set_sink(on_line, w);
	assert_int_equal(kube_client_new(w->loop, access, "t", &w->client, NULL), 0);
	kube_access_free(access);
	make_events(w, 1000);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	hpa_events_free(w->events);
	kube_client_free(w->client);
	apistub_free(w->stub);
	km_clock_set_virtual(NULL);
	km_log_set_sink(NULL, NULL);
	km_loop_free(w->loop);
	km_buf_free(&w->log);
	json_decref(w->sent);
	free(w);
	return 0;
}

static struct hpa_events_counters counters(struct world *w)
{
	struct hpa_events_counters c;

	hpa_events_counters(w->events, &c);
	return c;
}

static bool is_empty(void *arg)
{
	return counters(arg).queued == 0;
}

static bool enough(void *arg)
{
	struct world *w = arg;

	return w->requests >= w->want;
}

static void post(struct world *w, const char *name, const char *type, const char *reason, const char *message)
{
	json_t *hpa = json_pack("{s:{s:s, s:s, s:s, s:s}}", "metadata", "namespace", "ns", "name", name, "uid", "u-1",
		"resourceVersion", "42");

	hpa_events_post(w->events, hpa, type, reason, message);
	json_decref(hpa);
}

static void expect_requests(struct world *w, const char *log)
{
	assert_true(apistub_until(w->loop, is_empty, w));
	assert_string_equal(w->log.data, log);
	km_buf_reset(&w->log);
	km_buf_adds(&w->log, "");
}

static void expect_body(struct world *w, const char *body)
{
	json_t *expected = json_loads(body, 0, NULL);

	if (!expected || !json_equal(expected, w->sent)) {
		char *sent = json_dumps(w->sent, 0);

		fail_msg("%s\nis not\n%s", sent, body);
	}
	json_decref(expected);
}

/* the virtual clock at the start */
#define T0 "2026-01-02T03:04:05Z"

static void test_written_and_counted(void **state)
{
	struct world *w = *state;
	char name[64];

	snprintf(name, sizeof(name), "web.%llx", (unsigned long long)w->clock.wall_ns);
	post(w, "web", "Normal", "SuccessfulRescale", "New size: 3; reason: x");
	assert_int_equal(w->requests, 0);
	expect_requests(w, "POST /api/v1/namespaces/ns/events; ");
	assert_string_equal(json_string_value(json_object_get(json_object_get(w->sent, "metadata"), "name")), name);
	json_object_set_new(json_object_get(w->sent, "metadata"), "name", json_string("N"));
	expect_body(w, "{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{\"name\":\"N\",\"namespace\":\"ns\"},"
		       "\"involvedObject\":{\"kind\":\"HorizontalPodAutoscaler\",\"namespace\":\"ns\",\"name\":\"web\","
		       "\"uid\":\"u-1\",\"apiVersion\":\"autoscaling/v2\",\"resourceVersion\":\"42\"},"
		       "\"type\":\"Normal\",\"reason\":\"SuccessfulRescale\",\"message\":\"New size: 3; reason: x\","
		       "\"count\":1,\"firstTimestamp\":\"" T0 "\",\"lastTimestamp\":\"" T0 "\","
		       "\"source\":{\"component\":\"horizontal-pod-autoscaler\"},"
		       "\"reportingComponent\":\"horizontal-pod-autoscaler\",\"reportingInstance\":\"\"}");
	w->clock.wall_ns += 15 * KM_NSEC_PER_SEC;
	w->clock.monotonic_us += 15 * KM_USEC_PER_SEC;
	post(w, "web", "Normal", "SuccessfulRescale", "New size: 3; reason: x");
	assert_true(apistub_until(w->loop, is_empty, w));
	assert_int_equal(strncmp(w->log.data, "PATCH /api/v1/namespaces/ns/events/web.", 39), 0);
	assert_non_null(strstr(w->log.data, name));
	assert_non_null(strstr(w->head, "application/merge-patch+json"));
	expect_body(
		w, "{\"count\":2,\"lastTimestamp\":\"2026-01-02T03:04:20Z\",\"message\":\"New size: 3; reason: x\"}");
	assert_int_equal(counters(w).written, 2);
}

static void test_expired(void **state)
{
	static const int statuses[] = {201, 404, 201, -1};
	struct world *w = *state;
	char log[512];

	w->statuses = statuses;
	post(w, "web", "Warning", "R", "m");
	post(w, "web", "Warning", "R", "m");
	snprintf(log, sizeof(log),
		"POST /api/v1/namespaces/ns/events; PATCH /api/v1/namespaces/ns/events/web.%llx; POST "
		"/api/v1/namespaces/ns/events; ",
		(unsigned long long)w->clock.wall_ns);
	expect_requests(w, log);
	assert_int_equal(json_integer_value(json_object_get(w->sent, "count")), 2);
	assert_int_equal(counters(w).written, 2);
}

static void test_combined_and_filtered(void **state)
{
	struct world *w = *state;
	char message[32];

	for (int i = 0; i < 30; i++) {
		snprintf(message, sizeof(message), "m%d", i);
		w->clock.wall_ns++;
		post(w, "web", "Warning", "R", message);
	}
	assert_true(apistub_until(w->loop, is_empty, w));
	assert_int_equal(counters(w).written, 25);
	assert_int_equal(counters(w).filtered, 5);
	assert_int_equal(json_integer_value(json_object_get(w->sent, "count")), 16); /* m9 to m24 */
	assert_string_equal(
		json_string_value(json_object_get(w->sent, "message")), "(combined from similar events): m24");
}

static void test_retries(void **state)
{
	static const int busy[] = {429, 503, 500, 201, -1}, dead[] = {500, -1};
	struct world *w = *state;

	w->statuses = busy;
	post(w, "web", "Warning", "R", "m");
	assert_true(apistub_until(w->loop, is_empty, w));
	assert_int_equal(w->requests, 4);
	assert_int_equal(counters(w).written, 1);
	assert_int_equal(w->warnings, 0);
	/* Twelve tries, then the next one's turn. */
	w->statuses = dead;
	w->requests = 0;
	post(w, "a", "Warning", "R", "m");
	post(w, "b", "Warning", "R", "m");
	assert_true(apistub_until(w->loop, is_empty, w));
	assert_int_equal(w->requests, 24);
	assert_int_equal(counters(w).dropped, 2);
	assert_int_equal(w->warnings, 1);
	assert_non_null(strstr(w->line, "cannot be written"));
	/* A server that is away, and is back. */
	w->statuses = (const int[]){201, -1};
	make_events(w, 3000);
	apistub_stop(w->stub);
	post(w, "a", "Warning", "R", "m");
	apistub_restart(w->stub);
	assert_true(apistub_until(w->loop, is_empty, w));
	assert_int_equal(counters(w).written, 1);
}

static void test_refused(void **state)
{
	static const int refused[] = {403, 403, 404, 409, 422, 201, -1};
	struct world *w = *state;

	w->statuses = refused;
	w->body = "{\"kind\":\"Status\",\"message\":\"events is forbidden\"}";
	for (int i = 0; i < 5; i++) {
		char name[8];

		snprintf(name, sizeof(name), "h%d", i);
		post(w, name, "Warning", "R", "m");
	}
	assert_true(apistub_until(w->loop, is_empty, w));
	assert_int_equal(w->requests, 5); /* none of them twice */
	assert_int_equal(counters(w).dropped, 5);
	assert_int_equal(w->warnings, 1); /* once */
	assert_non_null(strstr(w->line, "events is forbidden"));
	post(w, "x", "Warning", "R", "m");
	assert_true(apistub_until(w->loop, is_empty, w));
	assert_int_equal(w->notices, 1);
	/* A namespace that is going away is no trouble. */
	w->statuses = (const int[]){403, -1};
	w->body = "{\"message\":\"unable to create new content in namespace ns because it is being terminated\"}";
	post(w, "y", "Warning", "R", "m");
	assert_true(apistub_until(w->loop, is_empty, w));
	assert_int_equal(w->warnings, 1);
}

static void test_limits(void **state)
{
	static const int silent[] = {0, -1};
	struct world *w = *state;
	char name[16], message[HPA_EVENT_MESSAGE_MAX + 16];

	/* Texts: cut between characters; bytes that are no text replaced. */
	memset(message, 'x', sizeof(message));
	strcpy(message + HPA_EVENT_MESSAGE_MAX - 1, "\xc3\xa4"); /* does not fit any more */
	post(w, "web", "Warning", "R", message);
	assert_true(apistub_until(w->loop, is_empty, w));
	assert_int_equal(json_string_length(json_object_get(w->sent, "message")), HPA_EVENT_MESSAGE_MAX - 1);
	post(w, "web", "Warning", "R", "a\xff\xc3\xa4\"\n");
	assert_true(apistub_until(w->loop, is_empty, w));
	assert_string_equal(json_string_value(json_object_get(w->sent, "message")), "a?\xc3\xa4\"\n");
	/* The queue. */
	w->statuses = silent;
	for (int i = 0; i < HPA_EVENTS_QUEUE_MAX + 5; i++) {
		snprintf(name, sizeof(name), "h%d", i);
		post(w, name, "Warning", "R", "m");
	}
	assert_int_equal(counters(w).queued, HPA_EVENTS_QUEUE_MAX);
	assert_int_equal(counters(w).dropped, 5);
	assert_int_equal(counters(w).posted, HPA_EVENTS_QUEUE_MAX + 7);
	/* Freed with a call under way. */
	w->want = w->requests + 1;
	assert_true(apistub_until(w->loop, enough, w));
	hpa_events_free(KM_TAKE(w->events));
	hpa_events_free(NULL);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(test_written_and_counted), TEST(test_expired),
		TEST(test_combined_and_filtered), TEST(test_retries), TEST(test_refused), TEST(test_limits)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
