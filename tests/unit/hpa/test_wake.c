/* SPDX-License-Identifier: Apache-2.0 */
/* Who is woken by which node, as texts: "a:n1,n2" makes a wait for two nodes. */
#include "hpa/wake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WAITERS 3

static struct km_interner *in;
static struct hpa_wake wake;
static struct hpa_wake_set sets[WAITERS];
static char names[WAITERS] = {'a', 'b', 'c'};

static void set(unsigned who, const char *nodes)
{
	const char *list[16];
	char text[128], *next, *word;
	size_t n = 0;

	snprintf(text, sizeof(text), "%s", nodes);
	for (word = strtok_r(text, ",", &next); word; word = strtok_r(NULL, ",", &next))
		list[n++] = strcmp(word, "-") == 0 ? NULL : km_intern(in, word, strlen(word));
	const char *held[16];
	size_t n_held = n;

	memcpy(held, list, sizeof(held));
	assert_int_equal(hpa_wake_set_nodes(&wake, &sets[who], &names[who], list, n), 0);
	for (size_t i = 0; i < n_held; i++)
		km_istr_unref(in, held[i]);
}

static void note(void *who, void *arg)
{
	char *out = arg, c = *(char *)who;
	size_t at = strlen(out);

	/* in order, whatever theirs is */
	out[at + 1] = '\0';
	for (; at > 0 && out[at - 1] > c; at--)
		out[at] = out[at - 1];
	out[at] = c;
}

static void expect(const char *node, const char *expected)
{
	const char *interned = km_intern(in, node, strlen(node));
	char got[16] = "";

	hpa_wake_landed(&wake, interned, note, got);
	km_istr_unref(in, interned);
	assert_string_equal(got, expected);
}

static void who_is_woken(void **state)
{
	assert_int_equal(km_interner_new(&in), 0);
	hpa_wake_init(&wake, in);
	expect("n1", "");
	set(0, "n1,n2,n1,-");
	set(1, "n2,n3");
	set(2, "-");
	expect("n1", "a");
	expect("n2", "ab");
	expect("n3", "b");
	/* the same again, in another order */
	set(0, "n2,n1");
	expect("n2", "ab");
	set(2, "n3,n2,n1,n4,n5,n6,n7,n8");
	expect("n2", "abc");
	expect("n8", "c");
	/* moved */
	set(0, "n9");
	expect("n1", "c");
	expect("n2", "bc");
	expect("n9", "a");
	set(0, "");
	expect("n9", "");
	hpa_wake_clear(&wake, &sets[2], &names[2]);
	expect("n2", "b");
	set(1, "n3,n4");
	expect("n2", "");
	expect("n4", "b");
	for (unsigned i = 0; i < WAITERS; i++)
		hpa_wake_clear(&wake, &sets[i], &names[i]);
	hpa_wake_free(&wake);
	assert_int_equal(km_interner_count(in), 0);
	km_interner_free(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(who_is_woken)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
