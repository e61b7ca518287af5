/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gzip stream made piece by piece at level 1, as Kubernetes compresses long replies (spec metrics-api 4e). What comes
 * first may become known last (a protobuf envelope tells the length of what is in it): it is put before the deflated
 * bytes as a stored block, and the checksums are combined.
 */
#pragma once

#include "core/buf.h"

#define AGG_GZIP_PREFIX_MAX 65535 /* bytes of a stored block */

struct agg_gzip;

int agg_gzip_new(struct agg_gzip **ret) _must_check_; /* -ENOMEM; about 270 KiB */
void agg_gzip_free(struct agg_gzip *g);               /* NULL is fine */
/* Deflates n bytes onto out; last: nothing follows. 0 or out's error. */
int agg_gzip_add(struct agg_gzip *g, const void *bytes, size_t n, bool last, struct km_buf *out) _must_check_;
/* What goes before all that was deflated, and behind it, with the same prefix (NULL, 0: none). */
void agg_gzip_head(const void *prefix, size_t n, struct km_buf *out);
void agg_gzip_tail(const struct agg_gzip *g, const void *prefix, size_t n, struct km_buf *out);

/* All at once. 0, -ENOMEM, or out's error. */
int agg_gzip_whole(const void *bytes, size_t n, struct km_buf *out) _must_check_;
