/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON writer: append-only into a km_buf, in the form Go's encoding/json gives (what Kubernetes clients see): no
 * spaces, or with pretty two-space indentation and `"key": value`; `<`, `>`, `&`, U+2028 and U+2029 escaped as
 * \u003c...; invalid UTF-8 replaced by U+FFFD (escaped as \ufffd). The caller keeps the nesting right (checked by
 * assert). Errors stick in the buffer.
 */
#pragma once

#include "core/buf.h"

#define KM_JSON_DEPTH_MAX 32

struct km_json {
	struct km_buf *out; /* borrowed */
	bool pretty;
	uint8_t depth;
	bool after_key;
	uint32_t nonempty; /* bit d: something was written at depth d */
	uint32_t objects;  /* bit d: what is open at depth d is an object, else an array */
};

#define KM_JSON_INIT(buf, is_pretty) ((struct km_json){.out = (buf), .pretty = (is_pretty)})

void km_json_object(struct km_json *j);
void km_json_end_object(struct km_json *j);
void km_json_array(struct km_json *j);
void km_json_end_array(struct km_json *j);
void km_json_keyn(struct km_json *j, const char *key, size_t n);
/* A plain ASCII key that needs no escaping. Inline for the length of a literal to be known: lists have millions. */
static inline void km_json_key(struct km_json *j, const char *key)
{
	km_json_keyn(j, key, strlen(key));
}
void km_json_str(struct km_json *j, const char *s);
void km_json_strn(struct km_json *j, const char *s, size_t n);
void km_json_int(struct km_json *j, int64_t v);
void km_json_bool(struct km_json *j, bool v);
void km_json_null(struct km_json *j);
/* Bytes that already are one JSON value in compact form; only for a writer that is not pretty. */
void km_json_raw(struct km_json *j, const char *json, size_t n);

/* key and value at once */
static inline void km_json_kstr(struct km_json *j, const char *key, const char *value)
{
	km_json_key(j, key);
	km_json_str(j, value);
}
void km_json_kint(struct km_json *j, const char *key, int64_t value);
void km_json_kbool(struct km_json *j, const char *key, bool value);
