/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One struct a node: its timer, its connection, which path its kubelet knows, which of its addresses works, and whether
 * it fares well. Nodes know nothing of one another.
 */
#define KM_LOG_MODULE "aggregator"
#include "aggregator/scraper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "aggregator/kubelet_tls.h"
#include "aggregator/prom.h"
#include "aggregator/summary.h"
#include "aggregator/target.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/map.h"
#include "core/timetext.h"
#include "kube/selector.h"
#include "net/fetch.h"

#define SCRAPER_MAGIC 0x6b6d7363u
#define NODE_MAGIC    0x6b6d736eu

#define BODY_MAX                (16 * 1024 * 1024)
#define BACKOFF_MAX             4                        /* times the resolution, for a kubelet that keeps failing */
#define BACKOFF_AFTER           3                        /* failures in a row before the pace slackens */
#define REPROBE_US              (3600 * KM_USEC_PER_SEC) /* a kubelet without /metrics/resource is asked for it again */
#define SPREAD_PER_NODE_US      (8 * KM_USEC_PER_MSEC)   /* first scrapes of many nodes do not fall together */
#define PINS_FLUSH_US           (2 * KM_USEC_PER_SEC)
#define MESSAGE_ID_PINNED       "4d1c8b0e6f2a4937a5c3e1d7f9b80246"
#define MESSAGE_ID_NODE_FAILING "9a8b7c6d5e4f43218f0e1d2c3b4a5968"

static const char *const paths[] = {
	"/metrics/resource", "/metrics/resource/v1alpha1", "/stats/summary?only_cpu_and_memory=true"};
enum { PATH_RESOURCE, PATH_RESOURCE_ALPHA, PATH_SUMMARY, PATH_N };

struct node {
	uint32_t magic;
	struct agg_scraper *owner;
	char *name, *uid, *version;
	struct km_fetch_peer *peer;
	struct km_timer *timer;
	char *hosts[KUBE_NODE_ADDRESSES_MAX]; /* owned copies, in the order to try */
	size_t n_hosts, host, hosts_tried;    /* host: the one in use; hosts_tried: in this round */
	uint16_t port;
	unsigned path, paths_tried;
	uint64_t path_chosen_us; /* when path left PATH_RESOURCE */
	unsigned failures;       /* in a row */
	bool failing_logged;
	int verdict; /* enum agg_tls_verdict of the last handshake, -1: none */
	int64_t last_success_ns;
	char error[KM_ERR_TEXT_MAX]; /* "" while it fares well */
};

struct pin_write;

struct agg_scraper {
	uint32_t magic;
	struct km_context *ctx;
	struct agg_options options; /* a copy; its strings belong to config */
	struct km_config *config;   /* one reference, for those strings */
	struct agg_store *store;
	struct km_fetcher *fetcher;
	STACK_OF(X509) *roots;
	struct kube_selector *selector;
	struct agg_pins *pins;
	struct km_timer *pins_flush;
	struct pin_write *pin_write; /* under way */
	struct km_map nodes;         /* name -> struct node */
	struct agg_scraper_counters counters;
	int64_t newest_success_ns;
	bool insecure_logged;
};

static void scrape(void *arg);

static struct km_log_fields about(const struct node *n)
{
	return (struct km_log_fields){.module = KM_LOG_MODULE, .node = n->name};
}

/* ---- pins on disk ---- */

struct pin_write {
	struct agg_scraper *owner; /* NULL: the scraper is gone */
	char path[4096];
	char *text;
	size_t len;
	int error;
	struct km_err err;
};

static void pins_write_work(void *arg)
{
	struct pin_write *w = arg;

	w->error = km_file_write_atomic(w->path, w->text, w->len, 0600, (uid_t)-1, (gid_t)-1, &w->err);
}

static void pins_write_done(void *arg)
{
	struct pin_write *w = arg;

	if (w->owner)
		w->owner->pin_write = NULL;
	if (w->error < 0)
		km_log_m(LOG_ERR, "the kubelets' pinned certificates could not be saved: %s", w->err.text);
	free(w->text);
	free(w);
}

static void pins_path(const struct agg_scraper *s, char *out, size_t size)
{
	snprintf(out, size, "%s/%s", s->ctx->state_dir, AGG_PINS_FILE);
}

/* At the end, on the spot: what is queued on the worker then is not run any more. */
static void save_pins_now(struct agg_scraper *s)
{
	struct km_err err = {0};
	char path[4096];
	size_t len;
	char *text;

	if (s->pin_write || !agg_pins_changed(s->pins) || !(text = agg_pins_print(s->pins, &len)))
		return;
	pins_path(s, path, sizeof(path));
	if (km_file_write_atomic(path, text, len, 0600, (uid_t)-1, (gid_t)-1, &err) < 0)
		km_log_m(LOG_ERR, "the kubelets' pinned certificates could not be saved: %s", err.text);
	free(text);
}

static void flush_pins(void *arg)
{
	struct agg_scraper *s = KM_CAST(struct agg_scraper, arg, SCRAPER_MAGIC);
	struct pin_write *w;

	km_timer_set(s->pins_flush, PINS_FLUSH_US);
	if (s->pin_write || !agg_pins_changed(s->pins))
		return;
	w = calloc(1, sizeof(*w));
	if (!w || !(w->text = agg_pins_print(s->pins, &w->len))) {
		free(w);
		return;
	}
	w->owner = s;
	pins_path(s, w->path, sizeof(w->path));
	if (km_loop_work(s->ctx->loop, pins_write_work, pins_write_done, w) < 0) {
		free(w->text);
		free(w);
		return;
	}
	s->pin_write = w;
}

static int load_pins(struct agg_scraper *s, struct km_err *err)
{
	_cleanup_free_ char *text = NULL;
	struct km_err why = {0};
	char path[4096];
	size_t len;
	int r;

	pins_path(s, path, sizeof(path));
	if ((r = agg_pins_new(&s->pins)) < 0)
		return km_fail(err, r, "out of memory");
	r = km_file_read(path, BODY_MAX, &text, &len, &why);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = agg_pins_parse(s->pins, text, len, &why);
	else
		r = agg_pins_parse(s->pins, "", 0,
			&(struct km_err){0}); /* unreadable is as good as damaged: nothing is pinned anew */
	if (r < 0)
		km_log_m(LOG_ERR, "%s: %s", s->ctx->state_dir, why.text);
	return r == -ENOMEM ? km_fail(err, r, "out of memory") : 0;
}

/* ---- trust ---- */

static int judge(X509 *leaf, STACK_OF(X509) *chain, const char *address, void *arg, struct km_err *err)
{
	struct node *n = KM_CAST(struct node, arg, NODE_MAGIC);
	struct agg_scraper *s = n->owner;
	struct km_log_fields fields = about(n);
	const struct agg_tls_question question = {
		.mode = s->options.kubelet_insecure_tls ? AGG_TLS_INSECURE
							: (enum agg_kubelet_tls)s->options.kubelet_tls,
		.node = n->name,
		.uid = n->uid,
		.address = address,
		.leaf = leaf,
		.chain = chain,
		.roots = s->roots,
		.now_s = km_wall_ns() / KM_NSEC_PER_SEC,
	};
	char fingerprint[KM_FINGERPRINT_MAX];

	n->verdict = agg_pins_judge(s->pins, &question, err);
	switch (n->verdict) {
	case AGG_TLS_PINNED_NEW:
		s->counters.pins_made_total++;
		km_x509_fingerprint(leaf, fingerprint);
		fields.message_id = MESSAGE_ID_PINNED;
		km_log(LOG_NOTICE, &fields,
			"kubelet %s (%s): no CA has signed its certificate; pinned to this Node on first use: SHA-256 "
			"%s",
			n->name, address, fingerprint);
		break;
	case AGG_TLS_UNCHECKED:
		if (!s->insecure_logged)
			km_log_m(LOG_WARNING, "kubelet certificates are not checked (kubelet-tls = insecure): whoever "
					      "answers at a node's address is believed");
		s->insecure_logged = true;
		break;
	case AGG_TLS_VERIFIED:
	case AGG_TLS_PINNED:
		break;
	default:
		s->counters.pins_refused_total++;
		return n->verdict;
	}
	return 0;
}

/* ---- the outcome of a scrape ---- */

static uint64_t resolution_us(const struct agg_scraper *s)
{
	return (uint64_t)s->options.metric_resolution / 1000;
}

/* The next scrape: at the pace of metric-resolution with a little jitter, counted from this one's end; slower for a
 * kubelet that keeps failing. */
static void schedule(struct node *n)
{
	uint64_t period = resolution_us(n->owner);

	if (n->failures > BACKOFF_AFTER)
		period *= KM_MIN(n->failures - BACKOFF_AFTER + 1, (unsigned)BACKOFF_MAX);
	km_timer_set(n->timer, period - period / 100 + km_random_below(period / 50 + 1));
}

static void succeeded(struct node *n)
{
	struct agg_scraper *s = n->owner;
	struct km_log_fields fields = about(n);

	n->failures = 0;
	n->error[0] = '\0';
	n->last_success_ns = s->newest_success_ns = km_wall_ns();
	n->paths_tried = 0;
	n->hosts_tried = 0;
	if (n->failing_logged)
		km_log(LOG_NOTICE, &fields, "kubelet %s answers again", n->name);
	n->failing_logged = false;
	schedule(n);
}

static void failed(struct node *n, const char *fmt, ...) _printf_(2, 3);

static void failed(struct node *n, const char *fmt, ...)
{
	struct km_log_fields fields = about(n);
	char text[KM_ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n->owner->counters.scrape_failures_total++;
	n->failures++;
	/* Said once, and again when the cause is another one: the part before the colon is the address. */
	if (!n->failing_logged || strcmp(text, n->error) != 0) {
		fields.message_id = MESSAGE_ID_NODE_FAILING;
		km_log(n->failing_logged ? LOG_INFO : LOG_WARNING, &fields, "kubelet %s cannot be scraped: %s", n->name,
			text);
	}
	n->failing_logged = true;
	snprintf(n->error, sizeof(n->error), "%s", text);
	n->hosts_tried = 0;
	schedule(n);
}

/* ---- reading the reply ---- */

static int take_body(
	struct node *n, const struct km_fetch_result *result, struct agg_prom_stats *stats, struct km_err *err)
{
	struct agg_scraper *s = n->owner;
	int r = agg_store_begin(s->store, n->name);

	if (r < 0)
		return km_fail(err, r, "out of memory");
	if (n->path == PATH_SUMMARY)
		r = agg_summary_parse(
			result->body, result->body_len, result->started_wall_ns, agg_store_line, s->store, stats, err);
	else if ((r = agg_prom_parse(result->body, result->body_len, result->started_wall_ns, agg_store_line, s->store,
			  stats)) < 0)
		km_fail(err, r,
			"%s holds none of the series a kubelet serves there: is something else listening on port %u?",
			paths[n->path], n->port);
	if (r < 0)
		agg_store_abort(s->store);
	else
		agg_store_commit(s->store, km_wall_ns());
	return r;
}

/* The kubelet has no such path: the next older one, at once. Returns whether there was one left to try. */
static bool fall_back(struct node *n)
{
	struct km_log_fields fields = about(n);

	if (++n->paths_tried >= PATH_N)
		return false;
	n->path = (n->path + 1) % PATH_N;
	n->path_chosen_us = km_now_us();
	n->owner->counters.fallbacks_total++;
	km_log(LOG_INFO, &fields, "kubelet %s has no %s: trying %s", n->name, paths[(n->path + PATH_N - 1) % PATH_N],
		paths[n->path]);
	scrape(n);
	return true;
}

static void on_fetched(const struct km_fetch_result *result, void *arg)
{
	struct node *n = KM_CAST(struct node, arg, NODE_MAGIC);
	struct agg_scraper *s = n->owner;
	struct agg_prom_stats stats = {0};
	struct km_err err = {0};

	if (result->error) {
		/* not reached there: the next address, at once; what answers wrongly is not asked elsewhere */
		bool unreached = result->error == -ECONNREFUSED || result->error == -EHOSTUNREACH ||
				 result->error == -ENETUNREACH || result->error == -ENOENT ||
				 result->error == -ECONNRESET;

		if (unreached && ++n->hosts_tried < n->n_hosts) {
			n->host = (n->host + 1) % n->n_hosts;
			scrape(n);
			return;
		}
		failed(n, "%s", result->error_text);
		return;
	}
	s->counters.bytes_total += result->body_len;
	if (result->status == 404 && fall_back(n))
		return;
	if (result->status == 401) {
		failed(n, "401 Unauthorized: the kubelet does not accept our client certificate (its --client-ca-file "
			  "must be the CA that signed it, and webhook or x509 authentication be on)");
	} else if (result->status == 403) {
		failed(n, "403 Forbidden: our user may not get nodes/metrics and nodes/stats; kmetricsd wire apply "
			  "grants it");
	} else if (result->status != 200) {
		failed(n, "%s answers status %d", paths[n->path], result->status);
	} else if (take_body(n, result, &stats, &err) < 0) {
		failed(n, "%s", err.text);
	} else if (stats.scrape_error && stats.lines <= 1) {
		failed(n, "the kubelet could not get its own figures (scrape_error 1): see its log");
	} else {
		succeeded(n);
	}
}

static void scrape(void *arg)
{
	struct node *n = KM_CAST(struct node, arg, NODE_MAGIC);
	struct agg_scraper *s = n->owner;
	struct km_err err = {0};

	if (km_fetch_peer_busy(n->peer)) {
		schedule(n);
		return;
	}
	if (n->n_hosts == 0) {
		failed(n, "the Node has no address of the types in kubelet-preferred-address-types");
		return;
	}
	if (n->path != PATH_RESOURCE && n->paths_tried == 0 && km_now_us() - n->path_chosen_us > REPROBE_US)
		n->path = PATH_RESOURCE; /* it may have been upgraded */
	if (n->hosts_tried == 0)
		s->counters.scrapes_total++;
	if (km_fetch_peer_target(n->peer, n->hosts[n->host], n->port, false, &err) < 0 ||
		km_fetch_get(n->peer, paths[n->path], NULL, (uint64_t)s->options.kubelet_request_timeout / 1000,
			BODY_MAX, on_fetched, n) < 0)
		failed(n, "%s", *err.text ? err.text : "out of memory");
}

/* ---- nodes come, change and go ---- */

static void clear_hosts(struct node *n)
{
	for (size_t i = 0; i < n->n_hosts; i++)
		free(n->hosts[i]);
	n->n_hosts = 0;
}

static void free_node(struct node *n)
{
	km_timer_free(n->timer);
	km_fetch_peer_free(n->peer);
	clear_hosts(n);
	free(n->name);
	free(n->uid);
	free(n->version);
	n->magic = 0;
	free(n);
}

static bool same_hosts(const struct node *n, const struct agg_target *t)
{
	if (n->port != t->port || n->n_hosts != t->n_hosts)
		return false;
	for (size_t i = 0; i < t->n_hosts; i++)
		if (strcmp(n->hosts[i], t->hosts[i]) != 0)
			return false;
	return true;
}

/* Replaces *at by a copy of text; keeps the old on failure. */
static bool set_text(char **at, const char *text)
{
	char *copy;

	if (*at && strcmp(*at, text) == 0)
		return false;
	copy = strdup(text);
	if (!copy)
		return false;
	free(*at);
	*at = copy;
	return true;
}

static void update_node(struct agg_scraper *s, struct node *n, const struct kube_node *record)
{
	struct agg_target target;
	char old_uid[128] = "";

	agg_target_of(record, &s->options, &target);
	if (!same_hosts(n, &target)) {
		clear_hosts(n);
		for (size_t i = 0; i < target.n_hosts && (n->hosts[i] = strdup(target.hosts[i])); i++)
			n->n_hosts = i + 1;
		n->host = 0;
		n->port = target.port;
		if (n->failures > 0)
			km_timer_set(n->timer, km_random_below(KM_USEC_PER_SEC));
		n->failures = 0;
	}
	if (n->uid)
		snprintf(old_uid, sizeof(old_uid), "%s", n->uid);
	if (set_text(&n->uid, record->uid) && *old_uid) {
		/* the same name, another machine: its trust starts afresh */
		agg_pins_forget(s->pins, old_uid);
		km_fetch_peer_disconnect(n->peer);
	}
	if (set_text(&n->version, record->kubelet_version ? record->kubelet_version : ""))
		n->path = PATH_RESOURCE;
}

static void add_node(struct agg_scraper *s, const struct kube_node *record)
{
	struct node *n = calloc(1, sizeof(*n));
	uint64_t spread;

	if (!n)
		goto no_memory;
	*n = (struct node){.magic = NODE_MAGIC, .owner = s, .verdict = -1, .name = strdup(record->name)};
	if (!n->name || km_fetch_peer_new(s->fetcher, judge, n, &n->peer) < 0 ||
		km_timer_new(s->ctx->loop, scrape, n, &n->timer) < 0 ||
		km_map_put(&s->nodes, n->name, strlen(n->name), n, NULL) < 0) {
		if (n->timer)
			km_timer_free(n->timer);
		km_fetch_peer_free(n->peer);
		free(n->name);
		free(n);
		goto no_memory;
	}
	update_node(s, n, record);
	/* The first scrape soon, the phase at random: nodes that come together do not stay together. */
	spread = KM_MIN(resolution_us(s), s->nodes.count * SPREAD_PER_NODE_US);
	km_timer_set(n->timer, km_random_below(spread));
	return;
no_memory:
	km_log_m(LOG_ERR, "node %s is not scraped: out of memory", record->name);
}

static void remove_node(struct agg_scraper *s, struct node *n, bool gone)
{
	km_map_remove(&s->nodes, n->name, strlen(n->name));
	agg_store_forget_node(s->store, n->name);
	if (gone && n->uid)
		agg_pins_forget(s->pins, n->uid);
	free_node(n);
}

void agg_scraper_node(struct agg_scraper *s, const struct kube_node *before, const struct kube_node *now)
{
	const char *name = now ? now->name : before->name;
	struct node *n = km_map_get(&s->nodes, name, strlen(name));
	bool wanted = now && (!s->selector || kube_selector_matches(s->selector, now->labels));

	if (n && !wanted)
		remove_node(s, n, !now);
	else if (n)
		update_node(s, n, now);
	else if (wanted)
		add_node(s, now);
}

/* ---- the scraper ---- */

static int take_options(struct agg_scraper *s, const struct agg_options *options, STACK_OF(X509) *roots,
	struct km_identity *identity, struct km_err *err)
{
	struct kube_selector *selector = NULL;
	STACK_OF(X509) *copy = NULL;
	int r = 0;

	if (*options->node_selector && (r = kube_selector_parse(options->node_selector, &selector, err)) < 0)
		return r;
	if (roots && !(copy = X509_chain_up_ref(roots)))
		r = km_fail(err, -ENOMEM, "out of memory");
	if (r == 0 && s->fetcher)
		r = km_fetcher_set_identity(s->fetcher, identity, err);
	if (r < 0) {
		kube_selector_free(selector);
		km_x509_stack_free(copy);
		return r;
	}
	kube_selector_free(s->selector);
	km_x509_stack_free(s->roots);
	s->selector = selector;
	s->roots = copy;
	km_config_unref(s->config);
	s->config = km_config_ref(s->ctx->config);
	s->options = *options;
	s->insecure_logged = false;
	return 0;
}

int agg_scraper_new(struct km_context *ctx, const struct agg_options *options, struct agg_store *store,
	STACK_OF(X509) *roots, struct km_identity *identity, struct agg_scraper **ret, struct km_err *err)
{
	struct agg_scraper *s = calloc(1, sizeof(*s));
	const struct km_fetcher_config config = {.identity = identity, .user_agent = "kmetricsd/" KM_VERSION};
	int r;

	if (!s)
		return km_fail(err, -ENOMEM, "out of memory");
	s->magic = SCRAPER_MAGIC;
	s->ctx = ctx;
	s->store = store;
	if ((r = take_options(s, options, roots, identity, err)) < 0 ||
		(r = km_fetcher_new(ctx->loop, &config, &s->fetcher, err)) < 0 || (r = load_pins(s, err)) < 0 ||
		(r = km_timer_new(ctx->loop, flush_pins, s, &s->pins_flush)) < 0) {
		agg_scraper_free(s);
		return r;
	}
	km_timer_set(s->pins_flush, PINS_FLUSH_US);
	*ret = s;
	return 0;
}

void agg_scraper_free(struct agg_scraper *s)
{
	struct km_map_entry *e;
	size_t i = 0;

	if (!s)
		return;
	if (s->pins)
		save_pins_now(s);
	while ((e = km_map_next(&s->nodes, &i)))
		free_node(e->value);
	km_map_free(&s->nodes);
	km_timer_free(s->pins_flush);
	if (s->pin_write)
		s->pin_write->owner = NULL;
	km_fetcher_free(s->fetcher);
	agg_pins_free(s->pins);
	kube_selector_free(s->selector);
	km_x509_stack_free(s->roots);
	km_config_unref(s->config);
	s->magic = 0;
	free(s);
}

int agg_scraper_reconfigure(struct agg_scraper *s, const struct agg_options *options, STACK_OF(X509) *roots,
	struct km_identity *identity, struct km_err *err)
{
	int r = take_options(s, options, roots, identity, err);
	const struct kube_node *const *records;
	struct km_map_entry *e;
	size_t n, i = 0;

	if (r < 0)
		return r;
	while ((e = km_map_next(&s->nodes, &i))) {
		struct node *node = e->value;

		km_fetch_peer_disconnect(node->peer);
		/* what failed for lack of trust or a wrong address may work now */
		if (node->failures > 0)
			km_timer_set(node->timer, km_random_below(KM_USEC_PER_SEC));
		node->failures = 0;
	}
	records = kube_cluster_nodes(s->ctx->cluster, &n);
	for (i = 0; i < n; i++)
		agg_scraper_node(s, records[i], records[i]);
	return 0;
}

void agg_scraper_state(const struct agg_scraper *s, struct agg_scraper_state *ret)
{
	struct km_map_entry *e;
	size_t i = 0;

	*ret = (struct agg_scraper_state){.nodes = s->nodes.count, .newest_success_ns = s->newest_success_ns};
	while ((e = km_map_next(&s->nodes, &i))) {
		const struct node *n = e->value;

		ret->healthy += n->last_success_ns && n->failures == 0;
		ret->failing += n->failures > 0;
	}
}

const struct agg_scraper_counters *agg_scraper_counters(const struct agg_scraper *s)
{
	return &s->counters;
}

static const char *verdict_text(int verdict)
{
	switch (verdict) {
	case AGG_TLS_VERIFIED:
		return "verified";
	case AGG_TLS_PINNED:
	case AGG_TLS_PINNED_NEW:
		return "pinned";
	case AGG_TLS_UNCHECKED:
		return "insecure";
	case -1:
		return "unknown";
	default:
		return "refused";
	}
}

json_t *agg_scraper_status(const struct agg_scraper *s)
{
	json_t *list = json_array();
	struct km_map_entry *e;
	size_t i = 0;

	while ((e = km_map_next(&s->nodes, &i))) {
		const struct node *n = e->value;
		char text[KM_RFC3339_TEXT_MAX] = "";
		json_t *o;

		if (n->last_success_ns)
			km_rfc3339_format(n->last_success_ns, text);
		o = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s}", "node", n->name, "address",
			n->n_hosts ? n->hosts[n->host] : "", "path", paths[n->path], "tls", verdict_text(n->verdict),
			"failures", (int)n->failures, "lastSuccess", text);
		if (o && *n->error)
			json_object_set_new(o, "error", json_string(n->error));
		json_array_append_new(list, o);
	}
	return list;
}
