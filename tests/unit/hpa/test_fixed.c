/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compat = fixed beside strict: the defects of upstream's controller that are marked [BUG] in spec hpa, each in the
 * smallest setting that shows it.
 */
#include <stdio.h>

#include "hpa/calc_value.h"
#include "tests/unit/hpa/round_stage.h"

#define PODS_MAX 16

/* Pods of one container that requests a core, all alike: so many of them in a phase, ready or not. */
struct crowd {
	struct hpa_pod pods[PODS_MAX];
	struct hpa_pod_metric metrics[PODS_MAX];
	struct hpa_container container;
	char names[PODS_MAX][16];
	size_t n, n_metrics; /* metrics: of the first ones */
};

static void add(struct crowd *c, size_t n, uint8_t phase, uint8_t ready, int64_t usage_milli)
{
	c->container = (struct hpa_container){.name = "app", .request_milli = 1000, .has_request = true};
	for (; n > 0; n--, c->n++, c->n_metrics++) {
		assert_true(c->n < PODS_MAX);
		snprintf(c->names[c->n], sizeof(c->names[0]), "p%02zu", c->n);
		c->pods[c->n] = (struct hpa_pod){.name = c->names[c->n],
			.phase = phase,
			.started_ns = NOW_NS - INT64_C(3600000000000),
			.ready = ready,
			.ready_since_ns = NOW_NS - INT64_C(3000000000000),
			.containers = &c->container,
			.n_containers = 1};
		c->metrics[c->n] = (struct hpa_pod_metric){.pod = c->names[c->n],
			.value_milli = usage_milli,
			.time_ns = NOW_NS,
			.window_ns = INT64_C(15000000000)};
	}
}

static struct hpa_calc calc_of(struct crowd *c, int32_t replicas, bool fixed)
{
	return (struct hpa_calc){.pods = c->pods,
		.n_pods = c->n,
		.metrics = c->metrics,
		.n_metrics = c->n_metrics,
		.replicas = replicas,
		.tolerance_down = 0.1,
		.tolerance_up = 0.1,
		.now_ns = NOW_NS,
		.cpu_initialization_ns = INT64_C(300000000000),
		.readiness_delay_ns = INT64_C(30000000000),
		.resource = "cpu",
		.container = "",
		.fixed = fixed};
}

static int32_t by_utilization(struct crowd *c, int32_t replicas, int32_t target, bool fixed)
{
	const struct hpa_calc calc = calc_of(c, replicas, fixed);
	struct hpa_proposal p;

	assert_int_equal(hpa_calc_utilization(&calc, target, &p, NULL), 0);
	return p.replicas;
}

/* 2.6: 12 pods of a rolling update where 8 are meant to be, at 84 % of the target: upstream steps up to 11. */
static void bug_2_6_no_direction_guard(void **state)
{
	struct crowd c = {.n = 0};

	add(&c, 12, KUBE_RUNNING, KUBE_TRUE, 420);
	assert_int_equal(by_utilization(&c, 8, 50, false), 11);
	assert_int_equal(by_utilization(&c, 8, 50, true), 8);
	/* and down, though usage asks for more: 4 of 8 are there */
	c = (struct crowd){.n = 0};
	add(&c, 4, KUBE_RUNNING, KUBE_TRUE, 600);
	assert_int_equal(by_utilization(&c, 8, 50, false), 5);
	assert_int_equal(by_utilization(&c, 8, 50, true), 8);
}

/* 2.5: pods that have succeeded, of a Job that the selector matches too, count as missing. */
static void bug_2_5_succeeded_pods(void **state)
{
	struct crowd c = {.n = 0};

	add(&c, 2, KUBE_RUNNING, KUBE_TRUE, 1000);
	add(&c, 4, KUBE_SUCCEEDED, KUBE_FALSE, 0);
	c.n_metrics = 2; /* they have none: upstream takes them to use nothing, or what they request */
	assert_int_equal(by_utilization(&c, 2, 50, false), 2);
	assert_int_equal(by_utilization(&c, 2, 50, true), 4);
	for (size_t i = 0; i < 2; i++)
		c.metrics[i].value_milli = 100;
	assert_int_equal(by_utilization(&c, 2, 50, false), 2);
	assert_int_equal(by_utilization(&c, 2, 50, true), 1);
}

/* 10.3: a pod without a request, of a Job or with an injected sidecar, stops all scaling upstream. */
static void pain_10_3_pod_without_request(void **state)
{
	const struct hpa_container bare = {.name = "sidecar"};
	struct crowd c = {.n = 0};
	struct hpa_proposal p;
	struct hpa_calc calc;
	struct km_err err = {""};

	add(&c, 4, KUBE_RUNNING, KUBE_TRUE, 1000);
	c.pods[2].containers = &bare;
	calc = calc_of(&c, 4, false);
	assert_int_equal(hpa_calc_utilization(&calc, 50, &p, &err), -ENODATA);
	assert_string_equal(err.text, "missing request for cpu in container sidecar of Pod p02");
	calc.fixed = true;
	assert_int_equal(hpa_calc_utilization(&calc, 50, &p, &err), 0);
	assert_int_equal(p.replicas, 6);
	assert_int_equal(p.working.groups[HPA_GROUP_UNREQUESTED], 1);
	assert_int_equal(c.pods[2].group, HPA_GROUP_UNREQUESTED);
	for (size_t i = 0; i < c.n; i++)
		c.pods[i].containers = &bare;
	assert_int_equal(hpa_calc_utilization(&calc, 50, &p, &err), -ENODATA);
	assert_string_equal(err.text, "missing request for cpu in container sidecar of Pod p00");
	/* an average needs no requests: what was noted of them before is of no interest */
	assert_int_equal(hpa_calc_average(&calc, 500, &p, &err), 0);
	assert_int_equal(p.replicas, 8);
}

/* 10.4: pods that the selector matches but that belong to others count upstream. */
static void pain_10_4_pods_of_others(void **state)
{
	struct crowd c = {.n = 0};

	add(&c, 2, KUBE_RUNNING, KUBE_TRUE, 500);
	add(&c, 4, KUBE_RUNNING, KUBE_TRUE, 10);
	for (size_t i = 2; i < c.n; i++)
		c.pods[i].foreign = true;
	assert_int_equal(by_utilization(&c, 2, 50, false), 3);
	assert_int_equal(by_utilization(&c, 2, 50, true), 2);
}

static int32_t by_value(struct crowd *c, int32_t replicas, int64_t usage, int64_t target, bool fixed)
{
	const struct hpa_calc calc = calc_of(c, replicas, fixed);
	struct hpa_proposal p;

	assert_int_equal(hpa_calc_value(&calc, usage, target, &p, NULL), 0);
	return p.replicas;
}

/* 2.8: no pod is ready, because they are overloaded: upstream goes to the minimum. */
static void bug_2_8_no_pod_ready(void **state)
{
	struct crowd c = {.n = 0};

	add(&c, 4, KUBE_RUNNING, KUBE_FALSE, 0);
	assert_int_equal(by_value(&c, 4, 30000, 10000, false), 0);
	assert_int_equal(by_value(&c, 4, 30000, 10000, true), 12);
	assert_int_equal(by_value(&c, 4, 1000, 10000, true), 4); /* never fewer meanwhile */
	/* some are: as upstream */
	add(&c, 2, KUBE_RUNNING, KUBE_TRUE, 0);
	assert_int_equal(by_value(&c, 6, 30000, 10000, false), 6);
	assert_int_equal(by_value(&c, 6, 30000, 10000, true), 6);
	/* more are ready than are meant to be: no step up while usage is below the target */
	add(&c, 10, KUBE_RUNNING, KUBE_TRUE, 0);
	assert_int_equal(by_value(&c, 6, 8000, 10000, false), 10);
	assert_int_equal(by_value(&c, 6, 8000, 10000, true), 6);
}

/* 2.9: within the tolerance upstream takes the pods that are there, of a surge, for those that are meant to be. */
static void bug_2_9_surge(void **state)
{
	struct crowd c = {.n = 0};
	const struct hpa_calc strict = calc_of(&c, 8, false), fixed = calc_of(&c, 8, true);

	assert_int_equal(hpa_calc_object_share(&strict, 12, 11000, 1000).replicas, 12);
	assert_int_equal(hpa_calc_object_share(&fixed, 12, 11000, 1000).replicas, 11);
	assert_int_equal(hpa_calc_external_share(&fixed, 12, 8200, 1000).replicas, 8);
}

/* 2.9: the share of nobody. */
static void bug_2_9_smallest_integer_in_status(void **state)
{
	struct crowd c = {.n = 0};
	const struct hpa_calc strict = calc_of(&c, 0, false), fixed = calc_of(&c, 0, true);

	assert_true(hpa_calc_object_share(&strict, 0, 5000, 1000).value_milli == INT64_MIN);
	assert_int_equal(hpa_calc_object_share(&fixed, 0, 5000, 1000).value_milli, 5000);
	assert_int_equal(hpa_calc_object_share(&fixed, 0, 5000, 1000).replicas, 5);
	assert_true(hpa_calc_external_share(&strict, 0, 5000, 1000).value_milli == INT64_MIN);
	assert_int_equal(hpa_calc_external_share(&fixed, 0, 5000, 1000).value_milli, 5000);
}

/* 2.9: a negative external value climbs to the maximum. */
static void bug_2_9_negative_external(void **state)
{
	static const int64_t values[] = {-3000, 1000};
	struct crowd c = {.n = 0};
	const struct hpa_calc fixed = calc_of(&c, 3, true);

	assert_true(hpa_sum_external(values, 2, true) == INT64_MAX);
	assert_int_equal(hpa_sum_external(values, 2, false), -2000);
	assert_true(hpa_calc_external_share(&fixed, 3, -2000, 1000).replicas <= 0);
}

/* ---- in a round ---- */

static const struct hpa_flags fixed_flags = {.downscale_stabilization_ns = INT64_C(300000000000),
	.cpu_initialization_ns = INT64_C(300000000000),
	.readiness_delay_ns = INT64_C(30000000000),
	.tolerance = 0.1,
	.fixed = true,
	.scale_to_zero = true};

static void begin_with(struct theatre *t, const struct play *play, const struct hpa_flags *with, json_t *status,
	const struct hpa_recommendation *before)
{
	json_t *object = json_loads(play->spec, 0, NULL);

	stage_set(t, play, false);
	assert_int_equal(hpa_spec_decode(object, HPA_V2, &t->spec, NULL), 0);
	json_decref(object);
	if (before)
		assert_int_equal(hpa_history_add(&t->memory.recommendations, before->replicas, before->time_ns), 0);
	stage_start(t, status, HPA_V2, with);
}

/* 2.1: a step up because of what was recommended a minute ago says "All metrics below target". */
static void bug_2_1_reason(void **state)
{
	static const struct play play = {
		.name = "reason", .spec = SPEC, .mappings = 1, .replicas = 4, .usage_milli = 250};
	static const struct hpa_recommendation before = {.replicas = 6, .time_ns = NOW_NS - INT64_C(60000000000)};
	struct hpa_flags strict = fixed_flags;
	struct theatre t;

	strict.fixed = false;
	begin_with(&t, &play, &strict, NULL, &before);
	assert_non_null(strstr(t.stage.messages, "New size: 6; reason: All metrics below target"));
	end(&t);
	begin_with(&t, &play, &fixed_flags, NULL, &before);
	assert_non_null(strstr(t.stage.messages, "New size: 6; reason: a recent recommendation was higher"));
	end(&t);
}

/* 2.1: scaled to zero by us, the minimum was raised, and the metrics fail. */
static void bug_2_1_stays_at_zero(void **state)
{
	static const struct play play = {.name = "zero",
		.spec = SPEC_OF(REF("apps/v1"), QUEUE, ""),
		.mappings = 1,
		.replicas = 0,
		.metric_error = "the adapter is away"};
	json_t *status =
		json_loads("{\"currentReplicas\":0,\"desiredReplicas\":0,\"conditions\":[{\"type\":\"ScaledToZero\","
			   "\"status\":\"True\"}]}",
			0, NULL);
	struct hpa_flags strict = fixed_flags;
	struct theatre t;

	strict.fixed = false;
	begin_with(&t, &play, &strict, status, NULL);
	assert_null(strstr(t.stage.log, " put "));
	end(&t);
	begin_with(&t, &play, &fixed_flags, status, NULL);
	assert_non_null(strstr(t.stage.log, "put 2@"));
	assert_non_null(
		strstr(t.stage.messages, "New size: 2; reason: Current number of replicas below Spec.MinReplicas"));
	assert_string_equal(hpa_round_outcome(t.round)->error_label, "internal"); /* the metric is told all the same */
	end(&t);
	json_decref(status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bug_2_6_no_direction_guard),
		cmocka_unit_test(bug_2_5_succeeded_pods),
		cmocka_unit_test(pain_10_3_pod_without_request),
		cmocka_unit_test(pain_10_4_pods_of_others),
		cmocka_unit_test(bug_2_8_no_pod_ready),
		cmocka_unit_test(bug_2_9_surge),
		cmocka_unit_test(bug_2_9_smallest_integer_in_status),
		cmocka_unit_test(bug_2_9_negative_external),
		cmocka_unit_test(bug_2_1_reason),
		cmocka_unit_test(bug_2_1_stays_at_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
