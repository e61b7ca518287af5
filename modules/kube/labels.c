/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set is found by its content: since keys and values are interned, that is the array of their pointers, which is the
 * map's key as it stands.
 */
#include "kube/labels.h"

#include <errno.h>
#include <string.h>

#include "core/map.h"

struct kube_label_pool {
	struct km_interner *in;
	struct km_map sets; /* items -> set, owned through the references of their users */
};

int kube_label_pool_new(struct km_interner *in, struct kube_label_pool **ret)
{
	struct kube_label_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	pool->in = in;
	*ret = pool;
	return 0;
}

void kube_label_pool_free(struct kube_label_pool *pool)
{
	if (!pool)
		return;
	assert(pool->sets.count == 0);
	km_map_free(&pool->sets);
	free(pool);
}

static size_t items_size(const struct kube_labels *set)
{
	return set->n * sizeof(set->items[0]);
}

static void drop(struct kube_label_pool *pool, struct kube_labels *set)
{
	for (size_t i = 0; i < set->n; i++) {
		km_istr_unref(pool->in, set->items[i].key);
		km_istr_unref(pool->in, set->items[i].value);
	}
	free(set);
}

/* Puts a pair at its place; a key that is there already gets the new value. */
static int insert(struct kube_label_pool *pool, struct kube_labels *set, const struct kube_label_pair *pair)
{
	const char *value = km_intern(pool->in, pair->value, strlen(pair->value)), *key;
	size_t at = set->n;

	if (!value)
		return -ENOMEM;
	while (at > 0 && strcmp(set->items[at - 1].key, pair->key) >= 0)
		at--;
	if (at < set->n && strcmp(set->items[at].key, pair->key) == 0) {
		km_istr_unref(pool->in, set->items[at].value);
		set->items[at].value = value;
		return 0;
	}
	key = km_intern(pool->in, pair->key, strlen(pair->key));
	if (!key) {
		km_istr_unref(pool->in, value);
		return -ENOMEM;
	}
	memmove(&set->items[at + 1], &set->items[at], (set->n - at) * sizeof(set->items[0]));
	set->items[at].key = key;
	set->items[at].value = value;
	set->n++;
	return 0;
}

int kube_labels_get(
	struct kube_label_pool *pool, const struct kube_label_pair *pairs, size_t n, struct kube_labels **ret)
{
	struct kube_labels *set, *known;

	n = KM_MIN(n, (size_t)KUBE_LABELS_MAX);
	set = calloc(1, sizeof(*set) + n * sizeof(set->items[0]));
	if (!set)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (insert(pool, set, &pairs[i]) < 0)
			goto no_memory;
	known = km_map_get(&pool->sets, set->items, items_size(set));
	if (known) {
		drop(pool, set);
		*ret = kube_labels_ref(known);
		return 0;
	}
	set->refs = 1;
	if (km_map_put(&pool->sets, set->items, items_size(set), set, NULL) < 0)
		goto no_memory;
	*ret = set;
	return 0;
no_memory:
	drop(pool, set);
	return -ENOMEM;
}

int kube_labels_decode(struct kube_label_pool *pool, json_t *labels, struct kube_labels **ret)
{
	struct kube_label_pair pairs[KUBE_LABELS_MAX];
	const char *key;
	json_t *value;
	size_t n = 0;

	json_object_foreach(labels, key, value)
	{
		if (json_is_string(value) && n < KUBE_LABELS_MAX)
			pairs[n++] = (struct kube_label_pair){.key = key, .value = json_string_value(value)};
	}
	return kube_labels_get(pool, pairs, n, ret);
}

struct kube_labels *kube_labels_ref(struct kube_labels *set)
{
	set->refs++;
	return set;
}

void kube_labels_unref(struct kube_label_pool *pool, struct kube_labels *set)
{
	if (!set || --set->refs > 0)
		return;
	km_map_remove(&pool->sets, set->items, items_size(set));
	drop(pool, set);
}

const char *kube_labels_value(const struct kube_labels *set, const char *key)
{
	size_t low = 0, high = set->n;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(set->items[middle].key, key);

		if (order == 0)
			return set->items[middle].value;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

size_t kube_label_pool_count(const struct kube_label_pool *pool)
{
	return pool->sets.count;
}
