/* SPDX-License-Identifier: Apache-2.0 */
/* /sim/stats, /sim/load, /sim/faults, /sim/swap: what a test looks at and turns while the simulator runs. */
#include <string.h>

#include "tests/sim/api.h"

static void stats(struct sim *sim, struct evhttp_request *req)
{
	const struct sim_stats *s = &sim->stats;
	json_t *o = json_object(), *deployments = json_object();

#define ADD(name) json_object_set_new(o, #name, json_integer((json_int_t)s->name))
	ADD(scrapes);
	ADD(summaries);
	ADD(lists);
	ADD(watches);
	ADD(events_sent);
	ADD(gets);
	ADD(writes);
	ADD(reviews);
	ADD(conflicts);
	ADD(kubelet_connections);
	ADD(api_connections);
#undef ADD
	for (size_t i = 0; i < sim->world.n_deployments; i++) {
		const struct sim_deployment *d = &sim->world.deployments[i];
		char key[2 * SIM_NAME_MAX + 2];

		snprintf(key, sizeof(key), "%s/%s", d->namespace_, d->name);
		json_object_set_new(deployments, key,
			json_pack("{s:i, s:i, s:f, s:i}", "replicas", d->replicas, "ready",
				(int)sim_deployment_ready(d), "load_milli", d->load_milli, "scaled_total",
				(int)d->scaled_total));
	}
	json_object_set_new(o, "deployments", deployments);
	sim_reply_json(req, 200, o);
}

static void load(struct sim *sim, struct evhttp_request *req, const struct evkeyvalq *query)
{
	const char *which = evhttp_find_header(query, "deployment"), *milli = evhttp_find_header(query, "milli");
	char namespace_[SIM_NAME_MAX], name[SIM_NAME_MAX];
	struct sim_deployment *d = NULL;

	if (which && sscanf(which, "%63[^/]/%63s", namespace_, name) == 2)
		d = sim_deployment_find(&sim->world, namespace_, name);
	if (!d || !milli) {
		sim_status(req, 400, "BadRequest", "/sim/load?deployment=NAMESPACE/NAME&milli=N");
		return;
	}
	d->n_curve = 0; /* from now on by hand */
	sim_deployment_load(d, atof(milli), sim_now_ns());
	sim_reply_json(req, 200, json_object());
}

/* "api=stale,too-many", "api=none", "api=drop" */
static bool set_api_faults(struct sim *sim, const char *names)
{
	struct sim_api_faults faults = {0};
	char copy[200], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", names);
	for (char *name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		if (strcmp(name, "too-old") == 0)
			faults.too_old = true;
		else if (strcmp(name, "too-many") == 0)
			faults.too_many = true;
		else if (strcmp(name, "broken") == 0)
			faults.broken = true;
		else if (strcmp(name, "stale") == 0)
			faults.stale = true;
		else if (strcmp(name, "drop") == 0)
			sim_watch_drop(sim);
		else if (strcmp(name, "none") != 0)
			return false;
	}
	sim_watch_stale(sim, faults.stale);
	sim->faults = faults;
	return true;
}

static bool set_kubelet_faults(struct sim *sim, const char *kind, const char *nodes)
{
	size_t first = 0, last = sim->world.n_nodes - 1;
	int fault = sim_kubelet_fault_of(kind);

	if (fault < 0 || (nodes && sscanf(nodes, "%zu-%zu", &first, &last) < 1))
		return false;
	if (nodes && !strchr(nodes, '-'))
		last = first;
	if (first > last || last >= sim->world.n_nodes)
		return false; /* a fault that hits nobody proves nothing */
	for (size_t i = first; i <= last; i++) {
		sim->kubelet_faults[i] = (uint8_t)fault;
		sim->backwards_ns[i] = 0;
	}
	return true;
}

static bool set_faults(struct sim *sim, const struct evkeyvalq *query)
{
	const char *kind = evhttp_find_header(query, "kubelet"), *api = evhttp_find_header(query, "api");

	return (kind || api) && (!kind || set_kubelet_faults(sim, kind, evhttp_find_header(query, "nodes"))) &&
	       (!api || set_api_faults(sim, api));
}

bool sim_fault(struct sim *sim, const char *text)
{
	struct evkeyvalq query;
	bool ok;

	if (evhttp_parse_query_str(text, &query) < 0)
		return false;
	ok = set_faults(sim, &query);
	evhttp_clear_headers(&query);
	return ok;
}

static void faults(struct sim *sim, struct evhttp_request *req, const struct evkeyvalq *query)
{
	if (set_faults(sim, query))
		sim_reply_json(req, 200, json_object());
	else
		sim_status(req, 400, "BadRequest", "/sim/faults?%s, or /sim/faults?%s", SIM_FAULTS_OF_KUBELETS,
			SIM_FAULTS_OF_API);
}

/* ?tell=yes|no */
static void swap(struct sim *sim, struct evhttp_request *req, const struct evkeyvalq *query)
{
	const char *tell = evhttp_find_header(query, "tell");

	sim->swap = tell && strcmp(tell, "yes") == 0;
	sim_reply_json(req, 200, json_object());
}

void sim_control(struct sim *sim, struct evhttp_request *req, const char *what)
{
	const char *text = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req));
	struct evkeyvalq query;

	if (evhttp_parse_query_str(text ? text : "", &query) < 0) {
		sim_status(req, 400, "BadRequest", "bad query");
		return;
	}
	if (strcmp(what, "stats") == 0)
		stats(sim, req);
	else if (strcmp(what, "load") == 0)
		load(sim, req, &query);
	else if (strcmp(what, "swap") == 0)
		swap(sim, req, &query);
	else if (strcmp(what, "faults") == 0)
		faults(sim, req, &query);
	else
		sim_status(req, 404, "NotFound", "/sim/stats, /sim/load, /sim/faults, /sim/swap");
	evhttp_clear_headers(&query);
}
