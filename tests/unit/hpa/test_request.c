/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of one pod: the rows that upstream's recorded answers (tests/vectors) do not have. */
#include "hpa/request.h"

#include <errno.h>

#include "tests/unit/support/check.h"

struct row {
	const char *name, *resource, *container;
	struct hpa_container containers[4];
	struct hpa_pod pod;
	const char *error; /* NULL: request_milli is the answer */
	int64_t request_milli;
};

static const struct row rows[] = {
	{.name = "a pod-level request that does not rule leaves the containers' sum",
		.resource = "example.com/slots",
		.containers = {{"app", 2000, true, KUBE_CONTAINER}},
		.pod = {.n_containers = 1, .pod_level = true, .has_pod_request = true, .pod_request_milli = 9000},
		.request_milli = 2000},
	{.name = "the pod-level request rules, below the containers' sum too",
		.resource = "hugepages-2Mi",
		.containers = {{"app", 2000, true, KUBE_CONTAINER}},
		.pod = {.n_containers = 1, .pod_level = true, .has_pod_request = true, .pod_request_milli = 1000},
		.request_milli = 1000},
	{.name = "overhead alone is a request",
		.resource = "cpu",
		.containers = {{"app", 0, false, KUBE_CONTAINER}},
		.pod = {.n_containers = 1, .pod_level = true, .has_overhead = true, .overhead_milli = 70},
		.request_milli = 70},
	{.name = "overhead is not counted without pod-level requests",
		.resource = "cpu",
		.containers = {{"app", 300, true, KUBE_CONTAINER}},
		.pod = {.n_containers = 1, .has_overhead = true, .overhead_milli = 70},
		.request_milli = 300},
	{.name = "an init container starts beside the sidecars before it, not those after it",
		.resource = "memory",
		.containers = {{"app", 100, true, KUBE_CONTAINER}, {"mesh", 50, true, KUBE_SIDECAR},
			{"setup", 400, true, KUBE_INIT}, {"log", 20, true, KUBE_SIDECAR}},
		.pod = {.n_containers = 4, .pod_level = true},
		.request_milli = 450},
	{.name = "an init container's request is enough where no other has one",
		.resource = "memory",
		.containers = {{"app", 0, false, KUBE_CONTAINER}, {"setup", 400, true, KUBE_INIT}},
		.pod = {.n_containers = 2, .pod_level = true},
		.request_milli = 400},
	{.name = "nobody has a request",
		.resource = "memory",
		.containers = {{"app", 0, false, KUBE_CONTAINER}},
		.pod = {.n_containers = 1, .pod_level = true},
		.error = "missing pod-level request for memory in Pod web"},
	{.name = "one container is asked for: pod level does not rule",
		.resource = "cpu",
		.container = "mesh",
		.containers = {{"app", 100, true, KUBE_CONTAINER}, {"mesh", 50, true, KUBE_SIDECAR}},
		.pod = {.n_containers = 2, .pod_level = true, .has_pod_request = true, .pod_request_milli = 1000},
		.request_milli = 50},
	{.name = "an init container cannot be asked for",
		.resource = "cpu",
		.container = "setup",
		.containers = {{"app", 100, true, KUBE_CONTAINER}, {"setup", 400, true, KUBE_INIT}},
		.pod = {.n_containers = 2},
		.error = "container setup not found in Pod web"},
	{.name = "one container without a request, the other is not looked at",
		.resource = "cpu",
		.container = "mesh",
		.containers = {{"app", 100, true, KUBE_CONTAINER}, {"mesh", 0, false, KUBE_SIDECAR}},
		.pod = {.n_containers = 2},
		.error = "missing request for cpu in container mesh of Pod web"},
	{.name = "no containers at all", .resource = "cpu", .request_milli = 0},
	{.name = "sums wrap",
		.resource = "memory",
		.containers = {{"app", INT64_MAX, true, KUBE_CONTAINER}, {"mesh", 1, true, KUBE_SIDECAR}},
		.pod = {.n_containers = 2},
		.request_milli = INT64_MIN},
};

static void requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		struct hpa_pod pod = row->pod;
		int64_t got = -77;
		struct km_err err = {""};
		int r;

		pod.name = "web";
		pod.containers = row->containers;
		r = hpa_pod_request(&pod, row->resource, row->container ? row->container : "", &got, &err);
		if (row->error) {
			if (r != -ENODATA || strcmp(err.text, row->error) != 0 || got != -77)
				fail_msg("%s: %d \"%s\"", row->name, r, err.text);
		} else if (r != 0 || got != row->request_milli) {
			fail_msg("%s: %d \"%s\", %lld", row->name, r, err.text, (long long)got);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
