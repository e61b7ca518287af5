/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the API server serves: its version, and the versions of each API group, newest first by Kubernetes' own order
 * (v2 > v1 > v2beta2 > v2beta1 > v1alpha1).
 */
#pragma once

#include "kube/client.h"

struct kube_discovery; /* immutable, reference-counted */

/* Asks /version and /apis. Exactly one callback (d NULL: failed, text says why). d is borrowed; take a reference to
 * keep it. */
int kube_discover(struct kube_client *client, void (*fn)(struct kube_discovery *d, const char *text, void *arg),
	void *arg, struct kube_call **ret) _must_check_;
struct kube_discovery *kube_discovery_ref(struct kube_discovery *d);
void kube_discovery_unref(struct kube_discovery *d);
/* From the two replies (tests). */
int kube_discovery_parse(json_t *version, json_t *groups, struct kube_discovery **ret, struct km_err *err) _must_check_;

/* The legacy group "" is not part of /apis: it is taken to be served as v1. */
int kube_discovery_minor(const struct kube_discovery *d);               /* 20 for v1.20.2 */
const char *kube_discovery_git_version(const struct kube_discovery *d); /* "v1.20.2" */
bool kube_discovery_serves(const struct kube_discovery *d, const char *group, const char *version);
/* The newest served version of a group, or NULL when the group is not served. Borrowed. */
const char *kube_discovery_newest(const struct kube_discovery *d, const char *group);
/* The version of a group that the server prefers; NULL: the group is not served. Borrowed. */
const char *kube_discovery_preferred(const struct kube_discovery *d, const char *group);
/* <0, 0, >0: order of two version names, newest first is greater. */
int kube_version_compare(const char *a, const char *b);
