/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Table form that `kubectl get podmetrics` asks for (spec metrics-api 4e): columns known from the first row on,
 * null for an empty list.
 */
#pragma once

#include "aggregator/item.h"

/* What a row carries beside its cells (?includeObject=). */
enum agg_include { AGG_INCLUDE_METADATA, AGG_INCLUDE_NONE, AGG_INCLUDE_OBJECT };

#define AGG_TABLE_COLUMNS_MAX (AGG_KEYS + 2)
/* Each of type string and priority 0. */
struct agg_table_column {
	const char *name, *format, *description;
};
/* keys: of the first row's usage, bits of enum agg_key. Returns how many columns there are. */
unsigned agg_table_keys(const struct agg_item *item);
size_t agg_table_columns(unsigned keys, struct agg_table_column out[AGG_TABLE_COLUMNS_MAX]);
/* The quantity in a row; "0" where it has none, as upstream. */
void agg_table_cell(const struct agg_item *item, enum agg_key key, char out[KM_QUANTITY_TEXT_MAX]);

/* NULL or "": metadata. 0, or -EINVAL with Kubernetes' message. */
int agg_table_include(const char *text, enum agg_include *ret, struct km_err *err) _must_check_;

/* In this order: begin, any number of rows, end. n: how many rows have been written so far. */
void agg_table_begin(struct km_json *j, const char *meta_version);
void agg_table_row(struct km_json *j, const struct agg_item *item, size_t n, unsigned keys, const char *created,
	const char *meta_version, enum agg_include include);
void agg_table_end(struct km_json *j, size_t n);
