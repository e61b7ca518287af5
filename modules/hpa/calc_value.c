/* SPDX-License-Identifier: Apache-2.0 */
/* One value for the whole target: see calc_value.h. */
#include "hpa/calc_value.h"

#include <errno.h>
#include <math.h>

#include "hpa/arith.h"

static int32_t capped_int32_of(double x)
{
	return x > (double)INT32_MAX ? INT32_MAX : hpa_int32_of(x);
}

/* getReadyPodsCount: running and ready; terminating ones count. Fixed: not those of other controllers. */
static int ready_pods(const struct hpa_calc *in, size_t *ret, struct km_err *err)
{
	size_t ready = 0;

	if (in->n_pods == 0)
		return km_fail(err, -ENODATA,
			"unable to calculate ready pods: no pods returned by selector while calculating replica "
			"count");
	for (size_t i = 0; i < in->n_pods; i++)
		ready += in->pods[i].phase == KUBE_RUNNING && in->pods[i].ready == KUBE_TRUE &&
			 !(in->fixed && in->pods[i].foreign);
	*ret = ready;
	return 0;
}

/*
 * Upstream multiplies the ready pods, so that none of them being ready asks for zero replicas, under whatever load
 * ([BUG] of spec 2.8), and pods of a surge ask for more than there is use for. Fixed: without a ready pod the replicas
 * that are meant to be are multiplied and never become fewer, and a step goes the way the usage points.
 */
static int32_t from_ready(const struct hpa_calc *in, double ratio, size_t ready)
{
	double base = in->fixed && ready == 0 ? (double)in->replicas : (double)ready;
	int32_t replicas = capped_int32_of(ceil(ratio * base));

	if (!in->fixed)
		return replicas;
	return ready == 0 ? KM_MAX(replicas, in->replicas) : hpa_calc_guarded(in, ratio, replicas);
}

int hpa_calc_value(const struct hpa_calc *in, int64_t usage_milli, int64_t target_milli, struct hpa_proposal *ret,
	struct km_err *err)
{
	double ratio = (double)usage_milli / (double)target_milli;
	int32_t replicas = in->replicas;
	size_t ready = 0;
	int r;

	if (in->replicas == 0) {
		replicas = hpa_int32_of(ceil(ratio));
	} else if (!hpa_calc_is_within(in, ratio)) {
		if ((r = ready_pods(in, &ready, err)) < 0)
			return r;
		replicas = from_ready(in, ratio, ready);
	}
	*ret = (struct hpa_proposal){
		.replicas = replicas,
		.value_milli = usage_milli,
		.working = {.ratio = ratio, .tolerated = replicas == in->replicas && hpa_calc_is_within(in, ratio)},
	};
	ret->working.groups[HPA_GROUP_READY] = (uint32_t)ready;
	return 0;
}

/* The usage in relation to its target for so many replicas. */
static struct hpa_working judge(const struct hpa_calc *in, int32_t replicas, int64_t usage_milli, int64_t target_milli)
{
	double ratio = (double)usage_milli / ((double)target_milli * (double)replicas);

	return (struct hpa_working){.ratio = ratio, .tolerated = hpa_calc_is_within(in, ratio)};
}

/* Among how many the usage is shared when it is judged: those that are meant to be, not those of a surge ([BUG] of spec
 * 2.9). */
static int32_t sharers(const struct hpa_calc *in, int32_t status_replicas)
{
	return in->fixed && in->replicas > 0 ? in->replicas : status_replicas;
}

static int64_t share_of(const struct hpa_calc *in, int32_t status_replicas, int64_t usage_milli)
{
	if (in->fixed && status_replicas == 0)
		return usage_milli; /* nobody to share it: upstream shows the smallest integer */
	return hpa_int64_of(ceil((double)usage_milli / (double)status_replicas));
}

struct hpa_proposal hpa_calc_object_share(
	const struct hpa_calc *in, int32_t status_replicas, int64_t usage_milli, int64_t target_milli)
{
	int32_t replicas = sharers(in, status_replicas);
	struct hpa_working working = judge(in, replicas, usage_milli, target_milli);
	double wanted = ceil((double)usage_milli / (double)target_milli);

	if (!working.tolerated)
		replicas = in->fixed ? capped_int32_of(wanted) : hpa_int32_of(wanted);
	return (struct hpa_proposal){
		.replicas = replicas, .value_milli = share_of(in, status_replicas, usage_milli), .working = working};
}

struct hpa_proposal hpa_calc_external_share(
	const struct hpa_calc *in, int32_t status_replicas, int64_t usage_milli, int64_t target_milli)
{
	bool too_large = (double)usage_milli >= (double)INT64_MAX;
	int32_t replicas = sharers(in, status_replicas);
	struct hpa_working working = judge(in, replicas, usage_milli, target_milli);

	if (!working.tolerated)
		replicas = capped_int32_of(ceil((double)usage_milli / (double)target_milli));
	return (struct hpa_proposal){.replicas = replicas,
		.value_milli = too_large ? INT64_MAX : share_of(in, status_replicas, usage_milli),
		.working = working};
}

int64_t hpa_sum_external(const int64_t *values_milli, size_t n, bool shared)
{
	int64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		if (!shared && values_milli[i] > 0 && sum > INT64_MAX - values_milli[i])
			return INT64_MAX;
		sum = hpa_add64(sum, values_milli[i]);
		if (shared && sum < 0)
			return INT64_MAX;
	}
	return sum;
}
