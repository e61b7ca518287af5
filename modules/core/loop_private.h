/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker thread behind km_loop_work; part of the loop.
 */
#pragma once

#include "core/loop.h"

struct km_worker;

/* Starts the thread; finished jobs are announced on base. */
int km_worker_new(struct event_base *base, struct km_worker **ret, struct km_err *err) _must_check_;
/* Waits for the job under way; calls done for it and for all that were still queued. NULL is fine. */
void km_worker_free(struct km_worker *w);
int km_worker_add(struct km_worker *w, km_loop_fn work, km_loop_fn done, void *arg) _must_check_;
