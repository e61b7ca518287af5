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

/* Where a type of metric has its members, in autoscaling/v2 and v2beta2, and flat in v2beta1. */
static const struct shape {
	const char *type, *member;
	bool is_resource;
	/* v2beta1 */
	const char *name, *selector, *utilization, *average_value, *value, *object;
} shapes[] = {
	[HPA_METRIC_RESOURCE] = {"Resource", "resource", true, "name", NULL, "targetAverageUtilization",
		"targetAverageValue", NULL, NULL},
	[HPA_METRIC_CONTAINER_RESOURCE] = {"ContainerResource", "containerResource", true, "name", NULL,
		"targetAverageUtilization", "targetAverageValue", NULL, NULL},
	[HPA_METRIC_PODS] = {"Pods", "pods", false, "metricName", "selector", NULL, "targetAverageValue", NULL, NULL},
	[HPA_METRIC_OBJECT] = {"Object", "object", false, "metricName", "selector", NULL, "averageValue", "targetValue",
		"target"},
	[HPA_METRIC_EXTERNAL] = {"External", "external", false, "metricName", "metricSelector", NULL,
		"targetAverageValue", "targetValue", NULL},
};

/* Texts that are not there are "". */
static const struct hpa_metric no_metric = {.type = HPA_METRIC_UNKNOWN,
	.type_text = "",
	.name = "",
	.container = "",
	.object_api_version = "",
	.object_kind = "",
	.object_name = ""};

static const struct shape *shape_of(json_t *metric)
{
	const char *type = json_string_value(json_object_get(metric, "type"));

	for (size_t i = 0; type && i < KM_ARRAY_LEN(shapes); i++)
		if (strcmp(shapes[i].type, type) == 0)
			return &shapes[i];
	return NULL;
}

static int read_amount(
	const struct reader *r, json_t *in, const char *where, const char *key, bool *ret_there, int64_t *ret_milli)
{
	struct km_quantity quantity;

	if (key && read_quantity(r, in, where, key, &quantity, ret_there) < 0)
		return -EINVAL;
	if (key && *ret_there && (*ret_milli = km_quantity_milli(&quantity)) == 0)
		return km_fail(
			r->err, -EINVAL, "%s.%s must be more than 0; correct the HorizontalPodAutoscaler", where, key);
	return 0;
}

static int read_target_type(struct reader *r, json_t *target, const char *where, struct hpa_metric *ret)
{
	const char *type = json_string_value(member(target, "type"));

	if (member(target, "type") && !type)
		return km_fail(r->err, -EINVAL, "%s.type must be a text; correct the HorizontalPodAutoscaler", where);
	ret->is_value = type && strcmp(type, "Value") == 0;
	ret->is_average_value = type && strcmp(type, "AverageValue") == 0;
	return 0;
}

static int read_amounts(
	struct reader *r, const struct shape *names, json_t *target, const char *where, struct hpa_metric *ret)
{
	if (read_amount(r, target, where, names->value, &ret->has_value, &ret->value_milli) < 0 ||
		read_amount(
			r, target, where, names->average_value, &ret->has_average_value, &ret->average_value_milli) < 0)
		return -EINVAL;
	return names->utilization
		       ? read_int(r, target, where, names->utilization, 1, &ret->utilization, &ret->has_utilization)
		       : 0;
}

static int read_object(struct reader *r, json_t *in, const char *where, const char *key, struct hpa_metric *ret)
{
	char inner[WHERE_MAX + 32];
	json_t *object;

	if (read_member(r, in, where, key, JSON_OBJECT, &object) < 0)
		return -EINVAL;
	snprintf(inner, sizeof(inner), "%s.%s", where, key);
	if (read_text(r, object, inner, "apiVersion", &ret->object_api_version) < 0 ||
		read_text(r, object, inner, "kind", &ret->object_kind) < 0)
		return -EINVAL;
	return read_text(r, object, inner, "name", &ret->object_name);
}

static int read_selector(const struct reader *r, json_t *in, struct hpa_metric_selector *ret)
{
	return hpa_metric_selector_read(in, ret) < 0 ? km_fail(r->err, -ENOMEM, "out of memory") : 0;
}

/* v2beta1: everything beside one another. */
static int read_flat(struct reader *r, const struct shape *shape, json_t *in, const char *where, struct hpa_metric *ret)
{
	int e;

	if ((e = read_text(r, in, where, shape->name, &ret->name)) < 0 ||
		(shape->selector && (e = read_selector(r, member(in, shape->selector), &ret->selector)) < 0) ||
		(shape->object && (e = read_object(r, in, where, shape->object, ret)) < 0) ||
		(e = read_amounts(r, shape, in, where, ret)) < 0)
		return e;
	ret->is_average_value = ret->has_average_value;
	ret->is_value = !ret->has_average_value;
	return 0;
}

/* v2 and v2beta2: metric, target and describedObject. */
static int read_nested(
	struct reader *r, const struct shape *shape, json_t *in, const char *where, struct hpa_metric *ret)
{
	static const struct shape names = {
		.utilization = "averageUtilization", .average_value = "averageValue", .value = "value"};
	json_t *named = in, *target;
	char inner[WHERE_MAX + 32];
	int e;

	if (!shape->is_resource && read_member(r, in, where, "metric", JSON_OBJECT, &named) < 0)
		return -EINVAL;
	snprintf(inner, sizeof(inner), "%s%s", where, shape->is_resource ? "" : ".metric");
	if (read_text(r, named, inner, "name", &ret->name) < 0)
		return -EINVAL;
	if (!shape->is_resource && (e = read_selector(r, member(named, "selector"), &ret->selector)) < 0)
		return e;
	if ((shape->object && read_object(r, in, where, "describedObject", ret) < 0) ||
		read_member(r, in, where, "target", JSON_OBJECT, &target) < 0)
		return -EINVAL;
	snprintf(inner, sizeof(inner), "%s.target", where);
	return read_target_type(r, target, inner, ret) < 0 ? -EINVAL : read_amounts(r, &names, target, inner, ret);
}

static int read_metric(
	struct reader *r, json_t *in, enum hpa_api_version version, const char *where, struct hpa_metric *ret)
{
	const struct shape *shape = shape_of(in);
	char inner[WHERE_MAX];
	json_t *source;

	*ret = no_metric;
	if (!json_is_object(in))
		return km_fail(r->err, -EINVAL, "%s must be an object; correct the HorizontalPodAutoscaler", where);
	if (read_text(r, in, where, "type", &ret->type_text) < 0)
		return -EINVAL;
	if (!shape)
		return 0;
	ret->type = (uint8_t)(shape - shapes);
	if (read_member(r, in, where, shape->member, JSON_OBJECT, &source) < 0)
		return -EINVAL;
	if (!source)
		return km_fail(r->err, -EINVAL, "%s has type %s but no member %s; correct the HorizontalPodAutoscaler",
			where, shape->type, shape->member);
	snprintf(inner, sizeof(inner), "%s.%s", where, shape->member);
	if (ret->type == HPA_METRIC_CONTAINER_RESOURCE && read_text(r, source, inner, "container", &ret->container) < 0)
		return -EINVAL;
	return (version == HPA_V2BETA1 ? read_flat : read_nested)(r, shape, source, inner, ret);
}

static int read_metrics(struct reader *r, json_t *list, enum hpa_api_version version, struct hpa_spec *ret)
{
	char where[WHERE_MAX / 2];
	json_t *item;
	size_t i;
	int e;

	json_array_foreach(list, i, item)
	{
		snprintf(where, sizeof(where), "spec.metrics[%zu]", i);
		ret->n_metrics = i + 1; /* what it owns is freed with the spec */
		if ((e = read_metric(r, item, version, where, &ret->metrics[i])) < 0)
			return e;
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
	ret->n_metrics = 1;
	ret->metrics[0] = no_metric;
	ret->metrics[0].type = HPA_METRIC_RESOURCE;
	ret->metrics[0].type_text = "Resource";
	ret->metrics[0].name = DEFAULT_RESOURCE;
	ret->metrics[0].has_utilization = true;
	ret->metrics[0].utilization = DEFAULT_UTILIZATION;
	return 0;
}

/* Room for a text that read_text() takes. */
static size_t room_of(json_t *object, const char *key)
{
	return KM_MIN(json_string_length(json_object_get(object, key)), (size_t)HPA_TEXT_MAX) + 1;
}

/* What read_metric() takes of one metric, whatever version it is of. */
static size_t room_for_metric(json_t *metric)
{
	const struct shape *shape = shape_of(metric);
	json_t *source = shape ? json_object_get(metric, shape->member) : NULL;
	json_t *flat_object = json_object_get(source, "target"), *object = json_object_get(source, "describedObject");

	return room_of(metric, "type") + room_of(source, "name") + room_of(source, "metricName") +
	       room_of(json_object_get(source, "metric"), "name") + room_of(source, "container") +
	       room_of(flat_object, "apiVersion") + room_of(flat_object, "kind") + room_of(flat_object, "name") +
	       room_of(object, "apiVersion") + room_of(object, "kind") + room_of(object, "name");
}

static size_t room_for_texts(json_t *spec, json_t *metrics)
{
	json_t *target = json_object_get(spec, "scaleTargetRef"), *item;
	size_t room = room_of(target, "apiVersion") + room_of(target, "kind") + room_of(target, "name"), i;

	json_array_foreach(metrics, i, item) room += room_for_metric(item);
	return room;
}

void hpa_spec_free(struct hpa_spec *spec)
{
	if (!spec)
		return;
	for (size_t i = 0; i < spec->n_metrics; i++)
		hpa_metric_selector_clear(&spec->metrics[i].selector);
	free(spec);
}

void hpa_spec_freep(struct hpa_spec **spec)
{
	hpa_spec_free(*spec);
	*spec = NULL;
}

int hpa_spec_decode(json_t *object, enum hpa_api_version version, struct hpa_spec **ret, struct km_err *err)
{
	struct reader r = {.err = err};
	_cleanup_(hpa_spec_freep) struct hpa_spec *spec = NULL;
	json_t *in, *metrics;
	size_t n;
	int e;

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
	spec->metrics = (struct hpa_metric *)(spec + 1);
	r.text = (char *)(spec->metrics + n);
	if ((e = read_spec(&r, in, metrics, version, spec)) < 0)
		return e;
	*ret = KM_TAKE(spec);
	return 0;
}
