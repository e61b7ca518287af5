/* SPDX-License-Identifier: Apache-2.0 */
/* Varints, lengths and nesting; see the header. */
#include "core/proto.h"

#include <string.h>

#define VARINT_MAX 10 /* bytes of a 64-bit value */

enum wire { WIRE_VARINT = 0, WIRE_BYTES = 2 };

static size_t encode(uint64_t value, char out[VARINT_MAX])
{
	size_t n = 0;

	for (; value >= 0x80; value >>= 7)
		out[n++] = (char)(value | 0x80);
	out[n++] = (char)value;
	return n;
}

void km_proto_varint(struct km_buf *out, uint64_t value)
{
	char bytes[VARINT_MAX];

	km_buf_add(out, bytes, encode(value, bytes));
}

static void tag(struct km_buf *out, unsigned field, enum wire wire)
{
	km_proto_varint(out, (uint64_t)field << 3 | wire);
}

void km_proto_int(struct km_buf *out, unsigned field, int64_t value)
{
	tag(out, field, WIRE_VARINT);
	km_proto_varint(out, (uint64_t)value);
}

void km_proto_bytes(struct km_buf *out, unsigned field, const void *bytes, size_t n)
{
	tag(out, field, WIRE_BYTES);
	km_proto_varint(out, n);
	km_buf_add(out, bytes, n);
}

void km_proto_str(struct km_buf *out, unsigned field, const char *text)
{
	km_proto_bytes(out, field, text, strlen(text));
}

size_t km_proto_begin(struct km_buf *out, unsigned field)
{
	tag(out, field, WIRE_BYTES);
	km_buf_addc(out, '\0'); /* the length of most */
	return out->len;
}

void km_proto_end(struct km_buf *out, size_t mark)
{
	char length[VARINT_MAX];
	size_t n, content;

	if (out->error)
		return;
	content = out->len - mark;
	n = encode(content, length);
	if (n > 1) {
		km_buf_add(out, length, n - 1); /* room; the bytes do not matter */
		if (out->error)
			return;
		memmove(out->data + mark + n - 1, out->data + mark, content);
	}
	memcpy(out->data + mark - 1, length, n);
}
