/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon as one struct, shared by the few files that make it up: run.c (the ordered steps), reload.c (SIGHUP),
 * access.c (the API server), report.c (STATUS= and the control socket).
 */
#pragma once

#include "certmanager/keeper.h"
#include "kube/kubeconfig.h"
#include "module.h"
#include "net/control.h"
#include "wiring/host.h"

#define MODULES_MAX 4

struct module_state {
	const struct km_module *module;
	void *self; /* NULL: not in use */
	bool started, prepared;
};

struct daemon {
	const char *config_path;
	struct km_config *config;
	struct wiring_host *host;
	struct keeper_paths keeper_paths; /* borrows from config and host as they were at the start */
	struct km_config *first_config;   /* keeps what keeper_paths borrows */
	struct km_identity_hub identities;
	struct kube_access *access;
	struct kube_client *client;
	struct kube_cluster *cluster;
	struct km_loop *loop;
	struct km_control *control;
	struct km_timer *watchdog, *report, *access_check, *trim;
	struct km_usage_source usage;
	struct km_scrape_lane lane; /* the aggregator's, once it is there */
	struct km_context context;
	struct module_state modules[MODULES_MAX];
	size_t n_modules;
	size_t stopping_left;
	int64_t started_wall_ns;
};

/* reload.c: takes over the INI as it is now, or keeps the old one and says why. A km_loop_fn. */
void daemon_reload(void *daemon);

/* access.c */
/* Decides how the API server is reached (INI's kubeconfig, else this host's with our own certificate). */
int daemon_access(struct daemon *d, struct kube_access **ret, struct km_err *err) _must_check_;
/* From now on: takes over a changed certificate, and a kube-apiserver that was not running when we started. */
int daemon_watch_access(struct daemon *d, struct km_err *err) _must_check_;

/* report.c */
int daemon_report(struct daemon *d, struct km_err *err)
	_must_check_; /* starts the STATUS= ticks and the control socket */
