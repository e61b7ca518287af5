/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to a kubelet: connect, shake hands, send a request, read its reply, stay open. The readable event
 * stays armed for as long as the connection lives, so that a request costs one write and as many reads as the reply
 * comes in, and a kubelet that closes an idle connection is noticed.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "net/fetch_internal.h"

#define REQUEST_MAX (64 * 1024)

static void forget_request(struct fetch_conn *c)
{
	if (c->out.data)
		explicit_bzero(c->out.data, c->out.len); /* it may hold a token */
	km_buf_free(&c->out);
	c->sent = 0;
}

static void free_conn(void *arg)
{
	struct fetch_conn *c = KM_CAST(struct fetch_conn, arg, CONN_MAGIC);

	if (c->ssl && c->state == CONN_OPEN && !c->broken && !c->ended && c->io_errno == 0) {
		ERR_clear_error();
		SSL_shutdown(c->ssl); /* a goodbye, without waiting for theirs */
	}
	SSL_free(c->ssl);
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	if (c->fd >= 0)
		close(c->fd);
	forget_request(c);
	km_buf_free(&c->reply.in);
	c->magic = 0;
	free(c);
}

void fetch_conn_drop(struct fetch_conn *c)
{
	struct km_loop *loop;

	if (!c || !c->fetcher)
		return;
	loop = c->fetcher->loop;
	if (c->peer && c->peer->conn == c)
		c->peer->conn = NULL;
	fetch_input_end(c);
	c->peer = NULL;
	c->fetcher = NULL;
	if (c->readable)
		event_del(c->readable);
	if (c->writable)
		event_del(c->writable);
	km_loop_reap(loop, free_conn, c);
}

/* ---- failures ---- */

static int tls_failure(const char *where, unsigned long error, struct km_err *err)
{
	const char *reason = ERR_reason_error_string(error);
	/* the kubelet has no serving certificate yet: its CSR waits for approval (spec metrics-api 7, row 2) */
	bool internal = ERR_GET_REASON(error) == SSL_R_TLSV1_ALERT_INTERNAL_ERROR;

	return km_fail(err, -EPROTO, "%s: TLS: %s%s", where, reason ? reason : "handshake failed",
		internal ? "; the kubelet has no serving certificate yet: see kubectl get csr, and approve the pending "
			   "kubernetes.io/kubelet-serving request"
			 : "");
}

/* Why the connection cannot go on; err holds the judge's text if that refused. */
static int why(const struct fetch_conn *c, const struct km_fetch_peer *peer, struct km_err *err)
{
	unsigned long error = c->broken ? ERR_peek_error() : 0;
	char where[FETCH_WHERE_MAX];

	fetch_where(peer, where);
	if (c->refused) {
		km_err_prefix(err, "%s", where);
		return c->refused;
	}
	if (error)
		return tls_failure(where, error, err);
	if (c->received > 0)
		return km_fail(err, -EBADMSG, "%s: the connection was closed in the middle of the reply", where);
	if (c->io_errno && (c->state == CONN_CONNECTING || c->io_errno == EHOSTUNREACH || c->io_errno == ENETUNREACH ||
				   c->io_errno == ETIMEDOUT))
		return km_fail(err, -c->io_errno, "%s: %s", where, strerror(c->io_errno));
	return km_fail(err, -ECONNRESET, "%s: the connection was cut without a reply", where);
}

static void give_up(struct fetch_conn *c, int error, const struct km_err *err)
{
	if (c->peer->state == GET_RUNNING)
		fetch_failed(c, error, err->text);
	else
		fetch_conn_drop(c);
}

/* ---- bytes ---- */

/* 1: done, 0: when the socket says so, -1: never. */
static int tls_result(struct fetch_conn *c, int n)
{
	if (n > 0)
		return 1;
	switch (SSL_get_error(c->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		return 0;
	case SSL_ERROR_WANT_WRITE:
		if (c->fetcher)
			event_add(c->writable, NULL);
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		c->ended = true;
		return -1;
	default:
		c->broken = true;
		return -1;
	}
}

/* Bytes of the reply: how many, 0: none now, -1: no more. */
static ssize_t read_some(struct fetch_conn *c, char *out, size_t n)
{
	int got, r;

	if (!c->ssl)
		return fetch_input_take(c, out, n);
	ERR_clear_error();
	got = SSL_read(c->ssl, out, (int)n);
	r = tls_result(c, got);
	return r > 0 ? got : r;
}

static ssize_t write_some(struct fetch_conn *c, const char *bytes, size_t n)
{
	ssize_t sent;
	int r;

	if (c->ssl) {
		ERR_clear_error();
		sent = SSL_write(c->ssl, bytes, (int)n);
		r = tls_result(c, (int)sent);
		return r > 0 ? sent : r;
	}
	sent = send(c->fd, bytes, n, MSG_NOSIGNAL);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
		event_add(c->writable, NULL);
		return 0;
	}
	if (sent < 0)
		c->io_errno = errno;
	return sent;
}

static int send_request(struct fetch_conn *c)
{
	while (c->sent < c->out.len) {
		ssize_t n = write_some(c, c->out.data + c->sent, c->out.len - c->sent);

		if (n <= 0)
			return (int)n;
		c->sent += (size_t)n;
	}
	forget_request(c);
	return 0;
}

static void take_memory(struct fetch_conn *c)
{
	struct km_fetcher *f = c->fetcher;

	if (f->spare.cap > FETCH_SPARE_MAX)
		km_buf_free(&f->spare);
	fetch_reply_begin(&c->reply, &f->spare, c->peer->max_body);
}

/* 1: the reply is whole, 0: more is to come, negative: err says why not. */
static int receive(struct fetch_conn *c, struct km_err *err)
{
	char where[FETCH_WHERE_MAX];
	int r;

	if (c->reply.in.cap == 0)
		take_memory(c);
	do {
		struct km_buf *in = &c->reply.in;
		ssize_t n;

		/* fetch_reply_check tells of an error */
		if (km_buf_reserve(in, FETCH_PIECE_MAX) == 0) {
			n = read_some(c, in->data + in->len, FETCH_PIECE_MAX);
			if (n < 0)
				return why(c, c->peer, err);
			if (n == 0)
				return 0;
			in->len += (size_t)n;
			c->received += (size_t)n;
		}
		r = fetch_reply_check(&c->reply, err);
	} while (r == 0);
	if (r < 0) {
		fetch_where(c->peer, where);
		km_err_prefix(err, "%s", where);
	}
	return r;
}

/* Whether the next request can go over it: nothing came beyond the reply, which would answer that one. */
static bool can_be_kept(struct fetch_conn *c)
{
	char byte;

	if (!c->reply.keeps_alive || c->reply.next != c->reply.in.len || c->out.len > 0)
		return false;
	if (fetch_input_used_up(c) && (!c->ssl || !SSL_has_pending(c->ssl)))
		return true;
	return read_some(c, &byte, 1) == 0; /* a message of TLS itself, such as a ticket, is none */
}

static int shake_hands(struct fetch_conn *c, struct km_err *err)
{
	int r;

	ERR_clear_error();
	c->judged = err;
	r = tls_result(c, SSL_do_handshake(c->ssl));
	c->judged = NULL;
	if (!c->peer || r == 0)
		return 0; /* the judge may have freed the peer */
	if (r < 0)
		return why(c, c->peer, err);
	c->state = CONN_OPEN;
	c->peer->started_wall_ns = km_wall_ns();
	return send_request(c) < 0 ? why(c, c->peer, err) : 0;
}

static int connected(struct fetch_conn *c, struct km_err *err)
{
	socklen_t len = sizeof(c->io_errno);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &c->io_errno, &len) < 0)
		c->io_errno = errno;
	if (c->io_errno)
		return why(c, c->peer, err);
	if (event_add(c->readable, NULL) < 0)
		return km_fail(err, -ENOMEM, "out of memory");
	if (c->ssl) {
		c->state = CONN_HANDSHAKE;
		return shake_hands(c, err);
	}
	c->state = CONN_OPEN;
	c->peer->started_wall_ns = km_wall_ns();
	return send_request(c) < 0 ? why(c, c->peer, err) : 0;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct fetch_conn *c = KM_CAST(struct fetch_conn, arg, CONN_MAGIC);
	struct km_err err = {0};
	int r;

	(void)fd;
	(void)what;
	if (c->state == CONN_CONNECTING)
		r = connected(c, &err);
	else if (c->state == CONN_HANDSHAKE)
		r = shake_hands(c, &err);
	else
		r = send_request(c) < 0 ? why(c, c->peer, &err) : 0;
	if (r < 0)
		give_up(c, r, &err);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct fetch_conn *c = KM_CAST(struct fetch_conn, arg, CONN_MAGIC);
	struct km_err err = {0};
	bool keep = false;
	char byte;
	int r = 0;

	(void)fd;
	(void)what;
	fetch_input_begin(c);
	if (c->state == CONN_HANDSHAKE)
		r = shake_hands(c, &err);
	if (r == 0 && c->peer && c->state == CONN_OPEN) {
		if (c->peer->state == GET_RUNNING)
			r = receive(c, &err);
		else if (read_some(c, &byte, 1) != 0)
			r = -ECONNRESET; /* closed while idle, or speaks unasked */
	}
	if (r > 0)
		keep = can_be_kept(c) && fetch_input_used_up(c);
	else if (r == 0 && c->peer && !fetch_input_used_up(c))
		r = why(c, c->peer, &err); /* TLS has to write first, and the socket is full: what was read is lost */
	fetch_input_end(c);
	if (r > 0)
		fetch_replied(c, keep);
	else if (r < 0)
		give_up(c, r, &err);
}

/* ---- a new connection, a request ---- */

static int make_request(struct fetch_conn *c, const struct km_fetch_peer *peer)
{
	char host[FETCH_WHERE_MAX];
	struct km_buf *out = &c->out;

	fetch_where(peer, host);
	*out = KM_BUF_INIT(REQUEST_MAX);
	km_buf_adds(out, "GET ");
	km_buf_adds(out, peer->path);
	km_buf_adds(out, " HTTP/1.1\r\nHost: ");
	km_buf_adds(out, host);
	km_buf_adds(out, "\r\nUser-Agent: ");
	km_buf_adds(out, peer->fetcher->user_agent);
	km_buf_adds(out, "\r\nAccept: */*\r\n");
	if (peer->authorization) {
		km_buf_adds(out, "Authorization: ");
		km_buf_adds(out, peer->authorization);
		km_buf_adds(out, "\r\n");
	}
	km_buf_adds(out, "\r\n");
	c->sent = 0;
	c->received = 0;
	return out->error;
}

int fetch_conn_send(struct km_fetch_peer *peer)
{
	struct fetch_conn *c = peer->conn;
	int r = make_request(c, peer);

	if (r < 0)
		return r;
	peer->state = GET_RUNNING;
	peer->started_wall_ns = km_wall_ns();
	return send_request(c) < 0 ? -ECONNRESET : 0;
}

static int dial(struct fetch_conn *c, const struct km_fetch_peer *peer)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	char port[8];
	int on = 1, r;

	snprintf(port, sizeof(port), "%u", peer->port);
	if (getaddrinfo(c->address, port, &hints, &list) != 0)
		return -EADDRNOTAVAIL;
	c->fd = socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	r = c->fd < 0 ? -1 : connect(c->fd, list->ai_addr, list->ai_addrlen);
	r = r < 0 && errno != EINPROGRESS ? -errno : 0;
	freeaddrinfo(list);
	/* else the request waits until the end of our handshake is acknowledged, which takes the other side 40 ms */
	if (r == 0)
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return r;
}

static int set_up(struct fetch_conn *c, const struct km_fetch_peer *peer, struct km_err *err)
{
	struct event_base *base = km_loop_base(c->fetcher->loop);
	int r = dial(c, peer);

	if (r < 0) {
		c->io_errno = -r;
		return why(c, peer, err);
	}
	if (!peer->plain && fetch_tls_new(c, peer) < 0)
		return km_fail(err, -ENOMEM, "a connection could not be made");
	c->readable = event_new(base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(base, c->fd, EV_WRITE, on_writable, c);
	if (!c->readable || !c->writable || event_add(c->writable, NULL) < 0)
		return km_fail(err, -ENOMEM, "out of memory");
	return make_request(c, peer) < 0 ? km_fail(err, -EMSGSIZE, "the request is too long") : 0;
}

int fetch_conn_open(struct km_fetch_peer *peer, const char *address, struct km_err *err)
{
	struct fetch_conn *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return km_fail(err, -ENOMEM, "out of memory");
	*c = (struct fetch_conn){.magic = CONN_MAGIC, .fetcher = peer->fetcher, .fd = -1};
	snprintf(c->address, sizeof(c->address), "%s", address);
	r = set_up(c, peer, err);
	if (r < 0) {
		free_conn(c);
		return r;
	}
	c->peer = peer;
	peer->conn = c;
	peer->conn_generation = peer->fetcher->generation;
	peer->state = GET_RUNNING;
	return 0;
}
