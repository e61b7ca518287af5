/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator must read travels in a struct km_err: an inline message, no allocation, filled by the function that
 * failed and logged (once, with the remedy) by the module that knows what it was doing. A message names what, where and
 * the remedy.
 */
#pragma once

#include "core/base.h"

#define KM_ERR_TEXT_MAX 768

struct km_err {
	char text[KM_ERR_TEXT_MAX]; /* "" while nothing failed */
};

/*
 * Writes the message into err (which may be NULL) and returns code, so that a failing function ends with
 * `return km_fail(err, -EINVAL, "...")`. A message that does not fit is cut. code is a negative errno. err->text may be
 * among the arguments.
 */
int km_fail(struct km_err *err, int code, const char *fmt, ...) _printf_(3, 4);

/* Puts "prefix: " in front of the message already in err (which may be NULL); for callers that know the where. */
void km_err_prefix(struct km_err *err, const char *fmt, ...) _printf_(2, 3);
