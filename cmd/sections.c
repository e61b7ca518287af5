/* SPDX-License-Identifier: Apache-2.0 */
#include "sections.h"

#include <string.h>
#include <syslog.h>

#include "aggregator/options.h"
#include "certmanager/certmanager.h"
#include "hpa/options.h"

static const char *const log_levels[] = {"err", "warning", "notice", "info", "debug", NULL};
static const char *const bootstraps[] = {"auto", "off", NULL};

static const struct km_opt daemon_rows[] = {
	{.key = "state-dir",
		.type = KM_OPT_PATH,
		.offset = offsetof(struct daemon_options, state_dir),
		.dflt = "/var/lib/kmetricsd",
		.flags = KM_OPT_NO_RELOAD,
		.doc = "where the daemon keeps its own keys, kubeconfig and kubelet pins"},
	{.key = "control-socket",
		.type = KM_OPT_PATH,
		.offset = offsetof(struct daemon_options, control_socket),
		.dflt = "/run/kmetricsd/control.sock",
		.flags = KM_OPT_NO_RELOAD,
		.doc = "where kmetricsd status finds the daemon"},
	{.key = "log-level",
		.type = KM_OPT_ENUM,
		.offset = offsetof(struct daemon_options, log_level),
		.dflt = "info",
		.choices = log_levels,
		.doc = "least important messages that are logged"},
};

const struct km_section daemon_section = {
	.name = "daemon",
	.doc = "The process itself.",
	.size = sizeof(struct daemon_options),
	.opts = daemon_rows,
	.n_opts = KM_ARRAY_LEN(daemon_rows),
	.on_when_absent = true,
};

static const struct km_opt kubernetes_rows[] = {
	{.key = "kubeconfig",
		.type = KM_OPT_PATH,
		.offset = offsetof(struct kubernetes_options, kubeconfig),
		.flags = KM_OPT_NO_RELOAD,
		.doc = "how to reach the API server and as whom; empty: this host's kube-apiserver, with a certificate "
		       "of our own"},
	{.key = "context",
		.type = KM_OPT_STRING,
		.offset = offsetof(struct kubernetes_options, context),
		.flags = KM_OPT_NO_RELOAD,
		.doc = "context in the kubeconfig; empty: its current-context"},
	{.key = "server",
		.type = KM_OPT_STRING,
		.offset = offsetof(struct kubernetes_options, server),
		.flags = KM_OPT_NO_RELOAD,
		.doc = "API server as https://HOST:PORT; empty: from the flags of the kube-apiserver that runs here"},
	{.key = "node-name",
		.type = KM_OPT_STRING,
		.offset = offsetof(struct kubernetes_options, node_name),
		.flags = KM_OPT_NO_RELOAD,
		.doc = "name of this master; empty: the host name in lower case"},
	{.key = "advertise-address",
		.type = KM_OPT_STRING,
		.offset = offsetof(struct kubernetes_options, advertise_address),
		.flags = KM_OPT_NO_RELOAD,
		.doc = "address at which API servers reach this daemon; empty: kube-apiserver's, else that of the "
		       "default route"},
	{.key = "bootstrap",
		.type = KM_OPT_ENUM,
		.offset = offsetof(struct kubernetes_options, bootstrap),
		.dflt = "auto",
		.choices = bootstraps,
		.doc = "auto: wire apply --auto may use a five-minute administrator certificate signed by the cluster "
		       "CA"},
};

static void check_kubernetes(const void *conf, struct km_diag *diag)
{
	const struct kubernetes_options *o = conf;

	if (*o->server && strncmp(o->server, "https://", 8) != 0)
		km_diag_key(diag, "server", "server = %s: must be https://HOST:PORT", o->server);
	if (*o->context && !*o->kubeconfig)
		km_diag_key(diag, "context", "context needs kubeconfig");
	if (*o->server && *o->kubeconfig)
		km_diag_key(
			diag, "server", "server and kubeconfig exclude each other: the kubeconfig names the server");
}

const struct km_section kubernetes_section = {
	.name = "kubernetes",
	.doc = "The cluster: nothing needs to be set on a master whose kube-apiserver runs from /opt/kubernetes.",
	.size = sizeof(struct kubernetes_options),
	.opts = kubernetes_rows,
	.n_opts = KM_ARRAY_LEN(kubernetes_rows),
	.on_when_absent = true,
	.check = check_kubernetes,
};

const struct km_section *const all_sections[] = {
	&daemon_section,
	&kubernetes_section,
	&certmanager_section,
	&agg_section,
	&hpa_section,
	NULL,
};

int log_level_of(const struct daemon_options *options)
{
	static const int levels[] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG};

	return levels[options->log_level];
}
