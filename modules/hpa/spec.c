/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the spec of an HPA: see spec.h. Texts go behind the struct and its metrics, in the same allocation. */
#include "hpa/spec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kube/quantity.h"

#define WHERE_MAX 96 /* "spec.behavior.scaleDown.policies[63].periodSeconds" and the like */

/* An API server that defaults fills these in; autoscaling/v2's own values (Kubernetes 1.36). */
#define DEFAULT_MIN              1
#define DEFAULT_RESOURCE         "cpu"
#define DEFAULT_UTILIZATION      80
#define DEFAULT_POLICY_PODS      4
#define DEFAULT_POLICY_PERCENT   100
#define DEFAULT_POLICY_PERIOD_S  15
#define DEFAULT_UP_WINDOW_S      0
#define DEFAULT_DOWN_WINDOW_FLAG (-1)

static const struct hpa_rules default_up = {
	.window_s = DEFAULT_UP_WINDOW_S,
	.select = HPA_SELECT_MAX,
	.n_policies = 2,
	.policies = {{false, DEFAULT_POLICY_PODS, DEFAULT_POLICY_PERIOD_S},
		{true, DEFAULT_POLICY_PERCENT, DEFAULT_POLICY_PERIOD_S}},
};

static const struct hpa_rules default_down = {
	.window_s = DEFAULT_DOWN_WINDOW_FLAG,
	.select = HPA_SELECT_MAX,
	.n_policies = 1,
	.policies = {{true, DEFAULT_POLICY_PERCENT, DEFAULT_POLICY_PERIOD_S}},
};

static const struct {
	const char *name;
	enum hpa_api_version version;
} versions[] = {{"v2", HPA_V2}, {"v2beta2", HPA_V2BETA2}, {"v2beta1", HPA_V2BETA1}};

int hpa_api_version_of(const char *version, enum hpa_api_version *ret)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(versions); i++) {
		if (strcmp(version, versions[i].name) == 0) {
			*ret = versions[i].version;
			return 0;
		}
	}
	return -ENOENT;
}

const char *hpa_api_version_name(enum hpa_api_version version)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(versions); i++)
		if (versions[i].version == version)
			return versions[i].name;
	return "";
}

/* ---- members ---- */

struct reader {
	struct km_err *err;
	char *text; /* where the next text goes */
};

/* A member, NULL where it is absent or null. */
static json_t *member(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	return json_is_null(value) ? NULL : value;
}

/* The same, which must be an object (or an array) where it is there. */
static int read_member(
	const struct reader *r, json_t *object, const char *where, const char *key, json_type type, json_t **ret)
{
	json_t *value = member(object, key);

	if (value && json_typeof(value) != type)
		return km_fail(r->err, -EINVAL, "%s.%s must be %s; correct the HorizontalPodAutoscaler", where, key,
			type == JSON_ARRAY ? "a list" : "an object");
	*ret = value;
	return 0;
}

static int read_text(struct reader *r, json_t *object, const char *where, const char *key, const char **ret)
{
	json_t *value = member(object, key);
	size_t len = json_string_length(value);

	if (value && !json_is_string(value))
		return km_fail(
			r->err, -EINVAL, "%s.%s must be a text; correct the HorizontalPodAutoscaler", where, key);
	if (len > HPA_TEXT_MAX || (value && strlen(json_string_value(value)) != len))
		return km_fail(r->err, -EINVAL,
			"%s.%s is longer than %d bytes, or has a NUL in it; correct the HorizontalPodAutoscaler", where,
			key, HPA_TEXT_MAX);
	*ret = r->text;
	if (len > 0)
		memcpy(r->text, json_string_value(value), len);
	r->text[len] = '\0';
	r->text += len + 1;
	return 0;
}

/* Absent: *ret stays; *ret_there (may be NULL) tells. */
static int read_int(const struct reader *r, json_t *object, const char *where, const char *key, int32_t least,
	int32_t *ret, bool *ret_there)
{
	json_t *value = member(object, key);
	json_int_t number = json_integer_value(value);

	if (ret_there)
		*ret_there = value;
	if (!value)
		return 0;
	if (!json_is_integer(value) || number < least || number > INT32_MAX)
		return km_fail(r->err, -EINVAL,
			"%s.%s must be a whole number from %" PRId32 " to %" PRId32
			"; correct the HorizontalPodAutoscaler",
			where, key, least, INT32_MAX);
	*ret = (int32_t)number;
	return 0;
}

static int read_quantity(const struct reader *r, json_t *object, const char *where, const char *key,
	struct km_quantity *ret, bool *ret_there)
{
	json_t *value = member(object, key);

	*ret_there = value;
	if (!value)
		return 0;
	if (!json_is_string(value) || km_quantity_parse(json_string_value(value), json_string_length(value), ret) < 0 ||
		ret->negative)
		return km_fail(r->err, -EINVAL,
			"%s.%s must be a quantity like \"250m\" or \"64Mi\"; correct the HorizontalPodAutoscaler",
			where, key);
	return 0;
}

/* One of a few words; absent: *ret stays. */
static int read_word(const struct reader *r, json_t *object, const char *where, const char *key,
	const char *const *words, size_t n, uint8_t *ret)
{
	json_t *value = member(object, key);
	const char *text = json_string_value(value);

	if (!value)
		return 0;
	for (size_t i = 0; text && i < n; i++) {
		if (strcmp(words[i], text) == 0) {
			*ret = (uint8_t)i;
			return 0;
		}
	}
	return km_fail(r->err, -EINVAL, "%s.%s: \"%.64s\" is not known; correct the HorizontalPodAutoscaler", where,
		key, text ? text : "");
}

/* ---- behavior ---- */

static int read_policy(const struct reader *r, json_t *in, const char *where, struct hpa_policy *ret)
{
	static const char *const types[] = {"Pods", "Percent"};
	uint8_t type = UINT8_MAX;
	bool has_value = false, has_period = false;

	if (!json_is_object(in))
		return km_fail(r->err, -EINVAL, "%s must be an object; correct the HorizontalPodAutoscaler", where);
	if (read_word(r, in, where, "type", types, KM_ARRAY_LEN(types), &type) < 0 ||
		read_int(r, in, where, "value", 1, &ret->value, &has_value) < 0 ||
		read_int(r, in, where, "periodSeconds", 1, &ret->period_s, &has_period) < 0)
		return -EINVAL;
	if (type == UINT8_MAX || !has_value || !has_period)
		return km_fail(r->err, -EINVAL,
			"%s must have type, value and periodSeconds; correct the HorizontalPodAutoscaler", where);
	ret->percent = type == 1;
	return 0;
}

/* One direction; what is not said is the default's. An empty list of policies stays one: it lets nothing pass. */
static int read_rules(const struct reader *r, json_t *behavior, const char *key, const struct hpa_rules *defaults,
	struct hpa_rules *ret)
{
	static const char *const selects[] = {
		[HPA_SELECT_MAX] = "Max", [HPA_SELECT_MIN] = "Min", [HPA_SELECT_DISABLED] = "Disabled"};
	json_t *in, *list, *item;
	struct km_quantity tolerance;
	char where[WHERE_MAX], each[WHERE_MAX + 32];
	size_t i;

	*ret = *defaults;
	snprintf(where, sizeof(where), "spec.behavior.%s", key);
	if (read_member(r, behavior, "spec.behavior", key, JSON_OBJECT, &in) < 0 ||
		read_int(r, in, where, "stabilizationWindowSeconds", 0, &ret->window_s, NULL) < 0 ||
		read_word(r, in, where, "selectPolicy", selects, KM_ARRAY_LEN(selects), &ret->select) < 0 ||
		read_quantity(r, in, where, "tolerance", &tolerance, &ret->has_tolerance) < 0 ||
		read_member(r, in, where, "policies", JSON_ARRAY, &list) < 0)
		return -EINVAL;
	if (ret->has_tolerance)
		ret->tolerance = km_quantity_float(&tolerance);
	if (!list)
		return 0;
	if (json_array_size(list) > HPA_POLICIES_MAX)
		return km_fail(r->err, -EINVAL,
			"%s.policies has more than %d entries, more than kmetricsd takes; shorten the list", where,
			HPA_POLICIES_MAX);
	ret->n_policies = 0;
	json_array_foreach(list, i, item)
	{
		snprintf(each, sizeof(each), "%s.policies[%zu]", where, i);
		if (read_policy(r, item, each, &ret->policies[i]) < 0)
			return -EINVAL;
		ret->n_policies++;
	}
	return 0;
}

static int read_behavior(const struct reader *r, json_t *spec, struct hpa_spec *ret)
{
	json_t *behavior;

	if (read_member(r, spec, "spec", "behavior", JSON_OBJECT, &behavior) < 0)
		return -EINVAL;
	ret->has_behavior = behavior;
	if (read_rules(r, behavior, "scaleUp", &default_up, &ret->up) < 0)
		return -EINVAL;
	return read_rules(r, behavior, "scaleDown", &default_down, &ret->down);
}

/* ---- metrics ---- */

/* v2beta1 has the target's members, under other names, beside the resource's name. */
static int read_resource(
	struct reader *r, json_t *in, enum hpa_api_version version, const char *where, struct hpa_metric *ret)
{
	bool flat = version == HPA_V2BETA1;
	json_t *resource, *target;
	struct km_quantity average;
	char inner[WHERE_MAX + 32];

	if (read_member(r, in, where, "resource", JSON_OBJECT, &resource) < 0)
		return -EINVAL;
	if (!resource)
		return km_fail(r->err, -EINVAL,
			"%s has type Resource but no member resource; correct the HorizontalPodAutoscaler", where);
	snprintf(inner, sizeof(inner), "%s.resource", where);
	if (read_text(r, resource, inner, "name", &ret->resource) < 0 ||
		read_member(r, resource, inner, "target", JSON_OBJECT, &target) < 0)
		return -EINVAL;
	if (flat)
		target = resource;
	else
		snprintf(inner, sizeof(inner), "%s.resource.target", where);
	if (read_quantity(r, target, inner, flat ? "targetAverageValue" : "averageValue", &average,
		    &ret->has_average_value) < 0 ||
		read_int(r, target, inner, flat ? "targetAverageUtilization" : "averageUtilization", 1,
			&ret->utilization, &ret->has_utilization) < 0)
		return -EINVAL;
	if (!ret->has_average_value)
		return 0;
	ret->average_value_milli = km_quantity_milli(&average);
	if (ret->average_value_milli == 0)
		return km_fail(r->err, -EINVAL,
			"%s: the average value must be more than 0; correct the HorizontalPodAutoscaler", inner);
	return 0;
}

static int read_metrics(struct reader *r, json_t *list, enum hpa_api_version version, struct hpa_spec *ret)
{
	char where[WHERE_MAX];
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		struct hpa_metric *metric = &ret->metrics[i];

		snprintf(where, sizeof(where), "spec.metrics[%zu]", i);
		if (!json_is_object(item))
			return km_fail(
				r->err, -EINVAL, "%s must be an object; correct the HorizontalPodAutoscaler", where);
		if (read_text(r, item, where, "type", &metric->type_text) < 0)
			return -EINVAL;
		metric->resource = "";
		metric->type = strcmp(metric->type_text, "Resource") == 0 ? HPA_METRIC_RESOURCE : HPA_METRIC_OTHER;
		if (metric->type == HPA_METRIC_RESOURCE && read_resource(r, item, version, where, metric) < 0)
			return -EINVAL;
	}
	return 0;
}

/* ---- all of it ---- */

/* The name becomes part of a path: the API server lets none of these pass either. */
static bool is_path_segment(const char *name)
{
	return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strpbrk(name, "/%");
}

static int read_target(struct reader *r, json_t *spec, struct hpa_spec *ret)
{
	json_t *target;

	if (read_member(r, spec, "spec", "scaleTargetRef", JSON_OBJECT, &target) < 0 ||
		read_text(r, target, "spec.scaleTargetRef", "apiVersion", &ret->target_api_version) < 0 ||
		read_text(r, target, "spec.scaleTargetRef", "kind", &ret->target_kind) < 0 ||
		read_text(r, target, "spec.scaleTargetRef", "name", &ret->target_name) < 0)
		return -EINVAL;
	if (!is_path_segment(ret->target_name))
		return km_fail(r->err, -EINVAL,
			"spec.scaleTargetRef.name is missing or no object's name; correct the HorizontalPodAutoscaler");
	return 0;
}

static int read_spec(
	struct reader *r, json_t *spec, json_t *metrics, enum hpa_api_version version, struct hpa_spec *ret)
{
	bool has_max = false;

	ret->min = DEFAULT_MIN;
	if (read_target(r, spec, ret) < 0 || read_int(r, spec, "spec", "minReplicas", 0, &ret->min, NULL) < 0 ||
		read_int(r, spec, "spec", "maxReplicas", 1, &ret->max, &has_max) < 0 || read_behavior(r, spec, ret) < 0)
		return -EINVAL;
	if (!has_max)
		return km_fail(r->err, -EINVAL, "spec.maxReplicas is missing; correct the HorizontalPodAutoscaler");
	if (json_array_size(metrics) > 0)
		return read_metrics(r, metrics, version, ret);
	ret->metrics[0] = (struct hpa_metric){
		.type = HPA_METRIC_RESOURCE,
		.type_text = "Resource",
		.resource = DEFAULT_RESOURCE,
		.has_utilization = true,
		.utilization = DEFAULT_UTILIZATION,
	};
	return 0;
}

/* Room for a text that read_text() takes. */
static size_t room_of(json_t *object, const char *key)
{
	return KM_MIN(json_string_length(json_object_get(object, key)), (size_t)HPA_TEXT_MAX) + 1;
}

static size_t room_for_texts(json_t *spec, json_t *metrics)
{
	json_t *target = json_object_get(spec, "scaleTargetRef"), *item;
	size_t room = room_of(target, "apiVersion") + room_of(target, "kind") + room_of(target, "name"), i;

	json_array_foreach(metrics, i, item) room +=
		room_of(item, "type") + room_of(json_object_get(item, "resource"), "name");
	return room;
}

int hpa_spec_decode(json_t *object, enum hpa_api_version version, struct hpa_spec **ret, struct km_err *err)
{
	struct reader r = {.err = err};
	_cleanup_free_ struct hpa_spec *spec = NULL;
	json_t *in, *metrics;
	size_t n;

	in = member(object, "spec");
	if (!json_is_object(in))
		return km_fail(err, -EINVAL, "there is no spec; correct the HorizontalPodAutoscaler");
	if (read_member(&r, in, "spec", "metrics", JSON_ARRAY, &metrics) < 0)
		return -EINVAL;
	if (json_array_size(metrics) > HPA_METRICS_MAX)
		return km_fail(err, -EINVAL,
			"spec.metrics has more than %d entries, more than kmetricsd takes; shorten the list",
			HPA_METRICS_MAX);
	n = KM_MAX(json_array_size(metrics), (size_t)1);
	spec = calloc(1, sizeof(*spec) + n * sizeof(*spec->metrics) + room_for_texts(in, metrics));
	if (!spec)
		return km_fail(err, -ENOMEM, "out of memory");
	spec->n_metrics = n;
	spec->metrics = (struct hpa_metric *)(spec + 1);
	r.text = (char *)(spec->metrics + n);
	if (read_spec(&r, in, metrics, version, spec) < 0)
		return -EINVAL;
	*ret = KM_TAKE(spec);
	return 0;
}
