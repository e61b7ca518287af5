/* SPDX-License-Identifier: Apache-2.0 */
/* TLS under evhttp, and small replies. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "tests/sim/sim.h"

#define BODY_MAX (1 << 20) /* of a request */

int64_t sim_now_ns(void)
{
	return km_wall_ns();
}

static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
	struct sim_server *server = arg;
	SSL *ssl = SSL_new(server->tls);
	struct bufferevent *bev;

	NEED(ssl);
	NEED(bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE));
	bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	(*server->connections)++;
	return bev;
}

struct evhttp *sim_http(struct event_base *base, struct sim_server *server,
	void (*fn)(struct evhttp_request *req, void *arg), void *arg)
{
	struct evhttp *http = evhttp_new(base);

	NEED(http);
	evhttp_set_bevcb(http, on_connection, server);
	evhttp_set_gencb(http, fn, arg);
	evhttp_set_allowed_methods(
		http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_PUT | EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE);
	evhttp_set_max_body_size(http, BODY_MAX);
	evhttp_set_timeout(http, 600);
	return http;
}

void sim_listen(struct evhttp *http, const char *address, uint16_t *port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(*port)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	NEED(fd >= 0 && inet_pton(AF_INET, address, &sin.sin_addr) == 1);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(fd, 512) < 0) {
		fprintf(stderr, "kmsim: %s:%u: %s\n", address, *port, strerror(errno));
		exit(1);
	}
	NEED(getsockname(fd, (struct sockaddr *)&sin, &len) == 0);
	*port = ntohs(sin.sin_port);
	NEED(evhttp_accept_socket(http, fd) == 0);
}

SSL_CTX *sim_tls(struct sim *sim)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	NEED(ctx);
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	NEED(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), sim->ca.cert) == 1);
	SSL_CTX_add_client_CA(ctx, sim->ca.cert);
	return ctx;
}

SSL *sim_request_ssl(struct evhttp_request *req)
{
	return bufferevent_openssl_get_ssl(evhttp_connection_get_bufferevent(evhttp_request_get_connection(req)));
}

bool sim_is_known(struct evhttp_request *req)
{
	const char *authorization = evhttp_find_header(evhttp_request_get_input_headers(req), "Authorization");

	return SSL_get0_peer_certificate(sim_request_ssl(req)) ||
	       (authorization && strcmp(authorization, "Bearer " SIM_TOKEN) == 0);
}

void sim_reply(struct evhttp_request *req, int code, const char *type, struct km_buf *body)
{
	struct evbuffer *out = evhttp_request_get_output_buffer(req);

	NEED(body->error == 0);
	evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", type);
	evbuffer_add(out, body->data ? body->data : "", body->len);
	evhttp_send_reply(req, code, NULL, NULL);
}

void sim_reply_text(struct evhttp_request *req, int code, const char *type, const char *text)
{
	struct km_buf body = KM_BUF_INIT(BODY_MAX);

	km_buf_adds(&body, text);
	sim_reply(req, code, type, &body);
	km_buf_free(&body);
}

void sim_forget(struct evhttp_request *req)
{
	if (!evhttp_request_get_connection(req))
		evhttp_request_free(req);
}

void sim_cut(struct evhttp_request *req)
{
	struct evhttp_connection *conn = evhttp_request_get_connection(req);

	if (conn)
		evhttp_connection_free(conn);
	else
		sim_forget(req);
}
