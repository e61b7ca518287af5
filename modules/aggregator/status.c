/* SPDX-License-Identifier: Apache-2.0 */
/* Status objects; see the header. */
#include "aggregator/status.h"

#include "core/json.h"

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
