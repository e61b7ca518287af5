/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far one step may go: limits of a scaling step with and without behavior, and the book of recent scale events that
 * the behavior's policies count (Kubernetes 1.36 horizontal.go; spec hpa 2.10, 2.11). Pure but for the book's memory,
 * which is bounded.
 */
#pragma once

#include "core/base.h"

#define HPA_POLICIES_MAX 64 /* of one direction; the API server sets no limit. More: the HPA is refused with a text */
/* Of one direction: two a second over the longest period the API server lets pass. Beyond, the oldest two become one
 * that only holds back: it has the later time, and does not count for the other direction. */
#define HPA_EVENTS_MAX   4096

enum hpa_select_policy { HPA_SELECT_MAX, HPA_SELECT_MIN, HPA_SELECT_DISABLED };

struct hpa_policy {
	bool percent; /* else a number of pods */
	int32_t value;
	int32_t period_s;
};

/* behavior.scaleUp or .scaleDown, with the API server's defaults filled in. */
struct hpa_rules {
	int32_t window_s; /* stabilizationWindowSeconds; -1: not set (scaleDown: the flag's) */
	uint8_t select;   /* enum hpa_select_policy */
	bool has_tolerance;
	double tolerance;
	size_t n_policies;
	struct hpa_policy policies[HPA_POLICIES_MAX];
};

struct hpa_scale_event {
	int32_t change; /* replicas, > 0 */
	int64_t time_ns;
	bool outdated;
	bool merged; /* at the limit; upstream has no limit */
};

struct hpa_event_book {
	struct hpa_scale_event *items; /* owned; upstream's order, outdated slots are used again */
	size_t n, capacity;
};
void hpa_event_book_clear(struct hpa_event_book *book); /* a zeroed book is an empty one */

/* Why a step was limited: reason and message of the ScalingLimited condition (spec 3.1). Static strings. */
struct hpa_limit {
	int32_t replicas;
	const char *reason, *message;
};

/* Without behavior (convertDesiredReplicasWithRules): at most max(2*current, 4) a step, then min and max. */
struct hpa_limit hpa_limit_plain(int32_t current, int32_t desired, int32_t min, int32_t max);

struct hpa_rate {
	int32_t current, desired, min, max;
	int64_t now_ns;
	const struct hpa_rules *up, *down;
	struct hpa_event_book *up_events, *down_events; /* outdated flags are upstream's business of the store below */
};
/* With behavior (convertDesiredReplicasWithBehaviorRate). Integers wrap as upstream's. */
struct hpa_limit hpa_limit_behavior(const struct hpa_rate *in);

/* Notes that the target went from before to after now (storeScaleEvent). 0 or -ENOMEM. */
int hpa_events_store(const struct hpa_rules *up, const struct hpa_rules *down, struct hpa_event_book *up_events,
	struct hpa_event_book *down_events, int32_t before, int32_t after, int64_t now_ns) _must_check_;
