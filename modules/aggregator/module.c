/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The aggregator as a module: makes its parts, joins them with the cluster's cache and the identities, and carries a
 * new configuration through. What follows from a configuration is kept together in struct agg_settings, so that a
 * reload prepares a whole new one and then swaps.
 */
#define KM_LOG_MODULE "aggregator"
#include "aggregator/aggregator.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "aggregator/api.h"
#include "aggregator/pending_csrs.h"
#include "aggregator/samples_file.h"
#include "aggregator/scraper.h"
#include "aggregator/settings.h"
#include "aggregator/usage.h"
#include "core/clock.h"
#include "core/log.h"

#define MODULE_MAGIC      0x41474752u
#define MAX_AGE_HALVES    5 /* a sample is served until it is 5/2 metric-resolutions old (DESIGN 5) */
#define SAVED_EVERY       2 /* metric-resolutions; less than the above */
#define CSR_PERIOD_US     (60 * KM_USEC_PER_SEC)
#define DRAIN_DEADLINE_US (10 * KM_USEC_PER_SEC)

struct counters {
	uint64_t scrapes, scrape_failures, fallbacks, scraped_bytes, pins_made, pins_refused, csrs_pending;
	uint64_t sample_nodes, sample_containers, lines, lines_skipped, stale_dropped, counter_resets, duplicate_pods;
	uint64_t requests, protobuf, unauthorized, forbidden, refused, errors, under_way;
	uint64_t reviews, review_hits, review_failures;
	uint64_t token_reviews, token_hits, token_failures, token_limited;
	uint64_t connections, connections_accepted, connections_refused;
};

struct module {
	uint32_t magic;
	struct km_context *ctx;
	struct agg_settings *now, *next; /* owned; next: between prepare and commit or discard */
	STACK_OF(X509) *cluster_roots;   /* owned: a copy of the context's at the start, or NULL */
	STACK_OF(X509) *configmap_roots; /* owned: the ConfigMap's client CA, while there are no cluster_roots */
	STACK_OF(X509) *no_roots;        /* owned, empty: trusts nobody, where NULL would mean the system's */
	struct agg_store *store;
	struct agg_samples_file *samples;
	struct agg_scraper *scraper;
	struct agg_pending_csrs *csrs;
	struct agg_view view;
	struct agg_authn *authn;
	struct agg_tokens *tokens;
	struct agg_authz *authz;
	struct agg_api *api;
	struct agg_usage_reader *usage;
	struct km_http_server *server; /* NULL until there is a serving certificate */
	bool started;
	struct counters counters;
};

/* ---- what is in force, from settings and context ---- */

static struct km_identity *serving_identity(const struct module *m)
{
	return m->now->serving ? m->now->serving : m->ctx->identities->current[KM_ROLE_SERVING];
}

static struct km_identity *kubelet_identity(const struct module *m)
{
	return m->now->client ? m->now->client : m->ctx->identities->current[KM_ROLE_API_CLIENT];
}

static STACK_OF(X509) *kubelet_roots(const struct module *m)
{
	if (m->now->kubelet_roots)
		return m->now->kubelet_roots;
	if (m->cluster_roots)
		return m->cluster_roots;
	return m->configmap_roots ? m->configmap_roots : m->no_roots;
}

static void configure_store(struct module *m)
{
	int64_t resolution = m->now->options->metric_resolution;

	agg_store_configure(m->store, resolution * MAX_AGE_HALVES / 2);
	/* a file this old is of use after a crash, since what is in it is still served */
	if (m->samples)
		agg_samples_file_configure(m->samples, (uint64_t)(resolution / 1000) * SAVED_EVERY);
}

/* The scraper learns of new options, trust or identity; it keeps copies, and if it cannot take them it goes on with the
 * old. */
static void reconfigure_scraper(struct module *m)
{
	struct km_err err = {0};

	if (agg_scraper_reconfigure(m->scraper, m->now->options, kubelet_roots(m), kubelet_identity(m), &err) < 0)
		km_log_m(LOG_ERR, "kubelets are scraped with the former settings: %s", err.text);
}

/* ---- serving ---- */

/* The CAs whose certificates we would like to see, for clients that choose by it. */
static STACK_OF(X509) *hints(const struct agg_trust *t)
{
	STACK_OF(X509) *all = sk_X509_new_null();

	for (int i = 0; all && i < sk_X509_num(t->client_ca); i++)
		sk_X509_push(all, sk_X509_value(t->client_ca, i));
	for (int i = 0; all && i < sk_X509_num(t->requestheader_ca); i++)
		sk_X509_push(all, sk_X509_value(t->requestheader_ca, i));
	return all;
}

static int listen_on(struct module *m, SSL_CTX *tls, struct km_err *err)
{
	const struct agg_options *o = m->now->options;
	const struct km_http_server_config config = {
		.bind_address = o->bind_address,
		.port = (uint16_t)o->secure_port,
		.tls = tls,
		.handler = agg_api_handle,
		.arg = m->api,
	};
	int r = km_http_server_new(m->ctx->loop, &config, &m->server, err);

	if (r == 0)
		km_log_m(LOG_INFO, "the metrics API is served on %s port %d", o->bind_address, (int)o->secure_port);
	return r;
}

/* Serves with the certificate and hints in force: from the next connection on, or from now on for the first time. */
static int renew_tls(struct module *m, struct km_err *err)
{
	const struct km_tls_policy policy = agg_tls_policy(m->now->options);
	struct km_identity *id = serving_identity(m);
	STACK_OF(X509) *wanted;
	SSL_CTX *tls = NULL;
	int r;

	if (!id)
		return -ENOENT;
	wanted = hints(m->now->trust);
	r = km_tls_server_ctx(id, wanted, &tls, err);
	sk_X509_free(wanted);
	if (r == 0 && (r = km_tls_policy_apply(tls, &policy, err)) < 0)
		SSL_CTX_free(tls);
	if (r < 0)
		return r;
	if (m->server)
		km_http_server_set_tls(m->server, tls);
	else
		r = listen_on(m, tls, err);
	SSL_CTX_free(tls);
	return r;
}

static void renew_tls_or_log(struct module *m)
{
	struct km_err err = {0};
	int r = renew_tls(m, &err);

	if (r < 0 && r != -ENOENT)
		km_log_m(LOG_ERR,
			m->server ? "the former serving certificate stays: %s" : "the metrics API is not served: %s",
			err.text);
}

/* ---- what others tell ---- */

static void on_node(const struct kube_node *before, const struct kube_node *now, void *arg)
{
	struct module *m = KM_CAST(struct module, arg, MODULE_MAGIC);

	if (m->scraper)
		agg_scraper_node(m->scraper, before, now);
}

/* Kubelets are verified by the cluster's client CA when nothing better is known: kubelet-serving certificates are
 * signed by it, by custom. */
static void take_configmap_roots(struct module *m, const struct kube_auth_config *config)
{
	STACK_OF(X509) *roots = NULL, *old = m->configmap_roots;
	struct km_err err = {0};

	if (m->cluster_roots || !config->client_ca ||
		km_x509_parse(config->client_ca, strlen(config->client_ca), "client-ca-file", &roots, &err) < 0)
		return;
	m->configmap_roots = roots;
	if (m->scraper)
		reconfigure_scraper(m);
	km_x509_stack_free(old);
}

static void on_auth(struct kube_auth_config *config, void *arg)
{
	struct module *m = KM_CAST(struct module, arg, MODULE_MAGIC);
	struct agg_trust *trust = NULL;
	struct km_err err = {0};

	if (agg_trust_new(m->now->options, config, &trust, &err) < 0) {
		km_log_m(LOG_ERR, "clients are recognised by the former settings: %s", err.text);
		return;
	}
	agg_trust_unref(m->now->trust);
	m->now->trust = trust;
	agg_authn_set_trust(m->authn, trust);
	if (trust->known && !trust->requestheader_ca)
		km_log_m(LOG_WARNING, "ConfigMap kube-system/extension-apiserver-authentication has no "
				      "requestheader-client-ca-file: requests through "
				      "the API server will be refused; give kube-apiserver "
				      "--requestheader-client-ca-file and the flags that go with it");
	take_configmap_roots(m, config);
	if (m->server)
		renew_tls_or_log(m);
}

/* What keeps the caches from following the cluster; told once a change by the caches themselves. */
static void on_problem(const char *resource, const char *text, void *arg)
{
	if (text)
		km_log_m(LOG_WARNING, "watching %s: %s", resource, text);
	else
		km_log_m(LOG_NOTICE, "watching %s works again", resource);
}

static void on_identity(enum km_identity_role role, struct km_identity *id, void *arg)
{
	struct module *m = KM_CAST(struct module, arg, MODULE_MAGIC);

	if (!m->started)
		return;
	if (role == KM_ROLE_SERVING && !m->now->serving)
		renew_tls_or_log(m);
	else if (role == KM_ROLE_API_CLIENT && !m->now->client)
		reconfigure_scraper(m);
}

static int start_review(void *source, const struct kube_review *review,
	void (*fn)(const struct kube_review_result *result, void *arg), void *arg, struct kube_call **ret)
{
	const struct km_context *ctx = source;

	return kube_review_start(ctx->client, review, fn, arg, ret);
}

static void cancel_review(void *source, struct kube_call *call)
{
	kube_call_cancel(call);
}

static int start_token_review(void *source, const char *token, void (*fn)(const struct kube_token_result *r, void *arg),
	void *arg, struct kube_call **ret)
{
	const struct km_context *ctx = source;

	return kube_token_review_start(ctx->client, token, fn, arg, ret);
}

/* ---- life ---- */

static void module_fini(void *self)
{
	struct module *m = KM_CAST(struct module, self, MODULE_MAGIC);

	km_http_server_free(m->server); /* ends the requests, which the rest must outlive */
	agg_api_free(m->api);
	agg_usage_reader_free(m->usage);
	agg_authz_free(m->authz);
	agg_tokens_free(m->tokens);
	agg_authn_free(m->authn);
	agg_pending_csrs_free(m->csrs);
	agg_scraper_free(m->scraper);
	agg_samples_file_free(m->samples);
	agg_store_free(m->store);
	agg_settings_free(m->now);
	agg_settings_free(m->next);
	km_x509_stack_free(m->cluster_roots);
	km_x509_stack_free(m->configmap_roots);
	sk_X509_free(m->no_roots);
	m->magic = 0;
	free(m);
}

static void module_finip(struct module **m)
{
	if (*m)
		module_fini(*m);
}

static void give_figures(void *self, struct agg_figures *ret);

static int make_parts(struct module *m)
{
	const struct agg_reviewer reviewer = {.start = start_review, .cancel = cancel_review, .source = m->ctx};
	const struct agg_token_reviewer token_reviewer = {
		.start = start_token_review, .cancel = cancel_review, .source = m->ctx};
	struct agg_api_config api = {.view = &m->view,
		.port = (uint16_t)m->now->options->secure_port,
		.figures = give_figures,
		.figures_arg = m};
	int r;

	if (!(m->no_roots = sk_X509_new_null()))
		return -ENOMEM;
	if ((r = agg_store_new(kube_cluster_interner(m->ctx->cluster), &m->store)) < 0 ||
		(r = agg_authn_new(&m->authn)) < 0 || (r = agg_tokens_new(&token_reviewer, &m->tokens)) < 0 ||
		(r = agg_authz_new(&reviewer, &m->authz)) < 0)
		return r;
	m->view = (struct agg_view){
		.ops = &agg_view_of_cluster,
		.source = m->ctx->cluster,
		.store = m->store,
		.node_selector = m->now->node_selector,
	};
	api.authn = m->authn;
	api.tokens = m->tokens;
	api.authz = m->authz;
	if ((r = agg_usage_reader_new(&m->view, &m->usage)) < 0)
		return r;
	return agg_api_new(&api, &m->api);
}

static void apply_settings(struct module *m)
{
	const struct agg_options *o = m->now->options;

	configure_store(m);
	m->view.node_selector = m->now->node_selector;
	agg_tokens_configure(m->tokens, o->authentication_token_ttl);
	agg_authz_configure(m->authz, o);
	agg_api_configure(m->api, (size_t)o->max_requests_inflight);
	agg_authn_set_trust(m->authn, m->now->trust);
}

static int module_init(struct km_context *ctx, void **ret_self, struct km_err *err)
{
	_cleanup_(module_finip) struct module *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return km_fail(err, -ENOMEM, "out of memory");
	m->magic = MODULE_MAGIC;
	m->ctx = ctx;
	if ((r = agg_settings_load(ctx->cluster, ctx->config, &m->now, err)) < 0)
		return r;
	if (ctx->cluster_roots && !(m->cluster_roots = X509_chain_up_ref(ctx->cluster_roots)))
		return km_fail(err, -ENOMEM, "out of memory");
	if ((r = make_parts(m)) < 0)
		return km_fail(err, r, "out of memory");
	apply_settings(m);
	if ((r = agg_samples_file_new(ctx->loop, ctx->state_dir, m->store, &m->samples, err)) < 0)
		return r;
	configure_store(m);
	*ret_self = KM_TAKE(m);
	return 0;
}

static void on_landed(const char *node, void *arg)
{
	agg_usage_landed(KM_CAST(struct module, arg, MODULE_MAGIC)->usage, node);
}

static bool some_kubelet_fails(void *arg)
{
	struct agg_scraper_state state;

	agg_scraper_state(KM_CAST(struct module, arg, MODULE_MAGIC)->scraper, &state);
	return state.failing > 0;
}

static int module_start(void *self, struct km_err *err)
{
	struct module *m = KM_CAST(struct module, self, MODULE_MAGIC);
	const struct kube_listener listener = {.node = on_node, .auth = on_auth, .problem = on_problem, .arg = m};
	int r;

	if ((r = agg_scraper_new(
		     m->ctx, m->now->options, m->store, kubelet_roots(m), kubelet_identity(m), &m->scraper, err)) < 0)
		return r;
	agg_scraper_on_landed(m->scraper, on_landed, m);
	if ((r = agg_pending_csrs_new(m->ctx->client, CSR_PERIOD_US, some_kubelet_fails, m, &m->csrs)) < 0)
		return km_fail(err, r, "out of memory");
	r = renew_tls(m, err);
	if (r == -ENOENT)
		km_log_m(LOG_WARNING, "the metrics API is not served yet: there is no serving certificate; enable "
				      "[cert-manager], or set tls-cert-file and "
				      "tls-private-key-file");
	else if (r < 0)
		return r;
	if ((r = kube_cluster_listen(m->ctx->cluster, &listener)) < 0)
		return km_fail(err, r, "the cluster's cache takes no further listener");
	km_identity_subscribe(m->ctx->identities, on_identity, m);
	m->started = true;
	return 0;
}

/* ---- reload ---- */

static int module_reload_prepare(void *self, const struct km_config *config, struct km_err *err)
{
	struct module *m = KM_CAST(struct module, self, MODULE_MAGIC);

	assert(!m->next);
	return agg_settings_load(m->ctx->cluster, config, &m->next, err);
}

static void module_reload_discard(void *self)
{
	struct module *m = KM_CAST(struct module, self, MODULE_MAGIC);

	agg_settings_freep(&m->next);
}

static void module_reload_commit(void *self)
{
	struct module *m = KM_CAST(struct module, self, MODULE_MAGIC);
	struct agg_settings *old = m->now;

	m->now = KM_TAKE(m->next);
	apply_settings(m);
	agg_settings_free(old);
	reconfigure_scraper(m);
	renew_tls_or_log(m);
}

struct km_usage_source agg_module_usage(void *self)
{
	return agg_usage_source(KM_CAST(struct module, self, MODULE_MAGIC)->usage);
}

static void set_lane(const char *node, uint64_t period_us, void *arg)
{
	struct module *m = KM_CAST(struct module, arg, MODULE_MAGIC);

	if (m->scraper)
		agg_scraper_set_lane(m->scraper, node, period_us);
}

struct km_scrape_lane agg_module_lane(void *self)
{
	return (struct km_scrape_lane){.set = set_lane, .arg = self};
}

/* ---- end ---- */

static void module_stop(void *self, km_loop_fn stopped, void *arg)
{
	struct module *m = KM_CAST(struct module, self, MODULE_MAGIC);

	agg_api_stopping(m->api);
	if (m->server)
		km_http_server_drain(m->server, DRAIN_DEADLINE_US, stopped, arg);
	else
		stopped(arg);
}

/* ---- what it says of itself ---- */

static void module_health(void *self, struct km_health *ret)
{
	struct module *m = KM_CAST(struct module, self, MODULE_MAGIC);
	struct agg_scraper_state scraper = {0};
	struct agg_health_state state;
	char failing[40] = "", scraped[48] = "no scrape yet";

	agg_api_health(m->api, &state);
	ret->ok = m->server && agg_health_ready(&state);
	if (m->scraper)
		agg_scraper_state(m->scraper, &scraper);
	if (!m->server) {
		snprintf(ret->text, sizeof(ret->text), "not listening: no serving certificate yet");
		return;
	}
	if (!state.nodes_synced || !state.pods_synced) {
		snprintf(ret->text, sizeof(ret->text), "waiting for the API server's nodes and pods");
		return;
	}
	if (scraper.failing > 0)
		snprintf(failing, sizeof(failing), " (%zu failing)", scraper.failing);
	if (scraper.newest_success_ns > 0)
		snprintf(scraped, sizeof(scraped), "last scrape %lld s ago",
			(long long)(KM_MAX(km_wall_ns() - scraper.newest_success_ns, INT64_C(0)) / KM_NSEC_PER_SEC));
	snprintf(ret->text, sizeof(ret->text), "%zu nodes%s, %zu pods, %s%s", scraper.nodes, failing,
		kube_cluster_pod_count(m->ctx->cluster), scraped,
		state.auth_known ? "" : "; authentication ConfigMap not read yet");
}

static json_t *module_status(void *self)
{
	struct module *m = KM_CAST(struct module, self, MODULE_MAGIC);
	struct agg_authz_stats authz;
	struct agg_api_stats api;

	agg_authz_stats(m->authz, &authz);
	agg_api_stats(m->api, &api);
	return json_pack("{s:b, s:i, s:b, s:b, s:I, s:I, s:o?}", "listening", m->server != NULL, "port",
		m->server ? (int)km_http_server_port(m->server) : 0, "nodes_synced",
		kube_cluster_nodes_synced(m->ctx->cluster), "pods_synced", kube_cluster_pods_synced(m->ctx->cluster),
		"reviews_remembered", (json_int_t)authz.remembered, "requests_under_way", (json_int_t)api.under_way,
		"nodes", m->scraper ? agg_scraper_status(m->scraper) : NULL);
}

#define COUNTER(text, member, what)                                                         \
	{                                                                                   \
		.name = (text), .help = (what), .offset = offsetof(struct counters, member) \
	}
static const struct km_counter counter_rows[] = {
	COUNTER("scrapes_total", scrapes, "scrapes of kubelets"),
	COUNTER("scrape_failures_total", scrape_failures, "scrapes that gave no samples"),
	COUNTER("scrape_fallbacks_total", fallbacks, "nodes switched to /stats/summary"),
	COUNTER("scraped_bytes_total", scraped_bytes, "bytes of kubelets' answers"),
	COUNTER("kubelet_pins_made_total", pins_made, "self-signed kubelet certificates pinned on first use"),
	COUNTER("kubelet_pins_refused_total", pins_refused, "scrapes refused because a pinned certificate had changed"),
	COUNTER("kubelet_csrs_pending", csrs_pending,
		"kubelets whose serving certificate waits for approval; looked at while some kubelet fails"),
	COUNTER("sample_nodes", sample_nodes, "nodes with samples"),
	COUNTER("sample_containers", sample_containers, "containers with samples"),
	COUNTER("sample_lines_total", lines, "samples read"),
	COUNTER("sample_lines_skipped_total", lines_skipped, "samples that could not be used"),
	COUNTER("samples_stale_total", stale_dropped, "samples dropped for their age"),
	COUNTER("counter_resets_total", counter_resets, "CPU counters that went back"),
	COUNTER("duplicate_pods_total", duplicate_pods, "pods reported by two nodes"),
	COUNTER("api_requests_total", requests, "requests to the metrics API"),
	COUNTER("api_protobuf_requests_total", protobuf, "of these, for figures in protobuf"),
	COUNTER("api_unauthorized_total", unauthorized, "of these, answered 401"),
	COUNTER("api_forbidden_total", forbidden, "of these, answered 403"),
	COUNTER("api_refused_total", refused, "of these, answered 429"),
	COUNTER("api_errors_total", errors, "of these, answered 5xx"),
	COUNTER("api_requests_under_way", under_way, "requests being answered now"),
	COUNTER("reviews_total", reviews, "SubjectAccessReviews asked"),
	COUNTER("review_cache_hits_total", review_hits, "authorizations answered from memory"),
	COUNTER("review_failures_total", review_failures, "SubjectAccessReviews without an answer"),
	COUNTER("token_reviews_total", token_reviews, "TokenReviews asked"),
	COUNTER("token_cache_hits_total", token_hits, "bearer tokens judged from memory"),
	COUNTER("token_review_failures_total", token_failures, "TokenReviews without an answer"),
	COUNTER("token_reviews_limited_total", token_limited, "bearer tokens not judged, answered 429"),
	COUNTER("connections", connections, "connections to the metrics API now"),
	COUNTER("connections_accepted_total", connections_accepted, "connections accepted"),
	COUNTER("connections_refused_total", connections_refused, "connections closed for a limit or malformed input"),
};

static void count_scraping(const struct module *m, struct counters *c)
{
	const struct agg_scraper_counters *s = m->scraper ? agg_scraper_counters(m->scraper) : NULL;
	struct agg_store_stats store;

	if (s) {
		c->scrapes = s->scrapes_total;
		c->scrape_failures = s->scrape_failures_total;
		c->fallbacks = s->fallbacks_total;
		c->scraped_bytes = s->bytes_total;
		c->pins_made = s->pins_made_total;
		c->pins_refused = s->pins_refused_total;
	}
	c->csrs_pending = m->csrs ? agg_pending_csrs_count(m->csrs) : 0;
	agg_store_stats(m->store, &store);
	c->sample_nodes = store.nodes;
	c->sample_containers = store.containers;
	c->lines = store.lines_total;
	c->lines_skipped = store.lines_skipped_total;
	c->stale_dropped = store.stale_dropped_total;
	c->counter_resets = store.counter_resets_total;
	c->duplicate_pods = store.duplicate_pods_total;
}

static void count_serving(const struct module *m, struct counters *c)
{
	struct km_http_server_stats server = {0};
	struct agg_token_stats tokens;
	struct agg_authz_stats authz;
	struct agg_api_stats api;

	agg_api_stats(m->api, &api);
	c->requests = api.requests_total;
	c->protobuf = api.protobuf_total;
	c->unauthorized = api.unauthorized_total;
	c->forbidden = api.forbidden_total;
	c->refused = api.refused_total;
	c->errors = api.errors_total;
	c->under_way = api.under_way;
	agg_authz_stats(m->authz, &authz);
	c->reviews = authz.reviews_total;
	c->review_hits = authz.cache_hits_total;
	c->review_failures = authz.failures_total;
	agg_tokens_stats(m->tokens, &tokens);
	c->token_reviews = tokens.reviews_total;
	c->token_hits = tokens.cache_hits_total;
	c->token_failures = tokens.failures_total;
	c->token_limited = tokens.limited_total;
	if (m->server)
		km_http_server_stats(m->server, &server);
	c->connections = server.connections;
	c->connections_accepted = server.accepted;
	c->connections_refused = server.refused_cap + server.refused_head + server.refused_framing;
}

static const void *module_counters_base(void *self)
{
	struct module *m = KM_CAST(struct module, self, MODULE_MAGIC);

	count_scraping(m, &m->counters);
	count_serving(m, &m->counters);
	return &m->counters;
}

/* For /metrics. */
static void give_figures(void *self, struct agg_figures *ret)
{
	struct module *m = KM_CAST(struct module, self, MODULE_MAGIC);

	*ret = (struct agg_figures){
		.scraper = m->scraper,
		.counters = counter_rows,
		.n_counters = KM_ARRAY_LEN(counter_rows),
		.counters_base = module_counters_base(m),
	};
}

const struct km_module agg_module = {
	.name = "aggregator",
	.summary = "scrapes the kubelets and serves metrics.k8s.io",
	.section = &agg_section,
	.counters = counter_rows,
	.n_counters = KM_ARRAY_LEN(counter_rows),
	.init = module_init,
	.start = module_start,
	.reload_prepare = module_reload_prepare,
	.reload_commit = module_reload_commit,
	.reload_discard = module_reload_discard,
	.stop = module_stop,
	.fini = module_fini,
	.health = module_health,
	.status = module_status,
	.counters_base = module_counters_base,
};
