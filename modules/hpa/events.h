/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events on HPAs, as `kubectl describe hpa` shows them: core/v1 Events, written one after the other in the background,
 * correlated as client-go does (spec hpa 3.2; see event_correlator.h). Events are a courtesy: what cannot be written is
 * dropped and counted, and nothing waits for it.
 */
#pragma once

#include "core/clock.h"
#include "kube/client.h"

#define HPA_EVENTS_COMPONENT "horizontal-pod-autoscaler"
#define HPA_EVENTS_QUEUE_MAX 1000
#define HPA_EVENTS_TRIES_MAX 12
#define HPA_EVENTS_RETRY_US  (10 * KM_USEC_PER_SEC) /* the first one a random part of it */

struct hpa_events;

struct hpa_events_config {
	struct kube_client *client; /* borrowed; outlives this */
	const char *api_version;    /* of the HPAs, "autoscaling/v2"; copied */
	uint64_t retry_us;          /* 0: HPA_EVENTS_RETRY_US; tests take less */
};

struct hpa_events_counters {
	uint64_t posted, written, filtered /* by the spam filter */, dropped /* queue full, refused or given up */;
	size_t queued;
};

/* 0 or -ENOMEM */
int hpa_events_new(const struct hpa_events_config *config, struct hpa_events **ret) _must_check_;
/* What is queued is lost. NULL is fine. */
void hpa_events_free(struct hpa_events *events);
/* hpa: the object (metadata.namespace, name, uid, resourceVersion), borrowed during the call, like the texts. A message
 * longer than HPA_EVENT_MESSAGE_MAX is cut. */
void hpa_events_post(struct hpa_events *events, json_t *hpa, const char *type, const char *reason, const char *message);
void hpa_events_counters(const struct hpa_events *events, struct hpa_events_counters *ret);
