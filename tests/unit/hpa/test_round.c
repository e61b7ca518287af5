/* SPDX-License-Identifier: Apache-2.0 */
/* The reconcile as a machine: answers at once or later, freed at any point. */
#include "hpa/reconcile.h"

#include <string.h>

#include "tests/unit/hpa/round_stage.h"

static const struct play plays[] = {
	{.name = "a step up",
		.spec = SPEC,
		.mappings = 1,
		.replicas = 4,
		.usage_milli = 1000,
		.log = "get0 put 8@v1 SuccessfulRescale status done",
		.action = "scale_up",
		.error_label = "none"},
	{.name = "a step down waits for stabilization",
		.spec = SPEC,
		.mappings = 1,
		.replicas = 8,
		.usage_milli = 100,
		.log = "get0 status done",
		.action = "none",
		.error_label = "none"},
	{.name = "above the maximum",
		.spec = SPEC,
		.mappings = 1,
		.replicas = 12,
		.usage_milli = 500,
		.log = "get0 put 9@v1 SuccessfulRescale status done",
		.action = "scale_down",
		.error_label = "none"},
	{.name = "below the minimum",
		.spec = SPEC,
		.mappings = 1,
		.replicas = 1,
		.usage_milli = 500,
		.log = "get0 put 2@v1 SuccessfulRescale status done",
		.action = "scale_up",
		.error_label = "none"},
	{.name = "the second mapping has it",
		.spec = SPEC,
		.mappings = 2,
		.failing_gets = 1,
		.replicas = 4,
		.usage_milli = 500,
		.log = "get0 get1 status done",
		.action = "none",
		.error_label = "none"},
	{.name = "the first failure counts",
		.spec = SPEC,
		.mappings = 2,
		.failing_gets = 2,
		.log = "get0 get1 FailedGetScale status done",
		.action = "none",
		.error_label = "internal",
		.error = "failed to query scale subresource for Deployment/shop/web: GET 1 failed"},
	{.name = "no mapping has it",
		.spec = SPEC,
		.mappings = 0,
		.log = "FailedGetScale status done",
		.action = "none",
		.error_label = "internal",
		.error = "failed to query scale subresource for Deployment/shop/web: unrecognized resource"},
	{.name = "no such kind",
		.spec = SPEC,
		.mappings = -1,
		.log = "FailedGetScale status done",
		.action = "none",
		.error_label = "internal",
		.error = "unable to determine resource for scale target reference: no matches for kind \"Deployment\""},
	{.name = "a bad apiVersion",
		.spec = SPEC_OF(REF("apps/v1/x"), CPU, ""),
		.mappings = 1,
		.log = "FailedGetScale status done",
		.action = "none",
		.error_label = "spec",
		.error = "invalid API version in scale target reference: unexpected GroupVersion string: apps/v1/x"},
	{.name = "conflicts",
		.spec = SPEC,
		.mappings = 1,
		.replicas = 4,
		.usage_milli = 1000,
		.conflicts = 2,
		.log = "get0 put 8@v1 reget put 8@v2 reget put 8@v3 SuccessfulRescale status done",
		.action = "scale_up",
		.error_label = "none"},
	{.name = "conflicts, and the scale cannot be read again",
		.spec = SPEC,
		.mappings = 1,
		.replicas = 4,
		.usage_milli = 1000,
		.conflicts = 1,
		.reget_fails = true,
		.log = "get0 put 8@v1 reget put 8@v1 SuccessfulRescale status done",
		.action = "scale_up",
		.error_label = "none"},
	{.name = "conflicts without end",
		.spec = SPEC,
		.mappings = 1,
		.replicas = 4,
		.usage_milli = 1000,
		.conflicts = 99,
		.log = "get0 put 8@v1 reget put 8@v2 reget put 8@v3 reget put 8@v4 reget put 8@v5 FailedRescale status "
		       "done",
		.action = "none",
		.error_label = "internal",
		.error = "failed to rescale Deployment/shop/web: modified"},
	{.name = "a PUT that is refused",
		.spec = SPEC,
		.mappings = 1,
		.replicas = 4,
		.usage_milli = 1000,
		.put_error = "quota",
		.log = "get0 put 8@v1 FailedRescale status done",
		.action = "none",
		.error_label = "internal",
		.error = "failed to rescale Deployment/shop/web: quota"},
	{.name = "a status that is refused",
		.spec = SPEC,
		.mappings = 1,
		.replicas = 4,
		.usage_milli = 1000,
		.status_error = "gone",
		.log = "get0 put 8@v1 SuccessfulRescale status FailedUpdateStatus done",
		.action = "scale_up",
		.error_label = "internal",
		.error = "failed to update status for web-hpa: gone"},
	{.name = "no metrics, and a status that is refused",
		.spec = SPEC,
		.mappings = 1,
		.replicas = 4,
		.pods_error = "no metrics returned from resource metrics API",
		.status_error = "gone",
		.log = "get0 FailedGetResourceMetric status FailedUpdateStatus FailedComputeMetricsReplicas done",
		.action = "none",
		.error_label = "internal",
		.error =
			"failed to compute desired number of replicas based on listed metrics for Deployment/shop/web: "
			"invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric "
			"value: "
			"failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned "
			"from "
			"resource metrics API"},
	{.name = "no selector",
		.spec = SPEC,
		.mappings = 1,
		.replicas = 4,
		.selector = "",
		.log = "get0 SelectorRequired status FailedComputeMetricsReplicas done",
		.action = "none",
		.error_label = "internal",
		.error =
			"failed to compute desired number of replicas based on listed metrics for Deployment/shop/web: "
			"selector is required"},
	{.name = "two HPAs",
		.spec = SPEC,
		.mappings = 1,
		.replicas = 4,
		.others = "shop/a shop/web-hpa",
		.log = "get0 AmbiguousSelector status FailedComputeMetricsReplicas done",
		.action = "none",
		.error_label = "internal",
		.error =
			"failed to compute desired number of replicas based on listed metrics for Deployment/shop/web: "
			"pods by selector app=web are controlled by multiple HPAs: [shop/a shop/web-hpa]"},
	{.name = "a target that names none",
		.spec = SPEC_OF(REF("apps/v1"), NO_TARGET, ""),
		.mappings = 1,
		.replicas = 4,
		.log = "get0 FailedGetResourceMetric status FailedComputeMetricsReplicas done",
		.action = "none",
		.error_label = "internal",
		.error =
			"failed to compute desired number of replicas based on listed metrics for Deployment/shop/web: "
			"invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric "
			"value: "
			"invalid resource metric source: neither"},
	{.name = "a step up beside a metric that fails",
		.spec = MIXED,
		.mappings = 1,
		.replicas = 4,
		.usage_milli = 1000,
		.metric_error = "the adapter is away",
		.log = "get0 metric0 FailedGetExternalMetric put 8@v1 SuccessfulRescale status done",
		.action = "scale_up",
		.error_label = "internal",
		.error = "invalid metrics (1 invalid out of 2), first error is: failed to get queue external metric "
			 "value: failed to get external metric queue: unable to get external metric shop/queue/nil: "
			 "the adapter is away"},
	{.name = "no change beside a metric that fails",
		.spec = MIXED,
		.mappings = 1,
		.replicas = 4,
		.usage_milli = 500,
		.metric_error = "the adapter is away",
		.log = "get0 metric0 FailedGetExternalMetric status done",
		.action = "none",
		.error_label = "internal",
		.error = "invalid metrics (1 invalid out of 2)"},
	{.name = "no step down beside a metric that fails",
		.spec = MIXED,
		.mappings = 1,
		.replicas = 4,
		.usage_milli = 100,
		.metric_error = "the adapter is away",
		.log = "get0 metric0 FailedGetExternalMetric status FailedComputeMetricsReplicas done",
		.action = "none",
		.error_label = "internal",
		.error =
			"failed to compute desired number of replicas based on listed metrics for Deployment/shop/web: "
			"invalid metrics (1 invalid out of 2), first error is: failed to get queue external metric"},
	{.name = "several metrics that are to be asked for",
		.spec = SPEC_OF(REF("apps/v1"), QUEUE "," CPU "," QPS "," QUEUE, ""),
		.mappings = 1,
		.replicas = 4,
		.usage_milli = 500,
		.metric_milli = 1500,
		.log = "get0 metric0 metric2 metric3 put 6@v1 SuccessfulRescale status done",
		.action = "scale_up",
		.error_label = "none"},
	{.name = "tolerance of its own",
		.mappings = 1,
		.replicas = 4,
		.usage_milli = 600,
		.spec = SPEC_OF(REF("apps/v1"), CPU, ",\"behavior\":{\"scaleUp\":{\"tolerance\":\"300m\"}}"),
		.log = "get0 status done",
		.action = "none",
		.error_label = "none"},
};

static void answers_from_inside_the_call(void **state)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(plays); i++) {
		struct theatre t;

		begin(&t, &plays[i], false, NULL, HPA_V2);
		check(&plays[i], &t);
		end(&t);
	}
}

static void answers_that_come_later(void **state)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(plays); i++) {
		struct theatre t;

		begin(&t, &plays[i], true, NULL, HPA_V2);
		assert_int_equal(t.stage.dones, 0);
		while (answer_one(&t.stage))
			continue;
		check(&plays[i], &t);
		end(&t);
	}
}

/* With nothing left behind, and without a word: the sanitizers look on. */
static void freed_at_any_point(void **state)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(plays); i++) {
		bool more = true;

		for (int answers = 0; more; answers++) {
			struct theatre t;

			begin(&t, &plays[i], true, NULL, HPA_V2);
			for (int k = 0; k < answers && more; k++)
				more = answer_one(&t.stage);
			if (more)
				assert_int_equal(t.stage.dones, t.stage.open == NO_QUESTION);
			end(&t);
		}
	}
}

static void the_same_status_is_not_written(void **state)
{
	const struct play *play = &plays[1]; /* no change */
	struct theatre first, again;

	begin(&first, play, false, NULL, HPA_V2);
	assert_string_equal(first.stage.log, "get0 status done");
	begin(&again, play, false, first.stage.status, HPA_V2);
	assert_string_equal(again.stage.log, "get0 done");
	assert_true(hpa_round_outcome(again.round)->has_desired);
	assert_int_equal(hpa_round_outcome(again.round)->desired, 8);
	end(&again);
	end(&first);
}

/* The world may let go of the object that the status came from. */
static void the_status_is_held(void **state)
{
	json_t *status = json_loads("{\"observedGeneration\":7,\"conditions\":[]}", 0, NULL);
	struct theatre t;

	begin(&t, &plays[5], true, status, HPA_V2);
	json_decref(status);
	while (answer_one(&t.stage))
		continue;
	check(&plays[5], &t);
	assert_int_equal(json_integer_value(json_object_get(t.stage.status, "observedGeneration")), 7);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_from_inside_the_call),
		cmocka_unit_test(answers_that_come_later),
		cmocka_unit_test(freed_at_any_point),
		cmocka_unit_test(the_same_status_is_not_written),
		cmocka_unit_test(the_status_is_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
