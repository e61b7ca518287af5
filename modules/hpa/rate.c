/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of one step, and the book of scale events: see rate.h. */
#include "hpa/rate.h"

#include <errno.h>
#include <math.h>

#include "hpa/arith.h"

#define SECOND_NS         INT64_C(1000000000)
#define EVENTS_FIRST      16  /* slots of a new book */
#define SCALE_UP_FACTOR   2.0 /* upstream's scaleUpLimitFactor */
#define SCALE_UP_AT_LEAST 4.0 /* upstream's scaleUpLimitMinimum */
#define HPA_LIMIT(n, id)  ((struct hpa_limit){(n), limits[id].reason, limits[id].message})

enum limit_id { WITHIN, UP_LIMIT, DOWN_LIMIT, TOO_MANY, TOO_FEW };

static const struct {
	const char *reason, *message;
} limits[] = {
	[WITHIN] = {"DesiredWithinRange", "the desired count is within the acceptable range"},
	[UP_LIMIT] = {"ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"},
	[DOWN_LIMIT] = {"ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate"},
	[TOO_MANY] = {"TooManyReplicas", "the desired replica count is more than the maximum replica count"},
	[TOO_FEW] = {"TooFewReplicas", "the desired replica count is less than the minimum replica count"},
};

void hpa_event_book_clear(struct hpa_event_book *book)
{
	free(book->items);
	*book = (struct hpa_event_book){0};
}

struct hpa_limit hpa_limit_plain(int32_t current, int32_t desired, int32_t min, int32_t max)
{
	int32_t step = hpa_int32_of(KM_MAX(SCALE_UP_FACTOR * (double)current, SCALE_UP_AT_LEAST));

	if (desired < min)
		return HPA_LIMIT(min, TOO_FEW);
	if (desired > KM_MIN(max, step))
		return max > step ? HPA_LIMIT(step, UP_LIMIT) : HPA_LIMIT(max, TOO_MANY);
	return HPA_LIMIT(desired, WITHIN);
}

/* The change of one direction within the period that ends now; own: for a limit of this same direction. */
static int32_t change_within(const struct hpa_event_book *book, int32_t period_s, int64_t now_ns, bool own)
{
	int64_t cutoff = hpa_time_sub(now_ns, period_s * SECOND_NS);
	int32_t sum = 0;

	for (size_t i = 0; i < book->n; i++) {
		if (book->items[i].time_ns > cutoff && (own || !book->items[i].merged))
			sum = hpa_add32(sum, book->items[i].change);
	}
	return sum;
}

/* As many replicas as one policy lets there be, from what there was when its period began. */
static int32_t policy_limit(const struct hpa_rate *in, const struct hpa_policy *policy, bool up)
{
	int32_t added = change_within(in->up_events, policy->period_s, in->now_ns, up),
		removed = change_within(in->down_events, policy->period_s, in->now_ns, !up),
		start = hpa_add32(hpa_sub32(in->current, added), removed);
	double part = (double)policy->value / 100;

	if (!policy->percent)
		return up ? hpa_add32(start, policy->value) : hpa_sub32(start, policy->value);
	if (up)
		return hpa_int32_of(ceil((double)start * (1 + part)));
	return hpa_int32_of((double)start * (1 - part));
}

/* Of all policies the one that lets go furthest (Max) or least far (Min). */
static int32_t rules_limit(const struct hpa_rate *in, const struct hpa_rules *rules, bool up)
{
	bool largest = up == (rules->select != HPA_SELECT_MIN);
	int32_t result = largest ? INT32_MIN : INT32_MAX;

	if (rules->select == HPA_SELECT_DISABLED)
		return in->current;
	for (size_t i = 0; i < rules->n_policies; i++) {
		int32_t proposed = policy_limit(in, &rules->policies[i], up);

		result = largest ? KM_MAX(result, proposed) : KM_MIN(result, proposed);
	}
	return result;
}

struct hpa_limit hpa_limit_behavior(const struct hpa_rate *in)
{
	int32_t limit;

	if (in->desired > in->current) {
		limit = KM_MAX(rules_limit(in, in->up, true), in->current);
		if (in->desired > KM_MIN(in->max, limit))
			return in->max > limit ? HPA_LIMIT(limit, UP_LIMIT) : HPA_LIMIT(in->max, TOO_MANY);
	} else if (in->desired < in->current) {
		limit = KM_MIN(rules_limit(in, in->down, false), in->current);
		if (in->desired < KM_MAX(in->min, limit))
			return in->min < limit ? HPA_LIMIT(limit, DOWN_LIMIT) : HPA_LIMIT(in->min, TOO_FEW);
	}
	return HPA_LIMIT(in->desired, WITHIN);
}

/* The book is full and nothing in it is outdated: the oldest event joins the next one; its slot is returned. */
static struct hpa_scale_event *merge_oldest(struct hpa_event_book *book)
{
	struct hpa_scale_event *oldest = &book->items[0], *next = &book->items[1];

	if (next->time_ns < oldest->time_ns) {
		oldest = &book->items[1];
		next = &book->items[0];
	}
	for (size_t i = 2; i < book->n; i++) {
		struct hpa_scale_event *event = &book->items[i];

		if (event->time_ns < oldest->time_ns) {
			next = oldest;
			oldest = event;
		} else if (event->time_ns < next->time_ns) {
			next = event;
		}
	}
	if (__builtin_add_overflow(next->change, oldest->change, &next->change))
		next->change = INT32_MAX;
	next->merged = true;
	return oldest;
}

static int append_slot(struct hpa_event_book *book, struct hpa_scale_event **ret)
{
	if (book->n == HPA_EVENTS_MAX) {
		*ret = merge_oldest(book);
		return 0;
	}
	if (book->n == book->capacity) {
		size_t capacity = KM_MIN(KM_MAX(2 * book->capacity, EVENTS_FIRST), HPA_EVENTS_MAX);
		struct hpa_scale_event *items = realloc(book->items, capacity * sizeof(*items));

		if (!items)
			return -ENOMEM;
		book->items = items;
		book->capacity = capacity;
	}
	*ret = &book->items[book->n++];
	return 0;
}

static int store(const struct hpa_rules *rules, struct hpa_event_book *book, int32_t change, int64_t now_ns)
{
	struct hpa_scale_event *slot = NULL;
	int32_t longest_s = 0;
	int64_t cutoff;
	int r;

	for (size_t i = 0; i < rules->n_policies; i++)
		longest_s = KM_MAX(longest_s, rules->policies[i].period_s);
	cutoff = hpa_time_sub(now_ns, longest_s * SECOND_NS);
	for (size_t i = 0; i < book->n; i++) {
		if (book->items[i].time_ns < cutoff)
			book->items[i].outdated = true;
		if (book->items[i].outdated)
			slot = &book->items[i];
	}
	if (!slot) {
		r = append_slot(book, &slot);
		if (r < 0)
			return r;
	}
	*slot = (struct hpa_scale_event){.change = change, .time_ns = now_ns};
	return 0;
}

int hpa_events_store(const struct hpa_rules *up, const struct hpa_rules *down, struct hpa_event_book *up_events,
	struct hpa_event_book *down_events, int32_t before, int32_t after, int64_t now_ns)
{
	if (after > before)
		return store(up, up_events, hpa_sub32(after, before), now_ns);
	return store(down, down_events, hpa_sub32(before, after), now_ns);
}
