/* SPDX-License-Identifier: Apache-2.0 */
/* From method, path and query to a place; see the header. */
#include "aggregator/route.h"

#include <stdio.h>
#include <string.h>

#include "aggregator/list_options.h"

/* Methods and the verbs they are authorized as: on resources, and (lower-case) on paths. */
static const struct {
	const char *method, *on_resource, *on_path;
} verbs[] = {
	{"GET", "get", "get"},
	{"HEAD", "get", "head"},
	{"POST", "create", "post"},
	{"PUT", "update", "put"},
	{"PATCH", "patch", "patch"},
	{"DELETE", "delete", "delete"},
	{"OPTIONS", "options", "options"},
};

static const char *verb_of(const char *method, bool on_resource)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(verbs); i++)
		if (strcmp(verbs[i].method, method) == 0)
			return on_resource ? verbs[i].on_resource : verbs[i].on_path;
	return "unknown";
}

static bool segment_is(const struct km_url *url, size_t i, const char *text)
{
	return i < url->n_segments && strcmp(url->segments[i], text) == 0;
}

/* A name that may stand in a path. */
static bool is_segment(const char *name)
{
	return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strpbrk(name, "/%");
}

/* Whether a name could be one of Kubernetes': those are ASCII without spaces, and the review that carries it must be
 * UTF-8. */
static bool is_plain(const char *name)
{
	for (const char *s = name; *s; s++)
		if (*s <= ' ' || *s >= 0x7f)
			return false;
	return true;
}

/* What a request without a name means: a list, a watch, or a deletion of many. */
static void unnamed(const struct km_url *url, struct agg_route *r)
{
	const char *selector = km_url_param(url, "fieldSelector"), *name;

	if (strcmp(r->what.verb, "delete") == 0)
		r->what.verb = "deletecollection";
	if (strcmp(r->what.verb, "get") != 0)
		return;
	r->watch = agg_option_flag(url, "watch");
	r->what.verb = r->watch ? "watch" : "list";
	if (!selector)
		return;
	if (agg_fields_parse(selector, strcmp(r->what.resource_name, "pods") == 0, &r->fields, &r->fields_error) < 0) {
		r->fields.n = 0;
		return;
	}
	name = agg_fields_exact(&r->fields, AGG_FIELD_NAME);
	if (name && is_segment(name) && is_plain(name))
		r->what.name = name;
}

/* Below /apis/metrics.k8s.io/v1beta1/: [namespaces/NS/]RESOURCE[/NAME]. */
static void resource(const char *method, const struct km_url *url, struct agg_route *r)
{
	bool namespaced = segment_is(url, 3, "namespaces") && url->n_segments > 5;
	size_t at = namespaced ? 5 : 3, left = url->n_segments - at;

	r->what.resource = true;
	r->what.verb = verb_of(method, true);
	r->what.group = AGG_GROUP;
	r->what.version = AGG_VERSION;
	r->what.resource_name = url->segments[at];
	r->what.namespace_ = namespaced ? url->segments[4] : "";
	if (left > 1)
		r->what.name = url->segments[at + 1];
	else
		unnamed(url, r);
	if (left > 2 || !is_plain(r->what.resource_name) || !is_plain(r->what.namespace_) || !is_plain(r->what.name))
		return;
	if (!namespaced && segment_is(url, at, "nodes"))
		r->place = left == 1 ? AGG_PLACE_NODES : AGG_PLACE_NODE;
	else if (segment_is(url, at, "pods") && left == 1)
		r->place = AGG_PLACE_PODS;
	else if (segment_is(url, at, "pods") && namespaced)
		r->place = AGG_PLACE_POD;
}

static void apis(const char *method, const struct km_url *url, struct agg_route *r)
{
	r->what.discovery = true;
	if (url->n_segments == 1) {
		r->place = AGG_PLACE_APIS;
		return;
	}
	if (!segment_is(url, 1, AGG_GROUP)) {
		r->what.discovery = false;
		return;
	}
	r->place = AGG_PLACE_UNKNOWN_API;
	if (url->n_segments == 2)
		r->place = AGG_PLACE_GROUP;
	else if (segment_is(url, 2, AGG_VERSION) && url->n_segments == 3)
		r->place = AGG_PLACE_RESOURCES;
	else if (url->n_segments > 3)
		r->what.discovery = false;
	if (segment_is(url, 2, AGG_VERSION) && url->n_segments > 3)
		resource(method, url, r);
}

static bool health(const struct km_url *url, struct agg_route *r)
{
	static const char *const ends[] = {[AGG_HEALTHZ] = "healthz", [AGG_LIVEZ] = "livez", [AGG_READYZ] = "readyz"};

	if (url->n_segments > 2)
		return false;
	for (size_t i = 0; i < KM_ARRAY_LEN(ends); i++)
		if (segment_is(url, 0, ends[i])) {
			r->place = AGG_PLACE_HEALTH;
			r->health = (enum agg_health_end)i;
			r->check = url->n_segments == 2 ? url->segments[1] : NULL;
			return true;
		}
	return false;
}

static void openapi(const struct km_url *url, struct agg_route *r)
{
	char name[64] = "";

	r->place = AGG_PLACE_UNKNOWN_API;
	r->what.discovery = true;
	r->openapi = AGG_OPENAPI_DOCS;
	if (segment_is(url, 1, "v2") && url->n_segments == 2)
		r->openapi = AGG_OPENAPI_V2;
	for (size_t i = 2; segment_is(url, 1, "v3") && i <= url->n_segments; i++) {
		size_t used = strlen(name);

		if (i == url->n_segments)
			r->openapi = agg_openapi_v3_named(name);
		else if (used + strlen(url->segments[i]) + 2 > sizeof(name))
			break;
		else
			snprintf(name + used, sizeof(name) - used, "%s%s", used ? "/" : "", url->segments[i]);
	}
	if (r->openapi != AGG_OPENAPI_DOCS)
		r->place = AGG_PLACE_OPENAPI;
}

void agg_route_find(const char *method, const struct km_url *url, struct agg_route *r)
{
	*r = (struct agg_route){
		.place = AGG_PLACE_UNKNOWN,
		.get = strcmp(method, "GET") == 0,
		.head = strcmp(method, "HEAD") == 0,
		.what = {.verb = verb_of(method, false),
			.group = "",
			.version = "",
			.resource_name = "",
			.namespace_ = "",
			.name = "",
			.path = url->path},
	};
	if (url->n_segments == 0 || (url->n_segments == 1 && segment_is(url, 0, "index.html"))) {
		r->place = AGG_PLACE_ROOT;
	} else if (segment_is(url, 0, "apis")) {
		apis(method, url, r);
	} else if (segment_is(url, 0, "version") && url->n_segments == 1) {
		r->place = AGG_PLACE_VERSION;
		r->what.discovery = true;
	} else if (segment_is(url, 0, "openapi")) {
		openapi(url, r);
	} else if (segment_is(url, 0, "metrics") && url->n_segments == 1) {
		r->place = AGG_PLACE_METRICS;
	} else {
		(void)health(url, r);
	}
}
