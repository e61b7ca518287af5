/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a round consists of, shared by its two halves: reconcile.c (the machine and the scale) and round_metrics.c (what
 * the metrics propose). Nobody else includes this.
 */
#pragma once

#include "hpa/reconcile.h"

#define HPA_NAME_OF_METRIC_MAX HPA_MESSAGE_MAX /* "cpu resource utilization (percentage of request)" */

enum hpa_round_stage {
	HPA_ROUND_RESOLVE,     /* which mappings the target has */
	HPA_ROUND_GET,         /* ask for the scale through the mapping ->mapping */
	HPA_ROUND_GOT,         /* the answer is here */
	HPA_ROUND_COMPUTE,     /* what metrics were asked for is here */
	HPA_ROUND_PUT,         /* ask to write ->desired */
	HPA_ROUND_PUT_DONE,    /* the answer is here */
	HPA_ROUND_REGOT,       /* the scale after a conflict is here */
	HPA_ROUND_STATUS,      /* write the status if it differs */
	HPA_ROUND_STATUS_DONE, /* the answer is here, or none was needed */
	HPA_ROUND_OVER,
};

/* The question that is open; its answer is the next thing to happen. */
enum hpa_round_question {
	HPA_ASKED_NOTHING,
	HPA_ASKED_SCALE,
	HPA_ASKED_METRICS, /* open until each has come */
	HPA_ASKED_PUT,
	HPA_ASKED_STATUS
};

/* An answer about one metric, owned. */
struct hpa_fetched {
	bool open;
	char *error; /* NULL: it could be had */
	struct hpa_pod_metric *pods;
	int64_t *values_milli;
	size_t n;
};

struct hpa_round {
	struct hpa_round_config config; /* config.status: one reference */
	uint8_t stage, question;
	bool running; /* hpa_round_run() is on the stack: answers are only noted */

	/* The last answer: the scale that was read (both texts owned), and whether and how it failed. */
	int32_t replicas, status_replicas;
	char *selector, *resource_version;
	bool failed, conflict;
	char failure[HPA_MESSAGE_MAX];

	struct kube_selector *pod_selector; /* owned: the scale's, once it is known to be usable */
	struct hpa_fetched *fetched;        /* owned: one a metric, once they are asked for; or NULL */
	size_t n_open;

	int mappings, mapping;
	char first_failure[HPA_MESSAGE_MAX]; /* of several mappings */
	int puts;

	int32_t current; /* replicas when the round began; ->replicas moves with a GET after a conflict */
	int32_t desired;
	char reason[HPA_NAME_OF_METRIC_MAX];
	bool no_scale;   /* nothing but the conditions goes into the status */
	bool no_metrics; /* to be told in an event after the status was written */
	bool finished;   /* the round came to its regular end: a failed status is then its error */
	char compute_error[HPA_MESSAGE_MAX];
	char uncounted[300]; /* "; ..." which pods do not count, for the condition; "": all do */
	int32_t old_current; /* status.currentReplicas before the round */
	struct hpa_status status;
	struct hpa_outcome outcome;
};

int64_t hpa_round_now(const struct hpa_round *round);
/* Warning with this reason, through the world; the text is made fit for an event. */
void hpa_round_warn(const struct hpa_round *round, const char *reason, const char *message);
/* Sets a condition now. */
void hpa_round_condition(
	struct hpa_round *round, const char *type, bool is_true, const char *reason, const char *message);

/* The scale's selector (validateAndParseSelector): false, with condition and event, and ->compute_error says why. */
bool hpa_round_take_selector(struct hpa_round *round) _must_check_;
/* Asks the world for what is not to be had at once; HPA_ASKED_METRICS until all of it has come. 0 or -ENOMEM. */
int hpa_round_ask_metrics(struct hpa_round *round) _must_check_;
/* Takes a copy of the answer to one of them. */
void hpa_round_keep_metric(struct hpa_round *round, size_t i, const struct hpa_metric_answer *answer);
void hpa_round_forget_metrics(struct hpa_round *round);

/*
 * What all metrics together propose (computeReplicasForMetrics, spec 2.2): conditions and events of the metrics, the
 * status's currentMetrics, the outcome's computations. True: ret_replicas and ret_name are the largest proposal, and
 * round->compute_error is not "" where some metrics failed all the same. False: none is to be used, and
 * round->compute_error says why.
 */
bool hpa_round_compute(struct hpa_round *round, int32_t *ret_replicas, char ret_name[HPA_NAME_OF_METRIC_MAX])
	_must_check_;
