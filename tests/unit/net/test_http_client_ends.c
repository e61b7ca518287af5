/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client: calls cancelled and clients freed or drained at any moment, from anywhere; rotation of certificates.
 */
#include "net/http_client.h"

#include "net/http_server.h"
#include "tests/unit/net/http_client_scene.h"

#define CALLS_MAX 1024 /* as documented at km_http_call_start */

static void never(const struct km_http_result *result, void *arg)
{
	fail_msg("called after it was cancelled: %s", result->error_text);
}

static void turn(struct scene *s, int turns)
{
	for (int i = 0; i < turns; i++)
		event_base_loop(km_loop_base(s->loop), EVLOOP_NONBLOCK);
}

/* ---- cancelling ---- */

static void cancelled_at_any_moment(void **state)
{
	static const char *const paths[] = {"/silence", "/stream"};

	for (int i = 0; i < 24; i++) {
		struct scene s;
		struct km_http_call *call;

		open_scene(&s);
		call = start(
			&s, (struct km_http_request){.url = paths[i % 2], .on_done = never, .idle_us = NEVER_US}, NULL);
		turn(&s, i / 2);
		km_http_call_cancel(call);
		km_http_call_cancel(call); /* it lives until the loop turns */
		assert_true(apistub_until(s.loop, none_open, s.stub));
		assert_int_equal(perform(&s, (struct km_http_request){.url = "/ok"}).error, 0);
		close_scene(&s);
	}
}

struct ends {
	struct scene s;
	struct km_http_call *self, *other;
	struct outcome mine, others;
	bool free_client, drain, cancel_other, cancel_self;
};

static void end(struct ends *e)
{
	if (e->cancel_self)
		km_http_call_cancel(e->self);
	if (e->cancel_other)
		km_http_call_cancel(e->other);
	if (e->drain)
		km_http_client_drain(KM_TAKE(e->s.client));
	if (e->free_client)
		km_http_client_free(KM_TAKE(e->s.client));
}

static void end_when_done(const struct km_http_result *result, void *arg)
{
	struct ends *e = arg;

	e->mine.done++;
	e->mine.error = result->error;
	end(e);
}

static int end_with_data(int status, const char *bytes, size_t n, void *arg)
{
	struct ends *e = arg;

	e->mine.pieces++;
	end(e);
	return 0;
}

static bool has_pieces(void *arg)
{
	return ((struct outcome *)arg)->pieces > 0;
}

static bool two_requests(void *arg)
{
	return ((struct scene *)arg)->requests == 2;
}

/* What ends in a callback: the call itself, another one, the client; in every way a callback comes about. */
static void everything_may_end_in_a_callback(void **state)
{
	enum { BY_REPLY, BY_IDLE, BY_DEADLINE, BY_DATA, WAYS };
	/* long enough to reach the server first */
	const uint64_t deadline_us = (getenv("KMETRICSD_TEST_SLOW") ? 2000 : 100) * MS;

	for (int i = 0; i < 16 * WAYS; i++) {
		struct ends e = {
			.free_client = i & 1, .drain = !(i & 1) && i & 2, .cancel_other = i & 4, .cancel_self = i & 8};
		const int way = i / 16;
		struct apistub_conn *c;

		open_scene(&e.s);
		e.other = start(&e.s,
			(struct km_http_request){.url = "/silence",
				.on_done = e.free_client || e.cancel_other ? never : NULL,
				.deadline_us = e.free_client || e.cancel_other ? 0 : deadline_us},
			&e.others);
		assert_true(apistub_until(e.s.loop, has_request, &e.s));
		e.self = start(&e.s,
			(struct km_http_request){.url = way == BY_REPLY ? "/ok" : "/stream",
				.on_done = way == BY_DATA && (e.free_client || e.cancel_self) ? never : end_when_done,
				.on_data = way == BY_DATA ? end_with_data : NULL,
				.idle_us = way == BY_IDLE ? 10 * MS : 0,
				.deadline_us = way == BY_DEADLINE ? 10 * MS : 0,
				.arg = &e},
			NULL);
		if (way == BY_DATA) {
			assert_true(apistub_until(e.s.loop, two_requests, &e.s));
			c = e.s.last;
			apistub_chunk(c, "abc");
			assert_true(apistub_until(e.s.loop, has_pieces, &e.mine));
			if (!e.free_client && !e.cancel_self) {
				e.drain = e.cancel_other = false; /* once is enough */
				apistub_end(c);
				finish(&e.s, &e.mine);
			}
		} else {
			finish(&e.s, &e.mine);
			assert_int_equal(e.mine.error, way == BY_REPLY ? 0 : -ETIMEDOUT);
		}
		if (!e.free_client && !(i & 4)) {
			finish(&e.s, &e.others);
			assert_int_equal(e.others.error, -ETIMEDOUT);
		}
		if (!e.s.client) /* gone with all that it had open */
			assert_true(apistub_until(e.s.loop, none_open, e.s.stub));
		turn(&e.s, 4);
		close_scene(&e.s);
	}
}

static void again(const struct km_http_result *result, void *arg)
{
	struct ends *e = arg;

	e->mine.pieces++;
	(void)start(&e->s, (struct km_http_request){.url = "/ok"}, &e->others);
}

static void a_call_may_start_the_next(void **state)
{
	struct ends e = {0};

	open_scene(&e.s);
	(void)start(&e.s, (struct km_http_request){.url = "/ok", .on_done = again, .arg = &e}, NULL);
	finish(&e.s, &e.others);
	assert_int_equal(e.others.error, 0);
	assert_int_equal(e.mine.pieces, 1);
	assert_int_equal(e.s.conns, 1);
	close_scene(&e.s);
}

/* ---- freeing ---- */

static void freed_with_calls_under_way(void **state)
{
	for (int i = 0; i < 12; i++) {
		struct scene s;

		open_scene(&s);
		for (int n = 0; n < 4; n++)
			(void)start(&s,
				(struct km_http_request){.url = n % 2 ? "/silence" : "/stream",
					.on_done = never,
					.authorization = "Bearer secret",
					.body = "x",
					.body_len = 1,
					.dedicated = n == 3},
				NULL);
		turn(&s, i);
		close_scene(&s);
	}
}

static void calls_have_a_limit(void **state)
{
	struct scene s;
	struct km_http_call *call = NULL, *last = NULL;
	struct outcome o = {0};
	struct km_http_request request = {.method = "GET", .on_done = never};
	char url[64];

	open_scene(&s);
	snprintf(url, sizeof(url), "%s/silence", s.base);
	request.url = url;
	for (int i = 0; i < CALLS_MAX; i++)
		assert_int_equal(km_http_call_start(s.client, &request, &last), 0);
	assert_int_equal(km_http_call_start(s.client, &request, &call), -EAGAIN);
	assert_null(call);
	km_http_call_cancel(last);
	turn(&s, 3);
	assert_int_equal(km_http_call_start(s.client, &request, &call), 0);
	/* 2 to the host, and 8 more for watches; the others wait */
	assert_true(apistub_until(s.loop, has_request, &s));
	turn(&s, 20);
	assert_true(apistub_open(s.stub) <= 10);
	assert_int_equal(o.done, 0);
	close_scene(&s);
}

/* ---- rotation ---- */

struct server {
	struct km_http_server *server;
	struct km_http_req *pending;
	SSL_CTX *tls;
	unsigned requests;
};

static void answer_with_name(struct km_http_req *req, void *arg)
{
	struct server *v = arg;
	X509 *cert = km_http_req_peer_cert(req);
	char *cn = cert ? km_x509_cn(cert) : strdup("nobody");

	v->requests++;
	if (strcmp(km_http_req_target(req), "/wait") == 0)
		v->pending = req;
	else
		km_http_reply(req, 200, "text/plain", cn, strlen(cn));
	free(cn);
}

static struct km_identity *identity(const struct test_cert *c)
{
	_cleanup_free_ char *cert = test_cert_pem(c->cert), *key = test_key_pem(c->key);
	struct km_identity *id = NULL;

	assert_int_equal(km_identity_parse(cert, strlen(cert), key, strlen(key), "test", &id, NULL), 0);
	return id;
}

static bool is_pending(void *arg)
{
	return ((struct server *)arg)->pending != NULL;
}

static bool no_connections(void *arg)
{
	struct km_http_server_stats stats;

	km_http_server_stats(((struct server *)arg)->server, &stats);
	return stats.connections == 0;
}

static void a_new_certificate_while_the_old_client_drains(void **state)
{
	static const char *const names[] = {"one", "two"};
	struct scene s;
	struct server v = {0};
	struct test_cert certs[2];
	struct km_identity *ids[2], *server_id;
	struct km_http_client *clients[2];
	struct km_http_call *call = NULL;
	struct outcome o, waiting = {0};
	STACK_OF(X509) *roots = sk_X509_new_null();
	struct km_http_server_config config = {.bind_address = "127.0.0.1", .handler = answer_with_name, .arg = &v};
	struct test_cert server_cert;
	char url[64], wait_url[80];

	open_scene(&s);
	test_cert_make(&(struct test_cert_spec){.cn = "server",
			       .ca = true,
			       .ku = "digitalSignature,keyCertSign",
			       .eku = "serverAuth",
			       .san = "IP:127.0.0.1"},
		&server_cert);
	server_id = identity(&server_cert);
	assert_int_equal(km_tls_server_ctx(server_id, NULL, &v.tls, NULL), 0);
	config.tls = v.tls;
	assert_int_equal(km_http_server_new(s.loop, &config, &v.server, NULL), 0);
	snprintf(url, sizeof(url), "https://127.0.0.1:%u/", km_http_server_port(v.server));
	snprintf(wait_url, sizeof(wait_url), "%swait", url);
	assert_true(sk_X509_push(roots, server_cert.cert) > 0);
	for (int i = 0; i < 2; i++) {
		test_cert_make(&(struct test_cert_spec){.cn = names[i], .eku = "clientAuth"}, &certs[i]);
		ids[i] = identity(&certs[i]);
		assert_int_equal(
			km_http_client_new(s.loop, &(struct km_http_client_config){.roots = roots, .identity = ids[i]},
				&clients[i], NULL),
			0);
	}
	km_http_client_free(s.client);
	s.client = clients[0];
	o = perform(&s, (struct km_http_request){.url = url});
	assert_string_equal(o.body, "one");
	(void)start(&s, (struct km_http_request){.url = wait_url}, &waiting);
	assert_true(apistub_until(s.loop, is_pending, &v));
	km_http_client_drain(clients[0]);
	assert_int_equal(km_http_call_start(clients[0],
				 &(struct km_http_request){.method = "GET", .url = url, .on_done = never}, &call),
		-EAGAIN);
	s.client = clients[1];
	o = perform(&s, (struct km_http_request){.url = url});
	assert_string_equal(o.body, "two");
	assert_int_equal(waiting.done, 0);
	km_http_reply(v.pending, 200, "text/plain", "late", 4);
	finish(&s, &waiting);
	assert_string_equal(waiting.body, "late");
	/* the old one has gone with its connections; the new one is as good as ever */
	o = perform(&s, (struct km_http_request){.url = url});
	assert_string_equal(o.body, "two");
	km_http_client_free(KM_TAKE(s.client));
	assert_true(apistub_until(s.loop, no_connections, &v));
	km_http_server_free(v.server);
	for (int i = 0; i < 2; i++) {
		km_identity_unref(ids[i]);
		test_cert_free(&certs[i]);
	}
	km_identity_unref(server_id);
	test_cert_free(&server_cert);
	SSL_CTX_free(v.tls);
	sk_X509_free(roots);
	close_scene(&s);
}

static void an_idle_client_drains_at_once(void **state)
{
	struct scene s;

	open_scene(&s);
	assert_int_equal(perform(&s, (struct km_http_request){.url = "/ok"}).error, 0);
	km_http_client_drain(KM_TAKE(s.client));
	assert_true(apistub_until(s.loop, none_open, s.stub));
	close_scene(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cancelled_at_any_moment),
		cmocka_unit_test(everything_may_end_in_a_callback),
		cmocka_unit_test(a_call_may_start_the_next),
		cmocka_unit_test(freed_with_calls_under_way),
		cmocka_unit_test(calls_have_a_limit),
		cmocka_unit_test(a_new_certificate_while_the_old_client_drains),
		cmocka_unit_test(an_idle_client_drains_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
