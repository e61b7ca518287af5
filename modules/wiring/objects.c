/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects around us, as data. Names are fixed; what varies comes from the plan. The rules are those of spec
 * certs-and-wiring 5 (RBAC) and 4/9.1 (Service to APIService): the daemon may update the objects named here and create
 * none, so everything is created by `wire apply`.
 */
#include "wiring/objects.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "kube/yaml.h"

#define API_SERVICE "v1beta1.metrics.k8s.io"
#define NAME        "kmetricsd"
#define NAMESPACE   "kube-system"
#define HPA         NAME "-hpa" /* role, binding and Lease of the HPA module */
#define HPA_STATE   HPA "-state"
#define STEPS_MAX   24

void wiring_plan_versions(struct wiring_plan *plan, const struct kube_discovery *d)
{
	plan->apiregistration = "v1";
	plan->discovery = "v1";
	plan->coordination = "v1";
	plan->omit_service_port = false;
	if (!d)
		return;
	if (!kube_discovery_serves(d, "apiregistration.k8s.io", "v1"))
		plan->apiregistration = "v1beta1";
	/* Up to 1.33 the aggregator reads Endpoints and the mirroring controller makes the slices for kube-proxy; ours
	 * beside them would be counted twice. From 1.34 on it reads only slices (spec 4.2). */
	plan->discovery = kube_discovery_minor(d) >= 34 ? "v1" : NULL;
	plan->omit_service_port = kube_discovery_minor(d) < 15;
	if (!kube_discovery_serves(d, "coordination.k8s.io", "v1"))
		plan->coordination = kube_discovery_serves(d, "coordination.k8s.io", "v1beta1") ? "v1beta1" : NULL;
}

/* Labels every object of ours carries. */
static json_t *metadata(const char *name, const char *namespace_)
{
	json_t *m = json_pack("{s:s}", "name", name);

	if (m && namespace_)
		json_object_set_new(m, "namespace", json_string(namespace_));
	if (m)
		json_object_set_new(m, "labels", json_pack("{s:s}", "app.kubernetes.io/managed-by", NAME));
	return m;
}

static json_t *object(const char *api_version, const char *kind, const char *name, const char *namespace_)
{
	return json_pack(
		"{s:s, s:s, s:o}", "apiVersion", api_version, "kind", kind, "metadata", metadata(name, namespace_));
}

#define RBAC "rbac.authorization.k8s.io/v1"

/* The group that every instance's client certificate carries (O=kmetricsd). */
static json_t *subjects(void)
{
	return json_pack("[{s:s, s:s, s:s}]", "apiGroup", "rbac.authorization.k8s.io", "kind", "Group", "name", NAME);
}

static json_t *cluster_role(const char *name, json_t *rules)
{
	json_t *o = object(RBAC, "ClusterRole", name, NULL);

	if (o)
		json_object_set_new(o, "rules", rules);
	return o;
}

static json_t *binding(
	const char *kind, const char *name, const char *namespace_, const char *role_kind, const char *role)
{
	json_t *o = object(RBAC, kind, name, namespace_);

	if (!o)
		return NULL;
	json_object_set_new(o, "roleRef",
		json_pack("{s:s, s:s, s:s}", "apiGroup", "rbac.authorization.k8s.io", "kind", role_kind, "name", role));
	json_object_set_new(o, "subjects", subjects());
	return o;
}

static json_t *scrape_role(void)
{
	return cluster_role(NAME "-scrape",
		json_pack("[{s:[s], s:[s,s,s], s:[s,s,s]}, {s:[s], s:[s,s], s:[s]}, {s:[s], s:[s], s:[s]}]",
			"apiGroups", "", "resources", "nodes", "pods", "namespaces", "verbs", "get", "list", "watch",
			"apiGroups", "", "resources", "nodes/metrics", "nodes/stats", "verbs", "get", "apiGroups",
			"certificates.k8s.io", "resources", "certificatesigningrequests", "verbs", "list"));
}

static json_t *wiring_role(void)
{
	return cluster_role(
		NAME "-wiring", json_pack("[{s:[s], s:[s], s:[s], s:[s,s,s,s,s]}]", "apiGroups",
					"apiregistration.k8s.io", "resources", "apiservices", "resourceNames",
					API_SERVICE, "verbs", "get", "list", "watch", "update", "patch"));
}

static json_t *reader_role(void)
{
	json_t *o = cluster_role("system:aggregated-metrics-reader",
		json_pack("[{s:[s], s:[s,s], s:[s,s,s]}]", "apiGroups", "metrics.k8s.io", "resources", "pods", "nodes",
			"verbs", "get", "list", "watch"));
	json_t *labels = o ? json_object_get(json_object_get(o, "metadata"), "labels") : NULL;

	if (!labels)
		return o;
	json_object_set_new(labels, "rbac.authorization.k8s.io/aggregate-to-view", json_string("true"));
	json_object_set_new(labels, "rbac.authorization.k8s.io/aggregate-to-edit", json_string("true"));
	json_object_set_new(labels, "rbac.authorization.k8s.io/aggregate-to-admin", json_string("true"));
	return o;
}

/* kube-controller-manager's own rules for its controller, less that for the metrics which we have in process. */
static json_t *hpa_role(void)
{
	return cluster_role(HPA,
		json_pack("[{s:[s], s:[s], s:[s,s,s]}, {s:[s], s:[s], s:[s,s]}, {s:[s], s:[s], s:[s,s]}, "
			  "{s:[s,s], s:[s], s:[s,s]}, {s:[s], s:[s], s:[s,s,s]}, "
			  "{s:[s], s:[s,s,s], s:[s,s]}, {s:[s], s:[s], s:[s,s]}]",
			"apiGroups", "autoscaling", "resources", "horizontalpodautoscalers", "verbs", "get", "list",
			"watch", "apiGroups", "autoscaling", "resources", "horizontalpodautoscalers/status", "verbs",
			"update", "patch", "apiGroups", "*", "resources", "*/scale", "verbs", "get", "update",
			"apiGroups", "custom.metrics.k8s.io", "external.metrics.k8s.io", "resources", "*", "verbs",
			"get", "list", "apiGroups", "", "resources", "events", "verbs", "create", "update", "patch",
			"apiGroups", "apps", "resources", "deployments", "replicasets", "statefulsets", "verbs", "list",
			"watch", "apiGroups", "", "resources", "replicationcontrollers", "verbs", "list", "watch"));
}

/* One rule of a Role: objects of these names only. */
static json_t *named_rule(const char *group, const char *resource, const char *name)
{
	return json_pack("{s:[s], s:[s], s:[s], s:[s,s,s]}", "apiGroups", group, "resources", resource, "resourceNames",
		name, "verbs", "get", "update", "patch");
}

/* Parts of what the HPA controller remembers; as many as HPA_STATE_PARTS_MAX (hpa/state.h). */
#define HPA_STATE_PARTS 4

static json_t *hpa_state(size_t part)
{
	char name[sizeof(HPA_STATE) + 8];

	snprintf(name, sizeof(name), part > 0 ? "%s-%zu" : "%s", HPA_STATE, part);
	return object("v1", "ConfigMap", name, NAMESPACE);
}

static json_t *hpa_state_rule(void)
{
	json_t *rule = named_rule("", "configmaps", HPA_STATE), *names = json_object_get(rule, "resourceNames");

	for (size_t i = 1; i < HPA_STATE_PARTS; i++)
		json_array_append_new(names, json_sprintf("%s-%zu", HPA_STATE, i));
	return rule;
}

static json_t *own_role(const struct wiring_plan *plan, const char *slice_name)
{
	json_t *o = object(RBAC, "Role", NAME, NAMESPACE);

	if (!o)
		return NULL;
	json_object_set_new(o, "rules",
		json_pack("[o, o, o]", named_rule("", "services", NAME), named_rule("", "endpoints", NAME),
			named_rule("discovery.k8s.io", "endpointslices", slice_name)));
	if (!plan->hpa)
		return o;
	json_array_append_new(json_object_get(o, "rules"), named_rule("coordination.k8s.io", "leases", HPA));
	json_array_append_new(json_object_get(o, "rules"), hpa_state_rule());
	return o;
}

/* Held by the one instance that scales; made here, because creating cannot be granted by name. */
static json_t *hpa_lease(const struct wiring_plan *plan)
{
	char api_version[64];

	snprintf(api_version, sizeof(api_version), "coordination.k8s.io/%s", plan->coordination);
	return object(api_version, "Lease", HPA, NAMESPACE);
}

/* An HPA on a target that does not exist: a living in-tree controller says so in its status, and so is known to live.
 */
static json_t *hpa_canary(void)
{
	json_t *o = object("autoscaling/v1", "HorizontalPodAutoscaler", NAME "-canary", NAMESPACE);

	if (o)
		json_object_set_new(o, "spec",
			json_pack("{s:{s:s, s:s, s:s}, s:i, s:i}", "scaleTargetRef", "apiVersion", "apps/v1", "kind",
				"Deployment", "name", NAME "-canary-does-not-exist", "minReplicas", 1, "maxReplicas",
				1));
	return o;
}

static json_t *service(void)
{
	json_t *o = object("v1", "Service", NAME, NAMESPACE);

	/* No selector: the endpoints controller would overwrite what stands in Endpoints (spec 4.1). */
	if (o)
		json_object_set_new(o, "spec",
			json_pack("{s:[{s:s, s:i, s:s}]}", "ports", "name", "https", "port", 443, "protocol", "TCP"));
	return o;
}

static json_t *endpoints(const struct wiring_plan *plan)
{
	json_t *o = object("v1", "Endpoints", NAME, NAMESPACE);

	if (!o)
		return NULL;
	if (plan->discovery)
		json_object_set_new(json_object_get(json_object_get(o, "metadata"), "labels"),
			"endpointslice.kubernetes.io/skip-mirror", json_string("true"));
	json_object_set_new(o, "subsets",
		json_pack("[{s:[{s:s}], s:[{s:s, s:i, s:s}]}]", "addresses", "ip", plan->address, "ports", "name",
			"https", "port", (int)plan->port, "protocol", "TCP"));
	return o;
}

static json_t *endpoint_slice(const struct wiring_plan *plan, const char *name)
{
	char api_version[64];
	json_t *o, *labels;

	snprintf(api_version, sizeof(api_version), "discovery.k8s.io/%s", plan->discovery);
	o = object(api_version, "EndpointSlice", name, NAMESPACE);
	if (!o)
		return NULL;
	labels = json_object_get(json_object_get(o, "metadata"), "labels");
	json_object_set_new(labels, "kubernetes.io/service-name", json_string(NAME));
	json_object_set_new(labels, "endpointslice.kubernetes.io/managed-by", json_string(NAME));
	json_object_set_new(o, "addressType", json_string(strchr(plan->address, ':') ? "IPv6" : "IPv4"));
	json_object_set_new(o, "ports",
		json_pack("[{s:s, s:i, s:s}]", "name", "https", "port", (int)plan->port, "protocol", "TCP"));
	json_object_set_new(o, "endpoints",
		json_pack("[{s:[s], s:{s:b}, s:s}]", "addresses", plan->address, "conditions", "ready", 1, "nodeName",
			plan->node));
	return o;
}

static json_t *api_service(const struct wiring_plan *plan)
{
	char api_version[64];
	size_t len = strlen(plan->ca_pem);
	_cleanup_free_ char *base64 = malloc(4 * ((len + 2) / 3) + 1);
	json_t *o, *spec;

	if (!base64)
		return NULL;
	EVP_EncodeBlock((unsigned char *)base64, (const unsigned char *)plan->ca_pem, (int)len);
	snprintf(api_version, sizeof(api_version), "apiregistration.k8s.io/%s", plan->apiregistration);
	o = object(api_version, "APIService", API_SERVICE, NULL);
	spec = json_pack("{s:s, s:s, s:i, s:i, s:s, s:n, s:{s:s, s:s}}", "group", "metrics.k8s.io", "version",
		"v1beta1", "groupPriorityMinimum", 100, "versionPriority", 100, "caBundle", base64,
		"insecureSkipTLSVerify", "service", "name", NAME, "namespace", NAMESPACE);
	if (!o || !spec) {
		json_decref(o);
		json_decref(spec);
		return NULL;
	}
	if (!plan->omit_service_port)
		json_object_set_new(json_object_get(spec, "service"), "port", json_integer(443));
	json_object_set_new(o, "spec", spec);
	return o;
}

/* Another owner's APIService is never touched (W13); one that is being deleted will vanish whatever we write (W12). */
static int guard_api_service(json_t *live, void *arg, struct km_err *err)
{
	json_t *service_ref = json_object_get(json_object_get(live, "spec"), "service");
	const char *name = json_string_value(json_object_get(service_ref, "name"));
	const char *namespace_ = json_string_value(json_object_get(service_ref, "namespace"));
	const char *deleted =
		json_string_value(json_object_get(json_object_get(live, "metadata"), "deletionTimestamp"));

	(void)arg;
	if (!live)
		return 0;
	if (deleted)
		return km_fail(err, -EBUSY,
			"APIService %s has deletionTimestamp %s: it is being deleted and will disappear. Wait for (or "
			"clear) its finalizers, then kmetricsd wire apply.",
			API_SERVICE, deleted);
	if (!name || strcmp(name, NAME) != 0 || !namespace_ || strcmp(namespace_, NAMESPACE) != 0)
		return km_fail(err, -EEXIST,
			"APIService %s is served by %s/%s, not by kmetricsd. Remove that deployment and its "
			"APIService, then kmetricsd wire apply.",
			API_SERVICE, namespace_ ? namespace_ : "-", name ? name : "the kube-apiserver itself");
	return 0;
}

static int add_step(
	struct wiring_objects *o, json_t *obj, const char *resource, int (*guard)(json_t *, void *, struct km_err *))
{
	assert(o->n < STEPS_MAX);
	if (!obj)
		return -ENOMEM;
	o->steps[o->n++] = (struct kube_apply_step){.object = obj, .resource = resource, .guard = guard};
	return 0;
}

static int add_hpa(struct wiring_objects *o, const struct wiring_plan *plan)
{
	int r;

	if ((r = add_step(o, hpa_role(), "clusterroles", NULL)) < 0 ||
		(r = add_step(o, binding("ClusterRoleBinding", HPA, NULL, "ClusterRole", HPA), "clusterrolebindings",
			 NULL)) < 0 ||
		(plan->coordination && (r = add_step(o, hpa_lease(plan), "leases", NULL)) < 0))
		return r;
	for (size_t i = 0; i < HPA_STATE_PARTS; i++)
		if ((r = add_step(o, hpa_state(i), "configmaps", NULL)) < 0)
			return r;
	return add_step(o, hpa_canary(), "horizontalpodautoscalers", NULL);
}

static int check_plan(const struct wiring_plan *plan, struct km_err *err)
{
	unsigned char scratch[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, plan->address, scratch) != 1 && inet_pton(AF_INET6, plan->address, scratch) != 1)
		return km_fail(err, -EINVAL,
			"no address of this host that the API server could reach is known (have \"%s\"): set "
			"advertise-address in [kubernetes]",
			plan->address);
	if (strncmp(plan->address, "127.", 4) == 0 || strcmp(plan->address, "::1") == 0)
		return km_fail(err, -EINVAL,
			"the API server refuses loopback addresses in Endpoints (%s): set advertise-address in "
			"[kubernetes] to one of this host's own",
			plan->address);
	return 0;
}

static void freep(struct wiring_objects **o)
{
	wiring_objects_free(*o);
}

int wiring_objects_make(const struct wiring_plan *plan, struct wiring_objects **ret, struct km_err *err)
{
	_cleanup_(freep) struct wiring_objects *o = NULL;
	char slice[300];
	int r = check_plan(plan, err);

	if (r < 0)
		return r;
	snprintf(slice, sizeof(slice), NAME "-%s", plan->node);
	o = calloc(1, sizeof(*o));
	if (!o || !(o->steps = calloc(STEPS_MAX, sizeof(*o->steps))))
		return km_fail(err, -ENOMEM, "out of memory");
	if ((r = add_step(o, scrape_role(), "clusterroles", NULL)) < 0 ||
		(r = add_step(o, binding("ClusterRoleBinding", NAME "-scrape", NULL, "ClusterRole", NAME "-scrape"),
			 "clusterrolebindings", NULL)) < 0 ||
		(r = add_step(o,
			 binding("RoleBinding", NAME "-auth-reader", NAMESPACE, "Role",
				 "extension-apiserver-authentication-reader"),
			 "rolebindings", NULL)) < 0 ||
		(r = add_step(o,
			 binding("ClusterRoleBinding", NAME ":system:auth-delegator", NULL, "ClusterRole",
				 "system:auth-delegator"),
			 "clusterrolebindings", NULL)) < 0 ||
		(r = add_step(o, wiring_role(), "clusterroles", NULL)) < 0 ||
		(r = add_step(o, binding("ClusterRoleBinding", NAME "-wiring", NULL, "ClusterRole", NAME "-wiring"),
			 "clusterrolebindings", NULL)) < 0 ||
		(r = add_step(o, own_role(plan, slice), "roles", NULL)) < 0 ||
		(r = add_step(o, binding("RoleBinding", NAME, NAMESPACE, "Role", NAME), "rolebindings", NULL)) < 0 ||
		(plan->hpa && (r = add_hpa(o, plan)) < 0) ||
		(r = add_step(o, reader_role(), "clusterroles", NULL)) < 0 ||
		(r = add_step(o, service(), "services", NULL)) < 0 ||
		(r = add_step(o, endpoints(plan), "endpoints", NULL)) < 0 ||
		(plan->discovery && (r = add_step(o, endpoint_slice(plan, slice), "endpointslices", NULL)) < 0) ||
		(r = add_step(o, api_service(plan), "apiservices", guard_api_service)) < 0)
		return km_fail(err, r, "out of memory");
	*ret = KM_TAKE(o);
	return 0;
}

void wiring_objects_free(struct wiring_objects *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->n; i++)
		json_decref(o->steps[i].object);
	free(o->steps);
	free(o);
}

/* A manifest has no nulls: `insecureSkipTLSVerify: null` is for merging only. */
static void drop_nulls(json_t *value)
{
	const char *key;
	json_t *member;
	void *next;

	json_object_foreach_safe(value, next, key, member)
	{
		if (json_is_null(member))
			json_object_del(value, key);
		else
			drop_nulls(member);
	}
}

int wiring_objects_print(const struct wiring_objects *o, struct km_buf *out)
{
	for (size_t i = 0; i < o->n; i++) {
		json_t *copy = json_deep_copy(o->steps[i].object);
		int r;

		if (!copy)
			return -ENOMEM;
		drop_nulls(copy);
		km_buf_adds(out, "---\n");
		r = kube_yaml_emit(copy, out);
		json_decref(copy);
		if (r < 0)
			return r;
	}
	return out->error;
}
