/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why an HPA was scaled as it was, or not: what one round saw and thought, kept until the next one (spec hpa 10.12).
 * Filled by the round, shown by `kmetricsd explain`. Memory is used again from round to round and bounded: of each
 * metric HPA_TRACE_PODS_MAX pods are kept, the others are counted.
 */
#pragma once

#include "hpa/calc.h"
#include "hpa/spec.h"
#include "hpa/stabilize.h"

#define HPA_TRACE_PODS_MAX 100

struct hpa_trace_pod {
	uint32_t name;         /* where it begins in the metric's names */
	uint8_t group;         /* enum hpa_pod_group */
	int64_t request_milli; /* < 0: none; 0 where it was not asked for */
	bool has_usage;
	int64_t usage_milli, time_ns, window_ns;
};

struct hpa_trace_metric {
	struct hpa_proposal proposal;
	bool valid;    /* it proposed something */
	bool held;     /* it failed, and counts with what it proposed last */
	bool is_value; /* of the whole target, else an average of its pods */
	double tolerance_down, tolerance_up;
	char *error;                /* owned; NULL: none */
	struct hpa_trace_pod *pods; /* owned */
	char *names;                /* owned; each with its NUL */
	size_t n_pods, n_shown, pods_capacity, names_capacity;
};

struct hpa_trace {
	int64_t at_ns; /* wall clock; 0: nothing was decided yet */
	int32_t current, desired;
	bool by_metrics;   /* the metrics were asked; else a limit decided, or the scale was not known */
	bool has_proposal; /* and proposed something: */
	int32_t proposed, stabilized;
	bool held_back; /* stabilized is not what was proposed, because of this recommendation, until then: */
	struct hpa_recommendation winner;
	int64_t until_ns;
	const char *limit_reason, *limit_message; /* static; NULL: nothing was limited */
	char reason[256];                         /* of the step; "": there was none */
	struct hpa_trace_metric *metrics;         /* owned; of spec->metrics, in order */
	size_t n_metrics, capacity;
};

struct hpa_trace *hpa_trace_new(void);    /* NULL without memory */
void hpa_trace_free(struct hpa_trace *t); /* NULL is fine */
/* A new round of an HPA with so many metrics. 0 or -ENOMEM (then there are none). */
int hpa_trace_begin(struct hpa_trace *t, size_t n_metrics, int64_t now_ns) _must_check_;
/* The pods behind a metric, after it was computed. Without memory none are shown. */
void hpa_trace_pods(struct hpa_trace_metric *m, const struct hpa_pod *pods, size_t n);
void hpa_trace_error(struct hpa_trace_metric *m, const char *error);

/* Everything but what the controller knows besides; NULL without memory. New reference. spec: as of the round. */
json_t *hpa_trace_json(const struct hpa_trace *t, const struct hpa_spec *spec);
/* The metrics in one line for the journal: "cpu 180% of 80% (2 pods) -> 5"; cut to size. */
void hpa_trace_line(const struct hpa_trace *t, const struct hpa_spec *spec, char *out, size_t size);
