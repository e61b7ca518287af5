/* SPDX-License-Identifier: Apache-2.0 */
/* What a round saw and thought: see trace.h. */
#include "hpa/trace.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/timetext.h"
#include "kube/quantity.h"

struct hpa_trace *hpa_trace_new(void)
{
	return calloc(1, sizeof(struct hpa_trace));
}

void hpa_trace_free(struct hpa_trace *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->capacity; i++) {
		free(t->metrics[i].error);
		free(t->metrics[i].pods);
		free(t->metrics[i].names);
	}
	free(t->metrics);
	free(t);
}

/* As new, but for the memory it has. */
static void reset(struct hpa_trace_metric *m)
{
	free(m->error);
	*m = (struct hpa_trace_metric){.pods = m->pods,
		.names = m->names,
		.pods_capacity = m->pods_capacity,
		.names_capacity = m->names_capacity};
}

int hpa_trace_begin(struct hpa_trace *t, size_t n_metrics, int64_t now_ns)
{
	struct hpa_trace_metric *metrics = t->metrics;

	t->n_metrics = 0;
	if (n_metrics > t->capacity) {
		if (!(metrics = reallocarray(metrics, n_metrics, sizeof(*metrics))))
			return -ENOMEM;
		memset(metrics + t->capacity, 0, (n_metrics - t->capacity) * sizeof(*metrics));
		t->capacity = n_metrics;
	}
	for (size_t i = 0; i < n_metrics; i++)
		reset(&metrics[i]);
	*t = (struct hpa_trace){.at_ns = now_ns, .metrics = metrics, .n_metrics = n_metrics, .capacity = t->capacity};
	return 0;
}

void hpa_trace_error(struct hpa_trace_metric *m, const char *error)
{
	free(m->error);
	m->error = strdup(error);
}

/* Room for so many pods and bytes of names; false without memory. */
static bool make_room(struct hpa_trace_metric *m, size_t n, size_t bytes)
{
	if (n > m->pods_capacity) {
		struct hpa_trace_pod *pods = reallocarray(m->pods, n, sizeof(*pods));

		if (!pods)
			return false;
		m->pods = pods;
		m->pods_capacity = n;
	}
	if (bytes > m->names_capacity) {
		char *names = realloc(m->names, bytes);

		if (!names)
			return false;
		m->names = names;
		m->names_capacity = bytes;
	}
	return true;
}

void hpa_trace_pods(struct hpa_trace_metric *m, const struct hpa_pod *pods, size_t n)
{
	size_t shown = KM_MIN(n, (size_t)HPA_TRACE_PODS_MAX), bytes = 0, at = 0;

	m->n_pods = n;
	m->n_shown = 0;
	for (size_t i = 0; i < shown; i++)
		bytes += strlen(pods[i].name) + 1;
	if (!make_room(m, shown, bytes))
		return;
	for (size_t i = 0; i < shown; i++) {
		const struct hpa_pod_metric *usage = pods[i].metric;

		m->pods[i] = (struct hpa_trace_pod){
			.name = (uint32_t)at, .group = pods[i].group, .request_milli = pods[i].request_milli};
		if (usage) {
			m->pods[i].has_usage = true;
			m->pods[i].usage_milli = usage->value_milli;
			m->pods[i].time_ns = usage->time_ns;
			m->pods[i].window_ns = usage->window_ns;
		}
		at = (size_t)(stpcpy(m->names + at, pods[i].name) + 1 - m->names);
	}
	m->n_shown = shown;
}

/* ---- as JSON ---- */

static const char *const group_names[HPA_GROUPS] = {
	[HPA_GROUP_READY] = "ready",
	[HPA_GROUP_UNREADY] = "unready",
	[HPA_GROUP_MISSING] = "missing",
	[HPA_GROUP_IGNORED] = "ignored",
	[HPA_GROUP_FOREIGN] = "foreign",
	[HPA_GROUP_UNREQUESTED] = "unrequested",
};

static json_t *quantity(const struct hpa_metric *metric, int64_t milli)
{
	bool bytes = metric->type <= HPA_METRIC_CONTAINER_RESOURCE && strcmp(metric->name, "memory") == 0;
	const struct km_quantity q =
		km_quantity_of_milli(milli, bytes ? KM_QUANTITY_BINARY_SI : KM_QUANTITY_DECIMAL_SI);
	char text[KM_QUANTITY_TEXT_MAX];

	km_quantity_format(&q, text);
	return json_string(text);
}

static json_t *timestamp(int64_t ns)
{
	char text[KM_RFC3339_TEXT_MAX];

	km_rfc3339_format(ns, text);
	return json_string(text);
}

/* JSON has no infinity; a ratio without a target is none. */
static json_t *ratio(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *pod_json(
	const struct hpa_trace_metric *m, const struct hpa_trace_pod *pod, const struct hpa_metric *metric)
{
	json_t *o = json_pack("{s:s, s:s}", "name", m->names + pod->name, "group", group_names[pod->group]);

	if (pod->request_milli > 0)
		json_object_set_new(o, "request", quantity(metric, pod->request_milli));
	if (pod->has_usage) {
		json_object_set_new(o, "usage", quantity(metric, pod->usage_milli));
		json_object_set_new(o, "timestamp", timestamp(pod->time_ns));
		json_object_set_new(o, "windowSeconds", json_real((double)pod->window_ns / KM_NSEC_PER_SEC));
	}
	return o;
}

static json_t *groups_json(const struct hpa_working *working)
{
	json_t *o = json_object();

	for (size_t i = 0; i < HPA_GROUPS; i++)
		if (working->groups[i] > 0)
			json_object_set_new(o, group_names[i], json_integer(working->groups[i]));
	return o;
}

static bool is_utilization(const struct hpa_metric *metric)
{
	return metric->type <= HPA_METRIC_CONTAINER_RESOURCE && !metric->has_average_value;
}

static json_t *target_json(const struct hpa_metric *metric, bool is_value)
{
	if (is_utilization(metric))
		return json_pack("{s:i}", "utilization", (int)metric->utilization);
	if (is_value)
		return json_pack("{s:o}", "value", quantity(metric, metric->value_milli));
	return json_pack("{s:o}", "averageValue", quantity(metric, metric->average_value_milli));
}

static json_t *current_json(const struct hpa_trace_metric *m, const struct hpa_metric *metric)
{
	json_t *o =
		json_pack("{s:o}", m->is_value ? "value" : "averageValue", quantity(metric, m->proposal.value_milli));

	if (is_utilization(metric))
		json_object_set_new(o, "utilization", json_integer(m->proposal.utilization));
	return o;
}

static json_t *metric_json(const struct hpa_trace_metric *m, const struct hpa_metric *metric)
{
	const struct hpa_working *w = &m->proposal.working;
	json_t *o = json_pack("{s:s, s:s}", "type", metric->type_text, "name", metric->name), *pods = json_array();

	if (*metric->container)
		json_object_set_new(o, "container", json_string(metric->container));
	if (m->error)
		json_object_set_new(o, "error", json_string(m->error));
	if (m->valid) {
		json_object_set_new(o, "proposal", json_integer(m->proposal.replicas));
		json_object_set_new(o, "target", target_json(metric, m->is_value));
		json_object_set_new(o, "current", current_json(m, metric));
		json_object_set_new(o, "held", json_boolean(m->held));
	}
	if (m->valid && !m->held) {
		json_object_set_new(o, "ratio", ratio(w->ratio));
		if (w->damped)
			json_object_set_new(o, "dampedRatio", ratio(w->damped_ratio));
		json_object_set_new(o, "tolerated", json_boolean(w->tolerated));
		if (w->waits)
			json_object_set_new(o, "longWindowProposal", json_integer(w->full_replicas));
		json_object_set_new(
			o, "tolerance", json_pack("{s:f, s:f}", "down", m->tolerance_down, "up", m->tolerance_up));
		json_object_set_new(o, "groups", groups_json(w));
	}
	for (size_t i = 0; i < m->n_shown; i++)
		json_array_append_new(pods, pod_json(m, &m->pods[i], metric));
	json_object_set_new(o, "pods", pods);
	json_object_set_new(o, "podsNotShown", json_integer((json_int_t)(m->n_pods - m->n_shown)));
	return o;
}

static json_t *stabilization_json(const struct hpa_trace *t)
{
	json_t *o = json_pack("{s:i, s:i}", "proposed", (int)t->proposed, "stabilized", (int)t->stabilized);

	if (t->held_back)
		json_object_set_new(o, "heldBackBy",
			json_pack("{s:i, s:o, s:o}", "replicas", (int)t->winner.replicas, "at",
				timestamp(t->winner.time_ns), "until", timestamp(t->until_ns)));
	return o;
}

json_t *hpa_trace_json(const struct hpa_trace *t, const struct hpa_spec *spec)
{
	json_t *metrics = json_array(), *o;

	for (size_t i = 0; i < t->n_metrics && t->by_metrics; i++)
		json_array_append_new(metrics, metric_json(&t->metrics[i], &spec->metrics[i]));
	o = json_pack("{s:o, s:i, s:i, s:i, s:i, s:s, s:b, s:o}", "decidedAt", timestamp(t->at_ns), "current",
		(int)t->current, "desired", (int)t->desired, "minReplicas", (int)spec->min, "maxReplicas",
		(int)spec->max, "reason", t->reason, "byMetrics", t->by_metrics, "metrics", metrics);
	if (o && t->has_proposal)
		json_object_set_new(o, "stabilization", stabilization_json(t));
	if (o && t->limit_reason)
		json_object_set_new(
			o, "limit", json_pack("{s:s, s:s}", "reason", t->limit_reason, "message", t->limit_message));
	return o;
}

/* ---- as a line ---- */

static void add_metric(const struct hpa_trace_metric *m, const struct hpa_metric *metric, FILE *out)
{
	const uint32_t *groups = m->proposal.working.groups;

	fprintf(out, "%s", metric->name);
	if (!m->valid) {
		fprintf(out, " unknown");
		return;
	}
	if (is_utilization(metric))
		fprintf(out, " %d%% of %d%%", (int)m->proposal.utilization, (int)metric->utilization);
	else
		fprintf(out, " at %.2f of its target", m->proposal.working.ratio);
	if (groups[HPA_GROUP_READY] > 0)
		fprintf(out, " (%u ready pods)", groups[HPA_GROUP_READY]);
	fprintf(out, " asks for %d%s", (int)m->proposal.replicas, m->held ? " (held)" : "");
}

void hpa_trace_line(const struct hpa_trace *t, const struct hpa_spec *spec, char *out, size_t size)
{
	FILE *stream = fmemopen(out, size, "w");

	*out = '\0';
	if (!stream)
		return;
	for (size_t i = 0; i < t->n_metrics && t->by_metrics; i++) {
		fprintf(stream, "%s", i > 0 ? "; " : "");
		add_metric(&t->metrics[i], &spec->metrics[i], stream);
	}
	fclose(stream);
	out[size - 1] = '\0';
}
