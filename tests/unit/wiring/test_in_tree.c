/* SPDX-License-Identifier: Apache-2.0 */
/* --controllers of kube-controller-manager, and a process that carries it. */
#include "wiring/in_tree.h"

#include "../support/check.h"
#include "core/base.h"

static void test_flag(void **state)
{
	static const struct {
		const char *flag;
		enum wiring_in_tree want;
	} rows[] = {
		{NULL, WIRING_IN_TREE_ON},
		{"*", WIRING_IN_TREE_ON},
		{"*,-horizontalpodautoscaling", WIRING_IN_TREE_OFF},
		{"*,-horizontal-pod-autoscaler-controller", WIRING_IN_TREE_OFF},
		{"-horizontalpodautoscaling,*", WIRING_IN_TREE_OFF},
		{"*,-horizontalpodautoscalin", WIRING_IN_TREE_ON},
		{"*,-horizontalpodautoscaling2", WIRING_IN_TREE_ON},
		{"*,bootstrapsigner,tokencleaner", WIRING_IN_TREE_ON},
		{"deployment,replicaset", WIRING_IN_TREE_OFF},
		{"deployment,horizontalpodautoscaling", WIRING_IN_TREE_ON},
		/* Kubernetes takes the first that matches */
		{"horizontalpodautoscaling,-horizontalpodautoscaling", WIRING_IN_TREE_ON},
		{"", WIRING_IN_TREE_OFF},
		{",", WIRING_IN_TREE_OFF},
		{"-", WIRING_IN_TREE_OFF},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++)
		if (wiring_in_tree_of_flag(rows[i].flag) != rows[i].want)
			fail_msg("--controllers=%s", rows[i].flag);
}

static void test_no_such_process(void **state)
{
	assert_int_equal(wiring_in_tree_hpa("/nonexistent"), WIRING_IN_TREE_NOT_HERE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flag),
		cmocka_unit_test(test_no_such_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
