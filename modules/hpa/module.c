/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HPA controller as a module: finds the API version, watches the HPAs, holds the Lease, and decides with the canary
 * whether it scales or only looks on. Both must say so before anything is written: the Lease keeps other kmetricsd
 * away, the canary the in-tree controller.
 */
#define KM_LOG_MODULE "hpa"
#include "hpa/hpa.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "hpa/controller.h"
#include "hpa/presence.h"
#include "hpa/state.h"
#include "kube/discovery.h"
#include "kube/lease.h"
#include "net/control.h"

#define MODULE_MAGIC    0x4d485041u
#define LEASE_NAMESPACE "kube-system"
#define LEASE_NAME      "kmetricsd-hpa"
#define LEASE           LEASE_NAMESPACE "/" LEASE_NAME
#define TICK_US         (1 * KM_USEC_PER_SEC)
#define FLAGS_EVERY     5  /* ticks; an in-tree controller waits 15 s before its first look */
#define SAVE_EVERY      60 /* ticks: memory of the controller */
#define REDISCOVER_US   (30 * KM_USEC_PER_SEC)
#define MESSAGE_ID_TURN "7e1d0c5a94b84f0d8a3be6c2f5907d13"

struct counters {
	struct hpa_controller_counters controller;
	uint64_t active, lease_held;
};

struct module {
	uint32_t magic;
	struct km_context *ctx;
	const struct hpa_options *options, *next; /* borrowed from the configuration in force, and the coming one */
	struct kube_call *discovery;
	struct km_timer *rediscover, *tick;
	unsigned ticks;
	const char *version; /* "v2"; NULL: not known yet */
	struct kube_reflector *reflector;
	struct kube_mapper *mapper;
	struct hpa_events *events;
	struct hpa_metrics_client *metrics;
	struct kube_scales *scales;
	struct hpa_controller *controller;
	struct kube_lease *lease; /* NULL: versions are not known yet, or there are no Leases */
	bool lease_held, no_leases;
	struct hpa_presence presence;
	json_t *canary;                 /* owned: as the watch shows it; NULL: it is not there */
	bool canary_seen, canary_known; /* told in the list under way; a list has ended */
	struct kube_call *clearing;
	bool active; /* as logged last */
	const char *text;
	struct hpa_state *state;
	bool taking_over; /* the Lease is held, and what the former one remembered is being read */
	km_loop_fn stopped;
	void *stopped_arg;
	char problem[300]; /* why there is no watch; "": there is one */
	struct counters counters;
};

static struct module *cast(void *arg)
{
	return KM_CAST(struct module, arg, MODULE_MAGIC);
}

/* ---- whose turn it is ---- */

/* Without Leases only an explicit order keeps instances apart. */
static bool alone_by_order(const struct module *m)
{
	return m->presence.mode == HPA_MODE_ACTIVE;
}

static bool may_write(void *arg)
{
	struct module *m = cast(arg);

	return hpa_presence_turn(&m->presence) == HPA_TURN_OURS && !m->taking_over &&
	       (m->no_leases ? alone_by_order(m) : kube_lease_valid(m->lease));
}

static bool holds(const struct module *m)
{
	return m->no_leases ? alone_by_order(m) : m->lease_held && !m->taking_over;
}

static const char *turn_text(const struct module *m)
{
	if (holds(m))
		return hpa_presence_text(&m->presence);
	if (m->no_leases)
		return "HPA passive: this API server has no Leases (Kubernetes before 1.12), so that nothing keeps two "
		       "instances apart: set mode = active in [hpa] on one master";
	if (m->lease && *kube_lease_holder(m->lease) &&
		strcmp(kube_lease_holder(m->lease), kube_lease_identity(m->lease)) != 0)
		return "HPA standby: another kmetricsd holds the Lease " LEASE;
	return "HPA passive: waiting for the Lease " LEASE;
}

/* Says it once a change, and starts at once what was waiting for it. */
static void judge(struct module *m)
{
	bool active = holds(m) && hpa_presence_turn(&m->presence) == HPA_TURN_OURS;
	const char *text = turn_text(m);

	if (text != m->text)
		km_log(LOG_NOTICE,
			&(const struct km_log_fields){.module = KM_LOG_MODULE, .message_id = MESSAGE_ID_TURN}, "%s",
			text);
	m->text = text;
	if (active && !m->active && m->controller)
		hpa_controller_wake(m->controller);
	m->active = active;
}

static void tell_canary(struct module *m)
{
	json_t *conditions = json_object_get(json_object_get(m->canary, "status"), "conditions");

	hpa_presence_canary(&m->presence,
		!m->canary                    ? HPA_CANARY_MISSING
		: json_array_size(conditions) ? HPA_CANARY_FILLED
					      : HPA_CANARY_EMPTY,
		km_now_us());
	judge(m);
}

static void on_cleared(const struct kube_result *result, void *arg)
{
	struct module *m = cast(arg);

	m->clearing = NULL;
	/* A conflict means that somebody has just written it: the watch will show. */
	if (result->error && result->error != -EAGAIN)
		km_log_m(LOG_WARNING, "the canary's status could not be cleared: %s", result->text);
}

static void clear_canary(struct module *m)
{
	char path[200];
	json_t *object;

	if (m->clearing || !m->canary)
		return;
	snprintf(path, sizeof(path), "/apis/autoscaling/%s/namespaces/%s/horizontalpodautoscalers/%s/status",
		m->version, HPA_CANARY_NAMESPACE, HPA_CANARY_NAME);
	object = json_copy(m->canary);
	json_object_set_new(object, "status",
		json_pack("{s:i, s:i, s:[], s:[]}", "currentReplicas", 0, "desiredReplicas", 0, "currentMetrics",
			"conditions"));
	if (kube_request_start(m->ctx->client,
		    &(const struct kube_request){
			    .method = "PUT", .path = path, .body = object, .on_done = on_cleared, .arg = m},
		    &m->clearing) < 0)
		km_log_m(LOG_ERR, "no memory for clearing the canary's status");
	json_decref(object);
}

static void on_tick(void *arg)
{
	struct module *m = cast(arg);

	if (m->ticks++ % FLAGS_EVERY == 0)
		hpa_presence_in_tree(&m->presence, (enum hpa_in_tree)m->ctx->in_tree_hpa());
	if (holds(m) && hpa_presence_tick(&m->presence, km_now_us()))
		clear_canary(m);
	judge(m);
	if (m->active && m->ticks % SAVE_EVERY == 0)
		hpa_state_save(m->state, NULL, NULL);
	km_timer_set(m->tick, TICK_US);
}

/* Nothing is scaled before it is known what the former one remembered. */
static void on_taken_over(void *arg)
{
	struct module *m = cast(arg);

	m->taking_over = false;
	judge(m);
}

/* What was proved before may have changed while another one held the Lease. */
static void on_gained(void *arg)
{
	struct module *m = cast(arg);

	m->lease_held = true;
	m->taking_over = true;
	hpa_state_take_over(m->state, on_taken_over, m);
	hpa_presence_reset(&m->presence);
	if (m->canary_known)
		tell_canary(m);
	judge(m);
}

static void on_lost(const char *text, void *arg)
{
	struct module *m = cast(arg);

	m->lease_held = m->taking_over = false;
	km_log_m(LOG_WARNING, "the Lease " LEASE " is lost: %s", text);
	judge(m);
}

static void on_trouble(const char *text, void *arg)
{
	if (*text)
		km_log_m(LOG_WARNING, "%s", text);
	else
		km_log_m(LOG_NOTICE, "the Lease " LEASE " can be read and written again");
}

static void start_lease(struct module *m, const struct kube_discovery *d)
{
	const struct kube_lease_config config = {
		.client = m->ctx->client,
		.version = kube_discovery_newest(d, "coordination.k8s.io"),
		.namespace_ = LEASE_NAMESPACE,
		.name = LEASE_NAME,
		.host = m->ctx->node_name,
		.gained = on_gained,
		.lost = on_lost,
		.trouble = on_trouble,
		.arg = m,
	};
	struct km_err err = {0};
	int r;

	if (m->lease)
		return;
	r = kube_lease_new(&config, &m->lease, &err);
	m->no_leases = r == -EOPNOTSUPP;
	if (r == 0)
		kube_lease_start(m->lease);
	else if (!m->no_leases)
		km_log_m(LOG_ERR, "the Lease " LEASE ": %s", err.text);
	judge(m);
}

/* ---- the watch ---- */

static bool is_canary(json_t *object)
{
	json_t *metadata = json_object_get(object, "metadata");
	const char *namespace_ = json_string_value(json_object_get(metadata, "namespace"));
	const char *name = json_string_value(json_object_get(metadata, "name"));

	return namespace_ && name && strcmp(namespace_, HPA_CANARY_NAMESPACE) == 0 &&
	       strcmp(name, HPA_CANARY_NAME) == 0;
}

static void on_list_begin(void *arg)
{
	struct module *m = cast(arg);

	m->canary_seen = false;
	hpa_controller_list(m->controller, true);
}

static int on_object(enum kube_event event, json_t *object, void *arg, struct km_err *err)
{
	struct module *m = cast(arg);

	if (!is_canary(object))
		return hpa_controller_object(m->controller, event, object, err);
	json_decref(m->canary);
	m->canary = event == KUBE_DELETED ? NULL : json_incref(object);
	m->canary_seen = true;
	if (m->canary_known)
		tell_canary(m);
	return 0;
}

static void on_list_end(void *arg)
{
	struct module *m = cast(arg);

	hpa_controller_list(m->controller, false);
	if (!m->canary_seen) {
		json_decref(m->canary);
		m->canary = NULL;
	}
	m->canary_known = true;
	tell_canary(m);
}

static void on_problem(int error, const char *text, void *arg)
{
	struct module *m = cast(arg);

	if (text)
		km_log_m(LOG_WARNING, "watching horizontalpodautoscalers: %s", text);
	else
		km_log_m(LOG_NOTICE, "watching horizontalpodautoscalers works again");
	/* The version is not served any more: the API server was upgraded. */
	if (error == -ENOENT)
		km_timer_set(m->rediscover, 0);
}

static void stop_watching(struct module *m)
{
	kube_reflector_free(m->reflector);
	if (m->state)
		hpa_state_attach(m->state, NULL);
	hpa_controller_free(m->controller);
	hpa_events_free(m->events);
	m->reflector = NULL;
	m->controller = NULL;
	m->events = NULL;
	m->canary_known = false;
	m->version = NULL;
}

static int watch(struct module *m, enum hpa_api_version version)
{
	char path[100], api_version[32];
	const struct hpa_events_config events = {.client = m->ctx->client, .api_version = api_version};
	struct hpa_controller_config controller = {
		.ctx = m->ctx,
		.version = version,
		.mapper = m->mapper,
		.metrics = m->metrics,
		.scales = m->scales,
		.options = m->options,
		.may_write = may_write,
		.arg = m,
	};
	const struct kube_reflector_config reflector = {
		.client = m->ctx->client,
		.path = path,
		.query = "",
		.ops = {.list_begin = on_list_begin,
			.object = on_object,
			.list_end = on_list_end,
			.problem = on_problem},
		.arg = m,
	};
	int r;

	snprintf(path, sizeof(path), "/apis/autoscaling/%s/horizontalpodautoscalers", hpa_api_version_name(version));
	m->version = hpa_api_version_name(version);
	snprintf(api_version, sizeof(api_version), "autoscaling/%s", m->version);
	if ((r = hpa_events_new(&events, &m->events)) < 0)
		return r;
	controller.events = m->events;
	if ((r = hpa_controller_new(&controller, &m->controller)) < 0)
		return r;
	hpa_state_attach(m->state, m->controller);
	return kube_reflector_new(&reflector, &m->reflector);
}

/* Newest first (spec 5): v1 comes last for us, though it is the preferred one of older servers. */
static int choose(const struct kube_discovery *d, enum hpa_api_version *ret)
{
	static const enum hpa_api_version order[] = {HPA_V2, HPA_V2BETA2, HPA_V2BETA1};

	for (size_t i = 0; i < KM_ARRAY_LEN(order); i++)
		if (kube_discovery_serves(d, "autoscaling", hpa_api_version_name(order[i]))) {
			*ret = order[i];
			return 0;
		}
	return -ENOENT;
}

static void give_up_for_now(struct module *m, const char *text)
{
	if (strcmp(m->problem, text) != 0)
		km_log_m(LOG_WARNING, "no HPA is looked after: %s", text);
	snprintf(m->problem, sizeof(m->problem), "%s", text);
	km_timer_set(m->rediscover, REDISCOVER_US);
}

static void on_discovered(struct kube_discovery *d, const char *text, void *arg)
{
	struct module *m = cast(arg);
	enum hpa_api_version version;

	m->discovery = NULL;
	if (!d) {
		give_up_for_now(m, text);
		return;
	}
	start_lease(m, d);
	if (choose(d, &version) < 0) {
		give_up_for_now(m, "the API server serves none of autoscaling/v2, v2beta2, v2beta1");
		return;
	}
	*m->problem = '\0';
	if (m->version && strcmp(m->version, hpa_api_version_name(version)) == 0)
		return;
	stop_watching(m);
	if (watch(m, version) < 0) {
		stop_watching(m);
		give_up_for_now(m, "out of memory");
		return;
	}
	km_log_m(LOG_INFO, "HPAs are read as autoscaling/%s", m->version);
}

static void discover(void *arg)
{
	struct module *m = cast(arg);

	if (!m->discovery && kube_discover(m->ctx->client, on_discovered, m, &m->discovery) < 0)
		give_up_for_now(m, "out of memory");
}

/* ---- life ---- */

static void module_fini(void *self)
{
	struct module *m = cast(self);

	kube_call_cancel(m->discovery);
	kube_call_cancel(m->clearing);
	km_timer_free(m->rediscover);
	km_timer_free(m->tick);
	stop_watching(m);
	hpa_state_free(m->state);
	hpa_metrics_client_free(m->metrics);
	kube_scales_free(m->scales);
	kube_mapper_free(m->mapper);
	kube_lease_free(m->lease);
	json_decref(m->canary);
	m->magic = 0;
	free(m);
}

static void module_finip(struct module **m)
{
	if (*m)
		module_fini(*m);
}

static void take_options(struct module *m, const struct hpa_options *options)
{
	m->options = options;
	m->presence.mode = (enum hpa_mode)options->mode;
	m->presence.sync_us = (uint64_t)options->sync_period / 1000;
	if (m->controller)
		hpa_controller_configure(m->controller, options);
}

static int module_init(struct km_context *ctx, void **ret_self, struct km_err *err)
{
	_cleanup_(module_finip) struct module *m = calloc(1, sizeof(*m));

	if (!m)
		return km_fail(err, -ENOMEM, "out of memory");
	m->magic = MODULE_MAGIC;
	m->ctx = ctx;
	if (!ctx->usage)
		return km_fail(err, -EINVAL,
			"scaling needs the samples of [aggregator]: set enabled = yes there, or enabled = no in [hpa]");
	take_options(m, km_config_section(ctx->config, &hpa_section));
	hpa_presence_reset(&m->presence);
	if (kube_mapper_new(ctx->client, &m->mapper) < 0 ||
		hpa_metrics_client_new(ctx->client, m->mapper, &m->metrics) < 0 ||
		kube_scales_new(ctx->client, &m->scales) < 0 ||
		hpa_state_new(ctx->loop, ctx->client, ctx->state_dir, &m->state) < 0 ||
		km_timer_new(ctx->loop, discover, m, &m->rediscover) < 0 ||
		km_timer_new(ctx->loop, on_tick, m, &m->tick) < 0)
		return km_fail(err, -ENOMEM, "out of memory");
	*ret_self = KM_TAKE(m);
	return 0;
}

static int module_start(void *self, struct km_err *err)
{
	struct module *m = cast(self);

	(void)err;
	discover(m);
	on_tick(m);
	return 0;
}

static int module_reload_prepare(void *self, const struct km_config *config, struct km_err *err)
{
	struct module *m = cast(self);

	(void)err;
	m->next = km_config_section(config, &hpa_section);
	return 0;
}

static void module_reload_commit(void *self)
{
	struct module *m = cast(self);

	take_options(m, m->next);
	judge(m);
}

/* The Lease is given back, so that another instance need not wait for its end. */
static void hand_over(void *arg)
{
	struct module *m = cast(arg);

	stop_watching(m);
	if (m->lease)
		kube_lease_stop(m->lease, m->stopped, m->stopped_arg);
	else
		m->stopped(m->stopped_arg);
}

/* Nothing is scaled any more once it is on its way to the next one what was. */
static void module_stop(void *self, km_loop_fn stopped, void *arg)
{
	struct module *m = cast(self);

	m->stopped = stopped;
	m->stopped_arg = arg;
	km_timer_cancel(m->tick);
	km_timer_cancel(m->rediscover);
	kube_reflector_free(m->reflector);
	m->reflector = NULL;
	if (m->active)
		hpa_state_save(m->state, hand_over, m);
	else
		hand_over(m);
}

/* ---- what it says of itself ---- */

static void module_health(void *self, struct km_health *ret)
{
	struct module *m = cast(self);
	struct hpa_controller_counters c = {0};

	ret->ok = m->reflector && kube_reflector_synced(m->reflector);
	if (m->controller)
		hpa_controller_counters(m->controller, &c);
	if (*m->problem)
		snprintf(ret->text, sizeof(ret->text), "no HPA is looked after: %.150s", m->problem);
	else if (!ret->ok)
		snprintf(ret->text, sizeof(ret->text), "waiting for the API server's HPAs");
	else
		snprintf(ret->text, sizeof(ret->text), "%llu HPAs, %.170s", (unsigned long long)c.hpas, turn_text(m));
}

static json_t *module_status(void *self)
{
	struct module *m = cast(self);

	return json_pack("{s:b, s:s, s:o*, s:s, s:o}", "active", m->active, "turn", turn_text(m), "delays",
		m->controller ? hpa_controller_delays(m->controller) : NULL, "api_version",
		m->version ? m->version : "", "hpas",
		m->controller ? hpa_controller_status(m->controller) : json_array());
}

static json_t *module_ask(void *self, const char *op, json_t *request)
{
	const char *key = json_string_value(json_object_get(request, "hpa"));
	struct module *m = cast(self);
	json_t *one;

	if (strcmp(op, "explain") != 0)
		return NULL;
	if (!m->controller)
		return km_control_error(3, "no HPA is looked after%s%s", *m->problem ? ": " : " yet", m->problem);
	if (!key)
		return json_pack("{s:o, s:s}", "hpas", hpa_controller_explain_all(m->controller), "turn", turn_text(m));
	one = hpa_controller_explain(m->controller, key);
	if (!one)
		return km_control_error(3, "there is no HorizontalPodAutoscaler %s, or it is not looked after", key);
	json_object_set_new(one, "turn", json_string(turn_text(m)));
	return one;
}

#define COUNTER(text, member, what)                                                         \
	{                                                                                   \
		.name = (text), .help = (what), .offset = offsetof(struct counters, member) \
	}
static const struct km_counter counter_rows[] = {
	COUNTER("hpas", controller.hpas, "HPAs looked after"),
	COUNTER("reconciles_total", controller.rounds_total, "reconciles begun"),
	COUNTER("scale_gets_total", controller.scale_gets_total,
		"scales that had to be asked for, because no watch tells them"),
	COUNTER("reconcile_errors_total", controller.errors_total, "of these, ended with an error"),
	COUNTER("scaled_total", controller.scaled_total, "changes of a target's replicas"),
	COUNTER("status_writes_total", controller.status_writes_total, "writes of an HPA's status"),
	COUNTER("events_total", controller.events_total, "events made"),
	COUNTER("hpas_left_out_total", controller.left_out_total, "HPAs beyond the limit"),
	COUNTER("active", active, "1 while this instance scales"),
	COUNTER("lease_held", lease_held, "1 while this instance holds the Lease"),
};

static const void *module_counters_base(void *self)
{
	struct module *m = cast(self);

	if (m->controller)
		hpa_controller_counters(m->controller, &m->counters.controller);
	m->counters.active = m->active;
	m->counters.lease_held = holds(m);
	return &m->counters;
}

const struct km_module hpa_module = {
	.name = "hpa",
	.summary = "scales workloads as kube-controller-manager's HPA controller does",
	.section = &hpa_section,
	.counters = counter_rows,
	.n_counters = KM_ARRAY_LEN(counter_rows),
	.init = module_init,
	.start = module_start,
	.reload_prepare = module_reload_prepare,
	.reload_commit = module_reload_commit,
	.stop = module_stop,
	.fini = module_fini,
	.health = module_health,
	.status = module_status,
	.ask = module_ask,
	.counters_base = module_counters_base,
};
