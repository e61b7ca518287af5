/* SPDX-License-Identifier: Apache-2.0 */
/* What the metrics of an HPA propose: see round.h. Texts are upstream's (spec hpa 3.1, 3.2). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hpa/calc_value.h"
#include "hpa/round.h"
#include "kube/selector.h"

#define AMBIGUOUS_TEXT_MAX 700 /* names of other HPAs in one message */

/* One metric: what it proposes, or how it failed. */
struct proposal {
	struct hpa_proposal value;
	char name[HPA_NAME_OF_METRIC_MAX];
	char error[HPA_MESSAGE_MAX];         /* as its event and condition have it; "" when it did not fail */
	char prefix[2 * HPA_TEXT_MAX + 128]; /* before the error, where the whole HPA's error names the metric */
	const char *reason;
	enum hpa_error_kind kind;
	bool is_value; /* of the whole target, for the status */
};

static _printf_(3, 4) void text(char *out, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(out, size, fmt, args);
	va_end(args);
}

/* ---- the selector (validateAndParseSelector) ---- */

static bool selector_failed(struct hpa_round *round, const char *event, const char *condition, const char *message)
{
	hpa_round_warn(round, event, round->compute_error);
	hpa_round_condition(round, "ScalingActive", false, condition, message);
	return false;
}

bool hpa_round_take_selector(struct hpa_round *round)
{
	const struct hpa_world *world = round->config.world;
	_cleanup_(kube_selector_freep) struct kube_selector *selector = NULL;
	char others[AMBIGUOUS_TEXT_MAX] = "";
	char *error = round->compute_error;
	size_t size = sizeof(round->compute_error);
	struct km_err err = {""};

	if (!*round->selector) {
		text(error, size, "selector is required");
		return selector_failed(
			round, "SelectorRequired", "InvalidSelector", "the HPA target's scale is missing a selector");
	}
	if (kube_selector_parse(round->selector, &selector, &err) < 0) {
		text(error, size, "couldn't convert selector into a corresponding internal selector object: %s",
			err.text);
		return selector_failed(round, "InvalidSelector", "InvalidSelector", error);
	}
	world->ambiguous(selector, round->selector, others, sizeof(others), world->arg);
	if (*others && !round->config.flags->shared_pods) {
		text(error, size, "pods by selector %s are controlled by multiple HPAs: [%s]", round->selector, others);
		return selector_failed(round, "AmbiguousSelector", "AmbiguousSelector", error);
	}
	round->pod_selector = KM_TAKE(selector);
	return true;
}

/* ---- one metric ---- */

static struct hpa_calc calc_of(const struct hpa_round *round, const struct hpa_pods_answer *answer)
{
	const struct hpa_flags *flags = round->config.flags;
	const struct hpa_rules *up = &round->config.spec->up, *down = &round->config.spec->down;
	bool own = flags->configurable_tolerance;

	return (struct hpa_calc){
		.pods = answer->pods,
		.n_pods = answer->n_pods,
		.metrics = answer->metrics,
		.n_metrics = answer->n_metrics,
		.replicas = round->current,
		.tolerance_down = own && down->has_tolerance ? down->tolerance : flags->tolerance,
		.tolerance_up = own && up->has_tolerance ? up->tolerance : flags->tolerance,
		.now_ns = hpa_round_now(round),
		.cpu_initialization_ns = flags->cpu_initialization_ns,
		.readiness_delay_ns = flags->readiness_delay_ns,
		.resource = "",
		.container = "",
		.fixed = flags->fixed,
	};
}

static void ask_pods(struct hpa_round *round, const char *resource, const char *container, struct hpa_pods_answer *ret)
{
	const struct hpa_world *world = round->config.world;

	world->pods(round->pod_selector, round->selector, resource, container, world->arg, ret);
	if (round->config.flags->fixed && ret->n_foreign > 0 && !*round->uncounted)
		text(round->uncounted, sizeof(round->uncounted),
			"; %zu pods of other controllers match the selector and do not count: %s", ret->n_foreign,
			ret->foreign);
}

/* Pods without a request are left out, and named; see calc.h. */
static void name_unrequested(struct hpa_round *round, const struct hpa_calc *calc, uint32_t n)
{
	size_t len = strlen(round->uncounted), named = 0;

	if (n == 0 || strstr(round->uncounted, " without "))
		return;
	text(round->uncounted + len, sizeof(round->uncounted) - len,
		"; %u pods without a request for %s do not count: ", n, calc->resource);
	for (size_t i = 0; i < calc->n_pods && named < 2; i++) {
		if (calc->pods[i].group != HPA_GROUP_UNREQUESTED)
			continue;
		len = strlen(round->uncounted);
		text(round->uncounted + len, sizeof(round->uncounted) - len, "%s%s", named > 0 ? ", " : "",
			calc->pods[i].name);
		named++;
	}
}

/* The metric's trace, or NULL. */
static struct hpa_trace_metric *trace_of(const struct hpa_round *round, const struct hpa_metric *metric)
{
	struct hpa_trace *trace = round->config.trace;

	return trace ? &trace->metrics[metric - round->config.spec->metrics] : NULL;
}

/* After a calculation: what became of the pods. */
static void trace_pods(struct hpa_round *round, const struct hpa_metric *metric, const struct hpa_calc *calc)
{
	struct hpa_trace_metric *trace = trace_of(round, metric);

	if (!trace)
		return;
	trace->tolerance_down = calc->tolerance_down;
	trace->tolerance_up = calc->tolerance_up;
	hpa_trace_pods(trace, calc->pods, calc->n_pods);
}

/* A step down is made only as far as the long window has it too (spec hpa 10.1). */
static void wait_for_full_window(const struct hpa_metric *metric, const struct hpa_calc *calc,
	const struct hpa_pods_answer *answer, struct hpa_proposal *ret)
{
	struct hpa_calc over_full = *calc;
	struct hpa_proposal full;
	int r;

	if (!answer->full || ret->replicas >= calc->replicas)
		return;
	over_full.metrics = answer->full;
	r = metric->has_average_value ? hpa_calc_average(&over_full, metric->average_value_milli, &full, NULL)
				      : hpa_calc_utilization(&over_full, metric->utilization, &full, NULL);
	if (r < 0 || full.replicas <= ret->replicas)
		return;
	ret->working.waits = true;
	ret->working.full_replicas = full.replicas;
	ret->replicas = KM_MIN(full.replicas, calc->replicas);
}

/* Resource and ContainerResource */
static void compute_resource(struct hpa_round *round, const struct hpa_metric *metric, struct proposal *ret)
{
	bool of_container = metric->type == HPA_METRIC_CONTAINER_RESOURCE;
	const char *own = round->config.flags->container, *container = of_container || !own ? metric->container : own;
	const char *what = metric->has_average_value ? "usage" : "utilization";
	struct hpa_pods_answer answer = {0};
	struct km_err err = {""};
	struct hpa_calc calc;
	int r;

	ret->reason = of_container ? "FailedGetContainerResourceMetric" : "FailedGetResourceMetric";
	text(ret->prefix, sizeof(ret->prefix),
		"failed to get %s %s metric value: ", of_container ? metric->container : metric->name,
		of_container ? "container" : "resource");
	if (metric->has_average_value)
		text(ret->name, sizeof(ret->name), "%s resource", metric->name);
	else
		text(ret->name, sizeof(ret->name), "%s %sresource utilization (percentage of request)", metric->name,
			of_container ? "container " : "");
	if (!metric->has_average_value && !metric->has_utilization) {
		text(ret->error, sizeof(ret->error),
			"invalid resource metric source: neither an average utilization target nor an average value "
			"(usage) target was set");
		return;
	}
	ask_pods(round, metric->name, container, &answer);
	if (*answer.error) {
		text(ret->error, sizeof(ret->error), "failed to get %s %s: unable to get metrics for resource %s: %s",
			metric->name, what, metric->name, answer.error);
		return;
	}
	calc = calc_of(round, &answer);
	calc.resource = metric->name;
	calc.container = container;
	r = metric->has_average_value ? hpa_calc_average(&calc, metric->average_value_milli, &ret->value, &err)
				      : hpa_calc_utilization(&calc, metric->utilization, &ret->value, &err);
	trace_pods(round, metric, &calc);
	if (r == 0)
		wait_for_full_window(metric, &calc, &answer, &ret->value);
	name_unrequested(round, &calc, r < 0 ? 0 : ret->value.working.groups[HPA_GROUP_UNREQUESTED]);
	if (r < 0)
		text(ret->error, sizeof(ret->error), "failed to get %s %s: %s", metric->name, what, err.text);
}

/* What the API said of this metric, which was asked for; its error otherwise. */
static const char *error_of(const struct hpa_fetched *f)
{
	if (f->error)
		return f->error;
	return f->pods || f->values_milli ? NULL : "out of memory";
}

static void compute_pods(
	struct hpa_round *round, const struct hpa_metric *metric, const struct hpa_fetched *f, struct proposal *ret)
{
	struct hpa_pods_answer answer = {0};
	struct km_err err = {""};
	struct hpa_calc calc;

	ret->reason = "FailedGetPodsMetric";
	text(ret->prefix, sizeof(ret->prefix), "failed to get pods metric value: ");
	text(ret->name, sizeof(ret->name), "pods metric %s", metric->name);
	if (metric->selector.error) {
		text(ret->error, sizeof(ret->error), "%s", metric->selector.error);
		return;
	}
	if (!metric->has_average_value) {
		text(ret->error, sizeof(ret->error), "invalid pods metric source: no average value target was set");
		return;
	}
	if (error_of(f)) {
		text(ret->error, sizeof(ret->error), "unable to get metric %s: %s", metric->name, error_of(f));
		return;
	}
	ask_pods(round, "", "", &answer);
	answer.metrics = f->pods;
	answer.n_metrics = f->n;
	calc = calc_of(round, &answer);
	if (hpa_calc_average(&calc, metric->average_value_milli, &ret->value, &err) < 0)
		text(ret->error, sizeof(ret->error), "%s", err.text);
	trace_pods(round, metric, &calc);
}

/* Value: in relation to the ready pods. */
static void compute_value(struct hpa_round *round, const struct hpa_metric *metric, int64_t usage, struct proposal *ret)
{
	struct hpa_pods_answer answer = {0};
	struct km_err err = {""};
	struct hpa_calc calc;

	ask_pods(round, "", "", &answer);
	calc = calc_of(round, &answer);
	ret->is_value = true;
	if (hpa_calc_value(&calc, usage, metric->value_milli, &ret->value, &err) < 0)
		text(ret->error, sizeof(ret->error), "%s", err.text);
}

/* As upstream names an external metric, and an object's with an average. */
static void name_external(const struct hpa_metric *metric, struct proposal *ret)
{
	text(ret->name, sizeof(ret->name), "external metric %s(%s)", metric->name, metric->selector.shown);
}

static void compute_object(
	struct hpa_round *round, const struct hpa_metric *metric, const struct hpa_fetched *f, struct proposal *ret)
{
	bool value = metric->is_value && metric->has_value;
	bool average = metric->is_average_value && metric->has_average_value;
	struct hpa_calc calc;

	ret->reason = "FailedGetObjectMetric";
	text(ret->prefix, sizeof(ret->prefix), "failed to get object metric value: ");
	if (metric->selector.error) {
		text(ret->error, sizeof(ret->error), "%s", metric->selector.error);
		return;
	}
	if (!value && !average) {
		text(ret->error, sizeof(ret->error),
			"invalid object metric source: neither a value target nor an average value target was set");
		return;
	}
	if (average)
		text(ret->prefix, sizeof(ret->prefix),
			"failed to get object metric value: failed to get %s object metric: ", metric->name);
	if (error_of(f)) {
		/* the order of these is upstream's */
		text(ret->error, sizeof(ret->error), "unable to get metric %s: %s on %s %s/%s", metric->name,
			metric->object_kind, round->config.namespace_, metric->object_name, error_of(f));
		return;
	}
	if (value) {
		text(ret->name, sizeof(ret->name), "%s metric %s", metric->object_kind, metric->name);
		compute_value(round, metric, f->values_milli[0], ret);
		return;
	}
	name_external(metric, ret);
	calc = calc_of(round, &(const struct hpa_pods_answer){0});
	ret->value =
		hpa_calc_object_share(&calc, round->status_replicas, f->values_milli[0], metric->average_value_milli);
}

static void compute_external(
	struct hpa_round *round, const struct hpa_metric *metric, const struct hpa_fetched *f, struct proposal *ret)
{
	bool average = metric->has_average_value;
	struct hpa_calc calc;

	ret->reason = "FailedGetExternalMetric";
	text(ret->prefix, sizeof(ret->prefix), "failed to get %s external metric value: ", metric->name);
	if (!average && !metric->has_value) {
		text(ret->error, sizeof(ret->error),
			"invalid external metric source: neither a value target nor an average value target was set");
		return;
	}
	text(ret->prefix, sizeof(ret->prefix),
		average ? "failed to get %s external metric value: failed to get %s external metric: "
			: "failed to get %s external metric value: failed to get external metric %s: ",
		metric->name, metric->name);
	if (metric->selector.error) {
		text(ret->error, sizeof(ret->error), "%s", metric->selector.error);
		return;
	}
	if (error_of(f)) {
		text(ret->error, sizeof(ret->error), "unable to get external metric %s/%s/%s: %s",
			round->config.namespace_, metric->name, metric->selector.shown, error_of(f));
		return;
	}
	name_external(metric, ret);
	if (!average) {
		compute_value(round, metric, hpa_sum_external(f->values_milli, f->n, false), ret);
		return;
	}
	calc = calc_of(round, &(const struct hpa_pods_answer){0});
	ret->value = hpa_calc_external_share(&calc, round->status_replicas,
		hpa_sum_external(f->values_milli, f->n, !calc.fixed), metric->average_value_milli);
}

static void unknown_type(const struct hpa_metric *metric, struct proposal *ret)
{
	ret->reason = "InvalidMetricSourceType";
	ret->kind = HPA_ERROR_SPEC;
	text(ret->error, sizeof(ret->error), "unknown metric source type \"%s\"", metric->type_text);
}

/* Its place in currentMetrics and in the counters. */
static void note(struct hpa_round *round, size_t i, const struct hpa_metric *metric, const struct proposal *p)
{
	enum hpa_action action = HPA_ACTION_NONE;

	round->outcome.computations[i].error = (uint8_t)p->kind;
	if (p->kind != HPA_ERROR_NONE)
		return;
	if (p->value.replicas != round->old_current)
		action = p->value.replicas > round->old_current ? HPA_ACTION_UP : HPA_ACTION_DOWN;
	round->outcome.computations[i].action = (uint8_t)action;
	round->status.metrics[i] = (struct hpa_metric_status){
		.metric = metric,
		.has_utilization = metric->type <= HPA_METRIC_CONTAINER_RESOURCE && !metric->has_average_value,
		.utilization = p->value.utilization,
		.is_value = p->is_value,
		.value_milli = p->value.value_milli,
	};
}

/* A metric that fails counts for a while with what it proposed last, where the HPA asks for that (spec 10.11). True: it
 * does. */
static bool hold(struct hpa_round *round, size_t i, struct proposal *ret)
{
	struct hpa_memory *memory = round->config.memory;
	const struct hpa_last_value *last = memory->values ? &memory->values[i] : NULL;

	if (!last || last->time_ns == 0 || hpa_round_now(round) - last->time_ns > round->config.flags->hold_value_ns)
		return false;
	ret->value = last->proposal;
	ret->is_value = last->is_value;
	ret->kind = HPA_ERROR_NONE;
	*ret->error = '\0';
	if (!*ret->name)
		text(ret->name, sizeof(ret->name), "%s", round->config.spec->metrics[i].name);
	return true;
}

static void remember(struct hpa_round *round, size_t i, const struct proposal *p)
{
	struct hpa_memory *memory = round->config.memory;

	if (round->config.flags->hold_value_ns == 0)
		return;
	if (!memory->values)
		memory->values = calloc(round->config.spec->n_metrics, sizeof(*memory->values));
	if (memory->values) /* without memory it cannot be held, and fails as it would */
		memory->values[i] = (struct hpa_last_value){
			.proposal = p->value, .time_ns = hpa_round_now(round), .is_value = p->is_value};
}

static void trace_one(struct hpa_round *round, const struct hpa_metric *metric, const struct proposal *p, bool held)
{
	struct hpa_trace_metric *trace = trace_of(round, metric);

	if (!trace)
		return;
	trace->proposal = p->value;
	trace->valid = p->kind == HPA_ERROR_NONE;
	trace->is_value = p->is_value;
	trace->held = held;
}

static void compute_one(struct hpa_round *round, size_t i, struct proposal *ret)
{
	const struct hpa_metric *metric = &round->config.spec->metrics[i];
	const struct hpa_fetched *fetched = &round->fetched[i];
	bool held = false;

	*ret = (struct proposal){.kind = HPA_ERROR_NONE};
	switch ((enum hpa_metric_type)metric->type) {
	case HPA_METRIC_RESOURCE:
	case HPA_METRIC_CONTAINER_RESOURCE:
		compute_resource(round, metric, ret);
		break;
	case HPA_METRIC_PODS:
		compute_pods(round, metric, fetched, ret);
		break;
	case HPA_METRIC_OBJECT:
		compute_object(round, metric, fetched, ret);
		break;
	case HPA_METRIC_EXTERNAL:
		compute_external(round, metric, fetched, ret);
		break;
	case HPA_METRIC_UNKNOWN:
		unknown_type(metric, ret);
		break;
	}
	if (*ret->error && ret->kind == HPA_ERROR_NONE)
		ret->kind = HPA_ERROR_INTERNAL;
	if (*ret->error) {
		hpa_round_warn(round, ret->reason, ret->error);
		if (trace_of(round, metric))
			hpa_trace_error(trace_of(round, metric), ret->error);
		held = hold(round, i, ret);
	} else {
		remember(round, i, ret);
	}
	trace_one(round, metric, ret, held);
	note(round, i, metric, ret);
}

/* ---- all of them ---- */

bool hpa_round_compute(struct hpa_round *round, int32_t *ret_replicas, char ret_name[HPA_NAME_OF_METRIC_MAX])
{
	const struct hpa_spec *spec = round->config.spec;
	size_t invalid = 0;
	int32_t replicas = 0;
	struct proposal one, first;
	char message[HPA_MESSAGE_MAX];

	*ret_name = '\0';
	if (round->config.trace)
		round->config.trace->by_metrics = true;
	round->status.has_metrics = true;
	round->status.n_metrics = spec->n_metrics;
	memset(round->status.metrics, 0, sizeof(round->status.metrics));
	round->outcome.n_computations = (uint8_t)spec->n_metrics;
	for (size_t i = 0; i < spec->n_metrics; i++) {
		compute_one(round, i, &one);
		if (*one.error) {
			if (invalid++ == 0)
				first = one;
		} else if (replicas == 0 || one.value.replicas > replicas) {
			replicas = one.value.replicas;
			memcpy(ret_name, one.name, sizeof(one.name));
		}
	}
	if (invalid > 0)
		text(round->compute_error, sizeof(round->compute_error),
			"invalid metrics (%zu invalid out of %zu), first error is: %s%s", invalid, spec->n_metrics,
			first.prefix, first.error);
	/* What failed might have asked for more: a step down needs all of them. */
	if (invalid >= spec->n_metrics ||
		(invalid > 0 && (replicas < round->current || round->config.flags->hold_replicas))) {
		text(message, sizeof(message), "the HPA was unable to compute the replica count: %s", first.error);
		hpa_round_condition(round, "ScalingActive", false, first.reason, message);
		return false;
	}
	text(message, sizeof(message), "the HPA was able to successfully calculate a replica count from %s%s", ret_name,
		round->uncounted);
	hpa_round_condition(round, "ScalingActive", true, "ValidMetricFound", message);
	*ret_replicas = replicas;
	return true;
}
