/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shield around one connection. It sees every decrypted byte before evhttp does (a callback on the bufferevent's
 * input runs before the read callback), keeps the deadlines and caps, and takes the connection away from evhttp when it
 * must not go on.
 *
 * While evhttp parses, its read callback is in place; while a reply is pending it must not be (evhttp ends the process
 * when it is called then), but reading goes on up to a low mark, because that is how the peer's end is noticed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "net/http_internal.h"

#define WRITE_LOOKS 4 /* how often within the write-stall limit the peer's progress is looked at */

static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static int conn_index = -1; /* of SSL_get_ex_data */
static uint64_t last_id;

static struct km_http_conn *conn_cast(void *arg)
{
	return KM_CAST(struct km_http_conn, arg, KM_HTTP_CONN_MAGIC);
}

static void conn_unref(struct km_http_conn *conn)
{
	if (--conn->refs > 0)
		return;
	km_http_conn_retire(conn);
	conn->magic = 0;
	free(conn);
}

static void on_ssl_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	struct km_http_conn *conn = ptr;

	if (!conn)
		return;
	km_http_conn_retire(conn);
	conn_unref(conn);
}

static void make_index(void)
{
	conn_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_ssl_free);
}

struct km_http_conn *km_http_conn_of(struct bufferevent *bev)
{
	SSL *ssl = bufferevent_openssl_get_ssl(bev);

	return ssl ? SSL_get_ex_data(ssl, conn_index) : NULL;
}

void km_http_conn_arm(struct km_http_conn *conn, uint64_t delay_us)
{
	km_timer_set(conn->timer, delay_us);
}

/* ---- the end ---- */

static void leave_peer(struct km_http_conn *conn)
{
	struct km_http_peer *peer = KM_TAKE(conn->peer);

	if (!peer || --peer->connections > 0)
		return;
	km_map_remove(&conn->server->peers, peer->address, strlen(peer->address));
	free(peer);
}

void km_http_conn_retire(struct km_http_conn *conn)
{
	struct km_http_server *server = conn->server;

	if (conn->state == KM_CONN_GONE)
		return;
	conn->state = KM_CONN_GONE;
	conn->evcon = NULL;
	km_http_request_abandon(conn);
	km_timer_free(conn->timer);
	km_timer_free(conn->pump);
	conn->timer = conn->pump = NULL;
	leave_peer(conn);
	if (conn->prev)
		conn->prev->next = conn->next;
	else
		server->conns = conn->next;
	if (conn->next)
		conn->next->prev = conn->prev;
	conn->server = NULL;
	server->stats.connections--;
	km_http_server_counted(server);
}

/* evhttp's close callback: called for whatever reason it frees the connection, while all of it is still there. */
static void on_closed(struct evhttp_connection *evcon, void *arg)
{
	struct km_http_conn *conn = conn_cast(arg);

	km_http_conn_retire(conn);
}

void km_http_conn_close(struct km_http_conn *conn)
{
	if (conn->evcon)
		evhttp_connection_free(conn->evcon);
}

static void close_reaped(void *arg)
{
	struct km_http_conn *conn = conn_cast(arg);

	km_http_conn_close(conn);
	conn_unref(conn);
}

void km_http_conn_close_later(struct km_http_conn *conn)
{
	if (conn->closing || conn->state == KM_CONN_GONE)
		return;
	conn->closing = true;
	conn->refs++;
	km_loop_reap(conn->server->loop, close_reaped, conn);
}

/* ---- refusing ---- */

/* Called as evhttp's read callback too, with evhttp's argument, when one of its deferred calls was under way. */
static void on_linger_read(struct bufferevent *bev, void *arg)
{
	struct km_http_conn *conn = km_http_conn_of(bev);
	struct evbuffer *input = bufferevent_get_input(bev);

	conn->lingered += evbuffer_get_length(input);
	evbuffer_drain(input, evbuffer_get_length(input));
	if (conn->lingered > KM_HTTP_LINGER_BYTES_MAX)
		km_http_conn_close_later(conn);
}

/* All is written: says so (close_notify, FIN) and waits for the peer's end, so that no reset overtakes the reply. */
static void on_linger_written(struct bufferevent *bev, void *arg)
{
	struct km_http_conn *conn = conn_cast(arg);

	if (evbuffer_get_length(bufferevent_get_output(bev)) > 0)
		return;
	SSL_shutdown(conn->ssl);
	shutdown(bufferevent_getfd(bev), SHUT_WR);
}

static void on_linger_event(struct bufferevent *bev, short what, void *arg)
{
	km_http_conn_close_later(conn_cast(arg));
}

static void linger_start(struct km_http_conn *conn)
{
	_cleanup_buf_ struct km_buf body = KM_BUF_INIT(4096);
	struct evbuffer *out = bufferevent_get_output(conn->bev);
	const struct km_http_gate *gate = &conn->gate;
	struct km_http_server_stats *stats = &conn->server->stats;

	if (gate->status == 414 || gate->status == 431)
		stats->refused_head++;
	else
		stats->refused_framing++;
	conn->state = KM_CONN_LINGER;
	conn->lingered = 0;
	bufferevent_setcb(conn->bev, on_linger_read, on_linger_written, on_linger_event, conn);
	km_http_conn_arm(conn, KM_HTTP_LINGER_US);
	km_http_status_body(&body, gate->status, gate->reason);
	evbuffer_add_printf(out,
		"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
		gate->status, km_http_phrase(gate->status), body.len);
	evbuffer_add(out, body.data, body.len);
	bufferevent_enable(conn->bev, EV_READ | EV_WRITE);
}

/* ---- what comes in ---- */

/* Shows the gate the input from offset on. */
static enum km_gate_verdict gate_input(struct km_http_conn *conn, size_t offset)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	size_t length = evbuffer_get_length(input);
	enum km_gate_verdict verdict = KM_GATE_MORE;
	struct evbuffer_ptr at;

	if (offset >= length || evbuffer_ptr_set(input, &at, offset, EVBUFFER_PTR_SET) < 0)
		return KM_GATE_MORE;
	while (offset < length && verdict == KM_GATE_MORE) {
		struct evbuffer_iovec piece;
		size_t used = 0;

		if (evbuffer_peek(input, -1, &at, &piece, 1) < 1)
			break;
		verdict = km_http_gate_feed(&conn->gate, piece.iov_base, piece.iov_len, &used);
		offset += used;
		if (verdict == KM_GATE_MORE && evbuffer_ptr_set(input, &at, piece.iov_len, EVBUFFER_PTR_ADD) < 0)
			break;
	}
	if (verdict == KM_GATE_HEAD)
		conn->beyond = length - offset;
	return verdict;
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
	struct km_http_conn *conn = conn_cast(arg);
	enum km_gate_verdict verdict;

	if (info->n_added == 0 || conn->state == KM_CONN_GONE || conn->state == KM_CONN_LINGER)
		return;
	if (conn->state >= KM_CONN_PENDING || conn->gate_done) {
		conn->beyond += info->n_added;
		return;
	}
	if (conn->state == KM_CONN_IDLE) {
		conn->state = KM_CONN_HEAD;
		km_http_conn_arm(conn, conn->server->limits.head_deadline_us);
	}
	verdict = gate_input(conn, evbuffer_get_length(input) - info->n_added);
	conn->gate_done = verdict == KM_GATE_HEAD;
	if (verdict == KM_GATE_BAD)
		linger_start(conn);
}

static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
	struct km_http_conn *conn = conn_cast(arg);

	if (info->n_deleted == 0 || conn->state == KM_CONN_GONE)
		return;
	conn->progress_us = km_now_us();
	km_http_request_output_drained(conn, evbuffer_get_length(output));
}

bool km_http_conn_next_head(struct km_http_conn *conn)
{
	size_t waiting = evbuffer_get_length(bufferevent_get_input(conn->bev));
	const struct km_http_limits *limits = &conn->server->limits;

	/* What stopped at the low mark inside the SSL would not wake the bufferevent again: a client that sends so far
	 * ahead reconnects. */
	if (SSL_pending(conn->ssl) > 0)
		return false;
	km_http_gate_next(&conn->gate);
	conn->gate_done = false;
	conn->beyond = 0;
	conn->state = waiting > 0 ? KM_CONN_HEAD : KM_CONN_IDLE;
	km_http_conn_arm(conn, waiting > 0 ? limits->head_deadline_us : limits->idle_us);
	bufferevent_setwatermark(conn->bev, EV_READ, 0, limits->head_bytes + 1);
	switch (gate_input(conn, 0)) {
	case KM_GATE_MORE:
		return true;
	case KM_GATE_HEAD:
		conn->gate_done = true;
		return true;
	case KM_GATE_BAD:
	default:
		conn->server->stats.refused_framing++;
		return false;
	}
}

void km_http_conn_replying(struct km_http_conn *conn, enum km_http_conn_state state)
{
	conn->state = state;
	conn->progress_us = km_now_us();
	conn->on_its_way = 0;
	km_http_conn_arm(conn, KM_MAX(conn->server->limits.write_stall_us / WRITE_LOOKS, 1));
}

/* ---- deadlines ---- */

/*
 * Whether the peer has taken bytes since the last look. Between a full kernel buffer and its being drained far enough
 * to be writable again libevent sees nothing, though a slow peer may be reading all the time; the kernel knows what is
 * still on its way.
 */
static bool peer_took_bytes(struct km_http_conn *conn)
{
	int before = conn->on_its_way;

	if (ioctl(bufferevent_getfd(conn->bev), SIOCOUTQ, &conn->on_its_way) < 0)
		return false;
	return conn->on_its_way < before;
}

/* True when the peer is given more time. */
static bool write_goes_on(struct km_http_conn *conn)
{
	uint64_t stall = conn->server->limits.write_stall_us, since = km_now_us() - conn->progress_us;
	bool took = peer_took_bytes(conn);

	/* a producer that takes its time does not make the peer a slow one */
	if (took || evbuffer_get_length(bufferevent_get_output(conn->bev)) == 0) {
		conn->progress_us = km_now_us();
		since = 0;
	}
	if (since >= stall)
		return false;
	km_http_conn_arm(conn, KM_MIN(stall - since, KM_MAX(stall / WRITE_LOOKS, 1)));
	return true;
}

static void on_timer(void *arg)
{
	struct km_http_conn *conn = conn_cast(arg);

	if ((conn->state == KM_CONN_STREAM || conn->state == KM_CONN_WRITE) && write_goes_on(conn))
		return;
	if (conn->state != KM_CONN_LINGER)
		conn->server->stats.deadline_closed++;
	km_http_conn_close(conn);
}

/* ---- the beginning ---- */

static void address_text(const struct sockaddr_storage *ss, char out[KM_HTTP_ADDRESS_MAX])
{
	const struct sockaddr_in *in = (const void *)ss;
	const struct sockaddr_in6 *in6 = (const void *)ss;

	out[0] = '\0';
	if (ss->ss_family == AF_INET)
		inet_ntop(AF_INET, &in->sin_addr, out, KM_HTTP_ADDRESS_MAX);
	else if (ss->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], out, KM_HTTP_ADDRESS_MAX);
	else if (ss->ss_family == AF_INET6)
		inet_ntop(AF_INET6, &in6->sin6_addr, out, KM_HTTP_ADDRESS_MAX);
}

/* Counts the connection for its address. False: one too many, or no memory. */
static bool join_peer(struct km_http_conn *conn)
{
	struct km_http_server *server = conn->server;
	struct km_http_peer *peer = km_map_get(&server->peers, conn->address, strlen(conn->address));

	if (!peer) {
		peer = calloc(1, sizeof(*peer));
		if (!peer)
			return false;
		memcpy(peer->address, conn->address, sizeof(peer->address));
		if (km_map_put(&server->peers, peer->address, strlen(peer->address), peer, NULL) < 0) {
			free(peer);
			return false;
		}
	}
	conn->peer = peer;
	return ++peer->connections <= server->limits.connections_per_peer;
}

/* evhttp's connection object: the argument it gives to its callbacks. NULL when it has let go of the bufferevent
 * already. */
static struct evhttp_connection *evcon_of(struct bufferevent *bev)
{
	void *evcon = NULL;

	bufferevent_getcb(bev, NULL, NULL, NULL, &evcon);
	assert(!evcon || evhttp_connection_get_bufferevent(evcon) == bev);
	return evcon;
}

/*
 * evhttp asks for a bufferevent before it gives it the socket, and tells nobody afterwards. This runs at the end of
 * that loop turn, before anything can have been read.
 */
static void accepted_reaped(void *arg)
{
	struct km_http_conn *conn = conn_cast(arg);
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);

	conn->evcon = conn->state == KM_CONN_GONE ? NULL : evcon_of(conn->bev);
	if (!conn->evcon) {
		conn_unref(conn);
		return;
	}
	evhttp_connection_set_closecb(conn->evcon, on_closed, conn);
	if (getpeername(bufferevent_getfd(conn->bev), (struct sockaddr *)&ss, &len) == 0)
		address_text(&ss, conn->address);
	if (conn->address[0] == '\0') {
		km_http_conn_close(conn); /* it has gone already */
	} else if (!join_peer(conn)) {
		conn->server->stats.refused_cap++;
		km_http_conn_close(conn);
	}
	conn_unref(conn);
}

static void refused_reaped(void *arg)
{
	struct bufferevent *bev = arg;
	struct evhttp_connection *evcon = evcon_of(bev);

	if (evcon)
		evhttp_connection_free(evcon);
	bufferevent_decref(bev);
}

/*
 * evhttp makes a plaintext connection of its own when it gets no bufferevent. So it always gets one, if need be one
 * that is closed at the end of the loop turn; without the memory even for that the process cannot go on.
 */
static struct bufferevent *refused(struct km_http_server *server, struct event_base *base)
{
	struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

	if (!bev)
		abort();
	server->stats.refused_cap++;
	bufferevent_incref(bev);
	km_loop_reap(server->loop, refused_reaped, bev);
	return bev;
}

static struct km_http_conn *conn_new(struct km_http_server *server)
{
	struct km_http_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	conn->magic = KM_HTTP_CONN_MAGIC;
	conn->refs = 1;
	conn->id = ++last_id;
	conn->req.conn = conn;
	if (km_timer_new(server->loop, on_timer, conn, &conn->timer) < 0 ||
		km_timer_new(server->loop, km_http_request_pump, conn, &conn->pump) < 0) {
		km_timer_free(conn->timer);
		free(conn);
		return NULL;
	}
	km_http_gate_init(&conn->gate, server->limits.head_bytes);
	conn->server = server;
	conn->next = server->conns;
	if (conn->next)
		conn->next->prev = conn;
	server->conns = conn;
	server->stats.connections++;
	return conn;
}

struct bufferevent *km_http_conn_accept(struct event_base *base, void *arg)
{
	struct km_http_server *server = KM_CAST(struct km_http_server, arg, KM_HTTP_SERVER_MAGIC);
	struct km_http_conn *conn;
	struct bufferevent *bev;
	SSL *ssl;

	pthread_once(&index_once, make_index);
	server->stats.accepted++;
	if (server->stats.connections >= server->limits.connections)
		return refused(server, base);
	ssl = SSL_new(server->tls);
	conn = ssl ? conn_new(server) : NULL;
	if (!conn || SSL_set_ex_data(ssl, conn_index, conn) != 1) {
		if (conn)
			conn_unref(conn);
		SSL_free(ssl);
		return refused(server, base);
	}
	/* from here on conn goes with the SSL, also when this fails */
	bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	if (!bev)
		return refused(server, base);
	conn->bev = bev;
	conn->ssl = ssl;
	if (!evbuffer_add_cb(bufferevent_get_input(bev), on_input, conn) ||
		!evbuffer_add_cb(bufferevent_get_output(bev), on_output, conn)) {
		/* without its eyes the connection must not live */
		bufferevent_free(bev);
		return refused(server, base);
	}
	bufferevent_setwatermark(bev, EV_READ, 0, server->limits.head_bytes + 1);
	km_http_conn_arm(conn, server->limits.head_deadline_us);
	conn->refs++;
	km_loop_reap(server->loop, accepted_reaped, conn);
	return bev;
}
