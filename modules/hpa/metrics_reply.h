/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What custom.metrics.k8s.io (v1beta1, v1beta2) and external.metrics.k8s.io (v1beta1) answer: lists of values, read
 * piece by piece as they come (spec hpa 6). Pure.
 */
#pragma once

#include "core/err.h"
#include "hpa/spec.h"

#define HPA_METRICS_ITEMS_MAX 100000 /* of one reply; more: refused with a text */

struct hpa_metrics_reply;

/* type: Pods, Object or External. 0 or -ENOMEM. */
int hpa_metrics_reply_new(enum hpa_metric_type type, struct hpa_metrics_reply **ret) _must_check_;
void hpa_metrics_reply_free(struct hpa_metrics_reply *reply); /* NULL is fine */
/* 0, or a negative errno with a text in err: no such list, a value that is none, a limit. */
int hpa_metrics_reply_feed(struct hpa_metrics_reply *reply, const char *bytes, size_t n, struct km_err *err)
	_must_check_;
/*
 * The end of the reply: as many values as the type needs, or -ENODATA with upstream's text in err (no value; for an
 * Object, not exactly one).
 */
int hpa_metrics_reply_finish(struct hpa_metrics_reply *reply, struct km_err *err) _must_check_;
/* After a successful finish; borrowed. Pods: sorted by pod, of several values of one the last counts. */
const struct hpa_pod_metric *hpa_metrics_reply_pods(const struct hpa_metrics_reply *reply, size_t *ret_n);
const int64_t *hpa_metrics_reply_values(const struct hpa_metrics_reply *reply, size_t *ret_n);
