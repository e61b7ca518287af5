/* SPDX-License-Identifier: Apache-2.0 */
/* Reading HPA objects: the three API versions, defaults, and what is refused with which words. */
#include "hpa/spec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/support/check.h"

#define TARGET          "\"scaleTargetRef\":{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"name\":\"web\"}"
#define SPEC(more)      "{\"spec\":{" TARGET ",\"maxReplicas\":10" more "}}"
#define RESOURCE(inner) SPEC(",\"metrics\":[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\"," inner "}}]")
#define BEHAVIOR(inner) SPEC(",\"behavior\":{" inner "}")

static int decode(const char *text, enum hpa_api_version version, struct hpa_spec **ret, struct km_err *err)
{
	json_t *object = json_loads(text, 0, NULL);
	int r;

	assert_non_null(object);
	r = hpa_spec_decode(object, version, ret, err);
	json_decref(object);
	return r;
}

static struct hpa_spec *decoded(const char *text, enum hpa_api_version version)
{
	struct hpa_spec *spec = NULL;
	struct km_err err = {""};

	if (decode(text, version, &spec, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return spec;
}

static void versions_have_names(void **state)
{
	static const struct {
		const char *name;
		enum hpa_api_version version;
	} rows[] = {{"v2", HPA_V2}, {"v2beta2", HPA_V2BETA2}, {"v2beta1", HPA_V2BETA1}};
	enum hpa_api_version version;

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		assert_int_equal(hpa_api_version_of(rows[i].name, &version), 0);
		assert_int_equal(version, rows[i].version);
		assert_string_equal(hpa_api_version_name(rows[i].version), rows[i].name);
	}
	assert_int_equal(hpa_api_version_of("v1", &version), -ENOENT);
	assert_int_equal(hpa_api_version_of("", &version), -ENOENT);
}

static void defaults_are_filled_in(void **state)
{
	_cleanup_(hpa_spec_freep) struct hpa_spec *spec = decoded(SPEC(""), HPA_V2);

	assert_string_equal(spec->target_api_version, "apps/v1");
	assert_string_equal(spec->target_kind, "Deployment");
	assert_string_equal(spec->target_name, "web");
	assert_int_equal(spec->min, 1);
	assert_int_equal(spec->max, 10);
	assert_false(spec->has_behavior);
	assert_int_equal(spec->n_metrics, 1);
	assert_int_equal(spec->metrics[0].type, HPA_METRIC_RESOURCE);
	assert_string_equal(spec->metrics[0].type_text, "Resource");
	assert_string_equal(spec->metrics[0].name, "cpu");
	assert_true(spec->metrics[0].has_utilization);
	assert_false(spec->metrics[0].has_average_value);
	assert_int_equal(spec->metrics[0].utilization, 80);
}

/* null is as good as absent, as Go's decoder has it. */
static void null_is_absent(void **state)
{
	_cleanup_(hpa_spec_freep) struct hpa_spec *spec =
		decoded(SPEC(",\"minReplicas\":null,\"metrics\":null,\"behavior\":null"), HPA_V2);

	assert_int_equal(spec->min, 1);
	assert_int_equal(spec->n_metrics, 1);
	assert_false(spec->has_behavior);
}

static void metrics_of_all_versions(void **state)
{
	static const struct {
		const char *text;
		enum hpa_api_version version;
		bool has_average, has_utilization;
		int64_t average_milli;
		int32_t utilization;
	} rows[] = {
		{RESOURCE("\"target\":{\"type\":\"Utilization\",\"averageUtilization\":65}"), HPA_V2, false, true, 0,
			65},
		{RESOURCE("\"target\":{\"type\":\"Utilization\",\"averageUtilization\":65}"), HPA_V2BETA2, false, true,
			0, 65},
		{RESOURCE("\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"250m\"}"), HPA_V2, true, false, 250,
			0},
		{RESOURCE("\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"100u\"}"), HPA_V2BETA2, true, false,
			1, 0},
		{RESOURCE("\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"2Gi\"}"), HPA_V2, true, false,
			2147483648000, 0},
		{RESOURCE("\"target\":{\"type\":\"Utilization\"}"), HPA_V2, false, false, 0, 0},
		{RESOURCE("\"targetAverageUtilization\":70"), HPA_V2BETA1, false, true, 0, 70},
		{RESOURCE("\"targetAverageValue\":\"1500m\""), HPA_V2BETA1, true, false, 1500, 0},
		{RESOURCE("\"targetAverageUtilization\":70"), HPA_V2, false, false, 0, 0},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		_cleanup_(hpa_spec_freep) struct hpa_spec *spec = decoded(rows[i].text, rows[i].version);
		const struct hpa_metric *metric = spec->metrics;

		if (spec->n_metrics != 1 || metric->type != HPA_METRIC_RESOURCE || strcmp(metric->name, "cpu") != 0 ||
			metric->has_average_value != rows[i].has_average ||
			metric->has_utilization != rows[i].has_utilization ||
			metric->average_value_milli != rows[i].average_milli ||
			metric->utilization != rows[i].utilization)
			fail_msg("row %zu: average %lld, utilization %d", i, (long long)metric->average_value_milli,
				(int)metric->utilization);
	}
}

/* One metric of each type, in the nested form and in that of v2beta1. */
#define OBJECT_REF                   "{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"Ingress\",\"name\":\"main\"}"
#define SELECTOR                     "{\"matchLabels\":{\"b\":\"2\",\"a\":\"1\"}}"
#define NESTED_METRIC                "\"metric\":{\"name\":\"m\",\"selector\":" SELECTOR "}"
#define METRIC(type, member, source) SPEC(",\"metrics\":[{\"type\":\"" type "\",\"" member "\":{" source "}}]")

static void types_of_all_versions(void **state)
{
	static const struct {
		const char *text;
		enum hpa_api_version version;
		enum hpa_metric_type type;
		bool is_value, is_average, has_value, has_average;
	} rows[] = {
		{METRIC("Pods", "pods",
			 NESTED_METRIC ",\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"1500m\"}"),
			HPA_V2, HPA_METRIC_PODS, false, true, false, true},
		{METRIC("Pods", "pods",
			 "\"metricName\":\"m\",\"selector\":" SELECTOR ",\"targetAverageValue\":\"1500m\""),
			HPA_V2BETA1, HPA_METRIC_PODS, false, true, false, true},
		{METRIC("Object", "object",
			 NESTED_METRIC ",\"describedObject\":" OBJECT_REF
				       ",\"target\":{\"type\":\"Value\",\"value\":\"2\"}"),
			HPA_V2BETA2, HPA_METRIC_OBJECT, true, false, true, false},
		{METRIC("Object", "object",
			 "\"metricName\":\"m\",\"selector\":" SELECTOR ",\"target\":" OBJECT_REF
			 ",\"targetValue\":\"2\""),
			HPA_V2BETA1, HPA_METRIC_OBJECT, true, false, true, false},
		{METRIC("Object", "object",
			 "\"metricName\":\"m\",\"selector\":" SELECTOR ",\"target\":" OBJECT_REF
			 ",\"targetValue\":\"2\",\"averageValue\":\"1500m\""),
			HPA_V2BETA1, HPA_METRIC_OBJECT, false, true, true, true},
		{METRIC("External", "external",
			 NESTED_METRIC ",\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"1500m\"}"),
			HPA_V2, HPA_METRIC_EXTERNAL, false, true, false, true},
		{METRIC("External", "external",
			 "\"metricName\":\"m\",\"metricSelector\":" SELECTOR ",\"targetAverageValue\":\"1500m\""),
			HPA_V2BETA1, HPA_METRIC_EXTERNAL, false, true, false, true},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		_cleanup_(hpa_spec_freep) struct hpa_spec *spec = decoded(rows[i].text, rows[i].version);
		const struct hpa_metric *m = spec->metrics;

		if (m->type != rows[i].type || strcmp(m->name, "m") != 0 || m->is_value != rows[i].is_value ||
			m->is_average_value != rows[i].is_average || m->has_value != rows[i].has_value ||
			m->has_average_value != rows[i].has_average ||
			m->value_milli != (rows[i].has_value ? 2000 : 0) ||
			m->average_value_milli != (rows[i].has_average ? 1500 : 0))
			fail_msg("row %zu", i);
		assert_string_equal(m->selector.query, "a=1,b=2");
		if (m->type != HPA_METRIC_OBJECT)
			continue;
		assert_string_equal(m->object_api_version, "networking.k8s.io/v1");
		assert_string_equal(m->object_kind, "Ingress");
		assert_string_equal(m->object_name, "main");
	}
}

static void a_container_has_its_name(void **state)
{
	static const struct {
		const char *text;
		enum hpa_api_version version;
	} rows[] = {
		{METRIC("ContainerResource", "containerResource",
			 "\"name\":\"cpu\",\"container\":\"app\",\"target\":{\"type\":\"Utilization\","
			 "\"averageUtilization\":60}"),
			HPA_V2},
		{METRIC("ContainerResource", "containerResource",
			 "\"name\":\"cpu\",\"container\":\"app\",\"targetAverageUtilization\":60"),
			HPA_V2BETA1},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		_cleanup_(hpa_spec_freep) struct hpa_spec *spec = decoded(rows[i].text, rows[i].version);

		assert_int_equal(spec->metrics[0].type, HPA_METRIC_CONTAINER_RESOURCE);
		assert_string_equal(spec->metrics[0].name, "cpu");
		assert_string_equal(spec->metrics[0].container, "app");
		assert_int_equal(spec->metrics[0].utilization, 60);
	}
}

static void unknown_types_keep_their_name(void **state)
{
	_cleanup_(hpa_spec_freep) struct hpa_spec *spec =
		decoded(SPEC(",\"metrics\":[{\"type\":\"Extern\",\"external\":7},"
			     "{\"type\":\"Resource\",\"resource\":{\"name\":\"memory\"}},"
			     "{\"type\":\"Magic\"},{}]"),
			HPA_V2);

	assert_int_equal(spec->n_metrics, 4);
	assert_int_equal(spec->metrics[0].type, HPA_METRIC_UNKNOWN);
	assert_string_equal(spec->metrics[0].type_text, "Extern");
	assert_int_equal(spec->metrics[1].type, HPA_METRIC_RESOURCE);
	assert_string_equal(spec->metrics[1].name, "memory");
	assert_string_equal(spec->metrics[2].type_text, "Magic");
	assert_int_equal(spec->metrics[3].type, HPA_METRIC_UNKNOWN);
	assert_string_equal(spec->metrics[3].type_text, "");
}

static void check_rules(const struct hpa_rules *rules, const struct hpa_rules *expected)
{
	assert_int_equal(rules->window_s, expected->window_s);
	assert_int_equal(rules->select, expected->select);
	assert_int_equal(rules->has_tolerance, expected->has_tolerance);
	assert_true(!rules->has_tolerance || rules->tolerance == expected->tolerance);
	assert_int_equal(rules->n_policies, expected->n_policies);
	for (size_t i = 0; i < expected->n_policies; i++) {
		assert_int_equal(rules->policies[i].percent, expected->policies[i].percent);
		assert_int_equal(rules->policies[i].value, expected->policies[i].value);
		assert_int_equal(rules->policies[i].period_s, expected->policies[i].period_s);
	}
}

static const struct hpa_rules up = {.window_s = 0, .n_policies = 2, .policies = {{false, 4, 15}, {true, 100, 15}}};
static const struct hpa_rules down = {.window_s = -1, .n_policies = 1, .policies = {{true, 100, 15}}};

/* A behavior that was written through v1 by an old server comes in pieces (CVE-2024-0793). */
static void partial_behavior_is_completed(void **state)
{
	static const struct hpa_rules window = {
		.window_s = 120, .n_policies = 2, .policies = {{false, 4, 15}, {true, 100, 15}}};
	static const struct hpa_rules none = {.window_s = -1};
	static const struct hpa_rules full = {.window_s = 600,
		.select = HPA_SELECT_MIN,
		.has_tolerance = true,
		.tolerance = 300 * 0.001,
		.n_policies = 2,
		.policies = {{true, 10, 60}, {false, 2, 1800}}};
	static const struct hpa_rules disabled = {
		.window_s = -1, .select = HPA_SELECT_DISABLED, .n_policies = 1, .policies = {{true, 100, 15}}};
	static const struct {
		const char *text;
		const struct hpa_rules *up, *down;
	} rows[] = {
		{BEHAVIOR(""), &up, &down},
		{BEHAVIOR("\"scaleUp\":null"), &up, &down},
		{BEHAVIOR("\"scaleUp\":{\"stabilizationWindowSeconds\":120}"), &window, &down},
		{BEHAVIOR("\"scaleDown\":{\"selectPolicy\":\"Disabled\"}"), &up, &disabled},
		{BEHAVIOR("\"scaleDown\":{\"policies\":[]}"), &up, &none},
		{BEHAVIOR("\"scaleUp\":{\"policies\":null},\"scaleDown\":{\"stabilizationWindowSeconds\":600,"
			  "\"selectPolicy\":\"Min\",\"tolerance\":\"300m\",\"policies\":[{\"type\":\"Percent\","
			  "\"value\":"
			  "10,\"periodSeconds\":60},{\"type\":\"Pods\",\"value\":2,\"periodSeconds\":1800}]}"),
			&up, &full},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		_cleanup_(hpa_spec_freep) struct hpa_spec *spec = decoded(rows[i].text, i % 2 ? HPA_V2 : HPA_V2BETA2);

		assert_true(spec->has_behavior);
		check_rules(&spec->up, rows[i].up);
		check_rules(&spec->down, rows[i].down);
	}
}

static void what_is_refused(void **state)
{
	static const struct {
		const char *text, *where;
	} rows[] = {
		{"{}", "there is no spec"},
		{"{\"spec\":7}", "there is no spec"},
		{"[]", "there is no spec"},
		{"{\"spec\":{" TARGET "}}", "spec.maxReplicas is missing"},
		{"{\"spec\":{\"maxReplicas\":3}}", "spec.scaleTargetRef.name"},
		{"{\"spec\":{\"maxReplicas\":3,\"scaleTargetRef\":[]}}", "spec.scaleTargetRef must be an object"},
		{"{\"spec\":{\"maxReplicas\":3,\"scaleTargetRef\":{\"name\":7}}}",
			"scaleTargetRef.name must be a text"},
		{"{\"spec\":{\"maxReplicas\":3,\"scaleTargetRef\":{\"name\":\"../x\"}}}", "spec.scaleTargetRef.name"},
		{"{\"spec\":{\"maxReplicas\":3,\"scaleTargetRef\":{\"name\":\"..\"}}}", "spec.scaleTargetRef.name"},
		{SPEC(",\"minReplicas\":-1"), "spec.minReplicas must be a whole number from 0"},
		{SPEC(",\"minReplicas\":1.5"), "spec.minReplicas"},
		{SPEC(",\"minReplicas\":\"1\""), "spec.minReplicas"},
		{SPEC(",\"minReplicas\":2147483648"), "to 2147483647"},
		{SPEC(",\"metrics\":{}"), "spec.metrics must be a list"},
		{SPEC(",\"metrics\":[7]"), "spec.metrics[0] must be an object"},
		{SPEC(",\"metrics\":[{\"type\":\"Magic\"},{\"type\":\"Resource\"}]"),
			"spec.metrics[1] has type Resource"},
		{SPEC(",\"metrics\":[{\"type\":7}]"), "spec.metrics[0].type must be a text"},
		{RESOURCE("\"target\":7"), "spec.metrics[0].resource.target must be an object"},
		{RESOURCE("\"target\":{\"averageUtilization\":0}"), "target.averageUtilization must be a whole number"},
		{RESOURCE("\"target\":{\"averageValue\":\"2 GB\"}"), "target.averageValue must be a quantity"},
		{RESOURCE("\"target\":{\"averageValue\":\"-1\"}"), "target.averageValue must be a quantity"},
		{RESOURCE("\"target\":{\"averageValue\":5}"), "target.averageValue must be a quantity"},
		{RESOURCE("\"target\":{\"averageValue\":\"0\"}"), "must be more than 0"},
		{METRIC("External", "external", NESTED_METRIC ",\"target\":{\"value\":\"0\"}"),
			"spec.metrics[0].external.target.value must be more than 0"},
		{METRIC("External", "external", NESTED_METRIC ",\"target\":{\"type\":7}"),
			"spec.metrics[0].external.target.type must be a text"},
		{METRIC("Object", "object", NESTED_METRIC ",\"describedObject\":[]"),
			"spec.metrics[0].object.describedObject must be an object"},
		{METRIC("Pods", "pods", "\"metric\":7"), "spec.metrics[0].pods.metric must be an object"},
		{SPEC(",\"metrics\":[{\"type\":\"Pods\",\"pods\":7}]"), "spec.metrics[0].pods must be an object"},
		{BEHAVIOR("\"scaleUp\":7"), "spec.behavior.scaleUp must be an object"},
		{BEHAVIOR("\"scaleUp\":{\"selectPolicy\":\"max\"}"), "scaleUp.selectPolicy: \"max\" is not known"},
		{BEHAVIOR("\"scaleDown\":{\"stabilizationWindowSeconds\":-1}"), "stabilizationWindowSeconds"},
		{BEHAVIOR("\"scaleDown\":{\"tolerance\":\"x\"}"), "spec.behavior.scaleDown.tolerance"},
		{BEHAVIOR("\"scaleDown\":{\"policies\":[{\"type\":\"Pods\",\"value\":1}]}"),
			"policies[0] must have type"},
		{BEHAVIOR("\"scaleDown\":{\"policies\":[{\"value\":1,\"periodSeconds\":1}]}"), "policies[0] must have"},
		{BEHAVIOR("\"scaleDown\":{\"policies\":[{\"type\":\"Pods\",\"value\":1,\"periodSeconds\":0}]}"),
			"spec.behavior.scaleDown.policies[0].periodSeconds"},
		{BEHAVIOR("\"scaleDown\":{\"policies\":[null]}"), "policies[0] must be an object"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct hpa_spec *spec = NULL;
		struct km_err err = {""};

		if (decode(rows[i].text, HPA_V2, &spec, &err) != -EINVAL || !strstr(err.text, rows[i].where) || spec)
			fail_msg("%s: \"%s\"", rows[i].text, err.text);
		if (!strstr(err.text, "orrect the HorizontalPodAutoscaler"))
			fail_msg("no remedy: %s", err.text);
	}
}

/* n times the item, between before and after; owned by the caller. */
static char *repeated(const char *before, const char *item, size_t n, const char *after)
{
	char *text = malloc(strlen(before) + n * (strlen(item) + 1) + strlen(after) + 1), *at = text;

	assert_non_null(text);
	at += sprintf(at, "%s", before);
	for (size_t i = 0; i < n; i++)
		at += sprintf(at, "%s%s", i ? "," : "", item);
	sprintf(at, "%s", after);
	return text;
}

static void limits_hold(void **state)
{
	static const struct {
		const char *before, *item, *after, *where;
		size_t limit;
	} rows[] = {
		{"{\"spec\":{" TARGET ",\"maxReplicas\":10,\"metrics\":[",
			"{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\"}}", "]}}",
			"spec.metrics has more than 64", HPA_METRICS_MAX},
		{"{\"spec\":{" TARGET ",\"maxReplicas\":10,\"behavior\":{\"scaleUp\":{\"policies\":[",
			"{\"type\":\"Pods\",\"value\":1,\"periodSeconds\":1}", "]}}}}",
			"spec.behavior.scaleUp.policies has more than 64", HPA_POLICIES_MAX},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		_cleanup_free_ char *fits = repeated(rows[i].before, rows[i].item, rows[i].limit, rows[i].after);
		_cleanup_free_ char *over = repeated(rows[i].before, rows[i].item, rows[i].limit + 1, rows[i].after);
		_cleanup_(hpa_spec_freep) struct hpa_spec *spec = NULL;
		struct hpa_spec *none = NULL;
		struct km_err err = {""};

		assert_int_equal(decode(fits, HPA_V2, &spec, &err), 0);
		assert_int_equal(decode(over, HPA_V2, &none, &err), -EINVAL);
		assert_non_null(strstr(err.text, rows[i].where));
	}
}

static void long_names_are_refused(void **state)
{
	char text[HPA_TEXT_MAX + 200], name[HPA_TEXT_MAX + 2];
	struct km_err err = {""};

	for (size_t len = HPA_TEXT_MAX; len <= HPA_TEXT_MAX + 1; len++) {
		_cleanup_(hpa_spec_freep) struct hpa_spec *spec = NULL;
		int r;

		memset(name, 'n', len);
		name[len] = '\0';
		snprintf(text, sizeof(text), "{\"spec\":{\"maxReplicas\":1,\"scaleTargetRef\":{\"name\":\"%s\"}}}",
			name);
		r = decode(text, HPA_V2, &spec, &err);
		assert_int_equal(r, len > HPA_TEXT_MAX ? -EINVAL : 0);
		if (r == 0)
			assert_string_equal(spec->target_name, name);
	}
	assert_non_null(strstr(err.text, "spec.scaleTargetRef.name is longer than 512 bytes"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_have_names),
		cmocka_unit_test(defaults_are_filled_in),
		cmocka_unit_test(null_is_absent),
		cmocka_unit_test(metrics_of_all_versions),
		cmocka_unit_test(types_of_all_versions),
		cmocka_unit_test(a_container_has_its_name),
		cmocka_unit_test(unknown_types_keep_their_name),
		cmocka_unit_test(partial_behavior_is_completed),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(long_names_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
