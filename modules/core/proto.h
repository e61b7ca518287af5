/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protobuf writer: append-only into a km_buf, fields in the order of the calls. Like Kubernetes' generated
 * marshallers it writes what it is given, empty texts and zeros too (spec metrics-api 3c). Errors stick in the buffer.
 */
#pragma once

#include "core/buf.h"

void km_proto_varint(struct km_buf *out, uint64_t value);
/* A field of wire type 0; a negative int64 or int32 is passed sign-extended and takes ten bytes, as protobuf wants. */
void km_proto_int(struct km_buf *out, unsigned field, int64_t value);
/* A field of wire type 2. */
void km_proto_bytes(struct km_buf *out, unsigned field, const void *bytes, size_t n);
void km_proto_str(struct km_buf *out, unsigned field, const char *text);

/*
 * A nested message: what is appended between begin and end becomes its content. Its length is put before it at the end,
 * which moves a content of 128 bytes and more up by a byte or two.
 */
size_t km_proto_begin(struct km_buf *out, unsigned field);
void km_proto_end(struct km_buf *out, size_t mark);
