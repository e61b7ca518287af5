/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The option table and the configuration made from it. One row per option drives parsing, range checks, `config check`,
 * `config show`, the sample INI and (later) the man page. A configuration is an immutable, reference-counted snapshot
 * of all sections; reload builds a new one and swaps.
 */
#pragma once

#include "core/base.h"
#include "core/buf.h"
#include "core/err.h"

enum km_opt_type {
	KM_OPT_BOOL,     /* bool: yes|no|true|false|on|off|1|0 */
	KM_OPT_INT,      /* int64_t; min..max */
	KM_OPT_DOUBLE,   /* double, at most 15 digits; min..max in thousandths */
	KM_OPT_DURATION, /* int64_t nanoseconds, written as "15s", "5m0s"; min..max in nanoseconds */
	KM_OPT_STRING,   /* const char *, "" when unset */
	KM_OPT_PATH,     /* const char *, "" or absolute */
	KM_OPT_LIST,     /* struct km_strlist: comma-separated, spaces around items dropped, empty items refused */
	KM_OPT_ENUM,     /* int: index into choices */
};

struct km_strlist {
	const char *const *items; /* owned by the configuration */
	size_t n;
};

enum km_opt_flag {
	KM_OPT_NO_RELOAD = 1, /* a changed value takes effect at the next start; reload says so */
	KM_OPT_SECRET = 2,    /* shown as ******** */
};

struct km_opt {
	const char *key; /* as users know it: the flag's name without dashes in front */
	enum km_opt_type type;
	size_t offset;              /* into the section's struct */
	const char *dflt;           /* default as it would be written in the INI; NULL: unset ("" for strings) */
	int64_t min, max;           /* both 0: no range */
	const char *const *choices; /* ENUM: NULL-terminated */
	unsigned flags;
	const char *doc; /* one line */
};

struct km_config;
struct km_diag;

struct km_section {
	const char *name; /* "aggregator" */
	const char *doc;  /* one line for the sample */
	size_t size;      /* of the struct the offsets point into */
	const struct km_opt *opts;
	size_t n_opts;
	bool on_when_absent; /* [daemon], [kubernetes]: in force with defaults even if the section is not in the file.
				Others: an absent section is off */
	bool off_in_sample;  /* km_config_sample prints `enabled = no` for it (else `enabled = yes`) */
	/* Checks that concern several options at once (may be NULL): adds its findings to diag. conf is this section's
	 * struct. Called when the section is in force and nothing is wrong with its lines. */
	void (*check)(const void *conf, struct km_diag *diag);
};

/* ---- diagnostics: all errors of a file at once, each "file:line: what; remedy", at most KM_DIAG_MAX (then one line
 * says how many more) ---- */
#define KM_DIAG_MAX 64

struct km_diag {
	struct km_buf text; /* lines ended by \n; starts zeroed except .max, see KM_DIAG_INIT */
	const char *file;   /* borrowed; "" when there is none */
	size_t errors;
	/* where the section and its keys stand, for checks that run after parsing; private to config.c */
	const struct km_config *config;
	size_t section;
};

/* Room for KM_DIAG_MAX lines, each with a path of PATH_MAX and a message of KM_ERR_TEXT_MAX. */
#define KM_DIAG_INIT(path) ((struct km_diag){.text = KM_BUF_INIT(512 * 1024), .file = (path)})

void km_diag_free(struct km_diag *diag);
/* An error at a line (0: no particular line). */
void km_diag_add(struct km_diag *diag, unsigned line, const char *fmt, ...) _printf_(3, 4);
/* For a section's check: an error at the line where key was set, or at the section's line when it was not. */
void km_diag_key(struct km_diag *diag, const char *key, const char *fmt, ...) _printf_(3, 4);

/* ---- the configuration ---- */

/*
 * Parses INI text (path only for messages) over the sections (NULL-terminated array, borrowed for the life of the
 * configuration). Unknown sections and keys, a key twice, bad values, and what the checks find are errors, all
 * collected in diag. The key `enabled` is understood in every section that is not on_when_absent. Returns 0 and the
 * configuration with one reference, or -EINVAL with diag filled, or -ENOMEM. Limits: 1 MiB of text, 8 KiB a line. INI:
 * [section]; key = value; comments start with # or ; at the line's start (after spaces); a value may be in double
 * quotes (needed to keep spaces at its ends); an empty value gives the type's empty value where it has one. CRLF and a
 * UTF-8 BOM are accepted; NUL and other control characters are not.
 */
int km_config_parse(const struct km_section *const *sections, const char *path, const char *text, size_t len,
	struct km_config **ret, struct km_diag *diag) _must_check_;
/* Reads the file and parses. A file that cannot be read is one diagnostic and its errno. */
int km_config_load(const struct km_section *const *sections, const char *path, struct km_config **ret,
	struct km_diag *diag) _must_check_;

struct km_config *km_config_ref(const struct km_config *config);
void km_config_unref(struct km_config *config); /* NULL is fine */
void km_config_unrefp(struct km_config **config);

/* The section's struct (defaults where nothing was set). The section must be one of those given to parse. */
const void *km_config_section(const struct km_config *config, const struct km_section *section);
/* Whether the section is in force: on_when_absent, or in the file and not `enabled = no`. */
bool km_config_enabled(const struct km_config *config, const struct km_section *section);
const char *km_config_path(const struct km_config *config);

/* The options flagged NO_RELOAD that differ between two configurations: calls fn for each. Returns how many. */
size_t km_config_changed_fixed(const struct km_config *before, const struct km_config *after,
	void (*fn)(const char *section, const char *key, void *arg), void *arg);

/* Effective values as an INI; secrets masked; a comment marks values that are defaults. */
void km_config_show(const struct km_config *config, struct km_buf *out);
/* A value as an INI has it: in quotes where it would be read otherwise. */
void km_ini_print_value(const char *value, struct km_buf *out);
/* A commented INI with every option, its default and its one line; passes parse. */
void km_config_sample(const struct km_section *const *sections, struct km_buf *out);
