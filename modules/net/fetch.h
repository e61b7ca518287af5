/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTPS client for kubelets: a strict HTTP/1.1 reader over OpenSSL with one shared SSL_CTX, made for a thousand
 * idle keep-alive connections and few system calls a request. One peer is one kubelet: an address list, a port, at most
 * one connection and one request at a time. New connections go through a token bucket. The peer's certificate is judged
 * by the caller's function before any byte of a request (and our client certificate's proof) is of use to the other
 * side.
 */
#pragma once

#include "core/base.h"
#include "core/err.h"
#include "core/loop.h"
#include "net/tls.h"

struct km_fetcher;
struct km_fetch_peer;

/*
 * Judges a kubelet's certificate during the handshake: 0 accepts, negative refuses (text in err: it becomes the fetch's
 * error). chain: all that it sent, leaf first. address: what was dialled.
 */
typedef int (*km_fetch_judge_fn)(X509 *leaf, STACK_OF(X509) *chain, const char *address, void *arg, struct km_err *err);

struct km_fetcher_config {
	struct km_identity *identity; /* client certificate or NULL; referenced */
	unsigned connects_per_second; /* token bucket for new connections; 0: 50 */
	const char *user_agent;       /* copied */
};

int km_fetcher_new(struct km_loop *loop, const struct km_fetcher_config *config, struct km_fetcher **ret,
	struct km_err *err) _must_check_;
/* New connections use this identity; an idle old one is closed when its peer is next asked, a busy one after its
 * request. Referenced. */
int km_fetcher_set_identity(struct km_fetcher *f, struct km_identity *identity, struct km_err *err) _must_check_;
void km_fetcher_free(struct km_fetcher *f); /* after its peers; NULL is fine */

/* A peer. judge/arg live as long as the peer. */
int km_fetch_peer_new(struct km_fetcher *f, km_fetch_judge_fn judge, void *arg, struct km_fetch_peer **ret)
	_must_check_;
/* Ends what is under way without its callback and closes. NULL is fine; allowed in its own callback. */
void km_fetch_peer_free(struct km_fetch_peer *peer);
/*
 * Where it is: host is an IP literal (v4, v6) or a name (resolved on the loop's worker thread, never blocking). A
 * changed target closes the idle connection. plain: http without TLS (read-only port 10255). -EINVAL for an unusable
 * host.
 */
int km_fetch_peer_target(struct km_fetch_peer *peer, const char *host, uint16_t port, bool plain, struct km_err *err)
	_must_check_;
/* Closes the idle connection (for instance because trust changed), or the busy one after its request. */
void km_fetch_peer_disconnect(struct km_fetch_peer *peer);

struct km_fetch_result {
	int error; /* 0: a reply came; -ETIMEDOUT, -ECONNREFUSED, -EHOSTUNREACH, -EKEYREJECTED (the judge's text),
		      -EMSGSIZE, -EBADMSG (not HTTP, or cut short), -ECONNRESET (cut before a reply), -EPROTO (TLS),
		      -ENOENT (name) ... */
	int status;
	const char *error_text; /* names the address and the cause; borrowed */
	const char *body;       /* contiguous, as sent (no compression is asked for), not NUL-terminated */
	size_t body_len;
	bool reused;             /* over a kept connection */
	int64_t started_wall_ns; /* when the request was sent */
};

/*
 * GET path. headers_authorization: value or NULL. One at a time: -EBUSY while one is under way. deadline covers
 * everything: resolving, token bucket, connecting, TLS, reply. A request that fails on a kept connection before any
 * byte of a reply came is tried once more on a new one within the deadline. on_done is never called from inside.
 */
int km_fetch_get(struct km_fetch_peer *peer, const char *path, const char *authorization, uint64_t deadline_us,
	size_t max_body, void (*on_done)(const struct km_fetch_result *result, void *arg), void *arg) _must_check_;
bool km_fetch_peer_busy(const struct km_fetch_peer *peer);
