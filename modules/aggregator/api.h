/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The served API: for each request who asks, whether that is allowed, and the answer. Discovery and health are answered
 * from the first second. Lists before the caches have synced are refused (503, Retry-After) instead of being empty: an
 * empty list would be a wrong statement about the cluster (spec metrics-api 7.5, 9).
 */
#pragma once

#include "aggregator/authn.h"
#include "aggregator/authz.h"
#include "aggregator/health.h"
#include "aggregator/metrics.h"
#include "aggregator/token.h"
#include "aggregator/view.h"
#include "net/http_server.h"

#define AGG_REQUESTS_MAX 400 /* unless agg_api_configure says otherwise */
#define AGG_AUDIT_ID_MAX 64  /* bytes of an Audit-Id that is taken over */

struct agg_api;

struct agg_api_config {
	const struct agg_view *view; /* borrowed, as are the next three */
	struct agg_authn *authn;
	struct agg_tokens *tokens;
	struct agg_authz *authz;
	uint16_t port; /* where we listen, as told in /apis */
	/* What /metrics tells beside the API's own figures; NULL: nothing. */
	void (*figures)(void *arg, struct agg_figures *ret);
	void *figures_arg;
	size_t staged_max; /* see agg_streams; 0: AGG_STAGED_MAX */
};

int agg_api_new(const struct agg_api_config *config, struct agg_api **ret) _must_check_; /* -ENOMEM */
/* After the server: no request is under way any more. NULL is fine. */
void agg_api_free(struct agg_api *api);
/* How many requests may be under way, waiting or being sent; system:masters are not counted out. */
void agg_api_configure(struct agg_api *api, size_t requests_max);
/* /readyz says no from now on. */
void agg_api_stopping(struct agg_api *api);
/* A km_http_handler; arg: the struct agg_api. */
void agg_api_handle(struct km_http_req *req, void *api);
void agg_api_health(const struct agg_api *api, struct agg_health_state *ret);

struct agg_api_stats {
	uint64_t requests_total, protobuf_total, unauthorized_total, forbidden_total, refused_total, errors_total;
	size_t under_way;
};
void agg_api_stats(const struct agg_api *api, struct agg_api_stats *ret);
