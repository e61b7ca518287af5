/* SPDX-License-Identifier: Apache-2.0 */
#include "hpa/api_message.h"

#include <stdio.h>

#define BODY_MAX (64 * 1024) /* a larger one is no Status */

const char *hpa_api_message(const struct kube_result *result, char buf[HPA_API_MESSAGE_MAX])
{
	const char *message;
	json_t *status;

	if (result->status < 300 || result->body_len == 0 || result->body_len > BODY_MAX)
		return result->text;
	status = json_loadb(result->body, result->body_len, 0, NULL);
	message = json_string_value(json_object_get(status, "message"));
	snprintf(buf, HPA_API_MESSAGE_MAX, "%s", message ? message : "");
	json_decref(status);
	return *buf ? buf : result->text;
}
