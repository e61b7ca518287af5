/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The INI that says what a metrics-server's or kube-controller-manager's command line says (spec metrics-api 1, hpa
 * 1.1). Pure.
 */
#pragma once

#include "core/buf.h"
#include "core/err.h"

/*
 * words: the command line, with or without the program's name in front. Appends an INI that passes `config check`, at
 * its end a comment for each flag that is not in it, and why. Returns 0; 1 when there are flags that neither program is
 * known to have (they are among the comments); -EINVAL with what is wrong in complaints, a line each; -ENOMEM.
 */
int from_flags(char *const *words, size_t n, struct km_buf *ini, struct km_buf *complaints) _must_check_;
