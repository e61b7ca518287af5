/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods and nodes as records: a real-looking object of each (shared with the fuzz corpus) field by field, then what is
 * missing, wrong or too much.
 */
#include "kube/record.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define AT(h, m, s) (1795392000 + (h)*3600 + (m)*60 + (s)) /* 2026-11-23 */

struct world {
	struct km_interner *in;
	struct kube_label_pool *pool;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	if (!w || km_interner_new(&w->in) < 0 || kube_label_pool_new(w->in, &w->pool) < 0)
		return -1;
	*state = w;
	return 0;
}

/* Every reference must have been given back. */
static int teardown(void **state)
{
	struct world *w = *state;
	bool clean = km_interner_count(w->in) == 0 && kube_label_pool_count(w->pool) == 0;

	if (clean) {
		kube_label_pool_free(w->pool);
		km_interner_free(w->in);
	}
	free(w);
	return clean ? 0 : -1;
}

static struct kube_pod *pod_of(struct world *w, json_t *object)
{
	struct kube_pod *pod = NULL;
	struct km_err err = {.text = ""};

	if (kube_pod_decode(object, w->in, w->pool, &pod, &err) < 0)
		fail_msg("%s", err.text);
	return pod;
}

static void test_pod(void **state)
{
	struct world *w = *state;
	json_t *object = json_load_file("tests/fuzz/corpus/record/pod.json", 0, NULL);
	struct kube_pod *p;

	assert_non_null(object);
	p = pod_of(w, object);
	json_decref(object); /* nothing of the record may point into it */
	assert_string_equal(p->namespace_, "shop");
	assert_string_equal(p->name, "web-6d4cf56db6-x7x2p");
	assert_string_equal(p->node, "node-00001");
	assert_string_equal(p->owner_kind, "ReplicaSet");
	assert_string_equal(p->owner_name, "web-6d4cf56db6");
	assert_string_equal(p->owner_uid, "a2c1f3a8-13b7-4f38-9e10-09a1f2d3c4b5");
	assert_string_equal(p->uid, "0f4a2c57-7b1e-4f0f-9a53-5a9a2f6f8b11");
	assert_string_equal(kube_labels_value(p->labels, "tier"), "front");
	assert_int_equal(p->labels->n, 3);
	assert_int_equal(p->created_s, AT(5, 20, 36));
	assert_int_equal(p->started_s, AT(5, 20, 37));
	assert_true(p->deleted_s == INT64_MIN);
	assert_int_equal(p->phase, KUBE_RUNNING);
	assert_int_equal(p->ready.status, KUBE_FALSE);
	assert_int_equal(p->ready.since_s, AT(5, 20, 45));
	assert_int_equal(p->initialized.status, KUBE_TRUE);
	assert_int_equal(p->containers_ready.status, KUBE_FALSE);
	assert_int_equal(p->scheduled.since_s, AT(5, 20, 36));
	assert_int_equal(p->cpu_overhead_milli, 100);
	assert_int_equal(p->memory_overhead_milli, 64LL * 1024 * 1024 * 1000);
	assert_int_equal(p->cpu_pod_request_milli, -1);
	assert_false(p->truncated);

	static const struct kube_container expected[] = {
		{"web", 250, 128974848000, 1000, 536870912000, AT(5, 20, 44), KUBE_CONTAINER, KUBE_STATE_RUNNING, true},
		{"log", -1, -1, -1, -1, INT64_MIN, KUBE_CONTAINER, KUBE_WAITING, false},
		{"migrate", 1500, 1073741824000, -1, -1, INT64_MIN, KUBE_INIT, KUBE_TERMINATED, true},
		{"mesh", 10, 33554432000, -1, 67108864000, AT(5, 20, 40), KUBE_SIDECAR, KUBE_STATE_RUNNING, true},
	};
	assert_int_equal(p->n_containers, KM_ARRAY_LEN(expected));
	for (size_t i = 0; i < KM_ARRAY_LEN(expected); i++) {
		const struct kube_container *c = &p->containers[i], *e = &expected[i];
		assert_string_equal(c->name, e->name);
		assert_true(c->cpu_request_milli == e->cpu_request_milli);
		assert_true(c->memory_request_milli == e->memory_request_milli);
		assert_true(c->cpu_limit_milli == e->cpu_limit_milli);
		assert_true(c->memory_limit_milli == e->memory_limit_milli);
		assert_true(c->started_s == e->started_s);
		assert_int_equal(c->kind, e->kind);
		assert_int_equal(c->state, e->state);
		assert_int_equal(c->ready, e->ready);
	}
	kube_pod_free(p, w->in, w->pool);
}

static void test_node(void **state)
{
	struct world *w = *state;
	json_t *object = json_load_file("tests/fuzz/corpus/record/node.json", 0, NULL);
	struct kube_node *n = NULL;
	struct km_err err;

	assert_non_null(object);
	assert_int_equal(kube_node_decode(object, w->in, w->pool, &n, &err), 0);
	json_decref(object);
	assert_string_equal(n->name, "node-00001");
	assert_string_equal(n->uid, "7a3b6c1e-0c57-4b1c-8f0e-000000000001");
	assert_string_equal(kube_labels_value(n->labels, "kubernetes.io/os"), "linux");
	assert_int_equal(n->ready.status, KUBE_UNKNOWN);
	assert_int_equal(n->ready.since_s, AT(5, 21, 20));
	assert_true(n->unschedulable);
	assert_int_equal(n->kubelet_port, 10250);
	assert_int_equal(n->cpu_allocatable_milli, 3920);
	assert_int_equal(n->memory_allocatable_bytes, 7906352LL * 1024);
	assert_int_equal(n->cpu_capacity_milli, 4000);
	assert_int_equal(n->memory_capacity_bytes, 8008752LL * 1024);
	assert_string_equal(n->kubelet_version, "v1.20.2");
	assert_int_equal(n->n_addresses, 3);
	assert_string_equal(n->addresses[1].type, "InternalIP");
	assert_string_equal(n->addresses[1].address, "fd00::101");
	assert_ptr_equal(n->addresses[0].type, n->addresses[1].type);
	kube_node_free(n, w->in, w->pool);
}

static void test_bare(void **state)
{
	struct world *w = *state;
	json_t *object = json_pack("{s:{s:s, s:s}}", "metadata", "name", "p", "namespace", "n");
	struct kube_pod *p = pod_of(w, object);
	struct kube_node *n = NULL;

	assert_null(p->node);
	assert_null(p->owner_kind);
	assert_string_equal(p->uid, "");
	assert_string_equal(p->owner_uid, "");
	assert_int_equal(p->labels->n, 0);
	assert_true(p->created_s == INT64_MIN && p->started_s == INT64_MIN);
	assert_int_equal(p->phase, KUBE_PHASE_NONE);
	assert_int_equal(p->ready.status, KUBE_ABSENT);
	assert_true(p->ready.since_s == INT64_MIN);
	assert_int_equal(p->cpu_overhead_milli, 0);
	assert_int_equal(p->memory_pod_request_milli, -1);
	assert_int_equal(p->n_containers, 0);
	kube_pod_free(p, w->in, w->pool);

	assert_int_equal(kube_node_decode(object, w->in, w->pool, &n, NULL), 0);
	assert_string_equal(n->uid, "");
	assert_int_equal(n->kubelet_port, 0);
	assert_int_equal(n->memory_allocatable_bytes, -1);
	assert_null(n->kubelet_version);
	kube_node_free(n, w->in, w->pool);
	json_decref(object);
}

static void test_refused(void **state)
{
	static const struct {
		const char *json;
		bool node_too;
	} rows[] = {
		{"{}", true},
		{"{\"metadata\":[]}", true},
		{"{\"metadata\":{\"namespace\":\"n\"}}", true},
		{"{\"metadata\":{\"name\":\"\",\"namespace\":\"n\"}}", true},
		{"{\"metadata\":{\"name\":7,\"namespace\":\"n\"}}", true},
		{"{\"metadata\":{\"name\":\"p\\u0000q\",\"namespace\":\"n\"}}", true},
		{"{\"metadata\":{\"name\":\"p\"}}", false},
	};
	struct world *w = *state;

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		json_t *object = json_loads(rows[i].json, JSON_ALLOW_NUL, NULL);
		struct kube_pod *p = NULL;
		struct kube_node *n = NULL;
		struct km_err err = {.text = ""};
		assert_non_null(object);
		assert_int_equal(kube_pod_decode(object, w->in, w->pool, &p, &err), -EINVAL);
		assert_null(p);
		assert_non_null(strstr(err.text, "metadata."));
		if (rows[i].node_too)
			assert_int_equal(kube_node_decode(object, w->in, w->pool, &n, &err), -EINVAL);
		assert_null(n);
		json_decref(object);
	}
}

static void test_wrong_types(void **state)
{
	struct world *w = *state;
	json_t *object = json_loads(
		"{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\",\"labels\":7,\"uid\":[],\"creationTimestamp\":5,"
		"\"ownerReferences\":{\"controller\":true}},\"spec\":{\"containers\":[7,{},{\"name\":\"c\","
		"\"resources\":"
		"{\"requests\":{\"cpu\":\"x\",\"memory\":\"-1\"},\"limits\":{\"cpu\":2,\"memory\":9223372036854775807}}"
		"},null],"
		"\"initContainers\":\"x\",\"nodeName\":{},\"overhead\":[]},\"status\":{\"phase\":\"Odd\","
		"\"conditions\":[null,7,"
		"{\"type\":\"Ready\",\"status\":\"Maybe\",\"lastTransitionTime\":\"yesterday\"}],\"containerStatuses\":"
		"[{\"name\":\"other\",\"ready\":true},{\"name\":\"c\",\"ready\":\"yes\",\"state\":{\"running\":{"
		"\"startedAt\":null}}}]}}",
		0, NULL);
	struct kube_pod *p;

	assert_non_null(object);
	p = pod_of(w, object);
	assert_int_equal(p->labels->n, 0);
	assert_null(p->node);
	assert_int_equal(p->phase, KUBE_PHASE_NONE);
	assert_int_equal(p->ready.status, KUBE_UNKNOWN);
	assert_true(p->ready.since_s == INT64_MIN);
	assert_int_equal(p->n_containers, 1);
	assert_int_equal(p->containers[0].cpu_request_milli, -1);
	assert_int_equal(p->containers[0].memory_request_milli, -1);
	assert_int_equal(p->containers[0].cpu_limit_milli, 2000);
	assert_int_equal(p->containers[0].memory_limit_milli, -1);
	assert_int_equal(p->containers[0].state, KUBE_STATE_RUNNING);
	assert_false(p->containers[0].ready);
	assert_true(p->containers[0].started_s == INT64_MIN);
	kube_pod_free(p, w->in, w->pool);
	json_decref(object);
}

static void test_many(void **state)
{
	struct world *w = *state;
	json_t *containers = json_array(), *inits = json_array(), *addresses = json_array();
	json_t *object = json_pack("{s:{s:s, s:s}, s:{s:o, s:o}, s:{s:o}}", "metadata", "name", "p", "namespace", "n",
		"spec", "containers", containers, "initContainers", inits, "status", "addresses", addresses);
	struct kube_pod *p;
	struct kube_node *n = NULL;
	char name[16];

	for (int i = 0; i < KUBE_POD_CONTAINERS_MAX; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		json_array_append_new(containers, json_pack("{s:s}", "name", name));
		json_array_append_new(addresses, json_pack("{s:s, s:s}", "type", "InternalIP", "address", name));
	}
	p = pod_of(w, object);
	assert_int_equal(p->n_containers, KUBE_POD_CONTAINERS_MAX);
	assert_false(p->truncated);
	kube_pod_free(p, w->in, w->pool);
	json_array_append_new(inits, json_pack("{s:s}", "name", "one-more"));
	p = pod_of(w, object);
	assert_int_equal(p->n_containers, KUBE_POD_CONTAINERS_MAX);
	assert_true(p->truncated);
	kube_pod_free(p, w->in, w->pool);
	assert_int_equal(kube_node_decode(object, w->in, w->pool, &n, NULL), 0);
	assert_int_equal(n->n_addresses, KUBE_NODE_ADDRESSES_MAX);
	kube_node_free(n, w->in, w->pool);
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pod, setup, teardown),
		cmocka_unit_test_setup_teardown(test_node, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bare, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_types, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
