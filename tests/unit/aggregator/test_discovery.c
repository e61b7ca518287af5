/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery in the encodings that Kubernetes' own servers give it in. Its JSON is compared in test_golden.c. */
#include "tests/unit/aggregator/api_ask.h"

#define PROTO      "Accept: application/vnd.kubernetes.protobuf\r\n"
#define YAML       "Accept: application/yaml\r\n"
#define AGGREGATED ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

static const char type[] = "application/vnd.kubernetes.protobuf";

/* Field numbers and wire types of generated.proto (meta/v1, apidiscovery/v2); lengths are the second bytes. */
#define PAIR "\x0a\x16metrics.k8s.io/v1beta1\x12\x07v1beta1"
#define GROUP            \
	"\x0a\x0e"       \
	"metrics.k8s.io" \
	"\x12\x21" PAIR "\x1a\x21" PAIR
#define VERBS(tag)           \
	tag "\x03"           \
	    "get" tag "\x04" \
	    "list"

#define CASE(t, h, p, b)                                                                             \
	{                                                                                            \
		.target = (t), .headers = (h), .content_type = (p), .bytes = (b), .n = sizeof(b) - 1 \
	}

static void test_proto(void **state)
{
	static const struct {
		const char *target, *headers, *content_type, *bytes;
		size_t n;
	} cases[] = {
		CASE("/apis/metrics.k8s.io", PROTO, type,
			"k8s\0\x0a\x0e\x0a\x02v1\x12\x08"
			"APIGroup\x12\x56" GROUP "\x1a\0\x22\0"),
		CASE("/apis", PROTO, type,
			"k8s\0\x0a\x10\x0a\0\x12\x0c"
			"APIGroupList\x12\x6c\x0a\x6a" GROUP "\x22\x12\x0a\x09"
			"0.0.0.0/0\x12\x05:4443\x1a\0\x22\0"),
		CASE(A, PROTO, type,
			"k8s\0\x0a\x15\x0a\x02v1\x12\x0f"
			"APIResourceList\x12\x70\x0a\x16metrics.k8s.io/v1beta1"
			"\x12\x2b\x0a\x05nodes\x10\0\x1a\x0bNodeMetrics\x22\x0b" VERBS(
				"\x0a") "\x32\0\x42\0\x4a\0\x52\0"
					"\x12\x29\x0a\x04pods\x10\x01\x1a\x0aPodMetrics\x22\x0b" VERBS(
						"\x0a") "\x32\0\x42\0\x4a\0\x52\0"
							"\x1a\0\x22\0"),
		CASE("/apis", "Accept: application/vnd.kubernetes.protobuf" AGGREGATED "\r\n",
			"application/vnd.kubernetes.protobuf" AGGREGATED,
			"k8s\0\x0a\x2f\x0a\x16"
			"apidiscovery.k8s.io/v2\x12\x15"
			"APIGroupDiscoveryList\x12\xa4\x01\x0a\x06\x0a\0\x12\0\x1a\0\x12\x99\x01"
			"\x0a\x1e\x0a\x0emetrics.k8s.io\x12\0\x1a\0\x22\0\x2a\0\x32\0\x38\0\x42\0"
			"\x12\x77\x0a\x07v1beta1"
			"\x12\x30\x0a\x05nodes\x12\x11\x0a\0\x12\0\x1a\x0bNodeMetrics\x1a\x07"
			"Cluster\x22\0" VERBS("\x2a") "\x12\x31\x0a\x04pods\x12\x10\x0a\0\x12\0\x1a\x0aPodMetrics\x1a"
						      "\x0aNamespaced\x22\0" VERBS("\x2a") "\x1a\x07"
											   "Current\x1a\0\x22\0"),
	};
	char value[256];
	struct scene s;

	scene_open(&s);
	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		char headers[512];
		struct exchange e;

		snprintf(headers, sizeof(headers), MASTER "%s", cases[i].headers);
		e = REQUEST("GET", cases[i].target, headers, &scene_front);
		ask(&s, &e, 1);
		assert_int_equal(e.reply.status, 200);
		assert_string_equal(header(e.reply.head, "Content-Type", value), cases[i].content_type);
		print_message("%s %zu\n", cases[i].target, e.reply.body_len);
		assert_int_equal(e.reply.body_len, cases[i].n);
		assert_memory_equal(e.reply.body, cases[i].bytes, cases[i].n);
		test_reply_free(&e.reply);
	}
	scene_close(&s);
}

static void test_yaml(void **state)
{
	static const struct {
		const char *target, *headers, *content_type, *body;
	} cases[] = {
		{"/apis", YAML, "application/yaml",
			"groups:\n- name: metrics.k8s.io\n  preferredVersion:\n    groupVersion: "
			"metrics.k8s.io/v1beta1\n    "
			"version: v1beta1\n  serverAddressByClientCIDRs:\n"},
		{"/apis/metrics.k8s.io", YAML, "application/yaml",
			"apiVersion: v1\nkind: APIGroup\nname: metrics.k8s.io\n"},
		{A, YAML, "application/yaml",
			"apiVersion: v1\ngroupVersion: metrics.k8s.io/v1beta1\nkind: APIResourceList\nresources:\n- "
			"kind: "
			"NodeMetrics\n  name: nodes\n  namespaced: false\n  singularName: \"\"\n  verbs:\n  - get\n  - "
			"list\n"},
		{"/apis", "Accept: application/yaml" AGGREGATED "\r\n", "application/yaml" AGGREGATED,
			"apiVersion: apidiscovery.k8s.io/v2\nitems:\n- metadata:\n    name: metrics.k8s.io\n"},
		/* as client-go's discovery of today asks, and one that has learnt protobuf */
		{"/apis",
			"Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
			"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/"
			"json\r\n",
			"application/json" AGGREGATED, "{\"kind\":\"APIGroupDiscoveryList\""},
		{A, "Accept: application/vnd.kubernetes.protobuf;q=0.9,application/json\r\n", "application/json",
			"{\"kind\":\"APIResourceList\""},
	};
	char value[256];
	struct scene s;

	scene_open(&s);
	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		char headers[512];
		struct exchange e;

		snprintf(headers, sizeof(headers), MASTER "%s", cases[i].headers);
		e = REQUEST("GET", cases[i].target, headers, &scene_front);
		ask(&s, &e, 1);
		assert_int_equal(e.reply.status, 200);
		assert_string_equal(header(e.reply.head, "Content-Type", value), cases[i].content_type);
		if (strncmp(e.reply.body, cases[i].body, strlen(cases[i].body)) != 0)
			fail_msg("%s: %s", cases[i].target, e.reply.body);
		test_reply_free(&e.reply);
	}
	scene_close(&s);
}

/* One tag for the document, whatever it is written in. */
static void test_tag(void **state)
{
	char tag[256], other[256], again[512];
	struct exchange e[] = {
		REQUEST("GET", "/apis", MASTER "Accept: application/json" AGGREGATED "\r\n", &scene_front),
		REQUEST("GET", "/apis", MASTER "Accept: application/vnd.kubernetes.protobuf" AGGREGATED "\r\n",
			&scene_front),
	};
	struct exchange then;
	struct scene s;

	scene_open(&s);
	ask(&s, e, 2);
	header(e[0].reply.head, "ETag", tag);
	header(e[1].reply.head, "ETag", other);
	assert_string_equal(tag, other);
	snprintf(again, sizeof(again),
		MASTER "Accept: application/vnd.kubernetes.protobuf" AGGREGATED "\r\nIf-None-Match: %s\r\n", tag);
	then = REQUEST("GET", "/apis", again, &scene_front);
	ask(&s, &then, 1);
	assert_int_equal(then.reply.status, 304);
	test_reply_free(&e[0].reply);
	test_reply_free(&e[1].reply);
	test_reply_free(&then.reply);
	scene_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_proto),
		cmocka_unit_test(test_yaml),
		cmocka_unit_test(test_tag),
	};

	return cmocka_run_group_tests(tests, scene_certs, scene_no_certs);
}
