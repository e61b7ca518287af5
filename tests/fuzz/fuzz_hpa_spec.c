/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HPA objects as an API server might send them, read as each API version; then one round over what was read, whose
 * world takes its few numbers from the object as well. A spec that was read keeps its promises, and a status that was
 * written reads back as itself.
 */
#include <errno.h>
#include <string.h>

#include "hpa/reconcile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	json_t *object, *stored;
	int puts, over;
};

static int32_t number_of(const struct fuzz *f, const char *key)
{
	return (int32_t)json_integer_value(json_object_get(f->object, key));
}

static int64_t now_ns(void *arg)
{
	return INT64_C(946684800000000000);
}

static int mappings(const struct hpa_spec *spec, void *arg, struct km_err *err)
{
	return 2;
}

static void scale_get(struct hpa_round *round, int mapping, bool after_put, void *arg)
{
	const struct fuzz *f = arg;
	const char *selector = json_string_value(json_object_get(f->object, "selector")),
		   *failure = json_string_value(json_object_get(f->object, "getError"));

	hpa_round_scale(round,
		&(const struct hpa_scale){.replicas = number_of(f, "replicas"),
			.selector = selector ? selector : "app=web",
			.resource_version = "1"},
		failure && mapping == 0 ? &(const struct hpa_failure){.text = failure} : NULL);
}

static void scale_put(struct hpa_round *round, int32_t replicas, const char *resource_version, void *arg)
{
	struct fuzz *f = arg;

	hpa_round_put(round, f->puts++ < number_of(f, "conflicts")
				     ? &(const struct hpa_failure){.text = "conflict", .conflict = true}
				     : NULL);
	if (f->puts > 5)
		abort();
}

static void ambiguous(const struct kube_selector *selector, const char *text, char *ret, size_t size, void *arg)
{
	*ret = '\0';
}

static void pods(const struct kube_selector *selector, const char *text, const char *resource, const char *container,
	void *arg, struct hpa_pods_answer *ret)
{
	static const struct hpa_container app = {.name = "app", .request_milli = 1000, .has_request = true};
	static struct hpa_pod pod;
	static struct hpa_pod_metric metric;
	const struct fuzz *f = arg;

	pod = (struct hpa_pod){.name = "web-0",
		.phase = KUBE_RUNNING,
		.started_ns = 0,
		.ready = KUBE_TRUE,
		.containers = &app,
		.n_containers = 1};
	metric = (struct hpa_pod_metric){.pod = "web-0",
		.value_milli = json_integer_value(json_object_get(f->object, "usage")),
		.time_ns = now_ns(arg)};
	*ret = (struct hpa_pods_answer){.pods = &pod, .n_pods = 1, .metrics = &metric, .n_metrics = 1};
}

static void metric_get(
	struct hpa_round *round, size_t i, const struct hpa_metric *metric, const char *selector, void *arg)
{
	const struct fuzz *f = arg;
	const int64_t value = json_integer_value(json_object_get(f->object, "usage"));
	const struct hpa_pod_metric pod = {.pod = "web-0", .value_milli = value};

	if (metric->type == HPA_METRIC_PODS)
		hpa_round_metric(round, i, &(const struct hpa_metric_answer){.pods = &pod, .n = 1});
	else
		hpa_round_metric(round, i, &(const struct hpa_metric_answer){.values_milli = &value, .n = 1});
}

static void event(const char *type, const char *reason, const char *message, void *arg)
{
	json_t *text = json_string(message);

	if (!text || strlen(message) >= HPA_MESSAGE_MAX)
		abort();
	json_decref(text);
}

static void status_put(struct hpa_round *round, json_t *status, void *arg)
{
	struct fuzz *f = arg;

	f->stored = json_incref(status);
	hpa_round_status(round, NULL);
}

static void done(struct hpa_round *round, void *arg)
{
	struct fuzz *f = arg;

	f->over++;
}

static void check_rules(const struct hpa_rules *rules)
{
	if (rules->n_policies > HPA_POLICIES_MAX || rules->window_s < -1)
		abort();
	for (size_t i = 0; i < rules->n_policies; i++)
		if (rules->policies[i].value < 1 || rules->policies[i].period_s < 1)
			abort();
}

static void check_spec(const struct hpa_spec *spec)
{
	if (spec->n_metrics < 1 || spec->n_metrics > HPA_METRICS_MAX || spec->min < 0 || spec->max < 1 ||
		!*spec->target_name || strlen(spec->target_kind) > HPA_TEXT_MAX ||
		strlen(spec->target_api_version) > HPA_TEXT_MAX || strchr(spec->target_name, '/'))
		abort();
	check_rules(&spec->up);
	check_rules(&spec->down);
	for (size_t i = 0; i < spec->n_metrics; i++) {
		const struct hpa_metric *metric = &spec->metrics[i];

		if (strlen(metric->type_text) > HPA_TEXT_MAX || strlen(metric->name) > HPA_TEXT_MAX ||
			strlen(metric->container) > HPA_TEXT_MAX || strlen(metric->object_name) > HPA_TEXT_MAX ||
			(metric->has_utilization && metric->utilization < 1) ||
			(metric->has_average_value && metric->average_value_milli < 1) ||
			(metric->has_value && metric->value_milli < 1))
			abort();
	}
}

/* What was written is read as written, in this version. */
static void check_status(json_t *written, enum hpa_api_version version)
{
	struct hpa_status status;
	json_t *again;

	hpa_status_decode(written, &status);
	again = hpa_status_encode(&status, version);
	if (!again || !json_equal(json_object_get(again, "conditions"), json_object_get(written, "conditions")) ||
		!hpa_status_same(written, written))
		abort();
	json_decref(again);
}

static void play(struct fuzz *f, const struct hpa_spec *spec, enum hpa_api_version version)
{
	static const struct hpa_flags flags = {.downscale_stabilization_ns = INT64_C(300000000000), .tolerance = 0.1};
	const struct hpa_world world = {.now_ns = now_ns,
		.mappings = mappings,
		.scale_get = scale_get,
		.scale_put = scale_put,
		.ambiguous = ambiguous,
		.pods = pods,
		.metric_get = metric_get,
		.event = event,
		.status_put = status_put,
		.done = done,
		.arg = f};
	struct hpa_memory memory = {0};
	struct hpa_round *round;

	if (hpa_round_start(&(const struct hpa_round_config){.namespace_ = "shop",
				    .name = "web",
				    .spec = spec,
				    .status = json_object_get(f->object, "status"),
				    .version = version,
				    .memory = &memory,
				    .flags = &flags,
				    .world = &world},
		    &round) < 0 ||
		f->over != 1)
		abort();
	if (f->stored)
		check_status(f->stored, version);
	json_decref(f->stored);
	hpa_round_free(round);
	hpa_memory_clear(&memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *object = json_loadb((const char *)data, size, JSON_ALLOW_NUL, NULL);

	if (!object)
		return 0;
	for (enum hpa_api_version version = HPA_V2; version <= HPA_V2BETA1; version++) {
		struct fuzz f = {.object = object};
		struct km_err err = {.text = ""};
		struct hpa_spec *spec;
		int r = hpa_spec_decode(object, version, &spec, &err);

		if ((r < 0) != (*err.text != '\0'))
			abort();
		if (r < 0)
			continue;
		check_spec(spec);
		play(&f, spec, version);
		hpa_spec_free(spec);
	}
	json_decref(object);
	return 0;
}
