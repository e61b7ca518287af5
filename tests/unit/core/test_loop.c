/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "tests/unit/support/check.h"

#define JOBS_MAX 1024 /* as loop.h promises */

/* What happened, a letter each. */
struct rig {
	struct km_loop *loop;
	struct km_timer *timers[4], *deadline;
	char trace[64];
	bool on_stack;
};

static void on_deadline(void *arg)
{
	fail_msg("the loop did not get done in time");
}

static int setup(void **state)
{
	static struct rig rig;

	rig = (struct rig){0};
	if (km_loop_new(&rig.loop, NULL) < 0 || km_timer_new(rig.loop, on_deadline, NULL, &rig.deadline) < 0)
		return -1;
	km_timer_set(rig.deadline, 20 * KM_USEC_PER_SEC);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *g = *state;

	km_timer_free(g->deadline);
	km_loop_free(g->loop);
	return 0;
}

static void note(struct rig *g, char c)
{
	size_t n = strlen(g->trace);

	assert_true(n + 1 < sizeof(g->trace));
	g->trace[n] = c;
	g->trace[n + 1] = '\0';
}

static void note_a(void *arg)
{
	note(arg, 'a');
}

static void note_b(void *arg)
{
	note(arg, 'b');
}

static void stop(void *arg)
{
	struct rig *g = arg;

	note(g, '.');
	km_loop_stop(g->loop);
}

/* ---- timers ---- */

static void timers_fire_in_order(void **state)
{
	static const km_loop_fn fns[] = {stop, note_b, note_a, note_a};
	static const uint64_t delays[] = {30000, 20000, 10000, 5000};
	struct rig *g = *state;

	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(km_timer_new(g->loop, fns[i], g, &g->timers[i]), 0);
		assert_false(km_timer_armed(g->timers[i]));
		km_timer_set(g->timers[i], delays[i]);
		assert_true(km_timer_armed(g->timers[i]));
	}
	km_timer_cancel(g->timers[3]);
	assert_false(km_timer_armed(g->timers[3]));
	assert_int_equal(km_loop_run(g->loop), 0);
	assert_string_equal(g->trace, "ab.");
	for (size_t i = 0; i < 4; i++) {
		assert_false(km_timer_armed(g->timers[i]));
		km_timer_free(g->timers[i]);
	}
	km_timer_free(NULL);
}

static void again_and_free(void *arg)
{
	struct rig *g = arg;

	note(g, 't');
	assert_false(km_timer_armed(g->timers[0]));
	if (strlen(g->trace) < 3) {
		km_timer_set(g->timers[0], 0);
		assert_true(km_timer_armed(g->timers[0]));
		return;
	}
	km_timer_free(g->timers[0]);
	km_loop_stop(g->loop);
}

static void a_timer_sets_and_frees_itself(void **state)
{
	struct rig *g = *state;

	assert_int_equal(km_timer_new(g->loop, again_and_free, g, &g->timers[0]), 0);
	km_timer_set(g->timers[0], UINT64_MAX); /* not wrapped into the past, */
	km_timer_set(g->timers[0], 0);          /* and the later call counts */
	assert_int_equal(km_loop_run(g->loop), 0);
	assert_string_equal(g->trace, "ttt");
}

#define SLACK_US UINT64_C(40000)

static uint64_t set_us;

static void set_three(void *arg)
{
	struct rig *g = arg;

	set_us = km_now_us();
	km_timer_set_within(g->timers[0], UINT64_MAX, SLACK_US); /* not wrapped into the past, */
	km_timer_set_within(g->timers[0], 30000, SLACK_US);      /* and the later call counts */
	km_timer_set_within(g->timers[1], 30000, SLACK_US);
	km_timer_set_within(g->timers[2], 30000 + SLACK_US, SLACK_US);
}

/* The other one, of the same moment, is due as well, and the third is not. */
static void one_of_two(void *arg)
{
	struct rig *g = arg;

	assert_true(km_now_us() - set_us >= 29000);
	note(g, 'x');
	assert_true(km_timer_armed(g->timers[2]));
}

static void last_of_three(void *arg)
{
	assert_string_equal(((struct rig *)arg)->trace, "xx");
	assert_true(km_now_us() - set_us >= 29000 + SLACK_US);
	stop(arg);
}

static void timers_with_slack_share_a_moment(void **state)
{
	static const km_loop_fn fns[] = {one_of_two, one_of_two, last_of_three, set_three};
	struct rig *g = *state;

	for (size_t i = 0; i < 4; i++)
		assert_int_equal(km_timer_new(g->loop, fns[i], g, &g->timers[i]), 0);
	km_timer_set(g->timers[3], 0);
	assert_int_equal(km_loop_run(g->loop), 0);
	assert_string_equal(g->trace, "xx.");
	for (size_t i = 0; i < 4; i++)
		km_timer_free(g->timers[i]);
}

/* ---- the reap list ---- */

static void reaped(void *arg)
{
	struct rig *g = arg;

	assert_false(g->on_stack);
	note(g, 'r');
}

static void reaped_once_more(void *arg)
{
	struct rig *g = arg;

	assert_false(g->on_stack);
	note(g, 'R');
	g->on_stack = true;
	km_loop_reap(g->loop, stop, g);
	km_loop_reap(g->loop, note_b, g);
	g->on_stack = false;
}

static void reaps(void *arg)
{
	struct rig *g = arg;

	g->on_stack = true;
	note(g, '(');
	km_loop_reap(g->loop, reaped, g);
	km_loop_reap(g->loop, reaped_once_more, g);
	km_loop_reap(g->loop, reaped, g);
	note(g, ')');
	g->on_stack = false;
}

static void reaping_waits_for_the_turn_to_end(void **state)
{
	struct rig *g = *state;

	/* Both are due in the same turn. */
	assert_int_equal(km_timer_new(g->loop, reaps, g, &g->timers[0]), 0);
	assert_int_equal(km_timer_new(g->loop, note_a, g, &g->timers[1]), 0);
	km_timer_set(g->timers[0], 0);
	km_timer_set(g->timers[1], 0);
	for (uint64_t start = km_now_us(); km_now_us() - start < 2000;)
		;
	assert_int_equal(km_loop_run(g->loop), 0);
	assert_string_equal(g->trace, "()arRr.b");
	km_timer_free(g->timers[0]);
	km_timer_free(g->timers[1]);
}

static void what_is_left_is_reaped_with_the_loop(void **state)
{
	struct rig g = {0};

	assert_int_equal(km_loop_new(&g.loop, NULL), 0);
	km_loop_reap(g.loop, reaped, &g);
	km_loop_reap(g.loop, reaped, &g);
	km_loop_free(g.loop);
	assert_string_equal(g.trace, "rr");
	km_loop_free(NULL);
}

/* ---- signals ---- */

static void raise_usr1(void *arg)
{
	raise(SIGUSR1);
}

static void each_handler_hears_the_signal(void **state)
{
	struct rig *g = *state;
	struct km_err err = {0};
	int r = 0, n = 0;

	assert_int_equal(km_loop_on_signal(g->loop, SIGUSR1, note_a, g, &err), 0);
	assert_int_equal(km_loop_on_signal(g->loop, SIGUSR1, note_a, g, &err), 0);
	assert_int_equal(km_loop_on_signal(g->loop, SIGUSR2, note_b, g, &err), 0);
	assert_int_equal(km_timer_new(g->loop, raise_usr1, g, &g->timers[0]), 0);
	km_timer_set(g->timers[0], 0);
	while (strlen(g->trace) < 2)
		assert_true(event_base_loop(km_loop_base(g->loop), EVLOOP_ONCE) >= 0);
	assert_string_equal(g->trace, "aa");
	for (; r == 0 && n < 1000; n++)
		r = km_loop_on_signal(g->loop, SIGUSR2, note_b, g, &err);
	assert_int_equal(r, -ENOSPC);
	assert_mentions(&err, "signal handlers");
	km_timer_free(g->timers[0]);
}

/* ---- the worker ---- */

struct job {
	struct rig *g;
	pthread_t worked_by, done_by;
	int number, worked, done;
	bool signals_blocked;
	sem_t *wait;
};

static int next_worked, next_done; /* each written by one thread */

static void work(void *arg)
{
	struct job *j = arg;
	sigset_t set;

	if (j->wait)
		sem_wait(j->wait);
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	j->signals_blocked = sigismember(&set, SIGTERM) && sigismember(&set, SIGHUP);
	j->worked_by = pthread_self();
	j->worked = ++next_worked;
}

static void done(void *arg)
{
	struct job *j = arg;

	j->done_by = pthread_self();
	j->done++;
	if (++next_done == j->number)
		km_loop_stop(j->g->loop);
}

static void work_is_done_in_order_elsewhere(void **state)
{
	struct job jobs[50];
	struct rig *g = *state;

	next_worked = next_done = 0;
	for (size_t i = 0; i < KM_ARRAY_LEN(jobs); i++) {
		jobs[i] = (struct job){.g = g, .number = KM_ARRAY_LEN(jobs)};
		assert_int_equal(km_loop_work(g->loop, work, done, &jobs[i]), 0);
	}
	assert_int_equal(km_loop_run(g->loop), 0);
	for (size_t i = 0; i < KM_ARRAY_LEN(jobs); i++) {
		assert_int_equal(jobs[i].worked, i + 1);
		assert_int_equal(jobs[i].done, 1);
		assert_true(pthread_equal(jobs[i].done_by, pthread_self()));
		assert_false(pthread_equal(jobs[i].worked_by, pthread_self()));
		assert_true(jobs[i].signals_blocked);
	}
}

static void the_queue_is_bounded_and_ends_with_the_loop(void **state)
{
	static struct job jobs[JOBS_MAX + 1];
	struct km_loop *loop;
	sem_t gate;
	int worked = 0;

	next_worked = next_done = 0;
	assert_int_equal(sem_init(&gate, 0, 0), 0);
	assert_int_equal(km_loop_new(&loop, NULL), 0);
	for (size_t i = 0; i < JOBS_MAX; i++) {
		jobs[i] = (struct job){.wait = &gate};
		assert_int_equal(km_loop_work(loop, work, done, &jobs[i]), 0);
	}
	assert_int_equal(km_loop_work(loop, work, done, &jobs[JOBS_MAX]), -EAGAIN);
	/* The job the worker is in ends; those it does not reach before it sees that it must stop are only done. */
	for (size_t i = 0; i < JOBS_MAX; i++)
		sem_post(&gate);
	km_loop_free(loop);
	for (size_t i = 0; i < JOBS_MAX; i++) {
		assert_int_equal(jobs[i].done, 1);
		worked += jobs[i].worked != 0;
	}
	assert_int_equal(worked, next_worked);
	assert_int_equal(jobs[JOBS_MAX].done, 0);
	sem_destroy(&gate);
}

/* ---- lag ---- */

static void keep_busy(void *arg)
{
	for (uint64_t start = km_now_us(); km_now_us() - start < 250 * KM_USEC_PER_MSEC;)
		;
	note(arg, 'b');
}

static void a_long_callback_shows_as_lag(void **state)
{
	struct rig *g = *state;
	uint64_t lag = 0;

	assert_int_equal(km_timer_new(g->loop, keep_busy, g, &g->timers[0]), 0);
	km_timer_set(g->timers[0], 110 * KM_USEC_PER_MSEC); /* after the first tick of 100 ms, before the second */
	while (!g->trace[0] || lag < 100 * KM_USEC_PER_MSEC) {
		assert_true(event_base_loop(km_loop_base(g->loop), EVLOOP_ONCE) >= 0);
		lag = km_loop_worst_lag_us(g->loop);
	}
	assert_string_equal(g->trace, "b");
	assert_int_equal(km_loop_worst_lag_us(g->loop), 0);
	km_timer_free(g->timers[0]);
}

static void no_event(struct bufferevent *bev, short what, void *arg)
{
	fail_msg("called after bufferevent_free");
}

/* A deferred callback keeps its bufferevent (and the socket, and TLS) alive until the loop turns once more. */
static void deferred_callbacks_end_with_the_loop(void **state)
{
	struct km_loop *loop;
	struct bufferevent *bev;
	int pair[2];

	assert_int_equal(km_loop_new(&loop, NULL), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	bev = bufferevent_socket_new(km_loop_base(loop), pair[0], BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	assert_non_null(bev);
	bufferevent_setcb(bev, NULL, NULL, no_event, NULL);
	bufferevent_trigger_event(bev, BEV_EVENT_EOF, BEV_OPT_DEFER_CALLBACKS);
	bufferevent_free(bev);
	km_loop_free(loop);
	assert_int_equal(fcntl(pair[0], F_GETFD), -1);
	close(pair[1]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(timers_fire_in_order),
		TEST(a_timer_sets_and_frees_itself),
		TEST(timers_with_slack_share_a_moment),
		TEST(reaping_waits_for_the_turn_to_end),
		TEST(what_is_left_is_reaped_with_the_loop),
		TEST(each_handler_hears_the_signal),
		TEST(work_is_done_in_order_elsewhere),
		TEST(the_queue_is_bounded_and_ends_with_the_loop),
		TEST(deferred_callbacks_end_with_the_loop),
		TEST(a_long_callback_shows_as_lag),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
