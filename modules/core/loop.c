/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/loop_private.h"

#define TIMER_MAGIC  0x6b6d746du
#define LAG_TICK_US  UINT64_C(100000)
#define SIGNALS_MAX  16
/* far more than freed bufferevents need (libevent runs 16 deferred callbacks a turn) */
#define TURNS_AT_END 1000

struct reap {
	km_loop_fn fn;
	void *obj;
	struct reap *next;
};

struct signal_handler {
	struct event *event;
	km_loop_fn fn;
	void *arg;
};

struct km_loop {
	struct event_base *base;
	struct km_worker *worker; /* NULL until the first job: a verb that needs none has no thread */
	struct reap *reap_first, **reap_last;
	struct event *reap_event;
	struct event *lag_event;
	uint64_t lag_due_us, lag_worst_us;
	struct signal_handler signals[SIGNALS_MAX];
	size_t n_signals;
};

struct km_timer {
	uint32_t magic;
	struct event *event;
	km_loop_fn fn;
	void *arg;
};

static struct timeval to_timeval(uint64_t us)
{
	return (struct timeval){
		.tv_sec = (time_t)(us / KM_USEC_PER_SEC), .tv_usec = (suseconds_t)(us % KM_USEC_PER_SEC)};
}

static void run_reaped(struct km_loop *loop)
{
	/* What a reaped function reaps in turn waits for the next round: it may stand on the stack of something that is
	 * still being unwound. */
	struct reap *r = loop->reap_first;

	loop->reap_first = NULL;
	loop->reap_last = &loop->reap_first;
	while (r) {
		struct reap *next = r->next;

		r->fn(r->obj);
		free(r);
		r = next;
	}
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	run_reaped(arg);
}

/* A timer that is late by x shows that the loop was kept busy for about x. */
static void on_lag_tick(evutil_socket_t fd, short what, void *arg)
{
	struct km_loop *loop = arg;
	struct timeval tick = to_timeval(LAG_TICK_US);
	uint64_t now = km_now_us();

	(void)fd;
	(void)what;
	if (loop->lag_due_us && now > loop->lag_due_us)
		loop->lag_worst_us = KM_MAX(loop->lag_worst_us, now - loop->lag_due_us);
	loop->lag_due_us = now + LAG_TICK_US;
	evtimer_add(loop->lag_event, &tick);
}

int km_loop_new(struct km_loop **ret, struct km_err *err)
{
	struct km_loop *loop = calloc(1, sizeof(*loop));
	struct event_config *config = event_config_new();
	struct timeval tick = to_timeval(LAG_TICK_US);

	if (loop && config) {
		loop->reap_last = &loop->reap_first;
		event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
		loop->base = event_base_new_with_config(config);
	}
	if (config)
		event_config_free(config);
	if (loop && loop->base) {
		loop->reap_event = event_new(loop->base, -1, 0, on_reap, loop);
		loop->lag_event = evtimer_new(loop->base, on_lag_tick, loop);
		if (loop->reap_event && loop->lag_event && evtimer_add(loop->lag_event, &tick) == 0) {
			*ret = loop;
			return 0;
		}
	}
	km_loop_free(loop);
	return km_fail(err, -ENOMEM, "the event loop could not be made");
}

/*
 * A deferred callback of a bufferevent that its owner has freed keeps it, its socket and its TLS state alive until the
 * loop turns; event_base_free would drop the callback and with it the last reference. Ends at once when there is none,
 * and after TURNS_AT_END in any case.
 */
static void let_deferred_go(struct event_base *base)
{
	for (int i = 0; i < TURNS_AT_END && event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE) > 0; i++)
		if (event_base_loop(base, EVLOOP_NONBLOCK) < 0)
			return;
}

void km_loop_free(struct km_loop *loop)
{
	if (!loop)
		return;
	km_worker_free(loop->worker);
	while (loop->reap_first)
		run_reaped(loop);
	for (size_t i = 0; i < loop->n_signals; i++)
		event_free(loop->signals[i].event);
	if (loop->reap_event)
		event_free(loop->reap_event);
	if (loop->lag_event)
		event_free(loop->lag_event);
	if (loop->base) {
		let_deferred_go(loop->base);
		event_base_free(loop->base);
	}
	free(loop);
}

struct event_base *km_loop_base(struct km_loop *loop)
{
	return loop->base;
}

int km_loop_run(struct km_loop *loop)
{
	return event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY) < 0 ? -EIO : 0;
}

void km_loop_stop(struct km_loop *loop)
{
	event_base_loopbreak(loop->base);
}

void km_loop_reap(struct km_loop *loop, km_loop_fn fn, void *obj)
{
	struct reap *r = malloc(sizeof(*r));

	if (!r)
		abort(); /* dropping it would leak or leave a live event on freed memory */
	*r = (struct reap){.fn = fn, .obj = obj};
	if (!loop->reap_first) {
		/* A zero timeout fires in a later pass of the loop, when the callbacks that are active now have all
		 * returned. */
		struct timeval now = {0};
		event_add(loop->reap_event, &now);
	}
	*loop->reap_last = r;
	loop->reap_last = &r->next;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct km_timer *t = KM_CAST(struct km_timer, arg, TIMER_MAGIC);

	(void)fd;
	(void)what;
	t->fn(t->arg);
}

int km_timer_new(struct km_loop *loop, km_loop_fn fn, void *arg, struct km_timer **ret)
{
	struct km_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	*t = (struct km_timer){.magic = TIMER_MAGIC, .fn = fn, .arg = arg};
	t->event = evtimer_new(loop->base, on_timer, t);
	if (!t->event) {
		free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

void km_timer_set(struct km_timer *timer, uint64_t delay_us)
{
	struct timeval delay = to_timeval(delay_us);

	if (evtimer_add(timer->event, &delay) < 0)
		abort(); /* a timer that silently never fires would hang whatever waits for it */
}

void km_timer_set_within(struct km_timer *timer, uint64_t delay_us, uint64_t slack_us)
{
	struct timeval tv;
	uint64_t now, due;

	/* the moment that libevent counts from, so that the same due time is the same to the microsecond */
	event_base_gettimeofday_cached(event_get_base(timer->event), &tv);
	now = (uint64_t)tv.tv_sec * KM_USEC_PER_SEC + (uint64_t)tv.tv_usec;
	due = now + KM_MIN(delay_us, UINT64_MAX / 4);
	km_timer_set(timer, (due + slack_us - 1) / slack_us * slack_us - now);
}

void km_timer_cancel(struct km_timer *timer)
{
	evtimer_del(timer->event);
}

bool km_timer_armed(const struct km_timer *timer)
{
	return evtimer_pending(timer->event, NULL);
}

void km_timer_free(struct km_timer *timer)
{
	if (!timer)
		return;
	event_free(timer->event);
	timer->magic = 0;
	free(timer);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	const struct signal_handler *h = arg;

	(void)fd;
	(void)what;
	h->fn(h->arg);
}

int km_loop_on_signal(struct km_loop *loop, int signo, km_loop_fn fn, void *arg, struct km_err *err)
{
	struct signal_handler *h = &loop->signals[loop->n_signals];

	if (loop->n_signals == SIGNALS_MAX)
		return km_fail(err, -ENOSPC, "more than %d signal handlers", SIGNALS_MAX);
	*h = (struct signal_handler){.fn = fn, .arg = arg};
	h->event = evsignal_new(loop->base, signo, on_signal, h);
	if (!h->event || evsignal_add(h->event, NULL) < 0) {
		if (h->event)
			event_free(h->event);
		return km_fail(err, -ENOMEM, "signal %d cannot be handled: %s", signo, strerror(errno));
	}
	loop->n_signals++;
	return 0;
}

int km_loop_work(struct km_loop *loop, km_loop_fn work, km_loop_fn done, void *arg)
{
	if (!loop->worker) {
		int r = km_worker_new(loop->base, &loop->worker, NULL);
		if (r < 0)
			return r;
	}
	return km_worker_add(loop->worker, work, done, arg);
}

uint64_t km_loop_worst_lag_us(struct km_loop *loop)
{
	uint64_t worst = loop->lag_worst_us;

	loop->lag_worst_us = 0;
	return worst;
}
