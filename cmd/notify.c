/* SPDX-License-Identifier: Apache-2.0 */
#include "notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "core/clock.h"

/* A process has one systemd, one status and one watchdog. */
static char last_status[256];
static struct km_timer *watchdog_timer;
static uint64_t watchdog_us;

void notify_ready(void)
{
	(void)sd_notify(0, "READY=1");
}

void notify_reloading(void)
{
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, km_now_us());
}

void notify_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1\nSTATUS=stopping");
}

void notify_status(const char *text)
{
	if (strncmp(last_status, text, sizeof(last_status) - 1) == 0)
		return;
	snprintf(last_status, sizeof(last_status), "%s", text);
	(void)sd_notifyf(0, "STATUS=%s", last_status);
}

static void ping(void *arg)
{
	(void)arg;
	(void)sd_notify(0, "WATCHDOG=1");
	km_timer_set(watchdog_timer, watchdog_us / 3);
}

int notify_watchdog(struct km_loop *loop, struct km_timer **ret, struct km_err *err)
{
	int r = sd_watchdog_enabled(0, &watchdog_us);

	*ret = NULL;
	if (r <= 0)
		return 0;
	if (km_timer_new(loop, ping, NULL, &watchdog_timer) < 0)
		return km_fail(err, -ENOMEM, "out of memory");
	*ret = watchdog_timer;
	ping(NULL);
	return 0;
}
