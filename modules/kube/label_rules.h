/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What label keys and values may be, with the texts of k8s.io/apimachinery/pkg/api/validate/content (Kubernetes 1.36:
 * IsLabelKey, IsLabelValue). Pure.
 */
#pragma once

#include "core/buf.h"

/* Whether the key is valid: [DNS subdomain of up to 253 bytes "/"] name of up to 63 bytes. What is wrong is appended to
 * why (which may be NULL), joined by "; ". */
bool kube_label_key_valid(const char *key, struct km_buf *why);
/* The same for a value: empty, or a name of up to 63 bytes. */
bool kube_label_value_valid(const char *value, struct km_buf *why);
/* Appends s as Go's %q prints it; everything above U+009F that is valid UTF-8 counts as printable. */
void kube_add_quoted(struct km_buf *out, const char *s);
