/* SPDX-License-Identifier: Apache-2.0 */
/* The checks and the text about them, worded as kube-apiserver's libraries do; see the header. */
#include "aggregator/health.h"

#include <string.h>

#include "aggregator/status.h"

static bool ping(const struct agg_health_state *s)
{
	return true;
}

static bool nodes(const struct agg_health_state *s)
{
	return s->nodes_synced;
}

static bool pods(const struct agg_health_state *s)
{
	return s->pods_synced;
}

static bool auth(const struct agg_health_state *s)
{
	return s->auth_known;
}

static bool not_stopping(const struct agg_health_state *s)
{
	return !s->stopping;
}

#define IN(end) (1u << (end))
static const struct check {
	const char *name;
	unsigned ends;
	bool (*ok)(const struct agg_health_state *s);
} checks[] = {
	{"ping", IN(AGG_HEALTHZ) | IN(AGG_LIVEZ) | IN(AGG_READYZ), ping},
	{"node-cache-synced", IN(AGG_READYZ), nodes},
	{"pod-cache-synced", IN(AGG_READYZ), pods},
	{"authentication-config", IN(AGG_READYZ), auth},
	{"shutdown", IN(AGG_READYZ), not_stopping},
};

static const char *const end_names[] = {[AGG_HEALTHZ] = "healthz", [AGG_LIVEZ] = "livez", [AGG_READYZ] = "readyz"};

const char *agg_health_name(enum agg_health_end end, size_t i)
{
	for (size_t c = 0; c < KM_ARRAY_LEN(checks); c++)
		if ((checks[c].ends & IN(end)) && i-- == 0)
			return checks[c].name;
	return NULL;
}

bool agg_health_ready(const struct agg_health_state *state)
{
	for (size_t c = 0; c < KM_ARRAY_LEN(checks); c++)
		if ((checks[c].ends & IN(AGG_READYZ)) && !checks[c].ok(state))
			return false;
	return true;
}

static bool excluded(const struct km_url *url, const char *name)
{
	for (size_t i = 0; i < url->n_params; i++)
		if (strcmp(url->params[i].key, "exclude") == 0 && strcmp(url->params[i].value, name) == 0)
			return true;
	return false;
}

static bool exists(enum agg_health_end end, const char *name)
{
	const char *have;

	for (size_t i = 0; (have = agg_health_name(end, i)); i++)
		if (strcmp(have, name) == 0)
			return true;
	return false;
}

/* A word about ?exclude= values that name no check. */
static void warn_unmatched(enum agg_health_end end, const struct km_url *url, struct km_buf *out)
{
	size_t n = 0;

	for (size_t i = 0; i < url->n_params; i++) {
		if (strcmp(url->params[i].key, "exclude") != 0 || exists(end, url->params[i].value))
			continue;
		km_buf_adds(out, n++ == 0 ? "warn: some health checks cannot be excluded: no matches for " : ", ");
		agg_quote(out, url->params[i].value);
	}
	if (n > 0)
		km_buf_addc(out, '\n');
}

static int write_one(const struct agg_route *route, const struct agg_health_state *state, struct km_buf *out)
{
	for (size_t c = 0; c < KM_ARRAY_LEN(checks); c++) {
		if (!(checks[c].ends & IN(route->health)) || strcmp(checks[c].name, route->check) != 0)
			continue;
		if (checks[c].ok(state)) {
			km_buf_adds(out, "ok");
			return 200;
		}
		km_buf_addf(out, "internal server error: %s failed\n", route->check);
		return 500;
	}
	return 404;
}

int agg_health_write(const struct agg_route *route, const struct km_url *url, const struct agg_health_state *state,
	struct km_buf *out)
{
	const char *end = end_names[route->health];
	bool failed = false;

	if (route->check)
		return write_one(route, state, out);
	for (size_t c = 0; c < KM_ARRAY_LEN(checks); c++) {
		if (!(checks[c].ends & IN(route->health)))
			continue;
		if (excluded(url, checks[c].name)) {
			km_buf_addf(out, "[+]%s excluded: ok\n", checks[c].name);
		} else if (checks[c].ok(state)) {
			km_buf_addf(out, "[+]%s ok\n", checks[c].name);
		} else {
			km_buf_addf(out, "[-]%s failed: reason withheld\n", checks[c].name);
			failed = true;
		}
	}
	warn_unmatched(route->health, url, out);
	if (failed) {
		km_buf_addf(out, "%s check failed\n", end);
		return 500;
	}
	if (!km_url_param(url, "verbose")) {
		km_buf_reset(out);
		km_buf_adds(out, "ok");
		return 200;
	}
	km_buf_addf(out, "%s check passed\n", end);
	return 200;
}
