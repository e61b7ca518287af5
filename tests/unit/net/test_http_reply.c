/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests and replies of the HTTPS server: what the handler learns, replies whole and in slices, clients that go away,
 * draining, ending.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/unit/net/http_scene.h"

#define GET(target) "GET " target " HTTP/1.1\r\n" HOST "\r\n"

/* ---- a script: what the client sends, one request after the other, a reply after each ---- */

static const char *const *script; /* NULL-terminated */
static const struct test_cert *script_cert;

/* count: replies; ok[0]: all came; ok[1]: then the connection was closed (asked only when `closes` is set) */
static bool script_closes;

static void script_client(void *arg)
{
	struct scene *s = arg;
	struct test_client c;

	s->count = 0;
	if (!test_client_connect(&c, s->port, script_cert))
		goto out;
	s->ok[0] = true;
	for (const char *const *line = script; *line && s->ok[0] && s->count < KM_ARRAY_LEN(s->reply); line++)
		s->ok[0] = test_client_puts(&c, *line) &&
			   test_client_reply(&c, strncmp(*line, "HEAD", 4) == 0, &s->reply[s->count++]);
	s->ok[1] = script_closes && test_client_closed(&c);
out:
	test_client_close(&c);
}

#define SCRIPT(...) ((const char *const[]){__VA_ARGS__, NULL})

static void perform(struct scene *s, const char *const *lines, bool closes)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(s->reply); i++)
		test_reply_free(&s->reply[i]);
	script = lines;
	script_closes = closes;
	play(s, script_client);
}

static void test_plain(void **state)
{
	struct scene s = {0};

	scene_open(&s, scene_answer);
	perform(&s,
		SCRIPT(GET("/a?b=c"), "HEAD /h HTTP/1.1\r\n" HOST "\r\n", "BREW /pot HTTP/1.1\r\n" HOST "\r\n",
			"POST /p HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"),
		false);
	assert_true(s.ok[0]);
	assert_string_equal(s.reply[0].body, "GET /a?b=c");
	assert_non_null(strstr(s.reply[0].head, "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(s.reply[0].head, "\r\nContent-Length: 10\r\n"));
	assert_non_null(strstr(s.reply[0].head, "\r\nContent-Type: text/plain\r\n"));
	assert_non_null(strstr(s.reply[0].head, "\r\nDate: "));
	assert_null(strstr(s.reply[0].head, "\r\nConnection:"));
	assert_non_null(strstr(s.reply[1].head, "\r\nContent-Length: 7\r\n"));
	assert_int_equal(s.reply[1].body_len, 0);
	assert_string_equal(s.reply[2].body, "BREW /pot");
	assert_string_equal(s.reply[3].body, "POST /p");
	/* one connection, one id */
	assert_true(s.connection_id[0] == s.connection_id[3]);
	perform(&s, SCRIPT(GET("/")), false);
	assert_int_equal(stats_of(&s).requests, 5);
	assert_int_equal(stats_of(&s).accepted, 2);
	scene_close(&s);
}

static void test_closing(void **state)
{
	static const char *const requests[] = {
		"GET /1 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
		"GET /1 HTTP/1.1\r\n" HOST "Connection: keep-alive, Close\r\n\r\n",
		"GET /1 HTTP/1.0\r\n\r\n",
		"GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(requests); i++) {
		struct scene s = {0};

		scene_open(&s, scene_answer);
		perform(&s, SCRIPT(requests[i]), true);
		assert_true(s.ok[0]);
		assert_true(s.ok[1]);
		assert_string_equal(s.reply[0].body, "GET /1");
		assert_non_null(strstr(s.reply[0].head, "\r\nConnection: close\r\n"));
		assert_null(strstr(s.reply[0].head, "keep-alive"));
		scene_close(&s);
	}
}

/* A target that cannot be read is refused without the handler; the connection goes on. */
static void test_bad_targets(void **state)
{
	struct scene s = {0};

	scene_open(&s, scene_answer);
	perform(&s,
		SCRIPT(GET("/a/../b"), GET("/a%00b"), GET("/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"), GET("/fine")),
		false);
	assert_true(s.ok[0]);
	assert_int_equal(s.reply[0].status, 400);
	assert_non_null(strstr(s.reply[0].body,
		"\"message\":\"the request target cannot be read\",\"reason\":\"BadRequest\",\"code\":400}"));
	assert_int_equal(s.reply[1].status, 400);
	assert_int_equal(s.reply[2].status, 414);
	assert_int_equal(s.reply[3].status, 200);
	assert_int_equal(s.requests, 1);
	scene_close(&s);
}

static int note_header(const char *name, const char *value, void *arg)
{
	struct scene *s = arg;

	strcat(strcat(strcat(strcat(s->seen, name), "="), value), ";");
	return strcmp(name, "X-Stop") == 0 ? 5 : 0;
}

static int stopped_with;

static void answer_details(struct km_http_req *req, void *arg)
{
	struct scene *s = arg;
	_cleanup_free_ char *cn = NULL;
	X509 *cert = km_http_req_peer_cert(req);
	const struct km_url *url = km_http_req_url(req);

	stopped_with = km_http_req_headers(req, note_header, s);
	if (cert)
		cn = km_x509_cn(cert);
	snprintf(s->method, sizeof(s->method), "%s", cn ? cn : "none");
	snprintf(s->target, sizeof(s->target), "%zu %s %s %d", url->n_segments, km_http_req_peer_address(req),
		km_http_req_header(req, "x-tab"), km_http_req_header(req, "absent") == NULL);
	km_http_req_add_header(req, "X-Reply", "a b");
	km_http_reply(req, 429, NULL, NULL, 0);
}

static void test_details(void **state)
{
	struct scene s = {0};

	scene_open(&s, answer_details);
	script_cert = &scene_client;
	perform(&s, SCRIPT("GET /a/b HTTP/1.1\r\n" HOST "X-Tab:\t1 \r\nX-A: 2\r\nx-a:\r\nX-Stop: x\r\nX-B: y\r\n\r\n"),
		false);
	assert_string_equal(s.seen, "Host=x;X-Tab=1;X-A=2;x-a=;X-Stop=x;");
	assert_int_equal(stopped_with, 5);
	assert_string_equal(s.method, "client");
	assert_string_equal(s.target, "2 127.0.0.1 1 1");
	assert_non_null(strstr(s.reply[0].head, "HTTP/1.1 429 Too Many Requests\r\n"));
	assert_non_null(strstr(s.reply[0].head, "\r\nX-Reply: a b\r\n"));
	assert_non_null(strstr(s.reply[0].head, "\r\nContent-Length: 0\r\n"));
	script_cert = NULL;
	s.seen[0] = '\0';
	perform(&s, SCRIPT("GET /a/b HTTP/1.1\r\n" HOST "X-Tab: 1\r\n\r\n"), false);
	assert_int_equal(stopped_with, 0);
	assert_string_equal(s.method, "none");
	scene_close(&s);
}

/* ---- later replies ---- */

static struct km_timer *later;

static void answer_pending(void *arg)
{
	struct scene *s = arg;

	km_http_reply(s->pending, 200, "text/plain", "late", 4);
}

static void answer_later(struct km_http_req *req, void *arg)
{
	scene_keep(req, arg);
	km_timer_set(later, MS);
}

static void test_later(void **state)
{
	struct scene s = {0};

	scene_open(&s, answer_later);
	assert_int_equal(km_timer_new(s.loop, answer_pending, &s, &later), 0);
	perform(&s, SCRIPT(GET("/1"), GET("/2")), false);
	assert_true(s.ok[0]);
	assert_string_equal(s.reply[1].body, "late");
	wait_until(&s, nobody_connected);
	assert_int_equal(s.cancelled, 0); /* it was answered, so it cannot be cancelled */
	km_timer_free(later);
	scene_close(&s);
}

static void leaving_client(void *arg)
{
	struct scene *s = arg;
	struct test_client c;

	s->ok[0] = test_client_connect(&c, s->port, NULL) && test_client_puts(&c, GET("/1"));
	if (s->ok[2])
		test_client_reset(&c);
	else
		test_client_close(&c);
}

static bool was_cancelled(struct scene *s)
{
	return s->cancelled > 0;
}

static void test_cancel(void **state)
{
	for (int reset = 0; reset < 2; reset++) {
		struct scene s = {.ok[2] = reset};

		scene_open(&s, scene_keep);
		play(&s, leaving_client);
		assert_true(s.ok[0]);
		wait_until(&s, was_cancelled);
		assert_int_equal(s.requests, 1);
		wait_until(&s, nobody_connected);
		assert_int_equal(s.cancelled, 1);
		scene_close(&s);
	}
}

static bool has_request(struct scene *s)
{
	return s->requests > 0;
}

static struct test_client staying;

static void staying_client(void *arg)
{
	struct scene *s = arg;

	s->ok[0] = test_client_connect(&staying, s->port, NULL) && test_client_puts(&staying, GET("/1"));
}

static void test_free_with_pending(void **state)
{
	struct scene s = {0};

	scene_open(&s, scene_keep);
	play(&s, staying_client);
	wait_until(&s, has_request);
	km_http_server_free(KM_TAKE(s.server));
	assert_int_equal(s.cancelled, 1);
	scene_close(&s);
	test_client_reset(&staying);
}

/* ---- streams ---- */

enum ending { FINISHES, BREAKS_OFF, OVERFLOWS };

static struct {
	struct scene *s;
	unsigned slices, made, slice_size;
	enum ending ending;
	unsigned done;
	size_t total;
} stream;

static int make_slice(struct km_buf *out, void *arg)
{
	assert_ptr_equal(arg, &stream);
	assert_int_equal(stream.done, 0);
	for (unsigned i = 0; i < stream.slice_size; i++)
		km_buf_addc(out, (char)('a' + (stream.total + i) % 26));
	stream.total += stream.slice_size;
	stream.made++;
	if (stream.made < stream.slices)
		return 1;
	if (stream.ending == OVERFLOWS)
		out->error = -EMSGSIZE;
	return stream.ending == BREAKS_OFF ? -EIO : 0;
}

static void stream_done(void *arg)
{
	stream.done++;
}

static void answer_stream(struct km_http_req *req, void *arg)
{
	struct scene *s = arg;

	s->requests++;
	km_http_req_on_cancel(req, scene_cancelled, s);
	stream.made = stream.done = 0;
	stream.total = 0;
	km_http_stream(req, 200, "text/plain", make_slice, stream_done, &stream);
}

static void check_letters(const struct test_reply *r, size_t n)
{
	assert_int_equal(r->body_len, n);
	for (size_t i = 0; i < n; i++)
		if (r->body[i] != (char)('a' + i % 26))
			fail_msg("byte %zu is %d", i, r->body[i]);
}

static void test_stream(void **state)
{
	struct scene s = {.limits = km_http_limits_default};

	s.limits.output_high_water = 64 * 1024;
	scene_open(&s, answer_stream);
	stream.slices = 100;
	stream.slice_size = 20000;
	stream.ending = FINISHES;
	perform(&s, SCRIPT(GET("/1"), GET("/2")), false);
	assert_true(s.ok[0]);
	for (int i = 0; i < 2; i++) {
		assert_true(s.reply[i].chunked);
		assert_null(strstr(s.reply[i].head, "Content-Length"));
		check_letters(&s.reply[i], 100 * 20000);
	}
	assert_int_equal(stream.done, 1);
	assert_int_equal(s.cancelled, 0);
	scene_close(&s);
}

static void test_stream_variants(void **state)
{
	struct scene s = {0}, t = {0};

	/* done at once: with its length */
	scene_open(&s, answer_stream);
	stream.slices = 1;
	stream.slice_size = 1000;
	stream.ending = FINISHES;
	perform(&s, SCRIPT(GET("/1"), "HEAD /1 HTTP/1.1\r\n" HOST "\r\n"), false);
	assert_true(s.ok[0]);
	assert_false(s.reply[0].chunked);
	check_letters(&s.reply[0], 1000);
	assert_non_null(strstr(s.reply[1].head, "\r\nContent-Length: 1000\r\n"));
	assert_int_equal(stream.done, 1);
	/* HEAD of a longer one: no body, and the connection goes on */
	stream.slices = 10;
	perform(&s, SCRIPT("HEAD /1 HTTP/1.1\r\n" HOST "\r\n", GET("/1")), false);
	assert_true(s.ok[0]);
	assert_int_equal(s.reply[0].body_len, 0);
	check_letters(&s.reply[1], 10000);
	scene_close(&s);

	/* HTTP/1.0: ended by the close, and by close_notify, so that it cannot be taken for a cut */
	scene_open(&t, answer_stream);
	perform(&t, SCRIPT("GET /1 HTTP/1.0\r\n\r\n"), true);
	assert_true(t.ok[0]);
	assert_false(t.reply[0].chunked);
	assert_true(t.reply[0].whole);
	check_letters(&t.reply[0], 10000);
	assert_int_equal(stream.done, 1);
	scene_close(&t);
}

static void test_stream_broken_off(void **state)
{
	const enum ending endings[] = {BREAKS_OFF, OVERFLOWS};
	const unsigned slices[] = {1, 5};

	for (size_t i = 0; i < 4; i++) {
		struct scene s = {0};

		scene_open(&s, answer_stream);
		stream.slices = slices[i % 2];
		stream.slice_size = 1000;
		stream.ending = endings[i / 2];
		perform(&s, SCRIPT(GET("/1")), false);
		assert_false(s.ok[0]);
		assert_false(s.reply[0].whole);
		assert_int_equal(stream.done, 1);
		assert_int_equal(s.cancelled, 0);
		wait_until(&s, nobody_connected);
		scene_close(&s);
	}
}

static bool stream_is_done(struct scene *s)
{
	return stream.done > 0;
}

static void test_stream_client_leaves(void **state)
{
	struct scene s = {0};

	scene_open(&s, answer_stream);
	stream.slices = 1000000;
	stream.slice_size = 10000;
	stream.ending = FINISHES;
	stream.done = 0;
	play(&s, leaving_client);
	wait_until(&s, stream_is_done);
	wait_until(&s, nobody_connected);
	assert_int_equal(stream.done, 1);
	assert_int_equal(s.cancelled, 0);
	scene_close(&s);
}

static unsigned made_before;

/* The producer has come to rest: nothing was made between two looks 50 ms apart. */
static bool producer_rests(struct scene *s)
{
	static uint64_t looked;

	if (now_ms() - looked < 50)
		return false;
	looked = now_ms();
	if (stream.made > 0 && stream.made == made_before)
		return true;
	made_before = stream.made;
	return false;
}

/* Nobody reads: the producer stops at the high-water mark, whatever the kernel took beside it; and it ends with the
 * server. */
static void test_stream_pressure(void **state)
{
	struct scene s = {.limits = km_http_limits_default};

	s.limits.output_high_water = 100 * 1000;
	scene_open(&s, answer_stream);
	stream.slices = 1000000;
	stream.slice_size = 10000;
	stream.ending = FINISHES;
	stream.made = made_before = 0;
	play(&s, staying_client);
	wait_until(&s, producer_rests);
	printf("made %zu bytes for a client that reads none\n", stream.total);
	assert_true(stream.total < 16 * 1024 * 1024);
	assert_int_equal(stream.done, 0);
	km_http_server_free(KM_TAKE(s.server));
	assert_int_equal(stream.done, 1);
	scene_close(&s);
	test_client_reset(&staying);
}

/* ---- draining ---- */

static struct km_timer *drain_later;
static unsigned drained;

static void on_drained(void *arg)
{
	struct scene *s = arg;

	drained++;
	km_http_server_free(KM_TAKE(s->server)); /* allowed */
}

static bool is_drained(struct scene *s)
{
	return drained > 0;
}

static void drain_now(void *arg)
{
	struct scene *s = arg;

	km_http_server_drain(s->server, 5 * KM_USEC_PER_SEC, on_drained, s);
}

static void drain_and_answer(void *arg)
{
	drain_now(arg);
	answer_pending(arg);
}

static void keep_and_drain(struct km_http_req *req, void *arg)
{
	scene_keep(req, arg);
	km_timer_set(drain_later, 0);
}

/* The reply under way still comes, and says that it is the last; nobody gets in any more. */
static void test_drain_busy(void **state)
{
	struct scene s = {0};

	drained = 0;
	scene_open(&s, keep_and_drain);
	assert_int_equal(km_timer_new(s.loop, drain_and_answer, &s, &drain_later), 0);
	perform(&s, SCRIPT(GET("/1")), true);
	assert_true(s.ok[0]);
	assert_true(s.ok[1]);
	assert_string_equal(s.reply[0].body, "late");
	assert_non_null(strstr(s.reply[0].head, "\r\nConnection: close\r\n"));
	wait_until(&s, is_drained);
	perform(&s, SCRIPT(GET("/2")), false);
	assert_false(s.ok[0] && s.reply[1].status);
	km_timer_free(drain_later);
	scene_close(&s);
}

static void idle_client(void *arg)
{
	struct scene *s = arg;

	s->ok[0] = test_client_connect(&staying, s->port, NULL) && test_client_puts(&staying, GET("/1")) &&
		   test_client_reply(&staying, false, &s->reply[0]);
}

/* Connected ahead of need: its handshake is done, and nothing was asked. */
static void ahead_client(void *arg)
{
	struct scene *s = arg;

	s->ok[0] = test_client_connect(&staying, s->port, NULL);
}

static void closed_client(void *arg)
{
	struct scene *s = arg;

	s->ok[1] = test_client_closed(&staying);
	test_client_reset(&staying);
}

static void drain_beside(void (*client)(void *))
{
	struct scene s = {0};
	uint64_t start;

	drained = 0;
	scene_open(&s, scene_answer);
	play(&s, client);
	assert_true(s.ok[0]);
	start = now_ms();
	drain_now(&s);
	wait_until(&s, is_drained);
	assert_true(now_ms() - start < 3000); /* long before the deadline */
	play(&s, closed_client);
	assert_true(s.ok[1]);
	scene_close(&s);
}

static void test_drain_idle(void **state)
{
	drain_beside(idle_client);
}

static void test_drain_fresh(void **state)
{
	drain_beside(ahead_client);
}

static void test_drain_nobody(void **state)
{
	struct scene s = {0};

	drained = 0;
	scene_open(&s, scene_answer);
	drain_now(&s);
	assert_int_equal(drained, 0); /* never from inside */
	wait_until(&s, is_drained);
	assert_int_equal(drained, 1);
	scene_close(&s);
}

static void test_drain_deadline(void **state)
{
	struct scene s = {0};

	drained = 0;
	scene_open(&s, scene_keep);
	play(&s, staying_client);
	wait_until(&s, has_request);
	km_http_server_drain(s.server, 50 * MS, on_drained, &s);
	wait_until(&s, is_drained);
	assert_int_equal(s.cancelled, 1);
	scene_close(&s);
	test_client_reset(&staying);
}

/* ---- listening, and other certificates ---- */

static void test_listen_errors(void **state)
{
	struct scene s = {0};
	struct km_http_server *other = NULL;
	struct km_http_server_config config = {.handler = scene_answer};
	struct km_err err = {0};

	scene_open(&s, scene_answer);
	config.tls = s.tls;
	config.bind_address = "127.0.0.1";
	config.port = s.port;
	assert_int_equal(km_http_server_new(s.loop, &config, &other, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "127.0.0.1"));
	config.bind_address = "localhost";
	assert_int_equal(km_http_server_new(s.loop, &config, &other, &err), -EINVAL);
	config.bind_address = "192.0.2.1";
	assert_int_equal(km_http_server_new(s.loop, &config, &other, &err), -EADDRNOTAVAIL);
	assert_null(other);
	scene_close(&s);
}

/* "::" serves IPv4 too. Without IPv6 in the kernel the error says so. */
static void test_any_address(void **state)
{
	struct scene s = {0};
	struct km_http_server_config config = {.bind_address = "::", .handler = scene_answer, .arg = &s};
	struct km_err err = {0};
	int fd = socket(AF_INET6, SOCK_STREAM, 0), r;

	scene_open(&s, scene_answer);
	config.tls = s.tls;
	km_http_server_free(KM_TAKE(s.server));
	r = km_http_server_new(s.loop, &config, &s.server, &err);
	if (fd < 0) {
		assert_int_equal(r, -EAFNOSUPPORT);
	} else {
		close(fd);
		assert_int_equal(r, 0);
		s.port = km_http_server_port(s.server);
		perform(&s, SCRIPT(GET("/1")), false);
		assert_true(s.ok[0]);
	}
	scene_close(&s);
}

static char seen_server[2][64];

static void cn_client(void *arg)
{
	struct scene *s = arg;
	struct test_client c;
	char *cn = NULL;

	if (test_client_connect(&c, s->port, NULL))
		cn = km_x509_cn(SSL_get0_peer_certificate(c.ssl));
	snprintf(seen_server[s->count++], sizeof(seen_server[0]), "%s", cn ? cn : "");
	free(cn);
	test_client_close(&c);
}

static void test_set_tls(void **state)
{
	struct scene s = {0};
	struct test_cert fresh;
	SSL_CTX *tls;

	test_cert_make(&(struct test_cert_spec){.cn = "renewed", .issuer = &scene_ca}, &fresh);
	tls = scene_tls(&fresh);
	scene_open(&s, scene_answer);
	play(&s, cn_client);
	km_http_server_set_tls(s.server, tls);
	SSL_CTX_free(tls);
	play(&s, cn_client);
	assert_string_equal(seen_server[0], "server");
	assert_string_equal(seen_server[1], "renewed");
	test_cert_free(&fresh);
	scene_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_closing),
		cmocka_unit_test(test_bad_targets),
		cmocka_unit_test(test_details),
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_free_with_pending),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_stream_variants),
		cmocka_unit_test(test_stream_broken_off),
		cmocka_unit_test(test_stream_client_leaves),
		cmocka_unit_test(test_stream_pressure),
		cmocka_unit_test(test_drain_busy),
		cmocka_unit_test(test_drain_idle),
		cmocka_unit_test(test_drain_fresh),
		cmocka_unit_test(test_drain_nobody),
		cmocka_unit_test(test_drain_deadline),
		cmocka_unit_test(test_listen_errors),
		cmocka_unit_test(test_any_address),
		cmocka_unit_test(test_set_tls),
	};

	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
