/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing beyond U+10FFFF. Pure.
 */
#pragma once

#include "core/base.h"

/* Length (1..4) of the valid sequence that starts at s, of which n >= 1 bytes may be read; 0 when there is none. */
size_t km_utf8_length(const void *s, size_t n);
