/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the daemon reaches the API server, at the start and when that changes.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "certmanager/issue.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "daemon.h"
#include "sections.h"
#include "setup.h"

#define CHECK_US        (5 * KM_USEC_PER_SEC)
#define PEM_FILE_MAX    (1024 * 1024)
#define KUBECONFIG_FILE "kubeconfig"

/* The kubeconfig in the state dir, for whoever wants to look at the cluster with the daemon's eyes (kubectl
 * --kubeconfig). Read, made and written on the worker thread. */
struct kubeconfig_job {
	char *server, *ca_path, *user;
	char cert_path[PATH_MAX], key_path[PATH_MAX], path[PATH_MAX];
	int error;
	struct km_err err;
};

static int write_kubeconfig(struct kubeconfig_job *j)
{
	_cleanup_free_ char *ca = NULL, *cert = NULL;
	char *key = NULL, *text = NULL, *old = NULL;
	size_t len, old_len = 0;
	int r;

	if ((r = km_file_read(j->ca_path, PEM_FILE_MAX, &ca, &len, &j->err)) == 0 &&
		(r = km_file_read(j->cert_path, PEM_FILE_MAX, &cert, &len, &j->err)) == 0 &&
		(r = km_file_read(j->key_path, PEM_FILE_MAX, &key, &len, &j->err)) == 0 &&
		(r = kube_access_write_kubeconfig(j->server, ca, cert, key, j->user, &text, &j->err)) == 0 &&
		(km_file_read(j->path, PEM_FILE_MAX, &old, &old_len, NULL) < 0 || strcmp(old, text) != 0))
		r = km_file_write_atomic(j->path, text, strlen(text), 0600, (uid_t)-1, (gid_t)-1, &j->err);
	cert_wipe(key);
	cert_wipe(text);
	cert_wipe(old);
	return r;
}

static void kubeconfig_work(void *arg)
{
	struct kubeconfig_job *j = arg;

	j->error = write_kubeconfig(j);
}

static void kubeconfig_done(void *arg)
{
	struct kubeconfig_job *j = arg;

	if (j->error < 0)
		km_log(LOG_WARNING, NULL, "the kubeconfig in state-dir could not be written: %s", j->err.text);
	free(j->server);
	free(j->ca_path);
	free(j->user);
	free(j);
}

static void save_kubeconfig(struct daemon *d)
{
	struct kubeconfig_job *j = calloc(1, sizeof(*j));

	if (!j)
		return;
	j->server = strdup(d->host->server);
	j->ca_path = strdup(d->host->cluster_ca_cert);
	if (asprintf(&j->user, "kmetricsd:%s", d->host->node_name) < 0)
		j->user = NULL;
	snprintf(j->cert_path, sizeof(j->cert_path), "%s/kmetricsd.pem", d->context.state_dir);
	snprintf(j->key_path, sizeof(j->key_path), "%s/kmetricsd-key.pem", d->context.state_dir);
	snprintf(j->path, sizeof(j->path), "%s/" KUBECONFIG_FILE, d->context.state_dir);
	if (!j->server || !j->ca_path || !j->user || km_loop_work(d->loop, kubeconfig_work, kubeconfig_done, j) < 0) {
		j->error = km_fail(&j->err, -ENOMEM, "out of memory");
		kubeconfig_done(j);
	}
}

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
	save_kubeconfig(d);
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
	save_kubeconfig(d);
	km_identity_subscribe(&d->identities, on_identity, d);
	if (km_timer_new(d->loop, check_host, d, &d->access_check) < 0)
		return km_fail(err, -ENOMEM, "out of memory");
	km_timer_set(d->access_check, CHECK_US);
	return 0;
}
