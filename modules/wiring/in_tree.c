/* SPDX-License-Identifier: Apache-2.0 */
#include "wiring/in_tree.h"

#include <string.h>

#include "wiring/flags.h"

/* The newer name is known since the controllers were renamed; the older one stays as its alias. */
static const char *const names[] = {"horizontalpodautoscaling", "horizontal-pod-autoscaler-controller"};

static bool names_it(const char *item, size_t len)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(names); i++)
		if (len == strlen(names[i]) && memcmp(item, names[i], len) == 0)
			return true;
	return false;
}

enum wiring_in_tree wiring_in_tree_of_flag(const char *controllers)
{
	const char *item = controllers ? controllers : "*";
	bool all = false;

	for (;;) {
		size_t len = strcspn(item, ",");

		if (names_it(item, len))
			return WIRING_IN_TREE_ON;
		if (len > 0 && *item == '-' && names_it(item + 1, len - 1))
			return WIRING_IN_TREE_OFF;
		if (len == 1 && *item == '*')
			all = true;
		if (item[len] == '\0')
			return all ? WIRING_IN_TREE_ON : WIRING_IN_TREE_OFF;
		item += len + 1;
	}
}

enum wiring_in_tree wiring_in_tree_hpa(const char *proc)
{
	_cleanup_(wiring_flags_freep) struct wiring_flags *f = NULL;

	if (wiring_flags_find(proc, "kube-controller-manager", false, &f, NULL) < 0)
		return WIRING_IN_TREE_NOT_HERE;
	return wiring_in_tree_of_flag(wiring_flag(f, "controllers"));
}
