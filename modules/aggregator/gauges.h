/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures that most containers do not have: swap, and ephemeral storage. They stand in one array, of which a container
 * knows its place (4 bytes, no more while there is nothing to keep); 16 bytes each. The table owns them all.
 */
#pragma once

#include "core/base.h"

#define AGG_ABSENT UINT64_MAX /* no such figure */

struct agg_gauges {
	uint64_t swap_bytes, storage_bytes; /* or AGG_ABSENT */
};

/* A zeroed struct is empty. */
struct agg_gauge_table {
	struct agg_gauges *slots; /* owned; slot 0 is not used */
	uint32_t n, cap;
	uint32_t free; /* the first of those that are not in use, 0: none; each names the next */
};

void agg_gauges_free(struct agg_gauge_table *t);
/* place 0: none. */
struct agg_gauges agg_gauges_get(const struct agg_gauge_table *t, uint32_t place);
/* Puts them there; the place is taken when there is something to keep, and given back when there is not. Without memory
 * nothing is kept. */
void agg_gauges_set(struct agg_gauge_table *t, uint32_t *place, struct agg_gauges gauges);
