/* SPDX-License-Identifier: Apache-2.0 */
/* A metric's selector: what is asked for, what is shown, what is wrong with it. */
#include "hpa/metric_selector.h"

#include <stdio.h>

#include "tests/unit/support/check.h"

static void test_forms(void **state)
{
	static const struct {
		const char *in, *query, *shown, *error;
	} rows[] = {
		{"null", "", "nil", NULL},
		{"{}", "",
			"&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]LabelSelectorRequirement{},"
			"}",
			NULL},
		{"{\"matchLabels\":{\"b\":\"2\",\"a\":\"1\"}}", "a=1,b=2",
			"&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:[]"
			"LabelSelectorRequirement{},}",
			NULL},
		{"{\"matchExpressions\":[{\"key\":\"z\",\"operator\":\"NotIn\",\"values\":[\"q\",\"p\"]},"
		 "{\"key\":\"m\",\"operator\":\"DoesNotExist\"},{\"key\":\"a\",\"operator\":\"Exists\",\"values\":[]},"
		 "{\"key\":\"c\",\"operator\":\"In\",\"values\":[\"x\"]}],\"matchLabels\":{\"k\":\"\"}}",
			"a,c in (x),k=,!m,z notin (p,q)",
			"&LabelSelector{MatchLabels:map[string]string{k: "
			",},MatchExpressions:[]LabelSelectorRequirement{"
			"LabelSelectorRequirement{Key:z,Operator:NotIn,Values:[q "
			"p],},LabelSelectorRequirement{Key:m,Operator:"
			"DoesNotExist,Values:[],},LabelSelectorRequirement{Key:a,Operator:Exists,Values:[],},"
			"LabelSelectorRequirement{Key:c,Operator:In,Values:[x],},},}",
			NULL},
		{"{\"matchExpressions\":[{\"key\":\"env\",\"operator\":\"Bogus\"}]}", "", "",
			"\"Bogus\" is not a valid label selector operator"},
		{"{\"matchExpressions\":[{\"key\":\"env\",\"operator\":\"In\"}]}", "", "",
			"for 'in', 'notin' operators, values set can't be empty"},
		{"{\"matchExpressions\":[{\"operator\":\"Exists\"}]}", "", "", "name part must be non-empty"},
		{"{\"matchLabels\":7}", "", "", "matchLabels is not an object"},
		{"7", "", "", "the label selector is not an object"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		json_t *in = json_loads(rows[i].in, JSON_DECODE_ANY, NULL);
		struct hpa_metric_selector s;

		assert_non_null(in);
		assert_int_equal(hpa_metric_selector_read(in, &s), 0);
		if (strcmp(s.query, rows[i].query) != 0 || strcmp(s.shown, rows[i].shown) != 0 ||
			!s.error != !rows[i].error || (s.error && !strstr(s.error, rows[i].error)))
			fail_msg("%s: \"%s\", \"%s\", \"%s\"", rows[i].in, s.query, s.shown, s.error ? s.error : "");
		assert_ptr_equal(s.object, json_is_null(in) ? NULL : in);
		hpa_metric_selector_clear(&s);
		json_decref(in);
	}
}

static void test_absent(void **state)
{
	struct hpa_metric_selector s;

	assert_int_equal(hpa_metric_selector_read(NULL, &s), 0);
	assert_null(s.object);
	assert_string_equal(s.shown, "nil");
	hpa_metric_selector_clear(&s);
	hpa_metric_selector_clear(&s);
}

/* Longer than it can be asked for: an error of this metric, not of the daemon. */
static void test_too_long(void **state)
{
	json_t *labels = json_object(), *in = json_pack("{s:o}", "matchLabels", labels);
	struct hpa_metric_selector s;
	char key[260];

	for (int i = 0; i < 60; i++) {
		snprintf(key, sizeof(key), "%.*s.example/k%d", 200,
			"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
			"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			"aaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			i);
		json_object_set_new(labels, key, json_string("v"));
	}
	assert_int_equal(hpa_metric_selector_read(in, &s), 0);
	assert_non_null(s.error);
	assert_non_null(strstr(s.error, "longer than"));
	hpa_metric_selector_clear(&s);
	json_decref(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
