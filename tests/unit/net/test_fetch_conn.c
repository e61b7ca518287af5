/* SPDX-License-Identifier: Apache-2.0 */
/* The kubelet client's connections: kept ones that die, refusals, deadlines, the token bucket, and ends at any moment.
 */
#include "net/fetch.h"

#include "tests/unit/net/fetch_scene.h"

static bool none_open(void *arg)
{
	return apistub_open(arg) == 0;
}

/* ---- kept connections that die ---- */

static void a_closed_idle_connection_is_replaced(void **state)
{
	struct scene s;
	struct outcome o;

	open_scene(&s);
	o = get(&s);
	apistub_cut(s.last);
	/* the server has closed, and our side has read it: it closed as well */
	assert_true(apistub_until(s.loop, none_open, s.stub));
	for (int i = 0; i < 5; i++)
		event_base_loop(km_loop_base(s.loop), EVLOOP_NONBLOCK);
	o = get(&s);
	assert_int_equal(o.error, 0);
	assert_false(o.reused);
	assert_int_equal(s.judged, 2);
	assert_int_equal(s.requests, 2);
	close_scene(&s);
}

static void a_dead_connection_costs_one_retry(void **state)
{
	struct scene s;
	struct outcome o;

	open_scene(&s);
	o = get(&s);
	s.reply[1] = NULL; /* closes at the second request */
	s.cut[1] = true;
	o = get(&s);
	assert_int_equal(o.error, 0);
	assert_string_equal(o.body, "again");
	assert_false(o.reused);
	assert_int_equal(s.requests, 3);
	assert_int_equal(s.conns, 2);
	close_scene(&s);
}

static void the_retry_is_not_repeated(void **state)
{
	struct scene s;
	struct outcome o;

	open_scene(&s);
	o = get(&s);
	for (int i = 1; i < 8; i++) {
		s.reply[i] = NULL;
		s.cut[i] = true;
	}
	o = get(&s);
	assert_int_equal(o.error, -ECONNRESET);
	assert_names(&o, s.port);
	assert_int_equal(s.requests, 3);
	close_scene(&s);
}

static void a_reply_that_began_is_not_asked_for_again(void **state)
{
	struct scene s;
	struct outcome o;

	open_scene(&s);
	o = get(&s);
	s.reply[1] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello";
	s.cut[1] = true;
	o = get(&s);
	assert_int_equal(o.error, -EBADMSG);
	assert_true(o.reused);
	assert_int_equal(s.requests, 2);
	close_scene(&s);
}

static void the_judge_sees_the_retry_too(void **state)
{
	struct scene s;
	struct outcome o;

	open_scene(&s);
	o = get(&s);
	s.reply[1] = NULL;
	s.cut[1] = true;
	s.refuse_from = 2;
	o = get(&s);
	assert_int_equal(o.error, -EKEYREJECTED);
	assert_int_equal(s.requests, 2);
	close_scene(&s);
}

/* ---- refusals ---- */

static void a_refused_kubelet_receives_nothing(void **state)
{
	struct scene s;
	struct outcome o;

	open_scene(&s);
	s.refuse_from = 1;
	for (unsigned i = 1; i <= 2; i++) {
		o = get(&s);
		assert_int_equal(o.error, -EKEYREJECTED);
		assert_names(&o, s.port);
		assert_text(&o, "this is not my kubelet");
		assert_int_equal(s.judged, i);
	}
	assert_true(apistub_until(s.loop, none_open, s.stub));
	assert_int_equal(s.requests, 0);
	close_scene(&s);
}

static void nobody_listens(void **state)
{
	struct scene s;
	struct outcome o;
	uint16_t port;

	open_scene(&s);
	port = closed_port(s.loop);
	for (int plain = 0; plain < 2; plain++) {
		assert_int_equal(km_fetch_peer_target(s.peer, "127.0.0.1", port, plain, NULL), 0);
		o = get(&s);
		if (o.error != -ECONNREFUSED)
			fail_msg("plain %d: %d %s", plain, o.error, o.text);
		assert_names(&o, port);
		assert_text(&o, "Connection refused");
	}
	/* in an IPv6 address the port would be lost among the colons */
	assert_int_equal(km_fetch_peer_target(s.peer, "::1", port, true, NULL), 0);
	o = get(&s);
	assert_true(o.error < 0);
	assert_text(&o, "[::1]:");
	close_scene(&s);
}

#define BYTES(literal) literal, sizeof(literal) - 1

static void not_the_protocol_that_was_expected(void **state)
{
	static const struct {
		const char *reply;
		size_t len;
		bool cut, plain;
		int error;
		const char *text;
	} rows[] = {
		/* hangs up */
		{NULL, 0, true, false, -ECONNRESET, "cut"},
		{BYTES("\x15\x03\x03\x00\x02\x02\x28"), true, false, -EPROTO, "TLS: "},
		/* internal_error: what a kubelet says that has no serving certificate yet */
		{BYTES("\x15\x03\x03\x00\x02\x02\x50"), true, false, -EPROTO, "kubectl get csr"},
		{BYTES("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"), true,
			false, -EPROTO, "TLS: "},
		/* and the other way round: an alert in place of a reply */
		{BYTES("\x15\x03\x01\x00\x02\x02\x16\r\n"), true, true, -EBADMSG, ""},
		{NULL, 0, true, true, -ECONNRESET, "cut"},
		{BYTES("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), false, true, 0, "ok"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct scene s;
		struct outcome o;

		open_scene(&s);
		s.raw = (struct raw){.reply = rows[i].reply, .reply_len = rows[i].len, .cut = rows[i].cut};
		raw_start(&s.raw, s.loop);
		assert_int_equal(km_fetch_peer_target(s.peer, "127.0.0.1", s.raw.port, rows[i].plain, NULL), 0);
		o = get(&s);
		if (o.error != rows[i].error)
			fail_msg("row %zu: %d %s", i, o.error, o.text);
		if (o.error) {
			assert_names(&o, s.raw.port);
			assert_text(&o, rows[i].text);
		} else {
			assert_string_equal(o.body, rows[i].text);
		}
		assert_int_equal(s.raw.accepted, 1);
		assert_int_equal(s.judged, 0);
		close_scene(&s);
	}
}

/* ---- the deadline ---- */

static void drip(void *arg)
{
	struct scene *s = arg;

	apistub_raw(s->last, "x");
	km_timer_set(s->drip, 5 * MS);
}

static bool has_request(void *arg)
{
	return ((struct scene *)arg)->requests > 0;
}

static void slow_bytes_do_not_stretch_the_deadline(void **state)
{
	struct scene s;
	uint64_t start, took;
	struct outcome o;

	open_scene(&s);
	assert_int_equal(km_timer_new(s.loop, drip, &s, &s.drip), 0);
	(void)get(&s);
	s.requests = 0;
	s.reply[0] = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
	start = km_now_us();
	s.out = (struct outcome){0};
	assert_int_equal(km_fetch_get(s.peer, "/", NULL, 100 * MS, BODY_MAX, on_done, &s.out), 0);
	assert_true(apistub_until(s.loop, has_request, &s));
	km_timer_set(s.drip, MS);
	assert_true(apistub_until(s.loop, is_done, &s.out));
	took = km_now_us() - start;
	assert_int_equal(s.out.error, -ETIMEDOUT);
	assert_names(&s.out, s.port);
	assert_true(took >= 100 * MS && took < 2000 * MS);
	km_timer_cancel(s.drip);
	/* a late byte of it is nobody's */
	o = get(&s);
	assert_int_equal(o.error, 0);
	assert_false(o.reused);
	close_scene(&s);
}

static void silence_ends_at_the_deadline(void **state)
{
	for (int plain = 0; plain < 2; plain++) {
		struct scene s;
		struct outcome o;

		open_scene(&s);
		raw_start(&s.raw, s.loop); /* never answers */
		assert_int_equal(km_fetch_peer_target(s.peer, "127.0.0.1", s.raw.port, plain, NULL), 0);
		o = get_within(&s, 30 * MS);
		assert_int_equal(o.error, -ETIMEDOUT);
		assert_names(&o, s.raw.port);
		assert_text(&o, "deadline");
		close_scene(&s);
	}
}

/* ---- names ---- */

static void names_are_resolved(void **state)
{
	struct scene s;
	struct outcome o;
	char label[80] = "";

	open_scene(&s);
	/* an old way to write 127.0.0.1: for getaddrinfo, and no DNS server is asked */
	assert_int_equal(km_fetch_peer_target(s.peer, "127.1", s.port, false, NULL), 0);
	o = get(&s);
	assert_int_equal(o.error, 0);
	assert_non_null(strstr(s.head, "\r\nHost: 127.1:"));
	/* no label is as long as that: the resolver says so by itself */
	memset(label, 'a', 70);
	assert_int_equal(km_fetch_peer_target(s.peer, label, s.port, false, NULL), 0);
	o = get(&s);
	assert_int_equal(o.error, -ENOENT);
	assert_text(&o, label);
	assert_text(&o, "cannot be resolved");
	close_scene(&s);
}

static void unusable_targets(void **state)
{
	static const char *const hosts[] = {"", "a b", "x/y", "-option", ".a", "1.2.3.4:5", "[::1]", "a\r\nb"};
	struct scene s;
	struct km_err err = {0};
	char longest[260];

	open_scene(&s);
	for (size_t i = 0; i < KM_ARRAY_LEN(hosts); i++)
		assert_int_equal(km_fetch_peer_target(s.peer, hosts[i], 1, false, &err), -EINVAL);
	assert_int_equal(km_fetch_peer_target(s.peer, "127.0.0.1", 0, false, &err), -EINVAL);
	memset(longest, 'a', 254);
	longest[254] = '\0';
	assert_int_equal(km_fetch_peer_target(s.peer, longest, 1, false, &err), -EINVAL);
	assert_int_equal(get(&s).error, 0); /* the old target stands */
	close_scene(&s);
}

/* ---- the token bucket ---- */

#define RATE 20

struct queue {
	struct scene s;
	struct km_fetcher *fetcher;
	struct km_fetch_peer *peers[RATE + 4];
	struct outcome outs[RATE + 4];
	unsigned order[RATE + 4], n_done, n_want;
};

struct queued {
	struct queue *q;
	unsigned i;
};

static void on_queued(const struct km_fetch_result *result, void *arg)
{
	struct queued *at = arg;

	keep(result, &at->q->outs[at->i]);
	at->q->order[at->q->n_done++] = at->i;
}

static bool all_done(void *arg)
{
	struct queue *q = arg;

	return q->n_done >= q->n_want;
}

static void new_connections_wait_their_turn(void **state)
{
	static struct queue q;
	struct queued at[RATE + 4];
	uint64_t start, taken;

	q = (struct queue){0};
	open_scene(&q.s);
	q.s.raw = (struct raw){.reply = AGAIN, .cut = true};
	raw_start(&q.s.raw, q.s.loop);
	assert_int_equal(
		km_fetcher_new(q.s.loop, &(struct km_fetcher_config){.connects_per_second = RATE}, &q.fetcher, NULL),
		0);
	start = km_now_us();
	for (unsigned i = 0; i < RATE + 4; i++) {
		at[i] = (struct queued){&q, i};
		assert_int_equal(km_fetch_peer_new(q.fetcher, judge, &q.s, &q.peers[i]), 0);
		assert_int_equal(km_fetch_peer_target(q.peers[i], "127.0.0.1", q.s.raw.port, true, NULL), 0);
	}
	/* a burst of one second's worth goes at once, three wait */
	for (unsigned i = 0; i < RATE + 3; i++)
		assert_int_equal(km_fetch_get(q.peers[i], "/", NULL, i == RATE + 1 ? 20 * MS : NEVER_US, BODY_MAX,
					 on_queued, &at[i]),
			0);
	q.n_want = RATE;
	assert_true(apistub_until(q.s.loop, all_done, &q));
	taken = km_now_us() - start;
	if (taken < 1000 * MS / RATE) /* else a slow machine has earned the waiting ones their tokens */
		assert_int_equal(q.s.raw.accepted, RATE);
	/* the latecomer's turn to ask comes before the timer's that serves the queue, and there is a token by then */
	assert_int_equal(km_fetch_get(q.peers[RATE + 3], "/", NULL, NEVER_US, BODY_MAX, on_queued, &at[RATE + 3]), 0);
	for (uint64_t from = km_now_us(); km_now_us() - from < 2 * 1000 * MS / RATE;)
		;
	q.n_want = RATE + 4;
	assert_true(apistub_until(q.s.loop, all_done, &q));
	for (unsigned i = 0; i < RATE + 4; i++)
		assert_int_equal(q.outs[i].error, i == RATE + 1 ? -ETIMEDOUT : 0);
	assert_text(&q.outs[RATE + 1], "waiting for a free connection slot");
	assert_int_equal(q.order[RATE + 3], RATE + 3);
	/* two tokens more than the burst had to be earned, at RATE a second */
	assert_true(km_now_us() - start >= 2 * 1000 * MS / RATE);
	for (unsigned i = 0; i < RATE + 4; i++)
		km_fetch_peer_free(q.peers[i]);
	km_fetcher_free(q.fetcher);
	close_scene(&q.s);
}

/* ---- another target, other trust, another identity ---- */

static void changes_close_what_is_kept(void **state)
{
	struct scene s;
	struct km_identity *id;
	struct test_cert cert;
	_cleanup_free_ char *cert_pem = NULL, *key_pem = NULL;

	open_scene(&s);
	test_cert_make(&(struct test_cert_spec){.cn = "me", .eku = "clientAuth"}, &cert);
	cert_pem = test_cert_pem(cert.cert);
	key_pem = test_key_pem(cert.key);
	assert_int_equal(km_identity_parse(cert_pem, strlen(cert_pem), key_pem, strlen(key_pem), "test", &id, NULL), 0);
	(void)get(&s);
	km_fetch_peer_disconnect(s.peer);
	assert_false(get(&s).reused);
	assert_true(get(&s).reused);
	assert_int_equal(km_fetcher_set_identity(s.fetcher, id, NULL), 0);
	assert_false(get(&s).reused);
	assert_true(get(&s).reused);
	assert_int_equal(km_fetch_peer_target(s.peer, "127.0.0.1", s.port, false, NULL), 0); /* the same */
	assert_true(get(&s).reused);
	assert_int_equal(km_fetch_peer_target(s.peer, "127.1", s.port, false, NULL), 0);
	assert_false(get(&s).reused);
	assert_int_equal(s.judged, 4);
	km_identity_unref(id);
	test_cert_free(&cert);
	close_scene(&s);
}

/* Whatever state the request is in when the target changes, the next one goes to the new target. */
static void a_target_changes_under_a_request(void **state)
{
	for (int turns = 0; turns < 12; turns++) {
		struct raw old = {
			.address = INADDR_LOOPBACK + 1, .reply = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold"};
		struct scene s;
		struct outcome o;

		open_scene(&s);
		s.raw.reply = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew";
		raw_start(&s.raw, s.loop);
		old.port = s.raw.port;
		raw_start(&old, s.loop);
		assert_int_equal(km_fetch_peer_target(s.peer, "127.2", old.port, true, NULL), 0);
		if (turns & 1)
			(void)get(&s); /* the request under way has a kept connection */
		s.out = (struct outcome){0};
		assert_int_equal(km_fetch_get(s.peer, "/", NULL, NEVER_US, BODY_MAX, on_done, &s.out), 0);
		for (int i = 0; i < turns / 2 && !s.out.done; i++)
			event_base_loop(km_loop_base(s.loop), EVLOOP_ONCE);
		assert_int_equal(km_fetch_peer_target(s.peer, "127.0.0.1", s.raw.port, true, NULL), 0);
		assert_true(apistub_until(s.loop, is_done, &s.out));
		o = get(&s);
		assert_int_equal(o.error, 0);
		assert_string_equal(o.body, "new");
		raw_stop(&old);
		close_scene(&s);
	}
}

/* ---- ends at any moment ---- */

struct pair {
	struct scene s;
	struct km_fetch_peer *other;
	unsigned calls;
};

static void free_both(const struct km_fetch_result *result, void *arg)
{
	struct pair *p = arg;

	p->calls++;
	km_fetch_peer_free(KM_TAKE(p->s.peer));
	km_fetch_peer_free(KM_TAKE(p->other));
	p->s.out.done++;
}

static void never(const struct km_fetch_result *result, void *arg)
{
	fail_msg("called after it was freed: %s", result->error_text);
}

static void freed_in_a_callback(void **state)
{
	struct pair p = {0};

	open_scene(&p.s);
	assert_int_equal(km_fetch_peer_new(p.s.fetcher, judge, &p.s, &p.other), 0);
	assert_int_equal(km_fetch_peer_target(p.other, "127.0.0.1", p.s.port, false, NULL), 0);
	assert_int_equal(km_fetch_get(p.s.peer, "/", NULL, NEVER_US, BODY_MAX, free_both, &p), 0);
	p.s.reply[1] = NULL; /* the other one's */
	assert_true(apistub_until(p.s.loop, has_request, &p.s));
	assert_int_equal(km_fetch_get(p.other, "/", NULL, NEVER_US, BODY_MAX, never, &p), 0);
	assert_true(apistub_until(p.s.loop, is_done, &p.s.out));
	assert_true(apistub_until(p.s.loop, none_open, p.s.stub));
	assert_int_equal(p.calls, 1);
	close_scene(&p.s);
}

static void ask_again(const struct km_fetch_result *result, void *arg)
{
	struct pair *p = arg;

	assert_int_equal(result->error, 0);
	p->calls++;
	assert_int_equal(km_fetch_get(p->s.peer, "/", NULL, NEVER_US, BODY_MAX, p->calls < 3 ? ask_again : on_done,
				 p->calls < 3 ? (void *)p : (void *)&p->s.out),
		0);
}

static void asked_again_in_a_callback(void **state)
{
	struct pair p = {0};

	open_scene(&p.s);
	assert_int_equal(km_fetch_get(p.s.peer, "/", NULL, NEVER_US, BODY_MAX, ask_again, &p), 0);
	assert_true(apistub_until(p.s.loop, is_done, &p.s.out));
	assert_int_equal(p.s.requests, 4);
	assert_int_equal(p.s.judged, 1);
	close_scene(&p.s);
}

/* Freed after every number of loop turns that a request takes, resolving included; no callback, no leak. */
static void freed_with_a_request_under_way(void **state)
{
	for (int turns = 0; turns < 12; turns++) {
		struct scene s;

		open_scene(&s);
		s.reply[0] = NULL;
		assert_int_equal(
			km_fetch_peer_target(s.peer, turns & 1 ? "127.1" : "127.0.0.1", s.port, false, NULL), 0);
		assert_int_equal(km_fetch_get(s.peer, "/", "Bearer x", NEVER_US, BODY_MAX, never, NULL), 0);
		for (int i = 0; i < turns; i++)
			event_base_loop(km_loop_base(s.loop), EVLOOP_NONBLOCK);
		km_fetch_peer_free(KM_TAKE(s.peer));
		if (turns & 2)
			for (int i = 0; i < 4; i++)
				event_base_loop(km_loop_base(s.loop), EVLOOP_NONBLOCK);
		close_scene(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_closed_idle_connection_is_replaced),
		cmocka_unit_test(a_dead_connection_costs_one_retry),
		cmocka_unit_test(the_retry_is_not_repeated),
		cmocka_unit_test(a_reply_that_began_is_not_asked_for_again),
		cmocka_unit_test(the_judge_sees_the_retry_too),
		cmocka_unit_test(a_refused_kubelet_receives_nothing),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(not_the_protocol_that_was_expected),
		cmocka_unit_test(slow_bytes_do_not_stretch_the_deadline),
		cmocka_unit_test(silence_ends_at_the_deadline),
		cmocka_unit_test(names_are_resolved),
		cmocka_unit_test(unusable_targets),
		cmocka_unit_test(new_connections_wait_their_turn),
		cmocka_unit_test(changes_close_what_is_kept),
		cmocka_unit_test(a_target_changes_under_a_request),
		cmocka_unit_test(freed_in_a_callback),
		cmocka_unit_test(asked_again_in_a_callback),
		cmocka_unit_test(freed_with_a_request_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
