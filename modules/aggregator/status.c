/* SPDX-License-Identifier: Apache-2.0 */
/* Status objects; see the header. */
#include "aggregator/status.h"

#include "aggregator/item_proto.h"
#include "core/json.h"
#include "core/proto.h"

#define RAW_MAX ((size_t)64 * 1024)

/* Field numbers of meta/v1 (generated.proto). */
enum { STATUS_META = 1, STATUS_STATUS, STATUS_MESSAGE, STATUS_REASON, STATUS_DETAILS, STATUS_CODE };
enum { DETAILS_NAME = 1, DETAILS_GROUP, DETAILS_KIND, DETAILS_CAUSES, DETAILS_RETRY_AFTER, DETAILS_UID };
enum { CAUSE_REASON = 1, CAUSE_MESSAGE, CAUSE_FIELD };

static void write_details(struct km_json *j, const struct agg_status *s)
{
	km_json_key(j, "details");
	km_json_object(j);
	if (s->name)
		km_json_kstr(j, "name", s->name);
	if (s->group)
		km_json_kstr(j, "group", s->group);
	if (s->kind)
		km_json_kstr(j, "kind", s->kind);
	if (s->n_causes > 0) {
		km_json_key(j, "causes");
		km_json_array(j);
		for (size_t i = 0; i < s->n_causes; i++) {
			km_json_object(j);
			km_json_kstr(j, "reason", s->causes[i].reason);
			km_json_kstr(j, "message", s->causes[i].message);
			km_json_kstr(j, "field", s->causes[i].field);
			km_json_end_object(j);
		}
		km_json_end_array(j);
	}
	if (s->retry_after_s > 0)
		km_json_kint(j, "retryAfterSeconds", s->retry_after_s);
	km_json_end_object(j);
}

void agg_status_write(struct km_buf *out, const struct agg_status *s, bool pretty)
{
	struct km_json j = KM_JSON_INIT(out, pretty);

	km_json_object(&j);
	km_json_kstr(&j, "kind", "Status");
	km_json_kstr(&j, "apiVersion", "v1");
	km_json_key(&j, "metadata");
	km_json_object(&j);
	km_json_end_object(&j);
	km_json_kstr(&j, "status", "Failure");
	km_json_kstr(&j, "message", s->message);
	km_json_kstr(&j, "reason", s->reason);
	if (s->details)
		write_details(&j, s);
	km_json_kint(&j, "code", s->code);
	km_json_end_object(&j);
	if (!pretty)
		km_buf_addc(out, '\n');
}

static void write_details_proto(struct km_buf *out, const struct agg_status *s)
{
	size_t details = km_proto_begin(out, STATUS_DETAILS);

	km_proto_str(out, DETAILS_NAME, s->name ? s->name : "");
	km_proto_str(out, DETAILS_GROUP, s->group ? s->group : "");
	km_proto_str(out, DETAILS_KIND, s->kind ? s->kind : "");
	for (size_t i = 0; i < s->n_causes; i++) {
		size_t cause = km_proto_begin(out, DETAILS_CAUSES);

		km_proto_str(out, CAUSE_REASON, s->causes[i].reason);
		km_proto_str(out, CAUSE_MESSAGE, s->causes[i].message);
		km_proto_str(out, CAUSE_FIELD, s->causes[i].field);
		km_proto_end(out, cause);
	}
	km_proto_int(out, DETAILS_RETRY_AFTER, s->retry_after_s);
	km_proto_str(out, DETAILS_UID, "");
	km_proto_end(out, details);
}

void agg_status_write_proto(struct km_buf *out, const struct agg_status *s)
{
	_cleanup_buf_ struct km_buf raw = KM_BUF_INIT(RAW_MAX);

	agg_proto_list_meta(&raw);
	km_proto_str(&raw, STATUS_STATUS, "Failure");
	km_proto_str(&raw, STATUS_MESSAGE, s->message);
	km_proto_str(&raw, STATUS_REASON, s->reason);
	if (s->details)
		write_details_proto(&raw, s);
	km_proto_int(&raw, STATUS_CODE, s->code);
	agg_proto_envelope_begin(out, "v1", "Status", raw.len);
	km_buf_add(out, raw.data, raw.len);
	agg_proto_envelope_end(out);
	if (raw.error)
		out->error = raw.error;
}

void agg_quote(struct km_buf *out, const char *text)
{
	static const char escapes[] = {'a', 'b', 't', 'n', 'v', 'f', 'r'}; /* of 7..13 */

	km_buf_addc(out, '"');
	for (const char *s = text; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			km_buf_addf(out, "\\%c", c);
		else if (c >= 7 && c <= 13)
			km_buf_addf(out, "\\%c", escapes[c - 7]);
		else if (c < 0x20 || c == 0x7f)
			km_buf_addf(out, "\\x%02x", c);
		else
			km_buf_addc(out, (char)c);
	}
	km_buf_addc(out, '"');
}
