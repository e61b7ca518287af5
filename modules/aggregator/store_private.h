/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the store's files (store.c fills, store_read.c reads, store_saved.c takes it across a restart): how it is
 * laid out. A node has its containers in the order in which the kubelet lists them, so that the usual scrape finds the
 * container of each line where it stood last time: no hash look-up, no allocation. A line that is not where it is
 * expected goes by its pod: pod (in a map, by namespace and name) -> the report of this node -> container. Names are
 * interned once, when a container is first seen.
 *
 * While a scrape is read, its figures stand in one array for the whole store, by the container's place in its node's
 * order; commit takes them into the containers, abort forgets them. Nothing costs more than what one kubelet has
 * reported.
 */
#pragma once

#include <string.h>

#include "aggregator/store.h"
#include "core/map.h"

struct container {
	struct container *next; /* in its report */
	struct report *report;
	const char *name; /* interned */
	struct agg_pair pair;
	uint32_t index;  /* in its node's order */
	uint32_t gauges; /* place in the store's table, 0: none */
};

/* A pod as one node reports it. */
struct report {
	struct report *next; /* of the same pod */
	struct pod *pod;
	struct node *node;
	struct container *first;
	unsigned n;
};

struct pod_key {
	const char *namespace_, *name; /* interned */
};

struct pod {
	struct pod_key key; /* one reference each */
	struct report *first;
};

struct node {
	const char *name; /* interned */
	struct agg_pair pair;
	struct agg_gauges gauges;
	int64_t storage_ns;       /* wall clock of when its storage was told, 0: never */
	struct container **order; /* owned, with the containers */
	uint32_t n, cap;
	int64_t committed_ns; /* wall clock of the last good scrape, 0: none */
};

struct incoming {
	struct agg_point point;
	uint64_t swap_bytes; /* or AGG_ABSENT */
	uint32_t turn;       /* the how-manieth container of this scrape, from 1; 0: not seen */
};

struct agg_store {
	struct km_interner *in;
	struct km_map nodes; /* name's pointer -> node */
	struct km_map pods;  /* pod_key -> pod */
	int64_t max_age_ns, max_window_ns, full_window_ns;
	size_t n_containers;
	struct agg_gauge_table gauges; /* of containers */
	struct agg_store_stats stats;

	struct node *storing; /* whose storage is being read */
	bool stored;          /* something of it has come */

	/* the scrape under way */
	struct node *filling;
	struct agg_point node_point;
	uint64_t node_swap_bytes;                /* or AGG_ABSENT */
	struct incoming *incoming;               /* owned; by place in the node's order */
	struct container **sorted;               /* owned; scratch of the same size */
	uint32_t room;                           /* of both */
	uint32_t n_known;                        /* of the node's order, before this scrape added to it */
	uint32_t turns;                          /* containers seen */
	bool disordered;                         /* they did not come in the known order */
	const char *landed;                      /* of the last commit, see agg_store_landed; borrowed from the node */
	size_t refused;                          /* lines beyond a limit */
	uint32_t expected[AGG_SCRAPE_ERROR + 1]; /* per series: the place of the next line's container */
};

static inline struct pod *store_find_pod(const struct agg_store *s, const struct pod_key *key)
{
	return key->namespace_ && key->name ? km_map_get(&s->pods, key, sizeof(*key)) : NULL;
}

static inline struct node *store_find_node(const struct agg_store *s, const char *name)
{
	const char *interned = km_intern_find(s->in, name, strlen(name));

	return interned ? km_map_get(&s->nodes, &interned, sizeof(interned)) : NULL;
}

/* While filling: the container that a line is about, made when it is new; NULL when it cannot be had. */
struct container *store_container_of(struct agg_store *s, const struct agg_line *line);
/* False when the scrape has had its share of containers. */
bool store_note_seen(struct agg_store *s, uint32_t index);
