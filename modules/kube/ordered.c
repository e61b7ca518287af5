/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorted arrays; see ordered.h.
 */
#include "kube/ordered.h"

#include <errno.h>
#include <string.h>

#define CAPACITY_MIN 16

void kube_ordered_free(struct kube_ordered *o)
{
	free(o->keys);
	free(o->values);
	free(o->marks);
	*o = (struct kube_ordered){0};
}

bool kube_ordered_find(const struct kube_ordered *o, const char *key, size_t *ret_at)
{
	size_t low = 0, high = o->n;

	if (o->n > 0) { /* lists come in order: the end is where most new entries belong */
		int c = strcmp(o->keys[o->n - 1], key);
		if (c <= 0) {
			*ret_at = c == 0 ? o->n - 1 : o->n;
			return c == 0;
		}
	}
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int c = strcmp(o->keys[middle], key);
		if (c == 0) {
			*ret_at = middle;
			return true;
		}
		if (c < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_at = low;
	return false;
}

static int grow(struct kube_ordered *o)
{
	size_t capacity = o->capacity ? 2 * o->capacity : CAPACITY_MIN;
	const char **keys;
	void **values;
	uint32_t *marks;

	/* each array is kept as soon as it has grown: a larger one does no harm if the next cannot follow */
	keys = reallocarray(o->keys, capacity, sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	o->keys = keys;
	values = reallocarray(o->values, capacity, sizeof(*values));
	if (!values)
		return -ENOMEM;
	o->values = values;
	marks = reallocarray(o->marks, capacity, sizeof(*marks));
	if (!marks)
		return -ENOMEM;
	o->marks = marks;
	o->capacity = capacity;
	return 0;
}

int kube_ordered_insert(struct kube_ordered *o, size_t at, const char *key, void *value, uint32_t mark)
{
	size_t tail = o->n - at;

	if (o->n == o->capacity) {
		int r = grow(o);
		if (r < 0)
			return r;
	}
	memmove(o->keys + at + 1, o->keys + at, tail * sizeof(*o->keys));
	memmove(o->values + at + 1, o->values + at, tail * sizeof(*o->values));
	memmove(o->marks + at + 1, o->marks + at, tail * sizeof(*o->marks));
	o->keys[at] = key;
	o->values[at] = value;
	o->marks[at] = mark;
	o->n++;
	return 0;
}

void kube_ordered_remove(struct kube_ordered *o, size_t at)
{
	size_t tail = o->n - at - 1;

	memmove(o->keys + at, o->keys + at + 1, tail * sizeof(*o->keys));
	memmove(o->values + at, o->values + at + 1, tail * sizeof(*o->values));
	memmove(o->marks + at, o->marks + at + 1, tail * sizeof(*o->marks));
	o->n--;
}

size_t kube_ordered_sweep(struct kube_ordered *o, uint32_t mark, void **gone)
{
	size_t kept = 0, n_gone = 0;

	for (size_t i = 0; i < o->n; i++) {
		if (o->marks[i] != mark) {
			gone[n_gone++] = o->values[i];
			continue;
		}
		o->keys[kept] = o->keys[i];
		o->values[kept] = o->values[i];
		o->marks[kept] = mark;
		kept++;
	}
	o->n = kept;
	return n_gone;
}
