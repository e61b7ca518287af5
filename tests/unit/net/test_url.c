/* SPDX-License-Identifier: Apache-2.0 */
#include "net/url.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The parsed form in one line: /seg|seg/?key=value&... with '~' for a trailing slash. */
static void show(const struct km_url *url, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < url->n_segments; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%s", i ? "|" : "", url->segments[i]);
	if (url->trailing_slash)
		n += (size_t)snprintf(out + n, size - n, "~");
	for (size_t i = 0; i < url->n_params; i++)
		n += (size_t)snprintf(
			out + n, size - n, "%c%s=%s", i ? '&' : '?', url->params[i].key, url->params[i].value);
}

static void test_good(void **state)
{
	static const struct {
		const char *target, *shown;
	} cases[] = {
		{"/", ""},
		{"/?", ""},
		{"/apis", "apis"},
		{"/apis/", "apis~"},
		{"/apis/metrics.k8s.io/v1beta1/namespaces/kube-system/pods",
			"apis|metrics.k8s.io|v1beta1|namespaces|kube-system|pods"},
		{"/a%20b/c%2Bd", "a b|c+d"},
		{"/a+b?c+d=e+f", "a+b?c d=e f"},
		{"/x?labelSelector=a%3Db%2Cc&limit=500", "x?labelSelector=a=b,c&limit=500"},
		{"/x?a=1&a=2", "x?a=1&a=2"},
		{"/x?a", "x?a="},
		{"/x?a=", "x?a="},
		{"/x?=v", "x?=v"},
		{"/x?&&a=1&", "x?a=1"},
		{"/x?a=b=c", "x?a=b=c"},
		{"/x?a=/?&b=//..", "x?a=/?&b=//.."},
		{"/...", "..."},
		{"/%c3%b6", "\xc3\xb6"},
		{"/a;b?c;d=1", "a;b?c;d=1"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		struct km_url url;
		char shown[512];
		int r = km_url_parse(cases[i].target, strlen(cases[i].target), &url);

		if (r != 0)
			fail_msg("%s: %d", cases[i].target, r);
		show(&url, shown, sizeof(shown));
		assert_string_equal(shown, cases[i].shown);
	}
}

static void test_bad(void **state)
{
	static const struct {
		const char *target;
		size_t len;
	} cases[] = {
		{"", 0},
		{"a", 1},
		{"*", 1},
		{"http://x/", 9},
		{"/%", 2},
		{"/%4", 3},
		{"/%4g", 4},
		{"/%g4", 4},
		{"/%00", 4},
		{"/a?b=%00", 8},
		{"/a?%00=b", 8},
		{"/a?b=%4", 7},
		{"/a\0b", 4},
		{"/a b", 4},
		{"/a\x7f", 3},
		{"/a\n", 3},
		{"/\xc3\xb6", 3},
		{"/.", 2},
		{"/..", 3},
		{"/a/../b", 7},
		{"/%2e%2E/b", 9},
		{"/a/./b", 6},
		{"/a%2fb", 6},
		{"//", 2},
		{"//a", 3},
		{"/a//b", 5},
		{"/a//", 4},
		{"/a#b", 4},
		{"/a?b#c", 6},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		struct km_url url;
		int r = km_url_parse(cases[i].target, cases[i].len, &url);

		if (r != -EINVAL)
			fail_msg("%s: %d", cases[i].target, r);
	}
}

/* Repeats a piece after a prefix. */
static size_t fill(char *out, const char *prefix, const char *piece, size_t times)
{
	size_t n = strlen(prefix), m = strlen(piece);

	memcpy(out, prefix, n);
	for (; times > 0; times--, n += m)
		memcpy(out + n, piece, m);
	return n;
}

static void test_limits(void **state)
{
	static char text[KM_URL_TARGET_MAX + 64];
	static struct km_url url;
	size_t n;

	n = fill(text, "/", "a", KM_URL_TARGET_MAX - 1);
	assert_int_equal(km_url_parse(text, n, &url), 0);
	assert_int_equal(strlen(url.segments[0]), KM_URL_TARGET_MAX - 1);
	n = fill(text, "/", "a", KM_URL_TARGET_MAX);
	assert_int_equal(km_url_parse(text, n, &url), -EMSGSIZE);
	/* the most that storage has to hold */
	n = fill(text, "/a?", "b&", KM_URL_PARAMS_MAX);
	assert_int_equal(km_url_parse(text, n, &url), 0);
	assert_int_equal(url.n_params, KM_URL_PARAMS_MAX);
	n = fill(text, "/a?", "b&", KM_URL_PARAMS_MAX + 1);
	assert_int_equal(km_url_parse(text, n, &url), -EMSGSIZE);
	n = fill(text, "", "/a", KM_URL_SEGMENTS_MAX);
	assert_int_equal(km_url_parse(text, n, &url), 0);
	assert_int_equal(url.n_segments, KM_URL_SEGMENTS_MAX);
	n = fill(text, "", "/a", KM_URL_SEGMENTS_MAX + 1);
	assert_int_equal(km_url_parse(text, n, &url), -EMSGSIZE);
}

static void test_look_up(void **state)
{
	static const char target[] = "/a/b%20c/?x=1&y=&x=2";
	struct km_url url;

	assert_int_equal(km_url_parse(target, sizeof(target) - 1, &url), 0);
	assert_string_equal(url.path, "/a/b%20c/");
	assert_string_equal(km_url_param(&url, "x"), "1");
	assert_string_equal(km_url_param(&url, "y"), "");
	assert_null(km_url_param(&url, "z"));
}

static void test_encode(void **state)
{
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(1024);
	struct km_url url;

	km_buf_adds(&out, "/x?q=");
	km_url_encode(&out, "a b/c?d=e&f%g+h~i_j.k-l\xc3\xb6");
	assert_string_equal(out.data, "/x?q=a%20b%2Fc%3Fd%3De%26f%25g%2Bh~i_j.k-l%C3%B6");
	assert_int_equal(km_url_parse(out.data, out.len, &url), 0);
	assert_string_equal(km_url_param(&url, "q"), "a b/c?d=e&f%g+h~i_j.k-l\xc3\xb6");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_look_up),
		cmocka_unit_test(test_encode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
