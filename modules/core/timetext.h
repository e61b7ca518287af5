/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time as text: Go durations ("15s", "5m0s", "1.5h") and RFC 3339. Pure.
 */
#pragma once

#include "core/base.h"

/* Room for the longest text of each kind, with the NUL. */
#define KM_DURATION_TEXT_MAX 40
#define KM_RFC3339_TEXT_MAX  40

/*
 * Reads a Go duration (units h m s ms us µs ns, decimals, a sequence of them, optional sign; "0" alone is allowed) as
 * Go's time.ParseDuration does. Returns 0 and nanoseconds, or -EINVAL (malformed), -ERANGE (beyond int64).
 */
int km_duration_parse(const char *text, size_t len, int64_t *ret_ns) _must_check_;

/* Prints as Go's time.Duration.String: "0s", "15s", "1m0.5s", "5m0s", "14.992s", "1.5ms". Returns the length. */
size_t km_duration_format(int64_t ns, char out[KM_DURATION_TEXT_MAX]);

/*
 * Reads RFC 3339 ("2026-11-23T05:20:36Z", with up to nine fractional digits and any numeric offset).
 * Returns 0 and ns since 1970; -EINVAL when malformed; -ERANGE when outside what int64 ns can hold.
 */
int km_rfc3339_parse(const char *text, size_t len, int64_t *ret_ns) _must_check_;

/* Prints UTC in whole seconds, truncated towards the past: "2026-11-23T05:20:36Z". Returns the length. */
size_t km_rfc3339_format(int64_t ns, char out[KM_RFC3339_TEXT_MAX]);
/* The same with six fractional digits (metav1.MicroTime, for leases). */
size_t km_rfc3339_format_micro(int64_t ns, char out[KM_RFC3339_TEXT_MAX]);
