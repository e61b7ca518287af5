/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of metrics APIs: the first byte says of which type, and how they come in pieces. */
#include <string.h>

#include "hpa/calc.h"
#include "hpa/metrics_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hpa_metrics_reply *reply;
	struct km_err err = {""};
	enum hpa_metric_type type;
	size_t cut, n;
	int r;

	if (size == 0)
		return 0;
	type = HPA_METRIC_PODS + data[0] % 3;
	cut = 1 + data[0] / 3 % size;
	cut = KM_MIN(cut, size);
	if (hpa_metrics_reply_new(type, &reply) < 0)
		return 0;
	r = hpa_metrics_reply_feed(reply, (const char *)data + 1, cut - 1, &err);
	if (r == 0)
		r = hpa_metrics_reply_feed(reply, (const char *)data + cut, size - cut, &err);
	if (r == 0)
		r = hpa_metrics_reply_finish(reply, &err);
	if ((r < 0) != (err.text[0] != '\0'))
		abort();
	if (r == 0 && type == HPA_METRIC_PODS) {
		const struct hpa_pod_metric *pods = hpa_metrics_reply_pods(reply, &n);

		for (size_t i = 1; i < n; i++)
			if (strcmp(pods[i - 1].pod, pods[i].pod) >= 0)
				abort();
	}
	if (r == 0 && type != HPA_METRIC_PODS && (!hpa_metrics_reply_values(reply, &n) || n == 0))
		abort();
	hpa_metrics_reply_free(reply);
	return 0;
}
