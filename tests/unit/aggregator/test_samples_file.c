/* SPDX-License-Identifier: Apache-2.0 */
/* The samples on disk: what was served before is served after, and no file does harm. */
#include "aggregator/samples_file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/file.h"

#define S       KM_NSEC_PER_SEC
#define NAME    "node-%zu"
#define MAX_AGE (S * 75 / 2)
#define PERIOD  (UINT64_C(5) * KM_USEC_PER_MSEC)
#define NEVER   (UINT64_C(1000) * KM_USEC_PER_SEC)

struct scene {
	char dir[64], path[96];
	struct km_loop *loop;
	struct km_interner *interner;
	struct agg_store *store;
	int64_t now;
};

static void open_store(struct scene *s)
{
	assert_int_equal(km_interner_new(&s->interner), 0);
	assert_int_equal(agg_store_new(s->interner, &s->store), 0);
	agg_store_configure(s->store, MAX_AGE);
}

static void close_store(struct scene *s)
{
	agg_store_free(s->store);
	assert_int_equal(km_interner_count(s->interner), 0);
	km_interner_free(s->interner);
}

static int set_up(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	snprintf(s->dir, sizeof(s->dir), "/tmp/km-samples-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/samples", s->dir);
	assert_int_equal(km_loop_new(&s->loop, NULL), 0);
	open_store(s);
	s->now = km_wall_ns();
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *s = *state;

	km_loop_free(s->loop); /* while a job may still want to end */
	close_store(s);
	unlink(s->path);
	assert_int_equal(rmdir(s->dir), 0); /* nothing else has been left there */
	free(s);
	return 0;
}

static void put(struct scene *s, enum agg_series series, const char *pod, const char *container, uint64_t v, int64_t at)
{
	const struct agg_line l = {.series = series,
		.namespace_ = pod ? "ns" : NULL,
		.namespace_len = pod ? 2 : 0,
		.pod = pod,
		.pod_len = pod ? strlen(pod) : 0,
		.container = container,
		.container_len = container ? strlen(container) : 0,
		.value = v,
		.timestamp_ns = at};

	agg_store_line(&l, s->store);
}

/* A pod "POD" with containers main (half a core) and side (idle) there, scraped age seconds ago. */
static void scrape(struct scene *s, const char *node, const char *pod, int age)
{
	for (int64_t turn = 0; turn < 2; turn++) {
		int64_t at = s->now - age * S - (1 - turn) * 15 * S;
		uint64_t cpu = (uint64_t)(at / 2);

		assert_int_equal(agg_store_begin(s->store, node), 0);
		put(s, AGG_CONTAINER_CPU, pod, "main", cpu, at);
		put(s, AGG_CONTAINER_CPU, pod, "side", 7, at);
		put(s, AGG_CONTAINER_MEMORY, pod, "main", 4096, at);
		put(s, AGG_CONTAINER_MEMORY, pod, "side", 8192, at);
		put(s, AGG_CONTAINER_START, pod, "main", (uint64_t)(s->now - 3600 * S), at);
		put(s, AGG_NODE_CPU, NULL, NULL, cpu, at);
		put(s, AGG_NODE_MEMORY, NULL, NULL, 1 << 20, at);
		assert_int_equal(agg_store_commit(s->store, at), 0);
	}
}

static size_t usage_of(struct scene *s, const char *node, const char *pod, struct agg_container_usage *ret, size_t max)
{
	const char *n = km_intern_find(s->interner, node, strlen(node));
	const char *ns = km_intern_find(s->interner, "ns", 2), *p = km_intern_find(s->interner, pod, strlen(pod));

	return n && ns && p ? agg_store_pod(s->store, ns, p, n, NULL, 0, s->now, ret, max) : 0;
}

static void expect_served(struct scene *s, const char *node, const char *pod)
{
	struct agg_container_usage u[4];
	struct agg_usage usage;

	assert_int_equal(agg_store_node(s->store, node, s->now, &usage), 0);
	assert_int_equal(usage.cpu_nanocores, 500000000);
	assert_int_equal(usage.mem_bytes, 1 << 20);
	assert_int_equal(usage.window_ns, 15 * S);
	assert_int_equal(usage_of(s, node, pod, u, 4), 2);
	assert_string_equal(u[0].name, "main");
	assert_int_equal(u[0].usage.cpu_nanocores, 500000000);
	assert_int_equal(u[0].usage.mem_bytes, 4096);
	assert_string_equal(u[1].name, "side");
	assert_int_equal(u[1].usage.cpu_nanocores, 0);
	assert_int_equal(u[1].usage.mem_bytes, 8192);
}

static size_t nodes(const struct scene *s)
{
	struct agg_store_stats stats;

	agg_store_stats(s->store, &stats);
	return stats.nodes;
}

static struct agg_samples_file *open_file(struct scene *s)
{
	struct agg_samples_file *f = NULL;

	assert_int_equal(agg_samples_file_new(s->loop, s->dir, s->store, &f, NULL), 0);
	agg_samples_file_configure(f, NEVER);
	return f;
}

/* As a restart does it. */
static void reopen(struct scene *s)
{
	close_store(s);
	open_store(s);
	agg_samples_file_free(open_file(s));
}

static void a_restart_loses_nothing(void **state)
{
	struct scene *s = *state;
	struct agg_samples_file *f = open_file(s);
	struct stat st;

	scrape(s, "node-1", "a", 5);
	scrape(s, "node-2", "b", 20);
	agg_samples_file_free(f);
	assert_int_equal(stat(s->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	reopen(s);
	assert_int_equal(nodes(s), 2);
	expect_served(s, "node-1", "a");
	expect_served(s, "node-2", "b");
	/* and the next scrape goes on from there */
	assert_int_equal(agg_store_begin(s->store, "node-1"), 0);
	put(s, AGG_CONTAINER_CPU, "a", "main", (uint64_t)((s->now - 5 * S) / 2) + (uint64_t)(5 * S), s->now);
	put(s, AGG_CONTAINER_MEMORY, "a", "main", 1, s->now);
	agg_store_commit(s->store, s->now);
	{
		struct agg_container_usage u[4];

		assert_int_equal(usage_of(s, "node-1", "a", u, 4), 1);
		assert_int_equal(u[0].usage.cpu_nanocores, 1000000000);
		assert_int_equal(u[0].usage.window_ns, 5 * S);
	}
}

/* What is of no use, and what cannot have been, stays away. */
static void only_what_is_of_use(void **state)
{
	struct scene *s = *state;
	struct agg_samples_file *f = open_file(s);

	scrape(s, "old", "a", 301);
	scrape(s, "new", "b", 1);
	scrape(s, "future", "c", -60); /* the clock was set back since */
	assert_int_equal(agg_store_begin(s->store, "never"), 0);
	agg_store_abort(s->store);
	agg_samples_file_free(f);
	reopen(s);
	assert_int_equal(nodes(s), 1);
	expect_served(s, "new", "b");
}

/* Without a scrape since, it is not written again: a second daemon that cannot listen does no harm. */
static void nothing_new_is_not_written(void **state)
{
	struct scene *s = *state;

	agg_samples_file_free(open_file(s));
	assert_int_equal(access(s->path, F_OK), -1);
}

static void stop_when_written(void *arg)
{
	struct scene *s = arg;
	static struct km_timer *t;

	if (!t)
		assert_int_equal(km_timer_new(s->loop, stop_when_written, s, &t), 0);
	if (access(s->path, F_OK) == 0) {
		km_timer_free(KM_TAKE(t));
		km_loop_stop(s->loop);
		return;
	}
	km_timer_set(t, KM_USEC_PER_MSEC);
}

/* Enough for many slices, while nodes come and go; a daemon that is killed then has them. */
static void written_while_running(void **state)
{
	struct scene *s = *state;
	struct agg_samples_file *f = open_file(s);
	char name[32];

	for (size_t i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), NAME, i);
		scrape(s, name, name, 1);
	}
	agg_samples_file_configure(f, PERIOD);
	stop_when_written(s);
	assert_int_equal(km_loop_run(s->loop), 0);
	/* a second one reads what the first has written, which still runs */
	{
		struct scene second = *s;
		struct agg_samples_file *g;

		open_store(&second);
		g = open_file(&second);
		assert_int_equal(nodes(&second), 3000);
		expect_served(&second, "node-0", "node-0");
		expect_served(&second, "node-2999", "node-2999");
		agg_samples_file_free(g);
		close_store(&second);
	}
	agg_samples_file_free(f);
}

static void damage(struct scene *s, const char *data, size_t len)
{
	assert_int_equal(km_file_write_atomic(s->path, data, len, 0600, (uid_t)-1, (gid_t)-1, NULL), 0);
	reopen(s);
	assert_int_equal(nodes(s), 0);
}

static void no_file_does_harm(void **state)
{
	struct scene *s = *state;
	struct agg_samples_file *f = open_file(s);
	_cleanup_free_ char *data = NULL, *bad = NULL;
	size_t len;

	scrape(s, "node-1", "a", 5);
	agg_samples_file_free(f);
	assert_int_equal(km_file_read(s->path, AGG_SAMPLES_FILE_MAX, &data, &len, NULL), 0);
	bad = malloc(len);
	assert_non_null(bad);
	for (size_t cut = 0; cut < len; cut++)
		damage(s, data, cut);
	for (size_t i = 0; i < len; i++) {
		memcpy(bad, data, len);
		bad[i] ^= 0x10;
		damage(s, bad, len);
	}
	damage(s, "kmetricsd samples 2\nxxxxxxxx", 28);
	unlink(s->path);
	assert_int_equal(mkdir(s->path, 0700), 0);
	reopen(s);
	assert_int_equal(nodes(s), 0);
	assert_int_equal(rmdir(s->path), 0);
}

/* A record that is cut off or says what cannot be is refused whole, whatever its checksum. */
static void records_are_checked(void **state)
{
	struct scene *s = *state;
	struct km_buf whole = KM_BUF_INIT(1 << 20);
	struct km_err err;
	size_t n;

	scrape(s, "node-1", "a", 5);
	agg_store_save(s->store, "node-1", &whole);
	agg_store_save(s->store, "nobody", &whole);
	assert_int_equal(whole.error, 0);
	for (size_t cut = 1; cut < whole.len; cut++) {
		close_store(s);
		open_store(s);
		assert_int_equal(agg_store_restore(s->store, whole.data, cut, s->now, &n, &err), -EBADMSG);
		assert_int_equal(nodes(s), 0);
	}
	/* the same node twice: the first one */
	{
		struct km_buf twice = KM_BUF_INIT(1 << 20);

		km_buf_add(&twice, whole.data, whole.len);
		km_buf_add(&twice, whole.data, whole.len);
		close_store(s);
		open_store(s);
		assert_int_equal(agg_store_restore(s->store, twice.data, twice.len, s->now, &n, &err), 0);
		assert_int_equal(n, 1);
		expect_served(s, "node-1", "a");
		km_buf_free(&twice);
	}
	km_buf_free(&whole);
}

static void old_nodes_are_forgotten(void **state)
{
	struct scene *s = *state;

	scrape(s, "gone", "a", 301);
	scrape(s, "there", "b", 299);
	agg_store_forget_old(s->store, s->now);
	assert_int_equal(nodes(s), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_restart_loses_nothing),
		TEST(only_what_is_of_use),
		TEST(nothing_new_is_not_written),
		TEST(written_while_running),
		TEST(no_file_does_harm),
		TEST(records_are_checked),
		TEST(old_nodes_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
