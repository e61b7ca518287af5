/* SPDX-License-Identifier: Apache-2.0 */
/* From the summary's document to lines; see the header. */
#include "aggregator/summary.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "aggregator/store.h"
#include "core/timetext.h"

#define NANOSECONDS_MAX 9.2e18 /* a figure that had to be read as a double; below 2^63 */

struct walk {
	agg_line_fn fn;
	void *arg;
	int64_t request_ns;
	struct agg_prom_stats stats;
};

enum found { ABSENT, GOOD, BAD };

/* object[key] as a non-negative integer. */
static enum found number(json_t *object, const char *key, uint64_t *ret)
{
	json_t *v = json_object_get(object, key);

	if (!v || json_is_null(v))
		return ABSENT;
	if (json_is_integer(v) && json_integer_value(v) >= 0)
		*ret = (uint64_t)json_integer_value(v);
	else if (json_is_real(v) && json_real_value(v) >= 0 && json_real_value(v) < NANOSECONDS_MAX)
		*ret = (uint64_t)json_real_value(v);
	else
		return BAD;
	return GOOD;
}

static enum found time_at(const struct walk *w, json_t *object, const char *key, int64_t *ret)
{
	json_t *v = json_object_get(object, key);
	int64_t t;

	if (!v || json_is_null(v))
		return ABSENT;
	if (!json_is_string(v) || km_rfc3339_parse(json_string_value(v), json_string_length(v), &t) < 0 ||
		!agg_timestamp_ok(t, w->request_ns))
		return BAD;
	*ret = t;
	return GOOD;
}

/* part[key] with part.time as a line of this series. False: there is something, and it is of no use. */
static bool figure(struct walk *w, json_t *part, const char *key, enum agg_series series, struct agg_line *line)
{
	enum found n = number(part, key, &line->value), t;

	if (n == ABSENT)
		return true;
	line->timestamp_ns = w->request_ns;
	t = time_at(w, part, "time", &line->timestamp_ns);
	if (n == BAD || t == BAD) {
		w->stats.skipped++;
		return false;
	}
	line->series = series;
	w->stats.lines++;
	w->fn(line, w->arg);
	return true;
}

/* CPU, memory and swap of a node or container, each with its own time. */
static void usage(struct walk *w, json_t *object, struct agg_line *line, enum agg_series cpu, enum agg_series memory,
	enum agg_series swap)
{
	bool cpu_ok = figure(w, json_object_get(object, "cpu"), "usageCoreNanoSeconds", cpu, line),
	     memory_ok = figure(w, json_object_get(object, "memory"), "workingSetBytes", memory, line);

	(void)figure(w, json_object_get(object, "swap"), "swapUsageBytes", swap, line);
	if ((!cpu_ok || !memory_ok) && line->container) {
		line->series = AGG_CONTAINER_LISTED;
		w->fn(line, w->arg);
	}
}

static bool name(json_t *object, const char *key, const char **ret, size_t *ret_len)
{
	json_t *v = json_object_get(object, key);

	if (!json_is_string(v) || json_string_length(v) == 0 || json_string_length(v) > AGG_NAME_MAX)
		return false;
	*ret = json_string_value(v);
	*ret_len = json_string_length(v);
	return true;
}

static void container(struct walk *w, json_t *object, struct agg_line *line)
{
	int64_t start;

	if (!name(object, "name", &line->container, &line->container_len)) {
		w->stats.skipped++;
		return;
	}
	usage(w, object, line, AGG_CONTAINER_CPU, AGG_CONTAINER_MEMORY, AGG_CONTAINER_SWAP);
	switch (time_at(w, object, "startTime", &start)) {
	case GOOD:
		line->series = AGG_CONTAINER_START;
		line->value = (uint64_t)start;
		line->timestamp_ns = w->request_ns;
		w->stats.lines++;
		w->fn(line, w->arg);
		break;
	case BAD:
		w->stats.skipped++;
		break;
	case ABSENT:
		break;
	}
}

static bool pod_of(json_t *object, struct agg_line *ret)
{
	json_t *ref = json_object_get(object, "podRef");

	*ret = (struct agg_line){0};
	return name(ref, "name", &ret->pod, &ret->pod_len) &&
	       name(ref, "namespace", &ret->namespace_, &ret->namespace_len);
}

static void pod(struct walk *w, json_t *object)
{
	struct agg_line line;
	json_t *c;
	size_t i;

	if (!pod_of(object, &line)) {
		w->stats.skipped++;
		return;
	}
	json_array_foreach(json_object_get(object, "containers"), i, c)
	{
		container(w, c, &line);
	}
}

/*
 * A kubelet's counter that has wrapped (18446744073709551615 is seen in the wild) is more than jansson's integers hold,
 * and would cost the whole document. Read as doubles, it costs only its own figure; the others then lose what is below
 * a nanosecond of a hundred CPU-days.
 */
static json_t *load(const char *text, size_t len, json_error_t *problem)
{
	json_t *root = json_loadb(text, len, 0, problem);

	if (!root && json_error_code(problem) == json_error_numeric_overflow)
		root = json_loadb(text, len, JSON_DECODE_INT_AS_REAL, problem);
	return root;
}

/* The document and its node. */
static int open_summary(const char *text, size_t len, json_t **ret, json_t **ret_node, struct km_err *err)
{
	json_t *root;
	json_error_t problem;

	if (len > AGG_SUMMARY_MAX)
		return km_fail(err, -EMSGSIZE, "the summary is longer than %d bytes", AGG_SUMMARY_MAX);
	if (!(root = load(text, len, &problem)))
		return km_fail(err, -EBADMSG, "the summary is not JSON: line %d: %s", problem.line, problem.text);
	*ret_node = json_object_get(root, "node");
	if (!json_is_object(*ret_node)) {
		json_decref(root);
		return km_fail(err, -EBADMSG, "the reply has no \"node\": it is no stats summary");
	}
	*ret = root;
	return 0;
}

int agg_summary_parse(const char *text, size_t len, int64_t request_ns, agg_line_fn fn, void *arg,
	struct agg_prom_stats *ret, struct km_err *err)
{
	struct walk w = {.fn = fn, .arg = arg, .request_ns = request_ns};
	struct agg_line line = {0};
	json_t *root, *node, *p;
	size_t i;
	int r = open_summary(text, len, &root, &node, err);

	if (r < 0)
		return r;
	usage(&w, node, &line, AGG_NODE_CPU, AGG_NODE_MEMORY, AGG_NODE_SWAP);
	json_array_foreach(json_object_get(root, "pods"), i, p)
	{
		pod(&w, p);
	}
	json_decref(root);
	*ret = w.stats;
	return 0;
}

/* ---- ephemeral storage ---- */

static uint64_t used_bytes(json_t *object, const char *what, bool *ret_there)
{
	uint64_t bytes = 0;

	if (number(json_object_get(object, what), "usedBytes", &bytes) != GOOD)
		return 0;
	*ret_there = true;
	return bytes;
}

static void storage(
	struct agg_line *line, enum agg_series series, uint64_t bytes, bool there, agg_line_fn fn, void *arg)
{
	line->series = series;
	line->value = bytes;
	if (there && bytes <= INT64_MAX)
		fn(line, arg);
}

int agg_summary_parse_storage(const char *text, size_t len, agg_line_fn fn, void *arg, struct km_err *err)
{
	struct agg_line line = {0};
	json_t *root, *node, *p, *c;
	bool there = false;
	uint64_t bytes;
	size_t i, k;
	int r = open_summary(text, len, &root, &node, err);

	if (r < 0)
		return r;
	bytes = used_bytes(node, "fs", &there);
	storage(&line, AGG_NODE_STORAGE, bytes, there, fn, arg);
	json_array_foreach(json_object_get(root, "pods"), i, p)
	{
		if (!pod_of(p, &line))
			continue;
		json_array_foreach(json_object_get(p, "containers"), k, c)
		{
			if (!name(c, "name", &line.container, &line.container_len))
				continue;
			there = false;
			bytes = used_bytes(c, "rootfs", &there);
			bytes += used_bytes(c, "logs", &there);
			storage(&line, AGG_CONTAINER_STORAGE, bytes, there, fn, arg);
		}
	}
	json_decref(root);
	return 0;
}
