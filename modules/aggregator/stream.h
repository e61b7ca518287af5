/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends a list: what is short in one piece; what is long in slices, gzipped if the client takes it (spec metrics-api
 * 4e). A protobuf message tells its length before it begins, so that a long protobuf list is made whole first, slice by
 * slice and gzipped where that goes, and then sent; all such lists together have a limit.
 */
#pragma once

#include "aggregator/list.h"
#include "net/http_server.h"

#define AGG_PRELUDE_SLICES 2                           /* a list that is not done by then is long */
#define AGG_GZIP_THRESHOLD ((size_t)128 * 1024)        /* longer replies are compressed */
#define AGG_GZIPS_MAX      64                          /* under way; further long replies go out as they are */
#define AGG_STAGED_MAX     ((size_t)256 * 1024 * 1024) /* bytes of protobuf lists that are being made or sent */

/* What all streams of an API share. */
struct agg_streams {
	size_t staged_max; /* AGG_STAGED_MAX, less in tests */
	size_t staged_bytes;
	unsigned gzips;
};

/* So much is staged that another list had better be JSON. What is under way still has room to grow. */
bool agg_streams_full(const struct agg_streams *all);

/* Replies with the list and takes it. done runs exactly once, when all is over. */
void agg_stream_list(
	struct km_http_req *req, struct agg_streams *all, struct agg_list *list, km_loop_fn done, void *arg);
