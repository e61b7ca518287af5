/* SPDX-License-Identifier: Apache-2.0 */
#include "aggregator/summary.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "aggregator/store.h"
#include "core/clock.h"
#include "core/timetext.h"

struct walk {
	agg_line_fn fn;
	void *arg;
	int64_t request_ns;
	struct agg_prom_stats stats;
};

/* object[key] as a non-negative integer; false when it is absent (then nothing is counted) or bad (then it is). */
static bool figure(struct walk *w, json_t *object, const char *key, uint64_t *ret)
{
	json_t *v = json_object_get(object, key);

	if (!v || json_is_null(v))
		return false;
	if (!json_is_integer(v) || json_integer_value(v) < 0) {
		w->stats.skipped++;
		return false;
	}
	*ret = (uint64_t)json_integer_value(v);
	return true;
}

static bool time_of(struct walk *w, json_t *object, const char *key, int64_t *ret)
{
	json_t *v = json_object_get(object, key);

	if (!json_is_string(v))
		return false;
	if (km_rfc3339_parse(json_string_value(v), json_string_length(v), ret) < 0 || *ret <= 0 ||
		*ret > w->request_ns + 3600 * KM_NSEC_PER_SEC) {
		w->stats.skipped++;
		return false;
	}
	return true;
}

static void emit(struct walk *w, struct agg_line *line)
{
	w->stats.lines++;
	w->fn(line, w->arg);
}

/* cpu.usageCoreNanoSeconds and memory.workingSetBytes of a node or container, each with its own time. */
static void usage(struct walk *w, json_t *object, struct agg_line *line, enum agg_series cpu_series,
	enum agg_series memory_series)
{
	json_t *cpu = json_object_get(object, "cpu"), *memory = json_object_get(object, "memory");

	line->timestamp_ns = w->request_ns;
	if (figure(w, cpu, "usageCoreNanoSeconds", &line->value)) {
		line->series = cpu_series;
		time_of(w, cpu, "time", &line->timestamp_ns);
		emit(w, line);
	}
	line->timestamp_ns = w->request_ns;
	if (figure(w, memory, "workingSetBytes", &line->value)) {
		line->series = memory_series;
		time_of(w, memory, "time", &line->timestamp_ns);
		emit(w, line);
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

static void pod(struct walk *w, json_t *object)
{
	json_t *ref = json_object_get(object, "podRef"), *container;
	struct agg_line line = {0};
	int64_t start;
	size_t i;

	if (!name(ref, "name", &line.pod, &line.pod_len) ||
		!name(ref, "namespace", &line.namespace_, &line.namespace_len)) {
		w->stats.skipped++;
		return;
	}
	json_array_foreach(json_object_get(object, "containers"), i, container)
	{
		if (!name(container, "name", &line.container, &line.container_len)) {
			w->stats.skipped++;
			continue;
		}
		usage(w, container, &line, AGG_CONTAINER_CPU, AGG_CONTAINER_MEMORY);
		if (time_of(w, container, "startTime", &start)) {
			line.series = AGG_CONTAINER_START;
			line.value = (uint64_t)start;
			line.timestamp_ns = w->request_ns;
			emit(w, &line);
		}
	}
}

int agg_summary_parse(const char *text, size_t len, int64_t request_ns, agg_line_fn fn, void *arg,
	struct agg_prom_stats *ret, struct km_err *err)
{
	struct walk w = {.fn = fn, .arg = arg, .request_ns = request_ns};
	struct agg_line line = {0};
	json_error_t problem;
	json_t *root = json_loadb(text, len, 0, &problem), *node = json_object_get(root, "node"), *p;
	size_t i;

	if (!json_is_object(node)) {
		int r = root ? km_fail(err, -EBADMSG, "the reply has no \"node\": it is no stats summary")
			     : km_fail(err, -EBADMSG, "the summary is not JSON: line %d: %s", problem.line,
				       problem.text);
		json_decref(root);
		return r;
	}
	usage(&w, node, &line, AGG_NODE_CPU, AGG_NODE_MEMORY);
	json_array_foreach(json_object_get(root, "pods"), i, p) pod(&w, p);
	json_decref(root);
	*ret = w.stats;
	return 0;
}
