/* SPDX-License-Identifier: Apache-2.0 */
/* The conditions of an HPA, and its status as JSON: see status.h. */
#include "hpa/status.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/map.h"
#include "core/timetext.h"
#include "core/utf8.h"
#include "kube/quantity.h"

#define SMALL_CHANGE 0.01           /* of a figure */
#define REPLACEMENT  "\xEF\xBF\xBD" /* U+FFFD */

int64_t hpa_seconds_of(int64_t ns)
{
	return ns / KM_NSEC_PER_SEC - (ns % KM_NSEC_PER_SEC < 0);
}

void hpa_text_copy(char *out, size_t size, const char *text)
{
	size_t left = strlen(text), room = size - 1;

	while (left > 0) {
		size_t n = km_utf8_length(text, left), taken = n ? n : 1;
		const char *from = n ? text : REPLACEMENT;

		n = n ? n : strlen(REPLACEMENT);
		if (n > room)
			break;
		memcpy(out, from, n);
		out += n;
		room -= n;
		text += taken;
		left -= taken;
	}
	*out = '\0';
}

/* ---- conditions ---- */

static struct hpa_condition *find(struct hpa_status *status, const char *type)
{
	for (size_t i = 0; i < status->n_conditions; i++)
		if (strcmp(status->conditions[i].type, type) == 0)
			return &status->conditions[i];
	return NULL;
}

const struct hpa_condition *hpa_status_find(const struct hpa_status *status, const char *type)
{
	for (size_t i = 0; i < status->n_conditions; i++)
		if (strcmp(status->conditions[i].type, type) == 0)
			return &status->conditions[i];
	return NULL;
}

void hpa_status_set(struct hpa_status *status, const char *type, bool is_true, const char *reason, int64_t now_s,
	const char *fmt, ...)
{
	struct hpa_condition *condition = find(status, type);
	const char *value = is_true ? "True" : "False";
	char message[2 * HPA_MESSAGE_MAX];
	va_list args;

	if (!condition) {
		if (status->n_conditions < HPA_CONDITIONS_MAX)
			status->n_conditions++;
		condition = &status->conditions[status->n_conditions - 1];
		*condition = (struct hpa_condition){0};
		hpa_text_copy(condition->type, sizeof(condition->type), type);
	}
	if (strcmp(condition->status, value) != 0) {
		hpa_text_copy(condition->status, sizeof(condition->status), value);
		condition->since_s = now_s;
	}
	hpa_text_copy(condition->reason, sizeof(condition->reason), reason);
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	hpa_text_copy(condition->message, sizeof(condition->message), message);
}

void hpa_status_remove(struct hpa_status *status, const char *type)
{
	struct hpa_condition *condition = find(status, type);

	if (!condition)
		return;
	status->n_conditions--;
	memmove(condition, condition + 1,
		(size_t)(&status->conditions[status->n_conditions] - condition) * sizeof(*condition));
}

/* ---- from JSON ---- */

static int32_t number_of(json_t *object, const char *key)
{
	json_int_t number = json_integer_value(json_object_get(object, key));

	return number < INT32_MIN || number > INT32_MAX ? 0 : (int32_t)number;
}

static int64_t time_of(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);
	int64_t ns;

	if (!json_is_string(value) || km_rfc3339_parse(json_string_value(value), json_string_length(value), &ns) < 0)
		return INT64_MIN;
	return hpa_seconds_of(ns);
}

static void text_of(char *out, size_t size, json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	hpa_text_copy(out, size, text ? text : "");
}

void hpa_status_decode(json_t *status, struct hpa_status *ret)
{
	json_t *conditions = json_object_get(status, "conditions"), *item;
	size_t i;

	memset(ret, 0, sizeof(*ret));
	ret->current = number_of(status, "currentReplicas");
	ret->desired = number_of(status, "desiredReplicas");
	ret->last_scale_s = time_of(status, "lastScaleTime");
	json_array_foreach(conditions, i, item)
	{
		struct hpa_condition *condition = &ret->conditions[ret->n_conditions];

		if (ret->n_conditions == HPA_CONDITIONS_MAX)
			break;
		if (!json_is_string(json_object_get(item, "type")))
			continue;
		text_of(condition->type, sizeof(condition->type), item, "type");
		text_of(condition->status, sizeof(condition->status), item, "status");
		text_of(condition->reason, sizeof(condition->reason), item, "reason");
		text_of(condition->message, sizeof(condition->message), item, "message");
		condition->since_s = time_of(item, "lastTransitionTime");
		ret->n_conditions++;
	}
}

/* ---- to JSON ---- */

/* null for a time that is none. */
static json_t *time_json(int64_t s)
{
	char text[KM_RFC3339_TEXT_MAX];

	if (s > INT64_MAX / KM_NSEC_PER_SEC || s < INT64_MIN / KM_NSEC_PER_SEC)
		return json_null();
	km_rfc3339_format(s * KM_NSEC_PER_SEC, text);
	return json_string(text);
}

static json_t *conditions_json(const struct hpa_status *status)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < status->n_conditions; i++) {
		const struct hpa_condition *c = &status->conditions[i];
		json_t *item = json_pack("{s:s, s:s, s:o, s:s, s:s}", "type", c->type, "status", c->status,
			"lastTransitionTime", time_json(c->since_s), "reason", c->reason, "message", c->message);

		if (!item || json_array_append_new(list, item) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* Sets a member that is made anew; NULL for a value that could not be made. Takes value over. */
static bool set(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) == 0;
}

static bool set_quantity(json_t *object, const char *key, const struct hpa_metric_status *metric)
{
	bool is_memory =
		metric->metric->type <= HPA_METRIC_CONTAINER_RESOURCE && strcmp(metric->metric->name, "memory") == 0;
	struct km_quantity quantity =
		km_quantity_of_milli(metric->value_milli, is_memory ? KM_QUANTITY_BINARY_SI : KM_QUANTITY_DECIMAL_SI);
	char text[KM_QUANTITY_TEXT_MAX];

	km_quantity_format(&quantity, text);
	return set(object, key, json_string(text));
}

static json_t *object_json(const struct hpa_metric *m)
{
	json_t *o = json_pack("{s:s, s:s}", "kind", m->object_kind, "name", m->object_name);

	if (*m->object_api_version && !set(o, "apiVersion", json_string(m->object_api_version))) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* Selectors are shared with the spec. */
static bool set_selector(json_t *object, const char *key, const struct hpa_metric *m)
{
	return !m->selector.object || json_object_set(object, key, m->selector.object) == 0;
}

/* autoscaling/v2 and v2beta2 */
static bool fill_nested(json_t *source, const struct hpa_metric_status *metric)
{
	const struct hpa_metric *m = metric->metric;
	json_t *current = json_object(), *named = source;

	if (!set(source, "current", current) ||
		!set_quantity(current, metric->is_value ? "value" : "averageValue", metric) ||
		(metric->has_utilization && !set(current, "averageUtilization", json_integer(metric->utilization))))
		return false;
	if (m->type > HPA_METRIC_CONTAINER_RESOURCE && !set(source, "metric", named = json_object()))
		return false;
	return set(named, "name", json_string(m->name)) &&
	       (m->type != HPA_METRIC_CONTAINER_RESOURCE || set(source, "container", json_string(m->container))) &&
	       (m->type <= HPA_METRIC_CONTAINER_RESOURCE || set_selector(named, "selector", m)) &&
	       (m->type != HPA_METRIC_OBJECT || set(source, "describedObject", object_json(m)));
}

/* autoscaling/v2beta1: an Object and an External metric always have a currentValue. */
static bool fill_flat(json_t *source, const struct hpa_metric_status *metric)
{
	const struct hpa_metric *m = metric->metric;
	bool resource = m->type <= HPA_METRIC_CONTAINER_RESOURCE;
	const char *average = m->type == HPA_METRIC_OBJECT ? "averageValue" : "currentAverageValue";

	return set(source, resource ? "name" : "metricName", json_string(m->name)) &&
	       set_quantity(source, metric->is_value ? "currentValue" : average, metric) &&
	       (metric->is_value || m->type < HPA_METRIC_OBJECT || set(source, "currentValue", json_string("0"))) &&
	       (!metric->has_utilization ||
		       set(source, "currentAverageUtilization", json_integer(metric->utilization))) &&
	       (m->type != HPA_METRIC_CONTAINER_RESOURCE || set(source, "container", json_string(m->container))) &&
	       set_selector(source, m->type == HPA_METRIC_EXTERNAL ? "metricSelector" : "selector", m) &&
	       (m->type != HPA_METRIC_OBJECT || set(source, "target", object_json(m)));
}

static json_t *metric_json(const struct hpa_metric_status *metric, enum hpa_api_version version)
{
	static const char *const members[] = {[HPA_METRIC_RESOURCE] = "resource",
		[HPA_METRIC_CONTAINER_RESOURCE] = "containerResource",
		[HPA_METRIC_PODS] = "pods",
		[HPA_METRIC_OBJECT] = "object",
		[HPA_METRIC_EXTERNAL] = "external"};
	json_t *source = json_object(), *ret;

	if (!metric->metric) {
		json_decref(source);
		return json_pack("{s:s}", "type", "");
	}
	ret = json_pack("{s:s, s:O}", "type", metric->metric->type_text, members[metric->metric->type], source);
	if (ret && !(version == HPA_V2BETA1 ? fill_flat : fill_nested)(source, metric)) {
		json_decref(ret);
		ret = NULL;
	}
	json_decref(source);
	return ret;
}

static json_t *metrics_json(const struct hpa_status *status, enum hpa_api_version version)
{
	json_t *list;

	if (!status->has_metrics)
		return json_null();
	list = json_array();
	for (size_t i = 0; list && i < status->n_metrics; i++) {
		if (json_array_append_new(list, metric_json(&status->metrics[i], version)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

json_t *hpa_status_encode(const struct hpa_status *status, enum hpa_api_version version)
{
	json_t *ret = json_pack("{s:i, s:i, s:o, s:o}", "currentReplicas", (int)status->current, "desiredReplicas",
		(int)status->desired, "currentMetrics", metrics_json(status, version), "conditions",
		conditions_json(status));

	if (ret && status->last_scale_s != INT64_MIN &&
		json_object_set_new(ret, "lastScaleTime", time_json(status->last_scale_s)) < 0) {
		json_decref(ret);
		return NULL;
	}
	return ret;
}

json_t *hpa_status_encode_conditions(const struct hpa_status *status, json_t *old)
{
	json_t *ret =
		json_is_object(old) ? json_copy(old) : json_pack("{s:i, s:n}", "desiredReplicas", 0, "currentMetrics");

	if (ret && json_object_set_new(ret, "conditions", conditions_json(status)) < 0) {
		json_decref(ret);
		return NULL;
	}
	return ret;
}

/* ---- equality ---- */

static bool is_near(double before, double now, double slack)
{
	return slack == INFINITY || fabs(now - before) < slack * fabs(before);
}

/* slack: by how much of the first one the other may differ; 0: not at all, INFINITY: by anything. */
static bool same_quantity(const char *a, const char *b, double slack)
{
	struct km_quantity x, y;

	if (strcmp(a, b) == 0)
		return true;
	if (km_quantity_parse(a, strlen(a), &x) < 0 || km_quantity_parse(b, strlen(b), &y) < 0)
		return false;
	if (slack > 0)
		return is_near(km_quantity_float(&x), km_quantity_float(&y), slack);
	if (x.mantissa == 0 || y.mantissa == 0)
		return x.mantissa == y.mantissa;
	for (; x.mantissa % 10 == 0; x.scale++)
		x.mantissa /= 10;
	for (; y.mantissa % 10 == 0; y.scale++)
		y.mantissa /= 10;
	return x.mantissa == y.mantissa && x.scale == y.scale && x.negative == y.negative;
}

static bool is_quantity(const char *key)
{
	static const char *const keys[] = {
		"averageValue", "value", "currentAverageValue", "currentValue", "targetValue"};

	for (size_t i = 0; i < KM_ARRAY_LEN(keys); i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return false;
}

static bool is_nothing(json_t *value, bool zero_is_nothing)
{
	return !value || json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0) ||
	       (json_is_object(value) && json_object_size(value) == 0) ||
	       (json_is_string(value) && json_string_length(value) == 0) ||
	       (zero_is_nothing && json_is_integer(value) && json_integer_value(value) == 0);
}

static bool same_value(const char *key, json_t *a, json_t *b, double slack);

static bool same_members(json_t *a, json_t *b, bool zero_is_nothing, double slack)
{
	const char *key;
	json_t *value;

	json_object_foreach(a, key, value)
	{
		json_t *other = json_object_get(b, key);

		if (is_nothing(value, zero_is_nothing) || is_nothing(other, zero_is_nothing)) {
			if (!is_nothing(value, zero_is_nothing) || !is_nothing(other, zero_is_nothing))
				return false;
		} else if (!same_value(key, value, other, slack)) {
			return false;
		}
	}
	json_object_foreach(b, key, value)
	{
		if (!json_object_get(a, key) && !is_nothing(value, zero_is_nothing))
			return false;
	}
	return true;
}

static bool is_utilization(const char *key)
{
	return strcmp(key, "averageUtilization") == 0 || strcmp(key, "currentAverageUtilization") == 0;
}

static bool same_value(const char *key, json_t *a, json_t *b, double slack)
{
	if (json_typeof(a) != json_typeof(b))
		return false;
	if (json_is_object(a))
		return same_members(a, b, false, slack);
	if (json_is_string(a) && is_quantity(key))
		return same_quantity(json_string_value(a), json_string_value(b), slack);
	if (slack > 0 && json_is_integer(a) && is_utilization(key))
		return json_equal(a, b) || is_near((double)json_integer_value(a), (double)json_integer_value(b), slack);
	if (!json_is_array(a))
		return json_equal(a, b);
	if (json_array_size(a) != json_array_size(b))
		return false;
	for (size_t i = 0; i < json_array_size(a); i++)
		if (!same_value("", json_array_get(a, i), json_array_get(b, i), slack))
			return false;
	return true;
}

bool hpa_status_same(json_t *a, json_t *b)
{
	return same_members(a, b, true, 0);
}

enum hpa_status_change hpa_status_change(json_t *before, json_t *now)
{
	if (!same_members(before, now, true, INFINITY))
		return HPA_STATUS_MORE;
	return same_members(before, now, true, SMALL_CHANGE) ? HPA_STATUS_SMALL : HPA_STATUS_METRICS;
}

/* ---- the same again ---- */

static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
	return (hash ^ km_hash(bytes, len)) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Everything that a status has but the figures of its metrics. */
static uint64_t hash_of(const struct hpa_status *status)
{
	const int64_t numbers[] = {status->current, status->desired, status->last_scale_s,
		(int64_t)status->n_conditions, status->has_metrics, (int64_t)status->n_metrics};
	uint64_t hash = km_hash(numbers, sizeof(numbers));

	for (size_t i = 0; i < status->n_conditions; i++) {
		const struct hpa_condition *c = &status->conditions[i];

		hash = mix(hash, c->type, strlen(c->type));
		hash = mix(hash, c->status, strlen(c->status));
		hash = mix(hash, &c->since_s, sizeof(c->since_s));
		hash = mix(hash, c->reason, strlen(c->reason));
		hash = mix(hash, c->message, strlen(c->message));
	}
	for (size_t i = 0; i < status->n_metrics; i++) {
		const struct hpa_metric_status *m = &status->metrics[i];
		const uint8_t kinds[] = {m->metric != NULL, m->has_utilization, m->is_value};

		hash = mix(hash, kinds, sizeof(kinds));
	}
	return hash;
}

void hpa_status_told_clear(struct hpa_status_told *told)
{
	json_decref(told->there);
	free(told->figures);
	*told = (struct hpa_status_told){0};
}

void hpa_status_told_note(struct hpa_status_told *told, const struct hpa_status *status, json_t *there)
{
	hpa_status_told_clear(told);
	told->figures = calloc(status->n_metrics ? status->n_metrics : 1, sizeof(*told->figures));
	if (!told->figures || !there)
		return;
	told->there = json_incref(there);
	told->hash = hash_of(status);
	for (size_t i = 0; i < status->n_metrics; i++) {
		told->figures[i].value_milli = status->metrics[i].value_milli;
		told->figures[i].utilization = status->metrics[i].utilization;
	}
}

bool hpa_status_told_same(const struct hpa_status_told *told, const struct hpa_status *status, json_t *there, bool near)
{
	if (!told->there || told->there != there || told->hash != hash_of(status))
		return false;
	for (size_t i = 0; i < status->n_metrics; i++) {
		double before = (double)told->figures[i].value_milli, now = (double)status->metrics[i].value_milli;

		if (told->figures[i].utilization != status->metrics[i].utilization ||
			(told->figures[i].value_milli != status->metrics[i].value_milli &&
				!(near && is_near(before, now, SMALL_CHANGE / 2))))
			return false;
	}
	return true;
}
