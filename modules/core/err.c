/* SPDX-License-Identifier: Apache-2.0 */
#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int km_fail(struct km_err *err, int code, const char *fmt, ...)
{
	if (err) {
		va_list ap;

		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
	}
	return code;
}

void km_err_prefix(struct km_err *err, const char *fmt, ...)
{
	char prefix[KM_ERR_TEXT_MAX], rest[KM_ERR_TEXT_MAX];
	va_list ap;
	size_t n;

	if (!err)
		return;
	va_start(ap, fmt);
	vsnprintf(prefix, sizeof(prefix), fmt, ap);
	va_end(ap);
	memcpy(rest, err->text, sizeof(rest));
	n = strlen(prefix);
	memcpy(err->text, prefix, n);
	snprintf(err->text + n, sizeof(err->text) - n, ": %s", rest);
}
