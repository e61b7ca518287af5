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

/* getReadyPodsCount: running and ready; terminating ones count. */
static int ready_pods(const struct hpa_calc *in, size_t *ret, struct km_err *err)
{
	size_t ready = 0;

	if (in->n_pods == 0)
		return km_fail(err, -ENODATA,
			"unable to calculate ready pods: no pods returned by selector while calculating replica "
			"count");
	for (size_t i = 0; i < in->n_pods; i++)
		ready += in->pods[i].phase == KUBE_RUNNING && in->pods[i].ready == KUBE_TRUE;
	*ret = ready;
	return 0;
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
		replicas = capped_int32_of(ceil(ratio * (double)ready));
	}
	*ret = (struct hpa_proposal){.replicas = replicas, .value_milli = usage_milli};
	return 0;
}

/* The count that the usage asks for; false: the replicas may stay as they are. */
static bool asks_for(const struct hpa_calc *in, int64_t usage_milli, int64_t target_milli, double *ret)
{
	if (hpa_calc_is_within(in, (double)usage_milli / ((double)target_milli * (double)in->replicas)))
		return false;
	*ret = ceil((double)usage_milli / (double)target_milli);
	return true;
}

static int64_t share_of(const struct hpa_calc *in, int64_t usage_milli)
{
	return hpa_int64_of(ceil((double)usage_milli / (double)in->replicas));
}

struct hpa_proposal hpa_calc_object_share(const struct hpa_calc *in, int64_t usage_milli, int64_t target_milli)
{
	double wanted;

	return (struct hpa_proposal){
		.replicas = asks_for(in, usage_milli, target_milli, &wanted) ? hpa_int32_of(wanted) : in->replicas,
		.value_milli = share_of(in, usage_milli),
	};
}

struct hpa_proposal hpa_calc_external_share(const struct hpa_calc *in, int64_t usage_milli, int64_t target_milli)
{
	bool too_large = (double)usage_milli >= (double)INT64_MAX;
	double wanted;

	return (struct hpa_proposal){
		.replicas = asks_for(in, usage_milli, target_milli, &wanted) ? capped_int32_of(wanted) : in->replicas,
		.value_milli = too_large ? INT64_MAX : share_of(in, usage_milli),
	};
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
