/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request asks for: the place it means and the attributes its authorization is judged by (Kubernetes'
 * RequestInfo, spec metrics-api 4a). Pure; fuzzed.
 */
#pragma once

#include "aggregator/authz.h"
#include "aggregator/fields.h"
#include "aggregator/openapi_docs.h"
#include "net/url.h"

#define AGG_GROUP         "metrics.k8s.io"
#define AGG_VERSION       "v1beta1"
#define AGG_GROUP_VERSION AGG_GROUP "/" AGG_VERSION

enum agg_place {
	AGG_PLACE_ROOT,        /* / and /index.html: which paths there are */
	AGG_PLACE_UNKNOWN,     /* not ours: 404 with that same document */
	AGG_PLACE_UNKNOWN_API, /* below our group or /openapi: 404 as a Status */
	AGG_PLACE_APIS,
	AGG_PLACE_GROUP,
	AGG_PLACE_RESOURCES,
	AGG_PLACE_VERSION,
	AGG_PLACE_OPENAPI,
	AGG_PLACE_METRICS,
	AGG_PLACE_HEALTH,
	AGG_PLACE_NODES,
	AGG_PLACE_NODE,
	AGG_PLACE_PODS,
	AGG_PLACE_POD,
};

enum agg_health_end { AGG_HEALTHZ, AGG_LIVEZ, AGG_READYZ };

struct agg_route {
	enum agg_place place;
	bool get, head; /* the method, if it is one of these */
	bool watch;     /* a list with ?watch= */
	struct agg_attributes what;
	enum agg_health_end health;
	enum agg_openapi_doc openapi;
	const char *check;        /* HEALTH: one named check, or NULL */
	struct agg_fields fields; /* of a list; selects everything if fields_error is set */
	struct km_err fields_error;
};

/* Every target leads somewhere. All texts are borrowed from url, constant, or in *ret itself (which therefore must not
 * be copied). */
void agg_route_find(const char *method, const struct km_url *url, struct agg_route *ret);
