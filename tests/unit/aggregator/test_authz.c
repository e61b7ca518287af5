/* SPDX-License-Identifier: Apache-2.0 */
/* Authorization with a reviewer of our own: rules, cache, shared reviews, limits, cancelling. */
#include "aggregator/authz.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "aggregator/causes.h"
#include "aggregator/sar_cache.h"
#include "core/clock.h"

#define SECOND_NS INT64_C(1000000000)

/* ---- a reviewer that remembers what it was asked and answers when told ---- */

#define REVIEWS_MAX 128

struct stub_review {
	void (*fn)(const struct kube_review_result *result, void *arg);
	void *arg;
	bool cancelled, done;
	char text[512]; /* the question as text */
};

static struct stub {
	struct stub_review reviews[REVIEWS_MAX];
	size_t n;
	int refuse; /* what start returns instead of starting */
} stub;

static int stub_start(void *source, const struct kube_review *q,
	void (*fn)(const struct kube_review_result *result, void *arg), void *arg, struct kube_call **ret)
{
	struct stub *s = source;
	struct stub_review *r = &s->reviews[s->n];
	size_t used;

	if (s->refuse)
		return s->refuse;
	assert_true(s->n < REVIEWS_MAX);
	s->n++;
	*r = (struct stub_review){.fn = fn, .arg = arg};
	used = (size_t)snprintf(r->text, sizeof(r->text), "%s uid=%s %s %s/%s/%s ns=%s name=%s path=%s", q->user,
		q->uid ? q->uid : "-", q->verb, q->group ? q->group : "-", q->version ? q->version : "-",
		q->resource ? q->resource : "-", q->namespace_ ? q->namespace_ : "-", q->name ? q->name : "-",
		q->path ? q->path : "-");
	for (size_t i = 0; i < q->n_groups; i++)
		used += (size_t)snprintf(r->text + used, sizeof(r->text) - used, " g=%s", q->groups[i]);
	for (size_t i = 0; i < q->n_extra; i++)
		for (size_t k = 0; k < q->extra[i].n; k++)
			used += (size_t)snprintf(r->text + used, sizeof(r->text) - used, " %s=%s", q->extra[i].key,
				q->extra[i].values[k]);
	if (q->label_requirements) {
		char *labels = json_dumps(q->label_requirements, JSON_COMPACT);

		snprintf(r->text + used, sizeof(r->text) - used, " labels=%s", labels);
		free(labels);
	}
	*ret = (struct kube_call *)(void *)r;
	return 0;
}

static void stub_cancel(void *source, struct kube_call *call)
{
	((struct stub_review *)(void *)call)->cancelled = true;
}

static void stub_answer(size_t i, int error, bool allowed, const char *reason)
{
	const struct kube_review_result result = {.error = error, .allowed = allowed, .reason = reason, .text = reason};

	assert_true(i < stub.n && !stub.reviews[i].done);
	stub.reviews[i].done = true;
	stub.reviews[i].fn(&result, stub.reviews[i].arg);
}

/* ---- what comes back ---- */

static struct {
	enum agg_verdict verdict;
	char text[128];
	int calls;
} got;

static void on_verdict(enum agg_verdict verdict, const char *text, void *arg)
{
	got.verdict = verdict;
	snprintf(got.text, sizeof(got.text), "%s", text);
	got.calls++;
	if (arg)
		++*(int *)arg;
}

static struct agg_authz *authz;
static const char *const open_paths[] = {"/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*"};
static const struct agg_options options = {
	.authorization_authorized_ttl = 60 * SECOND_NS,
	.authorization_unauthorized_ttl = 10 * SECOND_NS,
	.authorization_always_allow_paths = {open_paths, KM_ARRAY_LEN(open_paths)},
};
static struct km_clock_virtual now = {.monotonic_us = 1000000, .wall_ns = 1000 * SECOND_NS};

static int setup(void **state)
{
	const struct agg_reviewer reviewer = {.start = stub_start, .cancel = stub_cancel, .source = &stub};

	memset(&stub, 0, sizeof(stub));
	memset(&got, 0, sizeof(got));
	now.monotonic_us = 1000000;
	km_clock_set_virtual(&now);
	assert_int_equal(agg_authz_new(&reviewer, &authz), 0);
	agg_authz_configure(authz, &options);
	return 0;
}

static int teardown(void **state)
{
	agg_authz_free(authz);
	km_clock_set_virtual(NULL);
	return 0;
}

static struct agg_user *user(const char *name, const char *group, bool front_proxied)
{
	struct agg_user *u = NULL;

	assert_int_equal(agg_user_new(name, &u), 0);
	if (group)
		assert_int_equal(agg_user_add_group(u, group), 0);
	u->front_proxied = front_proxied;
	return u;
}

static struct agg_attributes resource(const char *verb, const char *name, const char *namespace_, const char *object)
{
	return (struct agg_attributes){.resource = true,
		.verb = verb,
		.group = "metrics.k8s.io",
		.version = "v1beta1",
		.resource_name = name,
		.namespace_ = namespace_,
		.name = object,
		.path = "/x"};
}

static struct agg_attributes path(const char *text, bool discovery)
{
	return (struct agg_attributes){.verb = "get",
		.group = "",
		.version = "",
		.resource_name = "",
		.namespace_ = "",
		.name = "",
		.path = text,
		.discovery = discovery};
}

static enum agg_verdict ask(const struct agg_user *u, const struct agg_attributes *what)
{
	struct agg_waiter *waiter = NULL;
	struct km_err reason = {0};
	enum agg_verdict v = agg_authz_ask(authz, u, what, km_now_us(), &reason, on_verdict, NULL, &waiter);

	snprintf(got.text, sizeof(got.text), "%.127s", reason.text);
	return v;
}

static void test_rules(void **state)
{
	const struct {
		const char *user, *group, *path;
		bool proxied, discovery, allowed;
	} cases[] = {
		{"admin", "system:masters", "/metrics", false, false, true},
		{"system:anonymous", "system:unauthenticated", "/healthz", false, false, true},
		{"system:anonymous", "system:unauthenticated", "/livez/ping", false, false, true},
		{"system:anonymous", "system:unauthenticated", "/readyz", true, false, true},
		{"system:anonymous", "system:unauthenticated", "/healthzz", false, false, false},
		{"system:anonymous", "system:unauthenticated", "/apis", true, true, false},
		{"system:kube-aggregator", "system:authenticated", "/apis", true, true, true},
		{"system:aggregator", "system:authenticated", "/openapi/v2", true, true, true},
		{"jane", "system:authenticated", "/apis", false, true, false},
		{"jane", "system:unauthenticated", "/apis", true, true, false},
		{"jane", "system:authenticated", "/metrics", true, false, false},
		{"jane", "system:masters ", "/metrics", true, false, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct agg_user *u = user(cases[i].user, cases[i].group, cases[i].proxied);
		struct agg_attributes what = path(cases[i].path, cases[i].discovery);
		enum agg_verdict v = ask(u, &what);

		if (v != (cases[i].allowed ? AGG_ALLOWED : AGG_WAIT))
			fail_msg("case %zu: verdict %d", i, v);
		agg_user_unref(u);
	}
}

static void test_question_and_cache(void **state)
{
	struct agg_user *u = user("jane", "b", true), *same = user("jane", "a", true), *other = user("jane", "b", true);
	struct agg_attributes list = resource("list", "pods", "d", ""), get = resource("get", "pods", "d", "p");
	struct agg_authz_stats stats;

	assert_int_equal(agg_user_add_group(u, "a"), 0);
	assert_int_equal(agg_user_add_group(same, "b"), 0);
	assert_int_equal(agg_user_add_extra(u, "z", "1"), 0);
	assert_int_equal(agg_user_add_extra(u, "k", "2"), 0);
	assert_int_equal(agg_user_add_extra(same, "k", "2"), 0);
	assert_int_equal(agg_user_add_extra(same, "z", "1"), 0);
	assert_int_equal(agg_user_set_uid(u, "u1"), 0);
	assert_int_equal(agg_user_set_uid(same, "u1"), 0);

	assert_int_equal(ask(u, &list), AGG_WAIT);
	assert_int_equal(stub.n, 1);
	assert_string_equal(stub.reviews[0].text,
		"jane uid=u1 list metrics.k8s.io/v1beta1/pods ns=d name=- path=- g=a g=b k=2 z=1");
	stub_answer(0, 0, true, "RBAC: allowed");
	assert_int_equal(got.calls, 1);
	assert_int_equal(got.verdict, AGG_ALLOWED);
	/* groups and extra in another order are the same question */
	assert_int_equal(ask(same, &list), AGG_ALLOWED);
	/* all else is another one */
	assert_int_equal(ask(u, &get), AGG_WAIT);
	assert_int_equal(ask(other, &list), AGG_WAIT);
	assert_int_equal(stub.n, 3);
	stub_answer(1, 0, false, "because");
	assert_int_equal(got.verdict, AGG_DENIED);
	assert_string_equal(got.text, "because");
	assert_int_equal(ask(u, &get), AGG_DENIED);
	assert_string_equal(got.text, "because");
	/* a refusal is remembered for ten seconds, a permission for sixty */
	now.monotonic_us += 10 * KM_USEC_PER_SEC;
	assert_int_equal(ask(u, &get), AGG_WAIT);
	assert_int_equal(ask(u, &list), AGG_ALLOWED);
	now.monotonic_us += 50 * KM_USEC_PER_SEC;
	assert_int_equal(ask(u, &list), AGG_WAIT);
	agg_authz_stats(authz, &stats);
	assert_int_equal(stats.reviews_total, 5);
	assert_int_equal(stats.cache_hits_total, 3);
	agg_user_unref(u);
	agg_user_unref(same);
	agg_user_unref(other);
}

/* Texts that run into one another when they are just put side by side. */
static void test_keys_do_not_collide(void **state)
{
	struct agg_user *a = user("ab", "c", true), *b = user("a", "bc", true), *c = user("ab", "c:1", true);
	struct agg_attributes one = resource("list", "pods", "d", "x"), two = resource("list", "pods", "dx", "");
	struct agg_attributes by_path = path("/metrics", false);

	assert_int_equal(ask(a, &one), AGG_WAIT);
	stub_answer(0, 0, true, "");
	assert_int_equal(ask(a, &one), AGG_ALLOWED);
	assert_int_equal(ask(b, &one), AGG_WAIT);
	assert_int_equal(ask(c, &one), AGG_WAIT);
	assert_int_equal(ask(a, &two), AGG_WAIT);
	assert_int_equal(ask(a, &by_path), AGG_WAIT);
	assert_string_equal(stub.reviews[4].text, "ab uid=- get -/-/- ns=- name=- path=/metrics g=c");
	agg_user_unref(a);
	agg_user_unref(b);
	agg_user_unref(c);
}

static void test_shared_review_and_cancel(void **state)
{
	struct agg_user *u = user("jane", "g", true);
	struct agg_attributes what = resource("list", "pods", "", "");
	struct agg_waiter *waiters[4] = {0};
	int calls[4] = {0};
	struct agg_authz_stats stats;

	for (size_t i = 0; i < 4; i++)
		assert_int_equal(agg_authz_ask(authz, u, &what, km_now_us(), NULL, on_verdict, &calls[i], &waiters[i]),
			AGG_WAIT);
	assert_int_equal(stub.n, 1);
	agg_authz_cancel(waiters[1]);
	agg_authz_cancel(waiters[3]);
	stub_answer(0, 0, true, "");
	assert_int_equal(calls[0] + calls[2], 2);
	assert_int_equal(calls[1] + calls[3], 0);
	/* all waiters gone: the review goes on and its answer is remembered */
	now.monotonic_us += 61 * KM_USEC_PER_SEC;
	assert_int_equal(agg_authz_ask(authz, u, &what, km_now_us(), NULL, on_verdict, NULL, &waiters[0]), AGG_WAIT);
	agg_authz_cancel(waiters[0]);
	assert_false(stub.reviews[1].cancelled);
	stub_answer(1, 0, true, "");
	assert_int_equal(got.calls, 2);
	assert_int_equal(ask(u, &what), AGG_ALLOWED);
	agg_authz_stats(authz, &stats);
	assert_int_equal(stats.under_way, 0);
	assert_int_equal(stats.waiting, 0);
	agg_user_unref(u);
}

static void test_failure_is_not_remembered(void **state)
{
	struct agg_user *u = user("jane", "g", true);
	struct agg_attributes what = resource("list", "nodes", "", "");

	assert_int_equal(ask(u, &what), AGG_WAIT);
	stub_answer(0, -110, false, "POST /apis/...: timed out");
	assert_int_equal(got.verdict, AGG_FAILED);
	assert_string_equal(got.text, "POST /apis/...: timed out");
	assert_int_equal(ask(u, &what), AGG_WAIT);
	assert_int_equal(stub.n, 2);
	stub.refuse = -12;
	what.name = "other";
	assert_int_equal(ask(u, &what), AGG_FAILED);
	assert_non_null(strstr(got.text, "could not be started"));
	agg_user_unref(u);
}

/* Selectors are another question than none, and in the question as it is asked. */
static void test_selectors(void **state)
{
	struct agg_user *u = user("jane", "g", true);
	struct agg_attributes all = resource("list", "pods", "d", ""), some = all, others = all;

	some.label_requirements = json_loads("[{\"key\": \"app\", \"operator\": \"Exists\"}]", 0, NULL);
	others.field_requirements = some.label_requirements;
	assert_int_equal(ask(u, &all), AGG_WAIT);
	stub_answer(0, 0, false, "no");
	assert_int_equal(ask(u, &some), AGG_WAIT);
	assert_non_null(strstr(stub.reviews[1].text, " labels=[{\"key\":\"app\",\"operator\":\"Exists\"}]"));
	stub_answer(1, 0, true, "");
	assert_int_equal(ask(u, &some), AGG_ALLOWED);
	assert_int_equal(ask(u, &all), AGG_DENIED);
	assert_int_equal(ask(u, &others), AGG_WAIT);
	json_decref(some.label_requirements);
	agg_user_unref(u);
}

static void test_limits(void **state)
{
	struct agg_user *anonymous = user(AGG_USER_ANONYMOUS, AGG_GROUP_UNAUTHENTICATED, false),
			*u = user("jane", "g", true);
	struct agg_attributes what = resource("list", "pods", "", "");
	struct agg_authz_stats stats;
	char name[16];

	what.name = name;
	/* anonymous users get their small share only */
	for (size_t i = 0; i < AGG_REVIEWS_ANONYMOUS_MAX; i++) {
		snprintf(name, sizeof(name), "a%zu", i);
		assert_int_equal(ask(anonymous, &what), AGG_WAIT);
	}
	strcpy(name, "more");
	assert_int_equal(ask(anonymous, &what), AGG_TOO_MANY);
	for (size_t i = AGG_REVIEWS_ANONYMOUS_MAX; i < AGG_REVIEWS_MAX; i++) {
		snprintf(name, sizeof(name), "u%zu", i);
		assert_int_equal(ask(u, &what), AGG_WAIT);
	}
	strcpy(name, "more");
	assert_int_equal(ask(u, &what), AGG_TOO_MANY);
	/* joining a review under way needs no new one, until too many wait */
	snprintf(name, sizeof(name), "u%d", AGG_REVIEWS_MAX - 1);
	for (size_t i = AGG_REVIEWS_MAX; i < AGG_WAITERS_MAX; i++)
		assert_int_equal(ask(u, &what), AGG_WAIT);
	assert_int_equal(ask(u, &what), AGG_TOO_MANY);
	agg_authz_stats(authz, &stats);
	assert_int_equal(stats.refused_total, 3);
	assert_int_equal(stats.under_way, AGG_REVIEWS_MAX);
	assert_int_equal(stats.waiting, AGG_WAITERS_MAX);
	/* one answer makes room again */
	stub_answer(AGG_REVIEWS_MAX - 1, 0, false, "");
	strcpy(name, "more");
	assert_int_equal(ask(u, &what), AGG_WAIT);
	agg_user_unref(anonymous);
	agg_user_unref(u);
	/* teardown frees with all of them under way: each is cancelled (seen by the sanitizers) */
}

static void test_cache_bounds(void **state)
{
	struct agg_sar_cache *c = NULL;
	struct agg_sar_answer answer;
	static char big[AGG_SAR_KEY_MAX + 1];
	char key[16];

	assert_int_equal(agg_sar_cache_new(&c), 0);
	for (size_t i = 0; i < AGG_SAR_ENTRIES_MAX; i++) {
		snprintf(key, sizeof(key), "%zu", i);
		agg_sar_cache_put(c, key, strlen(key), true, "", 100);
	}
	assert_int_equal(agg_sar_cache_count(c), AGG_SAR_ENTRIES_MAX);
	/* "0" is used again, so that "1" goes first */
	assert_int_equal(agg_sar_cache_get(c, "0", 1, 0, &answer), 1);
	agg_sar_cache_put(c, "new", 3, false, "why", 100);
	assert_int_equal(agg_sar_cache_count(c), AGG_SAR_ENTRIES_MAX);
	assert_int_equal(agg_sar_cache_get(c, "1", 1, 0, &answer), 0);
	assert_int_equal(agg_sar_cache_get(c, "0", 1, 0, &answer), 1);
	assert_int_equal(agg_sar_cache_get(c, "new", 3, 99, &answer), 1);
	assert_false(answer.allowed);
	assert_string_equal(answer.reason, "why");
	/* replaced */
	agg_sar_cache_put(c, "new", 3, true, "", 200);
	assert_int_equal(agg_sar_cache_get(c, "new", 3, 150, &answer), 1);
	assert_true(answer.allowed);
	/* expired: gone */
	assert_int_equal(agg_sar_cache_get(c, "new", 3, 200, &answer), 0);
	assert_int_equal(agg_sar_cache_count(c), AGG_SAR_ENTRIES_MAX - 1);
	/* too long a question is not kept; many long ones push others out */
	memset(big, 'x', sizeof(big));
	agg_sar_cache_put(c, big, sizeof(big), true, "", 100);
	assert_int_equal(agg_sar_cache_get(c, big, sizeof(big), 0, &answer), 0);
	for (size_t i = 0; i < 2000; i++) {
		memcpy(big, &i, sizeof(i));
		agg_sar_cache_put(c, big, AGG_SAR_KEY_MAX, true, "", 100);
	}
	assert_true(agg_sar_cache_count(c) * AGG_SAR_KEY_MAX <= AGG_SAR_BYTES_MAX);
	agg_sar_cache_free(c);
}

static void test_causes(void **state)
{
	struct agg_causes c = {0};
	char text[32];

	assert_int_equal(agg_causes_note(&c, "a", 1), AGG_CAUSE_NEW);
	assert_int_equal(agg_causes_note(&c, "a", 2), AGG_CAUSE_KNOWN);
	for (size_t i = 1; i < AGG_CAUSES_MAX; i++) {
		snprintf(text, sizeof(text), "cause %zu", i);
		assert_int_equal(agg_causes_note(&c, text, 3), AGG_CAUSE_NEW);
	}
	assert_int_equal(agg_causes_note(&c, "one too many", 4), AGG_CAUSE_FULL);
	assert_int_equal(agg_causes_note(&c, "and another", 4), AGG_CAUSE_KNOWN);
	assert_int_equal(agg_causes_note(&c, "a", AGG_CAUSE_HOUR_US + 2), AGG_CAUSE_NEW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(test_question_and_cache, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_do_not_collide, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_review_and_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure_is_not_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_selectors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test(test_cache_bounds),
		cmocka_unit_test(test_causes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
