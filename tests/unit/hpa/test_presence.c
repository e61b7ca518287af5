/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn it is: rows of what is seen at which second, and what must follow. */
#include "hpa/presence.h"

#include "../support/check.h"
#include "core/clock.h"

/* TICKS: every second until then, nothing to be cleared; CLEARS: the same, and the canary is. */
enum what { CANARY, IN_TREE, TICKS, CLEARS, RESET };

struct step {
	uint64_t at_s;
	enum what what;
	int value;          /* of CANARY, IN_TREE */
	enum hpa_turn turn; /* afterwards */
};

#define WAITING HPA_TURN_WAITING
#define THEIRS  HPA_TURN_THEIRS
#define OURS    HPA_TURN_OURS
#define FILLED  HPA_CANARY_FILLED
#define EMPTY   HPA_CANARY_EMPTY
#define MISSING HPA_CANARY_MISSING

static void play(enum hpa_mode mode, const struct step *steps, size_t n)
{
	struct hpa_presence p = {.mode = mode, .sync_us = 15 * KM_USEC_PER_SEC};
	uint64_t ticked_s = 0;

	hpa_presence_reset(&p);
	for (size_t i = 0; i < n; i++) {
		uint64_t now_us = steps[i].at_s * KM_USEC_PER_SEC;
		bool clears = false;

		if (steps[i].what != TICKS && steps[i].what != CLEARS && ticked_s < steps[i].at_s)
			ticked_s = steps[i].at_s;
		switch (steps[i].what) {
		case CANARY:
			hpa_presence_canary(&p, (enum hpa_canary)steps[i].value, now_us);
			break;
		case IN_TREE:
			hpa_presence_in_tree(&p, (enum hpa_in_tree)steps[i].value);
			break;
		case RESET:
			hpa_presence_reset(&p);
			break;
		case TICKS:
		case CLEARS:
			for (; ticked_s <= steps[i].at_s; ticked_s++)
				clears |= hpa_presence_tick(&p, ticked_s * KM_USEC_PER_SEC);
			break;
		}
		if (hpa_presence_turn(&p) != steps[i].turn || clears != (steps[i].what == CLEARS))
			fail_msg("step %zu: turn %d, wanted %d; clears %d, wanted %d", i, hpa_presence_turn(&p),
				steps[i].turn, clears, steps[i].what == CLEARS);
		assert_true(strncmp(hpa_presence_text(&p), "HPA ", 4) == 0);
	}
}
#define PLAY(mode, ...)                                           \
	do {                                                      \
		static const struct step steps[] = {__VA_ARGS__}; \
		play(mode, steps, KM_ARRAY_LEN(steps));           \
	} while (0)

static void test_a_living_one_is_never_fought(void **state)
{
	PLAY(HPA_MODE_AUTO, {0, TICKS, 0, WAITING}, {1, CANARY, FILLED, WAITING}, {1, CLEARS, 0, WAITING},
		{2, CANARY, EMPTY, WAITING}, {17, TICKS, 0, WAITING}, {17, CANARY, FILLED, THEIRS},
		{60, TICKS, 0, THEIRS}, {61, CLEARS, 0, THEIRS}, {62, CANARY, EMPTY, THEIRS},
		{78, CANARY, FILLED, THEIRS}, {120, TICKS, 0, THEIRS});
}

static void test_three_silent_sync_periods_make_it_ours(void **state)
{
	PLAY(HPA_MODE_AUTO, {1, CANARY, FILLED, WAITING}, {1, CLEARS, 0, WAITING}, {2, CANARY, EMPTY, WAITING},
		{46, TICKS, 0, WAITING}, {47, TICKS, 0, OURS}, {500, TICKS, 0, OURS},
		/* it is back: at once */
		{501, CANARY, FILLED, THEIRS}, {501, CLEARS, 0, THEIRS}, {502, CANARY, EMPTY, THEIRS},
		{546, TICKS, 0, THEIRS}, {547, TICKS, 0, OURS});
}

static void test_found_empty_counts_from_when_it_was_seen(void **state)
{
	PLAY(HPA_MODE_AUTO, {100, CANARY, EMPTY, WAITING}, {144, TICKS, 0, WAITING}, {145, TICKS, 0, OURS});
}

static void test_local_flags_must_agree(void **state)
{
	PLAY(HPA_MODE_AUTO, {0, IN_TREE, HPA_IN_TREE_ON, THEIRS}, {0, CANARY, EMPTY, THEIRS}, {100, TICKS, 0, THEIRS},
		{100, IN_TREE, HPA_IN_TREE_OFF, THEIRS}, {101, TICKS, 0, OURS}, {102, IN_TREE, HPA_IN_TREE_ON, THEIRS},
		{200, TICKS, 0, THEIRS}, {200, IN_TREE, HPA_IN_TREE_NOT_HERE, THEIRS}, {201, TICKS, 0, OURS});
}

static void test_without_a_canary_nothing_is_proved(void **state)
{
	PLAY(HPA_MODE_AUTO, {0, CANARY, MISSING, WAITING}, {500, TICKS, 0, WAITING}, {500, CANARY, EMPTY, WAITING},
		{544, TICKS, 0, WAITING}, {545, TICKS, 0, OURS}, {546, CANARY, MISSING, WAITING},
		{900, TICKS, 0, WAITING});
}

static void test_a_new_lease_proves_anew(void **state)
{
	PLAY(HPA_MODE_AUTO, {0, CANARY, EMPTY, WAITING}, {45, TICKS, 0, OURS}, {50, RESET, 0, WAITING},
		{200, TICKS, 0, WAITING}, {200, CANARY, EMPTY, WAITING}, {244, TICKS, 0, WAITING},
		{245, TICKS, 0, OURS});
}

static void test_modes_that_do_not_ask(void **state)
{
	PLAY(HPA_MODE_ACTIVE, {0, CANARY, FILLED, OURS}, {100, TICKS, 0, OURS}, {100, IN_TREE, HPA_IN_TREE_ON, OURS});
	PLAY(HPA_MODE_SHADOW, {0, CANARY, EMPTY, THEIRS}, {100, TICKS, 0, THEIRS});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_living_one_is_never_fought),
		cmocka_unit_test(test_three_silent_sync_periods_make_it_ours),
		cmocka_unit_test(test_found_empty_counts_from_when_it_was_seen),
		cmocka_unit_test(test_local_flags_must_agree),
		cmocka_unit_test(test_without_a_canary_nothing_is_proved),
		cmocka_unit_test(test_a_new_lease_proves_anew),
		cmocka_unit_test(test_modes_that_do_not_ask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
