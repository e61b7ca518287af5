/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated cluster: nodes, pods that just run, and Deployments whose pods share a load that follows a curve. Pure
 * but for its memory: told the time, it says what each container has used up to then. Usage is the integral of the
 * load, so that rates computed from it can be checked against the curve.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/map.h"

#define SIM_NODES_MAX       10000
#define SIM_CURVE_MAX       32
#define SIM_REPLICAS_MAX    10000
#define SIM_DEPLOYMENTS_MAX 4096
#define SIM_NAME_MAX        64
#define SIM_NAMESPACES      20 /* the pods that just run are spread over so many */

struct sim_pod {
	char namespace_[SIM_NAME_MAX], name[SIM_NAME_MAX];
	uint32_t serial; /* makes the uid */
	size_t node;
	struct sim_deployment *owner; /* NULL: it just runs */
	uint64_t resource_version;
	int64_t created_ns, ready_ns; /* wall clock; running from ready_ns on */
	bool ready;                   /* told so already */
	/* what its first container has used until since_ns, and uses from then on; the others use a tenth each */
	double cpu_s, rate;
	int64_t since_ns;
	uint64_t memory;
};

struct sim_node {
	char name[SIM_NAME_MAX], address[40];
	uint64_t resource_version;
	struct sim_pod **pods; /* owned array; the pods belong to the world */
	size_t n_pods, pods_capacity;
	double gone_cpu_s; /* what pods that have gone have used here: a node's counter does not fall with them */
};

struct sim_curve_step {
	int64_t at_ns; /* after the start */
	double milli;  /* of all pods together */
};

struct sim_deployment {
	char namespace_[SIM_NAME_MAX], name[SIM_NAME_MAX];
	uint64_t resource_version, former_version; /* former: what a stale read shows */
	int replicas, former_replicas;
	int request_milli, limit_milli; /* limit 0: none */
	struct sim_curve_step curve[SIM_CURVE_MAX];
	size_t n_curve;
	double load_milli; /* now */
	struct sim_pod **pods;
	size_t n_pods, pods_capacity;
	unsigned scaled_total;
};

struct sim_world {
	int64_t start_ns;  /* wall clock */
	size_t containers; /* of each pod */
	bool recorded;     /* names and labels of the cluster of tests/data/golden */
	int64_t ready_delay_ns;
	struct sim_node *nodes;
	size_t n_nodes;
	struct km_map pods; /* "namespace/name" to struct sim_pod, owned */
	struct sim_deployment *deployments;
	size_t n_deployments;
	uint64_t resource_version;
	uint32_t serial;
	/* A pod came, changed, or goes (gone: after this it is freed). */
	void (*on_pod)(struct sim_pod *pod, const char *event, void *arg);
	void *arg;
};

/* Before: ->recorded. */
void sim_world_init(struct sim_world *w, size_t nodes, size_t pods_per_node, size_t containers, int64_t now_ns);
void sim_world_free(struct sim_world *w);

/* "ns/name:replicas=1,request=100m,limit=500m,load=0:50,10:400": 0, or -1 with why on stderr. */
int sim_deployment_add(struct sim_world *w, const char *text, int64_t now_ns);
struct sim_deployment *sim_deployment_find(struct sim_world *w, const char *namespace_, const char *name);
void sim_deployment_scale(struct sim_world *w, struct sim_deployment *d, int replicas, int64_t now_ns);
void sim_deployment_load(struct sim_deployment *d, double milli, int64_t now_ns);
size_t sim_deployment_ready(const struct sim_deployment *d);

/* Moves curves and readiness to now. */
void sim_world_tick(struct sim_world *w, int64_t now_ns);

/* The name of container number i of any pod. */
void sim_container_name(const struct sim_world *w, size_t i, char out[32]);
/* What container number i of the pod has used by now, in CPU seconds; its working set in bytes. */
double sim_container_cpu(const struct sim_pod *pod, size_t i, int64_t now_ns);
uint64_t sim_container_memory(const struct sim_pod *pod, size_t i);
struct sim_pod *sim_pod_find(struct sim_world *w, const char *namespace_, const char *name);
