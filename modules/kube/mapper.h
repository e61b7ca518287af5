/* SPDX-License-Identifier: Apache-2.0 */
/*
 * REST mappings: from an apiVersion and a kind to the resource behind them, as discovery tells (/apis, /apis/G/V,
 * /api/v1). Only the group of the apiVersion counts; the kind is the discovery kind or that in lower case (spec hpa
 * 4.1). Groups are read when first asked for and remembered; a miss reads them again, at most every 30 s.
 */
#pragma once

#include "core/clock.h"
#include "kube/client.h"

#define KUBE_MAPPER_FRESH_US    (30 * KM_USEC_PER_SEC)  /* younger documents are believed when they lack a kind */
#define KUBE_MAPPER_FAILED_US   (5 * KM_USEC_PER_SEC)   /* after a failure nothing is asked for so long */
#define KUBE_MAPPER_AGE_MAX_US  (600 * KM_USEC_PER_SEC) /* older documents are read again even when they have it */
#define KUBE_MAPPER_GROUPS_MAX  128                     /* remembered; beyond it the one unused longest goes */
#define KUBE_MAPPER_LOOKUPS_MAX 4096                    /* under way */

/* One served version of the kind. */
struct kube_mapping_version {
	const char *version; /* "v1" */
	const char *plural;  /* "deployments" */
	bool namespaced;
	/* Of the scale subresource: what its objects are ("autoscaling", "v1", "Scale"); scale_kind NULL: it has none.
	 */
	const char *scale_group, *scale_version, *scale_kind;
};

/* One allocation. */
struct kube_mapping {
	const char *group;                      /* "apps"; "" for the core group */
	const char *kind;                       /* as discovery has it */
	size_t n;                               /* at least 1 */
	struct kube_mapping_version versions[]; /* the group's preferred version first, then in the server's order */
};

/* One version a mapping (upstream's RESTMappings). */
static inline size_t kube_mapping_count(const struct kube_mapping *mapping)
{
	return mapping->n;
}
void kube_mapping_free(struct kube_mapping *mapping); /* NULL is fine */

struct kube_mapper;
struct kube_mapper_call;

/* 0 or -ENOMEM. The client outlives the mapper. */
int kube_mapper_new(struct kube_client *client, struct kube_mapper **ret) _must_check_;
/* Look-ups under way end without callbacks. Not from inside one. NULL is fine. */
void kube_mapper_free(struct kube_mapper *mapper);

/*
 * fn is called once, never from inside: with a mapping, which is the receiver's to free, or with NULL and error and
 * text: -EINVAL (`unexpected GroupVersion string: a/b/c`), -ENOENT (`no matches for kind "Deployment" in group
 * "extensions"`), or why discovery could not be read. 0, -ENOMEM, or -EAGAIN: too many look-ups under way.
 */
int kube_mapper_find(struct kube_mapper *mapper, const char *api_version, const char *kind,
	void (*fn)(struct kube_mapping *mapping, int error, const char *text, void *arg), void *arg,
	struct kube_mapper_call **ret) _must_check_;
void kube_mapper_cancel(struct kube_mapper_call *call); /* without fn; NULL is fine; allowed in callbacks */
