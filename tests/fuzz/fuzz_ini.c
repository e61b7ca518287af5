/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The INI: what is refused says where and why; what is accepted is within its ranges and reads back the same from what
 * `config show` prints.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "core/config_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct all {
	bool flag;
	int64_t number, period;
	double ratio;
	const char *text, *path;
	struct km_strlist list;
	int mode;
};

static const char *const modes[] = {"auto", "verify", "pin", NULL};

#define ROW(key_, type_, field_) .key = key_, .type = type_, .offset = offsetof(struct all, field_), .doc = key_

static const struct km_opt opts[] = {
	{ROW("flag", KM_OPT_BOOL, flag), .dflt = "yes"},
	{ROW("number", KM_OPT_INT, number), .dflt = "5", .min = -10, .max = 65535},
	{ROW("period", KM_OPT_DURATION, period), .dflt = "15s"},
	{ROW("ratio", KM_OPT_DOUBLE, ratio), .dflt = "0.1"},
	{ROW("text", KM_OPT_STRING, text)},
	{ROW("path", KM_OPT_PATH, path)},
	{ROW("list", KM_OPT_LIST, list)},
	{ROW("mode", KM_OPT_ENUM, mode), .choices = modes},
};

static void check(const void *conf, struct km_diag *diag)
{
	const struct all *a = conf;

	if (a->flag && a->mode == 1)
		km_diag_key(diag, "mode", "not with flag");
}

static const struct km_section a_section = {.name = "a",
	.doc = "a",
	.size = sizeof(struct all),
	.opts = opts,
	.n_opts = KM_ARRAY_LEN(opts),
	.check = check};
static const struct km_section b_section = {.name = "b",
	.doc = "b",
	.size = sizeof(struct all),
	.opts = opts,
	.n_opts = KM_ARRAY_LEN(opts),
	.on_when_absent = true};
static const struct km_section *const sections[] = {&a_section, &b_section, NULL};

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* Every diagnostic is a line of its own that names the file. */
static void check_lines(const struct km_diag *diag)
{
	const char *p = diag->text.data, *end;
	size_t lines = 0;

	must(diag->text.error == 0 && diag->text.len > 0 && strlen(p) == diag->text.len);
	for (; (end = strchr(p, '\n')); p = end + 1, lines++)
		must(strncmp(p, "f.ini:", 6) == 0);
	must(*p == '\0' && lines == KM_MIN(diag->errors, (size_t)KM_DIAG_MAX + 1));
}

static void check_section(
	const struct km_config *config, const struct km_config *again, const struct km_section *section)
{
	const struct all *a = km_config_section(config, section), *b = km_config_section(again, section);

	must(a->number >= -10 && a->number <= 65535 && a->mode >= 0 && a->mode <= 2);
	must(a->path[0] == '\0' || a->path[0] == '/');
	must(a->list.n <= KM_INI_LIST_MAX);
	for (size_t i = 0; i < a->list.n; i++)
		must(a->list.items[i][0] != '\0');
	for (size_t i = 0; i < KM_ARRAY_LEN(opts); i++)
		must(km_opt_equal(&opts[i], a, b));
	must(km_config_enabled(config, section) == km_config_enabled(again, section));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct km_diag diag = KM_DIAG_INIT("f.ini");
	struct km_buf shown = KM_BUF_INIT(KM_INI_TEXT_MAX);
	struct km_config *config = NULL, *again = NULL;
	int r = km_config_parse(sections, "f.ini", (const char *)data, size, &config, &diag);

	must(r == 0 || r == -EINVAL);
	must((r == 0) == (config != NULL) && (r == 0) == (diag.errors == 0));
	if (r < 0) {
		check_lines(&diag);
	} else {
		km_config_show(config, &shown);
		must(shown.error == 0);
		/* quoting may make a line longer than a line may be */
		if (km_config_parse(sections, "f.ini", shown.data, shown.len, &again, &diag) == 0) {
			check_section(config, again, &a_section);
			check_section(config, again, &b_section);
		} else {
			must(strstr(diag.text.data, ": the line is longer than ") != NULL);
		}
		km_config_unref(again);
		km_config_unref(config);
	}
	km_buf_free(&shown);
	km_diag_free(&diag);
	return 0;
}
