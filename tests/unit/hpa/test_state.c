/* SPDX-License-Identifier: Apache-2.0 */
/* What the controller remembers across a restart and a change of leader: as JSON, in the file, in the ConfigMaps. */
#include "hpa/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/file.h"
#include "hpa/memory_saved.h"
#include "tests/unit/hpa/controller_scene.h"

#define NOW (INT64_C(1700000000) * KM_NSEC_PER_SEC)
#define S   KM_NSEC_PER_SEC

/* ---- one HPA ---- */

static char *saved_text(const struct hpa_memory *m)
{
	struct km_buf out = KM_BUF_INIT(65536);
	struct km_json j = KM_JSON_INIT(&out, false);

	if (!hpa_memory_save(&j, "uid-1", m, NOW))
		return NULL;
	return km_buf_take(&out, NULL);
}

static void test_memory(void **state)
{
	struct hpa_memory m = {0}, back = {0};
	_cleanup_free_ char *text = NULL, *again = NULL;
	struct hpa_rules rules = {.n_policies = 1, .policies = {{.value = 4, .period_s = 60}}};
	json_t *json;

	assert_null(saved_text(&m)); /* nothing was ever recommended */
	/* out of order, as slots are used again; a run of fours; one that is too old */
	assert_int_equal(hpa_history_add(&m.recommendations, 4, NOW - 30 * S), 0);
	assert_int_equal(hpa_history_add(&m.recommendations, 9, NOW - 3700 * S), 0);
	assert_int_equal(hpa_history_add(&m.recommendations, 4, NOW - 20 * S), 0);
	assert_int_equal(hpa_history_add(&m.recommendations, 7, NOW - 60 * S), 0);
	assert_int_equal(hpa_history_add(&m.recommendations, 2, NOW - 10 * S), 0);
	assert_int_equal(hpa_events_store(&rules, &rules, &m.up_events, &m.down_events, 2, 5, NOW - 15 * S), 0);
	text = saved_text(&m);
	assert_string_equal(text, "{\"uid\":\"uid-1\",\"recommendations\":[[7,1699999940000],[4,1699999980000],"
				  "[2,1699999990000]],\"up\":[[3,1699999985000]],\"down\":[]}");
	json = json_loads(text, 0, NULL);
	assert_int_equal(hpa_memory_restore(json, "uid-2", NOW, &back), -EINVAL);
	assert_int_equal(hpa_memory_restore(json, "uid-1", NOW, &back), 0);
	assert_true(back.recommendations.seen);
	again = saved_text(&back);
	assert_string_equal(again, text);
	hpa_memory_clear(&back);
	/* an hour later nothing of it is of use */
	assert_int_equal(hpa_memory_restore(json, "uid-1", NOW + 3600 * S, &back), 0);
	assert_int_equal(back.recommendations.n + back.up_events.n, 0);
	hpa_memory_clear(&back);
	/* nor is what is of the future: our clock was set back */
	assert_int_equal(hpa_memory_restore(json, "uid-1", NOW - 25 * S, &back), 0);
	assert_int_equal(back.recommendations.n, 1);
	assert_int_equal(back.up_events.n, 0);
	hpa_memory_clear(&back);
	json_decref(json);
	hpa_memory_clear(&m);
}

static void test_bad_memory(void **state)
{
	static const char *const rows[] = {
		"{}",
		"[]",
		"{\"uid\":\"u\",\"recommendations\":[4]}",
		"{\"uid\":\"u\",\"recommendations\":[[4]]}",
		"{\"uid\":\"u\",\"recommendations\":[[4,\"5\"]]}",
		"{\"uid\":\"u\",\"recommendations\":[[99999999999,5]]}",
		"{\"uid\":\"u\",\"recommendations\":[[4,9223372036854775807]]}",
		"{\"uid\":\"u\",\"recommendations\":[[4,-5]]}",
		"{\"uid\":\"u\",\"recommendations\":[],\"up\":[[0,5]]}",
		"{\"uid\":\"u\",\"recommendations\":[],\"down\":[[-4,5]]}",
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		json_t *json = json_loads(rows[i], 0, NULL);
		struct hpa_memory m = {0};

		if (hpa_memory_restore(json, "u", NOW, &m) != -EINVAL)
			fail_msg("%s", rows[i]);
		json_decref(json);
	}
}

/* ---- the controller ---- */

static void test_parts(void **state)
{
	struct world *w = *state;
	struct km_buf *parts;
	size_t n, found = 0;
	char name[16];

	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "h%u", i);
		tell(w, KUBE_ADDED, name, 1, 5);
	}
	wait_for(w, wanted_rounds_over, 20);
	assert_int_equal(hpa_controller_save(w->controller, 600, &parts, &n), 0);
	assert_true(n > 3);
	for (size_t i = 0; i < n; i++) {
		json_t *document = json_loadb(parts[i].data, parts[i].len, 0, NULL);
		int64_t saved_ns;

		assert_true(parts[i].len <= 600);
		assert_non_null(document);
		found += json_object_size(hpa_saved_hpas(document, &saved_ns, NULL));
		json_decref(document);
		km_buf_free(&parts[i]);
	}
	free(parts);
	assert_int_equal(found, 20);
}

/* What the leader before us recommended holds our first step down, for HPAs that are there and for those that come. */
static void test_recall(void **state)
{
	struct world *w = *state;
	json_t *hpas = json_object();

	for (int i = 0; i < 2; i++)
		json_object_set_new(hpas, i ? "shop/new" : "shop/web",
			json_pack("{s:s, s:[[i,I]], s:[], s:[]}", "uid", i ? "new" : "web", "recommendations", 9,
				(json_int_t)(km_wall_ns() / 1000000 - 10000), "up", "down"));
	w->usage_milli = 10;
	w->may_write = false;
	tell(w, KUBE_ADDED, "web", 1, 9);
	wait_for(w, wanted_rounds_over, 1);
	hpa_controller_recall(w->controller, hpas, true);
	w->may_write = true;
	hpa_controller_wake(w->controller);
	assert_true(until(w, scale_was_put)); /* to the nine of ten seconds ago, not down */
	assert_int_equal(w->put_replicas, 6); /* as far as one step goes */
	tell(w, KUBE_DELETED, "web", 2, 9);
	w->scale_puts = 0;
	w->replicas = 3;
	tell(w, KUBE_ADDED, "new", 1, 9);
	assert_true(until(w, scale_was_put));
	assert_int_equal(w->put_replicas, 6);
	json_decref(hpas);
}

/* ---- the file ---- */

struct files {
	struct world *w;
	char dir[32], path[64];
	bool saved;
};

static void on_saved(void *arg)
{
	((struct files *)arg)->saved = true;
}

static bool is_saved(void *arg)
{
	return ((struct files *)arg)->saved;
}

static void file_begin(struct files *f, struct world *w)
{
	*f = (struct files){.w = w, .dir = "/tmp/km-state-XXXXXX"};
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/" HPA_STATE_FILE, f->dir);
}

static void file_end(struct files *f)
{
	unlink(f->path);
	assert_int_equal(rmdir(f->dir), 0);
}

static void test_file(void **state)
{
	struct world *w = *state;
	struct hpa_state *s;
	struct stat st;
	struct files f;

	file_begin(&f, w);
	w->usage_milli = 100; /* four are asked for */
	assert_int_equal(hpa_state_new(w->loop, w->client, f.dir, &s), 0);
	hpa_state_attach(s, w->controller);
	tell(w, KUBE_ADDED, "web", 1, 9);
	assert_true(until(w, scale_was_put));
	wait_for(w, wanted_statuses, 1);
	hpa_state_save(s, on_saved, &f);
	assert_true(apistub_until(w->loop, is_saved, &f));
	assert_int_equal(stat(f.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	hpa_state_free(s);
	/* another daemon, with another controller: the four hold the step down */
	tell(w, KUBE_DELETED, "web", 2, 9);
	w->usage_milli = 10;
	w->scale_puts = 0;
	w->replicas = 2;
	assert_int_equal(hpa_state_new(w->loop, w->client, f.dir, &s), 0);
	hpa_state_attach(s, w->controller);
	tell(w, KUBE_ADDED, "web", 3, 9);
	assert_true(until(w, scale_was_put));
	assert_int_equal(w->put_replicas, 4);
	hpa_state_free(s);
	file_end(&f);
}

static void test_damaged_files(void **state)
{
	static const char *const rows[] = {"", "garbage\n", "{}\n",
		"{\"version\":2,\"savedAt\":\"2026-01-01T00:00:00Z\",\"hpas\":{}}\n",
		"{\"version\":1,\"savedAt\":\"2026-01-01T00:00:00Z\",\"hpas\":{",
		"{\"version\":1,\"savedAt\":\"yesterday\",\"hpas\":{}}\n", "[1]\n",
		"{\"version\":1,\"savedAt\":\"2026-01-01T00:00:00Z\",\"hpas\":[]}\n"};
	struct world *w = *state;
	struct hpa_state *s;
	struct files f;

	file_begin(&f, w);
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		assert_int_equal(km_file_write_atomic(f.path, rows[i], strlen(rows[i]), 0600, -1, -1, NULL), 0);
		assert_int_equal(hpa_state_new(w->loop, w->client, f.dir, &s), 0);
		hpa_state_attach(s, w->controller);
		hpa_state_free(s);
	}
	file_end(&f);
}

/* ---- the ConfigMaps ---- */

/* What the former one left there counts when it is newer than our file. */
static void test_take_over(void **state)
{
	struct world *w = *state;
	struct hpa_state *s;
	struct files f;

	file_begin(&f, w);
	assert_int_equal(hpa_state_new(w->loop, w->client, f.dir, &s), 0);
	hpa_state_attach(s, w->controller);
	/* nothing is there: done all the same */
	hpa_state_take_over(s, on_saved, &f);
	assert_true(apistub_until(w->loop, is_saved, &f));
	w->usage_milli = 100;
	tell(w, KUBE_ADDED, "web", 1, 9);
	assert_true(until(w, scale_was_put));
	wait_for(w, wanted_statuses, 1);
	f.saved = false;
	hpa_state_save(s, on_saved, &f);
	assert_true(apistub_until(w->loop, is_saved, &f));
	assert_non_null(w->state);
	hpa_state_free(s);
	unlink(f.path); /* another host */
	tell(w, KUBE_DELETED, "web", 2, 9);
	w->usage_milli = 10;
	w->scale_puts = 0;
	w->replicas = 2;
	assert_int_equal(hpa_state_new(w->loop, w->client, f.dir, &s), 0);
	hpa_state_attach(s, w->controller);
	f.saved = false;
	hpa_state_take_over(s, on_saved, &f);
	assert_true(apistub_until(w->loop, is_saved, &f));
	tell(w, KUBE_ADDED, "web", 3, 9);
	assert_true(until(w, scale_was_put));
	assert_int_equal(w->put_replicas, 4);
	hpa_state_free(s);
	file_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_bad_memory),
		cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recall, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_take_over, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
