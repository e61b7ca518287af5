/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /healthz, /livez, /readyz with named checks (spec metrics-api 4f; our own names). Alive means that the loop answers;
 * ready, that lists can be answered and the front proxy judged. A lack of samples never makes us unready: that would
 * take discovery away from the whole cluster. Pure.
 */
#pragma once

#include "aggregator/route.h"
#include "core/buf.h"

struct agg_health_state {
	bool nodes_synced, pods_synced, auth_known, stopping;
};

/* The i-th check of an end point in its order, or NULL. */
const char *agg_health_name(enum agg_health_end end, size_t i);
/* Whether everything of /readyz is in order. */
bool agg_health_ready(const struct agg_health_state *state);
/*
 * Appends the text for a health route (?verbose and ?exclude from url) and returns the HTTP status: 200 or 500; 404,
 * with nothing appended, for a check that does not exist.
 */
int agg_health_write(const struct agg_route *route, const struct km_url *url, const struct agg_health_state *state,
	struct km_buf *out);
