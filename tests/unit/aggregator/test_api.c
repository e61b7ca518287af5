/* SPDX-License-Identifier: Apache-2.0 */
/* The served API over real TLS: who may what, errors, and lists that change under way. What was recorded from
 * metrics-server is compared in test_golden.c. */
#include "tests/unit/aggregator/api_ask.h"

#include <time.h>

#include "aggregator/list.h"

/* ---- refusals and the rest ---- */

static void test_replies(void **state)
{
	static const struct {
		const char *method, *target, *headers;
		int cert; /* 0 none, 1 front proxy, 2 stranger */
		int reviews, status;
		const char *header, *body; /* "Name: value" or NULL; part of the body */
	} cases[] = {
		/* who */
		{"GET", A "/nodes", "", 2, REVIEWS_ALLOW, 401, "Cache-Control: no-cache, private",
			"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":"
			"\"Unauthorized\","
			"\"reason\":\"Unauthorized\",\"code\":401}\n"},
		{"GET", A, "", 2, REVIEWS_ALLOW, 401, NULL, "Unauthorized"},
		{"GET", A "/nodes", "Authorization: Bearer jane\r\n", 0, REVIEWS_ALLOW, 200, NULL,
			"\"name\":\"node-00002\""},
		{"GET", A "/nodes", "Authorization: Bearer jane\r\n", 0, REVIEWS_DENY, 403, NULL,
			"User \\\"jane\\\" cannot list"},
		{"GET", A "/nodes", "Authorization: Bearer jane\r\nImpersonate-User: x\r\n", 0, REVIEWS_ALLOW, 403,
			NULL, "impersonation is not supported here"},
		{"GET", A "/nodes", "Authorization: Bearer jane\r\n", 2, REVIEWS_ALLOW, 200, NULL,
			"\"name\":\"node-00002\""},
		{"GET", A "/nodes", "Authorization: Bearer nobody\r\n", 0, REVIEWS_ALLOW, 401, NULL, "Unauthorized"},
		{"GET", A "/nodes", "Authorization: Bearer broken\r\n", 0, REVIEWS_ALLOW, 401, NULL, "Unauthorized"},
		{"GET", A "/nodes", "Authorization: Basic eDp5\r\n", 0, REVIEWS_DENY, 403, NULL,
			"User \\\"system:anonymous\\\" cannot list"},
		/* discovery without a review is for those whom the front proxy vouches for */
		{"GET", A, "Authorization: Bearer jane\r\n", 0, REVIEWS_DENY, 403, NULL,
			"User \\\"jane\\\" cannot get path"},
		{"GET", A "/nodes", MASTER "Impersonate-User: x\r\n", 1, REVIEWS_ALLOW, 403,
			"X-Content-Type-Options: nosniff", "impersonation is not supported here"},
		{"GET", A "/nodes", MASTER, 0, REVIEWS_DENY, 403, NULL, "User \\\"system:anonymous\\\" cannot list"},
		/* whether */
		{"GET", A "/namespaces/d/pods", JANE, 1, REVIEWS_DENY, 403, "X-Content-Type-Options: nosniff",
			"\"message\":\"pods.metrics.k8s.io is forbidden: User \\\"jane\\\" cannot list resource "
			"\\\"pods\\\" in API group "
			"\\\"metrics.k8s.io\\\" in the namespace "
			"\\\"d\\\"\",\"reason\":\"Forbidden\",\"details\":{\"group\":"
			"\"metrics.k8s.io\",\"kind\":\"pods\"},\"code\":403}\n"},
		{"GET", A "/nodes/n1", JANE, 1, REVIEWS_DENY, 403, NULL,
			"nodes.metrics.k8s.io \\\"n1\\\" is forbidden: User \\\"jane\\\" cannot get resource "
			"\\\"nodes\\\" in API group "
			"\\\"metrics.k8s.io\\\" at the cluster "
			"scope\",\"reason\":\"Forbidden\",\"details\":{\"name\":\"n1\",\"group\":"},
		{"GET", "/frob", JANE, 1, REVIEWS_DENY, 403, NULL,
			"forbidden: User \\\"jane\\\" cannot get path "
			"\\\"/frob\\\"\",\"reason\":\"Forbidden\",\"details\":{},\"code\":403}"},
		{"GET", A "/nodes", JANE, 1, REVIEWS_ALLOW, 200, NULL, "\"name\":\"node-00002\""},
		{"DELETE", A "/nodes", JANE, 1, REVIEWS_DENY, 403, NULL, "cannot deletecollection resource"},
		{"GET", A "/namespaces/x%26y/pods", JANE, 1, REVIEWS_FAIL, 500,
			"Content-Type: text/plain; charset=utf-8",
			"Internal Server Error: \"" A "/namespaces/x%26y/pods\": POST /apis/authorization.k8s.io/v1/"
			"subjectaccessreviews: refused\n"},
		{"GET", A "/namespaces/x/pods?a&b", JANE, 1, REVIEWS_FAIL, 500, NULL, "pods?a&amp;b\": POST"},
		{"GET", "/apis", JANE, 1, REVIEWS_FAIL, 200, NULL, "APIGroupList"},
		{"GET", "/apis", "", 0, REVIEWS_FAIL, 403, NULL, "cannot get path"},
		{"GET", "/healthz", "", 0, REVIEWS_FAIL, 200, "X-Content-Type-Options: nosniff", "ok"},
		/* with selectors, when it is refused without */
		{"GET", A "/namespaces/ns-00/pods?labelSelector=app%3Dapp-00", JANE, 1, REVIEWS_NARROW, 200, NULL,
			"app-00-00000-00"},
		{"GET", A "/nodes?fieldSelector=metadata.name%21%3Dx", JANE, 1, REVIEWS_NARROW, 200, NULL,
			"node-00000"},
		{"GET", A "/nodes", JANE, 1, REVIEWS_NARROW, 403, NULL, "cannot list"},
		{"GET", A "/nodes?labelSelector=a%3D%3D%3D", JANE, 1, REVIEWS_NARROW, 403, NULL, "cannot list"},
		{"GET", A "/nodes?fieldSelector=frob%3D1", JANE, 1, REVIEWS_NARROW, 403, NULL, "cannot list"},
		{"GET", A "/nodes?labelSelector=a%3E1", JANE, 1, REVIEWS_DENY, 403, NULL, "cannot list"},
		{"GET", A "/nodes/node-00000?labelSelector=a", JANE, 1, REVIEWS_NARROW, 403, NULL, "cannot get"},
		/* what */
		{"GET", A "/nodes/node-silent", MASTER, 1, REVIEWS_DENY, 404, NULL,
			"nodemetrics.metrics.k8s.io \\\"node-silent\\\" not "
			"found\",\"reason\":\"NotFound\",\"details\":{\"name\":"
			"\"node-silent\",\"group\":\"metrics.k8s.io\",\"kind\":\"nodemetrics\"},\"code\":404}"},
		{"GET", A "/namespaces/ns-00/pods/silent", MASTER, 1, REVIEWS_DENY, 404, NULL,
			"podmetrics.metrics.k8s.io \\\"ns-00/silent\\\" not "
			"found\",\"reason\":\"NotFound\",\"details\":{\"name\":"
			"\"ns-00/silent\",\"group\":\"metrics.k8s.io\",\"kind\":\"podmetrics\"},\"code\":404}"},
		{"GET", A "/namespaces/ns-00/pods/pending", MASTER, 1, REVIEWS_DENY, 404, NULL,
			"pods \\\"pending\\\" not found"},
		{"GET", A "/namespaces/ns-01/pods/app-00-00000-00", MASTER, 1, REVIEWS_DENY, 404, NULL,
			"pods \\\"app-00-00000-00\\\" not found"},
		{"GET", A "/pods?fieldSelector=spec.foo%3Dx", MASTER, 1, REVIEWS_DENY, 400, NULL,
			"\\\"spec.foo\\\" is not a known field selector: only \\\"metadata.name\\\", "
			"\\\"metadata.namespace\\\""},
		{"GET", A "/pods?fieldSelector=metadata.namespace%3Dns-01,metadata.name!%3Dapp-01-00001-01", MASTER, 1,
			REVIEWS_DENY, 200, NULL, "\"items\":[{\"metadata\":{\"name\":\"app-01-00000-01\""},
		{"GET", A "/nodes?labelSelector=zone%20in%20(z1,z9)", MASTER, 1, REVIEWS_DENY, 200, NULL,
			"\"items\":[{\"metadata\":{\"name\":\"node-00001\""},
		{"GET", A "/nodes?fieldSelector=metadata.namespace%3Dx", MASTER, 1, REVIEWS_DENY, 200, NULL,
			"\"items\":[]}\n"},
		{"GET", A "/nodes?limit=1&resourceVersion=0&timeoutSeconds=5", MASTER, 1, REVIEWS_DENY, 200, NULL,
			"node-00002"},
		{"GET", A "/nodes", MASTER "Accept: application/vnd.kubernetes.protobuf, */*\r\n", 1, REVIEWS_DENY, 200,
			"Content-Type: application/vnd.kubernetes.protobuf", "k8s"},
		{"GET", A "/nodes", MASTER "Accept: application/vnd.kubernetes.protobuf;q=0.5,application/json\r\n", 1,
			REVIEWS_DENY, 200, "Content-Type: application/json", "NodeMetricsList"},
		{"GET", A "/nodes?includeObject=None", MASTER TABLE, 1, REVIEWS_DENY, 200, NULL,
			"{\"cells\":[\"node-00000\",\"860033518n\",\"96Mi\",\"15s\"],\"object\":null}"},
		{"GET", A "/nodes/node-00001?includeObject=Object", MASTER TABLE, 1, REVIEWS_DENY, 200, NULL,
			"\"object\":{\"kind\":\"NodeMetrics\",\"apiVersion\":\"metrics.k8s.io/"
			"v1beta1\",\"metadata\":{\"name\":"},
		{"GET", A "/nodes?includeObject=x", MASTER TABLE, 1, REVIEWS_DENY, 400, NULL,
			"includeObject: Unsupported value"},
		{"GET", A "/nodes/node-00001",
			MASTER "Accept: application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io\r\n", 1,
			REVIEWS_DENY, 200, NULL,
			"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/"
			"v1\",\"metadata\":{\"name\":\"node-00001\""},
		{"GET", A "/namespaces/empty/pods?pretty=1", MASTER, 1, REVIEWS_DENY, 200, NULL,
			"  \"metadata\": {},\n  \"items\": []\n}"},
		{"HEAD", A "/nodes", MASTER, 1, REVIEWS_DENY, 405, NULL, NULL},
		{"HEAD", "/healthz", "", 0, REVIEWS_DENY, 200, "Content-Length: 2", NULL},
		{"PUT", A "/nodes/x", MASTER, 1, REVIEWS_DENY, 405, NULL, "MethodNotAllowed"},
		{"POST", "/apis", MASTER, 1, REVIEWS_DENY, 405, NULL, "MethodNotAllowed"},
		{"GET", "/openapi/v4", JANE, 1, REVIEWS_DENY, 404, NULL, "could not find the requested resource"},
		{"GET", "/livez/frob", "", 0, REVIEWS_DENY, 404, NULL, "\"paths\""},
		{"GET", A "/nodes", MASTER "Audit-Id: abc-123\r\n", 1, REVIEWS_DENY, 200, "Audit-Id: abc-123",
			"NodeMetricsList"},
	};
	const struct test_cert *const certs[] = {NULL, &scene_front, &scene_stranger};
	struct exchange e;
	struct scene s;

	scene_open(&s);
	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		char name[64], value[256];
		const char *have;

		s.reviews = cases[i].reviews;
		e = REQUEST(cases[i].method, cases[i].target, cases[i].headers, certs[cases[i].cert]);
		ask(&s, &e, 1);
		if (e.reply.status != cases[i].status)
			fail_msg("case %zu, %s: status %d: %s", i, cases[i].target, e.reply.status,
				e.reply.body ? e.reply.body : "");
		if (cases[i].body && !strstr(e.reply.body, cases[i].body))
			fail_msg("case %zu, %s: %s", i, cases[i].target, e.reply.body);
		if (cases[i].header) {
			snprintf(name, sizeof(name), "%.*s", (int)strcspn(cases[i].header, ":"), cases[i].header);
			have = header(e.reply.head, name, value);
			if (!have || strcmp(have, strchr(cases[i].header, ':') + 2) != 0)
				fail_msg("case %zu, %s: %s", i, cases[i].target, e.reply.head);
		}
		test_reply_free(&e.reply);
		/* each question is a new one */
		scene_clock.monotonic_us += 120 * KM_USEC_PER_SEC;
	}
	scene_close(&s);
}

static void test_etag_and_audit_id(void **state)
{
	char tag[512], first[256], second[256], value[256];
	struct exchange e[3] = {
		REQUEST("GET", "/apis",
			MASTER "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList\r\n",
			&scene_front),
		REQUEST("GET", "/apis", tag, &scene_front),
		REQUEST("GET", "/apis", MASTER "Audit-Id: no spaces please\r\n", &scene_front),
	};
	struct scene s;

	scene_open(&s);
	ask(&s, e, 1);
	assert_int_equal(e[0].reply.status, 200);
	snprintf(tag, sizeof(tag),
		MASTER "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList\r\n"
		       "If-None-Match: %s\r\n",
		header(e[0].reply.head, "ETag", value));
	ask(&s, e + 1, 2);
	assert_int_equal(e[1].reply.status, 304);
	assert_string_equal(header(e[1].reply.head, "ETag", first), value);
	assert_int_equal(e[1].reply.body_len, 0);
	/* an id that is none is replaced, each time by another */
	assert_non_null(header(e[2].reply.head, "Audit-Id", first));
	assert_int_equal(strlen(first), 36);
	assert_non_null(header(e[1].reply.head, "Audit-Id", second));
	assert_string_not_equal(first, second);
	for (size_t i = 0; i < 3; i++)
		test_reply_free(&e[i].reply);
	scene_close(&s);
}

/* Before anything is known: discovery and liveness answer, figures are refused, nothing is 200 and empty. */
static void test_first_second(void **state)
{
	struct exchange e[] = {
		REQUEST("GET", "/apis", MASTER, &scene_front),
		REQUEST("GET", A, MASTER, &scene_front),
		REQUEST("GET", "/livez", NULL, NULL),
		REQUEST("GET", "/readyz", NULL, NULL),
		REQUEST("GET", A "/nodes", MASTER, &scene_front),
		REQUEST("GET", "/version", MASTER, &scene_front),
	};
	struct exchange later[] = {
		REQUEST("GET", A "/nodes", MASTER, &scene_front),
		REQUEST("GET", A "/namespaces/ns-00/pods/app-00-00000-00", MASTER, &scene_front),
		REQUEST("GET", A, MASTER, &scene_front),
	};
	char value[256];
	struct scene s;

	scene_open(&s);
	s.nodes_synced = s.pods_synced = false;
	s.reviews = REVIEWS_DENY;
	scene_trust(&s, false);
	ask(&s, e, KM_ARRAY_LEN(e));
	assert_int_equal(e[0].reply.status, 200);
	assert_int_equal(e[1].reply.status, 200);
	assert_int_equal(e[2].reply.status, 200);
	assert_int_equal(e[3].reply.status, 500);
	assert_non_null(strstr(e[3].reply.body, "[-]authentication-config failed: reason withheld\n"));
	assert_int_equal(e[4].reply.status, 403);
	assert_int_equal(e[5].reply.status, 403);
	/* the front proxy is known, the caches are not there */
	scene_trust(&s, true);
	ask(&s, later, KM_ARRAY_LEN(later));
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(later[i].reply.status, 503);
		assert_string_equal(header(later[i].reply.head, "Retry-After", value), "1");
		assert_non_null(strstr(later[i].reply.body, "\"message\":\"the node and pod caches have not synced "
							    "yet\",\"reason\":\"ServiceUnavailable\",\"details\":{"
							    "\"retryAfterSeconds\":1},\"code\":503}\n"));
	}
	assert_int_equal(later[2].reply.status, 200);
	for (size_t i = 0; i < KM_ARRAY_LEN(e); i++)
		test_reply_free(&e[i].reply);
	for (size_t i = 0; i < KM_ARRAY_LEN(later); i++)
		test_reply_free(&later[i].reply);
	scene_close(&s);
}

/* Reasons are logged once, however often they occur. */
static void test_logged_once(void **state)
{
	struct exchange e[6];
	struct scene s;

	scene_open(&s);
	s.reviews = REVIEWS_DENY;
	for (size_t i = 0; i < 6; i++)
		e[i] = REQUEST("GET", A "/nodes", i < 3 ? "" : JANE, i < 3 ? &scene_stranger : &scene_front);
	ask(&s, e, 6);
	assert_int_equal(s.n_logged, 2);
	assert_non_null(strstr(s.logged[0],
		"client 127.0.0.1: certificate CN=eve, issued by CN=other: x509: certificate signed by "
		"unknown authority"));
	assert_non_null(strstr(s.logged[1], "nodes.metrics.k8s.io is forbidden: User \"jane\" cannot list"));
	for (size_t i = 0; i < 6; i++)
		test_reply_free(&e[i].reply);
	scene_close(&s);
}

/* ---- going away ---- */

static struct test_client leaving;
static const char *leaving_target, *leaving_headers;

static void ask_and_stay(void *arg)
{
	struct scene *s = arg;

	char text[512];

	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", leaving_target, leaving_headers);
	if (test_client_connect(&leaving, s->port, &scene_front))
		(void)test_client_puts(&leaving, text);
}

/* Sends a request and leaves the reply where it is. */
static void leave_later(struct scene *s, const char *target, const char *headers)
{
	leaving = (struct test_client){.fd = -1};
	leaving_target = target;
	leaving_headers = headers;
	run(s, ask_and_stay);
}

static bool until(struct scene *s, bool (*holds)(struct scene *s))
{
	time_t end = time(NULL) + 10;

	while (!holds(s) && time(NULL) < end)
		event_base_loop(km_loop_base(s->loop), EVLOOP_NONBLOCK);
	return holds(s);
}

static bool token_waits(struct scene *s)
{
	struct agg_token_stats stats;

	agg_tokens_stats(s->tokens, &stats);
	return stats.waiting == 1;
}

static bool waits(struct scene *s)
{
	struct agg_authz_stats stats;

	agg_authz_stats(s->authz, &stats);
	return stats.waiting == 1;
}

static bool nothing_under_way(struct scene *s)
{
	struct agg_api_stats stats;

	agg_api_stats(s->api, &stats);
	return stats.under_way == 0;
}

static bool two_requests(struct scene *s)
{
	struct agg_api_stats stats;

	agg_api_stats(s->api, &stats);
	return stats.requests_total == 2;
}

static void test_cancelled_while_reviewed(void **state)
{
	struct scene s;

	scene_open(&s);
	s.reviews = REVIEWS_HANG;
	leave_later(&s, A "/nodes", JANE);
	assert_true(until(&s, waits));
	assert_false(nothing_under_way(&s));
	test_client_reset(&leaving);
	assert_true(until(&s, nothing_under_way));
	assert_false(waits(&s));
	/* and one that is still waiting when everything ends */
	leave_later(&s, A "/nodes", JANE);
	assert_true(until(&s, waits));
	scene_close(&s);
	test_client_reset(&leaving);
}

static void test_cancelled_while_token_is_reviewed(void **state)
{
	struct scene s;

	scene_open(&s);
	/* a front proxy that names no user, so that the token counts */
	leave_later(&s, A "/nodes", "Authorization: Bearer hang\r\n");
	assert_true(until(&s, token_waits));
	assert_false(nothing_under_way(&s));
	test_client_reset(&leaving);
	assert_true(until(&s, nothing_under_way));
	assert_false(token_waits(&s));
	/* the review goes on: who comes later waits for the same one; and everything ends meanwhile */
	leave_later(&s, A "/nodes", "Authorization: Bearer hang\r\n");
	assert_true(until(&s, token_waits));
	scene_close(&s);
	test_client_reset(&leaving);
}

/* Why a token is refused is logged once, with what is wrong with the certificate beside it. */
static void test_token_logged(void **state)
{
	struct exchange e[3];
	struct scene s;

	scene_open(&s);
	for (size_t i = 0; i < 3; i++)
		e[i] = REQUEST("GET", A "/nodes",
			i < 2 ? "Authorization: Bearer nobody\r\n" : "Authorization: Bearer broken\r\n",
			&scene_stranger);
	ask(&s, e, 3);
	assert_int_equal(s.n_logged, 2);
	assert_non_null(strstr(
		s.logged[0], "the API server does not know this bearer token; client 127.0.0.1: certificate CN=eve"));
	assert_non_null(strstr(s.logged[1], "bearer tokens cannot be judged: POST /apis/authentication"));
	for (size_t i = 0; i < 3; i++)
		test_reply_free(&e[i].reply);
	scene_close(&s);
}

static void test_list_changes_under_way(void **state)
{
	struct long_view *v = calloc(1, sizeof(*v));
	struct agg_query query = {.pods = true, .namespace_ = "", .accept = {.form = AGG_FORM_PLAIN}};
	struct km_buf out = KM_BUF_INIT(16 * 1024 * 1024);
	struct agg_list *list = NULL;
	struct agg_view view;
	size_t slices = 0, stable = 0, last = 0, i;
	json_t *root, *item;
	struct scene s;
	int r;

	scene_open(&s);
	long_open(v, &s);
	view = (struct agg_view){.ops = &long_ops, .source = v, .store = s.store};
	assert_int_equal(agg_list_new(&view, &query, &list), 0);
	do {
		size_t before = out.len;

		r = agg_list_produce(&out, list);
		slices++;
		assert_true(out.len - before < AGG_SLICE_BYTES + 4096);
	} while (r == 1);
	assert_int_equal(r, 0);
	assert_true(slices > 3);
	agg_list_free(list);
	root = json_loadb(out.data, out.len, 0, NULL);
	assert_non_null(root);
	json_array_foreach(json_object_get(root, "items"), i, item)
	{
		size_t number = 0;

		assert_int_equal(sscanf(json_string_value(json_object_get(json_object_get(item, "metadata"), "name")),
					 "pod-%zu", &number),
			1);
		assert_true(i == 0 || number > last);
		last = number;
		stable += number % 3 != 0;
	}
	/* what was there all the time is in the list, once and in order */
	assert_int_equal(stable, LONG_PODS - (LONG_PODS + 2) / 3);
	json_decref(root);
	km_buf_free(&out);
	long_close(v, &s);
	free(v);
	scene_close(&s);
}

/* The same over the wire: chunked, complete, and broken off by a client that leaves. */
static void test_list_streamed(void **state)
{
	struct long_view *v = calloc(1, sizeof(*v));
	struct exchange e = REQUEST("GET", A "/pods", MASTER, &scene_front);
	struct scene s;
	json_t *root;

	scene_open(&s);
	long_open(v, &s);
	s.view = (struct agg_view){.ops = &long_ops, .source = v, .store = s.store};
	ask(&s, &e, 1);
	assert_int_equal(e.reply.status, 200);
	assert_true(e.reply.whole && e.reply.chunked);
	root = json_loadb(e.reply.body, e.reply.body_len, 0, NULL);
	assert_true(json_array_size(json_object_get(root, "items")) >= LONG_PODS * 2 / 3);
	json_decref(root);
	test_reply_free(&e.reply);
	leave_later(&s, A "/pods", MASTER);
	assert_true(until(&s, two_requests));
	test_client_reset(&leaving);
	assert_true(until(&s, nothing_under_way));
	long_close(v, &s);
	free(v);
	scene_close(&s);
}

static void test_node_selector(void **state)
{
	struct exchange e[] = {
		REQUEST("GET", A "/nodes", MASTER, &scene_front),
		REQUEST("GET", A "/nodes/node-00001", MASTER, &scene_front),
	};
	struct kube_selector *selector = NULL;
	struct scene s;

	scene_open(&s);
	assert_int_equal(kube_selector_parse("zone!=z1", &selector, NULL), 0);
	s.view.node_selector = selector;
	ask(&s, e, 2);
	assert_non_null(strstr(e[0].reply.body, "node-00000"));
	assert_null(strstr(e[0].reply.body, "node-00001"));
	/* not applied to GET, as upstream */
	assert_int_equal(e[1].reply.status, 200);
	test_reply_free(&e[0].reply);
	test_reply_free(&e[1].reply);
	kube_selector_free(selector);
	scene_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_etag_and_audit_id),
		cmocka_unit_test(test_first_second),
		cmocka_unit_test(test_logged_once),
		cmocka_unit_test(test_cancelled_while_reviewed),
		cmocka_unit_test(test_cancelled_while_token_is_reviewed),
		cmocka_unit_test(test_token_logged),
		cmocka_unit_test(test_list_changes_under_way),
		cmocka_unit_test(test_list_streamed),
		cmocka_unit_test(test_node_selector),
	};

	return cmocka_run_group_tests(tests, scene_certs, scene_no_certs);
}
