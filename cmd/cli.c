/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sections.h"

#define DEFAULT_CONFIG KM_PREFIX "/cfg/kmetricsd.ini"

static int usage_error(const char *verb, const char *fmt, ...) _printf_(2, 3);

static int usage_error(const char *verb, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "kmetricsd %s: ", verb);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "; see kmetricsd %s --help\n", verb);
	return EXIT_USAGE;
}

/* The value of "--name VALUE" or "--name=VALUE" at argv[*i]; NULL when argv[*i] is another word, "" when the value is
 * missing. */
static const char *option_value(char **argv, int argc, int *i, const char *name)
{
	size_t len = strlen(name);

	if (strncmp(argv[*i], name, len) != 0)
		return NULL;
	if (argv[*i][len] == '=')
		return argv[*i] + len + 1;
	if (argv[*i][len] != '\0')
		return NULL;
	if (*i + 1 >= argc)
		return "";
	return argv[++*i];
}

int cli_parse(int argc, char **argv, unsigned allowed, const char *help, struct cli *ret)
{
	struct cli cli = {.config_path = DEFAULT_CONFIG};

	cli.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	for (int i = 1; i < argc; i++) {
		const char *value;

		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			fputs(help, stdout);
			return EXIT_FINE;
		}
		if ((value = option_value(argv, argc, &i, "--config"))) {
			if (!*value)
				return usage_error(argv[0], "%s needs a file", "--config");
			cli.config_path = value;
			cli.config_given = true;
		} else if ((allowed & CLI_JSON) && (value = option_value(argv, argc, &i, "-o"))) {
			if (strcmp(value, "json") != 0 && strcmp(value, "table") != 0)
				return usage_error(argv[0], "-o takes json or table, not \"%s\"", value);
			cli.json = strcmp(value, "json") == 0;
		} else if ((allowed & CLI_SOCKET) && (value = option_value(argv, argc, &i, "--socket"))) {
			if (*value != '/')
				return usage_error(argv[0], "%s needs an absolute path", "--socket");
			cli.socket = value;
		} else if ((allowed & CLI_KUBECONFIG) && (value = option_value(argv, argc, &i, "--kubeconfig"))) {
			if (!*value)
				return usage_error(argv[0], "%s needs a file", "--kubeconfig");
			cli.kubeconfig = value;
		} else if ((allowed & CLI_AUTO) && strcmp(argv[i], "--auto") == 0) {
			cli.apply_auto = true;
		} else if ((allowed & CLI_ONCE) && strcmp(argv[i], "--once") == 0) {
			cli.once = true;
		} else if ((allowed & CLI_DIFF) && strcmp(argv[i], "--diff") == 0) {
			cli.diff = true;
		} else if (argv[i][0] == '-') {
			return usage_error(argv[0], "there is no option %s", argv[i]);
		} else if (cli.n_words == CLI_WORDS_MAX) {
			return usage_error(argv[0], "too many words at \"%s\"", argv[i]);
		} else {
			cli.words[cli.n_words++] = argv[i];
		}
	}
	*ret = cli;
	return -1;
}

int cli_load_config(const struct cli *cli, struct km_config **ret)
{
	_cleanup_(km_diag_free) struct km_diag diag = KM_DIAG_INIT(cli->config_path);
	_cleanup_buf_ struct km_buf sample = KM_BUF_INIT(1024 * 1024);
	int r;

	if (!cli->config_given && access(cli->config_path, F_OK) != 0) {
		/* Nothing was configured: what the sample says is what is in force. */
		km_config_sample(all_sections, &sample);
		r = sample.error
			    ? sample.error
			    : km_config_parse(all_sections, "(built-in defaults)", sample.data, sample.len, ret, &diag);
	} else {
		r = km_config_load(all_sections, cli->config_path, ret, &diag);
	}
	if (r == 0)
		return EXIT_FINE;
	fputs(diag.text.len > 0 ? diag.text.data : "kmetricsd: out of memory\n", stderr);
	return EXIT_USAGE;
}
