/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics in a round, as the recorded rounds do not have them: without a target or with an impossible selector, and odd
 * texts. */
#include "hpa/reconcile.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/hpa/round_stage.h"

static void each_type_fails_as_its_own(void **state)
{
	static const struct {
		const char *type, *source, *reason, *error;
		enum hpa_error_kind kind;
	} rows[] = {
		{"ContainerResource", "\"containerResource\":{\"name\":\"cpu\",\"container\":\"app\"}",
			"FailedGetContainerResourceMetric",
			"invalid resource metric source: neither an average utilization target nor",
			HPA_ERROR_INTERNAL},
		{"Pods", "\"pods\":{\"metric\":{\"name\":\"qps\"}}", "FailedGetPodsMetric",
			"invalid pods metric source: no average value", HPA_ERROR_INTERNAL},
		{"Pods", "\"pods\":{\"metric\":{\"name\":\"qps\",\"selector\":{\"matchLabels\":{\"a\":\"b c\"}}}}",
			"FailedGetPodsMetric", "a valid label must be an empty string or", HPA_ERROR_INTERNAL},
		{"Object", "\"object\":{\"metric\":{\"name\":\"rps\"},\"target\":{\"type\":\"Value\"}}",
			"FailedGetObjectMetric", "invalid object metric source: neither a value target nor",
			HPA_ERROR_INTERNAL},
		{"External", "\"external\":{\"metric\":{\"name\":\"queue\"}}", "FailedGetExternalMetric",
			"invalid external metric source: neither a value target nor", HPA_ERROR_INTERNAL},
		{"Magic", "\"magic\":{}", "InvalidMetricSourceType", "unknown metric source type \"Magic\"",
			HPA_ERROR_SPEC},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		char spec[512];
		const struct play play = {.name = rows[i].type, .spec = spec, .mappings = 1, .replicas = 4};
		const struct hpa_outcome *outcome;
		const char *reason, *message;
		json_t *active;
		struct theatre t;

		snprintf(spec, sizeof(spec),
			"{\"spec\":{" REF("apps/v1") ",\"maxReplicas\":9,\"metrics\":[{\"type\":\"%s\",%s}]}}",
			rows[i].type, rows[i].source);
		begin(&t, &play, false, NULL, HPA_V2);
		active = json_array_get(json_object_get(t.stage.status, "conditions"), 1);
		reason = json_string_value(json_object_get(active, "reason"));
		message = json_string_value(json_object_get(active, "message"));
		outcome = hpa_round_outcome(t.round);
		if (!reason || strcmp(reason, rows[i].reason) != 0 || !strstr(message, rows[i].error))
			fail_msg("%s: %s, %s", rows[i].type, reason, message);
		assert_non_null(strstr(t.stage.log, rows[i].reason));
		assert_int_equal(outcome->n_computations, 1);
		assert_int_equal(outcome->computations[0].error, rows[i].kind);
		assert_int_equal(outcome->computations[0].action, HPA_ACTION_NONE);
		assert_string_equal(outcome->error_label, "internal");
		end(&t);
	}
}

/* A metric that failed keeps its place. */
static void places_in_the_status_stay(void **state)
{
	static const struct play play = {.name = "v2beta1",
		.mappings = 1,
		.replicas = 4,
		.usage_milli = 500,
		.spec = SPEC_OF(REF("apps/v1"),
			"{\"type\":\"Pods\",\"pods\":{}},{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\","
			"\"targetAverageUtilization\":50}}",
			"")};
	json_t *want = json_loads("[{\"type\":\"\"},{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\","
				  "\"currentAverageUtilization\":50,\"currentAverageValue\":\"500m\"}}]",
		0, NULL);
	struct theatre t;

	begin(&t, &play, false, NULL, HPA_V2BETA1);
	assert_true(json_equal(json_object_get(t.stage.status, "currentMetrics"), want));
	assert_int_equal(hpa_round_outcome(t.round)->n_computations, 2);
	assert_int_equal(hpa_round_outcome(t.round)->computations[1].error, HPA_ERROR_NONE);
	assert_int_equal(hpa_round_outcome(t.round)->computations[1].action, HPA_ACTION_UP);
	json_decref(want);
	end(&t);
}

/* What the API said goes into events and conditions, which must be text whatever it was. */
static void texts_from_outside_are_made_fit(void **state)
{
	char error[3000];
	const struct play play = {.name = "texts",
		.spec = SPEC,
		.mappings = 1,
		.replicas = 4,
		.usage_milli = 1000,
		.put_error = error,
		.log = "get0 put 8@v1 FailedRescale status done",
		.action = "none",
		.error_label = "internal",
		.error = "failed to rescale Deployment/shop/web: 100%s \xEF\xBF\xBD"};
	const char *message;
	struct theatre t;

	memset(error, '\xE4', sizeof(error) - 1);
	error[sizeof(error) - 1] = '\0';
	memcpy(error, "100%s ", 6);
	begin(&t, &play, false, NULL, HPA_V2);
	check(&play, &t);
	message = json_string_value(
		json_object_get(json_array_get(json_object_get(t.stage.status, "conditions"), 0), "message"));
	assert_non_null(message);
	assert_non_null(strstr(message, "target scale: 100%s \xEF\xBF\xBD"));
	assert_true(strlen(message) < HPA_MESSAGE_MAX);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_type_fails_as_its_own),
		cmocka_unit_test(places_in_the_status_stay),
		cmocka_unit_test(texts_from_outside_are_made_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
