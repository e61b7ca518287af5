/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cert-manager module in the daemon: at start it has the host's files and our own pairs made or adopted and
 * publishes ours; an hourly look renews ours at two thirds of their life, on the worker thread. The keys of CAs are the
 * keeper's; this side only asks.
 */
#define KM_LOG_MODULE "cert-manager"
#include "certmanager/certmanager.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "certmanager/issue.h"
#include "certmanager/own.h"
#include "core/clock.h"
#include "core/log.h"

#define LOOK_US           (3600 * KM_USEC_PER_SEC)
#define KEEPER_TIMEOUT_US (30 * KM_USEC_PER_SEC)

#define MESSAGE_ID_CERT_CREATED "7e1f0c2d3b4a59687f8e9dacbb0c1d2e"

static const struct km_opt rows[] = {
	{.key = "ssl-dir",
		.type = KM_OPT_PATH,
		.offset = offsetof(struct certmanager_options, ssl_dir),
		.dflt = KM_PREFIX "/ssl",
		.flags = KM_OPT_NO_RELOAD,
		.doc = "where the cluster's certificates are; only files in here are ever created"},
	{.key = "keeper-socket",
		.type = KM_OPT_PATH,
		.offset = offsetof(struct certmanager_options, keeper_socket),
		.dflt = "/run/kmetricsd/keeper.sock",
		.flags = KM_OPT_NO_RELOAD,
		.doc = "where the keeper of the CA keys answers; when nobody does, the daemon acts itself as far as "
		       "its user may"},
	{.key = "front-proxy-client-cn",
		.type = KM_OPT_STRING,
		.offset = offsetof(struct certmanager_options, front_proxy_client_cn),
		.flags = KM_OPT_NO_RELOAD,
		.doc = "CN of a new front-proxy client certificate; empty: the first of kube-apiserver's "
		       "--requestheader-allowed-names, else front-proxy-client"},
	{.key = "serving-addresses",
		.type = KM_OPT_LIST,
		.offset = offsetof(struct certmanager_options, serving_addresses),
		.flags = KM_OPT_NO_RELOAD,
		.doc = "IP addresses in our serving certificate; empty: all of this host's"},
	{.key = "cluster-ca-cert",
		.type = KM_OPT_PATH,
		.offset = offsetof(struct certmanager_options, cluster_ca_cert),
		.flags = KM_OPT_NO_RELOAD,
		.doc = "the cluster CA; empty: kube-apiserver's --client-ca-file, else ca.pem in ssl-dir"},
	{.key = "cluster-ca-key",
		.type = KM_OPT_PATH,
		.offset = offsetof(struct certmanager_options, cluster_ca_key),
		.flags = KM_OPT_NO_RELOAD,
		.doc = "its key, read by the keeper only; empty: beside the certificate (NAME-key.pem, NAME.key)"},
};

static void check(const void *conf, struct km_diag *diag)
{
	const struct certmanager_options *o = conf;
	unsigned char scratch[sizeof(struct in6_addr)];

	if (!*o->ssl_dir)
		km_diag_key(diag, "ssl-dir", "ssl-dir must not be empty");
	for (size_t i = 0; i < o->serving_addresses.n; i++)
		if (inet_pton(AF_INET, o->serving_addresses.items[i], scratch) != 1 &&
			inet_pton(AF_INET6, o->serving_addresses.items[i], scratch) != 1)
			km_diag_key(diag, "serving-addresses", "\"%s\" is not an IP address",
				o->serving_addresses.items[i]);
}

const struct km_section certmanager_section = {
	.name = "cert-manager",
	.doc = "Certificates: the front proxy's and our own.",
	.size = sizeof(struct certmanager_options),
	.opts = rows,
	.n_opts = KM_ARRAY_LEN(rows),
	.check = check,
};

struct counters {
	uint64_t created_total, adopted_total, failures_total, renewals_total;
};

static const struct km_counter counter_rows[] = {
	{"certificates_created_total", "certificates made", offsetof(struct counters, created_total)},
	{"certificates_adopted_total", "certificates found and taken as they are",
		offsetof(struct counters, adopted_total)},
	{"certificate_failures_total", "certificates that could be neither made nor used",
		offsetof(struct counters, failures_total)},
	{"certificate_renewals_total", "renewals of our own certificates while running",
		offsetof(struct counters, renewals_total)},
};

struct renewal; /* one look on the worker thread */

struct certmanager {
	uint32_t magic;
	struct km_context *ctx;
	struct own_config own;
	struct km_timer *look;
	struct renewal *renewal; /* under way, or NULL */
	bool look_again;         /* as soon as that one has ended */
	struct counters counters;
	char problem[KM_ERR_TEXT_MAX];         /* "" while all is well */
	char told[KM_ROLE_N][KM_ERR_TEXT_MAX]; /* why the last renewal failed, as logged */
};

#define CERTMANAGER_MAGIC 0x6b6d6365u

struct renewal {
	struct certmanager *owner; /* NULL: the module is gone */
	struct own_config own;
	bool no_client; /* the INI's kubeconfig is used instead */
	struct {
		struct km_identity *id;
		bool created;
		int error;
		struct km_err err;
	} role[KM_ROLE_N];
};

static const char *role_name(enum km_identity_role role)
{
	return role == KM_ROLE_SERVING ? "serving" : "api-client";
}

static enum keeper_leaf_role leaf_of(enum km_identity_role role)
{
	return role == KM_ROLE_SERVING ? KEEPER_LEAF_SERVING : KEEPER_LEAF_API_CLIENT;
}

static void report(const char *role, const char *path, enum keeper_outcome outcome, const char *text, void *arg)
{
	struct certmanager *m = arg;

	switch (outcome) {
	case KEEPER_CREATED:
		m->counters.created_total++;
		km_log(LOG_NOTICE,
			&(const struct km_log_fields){.module = KM_LOG_MODULE, .message_id = MESSAGE_ID_CERT_CREATED},
			"made %s: %s", role, path);
		break;
	case KEEPER_ADOPTED:
		m->counters.adopted_total++;
		km_log_m(*text ? LOG_WARNING : LOG_INFO, "%s: using %s as it is%s%s", role, path, *text ? "; " : "",
			text);
		break;
	case KEEPER_MISSING:
	case KEEPER_FAILED:
		m->counters.failures_total++;
		km_log_m(LOG_ERR, "%s: %s", role, text);
		break;
	}
}

/* Logs and publishes what became of one of our own pairs. */
static void settle(struct certmanager *m, enum km_identity_role role, struct km_identity *id, bool created)
{
	char until[CERT_TIME_TEXT_MAX];

	cert_time_text(km_x509_not_after(sk_X509_value(id->chain, 0)), until);
	if (created) {
		m->counters.created_total++;
		km_log(LOG_NOTICE,
			&(const struct km_log_fields){.module = KM_LOG_MODULE, .message_id = MESSAGE_ID_CERT_CREATED},
			"made our own %s certificate, valid until %s, SHA-256 %s", role_name(role), until,
			id->fingerprint);
	} else {
		m->counters.adopted_total++;
		km_log_m(LOG_INFO, "%s certificate valid until %s", role_name(role), until);
	}
	km_identity_publish(m->ctx->identities, role, id);
}

/* Once for each reason, not every hour. */
static void tell_renewal(struct certmanager *m, enum km_identity_role role, const char *text)
{
	snprintf(m->problem, sizeof(m->problem), "%s", text);
	if (strcmp(m->told[role], text) == 0)
		return;
	snprintf(m->told[role], sizeof(m->told[role]), "%s", text);
	km_log_m(LOG_ERR, "renewing the %s certificate: %s", role_name(role), text);
}

static void look(void *arg);

static int init(struct km_context *ctx, void **ret_self, struct km_err *err)
{
	const struct certmanager_options *o = km_config_section(ctx->config, &certmanager_section);
	struct certmanager *m = calloc(1, sizeof(*m));

	if (!m)
		return km_fail(err, -ENOMEM, "out of memory");
	m->magic = CERTMANAGER_MAGIC;
	m->ctx = ctx;
	m->own = (struct own_config){
		.state_dir = ctx->state_dir,
		.keeper_socket = o->keeper_socket,
		.paths = ctx->keeper_paths,
		.node = ctx->node_name,
		.ips = o->serving_addresses.n > 0 ? o->serving_addresses.items : ctx->addresses,
		.n_ips = o->serving_addresses.n > 0 ? o->serving_addresses.n : ctx->n_addresses,
		.deadline_us = KEEPER_TIMEOUT_US,
	};
	/* the host's first address is the one that API servers dial */
	m->own.n_ips_needed = o->serving_addresses.n > 0 ? m->own.n_ips : KM_MIN(m->own.n_ips, (size_t)1);
	if (own_ensure_host(&m->own, report, m, err) < 0)
		snprintf(m->problem, sizeof(m->problem), "%s",
			err->text); /* reported; whether we can live without shows in what follows */
	for (enum km_identity_role role = 0; role < KM_ROLE_N; role++) {
		struct km_identity *id = NULL;
		struct km_err one = {0};
		bool created;
		int r;

		if (role == KM_ROLE_API_CLIENT && ctx->kubeconfig_given)
			continue;
		r = own_ensure_pair(&m->own, leaf_of(role), &id, &created, NULL, &one);
		if (r != 0) {
			m->counters.failures_total++;
			if (r < 0)
				km_log_m(LOG_ERR, "no %s certificate of our own: %s", role_name(role), one.text);
			snprintf(m->problem, sizeof(m->problem), "%s", one.text);
		}
		if (r < 0)
			continue;
		if (r > 0)
			tell_renewal(m, role, one.text);
		settle(m, role, id, created);
		km_identity_unref(id);
	}
	*ret_self = m;
	return 0;
}

static int start(void *self, struct km_err *err)
{
	struct certmanager *m = KM_CAST(struct certmanager, self, CERTMANAGER_MAGIC);

	if (km_timer_new(m->ctx->loop, look, m, &m->look) < 0)
		return km_fail(err, -ENOMEM, "out of memory");
	km_timer_set(m->look, LOOK_US);
	return 0;
}

static void renew_work(void *arg)
{
	struct renewal *n = arg;

	for (enum km_identity_role role = 0; role < KM_ROLE_N; role++) {
		if (role == KM_ROLE_API_CLIENT && n->no_client)
			continue;
		n->role[role].error = own_ensure_pair(
			&n->own, leaf_of(role), &n->role[role].id, &n->role[role].created, NULL, &n->role[role].err);
	}
}

/* Somebody may also have put another pair there. */
static bool differs(const struct certmanager *m, enum km_identity_role role, const struct km_identity *id)
{
	const struct km_identity *current = m->ctx->identities->current[role];

	return !current || strcmp(current->fingerprint, id->fingerprint) != 0;
}

static void renew_done(void *arg)
{
	struct renewal *n = arg;
	struct certmanager *m = n->owner;

	if (m) {
		m->renewal = NULL;
		m->problem[0] = '\0';
		km_timer_set(m->look, m->look_again ? 0 : LOOK_US);
		m->look_again = false;
	}
	for (enum km_identity_role role = 0; role < KM_ROLE_N; role++) {
		if (m && n->role[role].error != 0) {
			m->counters.failures_total++;
			tell_renewal(m, role, n->role[role].err.text);
		} else if (m) {
			m->told[role][0] = '\0';
		}
		if (m && n->role[role].id && differs(m, role, n->role[role].id)) {
			m->counters.renewals_total++;
			settle(m, role, n->role[role].id, n->role[role].created);
		}
		km_identity_unref(n->role[role].id);
	}
	free(n);
}

static void look(void *arg)
{
	struct certmanager *m = KM_CAST(struct certmanager, arg, CERTMANAGER_MAGIC);
	struct renewal *n = calloc(1, sizeof(*n));

	if (n) {
		n->owner = m;
		n->no_client = m->ctx->kubeconfig_given;
		n->own = m->own; /* borrows what lives as long as the process's context */
		if (km_loop_work(m->ctx->loop, renew_work, renew_done, n) == 0) {
			m->renewal = n;
			return;
		}
		free(n);
	}
	km_timer_set(m->look, LOOK_US);
}

static int reload_prepare(void *self, const struct km_config *config, struct km_err *err)
{
	return 0; /* the section's options count at the next start */
}

/* Files may have been put there or taken away: looked at now, not within the hour. */
static void reload_commit(void *self)
{
	struct certmanager *m = KM_CAST(struct certmanager, self, CERTMANAGER_MAGIC);

	if (m->renewal)
		m->look_again = true;
	else
		km_timer_set(m->look, 0);
}

static void fini(void *self)
{
	struct certmanager *m = KM_CAST(struct certmanager, self, CERTMANAGER_MAGIC);

	if (m->renewal)
		m->renewal->owner = NULL; /* freed by renew_done */
	km_timer_free(m->look);
	m->magic = 0;
	free(m);
}

static void health(void *self, struct km_health *ret)
{
	struct certmanager *m = KM_CAST(struct certmanager, self, CERTMANAGER_MAGIC);

	ret->ok = m->problem[0] == '\0';
	snprintf(ret->text, sizeof(ret->text), "%.190s", m->problem);
}

static const void *counters_base(void *self)
{
	return &KM_CAST(struct certmanager, self, CERTMANAGER_MAGIC)->counters;
}

const struct km_module certmanager_module = {
	.name = "cert-manager",
	.summary = "makes the front-proxy and our own certificates",
	.section = &certmanager_section,
	.counters = counter_rows,
	.n_counters = KM_ARRAY_LEN(counter_rows),
	.init = init,
	.start = start,
	.reload_prepare = reload_prepare,
	.reload_commit = reload_commit,
	.fini = fini,
	.health = health,
	.counters_base = counters_base,
};
