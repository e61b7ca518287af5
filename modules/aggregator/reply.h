/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last step of a request: its headers, and each error with the text, body and headers that Kubernetes' clients know
 * (spec metrics-api 4d, 4e). Every function here replies, and so ends the request, unless it says otherwise. Errors are
 * encoded as the client accepts; what it cannot be given in a way it accepts comes as readable JSON.
 */
#pragma once

#include "aggregator/accept.h"
#include "aggregator/authz.h"
#include "aggregator/list_options.h"
#include "core/buf.h"
#include "net/http_server.h"

#define AGG_REPLY_MAX  (64 * 1024)       /* documents and errors */
#define AGG_OBJECT_MAX (4 * 1024 * 1024) /* one node or pod with its labels and containers */

/* Adds the Audit-Id: the client's own if it is a plain one, else a fresh one. Does not reply. */
void agg_reply_audit_id(struct km_http_req *req);
/* ?pretty, or a browser or command line client by its User-Agent. Does not reply. */
bool agg_reply_wants_pretty(struct km_http_req *req);

/* The client decompresses gzip. */
bool agg_reply_takes_gzip(struct km_http_req *req);

/* A document; body->error becomes a 500. */
void agg_reply_json(struct km_http_req *req, int code, const struct km_buf *body);
/* The same from JSON in another encoding that can be had from it (YAML), or as it is. */
void agg_reply_document(struct km_http_req *req, int code, enum agg_media media, const struct km_buf *json);
/* What is encoded already; gzipped when it is long. */
void agg_reply_media(struct km_http_req *req, int code, enum agg_media media, const struct km_buf *body);
/* A document under a tag (quoted): 304 without a body when If-None-Match names it. */
struct agg_tagged {
	const char *etag, *content_type, *cache_control;
	bool vary; /* what is given depends on Accept */
};
void agg_reply_tagged(struct km_http_req *req, const struct agg_tagged *how, const struct km_buf *body);
void agg_reply_text(struct km_http_req *req, int code, const char *text, size_t len);
/* Made in slices, see km_http_stream. gzip: what produce gives is. */
void agg_reply_stream(struct km_http_req *req, const char *content_type, bool gzip, km_http_produce_fn produce,
	km_loop_fn done, void *arg);

void agg_reply_bad_request(struct km_http_req *req, const char *message, bool pretty);
/* Options of a list that do not go together; faults: at least one. */
void agg_reply_invalid_options(struct km_http_req *req, const struct agg_list_faults *faults, bool pretty);
void agg_reply_unauthorized(struct km_http_req *req, bool pretty);
/* reason: the API server's, "" if none; what a log should say is put into ret_cause (may be NULL). */
void agg_reply_forbidden(struct km_http_req *req, const struct agg_user *user, const struct agg_attributes *what,
	const char *reason, bool pretty, struct km_err *ret_cause);
void agg_reply_no_impersonation(struct km_http_req *req, bool pretty);
void agg_reply_not_found(struct km_http_req *req, bool pretty);
/* No such node or pod. kind as upstream words it: "node", "pods". */
void agg_reply_no_object(struct km_http_req *req, const char *kind, const char *name, bool pretty);
/* It exists, but there are no figures. namespace_ "" for nodes. */
void agg_reply_no_metrics(
	struct km_http_req *req, const char *kind, const char *namespace_, const char *name, bool pretty);
void agg_reply_no_method(struct km_http_req *req, bool pretty);
void agg_reply_no_watch(struct km_http_req *req, const char *resource, bool pretty);
void agg_reply_not_acceptable(struct km_http_req *req);
void agg_reply_too_many(struct km_http_req *req);
void agg_reply_unavailable(struct km_http_req *req, const char *message, bool pretty);
void agg_reply_review_failed(struct km_http_req *req, const char *text);
void agg_reply_no_memory(struct km_http_req *req);
