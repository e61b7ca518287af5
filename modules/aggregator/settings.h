/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows from a configuration: the options, and what the files and texts they name hold. Made whole, so that a
 * reload prepares a new one, which may fail, and then swaps, which cannot.
 */
#pragma once

#include "aggregator/options.h"
#include "aggregator/trust.h"
#include "kube/selector.h"
#include "net/tls.h"

struct agg_settings {
	struct km_config *config;             /* one reference */
	const struct agg_options *options;    /* in config */
	struct kube_selector *node_selector;  /* owned; NULL: all */
	struct km_identity *serving, *client; /* from files, or NULL: the hub's */
	STACK_OF(X509) *kubelet_roots;        /* from a file, or NULL: the cluster's */
	struct agg_trust *trust;              /* with the ConfigMap as it was when the settings were made */
};

/* Reads and checks everything; cluster for its ConfigMap. */
int agg_settings_load(const struct kube_cluster *cluster, const struct km_config *config, struct agg_settings **ret,
	struct km_err *err) _must_check_;
void agg_settings_free(struct agg_settings *s); /* NULL is fine */
void agg_settings_freep(struct agg_settings **s);
