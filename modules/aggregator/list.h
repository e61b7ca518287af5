/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of nodes and pods, made in slices: a slice works on the cache as it is in that loop turn and ends by copying
 * the name it got to; the next one goes on behind that name, whatever has come and gone in between.
 */
#pragma once

#include "aggregator/encode.h"
#include "aggregator/fields.h"
#include "aggregator/view.h"

/* A slice ends after about this much time or output, whichever comes first. */
#define AGG_SLICE_US    2000
#define AGG_SLICE_BYTES (64 * 1024)

struct agg_query {
	bool pods;              /* else nodes */
	const char *namespace_; /* "": all; copied */
	struct agg_fields fields;
	struct kube_selector *labels; /* NULL: all; the list takes it over */
	struct agg_accept accept;
	enum agg_include include;
	bool pretty;
	struct agg_histogram *freshness; /* borrowed: counts the age of what is served; NULL: nobody asks */
};

struct agg_list;

/* view and freshness are borrowed for the life of the list. On failure (-ENOMEM) query->labels stays the caller's. */
int agg_list_new(const struct agg_view *view, struct agg_query *query, struct agg_list **ret) _must_check_;
/* Appends a slice: 1, there is more; 0, that was the last; negative, no memory. A protobuf list lacks its envelope. */
int agg_list_produce(struct km_buf *out, struct agg_list *list);
const struct agg_encoder *agg_list_encoder(const struct agg_list *list);
void agg_list_free(struct agg_list *list); /* NULL is fine */
