/* SPDX-License-Identifier: Apache-2.0 */
/* The table behind "logged once per cause"; see the header. */
#include "aggregator/causes.h"

#include <string.h>

#include "core/map.h"

enum agg_cause agg_causes_note(struct agg_causes *c, const char *text, uint64_t now_us)
{
	uint64_t hash = km_hash(text, strlen(text));

	if (now_us - c->since_us >= AGG_CAUSE_HOUR_US)
		*c = (struct agg_causes){.since_us = now_us};
	for (size_t i = 0; i < c->n; i++)
		if (c->hashes[i] == hash)
			return AGG_CAUSE_KNOWN;
	if (c->n < AGG_CAUSES_MAX) {
		c->hashes[c->n++] = hash;
		return AGG_CAUSE_NEW;
	}
	c->untold++;
	if (c->full_told)
		return AGG_CAUSE_KNOWN;
	c->full_told = true;
	return AGG_CAUSE_FULL;
}
