/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting objects in place: GET, compare, write only when something we own differs (deep merge of ours into what is
 * there; arrays are ours whole; a JSON null in ours removes the key), with the resourceVersion that was read; on
 * conflict read again. Never touches fields we do not name. Inside array elements, scalars that we do not name count as
 * the API server's defaults (targetPort, apiGroup) and make no difference.
 */
#pragma once

#include "kube/client.h"

enum kube_apply_outcome {
	KUBE_APPLY_UNCHANGED,
	KUBE_APPLY_CREATED,
	KUBE_APPLY_UPDATED,
	KUBE_APPLY_REFUSED,
	KUBE_APPLY_FAILED
};

struct kube_apply_step {
	json_t *object;       /* apiVersion, kind, metadata.name, metadata.namespace; borrowed during the run */
	const char *resource; /* plural: "services" */
	/* May look at what is there (NULL: absent) and refuse the write, with a text in err. NULL: no guard. */
	int (*guard)(json_t *live, void *arg, struct km_err *err);
};

struct kube_apply;
/*
 * Runs the steps in order; report after each (text: "" or why); a REFUSED or FAILED step stops the run. done(0 or
 * negative errno). Steps are borrowed until done. Nothing is called from inside kube_apply_start. Guards get arg as
 * well. Cancelling is allowed in report and done, and needed before the client is freed.
 */
int kube_apply_start(struct kube_client *client, const struct kube_apply_step *steps, size_t n,
	void (*report)(
		const struct kube_apply_step *step, enum kube_apply_outcome outcome, const char *text, void *arg),
	void (*done)(int error, void *arg), void *arg, struct kube_apply **ret) _must_check_;
void kube_apply_cancel(struct kube_apply *a); /* NULL is fine */

/* Pure: the merged object when it differs from live (caller owns), NULL in *ret_merged when nothing is to do. */
int kube_merge(json_t *live, json_t *ours, json_t **ret_merged) _must_check_;
/* The path of an object: "/api/v1/namespaces/kube-system/services/x"; collection: without the name. malloc'ed. */
char *kube_object_path(json_t *object, const char *resource, bool collection);
