/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents that never change: what the API consists of (spec metrics-api 4b), the version, the paths. Made from
 * constants, so that they can be served from the first second, whatever else is down. Pure.
 */
#pragma once

#include "core/buf.h"

/* Each appends its document; compact ones end with a newline. port: where we listen, for the addresses of /apis. */
void agg_doc_groups(struct km_buf *out, uint16_t port, bool pretty);
void agg_doc_group(struct km_buf *out, bool pretty);
void agg_doc_resources(struct km_buf *out, bool pretty);
void agg_doc_aggregated(struct km_buf *out, bool pretty);
/* The same as protobuf, in its envelope. */
void agg_doc_groups_proto(struct km_buf *out, uint16_t port);
void agg_doc_group_proto(struct km_buf *out);
void agg_doc_resources_proto(struct km_buf *out);
void agg_doc_aggregated_proto(struct km_buf *out);
void agg_doc_version(struct km_buf *out);
void agg_doc_paths(struct km_buf *out);

/* Hex digits of a SHA-512, the quotes and the NUL. */
#define AGG_ETAG_MAX 131
/* The ETag of the aggregated document, quoted; computed as kube-apiserver's libraries do. 0 or -ENOMEM. */
int agg_doc_etag(char out[AGG_ETAG_MAX]) _must_check_;
