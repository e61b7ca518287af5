/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the API server said of a failed request, as upstream's errors read: the Status message alone, without method and
 * path in front.
 */
#pragma once

#include "kube/client.h"

#define HPA_API_MESSAGE_MAX 1024

/* The message, or the result's own text where there is none; buf holds it where it must be copied. */
const char *hpa_api_message(const struct kube_result *result, char buf[HPA_API_MESSAGE_MAX]);
