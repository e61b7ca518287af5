/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the HPA controller gets the usage of pods from: the aggregator, in process. cmd/run.c joins the two.
 */
#pragma once

#include "core/base.h"

struct kube_pod;

struct km_container_usage {
	const char *name;
	uint64_t cpu_nanocores;      /* average over the window */
	uint64_t cpu_full_nanocores; /* over at least metric-resolution; the same where nothing is known over so long */
	uint64_t memory_bytes;       /* working set */
};

/* Everything borrowed until the next call, or the loop's next turn. */
struct km_pod_usage {
	int64_t time_ns, window_ns; /* end of the window (wall clock), and its length: of the container whose sample is
				       the oldest, as metrics.k8s.io tells it */
	const struct km_container_usage *containers;
	size_t n_containers;
};

struct km_usage_source {
	/* The same figures as metrics.k8s.io serves at this moment: 0, or -ENOENT when there are none of this pod. */
	int (*pod)(const struct kube_pod *pod, void *arg, struct km_pod_usage *ret);
	/* Whether there are figures at all yet; false: *ret_why (static) says why not. */
	bool (*ready)(void *arg, const char **ret_why);
	/* Who is told, in the loop, when new samples of a node's pods have landed (node: interned in the cluster's
	 * interner); fn NULL: nobody any more. There is one listener. */
	void (*listen)(void (*fn)(const char *node, void *arg), void *fn_arg, void *arg);
	void *arg;
};
