/* SPDX-License-Identifier: Apache-2.0 */
/* From records and samples to one served object. */
#include "aggregator/item.h"

#include "aggregator/route.h"
#include "core/timetext.h"

const char *const agg_key_names[AGG_KEYS] = {
	[AGG_KEY_CPU] = "cpu",
	[AGG_KEY_STORAGE] = "ephemeral-storage",
	[AGG_KEY_MEMORY] = "memory",
	[AGG_KEY_SWAP] = "swap",
};

bool agg_usage_text(const struct agg_usage *u, enum agg_key key, char out[KM_QUANTITY_TEXT_MAX])
{
	const uint64_t bytes[AGG_KEYS] = {
		[AGG_KEY_STORAGE] = u->more.storage_bytes,
		[AGG_KEY_MEMORY] = u->mem_bytes,
		[AGG_KEY_SWAP] = u->more.swap_bytes,
	};

	if (key == AGG_KEY_CPU)
		km_quantity_format_cpu(u->cpu_nanocores, out);
	else if (bytes[key] != AGG_ABSENT)
		km_quantity_format_memory(bytes[key], out);
	else
		return false;
	return true;
}

bool agg_item_of_node(const struct agg_view *view, const struct kube_node *node, int64_t now_ns, struct agg_item *ret)
{
	if (agg_store_node(view->store, node->name, now_ns, &ret->usage) < 0)
		return false;
	ret->kind = "NodeMetrics";
	ret->namespace_ = NULL;
	ret->name = node->name;
	ret->labels = node->labels;
	ret->n_containers = 0;
	return true;
}

static void add_gauge(uint64_t *sum, uint64_t value)
{
	if (value != AGG_ABSENT)
		*sum = (*sum == AGG_ABSENT ? 0 : *sum) + value;
}

static void add_usage(struct agg_usage *sum, const struct agg_usage *u)
{
	sum->cpu_nanocores += u->cpu_nanocores;
	sum->mem_bytes += u->mem_bytes;
	add_gauge(&sum->more.swap_bytes, u->more.swap_bytes);
	add_gauge(&sum->more.storage_bytes, u->more.storage_bytes);
	if (u->timestamp_ns < sum->timestamp_ns) {
		sum->timestamp_ns = u->timestamp_ns;
		sum->window_ns = u->window_ns;
	}
}

bool agg_item_of_pod(const struct agg_view *view, const struct kube_pod *pod, int64_t now_ns, struct agg_item *ret)
{
	const char *names[KUBE_POD_CONTAINERS_MAX];
	size_t n = KM_MIN((size_t)pod->n_containers, KM_ARRAY_LEN(names));

	if (pod->phase != KUBE_RUNNING)
		return false;
	for (size_t i = 0; i < n; i++)
		names[i] = pod->containers[i].name;
	ret->n_containers = agg_store_pod(view->store, pod->namespace_, pod->name, pod->node, names, n, now_ns,
		ret->containers, AGG_ITEM_CONTAINERS_MAX);
	if (ret->n_containers == 0)
		return false;
	ret->kind = "PodMetrics";
	ret->namespace_ = pod->namespace_;
	ret->name = pod->name;
	ret->labels = pod->labels;
	ret->usage = ret->containers[0].usage;
	for (size_t i = 1; i < ret->n_containers; i++)
		add_usage(&ret->usage, &ret->containers[i].usage);
	return true;
}

void agg_item_note_age(const struct agg_item *item, int64_t now_ns, struct agg_histogram *freshness)
{
	agg_histogram_observe(freshness, &agg_buckets_freshness, (double)(now_ns - item->usage.timestamp_ns) / 1e9);
}

/* A label's key is a qualified name; one that would need escaping did not come from a sane API server and is left out.
 */
static bool plain_key(const char *key)
{
	for (const char *s = key; *s; s++)
		if (*s <= ' ' || *s >= 0x7f || *s == '"' || *s == '\\')
			return false;
	return true;
}

static void write_labels(struct km_json *j, const struct kube_labels *labels)
{
	if (!labels || labels->n == 0)
		return;
	km_json_key(j, "labels");
	km_json_object(j);
	for (size_t i = 0; i < labels->n; i++)
		if (plain_key(labels->items[i].key))
			km_json_kstr(j, labels->items[i].key, labels->items[i].value);
	km_json_end_object(j);
}

static void write_metadata(struct km_json *j, const struct agg_item *item, const char *created)
{
	km_json_key(j, "metadata");
	km_json_object(j);
	km_json_kstr(j, "name", item->name);
	if (item->namespace_)
		km_json_kstr(j, "namespace", item->namespace_);
	km_json_kstr(j, "creationTimestamp", created);
	write_labels(j, item->labels);
	km_json_end_object(j);
}

static void write_usage(struct km_json *j, const struct agg_usage *usage)
{
	char text[KM_QUANTITY_TEXT_MAX];

	km_json_key(j, "usage");
	km_json_object(j);
	for (unsigned key = 0; key < AGG_KEYS; key++)
		if (agg_usage_text(usage, key, text))
			km_json_kstr(j, agg_key_names[key], text);
	km_json_end_object(j);
}

void agg_item_write(struct km_json *j, const struct agg_item *item, const char *created, bool typed)
{
	char timestamp[KM_RFC3339_TEXT_MAX], window[KM_DURATION_TEXT_MAX];

	km_rfc3339_format(item->usage.timestamp_ns, timestamp);
	km_duration_format(item->usage.window_ns, window);
	km_json_object(j);
	if (typed) {
		km_json_kstr(j, "kind", item->kind);
		km_json_kstr(j, "apiVersion", AGG_GROUP_VERSION);
	}
	write_metadata(j, item, created);
	km_json_kstr(j, "timestamp", timestamp);
	km_json_kstr(j, "window", window);
	if (!item->namespace_) {
		write_usage(j, &item->usage);
	} else {
		km_json_key(j, "containers");
		km_json_array(j);
		for (size_t i = 0; i < item->n_containers; i++) {
			km_json_object(j);
			km_json_kstr(j, "name", item->containers[i].name);
			write_usage(j, &item->containers[i].usage);
			km_json_end_object(j);
		}
		km_json_end_array(j);
	}
	km_json_end_object(j);
}

void agg_item_write_partial(
	struct km_json *j, const struct agg_item *item, const char *created, const char *meta_version)
{
	km_json_object(j);
	km_json_kstr(j, "kind", "PartialObjectMetadata");
	km_json_kstr(j, "apiVersion", meta_version);
	write_metadata(j, item, created);
	km_json_end_object(j);
}
