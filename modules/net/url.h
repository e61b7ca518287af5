/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request targets: path segments and query, percent-decoded strictly; and percent-encoding for requests of our own.
 * Pure; fuzzed.
 */
#pragma once

#include "core/base.h"
#include "core/buf.h"

#define KM_URL_TARGET_MAX   8192
#define KM_URL_SEGMENTS_MAX 16
#define KM_URL_PARAMS_MAX   32

struct km_url_param {
	const char *key, *value; /* decoded; into the km_url's storage */
};

struct km_url {
	char storage[2 * KM_URL_TARGET_MAX + 2];
	const char *path;                          /* as received, without the query, not decoded */
	const char *segments[KM_URL_SEGMENTS_MAX]; /* decoded; "" never occurs except that a trailing slash is dropped
						      and noted */
	size_t n_segments;
	bool trailing_slash;
	struct km_url_param params[KM_URL_PARAMS_MAX];
	size_t n_params;
};

/*
 * Splits an origin-form target ("/a/b%20c?x=1&y=2"). Refused with -EINVAL: not starting with '/', bad or truncated
 * %-escapes, %00 or raw control bytes or bytes >= 0x80 unescaped, a decoded segment that is "." or ".." or holds '/',
 * an empty segment inside ("//"), a fragment; with -EMSGSIZE beyond the limits.
 * '+' in the query means a space. "/" has no segments and no trailing slash.
 */
int km_url_parse(const char *target, size_t len, struct km_url *ret) _must_check_;
/* The first value of a parameter, or NULL. */
const char *km_url_param(const struct km_url *url, const char *key);
/* Appends text percent-encoded (all but unreserved characters). */
void km_url_encode(struct km_buf *out, const char *text);
