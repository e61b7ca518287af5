/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of kind "rate": limits of one step, and the book of scale events. "Now" is 0. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "hpa/rate.h"
#include "hpa_vectors.h"

static const char *const line_keys[] = {"s:id", "s:kind", "s:fn", "a:tags", "i:cur", "i:desired", "i:min", "i:max",
	"o:scaleUp", "o:scaleDown", "a:upEvents", "a:downEvents", "o:out", NULL};
static const char *const rules_keys[] = {"s:selectPolicy", "a:policies", NULL};
static const char *const policy_keys[] = {"s:type", "i:value", "i:periodSeconds", NULL};
static const char *const event_keys[] = {"i:change", "i:time", "b:outdated", NULL};
static const char *const out_keys[] = {"i:replicas", "s:reason", "s:message", "a:upEvents", "a:downEvents", NULL};

static const struct {
	const char *text;
	uint8_t select;
} selects[] = {{"Max", HPA_SELECT_MAX}, {"Min", HPA_SELECT_MIN}, {"Disabled", HPA_SELECT_DISABLED}};

static int read_rules(json_t *in, struct hpa_rules *ret, struct vectors_report *report)
{
	json_t *policies = json_object_get(in, "policies"), *item;
	size_t i, s = 0;

	if (!vectors_known(in, rules_keys, report) || json_array_size(policies) > HPA_POLICIES_MAX)
		return -EINVAL;
	while (s < KM_ARRAY_LEN(selects) && strcmp(selects[s].text, vectors_text(in, "selectPolicy")) != 0)
		s++;
	if (s == KM_ARRAY_LEN(selects))
		return -EINVAL;
	ret->select = selects[s].select;
	ret->n_policies = json_array_size(policies);
	json_array_foreach(policies, i, item)
	{
		const char *type = vectors_text(item, "type");

		if (!vectors_known(item, policy_keys, report) ||
			(strcmp(type, "Pods") != 0 && strcmp(type, "Percent") != 0))
			return -EINVAL;
		ret->policies[i] = (struct hpa_policy){
			.percent = strcmp(type, "Percent") == 0,
			.value = (int32_t)vectors_int(item, "value"),
			.period_s = (int32_t)vectors_int(item, "periodSeconds"),
		};
	}
	return 0;
}

static int read_events(json_t *list, struct hpa_event_book *ret, struct vectors_report *report)
{
	size_t n = json_array_size(list), i;
	json_t *item;

	ret->items = calloc(n + 1, sizeof(*ret->items));
	if (!ret->items)
		return -ENOMEM;
	ret->capacity = n + 1;
	ret->n = n;
	json_array_foreach(list, i, item)
	{
		if (!vectors_known(item, event_keys, report))
			return -EINVAL;
		ret->items[i] = (struct hpa_scale_event){
			.change = (int32_t)vectors_int(item, "change"),
			.time_ns = vectors_int(item, "time"),
			.outdated = vectors_true(item, "outdated"),
		};
	}
	return 0;
}

static void compare_events(
	json_t *list, const char *what, const struct hpa_event_book *got, struct vectors_report *report)
{
	json_t *item;
	size_t i;

	if (json_array_size(list) != got->n) {
		vectors_differ(report, "%s: %zu, expected %zu", what, got->n, json_array_size(list));
		return;
	}
	json_array_foreach(list, i, item)
	{
		const struct hpa_scale_event *event = &got->items[i];

		if (!vectors_known(item, event_keys, report) || event->change != vectors_int(item, "change") ||
			event->time_ns != vectors_int(item, "time") ||
			event->outdated != vectors_true(item, "outdated") || event->merged)
			vectors_differ(report, "%s[%zu]: change %" PRId32 ", time %" PRId64 ", outdated %d", what, i,
				event->change, event->time_ns, event->outdated);
	}
}

static void compare_limit(json_t *out, const struct hpa_limit *got, struct vectors_report *report)
{
	if (got->replicas != vectors_int(out, "replicas"))
		vectors_differ(
			report, "replicas %" PRId32 ", expected %" PRId64, got->replicas, vectors_int(out, "replicas"));
	if (strcmp(got->reason, vectors_text(out, "reason")) != 0)
		vectors_differ(report, "reason %s, expected %s", got->reason, vectors_text(out, "reason"));
	if (strcmp(got->message, vectors_text(out, "message")) != 0)
		vectors_differ(report, "message \"%s\", expected \"%s\"", got->message, vectors_text(out, "message"));
}

static int run(json_t *line, struct hpa_event_book *up_events, struct hpa_event_book *down_events,
	struct vectors_report *report)
{
	json_t *out = json_object_get(line, "out");
	const char *fn = vectors_text(line, "fn");
	struct hpa_rules up = {0}, down = {0};
	struct hpa_rate in = {
		.current = (int32_t)vectors_int(line, "cur"),
		.desired = (int32_t)vectors_int(line, "desired"),
		.min = (int32_t)vectors_int(line, "min"),
		.max = (int32_t)vectors_int(line, "max"),
		.up = &up,
		.down = &down,
		.up_events = up_events,
		.down_events = down_events,
	};
	struct hpa_limit got;
	int r;

	if (strcmp(fn, "convertDesiredReplicasWithRules") == 0) {
		got = hpa_limit_plain(in.current, in.desired, in.min, in.max);
		compare_limit(out, &got, report);
		return 0;
	}
	if (read_rules(json_object_get(line, "scaleUp"), &up, report) < 0 ||
		read_rules(json_object_get(line, "scaleDown"), &down, report) < 0 ||
		read_events(json_object_get(line, "upEvents"), up_events, report) < 0 ||
		read_events(json_object_get(line, "downEvents"), down_events, report) < 0)
		return -EINVAL;
	if (strcmp(fn, "convertDesiredReplicasWithBehaviorRate") == 0) {
		got = hpa_limit_behavior(&in);
		compare_limit(out, &got, report);
		return 0;
	}
	if (strcmp(fn, "storeScaleEvent") != 0)
		return -EINVAL;
	r = hpa_events_store(&up, &down, up_events, down_events, in.current, in.desired, 0);
	if (r < 0)
		vectors_differ(report, "result %d", r);
	compare_events(json_object_get(out, "upEvents"), "upEvents", up_events, report);
	compare_events(json_object_get(out, "downEvents"), "downEvents", down_events, report);
	return 0;
}

int hpa_rate_run(json_t *line, struct vectors_report *report)
{
	struct hpa_event_book up_events = {0}, down_events = {0};
	int r;

	if (!vectors_known(line, line_keys, report) || !vectors_known(json_object_get(line, "out"), out_keys, report))
		return -EINVAL;
	r = run(line, &up_events, &down_events, report);
	hpa_event_book_clear(&up_events);
	hpa_event_book_clear(&down_events);
	return r;
}
