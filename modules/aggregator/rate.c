/* SPDX-License-Identifier: Apache-2.0 */
#include "aggregator/point.h"

#include <errno.h>

#define CORES_MAX 4096 /* more than any kubelet's machine: such a rate is a counter that jumped */

int agg_rate(const struct agg_point *earlier, const struct agg_point *later, struct agg_usage *ret)
{
	int64_t window = later->cpu_ts_ns - earlier->cpu_ts_ns;
	double nanocores;

	if (window <= 0)
		return -EAGAIN;
	if (later->cpu_ns < earlier->cpu_ns || later->start_ns > earlier->cpu_ts_ns)
		return -ERANGE;
	/* upstream's arithmetic: the figures must agree to the last digit */
	nanocores = (double)(later->cpu_ns - earlier->cpu_ns) / ((double)window / 1e9);
	if (nanocores > CORES_MAX * 1e9)
		return -ERANGE;
	*ret = (struct agg_usage){
		.cpu_nanocores = (uint64_t)nanocores,
		.mem_bytes = later->mem_bytes,
		.timestamp_ns = later->cpu_ts_ns,
		.window_ns = window,
	};
	return 0;
}
