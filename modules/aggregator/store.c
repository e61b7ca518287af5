/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it is laid out. A node has its containers in the order in which the kubelet lists them, so that the usual scrape
 * finds the container of each line where it stood last time: no hash look-up, no allocation. A line that is not where
 * it is expected goes by its pod: pod (in a map, by namespace and name) -> the report of this node -> container. Names
 * are interned once, when a container is first seen.
 *
 * While a scrape is read, its figures stand in one array for the whole store, by the container's place in its node's
 * order; commit takes them into the containers, abort forgets them. Nothing costs more than what one kubelet has
 * reported.
 */
#include "aggregator/store.h"

#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/map.h"

#define ORDER_FIRST 32 /* places of a new node */
/* A node's containers of the last scrape and those of the scrape under way stand side by side until it is committed. */
#define ORDER_MAX   (2 * AGG_CONTAINERS_PER_NODE_MAX)

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
	int64_t max_age_ns, max_window_ns;
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
	size_t refused;                          /* lines beyond a limit */
	uint32_t expected[AGG_SCRAPE_ERROR + 1]; /* per series: the place of the next line's container */
};

int agg_store_new(struct km_interner *in, struct agg_store **ret)
{
	struct agg_store *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->in = in;
	agg_store_configure(s, 15 * KM_NSEC_PER_SEC * 5 / 2);
	*ret = s;
	return 0;
}

void agg_store_configure(struct agg_store *s, int64_t max_age_ns)
{
	s->max_age_ns = max_age_ns;
	/* with a long metric-resolution a window is as long, and twice as long after a missed scrape */
	s->max_window_ns = KM_MAX(AGG_MAX_WINDOW_NS, max_age_ns);
}

/* ---- containers, reports and pods come and go ---- */

static struct pod *find_pod(const struct agg_store *s, const struct pod_key *key)
{
	return key->namespace_ && key->name ? km_map_get(&s->pods, key, sizeof(*key)) : NULL;
}

static struct report *report_of(const struct pod *p, const struct node *n)
{
	struct report *r = p ? p->first : NULL;

	while (r && r->node != n)
		r = r->next;
	return r;
}

static void free_pod(struct agg_store *s, struct pod *p)
{
	km_istr_unref(s->in, p->key.namespace_);
	km_istr_unref(s->in, p->key.name);
	free(p);
}

static struct pod *new_pod(struct agg_store *s, const struct agg_line *line)
{
	struct pod *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->key.namespace_ = km_intern(s->in, line->namespace_, line->namespace_len);
	p->key.name = km_intern(s->in, line->pod, line->pod_len);
	if (!p->key.namespace_ || !p->key.name || km_map_put(&s->pods, &p->key, sizeof(p->key), p, NULL) < 0) {
		free_pod(s, p);
		return NULL;
	}
	return p;
}

/* A pod that nobody reports any more goes. */
static void leave_pod(struct agg_store *s, struct pod *p)
{
	if (p->first)
		return;
	km_map_remove(&s->pods, &p->key, sizeof(p->key));
	free_pod(s, p);
}

static void leave_report(struct agg_store *s, struct report *r)
{
	struct report **at = &r->pod->first;

	if (r->first)
		return;
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	leave_pod(s, r->pod);
	free(r);
}

static struct report *new_report(struct agg_store *s, struct pod *p, struct node *n)
{
	struct report *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	if (p->first)
		s->stats.duplicate_pods_total++;
	*r = (struct report){.next = p->first, .pod = p, .node = n};
	p->first = r;
	return r;
}

/* The report this line belongs to, made when there is none. NULL without memory. */
static struct report *need_report(struct agg_store *s, const struct agg_line *line)
{
	const struct pod_key key = {
		.namespace_ = km_intern_find(s->in, line->namespace_, line->namespace_len),
		.name = km_intern_find(s->in, line->pod, line->pod_len),
	};
	struct pod *p = find_pod(s, &key);
	struct report *r = report_of(p, s->filling);

	if (r)
		return r;
	if (!p && !(p = new_pod(s, line)))
		return NULL;
	r = new_report(s, p, s->filling);
	if (!r)
		leave_pod(s, p);
	return r;
}

static const struct agg_gauges nothing = {AGG_ABSENT, AGG_ABSENT};

static void free_container(struct agg_store *s, struct container *c)
{
	struct container **at = &c->report->first;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->report->n--;
	leave_report(s, c->report);
	km_istr_unref(s->in, c->name);
	agg_gauges_set(&s->gauges, &c->gauges, nothing);
	free(c);
	s->n_containers--;
}

/* ---- nodes ---- */

static void free_node(struct agg_store *s, struct node *n)
{
	for (uint32_t i = 0; i < n->n; i++)
		free_container(s, n->order[i]);
	free(n->order);
	km_istr_unref(s->in, n->name);
	free(n);
}

void agg_store_free(struct agg_store *s)
{
	struct km_map_entry *e;
	size_t i = 0;

	if (!s)
		return;
	while ((e = km_map_next(&s->nodes, &i)))
		free_node(s, e->value);
	km_map_free(&s->nodes);
	km_map_free(&s->pods);
	agg_gauges_free(&s->gauges);
	free(s->incoming);
	free(s->sorted);
	free(s);
}

static struct node *find_node(const struct agg_store *s, const char *name)
{
	const char *interned = km_intern_find(s->in, name, strlen(name));

	return interned ? km_map_get(&s->nodes, &interned, sizeof(interned)) : NULL;
}

static struct node *new_node(struct agg_store *s, const char *name)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->gauges = nothing;
	n->name = km_intern(s->in, name, strlen(name));
	if (!n->name || km_map_put(&s->nodes, &n->name, sizeof(n->name), n, NULL) < 0) {
		free_node(s, n);
		return NULL;
	}
	return n;
}

void agg_store_forget_node(struct agg_store *s, const char *name)
{
	struct node *n = find_node(s, name);

	if (!n)
		return;
	assert(n != s->filling);
	if (n == s->storing)
		s->storing = NULL;
	km_map_remove(&s->nodes, &n->name, sizeof(n->name));
	free_node(s, n);
}

/* ---- filling ---- */

/* Room for one more in the node's order, and for as many in the scrape's arrays. */
static int make_room(struct agg_store *s, struct node *n)
{
	if (n->n == n->cap) {
		uint32_t cap = n->cap ? n->cap * 2 : ORDER_FIRST;
		struct container **order = realloc(n->order, cap * sizeof(struct container *));

		if (!order)
			return -ENOMEM;
		n->order = order;
		n->cap = cap;
	}
	if (s->room < n->cap) {
		struct incoming *incoming = realloc(s->incoming, n->cap * sizeof(*incoming));
		struct container **sorted;

		if (!incoming)
			return -ENOMEM;
		s->incoming = incoming;
		sorted = realloc(s->sorted, n->cap * sizeof(struct container *));
		if (!sorted)
			return -ENOMEM;
		s->sorted = sorted;
		s->room = n->cap;
	}
	return 0;
}

static const struct incoming not_seen = {.swap_bytes = AGG_ABSENT};

int agg_store_begin(struct agg_store *s, const char *name)
{
	struct node *n = find_node(s, name);

	assert(!s->filling);
	if ((!n && !(n = new_node(s, name))) || make_room(s, n) < 0)
		return -ENOMEM;
	s->filling = n;
	s->node_point = (struct agg_point){0};
	s->node_swap_bytes = AGG_ABSENT;
	s->n_known = n->n;
	s->turns = 0;
	s->disordered = false;
	s->refused = 0;
	memset(s->expected, 0, sizeof(s->expected));
	for (uint32_t i = 0; i < n->n; i++)
		s->incoming[i] = not_seen;
	return 0;
}

/* Names go into logs and replies, and the interner takes no NUL. */
static bool name_ok(const char *name, size_t len)
{
	if (len == 0 || len > AGG_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f)
			return false;
	return true;
}

/* NULL: a bad name, a limit, or no memory. */
static struct container *new_container(struct agg_store *s, const struct agg_line *line, struct report *r)
{
	struct node *n = s->filling;
	struct container *c;

	if (r->n >= AGG_CONTAINERS_PER_POD_MAX || n->n >= ORDER_MAX || s->turns >= AGG_CONTAINERS_PER_NODE_MAX) {
		s->refused++;
		return NULL;
	}
	if (make_room(s, n) < 0 || !(c = calloc(1, sizeof(*c))))
		return NULL;
	c->name = km_intern(s->in, line->container, line->container_len);
	if (!c->name) {
		free(c);
		return NULL;
	}
	c->report = r;
	c->next = r->first;
	r->first = c;
	r->n++;
	s->n_containers++;
	c->index = n->n++;
	n->order[c->index] = c;
	s->incoming[c->index] = not_seen;
	return c;
}

static struct container *find_or_make(struct agg_store *s, const struct agg_line *line)
{
	const char *name;
	struct container *c;
	struct report *r;

	if (!name_ok(line->namespace_, line->namespace_len) || !name_ok(line->pod, line->pod_len) ||
		!name_ok(line->container, line->container_len) || !(r = need_report(s, line)))
		return NULL;
	name = km_intern_find(s->in, line->container, line->container_len);
	for (c = name ? r->first : NULL; c && c->name != name;)
		c = c->next;
	if (!c)
		c = new_container(s, line, r);
	if (!c)
		leave_report(s, r);
	return c;
}

static bool is_text(const char *interned, const char *text, size_t len)
{
	return km_istr_len(interned) == len && memcmp(interned, text, len) == 0;
}

static bool is_of(const struct container *c, const struct agg_line *line)
{
	const struct pod_key *key = &c->report->pod->key;

	return is_text(key->name, line->pod, line->pod_len) && is_text(c->name, line->container, line->container_len) &&
	       is_text(key->namespace_, line->namespace_, line->namespace_len);
}

/* The container of a line: the expected one, else by name, else a new one. */
static struct container *container_of(struct agg_store *s, const struct agg_line *line)
{
	const struct node *n = s->filling;
	uint32_t *expected = &s->expected[line->series];
	struct container *c = *expected < n->n ? n->order[*expected] : NULL;

	if (c && is_of(c, line)) {
		++*expected;
		return c;
	}
	c = find_or_make(s, line);
	/* a new one is at the end of the order: the next line is still expected to be the one that was */
	if (c && c->index < s->n_known)
		*expected = c->index + 1;
	return c;
}

/* False when the scrape has had its share of containers. */
static bool note_seen(struct agg_store *s, uint32_t index)
{
	struct incoming *in = &s->incoming[index];

	if (in->turn)
		return true;
	if (s->turns == AGG_CONTAINERS_PER_NODE_MAX) {
		s->refused++;
		return false;
	}
	if (index != s->turns)
		s->disordered = true;
	in->turn = ++s->turns;
	return true;
}

/* The same figure twice in one reply (a cgroup that lingers, spec 7 row 9): the newer one. */
static void set(struct agg_point *p, uint64_t *swap_bytes, const struct agg_line *line)
{
	switch (line->series) {
	case AGG_NODE_CPU:
	case AGG_CONTAINER_CPU:
		if (line->timestamp_ns < p->cpu_ts_ns)
			break;
		p->cpu_ts_ns = line->timestamp_ns;
		p->cpu_ns = line->value;
		break;
	case AGG_NODE_MEMORY:
	case AGG_CONTAINER_MEMORY:
		if (line->timestamp_ns < p->mem_ts_ns)
			break;
		p->mem_ts_ns = line->timestamp_ns;
		p->mem_bytes = line->value;
		break;
	case AGG_NODE_SWAP:
	case AGG_CONTAINER_SWAP:
		*swap_bytes = line->value;
		break;
	case AGG_CONTAINER_START:
		p->start_ns = KM_MAX(p->start_ns, (int64_t)line->value);
		break;
	case AGG_NODE_STORAGE:
	case AGG_CONTAINER_STORAGE:
	case AGG_CONTAINER_LISTED:
	case AGG_SCRAPE_ERROR:
		break;
	}
}

void agg_store_line(const struct agg_line *line, void *store)
{
	struct agg_store *s = store;
	struct container *c;

	s->stats.lines_total += line->series != AGG_CONTAINER_LISTED;
	if (line->series < AGG_CONTAINER_CPU || line->series > AGG_CONTAINER_LISTED) {
		set(&s->node_point, &s->node_swap_bytes, line);
		return;
	}
	c = container_of(s, line);
	if (c && note_seen(s, c->index))
		set(&s->incoming[c->index].point, &s->incoming[c->index].swap_bytes, line);
	else
		s->stats.lines_skipped_total++;
}

void agg_store_skipped(struct agg_store *s, uint64_t lines)
{
	s->stats.lines_skipped_total += lines;
}

static void add_point(struct agg_store *s, struct agg_pair *pair, const struct agg_point *point, int64_t now_ns)
{
	switch (agg_pair_add(pair, point, s->filling->committed_ns, now_ns, s->max_window_ns)) {
	case AGG_ADDED_RESET:
		s->stats.counter_resets_total++;
		break;
	case AGG_ADDED_STALE:
		s->stats.stale_dropped_total++;
		break;
	case AGG_ADDED:
	case AGG_ADDED_REPEATED:
		break;
	}
}

/* Swap is as the last scrape says: no figure is no figure. */
static void keep_swap(struct agg_store *s, struct container *c, uint64_t bytes)
{
	struct agg_gauges g;

	if (bytes == AGG_ABSENT && !c->gauges)
		return;
	g = agg_gauges_get(&s->gauges, c->gauges);
	g.swap_bytes = bytes;
	agg_gauges_set(&s->gauges, &c->gauges, g);
}

size_t agg_store_commit(struct agg_store *s, int64_t now_ns)
{
	struct node *n = s->filling;

	add_point(s, &n->pair, &s->node_point, now_ns);
	n->gauges.swap_bytes = s->node_swap_bytes;
	for (uint32_t i = 0; i < n->n; i++) {
		const struct incoming *in = &s->incoming[i];

		if (in->turn == 0) {
			free_container(s, n->order[i]);
			continue;
		}
		add_point(s, &n->order[i]->pair, &in->point, now_ns);
		keep_swap(s, n->order[i], in->swap_bytes);
		s->sorted[in->turn - 1] = n->order[i];
	}
	if (s->disordered || n->n != s->turns) {
		for (uint32_t i = 0; i < s->turns; i++)
			s->sorted[i]->index = i;
		memcpy(n->order, s->sorted, s->turns * sizeof(struct container *));
		n->n = s->turns;
	}
	n->committed_ns = s->stats.newest_commit_ns = now_ns;
	s->filling = NULL;
	return s->refused;
}

void agg_store_abort(struct agg_store *s)
{
	struct node *n = KM_TAKE(s->filling);

	while (n->n > s->n_known)
		free_container(s, n->order[--n->n]);
}

/* ---- ephemeral storage ---- */

static void set_storage(struct agg_store *s, struct container *c, uint64_t bytes)
{
	struct agg_gauges g;

	if (bytes == AGG_ABSENT && !c->gauges)
		return;
	g = agg_gauges_get(&s->gauges, c->gauges);
	g.storage_bytes = bytes;
	agg_gauges_set(&s->gauges, &c->gauges, g);
}

int agg_store_storage_begin(struct agg_store *s, const char *name)
{
	assert(!s->filling);
	s->storing = find_node(s, name);
	s->stored = false;
	return s->storing ? 0 : -ENOENT;
}

static void forget_storage(struct agg_store *s, struct node *n)
{
	n->gauges.storage_bytes = AGG_ABSENT;
	for (uint32_t i = 0; i < n->n; i++)
		set_storage(s, n->order[i], AGG_ABSENT);
}

static struct container *known_container(struct agg_store *s, const struct agg_line *line)
{
	const struct pod_key key = {
		.namespace_ = km_intern_find(s->in, line->namespace_, line->namespace_len),
		.name = km_intern_find(s->in, line->pod, line->pod_len),
	};
	const char *name = km_intern_find(s->in, line->container, line->container_len);
	const struct report *r = report_of(find_pod(s, &key), s->storing);
	struct container *c = r && name ? r->first : NULL;

	while (c && c->name != name)
		c = c->next;
	return c;
}

void agg_store_storage_line(const struct agg_line *line, void *store)
{
	struct agg_store *s = store;
	struct container *c;

	if (!s->stored)
		forget_storage(s, s->storing);
	s->stored = true;
	if (line->series == AGG_NODE_STORAGE)
		s->storing->gauges.storage_bytes = line->value;
	else if ((c = known_container(s, line)))
		set_storage(s, c, line->value);
}

void agg_store_storage_commit(struct agg_store *s, int64_t now_ns)
{
	if (!s->stored)
		forget_storage(s, s->storing);
	s->storing->storage_ns = now_ns;
	s->storing = NULL;
}

/* ---- reading ---- */

/* Storage is looked at less often than the rest, and its age is its own. */
static struct agg_gauges honest(const struct node *n, struct agg_gauges g, int64_t now_ns)
{
	if (now_ns - n->storage_ns > AGG_STORAGE_MAX_AGE_NS)
		g.storage_bytes = AGG_ABSENT;
	return g;
}

/*
 * 0 and the usage; -ENOENT when there is none that is honest at now. A figure's age counts from the scrape that saw it
 * last: kubelets take samples every 10-15 s and repeat them in between, so that with a short metric-resolution the
 * sample is older than the scrapes. The second limit is for a kubelet that repeats without end. A clock of ours that
 * went back makes ages negative: then nothing is known of them.
 */
static int usage_of(const struct agg_store *s, const struct node *n, const struct agg_pair *pair, int64_t now_ns,
	struct agg_usage *ret)
{
	int64_t age = now_ns - n->committed_ns;

	if (n->committed_ns == 0 || age > s->max_age_ns || age < -s->max_age_ns ||
		now_ns - pair->dated_ns > s->max_age_ns + AGG_REPEATED_MAX_NS)
		return -ENOENT;
	return agg_pair_usage(pair, s->max_window_ns, ret);
}

int agg_store_node(struct agg_store *s, const char *name, int64_t now_ns, struct agg_usage *ret)
{
	const struct node *n = find_node(s, name);

	if (!n || usage_of(s, n, &n->pair, now_ns, ret) < 0)
		return -ENOENT;
	ret->more = honest(n, n->gauges, now_ns);
	return 0;
}

static const struct report *newest_report(const struct pod *p)
{
	const struct report *newest = NULL;
	int64_t newest_ns = INT64_MIN;

	for (const struct report *r = p->first; r; r = r->next)
		for (const struct container *c = r->first; c; c = c->next)
			if (c->pair.dated_ns > newest_ns) {
				newest = r;
				newest_ns = c->pair.dated_ns;
			}
	return newest;
}

/* By place among names; those that are not there come last, by name, so that every reply has the same order. */
static bool comes_before(
	const struct agg_container_usage *a, size_t place_a, const struct agg_container_usage *b, size_t place_b)
{
	return place_a != place_b ? place_a < place_b : strcmp(a->name, b->name) < 0;
}

static size_t place_of(const char *name, const char *const *names, size_t n)
{
	size_t i = 0;

	while (i < n && names[i] != name)
		i++;
	return i;
}

/* By the node's name: there is hardly ever more than one report, so that this is cheaper than to find the node. */
static const struct report *report_from(const struct pod *p, const char *node)
{
	const struct report *r = p->first;

	while (r && strcmp(r->node->name, node) != 0)
		r = r->next;
	return r;
}

size_t agg_store_pod(struct agg_store *s, const char *namespace_, const char *pod, const char *node,
	const char *const *names, size_t n, int64_t now_ns, struct agg_container_usage *out, size_t max)
{
	const struct pod_key key = {
		.namespace_ = km_intern_find(s->in, namespace_, strlen(namespace_)),
		.name = km_intern_find(s->in, pod, strlen(pod)),
	};
	uint32_t places[AGG_CONTAINERS_PER_POD_MAX];
	const struct pod *p = find_pod(s, &key);
	const struct report *r;
	size_t found = 0;

	if (!p)
		return 0;
	r = node ? report_from(p, node) : newest_report(p);
	max = KM_MIN(max, (size_t)AGG_CONTAINERS_PER_POD_MAX);
	for (const struct container *c = r ? r->first : NULL; c; c = c->next) {
		struct agg_container_usage one = {.name = c->name};
		size_t place = place_of(c->name, names, n), at;

		if (usage_of(s, r->node, &c->pair, now_ns, &one.usage) < 0)
			return 0;
		if (found == max)
			continue;
		one.usage.more = honest(r->node, agg_gauges_get(&s->gauges, c->gauges), now_ns);
		for (at = found++; at > 0 && comes_before(&one, place, &out[at - 1], places[at - 1]); at--) {
			out[at] = out[at - 1];
			places[at] = places[at - 1];
		}
		out[at] = one;
		places[at] = (uint32_t)place;
	}
	return found;
}

int agg_pod_name_compare(const struct agg_pod_name *a, const struct agg_pod_name *b)
{
	int order = strcmp(a->namespace_, b->namespace_);

	return order ? order : strcmp(a->name, b->name);
}

static int compare_pod_names(const void *a, const void *b)
{
	return agg_pod_name_compare(a, b);
}

ssize_t agg_store_pods_of(const struct agg_store *s, const char *name, struct agg_pod_name **ret)
{
	const struct node *n = find_node(s, name);
	const struct report *last = NULL;
	struct agg_pod_name *names;
	size_t found = 0, kept = 0;

	names = calloc(n && n->n ? n->n : 1, sizeof(*names));
	if (!names)
		return -ENOMEM;
	for (size_t i = 0; n && i < n->n; i++) { /* a pod's containers mostly stand together */
		const struct report *r = n->order[i]->report;

		if (r != last)
			names[found++] = (struct agg_pod_name){r->pod->key.namespace_, r->pod->key.name};
		last = r;
	}
	qsort(names, found, sizeof(*names), compare_pod_names);
	for (size_t i = 0; i < found; i++) /* interned: the same pod has the same pointers */
		if (kept == 0 || names[kept - 1].name != names[i].name ||
			names[kept - 1].namespace_ != names[i].namespace_)
			names[kept++] = names[i];
	*ret = names;
	return (ssize_t)kept;
}

void agg_store_stats(const struct agg_store *s, struct agg_store_stats *ret)
{
	*ret = s->stats;
	ret->nodes = s->nodes.count;
	ret->containers = s->n_containers;
}
