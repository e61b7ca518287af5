/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HPAs of the cluster and when each is reconciled: at once when it is new or its spec has changed or a new sample
 * of one of its pods has landed (at most once a second for that), otherwise a sync period after its last time, never
 * twice at the same time, and only so many side by side. What a round needs from the world stands in world.c.
 */
#pragma once

#include "core/buf.h"
#include "hpa/events.h"
#include "hpa/metrics_client.h"
#include "hpa/options.h"
#include "hpa/spec.h"
#include "kube/mapper.h"
#include "kube/reflector.h"
#include "kube/scales.h"
#include "module.h"

#define HPA_CONTROLLER_MAX  20000 /* HPAs; more are left out and counted */
#define HPA_ROUNDS_MAX      32    /* reconciles under way side by side: each waits for the API server */
#define HPA_OBJECT_TEXT_MAX 600   /* "namespace/name" */

struct hpa_controller;

struct hpa_controller_config {
	struct km_context *ctx;
	enum hpa_api_version version;
	struct kube_mapper *mapper;         /* borrowed */
	struct hpa_events *events;          /* borrowed */
	struct hpa_metrics_client *metrics; /* borrowed */
	struct kube_scales *scales;         /* borrowed; NULL: each scale is asked for */
	const struct hpa_options *options;  /* borrowed until replaced by hpa_controller_configure */
	/* Whether we may write at this moment; asked in the loop turn of each write (DESIGN 5). */
	bool (*may_write)(void *arg);
	void *arg;
};

/* 0 or -ENOMEM */
int hpa_controller_new(const struct hpa_controller_config *config, struct hpa_controller **ret) _must_check_;
void hpa_controller_free(struct hpa_controller *c); /* before what it borrows; NULL is fine */
void hpa_controller_configure(struct hpa_controller *c, const struct hpa_options *options);
/* From the watch; object is borrowed. -EINVAL: not an HPA (no name or namespace); -ENOSPC: too many; -ENOMEM. A spec
 * that cannot be read is logged, and the HPA rests until it changes. */
int hpa_controller_object(struct hpa_controller *c, enum kube_event event, json_t *object, struct km_err *err)
	_must_check_;
/* A list begins and ends: what was not told in between is gone. */
void hpa_controller_list(struct hpa_controller *c, bool begins);
/* All HPAs are due, one after the other within a second: we have come to scale, and start where the status says. */
void hpa_controller_wake(struct hpa_controller *c);

/*
 * What is remembered of all HPAs, as documents of at most part_max bytes (memory_saved.h), each of some HPAs; at least
 * one. *ret_parts and what is in it are the caller's. 0 or -ENOMEM.
 */
int hpa_controller_save(const struct hpa_controller *c, size_t part_max, struct km_buf **ret_parts, size_t *ret_n)
	_must_check_;
/*
 * hpas (borrowed; may be NULL: nothing) is what was remembered of HPAs, by "namespace/name". Each HPA that is not there
 * yet takes its own when it comes. replace: those that are there take theirs in place of what they remember, and where
 * there is none they forget the steps that were made in the shadow, which are none.
 */
void hpa_controller_recall(struct hpa_controller *c, json_t *hpas, bool replace);

struct hpa_controller_counters {
	uint64_t hpas, rounds_total, errors_total, scaled_total, status_writes_total, events_total, left_out_total,
		scale_gets_total;
};
void hpa_controller_counters(const struct hpa_controller *c, struct hpa_controller_counters *ret);
/* One object an HPA, for `kmetricsd status -o json`. New reference. */
json_t *hpa_controller_status(const struct hpa_controller *c);
/* How long it took from a sample's landing until a round began, and until the scale was written, in milliseconds
 * (delays.h). New reference. */
json_t *hpa_controller_delays(const struct hpa_controller *c);
/* Why the HPA "namespace/name" is scaled as it is: its last round, and what comes next (docs/hpa.md has the members).
 * NULL: there is no such HPA. New reference. */
json_t *hpa_controller_explain(const struct hpa_controller *c, const char *key);
/* The same of every HPA, without metrics, for comparing with what the in-tree controller does. New reference. */
json_t *hpa_controller_explain_all(const struct hpa_controller *c);
