/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Status objects in words. Everything in them comes from the peer: texts are cut and freed of control characters before
 * they reach a log line.
 */
#include "kube/status.h"

#include <errno.h>
#include <string.h>

#define SHOWN_BODY    200 /* characters of a body that is no Status */
#define SHOWN_MESSAGE 512

static int error_of(int status, const char *reason)
{
	switch (status) {
	case 400:
	case 422:
		return -EINVAL;
	case 401:
	case 403:
		return -EACCES;
	case 404:
		return -ENOENT;
	case 409:
		return strcmp(reason, "AlreadyExists") == 0 ? -EEXIST : -EAGAIN;
	case 410:
		return -ESTALE;
	case 429:
		return -EBUSY;
	default:
		return -EREMOTEIO;
	}
}

/* One line without control characters; a cut never leaves half a UTF-8 character. */
static void clean(char *out, size_t size, const char *in, size_t len)
{
	size_t n = KM_MIN(len, size - 1);

	if (n < len)
		while (n > 0 && ((unsigned char)in[n] & 0xc0) == 0x80)
			n--;
	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)in[i] < ' ' || in[i] == 0x7f ? ' ' : in[i];
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

static int tell(const char *title, int status, const char *message, size_t len, size_t shown, const char *reason,
	struct km_err *text)
{
	char line[SHOWN_MESSAGE + 1];

	clean(line, shown + 1, message, len);
	return km_fail(text, error_of(status, reason), "%s: %d%s%s", title, status, line[0] ? " " : "", line);
}

static int tell_status(const char *title, int status, json_t *object, int64_t *retry_after_s, struct km_err *text)
{
	json_t *after = json_object_get(json_object_get(object, "details"), "retryAfterSeconds");
	const char *message = json_string_value(json_object_get(object, "message"));
	const char *reason = json_string_value(json_object_get(object, "reason"));

	if (!reason)
		reason = "";
	if (!message)
		message = reason;
	if (*retry_after_s < 0 && json_is_integer(after) && json_integer_value(after) > 0)
		*retry_after_s = json_integer_value(after);
	return tell(title, status, message, strlen(message), SHOWN_MESSAGE, reason, text);
}

int kube_status_error(
	const char *title, int status, const char *body, size_t len, int64_t *retry_after_s, struct km_err *text)
{
	json_t *object = len <= KUBE_STATUS_MAX ? json_loadb(body, len, 0, NULL) : NULL;
	int r;

	if (json_is_object(object) && (json_object_get(object, "message") || json_object_get(object, "reason")))
		r = tell_status(title, status, object, retry_after_s, text);
	else
		r = tell(title, status, body, len, SHOWN_BODY, "", text);
	json_decref(object);
	return r;
}

int kube_status_object_error(
	const char *title, json_t *object, int *ret_code, int64_t *retry_after_s, struct km_err *text)
{
	json_t *code = json_object_get(object, "code");
	int status = 500;

	if (json_is_integer(code) && json_integer_value(code) >= 300 && json_integer_value(code) <= 599)
		status = (int)json_integer_value(code);
	*ret_code = status;
	return tell_status(title, status, object, retry_after_s, text);
}
