/* SPDX-License-Identifier: Apache-2.0 */
/* Which writer writes what; see the header. */
#include "aggregator/encode.h"

#include <string.h>

#include "aggregator/item_proto.h"
#include "aggregator/item_yaml.h"
#include "aggregator/route.h"
#include "core/clock.h"
#include "core/timetext.h"

#define SINGLE_MAX (4 * 1024 * 1024) /* as AGG_OBJECT_MAX */

void agg_encoder_init(
	struct agg_encoder *e, const struct agg_accept *accept, enum agg_include include, bool pods, bool pretty)
{
	int64_t now_ns = km_wall_ns();

	*e = (struct agg_encoder){.accept = *accept, .include = include, .pods = pods};
	e->json.pretty = pretty;
	e->created_s = now_ns / KM_NSEC_PER_SEC;
	km_rfc3339_format(now_ns, e->created);
}

static bool is_partial(const struct agg_encoder *e)
{
	return e->accept.form == AGG_FORM_PARTIAL;
}

static const char *list_kind(const struct agg_encoder *e)
{
	if (is_partial(e))
		return "PartialObjectMetadataList";
	return e->pods ? "PodMetricsList" : "NodeMetricsList";
}

static const char *api_version(const struct agg_encoder *e)
{
	return is_partial(e) ? e->accept.meta_version : AGG_GROUP_VERSION;
}

/* ---- JSON ---- */

static void json_begin(struct agg_encoder *e)
{
	struct km_json *j = &e->json;

	if (e->accept.form == AGG_FORM_TABLE) {
		agg_table_begin(j, e->accept.meta_version);
		return;
	}
	km_json_object(j);
	km_json_kstr(j, "kind", list_kind(e));
	km_json_kstr(j, "apiVersion", api_version(e));
	km_json_key(j, "metadata");
	km_json_object(j);
	km_json_end_object(j);
	km_json_key(j, "items");
	km_json_array(j);
}

static void json_item(struct agg_encoder *e, const struct agg_item *item, bool typed)
{
	if (e->accept.form == AGG_FORM_TABLE)
		agg_table_row(&e->json, item, e->written, e->keys, e->created, e->accept.meta_version, e->include);
	else if (is_partial(e))
		agg_item_write_partial(&e->json, item, e->created, e->accept.meta_version);
	else
		agg_item_write(&e->json, item, e->created, typed);
}

static void json_end(struct agg_encoder *e)
{
	if (e->accept.form == AGG_FORM_TABLE) {
		agg_table_end(&e->json, e->written);
	} else {
		km_json_end_array(&e->json);
		km_json_end_object(&e->json);
	}
}

/* ---- YAML ---- */

static void yaml_begin(const struct agg_encoder *e, struct km_buf *out)
{
	if (e->accept.form == AGG_FORM_TABLE)
		agg_yaml_table_begin(out, e->accept.meta_version);
	else
		agg_yaml_list_begin(out, api_version(e));
}

static const char *partial_version(const struct agg_encoder *e)
{
	return is_partial(e) ? e->accept.meta_version : NULL;
}

static void yaml_item(const struct agg_encoder *e, struct km_buf *out, const struct agg_item *item)
{
	if (e->accept.form == AGG_FORM_TABLE) {
		agg_yaml_table_row(out, item, e->written, e->keys, e->created, e->accept.meta_version, e->include);
		return;
	}
	if (e->written == 0)
		agg_yaml_list_first(out);
	agg_item_write_yaml(out, item, e->created, partial_version(e), false, true);
}

static void yaml_end(const struct agg_encoder *e, struct km_buf *out)
{
	if (e->accept.form == AGG_FORM_TABLE)
		agg_yaml_table_end(out, e->written);
	else
		agg_yaml_list_end(out, list_kind(e), e->written);
}

/* ---- lists ---- */

void agg_encode_begin(struct agg_encoder *e, struct km_buf *out)
{
	e->json.out = out;
	switch (e->accept.media) {
	case AGG_MEDIA_JSON:
		json_begin(e);
		break;
	case AGG_MEDIA_YAML:
		yaml_begin(e, out);
		break;
	case AGG_MEDIA_PROTOBUF:
		agg_proto_list_meta(out);
		break;
	}
}

/* Which columns a table has is for its first row to say, as upstream. */
static void note_keys(struct agg_encoder *e, const struct agg_item *item)
{
	if (e->written == 0 && e->accept.form == AGG_FORM_TABLE)
		e->keys = agg_table_keys(item);
}

void agg_encode_item(struct agg_encoder *e, struct km_buf *out, const struct agg_item *item)
{
	note_keys(e, item);
	e->json.out = out;
	switch (e->accept.media) {
	case AGG_MEDIA_JSON:
		json_item(e, item, false);
		break;
	case AGG_MEDIA_YAML:
		yaml_item(e, out, item);
		break;
	case AGG_MEDIA_PROTOBUF:
		agg_item_write_proto_element(out, item, e->created_s, is_partial(e));
		break;
	}
	e->written++;
}

void agg_encode_end(struct agg_encoder *e, struct km_buf *out)
{
	e->json.out = out;
	switch (e->accept.media) {
	case AGG_MEDIA_JSON:
		json_end(e);
		if (!e->json.pretty)
			km_buf_addc(out, '\n');
		break;
	case AGG_MEDIA_YAML:
		yaml_end(e, out);
		break;
	case AGG_MEDIA_PROTOBUF:
		break;
	}
}

void agg_encode_envelope_begin(const struct agg_encoder *e, struct km_buf *out, size_t raw_len)
{
	if (e->accept.media == AGG_MEDIA_PROTOBUF)
		agg_proto_envelope_begin(out, api_version(e), list_kind(e), raw_len);
}

void agg_encode_envelope_end(const struct agg_encoder *e, struct km_buf *out)
{
	if (e->accept.media == AGG_MEDIA_PROTOBUF)
		agg_proto_envelope_end(out);
}

/* ---- one object ---- */

static void single_json(struct agg_encoder *e, struct km_buf *out, const struct agg_item *item)
{
	e->json.out = out;
	if (e->accept.form == AGG_FORM_TABLE) {
		json_begin(e);
		json_item(e, item, true);
		e->written++;
		json_end(e);
	} else {
		json_item(e, item, true);
	}
	if (!e->json.pretty)
		km_buf_addc(out, '\n');
}

static void single_yaml(struct agg_encoder *e, struct km_buf *out, const struct agg_item *item)
{
	if (e->accept.form == AGG_FORM_TABLE) {
		yaml_begin(e, out);
		yaml_item(e, out, item);
	} else {
		agg_item_write_yaml(out, item, e->created, partial_version(e), true, false);
	}
}

static void single_proto(struct agg_encoder *e, struct km_buf *out, const struct agg_item *item)
{
	_cleanup_buf_ struct km_buf raw = KM_BUF_INIT(SINGLE_MAX);

	agg_item_write_proto(&raw, item, e->created_s, is_partial(e));
	agg_proto_envelope_begin(out, api_version(e), is_partial(e) ? "PartialObjectMetadata" : item->kind, raw.len);
	km_buf_add(out, raw.data, raw.len);
	agg_proto_envelope_end(out);
	if (raw.error)
		out->error = raw.error;
}

void agg_encode_single(struct agg_encoder *e, struct km_buf *out, const struct agg_item *item)
{
	note_keys(e, item);
	switch (e->accept.media) {
	case AGG_MEDIA_JSON:
		single_json(e, out, item);
		break;
	case AGG_MEDIA_YAML:
		single_yaml(e, out, item);
		break;
	case AGG_MEDIA_PROTOBUF:
		single_proto(e, out, item);
		break;
	}
}
