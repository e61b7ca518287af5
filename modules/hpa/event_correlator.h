/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of an event, as client-go's EventCorrelator decides it (spec hpa 3.2): the same one again is counted on
 * the one there is; from ten different messages of one (object, type, reason) within 600 s on they share one combined
 * event; and each (object, type) has 25 events, then one every 300 s. All it remembers is bounded. Pure: time comes in.
 */
#pragma once

#include "core/base.h"

#define HPA_EVENT_RECORDS_MAX  4096 /* of each kind; the one unused longest goes */
#define HPA_EVENT_MESSAGES_MAX 10   /* different messages before they are combined */
#define HPA_EVENT_SIMILAR_US   (UINT64_C(600) * 1000000)
#define HPA_EVENT_BURST        25
#define HPA_EVENT_REFILL_US    (UINT64_C(300) * 1000000)
#define HPA_EVENT_MESSAGE_MAX  1024
#define HPA_EVENT_NAME_MAX     253
#define HPA_EVENT_COMBINED     "(combined from similar events): "

struct hpa_correlator;

/* Borrowed. */
struct hpa_event_facts {
	const char *namespace_, *name, *uid; /* of the object */
	const char *type, *reason, *message;
};

struct hpa_event_verdict {
	bool filtered;                           /* not to be written */
	bool combined;                           /* the message is to be prefixed with HPA_EVENT_COMBINED */
	uint32_t count;                          /* 1: a new Event; more: the Event of this name is to be patched */
	int64_t first_ns;                        /* firstTimestamp, wall clock */
	char event_name[HPA_EVENT_NAME_MAX + 1]; /* "<object>.<hex unix nanoseconds>" */
};

int hpa_correlator_new(struct hpa_correlator **ret) _must_check_; /* 0 or -ENOMEM */
void hpa_correlator_free(struct hpa_correlator *c);               /* NULL is fine */
/* now_us: monotonic; now_ns: wall clock. 0 or -ENOMEM. */
int hpa_correlator_judge(struct hpa_correlator *c, const struct hpa_event_facts *facts, uint64_t now_us, int64_t now_ns,
	struct hpa_event_verdict *ret) _must_check_;
