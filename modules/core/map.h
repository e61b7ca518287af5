/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A seeded open-addressing hash map from byte strings to pointers. Keys are chosen by tenants (pod names), so the hash
 * is SipHash with a random key per process. Keys are borrowed: they must live, unchanged, as long as their entry, which
 * is easiest when they are part of the value. Values are borrowed too; the owner frees them.
 */
#pragma once

#include "core/base.h"

struct km_map_entry {
	uint64_t hash;
	const void *key;
	size_t key_len;
	void *value; /* never NULL in a used entry */
};

struct km_map {
	struct km_map_entry *entries; /* owned */
	size_t capacity, count;       /* capacity is 0 or a power of two */
};

/* A zeroed struct is an empty map. */
void km_map_free(struct km_map *map); /* the table, not the values */

/* The value, or NULL. */
void *km_map_get(const struct km_map *map, const void *key, size_t key_len);
/* Sets or replaces (then *ret_old, when not NULL, is the former value, else NULL). value must not be NULL. 0 or
 * -ENOMEM. */
int km_map_put(struct km_map *map, const void *key, size_t key_len, void *value, void **ret_old) _must_check_;
/* Removes and returns the value, or NULL. Never moves other entries' values; an iteration may remove the entry it
 * stands on. */
void *km_map_remove(struct km_map *map, const void *key, size_t key_len);

/*
 * Iteration in no particular order: `size_t i = 0; struct km_map_entry *e; while ((e = km_map_next(&map, &i))) ...`.
 * Nothing but removing the current entry may change the map meanwhile; every entry is seen once all the same.
 */
struct km_map_entry *km_map_next(const struct km_map *map, size_t *cursor);

/* The seeded hash itself, for caches that keep their own table. */
uint64_t km_hash(const void *bytes, size_t len);
