/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTPS server: listening, counting, draining, ending; see http_server.h, and http_internal.h for its parts.
 */
#include "net/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "net/http_internal.h"

#define LISTEN_BACKLOG  1024
#define ACCEPT_PAUSE_US (100 * KM_USEC_PER_MSEC) /* when there is no descriptor left */
#define ALL_METHODS     0xffff /* also evhttp's bit for those it does not know: the handler answers 405 */

const struct km_http_limits km_http_limits_default = {
	.connections = 4096,
	.connections_per_peer = 1024,
	.head_bytes = 32 * 1024,
	.head_deadline_us = 10 * KM_USEC_PER_SEC,
	.idle_us = 90 * KM_USEC_PER_SEC,
	.write_stall_us = 30 * KM_USEC_PER_SEC,
	.output_high_water = 256 * 1024,
	.slice_us = 2 * KM_USEC_PER_MSEC,
};

/* evhttp owns the argument of the listener's callbacks, so the error callback has to look its server up. */
static struct km_http_server *servers;

static void server_freep(struct km_http_server **server)
{
	km_http_server_free(*server);
	*server = NULL;
}

/* ---- listening ---- */

static int read_address(const char *text, uint16_t port, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_in *in = (void *)ret;
	struct sockaddr_in6 *in6 = (void *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		*ret_len = sizeof(*in);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		*ret_len = sizeof(*in6);
		return 0;
	}
	return -EINVAL;
}

/* TCP_NODELAY is inherited by the accepted sockets; without it a reply over TLS waits for a delayed ACK, about 40 ms.
 */
static int open_socket(const struct sockaddr_storage *ss, socklen_t len)
{
	int fd = socket(ss->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, off = 0, e;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
		(ss->ss_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0) &&
		bind(fd, (const struct sockaddr *)ss, len) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	e = errno;
	close(fd);
	return -e;
}

static void resume_accepting(void *arg)
{
	struct km_http_server *server = KM_CAST(struct km_http_server, arg, KM_HTTP_SERVER_MAGIC);

	if (server->listener)
		evconnlistener_enable(server->listener);
}

/* No descriptor or no memory: the connection stays in the queue, and accepting again at once would spin. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	for (struct km_http_server *s = servers; s; s = s->next)
		if (s->listener == listener) {
			evconnlistener_disable(listener);
			km_timer_set(s->accept_timer, ACCEPT_PAUSE_US);
		}
}

static int listen_on(struct km_http_server *server, const char *address, uint16_t port, struct km_err *err)
{
	struct sockaddr_storage ss;
	socklen_t len = 0;
	int fd, r;

	r = read_address(address, port, &ss, &len);
	if (r < 0)
		return km_fail(err, r, "cannot listen on %s: it is not an IP address", address);
	fd = open_socket(&ss, len);
	if (fd < 0)
		return km_fail(err, fd, "cannot listen on %s port %u: %s", address, port, strerror(-fd));
	len = sizeof(ss);
	if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
		server->port = ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
							      : ((struct sockaddr_in *)&ss)->sin_port);
	server->listener = evconnlistener_new(
		km_loop_base(server->loop), NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!server->listener) {
		close(fd);
		return km_fail(err, -ENOMEM, "cannot listen on %s port %u: no memory", address, port);
	}
	server->bound = evhttp_bind_listener(server->http, server->listener);
	if (!server->bound) {
		evconnlistener_free(server->listener);
		server->listener = NULL;
		return km_fail(err, -ENOMEM, "cannot listen on %s port %u: no memory", address, port);
	}
	evconnlistener_set_error_cb(server->listener, on_accept_error);
	return 0;
}

static void stop_listening(struct km_http_server *server)
{
	if (server->bound)
		evhttp_del_accept_socket(server->http, server->bound);
	server->bound = NULL;
	server->listener = NULL;
}

/* ---- draining ---- */

static void close_all(struct km_http_server *server)
{
	struct km_http_conn *conn, *next;

	for (conn = server->conns; conn; conn = next) {
		next = conn->next;
		km_http_conn_close(conn);
	}
}

static void on_drain_timer(void *arg)
{
	struct km_http_server *server = KM_CAST(struct km_http_server, arg, KM_HTTP_SERVER_MAGIC);
	km_loop_fn drained = KM_TAKE(server->drained);

	close_all(server);
	if (drained)
		drained(server->drained_arg); /* may free the server */
}

void km_http_server_counted(struct km_http_server *server)
{
	if (server->drained && server->stats.connections == 0)
		km_timer_set(server->drain_timer, 0);
}

/* Nothing was asked on it (any more). Clients open connections ahead of need: these must not hold up the end. */
static bool asks_nothing(const struct km_http_conn *conn)
{
	return conn->state == KM_CONN_IDLE ||
	       (conn->state == KM_CONN_FRESH && evbuffer_get_length(bufferevent_get_input(conn->bev)) == 0);
}

void km_http_server_drain(struct km_http_server *server, uint64_t deadline_us, km_loop_fn drained, void *arg)
{
	struct km_http_conn *conn, *next;

	server->draining = true;
	server->drained = drained;
	server->drained_arg = arg;
	stop_listening(server);
	km_timer_cancel(server->accept_timer);
	km_timer_set(server->drain_timer, deadline_us);
	for (conn = server->conns; conn; conn = next) {
		next = conn->next;
		if (asks_nothing(conn))
			km_http_conn_close_later(conn);
	}
	km_http_server_counted(server);
}

/* ---- making and ending ---- */

int km_http_server_new(struct km_loop *loop, const struct km_http_server_config *config, struct km_http_server **ret,
	struct km_err *err)
{
	_cleanup_(server_freep) struct km_http_server *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return km_fail(err, -ENOMEM, "no memory for the HTTPS server");
	server->magic = KM_HTTP_SERVER_MAGIC;
	server->loop = loop;
	server->limits = config->limits ? *config->limits : km_http_limits_default;
	server->handler = config->handler;
	server->arg = config->arg;
	server->next = servers;
	servers = server;
	SSL_CTX_up_ref(config->tls);
	server->tls = config->tls;
	server->http = evhttp_new(km_loop_base(loop));
	if (!server->http || km_timer_new(loop, resume_accepting, server, &server->accept_timer) < 0 ||
		km_timer_new(loop, on_drain_timer, server, &server->drain_timer) < 0)
		return km_fail(err, -ENOMEM, "no memory for the HTTPS server");
	evhttp_set_bevcb(server->http, km_http_conn_accept, server);
	evhttp_set_gencb(server->http, km_http_request_arrived, server);
	evhttp_set_allowed_methods(server->http, ALL_METHODS);
	evhttp_set_default_content_type(server->http, NULL);
	evhttp_set_max_headers_size(server->http, (ev_ssize_t)server->limits.head_bytes);
	evhttp_set_max_body_size(server->http, 0);
	r = listen_on(server, config->bind_address, config->port, err);
	if (r < 0)
		return r;
	*ret = KM_TAKE(server);
	return 0;
}

uint16_t km_http_server_port(const struct km_http_server *server)
{
	return server->port;
}

void km_http_server_set_tls(struct km_http_server *server, SSL_CTX *tls)
{
	SSL_CTX_up_ref(tls);
	SSL_CTX_free(server->tls);
	server->tls = tls;
}

void km_http_server_stats(const struct km_http_server *server, struct km_http_server_stats *ret)
{
	*ret = server->stats;
}

void km_http_server_free(struct km_http_server *server)
{
	if (!server)
		return;
	server->drained = NULL;
	stop_listening(server);
	close_all(server);
	if (server->http)
		evhttp_free(server->http);
	/* those that evhttp had let go of, whose bufferevents libevent has not freed yet */
	while (server->conns)
		km_http_conn_retire(server->conns);
	for (struct km_http_server **p = &servers; *p; p = &(*p)->next)
		if (*p == server) {
			*p = server->next;
			break;
		}
	km_map_free(&server->peers);
	km_timer_free(server->accept_timer);
	km_timer_free(server->drain_timer);
	SSL_CTX_free(server->tls);
	server->magic = 0;
	free(server);
}
