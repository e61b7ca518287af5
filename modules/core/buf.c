/* SPDX-License-Identifier: Apache-2.0 */
#include "core/buf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FIRST_CAPACITY 256

void km_buf_free(struct km_buf *buf)
{
	free(buf->data);
	*buf = KM_BUF_INIT(buf->max);
}

void km_buf_reset(struct km_buf *buf)
{
	buf->len = 0;
	buf->error = 0;
	if (buf->data)
		buf->data[0] = '\0';
}

void km_buf_consume(struct km_buf *buf, size_t n)
{
	assert(n <= buf->len);
	if (n == 0)
		return;
	memmove(buf->data, buf->data + n, buf->len - n);
	buf->len -= n;
	buf->data[buf->len] = '\0';
}

int km_buf_reserve(struct km_buf *buf, size_t extra)
{
	size_t cap = buf->cap ? buf->cap : FIRST_CAPACITY;
	char *data;

	if (buf->error)
		return buf->error;
	if (extra > buf->max || buf->len > buf->max - extra)
		return buf->error = -EMSGSIZE;
	if (buf->len + extra < buf->cap) /* one more byte for the NUL */
		return 0;
	while (cap <= buf->len + extra)
		cap *= 2;
	data = realloc(buf->data, cap);
	if (!data)
		return buf->error = -ENOMEM;
	data[buf->len] = '\0';
	buf->data = data;
	buf->cap = cap;
	return 0;
}

void km_buf_add_slowly(struct km_buf *buf, const void *bytes, size_t n)
{
	if (km_buf_reserve(buf, n) < 0)
		return;
	if (n > 0)
		memcpy(buf->data + buf->len, bytes, n);
	buf->len += n;
	buf->data[buf->len] = '\0';
}

void km_buf_vaddf(struct km_buf *buf, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	if (buf->error)
		return;
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0) {
		buf->error = -EINVAL;
		return;
	}
	if (km_buf_reserve(buf, (size_t)n) < 0)
		return;
	vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, ap);
	buf->len += (size_t)n;
}

void km_buf_addf(struct km_buf *buf, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	km_buf_vaddf(buf, fmt, ap);
	va_end(ap);
}

char *km_buf_take(struct km_buf *buf, size_t *ret_len)
{
	size_t len;
	char *data;

	km_buf_add(buf, "", 0); /* an empty buffer gives "" */
	if (buf->error)
		return NULL;
	len = buf->len;
	data = KM_TAKE(buf->data);
	*buf = KM_BUF_INIT(buf->max);
	if (ret_len)
		*ret_len = len;
	return data;
}
