/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one view of the cluster. Three reflectors feed it; this file owns the records, the interner and the label pool,
 * and tells the listeners.
 *
 * A list is applied as it arrives and marks what it saw; only its end removes what it did not see. So a list that
 * breaks off leaves everything as it was or newer, and a relist never shows an empty cluster in between.
 */
#include "kube/cluster.h"

#include <errno.h>
#include <string.h>

#include "kube/ordered.h"

#define LISTENERS_MAX 8
#define NODES_MAX     20000  /* Kubernetes itself is tested to 5,000 */
#define PODS_MAX      500000 /* and to 150,000; more are left out, counted and told */

#define AUTH_NAMESPACE "kube-system"
#define AUTH_NAME      "extension-apiserver-authentication"

/* The pods of one namespace; there while it has any. */
struct namespace_pods {
	const char *name; /* interned, one reference */
	struct kube_ordered pods;
};

struct kube_cluster {
	struct kube_client *client; /* borrowed */
	struct km_interner *interner;
	struct kube_label_pool *labels;
	struct kube_listener listeners[LISTENERS_MAX];
	size_t n_listeners;
	struct kube_reflector *nodes_reflector, *pods_reflector, *auth_reflector;

	struct kube_ordered nodes;      /* of struct kube_node */
	struct kube_ordered namespaces; /* of struct namespace_pods */
	size_t n_pods;
	uint32_t nodes_generation, pods_generation; /* of the latest list */

	struct kube_auth_config *auth; /* never NULL */
	json_t *auth_data;             /* what auth was made of, to tell a change from a repetition; NULL: absent */
	struct km_err auth_finding;    /* what could not be read in it, "" if nothing */
	bool auth_told, auth_listed;
};

/* Calls one member of every listener that has it. */
#define TELL(c, member, ...)                                                            \
	do {                                                                            \
		for (size_t tell_i_ = 0; tell_i_ < (c)->n_listeners; tell_i_++) {       \
			const struct kube_listener *tell_l_ = &(c)->listeners[tell_i_]; \
			if (tell_l_->member)                                            \
				tell_l_->member(__VA_ARGS__, tell_l_->arg);             \
		}                                                                       \
	} while (0)

/* ---- nodes ---- */

static void node_gone(struct kube_cluster *c, struct kube_node *node)
{
	TELL(c, node, node, NULL);
	kube_node_free(node, c->interner, c->labels);
}

static void nodes_begin(void *arg)
{
	struct kube_cluster *c = arg;

	c->nodes_generation++;
}

static int node_object(enum kube_event event, json_t *object, void *arg, struct km_err *err)
{
	struct kube_cluster *c = arg;
	struct kube_node *now, *before = NULL;
	size_t at;
	bool known;
	int r;

	r = kube_node_decode(object, c->interner, c->labels, &now, err);
	if (r < 0)
		return r;
	known = kube_ordered_find(&c->nodes, now->name, &at);
	if (known)
		before = c->nodes.values[at];
	if (event == KUBE_DELETED) {
		kube_node_free(now, c->interner, c->labels);
		if (known) {
			kube_ordered_remove(&c->nodes, at);
			node_gone(c, before);
		}
		return 0;
	}
	if (known) {
		c->nodes.values[at] = now;
		c->nodes.keys[at] = now->name;
		c->nodes.marks[at] = c->nodes_generation;
	} else {
		r = c->nodes.n == NODES_MAX ? -ENOSPC
					    : kube_ordered_insert(&c->nodes, at, now->name, now, c->nodes_generation);
		if (r < 0) {
			kube_node_free(now, c->interner, c->labels);
			return km_fail(err, r, "%s", r == -ENOSPC ? "more than 20,000 nodes" : "out of memory");
		}
	}
	TELL(c, node, before, now);
	kube_node_free(before, c->interner, c->labels);
	return 0;
}

/* Takes out what the list that ended has not seen. Without memory for the pass nothing is removed until the next list.
 */
static size_t sweep(struct kube_ordered *o, uint32_t mark, void ***ret_gone)
{
	void **gone = calloc(o->n + 1, sizeof(*gone));

	*ret_gone = gone;
	return gone ? kube_ordered_sweep(o, mark, gone) : 0;
}

static void nodes_end(void *arg)
{
	struct kube_cluster *c = arg;
	void **gone;
	size_t n = sweep(&c->nodes, c->nodes_generation, &gone);

	for (size_t i = 0; i < n; i++)
		node_gone(c, gone[i]);
	free(gone);
}

/* ---- pods ---- */

static void namespace_free(struct kube_cluster *c, struct namespace_pods *ns)
{
	kube_ordered_free(&ns->pods);
	km_istr_unref(c->interner, ns->name);
	free(ns);
}

static int namespace_add(struct kube_cluster *c, size_t at, const char *name, struct namespace_pods **ret)
{
	struct namespace_pods *ns = calloc(1, sizeof(*ns));
	int r;

	if (!ns)
		return -ENOMEM;
	ns->name = km_istr_ref(name);
	r = kube_ordered_insert(&c->namespaces, at, ns->name, ns, 0);
	if (r < 0) {
		namespace_free(c, ns);
		return r;
	}
	*ret = ns;
	return 0;
}

static void namespace_drop_if_empty(struct kube_cluster *c, size_t at)
{
	struct namespace_pods *ns = c->namespaces.values[at];

	if (ns->pods.n > 0)
		return;
	kube_ordered_remove(&c->namespaces, at);
	namespace_free(c, ns);
}

static void pod_gone(struct kube_cluster *c, struct kube_pod *pod)
{
	TELL(c, pod, pod, NULL);
	kube_pod_free(pod, c->interner, c->labels);
}

static void pod_delete(struct kube_cluster *c, const struct kube_pod *what)
{
	struct namespace_pods *ns;
	struct kube_pod *before;
	size_t ns_at, at;

	if (!kube_ordered_find(&c->namespaces, what->namespace_, &ns_at))
		return;
	ns = c->namespaces.values[ns_at];
	if (!kube_ordered_find(&ns->pods, what->name, &at))
		return;
	before = ns->pods.values[at];
	kube_ordered_remove(&ns->pods, at);
	c->n_pods--;
	namespace_drop_if_empty(c, ns_at);
	pod_gone(c, before);
}

/* Takes now; *ret_before is the record it replaces (the caller's from then on), or NULL. */
static int pod_put(struct kube_cluster *c, struct kube_pod *now, struct kube_pod **ret_before)
{
	struct namespace_pods *ns;
	size_t ns_at, at;
	int r = 0;

	*ret_before = NULL;
	if (kube_ordered_find(&c->namespaces, now->namespace_, &ns_at))
		ns = c->namespaces.values[ns_at];
	else
		r = namespace_add(c, ns_at, now->namespace_, &ns);
	if (r < 0)
		return r;
	if (kube_ordered_find(&ns->pods, now->name, &at)) {
		*ret_before = ns->pods.values[at];
		ns->pods.values[at] = now;
		ns->pods.keys[at] = now->name;
		ns->pods.marks[at] = c->pods_generation;
		return 0;
	}
	r = c->n_pods == PODS_MAX ? -ENOSPC : kube_ordered_insert(&ns->pods, at, now->name, now, c->pods_generation);
	if (r < 0)
		namespace_drop_if_empty(c, ns_at);
	else
		c->n_pods++;
	return r;
}

static void pods_begin(void *arg)
{
	struct kube_cluster *c = arg;

	c->pods_generation++;
}

static int pod_object(enum kube_event event, json_t *object, void *arg, struct km_err *err)
{
	struct kube_cluster *c = arg;
	struct kube_pod *now, *before;
	int r;

	r = kube_pod_decode(object, c->interner, c->labels, &now, err);
	if (r < 0)
		return r;
	if (event == KUBE_DELETED) {
		pod_delete(c, now);
		kube_pod_free(now, c->interner, c->labels);
		return 0;
	}
	r = pod_put(c, now, &before);
	if (r < 0) {
		kube_pod_free(now, c->interner, c->labels);
		return km_fail(err, r, "%s", r == -ENOSPC ? "more than 500,000 pods" : "out of memory");
	}
	TELL(c, pod, before, now);
	kube_pod_free(before, c->interner, c->labels);
	return 0;
}

static void pods_end(void *arg)
{
	struct kube_cluster *c = arg;

	for (size_t i = c->namespaces.n; i-- > 0;) { /* downwards: an emptied namespace is taken out on the way */
		struct namespace_pods *ns = c->namespaces.values[i];
		void **gone;
		size_t n = sweep(&ns->pods, c->pods_generation, &gone);

		c->n_pods -= n;
		namespace_drop_if_empty(c, i);
		for (size_t j = 0; j < n; j++)
			pod_gone(c, gone[j]);
		free(gone);
	}
}

/* ---- the authentication ConfigMap ---- */

/* configmap NULL: there is none. */
static int auth_set(struct kube_cluster *c, json_t *configmap, struct km_err *err)
{
	json_t *data = json_object_get(configmap, "data");
	struct km_err finding = {.text = ""};
	struct kube_auth_config *now;
	int r;

	if (!c->auth_told || c->auth->present != (configmap != NULL) ||
		(data != c->auth_data && !(data && c->auth_data && json_equal(data, c->auth_data)))) {
		r = kube_auth_config_decode(configmap, &now, &finding);
		if (r < 0)
			return km_fail(err, r, "%s", finding.text);
		kube_auth_config_unref(c->auth);
		c->auth = now;
		json_decref(c->auth_data);
		c->auth_data = json_incref(data);
		c->auth_finding = finding;
		c->auth_told = true;
		TELL(c, auth, now);
	}
	/* what could not be read in it is told like an object that could not be */
	return c->auth_finding.text[0] ? km_fail(err, -EBADMSG, "%s", c->auth_finding.text) : 0;
}

static void auth_begin(void *arg)
{
	struct kube_cluster *c = arg;

	c->auth_listed = false;
}

static int auth_object(enum kube_event event, json_t *object, void *arg, struct km_err *err)
{
	struct kube_cluster *c = arg;
	const char *name = json_string_value(json_object_get(json_object_get(object, "metadata"), "name"));

	/* the field selector asks for this one; whatever else comes must not decide who is believed */
	if (!name || strcmp(name, AUTH_NAME) != 0)
		return km_fail(err, -EINVAL, "a ConfigMap that was not asked for");
	c->auth_listed = true;
	return auth_set(c, event == KUBE_DELETED ? NULL : object, err);
}

static void auth_end(void *arg)
{
	struct kube_cluster *c = arg;

	if (c->auth_listed)
		return;
	if (auth_set(c, NULL, NULL) < 0) /* without memory the former one stays in force until the next list */
		return;
}

/* ---- problems ---- */

static void problem(struct kube_cluster *c, const char *resource, int error, const char *text)
{
	struct km_err line;

	if (!text) {
		TELL(c, problem, resource, NULL);
		return;
	}
	if (error == -EACCES)
		km_fail(&line, error,
			"%s; kmetricsd's role or binding is missing: run `kmetricsd wire apply` as root on a master",
			text);
	else
		km_fail(&line, error, "%s", text);
	TELL(c, problem, resource, line.text);
}

static void nodes_problem(int error, const char *text, void *arg)
{
	problem(arg, "nodes", error, text);
}

static void pods_problem(int error, const char *text, void *arg)
{
	problem(arg, "pods", error, text);
}

static void auth_problem(int error, const char *text, void *arg)
{
	problem(arg, "configmaps", error, text);
}

/* ---- life ---- */

int kube_cluster_new(struct kube_client *client, struct kube_cluster **ret, struct km_err *err)
{
	struct kube_cluster *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return km_fail(err, -ENOMEM, "out of memory");
	c->client = client;
	r = km_interner_new(&c->interner);
	if (r == 0)
		r = kube_label_pool_new(c->interner, &c->labels);
	if (r == 0)
		r = kube_auth_config_decode(NULL, &c->auth, NULL);
	if (r < 0) {
		kube_cluster_free(c);
		return km_fail(err, r, "out of memory");
	}
	*ret = c;
	return 0;
}

int kube_cluster_listen(struct kube_cluster *c, const struct kube_listener *listener)
{
	if (c->nodes_reflector)
		return -EBUSY;
	if (c->n_listeners == LISTENERS_MAX)
		return -ENOSPC;
	c->listeners[c->n_listeners++] = *listener;
	return 0;
}

int kube_cluster_start_with(
	struct kube_cluster *c, uint64_t backoff_min_us, uint64_t backoff_max_us, struct km_err *err)
{
	const struct {
		struct kube_reflector **into;
		const char *path, *query;
		struct kube_reflector_ops ops;
	} watched[] = {
		{&c->nodes_reflector, "/api/v1/nodes", "", {nodes_begin, node_object, nodes_end, nodes_problem}},
		{&c->pods_reflector, "/api/v1/pods", "", {pods_begin, pod_object, pods_end, pods_problem}},
		{&c->auth_reflector, "/api/v1/namespaces/" AUTH_NAMESPACE "/configmaps",
			"fieldSelector=metadata.name%3D" AUTH_NAME, {auth_begin, auth_object, auth_end, auth_problem}},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(watched); i++) {
		const struct kube_reflector_config config = {.client = c->client,
			.path = watched[i].path,
			.query = watched[i].query,
			.ops = watched[i].ops,
			.arg = c,
			.backoff_min_us = backoff_min_us,
			.backoff_max_us = backoff_max_us};
		int r = kube_reflector_new(&config, watched[i].into);
		if (r < 0)
			return km_fail(err, r, "%s cannot be watched: %s", watched[i].path, strerror(-r));
	}
	return 0;
}

int kube_cluster_start(struct kube_cluster *c, struct km_err *err)
{
	return kube_cluster_start_with(c, 0, 0, err);
}

void kube_cluster_free(struct kube_cluster *c)
{
	if (!c)
		return;
	kube_reflector_free(c->nodes_reflector);
	kube_reflector_free(c->pods_reflector);
	kube_reflector_free(c->auth_reflector);
	for (size_t i = 0; i < c->nodes.n; i++)
		kube_node_free(c->nodes.values[i], c->interner, c->labels);
	for (size_t i = 0; i < c->namespaces.n; i++) {
		struct namespace_pods *ns = c->namespaces.values[i];
		for (size_t j = 0; j < ns->pods.n; j++)
			kube_pod_free(ns->pods.values[j], c->interner, c->labels);
		namespace_free(c, ns);
	}
	kube_ordered_free(&c->nodes);
	kube_ordered_free(&c->namespaces);
	kube_auth_config_unref(c->auth);
	json_decref(c->auth_data);
	kube_label_pool_free(c->labels);
	km_interner_free(c->interner);
	free(c);
}

/* ---- looking ---- */

struct km_interner *kube_cluster_interner(struct kube_cluster *c)
{
	return c->interner;
}

struct kube_label_pool *kube_cluster_label_pool(struct kube_cluster *c)
{
	return c->labels;
}

struct kube_client *kube_cluster_client(struct kube_cluster *c)
{
	return c->client;
}

bool kube_cluster_nodes_synced(const struct kube_cluster *c)
{
	return c->nodes_reflector && kube_reflector_synced(c->nodes_reflector);
}

bool kube_cluster_pods_synced(const struct kube_cluster *c)
{
	return c->pods_reflector && kube_reflector_synced(c->pods_reflector);
}

const struct kube_node *const *kube_cluster_nodes(const struct kube_cluster *c, size_t *ret_n)
{
	*ret_n = c->nodes.n;
	return (const struct kube_node *const *)(const void *)c->nodes.values;
}

const char *const *kube_cluster_namespaces(const struct kube_cluster *c, size_t *ret_n)
{
	*ret_n = c->namespaces.n;
	return (const char *const *)c->namespaces.keys;
}

static const struct namespace_pods *namespace_of(const struct kube_cluster *c, const char *name)
{
	size_t at;

	return kube_ordered_find(&c->namespaces, name, &at) ? c->namespaces.values[at] : NULL;
}

const struct kube_pod *const *kube_cluster_pods(const struct kube_cluster *c, const char *namespace_, size_t *ret_n)
{
	const struct namespace_pods *ns = namespace_of(c, namespace_);

	*ret_n = ns ? ns->pods.n : 0;
	return ns ? (const struct kube_pod *const *)(const void *)ns->pods.values : NULL;
}

const struct kube_node *kube_cluster_node(const struct kube_cluster *c, const char *name)
{
	size_t at;

	return kube_ordered_find(&c->nodes, name, &at) ? c->nodes.values[at] : NULL;
}

const struct kube_pod *kube_cluster_pod(const struct kube_cluster *c, const char *namespace_, const char *name)
{
	const struct namespace_pods *ns = namespace_of(c, namespace_);
	size_t at;

	return ns && kube_ordered_find(&ns->pods, name, &at) ? ns->pods.values[at] : NULL;
}

size_t kube_cluster_pod_count(const struct kube_cluster *c)
{
	return c->n_pods;
}

struct kube_auth_config *kube_cluster_auth(const struct kube_cluster *c)
{
	return c->auth;
}
