/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small private pieces of kube/: Status texts, base64, sorted arrays.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kube/base64.h"
#include "kube/ordered.h"
#include "kube/status.h"

static void test_status(void **state)
{
	static const struct {
		int status;
		const char *body;
		int error;
		int64_t retry;
		const char *text;
	} rows[] = {
		{403,
			"{\"kind\":\"Status\",\"message\":\"nodes is forbidden: User \\\"x\\\" cannot "
			"list\",\"reason\":\"Forbidden\","
			"\"code\":403}",
			-EACCES, -1, "GET /p: 403 nodes is forbidden: User \"x\" cannot list"},
		{401, "Unauthorized\n", -EACCES, -1, "GET /p: 401 Unauthorized"},
		{404, "404 page\nnot found\x01", -ENOENT, -1, "GET /p: 404 404 page not found"},
		{409, "{\"reason\":\"AlreadyExists\"}", -EEXIST, -1, "GET /p: 409 AlreadyExists"},
		{409, "{\"reason\":\"Conflict\",\"message\":\"m\"}", -EAGAIN, -1, "GET /p: 409 m"},
		{410, "", -ESTALE, -1, "GET /p: 410"},
		{429, "{\"message\":\"m\",\"details\":{\"retryAfterSeconds\":7}}", -EBUSY, 7, "GET /p: 429 m"},
		{429, "{\"message\":\"m\",\"details\":{\"retryAfterSeconds\":-7}}", -EBUSY, -1, "GET /p: 429 m"},
		{400, "{}", -EINVAL, -1, "GET /p: 400 {}"},
		{422, "[", -EINVAL, -1, "GET /p: 422 ["},
		{500, "{\"message\":5,\"reason\":[]}", -EREMOTEIO, -1, "GET /p: 500"},
		{301, "moved", -EREMOTEIO, -1, "GET /p: 301 moved"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct km_err text;
		int64_t retry = -1;
		assert_int_equal(
			kube_status_error("GET /p", rows[i].status, rows[i].body, strlen(rows[i].body), &retry, &text),
			rows[i].error);
		assert_string_equal(text.text, rows[i].text);
		assert_int_equal(retry, rows[i].retry);
	}
}

static void test_status_long(void **state)
{
	char *body = malloc(KUBE_STATUS_MAX + 100);
	struct km_err text;
	int64_t retry = 3;

	assert_non_null(body);
	memset(body, 'x', KUBE_STATUS_MAX + 100);
	memcpy(body, "{\"message\":\"", 12);
	memcpy(body + KUBE_STATUS_MAX + 98, "\"}", 2);
	kube_status_error("GET /p", 500, body, KUBE_STATUS_MAX + 100, &retry, &text);
	assert_int_equal(strlen(text.text), strlen("GET /p: 500 ") + 200);
	/* cut in the middle of a two-byte character: it goes whole */
	for (size_t i = 1; i + 1 < 1000; i += 2)
		memcpy(body + i, "\xc3\xa9", 2);
	body[0] = 'a';
	kube_status_error("GET /p", 500, body, 1000, &retry, &text);
	assert_int_equal(strlen(text.text), strlen("GET /p: 500 ") + 199);
	assert_int_equal(retry, 3);
	free(body);
}

static void test_status_object(void **state)
{
	json_t *gone = json_pack("{s:i, s:s}", "code", 410, "message", "too old resource version: 1 (5)");
	json_t *bare = json_object();
	struct km_err text;
	int64_t retry = -1;
	int code = 0;

	assert_int_equal(kube_status_object_error("watch of /p", gone, &code, &retry, &text), -ESTALE);
	assert_int_equal(code, 410);
	assert_string_equal(text.text, "watch of /p: 410 too old resource version: 1 (5)");
	assert_int_equal(kube_status_object_error("watch of /p", bare, &code, &retry, &text), -EREMOTEIO);
	assert_int_equal(code, 500);
	json_decref(gone);
	json_decref(bare);
}

static void test_base64(void **state)
{
	static const struct {
		const char *text, *bytes; /* bytes NULL: refused */
	} rows[] = {{"", ""}, {"Zg==", "f"}, {"Zm8=", "fo"}, {"Zm9v", "foo"}, {"Zm9vYmFy", "foobar"},
		{"Zm9v\r\nYmFy\n", "foobar"}, {"Zg=\n=", "f"}, {"+/+/", "\xfb\xff\xbf"}, {"Zg", NULL}, {"Zg=", NULL},
		{"Zm8", NULL}, {"Z", NULL}, {"=", NULL}, {"====", NULL}, {"Z===", NULL}, {"Zm9v=", NULL},
		{"Zg==Zg==", NULL}, {"Zh==", NULL}, {"Zm9=", NULL}, {"Zm 9v", NULL}, {"Zm-_", NULL}, {"Zm9v!", NULL}};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		_cleanup_buf_ struct km_buf out = KM_BUF_INIT(100);
		char *bytes = NULL;
		size_t len = 99;
		int r = kube_base64_decode(rows[i].text, strlen(rows[i].text), 100, &bytes, &len);
		if (!rows[i].bytes) {
			if (r != -EINVAL || bytes)
				fail_msg("row %zu: %d", i, r);
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(len, strlen(rows[i].bytes));
		assert_memory_equal(bytes, rows[i].bytes, len + 1);
		kube_base64_encode(bytes, len, &out);
		if (!strpbrk(rows[i].text, "\r\n"))
			assert_string_equal(out.data ? out.data : "", rows[i].text);
		free(bytes);
	}
	char *bytes = NULL;
	size_t len;
	assert_int_equal(kube_base64_decode("Zm9vYmFy", 8, 5, &bytes, &len), -EMSGSIZE);
	assert_int_equal(kube_base64_decode("Zm9vYmFy", 8, 6, &bytes, &len), 0);
	free(bytes);
}

static void test_ordered(void **state)
{
	enum { N = 500 };
	static char names[N][16];
	struct kube_ordered o = {0};
	void *gone[N];
	size_t at;

	/* 7 is coprime to N: a scrambled order */
	for (size_t i = 0; i < N; i++) {
		size_t k = i * 7 % N;
		snprintf(names[k], sizeof(names[k]), "p-%03zu", k);
		assert_false(kube_ordered_find(&o, names[k], &at));
		assert_int_equal(kube_ordered_insert(&o, at, names[k], names[k], (uint32_t)(k % 2)), 0);
	}
	assert_int_equal(o.n, N);
	for (size_t i = 0; i < N; i++) {
		assert_ptr_equal(o.values[i], names[i]);
		assert_true(kube_ordered_find(&o, names[i], &at));
		assert_int_equal(at, i);
	}
	assert_false(kube_ordered_find(&o, "p", &at));
	assert_int_equal(at, 0);
	assert_false(kube_ordered_find(&o, "\xff", &at)); /* bytewise, not as signed characters */
	assert_int_equal(at, N);
	assert_int_equal(kube_ordered_sweep(&o, 1, gone), N / 2);
	assert_int_equal(o.n, N / 2);
	for (size_t i = 0; i < N / 2; i++) {
		assert_ptr_equal(gone[i], names[2 * i]);
		assert_ptr_equal(o.values[i], names[2 * i + 1]);
		assert_ptr_equal(o.keys[i], names[2 * i + 1]);
		assert_int_equal(o.marks[i], 1);
	}
	kube_ordered_remove(&o, 0);
	assert_ptr_equal(o.values[0], names[3]);
	kube_ordered_remove(&o, o.n - 1);
	assert_ptr_equal(o.values[o.n - 1], names[N - 3]);
	kube_ordered_free(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_status_long),
		cmocka_unit_test(test_status_object),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_ordered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
