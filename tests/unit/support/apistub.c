/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scripted API server; see apistub.h.
 */
#include "tests/unit/support/apistub.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/clock.h"
#include "tests/unit/support/pki.h"

#define NEED(x)                                                                 \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                \
		}                                                               \
	} while (0)

struct apistub {
	struct km_loop *loop;
	apistub_fn fn;
	void *arg;
	struct test_cert cert;
	SSL_CTX *tls;
	struct evconnlistener *listener;
	uint16_t port;
	char url[64];
	struct apistub_conn *conns;
};

struct apistub_conn {
	struct apistub *stub;
	struct apistub_conn *next;
	struct bufferevent *bev; /* NULL: closed */
	bool closing;
};

static void drop(struct apistub_conn *c)
{
	if (c->bev)
		bufferevent_free(KM_TAKE(c->bev));
}

bool apistub_is_open(const struct apistub_conn *c)
{
	return c->bev != NULL;
}

/* One request at a time; libcurl does not pipeline. */
static void on_read(struct bufferevent *bev, void *arg)
{
	struct apistub_conn *c = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
	size_t head_len, body_len = 0;
	char *head, *body, *method, *target, *line, *copy, *save;

	if (end.pos < 0)
		return;
	head_len = (size_t)end.pos + 4;
	head = calloc(1, head_len + 1);
	NEED(head && evbuffer_copyout(in, head, head_len) == (ssize_t)head_len);
	line = strcasestr(head, "\r\nContent-Length:");
	if (line)
		body_len = strtoul(line + strlen("\r\nContent-Length:"), NULL, 10);
	if (evbuffer_get_length(in) < head_len + body_len) {
		if (strcasestr(head, "\r\nExpect: 100-continue"))
			apistub_raw(c, "HTTP/1.1 100 Continue\r\n\r\n");
		free(head);
		return;
	}
	evbuffer_drain(in, head_len);
	body = calloc(1, body_len + 1);
	NEED(body && evbuffer_remove(in, body, body_len) == (int)body_len);
	copy = strdup(head);
	NEED(copy);
	method = strtok_r(copy, " ", &save);
	target = strtok_r(NULL, " ", &save);
	const struct apistub_request request = {.method = method, .target = target, .body = body, .head = head};
	c->stub->fn(c, &request, c->stub->arg);
	free(copy);
	free(head);
	free(body);
}

static void on_write(struct bufferevent *bev, void *arg)
{
	struct apistub_conn *c = arg;

	if (c->closing && evbuffer_get_length(bufferevent_get_output(bev)) == 0)
		drop(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct apistub_conn *c = arg;

	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))
		drop(c);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *a, int len, void *arg)
{
	struct apistub *s = arg;
	struct apistub_conn *c = calloc(1, sizeof(*c));
	SSL *ssl = SSL_new(s->tls);
	int one = 1;

	NEED(c && ssl);
	/* else each reply in pieces waits for the other side's delayed acknowledgement */
	NEED(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
	c->stub = s;
	c->next = s->conns;
	s->conns = c;
	c->bev = bufferevent_openssl_socket_new(km_loop_base(s->loop), fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
		BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	NEED(c->bev);
	bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

void apistub_restart(struct apistub *s)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(s->port)};
	socklen_t len = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->listener = evconnlistener_new_bind(km_loop_base(s->loop), on_accept, s,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 16, (struct sockaddr *)&address, sizeof(address));
	NEED(s->listener);
	NEED(getsockname(evconnlistener_get_fd(s->listener), (struct sockaddr *)&address, &len) == 0);
	s->port = ntohs(address.sin_port);
	snprintf(s->url, sizeof(s->url), "https://127.0.0.1:%u", s->port);
}

struct apistub *apistub_new(struct km_loop *loop, apistub_fn fn, void *arg)
{
	const struct test_cert_spec spec = {.cn = "apistub",
		.ca = true,
		.ku = "digitalSignature,keyCertSign",
		.eku = "serverAuth",
		.san = "IP:127.0.0.1"};
	struct apistub *s = calloc(1, sizeof(*s));

	NEED(s);
	signal(SIGPIPE, SIG_IGN); /* as the daemon does: OpenSSL writes without MSG_NOSIGNAL */
	s->loop = loop;
	s->fn = fn;
	s->arg = arg;
	test_cert_make(&spec, &s->cert);
	s->tls = SSL_CTX_new(TLS_server_method());
	NEED(s->tls && SSL_CTX_use_certificate(s->tls, s->cert.cert) == 1 &&
		SSL_CTX_use_PrivateKey(s->tls, s->cert.key) == 1);
	apistub_restart(s);
	return s;
}

size_t apistub_open(const struct apistub *s)
{
	size_t n = 0;

	for (const struct apistub_conn *c = s->conns; c; c = c->next)
		n += c->bev != NULL;
	return n;
}

void apistub_stop(struct apistub *s)
{
	if (s->listener)
		evconnlistener_free(KM_TAKE(s->listener));
	for (struct apistub_conn *c = s->conns; c; c = c->next)
		drop(c);
}

void apistub_free(struct apistub *s)
{
	apistub_stop(s);
	while (s->conns) {
		struct apistub_conn *next = s->conns->next;
		free(s->conns);
		s->conns = next;
	}
	SSL_CTX_free(s->tls);
	test_cert_free(&s->cert);
	free(s);
}

const char *apistub_url(const struct apistub *s)
{
	return s->url;
}

X509 *apistub_cert(const struct apistub *s)
{
	return s->cert.cert;
}

void apistub_raw(struct apistub_conn *c, const char *bytes)
{
	if (c->bev)
		bufferevent_write(c->bev, bytes, strlen(bytes));
}

static void add(struct apistub_conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct apistub_conn *c, const char *fmt, ...)
{
	va_list ap;

	if (!c->bev)
		return;
	va_start(ap, fmt);
	evbuffer_add_vprintf(bufferevent_get_output(c->bev), fmt, ap);
	va_end(ap);
}

void apistub_reply(struct apistub_conn *c, int status, const char *headers, const char *body)
{
	add(c, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n%s", status,
		strlen(body), headers ? headers : "", body);
}

void apistub_stream(struct apistub_conn *c, int status)
{
	add(c, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", status);
}

void apistub_chunk(struct apistub_conn *c, const char *text)
{
	add(c, "%zx\r\n%s\r\n", strlen(text), text);
}

void apistub_end(struct apistub_conn *c)
{
	apistub_raw(c, "0\r\n\r\n");
}

void apistub_cut(struct apistub_conn *c)
{
	c->closing = true;
	if (c->bev && evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
		drop(c);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	*(bool *)arg = true;
}

bool apistub_until(struct km_loop *loop, bool (*cond)(void *arg), void *arg)
{
	const struct timeval limit = {.tv_sec = getenv("KMETRICSD_TEST_SLOW") ? 50 : 5};
	bool late = false;
	struct event *deadline = evtimer_new(km_loop_base(loop), on_deadline, &late);

	NEED(deadline && evtimer_add(deadline, &limit) == 0);
	while (!late && !cond(arg))
		NEED(event_base_loop(km_loop_base(loop), EVLOOP_ONCE) >= 0);
	event_free(deadline);
	return !late;
}
