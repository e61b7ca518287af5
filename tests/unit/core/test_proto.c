/* SPDX-License-Identifier: Apache-2.0 */
/* The protobuf writer: bytes as in the encoding's own documentation, lengths that need more than one byte. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/proto.h"

static void test_varints(void **state)
{
	static const struct {
		uint64_t value;
		const char *bytes;
		size_t n;
	} cases[] = {
		{0, "\0", 1},
		{1, "\x01", 1},
		{127, "\x7f", 1},
		{128, "\x80\x01", 2},
		{150, "\x96\x01", 2},
		{UINT64_MAX, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		struct km_buf out = KM_BUF_INIT(64);

		km_proto_varint(&out, cases[i].value);
		assert_int_equal(out.len, cases[i].n);
		assert_memory_equal(out.data, cases[i].bytes, cases[i].n);
		km_buf_free(&out);
	}
}

static void test_fields(void **state)
{
	struct km_buf out = KM_BUF_INIT(64);

	km_proto_int(&out, 1, 150);
	km_proto_int(&out, 7, -1);
	km_proto_str(&out, 2, "testing");
	km_proto_str(&out, 16, "");
	assert_int_equal(out.len, 3 + 11 + 9 + 3);
	assert_memory_equal(out.data,
		"\x08\x96\x01"
		"\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
		"\x12\x07testing"
		"\x82\x01\x00",
		out.len);
	km_buf_free(&out);
}

/* A message of every length around the places where its length takes one byte more, within another. */
static void test_nested(void **state)
{
	static const size_t lengths[] = {0, 1, 120, 124, 125, 126, 127, 128, 300, 16377, 16380, 16381, 16400};
	static char text[20000];

	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < KM_ARRAY_LEN(lengths); i++) {
		struct km_buf out = KM_BUF_INIT(1 << 20), want = KM_BUF_INIT(1 << 20), inner = KM_BUF_INIT(1 << 20);
		size_t a, b;

		km_buf_adds(&out, "before");
		a = km_proto_begin(&out, 3);
		km_proto_int(&out, 1, 7);
		b = km_proto_begin(&out, 20);
		km_proto_bytes(&out, 1, text, lengths[i]);
		km_proto_end(&out, b);
		km_proto_end(&out, a);
		km_buf_adds(&out, "behind");

		km_proto_bytes(&inner, 1, text, lengths[i]);
		km_proto_int(&want, 1, 7);
		km_proto_bytes(&want, 20, inner.data, inner.len);
		km_buf_reset(&inner);
		km_buf_adds(&inner, "before");
		km_proto_bytes(&inner, 3, want.data, want.len);
		km_buf_adds(&inner, "behind");
		assert_int_equal(out.error, 0);
		assert_int_equal(out.len, inner.len);
		assert_memory_equal(out.data, inner.data, inner.len);
		km_buf_free(&out);
		km_buf_free(&want);
		km_buf_free(&inner);
	}
}

/* At the buffer's maximum the error sticks and nothing is written beyond it. */
static void test_full(void **state)
{
	for (size_t max = 0; max < 150; max++) {
		struct km_buf out = KM_BUF_INIT(max);
		size_t mark = km_proto_begin(&out, 1);
		char text[140];

		memset(text, 'x', sizeof(text));
		km_proto_bytes(&out, 2, text, sizeof(text));
		km_proto_end(&out, mark);
		assert_true(out.len <= max);
		assert_int_equal(out.error, max < 146 ? -EMSGSIZE : 0);
		km_buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_varints),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
