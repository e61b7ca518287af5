/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/config_private.h"
#include "core/file.h"

#define ENABLED      "enabled"
#define DISTANCE_MAX 64 /* bytes of a name that a suggestion is looked for */

/* All strings of a configuration; freed together. */
struct chunk {
	struct chunk *next;
	_Alignas(max_align_t) char bytes[];
};

struct section_state {
	void *conf;
	unsigned line; /* of [section]; 0: not in the file */
	bool enabled;
	bool bad;            /* something is wrong in it, so that its check would judge values nobody wrote */
	unsigned *key_lines; /* one a row; 0: default */
	unsigned enabled_line;
};

struct km_config {
	unsigned refs;
	char *path;
	const struct km_section *const *sections;
	size_t n;
	struct section_state *state;
	struct chunk *chunks;
};

/* ---- memory ---- */

void *km_config_alloc(struct km_config *config, size_t size)
{
	struct chunk *c = calloc(1, sizeof(*c) + size);

	if (!c)
		return NULL;
	c->next = config->chunks;
	config->chunks = c;
	return c->bytes;
}

char *km_config_strndup(struct km_config *config, const char *s, size_t n)
{
	char *copy = km_config_alloc(config, n + 1);

	if (copy)
		memcpy(copy, s, n);
	return copy;
}

struct km_config *km_config_ref(const struct km_config *config)
{
	struct km_config *c = (struct km_config *)(uintptr_t)config; /* the count is the one thing that changes */

	c->refs++;
	return c;
}

void km_config_unref(struct km_config *config)
{
	if (!config || --config->refs > 0)
		return;
	while (config->chunks) {
		struct chunk *c = config->chunks;

		config->chunks = c->next;
		free(c);
	}
	free(config->state);
	free(config->path);
	free(config);
}

void km_config_unrefp(struct km_config **config)
{
	km_config_unref(*config);
	*config = NULL;
}

/* ---- diagnostics ---- */

void km_diag_free(struct km_diag *diag)
{
	km_buf_free(&diag->text);
}

static void add(struct km_diag *diag, unsigned line, const char *fmt, va_list ap) _printf_(3, 0);

static void add(struct km_diag *diag, unsigned line, const char *fmt, va_list ap)
{
	if (++diag->errors > KM_DIAG_MAX)
		return; /* summed up by seal() */
	if (line)
		km_buf_addf(&diag->text, "%s:%u: ", diag->file, line);
	else
		km_buf_addf(&diag->text, "%s: ", diag->file);
	km_buf_vaddf(&diag->text, fmt, ap);
	km_buf_addc(&diag->text, '\n');
}

void km_diag_add(struct km_diag *diag, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(diag, line, fmt, ap);
	va_end(ap);
}

void km_diag_key(struct km_diag *diag, const char *key, const char *fmt, ...)
{
	const struct km_section *section = diag->config->sections[diag->section];
	const struct section_state *state = &diag->config->state[diag->section];
	unsigned line = strcmp(key, ENABLED) == 0 && state->enabled_line ? state->enabled_line : state->line;
	va_list ap;

	for (size_t i = 0; i < section->n_opts; i++)
		if (strcmp(section->opts[i].key, key) == 0 && state->key_lines[i])
			line = state->key_lines[i];
	va_start(ap, fmt);
	add(diag, line, fmt, ap);
	va_end(ap);
}

static void seal(struct km_diag *diag)
{
	if (diag->errors > KM_DIAG_MAX)
		km_buf_addf(&diag->text, "%s: and %zu more errors\n", diag->file, diag->errors - KM_DIAG_MAX);
}

/* ---- parsing ---- */

struct parse {
	struct km_config *config;
	struct km_diag *diag;
	ssize_t section; /* -1: none yet; -2: an unknown one, whose keys are passed over */
	size_t errors;   /* of diag, as far as they have been put down to a section */
	bool no_memory;
};

/* How many letters must be changed, added, dropped or swapped with their neighbour to get from a to b. */
static size_t distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), rows[3][DISTANCE_MAX + 1];

	if (la > DISTANCE_MAX || lb > DISTANCE_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *row = rows[i % 3], *above = rows[(i - 1) % 3], *two_above = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			row[j] = KM_MIN(above[j], row[j - 1]) + 1;
			row[j] = KM_MIN(row[j], above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = KM_MIN(row[j], two_above[j - 2] + 1);
		}
	}
	return rows[la % 3][lb];
}

static const char *nearest(const char *name, const char *best, const char *candidate)
{
	size_t d = distance(name, candidate);

	return d <= KM_MAX(strlen(name) / 3, 1) && (!best || d < distance(name, best)) ? candidate : best;
}

/* Errors since the last call belong to the section that was being read. */
static void attribute_errors(struct parse *p)
{
	if (p->diag->errors != p->errors && p->section >= 0)
		p->config->state[p->section].bad = true;
	p->errors = p->diag->errors;
}

static void begin_section(struct parse *p, const struct km_ini_line *line)
{
	const char *guess = NULL;

	p->section = -2;
	for (size_t i = 0; i < p->config->n; i++) {
		const char *name = p->config->sections[i]->name;

		guess = nearest(line->name, guess, name);
		if (strcmp(name, line->name) != 0)
			continue;
		if (p->config->state[i].line)
			km_diag_add(p->diag, line->number,
				"[%s] is here a second time (first on line %u): put its keys together", name,
				p->config->state[i].line);
		else
			p->config->state[i].line = line->number;
		p->section = (ssize_t)i;
		return;
	}
	if (guess)
		km_diag_add(
			p->diag, line->number, "there is no section [%.64s]; did you mean [%s]?", line->name, guess);
	else
		km_diag_add(p->diag, line->number, "there is no section [%.64s]", line->name);
}

static void set_enabled(struct parse *p, struct section_state *state, const struct km_ini_line *line)
{
	static const struct km_opt row = {.key = ENABLED, .type = KM_OPT_BOOL};
	struct km_err err = {0};

	if (state->enabled_line) {
		km_diag_add(p->diag, line->number, "%s is set twice (first on line %u)", ENABLED, state->enabled_line);
		return;
	}
	state->enabled_line = line->number;
	if (km_opt_parse(p->config, &row, line->value, &state->enabled, &err) < 0)
		km_diag_add(p->diag, line->number, "%s = %.64s: %s", ENABLED, line->value, err.text);
}

static void set_value(struct parse *p, const struct km_ini_line *line)
{
	const struct km_section *section = p->config->sections[p->section];
	struct section_state *state = &p->config->state[p->section];
	const char *guess = NULL;
	struct km_err err = {0};
	int r;

	if (!section->on_when_absent) {
		if (strcmp(line->name, ENABLED) == 0) {
			set_enabled(p, state, line);
			return;
		}
		guess = nearest(line->name, guess, ENABLED);
	}
	for (size_t i = 0; i < section->n_opts; i++) {
		const struct km_opt *row = &section->opts[i];

		guess = nearest(line->name, guess, row->key);
		if (strcmp(row->key, line->name) != 0)
			continue;
		if (state->key_lines[i]) {
			km_diag_add(p->diag, line->number, "%s is set twice (first on line %u)", row->key,
				state->key_lines[i]);
			return;
		}
		state->key_lines[i] = line->number;
		r = km_opt_parse(p->config, row, line->value, state->conf, &err);
		if (r == -ENOMEM)
			p->no_memory = true;
		else if (r < 0)
			km_diag_add(p->diag, line->number, "%s = %.128s: %s", row->key,
				row->flags & KM_OPT_SECRET ? "********" : line->value, err.text);
		return;
	}
	if (guess)
		km_diag_add(p->diag, line->number, "[%s] has no key %.64s; did you mean %s?", section->name, line->name,
			guess);
	else
		km_diag_add(p->diag, line->number, "[%s] has no key %.64s (kmetricsd config sample lists them)",
			section->name, line->name);
}

static void on_line(const struct km_ini_line *line, void *arg)
{
	struct parse *p = arg;

	attribute_errors(p);
	if (line->kind == KM_INI_BROKEN_SECTION)
		p->section = -2;
	else if (line->kind == KM_INI_SECTION)
		begin_section(p, line);
	else if (line->kind == KM_INI_PAIR && p->section >= 0)
		set_value(p, line);
	else if (line->kind == KM_INI_PAIR && p->section == -1)
		km_diag_add(p->diag, line->number, "%.64s stands before the first [section]", line->name);
	attribute_errors(p);
}

static int new_config(const struct km_section *const *sections, const char *path, struct km_config **ret)
{
	_cleanup_(km_config_unrefp) struct km_config *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->refs = 1;
	c->sections = sections;
	while (sections[c->n])
		c->n++;
	if (!(c->path = strdup(path)) || !(c->state = calloc(c->n, sizeof(*c->state))))
		return -ENOMEM;
	for (size_t i = 0; i < c->n; i++) {
		const struct km_section *s = sections[i];
		struct section_state *state = &c->state[i];

		state->enabled = true;
		state->conf = km_config_alloc(c, s->size);
		state->key_lines = km_config_alloc(c, s->n_opts * sizeof(*state->key_lines) + 1);
		if (!state->conf || !state->key_lines)
			return -ENOMEM;
		for (size_t k = 0; k < s->n_opts; k++) {
			struct km_err err = {0};
			const char *dflt = s->opts[k].dflt ? s->opts[k].dflt : "";
			/* A row without a default is empty text, or zero for the types that have no empty text. */
			bool textual = s->opts[k].type == KM_OPT_STRING || s->opts[k].type == KM_OPT_PATH ||
				       s->opts[k].type == KM_OPT_LIST;

			if (!s->opts[k].dflt && !textual)
				continue;
			if (km_opt_parse(c, &s->opts[k], dflt, state->conf, &err) == -ENOMEM)
				return -ENOMEM;
			assert(!*err.text); /* a default that its own row refuses is a bug */
		}
	}
	*ret = KM_TAKE(c);
	return 0;
}

static bool in_force(const struct km_config *c, size_t i)
{
	return c->sections[i]->on_when_absent || (c->state[i].line && c->state[i].enabled);
}

int km_config_parse(const struct km_section *const *sections, const char *path, const char *text, size_t len,
	struct km_config **ret, struct km_diag *diag)
{
	_cleanup_(km_config_unrefp) struct km_config *c = NULL;
	struct parse p = {.diag = diag, .section = -1};
	int r = new_config(sections, path, &c);

	if (r < 0)
		return r;
	p.config = c;
	if (len > KM_INI_TEXT_MAX)
		km_diag_add(diag, 0, "larger than %d bytes", KM_INI_TEXT_MAX);
	else
		km_ini_scan(text, len, diag, on_line, &p);
	if (p.no_memory)
		return -ENOMEM;
	attribute_errors(&p); /* of the last lines */
	diag->config = c;
	for (size_t i = 0; i < c->n; i++) {
		diag->section = i;
		if (c->sections[i]->check && in_force(c, i) && !c->state[i].bad)
			c->sections[i]->check(c->state[i].conf, diag);
	}
	diag->config = NULL;
	seal(diag);
	if (diag->errors > 0)
		return -EINVAL;
	*ret = KM_TAKE(c);
	return 0;
}

int km_config_load(
	const struct km_section *const *sections, const char *path, struct km_config **ret, struct km_diag *diag)
{
	_cleanup_free_ char *text = NULL;
	struct km_err err = {0};
	size_t len;
	int r = km_file_read(path, KM_INI_TEXT_MAX, &text, &len, &err);

	if (r < 0) {
		diag->errors++;
		km_buf_addf(&diag->text, "%s\n", err.text);
		return r;
	}
	return km_config_parse(sections, path, text, len, ret, diag);
}

/* ---- reading ---- */

static size_t index_of(const struct km_config *config, const struct km_section *section)
{
	for (size_t i = 0; i < config->n; i++)
		if (config->sections[i] == section)
			return i;
	abort(); /* a section that was not given to parse */
}

const void *km_config_section(const struct km_config *config, const struct km_section *section)
{
	return config->state[index_of(config, section)].conf;
}

bool km_config_enabled(const struct km_config *config, const struct km_section *section)
{
	return in_force(config, index_of(config, section));
}

const char *km_config_path(const struct km_config *config)
{
	return config->path;
}

size_t km_config_changed_fixed(const struct km_config *before, const struct km_config *after,
	void (*fn)(const char *section, const char *key, void *arg), void *arg)
{
	size_t changed = 0;

	for (size_t i = 0; i < before->n; i++) {
		const struct km_section *s = before->sections[i];

		for (size_t k = 0; k < s->n_opts; k++) {
			if (!(s->opts[k].flags & KM_OPT_NO_RELOAD) ||
				km_opt_equal(&s->opts[k], before->state[i].conf, after->state[i].conf))
				continue;
			fn(s->name, s->opts[k].key, arg);
			changed++;
		}
	}
	return changed;
}

/* ---- printing ---- */

void km_config_show(const struct km_config *config, struct km_buf *out)
{
	km_buf_addf(out, "# effective configuration of %s\n", config->path);
	for (size_t i = 0; i < config->n; i++) {
		const struct km_section *s = config->sections[i];
		const struct section_state *state = &config->state[i];

		km_buf_addf(out, "\n[%s]\n", s->name);
		if (!s->on_when_absent)
			km_buf_addf(out, "%s = %s\n", ENABLED, in_force(config, i) ? "yes" : "no");
		for (size_t k = 0; k < s->n_opts; k++) {
			/* the remark stands on a line of its own: an INI has no comments behind values */
			if (!state->key_lines[k])
				km_buf_adds(out, "# default:\n");
			km_buf_addf(out, "%s = ", s->opts[k].key);
			if (s->opts[k].flags & KM_OPT_SECRET)
				km_buf_adds(out, "********");
			else
				km_opt_print(&s->opts[k], state->conf, out);
			km_buf_addc(out, '\n');
		}
	}
}

/* What a row without a default holds, as text. */
static const char *zero_text(const struct km_opt *row)
{
	switch (row->type) {
	case KM_OPT_BOOL:
		return "no";
	case KM_OPT_INT:
	case KM_OPT_DOUBLE:
	case KM_OPT_DURATION:
		return "0";
	case KM_OPT_ENUM:
		return row->choices[0];
	case KM_OPT_STRING:
	case KM_OPT_PATH:
	case KM_OPT_LIST:
		break;
	}
	return "";
}

static void sample_row(const struct km_opt *row, struct km_buf *out)
{
	km_buf_addf(out, "\n# %s\n", row->doc);
	if (row->type == KM_OPT_ENUM) {
		km_buf_adds(out, "# one of:");
		for (size_t i = 0; row->choices[i]; i++)
			km_buf_addf(out, " %s", row->choices[i]);
		km_buf_addc(out, '\n');
	}
	if (row->flags & KM_OPT_NO_RELOAD)
		km_buf_adds(out, "# (takes effect at the next start)\n");
	km_buf_addf(out, "#%s = %s\n", row->key, row->dflt ? row->dflt : zero_text(row));
}

void km_config_sample(const struct km_section *const *sections, struct km_buf *out)
{
	km_buf_adds(out, "# kmetricsd: every option with its default. Lines that start with # are comments: remove the "
			 "# to set a value.\n"
			 "# Check with: kmetricsd config check\n");
	for (; *sections; sections++) {
		const struct km_section *s = *sections;

		km_buf_addf(out, "\n# %s\n[%s]\n", s->doc, s->name);
		if (!s->on_when_absent)
			km_buf_addf(out, "%s = %s\n", ENABLED, s->off_in_sample ? "no" : "yes");
		for (size_t i = 0; i < s->n_opts; i++)
			sample_row(&s->opts[i], out);
	}
}
