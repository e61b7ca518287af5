/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's shield, item by item. That an item does something is shown either by wider limits, with which the same
 * client gets through, or by a naked server: evhttp over TLS with the same answers and no shield, which falls for the
 * attack. What the naked one does depends on libevent's version (some holes are patched in Debian 12's security
 * updates), so for those it is only printed. This program runs also against an unpatched libevent, see
 * tests/unit/run-unpatched-libevent.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "net/http_internal.h"
#include "tests/unit/net/http_scene.h"

/* ---- the naked server ---- */

struct naked {
	struct scene *s;
	struct evhttp *http;
	bool plain; /* its bufferevent callback returns NULL */
	int nodelay;
};

static struct bufferevent *naked_bev(struct event_base *base, void *arg)
{
	struct naked *n = arg;

	if (n->plain)
		return NULL;
	return bufferevent_openssl_socket_new(
		base, -1, SSL_new(n->s->tls), BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
}

static void naked_answer(struct evhttp_request *req, void *arg)
{
	struct naked *n = arg;
	struct bufferevent *bev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(req));
	const char *group = evhttp_find_header(evhttp_request_get_input_headers(req), "X-Remote-Group");
	struct evbuffer *body = evbuffer_new();
	socklen_t len = sizeof(n->nodelay);

	getsockopt(bufferevent_getfd(bev), IPPROTO_TCP, TCP_NODELAY, &n->nodelay, &len);
	n->s->requests++;
	snprintf(n->s->target, sizeof(n->s->target), "%.200s", evhttp_request_get_uri(req));
	if (group)
		snprintf(n->s->seen, sizeof(n->s->seen), "%.200s", group);
	evbuffer_add_printf(body, "naked");
	if (n->s->count > 0) { /* a large reply is wanted */
		char *large = calloc(1, n->s->count);

		evbuffer_add(body, large, n->s->count);
		free(large);
	}
	evhttp_send_reply(req, 200, "OK", body);
	evbuffer_free(body);
}

static void naked_open(struct naked *n, struct scene *s)
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	struct evhttp_bound_socket *bound;

	n->s = s;
	assert_int_equal(km_loop_new(&s->loop, NULL), 0);
	assert_int_equal(km_timer_new(s->loop, scene_stuck, s, &s->watchdog), 0);
	s->tls = scene_tls(&scene_cert);
	n->http = evhttp_new(km_loop_base(s->loop));
	evhttp_set_bevcb(n->http, naked_bev, n);
	evhttp_set_gencb(n->http, naked_answer, n);
	evhttp_set_allowed_methods(n->http, 0xffff);
	bound = evhttp_bind_socket_with_handle(n->http, "127.0.0.1", 0);
	assert_non_null(bound);
	assert_int_equal(getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&in, &len), 0);
	s->port = ntohs(in.sin_port);
}

static void naked_close(struct naked *n)
{
	evhttp_free(n->http);
	scene_close(n->s);
}

/* ---- what must not be acted on ---- */

struct attack {
	const char *name, *bytes;
	size_t len;
	int status;
	const char *words;
	bool always; /* every 2.1.12 falls for it */
};

#define LITERAL(s) s, sizeof(s) - 1

static const struct attack attacks[] = {
	{"NUL cuts a group", LITERAL("GET /a HTTP/1.1\r\n" HOST "X-Remote-Group: sys\0tem:masters\r\n\r\n"), 400, "NUL",
		true},
	{"NUL cuts a target", LITERAL("GET /a\0b HTTP/1.1\r\n" HOST "\r\n"), 400, "NUL", false},
	{"space before the colon", LITERAL("GET /a HTTP/1.1\r\n" HOST "Content-Length : 5\r\n\r\n"), 400, "colon",
		true},
	{"folded header", LITERAL("GET /a HTTP/1.1\r\n" HOST "X-Remote-Group: a\r\n b\r\n\r\n"), 400, "folded", true},
	{"bare LF", LITERAL("GET /a HTTP/1.1\n" HOST "\n"), 400, "LF", true},
	{"bare CR", LITERAL("GET /a HTTP/1.1\r\n" HOST "A: b\rX-Remote-Group: c\r\n\r\n"), 400, "CR", false},
	{"Content-Length twice", LITERAL("GET /a HTTP/1.1\r\n" HOST "Content-Length: 0\r\nContent-Length: 5\r\n\r\n"),
		400, "twice", false},
	{"Content-Length and chunked",
		LITERAL("POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
		400, "Transfer-Encoding", false},
	{"chunked", LITERAL("POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400,
		"Transfer-Encoding", true},
	{"odd Transfer-Encoding", LITERAL("GET /a HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n"), 400,
		"Transfer-Encoding", true},
	{"a body", LITERAL("GET /a HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"), 400, "body", true},
	{"signed Content-Length", LITERAL("GET /a HTTP/1.1\r\n" HOST "Content-Length: +0\r\n\r\n"), 400, "number",
		true},
	{"Host twice", LITERAL("GET /a HTTP/1.1\r\n" HOST HOST "\r\n"), 400, "twice", true},
	{"absolute target", LITERAL("GET http://other/a HTTP/1.1\r\n" HOST "\r\n"), 400, "start with /", true},
	{"space in the target", LITERAL("GET /a b HTTP/1.1\r\n" HOST "\r\n"), 400, "version", true},
	{"HTTP/1.9", LITERAL("GET /a HTTP/1.9\r\n" HOST "\r\n"), 505, "HTTP/1.1", true},
	{"odd header name", LITERAL("GET /a HTTP/1.1\r\n" HOST "X-Remote-Gr oup: x\r\n\r\n"), 400, "colon", true},
	{"control character", LITERAL("GET /a HTTP/1.1\r\n" HOST "X-Remote-Group: a\x01\r\n\r\n"), 400, "control",
		true},
	{"a tunnel", LITERAL("CONNECT /a HTTP/1.1\r\n" HOST "\r\n"), 405, "CONNECT", false},
};

static const struct attack *attack;
static bool attack_in_bytes, attack_naked;

/* ok[0]: a reply came; ok[1]: and then a clean end, not a reset that could overtake the reply */
static void attack_client(void *arg)
{
	struct scene *s = arg;
	struct test_client c;
	char byte;

	if (!test_client_connect(&c, s->port, NULL))
		goto out;
	if (attack_naked) /* some of its replies never end */
		setsockopt(c.fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_usec = 200000}, sizeof(struct timeval));
	for (size_t i = 0; attack_in_bytes && i < attack->len; i++)
		test_client_send(&c, attack->bytes + i, 1);
	if (!attack_in_bytes)
		test_client_send(&c, attack->bytes, attack->len);
	s->ok[0] = test_client_reply(&c, false, &s->reply[0]);
	s->ok[1] = s->ok[0] && attack->status == s->reply[0].status && test_client_some(&c, &byte, 1) == 0;
out:
	test_client_close(&c);
}

static void check_refused(const struct attack *a, bool in_bytes)
{
	struct scene s = {0};

	attack = a;
	attack_in_bytes = in_bytes;
	attack_naked = false;
	scene_open(&s, scene_answer);
	play(&s, attack_client);
	if (!s.ok[0] || s.requests != 0)
		fail_msg("%s: reply %d, requests %u", a->name, s.ok[0], s.requests);
	if (s.reply[0].status != a->status || !strstr(s.reply[0].body, a->words))
		fail_msg("%s: %d %s", a->name, s.reply[0].status, s.reply[0].body);
	assert_non_null(strstr(
		s.reply[0].body, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\""));
	assert_non_null(strstr(s.reply[0].head, "\r\nConnection: close\r\n"));
	assert_non_null(strstr(s.reply[0].head, "\r\nContent-Type: application/json\r\n"));
	assert_true(s.ok[1]);
	assert_int_equal(stats_of(&s).refused_framing, 1);
	wait_until(&s, nobody_connected);
	scene_close(&s);
}

static void test_attacks(void **state)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(attacks); i++) {
		check_refused(&attacks[i], false);
		check_refused(&attacks[i], true);
	}
}

static void test_attacks_on_the_naked(void **state)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(attacks); i++) {
		struct scene s = {0};
		struct naked n = {0};

		attack = &attacks[i];
		attack_in_bytes = false;
		attack_naked = true;
		naked_open(&n, &s);
		play(&s, attack_client);
		printf("naked: %-28s %s, status %d, group \"%s\", target \"%s\"\n", attack->name,
			s.requests ? "acted on" : "refused", s.reply[0].status, s.seen, s.target);
		if (attack->always && s.requests == 0)
			fail_msg("%s: libevent refuses it by itself: the test shows nothing", attack->name);
		naked_close(&n);
	}
}

/* ---- sizes ---- */

static size_t head_size;

static void large_head_client(void *arg)
{
	static char line[1024];
	struct scene *s = arg;
	struct test_client c;

	if (!test_client_connect(&c, s->port, NULL))
		goto out;
	test_client_puts(&c, "GET /a HTTP/1.1\r\n" HOST);
	memset(line, 'x', sizeof(line));
	memcpy(line, "X-A: ", 5);
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	for (size_t sent = 0; sent < head_size && test_client_send(&c, line, sizeof(line)); sent += sizeof(line))
		;
	test_client_puts(&c, "\r\n");
	s->ok[0] = test_client_reply(&c, false, &s->reply[0]);
out:
	test_client_close(&c);
}

static void test_head_limit(void **state)
{
	const struct {
		size_t limit, sent;
		int status;
	} cases[] = {
		{0, 30 * 1024, 200},
		{0, 33 * 1024, 431},
		{0, 200 * 1024, 431}, /* more than is read before the refusal */
		{1024 * 1024, 200 * 1024, 200},
		{2048, 4096, 431},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		struct scene s = {.limits = km_http_limits_default};

		if (cases[i].limit)
			s.limits.head_bytes = cases[i].limit;
		head_size = cases[i].sent;
		scene_open(&s, scene_answer);
		play(&s, large_head_client);
		assert_true(s.ok[0]);
		assert_int_equal(s.reply[0].status, cases[i].status);
		assert_int_equal(s.requests, cases[i].status == 200);
		assert_int_equal(stats_of(&s).refused_head, cases[i].status == 431);
		scene_close(&s);
	}
}

#define FLOOD (24 * 1024 * 1024)

static struct test_client waiting_client;
static bool flood_of_the_naked;

/*
 * Asks for something large, takes nothing of it, and sends and sends; the connection stays. count: how much of that was
 * taken. From the shielded server it gives up when nothing has been taken for a while.
 */
static void flood_client(void *arg)
{
	static char line[16384];
	struct scene *s = arg;
	struct test_client *c = &waiting_client;
	struct timeval wait = {.tv_usec = 150000};
	size_t sent = 0;

	if (test_client_connect(c, s->port, NULL)) {
		if (!flood_of_the_naked)
			setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
		test_client_puts(c, "GET /large HTTP/1.1\r\n" HOST "\r\n");
		memset(line, 'x', sizeof(line));
		while (sent < FLOOD && test_client_send(c, line, sizeof(line)))
			sent += sizeof(line);
	}
	s->count = sent;
}

/* The client was held up, and what was read of it is one record beyond the low mark at most. */
static size_t check_flood(km_http_handler handler)
{
	struct scene s = {0};
	size_t held, sent;

	flood_of_the_naked = false;
	scene_open(&s, handler);
	play(&s, flood_client);
	assert_int_equal(s.requests, 1);
	assert_true(s.count < FLOOD);
	held = evbuffer_get_length(bufferevent_get_input(s.server->conns->bev));
	assert_in_range(held, KM_HTTP_PENDING_INPUT_MAX, KM_HTTP_PENDING_INPUT_MAX + 16384);
	sent = s.count;
	test_client_reset(&waiting_client);
	scene_close(&s);
	return sent;
}

static void test_flood(void **state)
{
	struct scene s = {.count = 32 * 1024 * 1024};
	struct naked n = {0};
	size_t writing = check_flood(scene_answer_large), thinking = check_flood(scene_keep);

	flood_of_the_naked = true;
	naked_open(&n, &s);
	play(&s, flood_client);
	printf("naked: took %zu bytes beside a reply that nobody reads; ours %zu, and %zu while the handler thinks\n",
		s.count, writing, thinking);
	assert_true(s.count >= FLOOD);
	test_client_reset(&waiting_client);
	naked_close(&n);
}

/* ---- deadlines ---- */

static const char *drip;

/* Sends a byte every 20 ms and sees how long that goes on. count: milliseconds. */
static void drip_client(void *arg)
{
	struct scene *s = arg;
	uint64_t start = now_ms();
	struct test_client c;
	bool ready = drip[0] == '\x16' ? test_client_tcp(&c, s->port) : test_client_connect(&c, s->port, NULL);

	for (const char *p = drip; ready && *p; p++) {
		struct pollfd fd = {.fd = c.fd, .events = POLLIN};

		if (!test_client_send(&c, p, 1) || now_ms() - start > 3000)
			break;
		if (poll(&fd, 1, 20) == 1 && test_client_closed(&c))
			break;
	}
	s->ok[0] = ready && test_client_closed(&c);
	s->count = now_ms() - start;
	test_client_reset(&c);
}

static void test_head_deadline(void **state)
{
	static const char *const drips[] = {
		/* a TLS record that never ends */
		"\x16\x03\x01\x3f\x7fzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
		"GET /abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
		"",
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(drips); i++) {
		struct scene s = {.limits = km_http_limits_default};

		s.limits.head_deadline_us = 150 * MS;
		drip = drips[i];
		scene_open(&s, scene_answer);
		play(&s, drip_client);
		assert_true(s.ok[0]);
		assert_in_range(s.count, 100, 2500);
		assert_int_equal(stats_of(&s).deadline_closed, 1);
		assert_int_equal(s.requests, 0);
		wait_until(&s, nobody_connected);
		scene_close(&s);
	}
}

static void further_head_client(void *arg)
{
	struct scene *s = arg;
	struct test_client c;

	if (test_client_connect(&c, s->port, NULL)) {
		test_client_puts(&c, "GET /1 HTTP/1.1\r\n" HOST "\r\n");
		s->ok[0] = test_client_reply(&c, false, &s->reply[0]);
		if (s->count)
			test_client_puts(&c, "GET /2 HT");
		s->count = now_ms();
		s->ok[1] = test_client_closed(&c);
		s->count = now_ms() - s->count;
	}
	test_client_reset(&c);
}

/* Between requests the idle deadline holds, inside a further head the head deadline; each shown by the other being far
 * away. */
static void test_idle_and_further_head(void **state)
{
	for (int inside = 0; inside < 2; inside++) {
		struct scene s = {.limits = km_http_limits_default, .count = (size_t)inside};

		s.limits.idle_us = inside ? 60 * KM_USEC_PER_SEC : 100 * MS;
		s.limits.head_deadline_us = inside ? 300 * MS : 60 * KM_USEC_PER_SEC;
		scene_open(&s, scene_answer);
		play(&s, further_head_client);
		assert_true(s.ok[0]);
		assert_true(s.ok[1]);
		assert_in_range(s.count, 50, 2500);
		assert_int_equal(stats_of(&s).deadline_closed, 1);
		scene_close(&s);
	}
}

static bool deadline_struck(struct scene *s)
{
	return stats_of(s).deadline_closed > 0 && nobody_connected(s);
}

/* It stays open: what the client does not do is the point. */
static void unread_client(void *arg)
{
	struct scene *s = arg;

	s->ok[0] = test_client_connect(&waiting_client, s->port, NULL) &&
		   test_client_puts(&waiting_client, "GET /large HTTP/1.1\r\n" HOST "\r\n");
}

static void test_write_stall(void **state)
{
	struct scene s = {.limits = km_http_limits_default};

	s.limits.write_stall_us = 200 * MS;
	scene_open(&s, scene_answer_large);
	play(&s, unread_client);
	assert_true(s.ok[0]);
	wait_until(&s, deadline_struck);
	assert_int_equal(s.requests, 1);
	test_client_reset(&waiting_client);
	scene_close(&s);
}

/* A reader that is slow but reads is left alone: it takes longer than the stall limit in all. */
static void slow_client(void *arg)
{
	static char some[512 * 1024];
	struct scene *s = arg;
	uint64_t start = now_ms();
	struct test_client c;
	int small = 65536;

	if (!test_client_tcp(&c, s->port))
		return;
	setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (test_client_tls(&c, NULL)) {
		int n;

		test_client_puts(&c, "GET /large HTTP/1.1\r\n" HOST "\r\n");
		while (s->count < 32 * 1024 * 1024 && (n = test_client_some(&c, some, sizeof(some))) > 0) {
			struct pollfd none = {.fd = -1};

			s->count += (size_t)n;
			if (now_ms() - start < 500)
				poll(&none, 1, 5);
		}
		s->ok[0] = now_ms() - start >= 500;
	}
	test_client_reset(&c);
}

static void test_slow_reader(void **state)
{
	struct scene s = {.limits = km_http_limits_default};

	s.limits.write_stall_us = 250 * MS;
	scene_open(&s, scene_answer_large);
	play(&s, slow_client);
	assert_true(s.ok[0]);
	assert_true(s.count >= 32 * 1024 * 1024);
	assert_int_equal(stats_of(&s).deadline_closed, 0);
	scene_close(&s);
}

/* ---- never plaintext ---- */

/* count: bytes of an HTTP reply in plaintext */
static void plain_client(void *arg)
{
	struct scene *s = arg;
	char text[512] = "";
	struct test_client c;

	s->ok[0] = test_client_tcp(&c, s->port) && test_client_puts(&c, "GET /a HTTP/1.1\r\n" HOST "\r\n");
	while (s->ok[0] && recv(c.fd, text, sizeof(text) - 1, 0) > 0)
		if (strstr(text, "HTTP/1")) {
			s->ok[1] = true;
			break;
		}
	test_client_reset(&c);
}

static void test_never_plaintext(void **state)
{
	struct scene s = {0}, full = {.limits = km_http_limits_default}, t = {0};
	struct naked n = {.plain = true};

	scene_open(&s, scene_answer);
	play(&s, plain_client);
	assert_true(s.ok[0]);
	assert_false(s.ok[1]);
	assert_int_equal(s.requests, 0);
	scene_close(&s);

	/* over the cap the bufferevent is a plain one: still nothing is served on it */
	full.limits.connections = 1;
	scene_open(&full, scene_answer);
	full.server->limits.connections = 0;
	play(&full, plain_client);
	assert_false(full.ok[1]);
	assert_int_equal(full.requests, 0);
	assert_int_equal(stats_of(&full).refused_cap, 1);
	scene_close(&full);

	naked_open(&n, &t);
	play(&t, plain_client);
	assert_true(t.ok[1]);
	assert_int_equal(t.requests, 1);
	naked_close(&n);
}

/* ---- TCP_NODELAY ---- */

static int seen_nodelay;

static void answer_nodelay(struct km_http_req *req, void *arg)
{
	socklen_t len = sizeof(seen_nodelay);

	getsockopt(bufferevent_getfd(req->conn->bev), IPPROTO_TCP, TCP_NODELAY, &seen_nodelay, &len);
	scene_answer(req, arg);
}

static void test_nodelay(void **state)
{
	struct scene s = {0}, t = {0};
	struct naked n = {0};

	seen_nodelay = 0;
	scene_open(&s, answer_nodelay);
	play(&s, scene_get_client);
	assert_true(s.ok[0]);
	assert_int_equal(seen_nodelay, 1);
	scene_close(&s);

	naked_open(&n, &t);
	play(&t, scene_get_client);
	assert_true(t.ok[0]);
	assert_int_equal(n.nodelay, 0);
	naked_close(&n);
}

/* ---- pipelining ---- */

static const char *pipelined;

/* count: replies that came before the end */
static void pipeline_client(void *arg)
{
	struct scene *s = arg;
	struct test_client c;

	s->count = 0;
	if (test_client_connect(&c, s->port, NULL) && test_client_puts(&c, pipelined))
		while (s->count < 4 && test_client_reply(&c, false, &s->reply[s->count]))
			s->count++;
	test_client_close(&c);
}

#define PIPE_GET(n) "GET /" #n " HTTP/1.1\r\n" HOST "\r\n"
#define PIPE_LAST   "GET /last HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"

static void test_pipeline(void **state)
{
	struct scene s = {0}, t = {0}, u = {0};

	pipelined = PIPE_GET(1) PIPE_GET(2) PIPE_LAST;
	scene_open(&s, scene_answer);
	play(&s, pipeline_client);
	assert_int_equal(s.count, 3);
	assert_string_equal(s.reply[0].body, "GET /1");
	assert_string_equal(s.reply[1].body, "GET /2");
	assert_string_equal(s.reply[2].body, "GET /last");
	scene_close(&s);

	/* what is bad behind a good one is not acted on, and ends the connection after the good one's reply */
	pipelined = PIPE_GET(1) "GET /2 HTTP/1.1\r\nContent-Length : 3\r\n" HOST "\r\n" PIPE_LAST;
	scene_open(&t, scene_answer);
	play(&t, pipeline_client);
	assert_int_equal(t.count, 1);
	assert_int_equal(t.requests, 1);
	assert_string_equal(t.reply[0].body, "GET /1");
	assert_int_equal(stats_of(&t).refused_framing, 1);
	scene_close(&t);

	/* a body that looks like a request is not one */
	pipelined = "GET /1 HTTP/1.1\r\n" HOST "Content-Length: 40\r\n\r\n" PIPE_LAST;
	scene_open(&u, scene_answer);
	play(&u, pipeline_client);
	assert_int_equal(u.requests, 0);
	assert_int_equal(u.reply[0].status, 400);
	scene_close(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attacks),
		cmocka_unit_test(test_attacks_on_the_naked),
		cmocka_unit_test(test_head_limit),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_head_deadline),
		cmocka_unit_test(test_idle_and_further_head),
		cmocka_unit_test(test_write_stall),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_never_plaintext),
		cmocka_unit_test(test_nodelay),
		cmocka_unit_test(test_pipeline),
	};

	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
