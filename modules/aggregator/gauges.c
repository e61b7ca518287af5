/* SPDX-License-Identifier: Apache-2.0 */
/* The array and its free places; see the header. */
#include "aggregator/gauges.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST 64 /* places of a table that has any */

static const struct agg_gauges none = {AGG_ABSENT, AGG_ABSENT};

void agg_gauges_free(struct agg_gauge_table *t)
{
	free(t->slots);
	*t = (struct agg_gauge_table){0};
}

struct agg_gauges agg_gauges_get(const struct agg_gauge_table *t, uint32_t place)
{
	return place ? t->slots[place] : none;
}

static int take(struct agg_gauge_table *t, uint32_t *ret)
{
	if (t->free) {
		*ret = t->free;
		t->free = (uint32_t)t->slots[*ret].swap_bytes;
		return 0;
	}
	if (t->n == t->cap) {
		uint32_t cap = t->cap ? 2 * t->cap : FIRST;
		struct agg_gauges *slots = reallocarray(t->slots, cap, sizeof(*slots));

		if (!slots)
			return -ENOMEM;
		t->slots = slots;
		t->cap = cap;
		t->n = KM_MAX(t->n, 1u);
	}
	*ret = t->n++;
	return 0;
}

void agg_gauges_set(struct agg_gauge_table *t, uint32_t *place, struct agg_gauges g)
{
	bool wanted = g.swap_bytes != AGG_ABSENT || g.storage_bytes != AGG_ABSENT;

	if (wanted && !*place && take(t, place) < 0)
		return;
	if (wanted) {
		t->slots[*place] = g;
	} else if (*place) {
		t->slots[*place].swap_bytes = t->free;
		t->free = *place;
		*place = 0;
	}
}
