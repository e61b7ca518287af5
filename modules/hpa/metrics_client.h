/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of custom.metrics.k8s.io and external.metrics.k8s.io (spec hpa 6), asked for in the background. Each of the
 * two APIs has an adapter behind it that may be slow or hang: a request has a deadline, only so many are under way at
 * each API, the others wait their turn, and who asks the same shares one request. A hung adapter so delays those that
 * use it, and nobody else.
 */
#pragma once

#include "hpa/reconcile.h"
#include "kube/mapper.h"

#define HPA_METRICS_DEADLINE_US (10 * KM_USEC_PER_SEC)
#define HPA_METRICS_ADAPTER_MAX 16    /* requests under way at one API */
#define HPA_METRICS_WAITING_MAX 50000 /* that wait their turn at one API; more fail at once, with a text */
#define HPA_METRICS_VERSION_US  (15 * KM_USEC_PER_SEC) /* how long a version that was discovered is believed */

struct hpa_metrics_client;
struct hpa_metrics_call; /* one that waits for a metric */

/* 0 or -ENOMEM. Client and mapper are borrowed and outlive this. */
int hpa_metrics_client_new(struct kube_client *client, struct kube_mapper *mapper, struct hpa_metrics_client **ret)
	_must_check_;
void hpa_metrics_client_free(struct hpa_metrics_client *c); /* what waits ends without a word; NULL is fine */

/*
 * metric: of type Pods, Object or External; borrowed, with selector (the pods' one, as text) and namespace_, until the
 * answer. fn is called exactly once, never from inside, unless the call is cancelled; the answer's errors are worded as
 * upstream's client's. 0 or -ENOMEM.
 */
int hpa_metrics_get(struct hpa_metrics_client *c, const struct hpa_metric *metric, const char *namespace_,
	const char *selector, void (*fn)(const struct hpa_metric_answer *answer, void *arg), void *arg,
	struct hpa_metrics_call **ret) _must_check_;
void hpa_metrics_cancel(struct hpa_metrics_call *call); /* without fn; NULL is fine; allowed in callbacks */

struct hpa_metrics_stats {
	uint64_t asked_total, shared_total,
		failed_total;      /* requests sent; calls that shared one; requests that failed */
	size_t under_way, waiting; /* requests */
};
void hpa_metrics_stats(const struct hpa_metrics_client *c, struct hpa_metrics_stats *ret);
