/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scale subresource of one target, for one round: read it, write it back with another replica count (spec hpa 4.2).
 * Whatever Scale the server has is understood: autoscaling/v1, extensions/v1beta1, apps/v1beta1, apps/v1beta2. Which of
 * a group's mappings is tried makes no difference: upstream's scale client goes to the preferred version each time.
 */
#pragma once

#include "hpa/reconcile.h"
#include "kube/mapper.h"
#include "kube/scales.h"

#define HPA_SCALE_BODY_MAX (256 * 1024) /* a larger Scale is refused */

struct hpa_scale_client;

/* 0 or -ENOMEM. The client is borrowed; the rest is only during the call. */
int hpa_scale_client_new(struct kube_client *client, const struct kube_mapping *mapping, const char *namespace_,
	const char *name, struct hpa_scale_client **ret) _must_check_;
/* Ends what is under way without callbacks; allowed in them. NULL is fine. */
void hpa_scale_client_free(struct hpa_scale_client *scale);

/*
 * One at a time. fn is called once and never from inside: scale, valid during the call, or failure. What was read stays
 * with the client for hpa_scale_put; a failed GET leaves what was read before. 0, -ENOMEM, -EAGAIN (too many calls
 * under way).
 */
int hpa_scale_get(struct hpa_scale_client *scale,
	void (*fn)(const struct hpa_scale *scale, const struct hpa_failure *failure, void *arg), void *arg)
	_must_check_;
/* Instead of a GET: what a watch has told counts as read, and stands in *ret until the next read. 0 or -ENOMEM. */
int hpa_scale_know(struct hpa_scale_client *scale, const struct kube_scale_record *record, const char *namespace_,
	const char *name, struct hpa_scale *ret) _must_check_;
/* Writes what was read with this count; resource_version NULL: that of what was read. failure NULL: fine. -EINVAL:
 * nothing was read. */
int hpa_scale_put(struct hpa_scale_client *scale, int32_t replicas, const char *resource_version,
	void (*fn)(const struct hpa_failure *failure, void *arg), void *arg) _must_check_;

/* The numbers of a Scale object; selector is malloc'ed by the callee into *ret_selector when it had to be put together
 * from a map (then ret->selector points to it). -EINVAL with what is wrong in err. Pure. */
int hpa_scale_decode(json_t *object, struct hpa_scale *ret, char **ret_selector, struct km_err *err) _must_check_;
