/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scene of the API's tests: the real server, authenticators and store; the cluster of the recorded replies (three
 * nodes, two pods of two containers a node) as records decoded from JSON; a reviewer that answers at the next loop
 * turn. The client runs on the loop's worker thread.
 */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "aggregator/api.h"
#include "core/clock.h"
#include "core/log.h"
#include "tests/unit/support/pki.h"
#include "tests/unit/support/tls_client.h"

#define NOW_S      INT64_C(1795411236) /* 2026-11-23T05:20:36Z, when the replies were recorded */
#define SAMPLES_S  (NOW_S - 6)
#define RUN_MAX_US (20 * KM_USEC_PER_SEC)
#define NODES_MAX  8
#define PODS_MAX   8

struct scene_pods {
	const char *namespace_;
	struct kube_pod *pods[PODS_MAX];
	size_t n;
};

struct scene {
	struct km_loop *loop;
	struct km_interner *in;
	struct kube_label_pool *pool;
	struct agg_store *store;
	struct kube_node *nodes[NODES_MAX];
	size_t n_nodes;
	struct scene_pods namespaces[2];
	const char *namespace_names[2];
	bool nodes_synced, pods_synced;
	struct agg_view view;
	struct agg_authn *authn;
	struct agg_tokens *tokens;
	struct agg_authz *authz;
	struct agg_api *api;
	struct km_http_server *server;
	uint16_t port;
	struct km_timer *watchdog;
	bool stuck;
	/* the reviewer */
	enum {
		REVIEWS_ALLOW,
		REVIEWS_DENY,
		REVIEWS_NARROW,
		REVIEWS_FAIL,
		REVIEWS_HANG
	} reviews; /* NARROW: with selectors only */
	size_t asked;
	/* what was logged */
	char logged[16][512];
	size_t n_logged;
};

static struct test_cert scene_ca, scene_other_ca, scene_serving, scene_front, scene_stranger;
static struct km_clock_virtual scene_clock;

/* ---- the cluster ---- */

struct scene_container {
	const char *name;
	uint64_t nanocores, mebibytes;
};

static const struct {
	const char *name, *zone;
	int64_t window_ms;
	uint64_t nanocores, mebibytes;
} scene_nodes[] = {
	{"node-00000", "z0", 15000, 860033518, 96},
	{"node-00001", "z1", 14992, 1139993500, 108},
	{"node-00002", "z2", 14995, 1419976659, 120},
};

/* Containers in the order in which they were recorded. */
static const struct {
	const char *namespace_, *name, *app;
	size_t node;
	struct scene_container containers[2];
} scene_pods[] = {
	{"ns-00", "app-00-00000-00", "app-00", 0, {{"c0", 5000194, 16}, {"c1", 295011497, 27}}},
	{"ns-00", "app-00-00001-00", "app-00", 1, {{"c0", 74999572, 19}, {"c1", 364997919, 30}}},
	{"ns-00", "app-00-00002-00", "app-00", 2, {{"c0", 144997616, 22}, {"c1", 434992849, 33}}},
	{"ns-01", "app-01-00000-01", "app-01", 0, {{"c1", 425016564, 32}, {"c0", 135005261, 21}}},
	{"ns-01", "app-01-00001-01", "app-01", 1, {{"c0", 204998831, 24}, {"c1", 494997177, 35}}},
	{"ns-01", "app-01-00002-01", "app-01", 2, {{"c0", 274995479, 27}, {"c1", 564990713, 38}}},
};

static inline struct kube_node *scene_node(struct scene *s, const char *name, const char *zone)
{
	json_t *o = json_pack("{s:{s:s, s:s, s:{s:s}}}", "metadata", "name", name, "uid", name, "labels", "zone", zone);
	struct kube_node *node = NULL;
	struct km_err err;

	if (kube_node_decode(o, s->in, s->pool, &node, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(o);
	return node;
}

static inline struct kube_pod *scene_pod(struct scene *s, const char *namespace_, const char *name, const char *app,
	const char *node, const char *phase, const char *c0, const char *c1)
{
	json_t *o = json_pack("{s:{s:s, s:s, s:s, s:{s:s}}, s:{s:s, s:[{s:s}, {s:s}]}, s:{s:s}}", "metadata", "name",
		name, "namespace", namespace_, "uid", name, "labels", "app", app, "spec", "nodeName", node,
		"containers", "name", c0, "name", c1, "status", "phase", phase);
	struct kube_pod *pod = NULL;
	struct km_err err;

	if (kube_pod_decode(o, s->in, s->pool, &pod, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(o);
	return pod;
}

static inline void scene_line(struct scene *s, enum agg_series series, const char *namespace_, const char *pod,
	const char *container, uint64_t value, int64_t timestamp_ns)
{
	const struct agg_line line = {.series = series,
		.namespace_ = namespace_,
		.pod = pod,
		.container = container,
		.namespace_len = namespace_ ? strlen(namespace_) : 0,
		.pod_len = pod ? strlen(pod) : 0,
		.container_len = container ? strlen(container) : 0,
		.value = value,
		.timestamp_ns = timestamp_ns};

	agg_store_line(&line, s->store);
}

/* The counter's growth over a window that is printed as exactly this rate. */
static inline uint64_t scene_growth(uint64_t nanocores, int64_t window_ms)
{
	return (nanocores * (uint64_t)window_ms + 999) / 1000;
}

/* One scrape of a node: the earlier or the later one. */
static inline void scene_scrape(struct scene *s, size_t node, bool later)
{
	int64_t window = scene_nodes[node].window_ms, end = SAMPLES_S * KM_NSEC_PER_SEC + 500000000;
	int64_t at = later ? end : end - window * 1000000, started = end - 3600 * KM_NSEC_PER_SEC;
	uint64_t base = 1000 * UINT64_C(1000000000);

	assert_int_equal(agg_store_begin(s->store, scene_nodes[node].name), 0);
	scene_line(s, AGG_NODE_CPU, NULL, NULL, NULL,
		base + (later ? scene_growth(scene_nodes[node].nanocores, window) : 0), at);
	scene_line(s, AGG_NODE_MEMORY, NULL, NULL, NULL, scene_nodes[node].mebibytes << 20, at);
	for (size_t i = 0; i < KM_ARRAY_LEN(scene_pods); i++)
		for (size_t k = 0; scene_pods[i].node == node && k < 2; k++) {
			const struct scene_container *c = &scene_pods[i].containers[k];

			scene_line(s, AGG_CONTAINER_CPU, scene_pods[i].namespace_, scene_pods[i].name, c->name,
				base + (later ? scene_growth(c->nanocores, window) : 0), at);
			scene_line(s, AGG_CONTAINER_MEMORY, scene_pods[i].namespace_, scene_pods[i].name, c->name,
				c->mebibytes << 20, at);
			scene_line(s, AGG_CONTAINER_START, scene_pods[i].namespace_, scene_pods[i].name, c->name,
				(uint64_t)started, at);
		}
	agg_store_commit(s->store, at + 100000000);
}

static inline void scene_fill(struct scene *s)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(scene_nodes); i++) {
		s->nodes[s->n_nodes++] = scene_node(s, scene_nodes[i].name, scene_nodes[i].zone);
		scene_scrape(s, i, false);
		scene_scrape(s, i, true);
	}
	s->nodes[s->n_nodes++] = scene_node(s, "node-silent", "z0");
	s->namespaces[0].namespace_ = s->namespace_names[0] = "ns-00";
	s->namespaces[1].namespace_ = s->namespace_names[1] = "ns-01";
	for (size_t i = 0; i < KM_ARRAY_LEN(scene_pods); i++) {
		struct scene_pods *ns = &s->namespaces[i / 3];

		ns->pods[ns->n++] = scene_pod(s, scene_pods[i].namespace_, scene_pods[i].name, scene_pods[i].app,
			scene_nodes[scene_pods[i].node].name, "Running", scene_pods[i].containers[0].name,
			scene_pods[i].containers[1].name);
	}
	s->namespaces[0].pods[s->namespaces[0].n++] =
		scene_pod(s, "ns-00", "pending", "app-00", "node-00000", "Pending", "c0", "c1");
	s->namespaces[0].pods[s->namespaces[0].n++] =
		scene_pod(s, "ns-00", "silent", "app-00", "node-00000", "Running", "c0", "c1");
}

/* ---- the view ---- */

static inline bool scene_nodes_synced(const void *source)
{
	return ((const struct scene *)source)->nodes_synced;
}

static inline bool scene_pods_synced(const void *source)
{
	return ((const struct scene *)source)->pods_synced;
}

static inline const struct kube_node *const *scene_view_nodes(const void *source, size_t *ret_n)
{
	const struct scene *s = source;

	*ret_n = s->n_nodes;
	return (const struct kube_node *const *)s->nodes;
}

static inline const char *const *scene_view_namespaces(const void *source, size_t *ret_n)
{
	*ret_n = 2;
	return ((const struct scene *)source)->namespace_names;
}

static inline const struct kube_pod *const *scene_view_pods(const void *source, const char *namespace_, size_t *ret_n)
{
	const struct scene *s = source;

	for (size_t i = 0; i < 2; i++)
		if (strcmp(s->namespaces[i].namespace_, namespace_) == 0) {
			*ret_n = s->namespaces[i].n;
			return (const struct kube_pod *const *)s->namespaces[i].pods;
		}
	*ret_n = 0;
	return NULL;
}

static inline const struct kube_node *scene_view_node(const void *source, const char *name)
{
	const struct scene *s = source;

	for (size_t i = 0; i < s->n_nodes; i++)
		if (strcmp(s->nodes[i]->name, name) == 0)
			return s->nodes[i];
	return NULL;
}

static inline const struct kube_pod *scene_view_pod(const void *source, const char *namespace_, const char *name)
{
	size_t n;
	const struct kube_pod *const *pods = scene_view_pods(source, namespace_, &n);

	for (size_t i = 0; i < n; i++)
		if (strcmp(pods[i]->name, name) == 0)
			return pods[i];
	return NULL;
}

static const struct agg_view_ops scene_view_ops = {
	.nodes_synced = scene_nodes_synced,
	.pods_synced = scene_pods_synced,
	.nodes = scene_view_nodes,
	.namespaces = scene_view_namespaces,
	.pods = scene_view_pods,
	.node = scene_view_node,
	.pod = scene_view_pod,
};

/* ---- the reviewer ---- */

struct scene_call {
	struct scene *s;
	bool narrow;
	void (*fn)(const struct kube_review_result *result, void *arg);
	void *arg;
};

static inline void scene_review_done(void *arg)
{
	struct scene_call *c = arg;
	struct kube_review_result result = {
		.reason = "", .text = "POST /apis/authorization.k8s.io/v1/subjectaccessreviews: refused"};

	result.allowed = c->s->reviews == REVIEWS_ALLOW || (c->s->reviews == REVIEWS_NARROW && c->narrow);
	result.error = c->s->reviews == REVIEWS_FAIL ? -111 : 0;
	c->fn(&result, c->arg);
	free(c);
}

static inline int scene_review(void *source, const struct kube_review *review,
	void (*fn)(const struct kube_review_result *result, void *arg), void *arg, struct kube_call **ret)
{
	struct scene *s = source;
	struct scene_call *c;

	s->asked++;
	*ret = NULL;
	if (s->reviews == REVIEWS_HANG)
		return 0;
	c = malloc(sizeof(*c));
	*c = (struct scene_call){s, review->field_requirements || review->label_requirements, fn, arg};
	km_loop_reap(s->loop, scene_review_done, c);
	return 0;
}

static inline void scene_review_cancel(void *source, struct kube_call *call) {}

/*
 * Tokens: "jane" is hers; "nobody" nobody's; "broken" cannot be judged; "hang" is never judged.
 */
struct scene_token_call {
	char token[32];
	void (*fn)(const struct kube_token_result *result, void *arg);
	void *arg;
};

static inline void scene_token_done(void *arg)
{
	struct scene_token_call *c = arg;
	struct kube_token_result result = {.text = ""};
	json_t *user = json_pack(
		"{s:s, s:s, s:[s], s:{s:[s]}}", "username", c->token, "uid", "7", "groups", "dev", "extra", "k", "v");

	if (strcmp(c->token, "broken") == 0) {
		result.error = -ECONNREFUSED;
		result.text = "POST /apis/authentication.k8s.io/v1/tokenreviews: refused";
	} else if (strcmp(c->token, "nobody") != 0) {
		result.authenticated = true;
		result.user = user;
	}
	c->fn(&result, c->arg);
	json_decref(user);
	free(c);
}

static inline int scene_token_review(void *source, const char *token,
	void (*fn)(const struct kube_token_result *result, void *arg), void *arg, struct kube_call **ret)
{
	struct scene *s = source;
	struct scene_token_call *c;

	*ret = NULL;
	if (strcmp(token, "hang") == 0)
		return 0;
	c = calloc(1, sizeof(*c));
	snprintf(c->token, sizeof(c->token), "%s", token);
	c->fn = fn;
	c->arg = arg;
	km_loop_reap(s->loop, scene_token_done, c);
	return 0;
}

/* ---- up and down ---- */

static inline void scene_sink(int level, const struct km_log_fields *fields, const char *text, void *arg)
{
	struct scene *s = arg;

	if (s->n_logged < KM_ARRAY_LEN(s->logged))
		snprintf(s->logged[s->n_logged++], sizeof(s->logged[0]), "%s", text);
}

static inline void scene_stuck(void *arg)
{
	struct scene *s = arg;

	s->stuck = true;
	km_loop_stop(s->loop);
}

static inline void scene_trust(struct scene *s, bool known)
{
	static const struct agg_options options = {.client_ca_file = "", .requestheader_client_ca_file = ""};
	char *none[] = {NULL}, *allowed[] = {(char[]){"aggregator"}, NULL};
	char *ca = test_cert_pem(scene_ca.cert);
	struct kube_auth_config config = {.refs = 1,
		.present = known,
		.requestheader_ca = known ? ca : NULL,
		.allowed_names = allowed,
		.username_headers = none,
		.group_headers = none,
		.extra_prefixes = none,
		.uid_headers = none};
	struct agg_trust *trust = NULL;

	assert_int_equal(agg_trust_new(&options, &config, &trust, NULL), 0);
	agg_authn_set_trust(s->authn, trust);
	agg_trust_unref(trust);
	free(ca);
}

static inline void scene_serve(struct scene *s)
{
	_cleanup_free_ char *cert = test_cert_pem(scene_serving.cert), *key = test_key_pem(scene_serving.key);
	struct km_http_server_config config = {.bind_address = "127.0.0.1", .handler = agg_api_handle, .arg = s->api};
	struct km_identity *id = NULL;
	struct km_err err = {0};

	assert_int_equal(km_identity_parse(cert, strlen(cert), key, strlen(key), "test", &id, &err), 0);
	assert_int_equal(km_tls_server_ctx(id, NULL, &config.tls, &err), 0);
	km_identity_unref(id);
	if (km_http_server_new(s->loop, &config, &s->server, &err) < 0)
		fail_msg("%s", err.text);
	SSL_CTX_free(config.tls);
	s->port = km_http_server_port(s->server);
}

/* staged_max: of the API, 0: as usual. */
static const char *const scene_open_paths[] = {"/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*"};
static const struct agg_options scene_authz_options = {
	.authorization_authorized_ttl = 60 * KM_NSEC_PER_SEC,
	.authorization_unauthorized_ttl = 10 * KM_NSEC_PER_SEC,
	.authorization_always_allow_paths = {scene_open_paths, KM_ARRAY_LEN(scene_open_paths)},
};

static inline void scene_open_limited(struct scene *s, size_t staged_max)
{
	const struct agg_reviewer reviewer = {.start = scene_review, .cancel = scene_review_cancel, .source = s};
	const struct agg_token_reviewer token_reviewer = {
		.start = scene_token_review, .cancel = scene_review_cancel, .source = s};
	struct agg_api_config config = {.view = &s->view, .port = 4443, .staged_max = staged_max};

	*s = (struct scene){.nodes_synced = true, .pods_synced = true};
	scene_clock = (struct km_clock_virtual){.monotonic_us = km_now_us(), .wall_ns = NOW_S * KM_NSEC_PER_SEC};
	km_clock_set_virtual(&scene_clock);
	km_log_set_sink(scene_sink, s);
	assert_int_equal(km_loop_new(&s->loop, NULL), 0);
	assert_int_equal(km_timer_new(s->loop, scene_stuck, s, &s->watchdog), 0);
	assert_int_equal(km_interner_new(&s->in), 0);
	assert_int_equal(kube_label_pool_new(s->in, &s->pool), 0);
	assert_int_equal(agg_store_new(s->in, &s->store), 0);
	agg_store_configure(s->store, 37500000000);
	scene_fill(s);
	s->view = (struct agg_view){.ops = &scene_view_ops, .source = s, .store = s->store};
	assert_int_equal(agg_authn_new(&s->authn), 0);
	scene_trust(s, true);
	assert_int_equal(agg_tokens_new(&token_reviewer, &s->tokens), 0);
	agg_tokens_configure(s->tokens, 10 * KM_NSEC_PER_SEC);
	assert_int_equal(agg_authz_new(&reviewer, &s->authz), 0);
	agg_authz_configure(s->authz, &scene_authz_options);
	config.authn = s->authn;
	config.tokens = s->tokens;
	config.authz = s->authz;
	assert_int_equal(agg_api_new(&config, &s->api), 0);
	scene_serve(s);
}

static inline void scene_open(struct scene *s)
{
	scene_open_limited(s, 0);
}

static inline void scene_close(struct scene *s)
{
	km_http_server_free(s->server);
	agg_api_free(s->api);
	agg_authz_free(s->authz);
	agg_tokens_free(s->tokens);
	agg_authn_free(s->authn);
	agg_store_free(s->store);
	for (size_t i = 0; i < s->n_nodes; i++)
		kube_node_free(s->nodes[i], s->in, s->pool);
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; k < s->namespaces[i].n; k++)
			kube_pod_free(s->namespaces[i].pods[k], s->in, s->pool);
	kube_label_pool_free(s->pool);
	km_interner_free(s->in);
	km_timer_free(s->watchdog);
	km_loop_free(s->loop);
	km_log_set_sink(NULL, NULL);
	km_clock_set_virtual(NULL);
}

static inline void scene_stop(void *arg)
{
	km_loop_stop(((struct scene *)arg)->loop);
}

/* Valid at the virtual time as well as now. */
static inline void scene_cert(
	const char *cn, bool ca, const char *eku, const struct test_cert *issuer, struct test_cert *ret)
{
	test_cert_make(&(struct test_cert_spec){.cn = cn,
			       .ca = ca,
			       .eku = eku,
			       .not_before = 1000000000,
			       .not_after = 4000000000,
			       .issuer = issuer},
		ret);
}

static inline int scene_certs(void **state)
{
	signal(SIGPIPE, SIG_IGN);
	scene_cert("front-proxy-ca", true, NULL, NULL, &scene_ca);
	scene_cert("other", true, NULL, NULL, &scene_other_ca);
	scene_cert("server", false, "serverAuth", &scene_ca, &scene_serving);
	scene_cert("aggregator", false, "clientAuth", &scene_ca, &scene_front);
	scene_cert("eve", false, "clientAuth", &scene_other_ca, &scene_stranger);
	return 0;
}

static inline int scene_no_certs(void **state)
{
	test_cert_free(&scene_ca);
	test_cert_free(&scene_other_ca);
	test_cert_free(&scene_serving);
	test_cert_free(&scene_front);
	test_cert_free(&scene_stranger);
	return 0;
}
