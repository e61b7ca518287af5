/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the HTTP server only: what its files share. http_server.c listens, counts and drains; http_conn.c is the
 * shield around one connection; http_request.c is a request and its reply.
 *
 * Lifetimes. libevent owns its connection object and the bufferevent, and frees the latter some time after we have
 * heard of the end. A km_http_conn therefore lives as long as the SSL (which goes with the bufferevent), plus the reap
 * calls under way, and outlives the server if need be: then conn->server is NULL.
 */
#pragma once

#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <openssl/ssl.h>

#include "core/buf.h"
#include "core/loop.h"
#include "core/map.h"
#include "net/http_gate.h"
#include "net/http_server.h"

#define KM_HTTP_PENDING_INPUT_MAX 4096              /* read ahead while a reply is pending, to see the peer go */
#define KM_HTTP_LINGER_US         UINT64_C(2000000) /* after a refusal, for the peer to read it */
#define KM_HTTP_LINGER_BYTES_MAX  (256 * 1024)      /* drained meanwhile */
#define KM_HTTP_SLICE_BYTES_MAX   (16 * 1024 * 1024)
#define KM_HTTP_ADDRESS_MAX       48

#define KM_HTTP_SERVER_MAGIC 0x68747376 /* "htsv" */
#define KM_HTTP_CONN_MAGIC   0x6874636e /* "htcn" */

struct km_http_peer {
	char address[KM_HTTP_ADDRESS_MAX];
	unsigned connections;
};

struct km_http_server {
	uint32_t magic;
	struct km_loop *loop; /* borrowed */
	struct km_http_limits limits;
	km_http_handler handler;
	void *arg;
	SSL_CTX *tls; /* own reference */
	struct evhttp *http;
	struct evhttp_bound_socket *bound; /* NULL once draining */
	struct evconnlistener *listener;   /* borrowed from bound */
	struct km_timer *accept_timer;     /* accepting is paused for want of descriptors */
	struct km_timer *drain_timer;
	uint16_t port;
	struct km_http_conn *conns; /* list of those that count */
	struct km_map peers;        /* by address */
	struct km_http_server_stats stats;
	bool draining;
	km_loop_fn drained;
	void *drained_arg;
	struct km_http_server *next; /* in the list of servers, see on_accept_error */
};

enum km_http_conn_state {
	KM_CONN_FRESH,   /* handshake and first head */
	KM_CONN_IDLE,    /* between requests */
	KM_CONN_HEAD,    /* inside a further head */
	KM_CONN_PENDING, /* the handler has the request */
	KM_CONN_STREAM,  /* a reply is being made */
	KM_CONN_WRITE,   /* a reply is complete and being written */
	KM_CONN_LINGER,  /* refused */
	KM_CONN_GONE,
};

/* One request at a time a connection, so it is part of it. */
struct km_http_req {
	struct km_http_conn *conn;    /* that it is part of */
	struct evhttp_request *evreq; /* NULL: no request; owned by evhttp, unless the connection went away first */
	struct km_url url;
	void (*on_cancel)(void *arg);
	void *cancel_arg;
	km_http_produce_fn produce; /* of a stream under way */
	km_loop_fn done;
	void *produce_arg;
	struct km_buf slice;
	bool pump_paused; /* until the output is below the high-water mark */
};

struct km_http_conn {
	uint32_t magic;
	unsigned refs; /* the SSL's, one a reap call under way */
	enum km_http_conn_state state;
	struct km_http_server *server; /* NULL once the server is gone or this no longer counts */
	struct km_http_conn *prev, *next;
	struct evhttp_connection *evcon; /* evhttp's; NULL before it is known and from KM_CONN_GONE on */
	struct bufferevent *bev;         /* borrowed, as the next; valid until KM_CONN_GONE */
	SSL *ssl;
	struct km_timer *timer;    /* the deadline of the present state */
	struct km_timer *pump;     /* the next slice of a stream */
	struct km_http_peer *peer; /* NULL until the address is known */
	char address[KM_HTTP_ADDRESS_MAX];
	uint64_t id;
	uint64_t progress_us; /* when the peer last took bytes of a reply */
	int on_its_way;       /* bytes in the kernel that the peer had not taken at the last look */
	struct km_http_gate gate;
	size_t beyond;                      /* bytes in the input behind the head that has gone through the gate */
	bool gate_done;                     /* a head has gone through that evhttp has not handed over yet */
	bufferevent_data_cb evhttp_written; /* evhttp's write callback while a reply is being written */
	bool close_after;
	bool closing; /* a reap call will close it */
	size_t lingered;
	struct km_http_req req;
};

/* http_conn.c */
struct bufferevent *km_http_conn_accept(struct event_base *base, void *server); /* evhttp's bufferevent callback */
struct km_http_conn *km_http_conn_of(struct bufferevent *bev);                  /* NULL without TLS */
void km_http_conn_close(struct km_http_conn *conn); /* not from inside a callback of evhttp's or the bufferevent's */
void km_http_conn_close_later(struct km_http_conn *conn);
void km_http_conn_arm(struct km_http_conn *conn, uint64_t delay_us);
void km_http_conn_replying(struct km_http_conn *conn, enum km_http_conn_state state);
/* Prepares for the next head: the gate looks at what is there already. False: this connection must not go on. */
bool km_http_conn_next_head(struct km_http_conn *conn);
/* It counts no more and all that hangs on it ends; the rest is freed with the SSL. */
void km_http_conn_retire(struct km_http_conn *conn);

/* http_request.c */
void km_http_request_arrived(struct evhttp_request *evreq, void *server); /* evhttp's generic callback */
/* The connection is gone: tells the handler or the stream's producer. */
void km_http_request_abandon(struct km_http_conn *conn);
void km_http_request_pump(void *conn);
void km_http_request_output_drained(struct km_http_conn *conn, size_t left);
/* A Kubernetes Status of a failure. */
void km_http_status_body(struct km_buf *out, int code, const char *message);
const char *km_http_phrase(int status);

/* http_server.c */
void km_http_server_counted(struct km_http_server *server); /* a connection has left: perhaps the drain is over */
