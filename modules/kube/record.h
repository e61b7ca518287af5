/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compact records of what is watched: all that the modules need of a node or a pod, never the DOM. A record is
 * immutable and one allocation; strings are interned unless said otherwise. Decoding is pure (JSON object in, record
 * out).
 */
#pragma once

#include <jansson.h>

#include "core/err.h"
#include "core/intern.h"
#include "kube/labels.h"

#define KUBE_POD_CONTAINERS_MAX 256 /* more in one pod: the record keeps the first ones and says so in ->truncated */
#define KUBE_NODE_ADDRESSES_MAX 16

enum kube_tristate { KUBE_ABSENT = 0, KUBE_TRUE, KUBE_FALSE, KUBE_UNKNOWN };

struct kube_condition {
	uint8_t status;  /* enum kube_tristate */
	int64_t since_s; /* lastTransitionTime, seconds since 1970; INT64_MIN if absent */
};

enum kube_pod_phase { KUBE_PHASE_NONE, KUBE_PENDING, KUBE_RUNNING, KUBE_SUCCEEDED, KUBE_FAILED, KUBE_PHASE_UNKNOWN };
const char *kube_pod_phase_text(uint8_t phase); /* "Running"; "" for none */
enum kube_container_kind { KUBE_CONTAINER, KUBE_INIT, KUBE_SIDECAR /* init container with restartPolicy Always */ };
enum kube_container_state { KUBE_STATE_NONE, KUBE_WAITING, KUBE_STATE_RUNNING, KUBE_TERMINATED };

struct kube_container {
	const char *name;
	int64_t cpu_request_milli;    /* -1: no request; millicores, rounded up as MilliValue */
	int64_t memory_request_milli; /* -1: no request; thousandths of a byte */
	int64_t cpu_limit_milli, memory_limit_milli;
	int64_t started_s; /* state.running.startedAt, INT64_MIN if absent */
	uint8_t kind, state;
	bool ready;
};

struct kube_pod {
	const char *namespace_, *name;
	const char *node;                    /* spec.nodeName, NULL while unscheduled */
	struct kube_labels *labels;          /* one reference */
	const char *owner_kind, *owner_name; /* the controller's ownerReference; NULL: none */
	const char *uid, *owner_uid;         /* not interned: in this allocation; "" if absent */
	int64_t created_s, started_s /* status.startTime */, deleted_s /* deletionTimestamp */; /* INT64_MIN: absent */
	uint8_t phase;
	bool truncated;
	struct kube_condition ready, initialized, containers_ready, scheduled;
	int64_t cpu_overhead_milli, memory_overhead_milli;       /* spec.overhead, 0 if absent */
	int64_t cpu_pod_request_milli, memory_pod_request_milli; /* spec.resources.requests (pod level), -1: none */
	uint16_t n_containers;
	struct kube_container containers[]; /* spec order: containers, then init containers */
};

struct kube_node_address {
	const char *type;    /* "InternalIP", ... */
	const char *address; /* interned */
};

struct kube_node {
	const char *name;
	struct kube_labels *labels;
	const char *uid; /* in this allocation */
	struct kube_condition ready;
	bool unschedulable;
	uint16_t kubelet_port; /* status.daemonEndpoints.kubeletEndpoint.Port, 0 if absent */
	int64_t cpu_allocatable_milli, memory_allocatable_bytes, cpu_capacity_milli,
		memory_capacity_bytes; /* -1: absent */
	const char *kubelet_version;   /* status.nodeInfo.kubeletVersion, or NULL */
	const char *metrics_path;      /* annotation metrics.k8s.io/resource-metrics-path, or NULL */
	uint16_t n_addresses;
	struct kube_node_address addresses[KUBE_NODE_ADDRESSES_MAX];
};

/* From one object of a list or watch. -EINVAL when it lacks what makes it one (metadata.name; a pod's namespace), with
 * the place in err. resourceVersion is the reflector's. */
int kube_pod_decode(json_t *object, struct km_interner *in, struct kube_label_pool *pool, struct kube_pod **ret,
	struct km_err *err) _must_check_;
int kube_node_decode(json_t *object, struct km_interner *in, struct kube_label_pool *pool, struct kube_node **ret,
	struct km_err *err) _must_check_;
void kube_pod_free(struct kube_pod *pod, struct km_interner *in, struct kube_label_pool *pool);
void kube_node_free(struct kube_node *node, struct km_interner *in, struct kube_label_pool *pool);
