/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world for one round, for the tests of the reconcile: it plays what a struct play says, answers at once or when told
 * to, and notes what was asked. Included by test programs only, once in each.
 */
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hpa/reconcile.h"
#include "kube/selector.h"
#include "tests/unit/support/check.h"

#define NOW_NS (INT64_C(946684800) * 1000000000) /* 2000-01-01T00:00:00Z */

/* What happens in one round. Fractions of a core are usage of each of the pods, which request one core. */
struct play {
	const char *name, *spec;
	int32_t replicas;
	int64_t usage_milli;
	int mappings, failing_gets; /* of the first GETs; mappings < 0: none is found */
	int conflicts;              /* of the first PUTs */
	const char *put_error, *status_error, *pods_error, *others, *selector, *metric_error;
	int64_t full_milli;   /* usage over the long window; 0: there is none beside */
	int64_t metric_milli; /* of each custom and external metric */
	bool reget_fails;
	/* and what comes of it */
	const char *log;
	const char *error; /* the beginning; NULL: "" */
	const char *action, *error_label;
};

struct stage {
	const struct play *play;
	struct hpa_round *round;
	bool later; /* answers wait for answer_one() */
	enum { NO_QUESTION, SCALE, METRICS, PUT, STATUS } open;
	unsigned open_metrics; /* bits */
	bool is_pods[32];
	int gets, puts, regets, dones;
	char log[1024], messages[2 * HPA_MESSAGE_MAX]; /* of events */
	size_t len;
	json_t *status;
	struct hpa_pod pods[32];
	struct hpa_container container;
	struct hpa_pod_metric metrics[32], full[32];
	char names[32][32];
};

static _printf_(2, 3) void note(struct stage *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	s->len += (size_t)vsnprintf(s->log + s->len, sizeof(s->log) - s->len, fmt, args);
	va_end(args);
	assert_true(s->len < sizeof(s->log));
}

static void answer_scale(struct stage *s, bool after_put)
{
	const struct play *play = s->play;
	char selector[64], resource_version[32], text[64]; /* gone when the call returns */
	const struct hpa_failure failure = {.text = text};
	const struct hpa_scale scale = {.replicas = play->replicas + s->regets,
		.status_replicas = play->replicas,
		.selector = selector,
		.resource_version = resource_version};
	bool fails = after_put ? play->reget_fails : s->gets <= play->failing_gets;

	snprintf(selector, sizeof(selector), "%s", play->selector ? play->selector : "app=web");
	snprintf(resource_version, sizeof(resource_version), "v%d", s->gets + s->regets);
	snprintf(text, sizeof(text), "GET %d failed", s->gets + s->regets);
	hpa_round_scale(s->round, fails ? NULL : &scale, fails ? &failure : NULL);
	memset(selector, 'X', sizeof(selector));
	memset(resource_version, 'X', sizeof(resource_version));
	memset(text, 'X', sizeof(text));
}

static void answer_put(struct stage *s)
{
	const struct play *play = s->play;
	const struct hpa_failure conflict = {.text = "modified", .conflict = true}, failure = {.text = play->put_error};

	hpa_round_put(s->round, s->puts <= play->conflicts ? &conflict : play->put_error ? &failure : NULL);
}

static void answer_status(struct stage *s)
{
	const struct hpa_failure failure = {.text = s->play->status_error};

	hpa_round_status(s->round, s->play->status_error ? &failure : NULL);
}

static void answer_metric(struct stage *s, size_t i)
{
	const int64_t value = s->play->metric_milli;
	struct hpa_pod_metric pods[32] = {0};
	char names[32][32], error[128];
	struct hpa_metric_answer answer = {.values_milli = &value, .n = 1};

	s->open_metrics &= ~(1u << i);
	if (s->is_pods[i]) {
		answer = (struct hpa_metric_answer){.pods = pods, .n = (size_t)s->play->replicas};
		for (size_t k = 0; k < answer.n; k++) {
			snprintf(names[k], sizeof(names[k]), "web-%02zu", k);
			pods[k] = (struct hpa_pod_metric){.pod = names[k], .value_milli = value};
		}
	}
	if (s->play->metric_error) {
		snprintf(error, sizeof(error), "%s", s->play->metric_error);
		answer.error = error;
	}
	hpa_round_metric(s->round, i, &answer);
	memset(names, 'X', sizeof(names)); /* gone when the call returns */
	memset(pods, 'X', sizeof(pods));
	memset(error, 'X', sizeof(error));
}

/* The last one first. */
static void answer_last_metric(struct stage *s)
{
	size_t i = 31;

	while (!(s->open_metrics & 1u << i))
		i--;
	if (s->open_metrics & ~(1u << i))
		s->open = METRICS;
	answer_metric(s, i);
}

/* False: nothing was asked. */
static inline bool answer_one(struct stage *s)
{
	int open = s->open;

	s->open = NO_QUESTION;
	if (open == SCALE)
		answer_scale(s, s->regets > 0);
	else if (open == METRICS)
		answer_last_metric(s);
	else if (open == PUT)
		answer_put(s);
	else if (open == STATUS)
		answer_status(s);
	return open != NO_QUESTION;
}

static int64_t now_ns(void *arg)
{
	return NOW_NS;
}

static int mappings(const struct hpa_spec *spec, void *arg, struct km_err *err)
{
	struct stage *s = arg;

	if (s->play->mappings < 0)
		return km_fail(err, -ENOENT, "no matches for kind \"%s\" in group \"apps\"", spec->target_kind);
	return s->play->mappings;
}

static void ask(struct stage *s, struct hpa_round *round, int question)
{
	assert_int_equal(s->open, NO_QUESTION);
	assert_int_equal(s->dones, 0);
	s->round = round;
	s->open = question;
	if (!s->later)
		answer_one(s);
}

static void scale_get(struct hpa_round *round, int mapping, bool after_put, void *arg)
{
	struct stage *s = arg;

	if (after_put)
		s->regets++;
	else
		s->gets++;
	note(s, after_put ? "reget " : "get%d ", mapping);
	ask(s, round, SCALE);
}

static void scale_put(struct hpa_round *round, int32_t replicas, const char *resource_version, void *arg)
{
	struct stage *s = arg;

	s->puts++;
	note(s, "put %d@%s ", (int)replicas, resource_version);
	ask(s, round, PUT);
}

static void ambiguous(const struct kube_selector *selector, const char *text, char *ret, size_t size, void *arg)
{
	struct stage *s = arg;

	snprintf(ret, size, "%s", s->play->others ? s->play->others : "");
}

static void pods(const struct kube_selector *selector, const char *text, const char *resource, const char *container,
	void *arg, struct hpa_pods_answer *ret)
{
	struct stage *s = arg;
	size_t n = (size_t)s->play->replicas;

	assert_true(n <= KM_ARRAY_LEN(s->pods));
	s->container = (struct hpa_container){.name = "app", .request_milli = 1000, .has_request = true};
	for (size_t i = 0; i < n; i++) {
		snprintf(s->names[i], sizeof(s->names[i]), "web-%02zu", i);
		s->pods[i] = (struct hpa_pod){.name = s->names[i],
			.phase = KUBE_RUNNING,
			.started_ns = NOW_NS - INT64_C(3600000000000),
			.ready = KUBE_TRUE,
			.ready_since_ns = NOW_NS - INT64_C(3000000000000),
			.containers = &s->container,
			.n_containers = 1};
		s->metrics[i] = (struct hpa_pod_metric){.pod = s->names[i],
			.value_milli = s->play->usage_milli,
			.time_ns = NOW_NS,
			.window_ns = INT64_C(15000000000)};
	}
	memcpy(s->full, s->metrics, sizeof(s->full));
	for (size_t i = 0; i < n; i++)
		s->full[i].value_milli = s->play->full_milli;
	*ret = (struct hpa_pods_answer){.pods = s->pods,
		.n_pods = n,
		.metrics = s->metrics,
		.full = s->play->full_milli ? s->full : NULL,
		.n_metrics = n};
	if (s->play->pods_error)
		snprintf(ret->error, sizeof(ret->error), "%s", s->play->pods_error);
}

/* Custom and external metrics: what the play says, at once or, with later, when it is asked to go on. */
static void metric_get(
	struct hpa_round *round, size_t i, const struct hpa_metric *metric, const char *selector, void *arg)
{
	struct stage *s = arg;

	assert_true(s->open == NO_QUESTION || s->open == METRICS);
	note(s, "metric%zu ", i);
	s->open_metrics |= 1u << i;
	s->is_pods[i] = metric->type == HPA_METRIC_PODS;
	s->round = round;
	if (s->later)
		s->open = METRICS;
	else
		answer_metric(s, i);
}

static void event(const char *type, const char *reason, const char *message, void *arg)
{
	struct stage *s = arg;

	note(s, "%s ", reason);
	snprintf(s->messages + strlen(s->messages), sizeof(s->messages) - strlen(s->messages), "%s\n", message);
}

static void status_put(struct hpa_round *round, json_t *status, void *arg)
{
	struct stage *s = arg;

	json_decref(s->status);
	s->status = json_incref(status);
	note(s, "status ");
	ask(s, round, STATUS);
}

static void done(struct hpa_round *round, void *arg)
{
	struct stage *s = arg;

	s->dones++;
	note(s, "done");
}

static const struct hpa_flags flags = {.downscale_stabilization_ns = INT64_C(300000000000),
	.cpu_initialization_ns = INT64_C(300000000000),
	.readiness_delay_ns = INT64_C(30000000000),
	.tolerance = 0.1,
	.configurable_tolerance = true};

/* What a round needs around it. */
struct theatre {
	struct stage stage;
	struct hpa_world world;
	struct hpa_spec *spec;
	struct hpa_memory memory;
	struct hpa_trace *trace; /* owned; NULL: none is wanted */
	struct hpa_round *round;
};

/* The world and the play, before the spec is read. */
static void stage_set(struct theatre *t, const struct play *play, bool later)
{
	*t = (struct theatre){.stage = {.play = play, .later = later},
		.world = {.now_ns = now_ns,
			.mappings = mappings,
			.scale_get = scale_get,
			.scale_put = scale_put,
			.ambiguous = ambiguous,
			.pods = pods,
			.metric_get = metric_get,
			.event = event,
			.status_put = status_put,
			.done = done}};
	t->world.arg = &t->stage;
}

static void stage_start(struct theatre *t, json_t *status, enum hpa_api_version version, const struct hpa_flags *with)
{
	assert_int_equal(hpa_round_start(&(const struct hpa_round_config){.namespace_ = "shop",
						 .name = "web-hpa",
						 .spec = t->spec,
						 .status = status,
						 .version = version,
						 .memory = &t->memory,
						 .flags = with,
						 .world = &t->world,
						 .trace = t->trace},
				 &t->round),
		0);
}

static inline void begin(
	struct theatre *t, const struct play *play, bool later, json_t *status, enum hpa_api_version version)
{
	json_t *object = json_loads(play->spec, 0, NULL);
	struct km_err err = {""};

	stage_set(t, play, later);
	if (hpa_spec_decode(object, version, &t->spec, &err) < 0)
		fail_msg("%s: %s", play->name, err.text);
	json_decref(object);
	stage_start(t, status, version, &flags);
}

static void end(struct theatre *t)
{
	hpa_round_free(t->round);
	hpa_memory_clear(&t->memory);
	hpa_spec_free(t->spec);
	hpa_trace_free(t->trace);
	json_decref(t->stage.status);
}

#define REF(apiVersion) \
	"\"scaleTargetRef\":{\"apiVersion\":\"" apiVersion "\",\"kind\":\"Deployment\",\"name\":\"web\"}"
#define SPEC_OF(ref, metrics, more) \
	"{\"spec\":{" ref ",\"minReplicas\":2,\"maxReplicas\":9,\"metrics\":[" metrics "]" more "}}"
#define CPU                                                                                           \
	"{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"Utilization\"," \
	"\"averageUtilization\":50}}}"
#define NO_TARGET "{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"Utilization\"}}}"
#define QUEUE                                                                                                  \
	"{\"type\":\"External\",\"external\":{\"metric\":{\"name\":\"queue\"},\"target\":{\"type\":\"Value\"," \
	"\"value\":\"1\"}}}"
#define QPS                                                                                                 \
	"{\"type\":\"Pods\",\"pods\":{\"metric\":{\"name\":\"qps\"},\"target\":{\"type\":\"AverageValue\"," \
	"\"averageValue\":\"1\"}}}"
#define SPEC  SPEC_OF(REF("apps/v1"), CPU, "")
#define MIXED SPEC_OF(REF("apps/v1"), QUEUE "," CPU, "")

static inline void check(const struct play *play, const struct theatre *t)
{
	const struct hpa_outcome *outcome = hpa_round_outcome(t->round);

	if (strcmp(t->stage.log, play->log) != 0)
		fail_msg("%s: \"%s\"", play->name, t->stage.log);
	if (strcmp(outcome->action, play->action) != 0 || strcmp(outcome->error_label, play->error_label) != 0)
		fail_msg("%s: %s, %s", play->name, outcome->action, outcome->error_label);
	if (play->error ? strncmp(outcome->error, play->error, strlen(play->error)) != 0 : *outcome->error)
		fail_msg("%s: \"%s\"", play->name, outcome->error);
}
