/* SPDX-License-Identifier: Apache-2.0 */
/* What a round remembers of itself, as `kmetricsd explain` shows it; and metrics that are held when they fail. */
#include "hpa/trace.h"

#include <stdio.h>

#include "tests/unit/hpa/round_stage.h"

#define BACKLOG                                                                                      \
	"{\"type\":\"External\",\"external\":{\"metric\":{\"name\":\"queue\"},\"target\":{\"type\":" \
	"\"AverageValue\",\"averageValue\":\"1\"}}}"
#define OF(more)                                                                                               \
	"{\"spec\":{\"scaleTargetRef\":{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"name\":\"web\"}," \
	"\"minReplicas\":1,\"maxReplicas\":20" more "}}"

static json_t *explain(const struct theatre *t)
{
	json_t *o = hpa_trace_json(t->trace, t->spec);

	assert_non_null(o);
	return o;
}

static const char *at(json_t *o, const char *path, char *out)
{
	char copy[128], *next, *word;

	snprintf(copy, sizeof(copy), "%s", path);
	for (word = strtok_r(copy, ".", &next); word; word = strtok_r(NULL, ".", &next))
		o = json_is_array(o) ? json_array_get(o, (size_t)atoi(word)) : json_object_get(o, word);
	if (json_is_string(o))
		snprintf(out, 64, "%s", json_string_value(o));
	else if (json_is_integer(o))
		snprintf(out, 64, "%lld", (long long)json_integer_value(o));
	else if (json_is_real(o))
		snprintf(out, 64, "%.2f", json_real_value(o));
	else
		snprintf(out, 64, "%s", json_is_true(o) ? "true" : json_is_false(o) ? "false" : "none");
	return out;
}

static void expect(json_t *o, const char *path, const char *expected)
{
	char got[64];

	if (strcmp(at(o, path, got), expected) != 0)
		fail_msg("%s is %s, not %s", path, got, expected);
}

static void run(struct theatre *t, const struct play *play, const struct hpa_flags *with)
{
	json_t *object = json_loads(play->spec, 0, NULL);
	struct hpa_memory memory = t->memory;
	struct hpa_trace *trace = t->trace ? t->trace : hpa_trace_new();

	stage_set(t, play, false);
	t->memory = memory;
	t->trace = trace;
	assert_int_equal(hpa_spec_decode(object, HPA_V2, &t->spec, NULL), 0);
	json_decref(object);
	stage_start(t, NULL, HPA_V2, with);
	assert_int_equal(t->stage.dones, 1);
}

/* What a run leaves but the memory and the trace, which the next one goes on with. */
static void end_run(struct theatre *t)
{
	hpa_round_free(t->round);
	hpa_spec_free(t->spec);
	json_decref(t->stage.status);
}

static void a_step_up(void **state)
{
	const struct play play = {
		.spec = OF(",\"metrics\":[" CPU "]"), .replicas = 3, .mappings = 1, .usage_milli = 1000};
	struct theatre t = {.trace = NULL};
	char line[256];
	json_t *o;

	run(&t, &play, &flags);
	o = explain(&t);
	expect(o, "current", "3");
	expect(o, "desired", "6");
	expect(o, "reason", "cpu resource utilization (percentage of request) above target");
	expect(o, "byMetrics", "true");
	expect(o, "decidedAt", "2000-01-01T00:00:00Z");
	expect(o, "metrics.0.name", "cpu");
	expect(o, "metrics.0.target.utilization", "50");
	expect(o, "metrics.0.current.utilization", "100");
	expect(o, "metrics.0.current.averageValue", "1");
	expect(o, "metrics.0.ratio", "2.00");
	expect(o, "metrics.0.dampedRatio", "none");
	expect(o, "metrics.0.tolerated", "false");
	expect(o, "metrics.0.tolerance.up", "0.10");
	expect(o, "metrics.0.groups.ready", "3");
	expect(o, "metrics.0.proposal", "6");
	expect(o, "metrics.0.pods.2.name", "web-02");
	expect(o, "metrics.0.pods.2.group", "ready");
	expect(o, "metrics.0.pods.2.request", "1");
	expect(o, "metrics.0.pods.2.usage", "1");
	expect(o, "metrics.0.pods.2.windowSeconds", "15.00");
	expect(o, "metrics.0.podsNotShown", "0");
	expect(o, "stabilization.proposed", "6");
	expect(o, "stabilization.stabilized", "6");
	expect(o, "stabilization.heldBackBy", "none");
	expect(o, "limit", "none");
	json_decref(o);
	hpa_trace_line(t.trace, t.spec, line, sizeof(line));
	assert_string_equal(line, "cpu 100% of 50% (3 ready pods) asks for 6");
	hpa_trace_line(t.trace, t.spec, line, 8); /* cut, not overrun */
	assert_int_equal(strlen(line), 7);
	end(&t);
}

static void held_back_and_limited(void **state)
{
	const struct play down = {
		.spec = OF(",\"metrics\":[" CPU "]"), .replicas = 3, .mappings = 1, .usage_milli = 100};
	const struct play up = {
		.spec = OF(",\"metrics\":[" CPU "]"), .replicas = 3, .mappings = 1, .usage_milli = 5000};
	struct theatre t = {.trace = NULL};
	json_t *o;

	/* the first recommendation is what there is: it holds the step down for five minutes */
	run(&t, &down, &flags);
	o = explain(&t);
	expect(o, "stabilization.proposed", "1");
	expect(o, "stabilization.stabilized", "3");
	expect(o, "stabilization.heldBackBy.replicas", "3");
	expect(o, "stabilization.heldBackBy.until", "2000-01-01T00:05:00Z");
	expect(o, "desired", "3");
	json_decref(o);
	end_run(&t);
	run(&t, &up, &flags);
	o = explain(&t);
	expect(o, "desired", "6");
	expect(o, "limit.reason", "ScaleUpLimit");
	expect(o, "stabilization.heldBackBy", "none");
	json_decref(o);
	end(&t);
}

/* 10.1: a step up is made on the newest samples, a step down once a whole window says so too. */
static void windows(void **state)
{
	static const struct {
		int64_t newest, full;
		const char *proposal, *waits;
	} rows[] = {
		{100, 500, "3", "3"},  /* it fell a moment ago */
		{100, 1000, "3", "6"}, /* from far above */
		{100, 300, "2", "2"},  /* some of it is certain */
		{100, 100, "1", "none"},
		{1000, 100, "6", "none"}, /* it rose a moment ago */
		{500, 100, "3", "none"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		const struct play play = {.spec = OF(",\"metrics\":[" CPU "]"),
			.replicas = 3,
			.mappings = 1,
			.usage_milli = rows[i].newest,
			.full_milli = rows[i].full};
		struct theatre t = {.trace = NULL};
		json_t *o;

		run(&t, &play, &flags);
		o = explain(&t);
		expect(o, "metrics.0.proposal", rows[i].proposal);
		expect(o, "metrics.0.longWindowProposal", rows[i].waits);
		json_decref(o);
		end(&t);
	}
}

static void without_metrics(void **state)
{
	const struct play above = {.spec = OF(""), .replicas = 30, .mappings = 1};
	const struct play fails = {.spec = OF(""), .replicas = 3, .mappings = 1, .pods_error = "no metrics returned"};
	struct theatre t = {.trace = NULL};
	json_t *o;

	run(&t, &above, &flags);
	o = explain(&t);
	expect(o, "byMetrics", "false");
	expect(o, "desired", "20");
	expect(o, "reason", "Current number of replicas above Spec.MaxReplicas");
	expect(o, "metrics.0", "none");
	json_decref(o);
	end_run(&t);
	run(&t, &fails, &flags);
	o = explain(&t);
	expect(o, "metrics.0.error",
		"failed to get cpu utilization: unable to get metrics for resour"); /* at() shows 63 bytes */
	expect(o, "metrics.0.proposal", "none");
	expect(o, "stabilization", "none");
	json_decref(o);
	end(&t);
}

static void many_pods_are_counted(void **state)
{
	struct hpa_pod pods[HPA_TRACE_PODS_MAX + 5] = {{.name = "a"}};
	struct hpa_trace_metric m = {.valid = false};

	for (size_t i = 0; i < KM_ARRAY_LEN(pods); i++)
		pods[i].name = "pod";
	hpa_trace_pods(&m, pods, KM_ARRAY_LEN(pods));
	assert_int_equal(m.n_shown, HPA_TRACE_PODS_MAX);
	assert_int_equal(m.n_pods, KM_ARRAY_LEN(pods));
	hpa_trace_pods(&m, pods, 1); /* the memory is used again */
	assert_int_equal(m.n_shown, 1);
	assert_int_equal(m.pods_capacity, HPA_TRACE_PODS_MAX);
	free(m.pods);
	free(m.names);
}

/* 10.11: one metric that is down freezes the HPA, unless it is told to hold what the metric said last. */
static void hold_last_value(void **state)
{
	const struct play fine = {
		.spec = OF(",\"metrics\":[" BACKLOG "]"), .replicas = 3, .mappings = 1, .metric_milli = 6000};
	const struct play down = {
		.spec = OF(",\"metrics\":[" BACKLOG "]"), .replicas = 3, .mappings = 1, .metric_error = "no adapter"};
	struct hpa_flags holding = flags;
	struct theatre t = {.trace = NULL};
	json_t *o;

	holding.hold_value_ns = INT64_C(60000000000);
	run(&t, &fine, &holding);
	end_run(&t);
	run(&t, &down, &holding);
	assert_non_null(strstr(t.stage.log, "FailedGetExternalMetric put 6@v1"));
	o = explain(&t);
	expect(o, "metrics.0.held", "true");
	expect(o, "metrics.0.proposal", "6");
	expect(o, "metrics.0.current.averageValue", "2");
	json_decref(o);
	end_run(&t);
	t.memory.values[0].time_ns -= INT64_C(61000000000);
	run(&t, &down, &holding);
	assert_null(strstr(t.stage.log, " put "));
	end(&t);
}

/* Scaling up on what is left is what Kubernetes does; an HPA may rather want to stay where it is. */
static void hold_replicas(void **state)
{
	const struct play half = {.spec = OF(",\"metrics\":[" CPU "," BACKLOG "]"),
		.replicas = 3,
		.mappings = 1,
		.usage_milli = 1000,
		.metric_error = "no adapter"};
	struct hpa_flags holding = flags;
	struct theatre t = {.trace = NULL};

	run(&t, &half, &holding);
	assert_non_null(strstr(t.stage.log, "put 6"));
	end_run(&t);
	holding.hold_replicas = true;
	run(&t, &half, &holding);
	assert_null(strstr(t.stage.log, " put "));
	end(&t);
}

static void shared_pods(void **state)
{
	const struct play play = {.spec = OF(",\"metrics\":[" CPU "]"),
		.replicas = 3,
		.mappings = 1,
		.usage_milli = 1000,
		.others = "shop/a shop/web-hpa"};
	struct hpa_flags accepting = flags;
	struct theatre t = {.trace = NULL};

	run(&t, &play, &accepting);
	assert_null(strstr(t.stage.log, " put "));
	end_run(&t);
	accepting.shared_pods = true;
	run(&t, &play, &accepting);
	assert_non_null(strstr(t.stage.log, "put 6"));
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_step_up),
		cmocka_unit_test(held_back_and_limited),
		cmocka_unit_test(windows),
		cmocka_unit_test(without_metrics),
		cmocka_unit_test(many_pods_are_counted),
		cmocka_unit_test(hold_last_value),
		cmocka_unit_test(hold_replicas),
		cmocka_unit_test(shared_pods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
