/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items and tables as YAML (application/yaml): block style with the keys sorted, as sigs.k8s.io/yaml prints them.
 * Written line by line without a tree, so that lists can be as long as they are in JSON.
 */
#pragma once

#include "aggregator/table.h"

/* One object, or with element the next element of a sequence ("- " and two columns further in). meta_version: of a
 * PartialObjectMetadata, else NULL. typed as in item.h; a PartialObjectMetadata always is. */
void agg_item_write_yaml(struct km_buf *out, const struct agg_item *item, const char *created, const char *meta_version,
	bool typed, bool element);

/* A list around its elements; n: how many have been written. Partial: meta_version, else NULL. */
void agg_yaml_list_begin(struct km_buf *out, const char *api_version);
void agg_yaml_list_first(struct km_buf *out); /* before the first element */
void agg_yaml_list_end(struct km_buf *out, const char *kind, size_t n);

/* A Table: begin, any number of rows, end; as in table.h. */
void agg_yaml_table_begin(struct km_buf *out, const char *meta_version);
void agg_yaml_table_row(struct km_buf *out, const struct agg_item *item, size_t n, unsigned keys, const char *created,
	const char *meta_version, enum agg_include include);
void agg_yaml_table_end(struct km_buf *out, size_t n);

/* A small JSON document (discovery, Status) as YAML. 0, or negative: -ENOMEM, -EINVAL (no JSON, out's maximum). */
int agg_yaml_of_json(const struct km_buf *json, struct km_buf *out) _must_check_;
