/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One recorded scenario of the whole controller while it is replayed: hpa_seq.c carries it from step to step and
 * compares, hpa_seq_world.c answers the reconcile from what the step recorded. Nobody else includes this.
 */
#pragma once

#include "hpa/reconcile.h"
#include "hpa_vectors.h"
#include "kube/labels.h"

#define SEQ_ORIGIN_NS (INT64_C(946684800) * 1000000000) /* 2000-01-01T00:00:00Z: times count from there */

struct seq {
	struct vectors_report *report;
	const char *namespace_,
		*name; /* of the HPA; borrowed from the line, like all JSON here unless said otherwise */
	json_t *template, *pods, *others;
	struct hpa_flags flags;
	bool no_pod_level; /* gate PodLevelResources is off */
	struct hpa_memory memory;
	struct hpa_spec *spec; /* owned */
	json_t *status;        /* the stored one, or NULL; one reference */
	struct km_interner *interner;
	struct kube_label_pool *labels;

	/* Of this step. */
	json_t *in;
	int64_t now_ns;
	size_t gets, regets;
	bool over;
	json_t *puts, *events, *sent, *scaled_to; /* what the reconcile did; one reference each, sent and scaled_to may
						     be NULL */
	struct hpa_pod *found;                    /* the last answer about pods; owned */
	struct hpa_pod_metric *metrics;
	size_t n_found;
};

extern const struct hpa_world seq_world; /* its arg is to be the struct seq */
void seq_forget_pods(struct seq *s);
