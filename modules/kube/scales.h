/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scales of Deployments, ReplicaSets, StatefulSets and ReplicationControllers as their own watches tell them: what
 * a GET of the scale subresource would say, without asking. The first question about a kind starts its watch; until
 * that has listed, and for every other kind, there is no answer here, and the API server is asked.
 */
#pragma once

#include "kube/client.h"

#define KUBE_SCALES_MAX 100000 /* objects of a kind; more are left out */

/* Valid until the loop's next turn. */
struct kube_scale_record {
	int32_t replicas, status_replicas;
	const char *selector; /* as the server writes it into a Scale: "app=web,tier in (a,b)" */
	const char *resource_version, *uid, *created;
	const char *owner_kind, *owner_name; /* the controller's ownerReference; "" where there is none */
	uint64_t version;                    /* resource_version as a number; 0: it is none */
};

struct kube_scales;

/* 0 or -ENOMEM. The client is borrowed and outlives it. */
int kube_scales_new(struct kube_client *client, struct kube_scales **ret) _must_check_;
void kube_scales_free(struct kube_scales *s); /* NULL is fine; not from inside a callback of the client */
/* NULL: ask the API server. group, plural: as in the resource's path ("apps", "deployments"). */
const struct kube_scale_record *kube_scales_find(
	struct kube_scales *s, const char *group, const char *plural, const char *namespace_, const char *name);

/* What an object of such a kind says; NULL (malloc'ed otherwise, in one piece) when it cannot be used as a scale. Pure.
 */
struct kube_scale_record *kube_scale_record_of(json_t *object) _must_check_;
