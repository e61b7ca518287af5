/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes, pods and Deployments as the API server shows them: with what real objects carry, as far as somebody reads it.
 */
#include <string.h>

#include "core/clock.h"
#include "core/timetext.h"
#include "tests/sim/render.h"

static void open_object(struct km_buf *out, bool typed, const char *kind, const char *api_version)
{
	km_buf_addc(out, '{');
	if (typed)
		km_buf_addf(out, "\"kind\":\"%s\",\"apiVersion\":\"%s\",", kind, api_version);
}

void sim_render_node(const struct sim *sim, const struct sim_node *node, bool typed, struct km_buf *out)
{
	char created[KM_RFC3339_TEXT_MAX], labels[256];

	/* a simulator's zones are its nodes */
	if (sim->world.recorded)
		snprintf(labels, sizeof(labels), "\"zone\":\"z%td\"", node - sim->world.nodes);
	else
		snprintf(labels, sizeof(labels), "\"kubernetes.io/hostname\":\"%s\",\"kubernetes.io/os\":\"linux\"",
			node->name);
	km_rfc3339_format(sim->world.start_ns - 86400 * KM_NSEC_PER_SEC, created);
	open_object(out, typed, "Node", "v1");
	km_buf_addf(out,
		"\"metadata\":{\"name\":\"%s\",\"uid\":\"uid-%s\",\"resourceVersion\":\"%llu\",\"creationTimestamp\":"
		"\"%s\","
		"\"labels\":{%s}},\"spec\":{},"
		"\"status\":{\"capacity\":{\"cpu\":\"8\",\"memory\":\"32Gi\",\"pods\":\"110\"},"
		"\"allocatable\":{\"cpu\":\"8\",\"memory\":\"31Gi\",\"pods\":\"110\"},"
		"\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":\"%s\"}],"
		"\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"%s\"},{\"type\":\"Hostname\",\"address\":\"%s\"}"
		"],"
		"\"daemonEndpoints\":{\"kubeletEndpoint\":{\"Port\":%u}},\"nodeInfo\":{\"kubeletVersion\":\"v1.30.0\"}}"
		"}",
		node->name, node->name, (unsigned long long)node->resource_version, created, labels, created,
		node->address, node->name, sim->kubelet_port);
}

static void render_spec(const struct sim *sim, const struct sim_pod *pod, struct km_buf *out)
{
	km_buf_addf(out, "\"spec\":{\"nodeName\":\"%s\",\"containers\":[", sim->world.nodes[pod->node].name);
	for (size_t i = 0; i < sim->world.containers; i++) {
		char name[32];

		sim_container_name(&sim->world, i, name);
		km_buf_addf(out,
			"%s{\"name\":\"%s\",\"image\":\"none\",\"resources\":{\"requests\":{\"cpu\":\"%dm\",\"memory\":"
			"\"64Mi\"}",
			i ? "," : "", name, pod->owner ? (i == 0 ? pod->owner->request_milli : 10) : 100);
		if (pod->owner && pod->owner->limit_milli && i == 0)
			km_buf_addf(out, ",\"limits\":{\"cpu\":\"%dm\"}", pod->owner->limit_milli);
		km_buf_adds(out, "}}");
	}
	km_buf_adds(out, "]}");
}

static void render_status(const struct sim *sim, const struct sim_pod *pod, struct km_buf *out)
{
	char started[KM_RFC3339_TEXT_MAX], changed[KM_RFC3339_TEXT_MAX];

	km_rfc3339_format(pod->created_ns, started);
	km_rfc3339_format(pod->ready ? pod->ready_ns : pod->created_ns, changed);
	km_buf_addf(out,
		",\"status\":{\"phase\":\"%s\",\"startTime\":\"%s\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"%"
		"s\","
		"\"lastTransitionTime\":\"%s\"}],\"containerStatuses\":[",
		pod->ready ? "Running" : "Pending", started, pod->ready ? "True" : "False", changed);
	for (size_t i = 0; pod->ready && i < sim->world.containers; i++) {
		char name[32];

		sim_container_name(&sim->world, i, name);
		km_buf_addf(out,
			"%s{\"name\":\"%s\",\"ready\":true,\"restartCount\":0,\"state\":{\"running\":{\"startedAt\":\"%"
			"s\"}}}",
			i ? "," : "", name, changed);
	}
	km_buf_adds(out, "]}");
}

void sim_render_pod(const struct sim *sim, const struct sim_pod *pod, bool typed, struct km_buf *out)
{
	char created[KM_RFC3339_TEXT_MAX], app[SIM_NAME_MAX];

	km_rfc3339_format(pod->created_ns, created);
	snprintf(app, sizeof(app), "%s", pod->owner ? pod->owner->name : pod->name);
	if (!pod->owner)
		app[strlen(sim->world.recorded ? "app-00" : "app-0")] = '\0'; /* two sets of pods in each namespace */
	open_object(out, typed, "Pod", "v1");
	km_buf_addf(out,
		"\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",\"uid\":\"uid-%u\",\"resourceVersion\":\"%llu\","
		"\"creationTimestamp\":\"%s\",\"labels\":{\"app\":\"%s\"%s},"
		"\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"%s-5b9d9f5f88\","
		"\"uid\":\"uid-rs-%s\",\"controller\":true}]},",
		pod->name, pod->namespace_, pod->serial, (unsigned long long)pod->resource_version, created, app,
		sim->world.recorded ? "" : ",\"pod-template-hash\":\"5b9d9f5f88\"", app, app);
	render_spec(sim, pod, out);
	render_status(sim, pod, out);
	km_buf_addc(out, '}');
}

void sim_render_deployment(const struct sim *sim, const struct sim_deployment *d, bool typed, struct km_buf *out)
{
	char created[KM_RFC3339_TEXT_MAX];

	km_rfc3339_format(sim->world.start_ns, created);
	open_object(out, typed, "Deployment", "apps/v1");
	km_buf_addf(out,
		"\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",\"uid\":\"uid-d-%s\",\"resourceVersion\":\"%llu\","
		"\"creationTimestamp\":\"%s\"},\"spec\":{\"replicas\":%d,\"selector\":{\"matchLabels\":{\"app\":\"%s\"}"
		"}},"
		"\"status\":{\"replicas\":%zu,\"readyReplicas\":%zu}}",
		d->name, d->namespace_, d->name, (unsigned long long)d->resource_version, created, d->replicas, d->name,
		d->n_pods, sim_deployment_ready(d));
}

void sim_render_scale(const struct sim *sim, const struct sim_deployment *d, bool stale, struct km_buf *out)
{
	char created[KM_RFC3339_TEXT_MAX];

	km_rfc3339_format(sim->world.start_ns, created);
	km_buf_addf(out,
		"{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/"
		"v1\",\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\","
		"\"uid\":\"uid-d-%s\",\"resourceVersion\":\"%llu\",\"creationTimestamp\":\"%s\"},\"spec\":{"
		"\"replicas\":%d},"
		"\"status\":{\"replicas\":%zu,\"selector\":\"app=%s\"}}",
		d->name, d->namespace_, d->name,
		(unsigned long long)(stale && d->former_version ? d->former_version : d->resource_version), created,
		stale && d->former_version ? d->former_replicas : d->replicas, d->n_pods, d->name);
}
