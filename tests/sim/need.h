/* SPDX-License-Identifier: Apache-2.0 */
/* What must work in the simulator, or it ends: it is a test's tool, and has nobody to report to but its stderr. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define NEED(x)                                                                        \
	do {                                                                           \
		if (!(x)) {                                                            \
			fprintf(stderr, "kmsim: %s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                       \
		}                                                                      \
	} while (0)
