/* SPDX-License-Identifier: Apache-2.0 */
/* The store: scrapes go in as text, figures come out as text ("NAME CORES@WINDOW ..."). */
#include "aggregator/store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/clock.h"

#define S       KM_NSEC_PER_SEC
#define T0      (INT64_C(1795410000) * S)
#define AT(s)   (T0 + (int64_t)((s)*1e9))
#define MAX_AGE (S * 75 / 2)

static struct km_interner *interner;
static struct agg_store *store;

static int set_up(void **state)
{
	assert_int_equal(km_interner_new(&interner), 0);
	assert_int_equal(agg_store_new(interner, &store), 0);
	agg_store_configure(store, MAX_AGE);
	return 0;
}

static int tear_down(void **state)
{
	agg_store_free(store);
	assert_int_equal(km_interner_count(interner), 0);
	km_interner_free(interner);
	return 0;
}

/* ---- putting in ---- */

static void line(enum agg_series series, const char *pod, const char *container, uint64_t value, int64_t at)
{
	const struct agg_line l = {
		.series = series,
		.namespace_ = pod ? "ns" : NULL,
		.namespace_len = pod ? 2 : 0,
		.pod = pod,
		.pod_len = pod ? strlen(pod) : 0,
		.container = container,
		.container_len = container ? strlen(container) : 0,
		.value = value,
		.timestamp_ns = at,
	};

	agg_store_line(&l, store);
}

/*
 * The containers as "pod/container=CPU", apart by blanks, CPU in seconds; "-" instead of it: listed without a figure.
 * In the order of /metrics/resource: all CPU figures, then all of memory.
 */
static void fill(const char *containers, double at)
{
	static const enum agg_series families[] = {AGG_CONTAINER_CPU, AGG_CONTAINER_MEMORY};
	char text[512], *next, *word;

	for (size_t f = 0; f < KM_ARRAY_LEN(families); f++) {
		snprintf(text, sizeof(text), "%s", containers);
		for (word = strtok_r(text, " ", &next); word; word = strtok_r(NULL, " ", &next)) {
			char *slash = strchr(word, '/'), *equals = strchr(word, '=');

			*slash = *equals = '\0';
			if (equals[1] == '-')
				line(AGG_CONTAINER_LISTED, word, slash + 1, 0, AT(at));
			else
				line(families[f], word, slash + 1,
					f ? 4096 : (uint64_t)(strtod(equals + 1, NULL) * 1e9 + 0.5), AT(at));
		}
	}
}

static void scrape(const char *node, double at, const char *containers)
{
	assert_int_equal(agg_store_begin(store, node), 0);
	fill(containers, at);
	line(AGG_NODE_CPU, NULL, NULL, (uint64_t)(at * 1e9), AT(at));
	line(AGG_NODE_MEMORY, NULL, NULL, 8192, AT(at));
	assert_int_equal(agg_store_commit(store, AT(at)), 0);
}

/* ---- taking out ---- */

static void add_usage(struct km_buf *out, const char *name, const struct agg_usage *u)
{
	km_buf_addf(out, "%s%s %g@%g", out->len ? " " : "", name, (double)u->cpu_nanocores / 1e9,
		(double)u->window_ns / 1e9);
}

/* As the cluster's cache has it; NULL when nothing has that name. */
static const char *interned(const char *name)
{
	return km_intern_find(interner, name, strlen(name));
}

static void expect_pod(const char *pod, const char *node, double now, const char *expected)
{
	static const char *const spec[] = {"main", "side"};
	const char *names[KM_ARRAY_LEN(spec)];
	const char *interned_node = node ? km_intern_find(interner, node, strlen(node)) : NULL;
	struct km_buf out = KM_BUF_INIT(4096);
	struct agg_container_usage found[8];
	size_t n;

	for (size_t i = 0; i < KM_ARRAY_LEN(spec); i++)
		names[i] = km_intern(interner, spec[i], strlen(spec[i]));
	n = agg_store_pod(store, interned("ns"), interned(pod), node && !interned_node ? node : interned_node, names,
		KM_ARRAY_LEN(spec), AT(now), found, KM_ARRAY_LEN(found));
	for (size_t i = 0; i < n; i++)
		add_usage(&out, found[i].name, &found[i].usage);
	assert_string_equal(out.data ? out.data : "", expected);
	km_buf_free(&out);
	for (size_t i = 0; i < KM_ARRAY_LEN(spec); i++)
		km_istr_unref(interner, names[i]);
}

static void expect_node(const char *node, double now, const char *expected)
{
	struct km_buf out = KM_BUF_INIT(4096);
	struct agg_usage u;

	if (agg_store_node(store, node, AT(now), &u) == 0)
		add_usage(&out, "node", &u);
	assert_string_equal(out.data ? out.data : "", expected);
	km_buf_free(&out);
}

static struct agg_store_stats stats(void)
{
	struct agg_store_stats s;

	agg_store_stats(store, &s);
	return s;
}

/* ---- tests ---- */

static void test_usual(void **state)
{
	expect_node("node1", 0, "");
	expect_pod("a", NULL, 0, "");
	scrape("node1", 10, "a/main=1 a/side=2 b/main=3");
	expect_node("node1", 10, "");
	expect_pod("a", "node1", 10, "");
	scrape("node1", 25, "a/main=4 a/side=2 b/main=18");
	expect_node("node1", 25, "node 1@15");
	expect_pod("a", "node1", 25, "main 0.2@15 side 0@15");
	expect_pod("b", "node1", 25, "main 1@15");
	expect_pod("nobody", "node1", 25, "");
	assert_int_equal(stats().nodes, 1);
	assert_int_equal(stats().containers, 3);
	assert_int_equal(stats().lines_total, 16);
	assert_int_equal(stats().newest_commit_ns, AT(25));
}

/* Those of the spec in its order, others after by name, whatever the kubelet's order. */
static void test_order(void **state)
{
	scrape("node1", 10, "a/zeta=0 a/side=0 a/beta=0 a/main=0");
	scrape("node1", 25, "a/beta=0 a/main=0 a/zeta=0 a/side=0");
	expect_pod("a", "node1", 25, "main 0@15 side 0@15 beta 0@15 zeta 0@15");
}

/* Containers that come, go and change places keep their own figures. */
static void test_comings_and_goings(void **state)
{
	scrape("node1", 10, "a/main=1 c/main=1 d/main=1");
	scrape("node1", 25, "a/main=2.5 b/main=7 c/main=4 d/main=5.5");
	expect_pod("a", "node1", 25, "main 0.1@15");
	expect_pod("b", "node1", 25, "");
	expect_pod("c", "node1", 25, "main 0.2@15");
	expect_pod("d", "node1", 25, "main 0.3@15");
	scrape("node1", 40, "d/main=10 b/main=10 a/main=10");
	expect_pod("a", "node1", 40, "main 0.5@15");
	expect_pod("b", "node1", 40, "main 0.2@15");
	expect_pod("c", "node1", 40, "");
	expect_pod("d", "node1", 40, "main 0.3@15");
	scrape("node1", 55, "a/main=10 b/main=25 d/main=10 e/main=0");
	expect_pod("a", "node1", 55, "main 0@15");
	expect_pod("b", "node1", 55, "main 1@15");
	assert_int_equal(stats().containers, 4);
	scrape("node1", 70, "");
	assert_int_equal(stats().containers, 0);
	expect_pod("a", "node1", 70, "");
	expect_node("node1", 70, "node 1@15");
}

static void test_incomplete_pod(void **state)
{
	scrape("node1", 10, "a/main=1");
	scrape("node1", 25, "a/main=4 a/side=2");
	expect_pod("a", "node1", 25, ""); /* side has one point only */
	scrape("node1", 40, "a/main=7 a/side=5");
	expect_pod("a", "node1", 40, "main 0.2@15 side 0.2@15");
	/* an init container that has ended is listed no more, and counts no more */
	scrape("node1", 55, "a/main=10");
	expect_pod("a", "node1", 55, "main 0.2@15");
}

/* Its line was bad: it is still there, with the figures it had. */
static void test_listed(void **state)
{
	scrape("node1", 10, "a/main=1 b/main=1");
	scrape("node1", 25, "a/main=4 b/main=1");
	scrape("node1", 40, "a/main=- b/main=1 c/main=-");
	expect_pod("a", "node1", 40, "main 0.2@15");
	expect_pod("c", "node1", 40, "");
	scrape("node1", 55, "a/main=7 b/main=1");
	expect_pod("a", "node1", 55, "main 0.1@30");
	/* not for ever: with no figure for long enough, the pod has none */
	for (int t = 70; t < 190; t += 15)
		scrape("node1", t, "a/main=- b/main=1");
	expect_pod("a", "node1", 175, "");
	expect_pod("b", "node1", 175, "main 0@15");
}

static void test_abort(void **state)
{
	scrape("node1", 10, "a/main=1 b/main=1");
	scrape("node1", 25, "a/main=4 b/main=4");
	assert_int_equal(agg_store_begin(store, "node1"), 0);
	fill("new/main=7 b/main=100 other/main=3", 40);
	agg_store_abort(store);
	assert_int_equal(stats().containers, 2);
	expect_pod("a", "node1", 40, "main 0.2@15");
	expect_pod("b", "node1", 40, "main 0.2@15");
	expect_pod("new", "node1", 40, "");
	scrape("node1", 55, "a/main=10 b/main=10");
	expect_pod("a", "node1", 55, "main 0.2@30");
	expect_pod("b", "node1", 55, "main 0.2@30");
	/* also the very first scrape of a node */
	assert_int_equal(agg_store_begin(store, "node2"), 0);
	fill("x/main=7", 40);
	agg_store_abort(store);
	expect_node("node2", 40, "");
	assert_int_equal(stats().containers, 2);
}

static void test_age(void **state)
{
	scrape("node1", 10, "a/main=1");
	scrape("node1", 25, "a/main=4");
	expect_pod("a", "node1", 62.5, "main 0.2@15");
	expect_node("node1", 62.5, "node 1@15");
	expect_pod("a", "node1", 62.6, "");
	expect_node("node1", 62.6, "");
	/* a missed scrape loses nothing: there at once, over the longer window */
	scrape("node1", 70, "a/main=13");
	expect_pod("a", "node1", 70, "main 0.2@45");
	/* our own clock went back: of no use until the next scrape */
	expect_pod("a", "node1", 30, "");
	/* after a gap of more than five minutes one begins anew */
	scrape("node1", 400, "a/main=99");
	expect_pod("a", "node1", 400, "");
	assert_int_equal(stats().stale_dropped_total, 2); /* the container and the node */
}

/* A kubelet repeats its samples for up to 15 s; one that repeats without end has a cAdvisor that hangs. */
static void test_repeated(void **state)
{
	int t;

	agg_store_configure(store, S * 25 / 2);
	for (t = 10; t <= 30; t += 5) {
		assert_int_equal(agg_store_begin(store, "node1"), 0);
		fill(t < 20 ? "a/main=1" : "a/main=4", t < 20 ? 5 : 20);
		assert_int_equal(agg_store_commit(store, AT(t)), 0);
	}
	expect_pod("a", "node1", 35, "main 0.2@15");
	for (; t <= 100; t += 5) {
		assert_int_equal(agg_store_begin(store, "node1"), 0);
		fill("a/main=4", 20);
		assert_int_equal(agg_store_commit(store, AT(t)), 0);
		expect_pod("a", "node1", t, t <= 92 ? "main 0.2@15" : "");
	}
}

/* Node clocks are off: what counts is when we saw the sample. */
static void test_clocks(void **state)
{
	static const double offsets[] = {-600, -40, 40, 600};

	for (size_t i = 0; i < KM_ARRAY_LEN(offsets); i++) {
		char node[16];

		snprintf(node, sizeof(node), "node%zu", i);
		for (int t = 1010; t <= 1025; t += 15) {
			assert_int_equal(agg_store_begin(store, node), 0);
			fill(t == 1010 ? "a/main=1" : "a/main=4", t + offsets[i]);
			assert_int_equal(agg_store_commit(store, AT(t)), 0);
		}
		expect_pod("a", node, 1030, "main 0.2@15");
		expect_pod("a", node, 1063, "");
		agg_store_forget_node(store, node);
	}
}

static void test_two_nodes(void **state)
{
	scrape("node1", 10, "web-0/main=1");
	scrape("node1", 25, "web-0/main=4");
	assert_int_equal(stats().duplicate_pods_total, 0);
	scrape("node2", 11, "web-0/main=1");
	scrape("node2", 26, "web-0/main=16");
	assert_int_equal(stats().duplicate_pods_total, 1);
	expect_pod("web-0", "node1", 27, "main 0.2@15");
	expect_pod("web-0", "node2", 27, "main 1@15");
	expect_pod("web-0", NULL, 27, "main 1@15"); /* the newest */
	expect_pod("web-0", "node3", 27, "");       /* it runs elsewhere now: these are another's figures */
	agg_store_forget_node(store, "node2");
	expect_pod("web-0", NULL, 27, "main 0.2@15");
	expect_pod("web-0", "node2", 27, "");
	agg_store_forget_node(store, "node1");
	agg_store_forget_node(store, "node1");
	expect_pod("web-0", NULL, 27, "");
	assert_int_equal(stats().containers, 0);
	assert_int_equal(stats().nodes, 0);
}

/* The same container twice in one reply: the newer sample, the newest start; never a mixture that goes back. */
static void test_twice(void **state)
{
	scrape("node1", 10, "a/main=1");
	assert_int_equal(agg_store_begin(store, "node1"), 0);
	fill("a/main=4", 25);
	fill("a/main=99", 22);
	assert_int_equal(agg_store_commit(store, AT(25)), 0);
	expect_pod("a", "node1", 25, "main 0.2@15");
	assert_int_equal(stats().containers, 1);
}

static void test_reset(void **state)
{
	scrape("node1", 10, "a/main=100");
	scrape("node1", 25, "a/main=1");
	expect_pod("a", "node1", 25, "");
	assert_int_equal(stats().counter_resets_total, 1);
	scrape("node1", 40, "a/main=4");
	expect_pod("a", "node1", 40, "main 0.2@15");
}

static void test_bad_names(void **state)
{
	char name[AGG_NAME_MAX + 2];
	static const char *const bad[] = {"", "a b", "a\nb", "\x7f"};

	assert_int_equal(agg_store_begin(store, "node1"), 0);
	for (size_t i = 0; i < KM_ARRAY_LEN(bad); i++)
		line(AGG_CONTAINER_CPU, "a", bad[i], 1, AT(10));
	memset(name, 'x', sizeof(name));
	name[AGG_NAME_MAX + 1] = '\0';
	line(AGG_CONTAINER_CPU, name, "main", 1, AT(10));
	assert_int_equal(stats().lines_skipped_total, KM_ARRAY_LEN(bad) + 1);
	assert_int_equal(stats().containers, 0);
	line(AGG_CONTAINER_CPU, name + 1, "main", 1, AT(10));
	assert_int_equal(stats().containers, 1);
	assert_int_equal(agg_store_commit(store, AT(10)), 0);
	agg_store_skipped(store, 3);
	assert_int_equal(stats().lines_skipped_total, KM_ARRAY_LEN(bad) + 4);
}

/* Limits hold, however a kubelet numbers its containers; and one that changes all names each time stays within them. */
static void test_limits(void **state)
{
	char name[32], pod[32];

	assert_int_equal(agg_store_begin(store, "node1"), 0);
	for (int i = 0; i < AGG_CONTAINERS_PER_POD_MAX + 10; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		line(AGG_CONTAINER_CPU, "a", name, 1, AT(10));
	}
	assert_int_equal(agg_store_commit(store, AT(10)), 10);
	assert_int_equal(stats().containers, AGG_CONTAINERS_PER_POD_MAX);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(agg_store_begin(store, "node1"), 0);
		for (int i = 0; i < AGG_CONTAINERS_PER_NODE_MAX + 5; i++) {
			snprintf(pod, sizeof(pod), "p%d-%d", round, i);
			line(AGG_CONTAINER_CPU, pod, "main", 1, AT(25));
		}
		assert_int_equal(agg_store_commit(store, AT(25)), 5);
		assert_int_equal(stats().containers, AGG_CONTAINERS_PER_NODE_MAX);
	}
}

/* ---- swap ---- */

/* A scrape of two containers that have used 1 s more each, with swap of this many bytes; -1: not a word of it.
 */
static void scrape_swap(double at, int64_t main_bytes, int64_t side_bytes, int64_t node_bytes)
{
	char text[64];

	assert_int_equal(agg_store_begin(store, "n"), 0);
	snprintf(text, sizeof(text), "p/main=%g p/side=%g", at, at);
	fill(text, at);
	line(AGG_NODE_CPU, NULL, NULL, (uint64_t)(at * 1e9), AT(at));
	line(AGG_NODE_MEMORY, NULL, NULL, 8192, AT(at));
	if (main_bytes >= 0)
		line(AGG_CONTAINER_SWAP, "p", "main", (uint64_t)main_bytes, AT(at));
	if (side_bytes >= 0)
		line(AGG_CONTAINER_SWAP, "p", "side", (uint64_t)side_bytes, AT(at));
	if (node_bytes >= 0)
		line(AGG_NODE_SWAP, NULL, NULL, (uint64_t)node_bytes, AT(at));
	assert_int_equal(agg_store_commit(store, AT(at)), 0);
}

static void expect_swap(double now, int64_t main_bytes, int64_t side_bytes, int64_t node_bytes)
{
	struct agg_container_usage found[2];
	struct agg_usage u;

	assert_int_equal(
		agg_store_pod(store, interned("ns"), interned("p"), interned("n"), NULL, 0, AT(now), found, 2), 2);
	assert_string_equal(found[0].name, "main");
	assert_int_equal(found[0].usage.more.swap_bytes, (uint64_t)main_bytes);
	assert_int_equal(found[1].usage.more.swap_bytes, (uint64_t)side_bytes);
	assert_int_equal(agg_store_node(store, "n", AT(now), &u), 0);
	assert_int_equal(u.more.swap_bytes, (uint64_t)node_bytes);
}

static void test_swap(void **state)
{
	scrape_swap(0, 4096, -1, 8192);
	scrape_swap(15, 0, -1, 0); /* nothing swapped out is something to say */
	expect_swap(15, 0, -1, 0);
	scrape_swap(30, 4096, 12288, -1);
	expect_swap(30, 4096, 12288, -1);
	/* a newer kubelet's figure is not kept beyond the kubelet */
	scrape_swap(45, -1, 8192, 5);
	expect_swap(45, -1, 8192, 5);
	/* places are given back, also by containers that are gone, and used again */
	scrape_swap(60, 1, 2, 3);
	expect_swap(60, 1, 2, 3);
	scrape("n", 75, "q/main=1");
	scrape("n", 76, "p/main=1 p/side=1");
	scrape_swap(90, 5, 6, 7);
	expect_swap(90, 5, 6, 7);
}

/* ---- ephemeral storage ---- */

static void tell_storage(double at, const char *containers, int64_t node_bytes)
{
	char text[256], *next, *word;

	assert_int_equal(agg_store_storage_begin(store, "n"), 0);
	if (node_bytes >= 0) {
		const struct agg_line l = {.series = AGG_NODE_STORAGE, .value = (uint64_t)node_bytes};

		agg_store_storage_line(&l, store);
	}
	snprintf(text, sizeof(text), "%s", containers);
	for (word = strtok_r(text, " ", &next); word; word = strtok_r(NULL, " ", &next)) {
		char *slash = strchr(word, '/'), *equals = strchr(word, '=');
		struct agg_line l = {.series = AGG_CONTAINER_STORAGE, .namespace_ = "ns", .namespace_len = 2};

		*slash = *equals = '\0';
		l.pod = word;
		l.pod_len = strlen(word);
		l.container = slash + 1;
		l.container_len = strlen(slash + 1);
		l.value = strtoull(equals + 1, NULL, 10);
		agg_store_storage_line(&l, store);
	}
	agg_store_storage_commit(store, AT(at));
}

static void expect_storage(double now, int64_t main_bytes, int64_t side_bytes, int64_t node_bytes)
{
	struct agg_container_usage found[2];
	struct agg_usage u;

	assert_int_equal(
		agg_store_pod(store, interned("ns"), interned("p"), interned("n"), NULL, 0, AT(now), found, 2), 2);
	assert_int_equal(found[0].usage.more.storage_bytes, (uint64_t)main_bytes);
	assert_int_equal(found[1].usage.more.storage_bytes, (uint64_t)side_bytes);
	assert_int_equal(agg_store_node(store, "n", AT(now), &u), 0);
	assert_int_equal(u.more.storage_bytes, (uint64_t)node_bytes);
}

static void test_storage(void **state)
{
	assert_int_equal(agg_store_storage_begin(store, "n"), -ENOENT);
	scrape_swap(0, -1, -1, -1);
	scrape_swap(15, -1, 7, -1);
	/* who is not known to run is left out */
	tell_storage(15, "p/main=4096 q/main=5 p/other=5", 100);
	expect_storage(15, 4096, -1, 100);
	/* scrapes leave it alone, and it leaves swap alone */
	scrape_swap(30, -1, 7, 5);
	expect_storage(30, 4096, -1, 100);
	expect_swap(30, -1, 7, 5);
	tell_storage(31, "p/side=0", -1);
	expect_storage(31, -1, 0, -1);
	expect_swap(31, -1, 7, 5);
	tell_storage(32, "", -1);
	expect_storage(32, -1, -1, -1);
	/* not told any more: too old at last */
	tell_storage(33, "p/main=1 p/side=2", 3);
	for (double at = 45; at <= 33 + 210; at += 15)
		scrape_swap(at, 8, 9, 10);
	expect_storage(33 + 209, 1, 2, 3);
	scrape_swap(255, 8, 9, 10);
	expect_storage(255, -1, -1, -1);
	expect_swap(255, 8, 9, 10);
	agg_store_forget_node(store, "n");
}

static void test_gauges(void **state)
{
	struct agg_gauge_table t = {0};
	uint32_t places[200] = {0}, highest;

	for (uint32_t i = 0; i < 200; i++) {
		agg_gauges_set(&t, &places[i], (struct agg_gauges){i, i % 2 ? AGG_ABSENT : 2 * i});
		assert_true(places[i] > 0);
	}
	highest = t.n;
	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 200; i += 3)
			agg_gauges_set(&t, &places[i], (struct agg_gauges){AGG_ABSENT, AGG_ABSENT});
		for (uint32_t i = 0; i < 200; i++)
			assert_int_equal(agg_gauges_get(&t, places[i]).swap_bytes, i % 3 ? i : AGG_ABSENT);
		for (uint32_t i = 0; i < 200; i += 3)
			agg_gauges_set(&t, &places[i], (struct agg_gauges){i, AGG_ABSENT});
	}
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(agg_gauges_get(&t, places[i]).swap_bytes, i);
	assert_int_equal(t.n, highest);
	agg_gauges_free(&t);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_usual),
		TEST(test_order),
		TEST(test_comings_and_goings),
		TEST(test_incomplete_pod),
		TEST(test_listed),
		TEST(test_abort),
		TEST(test_age),
		TEST(test_repeated),
		TEST(test_clocks),
		TEST(test_two_nodes),
		TEST(test_twice),
		TEST(test_reset),
		TEST(test_bad_names),
		TEST(test_limits),
		TEST(test_swap),
		TEST(test_storage),
		cmocka_unit_test(test_gauges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
