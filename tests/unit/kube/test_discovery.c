/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order of versions and what is made of /version and /apis.
 */
#include "kube/discovery.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_compare(void **state)
{
	/* newest first; equal neighbours do not occur */
	static const char *const sorted[] = {"v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v2beta2", "v2beta1",
		"v1beta10", "v1beta2", "v12alpha1", "v11alpha2", "v1alpha1", "foo1", "foo10", "v0", "v1beta0",
		"v1gamma1"};

	for (size_t i = 0; i < KM_ARRAY_LEN(sorted); i++) {
		for (size_t j = 0; j < KM_ARRAY_LEN(sorted); j++) {
			int c = kube_version_compare(sorted[i], sorted[j]);
			if ((i < j && c <= 0) || (i > j && c >= 0) || (i == j && c != 0))
				fail_msg("%s against %s: %d", sorted[i], sorted[j], c);
		}
	}
}

static struct kube_discovery *parse(const char *version, const char *groups, int expected, const char *text)
{
	json_t *v = json_loads(version, 0, NULL), *g = json_loads(groups, 0, NULL);
	struct kube_discovery *d = NULL;
	struct km_err err = {.text = ""};
	int r = kube_discovery_parse(v, g, &d, &err);

	json_decref(v);
	json_decref(g);
	if (r != expected)
		fail_msg("%d instead of %d: %s", r, expected, err.text);
	if (text)
		assert_non_null(strstr(err.text, text));
	return d;
}

static void test_parse(void **state)
{
	struct kube_discovery *d = parse("{\"major\":\"1\",\"minor\":\"20+\",\"gitVersion\":\"v1.20.2-k3s1\"}",
		"{\"kind\":\"APIGroupList\",\"groups\":["
		"{\"name\":\"autoscaling\",\"versions\":[{\"version\":\"v2beta1\"},{\"version\":\"v1\"},{\"version\":"
		"\"v2beta2\"}]},"
		"{\"name\":\"metrics.k8s.io\",\"versions\":[{\"version\":\"v1beta1\"}]},"
		"{\"name\":\"empty.io\",\"versions\":[]},{\"name\":7},null]}",
		0, NULL);

	assert_int_equal(kube_discovery_minor(d), 20);
	assert_string_equal(kube_discovery_git_version(d), "v1.20.2-k3s1");
	assert_string_equal(kube_discovery_newest(d, "autoscaling"), "v1");
	assert_true(kube_discovery_serves(d, "autoscaling", "v2beta2"));
	assert_false(kube_discovery_serves(d, "autoscaling", "v2"));
	assert_false(kube_discovery_serves(d, "nowhere.io", "v1"));
	assert_null(kube_discovery_newest(d, "nowhere.io"));
	assert_null(kube_discovery_newest(d, "empty.io"));
	assert_string_equal(kube_discovery_newest(d, ""), "v1");
	assert_true(kube_discovery_serves(d, "", "v1"));
	assert_ptr_equal(kube_discovery_ref(d), d);
	kube_discovery_unref(d);
	assert_int_equal(kube_discovery_minor(d), 20);
	kube_discovery_unref(d);
}

static void test_minor(void **state)
{
	static const struct {
		const char *version;
		int minor;
	} rows[] = {{"v1.36.2", 36}, {"v1.8.15", 8}, {"v2.0.1", 0}, {"v1.28.3+rke2r1", 28}, {"v1.20", 20}};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		char text[100];
		snprintf(text, sizeof(text), "{\"gitVersion\":\"%s\"}", rows[i].version);
		struct kube_discovery *d = parse(text, "{\"groups\":[]}", 0, NULL);
		assert_int_equal(kube_discovery_minor(d), rows[i].minor);
		kube_discovery_unref(d);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *version, *groups, *text;
	} rows[] = {
		{"{}", "{\"groups\":[]}", "/version"},
		{"{\"gitVersion\":\"nginx\"}", "{\"groups\":[]}", "/version"},
		{"{\"gitVersion\":\"v1.x\"}", "{\"groups\":[]}", "/version"},
		{"{\"gitVersion\":\"v1.99999999999999999999999\"}", "{\"groups\":[]}", "/version"},
		{"{\"gitVersion\":\"v1.20.2\"}", "{}", "/apis"},
		{"{\"gitVersion\":\"v1.20.2\"}", "{\"groups\":{}}", "/apis"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++)
		assert_null(parse(rows[i].version, rows[i].groups, -EBADMSG, rows[i].text));
}

static void test_limits(void **state)
{
	json_t *version = json_pack("{s:s}", "gitVersion", "v1.20.2"), *list = json_array(), *versions = json_array();
	json_t *groups = json_pack("{s:o}", "groups", list);
	struct kube_discovery *d = NULL;
	struct km_err err;

	for (int i = 0; i < 33; i++)
		json_array_append_new(versions, json_pack("{s:s}", "version", "v1"));
	json_array_append_new(list, json_pack("{s:s, s:o}", "name", "many.io", "versions", versions));
	assert_int_equal(kube_discovery_parse(version, groups, &d, &err), -EMSGSIZE);
	assert_non_null(strstr(err.text, "many.io"));
	json_array_clear(list);
	for (int i = 0; i < 1025; i++)
		json_array_append_new(list, json_null());
	assert_int_equal(kube_discovery_parse(version, groups, &d, &err), -EMSGSIZE);
	assert_null(d);
	json_decref(groups);
	json_decref(version);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_minor),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
