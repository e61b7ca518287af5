/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract every module fulfils. A static registry (cmd/run.c) lists them in order; a module whose INI section is
 * absent or has `enabled = no` is not started at all. The four feature modules know core, net, kube and what stands
 * here, never one another.
 */
#pragma once

#include <jansson.h>

#include "core/config.h"
#include "core/err.h"
#include "core/loop.h"
#include "kube/cluster.h"

#include "identity.h"
#include "scrape_lane.h"
#include "usage_source.h"

struct keeper_paths; /* certmanager/keeper.h */

/* What the daemon lends its modules; everything borrowed, living longer than they do. */
struct km_context {
	struct km_loop *loop;
	const struct km_config *config; /* the one in force; changes at reload, before ->reload is called */
	struct kube_client *client;
	struct kube_cluster *cluster;
	struct km_identity_hub *identities;
	const char *state_dir;        /* "/var/lib/kmetricsd" */
	const char *node_name;        /* this host's node name */
	const char *const *addresses; /* this host's addresses (serving certificate) */
	size_t n_addresses;
	const struct keeper_paths *keeper_paths; /* where this host's certificates are */
	STACK_OF(X509) *cluster_roots; /* what verifies the API server (and, by custom, kubelets); NULL: not known */
	bool kubeconfig_given;         /* the INI names a kubeconfig: no API client certificate of our own is needed */
	const struct km_usage_source *usage; /* the aggregator's samples; NULL: it is off */
	const struct km_scrape_lane *lane;   /* its faster scrapes; NULL: it is off */
	/* What --controllers of a kube-controller-manager on this host says of its HPA controller: as enum hpa_in_tree.
	 */
	int (*in_tree_hpa)(void);
	bool stopping; /* SIGTERM has been seen */
};

/* One counter or gauge of a module's state struct; declared once, shown by `kmetricsd status` and documented from here.
 */
struct km_counter {
	const char *name; /* snake_case with unit: "scrapes_total" */
	const char *help;
	size_t offset; /* of a uint64_t in what ->counters_base returns */
};

/* What a module says of itself for STATUS=, `kmetricsd status` and the health end points. */
struct km_health {
	bool ok;
	char text[200]; /* one line: "12 nodes, 340 pods, last scrape 3 s ago" */
};

struct km_module {
	const char *name;    /* the INI section's too */
	const char *summary; /* one line */
	const struct km_section *section;
	const struct km_counter *counters;
	size_t n_counters;

	/* All optional, called in this order. self is the module's own, made by init. */
	int (*init)(struct km_context *ctx, void **ret_self,
		struct km_err *err);                  /* before the loop runs; may block a little; no network */
	int (*start)(void *self, struct km_err *err); /* listen, subscribe, arm timers */
	/* A new configuration. prepare does all that can fail, without effect; commit cannot fail. discard undoes a
	 * prepare whose sibling failed. */
	int (*reload_prepare)(void *self, const struct km_config *config, struct km_err *err);
	void (*reload_commit)(void *self);
	void (*reload_discard)(void *self);
	void (*stop)(void *self, km_loop_fn stopped, void *arg); /* drain; calls stopped when done (may be at once) */
	void (*fini)(void *self);
	void (*health)(void *self, struct km_health *ret);
	json_t *(*status)(void *self); /* details for `kmetricsd status -o json`; new reference */
	/* Answers a question of the control socket (op, and the whole request); NULL: it is none for this module. New
	 * reference. */
	json_t *(*ask)(void *self, const char *op, json_t *request);
	const void *(*counters_base)(void *self);
};
