/* SPDX-License-Identifier: Apache-2.0 */
/* What narrows a list, and what Kubernetes refuses in a list's options: the texts are apimachinery's. */
#include "tests/unit/aggregator/api_ask.h"

/* The names of a list, in order, with a space behind each. */
static void names_of(const char *body, char *out, size_t size)
{
	static const char before[] = "{\"metadata\":{\"name\":\"";

	*out = '\0';
	for (const char *s = strstr(body, before); s; s = strstr(s, before)) {
		size_t used = strlen(out);

		s += sizeof(before) - 1;
		snprintf(out + used, size - used, "%.*s ", (int)strcspn(s, "\""), s);
	}
}

static void test_narrowed(void **state)
{
#define N0 "app-00-00000-00 app-01-00000-01 "
#define N1 "app-00-00001-00 app-01-00001-01 "
#define N2 "app-00-00002-00 app-01-00002-01 "
	static const struct {
		const char *target, *names;
	} cases[] = {
		{"/pods?fieldSelector=spec.nodeName%3Dnode-00001", N1},
		{"/pods?fieldSelector=spec.nodeName%3D%3Dnode-00000", N0},
		{"/pods?fieldSelector=spec.nodeName!%3Dnode-00000",
			"app-00-00001-00 app-00-00002-00 app-01-00001-01 app-01-00002-01 "},
		{"/namespaces/ns-01/pods?fieldSelector=spec.nodeName%3Dnode-00002", "app-01-00002-01 "},
		{"/namespaces/ns-02/pods?fieldSelector=spec.nodeName%3Dnode-00002", ""},
		{"/pods?fieldSelector=spec.nodeName%3Dnode-00002,metadata.namespace%3Dns-00", "app-00-00002-00 "},
		{"/pods?fieldSelector=spec.nodeName%3Dnode-00002,metadata.name!%3Dapp-00-00002-00", "app-01-00002-01 "},
		{"/pods?fieldSelector=spec.nodeName%3Dnode-00002&labelSelector=app%3Dapp-01", "app-01-00002-01 "},
		{"/pods?fieldSelector=spec.nodeName%3Dnode-00001,spec.nodeName%3Dnode-00002", ""},
		{"/pods?fieldSelector=spec.nodeName%3Dnobody", ""},
		{"/pods?fieldSelector=spec.nodeName%3D", ""},
		{"/pods?fieldSelector=spec.nodeName%3Dnode-00001,status.phase%3DRunning", N1},
		{"/pods?fieldSelector=status.phase%3DPending", ""},
		{"/namespaces/ns-00/pods?fieldSelector=status.phase!%3DPending",
			"app-00-00000-00 app-00-00001-00 app-00-00002-00 "},
	};
	char names[512];
	struct exchange e;
	struct scene s;

	scene_open(&s);
	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		char target[256];

		snprintf(target, sizeof(target), A "%s", cases[i].target);
		e = REQUEST("GET", target, MASTER, &scene_front);
		ask(&s, &e, 1);
		names_of(e.reply.body, names, sizeof(names));
		if (e.reply.status != 200 || strcmp(names, cases[i].names) != 0)
			fail_msg("%s: %d %s: %s", target, e.reply.status, names, e.reply.body);
		test_reply_free(&e.reply);
	}
	scene_close(&s);
}

/* What a node reports of a pod that is elsewhere by its spec, or is not known at all, is not of that node. */
static void test_node_and_spec_differ(void **state)
{
	struct exchange e = REQUEST("GET", A "/pods?fieldSelector=spec.nodeName%3Dnode-00001", MASTER, &scene_front);
	char names[512];
	struct scene s;

	scene_open(&s);
	kube_pod_free(s.namespaces[0].pods[1], s.in, s.pool);
	s.namespaces[0].pods[1] =
		scene_pod(&s, "ns-00", "app-00-00001-00", "app-00", "node-00002", "Running", "c0", "c1");
	kube_pod_free(s.namespaces[1].pods[1], s.in, s.pool);
	s.namespaces[1].pods[1] = s.namespaces[1].pods[2];
	s.namespaces[1].n = 2;
	ask(&s, &e, 1);
	names_of(e.reply.body, names, sizeof(names));
	assert_int_equal(e.reply.status, 200);
	assert_string_equal(names, "");
	test_reply_free(&e.reply);
	scene_close(&s);
}

/* One node's pods in slices, of a view that would not bear to be walked. */
static const struct kube_pod *pod_of_long(const void *source, const char *namespace_, const char *name)
{
	const struct long_view *v = source;

	for (size_t i = 0; i < LONG_PODS; i++)
		if (strcmp(v->pods[i]->name, name) == 0)
			return i % 7 == 0 ? NULL : v->pods[i];
	return NULL;
}

static void test_node_in_slices(void **state)
{
	static const struct agg_view_ops ops = {.nodes_synced = always, .pods_synced = always, .pod = pod_of_long};
	struct exchange e = REQUEST("GET", A "/pods?fieldSelector=spec.nodeName%3Dnode-long", MASTER, &scene_front);
	static struct long_view v;
	size_t seen = 0;
	struct scene s;

	scene_open(&s);
	long_open(&v, &s);
	s.view.ops = &ops;
	s.view.source = &v;
	ask(&s, &e, 1);
	assert_int_equal(e.reply.status, 200);
	assert_true(e.reply.body_len > 4 * 64 * 1024);
	for (size_t i = 0; i < LONG_PODS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "\"pod-%05zu\"", i);
		assert_int_equal(strstr(e.reply.body, name) != NULL, i % 7 != 0);
		seen += i % 7 != 0;
	}
	for (const char *p = strstr(e.reply.body, "\"pod-"); p; p = strstr(p + 1, "\"pod-"))
		seen--;
	assert_int_equal(seen, 0);
	test_reply_free(&e.reply);
	long_close(&v, &s);
	scene_close(&s);
}

#define FIELDS                                                                                     \
	" is not a known field selector: only \\\"metadata.name\\\", \\\"metadata.namespace\\\", " \
	"\\\"spec.nodeName\\\", \\\"status.phase\\\"\",\"reason\":\"BadRequest\",\"code\":400}\n"
#define INVALID                                                                                          \
	"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":" \
	"\"ListOptions.meta.k8s.io \\\"\\\" is invalid: "
#define DETAILS                       "\",\"reason\":\"Invalid\",\"details\":{\"group\":\"meta.k8s.io\",\"kind\":\"ListOptions\",\"causes\":["
#define CAUSE(reason, message, field) "{\"reason\":\"" reason "\",\"message\":\"" message "\",\"field\":\"" field "\"}"
#define UNLESS                        "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
#define INITIAL_LIST                  "Forbidden: sendInitialEvents is forbidden for list"

static void test_refused(void **state)
{
	static const struct {
		const char *target;
		int status;
		const char *body; /* its end */
	} cases[] = {
		{"/pods?fieldSelector=spec.foo%3Dx", 400, "\"\\\"spec.foo\\\"" FIELDS},
		{"/nodes?fieldSelector=status.phase%3Dx", 400,
			"\"\\\"status.phase\\\" is not a known field selector: only \\\"metadata.name\\\", "
			"\\\"metadata.namespace\\\"\",\"reason\":\"BadRequest\",\"code\":400}\n"},
		/* numbers */
		{"/pods?limit=x", 400,
			"\"message\":\"strconv.ParseInt: parsing \\\"x\\\": invalid "
			"syntax\",\"reason\":\"BadRequest\",\"code\":400}\n"},
		{"/pods?limit=", 400, "parsing \\\"\\\": invalid syntax\",\"reason\":\"BadRequest\",\"code\":400}\n"},
		{"/pods?limit=9223372036854775808", 400,
			"value out of range\",\"reason\":\"BadRequest\",\"code\":400}\n"},
		{"/nodes?timeoutSeconds=1.5&limit=y", 400,
			"parsing \\\"1.5\\\": invalid syntax\",\"reason\":\"BadRequest\",\"code\":400}\n"},
		{"/nodes?limit=x&labelSelector=a%20b%20c", 400,
			"parsing \\\"x\\\": invalid syntax\",\"reason\":\"BadRequest\",\"code\":400}\n"},
		{"/nodes?limit=-1&timeoutSeconds=%2B5&continue=frob&resourceVersion=frob", 200, NULL},
		{"/nodes?limit=-9223372036854775808", 200, NULL},
		/* what does not go together */
		{"/pods?resourceVersionMatch=Exact", 422,
			INVALID "resourceVersionMatch: " UNLESS DETAILS CAUSE(
				"FieldValueForbidden", UNLESS, "resourceVersionMatch") "]},\"code\":422}\n"},
		{"/nodes?resourceVersionMatch=frob&sendInitialEvents=false", 422,
			INVALID
			"[resourceVersionMatch: " UNLESS
			", resourceVersionMatch: Unsupported value: \\\"frob\\\": supported values: \\\"Exact\\\", "
			"\\\"NotOlderThan\\\", \\\"\\\", sendInitialEvents: " INITIAL_LIST
			"]" DETAILS CAUSE("FieldValueForbidden", UNLESS, "resourceVersionMatch") "," CAUSE(
				"FieldValueNotSupported",
				"Unsupported value: \\\"frob\\\": supported values: \\\"Exact\\\", "
				"\\\"NotOlderThan\\\", \\\"\\\"",
				"resourceVersionMatch") "," CAUSE("FieldValueForbidden", INITIAL_LIST,
				"sendInitialEvents") "]},\"code\":422}\n"},
		{"/pods?resourceVersionMatch=Exact&resourceVersion=0&continue=x", 422,
			CAUSE("FieldValueForbidden",
				"Forbidden: resourceVersionMatch \\\"exact\\\" is forbidden for resourceVersion "
				"\\\"0\\\"",
				"resourceVersionMatch") "]},\"code\":422}\n"},
		{"/pods?sendInitialEvents=", 422, "\"field\":\"sendInitialEvents\"}]},\"code\":422}\n"},
		{"/pods?resourceVersionMatch=NotOlderThan&resourceVersion=0", 200, NULL},
		{"/pods?resourceVersionMatch=&resourceVersion=", 200, NULL},
		{"/pods?watch=1&sendInitialEvents=true", 422,
			CAUSE("FieldValueForbidden",
				"Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
				"resourceVersionMatch") "]},\"code\":422}\n"},
		{"/pods?watch=true&resourceVersionMatch=Exact", 422,
			CAUSE("FieldValueNotSupported",
				"Unsupported value: \\\"Exact\\\": supported values: \\\"NotOlderThan\\\"",
				"resourceVersionMatch") "]},\"code\":422}\n"},
		/* watches; the second as kube-controller-manager 1.32 begins each list of the HPA */
		{"/pods?watch=1", 405, "\"code\":405}\n"},
		{"/namespaces/ns-00/pods?allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&"
		 "sendInitialEvents=true&watch=true",
			405, "watch is not supported on resources of kind \\\"pods.metrics.k8s.io\\\""},
		{"/nodes?watch", 405, "\"code\":405}\n"},
		{"/nodes?watch=", 405, "\"code\":405}\n"},
		{"/nodes?watch=no", 405, "\"code\":405}\n"},
		{"/nodes?watch=FALSE", 200, NULL},
		{"/nodes?watch=0", 200, NULL},
		/* what was given up in 1.14 */
		{"/nodes/node-00001?export=true", 400,
			"\"message\":\"the export parameter, deprecated since v1.14, is no longer "
			"supported\",\"reason\":\"BadRequest\",\"code\":400}\n"},
		{"/namespaces/ns-00/pods/app-00-00000-00?export=", 400, "\"code\":400}\n"},
		{"/nodes/node-00001?export=false&limit=x", 200, NULL},
		{"/nodes?export=true", 200, NULL},
	};
	struct exchange e;
	struct scene s;

	scene_open(&s);
	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		char target[256];

		snprintf(target, sizeof(target), A "%s", cases[i].target);
		e = REQUEST("GET", target, MASTER, &scene_front);
		ask(&s, &e, 1);
		if (e.reply.status != cases[i].status || (cases[i].body && !strstr(e.reply.body, cases[i].body)))
			fail_msg("%s: %d %s", target, e.reply.status, e.reply.body);
		test_reply_free(&e.reply);
	}
	scene_close(&s);
}

/* The same as protobuf: runtime.Unknown of a Status with a detail's causes. */
static void test_refused_proto(void **state)
{
	static const char details[] = "\x0a\x00\x12\x0bmeta.k8s.io\x1a\x0bListOptions\x22\x5c\x0a\x13"
				      "FieldValueForbidden\x12\x32"
				      "Forbidden: sendInitialEvents is forbidden for list\x1a\x11sendInitialEvents"
				      "\x28\x00\x32\x00";
	struct exchange e = REQUEST("GET", A "/pods?sendInitialEvents=true",
		MASTER "Accept: application/vnd.kubernetes.protobuf\r\n", &scene_front);
	struct scene s;

	scene_open(&s);
	ask(&s, &e, 1);
	assert_int_equal(e.reply.status, 422);
	assert_non_null(memmem(e.reply.body, e.reply.body_len, details, sizeof(details) - 1));
	test_reply_free(&e.reply);
	scene_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_narrowed),
		cmocka_unit_test(test_node_and_spec_differ),
		cmocka_unit_test(test_node_in_slices),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_proto),
	};

	return cmocka_run_group_tests(tests, scene_certs, scene_no_certs);
}
