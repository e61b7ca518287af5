/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of kind "seq": the whole controller step by step on a virtual clock.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hpa_seq.h"

static const char *const line_keys[] = {
	"s:id", "s:kind", "s:desc", "a:tags", "o:flags", "o:gates", "o:podTemplate", "o:hpa", "a:steps", NULL};
static const char *const flag_keys[] = {
	"i:downscaleStabilization", "d:tolerance", "i:cpuInitializationPeriod", "i:initialReadinessDelay", NULL};
static const char *const gate_keys[] = {"b:HPAConfigurableTolerance", "b:PodLevelResources", "b:HPAScaleToZero", NULL};
static const char *const template_keys[] = {
	"o:labels", "a:containers", "a:initContainers", "o:podRequests", "o:overhead", NULL};
static const char *const step_keys[] = {"i:now", "o:in", "o:out", NULL};
static const char *const in_keys[] = {"b:restart", "b:hpaDeleted", "o:spec", "a:otherHpas", "o:scale", "a:scaleGets",
	"a:scalePuts", "a:regets", "o:statusPut", "a:pods", "a:podMetrics", "s:podMetricsError", "a:customPods",
	"a:customObjects", "a:external", NULL};
static const char *const out_keys[] = {"a:puts", "i:scaledTo", "a:events", "o:status", "s:error", "s:action",
	"s:errorLabel", "a:metricComputations", "i:desiredGauge", NULL};

/* ---- comparing ---- */

/* A short text of a value, for a difference; owned by the caller. */
static char *show(json_t *value)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS);

	return text ? text : strdup("nothing");
}

static void compare(struct seq *s, const char *what, json_t *got, json_t *expected)
{
	char *a, *b;

	if (json_equal(got, expected) || (!got && json_is_null(expected)))
		return;
	a = show(got);
	b = show(expected);
	vectors_differ(s->report, "%s: %s, expected %s", what, a, b);
	free(a);
	free(b);
}

static void compare_text(struct seq *s, const char *what, const char *got, const char *expected)
{
	if (strcmp(got, expected) != 0)
		vectors_differ(s->report, "%s: \"%s\", expected \"%s\"", what, got, expected);
}

static bool is_nothing(json_t *value)
{
	return !value || json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0) ||
	       (json_is_integer(value) && json_integer_value(value) == 0);
}

/* null, absent, 0 and [] are the same for the direct members. */
static void compare_status(struct seq *s, json_t *got, json_t *expected)
{
	const char *key;
	json_t *value;
	bool same = !got == json_is_null(expected);

	json_object_foreach(got, key, value)
	{
		json_t *other = json_object_get(expected, key);

		same = same && (json_equal(value, other) || (is_nothing(value) && is_nothing(other)));
	}
	json_object_foreach(expected, key, value)
	{
		same = same && (json_object_get(got, key) || is_nothing(value));
	}
	if (!same)
		compare(s, "status", got, expected);
}

static json_t *computations_of(struct seq *s, const struct hpa_outcome *outcome)
{
	json_t *list = json_array();

	for (size_t i = 0; i < outcome->n_computations; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "type", s->spec->metrics[i].type_text,
						    "action", hpa_action_label(outcome->computations[i].action),
						    "error", hpa_error_kind_label(outcome->computations[i].error)));
	return list;
}

static void compare_outcome(struct seq *s, const struct hpa_outcome *outcome, json_t *out)
{
	json_t *computations = computations_of(s, outcome);
	json_t *gauge = outcome->has_desired ? json_integer(outcome->desired) : json_null();

	compare_text(s, "error", outcome->error, vectors_text(out, "error"));
	compare_text(s, "action", outcome->action, vectors_text(out, "action"));
	compare_text(s, "errorLabel", outcome->error_label, vectors_text(out, "errorLabel"));
	compare(s, "metricComputations", computations, json_object_get(out, "metricComputations"));
	compare(s, "desiredGauge", gauge, json_object_get(out, "desiredGauge"));
	json_decref(computations);
	json_decref(gauge);
}

/* ---- a step ---- */

static int use_spec(struct seq *s, json_t *spec)
{
	json_t *object = json_pack("{s:O}", "spec", spec);
	struct hpa_spec *decoded;
	struct km_err err = {""};
	int r = hpa_spec_decode(object, HPA_V2, &decoded, &err);

	json_decref(object);
	if (r < 0) {
		vectors_differ(s->report, "%s", err.text);
		return r;
	}
	hpa_spec_free(s->spec);
	s->spec = decoded;
	return 0;
}

static void reconcile(struct seq *s, json_t *out)
{
	struct hpa_world world = seq_world;
	const struct hpa_round_config config = {
		.namespace_ = s->namespace_,
		.name = s->name,
		.spec = s->spec,
		.status = s->status,
		.version = HPA_V2,
		.memory = &s->memory,
		.flags = &s->flags,
		.world = &world,
	};
	struct hpa_round *round;

	world.arg = s;
	if (hpa_round_start(&config, &round) < 0)
		abort();
	if (!s->over)
		vectors_differ(s->report, "the round does not end");
	compare(s, "puts", s->puts, json_object_get(out, "puts"));
	compare(s, "scaledTo", s->scaled_to, json_object_get(out, "scaledTo"));
	compare(s, "events", s->events, json_object_get(out, "events"));
	compare_status(s, s->sent, json_object_get(out, "status"));
	compare_outcome(s, hpa_round_outcome(round), out);
	hpa_round_free(round);
	if (!s->sent || json_object_get(s->in, "statusPut"))
		return;
	json_decref(s->status);
	s->status = json_incref(s->sent);
}

static void forget_hpa(struct seq *s)
{
	hpa_memory_clear(&s->memory);
	json_decref(s->status);
	s->status = NULL;
}

static int step(struct seq *s, json_t *step, size_t number)
{
	json_t *out = json_object_get(step, "out"), *pods, *others, *spec;
	size_t before = s->report->differences;

	s->in = json_object_get(step, "in");
	if (!vectors_known(step, step_keys, s->report) || !vectors_known(s->in, in_keys, s->report) ||
		!vectors_known(out, out_keys, s->report))
		return -EINVAL;
	s->now_ns = SEQ_ORIGIN_NS + vectors_int(step, "now");
	s->gets = s->regets = 0;
	s->over = false;
	pods = json_object_get(s->in, "pods");
	others = json_object_get(s->in, "otherHpas");
	spec = json_object_get(s->in, "spec");
	s->pods = pods ? pods : s->pods;
	s->others = others ? others : s->others;
	if (spec && use_spec(s, spec) < 0)
		return -EINVAL;
	if (vectors_true(s->in, "restart"))
		hpa_memory_clear(&s->memory);
	if (vectors_true(s->in, "hpaDeleted")) {
		forget_hpa(s);
		return 0;
	}
	s->puts = json_array();
	s->events = json_array();
	reconcile(s, out);
	if (s->report->differences > before)
		vectors_differ(s->report, "so much for step %zu; the scenario ends here", number);
	json_decref(s->puts);
	json_decref(s->events);
	json_decref(s->sent);
	json_decref(s->scaled_to);
	s->puts = s->events = s->sent = s->scaled_to = NULL;
	seq_forget_pods(s);
	return 0;
}

static int replay(struct seq *s, json_t *line)
{
	json_t *hpa = json_object_get(line, "hpa"), *item;
	size_t i;
	int r = use_spec(s, json_object_get(hpa, "spec"));

	json_array_foreach(json_object_get(line, "steps"), i, item)
	{
		if (r == 0 && s->report->differences == 0)
			r = step(s, item, i);
	}
	return r;
}

int hpa_seq_run(json_t *line, struct vectors_report *report)
{
	json_t *hpa = json_object_get(line, "hpa"), *metadata = json_object_get(hpa, "metadata"),
	       *flags = json_object_get(line, "flags"), *gates = json_object_get(line, "gates");
	struct seq s = {
		.report = report,
		.namespace_ = vectors_text(metadata, "namespace"),
		.name = vectors_text(metadata, "name"),
		.template = json_object_get(line, "podTemplate"),
		.flags = {.downscale_stabilization_ns = vectors_int(flags, "downscaleStabilization"),
			.cpu_initialization_ns = vectors_int(flags, "cpuInitializationPeriod"),
			.readiness_delay_ns = vectors_int(flags, "initialReadinessDelay"),
			.tolerance = vectors_double(flags, "tolerance"),
			.scale_to_zero = vectors_true(gates, "HPAScaleToZero"),
			.configurable_tolerance = vectors_true(gates, "HPAConfigurableTolerance")},
		.no_pod_level = !vectors_true(gates, "PodLevelResources"),
		.status = json_incref(json_object_get(hpa, "status")),
	};
	int r = -EINVAL;

	if (!vectors_known(line, line_keys, report) || !vectors_known(flags, flag_keys, report) ||
		!vectors_known(gates, gate_keys, report) || !vectors_known(s.template, template_keys, report) ||
		json_array_size(json_object_get(line, "steps")) == 0)
		goto out;
	if (km_interner_new(&s.interner) < 0 || kube_label_pool_new(s.interner, &s.labels) < 0)
		abort();
	r = replay(&s, line);
out:
	hpa_spec_free(s.spec);
	hpa_memory_clear(&s.memory);
	json_decref(s.status);
	kube_label_pool_free(s.labels);
	km_interner_free(s.interner);
	return r;
}
