/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the API looks like, for kube-apiserver's aggregator and `kubectl explain` (spec metrics-api 4b): the OpenAPI v2
 * document, and those of v3 with their index. Our own descriptions of the few types; names, operation ids and
 * extensions as Kubernetes' generators give them, because clients look things up by these. Made once, from constants.
 */
#pragma once

#include "core/buf.h"

enum agg_openapi_doc {
	AGG_OPENAPI_V2,
	AGG_OPENAPI_V3_APIS,
	AGG_OPENAPI_V3_GROUP,
	AGG_OPENAPI_V3_RESOURCES,
	AGG_OPENAPI_V3_VERSION,
	AGG_OPENAPI_V3_INDEX, /* the last: it tells the tags of those before */
	AGG_OPENAPI_DOCS,
};

#define AGG_OPENAPI_HASH_MAX 129 /* hex digits of a SHA-512 and the NUL */

struct agg_openapi {
	struct {
		struct km_buf body; /* owned */
		char hash[AGG_OPENAPI_HASH_MAX];
	} docs[AGG_OPENAPI_DOCS];
};

int agg_openapi_new(struct agg_openapi **ret) _must_check_; /* -ENOMEM */
void agg_openapi_free(struct agg_openapi *o);               /* NULL is fine */

/* The document below /openapi/v3/ with this name ("apis/metrics.k8s.io", "" is the index), or AGG_OPENAPI_DOCS. */
enum agg_openapi_doc agg_openapi_v3_named(const char *name);
/* The name of such a document. */
const char *agg_openapi_v3_name(enum agg_openapi_doc doc);
