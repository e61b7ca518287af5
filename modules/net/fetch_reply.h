/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict reader of one HTTP/1.1 reply (RFC 9112), without I/O: whoever has bytes puts them into `in` and asks
 * whether the reply is whole. A body in chunks is joined in place, so that it is contiguous at the end whatever it came
 * as. What does not say beyond doubt where its body ends is refused, because the next reply begins there.
 */
#pragma once

#include "core/buf.h"
#include "core/err.h"

#define FETCH_HEADERS_MAX 16384
#define FETCH_PIECE_MAX   16384 /* the most that is added to `in` between two calls of fetch_reply_check */

enum fetch_reply_part {
	REPLY_HEAD,
	REPLY_BODY, /* of Content-Length bytes */
	REPLY_CHUNK_SIZE,
	REPLY_CHUNK,
	REPLY_CHUNK_END,
	REPLY_TRAILER,
	REPLY_WHOLE,
};

struct fetch_reply {
	struct km_buf in; /* owned; new bytes are appended by the caller, at most FETCH_PIECE_MAX a time */
	size_t max_body;
	enum fetch_reply_part part;
	size_t searched; /* bytes of the head in which its end is not */
	size_t body_at, body_len;
	size_t next;      /* the first byte that is not decoded yet */
	uint64_t left;    /* of the body or the chunk */
	size_t trailer;   /* bytes of it so far */
	int status;       /* 0: not known yet */
	bool keeps_alive; /* the server does not close after it */
};

/* Starts anew with the memory of in (taken over; may be empty). */
void fetch_reply_begin(struct fetch_reply *r, struct km_buf *in, size_t max_body);
/*
 * 1: the reply is whole: status, body_at and body_len in `in`, and whatever is beyond `next` is not part of it.
 * 0: more is to come. -EBADMSG (not HTTP, or its framing is in doubt), -EMSGSIZE (head or body too long), -ENOMEM.
 */
int fetch_reply_check(struct fetch_reply *r, struct km_err *err) _must_check_;
