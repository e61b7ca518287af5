/* SPDX-License-Identifier: Apache-2.0 */
/* A kubelet's reply: the verdict and the body do not depend on how the bytes are cut, and limits hold. */
#include <stdlib.h>
#include <string.h>

#include "net/fetch_reply.h"

#define MAX_BODY 300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static int feed(struct fetch_reply *r, const uint8_t *data, size_t size, size_t piece)
{
	int verdict = 0;

	for (size_t at = 0; at < size && verdict == 0; at += piece) {
		km_buf_add(&r->in, data + at, KM_MIN(piece, size - at));
		verdict = fetch_reply_check(r, NULL);
	}
	return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct km_buf none = {0}, empty = {0};
	struct fetch_reply whole, bytes;
	int verdict;

	if (size > FETCH_PIECE_MAX)
		return 0;
	fetch_reply_begin(&whole, &none, MAX_BODY);
	fetch_reply_begin(&bytes, &empty, MAX_BODY);
	verdict = feed(&whole, data, size, KM_MAX(size, (size_t)1));
	must(feed(&bytes, data, size, 1) == verdict);
	must(verdict <= 1 && whole.body_len <= MAX_BODY && whole.status == bytes.status);
	if (verdict > 0) {
		must(whole.status >= 200 && whole.status <= 999);
		must(whole.next <= whole.in.len && whole.body_at + whole.body_len <= whole.next);
		must(whole.body_len == bytes.body_len && whole.keeps_alive == bytes.keeps_alive);
		must(memcmp(whole.in.data + whole.body_at, bytes.in.data + bytes.body_at, whole.body_len) == 0);
		must(bytes.next == bytes.in.len);
	}
	km_buf_free(&whole.in);
	km_buf_free(&bytes.in);
	return 0;
}
