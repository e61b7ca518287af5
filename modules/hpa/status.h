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
	bool filled;
	bool has_utilization;
	int32_t utilization;
	int64_t average_value_milli;
	const char *resource; /* borrowed from the spec */
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

/* Sets a condition: lastTransitionTime moves only with the status; reason and message always (spec 3.1). */
void hpa_status_set(struct hpa_status *status, const char *type, bool is_true, const char *reason, int64_t now_s,
	const char *fmt, ...) _printf_(6, 7);
void hpa_status_remove(struct hpa_status *status, const char *type);
const struct hpa_condition *hpa_status_find(const struct hpa_status *status, const char *type);

/* The numbers and conditions of an object's status (currentMetrics are not read: they are compared as JSON). */
void hpa_status_decode(json_t *object, struct hpa_status *ret);
/* The status member as this API version has it; NULL without memory. New reference. */
json_t *hpa_status_encode(const struct hpa_status *status, enum hpa_api_version version);
/* Semantic equality of two status members: quantities by value, null, absent, 0 and [] alike (spec 3.3). */
bool hpa_status_same(json_t *a, json_t *b);
