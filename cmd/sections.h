/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The INI as a whole: the two sections that belong to the daemon itself, and the list of all sections.
 */
#pragma once

#include "core/config.h"

struct daemon_options {
	const char *state_dir, *control_socket;
	int log_level; /* index into err, warning, notice, info, debug */
};

enum bootstrap { BOOTSTRAP_AUTO, BOOTSTRAP_OFF };

struct kubernetes_options {
	const char *kubeconfig, *context, *server, *node_name, *advertise_address;
	int bootstrap; /* enum bootstrap */
};

extern const struct km_section daemon_section, kubernetes_section;
extern const struct km_section *const all_sections[]; /* NULL-terminated, in the order of the sample */

/* syslog level of daemon_options.log_level */
int log_level_of(const struct daemon_options *options);
