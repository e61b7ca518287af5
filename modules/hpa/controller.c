/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping the HPAs and starting their rounds. */
#define KM_LOG_MODULE "hpa"
#include "hpa/controller.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/timetext.h"
#include "hpa/entry.h"

#define SPREAD_US         (1 * KM_USEC_PER_SEC)    /* many that are due at once start within this */
#define CROWD_US          (100 * KM_USEC_PER_MSEC) /* pause when HPA_ROUNDS_MAX are under way */
#define WAKE_US           (50 * KM_USEC_PER_MSEC)  /* samples that land within this wake an HPA once, */
#define ASKING_WAKE_US    (1 * KM_USEC_PER_SEC)    /* where its scale has to be asked for */
#define ROUNDS_PER_SECOND 10000
#define GET_US            (20 * KM_USEC_PER_MSEC) /* of the API server's time that samples may cost us for each HPA */
#define WAIT_US           (1 * KM_USEC_PER_SEC)   /* pause while there is nothing to compute from yet */

static struct hpa_entry *cast(void *arg)
{
	return KM_CAST(struct hpa_entry, arg, HPA_ENTRY_MAGIC);
}

static const char *text_member(json_t *object, const char *name)
{
	return json_string_value(json_object_get(json_object_get(object, "metadata"), name));
}

/* ---- the life of an entry ---- */

static void entry_free(struct hpa_entry *e)
{
	struct km_interner *in = kube_cluster_interner(e->c->config.ctx->cluster);

	hpa_entry_drop_round(e);
	hpa_wake_clear(&e->c->wake, &e->nodes, e);
	km_timer_free(e->timer);
	hpa_memory_clear(&e->memory);
	hpa_claim_drop(&e->c->claims, &e->claim);
	hpa_trace_free(e->trace);
	free(e->complaint);
	hpa_spec_free(e->spec);
	json_decref(e->object);
	json_decref(e->pending);
	km_istr_unref(in, e->namespace_);
	km_istr_unref(in, e->name);
	free(e->key);
	e->magic = 0;
	free(e);
}

static void log_of(const struct hpa_entry *e, int level, const char *text)
{
	km_log(level,
		&(const struct km_log_fields){.module = KM_LOG_MODULE, .namespace_ = e->namespace_, .hpa = e->name},
		"%s: %s", e->key, text);
}

static bool same_spec(json_t *a, json_t *b)
{
	return json_equal(json_object_get(a, "spec"), json_object_get(b, "spec"));
}

static void take_overrides(struct hpa_entry *e)
{
	const struct hpa_overrides *o = &e->overrides;

	e->flags = e->c->flags;
	if (o->tolerance >= 0)
		e->flags.tolerance = o->tolerance;
	if (o->cpu_initialization_ns >= 0)
		e->flags.cpu_initialization_ns = o->cpu_initialization_ns;
	if (o->readiness_delay_ns >= 0)
		e->flags.readiness_delay_ns = o->readiness_delay_ns;
	e->flags.hold_value_ns = o->hold_value_ns;
	e->flags.hold_replicas = o->hold_replicas;
	e->flags.shared_pods = o->shared_pods;
	e->flags.container = *o->container ? o->container : NULL;
}

/* The annotations that are ours; what is wrong with them is told once a change. */
static void read_overrides(struct hpa_entry *e)
{
	struct km_err err = {0};

	free(e->complaint);
	e->complaint = hpa_overrides_decode(e->object, &e->overrides, &err) < 0 ? strdup(err.text) : NULL;
}

/* Takes the object over. What is due is decided by the spec and our annotations alone: our own status writes come back
 * as changes too. */
static void adopt(struct hpa_entry *e, json_t *object)
{
	bool changed = !e->object || !same_spec(e->object, object),
	     other = !e->object || !hpa_overrides_same(e->object, object);
	const char *before = e->object ? text_member(e->object, "uid") : NULL, *now = text_member(object, "uid");
	struct km_err err = {0};

	/* Another one of the same name, whose deletion was not seen: nothing of the former counts. */
	if (before && now && strcmp(before, now) != 0)
		hpa_memory_clear(&e->memory);
	json_decref(e->object);
	e->object = json_incref(object);
	if (!before)
		hpa_entry_recall(e);
	if (other)
		read_overrides(e);
	e->due_now = e->due_now || changed || other;
	if (!changed)
		return;
	hpa_memory_forget_values(&e->memory);
	hpa_trace_free(e->trace);
	e->trace = NULL;
	hpa_spec_free(e->spec);
	e->spec = NULL;
	if (hpa_spec_decode(object, e->c->config.version, &e->spec, &err) < 0)
		log_of(e, LOG_WARNING, err.text);
}

static void schedule(struct hpa_entry *e, uint64_t delay_us)
{
	if (e->state != HPA_IDLE || !e->spec)
		return;
	e->due_us = km_now_us() + delay_us;
	km_timer_set(e->timer, delay_us);
}

/*
 * How long a sample that has landed waits for the next one's company: the longer the more HPAs there are, so that all
 * rounds together stay below ROUNDS_PER_SECOND; and where a round has to ask the API server for the scale, so that this
 * never makes more than 50 requests a second.
 */
static uint64_t wake_delay(const struct hpa_entry *e)
{
	uint64_t each = e->from_watch ? KM_USEC_PER_SEC / ROUNDS_PER_SECOND : GET_US, now = km_now_us(),
		 pause = KM_MAX(e->from_watch ? WAKE_US : ASKING_WAKE_US, e->c->entries.count * each),
		 earliest = e->begun_us ? e->begun_us + pause : 0;

	return earliest > now ? earliest - now : 0;
}

static void wake_entry(void *who, void *arg)
{
	struct hpa_entry *e = cast(who);
	uint64_t delay = wake_delay(e);

	(void)arg;
	e->landed = true; /* a round under way may have read the older one */
	if (e->landed_us == 0)
		e->landed_us = km_now_us();
	if (e->state == HPA_IDLE && km_now_us() + delay < e->due_us)
		schedule(e, delay);
}

static void on_landed(const char *node, void *arg)
{
	const struct hpa_controller *c = arg;

	hpa_wake_landed(&c->wake, node, wake_entry, NULL);
}

/* Nobody scales by this node's pods any more. */
static void on_left(const char *node, void *arg)
{
	const struct hpa_controller *c = arg;

	c->config.ctx->lane->set(node, 0, c->config.ctx->lane->arg);
}

/* ---- a round ---- */

static void end_round(struct hpa_entry *e)
{
	hpa_entry_drop_round(e);
	hpa_entry_recall(e);
	if (e->pending) {
		json_t *pending = KM_TAKE(e->pending);

		adopt(e, pending);
		json_decref(pending);
	}
	schedule(e, e->due_now ? 0 : e->landed ? wake_delay(e) : (uint64_t)e->c->config.options->sync_period / 1000);
}

/* An annotation that is wrong gets one event, as soon as there is somebody to write it. */
static void complain(struct hpa_entry *e)
{
	if (!e->complaint || !e->writes)
		return;
	e->world.event("Warning", "InvalidAnnotation", e->complaint, e);
	free(e->complaint);
	e->complaint = NULL;
}

static void start_round(struct hpa_entry *e)
{
	struct hpa_round_config config = {
		.namespace_ = e->namespace_,
		.name = e->name,
		.spec = e->spec,
		.status = json_object_get(e->object, "status"),
		.version = e->c->config.version,
		.memory = &e->memory,
		.flags = &e->flags,
		.world = &e->world,
		.remark = e->legacy && e->mapping ? "scaleTargetRef names extensions/v1beta1, which this server does "
						    "not have: apps/v1 is "
						    "scaled instead; write that into the HPA"
						  : NULL,
	};

	if (!e->trace)
		e->trace = hpa_trace_new(); /* without memory nobody can be told why */
	config.trace = e->trace;
	take_overrides(e);
	complain(e);
	e->state = HPA_ROUND;
	e->warned = false;
	e->c->counters.rounds_total++;
	if (hpa_round_start(&config, &e->round) < 0) {
		log_of(e, LOG_ERR, "no memory for a reconcile");
		end_round(e);
	}
}

/*
 * Manifests of Kubernetes' first years name extensions/v1beta1, which no server has had since 1.16: what they mean is
 * in apps today (spec 4.1; the how-to's own HPA is one of them). Upstream leaves such an HPA without a target.
 */
static bool means_apps(const struct hpa_entry *e)
{
	static const char *const kinds[] = {"Deployment", "ReplicaSet"};
	bool known = false;

	for (size_t i = 0; i < KM_ARRAY_LEN(kinds); i++)
		known = known || strcmp(e->spec->target_kind, kinds[i]) == 0;
	return known && e->c->flags.fixed && strncmp(e->spec->target_api_version, "extensions/", 11) == 0;
}

static void on_mapped(struct kube_mapping *mapping, int error, const char *text, void *arg)
{
	struct hpa_entry *e = cast(arg);

	e->mapper_call = NULL;
	if (!mapping && error == -ENOENT && !e->legacy && means_apps(e)) {
		e->legacy = true;
		if (kube_mapper_find(
			    e->c->config.mapper, "apps/v1", e->spec->target_kind, on_mapped, e, &e->mapper_call) == 0)
			return;
	}
	e->mapping = mapping;
	if (mapping && hpa_scale_client_new(
			       e->c->config.ctx->client, mapping, e->namespace_, e->spec->target_name, &e->scale) < 0) {
		log_of(e, LOG_ERR, "no memory for its target");
		end_round(e);
		return;
	}
	if (!mapping)
		e->mapping_code = km_fail(&e->mapping_error, error, "%s", text);
	start_round(e);
}

static bool can_compute(const struct hpa_controller *c)
{
	const struct km_usage_source *usage = c->config.ctx->usage;
	const char *why;

	return usage->ready(usage->arg, &why);
}

static void begin(struct hpa_entry *e)
{
	struct hpa_controller *c = e->c;

	if (!can_compute(c)) {
		schedule(e, WAIT_US);
		return;
	}
	if (c->rounds >= HPA_ROUNDS_MAX) {
		schedule(e, CROWD_US);
		return;
	}
	c->rounds++;
	e->legacy = false;
	e->state = HPA_MAPPING;
	e->due_now = e->landed = false;
	e->begun_us = km_now_us();
	if (e->landed_us)
		hpa_delays_note(&c->rounds_after, e->begun_us - e->landed_us);
	e->sample_us = e->landed_us;
	e->landed_us = 0;
	e->writes = c->config.may_write(c->config.arg);
	if (kube_mapper_find(c->config.mapper, e->spec->target_api_version, e->spec->target_kind, on_mapped, e,
		    &e->mapper_call) < 0) {
		log_of(e, LOG_ERR, "no memory for looking up its target");
		end_round(e);
	}
}

static void on_timer(void *arg)
{
	struct hpa_entry *e = cast(arg);

	if (e->state == HPA_IDLE)
		begin(e);
	else if (e->state == HPA_FINISHED || e->state == HPA_ABANDONED)
		end_round(e);
}

/* ---- from the watch ---- */

static int add(struct hpa_controller *c, const char *key, const char *namespace_, const char *name,
	struct hpa_entry **ret, struct km_err *err)
{
	struct km_interner *in = kube_cluster_interner(c->config.ctx->cluster);
	struct hpa_entry *e;

	if (c->entries.count >= HPA_CONTROLLER_MAX) {
		c->counters.left_out_total++;
		return km_fail(err, -ENOSPC, "%s: more than %d HPAs are not looked after", key, HPA_CONTROLLER_MAX);
	}
	if (!(e = calloc(1, sizeof(*e))))
		return -ENOMEM;
	e->magic = HPA_ENTRY_MAGIC;
	e->c = c;
	e->would = -1;
	e->world = hpa_world_of_entry;
	e->world.arg = e;
	e->key = strdup(key);
	e->namespace_ = km_intern(in, namespace_, strlen(namespace_));
	e->name = km_intern(in, name, strlen(name));
	if (!e->key || !e->namespace_ || !e->name || km_timer_new(c->config.ctx->loop, on_timer, e, &e->timer) < 0 ||
		km_map_put(&c->entries, e->key, strlen(e->key), e, NULL) < 0) {
		entry_free(e);
		return -ENOMEM;
	}
	*ret = e;
	return 0;
}

static void remove_entry(struct hpa_controller *c, struct hpa_entry *e)
{
	km_map_remove(&c->entries, e->key, strlen(e->key));
	entry_free(e);
}

/*
 * A watch may tell what our own status write has overtaken; taking that back would make the next write conflict. Only
 * for watches: a list counts whatever it says (a restored etcd begins lower).
 */
static bool is_older(json_t *object, json_t *than)
{
	const char *a = text_member(object, "resourceVersion"), *b = text_member(than, "resourceVersion");

	return a && b && strtoull(a, NULL, 10) < strtoull(b, NULL, 10);
}

/* Of no use to us, and by far the largest part; without it a PUT keeps the live ones (spec 5). */
static void drop_managed_fields(json_t *object)
{
	json_object_del(json_object_get(object, "metadata"), "managedFields");
}

void hpa_entry_set_pending(struct hpa_entry *e, json_t *object)
{
	drop_managed_fields(object);
	json_decref(e->pending);
	e->pending = json_incref(object);
}

int hpa_controller_object(struct hpa_controller *c, enum kube_event event, json_t *object, struct km_err *err)
{
	const char *namespace_ = text_member(object, "namespace"), *name = text_member(object, "name");
	char key[HPA_OBJECT_TEXT_MAX];
	struct hpa_entry *e;
	int r;

	if (!namespace_ || !*namespace_ || !name || !*name ||
		snprintf(key, sizeof(key), "%s/%s", namespace_, name) >= (int)sizeof(key))
		return km_fail(err, -EINVAL, "a HorizontalPodAutoscaler without metadata.namespace or metadata.name");
	e = km_map_get(&c->entries, key, strlen(key));
	if (event == KUBE_DELETED) {
		if (e)
			remove_entry(c, e);
		return 0;
	}
	if (!e && (r = add(c, key, namespace_, name, &e, err)) < 0)
		return r;
	e->listed = true;
	if (event != KUBE_LISTED && is_older(object, e->pending ? e->pending : e->object))
		return 0;
	if (e->state != HPA_IDLE) {
		hpa_entry_set_pending(e, object);
		return 0;
	}
	drop_managed_fields(object);
	adopt(e, object);
	if (e->due_now && e->spec)
		schedule(e, event == KUBE_LISTED ? km_random_below(SPREAD_US) : 0);
	else if (!e->spec)
		km_timer_cancel(e->timer);
	return 0;
}

void hpa_controller_list(struct hpa_controller *c, bool begins)
{
	struct km_map_entry *slot;
	size_t cursor = 0;

	while ((slot = km_map_next(&c->entries, &cursor))) {
		struct hpa_entry *e = slot->value;

		if (begins)
			e->listed = false;
		else if (!e->listed)
			remove_entry(c, e);
	}
}

void hpa_controller_wake(struct hpa_controller *c)
{
	struct km_map_entry *slot;
	size_t cursor = 0;

	while ((slot = km_map_next(&c->entries, &cursor))) {
		struct hpa_entry *e = slot->value;

		if (e->state != HPA_IDLE)
			e->due_now = true; /* the round under way began with what was true before */
		schedule(e, km_random_below(SPREAD_US));
	}
}

/* ---- the whole ---- */

void hpa_controller_configure(struct hpa_controller *c, const struct hpa_options *o)
{
	c->config.options = o;
	c->flags = (struct hpa_flags){
		.downscale_stabilization_ns = o->downscale_stabilization,
		.cpu_initialization_ns = o->cpu_initialization_period,
		.readiness_delay_ns = o->initial_readiness_delay,
		.tolerance = o->tolerance,
		.fixed = o->compat == HPA_COMPAT_FIXED,
		.scale_to_zero = o->scale_to_zero,
		.configurable_tolerance = true,
	};
}

int hpa_controller_new(const struct hpa_controller_config *config, struct hpa_controller **ret)
{
	struct hpa_controller *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->config = *config;
	hpa_controller_configure(c, config->options);
	hpa_wake_init(&c->wake, kube_cluster_interner(config->ctx->cluster));
	if (config->ctx->lane) {
		c->wake.left = on_left;
		c->wake.arg = c;
	}
	hpa_claims_init(&c->claims, kube_cluster_interner(config->ctx->cluster));
	config->ctx->usage->listen(on_landed, c, config->ctx->usage->arg);
	*ret = c;
	return 0;
}

void hpa_controller_free(struct hpa_controller *c)
{
	struct km_map_entry *slot;
	size_t cursor = 0;

	if (!c)
		return;
	c->config.ctx->usage->listen(NULL, NULL, c->config.ctx->usage->arg);
	while ((slot = km_map_next(&c->entries, &cursor)))
		remove_entry(c, slot->value);
	km_map_free(&c->entries);
	hpa_wake_free(&c->wake);
	hpa_claims_free(&c->claims);
	hpa_pods_clear(&c->pods);
	json_decref(c->recalled);
	free(c);
}

void hpa_controller_counters(const struct hpa_controller *c, struct hpa_controller_counters *ret)
{
	*ret = c->counters;
	ret->hpas = c->entries.count;
}

json_t *hpa_controller_status(const struct hpa_controller *c)
{
	json_t *list = json_array();
	const struct km_map_entry *slot;
	size_t cursor = 0;

	while ((slot = km_map_next(&c->entries, &cursor))) {
		const struct hpa_entry *e = slot->value;

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:i, s:i, s:s, s:s, s:f}", "namespace", e->namespace_, "name",
				      e->name, "current", (int)e->outcome.current, "desired", (int)e->outcome.desired,
				      "action", e->outcome.action ? e->outcome.action : "", "error", e->outcome.error,
				      "last_round_seconds_ago",
				      e->round_ns ? (double)(km_wall_ns() - e->round_ns) / 1e9 : -1.0));
	}
	return list;
}

/* ---- why ---- */

static json_t *text_of_time(int64_t wall_ns)
{
	char text[KM_RFC3339_TEXT_MAX];

	km_rfc3339_format(wall_ns, text);
	return json_string(text);
}

static json_t *explain_entry(const struct hpa_entry *e)
{
	json_t *status = json_object_get(e->object, "status");
	json_t *o = e->trace && e->trace->at_ns && e->spec ? hpa_trace_json(e->trace, e->spec) : json_object();

	json_object_set_new(o, "namespace", json_string(e->namespace_));
	json_object_set_new(o, "name", json_string(e->name));
	json_object_set_new(o, "failure", json_string(e->outcome.error));
	json_object_set_new(o, "writes", json_boolean(e->writes));
	json_object_set_new(o, "shadow",
		json_pack(
			"{s:I, s:I}", "rounds", (json_int_t)e->shadow_rounds, "agreed", (json_int_t)e->shadow_agreed));
	json_object_set_new(o, "inTree",
		json_pack("{s:O?, s:O?, s:O?}", "currentReplicas", json_object_get(status, "currentReplicas"),
			"desiredReplicas", json_object_get(status, "desiredReplicas"), "lastScaleTime",
			json_object_get(status, "lastScaleTime")));
	if (e->spec)
		json_object_set_new(o, "target", json_sprintf("%s/%s", e->spec->target_kind, e->spec->target_name));
	if (e->state == HPA_IDLE && e->spec && e->due_us)
		json_object_set_new(o, "nextLookBy",
			text_of_time(km_wall_ns() + ((int64_t)e->due_us - (int64_t)km_now_us()) * 1000));
	return o;
}

json_t *hpa_controller_explain(const struct hpa_controller *c, const char *key)
{
	const struct hpa_entry *e = km_map_get(&c->entries, key, strlen(key));

	return e ? explain_entry(e) : NULL;
}

json_t *hpa_controller_explain_all(const struct hpa_controller *c)
{
	json_t *list = json_array();
	const struct km_map_entry *slot;
	size_t cursor = 0;

	while ((slot = km_map_next(&c->entries, &cursor))) {
		json_t *one = explain_entry(slot->value);

		json_object_del(one, "metrics");
		json_array_append_new(list, one);
	}
	return list;
}

json_t *hpa_controller_delays(const struct hpa_controller *c)
{
	return json_pack("{s:o, s:o}", "sampleToRoundMs", hpa_delays_json(&c->rounds_after), "sampleToScaleMs",
		hpa_delays_json(&c->puts_after));
}
