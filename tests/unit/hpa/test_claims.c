/* SPDX-License-Identifier: Apache-2.0 */
/* Who claims a pod with which labels: selectors and labels as texts. */
#include "hpa/claims.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/support/check.h"

#define CLAIMANTS 4

static struct km_interner *in;
static struct kube_label_pool *pool;
static struct hpa_claims claims;
static struct hpa_claim claim[CLAIMANTS];
static char names[CLAIMANTS] = {'a', 'b', 'c', 'd'};

static int set(unsigned who, const char *namespace_, const char *selector)
{
	const char *ns = km_intern(in, namespace_, strlen(namespace_));
	int r = hpa_claim_set(&claims, &claim[who], &names[who], ns, selector);

	km_istr_unref(in, ns);
	return r;
}

static void note(void *who, void *arg)
{
	char *out = arg, c = *(char *)who;
	size_t at = strlen(out);

	out[at + 1] = '\0';
	for (; at > 0 && out[at - 1] > c; at--)
		out[at] = out[at - 1];
	out[at] = c;
}

static void expect(const char *namespace_, const char *key, const char *value, const char *expected)
{
	const char *ns = km_intern(in, namespace_, strlen(namespace_));
	struct kube_labels *labels;
	char got[16] = "";

	assert_int_equal(
		kube_labels_get(pool, (const struct kube_label_pair[]){{key, value}, {"zone", "z"}}, 2, &labels), 0);
	hpa_claims_of(&claims, ns, labels, note, got);
	assert_string_equal(got, expected);
	kube_labels_unref(pool, labels);
	km_istr_unref(in, ns);
}

static void who_claims(void **state)
{
	assert_int_equal(km_interner_new(&in), 0);
	assert_int_equal(kube_label_pool_new(in, &pool), 0);
	hpa_claims_init(&claims, in);
	assert_int_equal(set(0, "shop", "app=web"), 0);
	assert_int_equal(set(1, "shop", "app=web,zone!=z"), 0);
	assert_int_equal(set(2, "shop", "app in (web,db)"), 0);
	assert_int_equal(set(3, "blog", "app=web"), 0);
	expect("shop", "app", "web", "ac");
	expect("shop", "app", "db", "c");
	expect("blog", "app", "web", "d");
	expect("none", "app", "web", "");
	/* the same again, another one, none any more */
	assert_int_equal(set(1, "shop", "app=web,zone!=z"), 0);
	assert_int_equal(set(1, "shop", "app in (web),zone"), 0);
	expect("shop", "app", "web", "abc");
	assert_int_equal(set(0, "shop", "zone=z"), 0);
	expect("shop", "app", "db", "ac");
	assert_int_equal(set(0, "shop", "((("), -EINVAL);
	expect("shop", "app", "db", "c");
	assert_int_equal(set(0, "shop", ""), 0); /* everything */
	expect("shop", "other", "x", "a");
	for (unsigned i = 0; i < CLAIMANTS; i++)
		hpa_claim_drop(&claims, &claim[i]);
	hpa_claim_drop(&claims, &claim[0]);
	expect("shop", "app", "web", "");
	hpa_claims_free(&claims);
	kube_label_pool_free(pool);
	km_interner_free(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(who_claims)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
