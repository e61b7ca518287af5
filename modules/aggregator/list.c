/* SPDX-License-Identifier: Apache-2.0 */
/* Walking the sorted caches slice by slice; see the header. */
#include "aggregator/list.h"

#include <errno.h>
#include <string.h>

#include "aggregator/route.h"
#include "core/clock.h"

#define CHECK_EVERY 32 /* records between two looks at the clock */

struct agg_list {
	const struct agg_view *view; /* borrowed */
	struct agg_query query;      /* namespace_ owned, as is labels */
	char *namespace_;            /* owned: query.namespace_ */
	struct agg_encoder encoder;
	bool begun;
	char *at_namespace, *at_name; /* owned: the last record looked at; NULL before the first */
	struct agg_item item;         /* scratch: too large for the stack of a callback */
};

/* Where a slice stands. Borrowed from the caches, therefore never kept beyond it. */
struct walk {
	const struct kube_node *const *nodes;
	const char *const *namespaces;
	const struct kube_pod *const *pods;
	size_t n_nodes, node, n_namespaces, namespace_, n_pods, pod;
	const char *one[1];         /* the namespace, when only one is asked for */
	struct agg_pod_name *named; /* owned; when only one node is asked for: what it reports */
	size_t n_named, next_named;
};

static void walk_done(struct walk *w)
{
	free(w->named);
}

int agg_list_new(const struct agg_view *view, struct agg_query *query, struct agg_list **ret)
{
	struct agg_list *l = calloc(1, sizeof(*l));
	const char *exact = agg_fields_exact(&query->fields, AGG_FIELD_NAMESPACE);

	if (!l)
		return -ENOMEM;
	/* One namespace is enough, whether the path or the field selector says so. */
	l->namespace_ = strdup(*query->namespace_ || !exact ? query->namespace_ : exact);
	if (!l->namespace_) {
		free(l);
		return -ENOMEM;
	}
	l->view = view;
	l->query = *query;
	l->query.namespace_ = l->namespace_;
	query->labels = NULL;
	agg_encoder_init(&l->encoder, &query->accept, query->include, query->pods, query->pretty);
	*ret = l;
	return 0;
}

const struct agg_encoder *agg_list_encoder(const struct agg_list *l)
{
	return &l->encoder;
}

void agg_list_free(struct agg_list *l)
{
	if (!l)
		return;
	kube_selector_free(l->query.labels);
	free(l->namespace_);
	free(l->at_namespace);
	free(l->at_name);
	free(l);
}

/* ---- positions ---- */

/* The first of n sorted things whose name (found by name_at) is not below (after: is above) the given one. */
static size_t lower_bound(const void *things, size_t n, const char *(*name_at)(const void *things, size_t i),
	const char *name, bool after)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name_at(things, middle), name);

		if (order < 0 || (after && order == 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static const char *node_name(const void *things, size_t i)
{
	return ((const struct kube_node *const *)things)[i]->name;
}

static const char *pod_name(const void *things, size_t i)
{
	return ((const struct kube_pod *const *)things)[i]->name;
}

static const char *string_at(const void *things, size_t i)
{
	return ((const char *const *)things)[i];
}

/* The pods of the namespace the walk stands at, from behind that name (NULL: from the first). */
static void enter_namespace(const struct agg_list *l, struct walk *w, const char *behind)
{
	const char *exact = agg_fields_exact(&l->query.fields, AGG_FIELD_NAME);

	w->pods = l->view->ops->pods(l->view->source, w->namespaces[w->namespace_], &w->n_pods);
	w->pod = behind ? lower_bound(w->pods, w->n_pods, pod_name, behind, true) : 0;
	/* A field selector for one name: straight there, and no further. */
	if (exact) {
		w->pod = KM_MAX(w->pod, lower_bound(w->pods, w->n_pods, pod_name, exact, false));
		w->n_pods = lower_bound(w->pods, w->n_pods, pod_name, exact, true);
	}
}

static void resume_pods(const struct agg_list *l, struct walk *w)
{
	bool same;

	if (*l->namespace_) {
		w->one[0] = l->namespace_;
		w->namespaces = w->one;
		w->n_namespaces = 1;
	} else {
		w->namespaces = l->view->ops->namespaces(l->view->source, &w->n_namespaces);
	}
	w->namespace_ =
		l->at_namespace ? lower_bound(w->namespaces, w->n_namespaces, string_at, l->at_namespace, false) : 0;
	if (w->namespace_ == w->n_namespaces)
		return;
	same = l->at_namespace && strcmp(w->namespaces[w->namespace_], l->at_namespace) == 0;
	enter_namespace(l, w, same ? l->at_name : NULL);
}

/* The pods of one node: what it reports, as nothing else of it can be served. */
static int resume_node(const struct agg_list *l, const char *node, struct walk *w)
{
	const struct agg_pod_name at = {l->at_namespace, l->at_name};
	ssize_t n = agg_store_pods_of(l->view->store, node, &w->named);

	if (n < 0)
		return (int)n;
	w->n_named = (size_t)n;
	while (l->at_name && w->next_named < w->n_named && agg_pod_name_compare(&w->named[w->next_named], &at) <= 0)
		w->next_named++;
	return 0;
}

static int resume(const struct agg_list *l, struct walk *w)
{
	const char *node = agg_fields_exact(&l->query.fields, AGG_FIELD_NODE);

	*w = (struct walk){0};
	if (node)
		return resume_node(l, node, w);
	if (l->query.pods) {
		resume_pods(l, w);
		return 0;
	}
	w->nodes = l->view->ops->nodes(l->view->source, &w->n_nodes);
	w->node = l->at_name ? lower_bound(w->nodes, w->n_nodes, node_name, l->at_name, true) : 0;
	return 0;
}

static const struct kube_node *next_node(struct walk *w)
{
	return w->node < w->n_nodes ? w->nodes[w->node++] : NULL;
}

static const struct kube_pod *next_named(const struct agg_list *l, struct walk *w)
{
	const struct kube_pod *pod = NULL;

	while (!pod && w->next_named < w->n_named) {
		const struct agg_pod_name *p = &w->named[w->next_named++];

		if (!*l->namespace_ || strcmp(l->namespace_, p->namespace_) == 0)
			pod = l->view->ops->pod(l->view->source, p->namespace_, p->name);
	}
	return pod;
}

static const struct kube_pod *next_pod(const struct agg_list *l, struct walk *w)
{
	if (w->named)
		return next_named(l, w);
	while (w->pod >= w->n_pods) {
		if (w->namespace_ + 1 >= w->n_namespaces)
			return NULL;
		w->namespace_++;
		enter_namespace(l, w, NULL);
	}
	return w->pods[w->pod++];
}

/* Copies where this slice ends. */
static int remember(struct agg_list *l, const char *namespace_, const char *name)
{
	char *ns = strdup(namespace_), *n = strdup(name);

	if (!ns || !n) {
		free(ns);
		free(n);
		return -ENOMEM;
	}
	free(l->at_namespace);
	free(l->at_name);
	l->at_namespace = ns;
	l->at_name = n;
	return 0;
}

/* ---- selection and output ---- */

static bool selected(const struct agg_list *l, const char *const values[AGG_FIELDS], const struct kube_labels *labels)
{
	return agg_fields_match(&l->query.fields, values) &&
	       (!l->query.labels || kube_selector_matches(l->query.labels, labels));
}

static bool take_node(struct agg_list *l, const struct kube_node *node, int64_t now_ns)
{
	const struct kube_selector *scope = l->view->node_selector;
	const char *const values[AGG_FIELDS] = {[AGG_FIELD_NAME] = node->name};

	return (!scope || kube_selector_matches(scope, node->labels)) && selected(l, values, node->labels) &&
	       agg_item_of_node(l->view, node, now_ns, &l->item);
}

static bool take_pod(struct agg_list *l, const struct kube_pod *pod, int64_t now_ns)
{
	const char *const values[AGG_FIELDS] = {
		[AGG_FIELD_NAME] = pod->name,
		[AGG_FIELD_NAMESPACE] = pod->namespace_,
		[AGG_FIELD_NODE] = pod->node,
		[AGG_FIELD_PHASE] = kube_pod_phase_text(pod->phase),
	};

	return selected(l, values, pod->labels) && agg_item_of_pod(l->view, pod, now_ns, &l->item);
}

static int produce(struct km_buf *out, struct agg_list *l, struct walk *w)
{
	uint64_t start_us = km_now_us();
	int64_t now_ns = km_wall_ns();
	size_t start = out->len;

	for (size_t looked = 1;; looked++) {
		const struct kube_node *node = l->query.pods ? NULL : next_node(w);
		const struct kube_pod *pod = l->query.pods ? next_pod(l, w) : NULL;

		if (!node && !pod)
			break;
		if (pod ? take_pod(l, pod, now_ns) : take_node(l, node, now_ns)) {
			agg_encode_item(&l->encoder, out, &l->item);
			if (l->query.freshness)
				agg_item_note_age(&l->item, now_ns, l->query.freshness);
		}
		if (out->len - start >= AGG_SLICE_BYTES ||
			(looked % CHECK_EVERY == 0 && km_now_us() - start_us >= AGG_SLICE_US)) {
			int r = pod ? remember(l, pod->namespace_, pod->name) : remember(l, "", node->name);

			return r < 0 ? r : out->error ? out->error : 1;
		}
	}
	agg_encode_end(&l->encoder, out);
	return out->error;
}

int agg_list_produce(struct km_buf *out, struct agg_list *l)
{
	_cleanup_(walk_done) struct walk w;
	int r;

	if (!l->begun)
		agg_encode_begin(&l->encoder, out);
	l->begun = true;
	r = resume(l, &w);
	return r < 0 ? r : produce(out, l, &w);
}
