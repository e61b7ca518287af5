/* SPDX-License-Identifier: Apache-2.0 */
/* From slices of a list to a reply; see the header. */
#include "aggregator/stream.h"

#include <errno.h>
#include <string.h>

#include "aggregator/gzip.h"
#include "aggregator/reply.h"

#define STREAM_MAGIC 0x53545245u
#define SLICE_MAX    ((size_t)16 * 1024 * 1024) /* a slice is AGG_SLICE_BYTES and one item */
#define SEND_BYTES   AGG_SLICE_BYTES
#define PREFIX_MAX   256 /* the envelope: its type and a length */

struct stream {
	uint32_t magic;
	struct agg_streams *all; /* borrowed */
	struct agg_list *list;   /* owned */
	km_loop_fn done;
	void *arg;
	struct agg_gzip *gzip; /* owned, or NULL */
	struct km_buf slice;   /* of the list, on its way through gzip */
	struct km_buf staged;  /* not sent yet: the beginning, or a whole protobuf list */
	size_t accounted;      /* of staged, in all->staged_bytes */
	size_t sent;           /* of staged */
	size_t raw_len;        /* of a protobuf list, without envelope */
	char prefix_bytes[PREFIX_MAX];
	size_t prefix_len;
	bool making; /* a protobuf list is not whole yet */
};

static void stream_free(struct stream *s)
{
	s->magic = 0;
	s->all->staged_bytes -= s->accounted;
	if (s->gzip)
		s->all->gzips--;
	agg_gzip_free(s->gzip);
	agg_list_free(s->list);
	km_buf_free(&s->slice);
	km_buf_free(&s->staged);
	free(s);
}

static void on_done(void *arg)
{
	struct stream *s = KM_CAST(struct stream, arg, STREAM_MAGIC);
	km_loop_fn done = s->done;
	void *done_arg = s->arg;

	stream_free(s);
	done(done_arg);
}

static bool is_proto(const struct stream *s)
{
	return agg_list_encoder(s->list)->accept.media == AGG_MEDIA_PROTOBUF;
}

bool agg_streams_full(const struct agg_streams *all)
{
	return all->staged_bytes >= all->staged_max / 4;
}

/* ---- JSON and YAML: slice by slice ---- */

static int produce_text(struct km_buf *out, void *arg)
{
	struct stream *s = KM_CAST(struct stream, arg, STREAM_MAGIC);
	int r, z;

	if (s->staged.len > 0) {
		km_buf_add(out, s->staged.data, s->staged.len);
		km_buf_free(&s->staged);
		return 1;
	}
	if (!s->gzip)
		return agg_list_produce(out, s->list);
	km_buf_reset(&s->slice);
	r = agg_list_produce(&s->slice, s->list);
	if (r < 0)
		return r;
	z = agg_gzip_add(s->gzip, s->slice.data, s->slice.len, r == 0, out);
	if (r == 0)
		agg_gzip_tail(s->gzip, NULL, 0, out);
	return z < 0 ? z : r;
}

/* What was made before it was known that the list is long. */
static int compress_beginning(struct stream *s)
{
	int r;

	km_buf_reset(&s->slice);
	agg_gzip_head(NULL, 0, &s->slice);
	r = agg_gzip_add(s->gzip, s->staged.data, s->staged.len, false, &s->slice);
	km_buf_free(&s->staged);
	s->staged = s->slice;
	s->slice = KM_BUF_INIT(SLICE_MAX);
	return r;
}

/* ---- protobuf: made whole, then sent ---- */

/* Takes the slice into what is staged. */
static int stage(struct stream *s, bool last)
{
	int r = 0;

	s->raw_len += s->slice.len;
	if (last)
		agg_encode_envelope_end(agg_list_encoder(s->list), &s->slice);
	if (s->slice.error)
		return s->slice.error;
	if (s->gzip)
		r = agg_gzip_add(s->gzip, s->slice.data, s->slice.len, last, &s->staged);
	else
		km_buf_add(&s->staged, s->slice.data, s->slice.len);
	s->all->staged_bytes += s->staged.len - s->accounted;
	s->accounted = s->staged.len;
	if (s->all->staged_bytes > s->all->staged_max)
		return -ENOBUFS;
	return r < 0 ? r : s->staged.error;
}

/* It is whole: now the envelope is known. */
static void begin_sending(struct stream *s, struct km_buf *out)
{
	struct km_buf prefix = KM_BUF_INIT(PREFIX_MAX);

	s->making = false;
	agg_encode_envelope_begin(agg_list_encoder(s->list), &prefix, s->raw_len);
	if (prefix.error) {
		out->error = prefix.error;
	} else {
		memcpy(s->prefix_bytes, prefix.data, prefix.len);
		s->prefix_len = prefix.len;
		if (s->gzip)
			agg_gzip_head(prefix.data, prefix.len, out);
		else
			km_buf_add(out, prefix.data, prefix.len);
	}
	km_buf_free(&prefix);
}

static int send_more(struct stream *s, struct km_buf *out)
{
	size_t n = KM_MIN(s->staged.len - s->sent, (size_t)SEND_BYTES);

	km_buf_add(out, s->staged.data + s->sent, n);
	s->sent += n;
	if (s->sent < s->staged.len)
		return 1;
	if (s->gzip)
		agg_gzip_tail(s->gzip, s->prefix_bytes, s->prefix_len, out);
	return 0;
}

static int produce_proto(struct km_buf *out, void *arg)
{
	struct stream *s = KM_CAST(struct stream, arg, STREAM_MAGIC);
	int r, staged;

	if (!s->making)
		return send_more(s, out);
	km_buf_reset(&s->slice);
	r = agg_list_produce(&s->slice, s->list);
	if (r < 0)
		return r;
	staged = stage(s, r == 0);
	if (staged < 0)
		return staged;
	if (r == 0)
		begin_sending(s, out);
	return 1;
}

/* ---- the beginning ---- */

static void reply_whole(struct stream *s, struct km_http_req *req)
{
	const struct agg_encoder *e = agg_list_encoder(s->list);
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(SLICE_MAX);

	agg_encode_envelope_begin(e, &out, s->staged.len);
	km_buf_add(&out, s->staged.data, s->staged.len);
	agg_encode_envelope_end(e, &out);
	agg_reply_media(req, 200, e->accept.media, &out);
	on_done(s);
}

static void reply_broken(struct stream *s, struct km_http_req *req)
{
	agg_reply_no_memory(req);
	on_done(s);
}

static void stream_long(struct stream *s, struct km_http_req *req)
{
	enum agg_media media = agg_list_encoder(s->list)->accept.media;
	int r = 0;

	if (agg_reply_takes_gzip(req) && s->all->gzips < AGG_GZIPS_MAX && agg_gzip_new(&s->gzip) == 0)
		s->all->gzips++;
	if (is_proto(s)) {
		s->making = true;
		s->slice = s->staged;
		s->staged = KM_BUF_INIT(s->all->staged_max);
		r = stage(s, false);
	} else if (s->gzip) {
		r = compress_beginning(s);
	}
	if (r < 0)
		reply_broken(s, req);
	else
		agg_reply_stream(req, agg_media_type(media), s->gzip != NULL,
			is_proto(s) ? produce_proto : produce_text, on_done, s);
}

void agg_stream_list(
	struct km_http_req *req, struct agg_streams *all, struct agg_list *list, km_loop_fn done, void *arg)
{
	struct stream *s = calloc(1, sizeof(*s));
	int r = 1;

	if (!s) {
		agg_list_free(list);
		agg_reply_no_memory(req);
		done(arg);
		return;
	}
	*s = (struct stream){
		.magic = STREAM_MAGIC,
		.all = all,
		.list = list,
		.done = done,
		.arg = arg,
		.slice = KM_BUF_INIT(SLICE_MAX),
		.staged = KM_BUF_INIT(SLICE_MAX),
	};
	for (int i = 0; i < AGG_PRELUDE_SLICES && r > 0; i++)
		r = agg_list_produce(&s->staged, list);
	if (r == 0)
		reply_whole(s, req);
	else if (r < 0)
		reply_broken(s, req);
	else
		stream_long(s, req);
}
