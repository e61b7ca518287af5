/* SPDX-License-Identifier: Apache-2.0 */
#include "hpa/memory_saved.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/timetext.h"

#define MS INT64_C(1000000) /* ns */

/* ---- saving ---- */

static void write_pair(struct km_json *j, int32_t value, int64_t time_ns)
{
	km_json_array(j);
	km_json_int(j, value);
	km_json_int(j, time_ns / MS);
	km_json_end_array(j);
}

static bool is_recent(int64_t time_ns, int64_t now_ns)
{
	return time_ns > now_ns - HPA_SAVED_AGE_NS;
}

static int by_time(const void *a, const void *b)
{
	const struct hpa_recommendation *x = a, *y = b;

	return (x->time_ns > y->time_ns) - (x->time_ns < y->time_ns);
}

/* Slots are used again, so they do not stand in order of time. Without memory none are written. */
static void write_recommendations(struct km_json *j, const struct hpa_history *history, int64_t now_ns)
{
	struct hpa_recommendation *sorted = calloc(history->n ? history->n : 1, sizeof(*sorted));
	size_t n = sorted ? history->n : 0;

	if (n > 0)
		memcpy(sorted, history->items, n * sizeof(*sorted));
	if (n > 0)
		qsort(sorted, n, sizeof(*sorted), by_time);
	km_json_key(j, "recommendations");
	km_json_array(j);
	for (size_t i = 0; i < n; i++) {
		bool followed = i + 1 < n && sorted[i + 1].replicas == sorted[i].replicas;

		if (!followed && is_recent(sorted[i].time_ns, now_ns))
			write_pair(j, sorted[i].replicas, sorted[i].time_ns);
	}
	km_json_end_array(j);
	free(sorted);
}

static void write_events(struct km_json *j, const char *key, const struct hpa_event_book *book, int64_t now_ns)
{
	km_json_key(j, key);
	km_json_array(j);
	for (size_t i = 0; i < book->n; i++)
		if (!book->items[i].outdated && is_recent(book->items[i].time_ns, now_ns))
			write_pair(j, book->items[i].change, book->items[i].time_ns);
	km_json_end_array(j);
}

bool hpa_memory_save(struct km_json *j, const char *uid, const struct hpa_memory *memory, int64_t now_ns)
{
	if (!memory->recommendations.seen)
		return false;
	km_json_object(j);
	km_json_kstr(j, "uid", uid);
	write_recommendations(j, &memory->recommendations, now_ns);
	write_events(j, "up", &memory->up_events, now_ns);
	write_events(j, "down", &memory->down_events, now_ns);
	km_json_end_object(j);
	return true;
}

/* ---- restoring ---- */

/* [value, ms]; false: it is none. */
static bool read_pair(json_t *pair, int32_t *ret_value, int64_t *ret_ns)
{
	json_int_t value = json_integer_value(json_array_get(pair, 0)),
		   ms = json_integer_value(json_array_get(pair, 1));

	if (!json_is_integer(json_array_get(pair, 0)) || !json_is_integer(json_array_get(pair, 1)) ||
		value < INT32_MIN || value > INT32_MAX || ms < 0 || ms > INT64_MAX / MS)
		return false;
	*ret_value = (int32_t)value;
	*ret_ns = ms * MS;
	return true;
}

static bool is_usable(int64_t time_ns, int64_t now_ns)
{
	return is_recent(time_ns, now_ns) && time_ns <= now_ns;
}

static int read_recommendations(json_t *list, int64_t now_ns, struct hpa_history *history)
{
	int64_t time_ns;
	int32_t value;
	json_t *pair;
	size_t i;

	json_array_foreach(list, i, pair)
	{
		if (!read_pair(pair, &value, &time_ns))
			return -EINVAL;
		if (is_usable(time_ns, now_ns) && hpa_history_add(history, value, time_ns) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int read_events(json_t *list, int64_t now_ns, struct hpa_event_book *book)
{
	size_t n = KM_MIN(json_array_size(list), (size_t)HPA_EVENTS_MAX);
	int32_t value;
	int64_t time_ns;

	if (n == 0)
		return 0;
	if (!(book->items = calloc(n, sizeof(*book->items))))
		return -ENOMEM;
	book->capacity = n;
	for (size_t i = 0; i < n; i++) {
		if (!read_pair(json_array_get(list, i), &value, &time_ns) || value <= 0)
			return -EINVAL;
		if (is_usable(time_ns, now_ns))
			book->items[book->n++] = (struct hpa_scale_event){.change = value, .time_ns = time_ns};
	}
	return 0;
}

int hpa_memory_restore(json_t *saved, const char *uid, int64_t now_ns, struct hpa_memory *ret)
{
	const char *its = json_string_value(json_object_get(saved, "uid"));
	struct hpa_memory memory = {0};
	int r;

	if (!its || strcmp(its, uid) != 0)
		return -EINVAL;
	r = read_recommendations(json_object_get(saved, "recommendations"), now_ns, &memory.recommendations);
	if (r == 0)
		r = read_events(json_object_get(saved, "up"), now_ns, &memory.up_events);
	if (r == 0)
		r = read_events(json_object_get(saved, "down"), now_ns, &memory.down_events);
	if (r < 0) {
		hpa_memory_clear(&memory);
		return r;
	}
	*ret = memory;
	return 0;
}

json_t *hpa_saved_hpas(json_t *document, int64_t *ret_saved_ns, struct km_err *err)
{
	json_t *hpas = json_object_get(document, "hpas");
	const char *saved_at = json_string_value(json_object_get(document, "savedAt"));

	if (json_integer_value(json_object_get(document, "version")) != HPA_SAVED_VERSION || !json_is_object(hpas) ||
		!saved_at || km_rfc3339_parse(saved_at, strlen(saved_at), ret_saved_ns) < 0) {
		(void)km_fail(err, -EBADMSG, "not a state of HPAs of version %d", HPA_SAVED_VERSION);
		return NULL;
	}
	return hpas;
}
