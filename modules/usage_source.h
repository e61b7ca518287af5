/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the HPA controller gets the usage of pods from. The aggregator is one such source, in process; the served
 * metrics.k8s.io API of another metrics server is another. cmd/run.c joins them.
 */
#pragma once

#include "core/base.h"

struct kube_pod;

struct km_container_usage {
	const char *name;       /* borrowed until the loop's next turn */
	uint64_t cpu_nanocores; /* average over the window */
	uint64_t memory_bytes;
};

struct km_pod_usage {
	int64_t time_ns, window_ns;                  /* end of the window (wall clock) and its length */
	const struct km_container_usage *containers; /* borrowed until the next call */
	size_t n_containers;
};

struct km_usage_source {
	/* The pod's usage: 0, or -ENOENT when there is no usable figure (spec metrics-api 3). */
	int (*pod)(const struct kube_pod *pod, void *arg, struct km_pod_usage *ret);
	/* Whether the source has figures at all; false with why in text. */
	bool (*ready)(void *arg, const char **ret_why);
	/* fn(node name, arg) after samples of a node have landed; one listener (the HPA module). */
	void (*listen)(void (*fn)(const char *node, void *arg), void *fn_arg, void *arg);
	void *arg;
};
