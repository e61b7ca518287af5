/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TLS connection to a kubelet: an evhttp client connection over bufferevent_openssl. The judge is called from
 * OpenSSL's verification, before our own certificate is sent: a refused kubelet learns nothing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "net/fetch_internal.h"

#define CONN_IO_TIMEOUT_S 3600 /* evhttp's own; the deadline of each request is ours */

static int ex_index = -1;

static void free_conn(void *arg)
{
	struct fetch_conn *c = KM_CAST(struct fetch_conn, arg, CONN_MAGIC);

	if (c->evcon)
		evhttp_connection_free(c->evcon);
	c->magic = 0;
	free(c);
}

void fetch_conn_drop(struct fetch_conn *c)
{
	if (!c || c->freeing)
		return;
	c->freeing = true;
	if (c->peer && c->peer->conn == c)
		c->peer->conn = NULL;
	c->peer = NULL;
	if (c->evcon)
		evhttp_connection_set_closecb(c->evcon, NULL, NULL);
	km_loop_reap(c->fetcher->loop, free_conn, c);
}

/* The kubelet closed an idle connection, or one in use (then on_reply tells the rest). */
static void on_close(struct evhttp_connection *evcon, void *arg)
{
	struct fetch_conn *c = KM_CAST(struct fetch_conn, arg, CONN_MAGIC);

	(void)evcon;
	if (c->peer && c->peer->state != GET_RUNNING)
		fetch_conn_drop(c);
}

static void on_reply(struct evhttp_request *req, void *arg)
{
	int saved_errno = errno;
	struct fetch_conn *c = KM_CAST(struct fetch_conn, arg, CONN_MAGIC);

	fetch_replied(c, req, c->connect_errno ? c->connect_errno : saved_errno);
}

static void on_http_error(enum evhttp_request_error error, void *arg)
{
	KM_CAST(struct fetch_conn, arg, CONN_MAGIC)->http_error = (int)error + 1;
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
	(void)input;
	KM_CAST(struct fetch_conn, arg, CONN_MAGIC)->received += info->n_added;
}

/*
 * The headers have come. evhttp waits for ever after a 100 (nothing is left to write that would wake it), takes any
 * other interim reply for the reply, any Transfer-Encoding but chunked for none, and the end of the connection for the
 * end of a body, which cannot be told from one that was cut short. Interim replies are refused rather than skipped: we
 * ask for none, and no kubelet sends one.
 */
static int on_headers(struct evhttp_request *req, void *arg)
{
	struct fetch_conn *c = KM_CAST(struct fetch_conn, arg, CONN_MAGIC);
	struct evkeyvalq *headers = evhttp_request_get_input_headers(req);
	const char *coding = evhttp_find_header(headers, "Transfer-Encoding");
	int status = evhttp_request_get_response_code(req);

	c->in_body = true;
	c->chunked = coding;
	if (status < 200)
		c->refused = km_fail(&c->refusal, -EBADMSG, "status %d in place of a reply", status);
	else if (coding && evutil_ascii_strcasecmp(coding, "chunked") != 0)
		c->refused = km_fail(&c->refusal, -EBADMSG, "a reply with Transfer-Encoding \"%.32s\"", coding);
	else if (!coding && !evhttp_find_header(headers, "Content-Length") && status != 204 && status != 304)
		c->refused = km_fail(&c->refusal, -EBADMSG, "a reply without a length");
	return c->refused;
}

static int on_verify(X509_STORE_CTX *store, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct fetch_conn *c = SSL_get_ex_data(ssl, ex_index);
	X509 *leaf = X509_STORE_CTX_get0_cert(store);

	(void)arg;
	KM_CAST(struct fetch_conn, c, CONN_MAGIC);
	if (!c->peer)
		return 0;
	if (!leaf)
		km_fail(&c->refusal, -EKEYREJECTED, "the kubelet sent no certificate");
	else if (c->peer->judge(
			 leaf, X509_STORE_CTX_get0_untrusted(store), c->address, c->peer->judge_arg, &c->refusal) == 0)
		return 1;
	c->refused = -EKEYREJECTED;
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

static SSL *new_ssl(struct fetch_conn *c, const struct km_fetch_peer *peer)
{
	SSL *ssl;

	if (ex_index < 0)
		ex_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	SSL_CTX_set_cert_verify_callback(c->fetcher->ctx, on_verify, NULL);
	SSL_CTX_set_verify(c->fetcher->ctx, SSL_VERIFY_PEER, NULL);
	ssl = SSL_new(c->fetcher->ctx);
	if (!ssl || SSL_set_ex_data(ssl, ex_index, c) != 1 ||
		(!peer->literal && SSL_set_tlsext_host_name(ssl, peer->host) != 1)) {
		SSL_free(ssl);
		return NULL;
	}
	return ssl;
}

static void on_connect(struct bufferevent *bev, short what, void *arg)
{
	int saved_errno = errno;
	struct fetch_conn *c = KM_CAST(struct fetch_conn, arg, CONN_MAGIC);

	if (what & BEV_EVENT_ERROR)
		c->connect_errno = saved_errno;
	bufferevent_setcb(bev, NULL, NULL, c->on_connect, c->on_connect_arg);
	c->on_connect(bev, what, c->on_connect_arg);
}

/* evhttp shuts the socket down before it tells of a connection that failed, and that puts ENOTCONN in place of why. */
static void catch_errno(struct fetch_conn *c)
{
	struct bufferevent *bev = evhttp_connection_get_bufferevent(c->evcon);

	bufferevent_getcb(bev, NULL, NULL, &c->on_connect, &c->on_connect_arg);
	bufferevent_setcb(bev, NULL, NULL, on_connect, c);
}

int fetch_conn_open(struct km_fetch_peer *peer, const char *address, struct km_err *err)
{
	struct km_fetcher *f = peer->fetcher;
	struct fetch_conn *c = calloc(1, sizeof(*c));
	struct bufferevent *bev;
	int r;

	if (!c)
		return km_fail(err, -ENOMEM, "out of memory");
	*c = (struct fetch_conn){.magic = CONN_MAGIC, .fetcher = f};
	snprintf(c->address, sizeof(c->address), "%s", address);
	if (peer->plain) {
		bev = bufferevent_socket_new(km_loop_base(f->loop), -1, BEV_OPT_CLOSE_ON_FREE);
	} else {
		c->ssl = new_ssl(c, peer);
		bev = c->ssl ? bufferevent_openssl_socket_new(km_loop_base(f->loop), -1, c->ssl,
				       BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE)
			     : NULL;
		if (!bev)
			SSL_free(c->ssl);
	}
	c->evcon = bev ? evhttp_connection_base_bufferevent_new(km_loop_base(f->loop), NULL, bev, address, peer->port)
		       : NULL;
	if (!c->evcon) {
		if (bev)
			bufferevent_free(bev);
		free_conn(c);
		return km_fail(err, -ENOMEM, "a connection could not be made");
	}
	if (!evbuffer_add_cb(bufferevent_get_input(bev), on_input, c)) {
		free_conn(c);
		return km_fail(err, -ENOMEM, "out of memory");
	}
	evhttp_connection_set_timeout(c->evcon, CONN_IO_TIMEOUT_S);
	evhttp_connection_set_retries(c->evcon, 0);
	evhttp_connection_set_max_headers_size(c->evcon, FETCH_HEADERS_MAX);
	evhttp_connection_set_closecb(c->evcon, on_close, c);
	c->peer = peer;
	peer->conn = c;
	peer->conn_generation = f->generation;
	r = fetch_conn_send(peer);
	if (r == 0 && !c->freeing) /* else it has failed at once */
		catch_errno(c);
	return r;
}

int fetch_conn_send(struct km_fetch_peer *peer)
{
	struct fetch_conn *c = peer->conn;
	struct evhttp_request *req = evhttp_request_new(on_reply, c);
	char host[FETCH_WHERE_MAX];
	struct evkeyvalq *headers;

	if (!req)
		return -ENOMEM;
	evhttp_request_set_error_cb(req, on_http_error);
	evhttp_request_set_header_cb(req, on_headers);
	evhttp_connection_set_max_body_size(c->evcon, (ev_ssize_t)peer->max_body);
	headers = evhttp_request_get_output_headers(req);
	fetch_where(peer, host);
	if (evhttp_add_header(headers, "Host", host) < 0 ||
		evhttp_add_header(headers, "User-Agent", peer->fetcher->user_agent) < 0 ||
		evhttp_add_header(headers, "Accept", "*/*") < 0 ||
		(peer->authorization && evhttp_add_header(headers, "Authorization", peer->authorization) < 0)) {
		evhttp_request_free(req);
		return -ENOMEM;
	}
	c->http_error = c->refused = 0;
	c->received = 0;
	c->in_body = c->chunked = false;
	peer->state = GET_RUNNING;
	peer->started_wall_ns = km_wall_ns();
	errno = 0;
	/* evhttp owns req from here on, also when this fails */
	return evhttp_make_request(c->evcon, req, EVHTTP_REQ_GET, peer->path) < 0 ? -EIO : 0;
}
