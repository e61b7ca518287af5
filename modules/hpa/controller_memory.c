/* SPDX-License-Identifier: Apache-2.0 */
/* What the controller remembers, out and in; see controller.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/timetext.h"
#include "hpa/entry.h"
#include "hpa/memory_saved.h"

#define ONE_MAX ((size_t)256 << 10) /* of one HPA */
#define TAIL    "}}"

static const char *uid_of(const struct hpa_entry *e)
{
	const char *uid = json_string_value(json_object_get(json_object_get(e->object, "metadata"), "uid"));

	return uid ? uid : "";
}

/* ---- out ---- */

struct parts {
	struct km_buf *items; /* owned, with their bytes */
	size_t n, part_max;
	int64_t now_ns;
};

static void free_parts(struct parts *p)
{
	for (size_t i = 0; i < p->n; i++)
		km_buf_free(&p->items[i]);
	free(p->items);
	*p = (struct parts){0};
}

static int begin_part(struct parts *p)
{
	struct km_buf *items = reallocarray(p->items, p->n + 1, sizeof(*items));
	char saved_at[KM_RFC3339_TEXT_MAX];

	if (!items)
		return -ENOMEM;
	p->items = items;
	p->items[p->n] = KM_BUF_INIT(p->part_max);
	km_rfc3339_format(p->now_ns, saved_at);
	km_buf_addf(&p->items[p->n], "{\"version\":%d,\"savedAt\":\"%s\",\"hpas\":{", HPA_SAVED_VERSION, saved_at);
	return p->items[p->n++].error;
}

/* One HPA's member, behind those that are there or in a part of its own. */
static int add_member(struct parts *p, const struct km_buf *member)
{
	struct km_buf *part = &p->items[p->n - 1];
	int r;

	if (part->len + member->len + sizeof("," TAIL) > p->part_max) {
		km_buf_adds(part, TAIL);
		if ((r = begin_part(p)) < 0)
			return r;
		part = &p->items[p->n - 1];
	}
	if (part->data[part->len - 1] != '{')
		km_buf_addc(part, ',');
	km_buf_add(part, member->data, member->len);
	return part->error;
}

/* "key":value; false: there is nothing to save of it. */
static bool write_member(const struct hpa_entry *e, int64_t now_ns, struct km_buf *out)
{
	struct km_json j = KM_JSON_INIT(out, false);

	km_buf_reset(out);
	km_json_str(&j, e->key);
	km_buf_addc(out, ':');
	j = KM_JSON_INIT(out, false);
	return hpa_memory_save(&j, uid_of(e), &e->memory, now_ns) && !out->error;
}

int hpa_controller_save(const struct hpa_controller *c, size_t part_max, struct km_buf **ret_parts, size_t *ret_n)
{
	_cleanup_buf_ struct km_buf member = KM_BUF_INIT(KM_MIN(ONE_MAX, part_max / 2));
	struct parts p = {.part_max = part_max, .now_ns = km_wall_ns()};
	const struct km_map_entry *slot;
	size_t cursor = 0;
	int r = begin_part(&p);

	while (r == 0 && (slot = km_map_next(&c->entries, &cursor)))
		if (write_member(slot->value, p.now_ns, &member))
			r = add_member(&p, &member);
	if (r == 0) {
		km_buf_adds(&p.items[p.n - 1], TAIL);
		r = p.items[p.n - 1].error;
	}
	if (r < 0) {
		free_parts(&p);
		return -ENOMEM;
	}
	*ret_parts = p.items;
	*ret_n = p.n;
	return 0;
}

/* ---- in ---- */

/* False: there is nothing of this one. */
static bool restore(struct hpa_entry *e, json_t *hpas)
{
	json_t *saved = json_object_get(hpas, e->key);
	struct hpa_memory memory;

	if (!saved || hpa_memory_restore(saved, uid_of(e), km_wall_ns(), &memory) < 0)
		return false;
	hpa_memory_clear(&e->memory);
	e->memory = memory;
	return true;
}

void hpa_entry_recall(struct hpa_entry *e)
{
	if (restore(e, e->c->recalled))
		json_object_del(e->c->recalled, e->key);
}

void hpa_controller_recall(struct hpa_controller *c, json_t *hpas, bool replace)
{
	const struct km_map_entry *slot;
	size_t cursor = 0;

	json_decref(c->recalled);
	c->recalled = hpas ? json_copy(hpas) : NULL;
	while (replace && (slot = km_map_next(&c->entries, &cursor))) {
		struct hpa_entry *e = slot->value;

		if (e->state != HPA_IDLE)
			continue; /* a round that is under way has the memory in its hands: when it is over */
		hpa_event_book_clear(&e->memory.up_events);
		hpa_event_book_clear(&e->memory.down_events);
		hpa_entry_recall(e);
	}
}
