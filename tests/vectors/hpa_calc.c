/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of kind "calc": the replica calculator. "Now" is 0. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "hpa/calc_value.h"
#include "hpa/metric_selector.h"
#include "hpa/request.h"
#include "hpa_vectors.h"

static const char *const line_keys[] = {"s:id", "s:kind", "s:fn", "a:tags", "i:cur", "i:target", "d:tolDown", "d:tolUp",
	"s:resource", "s:container", "s:namespace", "i:cpuInit", "i:readyDelay", "o:gates", "a:pods", "a:podMetrics",
	"s:metricErr", "o:out", "s:metric", "o:object", "o:metricSelector", "i:value", "a:values", NULL};
static const char *const gate_keys[] = {"b:PodLevelResources", NULL};
static const char *const pod_keys[] = {"s:name", "s:phase", "b:deleting", "i:start", "o:ready", "a:containers",
	"a:initContainers", "o:podRequests", "o:overhead", NULL};
static const char *const ready_keys[] = {"s:status", "i:since", NULL};
static const char *const container_keys[] = {"s:name", "o:req", "b:sidecar", NULL};
static const char *const metric_keys[] = {"s:pod", "i:value", "i:ts", "i:window", NULL};
static const char *const out_keys[] = {"i:replicas", "i:utilization", "i:value", "s:err", "a:errAny", NULL};

static const struct {
	const char *text;
	uint8_t phase;
} phases[] = {{"", KUBE_RUNNING}, {"Pending", KUBE_PENDING}, {"Running", KUBE_RUNNING}, {"Succeeded", KUBE_SUCCEEDED},
	{"Failed", KUBE_FAILED}, {"Unknown", KUBE_PHASE_UNKNOWN}};

static const struct {
	const char *text;
	uint8_t status;
} statuses[] = {{"True", KUBE_TRUE}, {"False", KUBE_FALSE}, {"Unknown", KUBE_UNKNOWN}};

static int phase_of(const char *text, uint8_t *ret)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(phases); i++) {
		if (strcmp(phases[i].text, text) == 0) {
			*ret = phases[i].phase;
			return 0;
		}
	}
	return -EINVAL;
}

static int status_of(const char *text, uint8_t *ret)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(statuses); i++) {
		if (strcmp(statuses[i].text, text) == 0) {
			*ret = statuses[i].status;
			return 0;
		}
	}
	return -EINVAL;
}

/* A quantity of a resource list; whether there is one. */
static bool amount_of(json_t *list, const char *resource, int64_t *ret_milli)
{
	json_t *milli = json_object_get(list, resource);

	*ret_milli = (int64_t)json_integer_value(milli);
	return json_is_integer(milli);
}

static int read_containers(
	json_t *list, bool init, const char *resource, struct hpa_container *ret, struct vectors_report *report)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		if (!vectors_known(item, container_keys, report))
			return -EINVAL;
		ret[i].name = vectors_text(item, "name");
		ret[i].has_request = amount_of(json_object_get(item, "req"), resource, &ret[i].request_milli);
		ret[i].kind = (uint8_t)(!init                           ? KUBE_CONTAINER
					: vectors_true(item, "sidecar") ? KUBE_SIDECAR
									: KUBE_INIT);
	}
	return 0;
}

/* The pod's containers are allocated, and freed by free_pods(). */
static int read_pod(json_t *in, json_t *gates, const char *resource, struct hpa_pod *ret, struct vectors_report *report)
{
	json_t *regular = json_object_get(in, "containers"), *init = json_object_get(in, "initContainers"),
	       *ready = json_object_get(in, "ready"), *start = json_object_get(in, "start"),
	       *requests = json_object_get(in, "podRequests"), *value;
	size_t n = json_array_size(regular);
	struct hpa_container *containers;
	const char *key;

	if (!vectors_known(in, pod_keys, report) || (ready && !vectors_known(ready, ready_keys, report)))
		return -EINVAL;
	ret->n_containers = n + json_array_size(init);
	containers = calloc(ret->n_containers + 1, sizeof(*containers));
	if (!containers)
		return -ENOMEM;
	ret->containers = containers;
	ret->name = vectors_text(in, "name");
	ret->deleting = vectors_true(in, "deleting");
	ret->started_ns = start ? vectors_int(in, "start") : HPA_TIME_NONE;
	ret->ready_since_ns = vectors_int(ready, "since");
	if (read_containers(regular, false, resource, containers, report) < 0 ||
		read_containers(init, true, resource, containers + n, report) < 0 ||
		phase_of(vectors_text(in, "phase"), &ret->phase) < 0 ||
		(ready && status_of(vectors_text(ready, "status"), &ret->ready) < 0))
		return -EINVAL;
	ret->has_overhead = amount_of(json_object_get(in, "overhead"), resource, &ret->overhead_milli);
	if (json_is_false(json_object_get(gates, "PodLevelResources")))
		return 0;
	json_object_foreach(requests, key, value) ret->pod_level = ret->pod_level || hpa_resource_is_pod_level(key);
	ret->has_pod_request = amount_of(requests, resource, &ret->pod_request_milli);
	return 0;
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

static int read_pods(json_t *line, const char *resource, struct hpa_pod *ret, struct vectors_report *report)
{
	json_t *item;
	size_t i;
	int r;

	json_array_foreach(json_object_get(line, "pods"), i, item)
	{
		r = read_pod(item, json_object_get(line, "gates"), resource, &ret[i], report);
		if (r < 0)
			return r;
	}
	qsort(ret, json_array_size(json_object_get(line, "pods")), sizeof(*ret), pod_order);
	return 0;
}

static int read_metrics(json_t *list, struct hpa_pod_metric *ret, struct vectors_report *report)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		if (!vectors_known(item, metric_keys, report))
			return -EINVAL;
		ret[i] = (struct hpa_pod_metric){
			.pod = vectors_text(item, "pod"),
			.value_milli = vectors_int(item, "value"),
			.time_ns = vectors_int(item, "ts"),
			.window_ns = vectors_int(item, "window"),
		};
	}
	qsort(ret, json_array_size(list), sizeof(*ret), metric_order);
	return 0;
}

static bool error_fits(json_t *out, const char *error)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(out, "errAny"), i, item)
	{
		if (json_is_string(item) && strcmp(json_string_value(item), error) == 0)
			return true;
	}
	return strcmp(vectors_text(out, "err"), error) == 0;
}

static void compare(
	json_t *out, bool utilization, const struct hpa_proposal *got, const char *error, struct vectors_report *report)
{
	if (!error_fits(out, error)) {
		vectors_differ(report, "error \"%s\", expected \"%s\"", error, vectors_text(out, "err"));
		return;
	}
	if (error[0])
		return;
	if (got->replicas != vectors_int(out, "replicas"))
		vectors_differ(
			report, "replicas %" PRId32 ", expected %" PRId64, got->replicas, vectors_int(out, "replicas"));
	if (utilization && got->utilization != vectors_int(out, "utilization"))
		vectors_differ(report, "utilization %" PRId32 ", expected %" PRId64, got->utilization,
			vectors_int(out, "utilization"));
	if (got->value_milli != vectors_int(out, "value"))
		vectors_differ(
			report, "value %" PRId64 ", expected %" PRId64, got->value_milli, vectors_int(out, "value"));
}

/* ---- the functions: 0 and the proposal, or negative and upstream's text, of which the callers of the calculator make
 * the part that names the metric ---- */

static int resource_replicas(json_t *line, struct hpa_calc *in, struct hpa_proposal *ret, struct km_err *err)
{
	return hpa_calc_utilization(in, (int32_t)vectors_int(line, "target"), ret, err);
}

static int average_replicas(json_t *line, struct hpa_calc *in, struct hpa_proposal *ret, struct km_err *err)
{
	return hpa_calc_average(in, vectors_int(line, "target"), ret, err);
}

static int object_replicas(json_t *line, struct hpa_calc *in, struct hpa_proposal *ret, struct km_err *err)
{
	return hpa_calc_value(in, vectors_int(line, "value"), vectors_int(line, "target"), ret, err);
}

static int object_share(json_t *line, struct hpa_calc *in, struct hpa_proposal *ret, struct km_err *err)
{
	*ret = hpa_calc_object_share(in, in->replicas, vectors_int(line, "value"), vectors_int(line, "target"));
	return 0;
}

static int64_t sum_of(json_t *line, bool shared)
{
	json_t *list = json_object_get(line, "values"), *value;
	int64_t values[64] = {0};
	size_t i;

	if (json_array_size(list) > KM_ARRAY_LEN(values))
		abort();
	json_array_foreach(list, i, value) values[i] = json_integer_value(value);
	return hpa_sum_external(values, json_array_size(list), shared);
}

static int external_replicas(json_t *line, struct hpa_calc *in, struct hpa_proposal *ret, struct km_err *err)
{
	return hpa_calc_value(in, sum_of(line, false), vectors_int(line, "target"), ret, err);
}

static int external_share(json_t *line, struct hpa_calc *in, struct hpa_proposal *ret, struct km_err *err)
{
	*ret = hpa_calc_external_share(in, in->replicas, sum_of(line, true), vectors_int(line, "target"));
	return 0;
}

static int resource_error(json_t *line, const char *text, struct km_err *err)
{
	return km_fail(
		err, -ENODATA, "unable to get metrics for resource %s: %s", vectors_text(line, "resource"), text);
}

static int pods_error(json_t *line, const char *text, struct km_err *err)
{
	return km_fail(err, -ENODATA, "unable to get metric %s: %s", vectors_text(line, "metric"), text);
}

static int object_error(json_t *line, const char *text, struct km_err *err)
{
	json_t *object = json_object_get(line, "object");

	return km_fail(err, -ENODATA, "unable to get metric %s: %s on %s %s/%s", vectors_text(line, "metric"),
		vectors_text(object, "kind"), vectors_text(line, "namespace"), vectors_text(object, "name"), text);
}

static int external_error(json_t *line, const char *text, struct km_err *err)
{
	struct hpa_metric_selector selector;
	int r;

	if (hpa_metric_selector_read(json_object_get(line, "metricSelector"), &selector) < 0)
		abort();
	r = km_fail(err, -ENODATA, "unable to get external metric %s/%s/%s: %s", vectors_text(line, "namespace"),
		vectors_text(line, "metric"), selector.shown, text);
	hpa_metric_selector_clear(&selector);
	return r;
}

static const struct function {
	const char *name;
	int (*run)(json_t *line, struct hpa_calc *in, struct hpa_proposal *ret, struct km_err *err);
	int (*error)(json_t *line, const char *text, struct km_err *err);
	bool utilization, by_selector;
} functions[] = {
	{"GetResourceReplicas", resource_replicas, resource_error, true, false},
	{"GetRawResourceReplicas", average_replicas, resource_error, false, false},
	{"GetMetricReplicas", average_replicas, pods_error, false, false},
	{"GetObjectMetricReplicas", object_replicas, object_error, false, false},
	{"GetObjectPerPodMetricReplicas", object_share, object_error, false, false},
	{"GetExternalMetricReplicas", external_replicas, external_error, false, true},
	{"GetExternalPerPodMetricReplicas", external_share, external_error, false, true},
};

static const struct function *function_of(json_t *line)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(functions); i++)
		if (strcmp(functions[i].name, vectors_text(line, "fn")) == 0)
			return &functions[i];
	return NULL;
}

/* A selector that is none fails before anything is asked. */
static int check_selector(json_t *line, struct km_err *err)
{
	struct hpa_metric_selector selector;
	int r = 0;

	if (hpa_metric_selector_read(json_object_get(line, "metricSelector"), &selector) < 0)
		abort();
	if (selector.error)
		r = km_fail(err, -EINVAL, "%s", selector.error);
	hpa_metric_selector_clear(&selector);
	return r;
}

static int run(json_t *line, const struct function *fn, struct hpa_calc *in, struct vectors_report *report)
{
	const char *api_error = vectors_text(line, "metricErr");
	struct hpa_proposal got = {0};
	struct km_err err = {""};
	int r = fn->by_selector ? check_selector(line, &err) : 0;

	if (r == 0)
		r = api_error[0] ? fn->error(line, api_error, &err) : fn->run(line, in, &got, &err);
	if ((r < 0) != (err.text[0] != '\0'))
		vectors_differ(report, "result %d with error \"%s\"", r, err.text);
	compare(json_object_get(line, "out"), fn->utilization, &got, err.text, report);
	return 0;
}

int hpa_calc_run(json_t *line, struct vectors_report *report)
{
	json_t *pods = json_object_get(line, "pods"), *metrics = json_object_get(line, "podMetrics"),
	       *gates = json_object_get(line, "gates");
	const struct function *fn = function_of(line);
	struct hpa_calc in = {
		.n_pods = json_array_size(pods),
		.n_metrics = json_array_size(metrics),
		.replicas = (int32_t)vectors_int(line, "cur"),
		.tolerance_down = vectors_double(line, "tolDown"),
		.tolerance_up = vectors_double(line, "tolUp"),
		.cpu_initialization_ns = vectors_int(line, "cpuInit"),
		.readiness_delay_ns = vectors_int(line, "readyDelay"),
		.resource = vectors_text(line, "resource"),
		.container = vectors_text(line, "container"),
	};
	struct hpa_pod_metric *read;
	int r = -EINVAL;

	if (!vectors_known(line, line_keys, report) || (gates && !vectors_known(gates, gate_keys, report)) ||
		!vectors_known(json_object_get(line, "out"), out_keys, report) || !fn)
		return -EINVAL;
	in.pods = calloc(in.n_pods + 1, sizeof(*in.pods));
	in.metrics = read = calloc(in.n_metrics + 1, sizeof(*read));
	if (in.pods && read && read_pods(line, in.resource, in.pods, report) == 0 &&
		read_metrics(metrics, read, report) == 0)
		r = run(line, fn, &in, report);
	for (size_t i = 0; in.pods && i < in.n_pods; i++)
		free((void *)(uintptr_t)in.pods[i].containers);
	free(in.pods);
	free(read);
	return r;
}
