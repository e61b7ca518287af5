/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of node and pod figures; see the header. */
#include "aggregator/table.h"

#include <errno.h>
#include <string.h>

#include "core/timetext.h"

unsigned agg_table_keys(const struct agg_item *item)
{
	char text[KM_QUANTITY_TEXT_MAX];
	unsigned keys = 0;

	for (unsigned key = 0; key < AGG_KEYS; key++)
		if (agg_usage_text(&item->usage, key, text))
			keys |= 1u << key;
	return keys;
}

size_t agg_table_columns(unsigned keys, struct agg_table_column out[AGG_TABLE_COLUMNS_MAX])
{
	size_t n = 0;

	out[n++] = (struct agg_table_column){"Name", "name", "Name of the resource"};
	for (unsigned key = 0; key < AGG_KEYS; key++)
		if (keys & 1u << key)
			out[n++] = (struct agg_table_column){agg_key_names[key], "quantity", ""};
	out[n++] = (struct agg_table_column){"Window", "duration", ""};
	return n;
}

void agg_table_cell(const struct agg_item *item, enum agg_key key, char out[KM_QUANTITY_TEXT_MAX])
{
	if (!agg_usage_text(&item->usage, key, out))
		memcpy(out, "0", 2);
}

int agg_table_include(const char *text, enum agg_include *ret, struct km_err *err)
{
	if (!text || !*text || strcmp(text, "Metadata") == 0)
		*ret = AGG_INCLUDE_METADATA;
	else if (strcmp(text, "None") == 0)
		*ret = AGG_INCLUDE_NONE;
	else if (strcmp(text, "Object") == 0)
		*ret = AGG_INCLUDE_OBJECT;
	else
		return km_fail(err, -EINVAL,
			"Unable to convert to Table as requested: includeObject: Unsupported value: \"%.200s\": "
			"supported values: "
			"\"Metadata\", \"None\", \"Object\"",
			text);
	return 0;
}

void agg_table_begin(struct km_json *j, const char *meta_version)
{
	km_json_object(j);
	km_json_kstr(j, "kind", "Table");
	km_json_kstr(j, "apiVersion", meta_version);
	km_json_key(j, "metadata");
	km_json_object(j);
	km_json_end_object(j);
}

static void write_columns(struct km_json *j, unsigned keys)
{
	struct agg_table_column columns[AGG_TABLE_COLUMNS_MAX];
	size_t n = agg_table_columns(keys, columns);

	km_json_key(j, "columnDefinitions");
	km_json_array(j);
	for (size_t i = 0; i < n; i++) {
		km_json_object(j);
		km_json_kstr(j, "name", columns[i].name);
		km_json_kstr(j, "type", "string");
		km_json_kstr(j, "format", columns[i].format);
		km_json_kstr(j, "description", columns[i].description);
		km_json_kint(j, "priority", 0);
		km_json_end_object(j);
	}
	km_json_end_array(j);
}

static void write_cells(struct km_json *j, const struct agg_item *item, unsigned keys)
{
	char quantity[KM_QUANTITY_TEXT_MAX], window[KM_DURATION_TEXT_MAX];

	km_json_key(j, "cells");
	km_json_array(j);
	km_json_str(j, item->name);
	for (unsigned key = 0; key < AGG_KEYS; key++) {
		if (!(keys & 1u << key))
			continue;
		agg_table_cell(item, key, quantity);
		km_json_str(j, quantity);
	}
	km_duration_format(item->usage.window_ns, window);
	km_json_str(j, window);
	km_json_end_array(j);
}

void agg_table_row(struct km_json *j, const struct agg_item *item, size_t n, unsigned keys, const char *created,
	const char *meta_version, enum agg_include include)
{
	if (n == 0) {
		write_columns(j, keys);
		km_json_key(j, "rows");
		km_json_array(j);
	}
	km_json_object(j);
	write_cells(j, item, keys);
	km_json_key(j, "object");
	switch (include) {
	case AGG_INCLUDE_METADATA:
		agg_item_write_partial(j, item, created, meta_version);
		break;
	case AGG_INCLUDE_NONE:
		km_json_null(j);
		break;
	case AGG_INCLUDE_OBJECT:
		agg_item_write(j, item, created, true);
		break;
	}
	km_json_end_object(j);
}

void agg_table_end(struct km_json *j, size_t n)
{
	if (n == 0) {
		km_json_key(j, "columnDefinitions");
		km_json_null(j);
		km_json_key(j, "rows");
		km_json_null(j);
	} else {
		km_json_end_array(j);
	}
	km_json_end_object(j);
}
