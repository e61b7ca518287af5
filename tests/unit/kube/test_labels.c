/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Label sets: equal content is one set, found whatever the order of its pairs; nothing is left when all is released.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kube/labels.h"

struct world {
	struct km_interner *in;
	struct kube_label_pool *pool;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	if (!w || km_interner_new(&w->in) < 0 || kube_label_pool_new(w->in, &w->pool) < 0)
		return -1;
	*state = w;
	return 0;
}

/* Each test releases what it took. */
static int teardown(void **state)
{
	struct world *w = *state;
	bool clean = km_interner_count(w->in) == 0 && kube_label_pool_count(w->pool) == 0;

	if (clean) {
		kube_label_pool_free(w->pool);
		km_interner_free(w->in);
	}
	free(w);
	return clean ? 0 : -1;
}

static struct kube_labels *get(struct world *w, const struct kube_label_pair *pairs, size_t n)
{
	struct kube_labels *set = NULL;

	assert_int_equal(kube_labels_get(w->pool, pairs, n, &set), 0);
	assert_non_null(set);
	return set;
}

static void test_shared(void **state)
{
	struct world *w = *state;
	struct kube_labels *a = get(w, (struct kube_label_pair[]){{"b", "2"}, {"a", "1"}, {"c", ""}}, 3);
	struct kube_labels *b = get(w, (struct kube_label_pair[]){{"c", ""}, {"b", "2"}, {"a", "1"}}, 3);
	struct kube_labels *other = get(w, (struct kube_label_pair[]){{"a", "2"}, {"b", "1"}, {"c", ""}}, 3);
	struct kube_labels *fewer = get(w, (struct kube_label_pair[]){{"a", "1"}, {"b", "2"}}, 2);

	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, other);
	assert_ptr_not_equal(a, fewer);
	assert_int_equal(a->refs, 2);
	assert_int_equal(kube_label_pool_count(w->pool), 3);
	assert_int_equal(km_interner_count(w->in), 6); /* a b c 1 2 "" */
	assert_int_equal(a->n, 3);
	assert_string_equal(a->items[0].key, "a");
	assert_string_equal(a->items[1].key, "b");
	assert_string_equal(a->items[2].key, "c");
	assert_string_equal(kube_labels_value(a, "b"), "2");
	assert_string_equal(kube_labels_value(a, "c"), "");
	assert_null(kube_labels_value(a, ""));
	assert_null(kube_labels_value(a, "aa"));
	assert_null(kube_labels_value(a, "d"));
	assert_ptr_equal(kube_labels_ref(a), a);
	kube_labels_unref(w->pool, a);
	kube_labels_unref(w->pool, a);
	assert_int_equal(kube_label_pool_count(w->pool), 3); /* b still holds it */
	kube_labels_unref(w->pool, b);
	assert_int_equal(kube_label_pool_count(w->pool), 2);
	kube_labels_unref(w->pool, other);
	kube_labels_unref(w->pool, fewer);
	kube_labels_unref(w->pool, NULL);
}

static void test_empty(void **state)
{
	struct world *w = *state;
	struct kube_labels *a = get(w, NULL, 0), *b = NULL, *c = NULL, *d = NULL;
	json_t *array = json_array();

	assert_int_equal(a->n, 0);
	assert_null(kube_labels_value(a, "a"));
	assert_int_equal(kube_labels_decode(w->pool, NULL, &b), 0);
	assert_int_equal(kube_labels_decode(w->pool, json_null(), &c), 0);
	assert_int_equal(kube_labels_decode(w->pool, array, &d), 0);
	assert_ptr_equal(a, b);
	assert_ptr_equal(a, c);
	assert_ptr_equal(a, d);
	for (int i = 0; i < 4; i++)
		kube_labels_unref(w->pool, a);
	json_decref(array);
}

static void test_twice(void **state)
{
	struct world *w = *state;
	struct kube_labels *a = get(w, (struct kube_label_pair[]){{"a", "1"}, {"b", "2"}, {"a", "3"}, {"a", "3"}}, 4);

	assert_int_equal(a->n, 2);
	assert_string_equal(kube_labels_value(a, "a"), "3");
	assert_int_equal(km_interner_count(w->in), 4); /* the first value is gone */
	kube_labels_unref(w->pool, a);
}

static void test_decode(void **state)
{
	struct world *w = *state;
	json_t *json = json_pack("{s:s,s:i,s:s,s:n,s:{}}", "b", "2", "number", 5, "a", "1", "null", "object");
	struct kube_labels *a = NULL, *b = get(w, (struct kube_label_pair[]){{"a", "1"}, {"b", "2"}}, 2);

	assert_non_null(json);
	assert_int_equal(kube_labels_decode(w->pool, json, &a), 0);
	assert_ptr_equal(a, b);
	kube_labels_unref(w->pool, a);
	kube_labels_unref(w->pool, b);
	json_decref(json);
}

/* More labels than an object may have: the rest is left out, from either door. */
static void test_limit(void **state)
{
	struct world *w = *state;
	size_t n = KUBE_LABELS_MAX + 10;
	struct kube_label_pair *pairs = calloc(n, sizeof(*pairs));
	char(*names)[16] = calloc(n, sizeof(*names));
	json_t *json = json_object();
	struct kube_labels *a, *b = NULL;

	assert_non_null(pairs);
	assert_non_null(names);
	for (size_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "k%zu", n - i);
		pairs[i] = (struct kube_label_pair){names[i], "v"};
		json_object_set_new(json, names[i], json_string("v"));
	}
	a = get(w, pairs, n);
	assert_int_equal(a->n, KUBE_LABELS_MAX);
	for (size_t i = 1; i < a->n; i++)
		assert_true(strcmp(a->items[i - 1].key, a->items[i].key) < 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(!!kube_labels_value(a, names[i]), i < KUBE_LABELS_MAX);
	assert_int_equal(kube_labels_decode(w->pool, json, &b), 0);
	assert_int_equal(b->n, KUBE_LABELS_MAX);
	kube_labels_unref(w->pool, a);
	kube_labels_unref(w->pool, b);
	json_decref(json);
	free(names);
	free(pairs);
}

/* As many pods as a large cluster has share the sets of their owners. */
static void test_many(void **state)
{
	enum { PODS = 30000, OWNERS = 300 };
	struct world *w = *state;
	struct kube_labels **sets = calloc(PODS, sizeof(struct kube_labels *));
	char app[32], hash[32];

	assert_non_null(sets);
	for (int i = 0; i < PODS; i++) {
		struct kube_label_pair pairs[] = {{"pod-template-hash", hash}, {"app", app}, {"team", "a"}};

		snprintf(app, sizeof(app), "app-%d", i % OWNERS);
		snprintf(hash, sizeof(hash), "hash-%d", i % OWNERS);
		sets[i] = get(w, pairs, KM_ARRAY_LEN(pairs));
		assert_ptr_equal(sets[i], sets[i % OWNERS]);
	}
	assert_int_equal(kube_label_pool_count(w->pool), OWNERS);
	assert_int_equal(km_interner_count(w->in), 2 * OWNERS + 4);
	for (int i = 0; i < PODS; i++)
		kube_labels_unref(w->pool, sets[i]);
	free(sets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_decode, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
