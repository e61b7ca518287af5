/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who we are, for whoever serves or dials: certmanager publishes a key pair here when it was made or has changed; the
 * aggregator (serving, kubelet client) and the API client take it from here. Header-only: a tiny board with
 * subscribers.
 */
#pragma once

#include "core/base.h"
#include "net/tls.h"

enum km_identity_role { KM_ROLE_SERVING, KM_ROLE_API_CLIENT, KM_ROLE_N };

#define KM_IDENTITY_SUBSCRIBERS_MAX 8

struct km_identity_hub {
	struct km_identity *current[KM_ROLE_N]; /* one reference each, or NULL */
	struct {
		void (*fn)(enum km_identity_role role, struct km_identity *id, void *arg);
		void *arg;
	} subscribers[KM_IDENTITY_SUBSCRIBERS_MAX];
	size_t n_subscribers;
};

/* Later changes are told by fn(role, id borrowed); what is there now is in ->current. */
static inline void km_identity_subscribe(struct km_identity_hub *hub,
	void (*fn)(enum km_identity_role role, struct km_identity *id, void *arg), void *arg)
{
	assert(hub->n_subscribers < KM_IDENTITY_SUBSCRIBERS_MAX);
	hub->subscribers[hub->n_subscribers].fn = fn;
	hub->subscribers[hub->n_subscribers++].arg = arg;
}

/* Takes its own reference. */
static inline void km_identity_publish(struct km_identity_hub *hub, enum km_identity_role role, struct km_identity *id)
{
	struct km_identity *old = hub->current[role];

	hub->current[role] = km_identity_ref(id);
	km_identity_unref(old);
	for (size_t i = 0; i < hub->n_subscribers; i++)
		hub->subscribers[i].fn(role, id, hub->subscribers[i].arg);
}

static inline void km_identity_hub_clear(struct km_identity_hub *hub)
{
	for (size_t i = 0; i < KM_ROLE_N; i++) {
		km_identity_unref(hub->current[i]);
		hub->current[i] = NULL;
	}
	hub->n_subscribers = 0;
}
