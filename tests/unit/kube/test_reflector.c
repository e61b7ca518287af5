/* SPDX-License-Identifier: Apache-2.0 */
/*
 * List and watch against a scripted API server: what is asked, in which order, and what the receiver sees of it.
 */
#include "kube/reflector.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/clock.h"
#include "tests/unit/support/apistub.h"

#define BACKOFF_MIN 4000 /* us */
#define BACKOFF_MAX 16000
#define NEVER       (600 * KM_USEC_PER_SEC)

enum kind {
	REPLY, /* a whole reply */
	OPEN,  /* a stream that stays open */
	ENDED, /* a stream that ends well */
	CUT,   /* a stream that breaks off */
	DRIP,  /* a stream, each byte a chunk, that ends well */
};

struct step {
	const char *target; /* the request's target ends with it, or starts with it when it ends in * */
	enum kind kind;
	int status;
	const char *headers, *text;
};

struct rig {
	struct km_loop *loop;
	struct apistub *stub;
	struct kube_client *client;
	struct kube_reflector *r;
	const struct step *steps;
	size_t n, at;
	struct apistub_conn *last;
	struct km_buf log; /* what the ops saw, a word each */
	const char *until;
	char problem[1024];
};

static void on_request(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct rig *g = arg;
	const struct step *s;
	size_t len;
	bool wanted;

	g->last = c;
	if (g->at == g->n)
		fail_msg("a request too many: %s", request->target);
	s = &g->steps[g->at++];
	len = strlen(s->target);
	wanted = s->target[len - 1] == '*'
			 ? strncmp(request->target, s->target, len - 1) == 0
			 : strlen(request->target) >= len &&
				   strcmp(request->target + strlen(request->target) - len, s->target) == 0;
	if (!wanted)
		fail_msg("step %zu: %s instead of %s", g->at, request->target, s->target);
	if (s->kind == REPLY) {
		apistub_reply(c, s->status, s->headers, s->text);
		return;
	}
	apistub_stream(c, 200);
	if (s->kind == DRIP) {
		for (const char *p = s->text; *p; p++)
			apistub_chunk(c, (char[]){*p, '\0'});
	} else if (*s->text) {
		apistub_chunk(c, s->text);
	}
	if (s->kind == ENDED || s->kind == DRIP)
		apistub_end(c);
	if (s->kind == CUT)
		apistub_cut(c);
}

static void on_begin(void *arg)
{
	km_buf_adds(&((struct rig *)arg)->log, "begin ");
}

static void on_end(void *arg)
{
	km_buf_adds(&((struct rig *)arg)->log, "end ");
}

static int on_object(enum kube_event event, json_t *object, void *arg, struct km_err *err)
{
	const char *name = json_string_value(json_object_get(json_object_get(object, "metadata"), "name"));

	if (!name || strcmp(name, "bad") == 0)
		return km_fail(err, -EINVAL, "a bad one");
	km_buf_addf(&((struct rig *)arg)->log, "%c:%s ", "LAMD"[event], name);
	return 0;
}

static void on_problem(int error, const char *text, void *arg)
{
	struct rig *g = arg;

	assert_true((error == 0) == (text == NULL));
	km_buf_adds(&g->log, text ? "problem " : "ok ");
	if (text)
		snprintf(g->problem, sizeof(g->problem), "%s", text);
}

static void rig_start_with(struct rig *g, struct km_loop *loop, const struct step *steps, size_t n, uint64_t settle_us)
{
	struct kube_access *access;
	struct kube_reflector_config config = {.path = "/api/v1/pods",
		.query = "fieldSelector=a%3Db",
		.ops = {on_begin, on_object, on_end, on_problem},
		.arg = g,
		.backoff_min_us = BACKOFF_MIN,
		.backoff_max_us = BACKOFF_MAX,
		.settle_us = settle_us};

	*g = (struct rig){.loop = loop, .steps = steps, .n = n, .log = KM_BUF_INIT(64 * 1024)};
	km_buf_adds(&g->log, "");
	g->stub = apistub_new(loop, on_request, g);
	access = apistub_access(g->stub, NULL);
	assert_int_equal(kube_client_new(loop, access, "t", &g->client, NULL), 0);
	kube_access_free(access);
	config.client = g->client;
	assert_int_equal(kube_reflector_new(&config, &g->r), 0);
}

static void rig_start(struct rig *g, struct km_loop *loop, const struct step *steps, size_t n)
{
	rig_start_with(g, loop, steps, n, NEVER);
}

static void rig_stop(struct rig *g)
{
	kube_reflector_free(g->r);
	kube_client_free(g->client);
	apistub_free(g->stub);
	km_buf_free(&g->log);
}

static bool log_is(void *arg)
{
	struct rig *g = arg;

	return g->at == g->n && g->log.data && strcmp(g->log.data, g->until) == 0;
}

/* Waits until all steps were asked for and the log is exactly this. */
static void expect(struct rig *g, const char *log)
{
	g->until = log;
	if (!apistub_until(g->loop, log_is, g))
		fail_msg("step %zu of %zu, log \"%s\", expected \"%s\", problem \"%s\"", g->at, g->n, g->log.data, log,
			g->problem);
}

static int setup(void **state)
{
	struct km_loop *loop;

	if (km_loop_new(&loop, NULL) < 0)
		return -1;
	*state = loop;
	return 0;
}

static int teardown(void **state)
{
	km_loop_free(*state);
	return 0;
}

#define ITEM(name, rv)        "{\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"" rv "\"}}"
#define LIST(rv, items)       "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"" rv "\"},\"items\":[" items "]}"
#define EVENT(type, name, rv) "{\"type\":\"" type "\",\"object\":" ITEM(name, rv) "}\n"
#define GONE                                                                                                         \
	"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\",\"message\":\"too " \
	"old\"}}\n"

#define FIRST_LIST "/api/v1/pods?fieldSelector=a%3Db&resourceVersion=0"
#define NEXT_LIST  "/api/v1/pods?fieldSelector=a%3Db&resourceVersion="
#define WATCH(rv)  "&resourceVersion=" rv
#define STEPS(s)   s, KM_ARRAY_LEN(s)

static void test_list_and_watch(void **state)
{
	static const struct step steps[] = {
		{FIRST_LIST, REPLY, 200, NULL, LIST("10", ITEM("a", "3") "," ITEM("b", "7"))},
		{WATCH("10"), ENDED, 200, NULL,
			EVENT("ADDED", "c", "11") EVENT("MODIFIED", "a", "12") EVENT("DELETED", "b", "13")
				EVENT("BOOKMARK", "", "20")},
		{WATCH("20"), OPEN, 200, NULL, EVENT("ADDED", "d", "21")},
	};
	struct kube_reflector_stats stats;
	struct rig g;

	rig_start(&g, *state, STEPS(steps));
	assert_false(kube_reflector_synced(g.r));
	expect(&g, "begin L:a L:b end A:c M:a D:b A:d ");
	assert_true(kube_reflector_synced(g.r));
	kube_reflector_stats(g.r, &stats);
	assert_int_equal(stats.lists, 1);
	assert_int_equal(stats.watches, 2);
	assert_int_equal(stats.events, 4);
	assert_int_equal(stats.bookmarks, 1);
	assert_int_equal(stats.undecodable, 0);
	assert_true(stats.last_contact_us > 0 && stats.last_contact_us <= km_now_us());
	rig_stop(&g);
}

static void test_watch_target(void **state)
{
	/* a resourceVersion is opaque: whatever it holds must not become a parameter */
	static const struct step steps[] = {
		{FIRST_LIST, REPLY, 200, NULL, LIST("1&a=b", "")},
		{"/api/v1/pods?fieldSelector=a%3Db&watch=1&allowWatchBookmarks=true&timeoutSeconds=*", REPLY, 410, NULL,
			""},
		{NEXT_LIST, REPLY, 200, NULL, LIST("2&c", "")},
		{WATCH("2%26c"), OPEN, 200, NULL, ""},
	};
	struct rig g;

	rig_start(&g, *state, STEPS(steps));
	expect(&g, "begin end begin end ");
	rig_stop(&g);
}

/* After 410 a list at resourceVersion=0 could be the very state that was too old: it has to be a consistent read. */
static void test_gone(void **state)
{
	static const struct step as_event[] = {
		{FIRST_LIST, REPLY, 200, NULL, LIST("10", ITEM("a", "3"))},
		{WATCH("10"), OPEN, 200, NULL, GONE},
		{NEXT_LIST, REPLY, 200, NULL, LIST("30", ITEM("b", "3"))},
		{WATCH("30"), OPEN, 200, NULL, ""},
	};
	static const struct step as_status[] = {
		{FIRST_LIST, REPLY, 200, NULL, LIST("10", ITEM("a", "3"))},
		{WATCH("10"), REPLY, 410, NULL, "{\"code\":410,\"message\":\"too old\"}"},
		{NEXT_LIST, REPLY, 200, NULL, LIST("30", ITEM("b", "3"))},
		{WATCH("30"), OPEN, 200, NULL, ""},
	};

	struct rig a, b;

	rig_start(&a, *state, STEPS(as_event));
	rig_start(&b, *state, STEPS(as_status));
	expect(&a, "begin L:a end begin L:b end ");
	expect(&b, "begin L:a end begin L:b end ");
	rig_stop(&a);
	rig_stop(&b);
}

static void test_gone_list(void **state)
{
	static const struct step steps[] = {
		{FIRST_LIST, REPLY, 410, NULL, ""},
		{NEXT_LIST, REPLY, 200, NULL, LIST("30", "")},
		{WATCH("30"), OPEN, 200, NULL, ""},
	};
	struct rig g;

	rig_start(&g, *state, STEPS(steps));
	expect(&g, "problem begin end ok ");
	assert_string_equal(g.problem, "GET /api/v1/pods: 410");
	rig_stop(&g);
}

/* Both rigs at once, as this needs real time: a header on the list, and a detail inside an ERROR event. */
static void test_retry_after(void **state)
{
	static const struct step header[] = {
		{FIRST_LIST, REPLY, 429, "Retry-After: 1\r\n", "busy"},
		{FIRST_LIST, REPLY, 200, NULL, LIST("10", "")},
		{WATCH("10"), OPEN, 200, NULL, ""},
	};
	static const struct step event[] = {
		{FIRST_LIST, REPLY, 200, NULL, LIST("10", "")},
		{WATCH("10"), OPEN, 200, NULL,
			"{\"type\":\"ERROR\",\"object\":{\"code\":503,\"message\":\"m\",\"details\":{"
			"\"retryAfterSeconds\":1}}}"},
		{WATCH("10"), OPEN, 200, NULL, EVENT("ADDED", "c", "11")},
	};
	struct rig a, b;
	uint64_t began = km_now_us();

	rig_start(&a, *state, STEPS(header));
	rig_start(&b, *state, STEPS(event));
	expect(&a, "problem begin end ok ");
	assert_true(km_now_us() - began >= KM_USEC_PER_SEC);
	expect(&b, "begin end problem A:c ok ");
	assert_true(km_now_us() - began >= KM_USEC_PER_SEC);
	assert_string_equal(a.problem, "GET /api/v1/pods: 429 busy");
	assert_string_equal(b.problem, "watch of /api/v1/pods: 503 m");
	rig_stop(&a);
	rig_stop(&b);
}

static void test_truncated_list(void **state)
{
	static const struct step steps[] = {
		{FIRST_LIST, CUT, 200, NULL,
			"{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[" ITEM("a", "1") ",{\"metad"},
		/* a well-ended reply that is not a whole list */
		{FIRST_LIST, REPLY, 200, NULL, "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[" ITEM("a", "1")},
		{FIRST_LIST, REPLY, 200, NULL, "<html>"},
		{FIRST_LIST, REPLY, 200, NULL, "{\"items\":[]}"},
		{FIRST_LIST, REPLY, 200, NULL, LIST("10", ITEM("a", "1"))},
		{WATCH("10"), OPEN, 200, NULL, ""},
	};
	struct kube_reflector_stats stats;
	struct rig g;

	rig_start(&g, *state, STEPS(steps));
	g.until = "";
	expect(&g, "begin L:a problem begin L:a begin begin begin L:a end ok ");
	kube_reflector_stats(g.r, &stats);
	assert_int_equal(stats.lists, 1);
	assert_int_equal(stats.failures, 4);
	rig_stop(&g);
}

static void test_truncated_watch(void **state)
{
	static const struct step steps[] = {
		{FIRST_LIST, REPLY, 200, NULL, LIST("10", "")},
		{WATCH("10"), CUT, 200, NULL, EVENT("ADDED", "c", "11") "{\"type\":\"ADDED\",\"obj"},
		{WATCH("11"), ENDED, 200, NULL, EVENT("ADDED", "d", "12") "{\"type\":\"ADD"},
		{WATCH("12"), OPEN, 200, NULL, EVENT("ADDED", "e", "13") "}"},
		{WATCH("13"), OPEN, 200, NULL, ""},
	};
	struct rig g;

	rig_start(&g, *state, STEPS(steps));
	expect(&g, "begin end A:c A:d A:e "); /* nothing is told: the next watch went well each time */
	rig_stop(&g);
}

static void test_garbage(void **state)
{
	static const struct step steps[] = {
		{FIRST_LIST, REPLY, 200, NULL,
			LIST("10", ITEM("a", "1") ",{\"metadata\":nul},[]," ITEM("bad", "2") "," ITEM("b", "3"))},
		{WATCH("10"), OPEN, 200, NULL,
			"{\"type\":\"ADDED\"}{\"object\":{}}{\"type\":\"ODD\",\"object\":{}}{\"type\":7,\"object\":{}}{"
			"\"x\":tru}" EVENT("ADDED", "bad", "11") EVENT("ADDED", "c", "12") GONE},
		{NEXT_LIST, REPLY, 200, NULL, LIST("20", ITEM("c", "12"))},
		{WATCH("20"), OPEN, 200, NULL, ""},
	};
	struct kube_reflector_stats stats;
	struct rig g;

	rig_start(&g, *state, STEPS(steps));
	expect(&g, "begin L:a problem L:b end A:c begin L:c end ok ");
	assert_true(strncmp(g.problem, "/api/v1/pods: an object was left out: ", 38) == 0);
	kube_reflector_stats(g.r, &stats);
	assert_int_equal(stats.undecodable, 9);
	assert_int_equal(stats.lists, 2);
	rig_stop(&g);
}

static void test_too_large(void **state)
{
	static const struct step steps[] = {
		{FIRST_LIST, OPEN, 200, NULL, "{\"items\":["},
		{FIRST_LIST, REPLY, 200, NULL, LIST("10", "")},
		{WATCH("10"), OPEN, 200, NULL, ""},
	};
	struct rig g;
	char piece[65537];

	rig_start(&g, *state, STEPS(steps));
	while (g.at == 0)
		assert_true(event_base_loop(km_loop_base(g.loop), EVLOOP_ONCE) >= 0);
	memset(piece, 'x', sizeof(piece) - 1);
	piece[sizeof(piece) - 1] = '\0';
	apistub_chunk(g.last, "{\"a\":\"");
	for (int i = 0; i < 33; i++)
		apistub_chunk(g.last, piece);
	expect(&g, "begin problem begin end ok ");
	assert_non_null(strstr(g.problem, "larger than the limit"));
	rig_stop(&g);
}

static bool refused(void *arg)
{
	struct rig *g = arg;

	return strstr(g->log.data, "problem") != NULL;
}

static void test_server_restart(void **state)
{
	static const struct step steps[] = {
		{FIRST_LIST, REPLY, 200, NULL, LIST("10", ITEM("a", "1"))},
		{WATCH("10"), OPEN, 200, NULL, EVENT("ADDED", "c", "11")},
		{WATCH("11"), OPEN, 200, NULL, EVENT("ADDED", "d", "12")},
	};
	struct kube_reflector_stats stats;
	struct rig g;

	rig_start(&g, *state, STEPS(steps));
	g.n = 2;
	expect(&g, "begin L:a end A:c ");
	apistub_stop(g.stub);
	assert_true(apistub_until(g.loop, refused, &g));
	assert_non_null(strstr(g.problem, "127.0.0.1"));
	apistub_restart(g.stub);
	g.n = 3;
	expect(&g, "begin L:a end A:c problem A:d ok ");
	kube_reflector_stats(g.r, &stats);
	assert_int_equal(stats.lists, 1);
	rig_stop(&g);
}

static void test_quiet_watch_is_health(void **state)
{
	static const struct step steps[] = {
		{FIRST_LIST, REPLY, 200, NULL, LIST("10", "")},
		{WATCH("10"), REPLY, 403, NULL, "{\"message\":\"no\"}"},
		{WATCH("10"), OPEN, 200, NULL, ""},
	};
	struct rig g;

	rig_start_with(&g, *state, STEPS(steps), 20000);
	expect(&g, "begin end problem ok ");
	assert_string_equal(g.problem, "GET /api/v1/pods: 403 no");
	rig_stop(&g);
}

static void test_refused_list(void **state)
{
	static const struct step steps[] = {
		{FIRST_LIST, REPLY, 403, NULL, "{\"message\":\"no\"}"},
		{FIRST_LIST, REPLY, 403, NULL, "{\"message\":\"no\"}"},
		{FIRST_LIST, REPLY, 500, NULL, "etcd"},
		{FIRST_LIST, REPLY, 200, NULL, LIST("10", "")},
		{WATCH("10"), OPEN, 200, NULL, ""},
	};
	struct rig g;

	rig_start(&g, *state, STEPS(steps));
	expect(&g, "problem problem begin end ok ");
	rig_stop(&g);
}

/* The resourceVersion itself may be what the server cannot digest. */
static void test_watch_refused_for_good(void **state)
{
	static const struct step steps[] = {
		{FIRST_LIST, REPLY, 200, NULL, LIST("10", "")},
		{WATCH("10"), REPLY, 500, NULL, "x"},
		{WATCH("10"), REPLY, 500, NULL, "x"},
		{WATCH("10"), OPEN, 200, NULL, "{\"type\":\"ERROR\",\"object\":{\"code\":500,\"message\":\"x\"}}"},
		{WATCH("10"), REPLY, 500, NULL, "x"},
		{WATCH("10"), REPLY, 500, NULL, "x"},
		{NEXT_LIST, REPLY, 200, NULL, LIST("20", "")},
		{WATCH("20"), OPEN, 200, NULL, EVENT("ADDED", "c", "21")},
	};
	struct rig g;

	rig_start(&g, *state, STEPS(steps));
	expect(&g, "begin end problem problem problem begin end A:c ok ");
	rig_stop(&g);
}

static void test_short_watches(void **state)
{
	static const struct step steps[] = {
		{FIRST_LIST, REPLY, 200, NULL, LIST("10", "")},
		{WATCH("10"), ENDED, 200, NULL, ""},
		{WATCH("10"), ENDED, 200, NULL, ""},
		{WATCH("10"), ENDED, 200, NULL, ""},
		{WATCH("10"), OPEN, 200, NULL, ""},
	};
	uint64_t began = km_now_us();
	struct rig g;

	rig_start(&g, *state, STEPS(steps));
	expect(&g, "begin end ");
	/* at least half of 4, 8 and 16 ms: no tight loop */
	assert_true(km_now_us() - began >= 14000);
	rig_stop(&g);
}

static void test_drip(void **state)
{
	static const struct step steps[] = {
		{FIRST_LIST, DRIP, 200, NULL, LIST("10", ITEM("a", "3") "," ITEM("b", "7"))},
		{WATCH("10"), DRIP, 200, NULL, EVENT("ADDED", "c", "11") EVENT("MODIFIED", "a", "12")},
		{WATCH("12"), OPEN, 200, NULL, ""},
	};
	struct rig g;

	rig_start(&g, *state, STEPS(steps));
	expect(&g, "begin L:a L:b end A:c M:a ");
	rig_stop(&g);
}

/* Freed after each number of loop turns in turn: whatever state it is in then. */
static void test_free_at_any_moment(void **state)
{
	static const struct step steps[] = {
		{FIRST_LIST, DRIP, 200, NULL, LIST("10", ITEM("a", "3"))},
		{WATCH("10"), CUT, 200, NULL, EVENT("ADDED", "c", "11") "{"},
		{WATCH("11"), REPLY, 500, NULL, "x"},
		{WATCH("11"), OPEN, 200, NULL, EVENT("ADDED", "d", "12")},
	};

	for (int turns = 0; turns < 60; turns += 1 + turns / 6) {
		struct rig g;
		rig_start(&g, *state, STEPS(steps));
		for (int i = 0; i < turns && !(g.at == g.n && strstr(g.log.data, "A:d")); i++)
			assert_true(event_base_loop(km_loop_base(g.loop), EVLOOP_ONCE) >= 0);
		rig_stop(&g);
	}
	kube_reflector_free(NULL);
}

static void test_too_long(void **state)
{
	char path[2000];
	struct kube_reflector_config config = {.path = path, .query = ""};
	struct kube_reflector *r = NULL;

	memset(path, '/', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(kube_reflector_new(&config, &r), -EINVAL);
	assert_null(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_list_and_watch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watch_target, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retry_after, setup, teardown),
		cmocka_unit_test_setup_teardown(test_truncated_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_truncated_watch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_server_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quiet_watch_is_health, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watch_refused_for_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_watches, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_free_at_any_moment, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
