/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a kube-controller-manager on this host runs the in-tree HPA controller, by its --controllers flag.
 */
#pragma once

enum wiring_in_tree {
	WIRING_IN_TREE_NOT_HERE, /* no kube-controller-manager runs here */
	WIRING_IN_TREE_OFF,
	WIRING_IN_TREE_ON,
};

/* proc: "/proc", or a folder made by a test. What cannot be read counts as not being here. */
enum wiring_in_tree wiring_in_tree_hpa(const char *proc);
/* By the flag's value (NULL: not given, so "*"); both names of the controller are understood (spec hpa 1.1), the first
 * match wins as in Kubernetes. */
enum wiring_in_tree wiring_in_tree_of_flag(const char *controllers);
