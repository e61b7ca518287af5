/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items and lists as protobuf (application/vnd.kubernetes.protobuf), byte for byte what the generated marshallers of
 * k8s.io/metrics v1beta1 and apimachinery meta/v1 give (spec metrics-api 3c). Pure.
 */
#pragma once

#include "aggregator/item.h"

/* What comes before and after a message of raw_len bytes: "k8s\0" and runtime.Unknown with its type. */
void agg_proto_envelope_begin(struct km_buf *out, const char *api_version, const char *kind, size_t raw_len);
void agg_proto_envelope_end(struct km_buf *out);

/* An empty ListMeta, the first field of every list. */
/* An object's metadata with nothing but a name, as this field. */
void agg_proto_named_meta(struct km_buf *out, unsigned field, const char *name);
void agg_proto_list_meta(struct km_buf *out);

/* The message NodeMetrics or PodMetrics; partial: PartialObjectMetadata. created_s: seconds since 1970. */
void agg_item_write_proto(struct km_buf *out, const struct agg_item *item, int64_t created_s, bool partial);
/* The same as the next element of a list. */
void agg_item_write_proto_element(struct km_buf *out, const struct agg_item *item, int64_t created_s, bool partial);
