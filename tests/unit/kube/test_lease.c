/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leader election against a small server that keeps one Lease, on virtual time: the loop's timers are a few
 * milliseconds apart, and what runs out does so because the test moves the clock.
 */
#include "kube/lease.h"

#include <errno.h>

#include "tests/unit/kube/lease_scene.h"

static void test_creates_and_renews(void **state)
{
	struct world *w = *state;
	const char *identity = kube_lease_identity(w->a.lease);

	assert_false(kube_lease_valid(NULL));
	assert_int_equal(strncmp(identity, "host-a_", 7), 0);
	assert_int_equal(strlen(identity), 7 + 36);
	assert_string_not_equal(identity + 7, kube_lease_identity(w->b.lease) + 7);
	assert_false(kube_lease_valid(w->a.lease));
	a_holds(w);
	assert_true(kube_lease_valid(w->a.lease));
	assert_int_equal(w->posts, 1);
	assert_string_equal(holder(w), identity);
	assert_string_equal(kube_lease_holder(w->a.lease), identity);
	assert_int_equal(json_integer_value(json_object_get(spec(w), "leaseDurationSeconds")), 15);
	assert_int_equal(json_integer_value(json_object_get(spec(w), "leaseTransitions")), 0);
	assert_int_equal(strlen(text_at(w->lease, "spec", "renewTime")), strlen("2026-11-23T05:20:36.000000Z"));
	assert_string_equal(text_at(w->lease, "metadata", "namespace"), "kube-system");
	/* Renewals on the fast path: no further GET, and the time it was acquired stays. */
	for (int i = 0; i < 5; i++) {
		char *acquired = strdup(text_at(w->lease, "spec", "acquireTime"));

		pass(w, 9 * KM_USEC_PER_SEC);
		assert_true(kube_lease_valid(w->a.lease));
		writes(w, 2);
		assert_string_equal(text_at(w->lease, "spec", "acquireTime"), acquired);
		assert_string_not_equal(text_at(w->lease, "spec", "renewTime"), acquired);
		free(acquired);
	}
	assert_int_equal(w->gets, 1);
	assert_int_equal(w->a.lost, 0);
}

static void test_two_contenders(void **state)
{
	struct world *w = *state;

	put_lease(w, "uid-wire", "", 15); /* as wire apply makes it, but for the label */
	a_holds(w);
	kube_lease_start(w->b.lease);
	for (int i = 0; i < 6; i++) { /* a minute, renewed */
		reads(w, 1);
		pass(w, 9 * KM_USEC_PER_SEC);
		writes(w, 2);
	}
	reads(w, 2);
	assert_int_equal(w->b.gained, 0);
	assert_false(kube_lease_valid(w->b.lease));
	assert_string_equal(kube_lease_holder(w->b.lease), kube_lease_identity(w->a.lease));
	assert_int_equal(json_integer_value(json_object_get(spec(w), "leaseTransitions")), 7);
	assert_string_equal(text_at(json_object_get(w->lease, "metadata"), "labels", "keep"), "me");
	/* Given back: the other one has it without the clock moving. */
	kube_lease_stop(w->a.lease, on_stopped, &w->a);
	assert_false(kube_lease_valid(w->a.lease));
	UNTIL(a_stopped);
	UNTIL(b_gained);
	assert_true(kube_lease_valid(w->b.lease));
	assert_int_equal(w->a.lost, 0);
	assert_string_equal(holder(w), kube_lease_identity(w->b.lease));
	assert_int_equal(json_integer_value(json_object_get(spec(w), "leaseTransitions")), 8);
	/* And the first one may come back, as a contender. */
	kube_lease_start(w->a.lease);
	reads(w, 2);
	assert_int_equal(w->a.gained, 1);
}

static void test_takeover(void **state)
{
	struct world *w = *state;

	a_holds(w);
	kube_lease_start(w->b.lease);
	reads(w, IDLE_RUN);
	kube_lease_free(KM_TAKE(w->a.lease)); /* died, giving nothing back */
	reads(w, 2);
	pass(w, 14900 * KM_USEC_PER_MSEC);
	reads(w, IDLE_RUN);
	assert_int_equal(w->b.gained, 0);
	pass(w, 200 * KM_USEC_PER_MSEC);
	UNTIL(b_gained);
	assert_string_equal(holder(w), kube_lease_identity(w->b.lease));
	assert_int_equal(json_integer_value(json_object_get(spec(w), "leaseTransitions")), 1);
}

/* Durations that others wrote are held within bounds, and times are not looked at. */
static void test_foreign_records(void **state)
{
	static const struct {
		int duration_s;
		uint64_t not_yet_s, then_s;
	} rows[] = {{1, 14, 1}, {0, 14, 1}, {-5, 14, 1}, {30, 29, 1}, {2000000000, 59, 1}};
	struct world *w = *state;

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		char name[16];

		snprintf(name, sizeof(name), "other-%zu", i);
		put_lease(w, "uid-1", name, rows[i].duration_s);
		json_object_set_new(spec(w), "renewTime", json_string("1970-01-01T00:00:00.000000Z"));
		kube_lease_free(w->a.lease);
		kube_client_free(w->a.client);
		w->a = (struct player){0};
		make_player(&w->a, w, "host-a", "v1");
		kube_lease_start(w->a.lease);
		reads(w, 2);
		pass(w, rows[i].not_yet_s * KM_USEC_PER_SEC);
		reads(w, IDLE_RUN);
		assert_int_equal(w->a.gained, 0);
		pass(w, rows[i].then_s * KM_USEC_PER_SEC);
		w->target = 1;
		UNTIL(a_gained);
	}
}

static void test_conflict(void **state)
{
	struct world *w = *state;
	json_t *copy;

	a_holds(w);
	copy = json_deep_copy(w->lease); /* somebody sets a label */
	json_object_set_new(json_object_get(copy, "metadata"), "labels", json_pack("{s:s}", "new", "label"));
	store(w, copy, text_at(w->lease, "metadata", "uid"));
	json_decref(copy);
	writes(w, 4);
	assert_int_equal(w->conflicts, 1);
	assert_int_equal(w->gets, 2);
	assert_int_equal(w->a.lost, 0);
	assert_string_equal(w->a.trouble, "");
	assert_string_equal(text_at(json_object_get(w->lease, "metadata"), "labels", "new"), "label");
	/* Somebody takes it: lost at once, and had again when it runs out there. */
	put_lease(w, text_at(w->lease, "metadata", "uid"), "thief_1", 15);
	UNTIL(a_lost);
	assert_string_equal(w->a.lost_text, "thief_1 holds it now");
	assert_false(kube_lease_valid(w->a.lease));
	reads(w, IDLE_RUN);
	pass(w, 15 * KM_USEC_PER_SEC);
	w->target = 2;
	UNTIL(a_gained);
	assert_true(kube_lease_valid(w->a.lease));
}

static void test_lost_connection(void **state)
{
	struct world *w = *state;

	a_holds(w);
	apistub_stop(w->stub);
	UNTIL(a_troubled);
	pass(w, 9900 * KM_USEC_PER_MSEC);
	assert_true(kube_lease_valid(w->a.lease));
	assert_int_equal(w->a.lost, 0);
	pass(w, 100 * KM_USEC_PER_MSEC);
	assert_false(kube_lease_valid(w->a.lease)); /* before anybody was told */
	UNTIL(a_lost);
	assert_non_null(strstr(w->a.lost_text, "it could not be renewed for 10 s: "));
	/* The server is back: our own record is renewed, without a transition. */
	apistub_restart(w->stub);
	w->target = 2;
	UNTIL(a_gained);
	assert_string_equal(w->a.trouble, "");
	assert_int_equal(json_integer_value(json_object_get(spec(w), "leaseTransitions")), 0);
	/* A restart that does not take so long is not noticed. */
	apistub_stop(w->stub);
	UNTIL(a_troubled);
	apistub_restart(w->stub);
	UNTIL(a_untroubled);
	writes(w, 2);
	assert_int_equal(w->a.lost, 1);
}

static void test_no_answer(void **state)
{
	struct world *w = *state;

	a_holds(w);
	w->hang_writes = true;
	writes(w, 1);
	pass(w, 10 * KM_USEC_PER_SEC);
	UNTIL(a_lost);
	assert_string_equal(w->a.lost_text, "it could not be renewed for 10 s");
	/* Stopping with that call under way. */
	w->hang_writes = false;
	kube_lease_stop(w->a.lease, on_stopped, &w->a);
	UNTIL(a_stopped);
	assert_string_equal(holder(w), "");
}

/* What counts is when the renewal was started. */
static void test_late_answer(void **state)
{
	struct world *w = *state;

	w->late_us = 10 * KM_USEC_PER_SEC;
	kube_lease_start(w->a.lease);
	writes(w, 3);
	assert_int_equal(w->a.gained, 0);
	assert_false(kube_lease_valid(w->a.lease));
	w->late_us = 9 * KM_USEC_PER_SEC;
	w->target = 1;
	UNTIL(a_gained);
	assert_true(kube_lease_valid(w->a.lease));
	w->late_us = 0;
	pass(w, 1 * KM_USEC_PER_SEC);
	assert_false(kube_lease_valid(w->a.lease));
}

static void test_clock_jumps(void **state)
{
	struct world *w = *state;

	a_holds(w);
	kube_lease_start(w->b.lease);
	reads(w, 2);
	/* The wall clock means nothing. */
	w->clock.wall_ns += 3600 * KM_NSEC_PER_SEC;
	assert_true(kube_lease_valid(w->a.lease));
	writes(w, 2);
	w->clock.wall_ns -= 7200 * KM_NSEC_PER_SEC;
	writes(w, 2);
	reads(w, IDLE_RUN);
	assert_int_equal(w->a.lost + w->b.gained, 0);
	/* The machine slept: not ours from the first moment on, whatever the server still says. */
	pass(w, 3600 * KM_USEC_PER_SEC);
	assert_false(kube_lease_valid(w->a.lease));
	UNTIL(a_lost);
	assert_false(kube_lease_valid(w->a.lease) && kube_lease_valid(w->b.lease));
}

static void test_deleted(void **state)
{
	struct world *w = *state;

	a_holds(w);
	kube_lease_start(w->b.lease);
	reads(w, 2);
	json_decref(w->lease);
	w->lease = NULL;
	writes(w, 3);
	assert_string_equal(holder(w), kube_lease_identity(w->a.lease));
	assert_int_equal(w->a.lost + w->b.gained, 0);
	/* The holder is cut off, the Lease vanishes and is put back empty: the other waits as if it were there. */
	kube_lease_free(KM_TAKE(w->a.lease));
	reads(w, 2);
	json_decref(w->lease);
	w->lease = NULL;
	reads(w, IDLE_RUN);
	assert_int_equal(w->b.gained, 0);
	put_lease(w, "uid-new", "", 15);
	reads(w, IDLE_RUN);
	assert_int_equal(w->b.gained, 0);
	pass(w, 15 * KM_USEC_PER_SEC);
	UNTIL(b_gained);
	assert_string_equal(text_at(w->lease, "metadata", "uid"), "uid-new");
}

static void test_trouble(void **state)
{
	static const struct {
		int status;
		const char *body, *text;
	} rows[] = {
		{403, "{\"kind\":\"Status\",\"message\":\"leases is forbidden\"}", "run kmetricsd wire apply"},
		{404, "{\"kind\":\"Status\",\"message\":\"the server could not find the requested resource\"}",
			"could not find the requested resource"},
		{500, "", "500"},
		{200, "[]", "is not a Lease"},
		{200, "{}", "is not a Lease"},
		{200, "{\"metadata\":{}}", "is not that Lease"},
		{200, "{\"metadata\":7,\"spec\":[]", "is not a Lease"},
	};
	struct world *w = *state;

	kube_lease_start(w->a.lease);
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		w->status = rows[i].status;
		w->body = rows[i].body;
		reads(w, 3);
		if (!strstr(kube_lease_trouble(w->a.lease), rows[i].text))
			fail_msg("row %zu: \"%s\"", i, kube_lease_trouble(w->a.lease));
		assert_string_equal(w->a.trouble, kube_lease_trouble(w->a.lease));
		assert_int_equal(w->a.gained, 0);
	}
	w->status = 0;
	w->target = 1;
	UNTIL(a_gained);
	assert_string_equal(w->a.trouble, "");
}

static void test_refused(void **state)
{
	struct world *w = *state;
	struct kube_lease_config config = {
		.client = w->a.client, .namespace_ = "kube-system", .name = "kmetricsd-hpa", .host = "h"};
	struct kube_lease *lease = NULL;
	char host[KUBE_LEASE_IDENTITY_MAX];
	struct km_err err;

	assert_int_equal(kube_lease_new(&config, &lease, &err), -EOPNOTSUPP);
	assert_mentions(&err, "before 1.12");
	config.version = "v1";
	config.name = "a/b";
	assert_int_equal(kube_lease_new(&config, &lease, &err), -EINVAL);
	config.name = "..";
	assert_int_equal(kube_lease_new(&config, &lease, &err), -EINVAL);
	config.name = "x";
	config.host = "";
	assert_int_equal(kube_lease_new(&config, &lease, &err), -EINVAL);
	memset(host, 'h', sizeof(host));
	host[sizeof(host) - 1] = '\0';
	config.host = host;
	assert_int_equal(kube_lease_new(&config, &lease, &err), -EINVAL);
	host[sizeof(host) - 39] = '\0'; /* the longest */
	assert_int_equal(kube_lease_new(&config, &lease, &err), 0);
	kube_lease_free(lease);
}

static void test_v1beta1(void **state)
{
	struct world *w = *state;

	w->path = "/apis/coordination.k8s.io/v1beta1/namespaces/kube-system/leases";
	kube_lease_free(w->a.lease);
	kube_client_free(w->a.client);
	make_player(&w->a, w, "host-a", "v1beta1");
	a_holds(w);
	assert_string_equal(json_string_value(json_object_get(w->lease, "apiVersion")), "coordination.k8s.io/v1beta1");
}

/* Ending it wherever it stands. */
static void test_ends(void **state)
{
	struct world *w = *state;

	kube_lease_stop(w->b.lease, on_stopped, &w->a); /* never started: nothing to give back */
	assert_int_equal(w->a.stopped, 0);
	UNTIL(a_stopped);
	assert_int_equal(w->gets + w->puts + w->posts, 0);
	w->a.stop_on_gained = true;
	a_holds(w);
	reads(w, 1);
	w->b.free_on_gained = true;
	kube_lease_start(w->b.lease);
	UNTIL(b_gained);
	assert_null(w->b.lease);
	/* the record of the one that was freed runs out */
	w->a.stop_on_gained = false;
	kube_lease_start(w->a.lease);
	reads(w, 2);
	pass(w, 15 * KM_USEC_PER_SEC);
	w->target = 2;
	UNTIL(a_gained);
	w->a.free_on_lost = w->a.free_on_trouble = true;
	put_lease(w, "uid-1", "thief_1", 15);
	UNTIL(a_gone);
	kube_client_free(KM_TAKE(w->a.client));
	/* freed in the trouble callback, and with a call under way */
	w->a = (struct player){.free_on_trouble = true};
	make_player(&w->a, w, "host-a", "v1");
	w->status = 500;
	w->body = "";
	kube_lease_start(w->a.lease);
	UNTIL(a_gone);
	kube_client_free(KM_TAKE(w->a.client));
	w->a = (struct player){0};
	make_player(&w->a, w, "host-a", "v1");
	w->status = 0;
	w->hang_writes = true;
	json_decref(w->lease);
	w->lease = NULL;
	kube_lease_start(w->a.lease);
	reads(w, 1);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_creates_and_renews),
		TEST(test_two_contenders),
		TEST(test_takeover),
		TEST(test_foreign_records),
		TEST(test_conflict),
		TEST(test_lost_connection),
		TEST(test_no_answer),
		TEST(test_late_answer),
		TEST(test_clock_jumps),
		TEST(test_deleted),
		TEST(test_trouble),
		TEST(test_refused),
		TEST(test_v1beta1),
		TEST(test_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
