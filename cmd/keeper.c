/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kmetricsd keeper: the key holder. Root without any network, started by its socket, answers a fixed list of requests
 * from the daemon's user and goes away when nobody has asked for a minute. With --once it only makes what is missing,
 * says so, and ends.
 */
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "certmanager/certmanager.h"
#include "cli.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/loop.h"
#include "net/control.h"
#include "sections.h"
#include "setup.h"

#define IDLE_EXIT_US  (60 * KM_USEC_PER_SEC)
#define IDLE_CHECK_US (10 * KM_USEC_PER_SEC)
#define DAEMON_USER   "kmetricsd"

static const char help[] =
	"Usage: kmetricsd keeper [--config FILE] [--socket PATH] [--once]\n\n"
	"Holds the CA keys for the daemon, which cannot read them: makes what is missing (front-proxy CA and client, "
	"serving CA),\n"
	"signs the daemon's own certificates, answers on a Unix socket. Normally started by "
	"kmetricsd-keeper.socket.\n\n"
	"  --socket PATH   listen there instead of on the socket that systemd passes\n"
	"  --once          make what is missing, print what was done, and end\n\n"
	"Examples:\n"
	"  kmetricsd keeper --once     before kube-apiserver's first start with the --proxy-client-* flags\n";

struct keeper {
	struct km_loop *loop;
	struct km_control *control;
	struct km_timer *idle;
};

static const char *outcome_text(enum keeper_outcome outcome)
{
	switch (outcome) {
	case KEEPER_CREATED:
		return "created";
	case KEEPER_ADOPTED:
		return "adopted";
	case KEEPER_MISSING:
		return "missing";
	case KEEPER_FAILED:
		break;
	}
	return "FAILED";
}

static void print_outcome(const char *role, const char *path, enum keeper_outcome outcome, const char *text, void *arg)
{
	(void)arg;
	printf("%-20s %-8s %s%s%s\n", role, outcome_text(outcome), path, *text ? ": " : "", text);
}

static int once(const struct keeper_paths *paths)
{
	struct km_err err = {0};

	if (keeper_ensure(paths, print_outcome, NULL, &err) < 0) {
		fprintf(stderr, "kmetricsd keeper: %s\n", err.text);
		return EXIT_ATTENTION;
	}
	return EXIT_FINE;
}

static void stop(void *arg)
{
	km_loop_stop(((struct keeper *)arg)->loop);
}

static void check_idle(void *arg)
{
	struct keeper *k = arg;
	uint64_t since = km_control_idle_since(k->control);

	if (since && km_now_us() - since >= IDLE_EXIT_US)
		km_loop_stop(k->loop);
	else
		km_timer_set(k->idle, IDLE_CHECK_US);
}

static int serve(struct keeper_paths *paths, const char *socket_path, struct km_err *err)
{
	struct keeper k = {0};
	struct passwd *user = getpwnam(DAEMON_USER);
	struct km_control_config config = {
		.path = socket_path, .fd = -1, .fn = keeper_answer, .arg = paths, .mode = 0600};
	int fds = sd_listen_fds(1), r;

	if (user) {
		config.uids = &user->pw_uid;
		config.n_uids = 1;
	}
	if (fds == 1)
		config.fd = SD_LISTEN_FDS_START;
	else if (fds != 0)
		return km_fail(err, -EINVAL, "expected one socket from systemd, got %d", fds);
	if ((r = km_loop_new(&k.loop, err)) < 0)
		return r;
	if ((r = km_control_new(k.loop, &config, &k.control, err)) < 0)
		goto out;
	if ((r = km_loop_on_signal(k.loop, SIGTERM, stop, &k, err)) < 0 ||
		(r = km_loop_on_signal(k.loop, SIGINT, stop, &k, err)) < 0)
		goto out;
	if (fds == 1) { /* a socket of our own would vanish with us: only one that systemd keeps may be left */
		if ((r = km_timer_new(k.loop, check_idle, &k, &k.idle)) < 0)
			goto out;
		km_timer_set(k.idle, IDLE_CHECK_US);
	}
	(void)sd_notify(0, "READY=1\nSTATUS=holding the CA keys");
	r = km_loop_run(k.loop);
out:
	km_timer_free(k.idle);
	km_control_free(k.control);
	km_loop_free(k.loop);
	return r;
}

int verb_keeper(int argc, char **argv)
{
	_cleanup_(km_config_unrefp) struct km_config *config = NULL;
	_cleanup_(wiring_host_freep) struct wiring_host *host = NULL;
	const struct certmanager_options *certs;
	struct keeper_paths paths;
	struct km_err err = {0};
	struct cli cli;
	int code = cli_parse(argc, argv, CLI_ONCE | CLI_SOCKET, help, &cli);

	if (code >= 0)
		return code;
	if (cli.n_words > 0) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	if ((code = cli_load_config(&cli, &config)) != EXIT_FINE)
		return code;
	if (setup_host(config, !cli.once, &host, &err) < 0) {
		fprintf(stderr, "kmetricsd keeper: %s\n", err.text);
		return EXIT_UNREACHED;
	}
	paths = setup_keeper_paths(config, host);
	if (cli.once)
		return once(&paths);
	km_log_open("kmetricsd-keeper", log_level_of(km_config_section(config, &daemon_section)));
	certs = km_config_section(config, &certmanager_section);
	if (serve(&paths, cli.socket ? cli.socket : certs->keeper_socket, &err) < 0) {
		km_log(LOG_ERR, NULL, "%s", err.text);
		return EXIT_UNREACHED;
	}
	return EXIT_FINE;
}
