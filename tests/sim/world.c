/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "kube/quantity.h"
#include "tests/sim/need.h"

#define MEMORY_BASE (32u << 20)

/* ---- pods ---- */

static void push(struct sim_pod ***pods, size_t *n, size_t *capacity, struct sim_pod *pod)
{
	if (*n == *capacity) {
		*capacity = *capacity ? *capacity * 2 : 32;
		NEED(*pods = reallocarray(*pods, *capacity, sizeof(**pods)));
	}
	(*pods)[(*n)++] = pod;
}

static void take(struct sim_pod **pods, size_t *n, const struct sim_pod *pod)
{
	for (size_t i = 0; i < *n; i++)
		if (pods[i] == pod) {
			memmove(pods + i, pods + i + 1, (*n - i - 1) * sizeof(*pods));
			(*n)--;
			return;
		}
}

static void key_of(const struct sim_pod *pod, char out[2 * SIM_NAME_MAX + 1])
{
	snprintf(out, 2 * SIM_NAME_MAX + 1, "%s/%s", pod->namespace_, pod->name);
}

/* The map's key is the pod's own "namespace/name"; it is made for it and lives as long. */
struct held {
	struct sim_pod pod; /* first, so that the one is the other */
	char key[2 * SIM_NAME_MAX + 1];
};

/* A pod that just runs; it is not yet among those of its node. */
static void name_pod(const struct sim_world *w, struct sim_pod *pod)
{
	size_t at = w->nodes[pod->node].n_pods;

	if (w->recorded) {
		snprintf(pod->namespace_, sizeof(pod->namespace_), "ns-%02zu", at);
		snprintf(pod->name, sizeof(pod->name), "app-%02zu-%05zu-%02zu", at, pod->node, at);
		return;
	}
	snprintf(pod->namespace_, sizeof(pod->namespace_), "ns-%02u", pod->serial % SIM_NAMESPACES);
	snprintf(pod->name, sizeof(pod->name), "app-%u-%06u", pod->serial / SIM_NAMESPACES % 2, pod->serial);
}

static struct sim_pod *add_pod(struct sim_world *w, size_t node, struct sim_deployment *owner, int64_t now_ns)
{
	struct held *held = calloc(1, sizeof(*held));
	struct sim_pod *pod = &held->pod;

	NEED(held);
	pod->serial = ++w->serial;
	pod->node = node;
	pod->owner = owner;
	pod->created_ns = pod->since_ns = now_ns;
	pod->resource_version = ++w->resource_version;
	pod->memory = MEMORY_BASE + (pod->serial * UINT64_C(2654435761) % 1024) * 65536;
	if (owner) {
		snprintf(pod->namespace_, sizeof(pod->namespace_), "%s", owner->namespace_);
		snprintf(pod->name, sizeof(pod->name), "%.40s-%u", owner->name, pod->serial);
		push(&owner->pods, &owner->n_pods, &owner->pods_capacity, pod);
	} else {
		name_pod(w, pod);
		pod->rate = 0.001 * (1 + pod->serial % 50);
	}
	push(&w->nodes[node].pods, &w->nodes[node].n_pods, &w->nodes[node].pods_capacity, pod);
	key_of(pod, held->key);
	NEED(km_map_put(&w->pods, held->key, strlen(held->key), held, NULL) == 0);
	return pod;
}

static void tell(struct sim_world *w, struct sim_pod *pod, const char *event)
{
	pod->resource_version = ++w->resource_version;
	if (w->on_pod)
		w->on_pod(pod, event, w->arg);
}

struct sim_pod *sim_pod_find(struct sim_world *w, const char *namespace_, const char *name)
{
	char key[2 * SIM_NAME_MAX + 1];

	snprintf(key, sizeof(key), "%s/%s", namespace_, name);
	return km_map_get(&w->pods, key, strlen(key));
}

/* ---- usage ---- */

static double used(const struct sim_pod *pod, int64_t now_ns)
{
	return pod->cpu_s + (now_ns > pod->since_ns ? pod->rate * (double)(now_ns - pod->since_ns) / 1e9 : 0);
}

void sim_container_name(const struct sim_world *w, size_t i, char out[32])
{
	if (w->recorded)
		snprintf(out, 32, "c%zu", i);
	else
		snprintf(out, 32, i == 0 ? "app" : "side-%zu", i);
}

double sim_container_cpu(const struct sim_pod *pod, size_t i, int64_t now_ns)
{
	return used(pod, now_ns) * (i == 0 ? 1.0 : 0.1);
}

static void remove_pod(struct sim_world *w, struct sim_pod *pod, int64_t now_ns)
{
	struct sim_node *node = &w->nodes[pod->node];
	char key[2 * SIM_NAME_MAX + 1];

	key_of(pod, key);
	for (size_t i = 0; i < w->containers; i++)
		node->gone_cpu_s += sim_container_cpu(pod, i, now_ns);
	take(node->pods, &node->n_pods, pod);
	if (pod->owner)
		take(pod->owner->pods, &pod->owner->n_pods, pod);
	tell(w, pod, "DELETED");
	km_map_remove(&w->pods, key, strlen(key));
	free(pod);
}

uint64_t sim_container_memory(const struct sim_pod *pod, size_t i)
{
	return i == 0 ? pod->memory : pod->memory / 8;
}

static void set_rate(struct sim_pod *pod, double rate, int64_t now_ns)
{
	pod->cpu_s = used(pod, now_ns);
	pod->since_ns = now_ns;
	pod->rate = rate;
}

size_t sim_deployment_ready(const struct sim_deployment *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_pods; i++)
		n += d->pods[i]->ready;
	return n;
}

/* The load is carried by the pods that are ready, each up to its limit. */
static void share(struct sim_deployment *d, int64_t now_ns)
{
	size_t ready = sim_deployment_ready(d);
	double each = ready ? d->load_milli / (double)ready : 0;

	if (d->limit_milli && each > d->limit_milli)
		each = d->limit_milli;
	for (size_t i = 0; i < d->n_pods; i++)
		set_rate(d->pods[i], d->pods[i]->ready ? each / 1000 : 0, now_ns);
}

/* ---- Deployments ---- */

struct sim_deployment *sim_deployment_find(struct sim_world *w, const char *namespace_, const char *name)
{
	for (size_t i = 0; i < w->n_deployments; i++)
		if (strcmp(w->deployments[i].namespace_, namespace_) == 0 && strcmp(w->deployments[i].name, name) == 0)
			return &w->deployments[i];
	return NULL;
}

void sim_deployment_load(struct sim_deployment *d, double milli, int64_t now_ns)
{
	d->load_milli = milli;
	share(d, now_ns);
}

void sim_deployment_scale(struct sim_world *w, struct sim_deployment *d, int replicas, int64_t now_ns)
{
	d->former_replicas = d->replicas;
	d->former_version = d->resource_version;
	if (replicas != d->replicas)
		d->scaled_total++;
	d->replicas = replicas;
	d->resource_version = ++w->resource_version;
	while (d->n_pods > (size_t)replicas)
		remove_pod(w, d->pods[d->n_pods - 1], now_ns);
	while (d->n_pods < (size_t)replicas) {
		struct sim_pod *pod = add_pod(w, (w->serial * UINT64_C(7919)) % w->n_nodes, d, now_ns);

		pod->ready_ns = now_ns + w->ready_delay_ns;
		tell(w, pod, "ADDED");
	}
	share(d, now_ns);
}

static int parse_milli(const char *text, int *ret)
{
	int64_t milli;

	if (km_quantity_parse_milli(text, strlen(text), &milli) < 0 || milli < 0 || milli > INT32_MAX)
		return -1;
	*ret = (int)milli;
	return 0;
}

/* "SECONDS:MILLI" */
static int parse_step(struct sim_deployment *d, const char *text)
{
	double at, milli;
	int end = 0;

	if (d->n_curve == SIM_CURVE_MAX || sscanf(text, "%lf:%lf%n", &at, &milli, &end) != 2 || text[end])
		return -1;
	d->curve[d->n_curve++] = (struct sim_curve_step){.at_ns = (int64_t)(at * 1e9), .milli = milli};
	return 0;
}

static int parse_item(struct sim_deployment *d, const char *item, int *replicas)
{
	if (strncmp(item, "replicas=", 9) == 0)
		return sscanf(item + 9, "%d", replicas) == 1 && *replicas >= 0 && *replicas <= SIM_REPLICAS_MAX ? 0
														: -1;
	if (strncmp(item, "request=", 8) == 0)
		return parse_milli(item + 8, &d->request_milli);
	if (strncmp(item, "limit=", 6) == 0)
		return parse_milli(item + 6, &d->limit_milli);
	return parse_step(d, strncmp(item, "load=", 5) == 0 ? item + 5 : item);
}

int sim_deployment_add(struct sim_world *w, const char *text, int64_t now_ns)
{
	struct sim_deployment d = {.request_milli = 100};
	char copy[1024], *save = NULL;
	int replicas = 1, end = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	if (sscanf(copy, "%63[^/]/%63[^:]%n", d.namespace_, d.name, &end) != 2 || (copy[end] && copy[end] != ':')) {
		fprintf(stderr,
			"kmsim: --deployment %s: must be "
			"NAMESPACE/NAME[:replicas=N,request=Q,limit=Q,load=S:MILLI,...]\n",
			text);
		return -1;
	}
	for (char *item = copy[end] ? strtok_r(copy + end + 1, ",", &save) : NULL; item;
		item = strtok_r(NULL, ",", &save))
		if (parse_item(&d, item, &replicas) < 0) {
			fprintf(stderr, "kmsim: --deployment %s: \"%s\" is not understood\n", text, item);
			return -1;
		}
	if (w->n_deployments == SIM_DEPLOYMENTS_MAX) {
		fprintf(stderr, "kmsim: more than %d Deployments\n", SIM_DEPLOYMENTS_MAX);
		return -1;
	}
	w->deployments[w->n_deployments] = d;
	sim_deployment_scale(w, &w->deployments[w->n_deployments++], replicas, now_ns);
	return 0;
}

/* ---- time ---- */

static void follow_curve(struct sim_world *w, struct sim_deployment *d, int64_t now_ns)
{
	double milli = d->load_milli;

	if (d->n_curve == 0)
		return;
	for (size_t i = 0; i < d->n_curve; i++)
		if (now_ns - w->start_ns >= d->curve[i].at_ns)
			milli = d->curve[i].milli;
	if (milli != d->load_milli)
		sim_deployment_load(d, milli, now_ns);
}

void sim_world_tick(struct sim_world *w, int64_t now_ns)
{
	for (size_t i = 0; i < w->n_deployments; i++) {
		struct sim_deployment *d = &w->deployments[i];
		bool changed = false;

		for (size_t k = 0; k < d->n_pods; k++) {
			struct sim_pod *pod = d->pods[k];

			if (pod->ready || now_ns < pod->ready_ns)
				continue;
			pod->ready = changed = true;
			tell(w, pod, "MODIFIED");
		}
		if (changed)
			share(d, now_ns);
		follow_curve(w, d, now_ns);
	}
}

void sim_world_init(struct sim_world *w, size_t nodes, size_t pods_per_node, size_t containers, int64_t now_ns)
{
	w->start_ns = now_ns;
	w->containers = containers;
	w->n_nodes = nodes;
	w->resource_version = 1000;
	NEED(w->nodes = calloc(nodes, sizeof(*w->nodes)));
	NEED(w->deployments = calloc(SIM_DEPLOYMENTS_MAX, sizeof(*w->deployments)));
	for (size_t i = 0; i < nodes; i++) {
		struct sim_node *node = &w->nodes[i];

		snprintf(node->name, sizeof(node->name), w->recorded ? "node-%05zu" : "node-%04zu", i);
		snprintf(node->address, sizeof(node->address), "127.%zu.%zu.%zu", 16 + i / 62500, i / 250 % 250,
			i % 250 + 1);
		node->resource_version = ++w->resource_version;
		for (size_t k = 0; k < pods_per_node; k++) {
			struct sim_pod *pod = add_pod(w, i, NULL, now_ns - 3600 * KM_NSEC_PER_SEC);

			pod->ready = true;
			pod->ready_ns = pod->created_ns + 2 * KM_NSEC_PER_SEC;
		}
	}
}

void sim_world_free(struct sim_world *w)
{
	struct km_map_entry *slot;
	size_t cursor = 0;

	while ((slot = km_map_next(&w->pods, &cursor)))
		free(slot->value);
	km_map_free(&w->pods);
	for (size_t i = 0; i < w->n_nodes; i++)
		free(w->nodes[i].pods);
	for (size_t i = 0; i < w->n_deployments; i++)
		free(w->deployments[i].pods);
	free(w->nodes);
	free(w->deployments);
}
