/* SPDX-License-Identifier: Apache-2.0 */
#include "hpa/wake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct hpa_wake_node {
	const char *name; /* one reference */
	void **who;       /* owned */
	size_t n, capacity;
};

void hpa_wake_init(struct hpa_wake *w, struct km_interner *in)
{
	*w = (struct hpa_wake){.in = in};
}

void hpa_wake_free(struct hpa_wake *w)
{
	assert(w->nodes.count == 0);
	km_map_free(&w->nodes);
}

/* ---- one node's list ---- */

static struct hpa_wake_node *find(const struct hpa_wake *w, const char *name)
{
	return km_map_get(&w->nodes, &name, sizeof(name));
}

static void free_node(struct hpa_wake *w, struct hpa_wake_node *node)
{
	km_map_remove(&w->nodes, &node->name, sizeof(node->name));
	km_istr_unref(w->in, node->name);
	free(node->who);
	free(node);
}

static struct hpa_wake_node *need(struct hpa_wake *w, const char *name)
{
	struct hpa_wake_node *node = find(w, name);

	if (node || !(node = calloc(1, sizeof(*node))))
		return node;
	node->name = km_istr_ref(name);
	if (km_map_put(&w->nodes, &node->name, sizeof(node->name), node, NULL) < 0) {
		free_node(w, node);
		return NULL;
	}
	return node;
}

static int join(struct hpa_wake *w, const char *name, void *who)
{
	struct hpa_wake_node *node = need(w, name);

	if (!node)
		return -ENOMEM;
	if (node->n == node->capacity) {
		size_t capacity = KM_MAX(node->capacity * 2, (size_t)4);
		void **grown = reallocarray(node->who, capacity, sizeof(*grown));

		if (!grown) {
			if (node->n == 0)
				free_node(w, node);
			return -ENOMEM;
		}
		node->who = grown;
		node->capacity = capacity;
	}
	node->who[node->n++] = who;
	return 0;
}

static void leave(struct hpa_wake *w, const char *name, void *who)
{
	struct hpa_wake_node *node = find(w, name);
	size_t i = 0;

	assert(node);
	while (node->who[i] != who)
		i++;
	node->who[i] = node->who[--node->n];
	if (node->n > 0)
		return;
	if (w->left)
		w->left(node->name, w->arg);
	free_node(w, node);
}

/* ---- one who waits ---- */

void hpa_wake_clear(struct hpa_wake *w, struct hpa_wake_set *set, void *who)
{
	for (size_t i = 0; i < set->n; i++) {
		leave(w, set->nodes[i], who);
		km_istr_unref(w->in, set->nodes[i]);
	}
	free(set->nodes);
	*set = (struct hpa_wake_set){0};
}

static int by_pointer(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t) * (const char *const *)a, y = (uintptr_t) * (const char *const *)b;

	return (x > y) - (x < y);
}

static size_t distinct(const char **nodes, size_t n)
{
	size_t kept = 0;

	qsort(nodes, n, sizeof(*nodes), by_pointer);
	for (size_t i = 0; i < n; i++)
		if (nodes[i] && (kept == 0 || nodes[kept - 1] != nodes[i]))
			nodes[kept++] = nodes[i];
	return kept;
}

int hpa_wake_set_nodes(struct hpa_wake *w, struct hpa_wake_set *set, void *who, const char **nodes, size_t n)
{
	struct hpa_wake_set now = {0}, former = *set;

	n = distinct(nodes, n);
	if (n == set->n && (n == 0 || memcmp(nodes, set->nodes, n * sizeof(*nodes)) == 0))
		return 0;
	/* the new ones first, so that a name that stays keeps its list */
	now.nodes = calloc(n ? n : 1, sizeof(*now.nodes));
	for (; now.nodes && now.n < n; now.n++) {
		if (join(w, nodes[now.n], who) < 0)
			break;
		now.nodes[now.n] = km_istr_ref(nodes[now.n]);
	}
	hpa_wake_clear(w, &former, who);
	*set = now;
	if (now.nodes && now.n == n)
		return 0;
	hpa_wake_clear(w, set, who);
	return -ENOMEM;
}

void hpa_wake_landed(const struct hpa_wake *w, const char *name, void (*fn)(void *who, void *arg), void *arg)
{
	const struct hpa_wake_node *node = find(w, name);

	for (size_t i = 0; node && i < node->n; i++)
		fn(node->who[i], arg);
}
