/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reconcile: see reconcile.h. Stages follow one another in hpa_round_run(), which stops where a question is open;
 * an answer from inside the question is noted, and the loop goes on with it, so that nothing recurses.
 */
#include "hpa/reconcile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "hpa/arith.h"
#include "hpa/round.h"
#include "kube/selector.h"

#define PUT_TRIES 5 /* client-go's DefaultRetry: of a write that conflicts (spec 4.2) */

static const char *const able_to_scale = "AbleToScale";

void hpa_memory_clear(struct hpa_memory *memory)
{
	hpa_history_clear(&memory->recommendations);
	hpa_event_book_clear(&memory->up_events);
	hpa_event_book_clear(&memory->down_events);
	hpa_memory_forget_values(memory);
}

void hpa_memory_forget_values(struct hpa_memory *memory)
{
	free(memory->values);
	memory->values = NULL;
	hpa_status_told_clear(&memory->told); /* its figures are of the former metrics */
}

const char *hpa_action_label(enum hpa_action action)
{
	static const char *const labels[] = {
		[HPA_ACTION_NONE] = "none", [HPA_ACTION_UP] = "scale_up", [HPA_ACTION_DOWN] = "scale_down"};

	return labels[action];
}

const char *hpa_error_kind_label(enum hpa_error_kind kind)
{
	static const char *const labels[] = {
		[HPA_ERROR_NONE] = "none", [HPA_ERROR_SPEC] = "spec", [HPA_ERROR_INTERNAL] = "internal"};

	return labels[kind];
}

/* ---- what is told ---- */

int64_t hpa_round_now(const struct hpa_round *round)
{
	return round->config.world->now_ns(round->config.world->arg);
}

static _printf_(4, 5) void tell(
	const struct hpa_round *round, const char *type, const char *reason, const char *fmt, ...)
{
	char message[2 * HPA_MESSAGE_MAX], fit[HPA_MESSAGE_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	hpa_text_copy(fit, sizeof(fit), message);
	round->config.world->event(type, reason, fit, round->config.world->arg);
}

void hpa_round_warn(const struct hpa_round *round, const char *reason, const char *message)
{
	tell(round, "Warning", reason, "%s", message);
}

void hpa_round_condition(
	struct hpa_round *round, const char *type, bool is_true, const char *reason, const char *message)
{
	const char *remark = is_true && strcmp(type, able_to_scale) == 0 ? round->config.remark : NULL;

	hpa_status_set(&round->status, type, is_true, reason, hpa_seconds_of(hpa_round_now(round)), "%s%s%s", message,
		remark ? "; " : "", remark ? remark : "");
}

/* What the round comes to, unless something later is worse. */
static _printf_(3, 4) void fail(struct hpa_round *round, enum hpa_error_kind kind, const char *fmt, ...)
{
	char message[2 * HPA_MESSAGE_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	hpa_text_copy(round->outcome.error, sizeof(round->outcome.error), message);
	round->outcome.error_label = hpa_error_kind_label(kind);
}

/* "<Kind>/<namespace>/<name>" of the target (texts only). */
struct reference {
	char text[2 * HPA_TEXT_MAX + 256];
};

static struct reference reference_of(const struct hpa_round *round)
{
	const struct hpa_spec *spec = round->config.spec;
	struct reference ref;

	snprintf(ref.text, sizeof(ref.text), "%s/%.253s/%s", spec->target_kind, round->config.namespace_,
		spec->target_name);
	return ref;
}

/* Without memory the round ends where it is: nothing is written that was not thought through. */
static void out_of_memory(struct hpa_round *round)
{
	fail(round, HPA_ERROR_INTERNAL, "out of memory");
	round->stage = HPA_ROUND_OVER;
}

/* ---- the scale (steps 1 to 4) ---- */

static void scale_is_unknown(struct hpa_round *round, const char *error)
{
	char message[2 * HPA_MESSAGE_MAX];

	hpa_round_warn(round, "FailedGetScale", error);
	snprintf(
		message, sizeof(message), "the HPA controller was unable to get the target's current scale: %s", error);
	hpa_round_condition(round, able_to_scale, false, "FailedGetScale", message);
	round->no_scale = true;
	round->stage = HPA_ROUND_STATUS;
}

/* schema.ParseGroupVersion: "v1", "apps/v1", "" and "/". */
static bool is_group_version(const char *text)
{
	const char *slash = strchr(text, '/');

	return !slash || !strchr(slash + 1, '/');
}

static void resolve(struct hpa_round *round)
{
	const struct hpa_round_config *config = &round->config;
	struct km_err err = {""};

	if (!is_group_version(config->spec->target_api_version)) {
		km_fail(&err, -EINVAL, "unexpected GroupVersion string: %s", config->spec->target_api_version);
		fail(round, HPA_ERROR_SPEC, "invalid API version in scale target reference: %s", err.text);
		scale_is_unknown(round, err.text);
		return;
	}
	round->mappings = config->world->mappings(config->spec, config->world->arg, &err);
	if (round->mappings < 0) {
		fail(round, HPA_ERROR_INTERNAL, "unable to determine resource for scale target reference: %s",
			err.text);
		scale_is_unknown(round, err.text);
		return;
	}
	round->stage = HPA_ROUND_GET;
}

static void ask_scale(struct hpa_round *round, bool after_put)
{
	round->question = HPA_ASKED_SCALE;
	round->config.world->scale_get(round, round->mapping, after_put, round->config.world->arg);
}

/* Through one mapping after the other; of several failures the first one counts. */
static void get(struct hpa_round *round)
{
	struct reference ref;

	if (round->mapping < round->mappings) {
		round->stage = HPA_ROUND_GOT;
		ask_scale(round, false);
		return;
	}
	ref = reference_of(round);
	if (round->mappings == 0)
		hpa_text_copy(round->first_failure, sizeof(round->first_failure), "unrecognized resource");
	fail(round, HPA_ERROR_INTERNAL, "failed to query scale subresource for %s: %s", ref.text, round->first_failure);
	scale_is_unknown(round, round->first_failure);
}

/* ---- how many (steps 5 to 8) ---- */

/* setStatus; the desired count stays where it was until a round comes to its end. */
static void set_status(struct hpa_round *round, int32_t desired)
{
	round->status.current = round->current;
	round->status.desired = desired;
	if (round->config.trace) {
		round->config.trace->current = round->current;
		round->config.trace->desired = desired;
		snprintf(round->config.trace->reason, sizeof(round->config.trace->reason), "%.255s", round->reason);
	}
}

static void finish(struct hpa_round *round, int32_t desired, bool rescaled)
{
	set_status(round, desired);
	if (rescaled)
		round->status.last_scale_s = hpa_seconds_of(hpa_round_now(round));
	round->outcome.desired = desired;
	round->outcome.has_desired = true;
	round->finished = true;
	round->stage = HPA_ROUND_STATUS;
}

static void limited(struct hpa_round *round, const struct hpa_limit *limit, int32_t stabilized)
{
	hpa_round_condition(round, "ScalingLimited", limit->replicas != stabilized, limit->reason, limit->message);
	if (round->config.trace && limit->replicas != stabilized) {
		round->config.trace->limit_reason = limit->reason;
		round->config.trace->limit_message = limit->message;
	}
}

/* Which recommendation holds back, and until when; windows as they were applied. */
static void trace_stabilization(
	struct hpa_round *round, int32_t proposed, int32_t stabilized, int64_t up_window_ns, int64_t down_window_ns)
{
	const struct hpa_history *history = &round->config.memory->recommendations;
	int64_t window_ns = stabilized > proposed ? down_window_ns : up_window_ns;
	struct hpa_trace *trace = round->config.trace;

	if (!trace)
		return;
	trace->has_proposal = true;
	trace->proposed = proposed;
	trace->stabilized = stabilized;
	trace->held_back =
		stabilized != proposed && hpa_history_extreme(history, hpa_time_sub(hpa_round_now(round), window_ns),
						  stabilized > proposed, &trace->winner);
	trace->until_ns = hpa_time_add(trace->winner.time_ns, window_ns);
}

static void stabilized_or_ready(struct hpa_round *round, bool held, const char *reason, const char *message)
{
	if (held)
		hpa_round_condition(round, able_to_scale, true, reason, message);
	else
		hpa_round_condition(
			round, able_to_scale, true, "ReadyForNewScale", "recommended size matches current size");
}

/* normalizeDesiredReplicas */
static int normalize(struct hpa_round *round, int32_t *desired)
{
	const struct hpa_spec *spec = round->config.spec;
	struct hpa_limit limit;
	int32_t stabilized;

	if (hpa_stabilize_plain(&round->config.memory->recommendations, *desired,
		    round->config.flags->downscale_stabilization_ns, hpa_round_now(round), &stabilized) < 0)
		return -ENOMEM;
	trace_stabilization(round, *desired, stabilized, 0, round->config.flags->downscale_stabilization_ns);
	stabilized_or_ready(round, stabilized != *desired, "ScaleDownStabilized",
		"recent recommendations were higher than current one, applying the highest recent recommendation");
	limit = hpa_limit_plain(round->current, stabilized, spec->min, spec->max);
	limited(round, &limit, stabilized);
	*desired = limit.replicas;
	return 0;
}

/* normalizeDesiredReplicasWithBehaviors */
static int normalize_with_behavior(struct hpa_round *round, int32_t *desired)
{
	const struct hpa_spec *spec = round->config.spec;
	struct hpa_memory *memory = round->config.memory;
	int64_t down_window_s = spec->down.window_s >= 0
					? spec->down.window_s
					: round->config.flags->downscale_stabilization_ns / KM_NSEC_PER_SEC;
	int64_t up_window_ns = KM_MAX(spec->up.window_s, 0) * KM_NSEC_PER_SEC;
	const char *reason, *message;
	struct hpa_limit limit;
	int32_t stabilized;

	if (hpa_stabilize_behavior(&memory->recommendations, round->current, *desired, up_window_ns,
		    down_window_s * KM_NSEC_PER_SEC, hpa_round_now(round), &stabilized, &reason, &message) < 0)
		return -ENOMEM;
	trace_stabilization(round, *desired, stabilized, up_window_ns, down_window_s * KM_NSEC_PER_SEC);
	stabilized_or_ready(round, stabilized != *desired, reason, message);
	limit = hpa_limit_behavior(&(const struct hpa_rate){
		.current = round->current,
		.desired = stabilized,
		.min = spec->min,
		.max = spec->max,
		.now_ns = hpa_round_now(round),
		.up = &spec->up,
		.down = &spec->down,
		.up_events = &memory->up_events,
		.down_events = &memory->down_events,
	});
	limited(round, &limit, stabilized);
	*desired = limit.replicas;
	return 0;
}

static void nothing_computed(struct hpa_round *round)
{
	struct reference ref = reference_of(round);

	fail(round, HPA_ERROR_INTERNAL,
		"failed to compute desired number of replicas based on listed metrics for %s: %s", ref.text,
		round->compute_error);
	set_status(round, round->status.desired);
	round->no_metrics = true;
	round->stage = HPA_ROUND_STATUS;
}

static bool may_leave_zero(const struct hpa_round *round)
{
	return round->config.flags->fixed && round->current == 0 && round->config.spec->min > 0;
}

/* Of a step to so many, where the metrics proposed that many. */
static void give_reason(struct hpa_round *round, int32_t step, int32_t proposed, const char *name)
{
	if (step > round->current && proposed > round->current)
		snprintf(round->reason, sizeof(round->reason), "%.*s above target", HPA_NAME_OF_METRIC_MAX - 16, name);
	else if (step > round->current)
		snprintf(round->reason, sizeof(round->reason), "a recent recommendation was higher");
	else if (step < round->current)
		snprintf(round->reason, sizeof(round->reason), "All metrics below target");
}

/* From the metrics; false: the round is on its way to its end already. */
static bool decide_by_metrics(struct hpa_round *round, int32_t *desired)
{
	bool fixed = round->config.flags->fixed;
	char name[HPA_NAME_OF_METRIC_MAX];
	int32_t proposed;

	if (!hpa_round_compute(round, &proposed, name)) {
		if (!may_leave_zero(round)) {
			nothing_computed(round);
			return false;
		}
		/* a minimum above zero is no matter of metrics; upstream stays at zero ([BUG] of spec 2.1) */
		fail(round, HPA_ERROR_INTERNAL, "%s", round->compute_error);
		*desired = 0;
		return true;
	}
	if (*round->compute_error)
		fail(round, HPA_ERROR_INTERNAL, "%s", round->compute_error);
	if (proposed <= 0) {
		proposed = 0;
		*name = '\0';
	}
	*desired = proposed;
	/* Upstream gives its reason before limits and stabilization: it may speak of another step than the one made
	 * ([BUG] of spec 2.1). */
	if (!fixed)
		give_reason(round, proposed, proposed, name);
	if ((round->config.spec->has_behavior ? normalize_with_behavior : normalize)(round, desired) < 0) {
		out_of_memory(round);
		return false;
	}
	if (fixed)
		give_reason(round, *desired, proposed, name);
	return true;
}

static void correct(struct hpa_round *round, int32_t desired, const char *reason)
{
	round->desired = desired;
	hpa_text_copy(round->reason, sizeof(round->reason), reason);
}

/* ---- to and from zero (gate HPAScaleToZero) ---- */

static const char *const scaled_to_zero = "ScaledToZero";

/* It was this controller that scaled the target to zero. */
static bool is_zero_by_us(const struct hpa_round *round)
{
	const struct hpa_condition *condition = hpa_status_find(&round->status, scaled_to_zero);

	return round->config.flags->scale_to_zero && condition && strcmp(condition->status, "True") == 0;
}

/* Metrics that mean something without pods. */
static bool has_metric_without_pods(const struct hpa_spec *spec)
{
	for (size_t i = 0; i < spec->n_metrics; i++)
		if (spec->metrics[i].type == HPA_METRIC_OBJECT || spec->metrics[i].type == HPA_METRIC_EXTERNAL)
			return true;
	return false;
}

static void note_zero(struct hpa_round *round)
{
	const struct hpa_spec *spec = round->config.spec;
	bool zero = round->current > 0 && round->desired == 0 && spec->min == 0 && has_metric_without_pods(spec);

	if (!round->config.flags->scale_to_zero)
		hpa_status_remove(&round->status, scaled_to_zero);
	else if (zero)
		hpa_round_condition(
			round, scaled_to_zero, true, "ScaledToZero", "the HPA controller scaled the workload to zero");
	else
		hpa_round_condition(round, scaled_to_zero, false, "NotScaledToZero",
			"the HPA controller did not scale the workload to zero");
}

static bool stays_at_zero(const struct hpa_round *round)
{
	const struct hpa_spec *spec = round->config.spec;

	return !is_zero_by_us(round) || (spec->min == 0 && !has_metric_without_pods(spec));
}

static void disabled_at_zero(struct hpa_round *round)
{
	hpa_round_condition(round, "ScalingActive", false, "ScalingDisabled",
		"scaling is disabled since the replica count of the target is zero");
	if (!round->config.flags->scale_to_zero)
		hpa_status_remove(&round->status, scaled_to_zero);
	finish(round, 0, false);
}

/* ---- the decision ---- */

static void step_or_finish(struct hpa_round *round)
{
	if (round->desired == round->current)
		finish(round, round->current, false);
	else
		round->stage = HPA_ROUND_PUT;
}

static void ask_metrics(struct hpa_round *round)
{
	if (!hpa_round_take_selector(round)) {
		nothing_computed(round);
		return;
	}
	round->stage = HPA_ROUND_COMPUTE;
	if (hpa_round_ask_metrics(round) < 0)
		out_of_memory(round);
}

static void decide(struct hpa_round *round)
{
	const struct hpa_spec *spec = round->config.spec;
	struct hpa_history *history = &round->config.memory->recommendations;

	round->current = round->outcome.current = round->replicas;
	hpa_round_condition(round, able_to_scale, true, "SucceededGetScale",
		"the HPA controller was able to get the target's current scale");
	if (!history->seen && hpa_history_add(history, round->current, hpa_round_now(round)) < 0) {
		out_of_memory(round);
	} else if (round->current == 0 && stays_at_zero(round)) {
		disabled_at_zero(round);
	} else if (round->current > spec->max) {
		correct(round, spec->max, "Current number of replicas above Spec.MaxReplicas");
		step_or_finish(round);
	} else if (round->current != 0 && round->current < spec->min) {
		correct(round, spec->min, "Current number of replicas below Spec.MinReplicas");
		step_or_finish(round);
	} else {
		ask_metrics(round);
	}
}

static void compute(struct hpa_round *round)
{
	const struct hpa_spec *spec = round->config.spec;

	if (!decide_by_metrics(round, &round->desired))
		return;
	if (round->current == 0 && spec->min != 0 && round->desired < spec->min) {
		round->desired = spec->min;
		if (!*round->reason)
			correct(round, spec->min, "Current number of replicas below Spec.MinReplicas");
	}
	step_or_finish(round);
}

static void got(struct hpa_round *round)
{
	if (!round->failed) {
		decide(round);
		return;
	}
	if (round->mapping++ == 0)
		memcpy(round->first_failure, round->failure, sizeof(round->failure));
	round->stage = HPA_ROUND_GET;
}

/* ---- the step (9) ---- */

static void put(struct hpa_round *round)
{
	round->stage = HPA_ROUND_PUT_DONE;
	round->question = HPA_ASKED_PUT;
	round->puts++;
	round->config.world->scale_put(round, round->desired, round->resource_version, round->config.world->arg);
}

static void rescaled(struct hpa_round *round)
{
	const struct hpa_spec *spec = round->config.spec;
	struct hpa_memory *memory = round->config.memory;
	char message[HPA_MESSAGE_MAX];

	snprintf(message, sizeof(message), "the HPA controller was able to update the target scale to %" PRId32,
		round->desired);
	hpa_round_condition(round, able_to_scale, true, "SucceededRescale", message);
	tell(round, "Normal", "SuccessfulRescale", "New size: %" PRId32 "; reason: %s", round->desired, round->reason);
	note_zero(round);
	round->outcome.action = hpa_action_label(round->desired > round->current ? HPA_ACTION_UP : HPA_ACTION_DOWN);
	finish(round, round->desired, true);
	if (spec->has_behavior && hpa_events_store(&spec->up, &spec->down, &memory->up_events, &memory->down_events,
					  round->current, round->desired, hpa_round_now(round)) < 0)
		fail(round, HPA_ERROR_INTERNAL, "the scaling step could not be noted: out of memory");
}

/* A conflict is tried again on the scale as it is now, with the count that was computed (upstream's way: what a user
 * wrote in between is overruled). */
static void put_done(struct hpa_round *round)
{
	char message[2 * HPA_MESSAGE_MAX];
	struct reference ref;

	if (!round->failed) {
		rescaled(round);
		return;
	}
	if (round->conflict && round->puts < PUT_TRIES) {
		round->stage = HPA_ROUND_REGOT;
		ask_scale(round, true);
		return;
	}
	ref = reference_of(round);
	tell(round, "Warning", "FailedRescale", "New size: %" PRId32 "; reason: %s; error: %s", round->desired,
		round->reason, round->failure);
	snprintf(message, sizeof(message), "the HPA controller was unable to update the target scale: %s",
		round->failure);
	hpa_round_condition(round, able_to_scale, false, "FailedUpdateScale", message);
	fail(round, HPA_ERROR_INTERNAL, "failed to rescale %s: %s", ref.text, round->failure);
	set_status(round, round->status.desired);
	round->stage = HPA_ROUND_STATUS;
}

/* ---- the status (10) ---- */

/* Fixed: what only differs by figures that moved a little is not written (spec 10.24). */
static bool is_there_already(const struct hpa_round *round, json_t *status)
{
	json_t *there = round->config.status;

	return hpa_status_same(status, there) ||
	       (round->config.flags->fixed && hpa_status_change(there, status) == HPA_STATUS_SMALL);
}

static void write_status(struct hpa_round *round)
{
	const struct hpa_round_config *config = &round->config;
	struct hpa_status_told *told = &config->memory->told;
	json_t *status;

	round->stage = HPA_ROUND_STATUS_DONE;
	round->failed = false;
	if (!round->no_scale && hpa_status_told_same(told, &round->status, config->status, config->flags->fixed))
		return;
	status = round->no_scale ? hpa_status_encode_conditions(&round->status, config->status)
				 : hpa_status_encode(&round->status, config->version);
	if (!status) {
		out_of_memory(round);
		return;
	}
	if (!is_there_already(round, status)) {
		round->question = HPA_ASKED_STATUS;
		config->world->status_put(round, status, config->world->arg);
	} else if (!round->no_scale) {
		hpa_status_told_note(told, &round->status, config->status);
	}
	json_decref(status);
}

static void status_done(struct hpa_round *round)
{
	if (round->failed) {
		hpa_round_warn(round, "FailedUpdateStatus", round->failure);
		if (round->finished)
			fail(round, HPA_ERROR_INTERNAL, "failed to update status for %s: %s", round->config.name,
				round->failure);
	}
	if (round->no_metrics)
		hpa_round_warn(round, "FailedComputeMetricsReplicas", round->compute_error);
	round->stage = HPA_ROUND_OVER;
}

/* ---- the machine ---- */

static void step(struct hpa_round *round)
{
	switch ((enum hpa_round_stage)round->stage) {
	case HPA_ROUND_RESOLVE:
		resolve(round);
		break;
	case HPA_ROUND_GET:
		get(round);
		break;
	case HPA_ROUND_GOT:
		got(round);
		break;
	case HPA_ROUND_COMPUTE:
		compute(round);
		break;
	case HPA_ROUND_PUT:
	case HPA_ROUND_REGOT: /* where the scale could not be read again, what was read before is written again */
		put(round);
		break;
	case HPA_ROUND_PUT_DONE:
		put_done(round);
		break;
	case HPA_ROUND_STATUS:
		write_status(round);
		break;
	case HPA_ROUND_STATUS_DONE:
		status_done(round);
		break;
	case HPA_ROUND_OVER:
		break;
	}
}

static void run(struct hpa_round *round)
{
	round->running = true;
	while (round->question == HPA_ASKED_NOTHING && round->stage != HPA_ROUND_OVER)
		step(round);
	round->running = false;
	if (round->stage == HPA_ROUND_OVER)
		round->config.world->done(round, round->config.world->arg);
}

static void answered(struct hpa_round *round, enum hpa_round_question question, const struct hpa_failure *failure)
{
	assert(round->question == question);
	round->question = HPA_ASKED_NOTHING;
	round->failed = failure;
	round->conflict = failure && failure->conflict;
	if (failure)
		hpa_text_copy(round->failure, sizeof(round->failure), failure->text);
	if (!round->running)
		run(round);
}

/* Copies both texts, or leaves what was read before. */
static int keep_scale(struct hpa_round *round, const struct hpa_scale *scale)
{
	_cleanup_free_ char *selector = strdup(scale->selector);
	_cleanup_free_ char *resource_version = strdup(scale->resource_version);

	if (!selector || !resource_version)
		return -ENOMEM;
	free(round->selector);
	free(round->resource_version);
	round->selector = KM_TAKE(selector);
	round->resource_version = KM_TAKE(resource_version);
	round->replicas = scale->replicas;
	round->status_replicas = scale->status_replicas;
	return 0;
}

void hpa_round_scale(struct hpa_round *round, const struct hpa_scale *scale, const struct hpa_failure *failure)
{
	static const struct hpa_failure no_memory = {.text = "out of memory"};

	if (!failure && keep_scale(round, scale) < 0)
		failure = &no_memory;
	answered(round, HPA_ASKED_SCALE, failure);
}

void hpa_round_metric(struct hpa_round *round, size_t i, const struct hpa_metric_answer *answer)
{
	assert(round->question == HPA_ASKED_METRICS);
	hpa_round_keep_metric(round, i, answer);
	if (round->n_open == 0)
		answered(round, HPA_ASKED_METRICS, NULL);
}

void hpa_round_put(struct hpa_round *round, const struct hpa_failure *failure)
{
	answered(round, HPA_ASKED_PUT, failure);
}

void hpa_round_status(struct hpa_round *round, const struct hpa_failure *failure)
{
	answered(round, HPA_ASKED_STATUS, failure);
}

int hpa_round_start(const struct hpa_round_config *config, struct hpa_round **ret)
{
	struct hpa_round *round = calloc(1, sizeof(*round));

	if (!round)
		return -ENOMEM;
	round->config = *config;
	json_incref(round->config.status);
	hpa_status_decode(config->status, &round->status);
	round->old_current = round->status.current;
	round->outcome.action = hpa_action_label(HPA_ACTION_NONE);
	round->outcome.error_label = hpa_error_kind_label(HPA_ERROR_NONE);
	round->outcome.desired = round->status.desired;
	if (config->trace && hpa_trace_begin(config->trace, config->spec->n_metrics, hpa_round_now(round)) < 0)
		round->config.trace = NULL;
	*ret = round;
	run(round);
	return 0;
}

const struct hpa_outcome *hpa_round_outcome(const struct hpa_round *round)
{
	return &round->outcome;
}

void hpa_round_free(struct hpa_round *round)
{
	if (!round)
		return;
	assert(!round->running);
	hpa_round_forget_metrics(round);
	kube_selector_free(round->pod_selector);
	json_decref(round->config.status);
	free(round->selector);
	free(round->resource_version);
	free(round);
}
