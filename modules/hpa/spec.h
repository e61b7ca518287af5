/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A HorizontalPodAutoscaler as the controller reads it, whatever API version it came in: decoding (autoscaling v2,
 * v2beta2, v2beta1; spec hpa 5), with the API server's defaults filled in where a server did not (2.11). Pure.
 */
#pragma once

#include <jansson.h>

#include "core/err.h"
#include "hpa/metric_selector.h"
#include "hpa/rate.h"

#define HPA_METRICS_MAX 64  /* of one HPA; more: refused with a text */
#define HPA_TEXT_MAX    512 /* bytes of one name in it; longer: refused with a text */

enum hpa_api_version { HPA_V2, HPA_V2BETA2, HPA_V2BETA1 }; /* what is read and written; newest served wins */

/* What a metric is; an unknown type keeps its text and fails when it is computed. */
enum hpa_metric_type {
	HPA_METRIC_RESOURCE,
	HPA_METRIC_CONTAINER_RESOURCE,
	HPA_METRIC_PODS,
	HPA_METRIC_OBJECT,
	HPA_METRIC_EXTERNAL,
	HPA_METRIC_UNKNOWN
};

struct hpa_metric {
	uint8_t type;                                               /* enum hpa_metric_type */
	const char *type_text;                                      /* "Resource", "External", ... */
	const char *name;                                           /* of the resource ("cpu") or metric */
	const char *container;                                      /* of a ContainerResource; "" otherwise */
	const char *object_api_version, *object_kind, *object_name; /* the described object; "" otherwise */
	struct hpa_metric_selector selector;                        /* of Pods, Object, External */
	/* The target. Its type is looked at for Object only, as upstream does. */
	bool is_value, is_average_value;
	bool has_value, has_average_value, has_utilization;
	int64_t value_milli, average_value_milli; /* rounded away from zero */
	int32_t utilization;                      /* percent */
};

struct hpa_spec {
	const char *target_api_version, *target_kind, *target_name; /* scaleTargetRef */
	int32_t min;                                                /* 1 where not set */
	int32_t max;
	bool has_behavior;
	struct hpa_rules up, down;
	size_t n_metrics;
	struct hpa_metric *metrics; /* in this allocation, like all strings but those of selectors */
};

/* The spec of an HPA object (the object with its "spec" member). -EINVAL with what, where and remedy in err; -ENOMEM.
 * A metric whose target names none of what its type takes, or whose selector is none, is left to fail when it is
 * computed. */
int hpa_spec_decode(json_t *object, enum hpa_api_version version, struct hpa_spec **ret, struct km_err *err)
	_must_check_;
void hpa_spec_free(struct hpa_spec *spec); /* NULL is fine */
void hpa_spec_freep(struct hpa_spec **spec);
/* "v2" etc.; version from discovery's newest ("v2" gives HPA_V2). -ENOENT for others. */
int hpa_api_version_of(const char *version, enum hpa_api_version *ret) _must_check_;
const char *hpa_api_version_name(enum hpa_api_version version);
