/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kmetricsd config check|show|sample|from-flags
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "from_flags.h"
#include "sections.h"

static const char help[] =
	"Usage: kmetricsd config check|show|sample [--config FILE]\n"
	"       kmetricsd config from-flags -- COMMAND-LINE\n\n"
	"  check    parses the INI and reports every error as FILE:LINE: what and the remedy\n"
	"  show     prints the effective values (secrets masked)\n"
	"  sample   prints a commented INI with every option and its default\n"
	"  from-flags   prints the INI for a command line of metrics-server or kube-controller-manager,\n"
	"               with a comment for each flag that means nothing here; exit status 1 when it\n"
	"               has flags that neither program is known to have\n\n"
	"FILE is " KM_PREFIX "/cfg/kmetricsd.ini unless given.\n\n"
	"Examples:\n"
	"  kmetricsd config check\n"
	"  kmetricsd config sample > " KM_PREFIX "/cfg/kmetricsd.ini\n"
	"  kmetricsd config show --config /tmp/new.ini\n"
	"  kmetricsd config from-flags -- metrics-server --kubelet-insecure-tls --metric-resolution=15s\n"
	"  kmetricsd config from-flags -- $(tr '\\0' ' ' </proc/$(pidof kube-controller-manager)/cmdline)\n";

static int print(const struct km_buf *text)
{
	if (text->error) {
		fputs("kmetricsd config: out of memory\n", stderr);
		return EXIT_UNREACHED;
	}
	if (fwrite(text->data, 1, text->len, stdout) != text->len || fflush(stdout) != 0) {
		perror("kmetricsd config: standard output");
		return EXIT_UNREACHED;
	}
	return EXIT_FINE;
}

static int verb_from_flags(char **words, int n)
{
	_cleanup_buf_ struct km_buf ini = KM_BUF_INIT(1024 * 1024), complaints = KM_BUF_INIT(1024 * 1024);
	int r = from_flags(words, (size_t)n, &ini, &complaints);

	if (r == -EINVAL) {
		fprintf(stderr, "%s", complaints.data ? complaints.data : "");
		return EXIT_USAGE;
	}
	if (r < 0) {
		fputs("kmetricsd config: out of memory\n", stderr);
		return EXIT_UNREACHED;
	}
	return print(&ini) == EXIT_FINE ? (r ? EXIT_ATTENTION : EXIT_FINE) : EXIT_UNREACHED;
}

int verb_config(int argc, char **argv)
{
	_cleanup_(km_config_unrefp) struct km_config *config = NULL;
	_cleanup_buf_ struct km_buf text = KM_BUF_INIT(1024 * 1024);
	struct cli cli;
	int code;

	/* behind "--" stand other programs' flags, which are not for our own parser */
	if (argc >= 3 && strcmp(argv[1], "from-flags") == 0 && strcmp(argv[2], "--") == 0)
		return verb_from_flags(argv + 3, argc - 3);
	code = cli_parse(argc, argv, 0, help, &cli);
	if (code >= 0)
		return code;
	if (cli.n_words == 1 && strcmp(cli.words[0], "sample") == 0) {
		km_config_sample(all_sections, &text);
		return print(&text);
	}
	if (cli.n_words != 1 || (strcmp(cli.words[0], "check") != 0 && strcmp(cli.words[0], "show") != 0)) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	code = cli_load_config(&cli, &config);
	if (code != EXIT_FINE)
		return code;
	if (strcmp(cli.words[0], "check") == 0) {
		printf("%s: fine\n", km_config_path(config));
		return EXIT_FINE;
	}
	km_config_show(config, &text);
	return print(&text);
}
