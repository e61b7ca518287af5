/* SPDX-License-Identifier: Apache-2.0 */
/* What the metrics of an HPA propose: see round.h. Texts are upstream's (spec hpa 3.1, 3.2). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hpa/round.h"
#include "kube/selector.h"

#define AMBIGUOUS_TEXT_MAX 700 /* names of other HPAs in one message */

/* One metric: what it proposes, or how it failed. */
struct proposal {
	struct hpa_proposal value;
	char name[HPA_NAME_OF_METRIC_MAX];
	char error[HPA_MESSAGE_MAX];    /* as its event and condition have it; "" when it did not fail */
	char prefix[HPA_TEXT_MAX + 64]; /* before the error, where the whole HPA's error names the metric */
	const char *reason;
	enum hpa_error_kind kind;
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

static bool usable_selector(struct hpa_round *round, struct kube_selector **ret)
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
	if (*others) {
		text(error, size, "pods by selector %s are controlled by multiple HPAs: [%s]", round->selector, others);
		return selector_failed(round, "AmbiguousSelector", "AmbiguousSelector", error);
	}
	*ret = KM_TAKE(selector);
	return true;
}

/* ---- one metric ---- */

static void compute_resource(struct hpa_round *round, const struct hpa_metric *metric,
	const struct kube_selector *selector, struct proposal *ret)
{
	const struct hpa_round_config *config = &round->config;
	const struct hpa_flags *flags = config->flags;
	const struct hpa_rules *up = &config->spec->up, *down = &config->spec->down;
	const char *what = metric->has_average_value ? "usage" : "utilization";
	struct hpa_pods_answer answer = {0};
	struct km_err err = {""};
	struct hpa_calc calc;
	int r;

	ret->reason = "FailedGetResourceMetric";
	text(ret->prefix, sizeof(ret->prefix), "failed to get %s resource metric value: ", metric->resource);
	text(ret->name, sizeof(ret->name), "%s resource%s", metric->resource,
		metric->has_average_value ? "" : " utilization (percentage of request)");
	if (!metric->has_average_value && !metric->has_utilization) {
		text(ret->error, sizeof(ret->error),
			"invalid resource metric source: neither an average utilization target nor an average value "
			"(usage) target was set");
		return;
	}
	config->world->pods(selector, round->selector, metric->resource, config->world->arg, &answer);
	if (*answer.error) {
		text(ret->error, sizeof(ret->error), "failed to get %s %s: unable to get metrics for resource %s: %s",
			metric->resource, what, metric->resource, answer.error);
		return;
	}
	calc = (struct hpa_calc){
		.pods = answer.pods,
		.n_pods = answer.n_pods,
		.metrics = answer.metrics,
		.n_metrics = answer.n_metrics,
		.replicas = round->current,
		.tolerance_down = down->has_tolerance ? down->tolerance : flags->tolerance,
		.tolerance_up = up->has_tolerance ? up->tolerance : flags->tolerance,
		.now_ns = hpa_round_now(round),
		.cpu_initialization_ns = flags->cpu_initialization_ns,
		.readiness_delay_ns = flags->readiness_delay_ns,
		.resource = metric->resource,
		.container = "",
	};
	r = metric->has_average_value ? hpa_calc_average(&calc, metric->average_value_milli, &ret->value, &err)
				      : hpa_calc_utilization(&calc, metric->utilization, &ret->value, &err);
	if (r < 0)
		text(ret->error, sizeof(ret->error), "failed to get %s %s: %s", metric->resource, what, err.text);
}

/* A type that is not computed here fails as that type's metrics fail. */
static void compute_other(const struct hpa_metric *metric, struct proposal *ret)
{
	static const struct {
		const char *type, *reason;
	} known[] = {
		{"ContainerResource", "FailedGetContainerResourceMetric"},
		{"Pods", "FailedGetPodsMetric"},
		{"Object", "FailedGetObjectMetric"},
		{"External", "FailedGetExternalMetric"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(known); i++) {
		if (strcmp(known[i].type, metric->type_text) == 0) {
			ret->reason = known[i].reason;
			text(ret->error, sizeof(ret->error),
				"metrics of type %s are not computed by this version of kmetricsd; use type Resource, "
				"or leave this HorizontalPodAutoscaler to kube-controller-manager",
				metric->type_text);
			return;
		}
	}
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
		.filled = true,
		.has_utilization = !metric->has_average_value,
		.utilization = p->value.utilization,
		.average_value_milli = p->value.value_milli,
		.resource = metric->resource,
	};
}

static void compute_one(struct hpa_round *round, size_t i, const struct kube_selector *selector, struct proposal *ret)
{
	const struct hpa_metric *metric = &round->config.spec->metrics[i];

	*ret = (struct proposal){.kind = HPA_ERROR_NONE};
	if (metric->type == HPA_METRIC_RESOURCE)
		compute_resource(round, metric, selector, ret);
	else
		compute_other(metric, ret);
	if (*ret->error && ret->kind == HPA_ERROR_NONE)
		ret->kind = HPA_ERROR_INTERNAL;
	if (*ret->error)
		hpa_round_warn(round, ret->reason, ret->error);
	note(round, i, metric, ret);
}

/* ---- all of them ---- */

bool hpa_round_compute(struct hpa_round *round, int32_t *ret_replicas, char ret_name[HPA_NAME_OF_METRIC_MAX])
{
	const struct hpa_spec *spec = round->config.spec;
	_cleanup_(kube_selector_freep) struct kube_selector *selector = NULL;
	size_t invalid = 0;
	int32_t replicas = 0;
	struct proposal one, first;
	char message[HPA_MESSAGE_MAX];

	*ret_name = '\0';
	if (!usable_selector(round, &selector))
		return false;
	round->status.has_metrics = true;
	round->status.n_metrics = spec->n_metrics;
	memset(round->status.metrics, 0, sizeof(round->status.metrics));
	round->outcome.n_computations = (uint8_t)spec->n_metrics;
	for (size_t i = 0; i < spec->n_metrics; i++) {
		compute_one(round, i, selector, &one);
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
	if (invalid >= spec->n_metrics || (invalid > 0 && replicas < round->current)) {
		text(message, sizeof(message), "the HPA was unable to compute the replica count: %s", first.error);
		hpa_round_condition(round, "ScalingActive", false, first.reason, message);
		return false;
	}
	text(message, sizeof(message), "the HPA was able to successfully calculate a replica count from %s", ret_name);
	hpa_round_condition(round, "ScalingActive", true, "ValidMetricFound", message);
	*ret_replicas = replicas;
	return true;
}
