/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which nodes are scraped: one struct a node, made, replaced and freed as the cluster's nodes come, move and go. Nodes
 * know nothing of one another; what is done with one stands in scrape.c.
 */
#define KM_LOG_MODULE "aggregator"
#include "aggregator/scraper.h"

#include <errno.h>
#include <string.h>

#include "aggregator/scrape.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/timetext.h"

#define CONNECTS_PER_SECOND 200 /* 2.4 ms of CPU each, here as much as on a kubelet */
/* as upstream's: first scrapes do not fall together; slower than the pace above, so that none waits for its turn until
 * its deadline */
#define SPREAD_PER_NODE_US  (8 * KM_USEC_PER_MSEC)

/* ---- nodes come, change and go ---- */

static void free_node(struct agg_scraped *n)
{
	km_timer_free(n->timer);
	km_fetch_peer_free(n->peer);
	for (size_t i = 0; i < n->n_hosts; i++)
		free(n->hosts[i]);
	free(n->name);
	free(n->uid);
	free(n->hostname);
	free(n->version);
	free(n->metrics_path);
	free(n->error);
	n->magic = 0;
	free(n);
}

static void free_nodep(struct agg_scraped **n)
{
	if (*n)
		free_node(*n);
}

static const char *hostname_of(const struct kube_node *record)
{
	for (size_t i = 0; i < record->n_addresses; i++)
		if (strcmp(record->addresses[i].type, "Hostname") == 0)
			return record->addresses[i].address;
	return NULL;
}

static const char *version_of(const struct kube_node *record)
{
	return record->kubelet_version ? record->kubelet_version : "";
}

/* Who and where it is; false without memory. */
static bool describe(struct agg_scraped *n, const struct kube_node *record, const struct agg_target *target)
{
	const char *hostname = hostname_of(record);

	n->name = strdup(record->name);
	n->uid = strdup(record->uid);
	n->version = strdup(version_of(record));
	n->timing.name = n->name;
	if (!n->name || !n->uid || !n->version || (hostname && !(n->hostname = strdup(hostname))))
		return false;
	while (n->n_hosts < target->n_hosts && (n->hosts[n->n_hosts] = strdup(target->hosts[n->n_hosts])))
		n->n_hosts++;
	n->port = target->port;
	n->plain_port = target->plain_port;
	n->plain_only = target->plain;
	if (target->metrics_path && !(n->metrics_path = strdup(target->metrics_path)))
		return false;
	agg_walk_reset(&n->walk, n->n_hosts);
	return n->n_hosts == target->n_hosts;
}

static void take_condition(struct agg_scraped *n, const struct kube_node *record)
{
	n->ready = record->ready.status == KUBE_TRUE;
	n->ready_since_s = record->ready.since_s;
}

static void check_annotation(const struct kube_node *record)
{
	const struct km_log_fields fields = {.module = KM_LOG_MODULE, .node = record->name};

	if (record->metrics_path && !agg_target_path_ok(record->metrics_path))
		km_log(LOG_WARNING, &fields,
			"node %s: annotation metrics.k8s.io/resource-metrics-path is not a path and does not count; "
			"write one as /metrics/resource, or remove it",
			record->name);
}

/* Not in the map yet, its timer not armed. NULL without memory. */
static struct agg_scraped *new_node(
	struct agg_scraper *s, const struct kube_node *record, const struct agg_target *target)
{
	_cleanup_(free_nodep) struct agg_scraped *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->magic = AGG_SCRAPED_MAGIC;
	n->owner = s;
	n->verdict = -ENODATA;
	take_condition(n, record);
	check_annotation(record);
	if (!describe(n, record, target) || km_fetch_peer_new(s->fetcher, agg_scrape_judge, n, &n->peer) < 0 ||
		km_timer_new(s->ctx->loop, agg_scrape, n, &n->timer) < 0)
		return NULL;
	return KM_TAKE(n);
}

static void out_of_memory(const char *name)
{
	km_log(LOG_ERR, &(const struct km_log_fields){.module = KM_LOG_MODULE, .node = name},
		"node %s is not scraped: out of memory", name);
}

/* The first scrape comes soon, and nodes that come together are spread; see schedule() for the phase. */
static void add_node(struct agg_scraper *s, const struct kube_node *record)
{
	struct agg_target target;
	struct agg_scraped *n;

	agg_target_of(record, s->options, &target);
	n = new_node(s, record, &target);
	if (!n || km_map_put(&s->nodes, n->name, strlen(n->name), n, NULL) < 0) {
		free_nodep(&n);
		out_of_memory(record->name);
		return;
	}
	agg_scrape_within(n, s->nodes.count * SPREAD_PER_NODE_US);
}

/* The Node is elsewhere: what is under way ends, its samples and what was logged of it stay. */
static void move_node(
	struct agg_scraper *s, struct agg_scraped *old, const struct kube_node *record, const struct agg_target *target)
{
	struct agg_scraped *n = new_node(s, record, target);

	km_map_remove(&s->nodes, old->name, strlen(old->name));
	if (!n || km_map_put(&s->nodes, n->name, strlen(n->name), n, NULL) < 0) {
		free_nodep(&n);
		out_of_memory(record->name);
	} else {
		n->logged = old->logged;
		n->failures = old->failures;
		n->error = KM_TAKE(old->error);
		n->last_success_ns = old->last_success_ns;
		n->timing = old->timing;
		n->timing.name = n->name;
		n->path = old->path;
		n->lane_us = old->lane_us;
		n->door.settled_us = old->door.settled_us;
		n->door.plain_worked = old->door.plain_worked && n->plain_port != 0;
		agg_scrape_within(n, 0);
	}
	free_node(old);
}

static bool same_target(const struct agg_scraped *n, const struct agg_target *t)
{
	if (n->port != t->port || n->plain_port != t->plain_port || n->plain_only != t->plain ||
		n->n_hosts != t->n_hosts ||
		strcmp(n->metrics_path ? n->metrics_path : "", t->metrics_path ? t->metrics_path : "") != 0)
		return false;
	for (size_t i = 0; i < t->n_hosts; i++)
		if (strcmp(n->hosts[i], t->hosts[i]) != 0)
			return false;
	return true;
}

static void remove_node(struct agg_scraper *s, struct agg_scraped *n, bool gone)
{
	km_map_remove(&s->nodes, n->name, strlen(n->name));
	agg_store_forget_node(s->store, n->name);
	if (gone) {
		agg_pins_forget(agg_pins_file_pins(s->pins), n->uid);
		agg_pins_file_save(s->pins);
	}
	free_node(n);
}

static void update_node(struct agg_scraper *s, struct agg_scraped *n, const struct kube_node *record)
{
	bool condition_changed =
		n->ready != (record->ready.status == KUBE_TRUE) || n->ready_since_s != record->ready.since_s;
	struct agg_target target;
	char *version;

	if (strcmp(n->uid, record->uid) != 0) {
		/* the same name, another machine: neither samples nor trust carry over */
		remove_node(s, n, true);
		add_node(s, record);
		return;
	}
	if (strcmp(n->version, version_of(record)) != 0 && (version = strdup(version_of(record)))) {
		free(n->version);
		n->version = version;
		n->path = (struct agg_path_walk){.at = n->path.at}; /* a new kubelet may know a newer path */
	}
	agg_target_of(record, s->options, &target);
	if (!same_target(n, &target)) {
		move_node(s, n, record, &target);
		return;
	}
	take_condition(n, record);
	if (condition_changed && n->failures > 0)
		agg_scrape_soon(n);
}

void agg_scraper_node(struct agg_scraper *s, const struct kube_node *before, const struct kube_node *now)
{
	const char *name = now ? now->name : before->name;
	struct agg_scraped *n = km_map_get(&s->nodes, name, strlen(name));
	bool wanted = now && (!s->selector || kube_selector_matches(s->selector, now->labels));

	if (n && !wanted)
		remove_node(s, n, !now);
	else if (n)
		update_node(s, n, now);
	else if (wanted)
		add_node(s, now);
}

/* ---- the scraper ---- */

static bool same_identity(const struct km_identity *a, const struct km_identity *b)
{
	return a == b || (a && b && strcmp(a->fingerprint, b->fingerprint) == 0);
}

static int take_options(struct agg_scraper *s, const struct agg_options *options, STACK_OF(X509) *roots,
	struct km_identity *identity, struct km_err *err)
{
	_cleanup_(kube_selector_freep) struct kube_selector *selector = NULL;
	_cleanup_(km_x509_stack_freep) STACK_OF(X509) *copy = NULL;
	int r;

	if (*options->node_selector && (r = kube_selector_parse(options->node_selector, &selector, err)) < 0)
		return r;
	if (roots && !(copy = X509_chain_up_ref(roots)))
		return km_fail(err, -ENOMEM, "out of memory");
	if (s->fetcher && !same_identity(s->identity, identity) &&
		(r = km_fetcher_set_identity(s->fetcher, identity, err)) < 0)
		return r;
	km_identity_unref(s->identity);
	s->identity = identity ? km_identity_ref(identity) : NULL;
	kube_selector_free(s->selector);
	s->selector = KM_TAKE(selector);
	km_x509_stack_free(s->roots);
	s->roots = KM_TAKE(copy);
	s->options = options;
	s->insecure_logged = false;
	return 0;
}

int agg_scraper_new(struct km_context *ctx, const struct agg_options *options, struct agg_store *store,
	STACK_OF(X509) *roots, struct km_identity *identity, struct agg_scraper **ret, struct km_err *err)
{
	const struct km_fetcher_config config = {
		.identity = identity,
		.connects_per_second = CONNECTS_PER_SECOND,
		.user_agent = "kmetricsd/" KM_VERSION,
	};
	struct agg_scraper *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return km_fail(err, -ENOMEM, "out of memory");
	s->magic = AGG_SCRAPER_MAGIC;
	s->ctx = ctx;
	s->store = store;
	if ((r = take_options(s, options, roots, identity, err)) < 0 ||
		(r = km_fetcher_new(ctx->loop, &config, &s->fetcher, err)) < 0 ||
		(r = agg_pins_file_new(ctx->loop, ctx->state_dir, &s->pins, err)) < 0) {
		agg_scraper_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void agg_scraper_free(struct agg_scraper *s)
{
	struct km_map_entry *e;
	size_t i = 0;

	if (!s)
		return;
	while ((e = km_map_next(&s->nodes, &i)))
		free_node(e->value);
	km_map_free(&s->nodes);
	km_fetcher_free(s->fetcher);
	agg_pins_file_free(s->pins);
	km_identity_unref(s->identity);
	kube_selector_free(s->selector);
	km_x509_stack_free(s->roots);
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
	agg_pins_file_reload(s->pins);
	while ((e = km_map_next(&s->nodes, &i))) {
		struct agg_scraped *node = e->value;

		/* every kubelet is judged anew; what failed for lack of trust or permission may work now */
		km_fetch_peer_disconnect(node->peer);
		if (node->failures > 0)
			agg_scrape_soon(node);
	}
	records = kube_cluster_nodes(s->ctx->cluster, &n);
	for (i = 0; i < n; i++)
		agg_scraper_node(s, records[i], records[i]);
	return 0;
}

void agg_scraper_set_lane(struct agg_scraper *s, const char *node, uint64_t period_us)
{
	struct agg_scraped *n = km_map_get(&s->nodes, node, strlen(node));

	if (n)
		agg_scrape_set_lane(n, period_us < agg_scrape_resolution_us(s) ? period_us : 0);
}

void agg_scraper_on_landed(struct agg_scraper *s, void (*fn)(const char *node, void *arg), void *arg)
{
	s->landed = fn;
	s->landed_arg = arg;
}

void agg_scraper_state(const struct agg_scraper *s, struct agg_scraper_state *ret)
{
	struct km_map_entry *e;
	size_t i = 0;

	*ret = (struct agg_scraper_state){.nodes = s->nodes.count, .newest_success_ns = s->newest_success_ns};
	while ((e = km_map_next(&s->nodes, &i))) {
		const struct agg_scraped *n = e->value;

		ret->healthy += n->last_success_ns && n->failures == 0;
		ret->failing += n->failures > 0;
	}
}

const struct agg_scraper_counters *agg_scraper_counters(const struct agg_scraper *s)
{
	return &s->counters;
}

void agg_scraper_timings(
	const struct agg_scraper *s, void (*fn)(const struct agg_node_timing *timing, void *arg), void *arg)
{
	struct km_map_entry *e;
	size_t i = 0;

	while ((e = km_map_next(&s->nodes, &i)))
		fn(&((const struct agg_scraped *)e->value)->timing, arg);
}

const struct agg_histogram *agg_scraper_scrapes(const struct agg_scraper *s)
{
	return &s->scrapes;
}

static const char *verdict_text(int verdict)
{
	switch (verdict) {
	case AGG_TLS_VERIFIED:
		return "verified";
	case AGG_TLS_PINNED:
	case AGG_TLS_PIN_NEW:
		return "pinned";
	case AGG_TLS_UNCHECKED:
		return "insecure";
	case -ENODATA:
		return "unknown";
	default:
		return "refused";
	}
}

static json_t *status_of(const struct agg_scraped *n)
{
	char text[KM_RFC3339_TEXT_MAX] = "";
	json_t *o;

	if (n->last_success_ns)
		km_rfc3339_format(n->last_success_ns, text);
	o = json_pack("{s:s, s:s, s:i, s:s, s:s, s:i, s:s}", "node", n->name, "address",
		n->n_hosts ? n->hosts[n->walk.at] : "", "port", (int)agg_scrape_port(n), "path", agg_scrape_path(n),
		"tls", agg_scrape_is_plain(n) ? "none" : verdict_text(n->verdict), "failures", (int)n->failures,
		"lastSuccess", text);
	if (o && n->error)
		json_object_set_new(o, "error", json_string(n->error));
	return o;
}

json_t *agg_scraper_status(const struct agg_scraper *s)
{
	json_t *list = json_array();
	struct km_map_entry *e;
	size_t i = 0;

	while (list && (e = km_map_next(&s->nodes, &i)))
		json_array_append_new(list, status_of(e->value));
	return list;
}
