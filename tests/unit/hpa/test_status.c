/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions, the status as JSON in each API version, and when two are the same. */
#include "hpa/status.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/support/check.h"

#define NOW_S INT64_C(946684800) /* 2000-01-01T00:00:00Z */

static json_t *json(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	if (!value)
		fail_msg("no JSON: %s", text);
	return value;
}

static void texts_are_cut_at_characters(void **state)
{
	static const struct {
		const char *in, *out;
		size_t size;
	} rows[] = {
		{"plain", "plain", 16},
		{"plain", "plai", 5},
		{"", "", 1},
		{"x", "", 1},
		{"a\xC3\xA4", "a\xC3\xA4", 4},
		{"a\xC3\xA4", "a", 3},
		{"a\xFFz", "a\xEF\xBF\xBDz", 16},
		{"a\xFFz", "a", 4},
		{"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD", 16},
		{"cut \xE2\x82", "cut \xEF\xBF\xBD\xEF\xBF\xBD", 16},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		char out[16];

		hpa_text_copy(out, rows[i].size, rows[i].in);
		if (strcmp(out, rows[i].out) != 0)
			fail_msg("row %zu: \"%s\"", i, out);
	}
}

static void seconds_go_towards_the_past(void **state)
{
	assert_int_equal(hpa_seconds_of(INT64_C(1999999999)), 1);
	assert_int_equal(hpa_seconds_of(0), 0);
	assert_int_equal(hpa_seconds_of(-1), -1);
	assert_int_equal(hpa_seconds_of(INT64_C(-1000000000)), -1);
	assert_int_equal(hpa_seconds_of(INT64_MIN), INT64_C(-9223372037));
}

static void transition_time_moves_with_the_status_only(void **state)
{
	struct hpa_status status = {0};
	const struct hpa_condition *c;

	hpa_status_set(&status, "AbleToScale", true, "SucceededGetScale", 10, "one");
	hpa_status_set(&status, "ScalingActive", false, "InvalidSelector", 10, "100%% of %s", "two");
	hpa_status_set(&status, "AbleToScale", true, "ReadyForNewScale", 20, "three");
	c = hpa_status_find(&status, "AbleToScale");
	assert_ptr_equal(c, &status.conditions[0]);
	assert_string_equal(c->status, "True");
	assert_string_equal(c->reason, "ReadyForNewScale");
	assert_string_equal(c->message, "three");
	assert_int_equal(c->since_s, 10);
	hpa_status_set(&status, "AbleToScale", false, "FailedGetScale", 30, "four");
	assert_int_equal(c->since_s, 30);
	assert_string_equal(c->status, "False");
	assert_string_equal(hpa_status_find(&status, "ScalingActive")->message, "100% of two");
	assert_int_equal(status.n_conditions, 2);
	assert_null(hpa_status_find(&status, "ScaledToZero"));
}

static void conditions_are_removed_in_place(void **state)
{
	struct hpa_status status = {0};

	hpa_status_set(&status, "A", true, "r", 1, "m");
	hpa_status_set(&status, "B", true, "r", 1, "m");
	hpa_status_set(&status, "C", true, "r", 1, "m");
	hpa_status_remove(&status, "B");
	hpa_status_remove(&status, "D");
	assert_int_equal(status.n_conditions, 2);
	assert_string_equal(status.conditions[0].type, "A");
	assert_string_equal(status.conditions[1].type, "C");
}

static void a_condition_too_many_takes_the_last_place(void **state)
{
	struct hpa_status status = {0};
	char type[8];

	for (int i = 0; i < HPA_CONDITIONS_MAX; i++) {
		snprintf(type, sizeof(type), "T%d", i);
		hpa_status_set(&status, type, true, "r", 1, "m");
	}
	hpa_status_set(&status, "AbleToScale", true, "r", 2, "m");
	assert_int_equal(status.n_conditions, HPA_CONDITIONS_MAX);
	assert_string_equal(status.conditions[HPA_CONDITIONS_MAX - 1].type, "AbleToScale");
	assert_int_equal(status.conditions[HPA_CONDITIONS_MAX - 1].since_s, 2);
	assert_string_equal(status.conditions[0].type, "T0");
}

static void what_is_odd_counts_as_absent(void **state)
{
	json_t *in = json("{\"currentReplicas\":\"3\",\"desiredReplicas\":4294967296,\"lastScaleTime\":\"yesterday\","
			  "\"conditions\":[7,null,{\"type\":8},{\"type\":\"A\",\"status\":true,\"message\":null,"
			  "\"lastTransitionTime\":\"\"}]}");
	struct hpa_status status;

	hpa_status_decode(in, &status);
	json_decref(in);
	assert_int_equal(status.current, 0);
	assert_int_equal(status.desired, 0);
	assert_true(status.last_scale_s == INT64_MIN);
	assert_int_equal(status.n_conditions, 1);
	assert_string_equal(status.conditions[0].type, "A");
	assert_string_equal(status.conditions[0].status, "");
	assert_true(status.conditions[0].since_s == INT64_MIN);
	hpa_status_decode(NULL, &status);
	assert_int_equal(status.n_conditions, 0);
	assert_true(status.last_scale_s == INT64_MIN);
}

static const struct hpa_metric cpu = {.type = HPA_METRIC_RESOURCE, .type_text = "Resource", .name = "cpu"};
static const struct hpa_metric memory = {.type = HPA_METRIC_RESOURCE, .type_text = "Resource", .name = "memory"};

static struct hpa_status filled(void)
{
	struct hpa_status status = {
		.current = 3,
		.desired = 5,
		.last_scale_s = NOW_S,
		.has_metrics = true,
		.n_metrics = 4,
		.metrics = {{.metric = &cpu, .has_utilization = true, .utilization = 66, .value_milli = 133},
			{.metric = NULL}, {.metric = &memory, .value_milli = INT64_C(536870912000)},
			{.metric = &memory, .value_milli = INT64_C(171502796800)}},
	};

	hpa_status_set(
		&status, "AbleToScale", true, "ReadyForNewScale", NOW_S, "recommended size matches current size");
	return status;
}

#define HEAD "{\"currentReplicas\":3,\"desiredReplicas\":5,\"lastScaleTime\":\"2000-01-01T00:00:00Z\","
#define CONDITIONS                                                                                                 \
	"\"conditions\":[{\"type\":\"AbleToScale\",\"status\":\"True\",\"lastTransitionTime\":\"2000-01-01T00:00:" \
	"00Z\","                                                                                                   \
	"\"reason\":\"ReadyForNewScale\",\"message\":\"recommended size matches current size\"}]}"
#define METRICS_V2                                                                                               \
	"\"currentMetrics\":[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"current\":{"                \
	"\"averageUtilization\":66,"                                                                             \
	"\"averageValue\":\"133m\"}}},{\"type\":\"\"},{\"type\":\"Resource\",\"resource\":{\"name\":\"memory\"," \
	"\"current\":{\"averageValue\":\"512Mi\"}}},{\"type\":\"Resource\",\"resource\":{\"name\":\"memory\","   \
	"\"current\":{\"averageValue\":\"171502796800m\"}}}],"
#define METRICS_V2BETA1                                                                                                \
	"\"currentMetrics\":[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"currentAverageUtilization\":66,"  \
	"\"currentAverageValue\":\"133m\"}},{\"type\":\"\"},{\"type\":\"Resource\",\"resource\":{\"name\":\"memory\"," \
	"\"currentAverageValue\":\"512Mi\"}},{\"type\":\"Resource\",\"resource\":{\"name\":\"memory\","                \
	"\"currentAverageValue\":\"171502796800m\"}}],"

/* The types that have a metric's name, an object, a selector. */
static void each_type_has_its_shape(void **state)
{
	static const struct hpa_metric rps = {.type = HPA_METRIC_OBJECT,
		.type_text = "Object",
		.name = "rps",
		.object_api_version = "v1",
		.object_kind = "Service",
		.object_name = "api"};
	static const struct hpa_metric app = {.type = HPA_METRIC_CONTAINER_RESOURCE,
		.type_text = "ContainerResource",
		.name = "memory",
		.container = "app"};
	static const char nested[] =
		"[{\"type\":\"ContainerResource\",\"containerResource\":{\"name\":\"memory\",\"container\":\"app\","
		"\"current\":{\"averageUtilization\":50,\"averageValue\":\"1Mi\"}}},"
		"{\"type\":\"Pods\",\"pods\":{\"metric\":{\"name\":\"memory\",\"selector\":{\"matchLabels\":{\"a\":"
		"\"1\"}}},\"current\":{\"averageValue\":\"1048576\"}}},"
		"{\"type\":\"Object\",\"object\":{\"metric\":{\"name\":\"rps\"},\"describedObject\":{\"kind\":"
		"\"Service\","
		"\"name\":\"api\",\"apiVersion\":\"v1\"},\"current\":{\"value\":\"2500m\"}}},"
		"{\"type\":\"Object\",\"object\":{\"metric\":{\"name\":\"rps\"},\"describedObject\":{\"kind\":"
		"\"Service\","
		"\"name\":\"api\",\"apiVersion\":\"v1\"},\"current\":{\"averageValue\":\"7\"}}},"
		"{\"type\":\"External\",\"external\":{\"metric\":{\"name\":\"queue\"},\"current\":{\"averageValue\":"
		"\"7\"}}}]";
	static const char flat[] =
		"[{\"type\":\"ContainerResource\",\"containerResource\":{\"name\":\"memory\",\"container\":\"app\","
		"\"currentAverageUtilization\":50,\"currentAverageValue\":\"1Mi\"}},"
		"{\"type\":\"Pods\",\"pods\":{\"metricName\":\"memory\",\"selector\":{\"matchLabels\":{\"a\":\"1\"}},"
		"\"currentAverageValue\":\"1048576\"}},"
		"{\"type\":\"Object\",\"object\":{\"metricName\":\"rps\",\"target\":{\"kind\":\"Service\",\"name\":"
		"\"api\","
		"\"apiVersion\":\"v1\"},\"currentValue\":\"2500m\"}},"
		"{\"type\":\"Object\",\"object\":{\"metricName\":\"rps\",\"target\":{\"kind\":\"Service\",\"name\":"
		"\"api\","
		"\"apiVersion\":\"v1\"},\"currentValue\":\"0\",\"averageValue\":\"7\"}},"
		"{\"type\":\"External\",\"external\":{\"metricName\":\"queue\",\"currentValue\":\"0\","
		"\"currentAverageValue\":\"7\"}}]";
	struct hpa_metric pods = {.type = HPA_METRIC_PODS, .type_text = "Pods", .name = "memory"};
	const struct hpa_metric queue = {.type = HPA_METRIC_EXTERNAL, .type_text = "External", .name = "queue"};
	struct hpa_status status = {.has_metrics = true, .n_metrics = 5};
	const struct hpa_metric_status metrics[] = {
		{.metric = &app, .has_utilization = true, .utilization = 50, .value_milli = INT64_C(1048576000)},
		{.metric = &pods, .value_milli = INT64_C(1048576000)},
		{.metric = &rps, .is_value = true, .value_milli = 2500},
		{.metric = &rps, .value_milli = 7000},
		{.metric = &queue, .value_milli = 7000},
	};

	pods.selector.object = json("{\"matchLabels\":{\"a\":\"1\"}}");
	memcpy(status.metrics, metrics, sizeof(metrics));
	for (enum hpa_api_version version = HPA_V2; version <= HPA_V2BETA1; version++) {
		json_t *got = hpa_status_encode(&status, version), *want = json(version == HPA_V2BETA1 ? flat : nested);

		if (!json_equal(json_object_get(got, "currentMetrics"), want))
			fail_msg("%s: %s", hpa_api_version_name(version), json_dumps(got, 0));
		json_decref(got);
		json_decref(want);
	}
	json_decref(pods.selector.object);
}

static void each_version_has_its_shape(void **state)
{
	static const char *const expected[] = {
		[HPA_V2] = HEAD METRICS_V2 CONDITIONS,
		[HPA_V2BETA2] = HEAD METRICS_V2 CONDITIONS,
		[HPA_V2BETA1] = HEAD METRICS_V2BETA1 CONDITIONS,
	};
	const struct hpa_status status = filled();

	for (size_t i = 0; i < KM_ARRAY_LEN(expected); i++) {
		json_t *got = hpa_status_encode(&status, (enum hpa_api_version)i), *want = json(expected[i]);
		struct hpa_status again;

		if (!json_equal(got, want))
			fail_msg("%s: %s", hpa_api_version_name((enum hpa_api_version)i), json_dumps(got, 0));
		hpa_status_decode(got, &again);
		assert_int_equal(again.current, status.current);
		assert_int_equal(again.desired, status.desired);
		assert_int_equal(again.last_scale_s, status.last_scale_s);
		assert_int_equal(again.n_conditions, 1);
		assert_memory_equal(again.conditions, status.conditions, sizeof(again.conditions[0]));
		json_decref(got);
		json_decref(want);
	}
}

/* A round that learnt nothing but a condition leaves the rest as it was, observedGeneration included. */
static void conditions_alone(void **state)
{
	static const struct {
		const char *old, *expected;
	} rows[] = {
		{"{\"observedGeneration\":3,\"desiredReplicas\":2,\"currentMetrics\":[{\"type\":\"Pods\"}],"
		 "\"conditions\":[]}",
			"{\"observedGeneration\":3,\"desiredReplicas\":2,\"currentMetrics\":[{\"type\":\"Pods\"}]"
			"," CONDITIONS},
		{"null", "{\"desiredReplicas\":0,\"currentMetrics\":null," CONDITIONS},
	};
	const struct hpa_status status = filled();

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		json_t *old = json_loads(rows[i].old, JSON_DECODE_ANY, NULL), *want = json(rows[i].expected), *got;

		got = hpa_status_encode_conditions(&status, old);
		if (!json_equal(got, want))
			fail_msg("row %zu: %s", i, json_dumps(got, 0));
		json_decref(old);
		json_decref(got);
		json_decref(want);
	}
}

static void times_that_are_none(void **state)
{
	struct hpa_status status = {.last_scale_s = INT64_MIN, .n_conditions = 1};
	json_t *got;

	strcpy(status.conditions[0].type, "A");
	status.conditions[0].since_s = INT64_MIN;
	got = hpa_status_encode(&status, HPA_V2);
	assert_null(json_object_get(got, "lastScaleTime"));
	assert_true(json_is_null(json_object_get(got, "currentMetrics")));
	assert_true(json_is_null(
		json_object_get(json_array_get(json_object_get(got, "conditions"), 0), "lastTransitionTime")));
	json_decref(got);
}

#define METRIC(value) "{\"currentMetrics\":[{\"type\":\"Resource\",\"resource\":{\"current\":{" value "}}}]}"

static void equality_is_semantic(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{"{}", "{}", true},
		{"{\"currentReplicas\":0}", "{}", true},
		{"{\"currentReplicas\":0,\"conditions\":[]}", "{\"currentMetrics\":null}", true},
		{"{\"currentReplicas\":1}", "{}", false},
		{"{\"currentReplicas\":1}", "{\"currentReplicas\":2}", false},
		{"{\"lastScaleTime\":null}", "{\"lastScaleTime\":\"2000-01-01T00:00:00Z\"}", false},
		{"{\"observedGeneration\":3}", "{}", false},
		{METRIC("\"averageValue\":\"1\""), METRIC("\"averageValue\":\"1000m\""), true},
		{METRIC("\"averageValue\":\"1Ki\""), METRIC("\"averageValue\":\"1024\""), true},
		{METRIC("\"averageValue\":\"0\""), METRIC("\"averageValue\":\"0m\""), true},
		{METRIC("\"averageValue\":\"1\""), METRIC("\"averageValue\":\"-1\""), false},
		{METRIC("\"averageValue\":\"1\""), METRIC("\"averageValue\":\"10\""), false},
		{METRIC("\"averageValue\":\"1\""), METRIC("\"averageValue\":\"1001m\""), false},
		{METRIC("\"averageValue\":\"0\""), METRIC(""), false},
		{METRIC("\"averageValue\":\"x\""), METRIC("\"averageValue\":\"y\""), false},
		{METRIC("\"currentAverageValue\":\"2k\""), METRIC("\"currentAverageValue\":\"2000\""), true},
		{METRIC("\"averageUtilization\":0"), METRIC(""), false},
		{METRIC("\"name\":\"1\""), METRIC("\"name\":\"1000m\""), false},
		{"{\"currentMetrics\":[{\"type\":\"\"}]}", "{\"currentMetrics\":[{}]}", true},
		{"{\"currentMetrics\":[{\"type\":\"\"}]}", "{\"currentMetrics\":[{},{}]}", false},
		{"{\"currentMetrics\":[{\"type\":\"\"}]}", "{\"currentMetrics\":null}", false},
		{"{\"conditions\":[{\"type\":\"A\"},{\"type\":\"B\"}]}",
			"{\"conditions\":[{\"type\":\"B\"},{\"type\":\"A\"}]}", false},
		{"{\"conditions\":[{\"type\":\"A\",\"message\":\"\"}]}", "{\"conditions\":[{\"type\":\"A\"}]}", true},
		{"{\"conditions\":[7]}", "{\"conditions\":[{}]}", false},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		json_t *a = json(rows[i].a), *b = json(rows[i].b);

		if (hpa_status_same(a, b) != rows[i].same || hpa_status_same(b, a) != rows[i].same)
			fail_msg("row %zu: %s and %s", i, rows[i].a, rows[i].b);
		json_decref(a);
		json_decref(b);
	}
	assert_true(hpa_status_same(NULL, NULL));
}

/* Figures that move a little are the same, of whatever API version; anything else is not. */
static void test_change(void **state)
{
	static const struct {
		const char *before, *now;
		enum hpa_status_change change;
	} rows[] = {
		{"{\"desiredReplicas\":3}", "{\"desiredReplicas\":4}", HPA_STATUS_MORE},
		{"{\"currentMetrics\":[{\"resource\":{\"current\":{\"averageValue\":\"1000m\",\"averageUtilization\":"
		 "50}}}]}",
			"{\"currentMetrics\":[{\"resource\":{\"current\":{\"averageValue\":\"1009m\","
			"\"averageUtilization\":50}}}]}",
			HPA_STATUS_SMALL},
		{"{\"currentMetrics\":[{\"resource\":{\"current\":{\"averageValue\":\"1\",\"averageUtilization\":50}}}]"
		 "}",
			"{\"currentMetrics\":[{\"resource\":{\"current\":{\"averageValue\":\"1010m\","
			"\"averageUtilization\":50}}}]}",
			HPA_STATUS_METRICS},
		{"{\"currentMetrics\":[{\"resource\":{\"current\":{\"averageValue\":\"1\",\"averageUtilization\":50}}}]"
		 "}",
			"{\"currentMetrics\":[{\"resource\":{\"current\":{\"averageValue\":\"1\","
			"\"averageUtilization\":51}}}]}",
			HPA_STATUS_METRICS},
		{"{\"currentMetrics\":[{\"resource\":{\"currentAverageValue\":\"200\"}}]}",
			"{\"currentMetrics\":[{\"resource\":{\"currentAverageValue\":\"201\"}}]}", HPA_STATUS_SMALL},
		{"{\"currentMetrics\":[{\"resource\":{\"current\":{\"averageValue\":\"0\"}}}]}",
			"{\"currentMetrics\":[{\"resource\":{\"current\":{\"averageValue\":\"1m\"}}}]}",
			HPA_STATUS_METRICS},
		{"{\"currentMetrics\":[{\"type\":\"Resource\"}]}", "{\"currentMetrics\":[{\"type\":\"\"}]}",
			HPA_STATUS_MORE},
		{"{\"conditions\":[{\"message\":\"a\"}]}", "{\"conditions\":[{\"message\":\"b\"}]}", HPA_STATUS_MORE},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		json_t *before = json_loads(rows[i].before, 0, NULL), *now = json_loads(rows[i].now, 0, NULL);

		if (hpa_status_change(before, now) != rows[i].change)
			fail_msg("row %zu", i);
		json_decref(before);
		json_decref(now);
	}
}

/* The short way to "the same again" says what the long one says. */
static void test_told(void **state)
{
	struct hpa_status_told told = {0};
	struct hpa_status *s = calloc(1, sizeof(*s));
	json_t *there = json_object(), *other = json_object();
	const struct hpa_metric metric = {0};

	s->n_metrics = 1;
	s->has_metrics = true;
	s->metrics[0] = (struct hpa_metric_status){.metric = &metric, .utilization = 50, .value_milli = 10000};
	hpa_status_set(s, "AbleToScale", true, "ReadyForNewScale", 7, "%s", "fine");
	assert_false(hpa_status_told_same(&told, s, there, false));
	hpa_status_told_note(&told, s, there);
	assert_true(hpa_status_told_same(&told, s, there, false));
	assert_false(hpa_status_told_same(&told, s, other, false));
	s->metrics[0].value_milli = 10040;
	assert_false(hpa_status_told_same(&told, s, there, false));
	assert_true(hpa_status_told_same(&told, s, there, true));
	s->metrics[0].value_milli = 10060;
	assert_false(hpa_status_told_same(&told, s, there, true));
	s->metrics[0].value_milli = 10000;
	s->metrics[0].utilization = 51;
	assert_false(hpa_status_told_same(&told, s, there, true));
	s->metrics[0].utilization = 50;
	s->metrics[0].metric = NULL;
	assert_false(hpa_status_told_same(&told, s, there, true));
	s->metrics[0].metric = &metric;
	hpa_status_set(s, "AbleToScale", true, "ReadyForNewScale", 8, "%s", "finer");
	assert_false(hpa_status_told_same(&told, s, there, true));
	hpa_status_set(s, "AbleToScale", true, "ReadyForNewScale", 9, "%s", "fine");
	assert_true(hpa_status_told_same(&told, s, there, true));
	s->desired++;
	assert_false(hpa_status_told_same(&told, s, there, true));
	hpa_status_told_clear(&told);
	json_decref(there);
	json_decref(other);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_change),
		cmocka_unit_test(test_told),
		cmocka_unit_test(texts_are_cut_at_characters),
		cmocka_unit_test(seconds_go_towards_the_past),
		cmocka_unit_test(transition_time_moves_with_the_status_only),
		cmocka_unit_test(conditions_are_removed_in_place),
		cmocka_unit_test(a_condition_too_many_takes_the_last_place),
		cmocka_unit_test(what_is_odd_counts_as_absent),
		cmocka_unit_test(each_type_has_its_shape),
		cmocka_unit_test(each_version_has_its_shape),
		cmocka_unit_test(conditions_alone),
		cmocka_unit_test(times_that_are_none),
		cmocka_unit_test(equality_is_semantic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
