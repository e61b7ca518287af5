/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of node and pod figures; see the header. */
#include "aggregator/table.h"

#include <errno.h>
#include <string.h>

#include "core/timetext.h"
#include "kube/quantity.h"

const struct agg_table_column agg_table_columns[AGG_TABLE_COLUMNS] = {
	{"Name", "name", "Name of the resource"},
	{"cpu", "quantity", ""},
	{"memory", "quantity", ""},
	{"Window", "duration", ""},
};

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

static void write_columns(struct km_json *j)
{
	km_json_key(j, "columnDefinitions");
	km_json_array(j);
	for (size_t i = 0; i < AGG_TABLE_COLUMNS; i++) {
		km_json_object(j);
		km_json_kstr(j, "name", agg_table_columns[i].name);
		km_json_kstr(j, "type", "string");
		km_json_kstr(j, "format", agg_table_columns[i].format);
		km_json_kstr(j, "description", agg_table_columns[i].description);
		km_json_kint(j, "priority", 0);
		km_json_end_object(j);
	}
	km_json_end_array(j);
}

static void write_cells(struct km_json *j, const struct agg_item *item)
{
	char cpu[KM_QUANTITY_TEXT_MAX], memory[KM_QUANTITY_TEXT_MAX], window[KM_DURATION_TEXT_MAX];

	km_quantity_format_cpu(item->cpu_nanocores, cpu);
	km_quantity_format_memory(item->mem_bytes, memory);
	km_duration_format(item->window_ns, window);
	km_json_key(j, "cells");
	km_json_array(j);
	km_json_str(j, item->name);
	km_json_str(j, cpu);
	km_json_str(j, memory);
	km_json_str(j, window);
	km_json_end_array(j);
}

void agg_table_row(struct km_json *j, const struct agg_item *item, size_t n, const char *created,
	const char *meta_version, enum agg_include include)
{
	if (n == 0) {
		write_columns(j);
		km_json_key(j, "rows");
		km_json_array(j);
	}
	km_json_object(j);
	write_cells(j, item);
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
