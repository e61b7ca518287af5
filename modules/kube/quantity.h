/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes quantities ("250m", "64Mi", "1e3"): reading as far as requests and limits need it, printing as
 * metrics.k8s.io does (apimachinery's canonical form, spec metrics-api 3c). Pure, exact: no floating point.
 */
#pragma once

#include "core/base.h"

#define KM_QUANTITY_TEXT_MAX 40

/*
 * Reads a quantity; gives it times 1000, rounded away from zero (apimachinery's MilliValue), saturated at INT64_MIN/MAX
 * where apimachinery would overflow. -EINVAL: not a quantity (sign, digits with one point, then one of n u m k M G T P
 * E Ki Mi Gi Ti Pi Ei, or e/E and an exponent).
 */
int km_quantity_parse_milli(const char *text, size_t len, int64_t *ret_milli) _must_check_;

/* Canonical DecimalSI of nanocores: "12345678n", "12345u", "5m", "1", "0". Returns the length. */
size_t km_quantity_format_cpu(uint64_t nanocores, char out[KM_QUANTITY_TEXT_MAX]);
/* Canonical BinarySI of bytes: "12240Ki", "15Mi", "12533761"; below 1024 DecimalSI ("1k" for 1000). Returns the length.
 */
size_t km_quantity_format_memory(uint64_t bytes, char out[KM_QUANTITY_TEXT_MAX]);
