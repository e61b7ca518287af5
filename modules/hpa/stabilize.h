/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stabilization: recent recommendations hold a step back (Kubernetes 1.36 horizontal.go; spec hpa 2.10, 2.11). Pure but
 * for the history's memory, which is bounded.
 */
#pragma once

#include "core/base.h"

/* Two a second over the longest window the API server lets pass (3600 s), or 15 seconds apart over 34 hours. Beyond,
 * each four neighbours in time become two, their smallest and largest, at the time of the last: that only holds back.
 */
#define HPA_RECOMMENDATIONS_MAX 8192

struct hpa_recommendation {
	int32_t replicas;
	int64_t time_ns;
};

struct hpa_history {
	struct hpa_recommendation *items; /* owned; upstream's order: slots beyond the windows are used again */
	size_t n, capacity;
	bool seen; /* upstream's non-nil: an initial recommendation is only noted where there never was one */
};
void hpa_history_clear(struct hpa_history *history); /* a zeroed history is an empty, unseen one */
/* Appends and marks as seen; 0 or -ENOMEM. For the initial recommendation and for reading a saved history. */
int hpa_history_add(struct hpa_history *history, int32_t replicas, int64_t time_ns) _must_check_;
/* The largest, or smallest, recommendation at or after since_ns, of equals the newest; false: there is none. */
bool hpa_history_extreme(
	const struct hpa_history *history, int64_t since_ns, bool largest, struct hpa_recommendation *ret);

/* Without behavior (stabilizeRecommendation): the highest of desired and what was recommended within the window;
 * desired is noted. 0 or -ENOMEM. */
int hpa_stabilize_plain(struct hpa_history *history, int32_t desired, int64_t window_ns, int64_t now_ns,
	int32_t *ret_replicas) _must_check_;

/* With behavior (stabilizeRecommendationWithBehaviors): current, moved only as far as both envelopes force it; desired
 * is noted. 0 or -ENOMEM. reason and message (static) are for AbleToScale where *ret_replicas != desired. */
int hpa_stabilize_behavior(struct hpa_history *history, int32_t current, int32_t desired, int64_t up_window_ns,
	int64_t down_window_ns, int64_t now_ns, int32_t *ret_replicas, const char **ret_reason,
	const char **ret_message) _must_check_;
