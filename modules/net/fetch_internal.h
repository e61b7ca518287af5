/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by fetch.c (peers and their requests) and fetch_conn.c (connections, TLS, the token bucket).
 */
#pragma once

#include <event2/bufferevent.h>
#include <event2/http.h>
#include <netinet/in.h>

#include "net/fetch.h"

#define FETCH_HEADERS_MAX  16384
#define FETCH_ADDRESS_MAX  INET6_ADDRSTRLEN
#define FETCH_RATE_DEFAULT 50
#define FETCH_HOST_MAX     253
#define FETCH_WHERE_MAX    (FETCH_HOST_MAX + 16)

#define FETCHER_MAGIC 0x6b6d6665u
#define PEER_MAGIC    0x6b6d6670u
#define CONN_MAGIC    0x6b6d6663u

struct fetch_conn {
	uint32_t magic;
	struct km_fetch_peer *peer; /* NULL: orphaned, about to be freed */
	struct km_fetcher *fetcher;
	struct evhttp_connection *evcon; /* owns bufferevent, SSL and socket */
	SSL *ssl;                        /* borrowed from the bufferevent; NULL: plain */
	char address[FETCH_ADDRESS_MAX];
	bool freeing;
	bufferevent_event_cb on_connect; /* evhttp's, while ours stands in front of it */
	void *on_connect_arg;
	int connect_errno;
	/* of the request under way */
	size_t received; /* bytes of its reply so far, headers included */
	bool in_body, chunked;
	int http_error; /* enum evhttp_request_error + 1, 0: none */
	int refused;    /* what the judge, or we on seeing the headers, refused it with; 0: nothing */
	struct km_err refusal;
};

struct fetch_wait {
	struct km_fetch_peer *next, **self; /* self NULL: not waiting */
};

struct km_fetcher {
	uint32_t magic;
	struct km_loop *loop;
	SSL_CTX *ctx;
	char *user_agent;
	/* token bucket for new connections, in units of connections * 10^6 */
	uint64_t rate, tokens, refilled_us;
	struct km_fetch_peer *waiting, **waiting_last;
	struct km_timer *refill;
	unsigned generation; /* of the identity: connections of an older one are not used again */
};

enum get_state { GET_IDLE, GET_BEGIN, GET_RESOLVING, GET_WAITING, GET_RUNNING };

struct km_fetch_peer {
	uint32_t magic;
	struct km_fetcher *fetcher;
	km_fetch_judge_fn judge;
	void *judge_arg;
	char *host;
	uint16_t port;
	bool plain, literal;
	struct fetch_conn *conn;
	unsigned conn_generation;
	/* the request under way */
	enum get_state state;
	char *path, *authorization;
	size_t max_body;
	void (*on_done)(const struct km_fetch_result *, void *);
	void *arg;
	struct km_timer *deadline;
	struct resolve *resolve;
	struct fetch_wait wait;
	bool reused, retried;
	bool stale; /* the target or the trust changed meanwhile: the connection is not used again */
	int64_t started_wall_ns;
};

/* Opens a connection to address (an IP literal) and sends the peer's request on it. */
int fetch_conn_open(struct km_fetch_peer *peer, const char *address, struct km_err *err) _must_check_;
/* Sends the peer's request on its connection. */
int fetch_conn_send(struct km_fetch_peer *peer) _must_check_;
/* Cuts the connection loose; it is freed when the loop's callbacks have returned. NULL is fine. */
void fetch_conn_drop(struct fetch_conn *conn);

/* fetch.c: "host:port" as in a URL. */
void fetch_where(const struct km_fetch_peer *peer, char out[FETCH_WHERE_MAX]);
/* fetch.c: the reply or failure of the request on conn (req may be NULL). */
void fetch_replied(struct fetch_conn *conn, struct evhttp_request *req, int saved_errno);
