/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Label selectors: what matches what, upstream's texts, LabelSelector objects, limits. The expected texts are what
 * k8s.io/apimachinery 1.36 gives for the same input.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kube/label_rules.h"
#include "kube/selector.h"

#define UNABLE "unable to parse requirement: "
#define NAME_RULE                                                                                             \
	"name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an " \
	"alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "  \
	"'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
#define VALUE_RULE                                                                                                   \
	"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "    \
	"start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for " \
	"validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
#define PREFIX_RULE                                                                                                   \
	"prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', " \
	"and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "    \
	"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"

struct world {
	struct km_interner *in;
	struct kube_label_pool *pool;
	struct kube_labels *labels; /* app=web, tier=front, empty="", in=notin, count=5, example.com/zone=z1 */
	struct kube_labels *none;
};

static int setup(void **state)
{
	static const struct kube_label_pair pairs[] = {{"app", "web"}, {"tier", "front"}, {"empty", ""},
		{"in", "notin"}, {"count", "5"}, {"example.com/zone", "z1"}};
	struct world *w = calloc(1, sizeof(*w));

	if (!w || km_interner_new(&w->in) < 0 || kube_label_pool_new(w->in, &w->pool) < 0 ||
		kube_labels_get(w->pool, pairs, KM_ARRAY_LEN(pairs), &w->labels) < 0 ||
		kube_labels_get(w->pool, NULL, 0, &w->none) < 0)
		return -1;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	kube_labels_unref(w->pool, w->labels);
	kube_labels_unref(w->pool, w->none);
	kube_label_pool_free(w->pool);
	km_interner_free(w->in);
	free(w);
	return 0;
}

static void test_match(void **state)
{
	static const struct {
		const char *text;
		bool full, none; /* matches world.labels, matches the empty set */
	} rows[] = {
		{"", true, true},
		{" \t\r\n", true, true},
		{"app=web", true, false},
		{" app = web ", true, false},
		{"app==web", true, false},
		{"app=Web", false, false},
		{"app=", false, false},
		{"empty=", true, false},
		{"empty==", true, false},
		{"nothere=", false, false},
		{"app!=web", false, true},
		{"app!=db", true, true},
		{"empty!=", false, true},
		{"nothere!=", true, true},
		{"app", true, false},
		{"!app", false, true},
		{"! nothere", true, true},
		{"app in (web)", true, false},
		{"app in(db,web)", true, false},
		{"app in (db , cache)", false, false},
		{"app notin (db,cache)", true, true},
		{"app notin (web)", false, true},
		{"empty in ()", true, false},
		{"app in ()", false, false},
		{"app notin ()", true, true},
		{"empty in (,)", true, false},
		{"empty in (a,)", true, false},
		{"empty in (,a)", true, false},
		{"empty in (a,,b)", true, false},
		{"empty in (a,,)", true, false},
		{"empty in (a,b)", false, false},
		{"app in (web,web,web)", true, false},
		/* the words are operators only where one is due */
		{"in", true, false},
		{"in=notin", true, false},
		{"in in (in,notin)", true, false},
		{"!in", false, true},
		{"notin", false, false},
		{"notin notin (in)", true, true},
		/* integers */
		{"count>4", true, false},
		{"count>5", false, false},
		{"count<6", true, false},
		{"count < 5", false, false},
		{"count>9223372036854775807", false, false},
		{"app>1", false, false},
		{"nothere<1", false, false},
		/* several */
		{"app=web,tier in (front,back),!nothere", true, false},
		{"app=web,tier=back", false, false},
		{"!nothere,!app", false, true},
		{"app=web,app!=web", false, false},
		{"example.com/zone=z1", true, false},
		{"example.com/zone in (z1,z2),count", true, false},
	};
	struct world *w = *state;

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct kube_selector *s = NULL;
		struct km_err err = {0};

		if (kube_selector_parse(rows[i].text, &s, &err) != 0)
			fail_msg("\"%s\": %s", rows[i].text, err.text);
		if (kube_selector_matches(s, w->labels) != rows[i].full ||
			kube_selector_matches(s, w->none) != rows[i].none)
			fail_msg("\"%s\" matches otherwise", rows[i].text);
		kube_selector_free(s);
	}
}

static void test_texts(void **state)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{"a b", UNABLE "found 'b', expected: in, notin, =, ==, !=, gt, lt"},
		{"a gt 5", UNABLE "found 'gt', expected: in, notin, =, ==, !=, gt, lt"},
		{"a!", UNABLE "found '!', expected: in, notin, =, ==, !=, gt, lt"},
		{"a(b)", UNABLE "found '(', expected: in, notin, =, ==, !=, gt, lt"},
		{",", "found ',', expected: !, identifier, or 'end of string'"},
		{"=a", "found '=', expected: !, identifier, or 'end of string'"},
		{"(a)", "found '(', expected: !, identifier, or 'end of string'"},
		{"a,", "found '', expected: identifier after ','"},
		{"a,,b", "found ',', expected: identifier after ','"},
		{"a=b,=c", "found '=', expected: identifier after ','"},
		{"a=b c", "found 'c', expected: ',' or 'end of string'"},
		{"a=b in (c)", "found 'in', expected: ',' or 'end of string'"},
		{"a=b=c", "found '=', expected: ',' or 'end of string'"},
		{"!a=b", "found '=', expected: ',' or 'end of string'"},
		{"a in (b) c", "found 'c', expected: ',' or 'end of string'"},
		{"a in (b))", "found ')', expected: ',' or 'end of string'"},
		{"!", UNABLE "found '', expected: identifier"},
		{"!!a", UNABLE "found '!', expected: identifier"},
		{"a,!", UNABLE "found '', expected: identifier"},
		{"a=!b", UNABLE "found '!', expected: identifier"},
		{"a===b", UNABLE "found '=', expected: identifier"},
		{"a=(b)", UNABLE "found '(', expected: identifier"},
		{"a>>5", UNABLE "found '>', expected: identifier"},
		{"a in", UNABLE "found '' expected: '('"},
		{"a in b", UNABLE "found 'b' expected: '('"},
		{"a in (", UNABLE "found '', expected: ',', ')' or identifier"},
		{"a in (=", UNABLE "found '=', expected: ',', ')' or identifier"},
		{"a in (b", UNABLE "found '', expected: ',' or ')'"},
		{"a in (b c)", UNABLE "found 'c', expected: ',' or ')'"},
		{"a in (b=", UNABLE "found '=', expected: ',' or ')'"},
		{"a in (b,", UNABLE "found '', expected: ',', or identifier"},
		{"a in (,", UNABLE "found '', expected: ',', or identifier"},
		{"a in (b,!c)", UNABLE "found '!', expected: ',', or identifier"},
		{"-a=b", UNABLE "<nil>: Invalid value: \"-a\": " NAME_RULE},
		{"!-a", UNABLE "<nil>: Invalid value: \"-a\": " NAME_RULE},
		{"x,*bar", UNABLE "<nil>: Invalid value: \"*bar\": " NAME_RULE},
		{"a/b/c=d", UNABLE
			"<nil>: Invalid value: \"a/b/c\": a valid label key must consist of alphanumeric characters, "
			"'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or "
			"'my.name',  or '123-abc', regex used for validation is "
			"'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' "
			"(e.g. 'example.com/MyName')"},
		{"/a", UNABLE "<nil>: Invalid value: \"/a\": prefix part must be non-empty"},
		{"a/", UNABLE "<nil>: Invalid value: \"a/\": name part must be non-empty; " NAME_RULE},
		{"A.b/c", UNABLE "<nil>: Invalid value: \"A.b/c\": " PREFIX_RULE},
		{"a..b/c", UNABLE "<nil>: Invalid value: \"a..b/c\": " PREFIX_RULE},
		{"a-.b/c", UNABLE "<nil>: Invalid value: \"a-.b/c\": " PREFIX_RULE},
		{"a.-b/c", UNABLE "<nil>: Invalid value: \"a.-b/c\": " PREFIX_RULE},
		{"a\"\\\x01\x7f\xff=b", UNABLE "<nil>: Invalid value: \"a\\\"\\\\\\x01\\x7f\\xff\": " NAME_RULE},
		{"\xc3\xa9", UNABLE "<nil>: Invalid value: \"\xc3\xa9\": " NAME_RULE},
		{"a=-b", UNABLE "values[0][a]: Invalid value: \"-b\": " VALUE_RULE},
		{"a=b/c", UNABLE "values[0][a]: Invalid value: \"b/c\": " VALUE_RULE},
		/* of a list, sorted as upstream has it then */
		{"a in (c,-d,b)", UNABLE "values[0][a]: Invalid value: \"-d\": " VALUE_RULE},
		{"a in (b,c_)", UNABLE "values[1][a]: Invalid value: \"c_\": " VALUE_RULE},
		{"a in (-b,_c)", UNABLE "[values[0][a]: Invalid value: \"-b\": " VALUE_RULE
					", values[1][a]: Invalid value: \"_c\": " VALUE_RULE "]"},
		{"a>x", UNABLE
			"values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"},
		{"a<", UNABLE "values[0]: Invalid value: \"\": for 'Gt', 'Lt' operators, the value must be an integer"},
		{"a<9223372036854775808", UNABLE "values[0]: Invalid value: \"9223372036854775808\": for 'Gt', 'Lt' "
						 "operators, the value must be an integer"},
		{"a>-5", UNABLE "values[0][a]: Invalid value: \"-5\": " VALUE_RULE},
		{"a>-x", UNABLE
			"[values[0]: Invalid value: \"-x\": for 'Gt', 'Lt' operators, the value must be an integer, "
			"values[0][a]: Invalid value: \"-x\": " VALUE_RULE "]"},
	};
	char untouched;

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct kube_selector *s = (void *)&untouched;
		struct km_err err = {0};

		if (kube_selector_parse(rows[i].text, &s, &err) != -EINVAL)
			fail_msg("\"%s\" is not refused", rows[i].text);
		assert_string_equal(err.text, rows[i].error);
		assert_ptr_equal(s, &untouched);
	}
	/* err may be absent */
	struct kube_selector *s;
	assert_int_equal(kube_selector_parse("a b", &s, NULL), -EINVAL);
}

static void test_lengths(void **state)
{
	char key[400], text[512];
	struct kube_selector *s;
	struct km_err err;

	memset(key, 'a', sizeof(key));
	key[63] = '\0';
	assert_int_equal(kube_selector_parse(key, &s, &err), 0);
	kube_selector_free(s);
	snprintf(text, sizeof(text), "k=%s", key);
	assert_int_equal(kube_selector_parse(text, &s, &err), 0);
	kube_selector_free(s);
	key[63] = 'a';
	key[64] = '\0';
	assert_int_equal(kube_selector_parse(key, &s, &err), -EINVAL);
	snprintf(text, sizeof(text), UNABLE "<nil>: Invalid value: \"%s\": name part must be no more than 63 bytes",
		key);
	assert_string_equal(err.text, text);
	snprintf(text, sizeof(text), "k=%s", key);
	assert_int_equal(kube_selector_parse(text, &s, &err), -EINVAL);
	snprintf(text, sizeof(text), UNABLE "values[0][k]: Invalid value: \"%s\": must be no more than 63 bytes", key);
	assert_string_equal(err.text, text);

	memset(key, 'a', sizeof(key));
	memcpy(key + 253, "/b", 3);
	assert_int_equal(kube_selector_parse(key, &s, &err), 0);
	kube_selector_free(s);
	memset(key, 'a', sizeof(key));
	memcpy(key + 254, "/b", 3);
	assert_int_equal(kube_selector_parse(key, &s, &err), -EINVAL);
	assert_non_null(strstr(err.text, "\": prefix part must be no more than 253 bytes"));
}

/* COUNT times item, joined by commas, between head and tail. */
static char *repeat(const char *head, const char *item, size_t count, const char *tail)
{
	struct km_buf out = KM_BUF_INIT(1 << 20);

	km_buf_adds(&out, head);
	for (size_t i = 0; i < count; i++)
		km_buf_addf(&out, "%s%s%zu", i ? "," : "", item, i);
	km_buf_adds(&out, tail);
	return km_buf_take(&out, NULL);
}

static void test_limits(void **state)
{
	static const struct {
		const char *head, *item;
		size_t count;
		const char *tail, *error; /* NULL: fine */
	} rows[] = {
		{"", "a", 64, "", NULL},
		{"", "a", 65, "", UNABLE "the selector has more than 64 requirements"},
		{"a in (", "b", 256, ")", NULL},
		{"a in (", "b", 257, ")", UNABLE "a requirement has more than 256 values"},
		{"a in (", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 256, ")",
			"the selector is longer than 8192 bytes"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		char *text = repeat(rows[i].head, rows[i].item, rows[i].count, rows[i].tail);
		struct kube_selector *s = NULL;
		struct km_err err = {0};
		int r;

		assert_non_null(text);
		r = kube_selector_parse(text, &s, &err);
		assert_int_equal(r, rows[i].error ? -EINVAL : 0);
		assert_string_equal(err.text, rows[i].error ? rows[i].error : "");
		kube_selector_free(s);
		free(text);
	}
}

/* The longest text, one word: the error is cut, not lost. */
static void test_long_word(void **state)
{
	char text[KUBE_SELECTOR_TEXT_MAX + 2];
	struct kube_selector *s;
	struct km_err err;

	memset(text, '\x01', sizeof(text)); /* four characters each when quoted */
	text[KUBE_SELECTOR_TEXT_MAX] = '\0';
	assert_int_equal(kube_selector_parse(text, &s, &err), -EINVAL);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	assert_int_equal(strncmp(err.text, UNABLE "<nil>: Invalid value: \"\\x01\\x01", 60), 0);
	text[KUBE_SELECTOR_TEXT_MAX] = 'a';
	text[KUBE_SELECTOR_TEXT_MAX + 1] = '\0';
	assert_int_equal(kube_selector_parse(text, &s, &err), -EINVAL);
	assert_string_equal(err.text, "the selector is longer than 8192 bytes");
}

static void test_object(void **state)
{
	static const struct {
		const char *json;
		bool full, none;
	} rows[] = {
		{"null", false, false},
		{"{}", true, true},
		{"{\"matchLabels\":{},\"matchExpressions\":[]}", true, true},
		{"{\"matchLabels\":null,\"matchExpressions\":null}", true, true},
		{"{\"matchLabels\":{\"app\":\"web\",\"empty\":\"\"}}", true, false},
		{"{\"matchLabels\":{\"app\":\"db\"}}", false, false},
		{"{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"In\",\"values\":[\"web\",\"db\"]}]}", true,
			false},
		{"{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"NotIn\",\"values\":[\"web\"]}]}", false, true},
		{"{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"Exists\"}]}", true, false},
		{"{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"DoesNotExist\",\"values\":null}]}", false,
			true},
		{"{\"matchLabels\":{\"app\":\"web\"},\"matchExpressions\":[{\"key\":\"tier\",\"operator\":\"In\","
		 "\"values\":[\"back\"]}]}",
			false, false},
	};
	struct world *w = *state;
	struct kube_selector *s;

	assert_int_equal(kube_selector_decode(NULL, &s, NULL), 0);
	assert_false(kube_selector_matches(s, w->labels));
	kube_selector_free(s);
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		json_t *json = json_loads(rows[i].json, JSON_DECODE_ANY, NULL);
		struct km_err err = {0};

		assert_non_null(json);
		if (kube_selector_decode(json, &s, &err) != 0)
			fail_msg("%s: %s", rows[i].json, err.text);
		if (kube_selector_matches(s, w->labels) != rows[i].full ||
			kube_selector_matches(s, w->none) != rows[i].none)
			fail_msg("%s matches otherwise", rows[i].json);
		kube_selector_free(s);
		json_decref(json);
	}
}

static void test_object_texts(void **state)
{
	static const struct {
		const char *json, *error;
	} rows[] = {
		{"[]", "the label selector is not an object"},
		{"\"app=web\"", "the label selector is not an object"},
		{"{\"matchLabels\":[]}", "matchLabels is not an object"},
		{"{\"matchLabels\":{\"a\":5}}", "matchLabels[a] is not a string"},
		{"{\"matchLabels\":{\"-a\":\"b\"}}", "key: Invalid value: \"-a\": " NAME_RULE},
		{"{\"matchLabels\":{\"\":\"b\"}}", "key: Invalid value: \"\": name part must be non-empty; " NAME_RULE},
		{"{\"matchLabels\":{\"a\":\"-b\"}}", "values[0][a]: Invalid value: \"-b\": " VALUE_RULE},
		{"{\"matchLabels\":{\"/a\":\"-b\"}}",
			"[key: Invalid value: \"/a\": prefix part must be non-empty, values[0][/a]: Invalid value: "
			"\"-b\": " VALUE_RULE "]"},
		{"{\"matchExpressions\":{}}", "matchExpressions is not a list"},
		{"{\"matchExpressions\":[5]}", "\"\" is not a valid label selector operator"},
		{"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"in\"}]}",
			"\"in\" is not a valid label selector operator"},
		{"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\"}]}",
			"values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty"},
		{"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"NotIn\",\"values\":[]}]}",
			"values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty"},
		{"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Exists\",\"values\":[\"b\",\"c\"]}]}",
			"values: Invalid value: [\"b\",\"c\"]: values set must be empty for exists and does not exist"},
		{"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":\"b\"}]}",
			"values is not a list"},
		{"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"b\",5]}]}",
			"values[1] is not a string"},
		{"{\"matchExpressions\":[{\"operator\":\"Exists\"}]}",
			"key: Invalid value: \"\": name part must be non-empty; " NAME_RULE},
		/* not sorted here: the index is the place in the object */
		{"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"b\",\"-a\"]}]}",
			"values[1][a]: Invalid value: \"-a\": " VALUE_RULE},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		json_t *json = json_loads(rows[i].json, JSON_DECODE_ANY, NULL);
		struct kube_selector *s = NULL;
		struct km_err err = {0};

		assert_non_null(json);
		if (kube_selector_decode(json, &s, &err) != -EINVAL)
			fail_msg("%s is not refused", rows[i].json);
		assert_string_equal(err.text, rows[i].error);
		json_decref(json);
	}
}

static void test_object_limits(void **state)
{
	json_t *labels = json_object(), *values = json_array(), *json;
	struct kube_selector *s;
	struct km_err err;
	char key[32];

	for (int i = 0; i < 257; i++)
		json_array_append_new(values, json_string("v"));
	json = json_pack("{s:[{s:s,s:s,s:o}]}", "matchExpressions", "key", "a", "operator", "In", "values", values);
	assert_int_equal(kube_selector_decode(json, &s, &err), -EINVAL);
	assert_string_equal(err.text, "values has more than 256 items");
	json_decref(json);
	for (int i = 0; i < 65; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		json_object_set_new(labels, key, json_string("v"));
	}
	json = json_pack("{s:o}", "matchLabels", labels);
	assert_int_equal(kube_selector_decode(json, &s, &err), -EINVAL);
	assert_string_equal(err.text, "the selector has more than 64 requirements");
	json_decref(json);
}

static void test_quoted(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"", "\"\""}, {"a b", "\"a b\""}, {"\a\b\f\n\r\t\v\\\"", "\"\\a\\b\\f\\n\\r\\t\\v\\\\\\\"\""},
		{"\x1b\x7f", "\"\\x1b\\x7f\""}, {"\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xe2\x82\xac\xf0\x9f\x98\x80\""},
		{"\xc3", "\"\\xc3\""},                                                            /* cut off */
		{"\xe2\x82", "\"\\xe2\\x82\""}, {"\xc0\x80", "\"\\xc0\\x80\""},                   /* too long a form */
		{"\xe0\x80\x80", "\"\\xe0\\x80\\x80\""}, {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\""}, /* half of a pair */
		{"\xf4\x90\x80\x80", "\"\\xf4\\x90\\x80\\x80\""},                                 /* beyond U+10FFFF */
		{"\x80z", "\"\\x80z\""}, {"\xc2\x85\xc2\xa1", "\"\\u0085\xc2\xa1\""}, /* C1 control, printable */
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct km_buf out = KM_BUF_INIT(1024);

		kube_add_quoted(&out, rows[i].in);
		assert_string_equal(out.data, rows[i].out);
		km_buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_match, setup, teardown),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_long_word),
		cmocka_unit_test_setup_teardown(test_object, setup, teardown),
		cmocka_unit_test(test_object_texts),
		cmocka_unit_test(test_object_limits),
		cmocka_unit_test(test_quoted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
