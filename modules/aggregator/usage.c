/* SPDX-License-Identifier: Apache-2.0 */
/* From served items to the interface; the one buffer is used again for each pod. */
#include "aggregator/usage.h"

#include <errno.h>
#include <stdlib.h>

#include "aggregator/item.h"
#include "core/clock.h"

#define READER_MAGIC 0x41555352u

struct agg_usage_reader {
	uint32_t magic;
	const struct agg_view *view;                 /* borrowed */
	void (*landed)(const char *node, void *arg); /* NULL: nobody listens */
	void *landed_arg;
	struct agg_item item;
	struct km_container_usage containers[AGG_ITEM_CONTAINERS_MAX];
};

int agg_usage_reader_new(const struct agg_view *view, struct agg_usage_reader **ret)
{
	struct agg_usage_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->magic = READER_MAGIC;
	r->view = view;
	*ret = r;
	return 0;
}

void agg_usage_reader_free(struct agg_usage_reader *r)
{
	free(r);
}

static struct km_container_usage container_of(const struct agg_container_usage *c)
{
	struct km_container_usage ret = {
		.name = c->name,
		.cpu_nanocores = c->usage.cpu_nanocores,
		.memory_bytes = c->usage.mem_bytes,
	};

	if (agg_pair_full_cpu(c->pair, &ret.cpu_full_nanocores) < 0)
		ret.cpu_full_nanocores = ret.cpu_nanocores;
	return ret;
}

static int read_pod(const struct kube_pod *pod, void *arg, struct km_pod_usage *ret)
{
	struct agg_usage_reader *r = KM_CAST(struct agg_usage_reader, arg, READER_MAGIC);

	if (!agg_item_of_pod(r->view, pod, km_wall_ns(), &r->item))
		return -ENOENT;
	for (size_t i = 0; i < r->item.n_containers; i++)
		r->containers[i] = container_of(&r->item.containers[i]);
	*ret = (struct km_pod_usage){
		.time_ns = r->item.usage.timestamp_ns,
		.window_ns = r->item.usage.window_ns,
		.containers = r->containers,
		.n_containers = r->item.n_containers,
	};
	return 0;
}

static bool is_ready(void *arg, const char **ret_why)
{
	struct agg_usage_reader *r = KM_CAST(struct agg_usage_reader, arg, READER_MAGIC);

	if (!r->view->ops->nodes_synced(r->view->source) || !r->view->ops->pods_synced(r->view->source)) {
		*ret_why = "the API server's nodes and pods are not known yet";
		return false;
	}
	return true;
}

static void listen_to(void (*fn)(const char *node, void *arg), void *fn_arg, void *arg)
{
	struct agg_usage_reader *r = KM_CAST(struct agg_usage_reader, arg, READER_MAGIC);

	r->landed = fn;
	r->landed_arg = fn_arg;
}

void agg_usage_landed(struct agg_usage_reader *r, const char *node)
{
	if (r->landed)
		r->landed(node, r->landed_arg);
}

struct km_usage_source agg_usage_source(struct agg_usage_reader *r)
{
	return (struct km_usage_source){.pod = read_pod, .ready = is_ready, .listen = listen_to, .arg = r};
}
