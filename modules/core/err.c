/* SPDX-License-Identifier: Apache-2.0 */
#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int km_fail(struct km_err *err, int code, const char *fmt, ...)
{
	if (err) {
		char text[KM_ERR_TEXT_MAX]; /* an argument may be err->text itself */
		va_list ap;

		va_start(ap, fmt);
		vsnprintf(text, sizeof(text), fmt, ap);
		va_end(ap);
		memcpy(err->text, text, strlen(text) + 1);
	}
	return code;
}

void km_err_prefix(struct km_err *err, const char *fmt, ...)
{
	char prefix[KM_ERR_TEXT_MAX];
	size_t n, rest;
	va_list ap;

	if (!err)
		return;
	va_start(ap, fmt);
	vsnprintf(prefix, sizeof(prefix), fmt, ap);
	va_end(ap);
	n = KM_MIN(strlen(prefix), sizeof(err->text) - 3);
	rest = KM_MIN(strlen(err->text), sizeof(err->text) - n - 3);
	memmove(err->text + n + 2, err->text, rest);
	memcpy(err->text, prefix, n);
	memcpy(err->text + n, ": ", 2);
	err->text[n + 2 + rest] = '\0';
}
