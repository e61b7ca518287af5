/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replica calculator for metrics that are one value for the whole target: of an object, or external (Kubernetes
 * 1.36 replica_calculator.go; spec hpa 2.8, 2.9). Pure, like calc.h.
 */
#pragma once

#include "hpa/calc.h"

/*
 * Value (GetObjectMetricReplicas, GetExternalMetricReplicas): usage against target, both in thousandths, in relation to
 * the ready pods of in; from zero replicas to as many times the target as there is usage. 0, or -ENODATA with
 * upstream's text: no pods. Of in: pods (any order), replicas (scale.spec.replicas), tolerance.
 */
int hpa_calc_value(const struct hpa_calc *in, int64_t usage_milli, int64_t target_milli, struct hpa_proposal *ret,
	struct km_err *err) _must_check_;

/*
 * AverageValue: usage shared by the pods. status_replicas: scale.status.replicas, which upstream judges by; fixed goes
 * by in->replicas. The value for the status is the share; without replicas it is INT64_MIN, as upstream's, or with
 * fixed the whole usage. An object's replicas wrap (GetObjectPerPodMetricReplicas) unless fixed; external ones stop at
 * INT32_MAX, and so does their value at INT64_MAX (GetExternalPerPodMetricReplicas). Of in: replicas, tolerance, fixed.
 */
struct hpa_proposal hpa_calc_object_share(
	const struct hpa_calc *in, int32_t status_replicas, int64_t usage_milli, int64_t target_milli);
struct hpa_proposal hpa_calc_external_share(
	const struct hpa_calc *in, int32_t status_replicas, int64_t usage_milli, int64_t target_milli);

/*
 * The sum of an external metric's values. A sum beyond INT64_MAX stays there. shared: as upstream adds them for
 * AverageValue, where any negative sum on the way counts as one that was too large ([BUG] of spec 2.9).
 */
int64_t hpa_sum_external(const int64_t *values_milli, size_t n, bool shared);
