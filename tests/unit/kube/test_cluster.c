/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cached view: order, events with before and now, sweep after a relist, and the authentication ConfigMap.
 */
#include "kube/cluster.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/buf.h"
#include "tests/unit/support/apistub.h"

#define BACKOFF_MIN 2000 /* us */
#define BACKOFF_MAX 8000

enum resource { NODES, PODS, AUTH, N_RESOURCES };

struct world {
	struct km_loop *loop;
	struct apistub *stub;
	struct kube_client *client;
	struct kube_cluster *c;
	const char *lists[N_RESOURCES]; /* answers to lists; NULL: 403 */
	bool cut[N_RESOURCES];          /* the list breaks off at its end */
	unsigned listed[N_RESOURCES];
	struct apistub_conn *watches[N_RESOURCES];
	struct km_buf log;
	const char *until;
	char problem[1024];
	struct kube_auth_config *auth;
};

static const char *const paths[] = {"/api/v1/nodes?", "/api/v1/pods?",
	"/api/v1/namespaces/kube-system/configmaps?fieldSelector=metadata.name%3Dextension-apiserver-authentication&"};

static void on_request(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct world *w = arg;
	size_t i;

	for (i = 0; i < N_RESOURCES && strncmp(request->target, paths[i], strlen(paths[i])) != 0; i++)
		;
	if (i == N_RESOURCES)
		fail_msg("unexpected %s", request->target);
	if (strstr(request->target, "watch=1")) {
		w->watches[i] = c;
		apistub_stream(c, 200);
		return;
	}
	w->listed[i]++;
	if (!w->lists[i]) {
		apistub_reply(c, 403, NULL, "{\"message\":\"forbidden\"}");
		return;
	}
	apistub_stream(c, 200);
	apistub_chunk(c, w->lists[i]);
	if (w->cut[i])
		apistub_cut(c);
	else
		apistub_end(c);
}

/* A node as "+n1", "-n1", "~n1"; a pod as "+ns/p@node". What the cache shows must agree. */
static void on_node(const struct kube_node *before, const struct kube_node *now, void *arg)
{
	struct world *w = arg;
	const char *name = now ? now->name : before->name;

	assert_ptr_equal(kube_cluster_node(w->c, name), now);
	assert_ptr_not_equal(before, now);
	km_buf_addf(&w->log, "%c%s ", !before ? '+' : !now ? '-' : '~', name);
}

static void on_pod(const struct kube_pod *before, const struct kube_pod *now, void *arg)
{
	struct world *w = arg;
	const struct kube_pod *any = now ? now : before;

	assert_ptr_equal(kube_cluster_pod(w->c, any->namespace_, any->name), now);
	km_buf_addf(&w->log, "%c%s/%s", !before ? '+' : !now ? '-' : '~', any->namespace_, any->name);
	if (before && before->node)
		km_buf_addf(&w->log, "<%s", before->node);
	if (now && now->node)
		km_buf_addf(&w->log, "@%s", now->node);
	km_buf_addc(&w->log, ' ');
}

static void on_auth(struct kube_auth_config *now, void *arg)
{
	struct world *w = arg;

	assert_ptr_equal(kube_cluster_auth(w->c), now);
	km_buf_addf(
		&w->log, "auth:%s ", now->present ? now->allowed_names[0] ? now->allowed_names[0] : "any" : "absent");
	kube_auth_config_unref(w->auth);
	w->auth = kube_auth_config_ref(now);
}

static void on_problem(const char *resource, const char *text, void *arg)
{
	struct world *w = arg;

	km_buf_addf(&w->log, "%s:%s ", resource, text ? "problem" : "ok");
	if (text)
		snprintf(w->problem, sizeof(w->problem), "%s", text);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	const struct kube_listener all = {on_node, on_pod, on_auth, on_problem, w}, none = {.arg = NULL};
	struct kube_access *access;

	if (!w || km_loop_new(&w->loop, NULL) < 0)
		return -1;
	w->log = KM_BUF_INIT(64 * 1024);
	km_buf_adds(&w->log, "");
	w->stub = apistub_new(w->loop, on_request, w);
	access = apistub_access(w->stub, NULL);
	assert_int_equal(kube_client_new(w->loop, access, "t", &w->client, NULL), 0);
	kube_access_free(access);
	assert_int_equal(kube_cluster_new(w->client, &w->c, NULL), 0);
	assert_int_equal(kube_cluster_listen(w->c, &none), 0);
	assert_int_equal(kube_cluster_listen(w->c, &all), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	kube_cluster_free(w->c);
	kube_client_free(w->client);
	apistub_free(w->stub);
	km_loop_free(w->loop);
	km_buf_free(&w->log);
	kube_auth_config_unref(w->auth);
	free(w);
	return 0;
}

static bool log_has(void *arg)
{
	struct world *w = arg;

	return strstr(w->log.data, w->until) != NULL;
}

/* Waits until the log ends with last, and compares all of it with expected (NULL: no comparison); then it starts anew.
 */
static void expect(struct world *w, const char *last, const char *expected)
{
	w->until = last;
	if (!apistub_until(w->loop, log_has, w))
		fail_msg("log \"%s\", expected \"%s\", problem \"%s\"", w->log.data, last, w->problem);
	if (expected)
		assert_string_equal(w->log.data, expected);
	km_buf_reset(&w->log);
	km_buf_adds(&w->log, "");
}

static bool all_watched(void *arg)
{
	struct world *w = arg;

	for (size_t i = 0; i < N_RESOURCES; i++)
		if (!w->watches[i] && w->lists[i])
			return false;
	return true;
}

static void start(struct world *w)
{
	assert_int_equal(kube_cluster_start_with(w->c, BACKOFF_MIN, BACKOFF_MAX, NULL), 0);
	assert_true(apistub_until(w->loop, all_watched, w));
}

#define LIST(rv, items) "{\"metadata\":{\"resourceVersion\":\"" rv "\"},\"items\":[" items "]}"
#define NODE(name)      "{\"metadata\":{\"name\":\"" name "\",\"labels\":{\"a\":\"b\"}}}"
#define POD(ns, name, on) \
	"{\"metadata\":{\"namespace\":\"" ns "\",\"name\":\"" name "\"},\"spec\":{\"nodeName\":\"" on "\"}}"
#define EVENT(type, o) "{\"type\":\"" type "\",\"object\":" o "}"
#define GONE           EVENT("ERROR", "{\"code\":410}")
#define CONFIG_MAP(names)                                                                                     \
	"{\"metadata\":{\"name\":\"extension-apiserver-authentication\"},\"data\":{\"client-ca-file\":\"C\"," \
	"\"requestheader-client-ca-file\":\"R\",\"requestheader-allowed-names\":\"" names "\","               \
	"\"requestheader-username-headers\":\"[\\\"X-Remote-User\\\"]\"}}"

static void check_pods(const struct kube_cluster *c, const char *ns, const char *expected)
{
	_cleanup_buf_ struct km_buf names = KM_BUF_INIT(4096);
	size_t n;
	const struct kube_pod *const *pods = kube_cluster_pods(c, ns, &n);

	km_buf_adds(&names, "");
	for (size_t i = 0; i < n; i++)
		km_buf_addf(&names, "%s ", pods[i]->name);
	assert_string_equal(names.data, expected);
	assert_true((pods == NULL) == (n == 0));
}

static void test_order(void **state)
{
	struct world *w = *state;
	const struct kube_node *const *nodes;
	const char *const *namespaces;
	size_t n;

	w->lists[NODES] = LIST("5", NODE("n2") "," NODE("n10") "," NODE("n1"));
	w->lists[PODS] = LIST("5", POD("b", "p2", "n1") "," POD("b", "p1", "n1") "," POD("a-b", "x", "n2") "," POD(
					   "a", "y", "n2") "," POD("b", "p10", "n1"));
	w->lists[AUTH] = LIST("5", "");
	assert_false(kube_cluster_nodes_synced(w->c));
	assert_false(kube_cluster_auth(w->c)->present);
	start(w);
	assert_true(kube_cluster_nodes_synced(w->c));
	assert_true(kube_cluster_pods_synced(w->c));
	nodes = kube_cluster_nodes(w->c, &n);
	assert_int_equal(n, 3);
	assert_string_equal(nodes[0]->name, "n1");
	assert_string_equal(nodes[1]->name, "n10");
	assert_string_equal(nodes[2]->name, "n2");
	namespaces = kube_cluster_namespaces(w->c, &n);
	assert_int_equal(n, 3);
	assert_string_equal(namespaces[0], "a");
	assert_string_equal(namespaces[1], "a-b");
	assert_string_equal(namespaces[2], "b");
	check_pods(w->c, "b", "p1 p10 p2 ");
	check_pods(w->c, "nowhere", "");
	assert_int_equal(kube_cluster_pod_count(w->c), 5);
	assert_string_equal(kube_cluster_pod(w->c, "b", "p10")->node, "n1");
	assert_null(kube_cluster_pod(w->c, "b", "p3"));
	assert_null(kube_cluster_pod(w->c, "nowhere", "p1"));
	assert_null(kube_cluster_node(w->c, "n3"));
	assert_ptr_equal(kube_cluster_client(w->c), w->client);
	assert_int_equal(kube_cluster_listen(w->c, &(struct kube_listener){.arg = NULL}), -EBUSY);
}

static void test_events(void **state)
{
	struct world *w = *state;

	w->lists[NODES] = LIST("5", NODE("n1"));
	w->lists[PODS] = LIST("5", POD("a", "p", "n1"));
	w->lists[AUTH] = LIST("5", "");
	start(w);
	expect(w, "+a/p@n1 ", NULL);
	apistub_chunk(w->watches[PODS],
		EVENT("ADDED", POD("a", "q", "n1")) EVENT("MODIFIED", POD("a", "p", "n2"))
			EVENT("DELETED", POD("a", "p", "n2")) EVENT("DELETED", POD("a", "never", "n2"))
				EVENT("DELETED", POD("z", "never", "n2")) EVENT("DELETED", POD("a", "q", "n1"))
					EVENT("ADDED", POD("b", "r", "n1")));
	expect(w, "+b/r@n1 ", "+a/q@n1 ~a/p<n1@n2 -a/p<n2 -a/q<n1 +b/r@n1 ");
	check_pods(w->c, "a", "");
	assert_int_equal(kube_cluster_pod_count(w->c), 1);
	apistub_chunk(w->watches[NODES], EVENT("ADDED", NODE("n0")) EVENT("MODIFIED", NODE("n1")) EVENT("DELETED",
						 NODE("n1")) EVENT("DELETED", NODE("x")) EVENT("ADDED", NODE("n2")));
	expect(w, "+n2 ", "+n0 ~n1 -n1 +n2 ");
}

static void test_sweep(void **state)
{
	struct world *w = *state;

	w->lists[NODES] = LIST("5", NODE("n1") "," NODE("n2"));
	w->lists[PODS] =
		LIST("5", POD("a", "p", "n1") "," POD("a", "q", "n1") "," POD("b", "r", "n1") "," POD("c", "s", "n1"));
	w->lists[AUTH] = LIST("5", "");
	start(w);
	expect(w, "+c/s@n1 ", NULL);

	/* a relist that breaks off: what it told is applied, nothing goes */
	w->lists[PODS] = "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[" POD("a", "t", "n1") ",";
	w->cut[PODS] = true;
	apistub_chunk(w->watches[PODS], GONE);
	expect(w, "pods:problem ", "+a/t@n1 pods:problem ");
	assert_int_equal(kube_cluster_pod_count(w->c), 5);
	check_pods(w->c, "a", "p q t ");

	/* a whole one: what it did not show goes, at its end */
	w->cut[PODS] = false;
	w->lists[PODS] = LIST("10", POD("a", "q", "n2") "," POD("d", "u", "n1"));
	expect(w, "pods:ok ", NULL);
	assert_int_equal(kube_cluster_pod_count(w->c), 2);
	check_pods(w->c, "a", "q ");
	check_pods(w->c, "b", "");
	check_pods(w->c, "d", "u ");

	w->lists[NODES] = LIST("10", NODE("n2") "," NODE("n3"));
	apistub_chunk(w->watches[NODES], GONE);
	expect(w, "-n1 ", "~n2 +n3 -n1 ");
	assert_null(kube_cluster_node(w->c, "n1"));
}

static bool relisted(void *arg)
{
	struct world *w = arg;

	return w->listed[AUTH] == 2 && w->watches[AUTH];
}

static void test_auth(void **state)
{
	struct world *w = *state;

	w->lists[NODES] = LIST("5", "");
	w->lists[PODS] = LIST("5", "");
	w->lists[AUTH] = LIST("5", CONFIG_MAP("[\\\"front-proxy-client\\\"]"));
	start(w);
	expect(w, "auth:", "auth:front-proxy-client ");
	assert_string_equal(w->auth->client_ca, "C");
	assert_string_equal(w->auth->requestheader_ca, "R");
	assert_string_equal(w->auth->username_headers[0], "X-Remote-User");
	assert_null(w->auth->username_headers[1]);
	assert_null(w->auth->uid_headers[0]);
	/* the same again is no event; another one is */
	apistub_chunk(w->watches[AUTH],
		EVENT("MODIFIED", CONFIG_MAP("[\\\"front-proxy-client\\\"]")) EVENT("MODIFIED", CONFIG_MAP("[]")));
	expect(w, "auth:", "auth:any ");
	/* another ConfigMap must not count, whoever sends it */
	apistub_chunk(w->watches[AUTH],
		EVENT("MODIFIED", "{\"metadata\":{\"name\":\"other\"},\"data\":{}}")
			EVENT("DELETED", "{\"metadata\":{\"name\":\"extension-apiserver-authentication\"}}"));
	expect(w, "auth:absent ", "configmaps:problem auth:absent ");
	assert_non_null(strstr(w->problem, "not asked for"));
	/* a relist that still has none is no event */
	w->watches[AUTH] = NULL;
	w->lists[AUTH] = LIST("9", "");
	w->listed[AUTH] = 1;
	apistub_stop(w->stub);
	apistub_restart(w->stub);
	assert_true(apistub_until(w->loop, all_watched, w));
	apistub_chunk(w->watches[AUTH], GONE);
	w->watches[AUTH] = NULL;
	assert_true(apistub_until(w->loop, relisted, w));
	assert_null(strstr(w->log.data, "auth:"));
}

static void test_auth_missing(void **state)
{
	struct world *w = *state;

	w->lists[NODES] = LIST("5", "");
	w->lists[PODS] = LIST("5", "");
	w->lists[AUTH] = LIST("5", "");
	start(w);
	expect(w, "auth:", "auth:absent ");
}

static void test_forbidden(void **state)
{
	struct world *w = *state;

	w->lists[NODES] = LIST("5", "");
	w->lists[PODS] = LIST("5", "");
	start(w);
	expect(w, "configmaps:problem ", "configmaps:problem ");
	assert_non_null(strstr(w->problem, "403 forbidden"));
	assert_non_null(strstr(w->problem, "`kmetricsd wire apply`"));
	assert_false(kube_cluster_auth(w->c)->present);
	/* it keeps trying, silently, until it may */
	w->lists[AUTH] = LIST("5", CONFIG_MAP("[]"));
	expect(w, "configmaps:ok ", "auth:any configmaps:ok ");
}

static void test_auth_decode(void **state)
{
	static const struct {
		const char *data;
		const char *name, *requestheader_ca, *finding;
	} rows[] = {
		{"{}", NULL, NULL, ""},
		{"{\"requestheader-client-ca-file\":\"R\"}", NULL, "R", ""},
		{"{\"requestheader-client-ca-file\":\"R\",\"requestheader-allowed-names\":\"[\\\"a\\\",\\\"b\\\"]\"}",
			"a", "R", ""},
		/* a list that cannot be read must not become "any name" */
		{"{\"requestheader-client-ca-file\":\"R\",\"requestheader-allowed-names\":\"[\\\"a\\\"\"}", NULL, NULL,
			"requestheader-allowed-names"},
		{"{\"requestheader-client-ca-file\":\"R\",\"requestheader-allowed-names\":\"[7]\"}", NULL, NULL,
			"requestheader-allowed-names"},
		{"{\"requestheader-client-ca-file\":\"R\",\"requestheader-allowed-names\":[]}", NULL, NULL,
			"requestheader-allowed-names"},
		{"{\"requestheader-client-ca-file\":\"R\",\"requestheader-group-headers\":\"{}\"}", NULL, "R",
			"requestheader-group-headers"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		json_t *map = json_pack("{s:o}", "data", json_loads(rows[i].data, 0, NULL));
		struct kube_auth_config *c = NULL;
		struct km_err err = {.text = ""};
		assert_non_null(map);
		assert_int_equal(kube_auth_config_decode(map, &c, &err), 0);
		assert_true(c->present);
		assert_true((rows[i].name == NULL) == (c->allowed_names[0] == NULL));
		if (rows[i].name)
			assert_string_equal(c->allowed_names[0], rows[i].name);
		if (rows[i].requestheader_ca)
			assert_string_equal(c->requestheader_ca, rows[i].requestheader_ca);
		else
			assert_null(c->requestheader_ca);
		if (*rows[i].finding)
			assert_non_null(strstr(err.text, rows[i].finding));
		else
			assert_string_equal(err.text, "");
		kube_auth_config_unref(c);
		json_decref(map);
	}
}

static void test_auth_limits(void **state)
{
	_cleanup_buf_ struct km_buf names = KM_BUF_INIT(64 * 1024);
	char *pem = malloc(1024 * 1024 + 2);
	struct kube_auth_config *c = NULL;
	struct km_err err = {.text = ""};
	json_t *map;

	km_buf_adds(&names, "[");
	for (int i = 0; i < 257; i++)
		km_buf_addf(&names, "%s\"h\"", i ? "," : "");
	km_buf_adds(&names, "]");
	memset(pem, 'x', 1024 * 1024 + 1);
	pem[1024 * 1024 + 1] = '\0';
	map = json_pack("{s:{s:s, s:s}}", "data", "requestheader-uid-headers", names.data, "client-ca-file", pem);
	assert_int_equal(kube_auth_config_decode(map, &c, &err), 0);
	assert_null(c->uid_headers[0]);
	assert_null(c->client_ca);
	assert_non_null(strstr(err.text, "client-ca-file"));
	kube_auth_config_unref(c);
	json_decref(map);
	free(pem);
}

static void test_listeners(void **state)
{
	struct world *w = *state;
	const struct kube_listener none = {.arg = NULL};

	for (int i = 2; i < 8; i++)
		assert_int_equal(kube_cluster_listen(w->c, &none), 0);
	assert_int_equal(kube_cluster_listen(w->c, &none), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forbidden, setup, teardown),
		cmocka_unit_test(test_auth_decode),
		cmocka_unit_test(test_auth_limits),
		cmocka_unit_test_setup_teardown(test_listeners, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
