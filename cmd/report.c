/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon says of itself: STATUS= for systemctl, and the control socket's "status" for `kmetricsd status`.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "daemon.h"
#include "notify.h"
#include "sections.h"

#define STATUS_US (2 * KM_USEC_PER_SEC)

static void status_tick(void *arg)
{
	struct daemon *d = arg;
	char text[512] = "";
	size_t len = 0;

	for (size_t i = 0; i < d->n_modules; i++) {
		const struct module_state *m = &d->modules[i];
		struct km_health health = {0};

		if (!m->self || !m->module->health)
			continue;
		m->module->health(m->self, &health);
		if (*health.text && len < sizeof(text))
			len += (size_t)snprintf(
				text + len, sizeof(text) - len, "%s%s", len > 0 ? "; " : "", health.text);
	}
	if (!d->context.stopping)
		notify_status(text);
	km_timer_set(d->report, STATUS_US);
}

static json_t *module_counters(const struct module_state *m)
{
	const char *base = m->module->counters_base ? m->module->counters_base(m->self) : NULL;
	json_t *counters = json_object();

	for (size_t i = 0; base && i < m->module->n_counters; i++) {
		uint64_t value;

		memcpy(&value, base + m->module->counters[i].offset, sizeof(value));
		json_object_set_new(counters, m->module->counters[i].name, json_integer((json_int_t)value));
	}
	return counters;
}

static json_t *module_report(const struct module_state *m)
{
	struct km_health health = {.ok = true};
	json_t *o;

	if (!m->self)
		return json_pack("{s:s, s:b}", "name", m->module->name, "enabled", 0);
	if (m->module->health)
		m->module->health(m->self, &health);
	o = json_pack("{s:s, s:b, s:b, s:s, s:o}", "name", m->module->name, "enabled", 1, "ok", health.ok, "text",
		health.text, "counters", module_counters(m));
	if (o && m->module->status)
		json_object_set_new(o, "details", m->module->status(m->self));
	return o;
}

static json_t *status_reply(struct daemon *d)
{
	json_t *modules = json_array();

	for (size_t i = 0; i < d->n_modules; i++)
		json_array_append_new(modules, module_report(&d->modules[i]));
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o}", "version", KM_VERSION, "server",
		kube_client_server(d->client), "config", d->config_path, "uptime_seconds",
		(json_int_t)((km_wall_ns() - d->started_wall_ns) / KM_NSEC_PER_SEC), "worst_loop_lag_us",
		(json_int_t)km_loop_worst_lag_us(d->loop), "log_lines_dropped", (json_int_t)km_log_dropped(), "modules",
		modules);
}

static json_t *answer(const char *op, json_t *request, uid_t peer, void *arg)
{
	struct daemon *d = arg;

	(void)peer;
	if (strcmp(op, "status") == 0)
		return status_reply(d);
	for (size_t i = 0; i < d->n_modules; i++) {
		const struct module_state *m = &d->modules[i];
		json_t *reply = m->self && m->module->ask ? m->module->ask(m->self, op, request) : NULL;

		if (reply)
			return reply;
	}
	if (strcmp(op, "explain") == 0)
		return km_control_error(3, "this daemon does not scale: set enabled = yes in [hpa]");
	return km_control_error(2, "unknown operation \"%s\"; this daemon answers: status, explain", op);
}

int daemon_report(struct daemon *d, struct km_err *err)
{
	const struct daemon_options *o = km_config_section(d->config, &daemon_section);
	const struct km_control_config config = {
		.path = o->control_socket, .fd = -1, .mode = 0600, .fn = answer, .arg = d};
	int r = km_control_new(d->loop, &config, &d->control, err);

	if (r < 0)
		return r;
	if (km_timer_new(d->loop, status_tick, d, &d->report) < 0)
		return km_fail(err, -ENOMEM, "out of memory");
	status_tick(d);
	return 0;
}
