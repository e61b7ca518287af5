/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replica calculator for per-pod metrics: how many replicas bring the usage of the pods back to the target
 * (Kubernetes 1.36 replica_calculator.go; spec hpa 2.4-2.7). Pure: no I/O, no clock, no allocation; doubles are IEEE
 * and never contracted, integers wrap where upstream's do, so that results are equal bit for bit.
 */
#pragma once

#include "core/base.h"
#include "core/err.h"
#include "kube/record.h"

#define HPA_TIME_NONE INT64_MIN /* a time that is absent */

/* One container's request for the resource in question. */
struct hpa_container {
	const char *name;
	int64_t request_milli;
	bool has_request;
	uint8_t kind; /* enum kube_container_kind */
};

/* Which part a pod has in a calculation (spec 2.5). */
enum hpa_pod_group {
	HPA_GROUP_READY,
	HPA_GROUP_UNREADY,    /* assumed to use nothing when the step goes up */
	HPA_GROUP_MISSING,    /* no usage is known of it */
	HPA_GROUP_IGNORED,    /* being deleted, or ended */
	HPA_GROUP_FOREIGN,    /* belongs to another controller than the target (fixed only) */
	HPA_GROUP_UNREQUESTED /* has no request of the resource (fixed, utilization only) */
};
#define HPA_GROUPS 6

/* A pod as the calculator sees it. Times are nanoseconds since any fixed origin. Borrows its strings and containers. */
struct hpa_pod {
	const char *name;
	uint8_t phase; /* enum kube_pod_phase */
	bool deleting;
	bool foreign;           /* matches the target's selector, but belongs to another controller */
	int64_t started_ns;     /* status.startTime or HPA_TIME_NONE */
	uint8_t ready;          /* enum kube_tristate of the Ready condition; KUBE_ABSENT: no such condition */
	int64_t ready_since_ns; /* its lastTransitionTime */
	const struct hpa_container *containers; /* spec order: containers, then init containers */
	size_t n_containers;
	bool pod_level; /* spec.resources.requests names cpu, memory or hugepages-*: pod-level requests rule */
	bool has_pod_request;
	int64_t pod_request_milli; /* of this resource */
	bool has_overhead;
	int64_t overhead_milli; /* spec.overhead of this resource */

	/* The calculation's own notes; anything before, of no interest after. */
	uint8_t group;         /* enum hpa_pod_group */
	int64_t request_milli; /* -1: none (fixed), or not asked for */
	const struct hpa_pod_metric *metric;
};

struct hpa_pod_metric {
	const char *pod;
	int64_t value_milli; /* summed over the pod's containers, or that of the one container */
	int64_t time_ns, window_ns;
};

struct hpa_calc {
	struct hpa_pod *pods; /* those the target's selector returns, sorted by name, bytewise */
	size_t n_pods;
	const struct hpa_pod_metric *metrics; /* sorted by pod, each pod once; may name pods that are not in pods */
	size_t n_metrics;
	int32_t replicas; /* scale.spec.replicas */
	double tolerance_down, tolerance_up;
	int64_t now_ns, cpu_initialization_ns, readiness_delay_ns;
	const char *resource;  /* "cpu", "memory": for texts, and readiness counts for cpu only */
	const char *container; /* "": the whole pod */
	bool fixed;            /* compat = fixed: without upstream's defects that hurt; else bit for bit as upstream */
};

/* How a proposal came about, for whoever asks why. */
struct hpa_working {
	double ratio;        /* of the usage to its target */
	double damped_ratio; /* with assumptions about pods without a usable sample */
	bool damped;         /* the second one decides */
	bool tolerated;      /* near enough to the target */
	bool waits;          /* for a step down, until a long window says the same; that one asks for: */
	int32_t full_replicas;
	uint32_t groups[HPA_GROUPS]; /* pods in each */
};

struct hpa_proposal {
	int32_t replicas;
	int32_t utilization; /* percent of the requests; average: 0 */
	int64_t value_milli; /* average per pod, for the status */
	struct hpa_working working;
};

/*
 * Utilization (GetResourceReplicas, spec 2.6) against target_percent of the requests, and average value
 * (GetRawResourceReplicas, spec 2.7) against target_milli a pod. 0, or -ENODATA with upstream's own text in err: no
 * pods, no usable metrics, a missing request (the first in byte order of the pods' names; fixed: only when no pod has
 * one, otherwise those without do not count). A proposal may be any int32_t: limits are rate.h's. The pods' notes say
 * what became of each.
 */
int hpa_calc_utilization(
	const struct hpa_calc *in, int32_t target_percent, struct hpa_proposal *ret, struct km_err *err) _must_check_;
int hpa_calc_average(const struct hpa_calc *in, int64_t target_milli, struct hpa_proposal *ret, struct km_err *err)
	_must_check_;
/* Whether a usage of this many times its target is near enough for no step. */
bool hpa_calc_is_within(const struct hpa_calc *in, double ratio);
/* A proposal that goes against the way the usage points is none: the replicas stay. */
int32_t hpa_calc_guarded(const struct hpa_calc *in, double ratio, int32_t replicas);
