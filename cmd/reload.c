/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reload: parse fresh, let every module prepare, then let every module commit, then swap. On any error the old
 * configuration stays and the log says why.
 */
#include <string.h>

#include "core/log.h"
#include "daemon.h"
#include "notify.h"
#include "sections.h"

#define MESSAGE_ID_RELOADED      "5c3a2f6d1e0b4a8f9d7c6b5a49382716"
#define MESSAGE_ID_RELOAD_FAILED "a1d4c7e2b5f84369907b3c5d6e8f1a2b"

static const struct km_log_fields failed = {.message_id = MESSAGE_ID_RELOAD_FAILED};

/* One log line a diagnostic: each names file and line. */
static void log_diagnostics(const struct km_diag *diag)
{
	const char *line = diag->text.data;

	while (line && *line) {
		size_t len = strcspn(line, "\n");
		km_log(LOG_ERR, &failed, "%.*s", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

static void warn_fixed(const char *section, const char *key, void *arg)
{
	(void)arg;
	km_log(LOG_WARNING, NULL, "[%s] %s has changed: it takes effect at the next restart", section, key);
}

static bool prepare(struct daemon *d, const struct km_config *fresh)
{
	struct km_err err = {0};

	for (size_t i = 0; i < d->n_modules; i++) {
		struct module_state *m = &d->modules[i];

		if (km_config_enabled(fresh, m->module->section) != (m->self != NULL)) {
			km_log(LOG_WARNING, NULL, "[%s] was switched %s: it takes effect at the next restart",
				m->module->name, m->self ? "off" : "on");
			continue;
		}
		if (!m->self || !m->module->reload_prepare)
			continue;
		if (m->module->reload_prepare(m->self, fresh, &err) < 0) {
			km_log(LOG_ERR, &failed, "%s: %s", m->module->name, err.text);
			return false;
		}
		m->prepared = true;
	}
	return true;
}

static void settle(struct daemon *d, bool commit)
{
	for (size_t i = 0; i < d->n_modules; i++) {
		struct module_state *m = &d->modules[i];
		void (*fn)(void *) = commit ? m->module->reload_commit : m->module->reload_discard;

		if (m->prepared && fn)
			fn(m->self);
		m->prepared = false;
	}
}

void daemon_reload(void *arg)
{
	struct daemon *d = arg;
	_cleanup_(km_diag_free) struct km_diag diag = KM_DIAG_INIT(d->config_path);
	struct km_config *fresh = NULL, *old = d->config;

	if (d->context.stopping)
		return;
	notify_reloading();
	if (km_config_load(all_sections, d->config_path, &fresh, &diag) < 0) {
		log_diagnostics(&diag);
		km_log(LOG_ERR, &failed, "reload refused: %s has errors; the old configuration stays in force",
			d->config_path);
	} else if (!prepare(d, fresh)) {
		settle(d, false);
		km_config_unref(fresh);
		km_log(LOG_ERR, &failed, "reload refused; the old configuration stays in force");
	} else {
		km_config_changed_fixed(old, fresh, warn_fixed, NULL);
		d->config = fresh;
		d->context.config = fresh;
		settle(d, true);
		km_config_unref(old);
		km_log_set_level(log_level_of(km_config_section(fresh, &daemon_section)));
		km_log(LOG_NOTICE, &(const struct km_log_fields){.message_id = MESSAGE_ID_RELOADED}, "reloaded %s",
			d->config_path);
	}
	notify_ready();
}
