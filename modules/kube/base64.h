/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standard base64 as Kubernetes writes it, read strictly. Pure.
 */
#pragma once

#include "core/buf.h"

/*
 * Decodes: the standard alphabet, padded, nothing behind the padding, unused bits zero; line breaks (CR, LF) are
 * skipped, as Go does. *ret is malloc'ed and NUL-terminated beyond *ret_len. -EINVAL (malformed), -EMSGSIZE (more than
 * max bytes), -ENOMEM.
 */
int kube_base64_decode(const char *text, size_t len, size_t max, char **ret, size_t *ret_len) _must_check_;
void kube_base64_encode(const void *bytes, size_t len, struct km_buf *out);
