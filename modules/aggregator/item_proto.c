/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages, field by field. Kubernetes' types are proto2 with non-nullable fields: empty texts and zeros are
 * written, absent pointers and empty maps are not.
 */
#include "aggregator/item_proto.h"

#include "core/clock.h"
#include "core/proto.h"

/* Field numbers, as in the generated.proto of the package named. */
enum { UNKNOWN_TYPE = 1, UNKNOWN_RAW, UNKNOWN_CONTENT_ENCODING, UNKNOWN_CONTENT_TYPE }; /* runtime */
enum { TYPE_API_VERSION = 1, TYPE_KIND };                                               /* runtime TypeMeta */
enum { LIST_META = 1, LIST_ITEMS };                                                     /* each list */
enum { LIST_META_SELF_LINK = 1, LIST_META_RESOURCE_VERSION, LIST_META_CONTINUE };       /* meta/v1 */
enum {
	META_NAME = 1,
	META_GENERATE_NAME,
	META_NAMESPACE,
	META_SELF_LINK,
	META_UID,
	META_RESOURCE_VERSION,
	META_GENERATION,
	META_CREATED,
	META_LABELS = 11,
};                                                                        /* meta/v1 ObjectMeta */
enum { TIME_SECONDS = 1, TIME_NANOS };                                    /* meta/v1 Timestamp */
enum { DURATION_NS = 1 };                                                 /* meta/v1 */
enum { QUANTITY_TEXT = 1 };                                               /* api/resource */
enum { MAP_KEY = 1, MAP_VALUE };                                          /* entries of any map */
enum { ITEM_META = 1, ITEM_TIMESTAMP, ITEM_WINDOW, ITEM_USAGE_OR_PARTS }; /* metrics NodeMetrics, PodMetrics */
enum { CONTAINER_NAME = 1, CONTAINER_USAGE };                             /* metrics ContainerMetrics */

static const char magic[4] = {'k', '8', 's', '\0'};

void agg_proto_envelope_begin(struct km_buf *out, const char *api_version, const char *kind, size_t raw_len)
{
	size_t type;

	km_buf_add(out, magic, sizeof(magic));
	type = km_proto_begin(out, UNKNOWN_TYPE);
	km_proto_str(out, TYPE_API_VERSION, api_version);
	km_proto_str(out, TYPE_KIND, kind);
	km_proto_end(out, type);
	km_proto_varint(out, UNKNOWN_RAW << 3 | 2); /* the tag of bytes that come later */
	km_proto_varint(out, raw_len);
}

void agg_proto_envelope_end(struct km_buf *out)
{
	km_proto_str(out, UNKNOWN_CONTENT_ENCODING, "");
	km_proto_str(out, UNKNOWN_CONTENT_TYPE, "");
}

void agg_proto_list_meta(struct km_buf *out)
{
	size_t meta = km_proto_begin(out, LIST_META);

	km_proto_str(out, LIST_META_SELF_LINK, "");
	km_proto_str(out, LIST_META_RESOURCE_VERSION, "");
	km_proto_str(out, LIST_META_CONTINUE, "");
	km_proto_end(out, meta);
}

static void write_time(struct km_buf *out, unsigned field, int64_t seconds)
{
	size_t time = km_proto_begin(out, field);

	km_proto_int(out, TIME_SECONDS, seconds);
	km_proto_int(out, TIME_NANOS, 0);
	km_proto_end(out, time);
}

static void write_identity(struct km_buf *out, const char *name, const char *namespace_)
{
	km_proto_str(out, META_NAME, name);
	km_proto_str(out, META_GENERATE_NAME, "");
	km_proto_str(out, META_NAMESPACE, namespace_);
	km_proto_str(out, META_SELF_LINK, "");
	km_proto_str(out, META_UID, "");
	km_proto_str(out, META_RESOURCE_VERSION, "");
	km_proto_int(out, META_GENERATION, 0);
}

void agg_proto_named_meta(struct km_buf *out, unsigned field, const char *name)
{
	size_t meta = km_proto_begin(out, field), created;

	write_identity(out, name, "");
	created = km_proto_begin(out, META_CREATED); /* no time: an empty message */
	km_proto_end(out, created);
	km_proto_end(out, meta);
}

static void write_metadata(struct km_buf *out, const struct agg_item *item, int64_t created_s)
{
	size_t meta = km_proto_begin(out, ITEM_META), label;

	write_identity(out, item->name, item->namespace_ ? item->namespace_ : "");
	write_time(out, META_CREATED, created_s);
	for (size_t i = 0; item->labels && i < item->labels->n; i++) {
		label = km_proto_begin(out, META_LABELS);
		km_proto_str(out, MAP_KEY, item->labels->items[i].key);
		km_proto_str(out, MAP_VALUE, item->labels->items[i].value);
		km_proto_end(out, label);
	}
	km_proto_end(out, meta);
}

static void write_quantity(struct km_buf *out, unsigned field, const char *name, const char *text)
{
	size_t entry = km_proto_begin(out, field), value;

	km_proto_str(out, MAP_KEY, name);
	value = km_proto_begin(out, MAP_VALUE);
	km_proto_str(out, QUANTITY_TEXT, text);
	km_proto_end(out, value);
	km_proto_end(out, entry);
}

static void write_usage(struct km_buf *out, unsigned field, const struct agg_usage *usage)
{
	char text[KM_QUANTITY_TEXT_MAX];

	for (unsigned key = 0; key < AGG_KEYS; key++)
		if (agg_usage_text(usage, key, text))
			write_quantity(out, field, agg_key_names[key], text);
}

static void write_containers(struct km_buf *out, const struct agg_item *item)
{
	for (size_t i = 0; i < item->n_containers; i++) {
		const struct agg_container_usage *c = &item->containers[i];
		size_t container = km_proto_begin(out, ITEM_USAGE_OR_PARTS);

		km_proto_str(out, CONTAINER_NAME, c->name);
		write_usage(out, CONTAINER_USAGE, &c->usage);
		km_proto_end(out, container);
	}
}

void agg_item_write_proto(struct km_buf *out, const struct agg_item *item, int64_t created_s, bool partial)
{
	size_t window;

	write_metadata(out, item, created_s);
	if (partial)
		return;
	write_time(out, ITEM_TIMESTAMP, item->usage.timestamp_ns / KM_NSEC_PER_SEC);
	window = km_proto_begin(out, ITEM_WINDOW);
	km_proto_int(out, DURATION_NS, item->usage.window_ns);
	km_proto_end(out, window);
	if (item->namespace_)
		write_containers(out, item);
	else
		write_usage(out, ITEM_USAGE_OR_PARTS, &item->usage);
}

void agg_item_write_proto_element(struct km_buf *out, const struct agg_item *item, int64_t created_s, bool partial)
{
	size_t element = km_proto_begin(out, LIST_ITEMS);

	agg_item_write_proto(out, item, created_s, partial);
	km_proto_end(out, element);
}
