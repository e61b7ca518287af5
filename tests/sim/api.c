/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated API server: routing, lists, gets and watches. */
#include "tests/sim/api.h"

#include <event2/buffer.h>
#include <stdarg.h>
#include <string.h>

#include "core/clock.h"

#define LIST_MAX      (1u << 30)
#define WATCH_SECONDS 300 /* when the client names none */

/* ---- replies ---- */

void sim_reply_json(struct evhttp_request *req, int code, json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT);

	NEED(text);
	sim_reply_text(req, code, "application/json", text);
	free(text);
	json_decref(object);
}

void sim_status(struct evhttp_request *req, int code, const char *reason, const char *fmt, ...)
{
	char message[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	sim_reply_json(req, code,
		json_pack("{s:s, s:s, s:{}, s:s, s:s, s:s, s:i}", "kind", "Status", "apiVersion", "v1", "metadata",
			"status", "Failure", "message", message, "reason", reason, "code", code));
}

void sim_reply_object(struct evhttp_request *req, int code, json_t *object, const struct sim_target *t)
{
	_cleanup_buf_ struct km_buf body = KM_BUF_INIT(LIST_MAX);

	sim_dump(object, t->resource, t->version, true, &body);
	sim_reply(req, code, "application/json", &body);
}

const char *sim_qualified(const struct sim_target *t, char out[200])
{
	snprintf(out, 200, "%s%s%s%s%s", t->plural, strcmp(t->sub, "scale") == 0 ? "/" : "",
		strcmp(t->sub, "scale") == 0 ? t->sub : "", *t->group ? "." : "", t->group);
	return out;
}

json_t *sim_body(struct evhttp_request *req)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	size_t n = evbuffer_get_length(in);
	json_t *body = json_loadb((const char *)evbuffer_pullup(in, -1), n, 0, NULL);

	if (!json_is_object(body)) {
		json_decref(body);
		sim_status(req, 400, "BadRequest", "the body is no JSON object");
		return NULL;
	}
	return body;
}

/* ---- the path ---- */

static size_t split(char *path, char **parts)
{
	size_t n = 0;
	char *save = NULL;

	for (char *part = strtok_r(path, "/", &save); part && n < SIM_PATH_PARTS; part = strtok_r(NULL, "/", &save))
		parts[n++] = part;
	return n;
}

static void parse_target(char **parts, size_t n, struct sim_target *t)
{
	size_t i = strcmp(parts[0], "api") == 0 ? 2 : 3;

	t->group = i == 2 ? "" : n > 1 ? parts[1] : "";
	t->version = i - 1 < n ? parts[i - 1] : "";
	t->namespace_ = t->plural = t->name = t->sub = "";
	if (i + 1 < n && strcmp(parts[i], "namespaces") == 0 && (n > i + 2 || *t->group)) {
		t->namespace_ = parts[i + 1];
		i += 2;
	}
	if (i < n)
		t->plural = parts[i];
	if (i + 1 < n)
		t->name = parts[i + 1];
	if (i + 2 < n)
		t->sub = parts[i + 2];
	t->resource = sim_resource_find(t->group, t->plural);
}

static const char *query(const struct sim_target *t, const char *key)
{
	const char *value = evhttp_find_header(&t->query, key);

	return value ? value : "";
}

/* ---- lists ---- */

static const char *wanted_name(const struct sim_target *t)
{
	const char *selector = query(t, "fieldSelector");

	return strncmp(selector, "metadata.name=", 14) == 0 ? selector + 14 : "";
}

static bool selected(const char *namespace_, const char *name, const struct sim_target *t)
{
	const char *wanted = wanted_name(t);

	return (!*t->namespace_ || strcmp(namespace_, t->namespace_) == 0) && (!*wanted || strcmp(name, wanted) == 0);
}

static void comma(struct km_buf *out)
{
	if (out->data[out->len - 1] != '[')
		km_buf_addc(out, ',');
}

static void list_world(struct sim *sim, const struct sim_target *t, struct km_buf *out)
{
	struct km_map_entry *slot;
	size_t cursor = 0;

	if (strcmp(t->plural, "nodes") == 0)
		for (size_t i = 0; i < sim->world.n_nodes; i++)
			if (selected("", sim->world.nodes[i].name, t)) {
				comma(out);
				sim_render_node(sim, &sim->world.nodes[i], false, out);
			}
	if (strcmp(t->plural, "deployments") == 0)
		for (size_t i = 0; i < sim->world.n_deployments; i++)
			if (selected(sim->world.deployments[i].namespace_, sim->world.deployments[i].name, t)) {
				comma(out);
				sim_render_deployment(sim, &sim->world.deployments[i], false, out);
			}
	while (strcmp(t->plural, "pods") == 0 && (slot = km_map_next(&sim->world.pods, &cursor))) {
		const struct sim_pod *pod = slot->value;

		if (!selected(pod->namespace_, pod->name, t))
			continue;
		comma(out);
		sim_render_pod(sim, pod, false, out);
	}
}

static void list_objects(struct sim *sim, const struct sim_target *t, struct km_buf *out)
{
	struct km_map_entry *slot;
	size_t cursor = 0;

	while ((slot = km_map_next(&sim->objects, &cursor))) {
		const struct sim_object *o = slot->value;
		json_t *metadata = json_object_get(o->object, "metadata");
		const char *namespace_ = json_string_value(json_object_get(metadata, "namespace"));

		if (o->resource != t->resource || !selected(namespace_ ? namespace_ : "",
							  json_string_value(json_object_get(metadata, "name")), t))
			continue;
		comma(out);
		sim_dump(o->object, o->resource, t->version, false, out);
	}
}

static void list(struct sim *sim, struct evhttp_request *req, const struct sim_target *t)
{
	_cleanup_buf_ struct km_buf body = KM_BUF_INIT(LIST_MAX);
	char api_version[64];

	sim->stats.lists++;
	sim_api_version(t->resource, t->version, api_version);
	km_buf_addf(&body,
		"{\"kind\":\"%sList\",\"apiVersion\":\"%s\",\"metadata\":{\"resourceVersion\":\"%llu\"},\"items\":[",
		t->resource->kind, api_version, (unsigned long long)sim->world.resource_version);
	if (t->resource->built_in)
		list_world(sim, t, &body);
	else
		list_objects(sim, t, &body);
	km_buf_adds(&body, "]}\n");
	sim_reply(req, 200, "application/json", &body);
}

static void watch(struct sim *sim, struct evhttp_request *req, const struct sim_target *t)
{
	struct sim_watch w = {.resource = t->resource, .since = strtoull(query(t, "resourceVersion"), NULL, 10)};
	int seconds = atoi(query(t, "timeoutSeconds"));

	snprintf(w.version, sizeof(w.version), "%s", t->version);
	snprintf(w.namespace_, sizeof(w.namespace_), "%s", t->namespace_);
	snprintf(w.name, sizeof(w.name), "%s", wanted_name(t));
	w.bookmarks = strcmp(query(t, "allowWatchBookmarks"), "true") == 0 ||
		      strcmp(query(t, "allowWatchBookmarks"), "1") == 0;
	w.end_ns = sim_now_ns() + (seconds > 0 ? seconds : WATCH_SECONDS) * KM_NSEC_PER_SEC;
	sim->stats.watches++;
	sim_watch_start(sim, req, &w);
}

/* ---- gets ---- */

static bool get_world(struct sim *sim, const struct sim_target *t, struct km_buf *out)
{
	const struct sim_deployment *d;
	const struct sim_pod *pod;

	if (strcmp(t->plural, "nodes") == 0) {
		for (size_t i = 0; i < sim->world.n_nodes; i++)
			if (strcmp(sim->world.nodes[i].name, t->name) == 0)
				sim_render_node(sim, &sim->world.nodes[i], true, out);
	} else if (strcmp(t->plural, "pods") == 0 && (pod = sim_pod_find(&sim->world, t->namespace_, t->name))) {
		sim_render_pod(sim, pod, true, out);
	} else if (strcmp(t->plural, "deployments") == 0 &&
		   (d = sim_deployment_find(&sim->world, t->namespace_, t->name))) {
		sim_render_deployment(sim, d, true, out);
	}
	return out->len > 0;
}

static void get(struct sim *sim, struct evhttp_request *req, const struct sim_target *t)
{
	_cleanup_buf_ struct km_buf body = KM_BUF_INIT(LIST_MAX);
	const struct sim_object *o;
	char name[200];

	sim->stats.gets++;
	if (strcmp(t->sub, "scale") == 0)
		sim_get_scale(sim, req, t);
	else if (t->resource->built_in && get_world(sim, t, &body))
		sim_reply(req, 200, "application/json", &body);
	else if (!t->resource->built_in && (o = sim_store_get(sim, t->resource, t->namespace_, t->name)))
		sim_reply_object(req, 200, o->object, t);
	else
		sim_status(req, 404, "NotFound", "%s \"%s\" not found", sim_qualified(t, name), t->name);
}

/* ---- requests ---- */

static bool is_review(const struct sim_target *t)
{
	return strcmp(t->group, "authorization.k8s.io") == 0 || strcmp(t->group, "authentication.k8s.io") == 0;
}

/* The token "user/NAME" is NAME's, all others nobody's. */
static json_t *token_status(const json_t *review)
{
	const char *token = json_string_value(json_object_get(json_object_get(review, "spec"), "token"));

	if (!token || strncmp(token, "user/", 5) != 0)
		return json_pack("{s:{}, s:s}", "user", "error", "invalid bearer token");
	return json_pack("{s:b, s:{s:s, s:[s]}}", "authenticated", true, "user", "username", token + 5, "groups",
		"system:authenticated");
}

/* Everything, to those it is for; who asks about himself (SelfSubjectAccessReview) is the daemon. */
static bool is_allowed(const struct sim *sim, const json_t *review)
{
	const char *user = json_string_value(json_object_get(json_object_get(review, "spec"), "user"));

	for (size_t i = 0; sim->allowed && user; i++) {
		if (!sim->allowed[i])
			return false;
		if (strcmp(sim->allowed[i], user) == 0)
			break;
	}
	return true;
}

static void review(struct sim *sim, struct evhttp_request *req, const struct sim_target *t)
{
	json_t *body = sim_body(req);

	if (!body)
		return;
	sim->stats.reviews++;
	json_object_set_new(body, "status",
		strcmp(t->group, "authentication.k8s.io") == 0 ? token_status(body)
							       : json_pack("{s:b}", "allowed", is_allowed(sim, body)));
	sim_reply_json(req, 201, body);
}

static void serve(struct sim *sim, struct evhttp_request *req, struct sim_target *t)
{
	bool reads = evhttp_request_get_command(req) == EVHTTP_REQ_GET;

	if (is_review(t) && !reads)
		review(sim, req, t);
	else if (!t->resource)
		sim_status(req, 404, "NotFound", "the server could not find the requested resource");
	else if (!reads)
		sim_write(sim, req, t);
	else if (*t->name)
		get(sim, req, t);
	else if (sim->faults.too_many) {
		evhttp_add_header(evhttp_request_get_output_headers(req), "Retry-After", "1");
		sim_status(req, 429, "TooManyRequests", "too many requests, please try again later");
	} else if (*query(t, "watch"))
		watch(sim, req, t);
	else
		list(sim, req, t);
}

static void on_request(struct evhttp_request *req, void *arg)
{
	struct sim *sim = arg;
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *text = evhttp_uri_get_query(uri);
	char path[1024], *parts[SIM_PATH_PARTS];
	struct sim_target t = {0};
	size_t n;

	snprintf(path, sizeof(path), "%s", evhttp_uri_get_path(uri));
	n = split(path, parts);
	if (!sim_is_known(req))
		sim_status(req, 401, "Unauthorized", "Unauthorized");
	else if (n == 2 && strcmp(parts[0], "sim") == 0)
		sim_control(sim, req, parts[1]);
	else if (sim->faults.broken)
		sim_status(req, 500, "InternalError", "etcdserver: request timed out");
	else if (!sim_discovery(sim, req, parts, n)) {
		parse_target(parts, n, &t);
		if (evhttp_parse_query_str(text ? text : "", &t.query) < 0)
			sim_status(req, 400, "BadRequest", "bad query");
		else
			serve(sim, req, &t);
		evhttp_clear_headers(&t.query);
	}
}

static void on_pod(struct sim_pod *pod, const char *event, void *arg)
{
	struct sim *sim = arg;
	_cleanup_buf_ struct km_buf text = KM_BUF_INIT(LIST_MAX);

	sim_render_pod(sim, pod, true, &text);
	sim_tell(sim, sim_resource_find("", "pods"), pod->namespace_, pod->name, event, text.data, text.len);
}

void sim_api_start(struct sim *sim)
{
	test_cert_make(&(struct test_cert_spec){.cn = "kube-apiserver",
			       .eku = "serverAuth",
			       .san = "IP:127.0.0.1,DNS:localhost",
			       .issuer = &sim->ca},
		&sim->api_cert);
	sim->api_server = (struct sim_server){sim_tls(sim), &sim->stats.api_connections};
	NEED(SSL_CTX_use_certificate(sim->api_server.tls, sim->api_cert.cert) == 1 &&
		SSL_CTX_use_PrivateKey(sim->api_server.tls, sim->api_cert.key) == 1);
	sim->api = sim_http(sim->base, &sim->api_server, on_request, sim);
	sim_listen(sim->api, "127.0.0.1", &sim->api_port);
	sim->world.on_pod = on_pod;
	sim->world.arg = sim;
}
