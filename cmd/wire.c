/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kmetricsd wire apply|print: the objects that must exist around the daemon. The one place that mints an administrator
 * certificate (five minutes, in memory), which is why it is a verb of its own and not the daemon's business.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "aggregator/options.h"
#include "cli.h"
#include "core/file.h"
#include "core/log.h"
#include "core/loop.h"
#include "hpa/options.h"
#include "sections.h"
#include "setup.h"
#include "wiring/objects.h"

static const char help[] = "Usage: kmetricsd wire apply [--auto | --kubeconfig FILE] [--config FILE]\n"
			   "       kmetricsd wire print [--config FILE]\n\n"
			   "  apply    puts RBAC, Service, Endpoints (EndpointSlice) and the APIService with its "
			   "caBundle there; what is right already is left alone\n"
			   "  print    the same as YAML\n\n"
			   "  --auto             as an administrator for five minutes, by a certificate signed in "
			   "memory with the cluster CA's key on this host\n"
			   "  --kubeconfig FILE  as the user of this kubeconfig\n\n"
			   "An APIService that belongs to somebody else is never touched.\n\n"
			   "Examples:\n"
			   "  kmetricsd wire apply --auto\n"
			   "  kmetricsd wire print | kubectl apply -f -\n";

struct wire {
	struct km_loop *loop;
	struct kube_client *client;
	struct kube_call *discovery_call;
	struct kube_apply *apply;
	struct wiring_plan plan;
	struct wiring_objects *objects;
	int code;
};

static void finish(struct wire *w, int code)
{
	w->code = code;
	km_loop_stop(w->loop);
}

static void say(int level, const char *text)
{
	km_log(level, NULL, "%s", text);
}

static void on_step(const struct kube_apply_step *step, enum kube_apply_outcome outcome, const char *text, void *arg)
{
	static const char *const words[] = {"unchanged", "created", "updated", "refused", "FAILED"};
	json_t *metadata = json_object_get(step->object, "metadata");

	(void)arg;
	km_log(outcome >= KUBE_APPLY_REFUSED ? LOG_ERR : LOG_INFO, NULL, "%-9s %s %s%s%s", words[outcome],
		json_string_value(json_object_get(step->object, "kind")),
		json_string_value(json_object_get(metadata, "name")), *text ? ": " : "", text);
}

static void on_applied(int error, void *arg)
{
	struct wire *w = arg;

	w->apply = NULL;
	finish(w, error == 0 ? EXIT_FINE : error == -EEXIST || error == -EBUSY ? EXIT_ATTENTION : EXIT_UNREACHED);
}

static void on_discovered(struct kube_discovery *d, const char *text, void *arg)
{
	struct wire *w = arg;
	struct km_err err = {0};

	w->discovery_call = NULL;
	if (!d) {
		say(LOG_ERR, text);
		finish(w, EXIT_UNREACHED);
		return;
	}
	wiring_plan_versions(&w->plan, d);
	if (wiring_objects_make(&w->plan, &w->objects, &err) < 0) {
		say(LOG_ERR, err.text);
		finish(w, EXIT_USAGE);
	} else if (kube_apply_start(w->client, w->objects->steps, w->objects->n, on_step, on_applied, w, &w->apply) <
		   0) {
		say(LOG_ERR, "out of memory");
		finish(w, EXIT_UNREACHED);
	}
}

/* Runs a loop with a client until finish(): first what the API server serves is asked for, then step goes on. */
static int with_client(struct wire *w, const struct kube_access *access,
	void (*step)(struct kube_discovery *, const char *, void *), struct km_err *err)
{
	int r;

	if ((r = km_loop_new(&w->loop, err)) < 0)
		return r;
	if ((r = kube_client_new(w->loop, access, "kmetricsd/" KM_VERSION " wire", &w->client, err)) == 0 &&
		(r = kube_discover(w->client, step, w, &w->discovery_call)) == 0)
		r = km_loop_run(w->loop);
	kube_apply_cancel(w->apply);
	kube_call_cancel(w->discovery_call);
	kube_client_free(w->client);
	km_loop_free(w->loop);
	return r;
}

/* Who writes: the kubeconfig of the command line, else of the INI, else (--auto) an administrator for five minutes. */
static int find_access(const struct cli *cli, const struct km_config *config, const struct wiring_host *host,
	struct kube_access **ret, struct km_err *err)
{
	const struct kubernetes_options *kubernetes = km_config_section(config, &kubernetes_section);
	_cleanup_(km_identity_unrefp) struct km_identity *admin = NULL;
	struct keeper_paths paths;
	int r;

	if (cli->kubeconfig)
		return kube_access_load(cli->kubeconfig, NULL, ret, err);
	if (*kubernetes->kubeconfig)
		return kube_access_load(
			kubernetes->kubeconfig, *kubernetes->context ? kubernetes->context : NULL, ret, err);
	if (!cli->apply_auto)
		return km_fail(err, -EINVAL,
			"as whom? Give --auto (signs with the cluster CA's key on this host) or --kubeconfig FILE");
	paths = setup_keeper_paths(config, host);
	if ((r = keeper_mint_admin(&paths, &admin, err)) < 0)
		return r;
	say(LOG_NOTICE, "signed a five-minute administrator certificate (CN kmetricsd-bootstrap), kept in memory only");
	return setup_access(host, admin, ret, err);
}

static void on_versions(struct kube_discovery *d, const char *text, void *arg)
{
	struct wire *w = arg;

	w->discovery_call = NULL;
	if (d)
		wiring_plan_versions(&w->plan, d);
	else
		say(LOG_WARNING, text);
	finish(w, d ? EXIT_FINE : EXIT_UNREACHED);
}

/* What the API server serves decides which objects there are; asked as whoever we may be. Without an answer: the newest
 * Kubernetes. */
static void ask_versions(
	struct wire *w, const struct cli *cli, const struct km_config *config, const struct wiring_host *host)
{
	const struct daemon_options *daemon = km_config_section(config, &daemon_section);
	const struct kubernetes_options *kubernetes = km_config_section(config, &kubernetes_section);
	_cleanup_(km_identity_unrefp) struct km_identity *own = NULL;
	_cleanup_(kube_access_freep) struct kube_access *access = NULL;
	char cert[PATH_MAX], key[PATH_MAX];
	struct km_err err = {0};
	int r;

	w->code = EXIT_UNREACHED;
	wiring_plan_versions(&w->plan, NULL);
	snprintf(cert, sizeof(cert), "%s/kmetricsd.pem", daemon->state_dir);
	snprintf(key, sizeof(key), "%s/kmetricsd-key.pem", daemon->state_dir);
	if (cli->kubeconfig || *kubernetes->kubeconfig)
		r = find_access(cli, config, host, &access, &err);
	else if ((r = km_identity_load(cert, key, &own, &err)) == 0)
		r = setup_access(host, own, &access, &err);
	if (r == 0)
		r = with_client(w, access, on_versions, &err);
	if (r < 0 || w->code != EXIT_FINE)
		km_log(LOG_WARNING, NULL,
			"the API server could not be asked for its version%s%s: printed for Kubernetes 1.34 and newer",
			*err.text ? ": " : "", err.text);
}

static int print(struct wire *w, struct km_err *err)
{
	_cleanup_buf_ struct km_buf text = KM_BUF_INIT(1024 * 1024);
	int r = wiring_objects_make(&w->plan, &w->objects, err);

	if (r < 0)
		return r;
	r = wiring_objects_print(w->objects, &text);
	wiring_objects_free(w->objects);
	if (r < 0)
		return km_fail(err, r, "printing: %s", strerror(-r));
	if (fwrite(text.data, 1, text.len, stdout) != text.len || fflush(stdout) != 0)
		return km_fail(err, -EIO, "standard output: %s", strerror(errno));
	return 0;
}

int verb_wire(int argc, char **argv)
{
	_cleanup_(km_config_unrefp) struct km_config *config = NULL;
	_cleanup_(wiring_host_freep) struct wiring_host *host = NULL;
	_cleanup_(kube_access_freep) struct kube_access *access = NULL;
	_cleanup_free_ char *ca_pem = NULL;
	const struct kubernetes_options *kubernetes;
	const struct agg_options *aggregator;
	struct wire w = {.code = EXIT_FINE};
	struct km_err err = {0};
	struct cli cli;
	size_t ca_len;
	bool applies;
	int code = cli_parse(argc, argv, CLI_AUTO | CLI_KUBECONFIG, help, &cli);

	if (code >= 0)
		return code;
	applies = cli.n_words == 1 && strcmp(cli.words[0], "apply") == 0;
	if (!applies && (cli.n_words != 1 || strcmp(cli.words[0], "print") != 0)) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	if ((code = cli_load_config(&cli, &config)) != EXIT_FINE)
		return code;
	km_log_open("kmetricsd-wire", log_level_of(km_config_section(config, &daemon_section)));
	kubernetes = km_config_section(config, &kubernetes_section);
	aggregator = km_config_section(config, &agg_section);
	if (applies && cli.apply_auto && kubernetes->bootstrap == BOOTSTRAP_OFF) {
		say(LOG_NOTICE, "bootstrap = off in [kubernetes]: nothing done; run kmetricsd wire print | kubectl "
				"apply -f - as an administrator");
		return EXIT_FINE;
	}
	if (setup_host(config, false, &host, &err) < 0)
		goto unreached;
	if (km_file_read(host->serving_ca_cert, KM_PEM_MAX, &ca_pem, &ca_len, &err) < 0) {
		km_err_prefix(&err, "the serving CA is not there yet (kmetricsd keeper --once makes it)");
		goto unreached;
	}
	w.plan = (struct wiring_plan){.node = host->node_name,
		.address = host->address,
		.port = (uint16_t)aggregator->secure_port,
		.ca_pem = ca_pem,
		.hpa = km_config_enabled(config, &hpa_section)};
	if (!applies) {
		ask_versions(&w, &cli, config, host);
		if (print(&w, &err) < 0)
			goto unreached;
		return EXIT_FINE;
	}
	code = find_access(&cli, config, host, &access, &err);
	if (code == -EINVAL) {
		say(LOG_ERR, err.text);
		return EXIT_USAGE;
	}
	if (code < 0 || with_client(&w, access, on_discovered, &err) < 0)
		goto unreached;
	wiring_objects_free(w.objects);
	return w.code;
unreached:
	say(LOG_ERR, err.text);
	return EXIT_UNREACHED;
}
