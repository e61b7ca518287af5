/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it is laid out: a node has its containers in the order in which the kubelet lists them, so that the usual scrape
 * finds each line's container at the place where it was last time, without a hash look-up; a map per node serves the
 * others. A second index leads from a pod to its containers. Names are interned once, when a container is first seen.
 */
#include "aggregator/store.h"

#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/map.h"

#define MIN_WINDOW_NS KM_NSEC_PER_SEC
#define REPEATED_MAX_NS                                                                                              \
	(60 * KM_NSEC_PER_SEC) /* a kubelet that goes on repeating a sample is believed for this long beyond max_age \
				*/

struct node;
struct pod;

struct series {
	struct agg_point last, prev; /* cpu_ts_ns == 0: none */
	struct agg_point incoming;   /* of the scrape under way */
};

struct container_key {
	const char *namespace_, *pod, *name; /* interned, one reference each */
};

struct container {
	struct container_key key;
	struct series series;
	struct node *node;
	struct pod *pod;
	struct container *next_in_pod;
	uint64_t seen;  /* the scrape that listed it last */
	bool fresh;     /* made by the scrape under way */
	uint32_t index; /* place in its node's list (of that scrape) */
};

struct pod_key {
	const char *namespace_, *name; /* borrowed from the containers */
};

struct pod {
	struct pod_key key;
	struct container *first;
};

struct list {
	struct container **items; /* owned array, borrowed items */
	size_t n, cap;
};

struct node {
	const char *name; /* interned */
	struct series series;
	struct list known, incoming; /* in the kubelet's order: of the last good scrape, of the one under way */
	struct km_map containers;    /* key -> container, owned */
	int64_t committed_ns;        /* wall clock of the last good scrape */
};

struct agg_store {
	struct km_interner *in;
	struct km_map nodes; /* interned name's pointer -> node */
	struct km_map pods;  /* key -> pod */
	int64_t max_age_ns;
	/* the scrape under way */
	struct node *filling;
	uint64_t scrape;
	size_t cursor[AGG_SCRAPE_ERROR + 1];
	size_t n_containers;
	struct agg_store_stats stats;
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
}

/* ---- containers and pods come and go ---- */

static void leave_pod(struct agg_store *s, struct container *c)
{
	struct container **at = &c->pod->first;

	while (*at != c)
		at = &(*at)->next_in_pod;
	*at = c->next_in_pod;
	if (!c->pod->first) {
		km_map_remove(&s->pods, &c->pod->key, sizeof(c->pod->key));
		km_istr_unref(s->in, c->pod->key.namespace_);
		km_istr_unref(s->in, c->pod->key.name);
		free(c->pod);
	}
}

static int join_pod(struct agg_store *s, struct container *c)
{
	struct pod_key key = {.namespace_ = c->key.namespace_, .name = c->key.pod};
	struct pod *p = km_map_get(&s->pods, &key, sizeof(key));

	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->key = key;
		if (km_map_put(&s->pods, &p->key, sizeof(p->key), p, NULL) < 0) {
			free(p);
			return -ENOMEM;
		}
		km_istr_ref(key.namespace_);
		km_istr_ref(key.name);
	}
	c->pod = p;
	c->next_in_pod = p->first;
	p->first = c;
	return 0;
}

static void free_container(struct agg_store *s, struct container *c)
{
	if (c->pod)
		leave_pod(s, c);
	km_istr_unref(s->in, c->key.namespace_);
	km_istr_unref(s->in, c->key.pod);
	km_istr_unref(s->in, c->key.name);
	free(c);
}

static void drop_container(struct agg_store *s, struct container *c)
{
	km_map_remove(&c->node->containers, &c->key, sizeof(c->key));
	s->n_containers--;
	free_container(s, c);
}

static struct container *new_container(struct agg_store *s, struct node *node, const struct agg_line *line)
{
	struct container *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->node = node;
	c->fresh = true;
	c->key.namespace_ = km_intern(s->in, line->namespace_, line->namespace_len);
	c->key.pod = km_intern(s->in, line->pod, line->pod_len);
	c->key.name = km_intern(s->in, line->container, line->container_len);
	if (!c->key.namespace_ || !c->key.pod || !c->key.name || join_pod(s, c) < 0 ||
		km_map_put(&node->containers, &c->key, sizeof(c->key), c, NULL) < 0) {
		free_container(s, c);
		return NULL;
	}
	s->n_containers++;
	return c;
}

static void free_node(struct agg_store *s, struct node *n)
{
	struct km_map_entry *e;
	size_t i = 0;

	while ((e = km_map_next(&n->containers, &i))) {
		s->n_containers--;
		free_container(s, e->value);
	}
	km_map_free(&n->containers);
	free(n->known.items);
	free(n->incoming.items);
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
	free(s);
}

static struct node *find_node(const struct agg_store *s, const char *name)
{
	const char *interned = km_intern_find(s->in, name, strlen(name));

	return interned ? km_map_get(&s->nodes, &interned, sizeof(interned)) : NULL;
}

void agg_store_forget_node(struct agg_store *s, const char *name)
{
	struct node *n = find_node(s, name);

	if (!n)
		return;
	assert(n != s->filling);
	km_map_remove(&s->nodes, &n->name, sizeof(n->name));
	free_node(s, n);
}

/* ---- filling ---- */

int agg_store_begin(struct agg_store *s, const char *name)
{
	struct node *n = find_node(s, name);

	assert(!s->filling);
	if (!n) {
		n = calloc(1, sizeof(*n));
		if (!n)
			return -ENOMEM;
		n->name = km_intern(s->in, name, strlen(name));
		if (!n->name || km_map_put(&s->nodes, &n->name, sizeof(n->name), n, NULL) < 0) {
			km_istr_unref(s->in, n->name);
			free(n);
			return -ENOMEM;
		}
	}
	s->filling = n;
	s->scrape++;
	memset(s->cursor, 0, sizeof(s->cursor));
	n->incoming.n = 0;
	n->series.incoming = (struct agg_point){0};
	return 0;
}

static int append(struct list *l, struct container *c)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 32;
		struct container **items = realloc(l->items, cap * sizeof(struct container *));

		if (!items)
			return -ENOMEM;
		l->items = items;
		l->cap = cap;
	}
	c->index = (uint32_t)l->n;
	l->items[l->n++] = c;
	return 0;
}

static bool is_text(const char *interned, const char *text, size_t len)
{
	return km_istr_len(interned) == len && memcmp(interned, text, len) == 0;
}

static bool is_of(const struct container *c, const struct agg_line *line)
{
	return is_text(c->key.pod, line->pod, line->pod_len) &&
	       is_text(c->key.name, line->container, line->container_len) &&
	       is_text(c->key.namespace_, line->namespace_, line->namespace_len);
}

static struct container *look_up(struct agg_store *s, const struct agg_line *line)
{
	struct container_key key = {
		.namespace_ = km_intern_find(s->in, line->namespace_, line->namespace_len),
		.pod = km_intern_find(s->in, line->pod, line->pod_len),
		.name = km_intern_find(s->in, line->container, line->container_len),
	};

	return key.namespace_ && key.pod && key.name ? km_map_get(&s->filling->containers, &key, sizeof(key)) : NULL;
}

/* The container of a line: the expected one, else by name, else a new one. NULL: over a limit, or no memory. */
static struct container *container_of(struct agg_store *s, const struct agg_line *line)
{
	struct node *n = s->filling;
	/* The first family to be read goes along the last scrape's order, later ones along this one's. */
	const struct list *order = line->series == AGG_CONTAINER_CPU ? &n->known : &n->incoming;
	size_t *cursor = &s->cursor[line->series];
	struct container *c = *cursor < order->n ? order->items[*cursor] : NULL;

	if (!c || !is_of(c, line))
		c = look_up(s, line);
	if (!c && n->containers.count < AGG_CONTAINERS_PER_NODE_MAX)
		c = new_container(s, n, line);
	if (!c)
		return NULL;
	if (c->seen != s->scrape) {
		uint32_t at = c->index; /* in the last scrape's order */

		if (append(&n->incoming, c) < 0)
			return NULL;
		c->seen = s->scrape;
		c->series.incoming = (struct agg_point){0};
		*cursor = c->fresh ? *cursor : at + 1;
		if (order == &n->incoming)
			*cursor = n->incoming.n;
	} else {
		*cursor = c->index + 1;
	}
	return c;
}

/* The same figure twice in one reply (a cgroup that lingers, spec 7 row 9): the newer one. */
static void set_cpu(struct agg_point *p, const struct agg_line *line)
{
	if (line->timestamp_ns >= p->cpu_ts_ns) {
		p->cpu_ts_ns = line->timestamp_ns;
		p->cpu_ns = line->value;
	}
}

static void set_memory(struct agg_point *p, const struct agg_line *line)
{
	if (line->timestamp_ns >= p->mem_ts_ns) {
		p->mem_ts_ns = line->timestamp_ns;
		p->mem_bytes = line->value;
	}
}

void agg_store_line(const struct agg_line *line, void *store)
{
	struct agg_store *s = store;
	struct agg_point *p = &s->filling->series.incoming;

	s->stats.lines_total++;
	if (line->series >= AGG_CONTAINER_CPU && line->series <= AGG_CONTAINER_START) {
		struct container *c = line->namespace_len > AGG_NAME_MAX || line->pod_len > AGG_NAME_MAX ||
						      line->container_len > AGG_NAME_MAX
					      ? NULL
					      : container_of(s, line);

		if (!c) {
			s->stats.lines_skipped_total++;
			return;
		}
		p = &c->series.incoming;
	}
	switch (line->series) {
	case AGG_NODE_CPU:
	case AGG_CONTAINER_CPU:
		set_cpu(p, line);
		break;
	case AGG_NODE_MEMORY:
	case AGG_CONTAINER_MEMORY:
		set_memory(p, line);
		break;
	case AGG_CONTAINER_START:
		p->start_ns = KM_MAX(p->start_ns, (int64_t)line->value);
		break;
	case AGG_SCRAPE_ERROR:
		break;
	}
}

/* Takes a new point into a series (spec 3a with the improvements of 9). */
static void advance(struct agg_store *s, struct series *x)
{
	struct agg_point *in = &x->incoming;
	struct agg_usage usage;

	if (in->cpu_ts_ns == 0 || in->mem_ts_ns == 0)
		return; /* half a sample: the last whole one stays */
	if (x->last.cpu_ts_ns == 0) {
		x->last = *in;
	} else if (in->cpu_ts_ns <= x->last.cpu_ts_ns) {
		/* the kubelet repeats its sample; its memory figure may have moved on */
		if (in->mem_ts_ns > x->last.mem_ts_ns) {
			x->last.mem_ts_ns = in->mem_ts_ns;
			x->last.mem_bytes = in->mem_bytes;
		}
	} else if (agg_rate(&x->last, in, &usage) < 0 ||
		   (in->start_ns && x->last.start_ns && in->start_ns - x->last.start_ns >= KM_NSEC_PER_SEC)) {
		s->stats.counter_resets_total++; /* a restart: what was before says nothing about what is now */
		x->prev = (struct agg_point){0};
		x->last = *in;
	} else {
		if (in->cpu_ts_ns - x->last.cpu_ts_ns >= MIN_WINDOW_NS || x->prev.cpu_ts_ns == 0)
			x->prev = x->last;
		x->last = *in;
	}
}

void agg_store_commit(struct agg_store *s, int64_t now_ns)
{
	struct node *n = KM_TAKE(s->filling);
	struct list old = n->known;

	n->committed_ns = now_ns;
	advance(s, &n->series);
	for (size_t i = 0; i < n->incoming.n; i++) {
		n->incoming.items[i]->fresh = false;
		advance(s, &n->incoming.items[i]->series);
	}
	for (size_t i = 0; i < old.n; i++)
		if (old.items[i]->seen != s->scrape)
			drop_container(s, old.items[i]);
	n->known = n->incoming;
	n->incoming = old;
	n->incoming.n = 0;
	s->stats.newest_commit_ns = now_ns;
}

void agg_store_abort(struct agg_store *s)
{
	struct node *n = KM_TAKE(s->filling);

	for (size_t i = 0; i < n->incoming.n; i++) {
		struct container *c = n->incoming.items[i];

		if (c->fresh)
			drop_container(s, c);
	}
	n->incoming.n = 0;
	for (size_t i = 0; i < n->known.n; i++)
		n->known.items[i]->index = (uint32_t)i;
}

/* ---- reading ---- */

/*
 * 0 and the usage; -ENOENT when there is none that is honest at now. What counts for its age is when a scrape last
 * confirmed it: kubelets take samples every 10-15 s and repeat them in between, so that with a short metric-resolution
 * the sample itself is often older than the scrapes.
 */
static int usage_of(
	struct agg_store *s, const struct node *n, const struct series *x, int64_t now_ns, struct agg_usage *ret)
{
	struct agg_point start = {0};
	int64_t age;

	if (x->last.cpu_ts_ns == 0)
		return -ENOENT;
	if (now_ns - n->committed_ns > s->max_age_ns || now_ns - x->last.cpu_ts_ns > s->max_age_ns + REPEATED_MAX_NS) {
		s->stats.stale_dropped_total++;
		return -ENOENT;
	}
	if (x->prev.cpu_ts_ns)
		return agg_rate(&x->prev, &x->last, ret) < 0 ? -ENOENT : 0;
	/*
	 * The fresh-container rule: its counter was zero when it started. Only while its whole life is about as long as
	 * the windows we serve: an average over days is no answer to what it uses now.
	 */
	age = x->last.cpu_ts_ns - x->last.start_ns;
	if (x->last.start_ns <= 0 || age < MIN_WINDOW_NS || age > s->max_age_ns + REPEATED_MAX_NS)
		return -ENOENT;
	start.cpu_ts_ns = x->last.start_ns;
	return agg_rate(&start, &x->last, ret) < 0 ? -ENOENT : 0;
}

int agg_store_node(struct agg_store *s, const char *name, int64_t now_ns, struct agg_usage *ret)
{
	const struct node *n = find_node(s, name);

	return n ? usage_of(s, n, &n->series, now_ns, ret) : -ENOENT;
}

/* Which node's report of a pod counts: where the API server says it runs, else the newest. */
static const struct node *node_of(struct agg_store *s, const struct pod *p, const char *node)
{
	const struct container *newest = NULL;
	bool several = false;

	for (const struct container *c = p->first; c; c = c->next_in_pod) {
		if (node && c->node->name == node)
			return c->node;
		several |= newest && c->node != newest->node;
		if (!newest || c->series.last.cpu_ts_ns > newest->series.last.cpu_ts_ns)
			newest = c;
	}
	if (several)
		s->stats.duplicate_pods_total++;
	return newest ? newest->node : NULL;
}

static size_t place_of(const char *name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (names[i] == name)
			return i;
	return SIZE_MAX;
}

/* Spec order first, then by name: the order is the same in every reply. */
static bool comes_before(const char *a, const char *b, const char *const *names, size_t n)
{
	size_t pa = place_of(a, names, n), pb = place_of(b, names, n);

	return pa != pb ? pa < pb : strcmp(a, b) < 0;
}

size_t agg_store_pod(struct agg_store *s, const char *namespace_, const char *pod, const char *node,
	const char *const *names, size_t n, int64_t now_ns, struct agg_container_usage *out, size_t max)
{
	struct pod_key key = {.namespace_ = km_intern_find(s->in, namespace_, strlen(namespace_)),
		.name = km_intern_find(s->in, pod, strlen(pod))};
	const struct pod *p = key.namespace_ && key.name ? km_map_get(&s->pods, &key, sizeof(key)) : NULL;
	const struct node *from = p ? node_of(s, p, node) : NULL;
	size_t found = 0;

	for (const struct container *c = from ? p->first : NULL; c; c = c->next_in_pod) {
		struct agg_container_usage one = {.name = c->key.name};
		size_t at = found;

		if (c->node != from || (c->fresh && c->series.last.cpu_ts_ns == 0))
			continue;
		if (usage_of(s, from, &c->series, now_ns, &one.usage) < 0)
			return 0;
		if (found == max)
			break;
		while (at > 0 && comes_before(one.name, out[at - 1].name, names, n)) {
			out[at] = out[at - 1];
			at--;
		}
		out[at] = one;
		found++;
	}
	return found;
}

void agg_store_stats(const struct agg_store *s, struct agg_store_stats *ret)
{
	*ret = s->stats;
	ret->nodes = s->nodes.count;
	ret->containers = s->n_containers;
}
