/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one cached view of the cluster: nodes, pods, and the authentication ConfigMap, each watched once for the whole
 * process, whoever needs it. Nodes are kept sorted by name, pods by (namespace, name), bytewise, so that lists need no
 * sorting and a slice of a list can resume at a name.
 */
#pragma once

#include "core/loop.h"
#include "kube/client.h"
#include "kube/record.h"
#include "kube/reflector.h"

struct kube_cluster;

/* What kube-system/extension-apiserver-authentication says; immutable, reference-counted (spec metrics-api 5b). */
struct kube_auth_config {
	unsigned refs;
	bool present;           /* false: no such ConfigMap, or it could not be read */
	char *client_ca;        /* PEM or NULL */
	char *requestheader_ca; /* PEM or NULL */
	/* NULL-terminated arrays, never NULL */
	char **allowed_names, **username_headers, **group_headers, **extra_prefixes, **uid_headers;
};
struct kube_auth_config *kube_auth_config_ref(struct kube_auth_config *c);
void kube_auth_config_unref(struct kube_auth_config *c);
/*
 * From the ConfigMap object (NULL: an absent one). Unreadable JSON in a key: that list is empty and err says so, still
 * 0. As an empty list of allowed names means "any", requestheader_ca is then NULL as well: no front proxy is believed
 * on a list that could not be read.
 */
int kube_auth_config_decode(json_t *configmap, struct kube_auth_config **ret, struct km_err *err) _must_check_;

/* Any member may be NULL. Records are borrowed during the call; before is gone afterwards. The caches already show the
 * new state. */
struct kube_listener {
	/* before or now may be NULL */
	void (*node)(const struct kube_node *before, const struct kube_node *now, void *arg);
	void (*pod)(const struct kube_pod *before, const struct kube_pod *now, void *arg);
	void (*auth)(struct kube_auth_config *now, void *arg);
	void (*problem)(const char *resource, const char *text, void *arg); /* text NULL: in order again */
	void *arg;
};

/* Does not start watching. */
int kube_cluster_new(struct kube_client *client, struct kube_cluster **ret, struct km_err *err) _must_check_;
/* Before the start. Copied. At most 8: -ENOSPC. */
int kube_cluster_listen(struct kube_cluster *c, const struct kube_listener *listener) _must_check_;
int kube_cluster_start(struct kube_cluster *c, struct km_err *err) _must_check_;
/* The same with other back-off limits (tests); 0: the reflector's. */
int kube_cluster_start_with(
	struct kube_cluster *c, uint64_t backoff_min_us, uint64_t backoff_max_us, struct km_err *err) _must_check_;
void kube_cluster_free(struct kube_cluster *c); /* before its client; not from inside a listener. NULL is fine */

struct km_interner *kube_cluster_interner(struct kube_cluster *c);
struct kube_label_pool *kube_cluster_label_pool(struct kube_cluster *c);
struct kube_client *kube_cluster_client(struct kube_cluster *c);
bool kube_cluster_nodes_synced(const struct kube_cluster *c);
bool kube_cluster_pods_synced(const struct kube_cluster *c);

/* Sorted arrays, borrowed; valid until the loop's next turn. */
const struct kube_node *const *kube_cluster_nodes(const struct kube_cluster *c, size_t *ret_n);
/* Namespaces that have pods, sorted (interned names). */
const char *const *kube_cluster_namespaces(const struct kube_cluster *c, size_t *ret_n);
/* Pods of a namespace, sorted by name; NULL and 0 for an unknown one. */
const struct kube_pod *const *kube_cluster_pods(const struct kube_cluster *c, const char *namespace_, size_t *ret_n);
const struct kube_node *kube_cluster_node(const struct kube_cluster *c, const char *name);
const struct kube_pod *kube_cluster_pod(const struct kube_cluster *c, const char *namespace_, const char *name);
size_t kube_cluster_pod_count(const struct kube_cluster *c);
/* Borrowed; never NULL (present=false before the first answer). */
struct kube_auth_config *kube_cluster_auth(const struct kube_cluster *c);
