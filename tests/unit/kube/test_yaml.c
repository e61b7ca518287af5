/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML in and out. "Go" cases: how sigs.k8s.io/yaml (kubectl) reads a plain scalar is what decides whether it must be
 * quoted.
 */
#include "kube/yaml.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char *dump(json_t *v)
{
	char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);

	assert_non_null(text);
	return text;
}

static void test_parse(void **state)
{
	static const struct {
		const char *yaml, *json;
	} rows[] = {
		{"a: 1\n", "{\"a\":1}"},
		{"{\"a\": [1, 2.5, true, null, \"x\"]}", "{\"a\":[1,2.5,true,null,\"x\"]}"},
		{"a:\n- b: c\n  d: e\n- - f\n", "{\"a\":[{\"b\":\"c\",\"d\":\"e\"},[\"f\"]]}"},
		{"plain text", "\"plain text\""},
		{"--- \n# nothing\n", "null"},
		{"---\na: ~\n...\n", "{\"a\":null}"},
		{"a:\nb: null\nc: NULL\nd: nuLL\n", "{\"a\":null,\"b\":null,\"c\":null,\"d\":\"nuLL\"}"},
		{"[true, True, TRUE, tRUE, yes, on]", "[true,true,true,\"tRUE\",\"yes\",\"on\"]"},
		{"[0, -7, +7, 0x1F, 0o17, 017, 1_000]", "[0,-7,7,31,15,17,\"1_000\"]"},
		{"[.5, 1., 1e3, -1.5E-3, 1e, e1, ., -]", "[0.5,1.0,1000.0,-0.0015,\"1e\",\"e1\",\".\",\"-\"]"},
		{"[9223372036854775807, 9223372036854775808]", "[9223372036854775807,9.2233720368547758e18]"},
		{"['1', \"1\", \"a\\nb\", 'it''s']", "[\"1\",\"1\",\"a\\nb\",\"it's\"]"},
		{"a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}"},
		{"1: a\ntrue: b\n", "{\"1\":\"a\",\"true\":\"b\"}"},
		{"\xef\xbb\xbfk: v\n", "{\"k\":\"v\"}"},
		{"k: \"\\u00e9\\x41\"\r\n", "{\"k\":\"\xc3\xa9"
					    "A\"}"},
		{"2001-01-01", "\"2001-01-01\""},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct km_err err = {.text = ""};
		json_t *v = NULL;
		int r = kube_yaml_parse(rows[i].yaml, strlen(rows[i].yaml), "t", &v, &err);
		if (r != 0)
			fail_msg("row %zu: %d %s", i, r, err.text);
		char *text = dump(v);
		assert_string_equal(text, rows[i].json);
		free(text);
		json_decref(v);
	}
}

static void test_parse_refused(void **state)
{
	static const struct {
		const char *yaml, *text;
	} rows[] = {
		{"", "t: is empty"},
		{"# only a comment\n", "t: is empty"},
		{"a: &x 1\n", "t:1:4: anchors"},
		{"a: &x [1]\n", "t:1:4: anchors"},
		{"&x a: 1\n", "t:1:1: anchors"},
		{"a: *x\n", "t:1:4: aliases"},
		{"a: !!str 1\n", "t:1:4: tags"},
		{"a: ! 1\n", "t:1:4: tags"},
		{"a: !x {}\n", "t:1:4: tags"},
		{"a: 1\nb: 2\na: 3\n", "t:3:1: a key stands twice"},
		{"a: 1\n---\nb: 2\n", "t:2:1: a second document"},
		{"? [a]\n: b\n", "t:1:3: a list or a mapping cannot be a key"},
		{"{{}: 1}", "t:1:2: a list or a mapping cannot be a key"},
		{"a: .inf\n", "t:1:4: infinity"},
		{"a: .NaN\n", "t:1:4: infinity"},
		{"a: 1e999\n", "t:1:4: the number is too large"},
		{"a: 0xfffffffffffffffff\n", "t:1:4: the number does not fit"},
		{"a: \"x\\0y\"\n", "t:1:4: a NUL"},
		{"a: [1, 2\n", "t:2:1:"},
		{"a: b: c\n", "t:1:5:"},
		{"\ta: 1\n", "t:1:1:"},
		{"a: \xff\n", "t: byte 3:"},
		{"a: \"\\ud800\"\n", "t:1:"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct km_err err = {.text = ""};
		json_t *v = NULL;
		assert_int_equal(kube_yaml_parse(rows[i].yaml, strlen(rows[i].yaml), "t", &v, &err), -EINVAL);
		assert_null(v);
		if (strncmp(err.text, rows[i].text, strlen(rows[i].text)) != 0)
			fail_msg("row %zu: \"%s\", expected \"%s...\"", i, err.text, rows[i].text);
	}
}

static void test_limits(void **state)
{
	char text[200];
	struct km_err err;
	json_t *v = NULL;
	char *big;

	memset(text, '[', 64);
	memset(text + 64, ']', 64);
	assert_int_equal(kube_yaml_parse(text, 128, "t", &v, &err), 0);
	json_decref(v);
	v = NULL;
	memset(text, '[', 65);
	memset(text + 65, ']', 65);
	assert_int_equal(kube_yaml_parse(text, 130, "t", &v, &err), -EINVAL);
	assert_non_null(strstr(err.text, "64 levels"));

	big = malloc(1024 * 1024 + 1);
	assert_non_null(big);
	memset(big, 'a', 1024 * 1024 + 1);
	assert_int_equal(kube_yaml_parse(big, 1024 * 1024 + 1, "t", &v, &err), -EMSGSIZE);
	assert_null(v);
	assert_int_equal(kube_yaml_parse(big, 1024 * 1024, "t", &v, &err), 0);
	json_decref(v);
	free(big);
}

static void test_emit_strings(void **state)
{
	/* expected: what stands behind "k: " */
	static const struct {
		const char *value, *yaml;
	} rows[] = {
		{"kube-system", "kube-system"},
		{"apiregistration.k8s.io/v1", "apiregistration.k8s.io/v1"},
		{"system:auth-delegator", "system:auth-delegator"},
		{"/opt/kubernetes/ssl", "/opt/kubernetes/ssl"},
		{"two words", "two words"},
		{"LS0tLS1CRUdJTg==", "LS0tLS1CRUdJTg=="},
		{"", "\"\""},
		{"~", "\"~\""},
		{"null", "\"null\""},
		{"Null", "\"Null\""},
		{"yes", "\"yes\""},
		{"No", "\"No\""},
		{"on", "\"on\""},
		{"OFF", "\"OFF\""},
		{"y", "\"y\""},
		{"N", "\"N\""},
		{"true", "\"true\""},
		{"False", "\"False\""},
		{"1.20", "\"1.20\""},
		{"443", "\"443\""},
		{"-1", "\"-1\""},
		{"+1", "\"+1\""},
		{"0x1f", "\"0x1f\""},
		{"0b11", "\"0b11\""},
		{"1e3", "\"1e3\""},
		{".5", "\".5\""},
		{".inf", "\".inf\""},
		{"1_000", "\"1_000\""},
		{"12:30:45", "\"12:30:45\""},
		{"2001-01-01", "\"2001-01-01\""},
		{"2001-12-14T21:59:43Z", "\"2001-12-14T21:59:43Z\""},
		{"<<", "\"<<\""},
		{"=", "\"=\""},
		{"*", "\"*\""},
		{"&a", "\"&a\""},
		{"!x", "\"!x\""},
		{"@x", "\"@x\""},
		{"- x", "\"- x\""},
		{"a: b", "\"a: b\""},
		{"a:", "\"a:\""},
		{"a #b", "\"a #b\""},
		{"a ", "\"a \""},
		{" a", "\" a\""},
		{"a\tb", "\"a\\tb\""},
		{"say \"x\" \\", "\"say \\\"x\\\" \\\\\""},
		{"{a}", "\"{a}\""},
		{"a\x01z", "\"a\\u0001z\""},
		{"\xc3\xa9", "\"\xc3\xa9\""},
		{"\xc2\x85", "\"\\u0085\""},
		{"\xe2\x80\xa8", "\"\\u2028\""},
		{"\xef\xbb\xbf", "\"\\ufeff\""},
		{"\xef\xbf\xbf", "\"\\uffff\""},
		{"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
		{"x\ny\n", "|\n  x\n  y"},
		{"x\ny", "|-\n  x\n  y"},
		{"x\n\n y\n", "|\n  x\n\n   y"},
		{"x\n", "\"x\\n\""},
		{"\nx\n", "\"\\nx\\n\""},
		{"x\ny\n\n", "\"x\\ny\\n\\n\""},
		{" x\ny\n", "\" x\\ny\\n\""},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		_cleanup_buf_ struct km_buf out = KM_BUF_INIT(4096);
		char expected[256];
		struct km_err err;
		json_t *v = json_pack("{s:s}", "k", rows[i].value), *back = NULL;
		assert_non_null(v);
		assert_int_equal(kube_yaml_emit(v, &out), 0);
		snprintf(expected, sizeof(expected), "k: %s\n", rows[i].yaml);
		assert_string_equal(out.data, expected);
		assert_int_equal(kube_yaml_parse(out.data, out.len, "t", &back, &err), 0);
		assert_true(json_equal(v, back));
		json_decref(v);
		json_decref(back);
	}
}

static void test_emit_structure(void **state)
{
	static const struct {
		const char *json, *yaml;
	} rows[] = {
		{"{\"b\":1,\"a\":[]}", "b: 1\na: []\n"},
		{"{\"a\":{\"b\":{\"c\":true}},\"d\":null}", "a:\n  b:\n    c: true\nd: null\n"},
		{"{\"rules\":[{\"verbs\":[\"get\",\"list\"],\"apiGroups\":[\"\"]},{}]}",
			"rules:\n- verbs:\n  - get\n  - list\n  apiGroups:\n  - \"\"\n- {}\n"},
		{"[[1,[2,3]],{\"a\":{}}]", "- - 1\n  - - 2\n    - 3\n- a: {}\n"},
		{"[{\"a\":{\"b\":\"x\\ny\\n\"}},\"p\\nq\"]", "- a:\n    b: |\n      x\n      y\n- |-\n  p\n  q\n"},
		{"{\"on\":1,\"a b\":2,\"1\":3}", "\"on\": 1\na b: 2\n\"1\": 3\n"},
		{"\"p\\nq\"", "\"p\\nq\"\n"},
		{"{}", "{}\n"},
		{"1.5", "1.5\n"},
		{"[1e100]", "- 1e100\n"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		_cleanup_buf_ struct km_buf out = KM_BUF_INIT(4096);
		json_t *v = json_loads(rows[i].json, JSON_DECODE_ANY, NULL), *back = NULL;
		struct km_err err;
		assert_non_null(v);
		assert_int_equal(kube_yaml_emit(v, &out), 0);
		assert_string_equal(out.data, rows[i].yaml);
		assert_int_equal(kube_yaml_parse(out.data, out.len, "t", &back, &err), 0);
		assert_true(json_equal(v, back));
		json_decref(v);
		json_decref(back);
	}
}

static void test_emit_refused(void **state)
{
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(64 * 1024);
	struct km_buf small = KM_BUF_INIT(4);
	json_t *nul = json_stringn("a\0b", 3), *deep = json_integer(1), *key = json_object();
	char name[300];

	assert_int_equal(kube_yaml_emit(nul, &out), -EINVAL);
	for (int i = 0; i < 65; i++) {
		json_t *list = json_array();
		json_array_append_new(list, deep);
		deep = list;
	}
	assert_int_equal(kube_yaml_emit(deep, &out), -EINVAL);
	memset(name, 'k', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	json_object_set_new(key, name, json_null());
	assert_int_equal(kube_yaml_emit(key, &out), -EINVAL);
	json_decref(nul);
	nul = json_string("too long for it");
	assert_int_equal(kube_yaml_emit(nul, &small), -EINVAL);
	km_buf_free(&small);
	json_decref(nul);
	json_decref(deep);
	json_decref(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_refused),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_emit_strings),
		cmocka_unit_test(test_emit_structure),
		cmocka_unit_test(test_emit_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
