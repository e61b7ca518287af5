/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items in the form and encoding that were negotiated (spec metrics-api 3c, 4e): JSON, YAML or protobuf; plain, as a
 * Table or as PartialObjectMetadata. A list is begun, given its items one by one, and ended; what has come out between
 * two calls may have been taken away already. Pure but for the time of the request.
 */
#pragma once

#include "aggregator/accept.h"
#include "aggregator/table.h"

struct agg_encoder {
	struct agg_accept accept;
	enum agg_include include;
	bool pods; /* else nodes */
	/* the rest is the encoder's own */
	struct km_json json;
	int64_t created_s; /* creationTimestamp: the time of the request, as upstream */
	char created[40];
	size_t written;
	unsigned keys; /* of a table's columns, bits of enum agg_key */
};

/* pretty counts for JSON only. */
void agg_encoder_init(
	struct agg_encoder *e, const struct agg_accept *accept, enum agg_include include, bool pods, bool pretty);

void agg_encode_begin(struct agg_encoder *e, struct km_buf *out);
void agg_encode_item(struct agg_encoder *e, struct km_buf *out, const struct agg_item *item);
void agg_encode_end(struct agg_encoder *e, struct km_buf *out);
/*
 * A protobuf list comes without its envelope, which tells its length: this much goes before (begin) and behind it. The
 * other encodings have none.
 */
void agg_encode_envelope_begin(const struct agg_encoder *e, struct km_buf *out, size_t raw_len);
void agg_encode_envelope_end(const struct agg_encoder *e, struct km_buf *out);

/* One object, whole. */
void agg_encode_single(struct agg_encoder *e, struct km_buf *out, const struct agg_item *item);
