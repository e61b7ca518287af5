/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scene of the server's tests: a real server on 127.0.0.1 and a client that runs on the loop's worker thread. The
 * client function keeps what it saw in the scene; the test checks it after play() has returned.
 */
#pragma once

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "net/http_server.h"
#include "net/tls.h"
#include "tests/unit/support/pki.h"
#include "tests/unit/support/tls_client.h"

#define HOST        "Host: x\r\n"
#define MS          KM_USEC_PER_MSEC
/* far beyond what anything takes, also under valgrind */
#define WATCHDOG_US (120 * KM_USEC_PER_SEC)

struct scene {
	struct km_loop *loop;
	struct km_http_server *server;
	SSL_CTX *tls;
	struct km_http_limits limits;
	uint16_t port;
	struct km_timer *watchdog;
	bool stuck;
	/* what the client saw */
	struct test_reply reply[4];
	bool ok[8];
	size_t count;
	/* what the handler saw */
	unsigned requests, cancelled, done;
	char method[40], target[256], seen[512];
	struct km_http_req *pending;
	uint64_t connection_id[4];
};

static struct test_cert scene_ca, scene_cert, scene_client;

static inline int scene_set_up(void **state)
{
	signal(SIGPIPE, SIG_IGN);
	test_cert_make(&(struct test_cert_spec){.cn = "CA", .ca = true}, &scene_ca);
	test_cert_make(&(struct test_cert_spec){.cn = "server", .eku = "serverAuth", .issuer = &scene_ca}, &scene_cert);
	test_cert_make(
		&(struct test_cert_spec){.cn = "client", .eku = "clientAuth", .issuer = &scene_ca}, &scene_client);
	return 0;
}

static inline int scene_tear_down(void **state)
{
	test_cert_free(&scene_ca);
	test_cert_free(&scene_cert);
	test_cert_free(&scene_client);
	return 0;
}

static inline SSL_CTX *scene_tls(const struct test_cert *c)
{
	_cleanup_free_ char *cert = test_cert_pem(c->cert), *key = test_key_pem(c->key);
	struct km_identity *id = NULL;
	SSL_CTX *ctx = NULL;

	assert_int_equal(km_identity_parse(cert, strlen(cert), key, strlen(key), "test", &id, NULL), 0);
	assert_int_equal(km_tls_server_ctx(id, NULL, &ctx, NULL), 0);
	km_identity_unref(id);
	return ctx;
}

/* The plain handler: answers 200 with "METHOD TARGET". */
static inline void scene_answer(struct km_http_req *req, void *arg)
{
	struct scene *s = arg;
	const char *group = km_http_req_header(req, "X-Remote-Group");
	char body[512];
	int n;

	if (s->requests < KM_ARRAY_LEN(s->connection_id))
		s->connection_id[s->requests] = km_http_req_connection_id(req);
	s->requests++;
	snprintf(s->method, sizeof(s->method), "%s", km_http_req_method(req));
	snprintf(s->target, sizeof(s->target), "%.200s", km_http_req_target(req));
	if (group)
		snprintf(s->seen, sizeof(s->seen), "%.200s", group);
	n = snprintf(body, sizeof(body), "%s %.200s", km_http_req_method(req), km_http_req_target(req));
	km_http_reply(req, 200, "text/plain", body, (size_t)n);
}

static inline void scene_cancelled(void *arg)
{
	struct scene *s = arg;

	s->cancelled++;
	s->pending = NULL;
}

/* Keeps the request; never answers. */
static inline void scene_keep(struct km_http_req *req, void *arg)
{
	struct scene *s = arg;

	s->requests++;
	s->pending = req;
	km_http_req_on_cancel(req, scene_cancelled, s);
}

static inline void scene_stuck(void *arg)
{
	struct scene *s = arg;

	s->stuck = true;
	km_loop_stop(s->loop);
}

static inline void scene_open(struct scene *s, km_http_handler handler)
{
	struct km_http_server_config config = {.bind_address = "127.0.0.1", .handler = handler, .arg = s};
	struct km_err err = {0};

	if (s->limits.connections == 0)
		s->limits = km_http_limits_default;
	assert_int_equal(km_loop_new(&s->loop, &err), 0);
	assert_int_equal(km_timer_new(s->loop, scene_stuck, s, &s->watchdog), 0);
	s->tls = scene_tls(&scene_cert);
	config.tls = s->tls;
	config.limits = &s->limits;
	if (km_http_server_new(s->loop, &config, &s->server, &err) != 0)
		fail_msg("%s", err.text);
	s->port = km_http_server_port(s->server);
}

static inline void scene_close(struct scene *s)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(s->reply); i++)
		test_reply_free(&s->reply[i]);
	km_http_server_free(s->server);
	km_timer_free(s->watchdog);
	km_loop_free(s->loop);
	SSL_CTX_free(s->tls);
}

static inline void scene_stop(void *arg)
{
	struct scene *s = arg;

	km_loop_stop(s->loop);
}

/* Runs the loop until the client function has returned. */
static inline void play(struct scene *s, void (*client)(void *scene))
{
	km_timer_set(s->watchdog, WATCHDOG_US);
	assert_int_equal(km_loop_work(s->loop, client, scene_stop, s), 0);
	assert_int_equal(km_loop_run(s->loop), 0);
	assert_false(s->stuck);
	km_timer_cancel(s->watchdog);
}

struct scene_condition {
	struct scene *s;
	bool (*holds)(struct scene *s);
	struct km_timer *timer;
};

static inline void scene_check(void *arg)
{
	struct scene_condition *c = arg;

	if (c->holds(c->s))
		km_loop_stop(c->s->loop);
	else
		km_timer_set(c->timer, MS);
}

/* Runs the loop until something holds. */
static inline void wait_until(struct scene *s, bool (*holds)(struct scene *s))
{
	struct scene_condition c = {.s = s, .holds = holds};

	assert_int_equal(km_timer_new(s->loop, scene_check, &c, &c.timer), 0);
	km_timer_set(c.timer, 0);
	km_timer_set(s->watchdog, WATCHDOG_US);
	assert_int_equal(km_loop_run(s->loop), 0);
	km_timer_free(c.timer);
	assert_false(s->stuck);
	km_timer_cancel(s->watchdog);
}

static inline struct km_http_server_stats stats_of(struct scene *s)
{
	struct km_http_server_stats stats;

	km_http_server_stats(s->server, &stats);
	return stats;
}

static inline bool nobody_connected(struct scene *s)
{
	return stats_of(s).connections == 0;
}

static inline uint64_t now_ms(void)
{
	return km_now_us() / MS;
}

static inline void scene_answer_large(struct km_http_req *req, void *arg)
{
	struct scene *s = arg;
	char *large = calloc(1, 32 * 1024 * 1024);

	s->requests++;
	km_http_reply(req, 200, "text/plain", large, 32 * 1024 * 1024);
	free(large);
}

static inline void scene_get_client(void *arg)
{
	struct scene *s = arg;
	struct test_client c;

	s->ok[0] = test_client_connect(&c, s->port, NULL) && test_client_puts(&c, "GET /a HTTP/1.1\r\n" HOST "\r\n") &&
		   test_client_reply(&c, false, &s->reply[0]);
	test_client_close(&c);
}
