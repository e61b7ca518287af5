/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leader election on a coordination.k8s.io Lease, as client-go does it (spec hpa 1.3): whoever holds the Lease renews
 * it every 2 s; others take it when its record has not changed for the lease duration. Times are only ever compared
 * with the local clock (CLOCK_BOOTTIME), never with what another host wrote.
 *
 * What must hold: kube_lease_valid() is true on one host at a time. The holder counts from the moment its renewal was
 * started, 10 s; the others from the moment they saw it, at least 15 s.
 */
#pragma once

#include "core/clock.h"
#include "kube/client.h"

#define KUBE_LEASE_DURATION_US       (15 * KM_USEC_PER_SEC)
#define KUBE_LEASE_RENEW_DEADLINE_US (10 * KM_USEC_PER_SEC)
#define KUBE_LEASE_RETRY_US          (2 * KM_USEC_PER_SEC) /* between renewals; 1 to 2.2 times that to acquire */
#define KUBE_LEASE_IDENTITY_MAX      300                   /* "host_uuid" */

struct kube_lease;

/* Everything is copied except the client. */
struct kube_lease_config {
	struct kube_client *client; /* outlives the lease */
	const char *version;        /* of coordination.k8s.io: "v1", "v1beta1", or NULL: not served */
	const char *namespace_, *name;
	const char *host;  /* the identity is HOST_uuid with a uuid of its own for each run */
	uint64_t retry_us; /* 0: KUBE_LEASE_RETRY_US; tests take less */
	/*
	 * All three may stop or free the lease; none is called from inside kube_lease_start, _stop or _free.
	 * lost: somebody else holds it, or it could not be renewed for 10 s; text says which. It goes on trying.
	 */
	void (*gained)(void *arg);
	void (*lost)(const char *text, void *arg);
	/* A try failed for another reason than before; "" when they work again. NULL: not told. */
	void (*trouble)(const char *text, void *arg);
	void *arg;
};

/* 0; -EOPNOTSUPP: the server has no Leases (Kubernetes before 1.12), said in err; -EINVAL: a name that is none or too
 * long; -ENOMEM. */
int kube_lease_new(const struct kube_lease_config *config, struct kube_lease **ret, struct km_err *err) _must_check_;
/* Tries from the next loop turn on. Again after kube_lease_stop's done. */
void kube_lease_start(struct kube_lease *lease);
/*
 * Stops trying and gives the Lease back (holderIdentity emptied) if it is ours, so that another instance can take it at
 * once; then done(arg), at the latest after some seconds, never from inside. lost() is not called for it, and
 * kube_lease_valid() is false from here on.
 */
void kube_lease_stop(struct kube_lease *lease, km_loop_fn done, void *arg);
/* Without giving it back and without callbacks. Calls under way end. NULL is fine; allowed in callbacks. */
void kube_lease_free(struct kube_lease *lease);

/* Whether we may write at this moment: the renewal that covers it was started less than 10 s ago. NULL: false. */
bool kube_lease_valid(const struct kube_lease *lease);
const char *kube_lease_identity(const struct kube_lease *lease);
/* Who holds it as far as was seen last; "" for nobody or not seen yet. Borrowed until the next loop turn. */
const char *kube_lease_holder(const struct kube_lease *lease);
/* The trouble told last; "" for none. */
const char *kube_lease_trouble(const struct kube_lease *lease);
