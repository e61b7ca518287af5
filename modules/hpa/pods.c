/* SPDX-License-Identifier: Apache-2.0 */
#include "hpa/pods.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"

#define NANO_PER_MILLI UINT64_C(1000000)

enum resource { CPU, MEMORY, OTHER };

void hpa_pods_clear(struct hpa_pods *p)
{
	free(p->pods);
	free(p->containers);
	free(p->metrics);
	free(p->full);
	free(p->nodes);
	*p = (struct hpa_pods){0};
}

/* Room for one more element at items[n]. */
static int make_room(void *items, size_t n, size_t size, size_t *capacity)
{
	size_t wanted = KM_MAX(*capacity * 2, (size_t)64);
	void *grown, *old;

	if (n < *capacity)
		return 0;
	memcpy(&old, items, sizeof(old));
	if (!(grown = reallocarray(old, wanted, size)))
		return -ENOMEM;
	memcpy(items, &grown, sizeof(grown));
	*capacity = wanted;
	return 0;
}

static int64_t seconds_to_ns(int64_t s)
{
	return s == INT64_MIN ? HPA_TIME_NONE : s * KM_NSEC_PER_SEC;
}

static int add_containers(struct hpa_pods *p, const struct kube_pod *pod, enum resource resource)
{
	for (size_t i = 0; i < pod->n_containers; i++) {
		const struct kube_container *c = &pod->containers[i];
		int64_t request = resource == CPU      ? c->cpu_request_milli
				  : resource == MEMORY ? c->memory_request_milli
						       : -1;

		if (make_room(&p->containers, p->n_containers, sizeof(*p->containers), &p->containers_capacity) < 0)
			return -ENOMEM;
		p->containers[p->n_containers++] = (struct hpa_container){
			.name = c->name, .request_milli = request, .has_request = request >= 0, .kind = c->kind};
	}
	return 0;
}

static int add_pod(struct hpa_pods *p, const struct kube_pod *pod, enum resource resource)
{
	int64_t request = resource == CPU      ? pod->cpu_pod_request_milli
			  : resource == MEMORY ? pod->memory_pod_request_milli
					       : -1;
	int64_t overhead = resource == CPU      ? pod->cpu_overhead_milli
			   : resource == MEMORY ? pod->memory_overhead_milli
						: 0;

	if (make_room(&p->pods, p->n_pods, sizeof(*p->pods), &p->pods_capacity) < 0 ||
		make_room(&p->nodes, p->n_pods, sizeof(*p->nodes), &p->nodes_capacity) < 0)
		return -ENOMEM;
	p->nodes[p->n_pods] = pod->node;
	p->pods[p->n_pods++] = (struct hpa_pod){
		.name = pod->name,
		.phase = pod->phase,
		.deleting = pod->deleted_s != INT64_MIN,
		.started_ns = seconds_to_ns(pod->started_s),
		.ready = pod->ready.status,
		.ready_since_ns = seconds_to_ns(pod->ready.since_s),
		.n_containers = pod->n_containers,
		.pod_level = pod->cpu_pod_request_milli >= 0 || pod->memory_pod_request_milli >= 0,
		.has_pod_request = request >= 0,
		.pod_request_milli = request,
		.has_overhead = overhead != 0,
		.overhead_milli = overhead,
	};
	return add_containers(p, pod, resource);
}

static int64_t cpu_milli(uint64_t nanocores)
{
	return (int64_t)(nanocores / NANO_PER_MILLI + (nanocores % NANO_PER_MILLI != 0));
}

static int64_t memory_milli(uint64_t bytes)
{
	return bytes > INT64_MAX / 1000 ? INT64_MAX : (int64_t)bytes * 1000;
}

/* Over the newest window and over the long one; memory has no window. */
struct value {
	uint64_t milli, full_milli;
};

/* Of the whole pod, or of one container; false: it is missing. */
static bool value_of(const struct km_pod_usage *usage, enum resource resource, const char *container, struct value *ret)
{
	bool found = false;

	*ret = (struct value){0};
	for (size_t i = 0; i < usage->n_containers; i++) {
		const struct km_container_usage *c = &usage->containers[i];
		bool cpu = resource == CPU;

		if (*container && strcmp(c->name, container) != 0)
			continue;
		ret->milli += (uint64_t)(cpu ? cpu_milli(c->cpu_nanocores) : memory_milli(c->memory_bytes));
		ret->full_milli += (uint64_t)(cpu ? cpu_milli(c->cpu_full_nanocores) : memory_milli(c->memory_bytes));
		found = true;
	}
	return found;
}

static int add_metric(struct hpa_pods *p, const struct kube_pod *pod, enum resource resource, const char *container,
	const struct km_usage_source *source)
{
	size_t full_capacity = p->metrics_capacity;
	struct km_pod_usage usage;
	struct value value;

	if (resource == OTHER || source->pod(pod, source->arg, &usage) < 0 ||
		!value_of(&usage, resource, container, &value))
		return 0;
	if (make_room(&p->full, p->n_metrics, sizeof(*p->full), &full_capacity) < 0 ||
		make_room(&p->metrics, p->n_metrics, sizeof(*p->metrics), &p->metrics_capacity) < 0)
		return -ENOMEM;
	p->metrics[p->n_metrics] = (struct hpa_pod_metric){.pod = pod->name,
		.value_milli = (int64_t)value.milli,
		.time_ns = usage.time_ns,
		.window_ns = usage.window_ns};
	p->full[p->n_metrics] = p->metrics[p->n_metrics];
	p->full[p->n_metrics++].value_milli = (int64_t)value.full_milli;
	return 0;
}

int hpa_pods_collect(struct hpa_pods *p, const struct kube_pod *const *pods, size_t n,
	const struct kube_selector *selector, const char *name, const char *container,
	const struct km_usage_source *usage, hpa_is_foreign_fn is_foreign, void *arg)
{
	enum resource resource = strcmp(name, "cpu") == 0 ? CPU : strcmp(name, "memory") == 0 ? MEMORY : OTHER;
	const struct kube_labels *last = NULL;
	const struct hpa_container *next;
	bool matches = false;

	p->n_pods = p->n_containers = p->n_metrics = 0;
	for (size_t i = 0; i < n; i++) {
		/* label sets are shared, and a workload's pods stand together */
		if (pods[i]->labels != last)
			matches = kube_selector_matches(selector, pods[i]->labels);
		last = pods[i]->labels;
		if (!matches)
			continue;
		if (add_pod(p, pods[i], resource) < 0 || add_metric(p, pods[i], resource, container, usage) < 0)
			return -ENOMEM;
		p->pods[p->n_pods - 1].foreign = is_foreign && is_foreign(pods[i], arg);
	}
	next = p->containers;
	for (size_t i = 0; i < p->n_pods; i++) {
		p->pods[i].containers = next;
		next += p->pods[i].n_containers;
	}
	return 0;
}
