/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of usage that only some kubelets tell of, in each form and encoding. */
#include "tests/unit/aggregator/api_ask.h"

#include "aggregator/usage.h"

/* One more scrape of a node, which has all that was there before, and swap. */
static void scrape_swap(struct scene *s, size_t node, const char *pod, const char *container)
{
	int64_t at = NOW_S * KM_NSEC_PER_SEC;
	uint64_t more = UINT64_C(1100) * 1000000000;

	assert_int_equal(agg_store_begin(s->store, scene_nodes[node].name), 0);
	scene_line(s, AGG_NODE_CPU, NULL, NULL, NULL, more, at);
	scene_line(s, AGG_NODE_MEMORY, NULL, NULL, NULL, 96 << 20, at);
	scene_line(s, AGG_NODE_SWAP, NULL, NULL, NULL, 1 << 30, at);
	for (size_t i = 0; i < KM_ARRAY_LEN(scene_pods); i++)
		for (size_t k = 0; scene_pods[i].node == node && k < 2; k++) {
			const char *ns = scene_pods[i].namespace_, *name = scene_pods[i].name,
				   *c = scene_pods[i].containers[k].name;

			scene_line(s, AGG_CONTAINER_CPU, ns, name, c, more, at);
			scene_line(s, AGG_CONTAINER_MEMORY, ns, name, c, 1 << 20, at);
			if (strcmp(name, pod) == 0 && (!container || strcmp(c, container) == 0))
				scene_line(s, AGG_CONTAINER_SWAP, ns, name, c, k ? 12288 : 0, at);
		}
	agg_store_commit(s->store, at);
}

#define YAML  "Accept: application/yaml\r\n"
#define PROTO "Accept: application/vnd.kubernetes.protobuf\r\n"

#define COLUMN(name) \
	"{\"name\":\"" name "\",\"type\":\"string\",\"format\":\"quantity\",\"description\":\"\",\"priority\":0}"

static void test_swap(void **state)
{
	static const struct {
		const char *target, *headers, *there, *absent;
	} cases[] = {
		{"/nodes/node-00000", "", ",\"memory\":\"96Mi\",\"swap\":\"1Gi\"}}\n", NULL},
		{"/nodes/node-00001", "", ",\"memory\":\"108Mi\"}}\n", "swap"},
		{"/namespaces/ns-00/pods/app-00-00000-00", "", "\"memory\":\"1Mi\",\"swap\":\"0\"}},{\"name\":\"c1\"",
			NULL},
		{"/namespaces/ns-00/pods/app-00-00000-00", "", "\"memory\":\"1Mi\",\"swap\":\"12Ki\"}}]}\n", NULL},
		/* another pod of the same node without */
		{"/namespaces/ns-01/pods/app-01-00000-01", "", "\"memory\":\"1Mi\"}}]}\n", "swap"},
		{"/nodes", YAML, "    memory: 96Mi\n    swap: 1Gi\n  window: ", NULL},
		{"/nodes/node-00000", PROTO,
			"\x0a\x04swap\x12\x05\x0a\x03"
			"1Gi",
			NULL},
		/* a table's columns are those of its first row; others have 0 there, or leave theirs out */
		{"/nodes", TABLE, COLUMN("memory") "," COLUMN("swap") ",{\"name\":\"Window\"", NULL},
		{"/nodes", TABLE, "\"96Mi\",\"1Gi\",\"", NULL},
		{"/nodes", TABLE, "\"108Mi\",\"0\",\"14.992s\"", NULL},
		{"/nodes?labelSelector=zone!%3Dz0", TABLE, COLUMN("memory") ",{\"name\":\"Window\"", "swap"},
		{"/namespaces/ns-00/pods", TABLE, "{\"cells\":[\"app-00-00000-00\",", NULL},
		{"/namespaces/ns-00/pods", TABLE, ",\"2Mi\",\"12Ki\",\"", NULL},
		{"/namespaces/ns-00/pods/app-00-00001-00", TABLE, COLUMN("memory") ",{\"name\":\"Window\"", "swap"},
	};
	struct exchange e;
	struct scene s;

	scene_open(&s);
	scrape_swap(&s, 0, "app-00-00000-00", NULL);
	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		char target[256], headers[512];

		snprintf(target, sizeof(target), A "%s", cases[i].target);
		snprintf(headers, sizeof(headers), MASTER "%s", cases[i].headers);
		e = REQUEST("GET", target, headers, &scene_front);
		ask(&s, &e, 1);
		if (e.reply.status != 200 ||
			!memmem(e.reply.body, e.reply.body_len, cases[i].there, strlen(cases[i].there)) ||
			(cases[i].absent && strstr(e.reply.body, cases[i].absent)))
			fail_msg("case %zu, %s: %d %s", i, target, e.reply.status, e.reply.body);
		test_reply_free(&e.reply);
	}
	scene_close(&s);
}

/* All keys, in their order. */
static void test_storage(void **state)
{
	static const struct agg_line node = {.series = AGG_NODE_STORAGE, .value = 5 << 20};
	static const struct {
		const char *headers, *there;
	} cases[] = {
		{"", ",\"ephemeral-storage\":\"5Mi\",\"memory\":\"96Mi\",\"swap\":\"1Gi\"}}\n"},
		{YAML, "\n  ephemeral-storage: 5Mi\n  memory: 96Mi\n  swap: 1Gi\n"},
		{PROTO, "\x0a\x11"
			"ephemeral-storage\x12\x05\x0a\x03"
			"5Mi\x22\x10\x0a\x06memory"},
		{TABLE, COLUMN("cpu") "," COLUMN("ephemeral-storage") "," COLUMN("memory") "," COLUMN("swap") ","},
	};
	struct scene s;

	scene_open(&s);
	scrape_swap(&s, 0, "app-00-00000-00", NULL);
	assert_int_equal(agg_store_storage_begin(s.store, scene_nodes[0].name), 0);
	agg_store_storage_line(&node, s.store);
	agg_store_storage_commit(s.store, NOW_S * KM_NSEC_PER_SEC);
	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		struct exchange e;
		char headers[512];

		snprintf(headers, sizeof(headers), MASTER "%s", cases[i].headers);
		e = REQUEST("GET", A "/nodes/node-00000", headers, &scene_front);
		ask(&s, &e, 1);
		if (!memmem(e.reply.body, e.reply.body_len, cases[i].there, strlen(cases[i].there)))
			fail_msg("%s: %s", cases[i].headers, e.reply.body);
		test_reply_free(&e.reply);
	}
	scene_close(&s);
}

static void test_yaml_table(void **state)
{
	struct exchange e = REQUEST("GET", A "/nodes?includeObject=None&labelSelector=zone%3Dz0",
		MASTER "Accept: application/yaml;as=Table;v=v1;g=meta.k8s.io\r\n", &scene_front);
	struct scene s;

	scene_open(&s);
	scrape_swap(&s, 0, "app-00-00000-00", "c0");
	ask(&s, &e, 1);
	assert_int_equal(e.reply.status, 200);
	assert_non_null(strstr(e.reply.body, "  format: quantity\n  name: swap\n  priority: 0\n"));
	assert_non_null(strstr(e.reply.body, "  - 96Mi\n  - 1Gi\n  - "));
	test_reply_free(&e.reply);
	scene_close(&s);
}

/* The HPA reads CPU and memory, whatever else there is. */
static void test_usage_source(void **state)
{
	struct agg_usage_reader *reader;
	struct km_usage_source source;
	struct km_pod_usage usage;
	struct scene s;

	scene_open(&s);
	scrape_swap(&s, 0, "app-00-00000-00", "c1");
	assert_int_equal(agg_usage_reader_new(&s.view, &reader), 0);
	source = agg_usage_source(reader);
	assert_int_equal(source.pod(s.namespaces[0].pods[0], source.arg, &usage), 0);
	assert_int_equal(usage.n_containers, 2);
	assert_int_equal(usage.containers[1].memory_bytes, 1 << 20);
	assert_int_equal(usage.time_ns, NOW_S * KM_NSEC_PER_SEC);
	agg_usage_reader_free(reader);
	scene_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_swap),
		cmocka_unit_test(test_storage),
		cmocka_unit_test(test_yaml_table),
		cmocka_unit_test(test_usage_source),
	};

	return cmocka_run_group_tests(tests, scene_certs, scene_no_certs);
}
