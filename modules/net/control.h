/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local doors: a Unix stream socket that takes one JSON request a line and gives one JSON reply a line. Two users: the
 * daemon's control socket (status, later explain and top) and the keeper. The peer's uid is checked (SO_PEERCRED)
 * before a byte is read.
 */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "core/base.h"
#include "core/err.h"
#include "core/loop.h"

#define KM_CONTROL_REQUEST_MAX (256 * 1024)
#define KM_CONTROL_REPLY_MAX   (64 * 1024 * 1024)
#define KM_CONTROL_PEERS_MAX   32
#define KM_CONTROL_DEADLINE_US (10 * 1000000ULL) /* for a request to arrive whole, and for its reply to be read */

struct km_control;

/*
 * Answers a request ({"op": "...", ...}, already checked to be an object with a string op). Returns a reply object
 * (owned by the server from then on). For an error reply: {"error": "text", "code": EXIT_CODE}; see km_control_error.
 */
typedef json_t *(*km_control_fn)(const char *op, json_t *request, uid_t peer, void *arg);

struct km_control_config {
	const char *path;  /* socket file, made 0600 and removed at the end; a stale one is replaced, a live one is
			      -EADDRINUSE */
	int fd;            /* >= 0: an already listening socket (socket activation); path is then only for messages */
	mode_t mode;       /* of the socket file; 0: 0600 */
	const uid_t *uids; /* who may speak, besides root (always may); borrowed during the call */
	size_t n_uids;
	uint64_t deadline_us; /* 0: KM_CONTROL_DEADLINE_US */
	km_control_fn fn;
	void *arg;
};

int km_control_new(struct km_loop *loop, const struct km_control_config *config, struct km_control **ret,
	struct km_err *err) _must_check_;
void km_control_free(struct km_control *c); /* NULL is fine */
/* When the last peer left (monotonic us), or 0 while one is connected; for exit-on-idle. */
uint64_t km_control_idle_since(const struct km_control *c);

json_t *km_control_error(int code, const char *fmt, ...) _printf_(2, 3);

/*
 * The caller's side, blocking: for command-line verbs, and for the daemon before its loop runs. request is borrowed. 0
 * and the reply object (caller owns); -ENOENT/-ECONNREFUSED (nobody there), -EACCES, -ETIMEDOUT, -EBADMSG, -EMSGSIZE
 * (the request is longer than KM_CONTROL_REQUEST_MAX), or
 * -EREMOTEIO when the reply is an error (its text in err, its code in *ret_code when not NULL).
 */
int km_control_call(const char *path, json_t *request, uint64_t deadline_us, json_t **ret, int *ret_code,
	struct km_err *err) _must_check_;
