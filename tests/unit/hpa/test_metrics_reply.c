/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of metrics APIs, whole and in pieces. */
#include "hpa/metrics_reply.h"

#include <errno.h>
#include <stdio.h>

#include "hpa/calc.h"
#include "tests/unit/support/check.h"

#define LIST(items)                                                             \
	"{\"kind\":\"MetricValueList\",\"apiVersion\":\"custom.metrics.k8s.io/" \
	"v1beta2\",\"metadata\":{},\"items\":[" items "]}"
#define OF_POD(pod, value)                                                              \
	"{\"describedObject\":{\"kind\":\"Pod\",\"namespace\":\"shop\",\"name\":\"" pod \
	"\"},\"metric\":{\"name\":\"qps\"},"                                            \
	"\"timestamp\":\"2026-01-01T00:00:00Z\",\"value\":\"" value "\"}"
#define EXTERNAL(value) "{\"metricName\":\"queue\",\"metricLabels\":{},\"timestamp\":null,\"value\":\"" value "\"}"

struct expected {
	enum hpa_metric_type type;
	const char *body;
	int r;
	const char *text; /* "a=1500 b=2 ", "3 5 ", or a part of the error */
};

static const struct expected rows[] = {
	{HPA_METRIC_PODS, LIST(OF_POD("b", "2") "," OF_POD("a", "1500m") "," OF_POD("b", "3")), 0, "a=1500 b=3000 "},
	{HPA_METRIC_PODS, LIST("{\"metricName\":\"qps\",\"window\":30,\"value\":\"1\"}"), 0, "=1000 "},
	{HPA_METRIC_PODS, LIST(""), -ENODATA, "no metrics returned from custom metrics API"},
	{HPA_METRIC_PODS, "{\"items\":null}", -ENODATA, "no metrics returned from custom metrics API"},
	{HPA_METRIC_OBJECT, LIST(OF_POD("a", "7k")), 0, "7000000 "},
	{HPA_METRIC_OBJECT, LIST(""), -ENODATA, "returned 0 results when we asked for exactly one"},
	{HPA_METRIC_OBJECT, LIST(OF_POD("a", "1") "," OF_POD("b", "1")), -ENODATA, "returned 2 results when"},
	{HPA_METRIC_EXTERNAL, LIST(EXTERNAL("3") "," EXTERNAL("-5") "," EXTERNAL("1n")), 0, "3000 -5000 1 "},
	{HPA_METRIC_EXTERNAL, LIST("{}"), 0, "0 "},
	{HPA_METRIC_EXTERNAL, LIST(""), -ENODATA, "no metrics returned from external metrics API"},
	{HPA_METRIC_EXTERNAL, LIST(EXTERNAL("many")), -EBADMSG, "a value that is no quantity"},
	{HPA_METRIC_EXTERNAL, LIST("{\"value\":3}"), -EBADMSG, "a value that is no quantity"},
	{HPA_METRIC_EXTERNAL, LIST("[]"), -EBADMSG, "an item that is no object"},
	{HPA_METRIC_EXTERNAL, "<html>", -EBADMSG, ""},
	{HPA_METRIC_EXTERNAL, "{\"items\":[", -EBADMSG, ""},
};

static int feed(struct hpa_metrics_reply *reply, const char *body, size_t piece, struct km_err *err)
{
	size_t len = strlen(body);

	for (size_t at = 0; at < len; at += piece) {
		int r = hpa_metrics_reply_feed(reply, body + at, KM_MIN(piece, len - at), err);

		if (r < 0)
			return r;
	}
	return hpa_metrics_reply_finish(reply, err);
}

static void show(const struct hpa_metrics_reply *reply, enum hpa_metric_type type, char *out, size_t size)
{
	size_t n, len = 0;

	*out = '\0';
	if (type == HPA_METRIC_PODS) {
		const struct hpa_pod_metric *pods = hpa_metrics_reply_pods(reply, &n);

		for (size_t i = 0; i < n; i++)
			len += (size_t)snprintf(
				out + len, size - len, "%s=%lld ", pods[i].pod, (long long)pods[i].value_milli);
	} else {
		const int64_t *values = hpa_metrics_reply_values(reply, &n);

		for (size_t i = 0; i < n; i++)
			len += (size_t)snprintf(out + len, size - len, "%lld ", (long long)values[i]);
	}
}

static void test_replies(void **state)
{
	static const size_t pieces[] = {1, 7, 100000};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		for (size_t k = 0; k < KM_ARRAY_LEN(pieces); k++) {
			struct hpa_metrics_reply *reply;
			struct km_err err = {""};
			char text[256];
			int r;

			assert_int_equal(hpa_metrics_reply_new(rows[i].type, &reply), 0);
			r = feed(reply, rows[i].body, pieces[k], &err);
			if (r == 0)
				show(reply, rows[i].type, text, sizeof(text));
			if (r != rows[i].r || (r == 0 ? strcmp(text, rows[i].text) != 0
						      : !strstr(err.text, rows[i].text) || !*err.text))
				fail_msg("row %zu: %d, \"%s\"", i, r, r == 0 ? text : err.text);
			hpa_metrics_reply_free(reply);
		}
	}
}

static void test_too_many(void **state)
{
	struct hpa_metrics_reply *reply;
	struct km_err err = {""};
	int r = 0;

	assert_int_equal(hpa_metrics_reply_new(HPA_METRIC_EXTERNAL, &reply), 0);
	assert_int_equal(hpa_metrics_reply_feed(reply, "{\"items\":[{}", 12, &err), 0);
	for (int i = 0; i < HPA_METRICS_ITEMS_MAX && r == 0; i++)
		r = hpa_metrics_reply_feed(reply, ",{}", 3, &err);
	assert_true(r < 0);
	assert_mentions(&err, "more than 100000 values");
	hpa_metrics_reply_free(reply);
	hpa_metrics_reply_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
