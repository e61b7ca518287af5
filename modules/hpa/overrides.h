/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an HPA's own annotations change for it alone, where autoscaling/v2 has no member for it or the server is too old
 * to have one (docs/hpa.md has the table). Pure.
 */
#pragma once

#include <jansson.h>

#include "core/err.h"

#define HPA_ANNOTATION_PREFIX "hpa.kmetricsd.io/"

struct hpa_overrides {
	double tolerance;                                  /* both ways; < 0: not given */
	int64_t cpu_initialization_ns, readiness_delay_ns; /* < 0: not given */
	int64_t hold_value_ns; /* how long a metric that fails counts with what it last proposed; 0: not at all */
	bool hold_replicas;    /* nothing is scaled while any metric fails */
	bool shared_pods;      /* pods that other HPAs select as well are no reason to stop */
	char container[64];    /* Resource metrics are of this container alone; "": of the whole pod */
};

/*
 * From an HPA object. What is invalid is as if it was not there, and err names all of it with the remedy: -EINVAL, with
 * *ret usable all the same.
 */
int hpa_overrides_decode(json_t *object, struct hpa_overrides *ret, struct km_err *err) _must_check_;
/* Whether two objects have the same annotations of ours. */
bool hpa_overrides_same(json_t *a, json_t *b);
