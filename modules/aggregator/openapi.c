/* SPDX-License-Identifier: Apache-2.0 */
/* Serving the documents with the headers of Kubernetes' handlers (kube-openapi handler, handler3); see the header. */
#include "aggregator/openapi.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "aggregator/reply.h"
#include "core/clock.h"

#define YEAR_S (INT64_C(365) * 24 * 3600)

static void add_expires(struct km_http_req *req)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t at = (time_t)(km_wall_ns() / KM_NSEC_PER_SEC + YEAR_S);
	struct tm tm;
	char text[64];

	if (!gmtime_r(&at, &tm))
		return;
	snprintf(text, sizeof(text), "%s, %02d %s %d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
		months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
	km_http_req_add_header(req, "Expires", text);
}

static void redirect(struct km_http_req *req, enum agg_openapi_doc doc, const char *hash)
{
	char url[256];

	snprintf(url, sizeof(url), "/openapi/v3/%s?hash=%s", agg_openapi_v3_name(doc), hash);
	km_http_req_add_header(req, "Location", url);
	km_http_req_add_header(req, "Vary", "Accept");
	agg_reply_text(req, 301, "", 0);
}

void agg_openapi_answer(struct km_http_req *req, const struct agg_openapi *o, enum agg_openapi_doc doc)
{
	const char *asked = km_url_param(km_http_req_url(req), "hash"), *hash = o->docs[doc].hash;
	bool named = doc != AGG_OPENAPI_V2 && doc != AGG_OPENAPI_V3_INDEX;
	char etag[AGG_OPENAPI_HASH_MAX + 2];
	struct agg_accept accept;

	if (agg_accept_choose(km_http_req_header(req, "Accept"), AGG_OFFER_DOCUMENT, &accept) < 0 ||
		(accept.media != AGG_MEDIA_JSON && !accept.json_too)) {
		agg_reply_not_acceptable(req);
		return;
	}
	if (named && asked && *asked && strcmp(asked, hash) != 0) {
		redirect(req, doc, hash);
		return;
	}
	snprintf(etag, sizeof(etag), "\"%s\"", hash);
	if (named && asked && *asked)
		add_expires(req);
	agg_reply_tagged(req,
		&(const struct agg_tagged){.etag = etag,
			.content_type = "application/json",
			.cache_control = named && asked && *asked ? "public, immutable" : "no-cache, private",
			.vary = doc != AGG_OPENAPI_V3_INDEX},
		&o->docs[doc].body);
}
