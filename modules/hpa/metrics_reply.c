/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of metric values: see metrics_reply.h. */
#include "hpa/metrics_reply.h"

#include <errno.h>
#include <string.h>

#include "core/slicer.h"
#include "hpa/calc.h"
#include "kube/quantity.h"

#define ITEM_MAX     (64 * 1024)
#define ENVELOPE_MAX (64 * 1024)
#define ROOM_FIRST   16

struct hpa_metrics_reply {
	enum hpa_metric_type type;
	struct km_slicer *slicer;
	struct hpa_pod_metric *pods; /* owned, with their names; of Pods */
	int64_t *values_milli;       /* owned; of the others */
	size_t n, room;
	struct km_err err; /* why an item could not be taken */
};

static int make_room(struct hpa_metrics_reply *reply)
{
	size_t room = reply->room ? 2 * reply->room : ROOM_FIRST;
	void *grown;

	if (reply->n < reply->room)
		return 0;
	if (reply->type == HPA_METRIC_PODS) {
		if (!(grown = reallocarray(reply->pods, room, sizeof(*reply->pods))))
			return -ENOMEM;
		reply->pods = grown;
	} else {
		if (!(grown = reallocarray(reply->values_milli, room, sizeof(*reply->values_milli))))
			return -ENOMEM;
		reply->values_milli = grown;
	}
	reply->room = room;
	return 0;
}

static int add(struct hpa_metrics_reply *reply, json_t *item)
{
	json_t *value = json_object_get(item, "value");
	const char *name = json_string_value(json_object_get(json_object_get(item, "describedObject"), "name"));
	int64_t milli = 0;

	/* an absent value is 0, as Go reads it */
	if (value && (!json_is_string(value) ||
			     km_quantity_parse_milli(json_string_value(value), json_string_length(value), &milli) < 0))
		return km_fail(&reply->err, -EBADMSG, "the metrics API's reply has a value that is no quantity");
	if (reply->n >= HPA_METRICS_ITEMS_MAX)
		return km_fail(&reply->err, -EMSGSIZE, "the metrics API's reply has more than %d values",
			HPA_METRICS_ITEMS_MAX);
	if (make_room(reply) < 0)
		return -ENOMEM;
	if (reply->type == HPA_METRIC_PODS) {
		char *pod = strdup(name ? name : "");

		if (!pod)
			return -ENOMEM;
		reply->pods[reply->n++] = (struct hpa_pod_metric){.pod = pod, .value_milli = milli};
	} else {
		reply->values_milli[reply->n++] = milli;
	}
	return 0;
}

static int on_item(const char *text, size_t len, void *arg)
{
	struct hpa_metrics_reply *reply = arg;
	json_t *item = json_loadb(text, len, 0, NULL);
	int r;

	if (!json_is_object(item)) {
		json_decref(item);
		return km_fail(&reply->err, -EBADMSG, "the metrics API's reply has an item that is no object");
	}
	r = add(reply, item);
	json_decref(item);
	return r;
}

int hpa_metrics_reply_new(enum hpa_metric_type type, struct hpa_metrics_reply **ret)
{
	struct hpa_metrics_reply *reply = calloc(1, sizeof(*reply));

	if (!reply)
		return -ENOMEM;
	reply->type = type;
	if (km_slicer_new(KM_SLICE_LIST, ITEM_MAX, ENVELOPE_MAX, on_item, reply, &reply->slicer) < 0) {
		free(reply);
		return -ENOMEM;
	}
	*ret = reply;
	return 0;
}

static void forget_name(struct hpa_pod_metric *metric)
{
	free((void *)(uintptr_t)metric->pod);
}

void hpa_metrics_reply_free(struct hpa_metrics_reply *reply)
{
	if (!reply)
		return;
	km_slicer_free(reply->slicer);
	for (size_t i = 0; reply->pods && i < reply->n; i++)
		forget_name(&reply->pods[i]);
	free(reply->pods);
	free(reply->values_milli);
	free(reply);
}

static int failed(const struct hpa_metrics_reply *reply, int r, struct km_err *err)
{
	if (reply->err.text[0])
		*err = reply->err;
	else if (r == -ENOMEM)
		return km_fail(err, r, "out of memory");
	return r;
}

int hpa_metrics_reply_feed(struct hpa_metrics_reply *reply, const char *bytes, size_t n, struct km_err *err)
{
	int r = km_slicer_feed(reply->slicer, bytes, n, err);

	return r < 0 ? failed(reply, r, err) : 0;
}

static int by_pod(const void *a, const void *b)
{
	const struct hpa_pod_metric *x = a, *y = b;

	return strcmp(x->pod, y->pod);
}

/* As upstream's map: the last value of a pod counts. */
static void sort_pods(struct hpa_metrics_reply *reply)
{
	size_t n = 0;

	for (size_t i = 0; i < reply->n; i++)
		reply->pods[i].time_ns = (int64_t)i; /* the order they came in, while they are sorted */
	qsort(reply->pods, reply->n, sizeof(*reply->pods), by_pod);
	for (size_t i = 0; i < reply->n; i++) {
		struct hpa_pod_metric *last = n > 0 ? &reply->pods[n - 1] : NULL, *now = &reply->pods[i];

		if (!last || strcmp(last->pod, now->pod) != 0) {
			reply->pods[n++] = *now;
			continue;
		}
		if (now->time_ns > last->time_ns) {
			last->value_milli = now->value_milli;
			last->time_ns = now->time_ns;
		}
		forget_name(now);
	}
	reply->n = n;
	for (size_t i = 0; i < n; i++)
		reply->pods[i].time_ns = 0;
}

int hpa_metrics_reply_finish(struct hpa_metrics_reply *reply, struct km_err *err)
{
	int r = km_slicer_finish(reply->slicer, err);

	if (r < 0)
		return failed(reply, r, err);
	if (reply->type == HPA_METRIC_OBJECT && reply->n != 1)
		return km_fail(err, -ENODATA,
			"the custom metrics API server returned %zu results when we asked for exactly one", reply->n);
	if (reply->n == 0)
		return km_fail(err, -ENODATA, "no metrics returned from %s metrics API",
			reply->type == HPA_METRIC_EXTERNAL ? "external" : "custom");
	if (reply->type == HPA_METRIC_PODS)
		sort_pods(reply);
	return 0;
}

const struct hpa_pod_metric *hpa_metrics_reply_pods(const struct hpa_metrics_reply *reply, size_t *ret_n)
{
	*ret_n = reply->n;
	return reply->pods;
}

const int64_t *hpa_metrics_reply_values(const struct hpa_metrics_reply *reply, size_t *ret_n)
{
	*ret_n = reply->n;
	return reply->values_milli;
}
