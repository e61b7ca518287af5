/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of the forms and encodings we can give a client accepts (spec metrics-api 4e; Kubernetes' negotiation: clauses
 * by weight, the first that names one on offer). Pure; fuzzed.
 */
#pragma once

#include "core/base.h"

#define AGG_ACCEPT_CLAUSES_MAX 32 /* further ones are not looked at */

enum agg_form {
	AGG_FORM_PLAIN,
	AGG_FORM_TABLE,      /* meta.k8s.io Table */
	AGG_FORM_PARTIAL,    /* meta.k8s.io PartialObjectMetadata, or its list */
	AGG_FORM_AGGREGATED, /* apidiscovery.k8s.io/v2 APIGroupDiscoveryList */
};

enum agg_media { AGG_MEDIA_JSON, AGG_MEDIA_YAML, AGG_MEDIA_PROTOBUF };

/* What stands at the place that was asked for; each comes in all encodings. */
enum agg_offer { AGG_OFFER_DOCUMENT, AGG_OFFER_GROUPS, AGG_OFFER_STATUS, AGG_OFFER_OBJECT, AGG_OFFER_LIST };

struct agg_accept {
	enum agg_media media;
	bool json_too; /* media is another one, but JSON in the same form would do */
	enum agg_form form;
	const char *meta_version; /* "meta.k8s.io/v1" or "meta.k8s.io/v1beta1", as the client asked */
	bool pretty;              /* ;pretty=1 */
};

/* "application/json" */
const char *agg_media_type(enum agg_media media);

/* header NULL: anything goes. 0, or -ENOENT when nothing on offer is accepted (406). */
int agg_accept_choose(const char *header, enum agg_offer offer, struct agg_accept *ret) _must_check_;

/* Accept-Encoding names gzip, bare, as Kubernetes looks for it. header NULL: no. */
bool agg_accept_gzip(const char *header);
/* If-None-Match names this tag (quoted), or anything (RFC 9110 13.1.2). header NULL: no. */
bool agg_accept_has_tag(const char *header, const char *etag);
