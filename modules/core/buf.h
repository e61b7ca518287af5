/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growable byte buffer with a hard maximum. Appending never fails on the spot: the first failure (no memory, maximum
 * reached) sticks in ->error and later appends do nothing, so that a writer checks once, at its end.
 */
#pragma once

#include <stdarg.h>
#include <string.h>

#include "core/base.h"

struct km_buf {
	char *data; /* owned; NUL-terminated once anything was added (the NUL is not counted); NULL when empty and new
		     */
	size_t len, cap;
	size_t max; /* len never exceeds it */
	int error;  /* 0, -ENOMEM, -EMSGSIZE, or -EINVAL (a format that cannot be printed); sticky until km_buf_reset */
};

#define KM_BUF_INIT(limit) ((struct km_buf){.max = (limit)})

void km_buf_free(struct km_buf *buf);  /* frees the bytes; the struct may be used again with the same maximum */
void km_buf_reset(struct km_buf *buf); /* forgets content and error, keeps the memory */
void km_buf_consume(struct km_buf *buf, size_t n); /* drops the first n bytes (n <= len) */
int km_buf_reserve(
	struct km_buf *buf, size_t extra); /* room for extra more bytes at data + len; 0 or the sticky error */
/* What has to grow first, or is refused. */
void km_buf_add_slowly(struct km_buf *buf, const void *bytes, size_t n);

/* These three are inline because lists of 30,000 pods are made of millions of such calls. */
static inline void km_buf_add(struct km_buf *buf, const void *bytes, size_t n)
{
	/* one more byte for the NUL; len is below cap, unless both are 0, and never above max */
	if (n == 0 || buf->error || n >= buf->cap - buf->len || n > buf->max - buf->len) {
		km_buf_add_slowly(buf, bytes, n);
		return;
	}
	memcpy(buf->data + buf->len, bytes, n);
	buf->len += n;
	buf->data[buf->len] = '\0';
}

static inline void km_buf_addc(struct km_buf *buf, char c)
{
	km_buf_add(buf, &c, 1);
}

static inline void km_buf_adds(struct km_buf *buf, const char *text)
{
	km_buf_add(buf, text, strlen(text));
}

void km_buf_addf(struct km_buf *buf, const char *fmt, ...) _printf_(2, 3);
void km_buf_vaddf(struct km_buf *buf, const char *fmt, va_list ap) _printf_(2, 0);
/* The text as a malloc'ed string owned by the caller, buffer empty afterwards; NULL if an error had stuck. */
char *km_buf_take(struct km_buf *buf, size_t *ret_len);

#define _cleanup_buf_ _cleanup_(km_buf_free)
