/* SPDX-License-Identifier: Apache-2.0 */
/* The kubelets: one evhttp on an address for each; whose address was dialled says which node is meant. */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <string.h>

#include "core/clock.h"
#include "core/timetext.h"
#include "tests/sim/sim.h"

#define FS_USED     (1ull << 30) /* bytes; of each node and container */
#define ROOTFS_USED (1ull << 20)
#define LOGS_USED   (1ull << 12)
#define SWAPPED     16 /* with --swap: this part of a working set is swapped out */
#define REPLY_MAX   (64u << 20)
#define SLOW_BYTES  16
#define SLOW_PAUSE  50                     /* ms */
#define BACKWARD_NS (60 * KM_NSEC_PER_SEC) /* further back at each scrape */

static const char *const fault_names[SIM_KUBELET_FAULTS] = {
	"none", "hang", "garbage", "truncated", "401", "500", "slow", "backwards", "duplicate"};

int sim_kubelet_fault_of(const char *name)
{
	for (int i = 0; i < SIM_KUBELET_FAULTS; i++)
		if (strcmp(fault_names[i], name) == 0)
			return i;
	return -1;
}

/* The inverse of how sim_world_init numbers addresses; SIZE_MAX: none of ours. */
static size_t node_of_fd(const struct sim *sim, int fd)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	char address[INET_ADDRSTRLEN];
	unsigned a, b, c;
	size_t i;

	if (fd < 0 || getsockname(fd, (struct sockaddr *)&sin, &len) < 0 ||
		!inet_ntop(AF_INET, &sin.sin_addr, address, sizeof(address)) ||
		sscanf(address, "127.%u.%u.%u", &a, &b, &c) != 3 || a < 16 || c < 1)
		return SIZE_MAX;
	i = (size_t)(a - 16) * 62500 + (size_t)b * 250 + c - 1;
	return i < sim->world.n_nodes ? i : SIZE_MAX;
}

/* Each kubelet has a serving certificate of its own address. */
static int choose_certificate(SSL *ssl, void *arg)
{
	struct sim *sim = arg;
	size_t i = node_of_fd(sim, SSL_get_fd(ssl));

	if (i == SIZE_MAX)
		return 0;
	return SSL_use_certificate(ssl, sim->node_certs[i].cert) == 1 &&
	       SSL_use_PrivateKey(ssl, sim->node_certs[i].key) == 1;
}

/* ---- what it says ---- */

struct sums {
	double cpu;
	uint64_t memory;
};

static struct sums sum_pod(const struct sim *sim, const struct sim_pod *pod, int64_t now_ns)
{
	struct sums sums = {0};

	for (size_t i = 0; i < sim->world.containers; i++) {
		sums.cpu += sim_container_cpu(pod, i, now_ns);
		sums.memory += sim_container_memory(pod, i);
	}
	return sums;
}

static struct sums sum_node(const struct sim *sim, const struct sim_node *node, int64_t now_ns)
{
	struct sums sums = {
		.cpu = node->gone_cpu_s + 0.05 * (double)(now_ns - sim->world.start_ns) / 1e9, .memory = 512u << 20};

	for (size_t i = 0; i < node->n_pods; i++) {
		struct sums pod = sum_pod(sim, node->pods[i], now_ns);

		sums.cpu += pod.cpu;
		sums.memory += pod.memory;
	}
	return sums;
}

static void write_containers(
	const struct sim *sim, const struct sim_node *node, bool cpu, int64_t at_ns, long long ms, struct km_buf *out)
{
	char name[32];

	for (size_t p = 0; p < node->n_pods; p++) {
		const struct sim_pod *pod = node->pods[p];

		for (size_t i = 0; pod->ready && i < sim->world.containers; i++) {
			sim_container_name(&sim->world, i, name);
			if (cpu)
				km_buf_addf(out,
					"container_cpu_usage_seconds_total{container=\"%s\",namespace=\"%s\",pod=\"%"
					"s\"} %.9f %lld\n",
					name, pod->namespace_, pod->name, sim_container_cpu(pod, i, at_ns), ms);
			else
				km_buf_addf(out,
					"container_memory_working_set_bytes{container=\"%s\",namespace=\"%s\",pod=\"%"
					"s\"} %llu %lld\n",
					name, pod->namespace_, pod->name,
					(unsigned long long)sim_container_memory(pod, i), ms);
		}
	}
}

static void header(struct km_buf *out, const char *name, const char *type, const char *help)
{
	km_buf_addf(out, "# HELP %s [ALPHA] %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Of a kubelet from 1.28 on: a sixteenth of the working set. */
static void write_swap(
	const struct sim *sim, const struct sim_node *node, uint64_t memory, long long ms, struct km_buf *out)
{
	char name[32];

	header(out, "container_swap_usage_bytes", "gauge",
		"Current amount of the container swap usage in bytes. Reported only on non-windows systems");
	for (size_t p = 0; p < node->n_pods; p++) {
		const struct sim_pod *pod = node->pods[p];

		for (size_t i = 0; pod->ready && i < sim->world.containers; i++) {
			sim_container_name(&sim->world, i, name);
			km_buf_addf(out,
				"container_swap_usage_bytes{container=\"%s\",namespace=\"%s\",pod=\"%s\"} %llu %lld\n",
				name, pod->namespace_, pod->name,
				(unsigned long long)sim_container_memory(pod, i) / SWAPPED, ms);
		}
	}
	header(out, "node_swap_usage_bytes", "gauge",
		"Current swap usage of the node in bytes. Reported only on non-windows systems");
	km_buf_addf(out, "node_swap_usage_bytes %llu %lld\n", (unsigned long long)memory / SWAPPED, ms);
}

static void write_pods(
	const struct sim *sim, const struct sim_node *node, bool cpu, int64_t at_ns, long long ms, struct km_buf *out)
{
	for (size_t p = 0; p < node->n_pods; p++) {
		const struct sim_pod *pod = node->pods[p];
		struct sums sums;

		if (!pod->ready)
			continue;
		sums = sum_pod(sim, pod, at_ns);
		if (cpu)
			km_buf_addf(out, "pod_cpu_usage_seconds_total{namespace=\"%s\",pod=\"%s\"} %.9f %lld\n",
				pod->namespace_, pod->name, sums.cpu, ms);
		else
			km_buf_addf(out, "pod_memory_working_set_bytes{namespace=\"%s\",pod=\"%s\"} %llu %lld\n",
				pod->namespace_, pod->name, (unsigned long long)sums.memory, ms);
	}
}

static void write_resource(const struct sim *sim, const struct sim_node *node, bool twice, int64_t at_ns,
	int64_t stamp_ns, struct km_buf *out)
{
	long long ms = stamp_ns / 1000000;
	struct sums sums = sum_node(sim, node, at_ns);

	header(out, "container_cpu_usage_seconds_total", "counter",
		"Cumulative cpu time consumed by the container in core-seconds");
	for (int i = 0; i <= twice; i++)
		write_containers(sim, node, true, at_ns, ms, out);
	header(out, "container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes");
	for (int i = 0; i <= twice; i++)
		write_containers(sim, node, false, at_ns, ms, out);
	header(out, "node_cpu_usage_seconds_total", "counter",
		"Cumulative cpu time consumed by the node in core-seconds");
	km_buf_addf(out, "node_cpu_usage_seconds_total %.9f %lld\n", sums.cpu, ms);
	header(out, "node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes");
	km_buf_addf(out, "node_memory_working_set_bytes %.9g %lld\n", (double)sums.memory, ms);
	if (sim->swap)
		write_swap(sim, node, sums.memory, ms, out);
	header(out, "pod_cpu_usage_seconds_total", "counter",
		"Cumulative cpu time consumed by the pod in core-seconds");
	write_pods(sim, node, true, at_ns, ms, out);
	header(out, "pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes");
	write_pods(sim, node, false, at_ns, ms, out);
	header(out, "scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise");
	km_buf_adds(out, "scrape_error 0\n");
}

static void write_figures(const struct sim *sim, struct km_buf *out, const char *time, struct sums sums)
{
	km_buf_addf(out,
		"\"cpu\":{\"time\":\"%s\",\"usageNanoCores\":0,\"usageCoreNanoSeconds\":%.0f},"
		"\"memory\":{\"time\":\"%s\",\"usageBytes\":%llu,\"workingSetBytes\":%llu}",
		time, sums.cpu * 1e9, time, (unsigned long long)sums.memory, (unsigned long long)sums.memory);
	if (sim->swap)
		km_buf_addf(out, ",\"swap\":{\"time\":\"%s\",\"swapUsageBytes\":%llu}", time,
			(unsigned long long)sums.memory / SWAPPED);
}

/* all: not CPU and memory alone. */
static void write_summary(const struct sim *sim, const struct sim_node *node, bool all, int64_t at_ns, int64_t stamp_ns,
	struct km_buf *out)
{
	char time[KM_RFC3339_TEXT_MAX], start[KM_RFC3339_TEXT_MAX], name[32];
	bool first = true;

	km_rfc3339_format(stamp_ns, time);
	km_rfc3339_format(sim->world.start_ns - 7200 * KM_NSEC_PER_SEC, start);
	km_buf_addf(out, "{\"node\":{\"nodeName\":\"%s\",\"startTime\":\"%s\",", node->name, start);
	write_figures(sim, out, time, sum_node(sim, node, at_ns));
	if (all)
		km_buf_addf(out, ",\"fs\":{\"time\":\"%s\",\"capacityBytes\":%llu,\"usedBytes\":%llu}", time,
			1ull << 40, FS_USED);
	km_buf_adds(out, "},\"pods\":[");
	for (size_t p = 0; p < node->n_pods; p++) {
		const struct sim_pod *pod = node->pods[p];

		if (!pod->ready)
			continue;
		km_rfc3339_format(pod->ready_ns, start);
		km_buf_addf(out,
			"%s{\"podRef\":{\"name\":\"%s\",\"namespace\":\"%s\",\"uid\":\"uid-%u\"},\"startTime\":\"%s\","
			"\"containers\":[",
			first ? "" : ",", pod->name, pod->namespace_, pod->serial, start);
		first = false;
		for (size_t i = 0; i < sim->world.containers; i++) {
			sim_container_name(&sim->world, i, name);
			km_buf_addf(out, "%s{\"name\":\"%s\",\"startTime\":\"%s\",", i ? "," : "", name, start);
			write_figures(sim, out, time,
				(struct sums){sim_container_cpu(pod, i, at_ns), sim_container_memory(pod, i)});
			if (all)
				km_buf_addf(out,
					",\"rootfs\":{\"time\":\"%s\",\"usedBytes\":%llu},"
					"\"logs\":{\"time\":\"%s\",\"usedBytes\":%llu}",
					time, ROOTFS_USED, time, LOGS_USED);
			km_buf_addc(out, '}');
		}
		km_buf_adds(out, "],");
		write_figures(sim, out, time, sum_pod(sim, pod, at_ns));
		km_buf_addc(out, '}');
	}
	km_buf_adds(out, "]}");
}

/* ---- faults ---- */

struct slow {
	struct evhttp_request *req;
	struct event *timer;
	struct km_buf body;
	size_t sent;
};

static void slow_end(struct slow *s)
{
	event_free(s->timer);
	km_buf_free(&s->body);
	free(s);
}

static void slow_gone(struct evhttp_connection *conn, void *arg)
{
	struct slow *s = arg;

	sim_forget(s->req);
	slow_end(s);
}

static void slow_step(evutil_socket_t fd, short what, void *arg)
{
	struct slow *s = arg;
	struct evbuffer *piece;
	size_t n = KM_MIN(s->body.len - s->sent, (size_t)SLOW_BYTES);

	if (n == 0) {
		evhttp_connection_set_closecb(evhttp_request_get_connection(s->req), NULL, NULL);
		evhttp_send_reply_end(s->req);
		slow_end(s);
		return;
	}
	piece = evbuffer_new();
	evbuffer_add(piece, s->body.data + s->sent, n);
	s->sent += n;
	evhttp_send_reply_chunk(s->req, piece);
	evbuffer_free(piece);
	event_add(s->timer, &(struct timeval){.tv_usec = SLOW_PAUSE * 1000});
}

static void reply_slowly(struct sim *sim, struct evhttp_request *req, struct km_buf *body)
{
	struct slow *s = calloc(1, sizeof(*s));

	NEED(s);
	s->req = req;
	s->body = *body;
	*body = KM_BUF_INIT(REPLY_MAX);
	NEED(s->timer = event_new(sim->base, -1, 0, slow_step, s));
	evhttp_connection_set_closecb(evhttp_request_get_connection(req), slow_gone, s);
	evhttp_send_reply_start(req, 200, NULL);
	slow_step(-1, 0, s);
}

static void cut_later(evutil_socket_t fd, short what, void *arg)
{
	sim_cut(arg);
}

/* Half of the reply, then the end. */
static void reply_truncated(struct sim *sim, struct evhttp_request *req, struct km_buf *body)
{
	struct evbuffer *piece = evbuffer_new();

	evbuffer_add(piece, body->data, body->len / 2);
	evhttp_send_reply_start(req, 200, NULL);
	evhttp_send_reply_chunk(req, piece);
	evbuffer_free(piece);
	event_base_once(sim->base, -1, EV_TIMEOUT, cut_later, req, &(struct timeval){.tv_usec = 20000});
}

/* ---- requests ---- */

static void answer(struct sim *sim, size_t i, bool summary, bool all, struct evhttp_request *req)
{
	const struct sim_node *node = &sim->world.nodes[i];
	int fault = sim->kubelet_faults[i];
	int64_t now_ns = sim_now_ns(), at_ns = now_ns;
	_cleanup_buf_ struct km_buf body = KM_BUF_INIT(REPLY_MAX);
	const char *type = summary ? "application/json" : "text/plain; version=0.0.4; charset=utf-8";

	if (fault == SIM_HANG)
		return; /* the client's deadline ends it */
	if (fault == SIM_401 || fault == SIM_500) {
		sim_reply_text(
			req, fault == SIM_401 ? 401 : 500, "text/plain", fault == SIM_401 ? "Unauthorized" : "broken");
		return;
	}
	if (fault == SIM_BACKWARDS)
		at_ns = now_ns - (sim->backwards_ns[i] += BACKWARD_NS);
	if (fault == SIM_GARBAGE)
		for (int k = 0; k < 4096; k++)
			km_buf_addc(&body, (char)(rand() % 256));
	else if (summary)
		write_summary(sim, node, all, at_ns, at_ns, &body);
	else
		write_resource(sim, node, fault == SIM_DUPLICATE, at_ns, at_ns, &body);
	if (fault == SIM_TRUNCATED)
		reply_truncated(sim, req, &body);
	else if (fault == SIM_SLOW)
		reply_slowly(sim, req, &body);
	else
		sim_reply(req, 200, type, &body);
}

static void on_request(struct evhttp_request *req, void *arg)
{
	struct sim *sim = arg;
	struct bufferevent *bev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(req));
	size_t i = node_of_fd(sim, bufferevent_getfd(bev));
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));

	if (i == SIZE_MAX)
		sim_reply_text(req, 500, "text/plain", "no such node");
	else if (!sim_is_known(req))
		sim_reply_text(req, 401, "text/plain", "Unauthorized");
	else if (strcmp(path, "/metrics/resource") == 0 && !sim->summary_only) {
		sim->stats.scrapes++;
		answer(sim, i, false, false, req);
	} else if (strcmp(path, "/stats/summary") == 0) {
		const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req));

		sim->stats.summaries++;
		answer(sim, i, true, !query || !strstr(query, "only_cpu_and_memory=true"), req);
	} else {
		sim_reply_text(req, 404, "text/plain", "404 page not found");
	}
}

void sim_kubelets_start(struct sim *sim)
{
	size_t n = sim->world.n_nodes;

	NEED(sim->node_certs = calloc(n, sizeof(*sim->node_certs)));
	NEED(sim->kubelet_faults = calloc(n, sizeof(*sim->kubelet_faults)));
	NEED(sim->backwards_ns = calloc(n, sizeof(*sim->backwards_ns)));
	for (size_t i = 0; i < n; i++) {
		char san[60];

		snprintf(san, sizeof(san), "IP:%s", sim->world.nodes[i].address);
		test_cert_make(&(struct test_cert_spec){.cn = sim->world.nodes[i].name,
				       .o = "system:nodes",
				       .eku = "serverAuth",
				       .san = san,
				       .issuer = &sim->ca},
			&sim->node_certs[i]);
	}
	sim->kubelet_server = (struct sim_server){sim_tls(sim), &sim->stats.kubelet_connections};
	SSL_CTX_set_cert_cb(sim->kubelet_server.tls, choose_certificate, sim);
	sim->kubelets = sim_http(sim->base, &sim->kubelet_server, on_request, sim);
	for (size_t i = 0; i < n; i++)
		sim_listen(sim->kubelets, sim->world.nodes[i].address, &sim->kubelet_port);
}
