/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects that must exist around us (spec certs-and-wiring 4, 5, 9.1): RBAC, Service, Endpoints and EndpointSlice,
 * APIService. Pure: values in, JSON objects out, in the order in which they are applied (RBAC -> Service ->
 * Endpoints/EndpointSlice -> APIService last).
 */
#pragma once

#include <jansson.h>

#include "core/base.h"
#include "core/buf.h"
#include "core/err.h"
#include "kube/apply.h"
#include "kube/discovery.h"

struct wiring_plan {
	const char *node;            /* this master */
	const char *address;         /* where the API server reaches us; IPv4 or IPv6, not loopback */
	uint16_t port;               /* secure-port */
	const char *ca_pem;          /* the serving CA(s) for caBundle */
	const char *apiregistration; /* "v1" or "v1beta1" */
	const char *discovery; /* "v1", "v1beta1", or NULL: no EndpointSlices written (mirroring does it, or too old) */
	bool omit_service_port;   /* Kubernetes < 1.15 */
	bool hpa;                 /* the HPA module is on: it needs its role, its Lease and its canary */
	const char *coordination; /* "v1", "v1beta1", or NULL: no Leases there (Kubernetes < 1.12) */
};

/* Chooses the versions from what is served (NULL: the newest, for printing without a cluster). */
void wiring_plan_versions(struct wiring_plan *plan, const struct kube_discovery *d);

/* Steps for kube_apply_start, in order, with the guard that refuses another owner's APIService (W13) and one that is
 * being deleted (W12). Owned by the set. */
struct wiring_objects {
	struct kube_apply_step *steps;
	size_t n;
};
int wiring_objects_make(const struct wiring_plan *plan, struct wiring_objects **ret, struct km_err *err) _must_check_;
void wiring_objects_free(struct wiring_objects *o);
/* All of them as YAML documents for `kubectl apply -f -`. */
int wiring_objects_print(const struct wiring_objects *o, struct km_buf *out) _must_check_;
