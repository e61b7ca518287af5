/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of a kubelet's replies: the same verdict however the bytes are cut, and none where the framing is in
 * doubt. */
#include "net/fetch_reply.h"

#include <errno.h>

#include "tests/unit/support/check.h"

#define MAX_BODY 100
#define OK11     "HTTP/1.1 200 OK\r\n"
#define CHUNKED  OK11 "Transfer-Encoding: chunked\r\n\r\n"

static const struct row {
	const char *bytes;
	int verdict; /* 1 whole, 0 more, negative */
	int status;
	const char *want; /* the body, or a part of the error's text */
	bool keeps;
	const char *beyond; /* NULL: nothing */
} rows[] = {
	{OK11 "Content-Length: 5\r\n\r\nhello", 1, 200, "hello", true, NULL},
	{OK11 "content-LENGTH:5\r\n\r\nhello", 1, 200, "hello", true, NULL},
	{OK11 "Content-Length: \t 005 \t\r\n\r\nhello", 1, 200, "hello", true, NULL},
	{"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 1, 200, "", true, NULL},
	{OK11 "X:\r\nY: \x80\xff\r\nContent-Length: 1\r\n\r\nx", 1, 200, "x", true, NULL},
	{OK11 "Content-Length: 2\r\n\r\nokHTTP", 1, 200, "ok", true, "HTTP"},
	{OK11 "Content-Length: 100\r\n\r\n", 0, 200, "", true, NULL},
	{OK11 "Content-Length: 101\r\n\r\n", -EMSGSIZE, 200, "larger than 100 bytes", true, NULL},
	{OK11 "Content-Length: 18446744073709551621\r\n\r\nhello", -EMSGSIZE, 200, "larger than", true, NULL},
	{OK11 "Content-Length: 100000000000000000000000000000005\r\n\r\nhello", -EMSGSIZE, 200, "larger", true, NULL},
	{"HTTP/1.1 204 N\r\n\r\nrest", 1, 204, "", true, "rest"},
	{"HTTP/1.1 304 N\r\nContent-Length: 7\r\n\r\n", 1, 304, "", true, NULL},
	{"HTTP/1.1 500 a  b\r\nContent-Length: 1\r\n\r\nx", 1, 500, "x", true, NULL},
	/* who closes */
	{"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 1, 200, "x", false, NULL},
	{"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 1, 200, "x", false, NULL},
	{OK11 "Connection: a, CLOSE\r\nContent-Length: 1\r\n\r\nx", 1, 200, "x", false, NULL},
	{OK11 "Connection: ,;close-ish, closed\r\nContent-Length: 1\r\n\r\nx", 1, 200, "x", true, NULL},
	{OK11 "Connection: close\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 1, 200, "x", false, NULL},
	/* chunks */
	{CHUNKED "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", 1, 200, "hello", true, NULL},
	{CHUNKED "00000000000000A\r\n0123456789\r\n000\r\n\r\nHTTP", 1, 200, "0123456789", true, "HTTP"},
	{CHUNKED "0\r\n\r\n", 1, 200, "", true, NULL},
	{CHUNKED "1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", 1, 200, "x", true, NULL},
	{CHUNKED "1\r\nx\r\n0\r\nA: b\n\r\n", -EBADMSG, 200, "chunks are malformed", true, NULL},
	{CHUNKED "1\r\nx\r\n0\r\n\r", 0, 200, "", true, NULL},
	{CHUNKED "5\r\nhel", 0, 200, "", true, NULL},
	{CHUNKED "50\r\n", 0, 200, "", true, NULL},
	{CHUNKED "65\r\n", -EMSGSIZE, 200, "larger than", true, NULL},
	{CHUNKED "1\r\nx\r\n64\r\n", -EMSGSIZE, 200, "larger than", true, NULL},
	{CHUNKED "ffffffffffffffff\r\n", -EMSGSIZE, 200, "larger than", true, NULL},
	{CHUNKED "00000000000000001\r\n", -EBADMSG, 200, "malformed", true, NULL},
	{CHUNKED "5;x=y\r\nhello\r\n", -EBADMSG, 200, "malformed", true, NULL},
	{CHUNKED "5 \r\nhello\r\n", -EBADMSG, 200, "malformed", true, NULL},
	{CHUNKED "5\nhello\r\n", -EBADMSG, 200, "malformed", true, NULL},
	{CHUNKED "-5\r\n", -EBADMSG, 200, "malformed", true, NULL},
	{CHUNKED "0x5\r\n", -EBADMSG, 200, "malformed", true, NULL},
	{CHUNKED "\r\n", -EBADMSG, 200, "malformed", true, NULL},
	{CHUNKED "1\r\nxy\r\n", -EBADMSG, 200, "malformed", true, NULL},
	{CHUNKED "1\r\nx\r1\r\n", -EBADMSG, 200, "malformed", true, NULL},
	/* where the body ends is in doubt */
	{OK11 "\r\nhello", -EBADMSG, 200, "without a length", true, NULL},
	{OK11 "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", -EBADMSG, 200, "twice", true, NULL},
	{OK11 "Content-Length: 5, 5\r\n\r\nhello", -EBADMSG, 200, "not a number", true, NULL},
	{OK11 "Content-Length: +5\r\n\r\nhello", -EBADMSG, 200, "not a number", true, NULL},
	{OK11 "Content-Length:\r\n\r\n", -EBADMSG, 200, "not HTTP", true, NULL},
	{OK11 "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", -EBADMSG, 200, "both", true, NULL},
	{OK11 "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", -EBADMSG, 200, "once more", true,
		NULL},
	{OK11 "Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\nx", -EBADMSG, 200, "\"identity\"", true, NULL},
	{OK11 "Transfer-Encoding: chunked, gzip\r\n\r\n", -EBADMSG, 200, "\"chunked, gzip\"", true, NULL},
	{OK11 "Content-Length : 5\r\n\r\nhello", -EBADMSG, 200, "malformed header", true, NULL},
	{OK11 "X: a\r\n Content-Length: 5\r\n\r\nhello", -EBADMSG, 200, "malformed header", true, NULL},
	{OK11 "X: a\nContent-Length: 5\r\n\r\nhello", -EBADMSG, 200, "control character", true, NULL},
	{OK11 "X: a\rContent-Length: 5\r\n\r\nhello", -EBADMSG, 200, "control character", true, NULL},
	{OK11 ": x\r\n\r\n", -EBADMSG, 200, "malformed header", true, NULL},
	/* not a reply */
	{"HTTP/1.1 100 Continue\r\n\r\n", -EBADMSG, 100, "status 100", true, NULL},
	{"HTTP/1.1 99 X\r\n\r\n", -EBADMSG, 0, "status line", true, NULL},
	{"HTTP/1.1 2000 X\r\n\r\n", -EBADMSG, 0, "status line", true, NULL},
	{"HTTP/1.2 200 X\r\n\r\n", -EBADMSG, 0, "status line", true, NULL},
	{"HTTP/1.1  200 X\r\n\r\n", -EBADMSG, 0, "status line", true, NULL},
	{"HTTP/2.0 200 X\r\n\r\n", -EBADMSG, 0, "not HTTP", true, NULL},
	{"http/1.1 200 OK\r\n", -EBADMSG, 0, "not HTTP", true, NULL},
	{"<", -EBADMSG, 0, "not HTTP", true, NULL},
	{"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", -EBADMSG, 0, "not HTTP", true, NULL},
	{"HTTP/1.1 200 OK\r\nContent-Len", 0, 0, "", false, NULL},
	{"HTTP", 0, 0, "", false, NULL},
	{"", 0, 0, "", false, NULL},
};

static int feed(struct fetch_reply *r, const char *bytes, size_t n, size_t piece, struct km_err *err)
{
	int verdict = fetch_reply_check(r, err);

	for (size_t at = 0; at < n && verdict == 0; at += piece) {
		km_buf_add(&r->in, bytes + at, KM_MIN(piece, n - at));
		verdict = fetch_reply_check(r, err);
	}
	return verdict;
}

static void check_row(const struct row *row, size_t piece)
{
	struct fetch_reply r;
	struct km_buf memory = {0};
	struct km_err err = {0};
	size_t n = strlen(row->bytes);
	int verdict;

	fetch_reply_begin(&r, &memory, MAX_BODY);
	verdict = feed(&r, row->bytes, n, piece, &err);
	if (verdict != row->verdict || r.status != row->status)
		fail_msg("%s\nin pieces of %zu: %d, status %d: %s", row->bytes, piece, verdict, r.status, err.text);
	if (verdict < 0 && !strstr(err.text, row->want))
		fail_msg("%s: \"%s\"", row->bytes, err.text);
	if (verdict > 0) {
		const char *beyond = row->beyond ? row->beyond : "";

		assert_int_equal(r.body_len, strlen(row->want));
		assert_memory_equal(r.in.data + r.body_at, row->want, r.body_len);
		assert_int_equal(r.keeps_alive, row->keeps);
		if (piece >= n) {
			assert_int_equal(r.in.len - r.next, strlen(beyond));
			assert_memory_equal(r.in.data + r.next, beyond, strlen(beyond));
		}
	}
	km_buf_free(&r.in);
}

static void one_verdict_however_it_is_cut(void **state)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++)
		for (size_t piece = 1; piece <= strlen(rows[i].bytes) + 1; piece++)
			check_row(&rows[i], piece);
}

static void nul_bytes_are_no_part_of_a_head(void **state)
{
	static const char in_value[] = "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
			  in_name[] = "HTTP/1.1 200 OK\r\nX\0Y: a\r\nContent-Length: 0\r\n\r\n";
	struct fetch_reply r;
	struct km_buf memory = {0};
	struct km_err err = {0};

	fetch_reply_begin(&r, &memory, MAX_BODY);
	assert_int_equal(feed(&r, in_value, sizeof(in_value) - 1, sizeof(in_value), &err), -EBADMSG);
	memory = r.in;
	fetch_reply_begin(&r, &memory, MAX_BODY);
	assert_int_equal(feed(&r, in_name, sizeof(in_name) - 1, sizeof(in_name), &err), -EBADMSG);
	km_buf_free(&r.in);
}

/* What a peer can make us hold is the limit of the body and little more, whatever it comes as. */
static void memory_has_a_limit(void **state)
{
	static const char one[] = "1\r\nx\r\n", field[] = "A: bcdefghijklmnopqrstuvwxyz\r\n";
	const size_t max = 50000;
	struct km_buf memory = {0};
	struct km_err err = {0};
	struct fetch_reply r;
	size_t most = 0;
	int verdict;

	fetch_reply_begin(&r, &memory, max);
	verdict = feed(&r, CHUNKED, sizeof(CHUNKED) - 1, 7, &err);
	while (verdict == 0) {
		verdict = feed(&r, one, sizeof(one) - 1, 4, &err);
		most = KM_MAX(most, r.in.len);
	}
	assert_int_equal(verdict, -EMSGSIZE);
	assert_int_equal(r.body_len, max);
	assert_true(most < max + 100);

	memory = r.in;
	fetch_reply_begin(&r, &memory, max);
	assert_int_equal(feed(&r, CHUNKED "0\r\n", sizeof(CHUNKED "0\r\n") - 1, 100, &err), 0);
	for (verdict = most = 0; verdict == 0; most += sizeof(field) - 1)
		verdict = feed(&r, field, sizeof(field) - 1, 100, &err);
	assert_int_equal(verdict, -EMSGSIZE);
	assert_true(most <= FETCH_HEADERS_MAX + sizeof(field) && r.in.len < 200);

	memory = r.in;
	fetch_reply_begin(&r, &memory, max);
	verdict = feed(&r, OK11, sizeof(OK11) - 1, 100, &err);
	while (verdict == 0)
		verdict = feed(&r, field, sizeof(field) - 1, 100, &err);
	assert_int_equal(verdict, -EMSGSIZE);
	assert_non_null(strstr(err.text, "headers are longer"));
	assert_true(r.in.len <= FETCH_HEADERS_MAX + sizeof(field));
	km_buf_free(&r.in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_verdict_however_it_is_cut),
		cmocka_unit_test(nul_bytes_are_no_part_of_a_head),
		cmocka_unit_test(memory_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
