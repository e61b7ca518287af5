/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linear probing with backward-shift deletion: no tombstones, so a table never decays. At most 7/8 full.
 */
#include "core/map.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#define FIRST_CAPACITY 16
#define HALF_BITS      (sizeof(size_t) * 4)
#define CAPACITY_MAX   ((size_t)1 << (HALF_BITS - 1)) /* so that a cursor holds two positions */

/* ---- SipHash-2-4 (Aumasson, Bernstein) with a key of this process ---- */

static uint64_t sip_key[2];
static pthread_once_t sip_seeded = PTHREAD_ONCE_INIT; /* the worker hashes too */

static void seed(void)
{
	size_t got = 0;

	while (got < sizeof(sip_key)) {
		ssize_t n = getrandom((char *)sip_key + got, sizeof(sip_key) - got, 0);
		if (n < 0 && errno != EINTR)
			abort(); /* a predictable hash is not worth going on with */
		if (n > 0)
			got += (size_t)n;
	}
}

static inline uint64_t rotl(uint64_t x, int b)
{
	return (x << b) | (x >> (64 - b));
}

#define SIP_ROUND(v0, v1, v2, v3)             \
	do {                                  \
		(v0) += (v1);                 \
		(v1) = rotl((v1), 13) ^ (v0); \
		(v0) = rotl((v0), 32);        \
		(v2) += (v3);                 \
		(v3) = rotl((v3), 16) ^ (v2); \
		(v0) += (v3);                 \
		(v3) = rotl((v3), 21) ^ (v0); \
		(v2) += (v1);                 \
		(v1) = rotl((v1), 17) ^ (v2); \
		(v2) = rotl((v2), 32);        \
	} while (0)

uint64_t km_hash(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint64_t v0, v1, v2, v3, last = (uint64_t)len << 56;

	pthread_once(&sip_seeded, seed);
	v0 = sip_key[0] ^ UINT64_C(0x736f6d6570736575);
	v1 = sip_key[1] ^ UINT64_C(0x646f72616e646f6d);
	v2 = sip_key[0] ^ UINT64_C(0x6c7967656e657261);
	v3 = sip_key[1] ^ UINT64_C(0x7465646279746573);
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t m;

		memcpy(&m, p, 8);
		v3 ^= m;
		SIP_ROUND(v0, v1, v2, v3);
		SIP_ROUND(v0, v1, v2, v3);
		v0 ^= m;
	}
	for (size_t i = 0; i < len; i++)
		last |= (uint64_t)p[i] << (8 * i);
	v3 ^= last;
	SIP_ROUND(v0, v1, v2, v3);
	SIP_ROUND(v0, v1, v2, v3);
	v0 ^= last;
	v2 ^= 0xff;
	for (int i = 0; i < 4; i++)
		SIP_ROUND(v0, v1, v2, v3);
	return v0 ^ v1 ^ v2 ^ v3;
}

/* ---- the table ---- */

void km_map_free(struct km_map *map)
{
	free(map->entries);
	*map = (struct km_map){0};
}

static struct km_map_entry *find(const struct km_map *map, uint64_t hash, const void *key, size_t key_len)
{
	size_t mask = map->capacity - 1;

	if (map->capacity == 0)
		return NULL;
	for (size_t i = hash & mask; map->entries[i].value; i = (i + 1) & mask) {
		struct km_map_entry *e = &map->entries[i];

		if (e->hash == hash && e->key_len == key_len && (key_len == 0 || memcmp(e->key, key, key_len) == 0))
			return e;
	}
	return NULL;
}

static void place(struct km_map_entry *entries, size_t capacity, const struct km_map_entry *entry)
{
	size_t i = entry->hash & (capacity - 1);

	while (entries[i].value)
		i = (i + 1) & (capacity - 1);
	entries[i] = *entry;
}

static int grow(struct km_map *map)
{
	size_t capacity = map->capacity ? map->capacity * 2 : FIRST_CAPACITY;
	struct km_map_entry *entries = capacity <= CAPACITY_MAX ? calloc(capacity, sizeof(*entries)) : NULL;

	if (!entries)
		return -ENOMEM;
	for (size_t i = 0; i < map->capacity; i++)
		if (map->entries[i].value)
			place(entries, capacity, &map->entries[i]);
	free(map->entries);
	map->entries = entries;
	map->capacity = capacity;
	return 0;
}

void *km_map_get(const struct km_map *map, const void *key, size_t key_len)
{
	const struct km_map_entry *e = map->count ? find(map, km_hash(key, key_len), key, key_len) : NULL;

	return e ? e->value : NULL;
}

int km_map_put(struct km_map *map, const void *key, size_t key_len, void *value, void **ret_old)
{
	struct km_map_entry entry = {.hash = km_hash(key, key_len), .key = key, .key_len = key_len, .value = value};
	struct km_map_entry *e = find(map, entry.hash, key, key_len);

	assert(value);
	if (e) {
		if (ret_old)
			*ret_old = e->value;
		*e = entry;
		return 0;
	}
	if (map->count + 1 > map->capacity / 8 * 7) {
		int r = grow(map);
		if (r < 0)
			return r;
	}
	place(map->entries, map->capacity, &entry);
	map->count++;
	if (ret_old)
		*ret_old = NULL;
	return 0;
}

void *km_map_remove(struct km_map *map, const void *key, size_t key_len)
{
	struct km_map_entry *e = map->count ? find(map, km_hash(key, key_len), key, key_len) : NULL;
	size_t mask = map->capacity - 1, hole, i;
	void *value;

	if (!e)
		return NULL;
	value = e->value;
	hole = (size_t)(e - map->entries);
	/* Close the hole: move back each follower that would not be found beyond it. */
	for (i = (hole + 1) & mask; map->entries[i].value; i = (i + 1) & mask) {
		size_t home = map->entries[i].hash & mask;

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			map->entries[hole] = map->entries[i];
			hole = i;
		}
	}
	map->entries[hole] = (struct km_map_entry){0};
	map->count--;
	return value;
}

/*
 * Downwards from an empty slot, all the way round to it. Removing the current entry moves only entries of its run that
 * stand behind it, and no run reaches across an empty slot: what moves has been seen, and nothing is missed or seen
 * twice. That slot stays empty, since a walk does not add. The cursor is 0, or the slot in its upper half and the
 * number of steps taken in its lower half.
 */
struct km_map_entry *km_map_next(const struct km_map *map, size_t *cursor)
{
	size_t mask = map->capacity - 1, empty = *cursor >> HALF_BITS, steps = *cursor & (((size_t)1 << HALF_BITS) - 1);

	if (map->capacity == 0)
		return NULL;
	if (steps == 0)
		while (map->entries[empty].value)
			empty++;
	while (++steps < map->capacity) {
		struct km_map_entry *e = &map->entries[(empty - steps) & mask];

		if (e->value) {
			*cursor = (empty << HALF_BITS) | steps;
			return e;
		}
	}
	*cursor = (empty << HALF_BITS) | (steps - 1);
	return NULL;
}
