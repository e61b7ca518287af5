/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the unit tests share: cmocka with its prerequisites, and a few checks with readable messages.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

/* err's text must contain what an operator needs. */
#define assert_mentions(err, needle)                                                       \
	do {                                                                               \
		if (!strstr((err)->text, (needle)))                                        \
			fail_msg("\"%s\" does not mention \"%s\"", (err)->text, (needle)); \
	} while (0)
