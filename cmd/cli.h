/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs share: their common options, and the configuration they name.
 */
#pragma once

#include "core/config.h"
#include "verbs.h"

#define CLI_WORDS_MAX 8

struct cli {
	const char *config_path; /* --config FILE */
	bool config_given;
	bool json;                        /* -o json */
	bool colour;                      /* stdout is a terminal and NO_COLOR is not set */
	bool apply_auto;                  /* --auto (wire) */
	bool once;                        /* --once (keeper) */
	bool diff;                        /* --diff (explain) */
	const char *socket;               /* --socket PATH (keeper) */
	const char *kubeconfig;           /* --kubeconfig FILE (wire) */
	const char *words[CLI_WORDS_MAX]; /* what is not an option */
	int n_words;
};

enum cli_flag { CLI_JSON = 1, CLI_AUTO = 2, CLI_ONCE = 4, CLI_SOCKET = 8, CLI_KUBECONFIG = 16, CLI_DIFF = 32 };

/* Parses argv behind the verb; allowed: enum cli_flag. Returns -1 to go on, else the exit code (--help was printed, or
 * the usage is wrong). */
int cli_parse(int argc, char **argv, unsigned allowed, const char *help, struct cli *ret);

/* Loads the INI; a default path that does not exist gives the sample's configuration. On errors all are printed;
 * returns EXIT_FINE or EXIT_USAGE. */
int cli_load_config(const struct cli *cli, struct km_config **ret);
