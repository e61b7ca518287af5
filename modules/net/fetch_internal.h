/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by fetch.c (peers and their requests, the token bucket), fetch_conn.c (connections and what goes over them)
 * and fetch_tls.c (TLS on a socket that is read once an event).
 */
#pragma once

#include <event2/event.h>
#include <netinet/in.h>

#include "net/fetch.h"
#include "net/fetch_reply.h"

#define FETCH_ADDRESS_MAX  INET6_ADDRSTRLEN
#define FETCH_RATE_DEFAULT 50
#define FETCH_HOST_MAX     253
#define FETCH_WHERE_MAX    (FETCH_HOST_MAX + 16)
#define FETCH_INPUT_MAX    (64 * 1024)  /* read from a socket at once */
#define FETCH_SPARE_MAX    (256 * 1024) /* memory for a reply that is kept for the next one */

#define FETCHER_MAGIC 0x6b6d6665u
#define PEER_MAGIC    0x6b6d6670u
#define CONN_MAGIC    0x6b6d6663u

enum conn_state { CONN_CONNECTING, CONN_HANDSHAKE, CONN_OPEN };

struct fetch_conn {
	uint32_t magic;
	enum conn_state state;
	struct km_fetch_peer *peer; /* NULL: orphaned, about to be freed */
	struct km_fetcher *fetcher; /* NULL then, too */
	int fd;
	SSL *ssl;                          /* owned; NULL: plain */
	struct event *readable, *writable; /* owned; the first is always armed once connected */
	char address[FETCH_ADDRESS_MAX];
	bool broken;           /* TLS has failed: no goodbye */
	bool ended;            /* the other side has closed */
	int io_errno;          /* of the socket's last failure; 0: none */
	struct km_err *judged; /* where the judge's refusal goes during the handshake */
	int refused;           /* what the judge refused it with; 0: nothing */
	/* of the request under way; both empty while idle */
	struct km_buf out;
	size_t sent; /* of out */
	struct fetch_reply reply;
	size_t received; /* bytes of its reply so far, headers included */
};

struct fetch_wait {
	struct km_fetch_peer *next, **self; /* self NULL: not waiting */
};

/* What was read from one connection's socket and not yet decrypted; empty outside that connection's event. */
struct fetch_input {
	const struct fetch_conn *owner; /* NULL: nobody may read now */
	bool read;                      /* once an event: a fast peer does not keep the loop */
	size_t at, len;
	unsigned char data[FETCH_INPUT_MAX];
};

struct km_fetcher {
	uint32_t magic;
	struct km_loop *loop;
	SSL_CTX *ctx;
	char *user_agent;
	struct fetch_input input;
	struct km_buf spare; /* memory of the last reply */
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

/* fetch_conn.c */

/* Opens a connection to address (an IP literal) and sends the peer's request on it once it stands. */
int fetch_conn_open(struct km_fetch_peer *peer, const char *address, struct km_err *err) _must_check_;
/* Sends the peer's request on its kept connection. */
int fetch_conn_send(struct km_fetch_peer *peer) _must_check_;
/* Cuts the connection loose; it is freed when the loop's callbacks have returned. NULL is fine. */
void fetch_conn_drop(struct fetch_conn *conn);

/* fetch_tls.c */

/* Sets conn->ssl up, on conn's socket; what fails is freed with conn. 0 or -ENOMEM. */
int fetch_tls_new(struct fetch_conn *conn, const struct km_fetch_peer *peer) _must_check_;
/* Between these two, in the event that conn's socket is readable, fetch_input_take has something to give. */
void fetch_input_begin(struct fetch_conn *conn);
void fetch_input_end(struct fetch_conn *conn);
/* Up to n bytes as they came from the socket: how many; 0: no more in this event; -1: the other side has closed or
 * conn->io_errno says what happened. */
ssize_t fetch_input_take(struct fetch_conn *conn, void *out, size_t n);
bool fetch_input_used_up(const struct fetch_conn *conn); /* nothing of what was read is left */

/* fetch.c */

/* "host:port" as in a URL. */
void fetch_where(const struct km_fetch_peer *peer, char out[FETCH_WHERE_MAX]);
/* conn->reply is whole; keep: the connection is good for another one. */
void fetch_replied(struct fetch_conn *conn, bool keep);
/* The request on conn has failed; text names the address. */
void fetch_failed(struct fetch_conn *conn, int error, const char *text);
