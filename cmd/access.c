/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the daemon reaches the API server, at the start and when that changes.
 */
#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "daemon.h"
#include "sections.h"
#include "setup.h"

#define CHECK_US (5 * KM_USEC_PER_SEC)

int daemon_access(struct daemon *d, struct kube_access **ret, struct km_err *err)
{
	const struct kubernetes_options *o = km_config_section(d->config, &kubernetes_section);

	if (*o->kubeconfig)
		return kube_access_load(o->kubeconfig, *o->context ? o->context : NULL, ret, err);
	if (!d->identities.current[KM_ROLE_API_CLIENT])
		return km_fail(err, -ENOENT,
			"no way to the API server: there is no certificate of our own (the cluster CA's key is not on "
			"this host, or [cert-manager] is off). Set kubeconfig in [kubernetes]");
	return setup_access(d->host, d->identities.current[KM_ROLE_API_CLIENT], ret, err);
}

/* Takes the way that daemon_access finds now into use. */
static void renew(struct daemon *d, const char *why)
{
	struct kube_access *access = NULL;
	struct km_err err = {0};

	if (daemon_access(d, &access, &err) < 0 || kube_client_set_access(d->client, access, &err) < 0) {
		km_log(LOG_ERR, NULL, "%s, but it cannot be used: %s", why, err.text);
		kube_access_free(access);
		return;
	}
	km_log(LOG_NOTICE, NULL, "%s: now using %s", why, access->server);
	kube_access_free(d->access);
	d->access = access;
	d->context.cluster_roots = access->roots;
}

static void on_identity(enum km_identity_role role, struct km_identity *id, void *arg)
{
	(void)id;
	if (role == KM_ROLE_API_CLIENT)
		renew(arg, "the API client certificate has changed");
}

/* While the caches have not synced: the kube-apiserver of this host may have been started after us, at an address that
 * only its flags tell. */
static void check_host(void *arg)
{
	struct daemon *d = arg;
	struct wiring_host *host = NULL;
	struct km_err err = {0};

	if (kube_cluster_nodes_synced(d->cluster))
		return;
	km_timer_set(d->access_check, CHECK_US);
	if (setup_host(d->config, false, &host, &err) < 0)
		return;
	if (strcmp(host->server, d->host->server) != 0) {
		char *server = d->host->server;

		d->host->server = KM_TAKE(host->server);
		free(server);
		renew(d, "kube-apiserver now runs on this host");
	}
	wiring_host_free(host);
}

int daemon_watch_access(struct daemon *d, struct km_err *err)
{
	const struct kubernetes_options *o = km_config_section(d->config, &kubernetes_section);

	if (*o->kubeconfig)
		return 0;
	km_identity_subscribe(&d->identities, on_identity, d);
	if (km_timer_new(d->loop, check_host, d, &d->access_check) < 0)
		return km_fail(err, -ENOMEM, "out of memory");
	km_timer_set(d->access_check, CHECK_US);
	return 0;
}
