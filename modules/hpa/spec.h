/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A HorizontalPodAutoscaler as the controller reads it, whatever API version it came in: decoding (autoscaling v2,
 * v2beta2, v2beta1; spec hpa 5), with the API server's defaults filled in where a server did not (2.11). Pure.
 */
#pragma once

#include <jansson.h>

#include "core/err.h"
#include "hpa/rate.h"

#define HPA_METRICS_MAX 64  /* of one HPA; more: refused with a text */
#define HPA_TEXT_MAX    512 /* bytes of one name in it; longer: refused with a text */

enum hpa_api_version { HPA_V2, HPA_V2BETA2, HPA_V2BETA1 }; /* what is read and written; newest served wins */

/* What a metric is. Those that are not computed here keep their type's text, and fail with a text that says so. */
enum hpa_metric_type { HPA_METRIC_RESOURCE, HPA_METRIC_OTHER };

struct hpa_metric {
	uint8_t type;          /* enum hpa_metric_type */
	const char *type_text; /* "Resource", "External", ... */
	const char *resource;  /* "cpu" */
	bool has_average_value, has_utilization;
	int64_t average_value_milli; /* rounded away from zero */
	int32_t utilization;         /* percent */
};

struct hpa_spec {
	const char *target_api_version, *target_kind, *target_name; /* scaleTargetRef */
	int32_t min;                                                /* 1 where not set */
	int32_t max;
	bool has_behavior;
	struct hpa_rules up, down;
	size_t n_metrics;
	struct hpa_metric *metrics; /* in this allocation, like all strings */
};

/* The spec of an HPA object (the object with its "spec" member). -EINVAL with what, where and remedy in err; -ENOMEM.
 * One allocation: free(). A target that names none (neither average) is left to fail when it is computed. */
int hpa_spec_decode(json_t *object, enum hpa_api_version version, struct hpa_spec **ret, struct km_err *err)
	_must_check_;
/* "v2" etc.; version from discovery's newest ("v2" gives HPA_V2). -ENOENT for others. */
int hpa_api_version_of(const char *version, enum hpa_api_version *ret) _must_check_;
const char *hpa_api_version_name(enum hpa_api_version version);
