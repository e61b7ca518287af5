/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: libevent's event_base with timers, signals, one worker thread for what blocks, and a reap list,
 * because nothing that has a live event or curl handle is freed inside its own callback.
 *
 * Everything here except what km_loop_work runs as `work` happens on the loop's thread.
 */
#pragma once

#include <event2/event.h>

#include "core/base.h"
#include "core/err.h"

struct km_loop;
struct km_timer;

typedef void (*km_loop_fn)(void *arg);

int km_loop_new(struct km_loop **ret, struct km_err *err) _must_check_;
/* Stops the worker (waits for the job it is in), reaps, frees. Timers and signal handlers must have been freed by their
 * owners. */
void km_loop_free(struct km_loop *loop);
struct event_base *km_loop_base(struct km_loop *loop); /* borrowed */
int km_loop_run(struct km_loop *loop) _must_check_;    /* until km_loop_stop; 0 or negative errno */
void km_loop_stop(struct km_loop *loop);

/* Calls fn(obj) once, after all callbacks of the present loop turn have returned. Never fails (its node is allocated by
 * the loop; without memory the process aborts). For freeing, and for "do this next" from inside a foreign library's
 * callback. */
void km_loop_reap(struct km_loop *loop, km_loop_fn fn, void *obj);

/* One-shot timers. fn runs when it expires; it may set the timer again or free it. */
int km_timer_new(struct km_loop *loop, km_loop_fn fn, void *arg, struct km_timer **ret) _must_check_; /* 0 or -ENOMEM */
void km_timer_set(struct km_timer *timer, uint64_t delay_us);                                         /* (re)arms it */
/*
 * (Re)arms it for a moment that all who name the same slack share: at least delay_us from now, less than slack_us
 * later. A wake-up of an idle processor costs more than most of what is done then, and a thousand timers need not have
 * one each (compare AccuracySec= of systemd.timer).
 */
void km_timer_set_within(struct km_timer *timer, uint64_t delay_us, uint64_t slack_us);
void km_timer_cancel(struct km_timer *timer);
bool km_timer_armed(const struct km_timer *timer);
void km_timer_free(struct km_timer *timer); /* NULL is fine; allowed in its own callback */

/* Calls fn(arg) on the loop whenever the signal arrives. Several handlers a signal are allowed. Freed with the loop. */
int km_loop_on_signal(struct km_loop *loop, int signo, km_loop_fn fn, void *arg, struct km_err *err) _must_check_;

/*
 * Runs work(arg) on the worker thread (one thread, in order), then done(arg) on the loop. The queue holds at most 1024
 * jobs: -EAGAIN when full. Jobs still queued when the loop is freed have only done(arg) called, so that arg can be
 * freed there.
 */
int km_loop_work(struct km_loop *loop, km_loop_fn work, km_loop_fn done, void *arg) _must_check_;

/* The longest time a loop turn has kept others waiting since the last call (microseconds), measured by a 10 Hz tick;
 * for the watchdog and bench. */
uint64_t km_loop_worst_lag_us(struct km_loop *loop);
