/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of pods: see request.h. */
#include "hpa/request.h"

#include <errno.h>
#include <string.h>

#include "hpa/arith.h"

/* An amount that may be absent, which is not the same as 0. */
struct amount {
	bool present;
	int64_t milli;
};

static void amount_add(struct amount *sum, struct amount other)
{
	if (!other.present)
		return;
	sum->present = true;
	sum->milli = hpa_add64(sum->milli, other.milli);
}

static void amount_max(struct amount *most, struct amount other)
{
	if (other.present && (!most->present || other.milli > most->milli))
		*most = other;
}

bool hpa_resource_is_pod_level(const char *resource)
{
	return strcmp(resource, "cpu") == 0 || strcmp(resource, "memory") == 0 ||
	       strncmp(resource, "hugepages-", strlen("hugepages-")) == 0;
}

/* The scheduler's view: while it runs a pod has its containers and sidecars; while it starts, one init container and
 * the sidecars before it (component-helpers AggregateContainerRequests). */
static struct amount aggregate(const struct hpa_pod *pod)
{
	struct amount running = {0}, sidecars = {0}, starting = {0};

	for (size_t i = 0; i < pod->n_containers; i++) {
		const struct hpa_container *c = &pod->containers[i];
		struct amount own = {c->has_request, c->has_request ? c->request_milli : 0};

		if (c->kind != KUBE_INIT)
			amount_add(&running, own);
		if (c->kind == KUBE_CONTAINER)
			continue;
		if (c->kind == KUBE_SIDECAR) {
			amount_add(&sidecars, own);
			own = sidecars;
		} else {
			amount_add(&own, sidecars);
		}
		amount_max(&starting, own);
	}
	amount_max(&running, starting);
	return running;
}

static int pod_level_request(const struct hpa_pod *pod, const char *resource, int64_t *ret_milli, struct km_err *err)
{
	struct amount request = aggregate(pod), overhead = {pod->has_overhead, pod->overhead_milli};

	if (pod->has_pod_request && hpa_resource_is_pod_level(resource))
		request = (struct amount){true, pod->pod_request_milli};
	amount_add(&request, overhead);
	if (!request.present)
		return km_fail(err, -ENODATA, "missing pod-level request for %s in Pod %s", resource, pod->name);
	*ret_milli = request.milli;
	return 0;
}

int hpa_pod_request(
	const struct hpa_pod *pod, const char *resource, const char *container, int64_t *ret_milli, struct km_err *err)
{
	bool whole = container[0] == '\0';
	int64_t sum = 0;

	if (pod->pod_level && whole)
		return pod_level_request(pod, resource, ret_milli, err);
	for (size_t i = 0; i < pod->n_containers; i++) {
		const struct hpa_container *c = &pod->containers[i];

		if (c->kind == KUBE_INIT || (!whole && strcmp(c->name, container) != 0))
			continue;
		if (!c->has_request)
			return km_fail(err, -ENODATA, "missing request for %s in container %s of Pod %s", resource,
				c->name, pod->name);
		if (!whole) {
			*ret_milli = c->request_milli;
			return 0;
		}
		sum = hpa_add64(sum, c->request_milli);
	}
	if (!whole)
		return km_fail(err, -ENODATA, "container %s not found in Pod %s", container, pod->name);
	*ret_milli = sum;
	return 0;
}
