/* SPDX-License-Identifier: Apache-2.0 */
/* The kubelet client against scripted servers: whatever they say or fail to say ends in one clear result. */
#include "net/fetch.h"

#include "tests/unit/net/fetch_scene.h"

/* ---- one connection for many requests ---- */

static void one_handshake_for_many(void **state)
{
	struct scene s;

	open_scene(&s);
	for (int i = 0; i < 20; i++) {
		struct outcome o = get(&s);

		assert_int_equal(o.error, 0);
		assert_int_equal(o.status, 200);
		assert_string_equal(o.body, "again");
		assert_int_equal(o.reused, i > 0);
	}
	assert_int_equal(s.judged, 1);
	assert_int_equal(s.conns, 1);
	assert_int_equal(s.requests, 20);
	assert_non_null(strstr(s.head, "GET /metrics/resource HTTP/1.1\r\n"));
	assert_non_null(strstr(s.head, "\r\nUser-Agent: test/1\r\n"));
	assert_null(strstr(s.head, "Authorization"));
	close_scene(&s);
}

static void headers_are_sent(void **state)
{
	struct scene s;
	char host[64];

	open_scene(&s);
	assert_int_equal(km_fetch_get(s.peer, "/a?b=c", "Bearer x", NEVER_US, BODY_MAX, on_done, &s.out), 0);
	assert_true(apistub_until(s.loop, is_done, &s.out));
	snprintf(host, sizeof(host), "\r\nHost: 127.0.0.1:%u\r\n", s.port);
	assert_non_null(strstr(s.head, host));
	assert_non_null(strstr(s.head, "\r\nAuthorization: Bearer x\r\n"));
	assert_non_null(strstr(s.head, "GET /a?b=c HTTP/1.1\r\n"));
	close_scene(&s);
}

/* ---- every kind of reply ---- */

static const struct reply_row {
	const char *bytes;
	bool cut;
	int error, status;
	const char *want; /* body, or a part of the error's text */
	bool kept;        /* the next request goes over the same connection */
} replies[] = {
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, 0, 200, "hello", true},
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, 0, 200, "", true},
	{"HTTP/1.1 204 None\r\n\r\n", false, 0, 204, "", true},
	{"HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\nno", false, 0, 503, "no", true},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", false, 0, 200,
		"hello", true},
	/* the connection ends with the reply */
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", true, 0, 200, "hello", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", false, 0, 200, "hello", false},
	{"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", true, 0, 200, "hello", false},
	/* interim replies */
	{"HTTP/1.1 100 Continue\r\n\r\n" AGAIN, false, -EBADMSG, 0, "status 100", false},
	{"HTTP/1.1 103 Hints\r\nContent-Length: 0\r\n\r\n" AGAIN, false, -EBADMSG, 0, "103", false},
	{"HTTP/1.1 101 Switching\r\nContent-Length: 0\r\n\r\n", false, -EBADMSG, 0, "101", false},
	/* more than was asked for: it must not answer the next request */
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale", false, 0,
		200, "hello", false},
	/* cut short */
	{"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", true, -EBADMSG, 0, "middle of the reply", false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, -EBADMSG, 0,
		"middle of the reply", false},
	{"HTTP/1.1 200 OK\r\nContent-Len", true, -EBADMSG, 0, "middle of the reply", false},
	{"HTTP/1.1 2", true, -EBADMSG, 0, "middle of the reply", false},
	{"", true, -ECONNRESET, 0, "without a reply", false},
	/* no way to know where it ends */
	{"HTTP/1.1 200 OK\r\n\r\nhello", true, -EBADMSG, 0, "without a length", false},
	{"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", true, -EBADMSG, 0, "without a length", false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello", true, -EBADMSG, 0, "Transfer-Encoding", false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true, -EBADMSG, 0,
		"Transfer-Encoding", false},
	/* not HTTP */
	{"SSH-2.0-OpenSSH_9.2\r\n\r\n", false, -EBADMSG, 0, "not HTTP", false},
	{"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", false, -EBADMSG, 0, "not HTTP", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", false, -EBADMSG, 0, "not HTTP", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello", false, -EBADMSG, 0, "not HTTP", false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n", false, -EBADMSG, 0, "malformed",
		false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n", false, -EBADMSG, 0, "malformed",
		false},
	/* too much */
	{"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\nhello", false, -EMSGSIZE, 0, "larger than 1000 bytes", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nhello", false, -EMSGSIZE, 0,
		"larger than 1000 bytes", false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3e4\r\n", false, -EMSGSIZE, 0,
		"larger than 1000 bytes", false},
};

static void check_reply(struct scene *s, const struct reply_row *row, const char *bytes)
{
	struct outcome o;

	s->requests = 0;
	s->reply[0] = bytes;
	s->cut[0] = row->cut;
	o = get(s);
	if (o.error != row->error || o.status != row->status)
		fail_msg("%.60s: error %d, status %d: %s", row->bytes, o.error, o.status, o.text);
	if (o.error) {
		assert_text(&o, row->want);
		assert_names(&o, s->port);
	} else {
		assert_string_equal(o.body, row->want);
	}
	assert_int_equal(s->requests, 1);
	/* whatever it was, the next request is answered by its own reply */
	o = get(s);
	if (o.error || strcmp(o.body, "again") != 0 || o.reused != row->kept)
		fail_msg("after %.60s: error %d, %s \"%s\" %s", row->bytes, o.error, o.text, o.body,
			o.reused ? "kept" : "not kept");
	assert_int_equal(s->requests, 2);
	km_fetch_peer_disconnect(s->peer);
}

static void every_reply_has_its_result(void **state)
{
	struct scene s;

	open_scene(&s);
	for (size_t i = 0; i < KM_ARRAY_LEN(replies); i++)
		check_reply(&s, &replies[i], replies[i].bytes);
	close_scene(&s);
}

static void headers_have_a_limit(void **state)
{
	static const struct reply_row row = {"long header", false, -EMSGSIZE, 0, "headers are longer", false};
	struct scene s;
	char bytes[20000];
	size_t n = (size_t)snprintf(bytes, sizeof(bytes), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ");

	memset(bytes + n, 'x', sizeof(bytes) - n);
	memcpy(bytes + sizeof(bytes) - 5, "\r\n\r\n", 5);
	open_scene(&s);
	check_reply(&s, &row, bytes);
	close_scene(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_handshake_for_many),
		cmocka_unit_test(headers_are_sent),
		cmocka_unit_test(every_reply_has_its_result),
		cmocka_unit_test(headers_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
