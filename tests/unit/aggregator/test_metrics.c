/* SPDX-License-Identifier: Apache-2.0 */
/* /metrics: valid exposition, figures that follow what happens, and docs/metrics.md telling of every family. */
#include "tests/unit/aggregator/api_ask.h"

#include "aggregator/aggregator.h"
#include "aggregator/histogram.h"
#include "aggregator/metrics.h"
#include "aggregator/scrape.h"

/* ---- reading ---- */

/* The value of a series, or -1. */
static double value_of(const char *text, const char *series)
{
	size_t n = strlen(series);

	for (const char *s = text; s && *s; s = strchr(s, '\n') ? strchr(s, '\n') + 1 : NULL)
		if (strncmp(s, series, n) == 0 && s[n] == ' ')
			return strtod(s + n + 1, NULL);
	return -1;
}

/* Each family has HELP and TYPE once, before its samples, which stand together; no series comes twice in a row; each
 * line ends. fn is called for each family. */
static void check_exposition(const char *text, void (*fn)(const char *name, const char *type))
{
	char name[128] = "", type[32] = "";

	assert_int_equal(text[strlen(text) - 1], '\n');
	for (const char *s = text; *s; s = strchr(s, '\n') + 1) {
		size_t n = strlen(name);
		char again[128];

		if (strncmp(s, "# HELP ", 7) == 0) {
			snprintf(name, sizeof(name), "%.*s", (int)strcspn(s + 7, " "), s + 7);
			snprintf(again, sizeof(again), "\n# HELP %s ", name);
			assert_null(strstr(s, again));
			continue;
		}
		if (strncmp(s, "# TYPE ", 7) == 0) {
			assert_memory_equal(s + 7, name, n);
			snprintf(type, sizeof(type), "%.*s", (int)strcspn(s + 7 + n + 1, "\n"), s + 7 + n + 1);
			fn(name, type);
			continue;
		}
		if (strncmp(s, name, n) != 0)
			fail_msg("%.80s is not of %s", s, name);
		if (strcmp(type, "histogram") == 0)
			assert_true(strncmp(s + n, "_bucket{", 8) == 0 || strncmp(s + n, "_sum", 4) == 0 ||
				    strncmp(s + n, "_count", 6) == 0);
		else
			assert_true(s[n] == ' ' || s[n] == '{');
	}
}

static char *read_text(const char *path)
{
	char *text = calloc(1, 1 << 20);
	FILE *f = fopen(path, "r");

	if (!f)
		fail_msg("cannot read %s (tests run in the source folder)", path);
	assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	return text;
}

static char *documentation;
static size_t families;

/* A row of the table, with the right type. */
static void check_documented(const char *name, const char *type)
{
	char row[256];

	snprintf(row, sizeof(row), "\n| `%s` | %s |", name, type);
	if (!strstr(documentation, row))
		fail_msg("docs/metrics.md has no row for the %s %s", type, name);
	families++;
}

static size_t rows(const char *text)
{
	size_t n = 0;

	for (const char *s = text; (s = strstr(s, "\n| `")); s++)
		n++;
	return n;
}

/* ---- the tests ---- */

static void test_histogram(void **state)
{
	static const char want[] = "h_bucket{x=\"y\",le=\"0.005\"} 1\nh_bucket{x=\"y\",le=\"0.01\"} 2\n"
				   "h_bucket{x=\"y\",le=\"0.025\"} 2\nh_bucket{x=\"y\",le=\"0.05\"} 2\n"
				   "h_bucket{x=\"y\",le=\"0.1\"} 2\nh_bucket{x=\"y\",le=\"0.25\"} 2\n"
				   "h_bucket{x=\"y\",le=\"0.5\"} 3\nh_bucket{x=\"y\",le=\"1\"} 3\n"
				   "h_bucket{x=\"y\",le=\"2.5\"} 3\nh_bucket{x=\"y\",le=\"5\"} 3\n"
				   "h_bucket{x=\"y\",le=\"10\"} 3\nh_bucket{x=\"y\",le=\"+Inf\"} 4\n"
				   "h_sum{x=\"y\"} 20.51\nh_count{x=\"y\"} 4\n";
	struct agg_histogram h = {0};
	struct km_buf out = KM_BUF_INIT(8192);

	agg_histogram_observe(&h, &agg_buckets_requests, 0);
	agg_histogram_observe(&h, &agg_buckets_requests, 0.01); /* a bound belongs to what is below it */
	agg_histogram_observe(&h, &agg_buckets_requests, 0.5);
	agg_histogram_observe(&h, &agg_buckets_requests, 20);
	assert_int_equal(agg_histogram_count(&h), 4);
	agg_histogram_write(&out, &h, &agg_buckets_requests, "h", "x=\"y\"");
	assert_string_equal(out.data, want);
	km_buf_reset(&out);
	agg_histogram_write(&out, &h, &agg_buckets_freshness, "h", NULL);
	assert_non_null(strstr(out.data, "h_bucket{le=\"1\"} "));
	assert_non_null(strstr(out.data, "h_bucket{le=\"1.8604960000000004\"} "));
	assert_non_null(strstr(out.data, "\nh_sum 20.51\nh_count "));
	km_buf_free(&out);
}

static void test_served(void **state)
{
	struct exchange e[] = {
		REQUEST("GET", A "/pods", MASTER, &scene_front),
		REQUEST("GET", A "/nodes/node-00001", MASTER, &scene_front),
		REQUEST("GET", "/metrics", MASTER, &scene_front),
		REQUEST("HEAD", "/metrics", MASTER, &scene_front),
		REQUEST("POST", "/metrics", MASTER, &scene_front),
		REQUEST("GET", "/metrics", JANE, &scene_front),
	};
	const char *text;
	char value[256];
	struct scene s;

	documentation = read_text("docs/metrics.md");
	scene_open(&s);
	s.reviews = REVIEWS_DENY;
	ask(&s, e, KM_ARRAY_LEN(e));
	text = e[2].reply.body;
	assert_int_equal(e[2].reply.status, 200);
	assert_string_equal(header(e[2].reply.head, "Content-Type", value), "text/plain; version=0.0.4; charset=utf-8");
	check_exposition(text, check_documented);
	/* six pods and a node, each with figures of 5.5 s before */
	assert_true(value_of(text, "metrics_server_api_metric_freshness_seconds_count") == 7);
	assert_true(value_of(text, "metrics_server_api_metric_freshness_seconds_sum") == 38.5);
	assert_true(
		value_of(text, "metrics_server_api_metric_freshness_seconds_bucket{le=\"4.721411479245826\"}") == 0);
	assert_true(
		value_of(text, "metrics_server_api_metric_freshness_seconds_bucket{le=\"6.440005257691307\"}") == 7);
	assert_true(value_of(text, "metrics_server_storage_points{type=\"node\"}") == 3);
	assert_true(value_of(text, "metrics_server_storage_points{type=\"container\"}") == 12);
	assert_true(value_of(text, "kmetricsd_build_info{version=\"" KM_VERSION "\"}") == 1);
	assert_true(value_of(text, "process_resident_memory_bytes") > 1e6);
	assert_true(value_of(text, "process_virtual_memory_bytes") > value_of(text, "process_resident_memory_bytes"));
	assert_true(value_of(text, "process_cpu_seconds_total") > 0);
	assert_int_equal(e[3].reply.status, 200);
	assert_int_equal(e[4].reply.status, 405);
	assert_int_equal(e[5].reply.status, 403);
	for (size_t i = 0; i < KM_ARRAY_LEN(e); i++)
		test_reply_free(&e[i].reply);
	scene_close(&s);
	free(documentation);
}

#define NODES 700

/* A scraper that has asked these nodes, without kubelets. */
static void fill_scraper(struct agg_scraper *s, struct agg_scraped *nodes, char (*names)[32])
{
	*s = (struct agg_scraper){.counters = {.scrape_failures_total = 5}};
	for (int i = 0; i < 3; i++)
		agg_histogram_observe(&s->scrapes, &agg_buckets_requests, 0.02);
	for (size_t i = 0; i < NODES; i++) {
		struct agg_node_timing *t = &nodes[i].timing;

		snprintf(names[i], sizeof(names[i]), i == 7 ? "odd\"\\\n%zu" : "node-%05zu", i);
		t->name = names[i];
		t->last_request_ns = i == 8 ? 0 : UINT64_C(1795411236250000000) + i * 1000000;
		for (size_t k = 0; k <= i % 3; k++)
			agg_histogram_observe(&t->requests, &agg_buckets_requests, 0.007);
		assert_int_equal(km_map_put(&s->nodes, names[i], strlen(names[i]), &nodes[i], NULL), 0);
	}
}

static void check_nodes(const char *text)
{
	assert_true(value_of(text, "metrics_server_kubelet_request_total{success=\"true\"}") == 3);
	assert_true(value_of(text, "metrics_server_kubelet_request_total{success=\"false\"}") == 5);
	assert_true(value_of(text, "metrics_server_manager_tick_duration_seconds_count") == 3);
	assert_true(value_of(text, "metrics_server_kubelet_request_duration_seconds_count{node=\"node-00005\"}") == 3);
	assert_true(
		value_of(text,
			"metrics_server_kubelet_request_duration_seconds_bucket{node=\"node-00699\",le=\"0.005\"}") ==
		0);
	assert_true(
		value_of(text,
			"metrics_server_kubelet_request_duration_seconds_bucket{node=\"node-00699\",le=\"0.01\"}") ==
		1);
	assert_true(value_of(text, "metrics_server_kubelet_last_request_time_seconds{node=\"node-00001\"}") ==
		    1795411236.251);
	assert_true(
		value_of(text, "metrics_server_kubelet_request_duration_seconds_count{node=\"odd\\\"\\\\\\n7\"}") == 2);
	/* not asked yet */
	assert_null(strstr(text, "node-00008"));
}

/* All families there are, in slices; every row of the table is about one of them. */
static void test_all(void **state)
{
	static struct agg_scraped nodes[NODES];
	static char names[NODES][32];
	uint64_t values[64];
	struct km_counter counters[64];
	struct agg_histogram freshness = {0};
	struct agg_scraper scraper;
	struct agg_figures figures = {.freshness = &freshness,
		.scraper = &scraper,
		.counters = counters,
		.n_counters = agg_module.n_counters,
		.counters_base = values};
	struct km_buf out = KM_BUF_INIT((size_t)8 << 20);
	struct agg_exposition *x = NULL;
	struct km_interner *in = NULL;
	struct agg_store *store = NULL;
	size_t slices = 0;
	int r;

	documentation = read_text("docs/metrics.md");
	assert_int_equal(km_interner_new(&in), 0);
	assert_int_equal(agg_store_new(in, &store), 0);
	figures.store = store;
	fill_scraper(&scraper, nodes, names);
	assert_true(agg_module.n_counters <= 64);
	for (size_t i = 0; i < agg_module.n_counters; i++) {
		counters[i] = agg_module.counters[i];
		counters[i].offset = i * sizeof(values[0]);
		values[i] = 1000 + i;
	}
	assert_int_equal(agg_exposition_new(&figures, &x), 0);
	/* what comes is what was, whatever becomes of the nodes meanwhile */
	km_map_free(&scraper.nodes);
	memset(names, 'x', sizeof(names));
	do {
		size_t before = out.len;

		r = agg_exposition_produce(&out, x);
		assert_true(out.len - before < 70000);
		slices++;
	} while (r > 0);
	assert_int_equal(r, 0);
	assert_true(slices > 8);
	families = 0;
	check_exposition(out.data, check_documented);
	assert_int_equal(rows(documentation), families);
	check_nodes(out.data);
	for (size_t i = 0; i < agg_module.n_counters; i++) {
		char series[128];

		snprintf(series, sizeof(series), "kmetricsd_aggregator_%s", counters[i].name);
		assert_true(value_of(out.data, series) == (double)(1000 + i));
	}
	agg_exposition_done(x);
	agg_store_free(store);
	km_interner_free(in);
	km_buf_free(&out);
	free(documentation);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_histogram),
		cmocka_unit_test(test_served),
		cmocka_unit_test(test_all),
	};

	return cmocka_run_group_tests(tests, scene_certs, scene_no_certs);
}
