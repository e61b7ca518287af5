/* SPDX-License-Identifier: Apache-2.0 */
/* The replica calculator: see calc.h. Upstream's maps of metrics are counts and sums here; each sum wraps as
 * upstream's, so the order of adding is of no interest. */
#include "hpa/calc.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "hpa/arith.h"
#include "hpa/request.h"

/* The pods by group, and what is left of the metrics without those that do not count. */
struct groups {
	uint32_t n[HPA_GROUPS];
	size_t n_metrics;
	int64_t metrics_milli; /* their sum */
};

/* A usage in relation to its target. */
struct usage {
	double ratio;
	int32_t utilization;
	int64_t average_milli;
};

/* What the calculation assumes of pods without a metric that counts. */
struct assumption {
	bool missing, unready; /* these pods count now; unready ones as using nothing */
	bool missing_as_target;
};

bool hpa_calc_is_within(const struct hpa_calc *in, double ratio)
{
	return 1.0 - in->tolerance_down <= ratio && ratio <= 1.0 + in->tolerance_up;
}

/* Both lists are sorted: one walk. */
static void match_metrics(const struct hpa_calc *in)
{
	size_t m = 0;

	for (size_t i = 0; i < in->n_pods; i++) {
		struct hpa_pod *pod = &in->pods[i];

		while (m < in->n_metrics && strcmp(in->metrics[m].pod, pod->name) < 0)
			m++;
		pod->metric = m < in->n_metrics && strcmp(in->metrics[m].pod, pod->name) == 0 ? &in->metrics[m] : NULL;
	}
}

/* A CPU sample of a pod that starts says little: until its initialization period is over, readiness and a whole window
 * since the last change of readiness are asked for; afterwards only pods that never were ready are left out. */
static bool is_cpu_unready(const struct hpa_calc *in, const struct hpa_pod *pod)
{
	bool not_ready = pod->ready == KUBE_FALSE;

	if (pod->ready == KUBE_ABSENT || pod->started_ns == HPA_TIME_NONE)
		return true;
	if (hpa_time_add(pod->started_ns, in->cpu_initialization_ns) > in->now_ns)
		return not_ready || pod->metric->time_ns < hpa_time_add(pod->ready_since_ns, pod->metric->window_ns);
	return not_ready && hpa_time_add(pod->started_ns, in->readiness_delay_ns) > pod->ready_since_ns;
}

static enum hpa_pod_group group_of(const struct hpa_calc *in, const struct hpa_pod *pod)
{
	if (in->fixed && pod->foreign)
		return HPA_GROUP_FOREIGN;
	if (in->fixed && pod->request_milli < 0)
		return HPA_GROUP_UNREQUESTED;
	if (pod->deleting || pod->phase == KUBE_FAILED || (in->fixed && pod->phase == KUBE_SUCCEEDED))
		return HPA_GROUP_IGNORED;
	if (pod->phase == KUBE_PENDING)
		return HPA_GROUP_UNREADY;
	if (!pod->metric)
		return HPA_GROUP_MISSING;
	if (strcmp(in->resource, "cpu") == 0 && is_cpu_unready(in, pod))
		return HPA_GROUP_UNREADY;
	return HPA_GROUP_READY;
}

static int group_pods(const struct hpa_calc *in, struct groups *ret, struct km_err *err)
{
	struct groups g = {.n_metrics = in->n_metrics};

	if (in->n_pods == 0)
		return km_fail(err, -ENODATA, "no pods returned by selector while calculating replica count");
	match_metrics(in);
	for (size_t i = 0; i < in->n_metrics; i++)
		g.metrics_milli = hpa_add64(g.metrics_milli, in->metrics[i].value_milli);
	for (size_t i = 0; i < in->n_pods; i++) {
		struct hpa_pod *pod = &in->pods[i];

		pod->group = (uint8_t)group_of(in, pod);
		g.n[pod->group]++;
		if (pod->group != HPA_GROUP_READY && pod->metric) {
			g.n_metrics--;
			g.metrics_milli = hpa_sub64(g.metrics_milli, pod->metric->value_milli);
		}
	}
	if (g.n_metrics == 0)
		return km_fail(err, -ENODATA, "did not receive metrics for targeted pods (pods might be unready)");
	*ret = g;
	return 0;
}

/* GetResourceUtilizationRatio: over the pods that have both a metric, or an assumed one, and a request. */
static int utilization_of(const struct hpa_calc *in, int32_t target_percent, const struct assumption *assume,
	struct usage *ret, struct km_err *err)
{
	int64_t usage = 0, requests = 0, entries = 0, fallback = KM_MAX(100, target_percent);

	for (size_t i = 0; i < in->n_pods; i++) {
		const struct hpa_pod *pod = &in->pods[i];
		int64_t value = 0;

		if (pod->group == HPA_GROUP_READY)
			value = pod->metric->value_milli;
		else if (pod->group == HPA_GROUP_MISSING && assume->missing)
			value = assume->missing_as_target ? hpa_mul64(pod->request_milli, fallback) / 100 : 0;
		else if (!(pod->group == HPA_GROUP_UNREADY && assume->unready))
			continue;
		usage = hpa_add64(usage, value);
		requests = hpa_add64(requests, pod->request_milli);
		entries++;
	}
	if (requests == 0)
		return km_fail(err, -ENODATA, "no metrics returned matched known pods");
	ret->utilization = (int32_t)(uint32_t)(uint64_t)hpa_div64(hpa_mul64(usage, 100), requests);
	ret->ratio = (double)ret->utilization / (double)target_percent;
	ret->average_milli = usage / entries;
	return 0;
}

/* GetMetricUsageRatio: over all metrics that are left, pods of ours or not, and the assumed ones. */
static void average_of(const struct groups *g, int64_t target_milli, const struct assumption *assume, struct usage *ret)
{
	int64_t usage = g->metrics_milli, entries = (int64_t)g->n_metrics;

	if (assume->missing) {
		entries += (int64_t)g->n[HPA_GROUP_MISSING];
		if (assume->missing_as_target)
			usage = hpa_add64(usage, hpa_mul64(target_milli, (int64_t)g->n[HPA_GROUP_MISSING]));
	}
	if (assume->unready)
		entries += (int64_t)g->n[HPA_GROUP_UNREADY];
	ret->utilization = 0;
	ret->average_milli = usage / entries;
	ret->ratio = (double)ret->average_milli / (double)target_milli;
}

/* Pods without a metric that counts are assumed to damp the step: to use what is wanted of them when it goes down,
 * nothing when it goes up. False: there are none such, the usage stands as it is. */
static bool assume_of(const struct groups *g, double ratio, struct assumption *ret)
{
	bool up_with_unready = g->n[HPA_GROUP_UNREADY] > 0 && ratio > 1.0;

	if (!up_with_unready && g->n[HPA_GROUP_MISSING] == 0)
		return false;
	*ret = (struct assumption){
		.missing = ratio < 1.0 || ratio > 1.0,
		.unready = up_with_unready,
		.missing_as_target = ratio < 1.0,
	};
	return true;
}

static int32_t replicas_of(double ratio, size_t n)
{
	return hpa_int32_of(ceil(ratio * (double)n));
}

/* A step must go the way the usage points, whatever the number of pods counted in (a surge, extra pods). */
int32_t hpa_calc_guarded(const struct hpa_calc *in, double ratio, int32_t replicas)
{
	if ((ratio < 1.0 && replicas > in->replicas) || (ratio > 1.0 && replicas < in->replicas))
		return in->replicas;
	return replicas;
}

/* Upstream has no guard here ([BUG] of spec 2.6). */
static int32_t undamped(const struct hpa_calc *in, const struct groups *g, double ratio)
{
	int32_t replicas = replicas_of(ratio, g->n[HPA_GROUP_READY]);

	if (hpa_calc_is_within(in, ratio))
		return in->replicas;
	return in->fixed ? hpa_calc_guarded(in, ratio, replicas) : replicas;
}

/* The damped ratio must agree with the first one in its direction, and so must the replicas with it. */
static int32_t damped(
	const struct hpa_calc *in, const struct groups *g, const struct assumption *assume, double first, double ratio)
{
	size_t n = g->n_metrics + (assume->missing ? g->n[HPA_GROUP_MISSING] : 0) +
		   (assume->unready ? g->n[HPA_GROUP_UNREADY] : 0);

	if (hpa_calc_is_within(in, ratio) || (first < 1.0 && ratio > 1.0) || (first > 1.0 && ratio < 1.0))
		return in->replicas;
	return hpa_calc_guarded(in, ratio, replicas_of(ratio, n));
}

/*
 * What each pod requests. Upstream asks all pods, also those that do not count, and one bad pod fails the metric.
 * Fixed: a pod without a request does not count (spec 10.3); only when nobody has one is there nothing to relate usage
 * to.
 */
static int take_requests(const struct hpa_calc *in, struct km_err *err)
{
	struct km_err first = {""}, one = {""};
	size_t without = 0;

	for (size_t i = 0; i < in->n_pods; i++) {
		struct hpa_pod *pod = &in->pods[i];

		if (hpa_pod_request(pod, in->resource, in->container, &pod->request_milli, &one) == 0)
			continue;
		pod->request_milli = -1;
		if (without++ == 0)
			first = one;
		if (!in->fixed)
			break;
	}
	if (without > 0 && (!in->fixed || without == in->n_pods))
		return km_fail(err, -ENODATA, "%s", first.text);
	return 0;
}

static void take_no_requests(const struct hpa_calc *in)
{
	for (size_t i = 0; i < in->n_pods; i++)
		in->pods[i].request_milli = 0;
}

/* From the second usage, where there had to be one. */
static void conclude(const struct hpa_calc *in, const struct groups *g, const struct assumption *assume,
	const struct usage *first, const struct usage *second, struct hpa_proposal *ret)
{
	*ret = (struct hpa_proposal){
		.replicas = second ? damped(in, g, assume, first->ratio, second->ratio) : undamped(in, g, first->ratio),
		.utilization = first->utilization,
		.value_milli = first->average_milli,
		.working = {.ratio = first->ratio,
			.damped = second,
			.damped_ratio = second ? second->ratio : first->ratio,
			.tolerated = hpa_calc_is_within(in, second ? second->ratio : first->ratio)},
	};
	memcpy(ret->working.groups, g->n, sizeof(g->n));
}

int hpa_calc_utilization(
	const struct hpa_calc *in, int32_t target_percent, struct hpa_proposal *ret, struct km_err *err)
{
	struct assumption assume = {0};
	struct usage first, second;
	struct groups g;
	bool again;
	int r;

	if (in->fixed && (r = take_requests(in, err)) < 0)
		return r;
	if ((r = group_pods(in, &g, err)) < 0)
		return r;
	/* upstream's order decides which text is told when both are wrong */
	if (!in->fixed && (r = take_requests(in, err)) < 0)
		return r;
	r = utilization_of(in, target_percent, &assume, &first, err);
	if (r < 0)
		return r;
	again = assume_of(&g, first.ratio, &assume);
	if (again && (r = utilization_of(in, target_percent, &assume, &second, err)) < 0)
		return r;
	conclude(in, &g, &assume, &first, again ? &second : NULL, ret);
	return 0;
}

int hpa_calc_average(const struct hpa_calc *in, int64_t target_milli, struct hpa_proposal *ret, struct km_err *err)
{
	struct assumption assume = {0};
	struct usage first, second;
	struct groups g;
	bool again;
	int r;

	take_no_requests(in);
	if ((r = group_pods(in, &g, err)) < 0)
		return r;
	average_of(&g, target_milli, &assume, &first);
	again = assume_of(&g, first.ratio, &assume);
	if (again)
		average_of(&g, target_milli, &assume, &second);
	conclude(in, &g, &assume, &first, again ? &second : NULL, ret);
	return 0;
}
