/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One reconcile of one HPA, exactly as Kubernetes 1.36 does it (spec hpa 2.1, 2.2, 3, 4.2): a small machine that asks
 * the world for what it needs and is told the answers, so that the same code runs on the event loop and, with recorded
 * answers, on a virtual clock. It owns no I/O and no clock.
 *
 * scale_get, metric_get, scale_put and status_put start something and return; the answer comes through
 * hpa_round_scale(), hpa_round_metric(), hpa_round_put() or hpa_round_status(), at once (from inside the call) or
 * later. Everything else answers at once.
 */
#pragma once

#include "hpa/calc.h"
#include "hpa/spec.h"
#include "hpa/stabilize.h"
#include "hpa/status.h"
#include "hpa/trace.h"

struct hpa_round;
struct kube_selector;

/* The section's flags, as the reconcile needs them. */
struct hpa_flags {
	int64_t downscale_stabilization_ns, cpu_initialization_ns, readiness_delay_ns;
	double tolerance;
	bool fixed; /* compat = fixed: without upstream's defects that hurt (marked [BUG] in spec hpa) */
	/* Kubernetes' feature gates of these names */
	bool scale_to_zero;          /* HPAScaleToZero */
	bool configurable_tolerance; /* HPAConfigurableTolerance */
	/* What an HPA's own annotations ask for (overrides.h); zero and NULL: nothing. */
	int64_t hold_value_ns;
	bool hold_replicas, shared_pods;
	const char *container; /* borrowed */
};

/* What a metric proposed when it was last well. */
struct hpa_last_value {
	struct hpa_proposal proposal;
	int64_t time_ns; /* 0: never */
	bool is_value;
};

/* What is remembered of one HPA from round to round (spec 1.2). */
struct hpa_memory {
	struct hpa_history recommendations;
	struct hpa_event_book up_events, down_events;
	struct hpa_status_told told;
	struct hpa_last_value *values; /* owned; one a metric, where they are asked for; or NULL */
};
void hpa_memory_clear(struct hpa_memory *memory); /* a zeroed memory is an empty one */
/* The metrics are others now. */
void hpa_memory_forget_values(struct hpa_memory *memory);

/* The scale subresource of the target. Strings are borrowed during the call. */
struct hpa_scale {
	int32_t replicas, status_replicas;
	const char *selector;         /* as text; "" when the scale has none */
	const char *resource_version; /* to be put back */
};

/* A failed request: text is what the API said, for events and conditions. */
struct hpa_failure {
	const char *text;
	bool conflict; /* 409 Conflict */
};

/* The pods behind the selector and their usage of one resource, filled by the world; borrowed until the round goes on.
 * error not "": the metrics could not be had, with upstream's client's words: "unable to fetch metrics from resource
 * metrics API: ..." or "no metrics returned from resource metrics API" (spec 3.2, 6). */
struct hpa_pods_answer {
	struct hpa_pod *pods;
	size_t n_pods;
	const struct hpa_pod_metric *metrics;
	/* The same over a long window, without which no step down is made; NULL: metrics are over such a one. */
	const struct hpa_pod_metric *full;
	size_t n_metrics;
	char error[512];
	/* Pods that the selector returns but that belong to another controller: how many, and the first of them by
	 * name, joined by ", ". */
	size_t n_foreign;
	char foreign[256];
};

/* What a custom or external metrics API says of one metric; everything borrowed during the call. error not NULL: it
 * could not be had, with upstream's client's words (spec 3.2, 6). */
struct hpa_metric_answer {
	const char *error;
	const struct hpa_pod_metric *pods; /* Pods: sorted by pod, bytewise, each once */
	const int64_t *values_milli;       /* Object: one; External: any number */
	size_t n;
};

struct hpa_world {
	int64_t (*now_ns)(void *arg); /* wall clock */
	/* How many REST mappings the target's group and kind have (one a served version), or a negative errno with
	 * upstream's text in err (spec 4.1). Asked only when the apiVersion is well formed. */
	int (*mappings)(const struct hpa_spec *spec, void *arg, struct km_err *err);
	/* GET of the scale through mapping number i; after: a GET that follows a failed PUT (spec 4.2). */
	void (*scale_get)(struct hpa_round *round, int mapping, bool after_put, void *arg);
	void (*scale_put)(struct hpa_round *round, int32_t replicas, const char *resource_version, void *arg);
	/* Other HPAs of the namespace whose pods this selector's pods are too: their "ns/name", sorted, this one among
	 * them, as the text between the brackets; "" when there is none (spec 4.3). The world remembers the selector
	 * as this HPA's. */
	void (*ambiguous)(const struct kube_selector *selector, const char *text, char *ret, size_t size, void *arg);
	/* resource "": only the pods are asked for. container "": usage of the whole pod. */
	void (*pods)(const struct kube_selector *selector, const char *text, const char *resource,
		const char *container, void *arg, struct hpa_pods_answer *ret);
	/* Metric number i, of type Pods, Object or External; several may be asked for before the first is answered.
	 * selector: the pods', as text. */
	void (*metric_get)(
		struct hpa_round *round, size_t i, const struct hpa_metric *metric, const char *selector, void *arg);
	/* type: "Normal" or "Warning" */
	void (*event)(const char *type, const char *reason, const char *message, void *arg);
	/* status: the whole status member, borrowed. */
	void (*status_put)(struct hpa_round *round, json_t *status, void *arg);
	/* Once, as the last thing: the round is over and may be freed (not from inside this call). */
	void (*done)(struct hpa_round *round, void *arg);
	void *arg;
};

enum hpa_action { HPA_ACTION_NONE, HPA_ACTION_UP, HPA_ACTION_DOWN };
enum hpa_error_kind { HPA_ERROR_NONE, HPA_ERROR_SPEC, HPA_ERROR_INTERNAL };
const char *hpa_action_label(enum hpa_action action);       /* "none", "scale_up", "scale_down" */
const char *hpa_error_kind_label(enum hpa_error_kind kind); /* "none", "spec", "internal" */

/* What came of it: labels as upstream's reconciliations_total and metric_computation_total have them (spec 7). May be
 * copied: its texts are static or its own. */
struct hpa_outcome {
	const char *action;      /* "scale_up", "scale_down", "none" */
	const char *error_label; /* "none", "spec", "internal" */
	char error[1024];        /* "" when all is well */
	int32_t current, desired;
	bool has_desired; /* the desired_replicas gauge was set */
	uint8_t n_computations;
	struct {
		uint8_t action;          /* enum hpa_action */
		uint8_t error;           /* enum hpa_error_kind */
	} computations[HPA_METRICS_MAX]; /* of spec->metrics, in order */
};

struct hpa_round_config {
	const char *namespace_, *name; /* of the HPA; borrowed, like all here, until the round is freed */
	const struct hpa_spec *spec;
	json_t *status; /* the status member as the server has it; NULL: none. The round takes a reference */
	enum hpa_api_version version;
	struct hpa_memory *memory;
	const struct hpa_flags *flags;
	const struct hpa_world *world;
	/* What AbleToScale says besides whenever it is True; NULL: nothing. */
	const char *remark;
	struct hpa_trace *trace; /* NULL: nobody asks why */
};

/* 0 or -ENOMEM; the first question is asked before it returns, and done may have been called (*ret is set before). */
int hpa_round_start(const struct hpa_round_config *config, struct hpa_round **ret) _must_check_;
/* Answers to the question that is open, each once. failure NULL: fine. Strings are borrowed during the call. */
void hpa_round_scale(struct hpa_round *round, const struct hpa_scale *scale, const struct hpa_failure *failure);
void hpa_round_metric(struct hpa_round *round, size_t i, const struct hpa_metric_answer *answer);
void hpa_round_put(struct hpa_round *round, const struct hpa_failure *failure);
void hpa_round_status(struct hpa_round *round, const struct hpa_failure *failure);
const struct hpa_outcome *hpa_round_outcome(const struct hpa_round *round);
/* At any time except from inside one of the world's functions; NULL is fine. */
void hpa_round_free(struct hpa_round *round);
