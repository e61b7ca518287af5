/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What upstream's recorded answers do not show (tests/vectors): the bounds of the event book and of the history, which
 * upstream does not have, empty inputs, and times at the ends of their range.
 */
#include "hpa/rate.h"

#include <errno.h>

#include "hpa/calc.h"
#include "hpa/stabilize.h"
#include "tests/unit/support/check.h"

#define SECOND INT64_C(1000000000)

static uint32_t seed = 1;

/* A small generator of the test's own, the same numbers each time. */
static int32_t draw(int32_t below)
{
	seed = seed * 1103515245U + 12345U;
	return (int32_t)((seed >> 8) % (uint32_t)below);
}

/* All recommendations there ever were, as upstream keeps them when none is outdated. */
static void reference(const struct hpa_recommendation *all, size_t n, int64_t window_up, int64_t window_down,
	int64_t now_ns, int32_t desired, int32_t *ret_up, int32_t *ret_down)
{
	*ret_up = *ret_down = desired;
	for (size_t i = 0; i < n; i++) {
		if (all[i].time_ns > now_ns - window_up)
			*ret_up = KM_MIN(*ret_up, all[i].replicas);
		if (all[i].time_ns > now_ns - window_down)
			*ret_down = KM_MAX(*ret_down, all[i].replicas);
	}
}

/* One a second, windows of twice and one and a half times what the history holds: a step is never bigger than with the
 * whole history, and of the same direction. */
static void a_full_history_only_holds_back(void **state)
{
	const size_t rounds = 3 * HPA_RECOMMENDATIONS_MAX;
	const int64_t up_window = 2 * HPA_RECOMMENDATIONS_MAX * SECOND, down_window = 3 * up_window / 4;
	struct hpa_recommendation *all = calloc(rounds, sizeof(*all));
	struct hpa_history history = {0};
	const char *reason, *message;
	size_t held = 0, moved = 0;

	assert_non_null(all);
	for (size_t i = 0; i < rounds; i++) {
		/* A slow wave with noise, so that both windows matter. */
		int32_t wave = (int32_t)(i / 4096 % 2 ? 4096 - i % 4096 : i % 4096) / 4,
			desired = 1000 + wave + draw(50), got = -1, up, down, whole;
		/* A step that is to be seen: from far below, from far above, and from the middle. */
		int32_t current = i % 3 == 0 ? 1 : i % 3 == 1 ? 5000 : 1500;
		int64_t now_ns = (int64_t)i * SECOND;

		assert_int_equal(hpa_stabilize_behavior(&history, current, desired, up_window, down_window, now_ns,
					 &got, &reason, &message),
			0);
		assert_true(history.n <= HPA_RECOMMENDATIONS_MAX && history.capacity <= HPA_RECOMMENDATIONS_MAX);
		if (i % 32 < 3) {
			reference(all, i, up_window, down_window, now_ns, desired, &up, &down);
			whole = KM_MIN(KM_MAX(current, up), down);
			if (whole >= current)
				assert_true(current <= got && got <= whole);
			else
				assert_true(whole <= got && got <= current);
			held += got == whole;
			moved += got != current;
		}
		all[i] = (struct hpa_recommendation){desired, now_ns};
	}
	/* Holding all still would pass, too. */
	assert_true(moved > rounds / 32);
	assert_true(held > rounds / 32);
	hpa_history_clear(&history);
	free(all);
}

/* A peak is held as long as its window says, and not much longer, though the history is merged again and again. */
static void a_peak_is_forgotten_in_time(void **state)
{
	const int64_t window = 2 * HPA_RECOMMENDATIONS_MAX * SECOND;
	struct hpa_history history = {0};
	int64_t i = 0;
	int32_t got = 0;

	assert_int_equal(hpa_stabilize_plain(&history, 100, window, 0, &got), 0);
	for (i = 1; i * SECOND <= window + window / 20; i++) {
		assert_int_equal(hpa_stabilize_plain(&history, (int32_t)(1 + i % 2), window, i * SECOND, &got), 0);
		if (i * SECOND <= window)
			assert_int_equal(got, 100);
	}
	assert_int_equal(got, 2);
	hpa_history_clear(&history);
}

static void history_of_equals_keeps_one_of_each_run(void **state)
{
	struct hpa_history history = {0};

	for (int64_t i = 0; i < HPA_RECOMMENDATIONS_MAX; i++)
		assert_int_equal(hpa_history_add(&history, 7, i), 0);
	assert_int_equal(history.n, HPA_RECOMMENDATIONS_MAX);
	assert_int_equal(hpa_history_add(&history, 8, HPA_RECOMMENDATIONS_MAX), 0);
	assert_int_equal(history.n, HPA_RECOMMENDATIONS_MAX / 4 + 1);
	assert_int_equal(history.items[0].time_ns, 3);
	assert_int_equal(history.items[history.n - 1].replicas, 8);
	hpa_history_clear(&history);
}

static void history_empty(void **state)
{
	struct hpa_history history = {0};
	const char *reason = NULL, *message = NULL;
	int32_t got = -1;

	hpa_history_clear(&history);
	assert_false(history.seen);
	assert_int_equal(hpa_stabilize_plain(&history, 0, 300 * SECOND, 0, &got), 0);
	assert_int_equal(got, 0);
	assert_true(history.seen);
	assert_int_equal(history.n, 1);
	hpa_history_clear(&history);
	assert_false(history.seen);
	assert_null(history.items);
	assert_int_equal(
		hpa_stabilize_behavior(&history, 3, 3, 0, 300 * SECOND, INT64_MIN + 1, &got, &reason, &message), 0);
	assert_int_equal(got, 3);
	assert_string_equal(reason, "ScaleUpStabilized");
	hpa_history_clear(&history);
}

static struct hpa_rules rules_of(bool percent, int32_t value, int32_t period_s)
{
	return (struct hpa_rules){.select = HPA_SELECT_MAX,
		.n_policies = 1,
		.policies = {{.percent = percent, .value = value, .period_s = period_s}}};
}

/* Adds to a book without a limit; it is as large as the test needs. */
static void reference_add(struct hpa_event_book *book, int32_t change, int64_t time_ns)
{
	assert_true(book->n < book->capacity);
	book->items[book->n++] = (struct hpa_scale_event){.change = change, .time_ns = time_ns};
}

/* Three times a book's events of both directions within the period: steps up and down are never bigger than with all of
 * them. A merged event that counted for the other direction would fail here. */
static void a_full_book_only_holds_back(void **state)
{
	const size_t steps = 3 * HPA_EVENTS_MAX;
	struct hpa_rules pods = rules_of(false, 40000, 1800), percent = rules_of(true, 50, 1800);
	struct hpa_event_book up = {0}, down = {0}, all_up = {.capacity = 2 * steps},
			      all_down = {.capacity = 2 * steps};
	size_t merged = 0;

	all_up.items = calloc(all_up.capacity, sizeof(*all_up.items));
	all_down.items = calloc(all_down.capacity, sizeof(*all_down.items));
	assert_true(all_up.items && all_down.items);
	for (size_t i = 0; i < steps; i++) {
		int64_t now_ns = (int64_t)i * SECOND / 5;
		int32_t rise = 1 + draw(9), fall = 1 + draw(9);

		assert_int_equal(hpa_events_store(&pods, &pods, &up, &down, 100, 100 + rise, now_ns), 0);
		assert_int_equal(hpa_events_store(&pods, &pods, &up, &down, 100, 100 - fall, now_ns), 0);
		assert_true(up.n <= HPA_EVENTS_MAX && up.capacity <= HPA_EVENTS_MAX);
		assert_true(down.n <= HPA_EVENTS_MAX && down.capacity <= HPA_EVENTS_MAX);
		reference_add(&all_up, rise, now_ns);
		reference_add(&all_down, fall, now_ns);
		for (int k = 0; k < 4 && i % 64 == 0; k++) {
			const struct hpa_rules *rules = k & 1 ? &percent : &pods;
			bool is_up = k & 2;
			struct hpa_rate in = {
				.current = 50000,
				.desired = is_up ? 1000000 : 0,
				.max = 1000000,
				.now_ns = now_ns + 100 * SECOND,
				.up = rules,
				.down = rules,
				.up_events = &up,
				.down_events = &down,
			};
			struct hpa_limit bounded = hpa_limit_behavior(&in), whole;

			in.up_events = &all_up;
			in.down_events = &all_down;
			whole = hpa_limit_behavior(&in);
			if (is_up)
				assert_true(50000 <= bounded.replicas && bounded.replicas <= whole.replicas);
			else
				assert_true(50000 >= bounded.replicas && bounded.replicas >= whole.replicas);
			if (i < HPA_EVENTS_MAX)
				assert_int_equal(bounded.replicas, whole.replicas);
		}
	}
	for (size_t i = 0; i < up.n; i++)
		merged += up.items[i].merged;
	assert_true(merged > 0);
	hpa_event_book_clear(&up);
	hpa_event_book_clear(&down);
	free(all_up.items);
	free(all_down.items);
}

/* What was merged goes when its time is over, and its slot is an ordinary one again. */
static void a_merged_event_ends(void **state)
{
	struct hpa_rules rules = rules_of(false, 10, 100);
	struct hpa_event_book up = {0}, down = {0};
	size_t outdated = 0;

	for (int32_t i = 0; i <= HPA_EVENTS_MAX; i++)
		assert_int_equal(hpa_events_store(&rules, &rules, &up, &down, 0, INT32_MAX, i), 0);
	assert_int_equal(up.n, HPA_EVENTS_MAX);
	assert_int_equal(up.items[0].time_ns, HPA_EVENTS_MAX);
	assert_false(up.items[0].merged);
	assert_true(up.items[1].merged);
	assert_int_equal(up.items[1].change, INT32_MAX);
	for (size_t i = 0; i < up.n; i++)
		assert_int_equal(hpa_events_store(&rules, &rules, &up, &down, 5, 6, 200 * SECOND), 0);
	for (size_t i = 0; i < up.n; i++) {
		outdated += up.items[i].outdated;
		assert_false(up.items[i].merged);
		assert_int_equal(up.items[i].change, 1);
	}
	assert_int_equal(outdated, 0);
	assert_int_equal(up.n, HPA_EVENTS_MAX);
	hpa_event_book_clear(&up);
	assert_null(up.items);
}

static void rate_empty(void **state)
{
	struct hpa_event_book up = {0}, down = {0};
	struct hpa_rules none = {.select = HPA_SELECT_MAX}, least = {.select = HPA_SELECT_MIN};
	struct hpa_rate in = {.current = 5,
		.desired = 9,
		.min = 1,
		.max = 8,
		.up = &none,
		.down = &none,
		.up_events = &up,
		.down_events = &down};

	/* Without a policy the largest of none stops, the smallest of none does not limit. */
	assert_int_equal(hpa_limit_behavior(&in).replicas, 5);
	assert_string_equal(hpa_limit_behavior(&in).reason, "ScaleUpLimit");
	in.desired = 0;
	assert_int_equal(hpa_limit_behavior(&in).replicas, 5);
	assert_string_equal(hpa_limit_behavior(&in).reason, "ScaleDownLimit");
	in.up = in.down = &least;
	assert_int_equal(hpa_limit_behavior(&in).replicas, 1);
	assert_string_equal(hpa_limit_behavior(&in).reason, "TooFewReplicas");
	in.desired = 9;
	assert_int_equal(hpa_limit_behavior(&in).replicas, 8);
	assert_string_equal(hpa_limit_behavior(&in).reason, "TooManyReplicas");
	hpa_event_book_clear(&up);
	/* No period at all: what was noted at this very moment is kept, what is older is not. */
	assert_int_equal(hpa_events_store(&none, &none, &up, &down, 1, 2, INT64_MIN), 0);
	assert_int_equal(hpa_events_store(&none, &none, &up, &down, 1, 2, INT64_MIN), 0);
	assert_int_equal(up.n, 2);
	assert_int_equal(hpa_events_store(&none, &none, &up, &down, 1, 4, 0), 0);
	assert_int_equal(up.n, 2);
	assert_int_equal(up.items[1].change, 3);
	assert_int_equal(down.n, 0);
	hpa_event_book_clear(&up);
}

static void calc_empty(void **state)
{
	struct hpa_pod pod = {.name = "p", .phase = KUBE_RUNNING, .started_ns = HPA_TIME_NONE};
	struct hpa_pod_metric metric = {.pod = "p", .value_milli = 10};
	struct hpa_calc in = {.replicas = 3, .resource = "memory", .container = ""};
	struct hpa_proposal got = {.replicas = 77, .utilization = 77, .value_milli = 77};
	struct km_err err = {""};

	assert_int_equal(hpa_calc_utilization(&in, 50, &got, &err), -ENODATA);
	assert_string_equal(err.text, "no pods returned by selector while calculating replica count");
	assert_int_equal(hpa_calc_average(&in, 50, &got, NULL), -ENODATA);
	in.metrics = &metric;
	in.n_metrics = 1;
	assert_int_equal(hpa_calc_average(&in, 50, &got, &err), -ENODATA);
	assert_string_equal(err.text, "no pods returned by selector while calculating replica count");
	in.n_metrics = 0;
	in.pods = &pod;
	in.n_pods = 1;
	assert_int_equal(hpa_calc_average(&in, 50, &got, &err), -ENODATA);
	assert_string_equal(err.text, "did not receive metrics for targeted pods (pods might be unready)");
	/* A pod without containers requests nothing, which is not the same as a missing request. */
	in.n_metrics = 1;
	assert_int_equal(hpa_calc_utilization(&in, 50, &got, &err), -ENODATA);
	assert_string_equal(err.text, "no metrics returned matched known pods");
	in.container = "app";
	assert_int_equal(hpa_calc_utilization(&in, 50, &got, &err), -ENODATA);
	assert_string_equal(err.text, "container app not found in Pod p");
	/* What failed left the answer alone. */
	assert_int_equal(got.replicas, 77);
	assert_int_equal(got.utilization, 77);
	assert_int_equal(got.value_milli, 77);
}

/* Times of a peer may be anything: their sums stop at the end of the range instead of wrapping. */
static void calc_times_do_not_wrap(void **state)
{
	static const struct {
		int64_t started_ns, ready_since_ns, sample_ns, window_ns;
		bool counts;
	} rows[] = {
		/* Started at the end of time: still initializing, the sample is of a whole window. */
		{INT64_MAX - 1, 0, 10, 5, true},
		/* Its window reaches beyond the end of time: the sample is too early. */
		{INT64_MAX - 1, INT64_MAX - 1, INT64_MAX - 1, 5, false},
		/* Started at the beginning of time: long initialized. */
		{INT64_MIN + 1, INT64_MAX, 0, 5, true},
		/* No time of the last change of readiness counts as long ago. */
		{INT64_MAX - 1, HPA_TIME_NONE, 0, 5, true},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct hpa_pod pod = {.name = "p",
			.phase = KUBE_RUNNING,
			.ready = KUBE_TRUE,
			.started_ns = rows[i].started_ns,
			.ready_since_ns = rows[i].ready_since_ns};
		struct hpa_pod_metric metric = {"p", 500, rows[i].sample_ns, rows[i].window_ns};
		struct hpa_calc in = {.pods = &pod,
			.n_pods = 1,
			.metrics = &metric,
			.n_metrics = 1,
			.replicas = 1,
			.resource = "cpu",
			.container = "",
			.cpu_initialization_ns = 300 * SECOND,
			.readiness_delay_ns = 30 * SECOND};
		struct hpa_proposal got = {0};
		struct km_err err = {""};
		int r = hpa_calc_average(&in, 100, &got, &err);

		if (r != (rows[i].counts ? 0 : -ENODATA))
			fail_msg("row %zu: %d %s", i, r, err.text);
		if (rows[i].counts)
			assert_int_equal(got.replicas, 5);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_history_only_holds_back),
		cmocka_unit_test(a_peak_is_forgotten_in_time),
		cmocka_unit_test(history_of_equals_keeps_one_of_each_run),
		cmocka_unit_test(history_empty),
		cmocka_unit_test(a_full_book_only_holds_back),
		cmocka_unit_test(a_merged_event_ends),
		cmocka_unit_test(rate_empty),
		cmocka_unit_test(calc_empty),
		cmocka_unit_test(calc_times_do_not_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
