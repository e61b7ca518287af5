/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kmetricsd certs list
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "certmanager/inventory.h"
#include "cli.h"
#include "core/clock.h"
#include "sections.h"
#include "setup.h"

static const char help[] =
	"Usage: kmetricsd certs list [-o json] [--config FILE]\n\n"
	"Lists the certificates of the front proxy, of the cluster CA and of the daemon: path, subject, issuer, expiry "
	"and what is left of it, modes of\n"
	"certificate and key, whether key and chain match. KEY is \"-\" where this user may not read the key.\n\n"
	"Exit codes: 0 all fine, 1 one is missing, broken or expires soon\n\n"
	"Examples:\n"
	"  kmetricsd certs list\n"
	"  kmetricsd certs list -o json | jq '.[] | select(.secondsLeft < 2592000)'\n";

static int list(const struct cli *cli, const struct km_config *config, const struct wiring_host *host)
{
	const struct daemon_options *daemon = km_config_section(config, &daemon_section);
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(1024 * 1024);
	char serving[PATH_MAX], serving_key[PATH_MAX], client[PATH_MAX], client_key[PATH_MAX];
	const struct cert_item items[] = {
		{"front-proxy-ca", host->front_proxy_ca_cert, host->front_proxy_ca_key, NULL},
		{"front-proxy-client", host->front_proxy_client_cert, host->front_proxy_client_key,
			host->front_proxy_ca_cert},
		{"cluster-ca", host->cluster_ca_cert, host->cluster_ca_key, NULL},
		{"serving-ca", host->serving_ca_cert, host->serving_ca_key, NULL},
		{"serving", serving, serving_key, host->serving_ca_cert},
		{"api-client", client, client_key, host->cluster_ca_cert},
	};
	enum cert_state worst;

	snprintf(serving, sizeof(serving), "%s/kmetricsd-serving.pem", daemon->state_dir);
	snprintf(serving_key, sizeof(serving_key), "%s/kmetricsd-serving-key.pem", daemon->state_dir);
	snprintf(client, sizeof(client), "%s/kmetricsd.pem", daemon->state_dir);
	snprintf(client_key, sizeof(client_key), "%s/kmetricsd-key.pem", daemon->state_dir);
	worst = cert_list_print(
		items, KM_ARRAY_LEN(items), km_wall_ns() / KM_NSEC_PER_SEC, cli->json, cli->colour, &out);
	if (out.error || fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0) {
		fputs("kmetricsd certs: the list could not be written\n", stderr);
		return EXIT_UNREACHED;
	}
	return worst == CERT_OK ? EXIT_FINE : EXIT_ATTENTION;
}

int verb_certs(int argc, char **argv)
{
	_cleanup_(km_config_unrefp) struct km_config *config = NULL;
	_cleanup_(wiring_host_freep) struct wiring_host *host = NULL;
	struct km_err err = {0};
	struct cli cli;
	int code = cli_parse(argc, argv, CLI_JSON, help, &cli);

	if (code >= 0)
		return code;
	if (cli.n_words != 1 || strcmp(cli.words[0], "list") != 0) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	if ((code = cli_load_config(&cli, &config)) != EXIT_FINE)
		return code;
	if (setup_host(config, false, &host, &err) < 0) {
		fprintf(stderr, "kmetricsd certs: %s\n", err.text);
		return EXIT_UNREACHED;
	}
	return list(&cli, config, host);
}
