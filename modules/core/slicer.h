/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON slicer: eats a stream in pieces of any size and hands out one element at a time, so that a 10,000-pod list
 * never stands in memory whole. Two shapes:
 *
 * - KM_SLICE_LIST: one object; each element of its top-level "items" array (objects or arrays) is handed out, and
 *   what is left of the object (with "items" shortened to []) is available as the envelope at the end (kind,
 *   metadata.resourceVersion, ...).
 * - KM_SLICE_DOCS: any number of objects one after the other (a watch stream); each is handed out whole.
 *
 * It checks structure (strings, escapes, nesting to 128 levels) well enough to cut safely; the pieces are parsed by
 * jansson afterwards. What it hands out and answers does not depend on how the stream was split.
 */
#pragma once

#include "core/buf.h"
#include "core/err.h"

enum km_slice_shape { KM_SLICE_LIST, KM_SLICE_DOCS };

/* One element: the bytes are borrowed during the call (NUL-terminated beyond len). Non-zero stops the slicer with that
 * code. */
typedef int (*km_slice_fn)(const char *json, size_t len, void *arg);

struct km_slicer;

/* max_item: largest element in bytes; max_envelope: largest rest (LIST). */
int km_slicer_new(enum km_slice_shape shape, size_t max_item, size_t max_envelope, km_slice_fn fn, void *arg,
	struct km_slicer **ret) _must_check_;
void km_slicer_free(struct km_slicer *s); /* NULL is fine; not from inside fn */

/* 0, or -EBADMSG (not JSON of that shape), -EMSGSIZE (an element or the envelope too large), or what fn returned.
 * Sticky. */
int km_slicer_feed(struct km_slicer *s, const char *bytes, size_t n, struct km_err *err) _must_check_;
/* End of input: -EBADMSG when it ends inside a value (a truncated stream). LIST without "items", or
 * with null there, counts as an empty list. */
int km_slicer_finish(struct km_slicer *s, struct km_err *err) _must_check_;
/* LIST, after a successful finish: the envelope; borrowed until km_slicer_free. */
const char *km_slicer_envelope(const struct km_slicer *s, size_t *ret_len);
