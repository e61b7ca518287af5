/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the three files of the configuration share: values (option.c), lines (ini.c), snapshots (config.c).
 */
#pragma once

#include "core/config.h"

#define KM_INI_TEXT_MAX (1024 * 1024)
#define KM_INI_LINE_MAX 8192
#define KM_INI_LIST_MAX 256 /* items of one list */

/* ---- option.c: one value ---- */

/* Reads text into the field at base + row->offset; strings are allocated in config's arena. 0, or -EINVAL with the
 * reason and what would be right in err, or -ENOMEM. */
int km_opt_parse(struct km_config *config, const struct km_opt *row, const char *text, void *base, struct km_err *err)
	_must_check_;
/* Appends the value as it would be written in an INI. */
void km_opt_print(const struct km_opt *row, const void *base, struct km_buf *out);
bool km_opt_equal(const struct km_opt *row, const void *a, const void *b);

/* A copy that lives as long as the configuration; NULL without memory. */
char *km_config_strndup(struct km_config *config, const char *s, size_t n);
void *km_config_alloc(struct km_config *config, size_t size);

/* ---- ini.c: lines ---- */

struct km_ini_line {
	enum {
		KM_INI_SECTION,
		KM_INI_PAIR,
		KM_INI_BROKEN_SECTION, /* a header that cannot be read: the pairs after it belong nowhere */
	} kind;
	unsigned number;
	char *name;  /* section or key; NULL when broken */
	char *value; /* PAIR: unquoted */
};

/* Calls fn for each section header and pair; malformed lines go to diag and, but for broken headers, are passed over.
 * The line's text is borrowed and may be changed by fn. */
void km_ini_scan(const char *text, size_t len, struct km_diag *diag,
	void (*fn)(const struct km_ini_line *line, void *arg), void *arg);
