/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world of a round on the event loop: the scale subresource and the status through the API server, pods and usage
 * from memory. In the shadow nothing is written: the round is told that all went well. A round whose right to write
 * ends before its write is abandoned, not failed.
 */
#define KM_LOG_MODULE "hpa"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "hpa/entry.h"

#define AMBIGUOUS_MAX      32                        /* HPAs named in one message */
#define SHORTEST_WINDOW_NS (9 * KM_NSEC_PER_SEC / 2) /* five seconds, by clocks that are not ours */
#define STATUS_EVERY_NS    (5 * KM_NSEC_PER_SEC)
#define FOREIGN_NAMED      2 /* pods named in one message */

static struct hpa_entry *cast(void *arg)
{
	return KM_CAST(struct hpa_entry, arg, HPA_ENTRY_MAGIC);
}

static struct km_log_fields fields_of(const struct hpa_entry *e)
{
	return (struct km_log_fields){.module = KM_LOG_MODULE, .namespace_ = e->namespace_, .hpa = e->name};
}

void hpa_entry_drop_round(struct hpa_entry *e)
{
	kube_mapper_cancel(e->mapper_call);
	hpa_scale_client_free(e->scale);
	for (size_t i = 0; e->slots && i < e->spec->n_metrics; i++)
		hpa_metrics_cancel(e->slots[i].call);
	free(e->slots);
	e->slots = NULL;
	kube_call_cancel(e->status_call);
	e->mapper_call = NULL;
	e->scale = NULL;
	e->status_call = NULL;
	hpa_round_free(e->round);
	e->round = NULL;
	kube_mapping_free(e->mapping);
	e->mapping = NULL;
	if (e->state != HPA_IDLE)
		e->c->rounds--;
	e->state = HPA_IDLE;
}

/* True: we may write now. Else the round is to end without a word. */
static bool still_ours(struct hpa_entry *e)
{
	if (e->c->config.may_write(e->c->config.arg))
		return true;
	e->state = HPA_ABANDONED;
	km_timer_set(e->timer, 0);
	return false;
}

static int64_t now_ns(void *arg)
{
	return km_wall_ns();
}

static int mappings(const struct hpa_spec *spec, void *arg, struct km_err *err)
{
	struct hpa_entry *e = cast(arg);

	if (!e->mapping)
		return km_fail(err, e->mapping_code, "%s", e->mapping_error.text);
	return (int)kube_mapping_count(e->mapping);
}

/* ---- scale ---- */

static uint64_t version_of(const char *resource_version)
{
	return resource_version ? strtoull(resource_version, NULL, 10) : 0;
}

static void on_scale(const struct hpa_scale *scale, const struct hpa_failure *failure, void *arg)
{
	struct hpa_entry *e = cast(arg);

	if (scale)
		e->read_version = version_of(scale->resource_version);
	hpa_round_scale(e->round, scale, failure);
}

/* From the watch, unless that has not seen our own last write yet. */
static bool know_scale(struct hpa_entry *e, struct hpa_scale *ret)
{
	struct kube_scales *scales = e->c->config.scales;
	const struct kube_scale_record *record =
		scales ? kube_scales_find(scales, e->mapping->group, e->mapping->versions[0].plural, e->namespace_,
				 e->spec->target_name)
		       : NULL;

	if (!record || record->version <= e->put_version ||
		hpa_scale_know(e->scale, record, e->namespace_, e->spec->target_name, ret) < 0)
		return false;
	e->read_version = record->version;
	return true;
}

static void scale_get(struct hpa_round *round, int mapping, bool after_put, void *arg)
{
	struct hpa_entry *e = cast(arg);
	struct hpa_failure failure = {.text = "out of memory"};
	struct hpa_scale scale;

	e->from_watch = !after_put && know_scale(e, &scale);
	if (e->from_watch) {
		hpa_round_scale(round, &scale, NULL);
		return;
	}
	e->c->counters.scale_gets_total++;
	if (hpa_scale_get(e->scale, on_scale, e) < 0)
		hpa_round_scale(round, NULL, &failure);
}

static void on_put(const struct hpa_failure *failure, void *arg)
{
	struct hpa_entry *e = cast(arg);

	if (!failure)
		e->c->counters.scaled_total++;
	hpa_round_put(e->round, failure);
}

static void scale_put(struct hpa_round *round, int32_t replicas, const char *resource_version, void *arg)
{
	struct hpa_entry *e = cast(arg);
	const struct km_log_fields fields = fields_of(e);
	struct hpa_failure failure = {.text = "out of memory"};

	if (!e->writes) {
		if (e->would != replicas)
			km_log(LOG_INFO, &fields, "%s: would scale %s %s to %d", e->key, e->spec->target_kind,
				e->spec->target_name, (int)replicas);
		e->would = replicas;
		hpa_round_put(round, NULL);
		return;
	}
	if (!still_ours(e))
		return;
	e->put_version = resource_version && *resource_version ? version_of(resource_version) : e->read_version;
	if (e->sample_us)
		hpa_delays_note(&e->c->puts_after, km_now_us() - e->sample_us);
	if (hpa_scale_put(e->scale, replicas, resource_version, on_put, e) < 0)
		hpa_round_put(round, &failure);
}

/* ---- pods ---- */

static const struct kube_pod *const *pods_of(const struct hpa_entry *e, size_t *ret_n)
{
	return kube_cluster_pods(e->c->config.ctx->cluster, e->namespace_, ret_n);
}

/* Kinds whose pods are theirs, or their ReplicaSets'; what a custom resource makes for its pods nobody knows. */
static bool owns_pods(const char *kind)
{
	static const char *const kinds[] = {"Deployment", "ReplicaSet", "StatefulSet", "ReplicationController"};

	for (size_t i = 0; i < KM_ARRAY_LEN(kinds); i++)
		if (strcmp(kind, kinds[i]) == 0)
			return true;
	return false;
}

/* Whether the pod belongs to another controller than the target, as far as that is known; see hpa_is_foreign_fn. */
static bool is_foreign(const struct kube_pod *pod, void *arg)
{
	const struct hpa_entry *e = arg;
	const struct hpa_spec *spec = e->spec;
	const struct kube_scale_record *set;

	if (!pod->owner_kind || !pod->owner_name || !e->c->config.scales ||
		(strcmp(pod->owner_kind, spec->target_kind) == 0 && strcmp(pod->owner_name, spec->target_name) == 0))
		return false;
	if (strcmp(pod->owner_kind, "ReplicaSet") != 0)
		return e->owns_pods;
	if (strcmp(spec->target_kind, "Deployment") != 0)
		return e->owns_pods;
	set = kube_scales_find(e->c->config.scales, "apps", "replicasets", e->namespace_, pod->owner_name);
	/* one that is not known (yet), or that nobody controls, gets the benefit of the doubt */
	return set && *set->owner_kind &&
	       (strcmp(set->owner_kind, spec->target_kind) != 0 || strcmp(set->owner_name, spec->target_name) != 0);
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct others {
	const struct hpa_entry *self;
	const char *keys[AMBIGUOUS_MAX];
	size_t n;
};

static void note_other(void *who, void *arg)
{
	const struct hpa_entry *e = cast(who);
	struct others *o = arg;

	for (size_t i = 0; i < o->n; i++)
		if (o->keys[i] == e->key)
			return;
	if (o->n < AMBIGUOUS_MAX)
		o->keys[o->n++] = e->key;
}

static void ambiguous(const struct kube_selector *selector, const char *text, char *ret, size_t size, void *arg)
{
	struct hpa_entry *e = cast(arg);
	struct others others = {.self = e};
	const struct kube_labels *last = NULL;
	size_t n, len = 0;
	const struct kube_pod *const *pods = pods_of(e, &n);

	*ret = '\0';
	if (hpa_claim_set(&e->c->claims, &e->claim, e, e->namespace_, text) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		if (pods[i]->labels == last)
			continue; /* label sets are shared, and a workload's pods stand together */
		last = pods[i]->labels;
		if (kube_selector_matches(selector, last))
			hpa_claims_of(&e->c->claims, e->namespace_, last, note_other, &others);
	}
	if (others.n < 2) /* itself */
		return;
	qsort(others.keys, others.n, sizeof(*others.keys), compare_keys);
	for (size_t i = 0; i < others.n && len < size; i++)
		len += (size_t)snprintf(ret + len, size - len, "%s%s", i > 0 ? " " : "", others.keys[i]);
}

/* How many pods are of other controllers, and the first of them by name. */
static void tell_foreign(const struct hpa_pods *p, struct hpa_pods_answer *ret)
{
	size_t len = 0;

	for (size_t i = 0; i < p->n_pods; i++) {
		if (!p->pods[i].foreign)
			continue;
		if (ret->n_foreign++ < FOREIGN_NAMED && len < sizeof(ret->foreign))
			len += (size_t)snprintf(ret->foreign + len, sizeof(ret->foreign) - len, "%s%s",
				len > 0 ? ", " : "", p->pods[i].name);
	}
}

/* Nodes with pods that are scaled by are scraped more often while we are the one who scales; strict waits for the usual
 * scrapes, as upstream does. */
static void hurry(const struct hpa_entry *e)
{
	const struct km_scrape_lane *lane = e->c->config.ctx->lane;
	uint64_t period_us = e->writes ? hpa_lane_us(e->c) : 0;

	for (size_t i = 0; lane && i < e->nodes.n; i++)
		lane->set(e->nodes.nodes[i], period_us, lane->arg);
}

/* With scrapes that come fast: the long window beside, and in place of one that is too short to say much. */
static void take_full(struct hpa_pods *p, struct hpa_pods_answer *ret)
{
	for (size_t i = 0; i < p->n_metrics; i++)
		if (p->metrics[i].window_ns < SHORTEST_WINDOW_NS)
			p->metrics[i].value_milli = p->full[i].value_milli;
	ret->full = p->full;
}

static void pods(const struct kube_selector *selector, const char *text, const char *resource, const char *container,
	void *arg, struct hpa_pods_answer *ret)
{
	struct hpa_entry *e = cast(arg);
	struct hpa_pods *p = &e->c->pods;
	size_t n;
	const struct kube_pod *const *all = pods_of(e, &n);

	*ret = (struct hpa_pods_answer){0};
	e->owns_pods = owns_pods(e->spec->target_kind);
	if (hpa_pods_collect(p, all, n, selector, resource, container, e->c->config.ctx->usage, is_foreign, e) < 0)
		snprintf(ret->error, sizeof(ret->error),
			"unable to fetch metrics from resource metrics API: out of memory");
	else if (p->n_metrics == 0)
		snprintf(ret->error, sizeof(ret->error), "no metrics returned from resource metrics API");
	/* without memory it is not woken, but looked at once a sync period all the same */
	if (hpa_wake_set_nodes(&e->c->wake, &e->nodes, e, p->nodes, p->n_pods) < 0)
		km_log_m(LOG_DEBUG, "%s: no memory for noting its nodes", e->key);
	hurry(e);
	if (hpa_lane_us(e->c) > 0)
		take_full(p, ret);
	tell_foreign(p, ret);
	ret->pods = p->pods;
	ret->n_pods = p->n_pods;
	ret->metrics = p->metrics;
	ret->n_metrics = p->n_metrics;
}

/* ---- custom and external metrics ---- */

static void on_metric(const struct hpa_metric_answer *answer, void *arg)
{
	struct hpa_metric_slot *slot = arg;

	slot->call = NULL;
	hpa_round_metric(slot->entry->round, slot->i, answer);
}

static void metric_get(
	struct hpa_round *round, size_t i, const struct hpa_metric *metric, const char *selector, void *arg)
{
	const struct hpa_metric_answer no_memory = {.error = "out of memory"};
	struct hpa_entry *e = cast(arg);

	if (!e->slots && !(e->slots = calloc(e->spec->n_metrics, sizeof(*e->slots)))) {
		hpa_round_metric(round, i, &no_memory);
		return;
	}
	e->slots[i] = (struct hpa_metric_slot){.entry = e, .i = i};
	if (hpa_metrics_get(e->c->config.metrics, metric, e->namespace_, selector, on_metric, &e->slots[i],
		    &e->slots[i].call) < 0)
		hpa_round_metric(round, i, &no_memory);
}

/* ---- what is told ---- */

/* Warnings come back each round, often two of them: each gets one line, until all is well again. */
static void log_warning(struct hpa_entry *e, const char *reason, const char *message)
{
	const struct km_log_fields fields = fields_of(e);
	uint64_t hash = km_hash(message, strlen(message));

	e->warned = true;
	for (size_t i = 0; i < KM_MIN(e->n_told, KM_ARRAY_LEN(e->told)); i++)
		if (e->told[i] == hash)
			return;
	e->told[e->n_told++ % KM_ARRAY_LEN(e->told)] = hash;
	km_log(LOG_WARNING, &fields, "%s: %s: %s", e->key, reason, message);
}

static void event(const char *type, const char *reason, const char *message, void *arg)
{
	struct hpa_entry *e = cast(arg);

	if (strcmp(type, "Warning") == 0)
		log_warning(e, reason, message);
	if (!e->writes)
		return;
	e->c->counters.events_total++;
	hpa_events_post(e->c->config.events, e->object, type, reason, message);
}

/* What was written is the newest: the next round must not wait for the watch to say so. */
static void take_reply(struct hpa_entry *e, const struct kube_result *result)
{
	json_t *object = json_loadb(result->body, result->body_len, 0, NULL);

	if (json_object_get(object, "metadata") && json_object_get(object, "spec"))
		hpa_entry_set_pending(e, object);
	json_decref(object);
}

static void on_status(const struct kube_result *result, void *arg)
{
	struct hpa_entry *e = cast(arg);
	const struct hpa_failure failure = {.text = result->text, .conflict = result->error == -EAGAIN};

	e->status_call = NULL;
	if (result->error == 0) {
		e->c->counters.status_writes_total++;
		take_reply(e, result);
	}
	hpa_round_status(e->round, result->error ? &failure : NULL);
}

/*
 * Figures move with every sample, and each write goes to every watcher of HPAs: a write for their sake alone waits
 * until the last one is a while ago (spec 10.24). The round after it asks again.
 */
static bool is_worth_writing(const struct hpa_entry *e, json_t *status)
{
	return !e->flags.fixed || km_wall_ns() - e->status_ns >= STATUS_EVERY_NS ||
	       hpa_status_change(json_object_get(e->object, "status"), status) == HPA_STATUS_MORE;
}

static void status_put(struct hpa_round *round, json_t *status, void *arg)
{
	struct hpa_entry *e = cast(arg);
	struct hpa_failure failure = {.text = "out of memory"};
	char path[HPA_OBJECT_TEXT_MAX + 120];
	json_t *object;

	if (!e->writes || !is_worth_writing(e, status)) {
		hpa_round_status(round, NULL);
		return;
	}
	if (!still_ours(e))
		return;
	e->status_ns = km_wall_ns();
	object = json_copy(e->object);
	json_object_set(object, "status", status);
	snprintf(path, sizeof(path), "/apis/autoscaling/%s/namespaces/%s/horizontalpodautoscalers/%s/status",
		hpa_api_version_name(e->c->config.version), e->namespace_, e->name);
	if (!object || kube_request_start(e->c->config.ctx->client,
			       &(const struct kube_request){
				       .method = "PUT", .path = path, .body = object, .on_done = on_status, .arg = e},
			       &e->status_call) < 0)
		hpa_round_status(round, &failure);
	json_decref(object);
}

/* A step, in one line with what led to it; the trace has the rest. */
static void log_step(const struct hpa_entry *e)
{
	const struct hpa_outcome *o = &e->outcome;
	const struct km_log_fields fields = fields_of(e);
	char why[512] = "";

	if (!e->writes || !o->action || strcmp(o->action, hpa_action_label(HPA_ACTION_NONE)) == 0)
		return;
	if (e->trace)
		hpa_trace_line(e->trace, e->spec, why, sizeof(why));
	km_log(LOG_NOTICE, &fields, "%s: scaled %s %s from %d to %d: %s%s%s%s", e->key, e->spec->target_kind,
		e->spec->target_name, (int)o->current, (int)o->desired, e->trace ? e->trace->reason : "",
		*why ? " (" : "", why, *why ? ")" : "");
}

/* What the in-tree controller made of the same moment is in the status it wrote. */
static void compare_shadow(struct hpa_entry *e)
{
	json_t *theirs = json_object_get(json_object_get(e->object, "status"), "desiredReplicas");

	if (e->writes || !e->outcome.has_desired)
		return;
	e->shadow_rounds++;
	e->shadow_agreed += json_integer_value(theirs) == e->outcome.desired;
}

static void done(struct hpa_round *round, void *arg)
{
	struct hpa_entry *e = cast(arg);
	const struct km_log_fields fields = fields_of(e);

	e->outcome = *hpa_round_outcome(round);
	e->round_ns = km_wall_ns();
	log_step(e);
	compare_shadow(e);
	if (e->writes || e->outcome.desired == e->outcome.current)
		e->would = -1;
	if (*e->outcome.error)
		e->c->counters.errors_total++;
	if (!e->warned && e->n_told > 0) {
		e->n_told = 0;
		km_log(LOG_NOTICE, &fields, "%s: works again", e->key);
	}
	e->state = HPA_FINISHED;
	km_timer_set(e->timer, 0);
}

const struct hpa_world hpa_world_of_entry = {
	.now_ns = now_ns,
	.mappings = mappings,
	.scale_get = scale_get,
	.scale_put = scale_put,
	.ambiguous = ambiguous,
	.pods = pods,
	.metric_get = metric_get,
	.event = event,
	.status_put = status_put,
	.done = done,
};
