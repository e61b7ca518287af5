/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML to and from jansson values, over libyaml: kubeconfigs come in, manifests for `kubectl apply -f -` go out.
 */
#pragma once

#include <jansson.h>

#include "core/buf.h"
#include "core/err.h"

/*
 * Parses one YAML document (JSON is YAML). Plain scalars become null, bool, int, real as in YAML 1.2's core schema,
 * others strings. Refused with line and column: anchors and aliases (nothing here needs them, and they grow without
 * bound), tags, duplicate keys, more than 64 levels, more than 1 MiB, a second document.
 */
int kube_yaml_parse(const char *text, size_t len, const char *what, json_t **ret, struct km_err *err) _must_check_;
/* Appends one document in block style ("---" is the caller's); strings that could be read as something else are quoted;
 * keys keep their order. 0 or -ENOMEM, or -EINVAL (a NUL in a string, a key of more than 256 bytes, more than 64
 * levels, the buffer's maximum). */
int kube_yaml_emit(json_t *value, struct km_buf *out) _must_check_;
/* Appends one string (valid UTF-8) as a key or value on one line, quoted where it could be read as something else. */
void kube_yaml_emit_string(const char *text, struct km_buf *out);
