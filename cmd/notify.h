/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What systemd is told (sd_notify): READY, RELOADING, STOPPING, STATUS=, WATCHDOG. Nothing happens when nobody listens.
 */
#pragma once

#include "core/loop.h"

void notify_ready(void);
/* With the monotonic time that systemd >= 253 wants beside it and older ones ignore. */
void notify_reloading(void);
void notify_stopping(void);
/* Sent only when it differs from the last one. */
void notify_status(const char *text);

/* Pings the watchdog from the loop at a third of WATCHDOG_USEC, so that a loop that hangs is noticed; *ret is NULL when
 * none is wanted. */
int notify_watchdog(struct km_loop *loop, struct km_timer **ret, struct km_err *err) _must_check_;
