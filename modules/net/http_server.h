/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTPS server: libevent's evhttp behind a shield (DESIGN 4). GET-like requests without a body; replies in one
 * piece or streamed in slices. The shield, each part with its test: TCP_NODELAY; header limits; bounded reading while a
 * reply is pending; absolute deadline for handshake plus request head, idle deadline between requests; connection cap
 * (in all and per peer); ambiguous framing, bodies and NUL refused before evhttp acts on them; never plaintext.
 * What is refused gets a Kubernetes Status that names the reason, and the connection is closed; behind a pipelined
 * good request it is closed without a word. The process must ignore SIGPIPE.
 */
#pragma once

#include <openssl/ssl.h>

#include "core/base.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/loop.h"
#include "net/url.h"

struct km_http_server;
struct km_http_req;

/* Named limits; tests lower some of them. slice_us is for producers to keep to. */
struct km_http_limits {
	unsigned connections;          /* 4096 */
	unsigned connections_per_peer; /* 1024: one kube-apiserver opens many */
	size_t head_bytes;             /* 32 KiB: request line and headers */
	uint64_t head_deadline_us; /* 10 s from accept (with the handshake), or from the first byte of a further request
				    */
	uint64_t idle_us;          /* 90 s between requests */
	uint64_t write_stall_us;   /* 30 s without the peer taking a byte */
	size_t output_high_water;  /* 256 KiB: a stream's producer pauses above it */
	uint64_t slice_us;         /* 2 ms: a producer's share of a loop turn */
};
extern const struct km_http_limits km_http_limits_default;

/* Called for each request. The handler answers now or later, exactly once, by km_http_reply or km_http_stream. */
typedef void (*km_http_handler)(struct km_http_req *req, void *arg);

struct km_http_server_config {
	const char *bind_address;            /* "0.0.0.0", "::", an IP */
	uint16_t port;                       /* 0: any (tests) */
	SSL_CTX *tls;                        /* the server takes its own reference */
	const struct km_http_limits *limits; /* NULL: default; copied */
	km_http_handler handler;
	void *arg;
};

/* Binds and listens; -EADDRINUSE etc. with address and port in err. */
int km_http_server_new(struct km_loop *loop, const struct km_http_server_config *config, struct km_http_server **ret,
	struct km_err *err) _must_check_;
uint16_t km_http_server_port(const struct km_http_server *server);
/* New connections use this context from now on; old ones keep theirs. Takes its own reference. */
void km_http_server_set_tls(struct km_http_server *server, SSL_CTX *tls);
/* Stops accepting, answers what is under way with Connection: close, closes idle connections; then calls drained (on
 * the loop), at the latest after deadline_us. */
void km_http_server_drain(struct km_http_server *server, uint64_t deadline_us, km_loop_fn drained, void *arg);
/* Closes everything at once. Pending requests are cancelled (their on_cancel runs). NULL is fine. Not from inside a
 * handler, a producer or what they call; from `drained` it is allowed. */
void km_http_server_free(struct km_http_server *server);

struct km_http_server_stats {
	uint64_t accepted, refused_cap, refused_head, refused_framing, deadline_closed, requests;
	unsigned connections;
};
void km_http_server_stats(const struct km_http_server *server, struct km_http_server_stats *ret);

/* ---- a request; everything returned is borrowed until the reply ---- */

const char *km_http_req_method(const struct km_http_req *req); /* "GET" */
const struct km_url *km_http_req_url(const struct km_http_req *req);
const char *km_http_req_target(const struct km_http_req *req); /* as received */
/* First header of that name (case-insensitive), or NULL. */
const char *km_http_req_header(const struct km_http_req *req, const char *name);
/* All headers in order: fn returns non-zero to stop; that is returned. */
int km_http_req_headers(
	const struct km_http_req *req, int (*fn)(const char *name, const char *value, void *arg), void *arg);
X509 *km_http_req_peer_cert(const struct km_http_req *req);            /* NULL when the client sent none */
STACK_OF(X509) *km_http_req_peer_chain(const struct km_http_req *req); /* what it sent beside, may be NULL */
const char *km_http_req_peer_address(const struct km_http_req *req);   /* "10.0.0.1" */
/* Identifies the connection for caches of what was judged about it; unique in the process. */
uint64_t km_http_req_connection_id(const struct km_http_req *req);

/* Called once if the client goes away (or the server is freed) before the reply; the request is invalid afterwards.
 * NULL fn: none. */
void km_http_req_on_cancel(struct km_http_req *req, void (*fn)(void *arg), void *arg);

/* A header for the reply (copied). Content-Length, Date and Connection are the server's. Control characters in a value
 * are refused (assert). */
void km_http_req_add_header(struct km_http_req *req, const char *name, const char *value);

/* Replies and ends the request. body is copied. HEAD sends no body. */
void km_http_reply(struct km_http_req *req, int status, const char *content_type, const void *body, size_t len);

/*
 * Replies with a body made in slices (chunked). produce appends to out and returns 1 when there is more, 0 when it is
 * done, negative to break off (the connection is cut so that the client sees it). It is called once at once: if it is
 * done then, the reply has a Content-Length. It should return after about the limits' slice_us. done (may be NULL) runs
 * exactly once at the end, however that came; the state arg is the producer's to free there.
 */
typedef int (*km_http_produce_fn)(struct km_buf *out, void *arg);
void km_http_stream(struct km_http_req *req, int status, const char *content_type, km_http_produce_fn produce,
	km_loop_fn done, void *arg);
