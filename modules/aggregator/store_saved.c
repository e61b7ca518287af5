/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store across a restart. A node's record: name, wall clock of its last scrape, pair, number of containers; each
 * container: namespace, pod (both empty: that of the container before), name, pair. Texts have a byte of length in
 * front, numbers are little-endian. The file around it has the checksum; here everything is checked all the same, since
 * a file that somebody wrote with a right checksum must not do harm either.
 */
#include <endian.h>
#include <errno.h>

#include "aggregator/store_private.h"

void agg_store_node_names(const struct agg_store *s, struct km_buf *out)
{
	struct km_map_entry *e;
	size_t i = 0;

	while ((e = km_map_next(&s->nodes, &i))) {
		const char *name = ((const struct node *)e->value)->name;

		km_buf_add(out, name, km_istr_len(name) + 1);
	}
}

/* ---- saving ---- */

static void put_text(struct km_buf *out, const char *text)
{
	size_t n = text ? km_istr_len(text) : 0;

	km_buf_addc(out, (char)n); /* at most AGG_NAME_MAX - 1, see save */
	km_buf_add(out, text, n);
}

static void put_number(struct km_buf *out, uint64_t v)
{
	v = htole64(v);
	km_buf_add(out, &v, sizeof(v));
}

static void put_point(struct km_buf *out, const struct agg_point *p)
{
	put_number(out, (uint64_t)p->cpu_ts_ns);
	put_number(out, p->cpu_ns);
	put_number(out, (uint64_t)p->mem_ts_ns);
	put_number(out, p->mem_bytes);
	put_number(out, (uint64_t)p->start_ns);
}

static void put_pair(struct km_buf *out, const struct agg_pair *pair)
{
	put_point(out, &pair->earlier);
	put_point(out, &pair->newest);
	put_number(out, (uint64_t)pair->dated_ns);
}

static bool is_short(const char *interned)
{
	return km_istr_len(interned) < AGG_NAME_MAX;
}

static bool can_be_saved(const struct container *c)
{
	const struct pod_key *key = &c->report->pod->key;

	return is_short(c->name) && is_short(key->namespace_) && is_short(key->name);
}

void agg_store_save(const struct agg_store *s, const char *name, struct km_buf *out)
{
	const struct node *n = store_find_node(s, name);
	const struct report *last = NULL;
	uint32_t count = 0;

	if (!n || n->committed_ns == 0 || !is_short(n->name))
		return;
	for (uint32_t i = 0; i < n->n; i++)
		count += can_be_saved(n->order[i]);
	put_text(out, n->name);
	put_number(out, (uint64_t)n->committed_ns);
	put_pair(out, &n->pair);
	put_number(out, count);
	for (uint32_t i = 0; i < n->n; i++) {
		const struct container *c = n->order[i];
		const struct pod_key *key = &c->report->pod->key;

		if (!can_be_saved(c))
			continue;
		put_text(out, c->report == last ? NULL : key->namespace_);
		put_text(out, c->report == last ? NULL : key->name);
		put_text(out, c->name);
		put_pair(out, &c->pair);
		last = c->report;
	}
}

/* ---- restoring ---- */

struct input {
	const unsigned char *p, *end;
	bool bad; /* it ended too early, or a text cannot be one; sticky */
};

struct text {
	const char *start;
	size_t len;
};

static struct text get_text(struct input *in)
{
	size_t left = (size_t)(in->end - in->p);
	struct text t;

	if (left == 0 || left < (size_t)*in->p + 1) {
		in->bad = true;
		return (struct text){.start = ""};
	}
	t = (struct text){.start = (const char *)in->p + 1, .len = *in->p};
	in->p += t.len + 1;
	return t;
}

static uint64_t get_number(struct input *in)
{
	uint64_t v;

	if ((size_t)(in->end - in->p) < sizeof(v)) {
		in->bad = true;
		return 0;
	}
	memcpy(&v, in->p, sizeof(v));
	in->p += sizeof(v);
	return le64toh(v);
}

/* Never negative, so that no subtraction of two of them can overflow. */
static int64_t get_time(struct input *in)
{
	uint64_t v = get_number(in);

	if (v > INT64_MAX)
		in->bad = true;
	return (int64_t)v;
}

static void get_point(struct input *in, struct agg_point *p)
{
	p->cpu_ts_ns = get_time(in);
	p->cpu_ns = get_number(in);
	p->mem_ts_ns = get_time(in);
	p->mem_bytes = get_number(in);
	p->start_ns = get_time(in);
}

static void get_pair(struct input *in, struct agg_pair *pair)
{
	*pair = (struct agg_pair){0}; /* a long window begins anew: its marks are not saved */
	get_point(in, &pair->earlier);
	get_point(in, &pair->newest);
	pair->dated_ns = get_time(in);
}

struct saved_node {
	char name[AGG_NAME_MAX];
	int64_t committed_ns;
	struct agg_pair pair;
	uint64_t n;
};

static void get_node(struct input *in, struct saved_node *ret)
{
	struct text name = get_text(in);

	memcpy(ret->name, name.start, name.len);
	ret->name[name.len] = '\0';
	ret->committed_ns = get_time(in);
	get_pair(in, &ret->pair);
	ret->n = get_number(in);
	in->bad = in->bad || name.len == 0 || strlen(ret->name) != name.len || ret->n > AGG_CONTAINERS_PER_NODE_MAX;
}

/* line: the pod of the container before; its texts are borrowed from the input. */
static void get_container(struct input *in, struct agg_line *line, struct agg_pair *pair)
{
	struct text namespace_ = get_text(in), pod = get_text(in), name = get_text(in);

	if (namespace_.len > 0) {
		line->namespace_ = namespace_.start;
		line->namespace_len = namespace_.len;
		line->pod = pod.start;
		line->pod_len = pod.len;
	}
	line->container = name.start;
	line->container_len = name.len;
	get_pair(in, pair);
	in->bad = in->bad || name.len == 0 || line->pod_len == 0 || (pod.len > 0) != (namespace_.len > 0);
}

static bool is_of_use(const struct agg_store *s, const struct saved_node *n, int64_t now_ns)
{
	return n->committed_ns <= now_ns && now_ns - n->committed_ns <= s->max_window_ns;
}

/* Walks over a node's containers and, unless it is to be passed over, takes them in. 0 or -ENOMEM. */
static int restore_node(struct agg_store *s, struct input *in, const struct saved_node *saved, bool take)
{
	struct agg_line line = {.series = AGG_CONTAINER_LISTED};
	struct agg_pair pair;

	if (take && agg_store_begin(s, saved->name) < 0)
		return -ENOMEM;
	for (uint64_t i = 0; i < saved->n && !in->bad; i++) {
		struct container *c;

		get_container(in, &line, &pair);
		if (!take || in->bad || !(c = store_container_of(s, &line)) || !store_note_seen(s, c->index))
			continue;
		c->pair = pair;
	}
	if (take) {
		s->filling->pair = saved->pair;
		s->filling->committed_ns = saved->committed_ns;
		s->stats.newest_commit_ns = KM_MAX(s->stats.newest_commit_ns, saved->committed_ns);
		s->filling = NULL;
	}
	return 0;
}

/* take: else it is only checked. */
static int walk(struct agg_store *s, struct input in, int64_t now_ns, bool take, size_t *ret_nodes)
{
	size_t nodes = 0;

	while (in.p < in.end && !in.bad) {
		struct saved_node n;
		bool of_use;

		get_node(&in, &n);
		if (in.bad)
			break;
		of_use = take && is_of_use(s, &n, now_ns) && !store_find_node(s, n.name);
		if (restore_node(s, &in, &n, of_use) < 0)
			return -ENOMEM;
		nodes += of_use;
	}
	*ret_nodes = nodes;
	return in.bad ? -EBADMSG : 0;
}

int agg_store_restore(
	struct agg_store *s, const void *data, size_t len, int64_t now_ns, size_t *ret_nodes, struct km_err *err)
{
	const unsigned char *bytes = data;
	struct input in;
	size_t nodes;

	*ret_nodes = 0;
	if (len == 0)
		return 0;
	in = (struct input){.p = bytes, .end = bytes + len};
	if (walk(s, in, now_ns, false, &nodes) < 0)
		return km_fail(err, -EBADMSG, "a node's record is cut off or holds what cannot be");
	if (walk(s, in, now_ns, true, &nodes) < 0)
		return km_fail(err, -ENOMEM, "out of memory");
	*ret_nodes = nodes;
	return 0;
}

void agg_store_forget_old(struct agg_store *s, int64_t now_ns)
{
	struct km_map_entry *e;
	size_t i = 0;

	while ((e = km_map_next(&s->nodes, &i))) {
		const struct node *n = e->value;

		/* one that has never been scraped well is the scraper's business */
		if (n->committed_ns != 0 && now_ns - n->committed_ns > s->max_window_ns)
			agg_store_forget_node(s, n->name);
	}
}
