/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status of an HPA: what a reconcile fills in, how it is read from and written as JSON in each API version, and
 * whether two are the same (spec hpa 3.1, 3.3). Pure.
 */
#pragma once

#include <jansson.h>

#include "hpa/spec.h"

#define HPA_CONDITIONS_MAX 8
#define HPA_REASON_MAX     64
#define HPA_MESSAGE_MAX    1024 /* the API sets no limit; a longer text is cut */

struct hpa_condition {
	char type[HPA_REASON_MAX];
	char status[8];  /* "True", "False", "Unknown" */
	int64_t since_s; /* lastTransitionTime, seconds since 1970 */
	char reason[HPA_REASON_MAX];
	char message[HPA_MESSAGE_MAX];
};

/* One entry of currentMetrics; positional: a metric that failed is an empty one (spec 2.2). */
struct hpa_metric_status {
	const struct hpa_metric *metric; /* borrowed from the spec; NULL: it failed */
	bool has_utilization;
	int32_t utilization;
	bool is_value; /* of the whole target, else an average of its pods */
	int64_t value_milli;
};

struct hpa_status {
	int32_t current, desired;
	int64_t last_scale_s; /* INT64_MIN: never */
	size_t n_conditions;
	struct hpa_condition conditions[HPA_CONDITIONS_MAX]; /* in order of their first appearance */
	bool has_metrics;                                    /* false: currentMetrics is null */
	size_t n_metrics;
	struct hpa_metric_status metrics[HPA_METRICS_MAX];
};

/* Copies text that may come from anywhere: cut to size at a character's end, and what is no UTF-8 becomes U+FFFD. */
void hpa_text_copy(char *out, size_t size, const char *text);

/* Sets a condition: lastTransitionTime moves only with the status; reason and message always (spec 3.1). Where there
 * are HPA_CONDITIONS_MAX others already, the last of them gives way. */
void hpa_status_set(struct hpa_status *status, const char *type, bool is_true, const char *reason, int64_t now_s,
	const char *fmt, ...) _printf_(6, 7);
void hpa_status_remove(struct hpa_status *status, const char *type);
const struct hpa_condition *hpa_status_find(const struct hpa_status *status, const char *type);

/* The numbers and conditions of a status member; NULL is an empty one. currentMetrics are not read: they are compared
 * as JSON. What is not as it should be counts as absent; what is more than fits is left out. */
void hpa_status_decode(json_t *status, struct hpa_status *ret);
/* The status member as this API version has it; NULL without memory. New reference. observedGeneration is never set
 * (spec 3.3). */
json_t *hpa_status_encode(const struct hpa_status *status, enum hpa_api_version version);
/* The same old member with other conditions, for a round that learnt nothing else; NULL without memory. */
json_t *hpa_status_encode_conditions(const struct hpa_status *status, json_t *old);
/* Semantic equality of two status members (spec 3.3): quantities by value; null, absent, "", [] and {} alike, and for
 * the members of the status itself 0 as well. */
bool hpa_status_same(json_t *a, json_t *b);

/* What differs between two status members: figures of metrics alone, each by less than 1 % or by more, or anything else
 * (spec hpa 10.24). */
enum hpa_status_change { HPA_STATUS_SMALL, HPA_STATUS_METRICS, HPA_STATUS_MORE };
enum hpa_status_change hpa_status_change(json_t *before, json_t *now);

/* A status that was found to be as good as the one that is there, kept small so that the next one, which mostly is the
 * same, need not be made into JSON to be compared. A zeroed one is none. */
struct hpa_status_told {
	uint64_t hash; /* of all but the metrics' figures */
	json_t *there; /* what it was compared with; one reference */
	struct {
		int64_t value_milli;
		int32_t utilization;
	} * figures; /* owned; of each metric */
};
void hpa_status_told_clear(struct hpa_status_told *told);
/* Without memory it is none afterwards. */
void hpa_status_told_note(struct hpa_status_told *told, const struct hpa_status *status, json_t *there);
/* Whether this one is the same again, beside the same there. near: figures may differ by half of what a small change
 * is. */
bool hpa_status_told_same(
	const struct hpa_status_told *told, const struct hpa_status *status, json_t *there, bool near);

/* Whole seconds, towards the past. */
int64_t hpa_seconds_of(int64_t ns);
