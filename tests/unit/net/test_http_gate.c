/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate's verdicts, each head fed whole and byte by byte.
 */
#include "net/http_gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define H     "Host: x\r\n"
#define LIMIT 512

struct row {
	const char *text;
	size_t len;         /* 0: strlen */
	int status;         /* 0: goes through */
	const char *reason; /* a part of it */
};

#define LITERAL(s) s, sizeof(s) - 1

static const struct row rows[] = {
	{LITERAL("GET / HTTP/1.1\r\n" H "\r\n"), 0, NULL},
	{LITERAL("GET / HTTP/1.0\r\n\r\n"), 0, NULL},
	{LITERAL("HEAD /a?b=c#d HTTP/1.1\r\nhost:\r\n\r\n"), 0, NULL},
	{LITERAL("PROPFIND /x HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"), 0, NULL},
	{LITERAL("GET / HTTP/1.1\r\n" H "Content-Length:\t0 \t\r\n\r\n"), 0, NULL},
	{LITERAL("GET / HTTP/1.1\r\n" H "X-Remote-User: J\xc3\xb6rg\r\n\r\n"), 0, NULL},
	{LITERAL("GET / HTTP/1.1\r\n" H "X:\r\n\r\n"), 0, NULL},
	/* NUL, wherever */
	{LITERAL("GET / HTTP/1.1\r\n" H "X-Remote-Group: sys\0tem:masters\r\n\r\n"), 400, "NUL"},
	{LITERAL("G\0ET / HTTP/1.1\r\n" H "\r\n"), 400, "NUL"},
	{LITERAL("GET /\0 HTTP/1.1\r\n" H "\r\n"), 400, "NUL"},
	{LITERAL("GET / HTTP/1.1\0\r\n" H "\r\n"), 400, "NUL"},
	{LITERAL("GET / HTTP/1.1\r\n" H "X\0: y\r\n\r\n"), 400, "NUL"},
	{LITERAL("GET / HTTP/1.1\r\n" H "\r\0\n"), 400, "NUL"},
	/* CR and LF */
	{LITERAL("GET / HTTP/1.1\n" H "\r\n"), 400, "LF is not preceded"},
	{LITERAL("GET / HTTP/1.1\r\nHost: x\n\r\n"), 400, "LF is not preceded"},
	{LITERAL("GET / HTTP/1.1\r\n" H "\n"), 400, "LF is not preceded"},
	{LITERAL("GET / HTTP/1.1\r\n" H "A: b\rC: d\r\n\r\n"), 400, "CR is not followed"},
	{LITERAL("GET / HTTP/1.1\rHost: x\r\n\r\n"), 400, "CR is not followed"},
	{LITERAL("GET / HTTP/1.1\r\n" H "\rX"), 400, "CR is not followed"},
	{LITERAL("\r\nGET / HTTP/1.1\r\n" H "\r\n"), 400, "does not start with a method"},
	/* names */
	{LITERAL("GET / HTTP/1.1\r\n" H "Content-Length : 5\r\n\r\n"), 400, "before the colon"},
	{LITERAL("GET / HTTP/1.1\r\n" H "Content-Length\t: 5\r\n\r\n"), 400, "before the colon"},
	{LITERAL("GET / HTTP/1.1\r\n" H ": x\r\n\r\n"), 400, "not allowed"},
	{LITERAL("GET / HTTP/1.1\r\n" H "nocolon\r\n\r\n"), 400, "no colon"},
	{LITERAL("GET / HTTP/1.1\r\n" H "a(b: c\r\n\r\n"), 400, "not allowed"},
	{LITERAL("GET / HTTP/1.1\r\n" H "X-A: b\r\n folded\r\n\r\n"), 400, "folded"},
	{LITERAL("GET / HTTP/1.1\r\n" H "X-A: b\r\n\tfolded\r\n\r\n"), 400, "folded"},
	{LITERAL("GET / HTTP/1.1\r\n Host: x\r\n\r\n"), 400, "folded"},
	/* values */
	{LITERAL("GET / HTTP/1.1\r\n" H "A: \x01\r\n\r\n"), 400, "control character"},
	{LITERAL("GET / HTTP/1.1\r\n" H "A: b\x7f\r\n\r\n"), 400, "control character"},
	/* framing */
	{LITERAL("GET / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n"), 400, "body is not accepted"},
	{LITERAL("GET / HTTP/1.1\r\n" H "content-LENGTH: 0\r\nContent-Length: 0\r\n\r\n"), 400, "given twice"},
	{LITERAL("GET / HTTP/1.1\r\n" H "Content-Length: 0, 0\r\n\r\n"), 400, "not a number"},
	{LITERAL("GET / HTTP/1.1\r\n" H "Content-Length: +0\r\n\r\n"), 400, "not a number"},
	{LITERAL("GET / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n"), 400, "not a number"},
	{LITERAL("GET / HTTP/1.1\r\n" H "Content-Length: 000000000000000000000000000000000000000000\r\n\r\n"), 400,
		"body is not accepted"},
	{LITERAL("GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"), 400, "Transfer-Encoding"},
	{LITERAL("GET / HTTP/1.1\r\n" H "transfer-encoding: identity\r\n\r\n"), 400, "Transfer-Encoding"},
	{LITERAL("GET / HTTP/1.1\r\n\r\n"), 400, "Host header is missing"},
	{LITERAL("GET / HTTP/1.1\r\n" H H "\r\n"), 400, "Host is given twice"},
	/* the request line */
	{LITERAL("GET  / HTTP/1.1\r\n" H "\r\n"), 400, "target"},
	{LITERAL("GET /  HTTP/1.1\r\n" H "\r\n"), 400, "version"},
	{LITERAL("GET / HTTP/1.1 \r\n" H "\r\n"), 400, "after the version"},
	{LITERAL("GET /a b HTTP/1.1\r\n" H "\r\n"), 400, "version"},
	{LITERAL("GET http://x/ HTTP/1.1\r\n" H "\r\n"), 400, "does not start with /"},
	{LITERAL("OPTIONS * HTTP/1.1\r\n" H "\r\n"), 400, "does not start with /"},
	{LITERAL("GET //x/y HTTP/1.1\r\n" H "\r\n"), 400, "starts with //"},
	{LITERAL("GET /\xff HTTP/1.1\r\n" H "\r\n"), 400, "not ASCII"},
	{LITERAL("GET /\t HTTP/1.1\r\n" H "\r\n"), 400, "control character"},
	{LITERAL("GET /\r\n" H "\r\n"), 400, "control character"},
	{LITERAL(" GET / HTTP/1.1\r\n" H "\r\n"), 400, "method"},
	{LITERAL("GE(T / HTTP/1.1\r\n" H "\r\n"), 400, "method"},
	{LITERAL("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKL / HTTP/1.1\r\n" H "\r\n"), 400, "method is too long"},
	{LITERAL("GE / HTTP/1.1\r\n" H "\r\n"), 400, "too short"},
	{LITERAL("GE /a HTTP/1.1\r\n" H "\r\n"), 0, NULL},
	{LITERAL("CONNECT /x HTTP/1.1\r\n" H "\r\n"), 405, "CONNECT"},
	{LITERAL("GET / HTTP/2.0\r\n" H "\r\n"), 505, "HTTP/1.1"},
	{LITERAL("GET / HTTP/1.2\r\n" H "\r\n"), 505, "HTTP/1.1"},
	{LITERAL("GET / HTTP/0.9\r\n" H "\r\n"), 505, "HTTP/1.1"},
	{LITERAL("GET / HTTP/1.10\r\n" H "\r\n"), 400, "after the version"},
	{LITERAL("GET / http/1.1\r\n" H "\r\n"), 400, "version"},
	{LITERAL("GET / HTTP/+.1\r\n" H "\r\n"), 400, "version"},
	{LITERAL("\x16\x03\x01\x02"), 400, "method"},
};

static void check(const struct row *row, const struct km_http_gate *gate, enum km_gate_verdict verdict)
{
	if (row->status == 0 && verdict != KM_GATE_HEAD)
		fail_msg("%s: refused: %s", row->text, gate->reason ? gate->reason : "needs more");
	if (row->status == 0)
		return;
	if (verdict != KM_GATE_BAD)
		fail_msg("%s: went through", row->text);
	if (gate->status != row->status || !strstr(gate->reason, row->reason))
		fail_msg("%s: %d %s", row->text, gate->status, gate->reason);
}

static void test_whole(void **state)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct km_http_gate gate;
		size_t used = 0;

		km_http_gate_init(&gate, LIMIT);
		check(&rows[i], &gate, km_http_gate_feed(&gate, rows[i].text, rows[i].len, &used));
		if (rows[i].status == 0)
			assert_int_equal(used, rows[i].len);
	}
}

static void test_bytes(void **state)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		enum km_gate_verdict verdict = KM_GATE_MORE;
		struct km_http_gate gate;

		km_http_gate_init(&gate, LIMIT);
		for (size_t b = 0; b < rows[i].len && verdict == KM_GATE_MORE; b++)
			verdict = km_http_gate_feed(&gate, rows[i].text + b, 1, NULL);
		check(&rows[i], &gate, verdict);
	}
}

static void test_one_head_at_a_time(void **state)
{
	static const char two[] = "GET /1 HTTP/1.1\r\n" H "\r\nPOST /2 HTTP/1.0\r\n\r\nrest";
	struct km_http_gate gate;
	size_t first = 0, second = 0;

	km_http_gate_init(&gate, LIMIT);
	assert_int_equal(km_http_gate_feed(&gate, two, 3, NULL), KM_GATE_MORE);
	assert_int_equal(km_http_gate_feed(&gate, two + 3, sizeof(two) - 4, &first), KM_GATE_HEAD);
	assert_string_equal(gate.method, "GET");
	assert_false(gate.close);
	/* until it is told, it stays where it is */
	assert_int_equal(km_http_gate_feed(&gate, "x", 1, &second), KM_GATE_HEAD);
	assert_int_equal(second, 0);
	km_http_gate_next(&gate);
	assert_int_equal(km_http_gate_feed(&gate, two + 3 + first, sizeof(two) - 4 - first, &second), KM_GATE_HEAD);
	assert_string_equal(gate.method, "POST");
	assert_true(gate.close);
	assert_string_equal(two + 3 + first + second, "rest");
}

static void test_bad_is_final(void **state)
{
	struct km_http_gate gate;

	km_http_gate_init(&gate, LIMIT);
	assert_int_equal(km_http_gate_feed(&gate, "\n", 1, NULL), KM_GATE_BAD);
	km_http_gate_next(&gate);
	assert_int_equal(km_http_gate_feed(&gate, "GET / HTTP/1.0\r\n\r\n", 18, NULL), KM_GATE_BAD);
}

static void test_connection(void **state)
{
	static const struct {
		const char *value;
		bool close;
	} cases[] = {
		{"close", true},
		{" Close ", true},
		{"keep-alive", false},
		{"keep-alive, close", true},
		{"close,x", true},
		{"x ,\tclose\t, y", true},
		{"closed", false},
		{"not close", false},
		{"close;a", false},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, close", true},
		{"", false},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		struct km_http_gate gate;
		char text[256];
		int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" H "Connection:%s\r\n\r\n", cases[i].value);

		km_http_gate_init(&gate, LIMIT);
		assert_int_equal(km_http_gate_feed(&gate, text, (size_t)n, NULL), KM_GATE_HEAD);
		if (gate.close != cases[i].close)
			fail_msg("Connection:%s", cases[i].value);
	}
}

static enum km_gate_verdict feed_repeated(struct km_http_gate *gate, const char *text, size_t times)
{
	enum km_gate_verdict verdict = KM_GATE_MORE;

	while (times-- > 0 && verdict == KM_GATE_MORE)
		verdict = km_http_gate_feed(gate, text, strlen(text), NULL);
	return verdict;
}

static void start(struct km_http_gate *gate, const char *text)
{
	km_http_gate_init(gate, 1024 * 1024);
	assert_int_equal(km_http_gate_feed(gate, text, strlen(text), NULL), KM_GATE_MORE);
}

static void test_limits(void **state)
{
	struct km_http_gate gate;

	/* exactly at the limit is fine, one byte more is not */
	km_http_gate_init(&gate, 18);
	assert_int_equal(km_http_gate_feed(&gate, "GET / HTTP/1.0\r\n\r\n", 18, NULL), KM_GATE_HEAD);
	km_http_gate_init(&gate, 17);
	assert_int_equal(km_http_gate_feed(&gate, "GET / HTTP/1.0\r\n\r\n", 18, NULL), KM_GATE_BAD);
	assert_int_equal(gate.status, 431);

	start(&gate, "GET / HTTP/1.1\r\n");
	assert_int_equal(feed_repeated(&gate, "a: b\r\n", KM_HTTP_HEADERS_MAX), KM_GATE_MORE);
	assert_int_equal(feed_repeated(&gate, "a: b\r\n", 1), KM_GATE_BAD);
	assert_int_equal(gate.status, 431);

	start(&gate, "GET / HTTP/1.1\r\n");
	assert_int_equal(feed_repeated(&gate, "n", KM_HTTP_NAME_MAX), KM_GATE_MORE);
	assert_int_equal(feed_repeated(&gate, "n", 1), KM_GATE_BAD);
	assert_int_equal(gate.status, 431);

	start(&gate, "GET /");
	assert_int_equal(feed_repeated(&gate, "t", KM_HTTP_TARGET_MAX - 1), KM_GATE_MORE);
	assert_int_equal(feed_repeated(&gate, "t", 1), KM_GATE_BAD);
	assert_int_equal(gate.status, 414);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_one_head_at_a_time),
		cmocka_unit_test(test_bad_is_final),
		cmocka_unit_test(test_connection),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
