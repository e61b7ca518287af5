/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client for the API server: requests as sent, every kind of reply and failure, streams, the pool. */
#include "net/http_client.h"

#include <zlib.h>

#include "tests/unit/net/http_client_scene.h"

/* ---- requests ---- */

static void a_request_is_sent_whole(void **state)
{
	static const struct km_http_header headers[] = {{"Accept", "application/json"}, {"X-A", "1"}};
	struct scene s;
	struct outcome o;

	open_scene(&s);
	o = perform(&s, (struct km_http_request){.method = "PATCH",
				.url = "/ok",
				.headers = headers,
				.n_headers = 2,
				.authorization = "Bearer secret",
				.body = "{\"a\":1}",
				.body_len = 7,
				.body_type = "application/merge-patch+json"});
	assert_int_equal(o.error, 0);
	assert_string_equal(s.method, "PATCH");
	assert_string_equal(s.body, "{\"a\":1}");
	assert_non_null(strstr(s.head, "\r\nAuthorization: Bearer secret\r\n"));
	assert_non_null(strstr(s.head, "\r\nContent-Type: application/merge-patch+json\r\n"));
	assert_non_null(strstr(s.head, "\r\nAccept: application/json\r\n"));
	assert_non_null(strstr(s.head, "\r\nX-A: 1\r\n"));
	assert_non_null(strstr(s.head, "\r\nUser-Agent: test/1\r\n"));
	assert_null(strstr(s.head, "\r\nExpect:"));
	o = perform(&s, (struct km_http_request){.url = "/ok", .method = "DELETE"});
	assert_string_equal(s.method, "DELETE");
	assert_null(strstr(s.head, "Authorization"));
	assert_null(strstr(s.head, "Content-Length"));
	close_scene(&s);
}

static void a_proxy_of_the_environment_is_not_used(void **state)
{
	struct scene s;

	setenv("HTTPS_PROXY", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	open_scene(&s);
	assert_int_equal(perform(&s, (struct km_http_request){.url = "/ok"}).error, 0);
	close_scene(&s);
	unsetenv("HTTPS_PROXY");
	unsetenv("ALL_PROXY");
}

static void a_header_too_long_is_refused(void **state)
{
	struct scene s;
	static char value[9000];
	const struct km_http_header header = {"X", value};
	struct km_http_call *call = NULL;
	struct outcome o = {0};

	open_scene(&s);
	memset(value, 'x', sizeof(value) - 1);
	assert_int_equal(km_http_call_start(s.client,
				 &(struct km_http_request){.method = "GET",
					 .url = s.base,
					 .headers = &header,
					 .n_headers = 1,
					 .on_done = on_done,
					 .arg = &o},
				 &call),
		-EMSGSIZE);
	assert_null(call);
	assert_int_equal(perform(&s, (struct km_http_request){.url = "/ok"}).error, 0);
	assert_int_equal(o.done, 0);
	close_scene(&s);
}

/* ---- replies ---- */

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Length: "

static const struct reply_row {
	const char *bytes;
	bool cut;
	int error, status;
	const char *want; /* body, or a part of the error's text */
	const char *type;
	int64_t retry_after_s;
} replies[] = {
	{OK_HEAD "5\r\nContent-Type: text/plain\r\n\r\nhello", false, 0, 200, "hello", "text/plain", -1},
	{OK_HEAD "0\r\n\r\n", false, 0, 200, "", "", -1},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", false, 0, 200,
		"hello", "", -1},
	{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" OK_HEAD "5\r\n\r\nhello", false, 0, 200,
		"hello", "", -1},
	{"HTTP/1.1 429 Wait\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno", false, 0, 429, "no", "", 7},
	{"HTTP/1.1 503 X\r\nRetry-After: nonsense\r\nContent-Length: 2\r\n\r\nno", false, 0, 503, "no", "", -1},
	{"HTTP/1.1 404 X\r\nContent-Length: 2\r\n\r\nno", false, 0, 404, "no", "", -1},
	/* redirects are the caller's to see: nobody sends the token somewhere else */
	{"HTTP/1.1 302 X\r\nLocation: /ok\r\nContent-Length: 5\r\n\r\nthere", false, 0, 302, "there", "", -1},
	/* cut short */
	{OK_HEAD "6\r\n\r\nhello", true, -EBADMSG, 200, "/raw: ", "", -1},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, -EBADMSG, 200, "/raw: ", "", -1},
	{"", true, -ECONNRESET, 0, "/raw: ", "", -1},
	/* not HTTP */
	{"SSH-2.0-OpenSSH_9.2\r\n\r\n", true, -EIO, 0, "/raw: ", "", -1},
	/* too much; limit 1000 */
	{OK_HEAD "1001\r\n\r\nhello", false, -EMSGSIZE, 200, "larger than 1000 bytes", "", -1},
};

static void every_reply_has_its_result(void **state)
{
	struct scene s;

	open_scene(&s);
	for (size_t i = 0; i < KM_ARRAY_LEN(replies); i++) {
		const struct reply_row *row = &replies[i];
		struct outcome o;

		s.reply = row->bytes;
		s.cut = row->cut;
		s.requests = 0;
		o = perform(&s, (struct km_http_request){.url = "/raw", .max_body = 1000, .deadline_us = NEVER_US});
		if (o.error != row->error || o.status != row->status || o.retry_after_s != row->retry_after_s)
			fail_msg("row %zu: %d, status %d, retry %lld: %s", i, o.error, o.status,
				(long long)o.retry_after_s, o.text);
		if (o.error) {
			assert_text(&o, row->want);
			assert_text(&o, s.base);
		} else {
			assert_string_equal(o.body, row->want);
			assert_string_equal(o.type, row->type);
		}
		/* libcurl asks once more by itself when a kept connection dies before a reply; no row is one of those:
		 * the connection before was either closed or is fine */
		assert_true(s.requests == 1 || (row->error == -ECONNRESET && s.requests == 2));
		s.cut = false;
		assert_string_equal(perform(&s, (struct km_http_request){.url = "/ok"}).body, "fine");
	}
	close_scene(&s);
}

static void the_limit_is_exact_and_counts_what_was_unpacked(void **state)
{
	struct scene s;
	struct outcome o;
	char url[64], plain[5000] = "", packed[600], reply[1000];
	z_stream z = {.next_in = (Bytef *)plain,
		.avail_in = sizeof(plain),
		.next_out = (Bytef *)packed,
		.avail_out = sizeof(packed)};
	int n;

	open_scene(&s);
	s.reply = OK_HEAD "5\r\n\r\nhello";
	assert_int_equal(perform(&s, (struct km_http_request){.url = "/raw", .max_body = 5}).error, 0);
	assert_int_equal(perform(&s, (struct km_http_request){.url = "/raw", .max_body = 4}).error, -EMSGSIZE);
	memset(plain, 'a', sizeof(plain));
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	n = snprintf(reply, sizeof(reply), OK_HEAD "%lu\r\nContent-Encoding: gzip\r\n\r\n", z.total_out);
	memcpy(reply + n, packed, z.total_out);
	s.raw = (struct raw){.reply = reply, .reply_len = (size_t)n + z.total_out};
	(void)deflateEnd(&z);
	raw_start(&s.raw, s.loop);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", s.raw.port);
	o = perform(&s, (struct km_http_request){.url = url, .max_body = sizeof(plain)});
	assert_int_equal(o.error, 0);
	assert_int_equal(o.len, sizeof(plain));
	assert_memory_equal(o.body, plain, sizeof(plain));
	o = perform(&s, (struct km_http_request){.url = url, .max_body = sizeof(plain) - 1});
	assert_int_equal(o.error, -EMSGSIZE);
	assert_text(&o, "larger than 4999 bytes");
	close_scene(&s);
}

/* ---- failures ---- */

static void connections_that_fail(void **state)
{
	struct scene s;
	struct outcome o;
	char url[64];

	open_scene(&s);
	snprintf(url, sizeof(url), "https://127.0.0.1:%u/", closed_port(s.loop));
	o = perform(&s, (struct km_http_request){.url = url});
	assert_int_equal(o.error, -ECONNREFUSED);
	assert_text(&o, url);
	assert_text(&o, "refused");
	/* hangs up on the ClientHello; speaks HTTP without TLS */
	for (int http = 0; http < 2; http++) {
		s.raw = (struct raw){.cut = true, .reply = http ? "HTTP/1.0 400 Bad Request\r\n\r\n" : NULL};
		raw_start(&s.raw, s.loop);
		snprintf(url, sizeof(url), "https://127.0.0.1:%u/", s.raw.port);
		o = perform(&s, (struct km_http_request){.url = url});
		assert_true(o.error == -EIO || o.error == -ECONNRESET);
		assert_int_equal(o.status, 0);
		assert_text(&o, url);
		raw_stop(&s.raw);
	}
	close_scene(&s);
}

static void the_server_must_be_the_right_one(void **state)
{
	static const struct {
		bool other_root;
		const char *server_name;
		int error;
	} rows[] = {
		{false, NULL, 0},
		{false, "127.0.0.1", 0},
		{false, "127.0.0.2", -EKEYREJECTED},
		{false, "kubernetes.default.svc", -EKEYREJECTED},
		{true, NULL, -EKEYREJECTED},
		{true, "127.0.0.1", -EKEYREJECTED},
	};
	struct test_cert other;

	test_cert_make(&(struct test_cert_spec){.cn = "other", .ca = true}, &other);
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct scene s;
		struct outcome o;

		open_scene(&s);
		km_http_client_free(s.client);
		s.client = new_client(&s, rows[i].other_root ? other.cert : apistub_cert(s.stub), rows[i].server_name);
		o = perform(&s, (struct km_http_request){.url = "/ok", .authorization = "Bearer secret"});
		if (o.error != rows[i].error)
			fail_msg("row %zu: %d %s", i, o.error, o.text);
		if (o.error) {
			assert_text(&o, s.base);
			assert_text(&o, "certificate");
		}
		assert_int_equal(s.requests, o.error ? 0 : 1);
		close_scene(&s);
	}
	test_cert_free(&other);
}

static void the_deadline_ends_a_call(void **state)
{
	struct scene s;
	struct outcome o;
	uint64_t from, took;

	open_scene(&s);
	from = km_now_us();
	o = perform(&s, (struct km_http_request){.url = "/silence", .deadline_us = 50 * MS});
	took = km_now_us() - from;
	assert_int_equal(o.error, -ETIMEDOUT);
	assert_text(&o, s.base);
	assert_true(took >= 50 * MS && took < 2000 * MS);
	/* nobody even accepts TLS */
	raw_start(&s.raw, s.loop);
	s.base = "";
	{
		char url[64];

		snprintf(url, sizeof(url), "https://127.0.0.1:%u/", s.raw.port);
		o = perform(&s, (struct km_http_request){.url = url, .deadline_us = 50 * MS});
		assert_int_equal(o.error, -ETIMEDOUT);
		assert_text(&o, url);
	}
	close_scene(&s);
}

/* ---- streams ---- */

struct expected {
	struct outcome *o;
	size_t len;
};

static bool has_come(void *arg)
{
	const struct expected *e = arg;

	return e->o->done > 0 || e->o->len >= e->len;
}

static void pieces_arrive_as_they_are_sent(void **state)
{
	struct scene s;
	struct outcome o = {0};

	open_scene(&s);
	(void)start(&s,
		(struct km_http_request){.url = "/stream", .on_data = on_data, .dedicated = true, .max_body = 1}, &o);
	assert_true(apistub_until(s.loop, has_request, &s));
	assert_null(strstr(s.head, "Accept-Encoding"));
	for (size_t i = 1; i <= 5; i++) {
		struct expected e = {&o, 3 * i};

		/* each only after the one before was seen: nothing is held back, whatever the pause */
		apistub_chunk(s.last, "abc");
		assert_true(apistub_until(s.loop, has_come, &e));
		assert_int_equal(o.done, 0);
		assert_int_equal(o.len, 3 * i);
		assert_int_equal(o.piece_status, 200);
	}
	apistub_end(s.last);
	finish(&s, &o);
	assert_int_equal(o.error, 0);
	assert_int_equal(o.len, 15);
	close_scene(&s);
}

static void silence_in_a_stream_ends_it(void **state)
{
	struct scene s;
	struct outcome o = {0};

	open_scene(&s);
	(void)start(&s,
		(struct km_http_request){.url = "/stream", .on_data = on_data, .dedicated = true, .idle_us = 400 * MS},
		&o);
	assert_true(apistub_until(s.loop, has_request, &s));
	apistub_chunk(s.last, "abc");
	finish(&s, &o);
	assert_int_equal(o.error, -ETIMEDOUT);
	assert_int_equal(o.len, 3);
	assert_text(&o, s.base);
	assert_true(apistub_until(s.loop, none_open, s.stub));
	close_scene(&s);
}

static void the_receiver_may_refuse(void **state)
{
	static const struct {
		int answer, error;
		const char *text;
	} rows[] = {{-EBADMSG, -EBADMSG, "Bad message"}, {-EMSGSIZE, -EMSGSIZE, "Message too long"},
		{1, -ECANCELED, "canceled"}};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct scene s;
		struct outcome o = {.answer = rows[i].answer};

		open_scene(&s);
		(void)start(&s, (struct km_http_request){.url = "/stream", .on_data = on_data}, &o);
		assert_true(apistub_until(s.loop, has_request, &s));
		apistub_chunk(s.last, "abc");
		finish(&s, &o);
		assert_int_equal(o.error, rows[i].error);
		assert_int_equal(o.pieces, 1);
		assert_text(&o, rows[i].text);
		close_scene(&s);
	}
}

/* ---- the pool ---- */

static void connections_are_kept_and_watches_have_their_own(void **state)
{
	struct scene s;
	struct outcome watch = {0};

	open_scene(&s);
	for (int i = 0; i < 5; i++)
		assert_int_equal(perform(&s, (struct km_http_request){.url = "/ok"}).error, 0);
	assert_int_equal(s.conns, 1);
	assert_int_equal(apistub_open(s.stub), 1);
	s.requests = 0;
	(void)start(&s, (struct km_http_request){.url = "/stream", .on_data = on_data, .dedicated = true}, &watch);
	assert_true(apistub_until(s.loop, has_request, &s));
	assert_int_equal(apistub_open(s.stub), 2);
	assert_int_equal(s.conns, 2);
	apistub_end(s.last);
	finish(&s, &watch);
	/* and it is not kept for others */
	assert_int_equal(perform(&s, (struct km_http_request){.url = "/ok"}).error, 0);
	assert_int_equal(s.conns, 3); /* back on the first */
	for (int i = 0; i < 20 && apistub_open(s.stub) > 1; i++)
		assert_int_equal(perform(&s, (struct km_http_request){.url = "/ok"}).error, 0);
	assert_int_equal(apistub_open(s.stub), 1);
	assert_int_equal(s.conns, 3);
	close_scene(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_sent_whole),
		cmocka_unit_test(a_proxy_of_the_environment_is_not_used),
		cmocka_unit_test(a_header_too_long_is_refused),
		cmocka_unit_test(every_reply_has_its_result),
		cmocka_unit_test(the_limit_is_exact_and_counts_what_was_unpacked),
		cmocka_unit_test(connections_that_fail),
		cmocka_unit_test(the_server_must_be_the_right_one),
		cmocka_unit_test(the_deadline_ends_a_call),
		cmocka_unit_test(pieces_arrive_as_they_are_sent),
		cmocka_unit_test(silence_in_a_stream_ends_it),
		cmocka_unit_test(the_receiver_may_refuse),
		cmocka_unit_test(connections_are_kept_and_watches_have_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
