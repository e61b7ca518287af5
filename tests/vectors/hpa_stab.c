/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of kind "stab": stabilization, with the history left behind. "Now" is 0. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "hpa/stabilize.h"
#include "hpa_vectors.h"

static const char *const line_keys[] = {"s:id", "s:kind", "s:fn", "a:tags", "i:cur", "i:desired", "i:window",
	"i:upWindow", "i:downWindow", "a:recs", "o:out", NULL};
static const char *const entry_keys[] = {"i:replicas", "i:time", NULL};
static const char *const out_keys[] = {"i:replicas", "s:reason", "s:message", "a:recs", NULL};

static int read_history(json_t *list, struct hpa_history *ret, struct vectors_report *report)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		if (!vectors_known(item, entry_keys, report) ||
			hpa_history_add(ret, (int32_t)vectors_int(item, "replicas"), vectors_int(item, "time")) < 0)
			return -EINVAL;
	}
	return 0;
}

static void compare_history(json_t *list, const struct hpa_history *got, struct vectors_report *report)
{
	json_t *item;
	size_t i;

	if (!got->seen)
		vectors_differ(report, "the history counts as never seen");
	if (json_array_size(list) != got->n) {
		vectors_differ(report, "recs: %zu, expected %zu", got->n, json_array_size(list));
		return;
	}
	json_array_foreach(list, i, item)
	{
		const struct hpa_recommendation *one = &got->items[i];

		if (!vectors_known(item, entry_keys, report) || one->replicas != vectors_int(item, "replicas") ||
			one->time_ns != vectors_int(item, "time"))
			vectors_differ(report, "recs[%zu]: replicas %" PRId32 ", time %" PRId64, i, one->replicas,
				one->time_ns);
	}
}

static void compare_text(const char *what, const char *got, const char *expected, struct vectors_report *report)
{
	if (strcmp(got, expected) != 0)
		vectors_differ(report, "%s \"%s\", expected \"%s\"", what, got, expected);
}

static int run(json_t *line, struct hpa_history *history, struct vectors_report *report)
{
	int32_t current = (int32_t)vectors_int(line, "cur"), desired = (int32_t)vectors_int(line, "desired"), got = 0;
	const char *fn = vectors_text(line, "fn"), *reason = "", *message = "";
	json_t *out = json_object_get(line, "out");
	int r;

	if (read_history(json_object_get(line, "recs"), history, report) < 0)
		return -EINVAL;
	if (strcmp(fn, "stabilizeRecommendation") == 0)
		r = hpa_stabilize_plain(history, desired, vectors_int(line, "window"), 0, &got);
	else if (strcmp(fn, "stabilizeRecommendationWithBehaviors") == 0)
		r = hpa_stabilize_behavior(history, current, desired, vectors_int(line, "upWindow"),
			vectors_int(line, "downWindow"), 0, &got, &reason, &message);
	else
		return -EINVAL;
	if (r < 0)
		vectors_differ(report, "result %d", r);
	if (got != vectors_int(out, "replicas"))
		vectors_differ(report, "replicas %" PRId32 ", expected %" PRId64, got, vectors_int(out, "replicas"));
	compare_text("reason", reason, vectors_text(out, "reason"), report);
	compare_text("message", message, vectors_text(out, "message"), report);
	compare_history(json_object_get(out, "recs"), history, report);
	return 0;
}

int hpa_stab_run(json_t *line, struct vectors_report *report)
{
	struct hpa_history history = {0};
	int r;

	if (!vectors_known(line, line_keys, report) || !vectors_known(json_object_get(line, "out"), out_keys, report))
		return -EINVAL;
	r = run(line, &history, report);
	hpa_history_clear(&history);
	return r;
}
