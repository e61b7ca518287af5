/* SPDX-License-Identifier: Apache-2.0 */
/* Stabilization: see stabilize.h. */
#include "hpa/stabilize.h"

#include <errno.h>

#include "hpa/arith.h"

#define HISTORY_FIRST 16 /* slots of a new history */
#define MERGE_RUN     4  /* this many neighbours become their smallest and their largest */

/* No slot to use again. */
#define NO_SLOT SIZE_MAX

void hpa_history_clear(struct hpa_history *history)
{
	free(history->items);
	*history = (struct hpa_history){0};
}

static int by_time(const void *a, const void *b)
{
	const struct hpa_recommendation *x = a, *y = b;

	return (x->time_ns > y->time_ns) - (x->time_ns < y->time_ns);
}

/*
 * Halves a full history. Both ends of a run are kept, because a step up is held back by the smallest one and a step
 * down by the largest one, and they keep the run's last time, so that they hold at least as long as they would have. As
 * the whole history is merged, and not its oldest entries alone, what is n rounds old moves by a fraction of n rounds
 * only.
 */
static void merge_neighbours(struct hpa_history *history)
{
	size_t n = 0;

	qsort(history->items, history->n, sizeof(*history->items), by_time);
	for (size_t i = 0; i < history->n; i += MERGE_RUN) {
		size_t end = KM_MIN(i + MERGE_RUN, history->n);
		int32_t smallest = history->items[i].replicas, largest = smallest;
		int64_t time_ns = history->items[end - 1].time_ns;

		for (size_t k = i; k < end; k++) {
			smallest = KM_MIN(smallest, history->items[k].replicas);
			largest = KM_MAX(largest, history->items[k].replicas);
		}
		history->items[n++] = (struct hpa_recommendation){smallest, time_ns};
		if (largest != smallest)
			history->items[n++] = (struct hpa_recommendation){largest, time_ns};
	}
	history->n = n;
}

int hpa_history_add(struct hpa_history *history, int32_t replicas, int64_t time_ns)
{
	if (history->n == HPA_RECOMMENDATIONS_MAX)
		merge_neighbours(history);
	if (history->n == history->capacity) {
		size_t capacity = KM_MIN(KM_MAX(2 * history->capacity, HISTORY_FIRST), HPA_RECOMMENDATIONS_MAX);
		struct hpa_recommendation *items = realloc(history->items, capacity * sizeof(*items));

		if (!items)
			return -ENOMEM;
		history->items = items;
		history->capacity = capacity;
	}
	history->items[history->n++] = (struct hpa_recommendation){replicas, time_ns};
	history->seen = true;
	return 0;
}

bool hpa_history_extreme(
	const struct hpa_history *history, int64_t since_ns, bool largest, struct hpa_recommendation *ret)
{
	bool found = false;

	for (size_t i = 0; i < history->n; i++) {
		const struct hpa_recommendation *one = &history->items[i];

		if (one->time_ns < since_ns)
			continue;
		if (!found || (largest ? one->replicas > ret->replicas : one->replicas < ret->replicas) ||
			(one->replicas == ret->replicas && one->time_ns > ret->time_ns))
			*ret = *one;
		found = true;
	}
	return found;
}

static int note(struct hpa_history *history, size_t slot, int32_t desired, int64_t now_ns)
{
	if (slot == NO_SLOT)
		return hpa_history_add(history, desired, now_ns);
	history->items[slot] = (struct hpa_recommendation){desired, now_ns};
	return 0;
}

int hpa_stabilize_plain(
	struct hpa_history *history, int32_t desired, int64_t window_ns, int64_t now_ns, int32_t *ret_replicas)
{
	int64_t cutoff = hpa_time_sub(now_ns, window_ns);
	size_t slot = NO_SLOT;
	int32_t result = desired;
	int r;

	for (size_t i = 0; i < history->n; i++) {
		if (history->items[i].time_ns < cutoff)
			slot = i;
		else
			result = KM_MAX(result, history->items[i].replicas);
	}
	r = note(history, slot, desired, now_ns);
	if (r < 0)
		return r;
	*ret_replicas = result;
	return 0;
}

int hpa_stabilize_behavior(struct hpa_history *history, int32_t current, int32_t desired, int64_t up_window_ns,
	int64_t down_window_ns, int64_t now_ns, int32_t *ret_replicas, const char **ret_reason,
	const char **ret_message)
{
	int64_t up_cutoff = hpa_time_sub(now_ns, up_window_ns), down_cutoff = hpa_time_sub(now_ns, down_window_ns);
	int32_t up = desired, down = desired;
	size_t slot = NO_SLOT;
	int r;

	/* One that lies on a cutoff neither counts nor is its slot free. */
	for (size_t i = 0; i < history->n; i++) {
		const struct hpa_recommendation *one = &history->items[i];

		if (one->time_ns > up_cutoff)
			up = KM_MIN(up, one->replicas);
		if (one->time_ns > down_cutoff)
			down = KM_MAX(down, one->replicas);
		if (one->time_ns < up_cutoff && one->time_ns < down_cutoff)
			slot = i;
	}
	r = note(history, slot, desired, now_ns);
	if (r < 0)
		return r;
	*ret_replicas = KM_MIN(KM_MAX(current, up), down);
	if (desired >= current) {
		*ret_reason = "ScaleUpStabilized";
		*ret_message = "recent recommendations were lower than current one, applying the lowest recent "
			       "recommendation";
	} else {
		*ret_reason = "ScaleDownStabilized";
		*ret_message = "recent recommendations were higher than current one, applying the highest recent "
			       "recommendation";
	}
	return 0;
}
