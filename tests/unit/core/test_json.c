/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "core/slicer.h"
#include "tests/unit/support/check.h"

static void compact_and_pretty_are_go_s(void **state)
{
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(4096);

	(void)state;
	for (int pretty = 0; pretty < 2; pretty++) {
		struct km_json j = KM_JSON_INIT(&out, pretty == 1);

		km_buf_reset(&out);
		km_json_object(&j);
		km_json_kstr(&j, "kind", "Status");
		km_json_key(&j, "metadata");
		km_json_object(&j);
		km_json_end_object(&j);
		km_json_key(&j, "items");
		km_json_array(&j);
		km_json_int(&j, -5);
		km_json_bool(&j, true);
		km_json_null(&j);
		km_json_array(&j);
		km_json_end_array(&j);
		km_json_end_array(&j);
		km_json_kint(&j, "code", 404);
		km_json_kbool(&j, "x", false);
		km_json_end_object(&j);
		assert_string_equal(
			out.data, pretty ? "{\n  \"kind\": \"Status\",\n  \"metadata\": {},\n  \"items\": [\n    -5,\n "
					   "   true,\n    null,\n    []\n  ],\n  \"code\": 404,\n  \"x\": false\n}"
					 : "{\"kind\":\"Status\",\"metadata\":{},\"items\":[-5,true,null,[]],\"code\":"
					   "404,\"x\":false}");
	}
}

static void strings_are_escaped_as_go_does(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"a\"b\\c", "\"a\\\"b\\\\c\""},
		{"\n\r\t\x01", "\"\\n\\r\\t\\u0001\""},
		{"\b\f\x0b\x7f", "\"\\b\\f\\u000b\x7f\""},
		{"<a>&", "\"\\u003ca\\u003e\\u0026\""},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
		{"\xe2\x80\xa8\xe2\x80\xa9", "\"\\u2028\\u2029\""},
		{"\xff\xc3", "\"\\ufffd\\ufffd\""},
		{"\xc0\x80", "\"\\ufffd\\ufffd\""},
		{"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
		{"", "\"\""},
	};
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(4096);

	(void)state;
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct km_json j = KM_JSON_INIT(&out, false);

		km_buf_reset(&out);
		km_json_str(&j, rows[i].in);
		assert_string_equal(out.data, rows[i].out);
	}
}

struct slices {
	char text[4096];
	int stop_at, n;
};

static int collect(const char *json, size_t len, void *arg)
{
	struct slices *s = arg;
	json_t *parsed = json_loadb(json, len, 0, NULL);

	assert_int_equal(json[len], '\0');
	assert_non_null(parsed);
	json_decref(parsed);
	snprintf(s->text + strlen(s->text), sizeof(s->text) - strlen(s->text), "%.*s|", (int)len, json);
	return ++s->n == s->stop_at ? 7 : 0;
}

/* Feeds text in pieces of every size; the outcome must not depend on them. */
static void slice(enum km_slice_shape shape, const char *text, int result, const char *items, const char *envelope)
{
	for (size_t step = 1; step <= strlen(text) + 1; step++) {
		struct slices got = {0};
		struct km_err err = {0};
		struct km_slicer *s;
		int r = 0;
		size_t len;

		assert_int_equal(km_slicer_new(shape, 64, 128, collect, &got, &s), 0);
		for (size_t at = 0; at < strlen(text) && r == 0; at += step)
			r = km_slicer_feed(s, text + at, KM_MIN(step, strlen(text) - at), &err);
		if (r == 0)
			r = km_slicer_finish(s, &err);
		if (r != result)
			fail_msg("%s in steps of %zu: %d (%s), wanted %d", text, step, r, err.text, result);
		if (result == 0) {
			assert_string_equal(got.text, items);
			if (envelope) {
				assert_string_equal(km_slicer_envelope(s, &len), envelope);
				assert_int_equal(len, strlen(envelope));
			}
		} else {
			assert_true(strlen(err.text) > 0);
		}
		km_slicer_free(s);
	}
}

static void lists_are_sliced(void **state)
{
	(void)state;
	slice(KM_SLICE_LIST,
		"{\"kind\":\"L\",\"items\":[{\"a\":1},{\"b\":[{}]}],\"metadata\":{\"resourceVersion\":\"5\"}}\n", 0,
		"{\"a\":1}|{\"b\":[{}]}|", "{\"kind\":\"L\",\"items\":[],\"metadata\":{\"resourceVersion\":\"5\"}}");
	slice(KM_SLICE_LIST, " { \"items\" : [ ] } ", 0, "", NULL);
	slice(KM_SLICE_LIST, "{\"items\":null,\"a\":1}", 0, "", "{\"items\":null,\"a\":1}");
	slice(KM_SLICE_LIST, "{\"a\":[{\"items\":[{\"x\":1}]}]}", 0, "", NULL);
	slice(KM_SLICE_LIST, "{\"x\":\"items\",\"y\":[1],\"items\":[{\"s\":\"]},{\\\"\"}]}", 0, "{\"s\":\"]},{\\\"\"}|",
		NULL);
	slice(KM_SLICE_LIST, "{\"items\":[{\"a\":1},{\"b\"", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_LIST, "", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_LIST, "[]", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_LIST, "{}{}", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_LIST, "{\"items\":[1]}", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_LIST, "{\"items\":[\"a\"]}", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_LIST, "{\"items\":[{}{}]}", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_LIST, "{\"items\":[{},]}", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_LIST, "{\"items\":[,{}]}", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_LIST, "{\"items\":{}}", -EBADMSG, NULL, NULL); /* not an empty list: that would delete all */
	slice(KM_SLICE_LIST, "{\"items\":\"\"}", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_LIST, "{\"items\":0}", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_LIST, "{\"items\":[{]}", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_LIST, "{\"items\":[[{}],[]]}", 0, "[{}]|[]|", "{\"items\":[]}");
	slice(KM_SLICE_LIST, "{\"itemsx\":[1],\"xitems\":{},\"item\":2}", 0, "", NULL);
	slice(KM_SLICE_LIST, "{\"a\":\"\\\n\"}", -EBADMSG, NULL, NULL);
	/* an error beyond the limit is not seen */
	slice(KM_SLICE_LIST,
		"{\"items\":[{\"a\":\"0123456789012345678901234567890123456789012345678901234567890123456789\x01\"}]}",
		-EMSGSIZE, NULL, NULL);
	slice(KM_SLICE_LIST, "{\"items\":[],\"items\":[]}", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_LIST, "{\"a\":]}", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_LIST, "<html>", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_LIST,
		"{\"items\":[{\"a\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}]}",
		-EMSGSIZE, NULL, NULL);
	slice(KM_SLICE_LIST,
		"{\"a\":"
		"\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
		"012345678901234567890123456789\"}",
		-EMSGSIZE, NULL, NULL);
}

static void streams_are_sliced(void **state)
{
	(void)state;
	slice(KM_SLICE_DOCS, "{\"type\":\"ADDED\"}\n{\"type\":\"X\",\"o\":{\"items\":[{}]}}", 0,
		"{\"type\":\"ADDED\"}|{\"type\":\"X\",\"o\":{\"items\":[{}]}}|", NULL);
	slice(KM_SLICE_DOCS, "", 0, "", NULL);
	slice(KM_SLICE_DOCS, "{\"a\":\n1}\n\n", 0, "{\"a\":\n1}|", NULL);
	slice(KM_SLICE_DOCS, "{\"a\":1", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_DOCS, "{} x", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_DOCS, "{\"a\":\"\x01\"}", -EBADMSG, NULL, NULL);
	slice(KM_SLICE_DOCS, "{\"a\":[}", -EBADMSG, NULL, NULL);
}

static void depth_is_bounded_and_the_callback_stops(void **state)
{
	struct slices got = {.stop_at = 2};
	struct km_err err = {0};
	struct km_slicer *s;
	char deep[400];

	(void)state;
	assert_int_equal(km_slicer_new(KM_SLICE_DOCS, 1000, 10, collect, &got, &s), 0);
	assert_int_equal(km_slicer_feed(s, "{}{}{}", 6, &err), 7);
	assert_int_equal(got.n, 2);
	assert_int_equal(km_slicer_feed(s, "{}", 2, &err), 7);
	km_slicer_free(s);
	memset(deep, '[', sizeof(deep));
	memcpy(deep, "{\"a\":", 5);
	assert_int_equal(km_slicer_new(KM_SLICE_DOCS, 1000, 10, collect, &got, &s), 0);
	assert_int_equal(km_slicer_feed(s, deep, sizeof(deep), &err), -EBADMSG);
	assert_mentions(&err, "128");
	km_slicer_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compact_and_pretty_are_go_s),
		cmocka_unit_test(strings_are_escaped_as_go_does),
		cmocka_unit_test(lists_are_sliced),
		cmocka_unit_test(streams_are_sliced),
		cmocka_unit_test(depth_is_bounded_and_the_callback_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
