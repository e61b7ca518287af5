/* SPDX-License-Identifier: Apache-2.0 */
/* The families in their order; see the header. */
#include "aggregator/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/clock.h"

#define EXPOSITION_MAGIC 0x4d455452u
#define SLICE_BYTES      (64 * 1024)
#define LABEL_MAX        600
#define PREFIX           "kmetricsd_aggregator_"

struct node {
	struct agg_node_timing timing;
	char label[LABEL_MAX]; /* `node="n1"` */
};

struct agg_exposition {
	uint32_t magic;
	struct km_buf head;  /* owned: all that is not told node by node */
	struct node **nodes; /* owned, each of them, sorted by label */
	size_t n_nodes, room;
	bool no_memory;
	enum { PART_HEAD, PART_DURATIONS, PART_LAST, PART_END } part;
	size_t at; /* the node that comes next */
};

/* ---- the head ---- */

static void family(struct km_buf *out, const char *name, const char *type, const char *help)
{
	km_buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void plain(struct km_buf *out, const char *name, const char *type, const char *help, double value)
{
	family(out, name, type, help);
	km_buf_addf(out, "%s ", name);
	agg_write_number(out, value);
	km_buf_addc(out, '\n');
}

static void write_scraping(struct km_buf *out, const struct agg_scraper *scraper)
{
	const struct agg_scraper_counters *c = agg_scraper_counters(scraper);

	family(out, "metrics_server_kubelet_request_total", "counter",
		"Scrapes of kubelets, by whether they gave samples.");
	km_buf_addf(out,
		"metrics_server_kubelet_request_total{success=\"false\"} %" PRIu64
		"\nmetrics_server_kubelet_request_total{success=\"true\"} %" PRIu64 "\n",
		c->scrape_failures_total, agg_histogram_count(agg_scraper_scrapes(scraper)));
	family(out, "metrics_server_manager_tick_duration_seconds", "histogram",
		"Time from the first request of a node's scrape until its samples were stored.");
	agg_histogram_write(out, agg_scraper_scrapes(scraper), &agg_buckets_requests,
		"metrics_server_manager_tick_duration_seconds", NULL);
}

static void write_store(struct km_buf *out, const struct agg_store *store)
{
	struct agg_store_stats stats;

	agg_store_stats(store, &stats);
	family(out, "metrics_server_storage_points", "gauge", "Nodes and containers that samples are kept of.");
	km_buf_addf(out,
		"metrics_server_storage_points{type=\"container\"} %zu\nmetrics_server_storage_points{type=\"node\"} "
		"%zu\n",
		stats.containers, stats.nodes);
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), e = strlen(end);

	return n >= e && strcmp(text + n - e, end) == 0;
}

static void write_counters(struct km_buf *out, const struct agg_figures *f)
{
	for (size_t i = 0; i < f->n_counters; i++) {
		const struct km_counter *row = &f->counters[i];
		uint64_t value;
		char name[128];

		memcpy(&value, (const char *)f->counters_base + row->offset, sizeof(value));
		snprintf(name, sizeof(name), PREFIX "%s", row->name);
		family(out, name, ends_with(name, "_total") ? "counter" : "gauge", row->help);
		km_buf_addf(out, "%s %" PRIu64 "\n", name, value);
	}
}

/* ---- the process, by the names that all exporters use ---- */

/* The n-th number of a file of one line (those of /proc/self); what is in brackets counts as one. */
static double proc_number(const char *path, unsigned n)
{
	char text[1024];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *s = text, *bracket;

	if (fd >= 0)
		close(fd);
	if (got <= 0)
		return 0;
	text[got] = '\0';
	bracket = strrchr(text, ')');
	if (bracket && n > 2) {
		s = bracket + 1;
		n -= 2;
		s += strspn(s, " ");
	}
	while (n-- > 1) {
		s += strcspn(s, " ");
		s += strspn(s, " ");
	}
	return strtod(s, NULL);
}

static double seconds_of(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void write_process(struct km_buf *out)
{
	double page = (double)sysconf(_SC_PAGESIZE), ticks = (double)sysconf(_SC_CLK_TCK);
	/* field 22 of stat: when the process began, in ticks since the machine did */
	double age = (double)km_boottime_us() / 1e6 - proc_number("/proc/self/stat", 22) / ticks;
	struct rusage usage = {0};
	struct rlimit files = {0};

	(void)getrusage(RUSAGE_SELF, &usage);
	(void)getrlimit(RLIMIT_NOFILE, &files);
	plain(out, "process_cpu_seconds_total", "counter", "CPU time used by this process.",
		seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
	plain(out, "process_max_fds", "gauge", "How many files this process may have open.", (double)files.rlim_cur);
	plain(out, "process_resident_memory_bytes", "gauge", "Memory of this process that is resident.",
		proc_number("/proc/self/statm", 2) * page);
	plain(out, "process_start_time_seconds", "gauge", "When this process began, since 1970.",
		(double)(int64_t)((double)km_wall_ns() / 1e9 - age));
	plain(out, "process_virtual_memory_bytes", "gauge", "Size of this process's address space.",
		proc_number("/proc/self/statm", 1) * page);
}

/* ---- the nodes ---- */

/* A label's value has three escapes; names of nodes need none, but they come from outside. */
static void make_label(char out[LABEL_MAX], const char *name)
{
	size_t n = (size_t)snprintf(out, LABEL_MAX, "node=\"");

	for (; *name && n < LABEL_MAX - 4; name++) {
		if (*name == '\\' || *name == '"' || *name == '\n')
			out[n++] = '\\';
		out[n++] = *name == '\n' ? 'n' : *name;
	}
	out[n++] = '"';
	out[n] = '\0';
}

static void copy_node(const struct agg_node_timing *timing, void *arg)
{
	struct agg_exposition *x = arg;
	struct node *node;

	if (x->no_memory || timing->last_request_ns == 0)
		return;
	if (x->n_nodes == x->room) {
		size_t room = x->room ? x->room * 2 : 64;
		struct node **nodes = reallocarray(x->nodes, room, sizeof(struct node *));

		x->no_memory = !nodes;
		if (!nodes)
			return;
		x->nodes = nodes;
		x->room = room;
	}
	node = malloc(sizeof(*node));
	x->no_memory = !node;
	if (!node)
		return;
	node->timing = *timing;
	node->timing.name = NULL; /* may go before we do */
	make_label(node->label, timing->name);
	x->nodes[x->n_nodes++] = node;
}

static int by_label(const void *a, const void *b)
{
	return strcmp((*(struct node *const *)a)->label, (*(struct node *const *)b)->label);
}

#define DURATION "metrics_server_kubelet_request_duration_seconds"
#define LAST     "metrics_server_kubelet_last_request_time_seconds"

static void write_node(struct km_buf *out, const struct agg_exposition *x)
{
	const struct node *node = x->nodes[x->at];

	if (x->part == PART_DURATIONS) {
		if (x->at == 0)
			family(out, DURATION, "histogram", "Duration of requests to kubelets.");
		agg_histogram_write(out, &node->timing.requests, &agg_buckets_requests, DURATION, node->label);
		return;
	}
	if (x->at == 0)
		family(out, LAST, "gauge", "Time of the last request to the kubelet, since 1970.");
	km_buf_addf(out, LAST "{%s} %" PRIu64 ".%03u\n", node->label,
		node->timing.last_request_ns / (uint64_t)KM_NSEC_PER_SEC,
		(unsigned)(node->timing.last_request_ns / 1000000 % 1000));
}

/* ---- all of it ---- */

int agg_exposition_new(const struct agg_figures *f, struct agg_exposition **ret)
{
	struct agg_exposition *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	*x = (struct agg_exposition){.magic = EXPOSITION_MAGIC, .head = KM_BUF_INIT(SLICE_BYTES)};
	if (f->freshness) {
		family(&x->head, "metrics_server_api_metric_freshness_seconds", "histogram",
			"Age of served figures: from the end of their window until they were asked for.");
		agg_histogram_write(&x->head, f->freshness, &agg_buckets_freshness,
			"metrics_server_api_metric_freshness_seconds", NULL);
	}
	if (f->scraper) {
		write_scraping(&x->head, f->scraper);
		agg_scraper_timings(f->scraper, copy_node, x);
	}
	write_store(&x->head, f->store);
	family(&x->head, "kmetricsd_build_info", "gauge", "Always 1; the version is in the label.");
	km_buf_adds(&x->head, "kmetricsd_build_info{version=\"" KM_VERSION "\"} 1\n");
	write_counters(&x->head, f);
	write_process(&x->head);
	if (x->no_memory || x->head.error) {
		agg_exposition_done(x);
		return -ENOMEM;
	}
	if (x->n_nodes > 0)
		qsort(x->nodes, x->n_nodes, sizeof(struct node *), by_label);
	*ret = x;
	return 0;
}

int agg_exposition_produce(struct km_buf *out, void *exposition)
{
	struct agg_exposition *x = KM_CAST(struct agg_exposition, exposition, EXPOSITION_MAGIC);
	size_t start = out->len;

	if (x->part == PART_HEAD) {
		km_buf_add(out, x->head.data, x->head.len);
		x->part = x->n_nodes > 0 ? PART_DURATIONS : PART_END;
	}
	while (x->part != PART_END && out->len - start < SLICE_BYTES) {
		write_node(out, x);
		if (++x->at == x->n_nodes) {
			x->at = 0;
			x->part++;
		}
	}
	return out->error ? out->error : x->part != PART_END;
}

void agg_exposition_done(void *exposition)
{
	struct agg_exposition *x = KM_CAST(struct agg_exposition, exposition, EXPOSITION_MAGIC);

	x->magic = 0;
	for (size_t i = 0; i < x->n_nodes; i++)
		free(x->nodes[i]);
	free(x->nodes);
	km_buf_free(&x->head);
	free(x);
}
