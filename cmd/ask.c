/* SPDX-License-Identifier: Apache-2.0 */
#include "ask.h"

#include <errno.h>
#include <stdio.h>

#include "core/clock.h"
#include "net/control.h"
#include "sections.h"

#define TIMEOUT_US (10 * KM_USEC_PER_SEC)

const char *text_of(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

int ask_daemon(const char *verb, const struct cli *cli, json_t *request, json_t **ret)
{
	_cleanup_(km_config_unrefp) struct km_config *config = NULL;
	const struct daemon_options *daemon;
	struct km_err err = {0};
	int r = request ? 0 : km_fail(&err, -ENOMEM, "out of memory"), code = EXIT_UNREACHED;

	if (r == 0 && cli_load_config(cli, &config) != EXIT_FINE) {
		json_decref(request);
		return EXIT_USAGE;
	}
	if (r == 0) {
		daemon = km_config_section(config, &daemon_section);
		r = km_control_call(daemon->control_socket, request, TIMEOUT_US, ret, &code, &err);
	}
	json_decref(request);
	if (r == 0)
		return EXIT_FINE;
	fprintf(stderr, "kmetricsd %s: %s%s\n", verb, err.text,
		r == -ENOENT || r == -ECONNREFUSED ? "; is the daemon running? (systemctl status kmetricsd)" : "");
	return r == -EREMOTEIO ? code : EXIT_UNREACHED;
}

int print_json(json_t *reply)
{
	json_dumpf(reply, stdout, JSON_INDENT(2));
	putchar('\n');
	return fflush(stdout) == 0 ? EXIT_FINE : EXIT_UNREACHED;
}
