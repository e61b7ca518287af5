/* SPDX-License-Identifier: Apache-2.0 */
/* YAML line by line; see the header. */
#include "aggregator/item_yaml.h"

#include <errno.h>
#include <string.h>

#include "aggregator/route.h"
#include "core/timetext.h"
#include "kube/quantity.h"
#include "kube/yaml.h"

/* Where lines begin. */
struct place {
	struct km_buf *out;
	unsigned at; /* column */
	bool dash;   /* the next line starts an element: its dash stands two columns before */
};

static void start(struct place *p)
{
	unsigned spaces = p->dash ? p->at - 2 : p->at;

	for (unsigned i = 0; i < spaces; i++)
		km_buf_addc(p->out, ' ');
	if (p->dash)
		km_buf_adds(p->out, "- ");
	p->dash = false;
}

/*
 * Texts of Kubernetes often start with a digit (15s, 96Mi, 2048-game). They are plain, unless they could be a number or
 * a date: a letter that neither has tells.
 */
static bool plain_behind_digit(const char *s)
{
	return *s >= '0' && *s <= '9' && strpbrk(s, "ghijklmnqrsuvwyGHIJKLMNQRSUVWY") &&
	       s[strspn(s, "0123456789.-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")] == '\0';
}

static void text(struct km_buf *out, const char *s)
{
	if (plain_behind_digit(s))
		km_buf_adds(out, s);
	else
		kube_yaml_emit_string(s, out);
}

static void entry(struct place *p, const char *key, const char *value)
{
	start(p);
	text(p->out, key);
	km_buf_adds(p->out, ": ");
	text(p->out, value);
	km_buf_addc(p->out, '\n');
}

/* A key whose value stands on the following lines. */
static void open_key(struct place *p, const char *key)
{
	start(p);
	km_buf_adds(p->out, key);
	km_buf_adds(p->out, ":\n");
}

static void metadata(struct place *p, const struct agg_item *item, const char *created)
{
	open_key(p, "metadata");
	p->at += 2;
	entry(p, "creationTimestamp", created);
	if (item->labels && item->labels->n > 0) {
		open_key(p, "labels");
		p->at += 2;
		for (size_t i = 0; i < item->labels->n; i++)
			entry(p, item->labels->items[i].key, item->labels->items[i].value);
		p->at -= 2;
	}
	entry(p, "name", item->name);
	if (item->namespace_)
		entry(p, "namespace", item->namespace_);
	p->at -= 2;
}

static void usage(struct place *p, const struct agg_usage *u)
{
	char quantity[KM_QUANTITY_TEXT_MAX];

	open_key(p, "usage");
	p->at += 2;
	for (unsigned key = 0; key < AGG_KEYS; key++)
		if (agg_usage_text(u, key, quantity))
			entry(p, agg_key_names[key], quantity);
	p->at -= 2;
}

/* A sequence stands in its key's column. */
static void containers(struct place *p, const struct agg_item *item)
{
	open_key(p, "containers");
	p->at += 2;
	for (size_t i = 0; i < item->n_containers; i++) {
		const struct agg_container_usage *c = &item->containers[i];

		p->dash = true;
		entry(p, "name", c->name);
		usage(p, &c->usage);
	}
	p->at -= 2;
}

static void partial(struct place *p, const struct agg_item *item, const char *created, const char *meta_version)
{
	entry(p, "apiVersion", meta_version);
	entry(p, "kind", "PartialObjectMetadata");
	metadata(p, item, created);
}

static void whole(struct place *p, const struct agg_item *item, const char *created, bool typed)
{
	char timestamp[KM_RFC3339_TEXT_MAX], window[KM_DURATION_TEXT_MAX];

	km_rfc3339_format(item->usage.timestamp_ns, timestamp);
	km_duration_format(item->usage.window_ns, window);
	if (typed)
		entry(p, "apiVersion", AGG_GROUP_VERSION);
	if (item->namespace_)
		containers(p, item);
	if (typed)
		entry(p, "kind", item->kind);
	metadata(p, item, created);
	entry(p, "timestamp", timestamp);
	if (!item->namespace_)
		usage(p, &item->usage);
	entry(p, "window", window);
}

void agg_item_write_yaml(struct km_buf *out, const struct agg_item *item, const char *created, const char *meta_version,
	bool typed, bool element)
{
	struct place p = {.out = out, .at = element ? 2 : 0, .dash = element};

	if (meta_version)
		partial(&p, item, created, meta_version);
	else
		whole(&p, item, created, typed);
}

void agg_yaml_list_begin(struct km_buf *out, const char *api_version)
{
	entry(&(struct place){.out = out}, "apiVersion", api_version);
}

void agg_yaml_list_first(struct km_buf *out)
{
	open_key(&(struct place){.out = out}, "items");
}

void agg_yaml_list_end(struct km_buf *out, const char *kind, size_t n)
{
	if (n == 0)
		km_buf_adds(out, "items: []\n");
	entry(&(struct place){.out = out}, "kind", kind);
	km_buf_adds(out, "metadata: {}\n");
}

/* ---- tables ---- */

void agg_yaml_table_begin(struct km_buf *out, const char *meta_version)
{
	entry(&(struct place){.out = out}, "apiVersion", meta_version);
}

static void columns(struct km_buf *out, unsigned keys)
{
	struct agg_table_column all[AGG_TABLE_COLUMNS_MAX];
	size_t n = agg_table_columns(keys, all);
	struct place p = {.out = out, .at = 2};

	km_buf_adds(out, "columnDefinitions:\n");
	for (size_t i = 0; i < n; i++) {
		p.dash = true;
		entry(&p, "description", all[i].description);
		entry(&p, "format", all[i].format);
		entry(&p, "name", all[i].name);
		km_buf_adds(out, "  priority: 0\n");
		entry(&p, "type", "string");
	}
	km_buf_adds(out, "kind: Table\nmetadata: {}\nrows:\n");
}

static void cell(struct place *p, const char *value)
{
	p->dash = true;
	start(p);
	text(p->out, value);
	km_buf_addc(p->out, '\n');
}

static void cells(struct place *p, const struct agg_item *item, unsigned keys)
{
	char quantity[KM_QUANTITY_TEXT_MAX], window[KM_DURATION_TEXT_MAX];

	open_key(p, "cells");
	p->at += 2;
	cell(p, item->name);
	for (unsigned key = 0; key < AGG_KEYS; key++) {
		if (!(keys & 1u << key))
			continue;
		agg_table_cell(item, key, quantity);
		cell(p, quantity);
	}
	km_duration_format(item->usage.window_ns, window);
	cell(p, window);
	p->at -= 2;
}

void agg_yaml_table_row(struct km_buf *out, const struct agg_item *item, size_t n, unsigned keys, const char *created,
	const char *meta_version, enum agg_include include)
{
	struct place p = {.out = out, .at = 2, .dash = true};

	if (n == 0)
		columns(out, keys);
	cells(&p, item, keys);
	if (include == AGG_INCLUDE_NONE) {
		km_buf_adds(out, "  object: null\n");
		return;
	}
	open_key(&p, "object");
	p.at += 2;
	if (include == AGG_INCLUDE_METADATA)
		partial(&p, item, created, meta_version);
	else
		whole(&p, item, created, true);
}

void agg_yaml_table_end(struct km_buf *out, size_t n)
{
	if (n == 0)
		km_buf_adds(out, "columnDefinitions: null\nkind: Table\nmetadata: {}\nrows: null\n");
}

/* ---- documents ---- */

int agg_yaml_of_json(const struct km_buf *json, struct km_buf *out)
{
	json_t *tree = json->error ? NULL : json_loadb(json->data, json->len, 0, NULL), *sorted = NULL;
	char *dumped = tree ? json_dumps(tree, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	int r = -EINVAL;

	/* jansson keeps the order in which keys were read */
	if (dumped)
		sorted = json_loads(dumped, 0, NULL);
	if (sorted)
		r = kube_yaml_emit(sorted, out);
	json_decref(sorted);
	json_decref(tree);
	free(dumped);
	return r;
}
