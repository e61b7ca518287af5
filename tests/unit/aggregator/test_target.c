/* SPDX-License-Identifier: Apache-2.0 */
/* Where a kubelet is and what it is asked for, and how one goes on when that does not work. */
#include "aggregator/target.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MAX_TYPES 4

/* ---- addresses and port ---- */

static const struct {
	const char *addresses; /* "TYPE=ADDRESS ..." of the Node */
	const char *types[MAX_TYPES];
	const char *expected;
} addresses[] = {
	{"InternalIP=10.0.0.1 Hostname=n1", {"InternalIP", "ExternalIP", "Hostname"}, "10.0.0.1 n1"},
	{"Hostname=n1 InternalIP=10.0.0.1", {"InternalIP", "ExternalIP", "Hostname"}, "10.0.0.1 n1"},
	{"Hostname=n1 InternalIP=10.0.0.1 ExternalIP=1.2.3.4", {"ExternalIP", "Hostname"}, "1.2.3.4 n1"},
	/* dual stack: both, in the Node's order */
	{"InternalIP=10.0.0.1 InternalIP=fd00::1", {"InternalIP"}, "10.0.0.1 fd00::1"},
	/* the same address under two types is tried once */
	{"InternalIP=10.0.0.1 Hostname=10.0.0.1", {"InternalIP", "Hostname"}, "10.0.0.1"},
	{"InternalIP=10.0.0.1", {"ExternalIP"}, ""},
	{"", {"InternalIP"}, ""},
	{"InternalIP=", {"InternalIP"}, ""},
};

static void test_addresses(void **state)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(addresses); i++) {
		struct kube_node node = {.name = "n1"};
		struct agg_options options = {.kubelet_port = 10250};
		struct agg_target target;
		char text[256], got[256] = "", *next, *word;
		size_t n = 0;

		snprintf(text, sizeof(text), "%s", addresses[i].addresses);
		for (word = strtok_r(text, " ", &next); word; word = strtok_r(NULL, " ", &next)) {
			char *equals = strchr(word, '=');

			*equals = '\0';
			node.addresses[node.n_addresses++] = (struct kube_node_address){word, equals + 1};
		}
		while (n < MAX_TYPES && addresses[i].types[n])
			n++;
		options.kubelet_preferred_address_types = (struct km_strlist){addresses[i].types, n};
		agg_target_of(&node, &options, &target);
		for (size_t k = 0; k < target.n_hosts; k++)
			snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", k ? " " : "", target.hosts[k]);
		assert_string_equal(got, addresses[i].expected);
	}
}

static void test_port(void **state)
{
	struct kube_node node = {.name = "n1", .kubelet_port = 10350};
	struct agg_options options = {.kubelet_port = 10250, .kubelet_use_node_status_port = true};
	struct agg_target target;

	agg_target_of(&node, &options, &target);
	assert_int_equal(target.port, 10350);
	options.kubelet_use_node_status_port = false;
	agg_target_of(&node, &options, &target);
	assert_int_equal(target.port, 10250);
	options.kubelet_use_node_status_port = true;
	node.kubelet_port = 0;
	agg_target_of(&node, &options, &target);
	assert_int_equal(target.port, 10250);
}

/* ---- which address ---- */

/*
 * One scrape against addresses of which each works (0) or fails with an errno: the attempts as
 * "INDEX:SHARE ...", the share of 1200 that is left when nothing takes time, and "ok" at the end if one worked.
 */
static void expect_scrape(struct agg_walk *w, const int *outcome, const char *expected)
{
	char got[256] = "";

	agg_walk_begin(w);
	for (bool again = true; again;) {
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%u:%llu", *got ? " " : "", w->at,
			(unsigned long long)agg_walk_share(w, 1200));
		if (outcome[w->at] == 0) {
			agg_walk_worked(w);
			strcat(got, " ok");
			break;
		}
		again = agg_walk_failed(w, outcome[w->at]);
	}
	assert_string_equal(got, expected);
}

static void test_walk_refused(void **state)
{
	struct agg_walk w;

	agg_walk_reset(&w, 3);
	expect_scrape(&w, (const int[]){-EPROTO, -ENOENT, 0}, "0:400 1:600 2:1200 ok");
	expect_scrape(&w, (const int[]){-ECONNREFUSED, -ENOENT, 0}, "2:1200 ok");
	/* what worked fails: the others at once, with all the time that is left */
	expect_scrape(&w, (const int[]){-ECONNREFUSED, 0, -EHOSTUNREACH}, "2:1200 0:1200 1:1200 ok");
	expect_scrape(&w, (const int[]){-ECONNREFUSED, -ECONNRESET, -ENETUNREACH}, "1:1200 2:1200 0:1200");
}

/* A host that swallows packets: the time is shared, so that another address gets its turn. */
static void test_walk_swallowed(void **state)
{
	struct agg_walk w;

	agg_walk_reset(&w, 3);
	expect_scrape(&w, (const int[]){-ETIMEDOUT, -ETIMEDOUT, 0}, "0:400 1:600 2:1200 ok");
	expect_scrape(&w, (const int[]){-ETIMEDOUT, -ETIMEDOUT, 0}, "2:1200 ok");
	/* once proven it keeps the whole time, and some patience */
	for (int i = 0; i < AGG_PROVEN_TIMEOUTS; i++)
		expect_scrape(&w, (const int[]){0, 0, -ETIMEDOUT}, "2:1200");
	expect_scrape(&w, (const int[]){-ETIMEDOUT, 0, -ETIMEDOUT}, "0:400 1:600 ok");
}

/* A slow kubelet needs all of the time: every other scrape goes to one address, each in turn. */
static void test_walk_slow(void **state)
{
	static const int none[] = {-ETIMEDOUT, -ETIMEDOUT};
	struct agg_walk w;

	agg_walk_reset(&w, 2);
	expect_scrape(&w, none, "0:600 1:1200");
	expect_scrape(&w, none, "0:1200");
	expect_scrape(&w, none, "0:600 1:1200");
	expect_scrape(&w, none, "1:1200");
	expect_scrape(&w, none, "1:600 0:1200");
	expect_scrape(&w, none, "0:1200");
	expect_scrape(&w, none, "0:600 1:1200");
	expect_scrape(&w, (const int[]){-ETIMEDOUT, 0}, "1:1200 ok");
	expect_scrape(&w, (const int[]){0, 0}, "1:1200 ok");
}

/* Somebody answers, if wrongly: the other addresses would lead to the same. */
static void test_walk_wrong(void **state)
{
	static const int errors[] = {-EKEYREJECTED, -EBADMSG, -EMSGSIZE};

	for (size_t i = 0; i < KM_ARRAY_LEN(errors); i++) {
		struct agg_walk w;

		agg_walk_reset(&w, 2);
		expect_scrape(&w, (const int[]){errors[i], 0}, "0:600");
	}
}

static void test_walk_single(void **state)
{
	struct agg_walk w;

	agg_walk_reset(&w, 1);
	for (int i = 0; i < 5; i++)
		expect_scrape(&w, (const int[]){-ETIMEDOUT}, "0:1200");
	expect_scrape(&w, (const int[]){-ECONNREFUSED}, "0:1200");
	expect_scrape(&w, (const int[]){0}, "0:1200 ok");
	for (int i = 0; i < 5; i++)
		expect_scrape(&w, (const int[]){-ETIMEDOUT}, "0:1200");
}

/* ---- which path ---- */

/* The paths a scrape asks for as digits; has: those the kubelet knows. */
static void expect_paths(struct agg_path_walk *w, uint64_t now_us, const char *has, const char *expected, bool changed)
{
	char got[AGG_PATHS + 2] = "";
	bool worked = false;

	agg_path_begin(w, now_us);
	do {
		got[strlen(got)] = (char)('0' + (int)w->at);
		worked = strchr(has, '0' + (int)w->at) != NULL;
	} while (!worked && agg_path_missing(w));
	assert_string_equal(got, expected);
	assert_int_equal(worked ? agg_path_worked(w, now_us) : false, changed);
}

static void test_paths(void **state)
{
	const uint64_t up = 7 * AGG_PATH_PROBE_US, minute = UINT64_C(60000000);
	struct agg_path_walk w = {0};

	expect_paths(&w, up, "012", "0", false);
	expect_paths(&w, up + minute, "012", "0", false);
	/* downgraded to a kubelet with the summary only */
	expect_paths(&w, up + 2 * minute, "2", "012", true);
	expect_paths(&w, up + 3 * minute, "2", "2", false);
	expect_paths(&w, up + 2 * minute + AGG_PATH_PROBE_US - 1, "2", "2", false);
	/* after an hour a newer one is asked for again; then again after an hour */
	expect_paths(&w, up + 2 * minute + AGG_PATH_PROBE_US, "2", "012", false);
	expect_paths(&w, up + 3 * minute + AGG_PATH_PROBE_US, "2", "2", false);
	expect_paths(&w, up + 3 * minute + 2 * AGG_PATH_PROBE_US, "12", "01", true);
	expect_paths(&w, up + 4 * minute + 2 * AGG_PATH_PROBE_US, "12", "1", false);
	/* nothing of ours: all are asked for, each time */
	expect_paths(&w, up + 5 * minute + 2 * AGG_PATH_PROBE_US, "", "120", false);
	expect_paths(&w, up + 6 * minute + 2 * AGG_PATH_PROBE_US, "", "120", false);
	expect_paths(&w, up + 7 * minute + 2 * AGG_PATH_PROBE_US, "0", "120", true);
	expect_paths(&w, up + 8 * minute + 2 * AGG_PATH_PROBE_US, "0", "0", false);
}

static void test_door(void **state)
{
	static const int never[] = {404, 500, -ETIMEDOUT, -EKEYREJECTED, -EPROTO, -ECONNRESET};
	const uint64_t t0 = UINT64_C(90) * 1000000;
	struct agg_door d = {0};

	agg_door_begin(&d, t0);
	assert_false(d.plain);
	for (size_t i = 0; i < KM_ARRAY_LEN(never); i++)
		assert_false(agg_door_refused(&d, never[i]));
	assert_true(agg_door_refused(&d, 401));
	assert_true(d.plain);
	assert_false(agg_door_refused(&d, 401)); /* there is no third */
	agg_door_begin(&d, t0);                  /* it has not worked: from the start */
	assert_false(d.plain);
	assert_true(agg_door_refused(&d, -ECONNREFUSED));
	assert_true(agg_door_worked(&d, t0));
	agg_door_begin(&d, t0 + 1);
	assert_true(d.plain);
	assert_false(agg_door_worked(&d, t0 + 1));
	/* after an hour the other one is asked again */
	agg_door_begin(&d, t0 + AGG_DOOR_PROBE_US);
	assert_false(d.plain);
	assert_true(agg_door_refused(&d, 403));
	assert_false(agg_door_worked(&d, t0 + AGG_DOOR_PROBE_US));
	agg_door_begin(&d, t0 + AGG_DOOR_PROBE_US + 1);
	assert_true(d.plain);
	agg_door_begin(&d, t0 + 2 * AGG_DOOR_PROBE_US);
	assert_true(agg_door_worked(&d, t0 + 2 * AGG_DOOR_PROBE_US));
	agg_door_begin(&d, t0 + 2 * AGG_DOOR_PROBE_US + 1);
	assert_false(d.plain);
}

static void test_annotated(void **state)
{
	static const char *const good[] = {"/", "/metrics/resource", "/a?b=c&d=%20~"};
	static const char *const bad[] = {"", "metrics", "/a b", "/a\r\nHost: x", "/a#b", "/\xc3\xa4", "/a\x7f"};
	char path[AGG_TARGET_PATH_MAX + 2] = "/";

	for (size_t i = 0; i < KM_ARRAY_LEN(good); i++)
		assert_true(agg_target_path_ok(good[i]));
	for (size_t i = 0; i < KM_ARRAY_LEN(bad); i++)
		assert_false(agg_target_path_ok(bad[i]));
	memset(path + 1, 'a', AGG_TARGET_PATH_MAX - 1);
	assert_true(agg_target_path_ok(path));
	path[AGG_TARGET_PATH_MAX] = 'a';
	assert_false(agg_target_path_ok(path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_port),
		cmocka_unit_test(test_walk_refused),
		cmocka_unit_test(test_walk_swallowed),
		cmocka_unit_test(test_walk_slow),
		cmocka_unit_test(test_walk_wrong),
		cmocka_unit_test(test_walk_single),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_door),
		cmocka_unit_test(test_annotated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
