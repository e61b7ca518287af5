/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs of the one binary, and what its exit codes mean (DESIGN 2).
 */
#pragma once

enum exit_code {
	EXIT_FINE = 0,
	EXIT_ATTENTION = 1, /* something needs attention */
	EXIT_USAGE = 2,     /* wrong usage or configuration */
	EXIT_UNREACHED = 3, /* could not reach or read what was asked about */
};

struct verb {
	const char *name;                  /* "certs" */
	const char *summary;               /* one line for --help */
	int (*run)(int argc, char **argv); /* argv[0] is the verb; returns an exit code */
};

int verb_run(int argc, char **argv);
int verb_keeper(int argc, char **argv);
int verb_config(int argc, char **argv);
int verb_certs(int argc, char **argv);
int verb_wire(int argc, char **argv);
int verb_status(int argc, char **argv);
int verb_explain(int argc, char **argv);
