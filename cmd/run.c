/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kmetricsd run: the daemon, as a readable list of ordered steps (DESIGN 5): read the INI, find the cluster, make sure
 * that our own files exist, listen, say READY, and run until told to stop. What each step made is undone in finish(),
 * in reverse.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "aggregator/aggregator.h"
#include "certmanager/certmanager.h"
#include "cli.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "daemon.h"
#include "hpa/hpa.h"
#include "hpa/presence.h"
#include "notify.h"
#include "sections.h"
#include "setup.h"
#include "wiring/in_tree.h"

/* when the first lists have been read, and now and then */
#define FIRST_TRIM_US (25 * KM_USEC_PER_SEC)
#define TRIM_US       (600 * KM_USEC_PER_SEC)

#define MESSAGE_ID_STARTED "0f6e2d1c9b8a4756a3f2e1d0c9b8a796"
#define MESSAGE_ID_STOPPED "3b7a9c5d1e2f40618273a4b5c6d7e8f9"

/* In the order in which they start; certmanager first, because the others need the certificates it publishes. */
static const struct km_module *const registry[] = {&certmanager_module, &agg_module, &hpa_module};

static const char help[] =
	"Usage: kmetricsd run [--config FILE]\n\n"
	"The daemon: makes the certificates it needs, scrapes the kubelets, serves metrics.k8s.io, scales. "
	"Runs in the foreground; normally started by\n"
	"kmetricsd.service. SIGHUP reloads the INI, SIGTERM and SIGINT stop it.\n\n"
	"Examples:\n"
	"  kmetricsd run\n"
	"  kmetricsd run --config ./kmetricsd.ini\n";

static void on_stopped(void *arg)
{
	struct daemon *d = arg;

	if (--d->stopping_left == 0)
		km_loop_stop(d->loop);
}

/* The first signal drains; a second one does not wait. */
static void on_stop_signal(void *arg)
{
	struct daemon *d = arg;

	if (d->context.stopping) {
		km_loop_stop(d->loop);
		return;
	}
	d->context.stopping = true;
	notify_stopping();
	km_log(LOG_NOTICE, NULL, "stopping");
	d->stopping_left = 1;
	for (size_t i = 0; i < d->n_modules; i++) {
		struct module_state *m = &d->modules[i];

		if (!m->self || !m->module->stop)
			continue;
		d->stopping_left++;
		m->module->stop(m->self, on_stopped, d);
	}
	on_stopped(d);
}

/* A thousand kubelets and as many clients need descriptors; the unit sets LimitNOFILE, a start by hand gets what it may
 * have. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* The sandbox leaves us the command lines of other processes, no more. */
static int in_tree_hpa(void)
{
	switch (wiring_in_tree_hpa("/proc")) {
	case WIRING_IN_TREE_ON:
		return HPA_IN_TREE_ON;
	case WIRING_IN_TREE_OFF:
		return HPA_IN_TREE_OFF;
	case WIRING_IN_TREE_NOT_HERE:
		break;
	}
	return HPA_IN_TREE_NOT_HERE;
}

static int find_host(struct daemon *d, struct km_err *err)
{
	const struct daemon_options *o = km_config_section(d->config, &daemon_section);
	int r = setup_host(d->config, false, &d->host, err);

	if (r < 0)
		return r;
	if (d->host->apiserver)
		km_log(LOG_INFO, NULL, "kube-apiserver runs on this host (pid %d), reached at %s",
			(int)wiring_flags_pid(d->host->apiserver), d->host->server);
	d->keeper_paths = setup_keeper_paths(d->config, d->host);
	d->first_config = km_config_ref(d->config);
	if ((r = km_mkdir_p(o->state_dir, 0700, err)) < 0)
		return r;
	d->context = (struct km_context){
		.loop = d->loop,
		.config = d->config,
		.identities = &d->identities,
		.state_dir =
			((const struct daemon_options *)km_config_section(d->first_config, &daemon_section))->state_dir,
		.node_name = d->host->node_name,
		.addresses = (const char *const *)d->host->addresses,
		.n_addresses = d->host->n_addresses,
		.keeper_paths = &d->keeper_paths,
		.in_tree_hpa = in_tree_hpa,
		.kubeconfig_given =
			*((const struct kubernetes_options *)km_config_section(d->config, &kubernetes_section))
				 ->kubeconfig != '\0',
	};
	return 0;
}

static int init_module(struct daemon *d, const struct km_module *module, struct km_err *err)
{
	struct module_state *m = &d->modules[d->n_modules++];
	int r = 0;

	m->module = module;
	if (!km_config_enabled(d->config, module->section)) {
		km_log(LOG_INFO, NULL, "[%s] is off", module->name);
		return 0;
	}
	if (module->init && (r = module->init(&d->context, &m->self, err)) < 0)
		km_err_prefix(err, "%s", module->name);
	return r;
}

/* The HPA controller computes from the aggregator's samples, in process. */
static void join_usage(struct daemon *d)
{
	const struct module_state *m = &d->modules[d->n_modules - 1];

	if (m->module != &agg_module || !m->self)
		return;
	d->usage = agg_module_usage(m->self);
	d->context.usage = &d->usage;
	d->lane = agg_module_lane(m->self);
	d->context.lane = &d->lane;
}

static int join_cluster(struct daemon *d, struct km_err *err)
{
	int r;

	if ((r = daemon_access(d, &d->access, err)) < 0 ||
		(r = kube_client_new(d->loop, d->access, "kmetricsd/" KM_VERSION, &d->client, err)) < 0 ||
		(r = kube_cluster_new(d->client, &d->cluster, err)) < 0 || (r = daemon_watch_access(d, err)) < 0)
		return r;
	/* A kubeconfig's certificate is what kubelets see too, as with metrics-server. */
	if (d->context.kubeconfig_given && d->access->identity && !d->identities.current[KM_ROLE_API_CLIENT])
		km_identity_publish(&d->identities, KM_ROLE_API_CLIENT, d->access->identity);
	d->context.client = d->client;
	d->context.cluster = d->cluster;
	d->context.cluster_roots = d->access->roots;
	return 0;
}

static int start_modules(struct daemon *d, struct km_err *err)
{
	for (size_t i = 0; i < d->n_modules; i++) {
		struct module_state *m = &d->modules[i];
		int r;

		if (!m->self)
			continue;
		if (m->module->start && (r = m->module->start(m->self, err)) < 0) {
			km_err_prefix(err, "%s", m->module->name);
			return r;
		}
		m->started = true;
	}
	return 0;
}

/* Lists from the API server, handshakes and large replies leave holes behind that glibc would keep: a sixth of what a
 * daemon at 1,000 nodes has. A few milliseconds. */
static void trim_heap(void *arg)
{
	struct daemon *d = arg;

	malloc_trim(0);
	km_timer_set(d->trim, TRIM_US);
}

static int begin_trimming(struct daemon *d, struct km_err *err)
{
	int r = km_timer_new(d->loop, trim_heap, d, &d->trim);

	if (r < 0)
		return km_fail(err, r, "out of memory");
	km_timer_set(d->trim, FIRST_TRIM_US);
	return 0;
}

static int handle_signals(struct daemon *d, struct km_err *err)
{
	int r;

	if ((r = km_loop_on_signal(d->loop, SIGHUP, daemon_reload, d, err)) < 0 ||
		(r = km_loop_on_signal(d->loop, SIGTERM, on_stop_signal, d, err)) < 0)
		return r;
	return km_loop_on_signal(d->loop, SIGINT, on_stop_signal, d, err);
}

static int serve(struct daemon *d, struct km_err *err)
{
	int r;

	raise_descriptor_limit();
	if ((r = km_loop_new(&d->loop, err)) < 0 || (r = find_host(d, err)) < 0 ||
		(r = init_module(d, registry[0], err)) < 0 || (r = join_cluster(d, err)) < 0)
		return r;
	for (size_t i = 1; i < KM_ARRAY_LEN(registry); i++) {
		if ((r = init_module(d, registry[i], err)) < 0)
			return r;
		join_usage(d);
	}
	if ((r = handle_signals(d, err)) < 0 || (r = start_modules(d, err)) < 0 ||
		(r = kube_cluster_start(d->cluster, err)) < 0 || (r = daemon_report(d, err)) < 0 ||
		(r = notify_watchdog(d->loop, &d->watchdog, err)) < 0 || (r = begin_trimming(d, err)) < 0)
		return r;
	notify_ready();
	km_log(LOG_NOTICE, &(const struct km_log_fields){.message_id = MESSAGE_ID_STARTED},
		"kmetricsd " KM_VERSION " is ready");
	r = km_loop_run(d->loop);
	return r < 0 ? km_fail(err, r, "the event loop ended: %s", strerror(-r)) : 0;
}

static void finish(struct daemon *d)
{
	km_timer_free(d->trim);
	km_timer_free(d->watchdog);
	km_timer_free(d->report);
	km_timer_free(d->access_check);
	km_control_free(d->control);
	for (size_t i = d->n_modules; i-- > 0;) {
		struct module_state *m = &d->modules[i];

		if (m->self && m->module->fini)
			m->module->fini(m->self);
	}
	kube_cluster_free(d->cluster);
	kube_client_free(d->client);
	kube_access_free(d->access);
	km_identity_hub_clear(&d->identities);
	if (d->loop)
		km_loop_free(d->loop);
	wiring_host_free(d->host);
	km_config_unref(d->first_config);
	km_config_unref(d->config);
}

int verb_run(int argc, char **argv)
{
	struct daemon d = {.started_wall_ns = km_wall_ns()};
	struct km_err err = {0};
	struct cli cli;
	int r, code = cli_parse(argc, argv, 0, help, &cli);

	if (code >= 0)
		return code;
	if (cli.n_words > 0) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	if ((code = cli_load_config(&cli, &d.config)) != EXIT_FINE)
		return code;
	d.config_path = cli.config_path;
	km_log_open("kmetricsd", log_level_of(km_config_section(d.config, &daemon_section)));
	r = serve(&d, &err);
	if (r < 0)
		km_log(LOG_ERR, NULL, "%s", err.text);
	else
		km_log(LOG_NOTICE, &(const struct km_log_fields){.message_id = MESSAGE_ID_STOPPED}, "stopped");
	finish(&d);
	return r < 0 ? EXIT_UNREACHED : EXIT_FINE;
}
