/* SPDX-License-Identifier: Apache-2.0 */
/* Reading: what is served of a node or a pod, and how old it may be; see store_private.h. */
#include <errno.h>

#include "aggregator/store_private.h"
#include "core/clock.h"

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
	const struct node *n = store_find_node(s, name);

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

static const struct report *report_from(const struct pod *p, const char *node)
{
	const struct report *r = p->first;

	while (r && r->node->name != node)
		r = r->next;
	return r;
}

size_t agg_store_pod(struct agg_store *s, const char *namespace_, const char *pod, const char *node,
	const char *const *names, size_t n, int64_t now_ns, struct agg_container_usage *out, size_t max)
{
	const struct pod_key key = {.namespace_ = namespace_, .name = pod};
	uint32_t places[AGG_CONTAINERS_PER_POD_MAX];
	const struct pod *p = store_find_pod(s, &key);
	const struct report *r;
	size_t found = 0;

	if (!p)
		return 0;
	r = node ? report_from(p, node) : newest_report(p);
	max = KM_MIN(max, (size_t)AGG_CONTAINERS_PER_POD_MAX);
	for (const struct container *c = r ? r->first : NULL; c; c = c->next) {
		struct agg_container_usage one = {.name = c->name, .pair = &c->pair};
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
	const struct node *n = store_find_node(s, name);
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
