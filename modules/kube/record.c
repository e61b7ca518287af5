/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding pods and nodes. The object comes from a peer: whatever is missing, of another type or out of range is as if
 * absent, and only what makes a record impossible (no name) is an error. Each record is one allocation with its strings
 * of fixed use behind it.
 */
#include "kube/record.h"

#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/timetext.h"
#include "kube/quantity.h"

#define NAME_BYTES_MAX 253                           /* DNS subdomain: names of pods, nodes, namespaces, containers */
#define UID_BYTES_MAX  128                           /* 36 in practice */
#define TEXT_BYTES_MAX 256                           /* addresses, versions, kinds */
#define STATUSES_MAX   (2 * KUBE_POD_CONTAINERS_MAX) /* looked at, of each kind */
#define CONDITIONS_MAX 64
#define OWNERS_MAX     64
#define ADDRESSES_MAX  256 /* looked at */
#define MILLI_PER_UNIT 1000

/* ---- pieces ---- */

/* A string member of 1 to max bytes, or NULL. */
static const char *text_of(json_t *object, const char *key, size_t max)
{
	json_t *v = json_object_get(object, key);
	size_t len = json_string_length(v);

	return len > 0 && len <= max && strlen(json_string_value(v)) == len ? json_string_value(v) : NULL;
}

static bool text_is(json_t *object, const char *key, const char *value)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s && strcmp(s, value) == 0;
}

/* Interns a string member; an absent one leaves *ret NULL. */
static int intern_member(struct km_interner *in, json_t *object, const char *key, size_t max, const char **ret)
{
	const char *s = text_of(object, key, max);

	if (!s)
		return 0;
	*ret = km_intern(in, s, strlen(s));
	return *ret ? 0 : -ENOMEM;
}

static int64_t seconds_of(json_t *object, const char *key)
{
	const char *s = text_of(object, key, TEXT_BYTES_MAX);
	int64_t ns;

	if (!s || km_rfc3339_parse(s, strlen(s), &ns) < 0)
		return INT64_MIN;
	return ns / KM_NSEC_PER_SEC - (ns % KM_NSEC_PER_SEC < 0);
}

/* A quantity in thousandths, absent when missing, malformed or negative (the API server lets none of these through). */
static int64_t milli_of(json_t *quantities, const char *key, int64_t absent)
{
	json_t *v = json_object_get(quantities, key);
	int64_t milli;

	if (json_is_integer(v)) {
		json_int_t n = json_integer_value(v);
		return n >= 0 && n <= INT64_MAX / MILLI_PER_UNIT ? n * MILLI_PER_UNIT : absent;
	}
	if (!json_is_string(v) || km_quantity_parse_milli(json_string_value(v), json_string_length(v), &milli) < 0)
		return absent;
	return milli >= 0 ? milli : absent;
}

static int64_t bytes_of(json_t *quantities, const char *key)
{
	int64_t milli = milli_of(quantities, key, -1);

	return milli < 0 ? -1 : milli / MILLI_PER_UNIT + (milli % MILLI_PER_UNIT != 0);
}

static uint8_t tristate_of(json_t *condition)
{
	if (text_is(condition, "status", "True"))
		return KUBE_TRUE;
	return text_is(condition, "status", "False") ? KUBE_FALSE : KUBE_UNKNOWN;
}

struct wanted_condition {
	const char *type;
	struct kube_condition *into;
};

static void read_conditions(json_t *status, const struct wanted_condition *wanted, size_t n)
{
	json_t *list = json_object_get(status, "conditions"), *c;
	size_t i;

	for (size_t j = 0; j < n; j++)
		*wanted[j].into = (struct kube_condition){.status = KUBE_ABSENT, .since_s = INT64_MIN};
	json_array_foreach(list, i, c)
	{
		if (i == CONDITIONS_MAX)
			break;
		for (size_t j = 0; j < n; j++) {
			if (text_is(c, "type", wanted[j].type))
				*wanted[j].into = (struct kube_condition){
					.status = tristate_of(c), .since_s = seconds_of(c, "lastTransitionTime")};
		}
	}
}

/* Copies text behind a record; returns where the next one goes. */
static char *append(char *at, const char *text, const char **ret)
{
	size_t size = strlen(text) + 1;

	*ret = memcpy(at, text, size);
	return at + size;
}

/* ---- pods ---- */

void kube_pod_free(struct kube_pod *pod, struct km_interner *in, struct kube_label_pool *pool)
{
	if (!pod)
		return;
	km_istr_unref(in, pod->namespace_);
	km_istr_unref(in, pod->name);
	km_istr_unref(in, pod->node);
	km_istr_unref(in, pod->owner_kind);
	km_istr_unref(in, pod->owner_name);
	for (size_t i = 0; i < pod->n_containers; i++)
		km_istr_unref(in, pod->containers[i].name);
	kube_labels_unref(pool, pod->labels);
	free(pod);
}

static json_t *controller_of(json_t *metadata)
{
	json_t *list = json_object_get(metadata, "ownerReferences"), *owner;
	size_t i;

	json_array_foreach(list, i, owner)
	{
		if (i == OWNERS_MAX)
			break;
		if (json_is_true(json_object_get(owner, "controller")))
			return owner;
	}
	return NULL;
}

static const char *const phases[] = {
	[KUBE_PHASE_NONE] = "",
	[KUBE_PENDING] = "Pending",
	[KUBE_RUNNING] = "Running",
	[KUBE_SUCCEEDED] = "Succeeded",
	[KUBE_FAILED] = "Failed",
	[KUBE_PHASE_UNKNOWN] = "Unknown",
};

const char *kube_pod_phase_text(uint8_t phase)
{
	return phases[phase < KM_ARRAY_LEN(phases) ? phase : KUBE_PHASE_NONE];
}

static uint8_t phase_of(json_t *status)
{
	for (size_t i = KUBE_PENDING; i < KM_ARRAY_LEN(phases); i++)
		if (text_is(status, "phase", phases[i]))
			return (uint8_t)i;
	return KUBE_PHASE_NONE;
}

/* Appends the containers of one list of the spec to the record, as many as still fit. */
static int read_containers(json_t *list, bool init, struct km_interner *in, struct kube_pod *pod)
{
	json_t *spec;
	size_t i;
	int r;

	json_array_foreach(list, i, spec)
	{
		struct kube_container *c = &pod->containers[pod->n_containers];
		json_t *resources = json_object_get(spec, "resources");
		json_t *requests = json_object_get(resources, "requests"),
		       *limits = json_object_get(resources, "limits");

		if (!text_of(spec, "name", NAME_BYTES_MAX))
			continue;
		if (pod->n_containers == KUBE_POD_CONTAINERS_MAX) {
			pod->truncated = true;
			return 0;
		}
		*c = (struct kube_container){
			.cpu_request_milli = milli_of(requests, "cpu", -1),
			.memory_request_milli = milli_of(requests, "memory", -1),
			.cpu_limit_milli = milli_of(limits, "cpu", -1),
			.memory_limit_milli = milli_of(limits, "memory", -1),
			.started_s = INT64_MIN,
			.kind = !init                                      ? KUBE_CONTAINER
				: text_is(spec, "restartPolicy", "Always") ? KUBE_SIDECAR
									   : KUBE_INIT,
		};
		r = intern_member(in, spec, "name", NAME_BYTES_MAX, &c->name);
		if (r < 0)
			return r;
		pod->n_containers++;
	}
	return 0;
}

/* Statuses belong to the containers of the record in [from, to) by name. */
static void read_statuses(json_t *list, struct kube_pod *pod, size_t from, size_t to)
{
	json_t *status;
	size_t i;

	json_array_foreach(list, i, status)
	{
		const char *name = text_of(status, "name", NAME_BYTES_MAX);
		json_t *state = json_object_get(status, "state"), *running = json_object_get(state, "running");

		if (i == STATUSES_MAX)
			break;
		for (size_t j = from; name && j < to; j++) {
			struct kube_container *c = &pod->containers[j];
			if (strcmp(c->name, name) != 0)
				continue;
			c->ready = json_is_true(json_object_get(status, "ready"));
			if (json_is_object(running)) {
				c->state = KUBE_STATE_RUNNING;
				c->started_s = seconds_of(running, "startedAt");
			} else if (json_is_object(json_object_get(state, "terminated"))) {
				c->state = KUBE_TERMINATED;
			} else if (json_is_object(json_object_get(state, "waiting"))) {
				c->state = KUBE_WAITING;
			}
			break;
		}
	}
}

static int pod_fill(json_t *object, struct km_interner *in, struct kube_label_pool *pool, struct kube_pod *pod)
{
	json_t *metadata = json_object_get(object, "metadata");
	json_t *spec = json_object_get(object, "spec"), *status = json_object_get(object, "status");
	json_t *owner = controller_of(metadata), *overhead = json_object_get(spec, "overhead");
	json_t *requests = json_object_get(json_object_get(spec, "resources"), "requests");
	const struct wanted_condition wanted[] = {{"Ready", &pod->ready}, {"Initialized", &pod->initialized},
		{"ContainersReady", &pod->containers_ready}, {"PodScheduled", &pod->scheduled}};
	size_t plain;
	int r;

	pod->created_s = seconds_of(metadata, "creationTimestamp");
	pod->deleted_s = seconds_of(metadata, "deletionTimestamp");
	pod->started_s = seconds_of(status, "startTime");
	pod->phase = phase_of(status);
	pod->cpu_overhead_milli = milli_of(overhead, "cpu", 0);
	pod->memory_overhead_milli = milli_of(overhead, "memory", 0);
	pod->cpu_pod_request_milli = milli_of(requests, "cpu", -1);
	pod->memory_pod_request_milli = milli_of(requests, "memory", -1);
	read_conditions(status, wanted, KM_ARRAY_LEN(wanted));

	r = intern_member(in, metadata, "namespace", NAME_BYTES_MAX, &pod->namespace_);
	if (r == 0)
		r = intern_member(in, metadata, "name", NAME_BYTES_MAX, &pod->name);
	if (r == 0)
		r = intern_member(in, spec, "nodeName", NAME_BYTES_MAX, &pod->node);
	if (r == 0)
		r = intern_member(in, owner, "kind", TEXT_BYTES_MAX, &pod->owner_kind);
	if (r == 0)
		r = intern_member(in, owner, "name", NAME_BYTES_MAX, &pod->owner_name);
	if (r == 0)
		r = kube_labels_decode(pool, json_object_get(metadata, "labels"), &pod->labels);
	if (r == 0)
		r = read_containers(json_object_get(spec, "containers"), false, in, pod);
	plain = pod->n_containers;
	if (r == 0)
		r = read_containers(json_object_get(spec, "initContainers"), true, in, pod);
	if (r < 0)
		return r;
	read_statuses(json_object_get(status, "containerStatuses"), pod, 0, plain);
	read_statuses(json_object_get(status, "initContainerStatuses"), pod, plain, pod->n_containers);
	return 0;
}

int kube_pod_decode(
	json_t *object, struct km_interner *in, struct kube_label_pool *pool, struct kube_pod **ret, struct km_err *err)
{
	json_t *metadata = json_object_get(object, "metadata"), *spec = json_object_get(object, "spec");
	const char *name = text_of(metadata, "name", NAME_BYTES_MAX);
	const char *namespace_ = text_of(metadata, "namespace", NAME_BYTES_MAX);
	const char *uid = text_of(metadata, "uid", UID_BYTES_MAX);
	const char *owner_uid = text_of(controller_of(metadata), "uid", UID_BYTES_MAX);
	size_t n = json_array_size(json_object_get(spec, "containers")) +
		   json_array_size(json_object_get(spec, "initContainers"));
	struct kube_pod *pod;
	char *tail;
	int r;

	if (!name)
		return km_fail(err, -EINVAL, "a pod without a usable metadata.name");
	if (!namespace_)
		return km_fail(err, -EINVAL, "pod %s without a usable metadata.namespace", name);
	n = KM_MIN(n, (size_t)KUBE_POD_CONTAINERS_MAX);
	uid = uid ? uid : "";
	owner_uid = owner_uid ? owner_uid : "";
	pod = calloc(1, sizeof(*pod) + n * sizeof(pod->containers[0]) + strlen(uid) + strlen(owner_uid) + 2);
	if (!pod)
		return km_fail(err, -ENOMEM, "pod %s/%s: out of memory", namespace_, name);
	tail = (char *)&pod->containers[n];
	tail = append(tail, uid, &pod->uid);
	append(tail, owner_uid, &pod->owner_uid);
	r = pod_fill(object, in, pool, pod);
	if (r < 0) {
		kube_pod_free(pod, in, pool);
		return km_fail(
			err, r, "pod %s/%s: %s", namespace_, name, r == -ENOMEM ? "out of memory" : "unusable labels");
	}
	*ret = pod;
	return 0;
}

/* ---- nodes ---- */

void kube_node_free(struct kube_node *node, struct km_interner *in, struct kube_label_pool *pool)
{
	if (!node)
		return;
	km_istr_unref(in, node->name);
	km_istr_unref(in, node->kubelet_version);
	km_istr_unref(in, node->metrics_path);
	for (size_t i = 0; i < node->n_addresses; i++) {
		km_istr_unref(in, node->addresses[i].type);
		km_istr_unref(in, node->addresses[i].address);
	}
	kube_labels_unref(pool, node->labels);
	free(node);
}

static int read_addresses(json_t *status, struct km_interner *in, struct kube_node *node)
{
	json_t *list = json_object_get(status, "addresses"), *a;
	size_t i;
	int r;

	json_array_foreach(list, i, a)
	{
		struct kube_node_address *into = &node->addresses[node->n_addresses];

		if (i == ADDRESSES_MAX || node->n_addresses == KUBE_NODE_ADDRESSES_MAX)
			break;
		if (!text_of(a, "type", TEXT_BYTES_MAX) || !text_of(a, "address", TEXT_BYTES_MAX))
			continue;
		node->n_addresses++;
		r = intern_member(in, a, "type", TEXT_BYTES_MAX, &into->type);
		if (r == 0)
			r = intern_member(in, a, "address", TEXT_BYTES_MAX, &into->address);
		if (r < 0)
			return r;
	}
	return 0;
}

static int node_fill(json_t *object, struct km_interner *in, struct kube_label_pool *pool, struct kube_node *node)
{
	json_t *metadata = json_object_get(object, "metadata");
	json_t *spec = json_object_get(object, "spec"), *status = json_object_get(object, "status");
	json_t *allocatable = json_object_get(status, "allocatable"), *capacity = json_object_get(status, "capacity");
	json_t *port =
		json_object_get(json_object_get(json_object_get(status, "daemonEndpoints"), "kubeletEndpoint"), "Port");
	const struct wanted_condition wanted[] = {{"Ready", &node->ready}};
	int r;

	read_conditions(status, wanted, KM_ARRAY_LEN(wanted));
	node->unschedulable = json_is_true(json_object_get(spec, "unschedulable"));
	if (json_integer_value(port) > 0 && json_integer_value(port) <= UINT16_MAX)
		node->kubelet_port = (uint16_t)json_integer_value(port);
	node->cpu_allocatable_milli = milli_of(allocatable, "cpu", -1);
	node->memory_allocatable_bytes = bytes_of(allocatable, "memory");
	node->cpu_capacity_milli = milli_of(capacity, "cpu", -1);
	node->memory_capacity_bytes = bytes_of(capacity, "memory");

	r = intern_member(in, metadata, "name", NAME_BYTES_MAX, &node->name);
	if (r == 0)
		r = intern_member(in, json_object_get(status, "nodeInfo"), "kubeletVersion", TEXT_BYTES_MAX,
			&node->kubelet_version);
	if (r == 0)
		r = intern_member(in, json_object_get(metadata, "annotations"), "metrics.k8s.io/resource-metrics-path",
			TEXT_BYTES_MAX, &node->metrics_path);
	if (r == 0)
		r = read_addresses(status, in, node);
	if (r == 0)
		r = kube_labels_decode(pool, json_object_get(metadata, "labels"), &node->labels);
	return r;
}

int kube_node_decode(json_t *object, struct km_interner *in, struct kube_label_pool *pool, struct kube_node **ret,
	struct km_err *err)
{
	json_t *metadata = json_object_get(object, "metadata");
	const char *name = text_of(metadata, "name", NAME_BYTES_MAX);
	const char *uid = text_of(metadata, "uid", UID_BYTES_MAX);
	struct kube_node *node;
	int r;

	if (!name)
		return km_fail(err, -EINVAL, "a node without a usable metadata.name");
	uid = uid ? uid : "";
	node = calloc(1, sizeof(*node) + strlen(uid) + 1);
	if (!node)
		return km_fail(err, -ENOMEM, "node %s: out of memory", name);
	append((char *)(node + 1), uid, &node->uid);
	r = node_fill(object, in, pool, node);
	if (r < 0) {
		kube_node_free(node, in, pool);
		return km_fail(err, r, "node %s: %s", name, r == -ENOMEM ? "out of memory" : "unusable labels");
	}
	*ret = node;
	return 0;
}
