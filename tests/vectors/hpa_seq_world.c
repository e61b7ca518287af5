/* SPDX-License-Identifier: Apache-2.0 */
/* The world of a recorded scenario: see hpa_seq.h. All answers come at once. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hpa/request.h"
#include "hpa_seq.h"
#include "kube/quantity.h"
#include "kube/selector.h"

static const char *const pod_keys[] = {"s:name", "s:namespace", "o:labels", "s:phase", "b:deleting", "i:start",
	"o:ready", "a:containers", "a:initContainers", "o:podRequests", "o:overhead", NULL};
static const char *const ready_keys[] = {"s:status", "i:since", NULL};
static const char *const container_keys[] = {"s:name", "o:req", "b:sidecar", NULL};
static const char *const metric_keys[] = {"s:pod", "i:ts", "i:window", "o:usage", NULL};
static const char *const scale_keys[] = {"i:replicas", "i:statusReplicas", "s:selector", "s:resourceVersion", NULL};
static const char *const error_keys[] = {"s:message", "i:code", "s:reason", NULL};
static const char *const reget_keys[] = {"o:scale", "o:error", NULL};
static const char *const other_keys[] = {"s:namespace", "s:name", "s:selector", NULL};

/* The kinds that the scenarios know, with the number of versions they are served in. */
static const struct {
	const char *group, *kind;
	int versions;
} kinds[] = {
	{"", "ReplicationController", 1},
	{"", "Pod", 1},
	{"", "Service", 1},
	{"apps", "Deployment", 1},
	{"apps", "ReplicaSet", 1},
	{"apps", "StatefulSet", 1},
	{"apps", "DaemonSet", 1},
	{"example.com", "Widget", 1},
	{"multi.example.com", "Gadget", 2},
};

static int64_t now_ns(void *arg)
{
	const struct seq *s = arg;

	return s->now_ns;
}

static bool is_kind(const char *kind, const char *text)
{
	size_t i = 0;

	if (strcmp(kind, text) == 0)
		return true;
	while (kind[i] && (kind[i] | 0x20) == text[i])
		i++;
	return !kind[i] && !text[i];
}

static int mappings(const struct hpa_spec *spec, void *arg, struct km_err *err)
{
	const char *slash = strchr(spec->target_api_version, '/');
	char group[256];

	snprintf(group, sizeof(group), "%.*s", slash ? (int)(slash - spec->target_api_version) : 0,
		spec->target_api_version);
	for (size_t i = 0; i < KM_ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].group, group) == 0 && is_kind(kinds[i].kind, spec->target_kind))
			return kinds[i].versions;
	return km_fail(err, -ENOENT, "no matches for kind \"%s\" in group \"%s\"", spec->target_kind, group);
}

/* ---- scale ---- */

/* Entry i of a list, the last one for all beyond when it repeats; NULL for null. */
static json_t *entry_of(json_t *list, size_t i, bool repeats)
{
	size_t n = json_array_size(list);
	json_t *entry = json_array_get(list, repeats && i >= n && n > 0 ? n - 1 : i);

	return json_is_null(entry) ? NULL : entry;
}

static const struct hpa_failure *failure_of(struct seq *s, json_t *error, struct hpa_failure *failure)
{
	if (!error)
		return NULL;
	(void)vectors_known(error, error_keys, s->report);
	*failure = (struct hpa_failure){
		.text = vectors_text(error, "message"), .conflict = vectors_int(error, "code") == 409};
	return failure;
}

static void answer_scale(struct seq *s, struct hpa_round *round, json_t *scale, json_t *error)
{
	struct hpa_failure failure;
	const struct hpa_scale value = {
		.replicas = (int32_t)vectors_int(scale, "replicas"),
		.status_replicas = (int32_t)vectors_int(scale, "statusReplicas"),
		.selector = vectors_text(scale, "selector"),
		.resource_version = vectors_text(scale, "resourceVersion"),
	};

	if (!error)
		(void)vectors_known(scale, scale_keys, s->report);
	hpa_round_scale(round, error ? NULL : &value, failure_of(s, error, &failure));
}

static void scale_get(struct hpa_round *round, int mapping, bool after_put, void *arg)
{
	struct seq *s = arg;
	json_t *scale = json_object_get(s->in, "scale"), *again;

	if (!after_put) {
		if (s->gets++ != (size_t)mapping)
			vectors_differ(s->report, "GET %zu of the scale asks for mapping %d", s->gets, mapping);
		answer_scale(s, round, scale, entry_of(json_object_get(s->in, "scaleGets"), (size_t)mapping, true));
		return;
	}
	again = entry_of(json_object_get(s->in, "regets"), s->regets++, false);
	if (again)
		(void)vectors_known(again, reget_keys, s->report);
	answer_scale(s, round, json_object_get(again, "scale") ? json_object_get(again, "scale") : scale,
		json_object_get(again, "error"));
}

static void scale_put(struct hpa_round *round, int32_t replicas, const char *resource_version, void *arg)
{
	struct seq *s = arg;
	json_t *error = entry_of(json_object_get(s->in, "scalePuts"), json_array_size(s->puts), false);
	struct hpa_failure failure;

	json_array_append_new(
		s->puts, json_pack("{s:i, s:s}", "replicas", (int)replicas, "resourceVersion", resource_version));
	if (!error)
		s->scaled_to = json_integer(replicas);
	hpa_round_put(round, failure_of(s, error, &failure));
}

/* ---- pods ---- */

static json_t *of_pod(struct seq *s, json_t *pod, const char *key)
{
	json_t *value = json_object_get(pod, key);

	return value ? value : json_object_get(s->template, key);
}

static bool is_selected(struct seq *s, json_t *pod, const struct kube_selector *selector)
{
	const char *namespace_ = vectors_text(pod, "namespace");
	struct kube_labels *labels;
	bool selected;

	if (*namespace_ && strcmp(namespace_, s->namespace_) != 0)
		return false;
	if (kube_labels_decode(s->labels, of_pod(s, pod, "labels"), &labels) < 0)
		abort();
	selected = kube_selector_matches(selector, labels);
	kube_labels_unref(s->labels, labels);
	return selected;
}

static int by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

/* Those of the other HPAs of this namespace that select a pod that ours selects. */
static void ambiguous(const struct kube_selector *selector, const char *text, char *ret, size_t size, void *arg)
{
	struct seq *s = arg;
	const char *names[16] = {s->name};
	size_t n = 1, i, k, len = 0;
	json_t *other, *pod;

	json_array_foreach(s->others, i, other)
	{
		struct kube_selector *theirs;
		struct km_err err;
		bool shared = false;

		if (!vectors_known(other, other_keys, s->report) ||
			strcmp(vectors_text(other, "namespace"), s->namespace_) != 0)
			continue;
		if (kube_selector_parse(vectors_text(other, "selector"), &theirs, &err) < 0)
			abort();
		json_array_foreach(s->pods, k, pod) shared =
			shared || (is_selected(s, pod, selector) && is_selected(s, pod, theirs));
		if (shared && n < KM_ARRAY_LEN(names))
			names[n++] = vectors_text(other, "name");
		kube_selector_free(theirs);
	}
	*ret = '\0';
	if (n == 1)
		return;
	qsort(names, n, sizeof(*names), by_text);
	for (i = 0; i < n && len < size; i++)
		len += (size_t)snprintf(ret + len, size - len, "%s%s/%s", i ? " " : "", s->namespace_, names[i]);
}

/* A quantity of a resource list, in thousandths; whether there is one. */
static bool amount_of(struct seq *s, json_t *list, const char *resource, int64_t *ret_milli)
{
	json_t *text = json_object_get(list, resource);

	*ret_milli = 0;
	if (!text)
		return false;
	if (!json_is_string(text) ||
		km_quantity_parse_milli(json_string_value(text), json_string_length(text), ret_milli) < 0)
		vectors_differ(s->report, "a quantity of %s cannot be read", resource);
	return true;
}

static uint8_t phase_of(struct seq *s, const char *text)
{
	static const char *const phases[] = {[KUBE_PENDING] = "Pending",
		[KUBE_RUNNING] = "Running",
		[KUBE_SUCCEEDED] = "Succeeded",
		[KUBE_FAILED] = "Failed",
		[KUBE_PHASE_UNKNOWN] = "Unknown"};

	if (!*text)
		return KUBE_RUNNING;
	for (uint8_t i = KUBE_PENDING; i < KM_ARRAY_LEN(phases); i++)
		if (strcmp(phases[i], text) == 0)
			return i;
	vectors_differ(s->report, "phase \"%s\" is not known", text);
	return KUBE_PHASE_NONE;
}

static uint8_t ready_of(struct seq *s, json_t *ready)
{
	const char *status = vectors_text(ready, "status");

	if (!ready)
		return KUBE_ABSENT;
	(void)vectors_known(ready, ready_keys, s->report);
	return strcmp(status, "True") == 0 ? KUBE_TRUE : strcmp(status, "False") == 0 ? KUBE_FALSE : KUBE_UNKNOWN;
}

static void read_containers(
	struct seq *s, json_t *list, bool init, const char *resource, struct hpa_container *containers)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		(void)vectors_known(item, container_keys, s->report);
		containers[i].name = vectors_text(item, "name");
		containers[i].has_request =
			amount_of(s, json_object_get(item, "req"), resource, &containers[i].request_milli);
		containers[i].kind = (uint8_t)(!init                           ? KUBE_CONTAINER
					       : vectors_true(item, "sidecar") ? KUBE_SIDECAR
									       : KUBE_INIT);
	}
}

static void read_pod(struct seq *s, json_t *in, const char *resource, struct hpa_pod *ret)
{
	json_t *regular = of_pod(s, in, "containers"), *init = of_pod(s, in, "initContainers"),
	       *requests = of_pod(s, in, "podRequests"), *ready = json_object_get(in, "ready"), *value;
	size_t n = json_array_size(regular);
	struct hpa_container *containers = calloc(n + json_array_size(init) + 1, sizeof(*containers));
	const char *key;

	if (!containers)
		abort();
	(void)vectors_known(in, pod_keys, s->report);
	read_containers(s, regular, false, resource, containers);
	read_containers(s, init, true, resource, containers + n);
	*ret = (struct hpa_pod){
		.name = vectors_text(in, "name"),
		.phase = phase_of(s, vectors_text(in, "phase")),
		.deleting = vectors_true(in, "deleting"),
		.started_ns = json_object_get(in, "start") ? SEQ_ORIGIN_NS + vectors_int(in, "start") : HPA_TIME_NONE,
		.ready = ready_of(s, ready),
		.ready_since_ns = SEQ_ORIGIN_NS + vectors_int(ready, "since"),
		.containers = containers,
		.n_containers = n + json_array_size(init),
	};
	ret->has_overhead = amount_of(s, of_pod(s, in, "overhead"), resource, &ret->overhead_milli);
	if (s->no_pod_level)
		return;
	ret->has_pod_request = amount_of(s, requests, resource, &ret->pod_request_milli);
	json_object_foreach(requests, key, value) ret->pod_level = ret->pod_level || hpa_resource_is_pod_level(key);
}

static int pod_order(const void *a, const void *b)
{
	const struct hpa_pod *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int metric_order(const void *a, const void *b)
{
	const struct hpa_pod_metric *x = a, *y = b;

	return strcmp(x->pod, y->pod);
}

void seq_forget_pods(struct seq *s)
{
	for (size_t i = 0; i < s->n_found; i++)
		free((void *)(uintptr_t)s->found[i].containers);
	free(s->found);
	free(s->metrics);
	s->found = NULL;
	s->metrics = NULL;
	s->n_found = 0;
}

/* A pod has a metric when all its containers, and at least one, tell the resource; or the one container does. */
static size_t read_metrics(struct seq *s, json_t *list, const char *resource, const char *container)
{
	json_t *item, *usage;
	const char *name;
	size_t i, n = 0;

	json_array_foreach(list, i, item)
	{
		json_t *containers = json_object_get(item, "usage");
		struct hpa_pod_metric *metric = &s->metrics[n];
		bool complete =
			*container ? json_object_get(containers, container) != NULL : json_object_size(containers) > 0;

		(void)vectors_known(item, metric_keys, s->report);
		*metric = (struct hpa_pod_metric){
			.pod = vectors_text(item, "pod"),
			.time_ns = SEQ_ORIGIN_NS + vectors_int(item, "ts"),
			.window_ns = vectors_int(item, "window"),
		};
		json_object_foreach(containers, name, usage)
		{
			int64_t milli;

			if (*container && strcmp(name, container) != 0)
				continue;
			complete = amount_of(s, usage, resource, &milli) && complete;
			metric->value_milli += milli;
		}
		n += complete;
	}
	qsort(s->metrics, n, sizeof(*s->metrics), metric_order);
	return n;
}

static void pods(const struct kube_selector *selector, const char *text, const char *resource, const char *container,
	void *arg, struct hpa_pods_answer *ret)
{
	struct seq *s = arg;
	json_t *list = json_object_get(s->in, "podMetrics"), *pod;
	const char *error = vectors_text(s->in, "podMetricsError");
	size_t i;

	seq_forget_pods(s);
	s->found = calloc(json_array_size(s->pods) + 1, sizeof(*s->found));
	s->metrics = calloc(json_array_size(list) + 1, sizeof(*s->metrics));
	if (!s->found || !s->metrics)
		abort();
	json_array_foreach(s->pods, i, pod)
	{
		if (is_selected(s, pod, selector))
			read_pod(s, pod, resource, &s->found[s->n_found++]);
	}
	qsort(s->found, s->n_found, sizeof(*s->found), pod_order);
	*ret = (struct hpa_pods_answer){.pods = s->found, .n_pods = s->n_found, .metrics = s->metrics};
	ret->n_metrics = read_metrics(s, list, resource, container);
	if (*error)
		snprintf(
			ret->error, sizeof(ret->error), "unable to fetch metrics from resource metrics API: %s", error);
	else if (json_array_size(list) == 0)
		snprintf(ret->error, sizeof(ret->error), "no metrics returned from resource metrics API");
}

/* ---- custom and external metrics ---- */

static const char *const custom_pods_keys[] = {"s:metric", "s:selector", "a:items", "s:error", NULL};
static const char *const custom_item_keys[] = {"s:pod", "s:value", NULL};
static const char *const custom_object_keys[] = {
	"s:metric", "s:selector", "s:group", "s:kind", "s:name", "s:value", "s:error", NULL};
static const char *const external_keys[] = {"s:metric", "s:selector", "a:values", "s:error", NULL};

/* The entry for this metric; NULL: nothing was recorded. */
static json_t *recorded(struct seq *s, const char *key, const char *const *keys, const struct hpa_metric *metric)
{
	const char *slash = strchr(metric->object_api_version, '/');
	bool is_namespace = strcmp(metric->object_kind, "Namespace") == 0 && !slash;
	json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(s->in, key), i, entry)
	{
		const char *group = vectors_text(entry, "group");

		if (!vectors_known(entry, keys, s->report) ||
			strcmp(vectors_text(entry, "metric"), metric->name) != 0 ||
			strcmp(vectors_text(entry, "selector"), metric->selector.query) != 0)
			continue;
		if (metric->type != HPA_METRIC_OBJECT)
			return entry;
		if (strcmp(vectors_text(entry, "kind"), metric->object_kind) == 0 &&
			strlen(group) == (slash ? (size_t)(slash - metric->object_api_version) : 0) &&
			strncmp(group, metric->object_api_version, strlen(group)) == 0 &&
			strcmp(vectors_text(entry, "name"), is_namespace ? s->namespace_ : metric->object_name) == 0)
			return entry;
	}
	return NULL;
}

static int64_t milli_of(struct seq *s, json_t *text)
{
	int64_t milli = 0;

	if (!json_is_string(text) ||
		km_quantity_parse_milli(json_string_value(text), json_string_length(text), &milli) < 0)
		vectors_differ(s->report, "a metric's value cannot be read");
	return milli;
}

static void answer_pods(struct seq *s, json_t *items, struct hpa_pod_metric *metrics)
{
	json_t *item;
	size_t i;

	json_array_foreach(items, i, item)
	{
		(void)vectors_known(item, custom_item_keys, s->report);
		metrics[i] = (struct hpa_pod_metric){
			.pod = vectors_text(item, "pod"), .value_milli = milli_of(s, json_object_get(item, "value"))};
	}
	qsort(metrics, json_array_size(items), sizeof(*metrics), metric_order);
}

static void metric_get(
	struct hpa_round *round, size_t i, const struct hpa_metric *metric, const char *selector, void *arg)
{
	static const struct {
		const char *key, *api, *items;
		const char *const *keys;
	} kinds_of[] = {
		[HPA_METRIC_PODS] = {"customPods", "custom", "items", custom_pods_keys},
		[HPA_METRIC_OBJECT] = {"customObjects", "custom", "value", custom_object_keys},
		[HPA_METRIC_EXTERNAL] = {"external", "external", "values", external_keys},
	};
	struct seq *s = arg;
	json_t *entry = recorded(s, kinds_of[metric->type].key, kinds_of[metric->type].keys, metric);
	json_t *items = json_object_get(entry, kinds_of[metric->type].items), *value;
	size_t n = json_is_array(items) ? json_array_size(items) : items ? 1 : 0, k;
	struct hpa_pod_metric *metrics = calloc(n + 1, sizeof(*metrics));
	int64_t *values = calloc(n + 1, sizeof(*values));
	struct hpa_metric_answer answer = {.n = n, .values_milli = values};
	char error[600] = "";

	if (!metrics || !values)
		abort();
	if (json_object_get(entry, "error"))
		snprintf(error, sizeof(error), "unable to fetch metrics from %s metrics API: %s",
			kinds_of[metric->type].api, vectors_text(entry, "error"));
	else if (n == 0)
		snprintf(error, sizeof(error), "no metrics returned from %s metrics API", kinds_of[metric->type].api);
	else if (metric->type == HPA_METRIC_PODS)
		answer_pods(s, items, metrics);
	else if (metric->type == HPA_METRIC_OBJECT)
		values[0] = milli_of(s, items);
	else
		json_array_foreach(items, k, value) values[k] = milli_of(s, value);
	if (metric->type == HPA_METRIC_PODS)
		answer.pods = metrics;
	if (*error)
		answer.error = error;
	hpa_round_metric(round, i, &answer);
	free(metrics);
	free(values);
}

/* ---- what is told ---- */

static void event(const char *type, const char *reason, const char *message, void *arg)
{
	struct seq *s = arg;

	json_array_append_new(
		s->events, json_pack("{s:s, s:s, s:s}", "type", type, "reason", reason, "message", message));
}

static void status_put(struct hpa_round *round, json_t *status, void *arg)
{
	struct seq *s = arg;
	json_t *error = json_object_get(s->in, "statusPut");
	struct hpa_failure failure;

	if (s->sent)
		vectors_differ(s->report, "the status is written twice");
	json_decref(s->sent);
	s->sent = json_incref(status);
	hpa_round_status(round, failure_of(s, error, &failure));
}

static void done(struct hpa_round *round, void *arg)
{
	struct seq *s = arg;

	if (s->over)
		vectors_differ(s->report, "the round ends twice");
	s->over = true;
}

const struct hpa_world seq_world = {
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
