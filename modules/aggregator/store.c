/* SPDX-License-Identifier: Apache-2.0 */
/* Filling: nodes, reports and containers come and go with what kubelets report; see store_private.h. */
#include "aggregator/store_private.h"

#include <errno.h>

#include "core/clock.h"

#define ORDER_FIRST 32 /* places of a new node */
/* A node's containers of the last scrape and those of the scrape under way stand side by side until it is committed. */
#define ORDER_MAX   (2 * AGG_CONTAINERS_PER_NODE_MAX)

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
	s->full_window_ns = max_age_ns * 2 / 5;
	/* with a long metric-resolution a window is as long, and twice as long after a missed scrape */
	s->max_window_ns = KM_MAX(AGG_MAX_WINDOW_NS, max_age_ns);
}

/* ---- containers, reports and pods come and go ---- */

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
	struct pod *p = store_find_pod(s, &key);
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
	struct node *n = store_find_node(s, name);

	if (!n)
		return;
	assert(n != s->filling);
	if (s->landed == n->name)
		s->landed = NULL;
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
	struct node *n = store_find_node(s, name);

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
struct container *store_container_of(struct agg_store *s, const struct agg_line *line)
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

bool store_note_seen(struct agg_store *s, uint32_t index)
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
	c = store_container_of(s, line);
	if (c && store_note_seen(s, c->index))
		set(&s->incoming[c->index].point, &s->incoming[c->index].swap_bytes, line);
	else
		s->stats.lines_skipped_total++;
}

void agg_store_skipped(struct agg_store *s, uint64_t lines)
{
	s->stats.lines_skipped_total += lines;
}

/* True: it is newer than what there was. */
static bool add_point(struct agg_store *s, struct agg_pair *pair, const struct agg_point *point, int64_t now_ns)
{
	enum agg_added added = agg_pair_add(pair, point, s->filling->committed_ns, now_ns, s->max_window_ns);

	agg_pair_mark(pair, added, s->full_window_ns);
	switch (added) {
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
	return added != AGG_ADDED_REPEATED;
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

	s->landed = NULL;
	add_point(s, &n->pair, &s->node_point, now_ns);
	n->gauges.swap_bytes = s->node_swap_bytes;
	for (uint32_t i = 0; i < n->n; i++) {
		const struct incoming *in = &s->incoming[i];

		if (in->turn == 0) {
			free_container(s, n->order[i]);
			continue;
		}
		if (add_point(s, &n->order[i]->pair, &in->point, now_ns))
			s->landed = n->name;
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

const char *agg_store_landed(const struct agg_store *s)
{
	return s->landed;
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
	s->storing = store_find_node(s, name);
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
	const struct report *r = report_of(store_find_pod(s, &key), s->storing);
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
