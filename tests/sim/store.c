/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/store.h"

#include <event2/buffer.h>
#include <string.h>

#include "core/clock.h"
#include "core/timetext.h"

#define BOOKMARK_NS (5 * KM_NSEC_PER_SEC)
#define OBJECT_MAX  (1u << 20)

const struct sim_resource sim_resources[] = {
	{"", "nodes", "Node", false, true},
	{"", "pods", "Pod", true, true},
	{"apps", "deployments", "Deployment", true, true},
	{"", "namespaces", "Namespace", false, false},
	{"", "configmaps", "ConfigMap", true, false},
	{"", "services", "Service", true, false},
	{"", "endpoints", "Endpoints", true, false},
	{"", "events", "Event", true, false},
	{"autoscaling", "horizontalpodautoscalers", "HorizontalPodAutoscaler", true, false},
	{"coordination.k8s.io", "leases", "Lease", true, false},
	{"discovery.k8s.io", "endpointslices", "EndpointSlice", true, false},
	{"apiregistration.k8s.io", "apiservices", "APIService", false, false},
	{"rbac.authorization.k8s.io", "clusterroles", "ClusterRole", false, false},
	{"rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding", false, false},
	{"rbac.authorization.k8s.io", "roles", "Role", true, false},
	{"rbac.authorization.k8s.io", "rolebindings", "RoleBinding", true, false},
	{0},
};

const struct sim_resource *sim_resource_find(const char *group, const char *plural)
{
	for (const struct sim_resource *r = sim_resources; r->plural; r++)
		if (strcmp(r->group, group) == 0 && strcmp(r->plural, plural) == 0)
			return r;
	return NULL;
}

void sim_api_version(const struct sim_resource *r, const char *version, char out[64])
{
	snprintf(out, 64, "%s%s%s", r->group, *r->group ? "/" : "", version);
}

void sim_dump(json_t *object, const struct sim_resource *r, const char *version, bool typed, struct km_buf *out)
{
	json_t *copy = json_copy(object);
	char api_version[64], *text;

	sim_api_version(r, version, api_version);
	json_object_del(copy, "kind");
	json_object_del(copy, "apiVersion");
	if (typed) {
		json_object_set_new(copy, "kind", json_string(r->kind));
		json_object_set_new(copy, "apiVersion", json_string(api_version));
	}
	NEED(text = json_dumps(copy, JSON_COMPACT));
	km_buf_adds(out, text);
	free(text);
	json_decref(copy);
}

/* ---- history and watches ---- */

struct event {
	uint64_t version;
	const struct sim_resource *resource;
	char namespace_[SIM_NAME_MAX], name[SIM_NAME_MAX];
	char type[12];
	char *object;
	size_t len;
};

struct sim_history {
	struct event events[SIM_HISTORY_MAX];
	size_t next;        /* where the next one goes */
	uint64_t forgotten; /* newest version that is not there any more */
};

struct sim_watcher {
	struct sim *sim;
	struct evhttp_request *req;
	struct sim_watch watch;
	int64_t bookmark_ns;
	struct sim_watcher *next, **pprev;
};

static void watcher_free(struct sim_watcher *w)
{
	*w->pprev = w->next;
	if (w->next)
		w->next->pprev = w->pprev;
	free(w);
}

static void on_gone(struct evhttp_connection *conn, void *arg)
{
	struct sim_watcher *w = arg;

	sim_forget(w->req);
	watcher_free(w);
}

static void end_watch(struct sim_watcher *w)
{
	evhttp_connection_set_closecb(evhttp_request_get_connection(w->req), NULL, NULL);
	evhttp_send_reply_end(w->req);
	watcher_free(w);
}

static bool concerns(const struct sim_watch *w, const struct sim_resource *r, const char *namespace_, const char *name)
{
	return w->resource == r && (!*w->namespace_ || strcmp(w->namespace_, namespace_) == 0) &&
	       (!*w->name || strcmp(w->name, name) == 0);
}

static void send_event(struct sim_watcher *w, const char *type, const char *object, size_t len)
{
	struct evbuffer *chunk = evbuffer_new();

	evbuffer_add_printf(chunk, "{\"type\":\"%s\",\"object\":", type);
	evbuffer_add(chunk, object, len);
	evbuffer_add(chunk, "}\n", 2);
	evhttp_send_reply_chunk(w->req, chunk);
	evbuffer_free(chunk);
	w->sim->stats.events_sent++;
}

static bool is_held_back(const struct sim *sim, const struct sim_resource *r)
{
	return sim->faults.stale && strcmp(r->plural, "deployments") == 0;
}

void sim_tell(struct sim *sim, const struct sim_resource *r, const char *namespace_, const char *name, const char *type,
	const char *object, size_t len)
{
	struct sim_history *h = sim->history;
	struct event *e = &h->events[h->next];

	if (e->object) {
		h->forgotten = e->version;
		free(e->object);
	}
	h->next = (h->next + 1) % SIM_HISTORY_MAX;
	*e = (struct event){.version = sim->world.resource_version, .resource = r, .len = len};
	snprintf(e->namespace_, sizeof(e->namespace_), "%s", namespace_);
	snprintf(e->name, sizeof(e->name), "%s", name);
	snprintf(e->type, sizeof(e->type), "%s", type);
	NEED(e->object = strndup(object, len));
	for (struct sim_watcher *w = sim->watchers; w; w = w->next)
		if (concerns(&w->watch, r, namespace_, name) && !is_held_back(sim, r))
			send_event(w, type, object, len);
}

static void replay(struct sim_watcher *w)
{
	const struct sim_history *h = w->sim->history;

	for (size_t i = 0; i < SIM_HISTORY_MAX; i++) {
		const struct event *e = &h->events[(h->next + i) % SIM_HISTORY_MAX];

		if (e->object && e->version > w->watch.since &&
			concerns(&w->watch, e->resource, e->namespace_, e->name))
			send_event(w, e->type, e->object, e->len);
	}
}

void sim_watch_start(struct sim *sim, struct evhttp_request *req, const struct sim_watch *watch)
{
	static const char gone[] = "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
				   "\"message\":\"too old resource version\",\"reason\":\"Expired\",\"code\":410}";
	struct sim_watcher *w = calloc(1, sizeof(*w));

	NEED(w);
	w->sim = sim;
	w->req = req;
	w->watch = *watch;
	w->bookmark_ns = sim_now_ns() + BOOKMARK_NS;
	w->next = sim->watchers;
	w->pprev = &sim->watchers;
	if (w->next)
		w->next->pprev = &w->next;
	sim->watchers = w;
	evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", "application/json");
	evhttp_connection_set_closecb(evhttp_request_get_connection(req), on_gone, w);
	evhttp_send_reply_start(req, 200, NULL);
	if (sim->faults.too_old || watch->since < sim->history->forgotten) {
		send_event(w, "ERROR", gone, sizeof(gone) - 1);
		end_watch(w);
		return;
	}
	replay(w);
}

void sim_watch_tick(struct sim *sim, int64_t now_ns)
{
	struct sim_watcher *w, *next;

	for (w = sim->watchers; w; w = next) {
		char api_version[64], object[300];

		next = w->next;
		if (now_ns >= w->watch.end_ns) {
			end_watch(w);
		} else if (w->watch.bookmarks && now_ns >= w->bookmark_ns) {
			w->bookmark_ns = now_ns + BOOKMARK_NS;
			sim_api_version(w->watch.resource, w->watch.version, api_version);
			snprintf(object, sizeof(object),
				"{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{\"resourceVersion\":\"%llu\"}}",
				w->watch.resource->kind, api_version, (unsigned long long)sim->world.resource_version);
			send_event(w, "BOOKMARK", object, strlen(object));
		}
	}
}

void sim_watch_stale(struct sim *sim, bool stale)
{
	if (stale == sim->faults.stale)
		return;
	sim->faults.stale = stale;
	if (stale)
		sim->stale_since = sim->world.resource_version;
	for (struct sim_watcher *w = stale ? NULL : sim->watchers; w; w = w->next)
		if (strcmp(w->watch.resource->plural, "deployments") == 0) {
			w->watch.since = KM_MAX(w->watch.since, sim->stale_since);
			replay(w);
		}
}

void sim_watch_drop(struct sim *sim)
{
	while (sim->watchers)
		sim_cut(sim->watchers->req); /* on_gone frees it */
}

/* ---- objects ---- */

static void key_of(const struct sim_resource *r, const char *namespace_, const char *name, char *out, size_t size)
{
	snprintf(out, size, "%s/%s/%s/%s", r->group, r->plural, namespace_, name);
}

struct sim_object *sim_store_get(
	struct sim *sim, const struct sim_resource *r, const char *namespace_, const char *name)
{
	char key[512];

	key_of(r, namespace_, name, key, sizeof(key));
	return km_map_get(&sim->objects, key, strlen(key));
}

static void tell_object(struct sim *sim, const struct sim_object *o, const char *type)
{
	json_t *metadata = json_object_get(o->object, "metadata");
	const char *namespace_ = json_string_value(json_object_get(metadata, "namespace"));
	/* kept in the newest version, which is what everybody here watches */
	const char *version = strcmp(o->resource->group, "autoscaling") == 0 ? sim->autoscaling[0] : "v1";
	_cleanup_buf_ struct km_buf text = KM_BUF_INIT(OBJECT_MAX);

	sim_dump(o->object, o->resource, version, true, &text);
	sim_tell(sim, o->resource, namespace_ ? namespace_ : "", json_string_value(json_object_get(metadata, "name")),
		type, text.data, text.len);
}

static void stamp(struct sim *sim, json_t *object, json_t *former, const char *namespace_, const char *name)
{
	json_t *metadata = json_object_get(object, "metadata"), *was = json_object_get(former, "metadata");
	char text[KM_RFC3339_TEXT_MAX + 24];

	if (!metadata) {
		metadata = json_object();
		json_object_set_new(object, "metadata", metadata);
	}
	json_object_set_new(metadata, "name", json_string(name));
	if (*namespace_)
		json_object_set_new(metadata, "namespace", json_string(namespace_));
	if (was) {
		json_object_set(metadata, "uid", json_object_get(was, "uid"));
		json_object_set(metadata, "creationTimestamp", json_object_get(was, "creationTimestamp"));
	} else {
		snprintf(text, sizeof(text), "uid-%u", ++sim->world.serial);
		json_object_set_new(metadata, "uid", json_string(text));
		km_rfc3339_format(sim_now_ns(), text);
		json_object_set_new(metadata, "creationTimestamp", json_string(text));
	}
	snprintf(text, sizeof(text), "%llu", (unsigned long long)++sim->world.resource_version);
	json_object_set_new(metadata, "resourceVersion", json_string(text));
}

void sim_store_put(
	struct sim *sim, const struct sim_resource *r, const char *namespace_, const char *name, json_t *object)
{
	struct sim_object *o = sim_store_get(sim, r, namespace_, name);
	bool is_new = !o;
	char key[512];

	if (is_new) {
		key_of(r, namespace_, name, key, sizeof(key));
		NEED(o = calloc(1, sizeof(*o) + strlen(key) + 1));
		strcpy(o->key, key);
		o->resource = r;
		NEED(km_map_put(&sim->objects, o->key, strlen(o->key), o, NULL) == 0);
	}
	stamp(sim, object, o->object, namespace_, name);
	json_decref(o->object);
	o->object = object;
	tell_object(sim, o, is_new ? "ADDED" : "MODIFIED");
}

void sim_store_delete(struct sim *sim, struct sim_object *o)
{
	sim->world.resource_version++;
	tell_object(sim, o, "DELETED");
	km_map_remove(&sim->objects, o->key, strlen(o->key));
	json_decref(o->object);
	free(o);
}

void sim_store_free(struct sim *sim)
{
	struct km_map_entry *slot;
	size_t cursor = 0;

	while (sim->watchers)
		end_watch(sim->watchers);
	while ((slot = km_map_next(&sim->objects, &cursor))) {
		struct sim_object *o = slot->value;

		json_decref(o->object);
		free(o);
	}
	km_map_free(&sim->objects);
	for (size_t i = 0; i < SIM_HISTORY_MAX; i++)
		free(sim->history->events[i].object);
	free(sim->history);
}

void sim_store_init(struct sim *sim)
{
	NEED(sim->history = calloc(1, sizeof(*sim->history)));
}
