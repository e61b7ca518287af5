/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kmetricsd status: asks the running daemon over its control socket.
 */
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "core/clock.h"
#include "core/timetext.h"

static const char help[] = "Usage: kmetricsd status [-o json] [--config FILE]\n\n"
			   "Asks the running daemon what it is doing: its modules, how they fare, and its counters.\n\n"
			   "Exit codes: 0 all fine, 1 a module needs attention, 3 no daemon answers\n\n"
			   "Examples:\n"
			   "  kmetricsd status\n"
			   "  kmetricsd status -o json | jq '.modules[].counters'\n";

static bool needs_attention(json_t *module)
{
	return json_is_true(json_object_get(module, "enabled")) && !json_is_true(json_object_get(module, "ok"));
}

static long long number_of(json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

static void print_hpas(json_t *hpas)
{
	json_t *hpa;
	size_t i;

	if (json_array_size(hpas) > 0)
		printf("\n  %-48s %8s %8s  %s\n", "HPA", "CURRENT", "DESIRED", "LAST ERROR");
	json_array_foreach(hpas, i, hpa)
	{
		char name[600];

		snprintf(name, sizeof(name), "%s/%s", text_of(hpa, "namespace"), text_of(hpa, "name"));
		printf("  %-48s %8lld %8lld  %s\n", name, number_of(hpa, "current"), number_of(hpa, "desired"),
			text_of(hpa, "error"));
	}
}

static void print_table(json_t *reply, bool colour)
{
	char uptime[KM_DURATION_TEXT_MAX];
	json_t *module, *counter;
	const char *name;
	size_t i;

	km_duration_format(json_integer_value(json_object_get(reply, "uptime_seconds")) * KM_NSEC_PER_SEC, uptime);
	printf("kmetricsd %s, up %s, API server %s, %s\n\n", text_of(reply, "version"), uptime,
		text_of(reply, "server"), text_of(reply, "config"));
	json_array_foreach(json_object_get(reply, "modules"), i, module)
	{
		bool enabled = json_is_true(json_object_get(module, "enabled")), bad = needs_attention(module);

		printf("%-14s %s%-10s%s %s\n", text_of(module, "name"),
			!colour   ? ""
			: bad     ? "\033[31m"
			: enabled ? "\033[32m"
				  : "",
			!enabled ? "off"
			: bad    ? "attention"
				 : "ok",
			colour ? "\033[0m" : "", text_of(module, "text"));
		json_object_foreach(json_object_get(module, "counters"), name, counter)
			printf("  %-40s %16lld\n", name, (long long)json_integer_value(counter));
		print_hpas(json_object_get(json_object_get(module, "details"), "hpas"));
	}
}

int verb_status(int argc, char **argv)
{
	json_t *reply = NULL, *module;
	struct cli cli;
	size_t i;
	int code = cli_parse(argc, argv, CLI_JSON, help, &cli);

	if (code >= 0)
		return code;
	if (cli.n_words > 0) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	if ((code = ask_daemon("status", &cli, json_pack("{s:s}", "op", "status"), &reply)) != EXIT_FINE)
		return code;
	if (cli.json)
		print_json(reply);
	else
		print_table(reply, cli.colour);
	code = EXIT_FINE;
	json_array_foreach(json_object_get(reply, "modules"), i, module) if (needs_attention(module)) code =
		EXIT_ATTENTION;
	json_decref(reply);
	return fflush(stdout) == 0 ? code : EXIT_UNREACHED;
}
