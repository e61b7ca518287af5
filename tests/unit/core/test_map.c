/* SPDX-License-Identifier: Apache-2.0 */
#include "core/map.h"

#include <stdio.h>

#include "core/intern.h"
#include "tests/unit/support/check.h"

#define N 5000

struct entry {
	char key[16];
	bool in;
};

/* Puts and removes at random beside a plain array, and compares: deletion with backward shift is where such maps go
 * wrong. */
static void agrees_with_an_array(void **state)
{
	static struct entry entries[N];
	struct km_map map = {0};
	size_t count = 0, seen = 0, cursor = 0;
	unsigned seed = 12345;

	(void)state;
	for (size_t i = 0; i < N; i++)
		snprintf(entries[i].key, sizeof(entries[i].key), "key-%zu", i);
	for (int round = 0; round < 60000; round++) {
		struct entry *e;

		seed = seed * 1103515245u + 12345u;
		e = &entries[(seed >> 8) % N];
		if ((seed >> 28) % 2) {
			void *old = (void *)1;

			assert_int_equal(km_map_put(&map, e->key, strlen(e->key), e, &old), 0);
			assert_ptr_equal(old, e->in ? e : NULL);
			count += !e->in;
			e->in = true;
		} else {
			assert_ptr_equal(km_map_remove(&map, e->key, strlen(e->key)), e->in ? e : NULL);
			count -= e->in;
			e->in = false;
		}
		assert_int_equal(map.count, count);
	}
	for (size_t i = 0; i < N; i++)
		assert_ptr_equal(
			km_map_get(&map, entries[i].key, strlen(entries[i].key)), entries[i].in ? &entries[i] : NULL);
	while (km_map_next(&map, &cursor))
		seen++;
	assert_int_equal(seen, count);
	km_map_free(&map);
	assert_null(km_map_get(&map, "x", 1));
}

/* Small and as full as a map gets: runs of entries reach over the table's end, and removing pulls entries back over it.
 */
static void a_walk_that_removes_sees_each_entry_once(void **state)
{
	static struct entry entries[14];

	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct km_map map = {0};
		struct km_map_entry *e;
		size_t cursor = 0, seen = 0;

		for (size_t i = 0; i < KM_ARRAY_LEN(entries); i++) {
			snprintf(entries[i].key, sizeof(entries[i].key), "%d-%zu", round, i);
			entries[i].in = false;
			assert_int_equal(
				km_map_put(&map, entries[i].key, strlen(entries[i].key), &entries[i], NULL), 0);
		}
		assert_int_equal(map.capacity, 16);
		while ((e = km_map_next(&map, &cursor))) {
			struct entry *value = e->value;

			assert_false(value->in);
			value->in = true;
			seen++;
			if ((round >> (seen % 8)) % 2 == 0)
				assert_ptr_equal(km_map_remove(&map, value->key, strlen(value->key)), value);
		}
		assert_int_equal(seen, KM_ARRAY_LEN(entries));
		assert_null(km_map_next(&map, &cursor));
		km_map_free(&map);
	}
}

static void removing_while_walking_misses_nothing(void **state)
{
	static struct entry entries[1000];
	struct km_map map = {0};
	struct km_map_entry *e;
	size_t cursor = 0, left = 0;

	(void)state;
	for (size_t i = 0; i < KM_ARRAY_LEN(entries); i++) {
		snprintf(entries[i].key, sizeof(entries[i].key), "%zu", i);
		assert_int_equal(km_map_put(&map, entries[i].key, strlen(entries[i].key), &entries[i], NULL), 0);
	}
	while ((e = km_map_next(&map, &cursor))) {
		struct entry *value = e->value;

		value->in = true;
		if (value->key[0] % 2)
			km_map_remove(&map, value->key, strlen(value->key));
	}
	for (size_t i = 0; i < KM_ARRAY_LEN(entries); i++) {
		assert_true(entries[i].in);
		left += entries[i].key[0] % 2 == 0;
	}
	assert_int_equal(map.count, left);
	km_map_free(&map);
}

static void keys_are_bytes(void **state)
{
	struct km_map map = {0};
	int a, b, c;

	(void)state;
	assert_int_equal(km_map_put(&map, "a\0b", 3, &a, NULL), 0);
	assert_int_equal(km_map_put(&map, "a\0c", 3, &b, NULL), 0);
	assert_int_equal(km_map_put(&map, "", 0, &c, NULL), 0);
	assert_ptr_equal(km_map_get(&map, "a\0b", 3), &a);
	assert_ptr_equal(km_map_get(&map, "a\0c", 3), &b);
	assert_ptr_equal(km_map_get(&map, "", 0), &c);
	assert_null(km_map_get(&map, "a", 1));
	km_map_free(&map);
}

static void interned_strings_are_one(void **state)
{
	struct km_interner *in;
	const char *a, *b;

	(void)state;
	assert_int_equal(km_interner_new(&in), 0);
	assert_null(km_intern_find(in, "kube-system", 11));
	a = km_intern(in, "kube-system!", 11);
	b = km_intern(in, "kube-system", 11);
	assert_ptr_equal(a, b);
	assert_string_equal(a, "kube-system");
	assert_int_equal(km_istr_len(a), 11);
	assert_ptr_equal(km_intern_find(in, "kube-system", 11), a);
	assert_int_equal(km_interner_count(in), 1);
	assert_ptr_equal(km_istr_ref(a), a);
	km_istr_unref(in, a);
	km_istr_unref(in, a);
	assert_int_equal(km_interner_count(in), 1);
	km_istr_unref(in, a);
	assert_int_equal(km_interner_count(in), 0);
	km_istr_unref(in, NULL);
	km_interner_free(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_an_array),
		cmocka_unit_test(a_walk_that_removes_sees_each_entry_once),
		cmocka_unit_test(removing_while_walking_misses_nothing),
		cmocka_unit_test(keys_are_bytes),
		cmocka_unit_test(interned_strings_are_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
