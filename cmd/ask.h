/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to the running daemon, over its control socket.
 */
#pragma once

#include <jansson.h>

#include "cli.h"

/* request is taken over (NULL: out of memory). EXIT_FINE and the reply (the caller's), or an exit code after the reason
 * and the remedy were printed. */
int ask_daemon(const char *verb, const struct cli *cli, json_t *request, json_t **ret);
/* The reply as it is. Returns an exit code. */
int print_json(json_t *reply);
/* A member's text; "" where there is none. */
const char *text_of(json_t *object, const char *key);
