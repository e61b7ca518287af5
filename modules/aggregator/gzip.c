/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 1952 around zlib's raw deflate; see the header. */
#include "aggregator/gzip.h"

#include <errno.h>
#include <zlib.h>

#define LEVEL        1
#define WINDOW_BITS  (-15) /* raw */
#define MEMORY_LEVEL 8
#define ROOM         16384 /* for deflate to write at a time */

struct agg_gzip {
	z_stream z;
	uLong crc;
	uint64_t len;
};

int agg_gzip_new(struct agg_gzip **ret)
{
	struct agg_gzip *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	if (deflateInit2(&g->z, LEVEL, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(g);
		return -ENOMEM;
	}
	g->crc = crc32(0, NULL, 0);
	*ret = g;
	return 0;
}

void agg_gzip_free(struct agg_gzip *g)
{
	if (!g)
		return;
	deflateEnd(&g->z);
	free(g);
}

int agg_gzip_add(struct agg_gzip *g, const void *bytes, size_t n, bool last, struct km_buf *out)
{
	if (n > 0) /* without bytes crc32 starts anew */
		g->crc = crc32_z(g->crc, bytes, n);
	g->len += n;
	g->z.next_in = (z_const Bytef *)(uintptr_t)bytes;
	g->z.avail_in = (uInt)n;
	do {
		if (km_buf_reserve(out, ROOM) < 0)
			return out->error;
		g->z.next_out = (Bytef *)out->data + out->len;
		g->z.avail_out = ROOM;
		(void)deflate(&g->z, last ? Z_FINISH : Z_NO_FLUSH); /* cannot fail: there is always room */
		out->len += ROOM - g->z.avail_out;
		out->data[out->len] = '\0';
	} while (g->z.avail_out == 0);
	return 0;
}

static void little_endian(struct km_buf *out, uint64_t value, unsigned n)
{
	for (unsigned i = 0; i < n; i++, value >>= 8)
		km_buf_addc(out, (char)(value & 0xff));
}

void agg_gzip_head(const void *prefix, size_t n, struct km_buf *out)
{
	/* no name, no time; "fastest"; as Go, the system is not told */
	static const unsigned char fixed[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff};

	assert(n <= AGG_GZIP_PREFIX_MAX);
	km_buf_add(out, fixed, sizeof(fixed));
	if (n == 0)
		return;
	km_buf_addc(out, 0); /* stored, not the last block */
	little_endian(out, n, 2);
	little_endian(out, ~(uint64_t)n, 2);
	km_buf_add(out, prefix, n);
}

void agg_gzip_tail(const struct agg_gzip *g, const void *prefix, size_t n, struct km_buf *out)
{
	uLong crc = crc32_combine(crc32_z(crc32(0, NULL, 0), prefix, n), g->crc, (z_off_t)g->len);

	little_endian(out, n > 0 ? crc : g->crc, 4);
	little_endian(out, n + g->len, 4);
}

int agg_gzip_whole(const void *bytes, size_t n, struct km_buf *out)
{
	struct agg_gzip *g = NULL;
	int r = agg_gzip_new(&g);

	if (r < 0)
		return r;
	agg_gzip_head(NULL, 0, out);
	r = agg_gzip_add(g, bytes, n, true, out);
	agg_gzip_tail(g, NULL, 0, out);
	agg_gzip_free(g);
	return r < 0 ? r : out->error;
}
