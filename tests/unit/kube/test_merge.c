/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merging what is ours into what is there, and the paths of objects.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "kube/apply.h"

static void test_merge(void **state)
{
	/* merged NULL: nothing to do */
	static const struct {
		const char *live, *ours, *merged;
	} rows[] = {
		{"{\"a\":1,\"b\":2}", "{\"a\":1}", NULL},
		{"{\"a\":1}", "{\"a\":2}", "{\"a\":2}"},
		{"{\"a\":1}", "{\"a\":1.0}", NULL},
		{"{}", "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}"},
		{"{\"a\":7}", "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}"},
		{"{\"a\":{\"c\":2}}", "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1,\"c\":2}}"},
		{"{\"a\":{}}", "{\"a\":{}}", NULL},
		{"{\"metadata\":{\"resourceVersion\":\"7\",\"labels\":{\"x\":\"y\"}}}",
			"{\"metadata\":{\"labels\":{\"m\":\"k\"}}}",
			"{\"metadata\":{\"labels\":{\"m\":\"k\",\"x\":\"y\"},\"resourceVersion\":\"7\"}}"},
		/* null removes, also below and where nothing is */
		{"{\"a\":1,\"b\":2}", "{\"b\":null}", "{\"a\":1}"},
		{"{\"a\":1}", "{\"b\":null}", NULL},
		{"{\"a\":{\"b\":1}}", "{\"a\":{\"b\":null}}", "{\"a\":{}}"},
		{"{}", "{\"a\":{\"b\":null,\"c\":1}}", "{\"a\":{\"c\":1}}"},
		/* arrays are ours whole */
		{"{\"a\":[1,2]}", "{\"a\":[1,2]}", NULL},
		{"{\"a\":[1,2]}", "{\"a\":[1]}", "{\"a\":[1]}"},
		{"{\"a\":[1]}", "{\"a\":[]}", "{\"a\":[]}"},
		{"{}", "{\"a\":[]}", "{\"a\":[]}"},
		{"{\"a\":[2,1]}", "{\"a\":[1,2]}", "{\"a\":[1,2]}"},
		/* defaults of the server inside elements make no difference */
		{"{\"ports\":[{\"name\":\"https\",\"port\":443,\"targetPort\":443}]}",
			"{\"ports\":[{\"name\":\"https\",\"port\":443}]}", NULL},
		{"{\"ports\":[{\"name\":\"https\",\"port\":444,\"targetPort\":443}]}",
			"{\"ports\":[{\"name\":\"https\",\"port\":443}]}",
			"{\"ports\":[{\"name\":\"https\",\"port\":443}]}"},
		/* but somebody's lists and objects do */
		{"{\"rules\":[{\"verbs\":[\"get\"],\"resourceNames\":[\"x\"]}]}", "{\"rules\":[{\"verbs\":[\"get\"]}]}",
			"{\"rules\":[{\"verbs\":[\"get\"]}]}"},
		{"{\"s\":[{\"addresses\":[{\"ip\":\"1\"}],\"notReadyAddresses\":[{\"ip\":\"2\"}]}]}",
			"{\"s\":[{\"addresses\":[{\"ip\":\"1\"}]}]}", "{\"s\":[{\"addresses\":[{\"ip\":\"1\"}]}]}"},
		/* an element's null means absent */
		{"{\"a\":[{\"b\":1,\"c\":2}]}", "{\"a\":[{\"b\":1,\"c\":null}]}", "{\"a\":[{\"b\":1,\"c\":null}]}"},
		{"{\"a\":[{\"b\":1}]}", "{\"a\":[{\"b\":1,\"c\":null}]}", NULL},
		{"{\"a\":[[{\"b\":1,\"d\":5}]]}", "{\"a\":[[{\"b\":1}]]}", NULL},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		json_t *live = json_loads(rows[i].live, 0, NULL), *ours = json_loads(rows[i].ours, 0, NULL);
		json_t *before = json_deep_copy(live), *merged = NULL;
		assert_int_equal(kube_merge(live, ours, &merged), 0);
		assert_true(json_equal(live, before));
		if (rows[i].merged) {
			char *text = merged ? json_dumps(merged, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
			if (!text || strcmp(text, rows[i].merged) != 0)
				fail_msg("row %zu: %s, expected %s", i, text ? text : "nothing", rows[i].merged);
			free(text);
		} else if (merged) {
			fail_msg("row %zu: a change where none is", i);
		}
		json_decref(live);
		json_decref(ours);
		json_decref(before);
		json_decref(merged);
	}
}

static void test_merge_refused(void **state)
{
	json_t *object = json_object(), *array = json_array(), *merged = NULL, *deep = json_object();

	assert_int_equal(kube_merge(array, object, &merged), -EINVAL);
	assert_int_equal(kube_merge(object, array, &merged), -EINVAL);
	for (int i = 0; i < 100; i++)
		deep = json_pack("{s:o}", "a", deep);
	assert_int_equal(kube_merge(object, deep, &merged), -EINVAL);
	assert_null(merged);
	json_decref(object);
	json_decref(array);
	json_decref(deep);
}

static void test_path(void **state)
{
	static const struct {
		const char *object, *resource;
		bool collection;
		const char *path;
	} rows[] = {
		{"{\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\",\"namespace\":\"kube-system\"}}", "services",
			false, "/api/v1/namespaces/kube-system/services/x"},
		{"{\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\",\"namespace\":\"kube-system\"}}", "services",
			true, "/api/v1/namespaces/kube-system/services"},
		{"{\"apiVersion\":\"apiregistration.k8s.io/v1\",\"metadata\":{\"name\":\"v1beta1.metrics.k8s.io\"}}",
			"apiservices", false, "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"},
		{"{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"metadata\":{\"name\":\"system:x/y\"}}",
			"clusterroles", false, "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Ax%2Fy"},
		{"{\"apiVersion\":\"v1\",\"metadata\":{}}", "nodes", true, "/api/v1/nodes"},
		{"{\"apiVersion\":\"v1\",\"metadata\":{}}", "nodes", false, NULL},
		{"{\"metadata\":{\"name\":\"x\"}}", "nodes", false, NULL},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		json_t *object = json_loads(rows[i].object, 0, NULL);
		char *path = kube_object_path(object, rows[i].resource, rows[i].collection);
		if (rows[i].path)
			assert_string_equal(path, rows[i].path);
		else
			assert_null(path);
		free(path);
		json_decref(object);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_merge_refused),
		cmocka_unit_test(test_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
