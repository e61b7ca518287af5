/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate in front of the HTTP server's library: a pure push parser that follows request heads byte by byte and says
 * which of them may be shown to it at all. Stricter than RFC 9112 where a second reader could see something else: no
 * body, no bare CR or LF, no folding, no NUL, no space before a colon. No I/O, no memory of its own; fuzzed.
 */
#pragma once

#include "core/base.h"

#define KM_HTTP_METHOD_MAX  31   /* bytes */
#define KM_HTTP_NAME_MAX    256  /* bytes of a header's name */
#define KM_HTTP_HEADERS_MAX 1024 /* a user in many groups comes with one X-Remote-Group each */
#define KM_HTTP_TARGET_MAX  8192 /* as KM_URL_TARGET_MAX */

enum km_gate_verdict {
	KM_GATE_MORE, /* so far so good */
	KM_GATE_HEAD, /* a whole head has gone through; km_http_gate_next before feeding more */
	KM_GATE_BAD,  /* see status and reason; sticky */
};

struct km_http_gate {
	size_t head_bytes_max;
	/* of a head that went through */
	char method[KM_HTTP_METHOD_MAX + 1];
	unsigned minor; /* HTTP/1.minor */
	bool close;     /* the client wants the connection closed afterwards (also every HTTP/1.0) */
	/* of a head that did not */
	int status;         /* 400, 405, 414, 431, 505 */
	const char *reason; /* for people; static */
	/* private */
	unsigned state;
	size_t head_bytes, part, headers;
	unsigned field;
	bool has_length, has_host;
	char token[32]; /* lower-case start of the name, then of the value, of the header being read */
	size_t token_len;
};

void km_http_gate_init(struct km_http_gate *gate, size_t head_bytes_max);
/* Ready for the next head on the same connection. */
void km_http_gate_next(struct km_http_gate *gate);
/*
 * Follows bytes up to the end of a head. *ret_used (may be NULL): how many of them belong to this head; all of them for
 * KM_GATE_MORE.
 */
enum km_gate_verdict km_http_gate_feed(struct km_http_gate *gate, const char *bytes, size_t n, size_t *ret_used)
	_must_check_;
