/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes quantities ("250m", "64Mi", "1e3"): reading, and printing in apimachinery's canonical form
 * (k8s.io/apimachinery/pkg/api/resource, 1.36; spec metrics-api 3c). Pure and exact: the one function that gives a
 * double gives the same one as upstream's AsApproximateFloat64.
 */
#pragma once

#include "core/base.h"

#define KM_QUANTITY_TEXT_MAX 48 /* room for the longest text printed, with the NUL */

__extension__ typedef unsigned __int128 km_u128;

enum km_quantity_format {
	KM_QUANTITY_DECIMAL_SI,       /* 12M */
	KM_QUANTITY_BINARY_SI,        /* 12Mi */
	KM_QUANTITY_DECIMAL_EXPONENT, /* 12e6 */
};

/* mantissa * 10^scale. The pair is kept as upstream would have it, because its double is made from it. */
struct km_quantity {
	km_u128 mantissa; /* < 10^36 */
	int scale;
	bool negative;
	enum km_quantity_format format;
};

/*
 * Reads a quantity. What is finer than 10^-9 is rounded away from zero, a binary one is capped at 2^63-1, as upstream
 * does. -EINVAL: not a quantity (sign, digits with one point, then one of n u m k M G T P E Ki Mi Gi Ti Pi Ei, or e/E
 * and an exponent). -ERANGE: needs more than 36 digits, or is 10^1000 or more.
 */
int km_quantity_parse(const char *text, size_t len, struct km_quantity *ret) _must_check_;

/* The quantity times 1000, rounded away from zero (MilliValue); saturated at INT64_MIN/MAX, where upstream wraps. */
int64_t km_quantity_milli(const struct km_quantity *q);
/* mantissa times a power of ten (AsApproximateFloat64): 300m gives 300 * 0.001. */
double km_quantity_float(const struct km_quantity *q);
/* Canonical text. Returns the length. */
size_t km_quantity_format(const struct km_quantity *q, char out[KM_QUANTITY_TEXT_MAX]);

struct km_quantity km_quantity_of_milli(int64_t milli, enum km_quantity_format format);

/* Both at once; what km_quantity_parse finds out of range is saturated here. 0 or -EINVAL. */
int km_quantity_parse_milli(const char *text, size_t len, int64_t *ret_milli) _must_check_;

/*
 * The two that every reply is full of. Values of 2^63 and more lose their last decimal digit, as in metrics-server.
 * Canonical DecimalSI of nanocores: "12345678n", "12345u", "5m", "1", "0". Returns the length.
 */
size_t km_quantity_format_cpu(uint64_t nanocores, char out[KM_QUANTITY_TEXT_MAX]);
/* Canonical BinarySI of bytes: "12240Ki", "15Mi", "12533761"; below 1024 DecimalSI ("1k" for 1000). Returns the length.
 */
size_t km_quantity_format_memory(uint64_t bytes, char out[KM_QUANTITY_TEXT_MAX]);
