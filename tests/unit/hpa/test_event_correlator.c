/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of events: counted, combined, filtered, forgotten. */
#include "hpa/event_correlator.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/support/check.h"

#define SECOND UINT64_C(1000000)

struct scene {
	struct hpa_correlator *c;
	uint64_t now_us;
	int64_t now_ns;
	struct hpa_event_facts facts; /* may point to text */
	char text[HPA_EVENT_NAME_MAX + 1];
};

static int setup(void **state)
{
	static struct scene s;

	s = (struct scene){.now_us = 5 * SECOND,
		.now_ns = 0x18be,
		.facts = {"ns", "web", "u-1", "Warning", "FailedGetScale", "no"}};
	*state = &s;
	return hpa_correlator_new(&s.c);
}

static int teardown(void **state)
{
	hpa_correlator_free(((struct scene *)*state)->c);
	hpa_correlator_free(NULL);
	return 0;
}

static struct hpa_event_verdict judge(struct scene *s)
{
	struct hpa_event_verdict v;

	assert_int_equal(hpa_correlator_judge(s->c, &s->facts, s->now_us, s->now_ns, &v), 0);
	return v;
}

static void pass(struct scene *s, uint64_t seconds)
{
	s->now_us += seconds * SECOND;
	s->now_ns += (int64_t)(seconds * SECOND * 1000);
}

static void test_counted(void **state)
{
	struct scene *s = *state;
	int64_t first = s->now_ns;

	for (uint32_t i = 1; i <= 3; i++) {
		struct hpa_event_verdict v = judge(s);

		assert_false(v.filtered || v.combined);
		assert_int_equal(v.count, i);
		assert_int_equal(v.first_ns, first);
		assert_string_equal(v.event_name, "web.18be");
		pass(s, 15);
	}
	/* whatever differs makes another event */
	s->facts.message = "not";
	assert_int_equal(judge(s).count, 1);
	s->facts.message = "no";
	s->facts.reason = "Other";
	assert_int_equal(judge(s).count, 1);
	s->facts.type = "Normal";
	assert_int_equal(judge(s).count, 1);
	s->facts.uid = "u-2";
	assert_int_equal(judge(s).count, 1);
	s->facts.namespace_ = "nsw";
	s->facts.name = "eb";
	assert_int_equal(judge(s).count, 1);
	assert_int_equal(judge(s).count, 2);
	assert_string_not_equal(judge(s).event_name, "eb.18be"); /* of its own time */
}

static void test_filtered(void **state)
{
	struct scene *s = *state;

	for (uint32_t i = 1; i <= HPA_EVENT_BURST; i++)
		assert_false(judge(s).filtered);
	assert_true(judge(s).filtered);
	s->facts.reason = "Other"; /* the bucket is the object's and the type's */
	assert_true(judge(s).filtered);
	s->facts.type = "Normal";
	assert_false(judge(s).filtered);
	s->facts.type = "Warning";
	s->facts.uid = "u-2";
	assert_false(judge(s).filtered);
	s->facts.uid = "u-1";
	s->facts.reason = "FailedGetScale";
	pass(s, 299);
	assert_true(judge(s).filtered);
	pass(s, 1);
	assert_int_equal(judge(s).count, HPA_EVENT_BURST + 3); /* what was filtered counts */
	assert_true(judge(s).filtered);
	pass(s, 600);
	assert_false(judge(s).filtered);
	assert_false(judge(s).filtered);
	assert_true(judge(s).filtered);
	/* Never more than the burst, however long it was quiet. */
	pass(s, 100 * 300);
	for (uint32_t i = 1; i <= HPA_EVENT_BURST; i++)
		assert_false(judge(s).filtered);
	assert_true(judge(s).filtered);
}

static void test_combined(void **state)
{
	struct scene *s = *state;
	struct hpa_event_verdict v;
	char name[HPA_EVENT_NAME_MAX + 1];

	s->facts.message = s->text;
	for (int i = 1; i <= 9; i++) {
		snprintf(s->text, sizeof(s->text), "message %d", i);
		v = judge(s);
		assert_false(v.combined);
		assert_int_equal(v.count, 1);
		pass(s, 1);
	}
	snprintf(s->text, sizeof(s->text), "message 3");
	v = judge(s);
	assert_false(v.combined);
	assert_int_equal(v.count, 2);
	snprintf(s->text, sizeof(s->text), "message 10");
	v = judge(s);
	assert_true(v.combined);
	assert_int_equal(v.count, 1);
	strcpy(name, v.event_name);
	snprintf(s->text, sizeof(s->text), "message 11");
	pass(s, 599);
	v = judge(s);
	assert_true(v.combined);
	assert_int_equal(v.count, 2);
	assert_string_equal(v.event_name, name);
	/* another reason is not concerned, and after ten quiet minutes it starts anew */
	s->facts.reason = "Other";
	assert_false(judge(s).combined);
	s->facts.reason = "FailedGetScale";
	pass(s, 600);
	assert_true(judge(s).combined);
	pass(s, 601);
	v = judge(s);
	assert_false(v.combined);
	assert_int_equal(v.count, 1);
}

static void test_names(void **state)
{
	static const struct {
		size_t len;
		char last;
		size_t expected;
	} rows[] = {{1, 'a', 1}, {235, 'a', 235}, {236, 'a', 236}, {237, 'a', 236}, {253, 'a', 236}, {236, '-', 235},
		{236, '.', 235}};
	struct scene *s = *state;

	s->now_ns = INT64_C(0x18be5a0000000001);
	s->facts.name = s->text;
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct hpa_event_verdict v;

		memset(s->text, 'a', rows[i].len);
		s->text[rows[i].len - 1] = rows[i].last;
		s->text[rows[i].len] = '\0';
		v = judge(s);
		assert_int_equal(strlen(v.event_name), rows[i].expected + 17);
		assert_string_equal(v.event_name + rows[i].expected, ".18be5a0000000001");
	}
}

static void test_bounded(void **state)
{
	struct scene *s = *state;
	struct hpa_event_verdict v;
	char *endless;

	s->facts.uid = s->text;
	for (int i = 0; i <= HPA_EVENT_RECORDS_MAX; i++) {
		snprintf(s->text, sizeof(s->text), "u-%d", i);
		assert_int_equal(judge(s).count, 1);
		if (i == 0 || i == 2000) { /* used again: the first one of all is not the oldest any more */
			snprintf(s->text, sizeof(s->text), "u-0");
			assert_int_equal(judge(s).count, i == 0 ? 2 : 3);
		}
	}
	snprintf(s->text, sizeof(s->text), "u-0");
	assert_int_equal(judge(s).count, 4);
	snprintf(s->text, sizeof(s->text), "u-1");
	assert_int_equal(judge(s).count, 1); /* forgotten */
	snprintf(s->text, sizeof(s->text), "u-3");
	assert_int_equal(judge(s).count, 2);
	endless = malloc(70000);
	memset(endless, 'x', 69999);
	endless[69999] = '\0';
	s->facts.message = endless;
	assert_int_equal(hpa_correlator_judge(s->c, &s->facts, s->now_us, s->now_ns, &v), -EMSGSIZE);
	free(endless);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_counted), TEST(test_filtered), TEST(test_combined), TEST(test_names), TEST(test_bounded)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
