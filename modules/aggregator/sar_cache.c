/* SPDX-License-Identifier: Apache-2.0 */
/* A hash map over a doubly linked list in order of use; see the header. */
#include "aggregator/sar_cache.h"

#include <errno.h>
#include <string.h>

#include "core/map.h"

#define REASON_MAX 512 /* bytes of a reason that are kept */

struct entry {
	struct entry *newer, *older;
	uint64_t until_us;
	bool allowed;
	char *reason; /* in bytes[], after the key */
	size_t key_len, size;
	char bytes[];
};

struct agg_sar_cache {
	struct km_map map;             /* by bytes[0..key_len) */
	struct entry *newest, *oldest; /* owned */
	size_t bytes;
};

int agg_sar_cache_new(struct agg_sar_cache **ret)
{
	struct agg_sar_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	*ret = c;
	return 0;
}

static void unlink_entry(struct agg_sar_cache *c, struct entry *e)
{
	*(e->newer ? &e->newer->older : &c->newest) = e->older;
	*(e->older ? &e->older->newer : &c->oldest) = e->newer;
	e->newer = e->older = NULL;
}

static void link_newest(struct agg_sar_cache *c, struct entry *e)
{
	e->older = c->newest;
	e->newer = NULL;
	*(c->newest ? &c->newest->newer : &c->oldest) = e;
	c->newest = e;
}

static void drop(struct agg_sar_cache *c, struct entry *e)
{
	km_map_remove(&c->map, e->bytes, e->key_len);
	unlink_entry(c, e);
	c->bytes -= e->size;
	free(e);
}

void agg_sar_cache_free(struct agg_sar_cache *c)
{
	if (!c)
		return;
	while (c->oldest)
		drop(c, c->oldest);
	km_map_free(&c->map);
	free(c);
}

int agg_sar_cache_get(struct agg_sar_cache *c, const void *key, size_t len, uint64_t now_us, struct agg_sar_answer *ret)
{
	struct entry *e = km_map_get(&c->map, key, len);

	if (!e)
		return 0;
	if (now_us >= e->until_us) {
		drop(c, e);
		return 0;
	}
	unlink_entry(c, e);
	link_newest(c, e);
	*ret = (struct agg_sar_answer){.allowed = e->allowed, .reason = e->reason};
	return 1;
}

void agg_sar_cache_put(
	struct agg_sar_cache *c, const void *key, size_t len, bool allowed, const char *reason, uint64_t until_us)
{
	size_t reason_len = strnlen(reason, REASON_MAX);
	size_t size = sizeof(struct entry) + len + reason_len + 1;
	struct entry *e = km_map_get(&c->map, key, len);

	if (e)
		drop(c, e);
	if (len > AGG_SAR_KEY_MAX || !(e = calloc(1, size)))
		return;
	memcpy(e->bytes, key, len);
	e->key_len = len;
	e->size = size;
	e->reason = e->bytes + len;
	memcpy(e->reason, reason, reason_len);
	e->allowed = allowed;
	e->until_us = until_us;
	if (km_map_put(&c->map, e->bytes, len, e, NULL) < 0) {
		free(e);
		return;
	}
	link_newest(c, e);
	c->bytes += size;
	while (c->map.count > AGG_SAR_ENTRIES_MAX || c->bytes > AGG_SAR_BYTES_MAX)
		drop(c, c->oldest);
}

size_t agg_sar_cache_count(const struct agg_sar_cache *c)
{
	return c->map.count;
}
