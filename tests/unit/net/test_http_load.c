/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server under load: caps, no descriptors left, many clients that do anything at any time. The items of its shield
 * one by one are in test_http_server.c. This program too runs against an unpatched libevent.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "net/http_internal.h"
#include "tests/unit/net/http_scene.h"

/* ---- caps ---- */

/* Three connections; the third is one too many. ok[i]: it was served. Then one leaves and a fourth comes. */
static void cap_client(void *arg)
{
	struct scene *s = arg;
	struct test_client c[4];

	for (int i = 0; i < 3; i++)
		s->ok[i] = test_client_connect(&c[i], s->port, NULL) &&
			   test_client_puts(&c[i], "GET /1 HTTP/1.1\r\n" HOST "\r\n") &&
			   test_client_reply(&c[i], false, &s->reply[i]);
	test_client_close(&c[0]);
	/* the server notices in its own time */
	for (int i = 0; i < 200 && !s->ok[3]; i++) {
		struct pollfd none = {.fd = -1};

		s->ok[3] = test_client_connect(&c[3], s->port, NULL) &&
			   test_client_puts(&c[3], "GET /1 HTTP/1.1\r\n" HOST "\r\n") &&
			   test_client_reply(&c[3], false, &s->reply[3]);
		test_client_close(&c[3]);
		if (!s->ok[3]) {
			test_reply_free(&s->reply[3]);
			poll(&none, 1, 5);
		}
	}
	test_client_close(&c[1]);
	test_client_close(&c[2]);
}

static void test_caps(void **state)
{
	for (int which = 0; which < 3; which++) {
		struct scene s = {.limits = km_http_limits_default};

		if (which == 0)
			s.limits.connections = 2;
		if (which == 1)
			s.limits.connections_per_peer = 2;
		scene_open(&s, scene_answer);
		play(&s, cap_client);
		assert_true(s.ok[0]);
		assert_true(s.ok[1]);
		assert_int_equal(s.ok[2], which == 2);
		assert_true(s.ok[3]);
		if (which < 2)
			assert_true(stats_of(&s).refused_cap >= 1);
		else
			assert_int_equal(stats_of(&s).refused_cap, 0);
		wait_until(&s, nobody_connected);
		assert_int_equal(s.server->peers.count, 0);
		scene_close(&s);
	}
}

/* ---- no descriptors ---- */

/* Connects while the process has no descriptor left for the other end, and waits. count: CPU time meanwhile in ms. */
static void starving_client(void *arg)
{
	struct scene *s = arg;
	struct pollfd none = {.fd = -1};
	struct rlimit before, tight;
	struct test_client c;
	clock_t start;
	int last;

	c.fd = -1;
	c.ssl = NULL;
	c.ctx = NULL;
	last = open("/dev/null", O_RDONLY);
	if (last < 0 || getrlimit(RLIMIT_NOFILE, &before) < 0)
		return;
	close(last); /* the client's socket gets this number, so it is the last one allowed */
	tight = before;
	tight.rlim_cur = (rlim_t)last + 1;
	setrlimit(RLIMIT_NOFILE, &tight);
	s->ok[0] = test_client_tcp(&c, s->port);
	start = clock();
	poll(&none, 1, 250);
	s->count = (size_t)((clock() - start) * 1000 / CLOCKS_PER_SEC);
	s->ok[1] = stats_of(s).accepted == 0;
	setrlimit(RLIMIT_NOFILE, &before);
	s->ok[2] = test_client_tls(&c, NULL) && test_client_puts(&c, "GET /a HTTP/1.1\r\n" HOST "\r\n") &&
		   test_client_reply(&c, false, &s->reply[0]);
	test_client_close(&c);
}

/* The server waits for better times without burning the CPU, and then serves those who waited with it. */
static void test_no_descriptors(void **state)
{
	struct scene s = {0};

	/* valgrind emulates the limit by closing what the kernel has accepted: the client that should wait is cut. Runs
	 * natively and under sanitizers. */
	if (getenv("KMETRICSD_TEST_SLOW"))
		skip();
	scene_open(&s, scene_answer);
	play(&s, starving_client);
	assert_true(s.ok[0]);
	assert_true(s.ok[1]);
	assert_true(s.ok[2]);
	assert_true(s.count < 125);
	scene_close(&s);
}

/* ---- the hammer ---- */

#define HAMMER 200

static unsigned hammer_random(void)
{
	static uint64_t x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (unsigned)(x >> 32);
}

/* Connections that end at every moment of their life: in the handshake, the head, the reply. ok[0]: the last,
 * well-behaved one works. */
static void hammer_client(void *arg)
{
	static const char request[] = "GET /large HTTP/1.1\r\n" HOST "X-A: b\r\n\r\n";
	static const char keep[] = "GET /keep HTTP/1.1\r\n" HOST "\r\n";
	static const unsigned char hello[] = {0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3};
	static char some[65536];
	struct scene *s = arg;

	for (int i = 0; i < HAMMER; i++) {
		struct test_client c;
		unsigned moment = hammer_random() % 8;

		if (!test_client_tcp(&c, s->port))
			continue;
		if (moment == 0) { /* at once */
		} else if (moment == 1) {
			test_client_send(&c, hello, 1 + hammer_random() % sizeof(hello));
		} else if (test_client_tls(&c, hammer_random() % 2 ? &scene_client : NULL)) {
			if (moment == 3)
				test_client_send(&c, request, 1 + hammer_random() % (sizeof(request) - 2));
			if (moment >= 4)
				test_client_puts(&c, request);
			if (moment == 2)
				test_client_puts(&c, keep);
			if (moment >= 5)
				test_client_some(&c, some, sizeof(some));
			if (moment == 6)
				test_client_puts(&c, request);
			if (moment == 7)
				test_client_puts(&c, "nonsense\r\n\r\n");
		}
		if (hammer_random() % 2)
			test_client_close(&c);
		else
			test_client_reset(&c);
	}
	scene_get_client(s);
}

struct hammer_stream {
	struct scene *s;
	int slices;
};

static int hammer_produce(struct km_buf *out, void *arg)
{
	struct hammer_stream *h = arg;
	static const char piece[8192];

	for (int i = 0; i < 8; i++)
		km_buf_add(out, piece, sizeof(piece));
	return --h->slices > 0;
}

static void hammer_done(void *arg)
{
	struct hammer_stream *h = arg;

	h->s->done++;
	free(h);
}

static void hammer_answer(struct km_http_req *req, void *arg)
{
	struct scene *s = arg;
	struct hammer_stream *h;

	if (strcmp(km_http_req_target(req), "/keep") == 0) {
		scene_keep(req, s);
		return;
	}
	if (strcmp(km_http_req_target(req), "/large") != 0) {
		scene_answer(req, arg);
		return;
	}
	s->requests++;
	h = calloc(1, sizeof(*h));
	h->s = s;
	h->slices = 1 + (int)(s->requests % 40);
	s->count++;
	km_http_stream(req, 200, "text/plain", hammer_produce, hammer_done, h);
}

static void test_hammer(void **state)
{
	struct scene s = {.limits = km_http_limits_default};

	s.limits.head_deadline_us = WATCHDOG_US;
	scene_open(&s, hammer_answer);
	play(&s, hammer_client);
	assert_true(s.ok[0]);
	assert_string_equal(s.reply[0].body, "GET /a");
	wait_until(&s, nobody_connected);
	assert_int_equal(s.done, s.count);
	assert_int_equal(s.server->peers.count, 0);
	assert_true(stats_of(&s).accepted >= HAMMER);
	scene_close(&s);
}

static struct test_client load[20];

/* Connections in every state, left as they are. */
static void load_client(void *arg)
{
	struct scene *s = arg;
	char some[1024];

	for (size_t i = 0; i < KM_ARRAY_LEN(load); i++)
		if (test_client_tcp(&load[i], s->port) && i % 4 && test_client_tls(&load[i], NULL) && i % 4 > 1) {
			test_client_puts(&load[i], "GET /large HTTP/1.1\r\n" HOST "\r\n");
			if (i % 4 == 2)
				s->ok[0] = test_client_some(&load[i], some, sizeof(some)) > 0;
		}
}

/* The server goes away in the middle. */
static void test_free_under_load(void **state)
{
	struct scene s = {.limits = km_http_limits_default};

	s.limits.head_deadline_us = s.limits.write_stall_us = WATCHDOG_US;
	scene_open(&s, scene_answer_large);
	play(&s, load_client);
	assert_true(s.ok[0]);
	assert_int_equal(stats_of(&s).connections, KM_ARRAY_LEN(load));
	km_http_server_free(KM_TAKE(s.server));
	scene_close(&s);
	for (size_t i = 0; i < KM_ARRAY_LEN(load); i++)
		test_client_reset(&load[i]);
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_hammer),
		cmocka_unit_test(test_free_under_load),
	};

	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
