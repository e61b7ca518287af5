/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pod requests of one resource, as utilization counts it (Kubernetes 1.36 calculateRequests; spec hpa 2.6).
 */
#pragma once

#include "hpa/calc.h"

/* Whether a pod-level request of this resource rules over those of the containers: cpu, memory, hugepages-*. */
bool hpa_resource_is_pod_level(const char *resource);

/*
 * The request of one pod, or of its one container when container is not "". Plain: the sum over containers and
 * sidecars, each of which must have a request. With pod-level requests and no container: what the scheduler counts,
 * i.e. the pod-level request, else the larger of running and starting up, and the overhead. 0, or -ENODATA with
 * upstream's own text. Sums wrap.
 */
int hpa_pod_request(const struct hpa_pod *pod, const char *resource, const char *container, int64_t *ret_milli,
	struct km_err *err) _must_check_;
