/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The INI and its diagnostics: every kind of error with its place and text, all of a file at once, and what is
 * accepted.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/config.h"
#include "core/config_private.h"

struct net {
	int64_t port, period;
	const char *name, *file, *token;
	bool insecure;
	int mode;
	struct km_strlist names;
};

static const char *const modes[] = {"auto", "verify", "pin", NULL};

static const struct km_opt net_opts[] = {
	{.key = "secure-port",
		.type = KM_OPT_INT,
		.offset = offsetof(struct net, port),
		.dflt = "4443",
		.min = 1,
		.max = 65535,
		.doc = "port"},
	{.key = "metric-resolution",
		.type = KM_OPT_DURATION,
		.offset = offsetof(struct net, period),
		.dflt = "15s",
		.min = INT64_C(5000000000),
		.max = INT64_C(600000000000),
		.doc = "period"},
	{.key = "name", .type = KM_OPT_STRING, .offset = offsetof(struct net, name), .doc = "name"},
	{.key = "cert-file", .type = KM_OPT_PATH, .offset = offsetof(struct net, file), .doc = "file"},
	{.key = "token",
		.type = KM_OPT_LIST,
		.offset = offsetof(struct net, names),
		.flags = KM_OPT_SECRET,
		.doc = "secret"},
	{.key = "insecure", .type = KM_OPT_BOOL, .offset = offsetof(struct net, insecure), .dflt = "no", .doc = "bool"},
	{.key = "mode",
		.type = KM_OPT_ENUM,
		.offset = offsetof(struct net, mode),
		.dflt = "auto",
		.choices = modes,
		.doc = "enum"},
};

static void check_net(const void *conf, struct km_diag *diag)
{
	const struct net *n = conf;

	if (n->insecure && n->mode == 2) {
		km_diag_key(diag, "mode", "mode = pin and insecure = yes exclude each other");
		km_diag_key(diag, "insecure", "see mode");
	}
	if (n->port == 4443 && n->insecure)
		km_diag_key(diag, "secure-port", "4443 is not for insecure = yes");
}

struct extra {
	int64_t count;
};

static const struct km_opt extra_opts[] = {
	{.key = "count", .type = KM_OPT_INT, .offset = offsetof(struct extra, count), .dflt = "0", .doc = "count"},
};

static void check_extra(const void *conf, struct km_diag *diag)
{
	const struct extra *e = conf;

	if (e->count == 13)
		km_diag_key(diag, "count", "13 is refused");
	if (e->count == 14)
		km_diag_key(diag, "enabled", "not with 14");
	if (e->count == 15)
		km_diag_add(diag, 0, "15 has no line");
}

static const struct km_section net_section = {.name = "net",
	.doc = "the network",
	.size = sizeof(struct net),
	.opts = net_opts,
	.n_opts = KM_ARRAY_LEN(net_opts),
	.on_when_absent = true,
	.check = check_net};
static const struct km_section extra_section = {.name = "extra",
	.doc = "more",
	.size = sizeof(struct extra),
	.opts = extra_opts,
	.n_opts = KM_ARRAY_LEN(extra_opts),
	.check = check_extra};
static const struct km_section *const sections[] = {&net_section, &extra_section, NULL};

/* Parses text; the diagnostics, which the caller frees, or NULL when there were none. */
static char *errors_of(const char *text, size_t len)
{
	struct km_diag diag = KM_DIAG_INIT("f.ini");
	struct km_config *config = (void *)&diag;
	int r = km_config_parse(sections, "f.ini", text, len, &config, &diag);
	char *out = NULL;

	if (r == 0) {
		assert_int_equal(diag.errors, 0);
		assert_int_equal(diag.text.len, 0);
		km_config_unref(config);
	} else {
		assert_int_equal(r, -EINVAL);
		assert_ptr_equal(config, &diag); /* untouched */
		assert_true(diag.errors > 0);
		out = km_buf_take(&diag.text, NULL);
		assert_non_null(out);
	}
	km_diag_free(&diag);
	return out;
}

static void test_errors(void **state)
{
	static const struct {
		const char *text, *errors;
	} rows[] = {
		/* lines */
		{"[net\n", "f.ini:1: a section header must be [NAME] alone on its line\n"},
		{"[net] x\n", "f.ini:1: a section header must be [NAME] alone on its line\n"},
		{"[net] # x\n", "f.ini:1: a section header must be [NAME] alone on its line\n"},
		{"[a b]\n", "f.ini:1: \"[a b]\" is not a section name\n"},
		{"[]\n", "f.ini:1: \"[]\" is not a section name\n"},
		{"[net]\nsecure-port\n",
			"f.ini:2: \"secure-port\" is neither a [section] nor KEY = VALUE nor a comment (#)\n"},
		/* what may be a secret is not repeated */
		{"[net]\ntoken hunter2\n",
			"f.ini:2: \"token\" is neither a [section] nor KEY = VALUE nor a comment (#)\n"},
		{"[net]\ntoken:hunter2\n",
			"f.ini:2: \"token\" is neither a [section] nor KEY = VALUE nor a comment (#)\n"},
		{"[net]\ntoken = a,hunter2,\n", "f.ini:2: token = ********: has an empty item: write A,B,C\n"},
		{"[net]\n= 5\n", "f.ini:2: \"\" is not a key\n"},
		{"[net]\nsecure port = 5\n", "f.ini:2: \"secure port\" is not a key\n"},
		{"[net]\nname = \"a\n",
			"f.ini:2: name: the quotes do not match (write \" as \\\" and \\ as \\\\ inside quotes)\n"},
		{"[net]\nname = \"a\" b\n",
			"f.ini:2: name: the quotes do not match (write \" as \\\" and \\ as \\\\ inside quotes)\n"},
		{"[net]\nname = \"a\"b\"\n",
			"f.ini:2: name: the quotes do not match (write \" as \\\" and \\ as \\\\ inside quotes)\n"},
		{"[net]\nname = \"\\n\"\n",
			"f.ini:2: name: the quotes do not match (write \" as \\\" and \\ as \\\\ inside quotes)\n"},
		{"[net]\nname = \"a\\\"\n",
			"f.ini:2: name: the quotes do not match (write \" as \\\" and \\ as \\\\ inside quotes)\n"},
		{"[net]\nname = \"\n",
			"f.ini:2: name: the quotes do not match (write \" as \\\" and \\ as \\\\ inside quotes)\n"},
		{"[net]\nname = a\rb\n", "f.ini:2: a control character (0x0d) has no place here\n"},
		{"[net]\nname = \x1b[31m\n", "f.ini:2: a control character (0x1b) has no place here\n"},
		{"# \x7f\n", "f.ini:1: a control character (0x7f) has no place here\n"},
		/* places */
		{"secure-port = 1\n[net]\n", "f.ini:1: secure-port stands before the first [section]\n"},
		{"[nett]\nsecure-port = x\n", "f.ini:1: there is no section [nett]; did you mean [net]?\n"},
		{"[Net]\n", "f.ini:1: there is no section [Net]; did you mean [net]?\n"},
		{"[aggregator]\nwhatever = 1\n", "f.ini:1: there is no section [aggregator]\n"},
		{"[net]\n[extra]\n[net]\n",
			"f.ini:3: [net] is here a second time (first on line 1): put its keys together\n"},
		{"[net]\nsecure_port = 1\n", "f.ini:2: [net] has no key secure_port; did you mean secure-port?\n"},
		{"[net]\n--metric-resolution = 1s\n",
			"f.ini:2: [net] has no key --metric-resolution; did you mean metric-resolution?\n"},
		{"[net]\nnmae = x\n", "f.ini:2: [net] has no key nmae; did you mean name?\n"},
		{"[net]\nnaem1 = x\n", "f.ini:2: [net] has no key naem1 (kmetricsd config sample lists them)\n"},
		{"[net]\nmetrics-resolutoin = 1s\n",
			"f.ini:2: [net] has no key metrics-resolutoin; did you mean metric-resolution?\n"},
		{"[net]\nnam = x\n", "f.ini:2: [net] has no key nam; did you mean name?\n"},
		{"[extra]\nenabeld = no\n", "f.ini:2: [extra] has no key enabeld; did you mean enabled?\n"},
		{"[net]\nenabled = yes\n", "f.ini:2: [net] has no key enabled (kmetricsd config sample lists them)\n"},
		/* a section nobody can name swallows what is below it, and nothing more */
		{"[net\nsecure-port = x\nbla\n[extra]\ncount = y\n",
			"f.ini:1: a section header must be [NAME] alone on its line\n"
			"f.ini:3: \"bla\" is neither a [section] nor KEY = VALUE nor a comment (#)\n"
			"f.ini:5: count = y: must be a whole number\n"},
		/* twice */
		{"[net]\nname = a\n\nname = a\n", "f.ini:4: name is set twice (first on line 2)\n"},
		{"[extra]\nenabled = no\nenabled = no\n", "f.ini:3: enabled is set twice (first on line 2)\n"},
		/* values */
		{"[extra]\nenabled = maybe\n", "f.ini:2: enabled = maybe: must be yes or no\n"},
		{"[extra]\nenabled =\n", "f.ini:2: enabled = : must be yes or no\n"},
		{"[net]\ninsecure = 2\n", "f.ini:2: insecure = 2: must be yes or no\n"},
		{"[net]\nsecure-port = 0\n", "f.ini:2: secure-port = 0: must be from 1 to 65535\n"},
		{"[net]\nmetric-resolution = 4s\n", "f.ini:2: metric-resolution = 4s: must be from 5s to 10m0s\n"},
		{"[net]\nmode = Auto\n", "f.ini:2: mode = Auto: must be one of auto, verify, pin\n"},
		{"[net]\ncert-file = a.pem\n", "f.ini:2: cert-file = a.pem: must be an absolute path\n"},
		/* checks */
		{"[net]\n\ninsecure = yes\nmode = pin\nsecure-port = 5\n",
			"f.ini:4: mode = pin and insecure = yes exclude each other\nf.ini:3: see mode\n"},
		{"\n[net]\ninsecure = yes\n", "f.ini:2: 4443 is not for insecure = yes\n"},
		{"[extra]\ncount = 13\n", "f.ini:2: 13 is refused\n"},
		{"[extra]\ncount = 14\n", "f.ini:1: not with 14\n"},
		{"[extra]\ncount = 14\nenabled = on\n", "f.ini:3: not with 14\n"},
		{"[extra]\ncount = 15\n", "f.ini: 15 has no line\n"},
		/* all at once: lines, values and the checks of all sections that are fine so far */
		{"[net]\ninsecure = yes\nmode = pin\n[extra]\ncount = 13\n",
			"f.ini:3: mode = pin and insecure = yes exclude each other\n"
			"f.ini:2: see mode\n"
			"f.ini:1: 4443 is not for insecure = yes\n"
			"f.ini:5: 13 is refused\n"},
		{"[net]\nsecure-port = x\ninsecure = yes\nbla\n[extra]\ncount = 13\n",
			"f.ini:2: secure-port = x: must be a whole number\n"
			"f.ini:4: \"bla\" is neither a [section] nor KEY = VALUE nor a comment (#)\n"
			"f.ini:6: 13 is refused\n"},
		/* a check is not called on values nobody wrote: also when the bad line is the section's last */
		{"[extra]\ncount = 13\nbla\n",
			"f.ini:3: \"bla\" is neither a [section] nor KEY = VALUE nor a comment (#)\n"},
		{"[extra]\ncount = 13\nbla\n[net]\n",
			"f.ini:3: \"bla\" is neither a [section] nor KEY = VALUE nor a comment (#)\n"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		char *errors = errors_of(rows[i].text, strlen(rows[i].text));

		if (!errors)
			fail_msg("no error in: %s", rows[i].text);
		assert_string_equal(errors, rows[i].errors);
		free(errors);
	}
}

static void test_nul(void **state)
{
	static const char text[] = "[net]\nname = a\0b\nmode = x\n";
	char *errors = errors_of(text, sizeof(text) - 1);

	assert_string_equal(errors, "f.ini:2: a control character (0x00) has no place here\n"
				    "f.ini:3: mode = x: must be one of auto, verify, pin\n");
	free(errors);
}

/* What is no error: each sets name, or leaves it. */
static void test_accepted(void **state)
{
	static const struct {
		const char *text, *name;
	} rows[] = {
		{"", ""},
		{"\n\n", ""},
		{"\xef\xbb\xbf[net]\nname = bom", "bom"},
		{"\xef\xbb\xbf", ""},
		{"[net]\r\nname = crlf\r\n", "crlf"},
		{"[net]\r\nname = last\r", "last"},
		{" \t[ net ] \nname=tight", "tight"},
		{"[net]\n\t name\t=\t wide \t\n", "wide"},
		{"[net]\n# name = no\n ; name = no\nname = yes\n", "yes"},
		{"[net]\nname = a # b ; c\n", "a # b ; c"},
		{"[net]\nname = #a\n", "#a"},
		{"[net]\nname = a=b = c\n", "a=b = c"},
		{"[net]\nname = [x]\n", "[x]"},
		{"[net]\nname =\n", ""},
		{"[net]\nname = \"\"\n", ""},
		{"[net]\nname = \"  a  \"\n", "  a  "},
		{"[net]\nname = \"a \\\"b\\\" \\\\ c\"\n", "a \"b\" \\ c"},
		{"[net]\nname = a\"b\n", "a\"b"},
		{"[net]\nname = 'a'\n", "'a'"},
		{"[net]\nname = \\n\n", "\\n"},
		{"[net]\nname = \xc3\xa9 \xe2\x82\xac\n", "\xc3\xa9 \xe2\x82\xac"},
		{"[net]\nname = a\tb\n", "a\tb"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct km_diag diag = KM_DIAG_INIT("f.ini");
		struct km_config *config = NULL;
		const struct net *net;

		if (km_config_parse(sections, "f.ini", rows[i].text, strlen(rows[i].text), &config, &diag) != 0)
			fail_msg("refused: %s\n%s", rows[i].text, diag.text.data);
		net = km_config_section(config, &net_section);
		assert_string_equal(net->name, rows[i].name);
		assert_int_equal(net->port, 4443);
		assert_string_equal(km_config_path(config), "f.ini");
		km_config_unref(config);
		km_diag_free(&diag);
	}
}

static void test_enabled(void **state)
{
	static const struct {
		const char *text;
		bool on;
	} rows[] = {
		{"", false}, {"[extra]\n", true}, {"[extra]\nenabled = yes\n", true},
		{"[extra]\nenabled = OFF\n", false},
		{"[extra]\nenabled = no\ncount = 13\n", false}, /* its check is not called */
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct km_diag diag = KM_DIAG_INIT("f.ini");
		struct km_config *config = NULL;

		assert_int_equal(
			km_config_parse(sections, "f.ini", rows[i].text, strlen(rows[i].text), &config, &diag), 0);
		assert_int_equal(km_config_enabled(config, &extra_section), rows[i].on);
		assert_true(km_config_enabled(config, &net_section));
		km_config_unref(config);
		km_diag_free(&diag);
	}
}

/* More errors than are shown are counted. */
static void test_many(void **state)
{
	struct km_buf text = KM_BUF_INIT(1 << 20);
	char *errors, *last;
	size_t lines = 0;

	for (int i = 0; i < 100; i++)
		km_buf_adds(&text, "bla\n");
	errors = errors_of(text.data, text.len);
	assert_non_null(errors);
	for (char *p = errors; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, KM_DIAG_MAX + 1);
	last = strstr(errors, "f.ini:64: ");
	assert_non_null(last);
	assert_string_equal(strchr(last, '\n') + 1, "f.ini: and 36 more errors\n");
	free(errors);
	km_buf_free(&text);
}

/* As long as a path and a message can be: no line is lost. */
static void test_long_path(void **state)
{
	char path[PATH_MAX];
	struct km_diag diag = KM_DIAG_INIT(path);
	size_t lines = 0;

	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	for (int i = 0; i < KM_DIAG_MAX; i++)
		km_diag_add(&diag, UINT_MAX, "%0*d", KM_ERR_TEXT_MAX + 200, i);
	assert_int_equal(diag.text.error, 0);
	for (size_t i = 0; i < diag.text.len; i++)
		lines += diag.text.data[i] == '\n';
	assert_int_equal(lines, KM_DIAG_MAX);
	km_diag_free(&diag);
}

static void test_limits(void **state)
{
	size_t size = KM_INI_TEXT_MAX + 1;
	char *text = malloc(size + 1), *errors;

	assert_non_null(text);
	/* one line as long as a line may be, and one longer */
	memset(text, 'a', size);
	memcpy(text, "[net]\nname=", 11);
	text[6 + KM_INI_LINE_MAX] = '\n';
	assert_null(errors_of(text, 6 + KM_INI_LINE_MAX + 1));
	text[6 + KM_INI_LINE_MAX] = '\r'; /* does not count */
	text[6 + KM_INI_LINE_MAX + 1] = '\n';
	assert_null(errors_of(text, 6 + KM_INI_LINE_MAX + 2));
	text[6 + KM_INI_LINE_MAX] = 'a';
	errors = errors_of(text, 6 + KM_INI_LINE_MAX + 1);
	assert_string_equal(errors, "f.ini:2: the line is longer than 8192 bytes\n");
	free(errors);
	/* the whole */
	memset(text, '\n', size);
	assert_null(errors_of(text, size - 1));
	errors = errors_of(text, size);
	assert_string_equal(errors, "f.ini: larger than 1048576 bytes\n");
	free(errors);
	free(text);
}

static void test_load(void **state)
{
	char path[] = "/tmp/kmetricsd-config.XXXXXX", expected[256];
	struct km_diag diag = KM_DIAG_INIT(path), missing = KM_DIAG_INIT("/nonexistent/kmetricsd.ini");
	struct km_config *config = NULL;
	int fd = mkstemp(path);
	static const char bad[] = "[net]\nmode = x\n";

	assert_true(fd >= 0);
	assert_int_equal(km_config_load(sections, path, &config, &diag), 0);
	assert_string_equal(km_config_path(config), path);
	km_config_unrefp(&config);
	assert_null(config);
	assert_int_equal(write(fd, bad, sizeof(bad) - 1), sizeof(bad) - 1);
	assert_int_equal(km_config_load(sections, path, &config, &diag), -EINVAL);
	snprintf(expected, sizeof(expected), "%s:2: mode = x: must be one of auto, verify, pin\n", path);
	assert_string_equal(diag.text.data, expected);
	close(fd);
	unlink(path);
	assert_int_equal(km_config_load(sections, missing.file, &config, &missing), -ENOENT);
	assert_int_equal(missing.errors, 1);
	assert_non_null(strstr(missing.text.data, "/nonexistent/kmetricsd.ini"));
	assert_int_equal(missing.text.data[missing.text.len - 1], '\n');
	km_diag_free(&missing);
	km_diag_free(&diag);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_enabled),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_long_path),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
