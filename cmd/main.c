/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The binary: picks a verb.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "verbs.h"

static const struct verb verbs[] = {
	{"run", "the daemon (kmetricsd.service)", verb_run},
	{"keeper", "the key holder (kmetricsd-keeper.service)", verb_keeper},
	{"config", "check, show, sample: the INI", verb_config},
	{"certs", "list: the certificates", verb_certs},
	{"wire", "apply, print: the objects around the daemon", verb_wire},
	{"status", "what the running daemon is doing", verb_status},
	{"explain", "why an HPA is scaled as it is", verb_explain},
};

static void help(FILE *out)
{
	fputs("kmetricsd " KM_VERSION ": certificates, metrics API and autoscaling for bare-metal Kubernetes\n\n"
	      "Usage: kmetricsd VERB [OPTIONS]\n\n",
		out);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		fprintf(out, "  %-8s %s\n", verbs[i].name, verbs[i].summary);
	fputs("\n`kmetricsd VERB --help` explains each.\n\n"
	      "Examples:\n"
	      "  kmetricsd config check              is the INI right?\n"
	      "  kmetricsd certs list                which certificates are there, and how long do they last?\n"
	      "  kmetricsd wire print | kubectl apply -f -\n"
	      "  kmetricsd status                    what is the daemon doing?\n"
	      "  kmetricsd explain shop/web          why does this HPA have so many replicas?\n\n"
	      "Exit codes: 0 fine, 1 something needs attention, 2 wrong usage or configuration, 3 could not reach or "
	      "read what was asked about\n",
		out);
}

int main(int argc, char **argv)
{
	/* A peer that hangs up is an error code, never the end of the process. */
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		help(stdout);
		return EXIT_FINE;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
		puts("kmetricsd " KM_VERSION);
		return EXIT_FINE;
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	fprintf(stderr, "kmetricsd: there is no verb \"%s\"; `kmetricsd --help` lists them\n", argv[1]);
	return EXIT_USAGE;
}
