/* SPDX-License-Identifier: Apache-2.0 */
/* Bearer tokens with a reviewer of our own: what is remembered, shared reviews, limits, rates, odd answers. */
#include "aggregator/token.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"

#define SECOND_NS INT64_C(1000000000)

/* ---- a reviewer that remembers what it was asked and answers when told ---- */

#define REVIEWS_MAX 8192

static struct {
	struct {
		char token[32];
		void (*fn)(const struct kube_token_result *result, void *arg);
		void *arg;
		bool cancelled;
	} reviews[REVIEWS_MAX];
	size_t n;
	int refuse; /* what start returns instead of starting */
} stub;

static int stub_start(void *source, const char *token, void (*fn)(const struct kube_token_result *result, void *arg),
	void *arg, struct kube_call **ret)
{
	if (stub.refuse)
		return stub.refuse;
	assert_true(stub.n < REVIEWS_MAX);
	snprintf(stub.reviews[stub.n].token, sizeof(stub.reviews[0].token), "%s", token);
	stub.reviews[stub.n].fn = fn;
	stub.reviews[stub.n].arg = arg;
	stub.reviews[stub.n].cancelled = false;
	*ret = (struct kube_call *)(void *)&stub.reviews[stub.n++];
	return 0;
}

static void stub_cancel(void *source, struct kube_call *call)
{
	bool found = false;

	for (size_t i = 0; i < stub.n; i++)
		if ((void *)call == (void *)&stub.reviews[i])
			found = stub.reviews[i].cancelled = true;
	assert_true(found);
}

static void answer_text(size_t i, int error, const char *user, const char *text)
{
	json_t *o = user ? json_loads(user, 0, NULL) : NULL;
	const struct kube_token_result result = {.error = error, .text = text, .authenticated = o != NULL, .user = o};

	assert_true(i < stub.n);
	assert_true(!user || o);
	stub.reviews[i].fn(&result, stub.reviews[i].arg);
	json_decref(o);
}

static void answer(size_t i, const char *user)
{
	answer_text(i, 0, user, "");
}

#define JANE "{\"username\": \"jane\", \"uid\": \"7\", \"groups\": [\"a\", \"b\"], \"extra\": {\"k\": [\"v\", \"w\"]}}"

/* ---- what comes back ---- */

static struct got {
	enum agg_token_verdict verdict;
	char user[128], text[1024];
	int calls;
} got;

static void note_user(struct got *g, enum agg_token_verdict verdict, struct agg_user *user, const char *text)
{
	g->verdict = verdict;
	snprintf(g->user, sizeof(g->user), "%s", user ? user->name : "");
	snprintf(g->text, sizeof(g->text), "%s", text);
	agg_user_unref(user);
}

static void on_verdict(enum agg_token_verdict verdict, struct agg_user *user, const char *text, void *arg)
{
	note_user(&got, verdict, user, text);
	got.calls++;
	if (arg) {
		agg_tokens_cancel(*(struct agg_token_waiter **)arg);
		*(struct agg_token_waiter **)arg = NULL;
	}
}

static struct agg_tokens *tokens;
static struct km_clock_virtual now;

static int setup(void **state)
{
	const struct agg_token_reviewer reviewer = {.start = stub_start, .cancel = stub_cancel};

	stub.n = 0;
	stub.refuse = 0;
	got = (struct got){0};
	now = (struct km_clock_virtual){.monotonic_us = 1000000, .wall_ns = 1000 * SECOND_NS};
	km_clock_set_virtual(&now);
	assert_int_equal(agg_tokens_new(&reviewer, &tokens), 0);
	agg_tokens_configure(tokens, 10 * SECOND_NS);
	return 0;
}

static int teardown(void **state)
{
	agg_tokens_free(tokens);
	km_clock_set_virtual(NULL);
	return 0;
}

static struct agg_token_waiter *last_waiter;

static enum agg_token_verdict ask_from(const char *token, const char *peer, void *arg)
{
	struct agg_user *user = NULL;
	struct km_err reason = {0};
	enum agg_token_verdict v =
		agg_tokens_ask(tokens, token, peer, now.monotonic_us, &user, &reason, on_verdict, arg, &last_waiter);

	if (v != AGG_TOKEN_WAIT)
		note_user(&got, v, user, reason.text);
	return v;
}

static enum agg_token_verdict ask(const char *token)
{
	return ask_from(token, "10.0.0.1", NULL);
}

static struct agg_token_stats stats(void)
{
	struct agg_token_stats s;

	agg_tokens_stats(tokens, &s);
	return s;
}

/* ---- the header ---- */

static void test_find(void **state)
{
	static const struct {
		const char *header, *token; /* NULL: none */
	} cases[] = {{"Bearer x", "x"}, {"bearer x", "x"}, {" BEARER x.y-z~ ", "x.y-z~"}, {"Bearer x y", "x"},
		{"Bearer x\ty", "x"}, {"", NULL}, {"Bearer", NULL}, {"Bearer ", NULL}, {"Bearer  x", NULL},
		{"Bearer\tx", NULL}, {"Bearerx y", NULL}, {"Basic x", NULL}};

	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		const char *token = NULL;
		size_t len = 0;
		bool found = agg_token_find(cases[i].header, &token, &len);

		if (found != (cases[i].token != NULL))
			fail_msg("\"%s\": %d", cases[i].header, found);
		if (found && (len != strlen(cases[i].token) || memcmp(token, cases[i].token, len) != 0))
			fail_msg("\"%s\": \"%.*s\"", cases[i].header, (int)len, token);
	}
}

/* ---- what is remembered ---- */

static void test_remembered(void **state)
{
	struct agg_user *user = NULL;
	struct km_err reason = {0};

	assert_int_equal(ask("t"), AGG_TOKEN_WAIT);
	assert_string_equal(stub.reviews[0].token, "t");
	answer(0, JANE);
	assert_int_equal(got.calls, 1);
	assert_int_equal(got.verdict, AGG_TOKEN_USER);
	assert_int_equal(agg_tokens_ask(tokens, "t", "p", now.monotonic_us, &user, &reason, on_verdict, NULL, NULL),
		AGG_TOKEN_USER);
	assert_string_equal(user->name, "jane");
	assert_string_equal(user->uid, "7");
	assert_int_equal(user->n_groups, 2);
	assert_string_equal(user->groups[1], "b");
	assert_int_equal(user->n_extra, 1);
	assert_string_equal(user->extra[0].key, "k");
	assert_string_equal(user->extra[0].values[1], "w");
	agg_user_unref(user);
	assert_int_equal(stats().cache_hits_total, 1);
	/* up to its end, and no longer */
	now.monotonic_us += 10 * KM_USEC_PER_SEC - 1;
	assert_int_equal(ask("t"), AGG_TOKEN_USER);
	now.monotonic_us += 1;
	assert_int_equal(ask("t"), AGG_TOKEN_WAIT);
	/* a refusal too, and its text */
	answer_text(1, 0, NULL, "token expired");
	assert_int_equal(got.verdict, AGG_TOKEN_REFUSED);
	assert_string_equal(got.text, "token expired");
	assert_int_equal(ask("t"), AGG_TOKEN_REFUSED);
	assert_int_equal(stub.n, 2);
	/* another token is another question */
	assert_int_equal(ask("T"), AGG_TOKEN_WAIT);
	answer(2, NULL);
	assert_string_equal(got.text, "the API server does not know this bearer token");
}

/* Not an answer: not remembered. */
static void test_failures(void **state)
{
	static const char *const odd[] = {"{}", "{\"username\": \"\"}", "{\"username\": 1}",
		"{\"username\": \"x\", \"groups\": [1]}", "{\"username\": \"x\", \"extra\": {\"k\": [null]}}"};
	size_t n = 0;

	assert_int_equal(ask("t"), AGG_TOKEN_WAIT);
	answer_text(n++, -ETIMEDOUT, NULL, "no answer");
	assert_int_equal(got.verdict, AGG_TOKEN_FAILED);
	assert_string_equal(got.text, "no answer");
	for (size_t i = 0; i < KM_ARRAY_LEN(odd); i++) {
		assert_int_equal(ask("t"), AGG_TOKEN_WAIT);
		answer(n++, odd[i]);
		if (got.verdict != AGG_TOKEN_FAILED)
			fail_msg("%s: %d", odd[i], got.verdict);
	}
	assert_int_equal(stats().failures_total, n);
	assert_int_equal(stats().remembered, 0);
	stub.refuse = -ENOMEM;
	assert_int_equal(ask("t"), AGG_TOKEN_FAILED);
	stub.refuse = -EINVAL;
	assert_int_equal(ask("t"), AGG_TOKEN_REFUSED);
	assert_int_equal(stats().under_way, 0);
}

static void test_not_remembered_with_ttl_0(void **state)
{
	agg_tokens_configure(tokens, 0);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(ask("t"), AGG_TOKEN_WAIT);
		answer(i, JANE);
	}
	assert_int_equal(stats().remembered, 0);
}

static void test_oldest_gives_way(void **state)
{
	char token[16];

	agg_tokens_configure(tokens, 3600 * SECOND_NS);
	for (size_t i = 0; i <= AGG_TOKENS_MAX; i++) {
		snprintf(token, sizeof(token), "t%zu", i);
		assert_int_equal(ask(token), AGG_TOKEN_WAIT);
		answer(i, JANE);
		/* the first is in use all the time */
		assert_int_equal(ask("t0"), AGG_TOKEN_USER);
		now.monotonic_us += KM_USEC_PER_SEC / AGG_TOKEN_PEER_RATE;
	}
	assert_int_equal(stats().remembered, AGG_TOKENS_MAX);
	assert_int_equal(ask("t2"), AGG_TOKEN_USER);
	assert_int_equal(ask("t1"), AGG_TOKEN_WAIT);
}

/* ---- under way ---- */

static void test_shared(void **state)
{
	struct agg_token_waiter *second;

	assert_int_equal(ask("t"), AGG_TOKEN_WAIT);
	assert_int_equal(ask("t"), AGG_TOKEN_WAIT);
	second = last_waiter;
	assert_int_equal(ask("t"), AGG_TOKEN_WAIT);
	assert_int_equal(stub.n, 1);
	assert_int_equal(stats().waiting, 3);
	agg_tokens_cancel(second);
	assert_int_equal(stats().waiting, 2);
	answer(0, JANE);
	assert_int_equal(got.calls, 2);
	assert_int_equal(stats().waiting, 0);
	assert_int_equal(stats().under_way, 0);
}

/* Whoever is told may cancel others that wait for the same. */
static void test_cancelled_by_another(void **state)
{
	struct agg_token_waiter *first;

	assert_int_equal(ask("t"), AGG_TOKEN_WAIT);
	first = last_waiter;
	assert_int_equal(ask_from("t", "10.0.0.1", &first), AGG_TOKEN_WAIT);
	answer(0, JANE);
	assert_int_equal(got.calls, 1);
	assert_null(first);
	assert_int_equal(stats().waiting, 0);
}

/* Nobody waits any more: the answer is remembered all the same. */
static void test_answer_without_waiters(void **state)
{
	assert_int_equal(ask("t"), AGG_TOKEN_WAIT);
	agg_tokens_cancel(last_waiter);
	answer(0, JANE);
	assert_int_equal(got.calls, 0);
	assert_int_equal(ask("t"), AGG_TOKEN_USER);
}

static void test_freed_under_way(void **state)
{
	const struct agg_token_reviewer reviewer = {.start = stub_start, .cancel = stub_cancel};

	assert_int_equal(ask("t"), AGG_TOKEN_WAIT);
	assert_int_equal(ask("u"), AGG_TOKEN_WAIT);
	agg_tokens_free(tokens);
	assert_true(stub.reviews[0].cancelled && stub.reviews[1].cancelled);
	assert_int_equal(got.calls, 0);
	assert_int_equal(agg_tokens_new(&reviewer, &tokens), 0);
}

/* ---- limits ---- */

static void test_too_long(void **state)
{
	char *token = malloc(AGG_TOKEN_MAX + 2);

	memset(token, 'x', AGG_TOKEN_MAX + 1);
	token[AGG_TOKEN_MAX + 1] = '\0';
	assert_int_equal(ask(token), AGG_TOKEN_REFUSED);
	assert_non_null(strstr(got.text, "longer than 16384 bytes"));
	token[AGG_TOKEN_MAX] = '\0';
	assert_int_equal(ask(token), AGG_TOKEN_WAIT);
	free(token);
}

static void test_reviews_under_way(void **state)
{
	char token[16], peer[16];

	for (size_t i = 0; i < AGG_TOKEN_REVIEWS_MAX; i++) {
		snprintf(token, sizeof(token), "t%zu", i);
		snprintf(peer, sizeof(peer), "p%zu", i);
		assert_int_equal(ask_from(token, peer, NULL), AGG_TOKEN_WAIT);
	}
	assert_int_equal(ask_from("more", "p", NULL), AGG_TOKEN_TOO_MANY);
	/* waiting for one that is under way costs no other */
	for (size_t i = AGG_TOKEN_REVIEWS_MAX; i < AGG_TOKEN_WAITERS_MAX; i++)
		assert_int_equal(ask_from("t0", "p", NULL), AGG_TOKEN_WAIT);
	assert_int_equal(ask_from("t0", "p", NULL), AGG_TOKEN_TOO_MANY);
	assert_int_equal(stats().limited_total, 2);
	answer(0, JANE);
	assert_int_equal(ask_from("more", "p", NULL), AGG_TOKEN_WAIT);
}

/* One that makes up tokens is slowed, and takes little from the others; time gives back. */
static void test_rates(void **state)
{
	char token[16], peer[16];
	size_t i, others = 0;

	for (i = 0; i < AGG_TOKEN_PEER_BURST; i++) {
		snprintf(token, sizeof(token), "t%zu", i);
		assert_int_equal(ask(token), AGG_TOKEN_WAIT);
		answer(i, NULL);
	}
	assert_int_equal(ask("x"), AGG_TOKEN_TOO_MANY);
	assert_int_equal(ask_from("x", "10.0.0.2", NULL), AGG_TOKEN_WAIT);
	answer(stub.n - 1, NULL);
	/* what is known costs nothing */
	assert_int_equal(ask("t0"), AGG_TOKEN_REFUSED);
	now.monotonic_us += KM_USEC_PER_SEC / AGG_TOKEN_PEER_RATE;
	assert_int_equal(ask("y"), AGG_TOKEN_WAIT);
	answer(stub.n - 1, NULL);
	assert_int_equal(ask("z"), AGG_TOKEN_TOO_MANY);
	/* all together */
	now.monotonic_us += 3600 * KM_USEC_PER_SEC;
	for (i = 0; i < AGG_TOKEN_BURST + 10; i++) {
		snprintf(token, sizeof(token), "u%zu", i);
		snprintf(peer, sizeof(peer), "p%zu", i);
		if (ask_from(token, peer, NULL) == AGG_TOKEN_WAIT) {
			answer(stub.n - 1, NULL);
			others++;
		}
	}
	assert_int_equal(others, AGG_TOKEN_BURST);
}

/* More peers than are remembered: none is lost track of so that it has more than a fresh share. */
static void test_many_peers(void **state)
{
	char token[16], peer[16];

	for (size_t i = 0; i < AGG_TOKEN_PEERS_MAX + 10; i++) {
		snprintf(token, sizeof(token), "t%zu", i);
		snprintf(peer, sizeof(peer), "p%zu", i);
		now.monotonic_us += KM_USEC_PER_SEC / AGG_TOKEN_RATE;
		assert_int_equal(ask_from(token, peer, NULL), AGG_TOKEN_WAIT);
		answer(stub.n - 1, NULL);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		TEST(remembered),
		TEST(failures),
		TEST(not_remembered_with_ttl_0),
		TEST(oldest_gives_way),
		TEST(shared),
		TEST(cancelled_by_another),
		TEST(answer_without_waiters),
		TEST(freed_under_way),
		TEST(too_long),
		TEST(reviews_under_way),
		TEST(rates),
		TEST(many_peers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
