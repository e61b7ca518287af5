/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to kube/: what an API server says when it refuses (a Status object, or whatever stands in front of it), as an
 * errno and a text.
 */
#pragma once

#include <jansson.h>

#include "core/err.h"

#define KUBE_STATUS_MAX (64 * 1024) /* an error body beyond it is not looked at */

/*
 * The error of struct kube_result for an HTTP status >= 300, with "TITLE: STATUS message" in text. *retry_after_s is
 * filled from details.retryAfterSeconds when it is still -1. Pure.
 */
int kube_status_error(
	const char *title, int status, const char *body, size_t len, int64_t *retry_after_s, struct km_err *text);
/* The same for a Status object that came inside a stream; *ret_code is its code (500 when it has none). */
int kube_status_object_error(
	const char *title, json_t *object, int *ret_code, int64_t *retry_after_s, struct km_err *text);
