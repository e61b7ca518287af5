/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated API server's writes: create, replace (with the conflicts that make clients honest), merge, delete;
 * scale. */
#include <string.h>

#include "tests/sim/api.h"

static const char *member(json_t *object, const char *outer, const char *name)
{
	const char *text = json_string_value(json_object_get(json_object_get(object, outer), name));

	return text ? text : "";
}

static void conflict(struct sim *sim, struct evhttp_request *req, const struct sim_target *t, const char *name)
{
	sim->stats.conflicts++;
	sim_status(req, 409, "Conflict",
		"Operation cannot be fulfilled on %s%s%s \"%s\": the object has been modified; please apply your "
		"changes to "
		"the latest version and try again",
		t->plural, *t->group ? "." : "", t->group, name);
}

/* ---- scale ---- */

static struct sim_deployment *scaled(struct sim *sim, struct evhttp_request *req, const struct sim_target *t)
{
	struct sim_deployment *d = sim_deployment_find(&sim->world, t->namespace_, t->name);
	char name[200];

	if (!d)
		sim_status(req, 404, "NotFound", "%s \"%s\" not found", sim_qualified(t, name), t->name);
	return d;
}

void sim_get_scale(struct sim *sim, struct evhttp_request *req, const struct sim_target *t)
{
	const struct sim_deployment *d = scaled(sim, req, t);
	_cleanup_buf_ struct km_buf body = KM_BUF_INIT(64 * 1024);

	if (!d)
		return;
	sim_render_scale(sim, d, sim->faults.stale, &body);
	sim_reply(req, 200, "application/json", &body);
}

static void put_scale(struct sim *sim, struct evhttp_request *req, const struct sim_target *t)
{
	struct sim_deployment *d = scaled(sim, req, t);
	json_t *scale = d ? sim_body(req) : NULL, *replicas;
	_cleanup_buf_ struct km_buf body = KM_BUF_INIT(64 * 1024);
	const char *version;

	if (!scale)
		return;
	version = member(scale, "metadata", "resourceVersion");
	replicas = json_object_get(json_object_get(scale, "spec"), "replicas");
	if (*version && strtoull(version, NULL, 10) != d->resource_version) {
		conflict(sim, req, t, t->name);
	} else if (!json_is_integer(replicas) || json_integer_value(replicas) < 0) {
		sim_status(req, 422, "Invalid",
			"Scale.autoscaling \"%s\" is invalid: spec.replicas: Invalid value: %lld: must be greater than "
			"or equal to 0",
			t->name, (long long)json_integer_value(replicas));
	} else if (json_integer_value(replicas) > SIM_REPLICAS_MAX) {
		sim_status(req, 403, "Forbidden", "kmsim has room for %d replicas", SIM_REPLICAS_MAX);
	} else {
		sim_deployment_scale(&sim->world, d, (int)json_integer_value(replicas), sim_now_ns());
		sim_render_scale(sim, d, false, &body);
		sim_reply(req, 200, "application/json", &body);
	}
	json_decref(scale);
}

/* ---- objects ---- */

static void create(struct sim *sim, struct evhttp_request *req, const struct sim_target *t)
{
	json_t *object = sim_body(req);
	char text[200];
	const char *name;

	if (!object)
		return;
	name = member(object, "metadata", "name");
	if (!*name || strlen(name) >= SIM_NAME_MAX * 4) {
		sim_status(req, 422, "Invalid", "metadata.name: Required value");
		json_decref(object);
	} else if (sim_store_get(sim, t->resource, t->namespace_, name)) {
		sim_status(req, 409, "AlreadyExists", "%s \"%s\" already exists", sim_qualified(t, text), name);
		json_decref(object);
	} else {
		char *copy = strdup(name);

		sim_store_put(sim, t->resource, t->namespace_, copy, object);
		sim_reply_object(req, 201, object, t);
		free(copy);
	}
}

/* JSON merge patch (RFC 7386). */
static void merge(json_t *into, json_t *patch)
{
	const char *key;
	json_t *value;

	json_object_foreach(patch, key, value)
	{
		json_t *there = json_object_get(into, key);

		if (json_is_null(value))
			json_object_del(into, key);
		else if (json_is_object(value) && json_is_object(there))
			merge(there, value);
		else
			json_object_set(into, key, value);
	}
}

/* What a write through a subresource, or past it, leaves as it was. */
static void keep_the_rest(json_t *object, json_t *was, const struct sim_target *t)
{
	json_t *status = json_object_get(was, "status");

	if (strcmp(t->sub, "status") == 0) {
		json_t *fresh = json_incref(json_object_get(object, "status"));

		json_object_clear(object);
		json_object_update(object, was);
		json_object_set_new(object, "status", fresh ? fresh : json_object());
	} else if (status && strcmp(t->plural, "leases") != 0) {
		json_object_set(object, "status", status);
	}
}

static void replace(struct sim *sim, struct evhttp_request *req, const struct sim_target *t, bool patch)
{
	struct sim_object *o = sim_store_get(sim, t->resource, t->namespace_, t->name);
	json_t *object, *body, *was;
	const char *version;
	char text[200];

	if (!o && !patch && strcmp(t->plural, "leases") == 0) { /* one of the kinds that a PUT may create */
		if ((body = sim_body(req))) {
			sim_store_put(sim, t->resource, t->namespace_, t->name, body);
			sim_reply_object(req, 201, body, t);
		}
		return;
	}
	if (!o) {
		sim_status(req, 404, "NotFound", "%s \"%s\" not found", sim_qualified(t, text), t->name);
		return;
	}
	if (!(body = sim_body(req)))
		return;
	was = json_deep_copy(o->object);
	version = member(body, "metadata", "resourceVersion");
	if (*version && strcmp(version, member(was, "metadata", "resourceVersion")) != 0) {
		conflict(sim, req, t, t->name);
		json_decref(body);
		json_decref(was);
		return;
	}
	object = patch ? json_deep_copy(was) : json_incref(body);
	if (patch)
		merge(object, body);
	keep_the_rest(object, was, t);
	sim_store_put(sim, t->resource, t->namespace_, t->name, object);
	sim_reply_object(req, 200, object, t);
	json_decref(body);
	json_decref(was);
}

void sim_write(struct sim *sim, struct evhttp_request *req, const struct sim_target *t)
{
	enum evhttp_cmd_type method = evhttp_request_get_command(req);
	struct sim_object *o;
	char text[200];

	sim->stats.writes++;
	if (strcmp(t->sub, "scale") == 0 && method == EVHTTP_REQ_PUT)
		put_scale(sim, req, t);
	else if (t->resource->built_in)
		sim_status(req, 405, "MethodNotAllowed", "kmsim makes its %s itself", t->plural);
	else if (method == EVHTTP_REQ_POST && !*t->name)
		create(sim, req, t);
	else if ((method == EVHTTP_REQ_PUT || method == EVHTTP_REQ_PATCH) && *t->name)
		replace(sim, req, t, method == EVHTTP_REQ_PATCH);
	else if (method == EVHTTP_REQ_DELETE && (o = sim_store_get(sim, t->resource, t->namespace_, t->name))) {
		sim_store_delete(sim, o);
		sim_reply_json(req, 200,
			json_pack("{s:s, s:s, s:s}", "kind", "Status", "apiVersion", "v1", "status", "Success"));
	} else
		sim_status(req, 404, "NotFound", "%s \"%s\" not found", sim_qualified(t, text), t->name);
}
