/* SPDX-License-Identifier: Apache-2.0 */
/* Headers, error texts and bodies as recorded; see the header. */
#include "aggregator/reply.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "aggregator/api.h"
#include "aggregator/gzip.h"
#include "aggregator/item_yaml.h"
#include "aggregator/status.h"
#include "aggregator/stream.h"

#define TEXT "text/plain; charset=utf-8"

/* ---- headers ---- */

static bool plain_id(const char *id)
{
	size_t n = strlen(id);

	return n > 0 && n <= AGG_AUDIT_ID_MAX &&
	       strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

void agg_reply_audit_id(struct km_http_req *req)
{
	const char *given = km_http_req_header(req, "Audit-Id");
	unsigned char b[16] = {0};
	char fresh[37];

	if (given && plain_id(given)) {
		km_http_req_add_header(req, "Audit-Id", given);
		return;
	}
	/* No randomness, no matter: the id only helps to find a line in somebody's log. */
	(void)RAND_bytes(b, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(fresh, sizeof(fresh), "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
		b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
	km_http_req_add_header(req, "Audit-Id", fresh);
}

bool agg_reply_wants_pretty(struct km_http_req *req)
{
	static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
	static const char *const agents[] = {"curl", "Wget", "Mozilla/5.0"};
	const char *pretty = km_url_param(km_http_req_url(req), "pretty");
	const char *agent = km_http_req_header(req, "User-Agent");

	if (pretty && *pretty) {
		for (size_t i = 0; i < KM_ARRAY_LEN(yes); i++)
			if (strcmp(pretty, yes[i]) == 0)
				return true;
		return false;
	}
	for (size_t i = 0; agent && i < KM_ARRAY_LEN(agents); i++)
		if (strncmp(agent, agents[i], strlen(agents[i])) == 0)
			return true;
	return false;
}

bool agg_reply_takes_gzip(struct km_http_req *req)
{
	return agg_accept_gzip(km_http_req_header(req, "Accept-Encoding"));
}

static void compressed(struct km_http_req *req)
{
	km_http_req_add_header(req, "Content-Encoding", "gzip");
	km_http_req_add_header(req, "Vary", "Accept-Encoding");
}

static void not_cached(struct km_http_req *req)
{
	km_http_req_add_header(req, "Cache-Control", "no-cache, private");
}

static void no_sniffing(struct km_http_req *req)
{
	km_http_req_add_header(req, "X-Content-Type-Options", "nosniff");
}

/* ---- bodies ---- */

void agg_reply_no_memory(struct km_http_req *req)
{
	static const char text[] = "out of memory\n";

	not_cached(req);
	km_http_reply(req, 500, TEXT, text, sizeof(text) - 1);
}

void agg_reply_media(struct km_http_req *req, int code, enum agg_media media, const struct km_buf *body)
{
	_cleanup_buf_ struct km_buf small = KM_BUF_INIT(AGG_OBJECT_MAX);

	if (body->error) {
		agg_reply_no_memory(req);
		return;
	}
	not_cached(req);
	if (body->len > AGG_GZIP_THRESHOLD && agg_reply_takes_gzip(req) &&
		agg_gzip_whole(body->data, body->len, &small) == 0) {
		compressed(req);
		body = &small;
	}
	km_http_reply(req, code, agg_media_type(media), body->data, body->len);
}

void agg_reply_json(struct km_http_req *req, int code, const struct km_buf *body)
{
	agg_reply_media(req, code, AGG_MEDIA_JSON, body);
}

void agg_reply_document(struct km_http_req *req, int code, enum agg_media media, const struct km_buf *json)
{
	_cleanup_buf_ struct km_buf yaml = KM_BUF_INIT(AGG_REPLY_MAX);

	if (media == AGG_MEDIA_YAML && agg_yaml_of_json(json, &yaml) == 0)
		agg_reply_media(req, code, media, &yaml);
	else
		agg_reply_json(req, code, json);
}

void agg_reply_tagged(struct km_http_req *req, const struct agg_tagged *how, const struct km_buf *body)
{
	if (body->error) {
		agg_reply_no_memory(req);
		return;
	}
	km_http_req_add_header(req, "Cache-Control", how->cache_control);
	km_http_req_add_header(req, "ETag", how->etag);
	if (how->vary)
		km_http_req_add_header(req, "Vary", "Accept");
	if (agg_accept_has_tag(km_http_req_header(req, "If-None-Match"), how->etag))
		km_http_reply(req, 304, NULL, NULL, 0);
	else
		km_http_reply(req, 200, how->content_type, body->data, body->len);
}

void agg_reply_text(struct km_http_req *req, int code, const char *text, size_t len)
{
	not_cached(req);
	no_sniffing(req);
	km_http_reply(req, code, TEXT, text, len);
}

void agg_reply_stream(struct km_http_req *req, const char *content_type, bool gzip, km_http_produce_fn produce,
	km_loop_fn done, void *arg)
{
	not_cached(req);
	if (gzip)
		compressed(req);
	km_http_stream(req, 200, content_type, produce, done, arg);
}

static void reply_status(struct km_http_req *req, const struct agg_status *status, bool pretty)
{
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(AGG_REPLY_MAX);
	struct agg_accept accept = {.media = AGG_MEDIA_JSON};

	if (agg_accept_choose(km_http_req_header(req, "Accept"), AGG_OFFER_STATUS, &accept) < 0)
		pretty = true;
	if (accept.media == AGG_MEDIA_PROTOBUF) {
		agg_status_write_proto(&out, status);
		agg_reply_media(req, status->code, accept.media, &out);
	} else {
		agg_status_write(&out, status, pretty || accept.pretty);
		agg_reply_document(req, status->code, accept.media, &out);
	}
}

/* ---- errors ---- */

void agg_reply_bad_request(struct km_http_req *req, const char *message, bool pretty)
{
	reply_status(req, &(const struct agg_status){.code = 400, .reason = "BadRequest", .message = message}, pretty);
}

void agg_reply_invalid_options(struct km_http_req *req, const struct agg_list_faults *faults, bool pretty)
{
	_cleanup_buf_ struct km_buf message = KM_BUF_INIT(AGG_REPLY_MAX / 2);

	km_buf_addf(&message, "ListOptions.meta.k8s.io \"\" is invalid: %s", faults->n > 1 ? "[" : "");
	for (size_t i = 0; i < faults->n; i++)
		km_buf_addf(
			&message, "%s%s: %s", i > 0 ? ", " : "", faults->causes[i].field, faults->causes[i].message);
	if (faults->n > 1)
		km_buf_addc(&message, ']');
	reply_status(req,
		&(const struct agg_status){.code = 422,
			.reason = "Invalid",
			.message = message.error ? "invalid" : message.data,
			.details = true,
			.group = "meta.k8s.io",
			.kind = "ListOptions",
			.causes = faults->causes,
			.n_causes = faults->n},
		pretty);
}

void agg_reply_unauthorized(struct km_http_req *req, bool pretty)
{
	reply_status(req, &(const struct agg_status){.code = 401, .reason = "Unauthorized", .message = "Unauthorized"},
		pretty);
}

/* What was forbidden to whom, in Kubernetes' words. */
static void describe_forbidden(
	struct km_buf *out, const struct agg_user *user, const struct agg_attributes *what, const char *reason)
{
	if (!what->resource) {
		km_buf_adds(out, "forbidden: User ");
	} else {
		km_buf_addf(out, "%s.%s ", what->resource_name, what->group);
		if (*what->name) {
			agg_quote(out, what->name);
			km_buf_addc(out, ' ');
		}
		km_buf_adds(out, "is forbidden: User ");
	}
	agg_quote(out, user->name);
	km_buf_addf(out, " cannot %s ", what->verb);
	if (!what->resource) {
		km_buf_adds(out, "path ");
		agg_quote(out, what->path);
	} else {
		km_buf_adds(out, "resource ");
		agg_quote(out, what->resource_name);
		km_buf_adds(out, " in API group ");
		agg_quote(out, what->group);
		if (*what->namespace_) {
			km_buf_adds(out, " in the namespace ");
			agg_quote(out, what->namespace_);
		} else {
			km_buf_adds(out, " at the cluster scope");
		}
	}
	if (*reason)
		km_buf_addf(out, ": %s", reason);
}

void agg_reply_forbidden(struct km_http_req *req, const struct agg_user *user, const struct agg_attributes *what,
	const char *reason, bool pretty, struct km_err *ret_cause)
{
	_cleanup_buf_ struct km_buf message = KM_BUF_INIT(AGG_REPLY_MAX / 2);
	struct agg_status status = {.code = 403, .reason = "Forbidden", .details = true};

	describe_forbidden(&message, user, what, reason);
	status.message = message.error ? "forbidden" : message.data;
	if (what->resource) {
		status.name = *what->name ? what->name : NULL;
		status.group = what->group;
		status.kind = what->resource_name;
	}
	if (ret_cause)
		(void)km_fail(ret_cause, -1, "%s", status.message);
	no_sniffing(req);
	reply_status(req, &status, pretty);
}

void agg_reply_no_impersonation(struct km_http_req *req, bool pretty)
{
	no_sniffing(req);
	reply_status(req,
		&(const struct agg_status){.code = 403,
			.reason = "Forbidden",
			.message = "impersonation is not supported here; ask through the API server",
			.details = true},
		pretty);
}

void agg_reply_not_found(struct km_http_req *req, bool pretty)
{
	reply_status(req,
		&(const struct agg_status){.code = 404,
			.reason = "NotFound",
			.message = "the server could not find the requested resource",
			.details = true},
		pretty);
}

/* `LABEL "NAME" not found` */
static void reply_absent(struct km_http_req *req, const char *label, struct agg_status *status, bool pretty)
{
	_cleanup_buf_ struct km_buf message = KM_BUF_INIT(AGG_REPLY_MAX / 2);

	km_buf_addf(&message, "%s ", label);
	agg_quote(&message, status->name);
	km_buf_adds(&message, " not found");
	status->code = 404;
	status->reason = "NotFound";
	status->details = true;
	status->message = message.error ? "not found" : message.data;
	reply_status(req, status, pretty);
}

void agg_reply_no_object(struct km_http_req *req, const char *kind, const char *name, bool pretty)
{
	struct agg_status status = {.name = name, .kind = kind};

	reply_absent(req, kind, &status, pretty);
}

void agg_reply_no_metrics(
	struct km_http_req *req, const char *kind, const char *namespace_, const char *name, bool pretty)
{
	_cleanup_buf_ struct km_buf full = KM_BUF_INIT(AGG_REPLY_MAX / 2);
	struct agg_status status = {.group = AGG_GROUP, .kind = kind};
	char label[64];

	snprintf(label, sizeof(label), "%s." AGG_GROUP, kind);
	if (*namespace_)
		km_buf_addf(&full, "%s/", namespace_);
	km_buf_adds(&full, name);
	status.name = full.error ? name : full.data;
	reply_absent(req, label, &status, pretty);
}

void agg_reply_no_method(struct km_http_req *req, bool pretty)
{
	reply_status(req,
		&(const struct agg_status){.code = 405,
			.reason = "MethodNotAllowed",
			.message = "the server does not allow this method on the requested resource",
			.details = true},
		pretty);
}

void agg_reply_no_watch(struct km_http_req *req, const char *resource, bool pretty)
{
	char message[128];

	snprintf(
		message, sizeof(message), "watch is not supported on resources of kind \"%s." AGG_GROUP "\"", resource);
	reply_status(req,
		&(const struct agg_status){.code = 405,
			.reason = "MethodNotAllowed",
			.message = message,
			.details = true,
			.group = AGG_GROUP,
			.kind = resource},
		pretty);
}

void agg_reply_not_acceptable(struct km_http_req *req)
{
	/* Always pretty, as upstream: without a form both know there is no compact one either. */
	reply_status(req,
		&(const struct agg_status){.code = 406,
			.reason = "NotAcceptable",
			.message =
				"406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "
				"application/vnd.kubernetes.protobuf, application/json;stream=watch, "
				"application/vnd.kubernetes.protobuf;stream=watch",
			.details = true},
		true);
}

void agg_reply_too_many(struct km_http_req *req)
{
	static const char text[] = "Too many requests, please try again later.\n";

	km_http_req_add_header(req, "Retry-After", "1");
	agg_reply_text(req, 429, text, sizeof(text) - 1);
}

void agg_reply_unavailable(struct km_http_req *req, const char *message, bool pretty)
{
	km_http_req_add_header(req, "Retry-After", "1");
	reply_status(req,
		&(const struct agg_status){.code = 503,
			.reason = "ServiceUnavailable",
			.message = message,
			.details = true,
			.retry_after_s = 1},
		pretty);
}

void agg_reply_review_failed(struct km_http_req *req, const char *text)
{
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(AGG_REPLY_MAX), uri = KM_BUF_INIT(AGG_REPLY_MAX / 2);

	/* Kubernetes neutralises what a browser could take for markup. */
	for (const char *s = km_http_req_target(req); *s; s++) {
		if (*s == '&')
			km_buf_adds(&uri, "&amp;");
		else if (*s == '<')
			km_buf_adds(&uri, "&lt;");
		else if (*s == '>')
			km_buf_adds(&uri, "&gt;");
		else
			km_buf_addc(&uri, *s);
	}
	km_buf_adds(&out, "Internal Server Error: ");
	agg_quote(&out, uri.error ? "" : uri.data);
	km_buf_addf(&out, ": %s\n", text);
	agg_reply_text(req, 500, out.error ? "" : out.data, out.error ? 0 : out.len);
}
