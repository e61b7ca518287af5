/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values of the option table: each type's reading, range and printing; what `config show` and `config sample` print
 * reads back the same; which fixed options a reload would change.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/config.h"
#include "core/config_private.h"

struct all {
	bool flag, plain_flag;
	int64_t number, any_number, period, any_period;
	double ratio, any_ratio;
	const char *text, *path, *secret;
	struct km_strlist list;
	int mode, plain_mode;
};

static const char *const modes[] = {"auto", "verify", "pin", NULL};

#define ROW(key_, type_, field_) \
	.key = key_, .type = type_, .offset = offsetof(struct all, field_), .doc = key_ " it is"

static const struct km_opt opts[] = {
	{ROW("flag", KM_OPT_BOOL, flag), .dflt = "yes"},
	{ROW("plain-flag", KM_OPT_BOOL, plain_flag), .flags = KM_OPT_NO_RELOAD},
	{ROW("number", KM_OPT_INT, number), .dflt = "-5", .min = -10, .max = 10, .flags = KM_OPT_NO_RELOAD},
	{ROW("any-number", KM_OPT_INT, any_number)},
	{ROW("period", KM_OPT_DURATION, period), .dflt = "5m0s", .min = 1, .max = INT64_C(3600000000000),
		.flags = KM_OPT_NO_RELOAD},
	{ROW("any-period", KM_OPT_DURATION, any_period)},
	{ROW("ratio", KM_OPT_DOUBLE, ratio), .dflt = "0.1", .min = 1, .max = 1001, .flags = KM_OPT_NO_RELOAD},
	{ROW("any-ratio", KM_OPT_DOUBLE, any_ratio)},
	{ROW("text", KM_OPT_STRING, text), .flags = KM_OPT_NO_RELOAD},
	{ROW("path", KM_OPT_PATH, path), .dflt = "/a b", .flags = KM_OPT_NO_RELOAD},
	{ROW("secret", KM_OPT_STRING, secret), .flags = KM_OPT_SECRET},
	{ROW("list", KM_OPT_LIST, list), .dflt = "a,b", .flags = KM_OPT_NO_RELOAD},
	{ROW("mode", KM_OPT_ENUM, mode), .dflt = "pin", .choices = modes, .flags = KM_OPT_NO_RELOAD},
	{ROW("plain-mode", KM_OPT_ENUM, plain_mode), .choices = modes},
};

static const struct km_section all_section = {
	.name = "all", .doc = "all types", .size = sizeof(struct all), .opts = opts, .n_opts = KM_ARRAY_LEN(opts)};
static const struct km_section off_section = {.name = "off", .doc = "nothing in it", .size = 1, .off_in_sample = true};
static const struct km_section *const sections[] = {&all_section, &off_section, NULL};

static struct km_config *parse(const char *text)
{
	struct km_diag diag = KM_DIAG_INIT("v.ini");
	struct km_config *config = NULL;

	if (km_config_parse(sections, "v.ini", text, strlen(text), &config, &diag) != 0)
		fail_msg("%s\nin\n%s", diag.text.data, text);
	km_diag_free(&diag);
	return config;
}

static const struct all *values(const struct km_config *config)
{
	return km_config_section(config, &all_section);
}

static void test_defaults(void **state)
{
	struct km_config *config = parse("");
	const struct all *a = values(config);

	assert_true(a->flag);
	assert_false(a->plain_flag);
	assert_int_equal(a->number, -5);
	assert_int_equal(a->any_number, 0);
	assert_true(a->period == INT64_C(300000000000));
	assert_int_equal(a->any_period, 0);
	assert_true(a->ratio == 0.1);
	assert_true(a->any_ratio == 0);
	assert_string_equal(a->text, "");
	assert_string_equal(a->path, "/a b");
	assert_string_equal(a->secret, "");
	assert_int_equal(a->list.n, 2);
	assert_string_equal(a->list.items[0], "a");
	assert_string_equal(a->list.items[1], "b");
	assert_int_equal(a->mode, 2);
	assert_int_equal(a->plain_mode, 0);
	km_config_unref(config);
}

/* One value of each row: how `config show` prints it again, or why it is refused. */
static void test_values(void **state)
{
	static const struct {
		const char *key, *value, *shown, *error;
	} rows[] = {
		{"flag", "YES", "yes", NULL},
		{"flag", "true", "yes", NULL},
		{"flag", "On", "yes", NULL},
		{"flag", "1", "yes", NULL},
		{"flag", "no", "no", NULL},
		{"flag", "False", "no", NULL},
		{"flag", "off", "no", NULL},
		{"flag", "0", "no", NULL},
		{"flag", "", NULL, "must be yes or no"},
		{"flag", "y", NULL, "must be yes or no"},
		{"number", "-10", "-10", NULL},
		{"number", "10", "10", NULL},
		{"number", "007", "7", NULL},
		{"number", "-0", "0", NULL},
		{"number", "-11", NULL, "must be from -10 to 10"},
		{"number", "11", NULL, "must be from -10 to 10"},
		{"number", "99999999999999999999999", NULL, "must be from -10 to 10"},
		{"number", "", NULL, "must be a whole number"},
		{"number", "-", NULL, "must be a whole number"},
		{"number", "+5", NULL, "must be a whole number"},
		{"number", "5s", NULL, "must be a whole number"},
		{"number", "0x5", NULL, "must be a whole number"},
		{"number", "1.0", NULL, "must be a whole number"},
		{"any-number", "9223372036854775806", "9223372036854775806", NULL},
		{"any-number", "-9223372036854775807", "-9223372036854775807", NULL},
		{"any-number", "9223372036854775808", NULL, "is too large a number"},
		{"any-number", "-99999999999999999999999999999999999", NULL, "is too large a number"},
		{"period", "15s", "15s", NULL},
		{"period", "300s", "5m0s", NULL},
		{"period", "1.5h", NULL, "must be from 1ns to 1h0m0s"},
		{"period", "0", NULL, "must be from 1ns to 1h0m0s"},
		{"period", "-5s", NULL, "must be from 1ns to 1h0m0s"},
		{"period", "15", NULL, "must be a duration such as 15s or 5m0s"},
		{"period", "", NULL, "must be a duration such as 15s or 5m0s"},
		{"any-period", "0", "0s", NULL},
		{"any-period", "-1.5ms", "-1.5ms", NULL},
		{"any-period", "99999999h", NULL, "must be a duration such as 15s or 5m0s"},
		{"ratio", "0.1", "0.1", NULL},
		{"ratio", ".5", "0.5", NULL},
		{"ratio", "1.", "1", NULL},
		{"ratio", "0.001", "0.001", NULL}, /* the bounds are inside */
		{"ratio", "1.001", "1.001", NULL},
		{"ratio", "0.000999", NULL, "must be from 0.001 to 1.001"},
		{"ratio", "1.0011", NULL, "must be from 0.001 to 1.001"},
		{"ratio", "-0.1", NULL, "must be from 0.001 to 1.001"},
		{"ratio", "0,1", NULL, "must be a number such as 0.1"},
		{"ratio", "1e-1", NULL, "must be a number such as 0.1"},
		{"ratio", "nan", NULL, "must be a number such as 0.1"},
		{"ratio", "", NULL, "must be a number such as 0.1"},
		{"ratio", ".", NULL, "must be a number such as 0.1"},
		{"ratio", "0.1.1", NULL, "must be a number such as 0.1"},
		{"ratio", "0.1000000000000000", NULL, "has more than 15 digits"},
		{"ratio", "0.0000000000000001", NULL, "has more than 15 digits"},
		{"ratio", "1234567890123456", NULL, "has more than 15 digits"},
		{"any-ratio", "000000000000000000001.5", "1.5", NULL},
		{"any-ratio", "999999999999999", "999999999999999", NULL},
		{"any-ratio", "0.999999999999999", "0.999999999999999", NULL},
		{"any-ratio", "-0", "0", NULL},
		{"any-ratio", "-12.25", "-12.25", NULL},
		{"any-ratio", "1000000", "1000000", NULL},
		{"any-ratio", "0.1234567", "0.1234567", NULL},
		{"any-ratio", "0.00000000000001", "0.00000000000001", NULL},
		{"any-ratio", "123456789012345", "123456789012345", NULL},
		{"any-ratio", "-1234567.12345678", "-1234567.12345678", NULL},
		{"any-ratio", "0.333333333333333", "0.333333333333333", NULL},
		{"text", "a \"b\"", "a \"b\"", NULL},
		{"text", "\" a\"", "\" a\"", NULL},
		{"text", "\"\\\"a\\\\\"", "\"\\\"a\\\\\"", NULL},
		{"text", "a\\", "a\\", NULL},
		{"path", "", "", NULL},
		{"path", "/", "/", NULL},
		{"path", "./a", NULL, "must be an absolute path"},
		{"secret", "hunter2", "********", NULL},
		{"list", "", "", NULL},
		{"list", "x", "x", NULL},
		{"list", " x , y z ,z", "x,y z,z", NULL},
		{"list", "\"\\\"x\"", "\"\\\"x\"", NULL},
		{"list", "x,,y", NULL, "has an empty item: write A,B,C"},
		{"list", ",", NULL, "has an empty item: write A,B,C"},
		{"list", "x,", NULL, "has an empty item: write A,B,C"},
		{"list", "x, ", NULL, "has an empty item: write A,B,C"},
		{"list", ",x", NULL, "has an empty item: write A,B,C"},
		{"mode", "verify", "verify", NULL},
		{"mode", "", NULL, "must be one of auto, verify, pin"},
		{"mode", "pi", NULL, "must be one of auto, verify, pin"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct km_diag diag = KM_DIAG_INIT("v.ini");
		struct km_buf shown = KM_BUF_INIT(1 << 20);
		struct km_config *config = NULL;
		char text[256], line[256];
		int n = snprintf(text, sizeof(text), "[all]\n%s = %s\n", rows[i].key, rows[i].value);
		int r = km_config_parse(sections, "v.ini", text, (size_t)n, &config, &diag);

		if (rows[i].error) {
			const char *value = strcmp(rows[i].value, "x, ") == 0 ? "x," : rows[i].value;

			assert_int_equal(r, -EINVAL);
			snprintf(line, sizeof(line), "v.ini:2: %s = %s: %s\n", rows[i].key, value, rows[i].error);
			assert_string_equal(diag.text.data, line);
		} else {
			if (r != 0)
				fail_msg("%s", diag.text.data);
			km_config_show(config, &shown);
			snprintf(line, sizeof(line), "\n%s = %s\n", rows[i].key, rows[i].shown);
			if (!strstr(shown.data, line))
				fail_msg("no \"%s\" in\n%s", line, shown.data);
			km_config_unref(config);
		}
		km_buf_free(&shown);
		km_diag_free(&diag);
	}
}

static void test_list_limit(void **state)
{
	struct km_buf text = KM_BUF_INIT(1 << 20);
	struct km_diag diag = KM_DIAG_INIT("v.ini");
	struct km_config *config = NULL;

	km_buf_adds(&text, "[all]\nlist = a");
	for (int i = 1; i < KM_INI_LIST_MAX; i++)
		km_buf_adds(&text, ",a");
	config = parse(text.data);
	assert_int_equal(values(config)->list.n, KM_INI_LIST_MAX);
	km_config_unref(config);
	km_buf_adds(&text, ",a");
	assert_int_equal(km_config_parse(sections, "v.ini", text.data, text.len, &config, &diag), -EINVAL);
	assert_non_null(strstr(diag.text.data, ": has more than 256 items\n"));
	km_diag_free(&diag);
	km_buf_free(&text);
}

static void test_show(void **state)
{
	static const char text[] = "[all]\nnumber = 7\nsecret = hunter2\ntext = \" x\"\n";
	static const char expected[] = "# effective configuration of v.ini\n"
				       "\n[all]\nenabled = yes\n"
				       "# default:\nflag = yes\n"
				       "# default:\nplain-flag = no\n"
				       "number = 7\n"
				       "# default:\nany-number = 0\n"
				       "# default:\nperiod = 5m0s\n"
				       "# default:\nany-period = 0s\n"
				       "# default:\nratio = 0.1\n"
				       "# default:\nany-ratio = 0\n"
				       "text = \" x\"\n"
				       "# default:\npath = /a b\n"
				       "secret = ********\n"
				       "# default:\nlist = a,b\n"
				       "# default:\nmode = pin\n"
				       "# default:\nplain-mode = auto\n"
				       "\n[off]\nenabled = no\n";
	struct km_buf shown = KM_BUF_INIT(1 << 20);
	struct km_config *config = parse(text), *second;

	km_config_show(config, &shown);
	assert_string_equal(shown.data, expected);
	second = parse(shown.data);
	for (size_t i = 0; i < KM_ARRAY_LEN(opts); i++)
		assert_int_equal(
			km_opt_equal(&opts[i], values(config), values(second)), !(opts[i].flags & KM_OPT_SECRET));
	assert_false(km_config_enabled(second, &off_section));
	km_config_unref(second);
	km_config_unref(config);
	km_buf_free(&shown);
}

/* The sample passes, gives the defaults, and still does with every option's # taken away. */
static void test_sample(void **state)
{
	struct km_buf sample = KM_BUF_INIT(1 << 20);
	struct km_config *plain, *open, *defaults = parse("[all]\n");
	char *p;

	km_config_sample(sections, &sample);
	assert_int_equal(sample.error, 0);
	assert_non_null(strstr(sample.data, "\n# all types\n[all]\nenabled = yes\n"));
	assert_non_null(strstr(sample.data, "\n# nothing in it\n[off]\nenabled = no\n"));
	assert_non_null(strstr(sample.data, "\n# number it is\n# (takes effect at the next start)\n#number = -5\n"));
	assert_non_null(strstr(sample.data, "\n# plain-mode it is\n# one of: auto verify pin\n#plain-mode = auto\n"));
	assert_non_null(strstr(sample.data, "\n#any-period = 0\n"));
	plain = parse(sample.data);
	for (p = sample.data; (p = strstr(p, "\n#")); p++)
		if (p[2] != ' ')
			p[1] = ' ';
	open = parse(sample.data);
	for (size_t i = 0; i < KM_ARRAY_LEN(opts); i++) {
		assert_true(km_opt_equal(&opts[i], values(plain), values(defaults)));
		assert_true(km_opt_equal(&opts[i], values(open), values(defaults)));
	}
	assert_true(km_config_enabled(open, &all_section));
	assert_false(km_config_enabled(open, &off_section));
	km_config_unref(plain);
	km_config_unref(open);
	km_config_unref(defaults);
	km_buf_free(&sample);
}

static void note(const char *section, const char *key, void *arg)
{
	km_buf_addf(arg, "%s.%s ", section, key);
}

static void test_changed_fixed(void **state)
{
	static const struct {
		const char *before, *after, *changed;
	} rows[] = {
		{"", "", ""},
		{"", "[all]\nnumber = -5\nperiod = 300s\nratio = 0.10\nlist = a , b\n", ""}, /* the same values */
		{"", "[all]\nflag = no\nany-number = 1\nany-period = 1s\nany-ratio = 1\nsecret = x\nplain-mode = pin\n",
			""}, /* not fixed */
		{"", "[all]\nplain-flag = yes\n", "all.plain-flag "},
		{"[all]\nnumber = 1\n", "[all]\nnumber = 2\n", "all.number "},
		{"[all]\nperiod = 1s\n", "[all]\nperiod = 1001ms\n", "all.period "},
		{"[all]\nratio = 0.1\n", "[all]\nratio = 0.10000001\n", "all.ratio "},
		{"[all]\ntext = a\npath = /a\n", "[all]\ntext = A\npath = /\n", "all.text all.path "},
		{"", "[all]\nlist = b,a\n", "all.list "},
		{"", "[all]\nlist = a\n", "all.list "},
		{"[all]\nlist = a\n", "", "all.list "},
		{"", "[all]\nmode = auto\n", "all.mode "},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct km_config *before = parse(rows[i].before), *after = parse(rows[i].after);
		struct km_buf changed = KM_BUF_INIT(1024);
		size_t n = km_config_changed_fixed(before, after, note, &changed), spaces = 0;

		km_buf_adds(&changed, "");
		assert_string_equal(changed.data, rows[i].changed);
		for (const char *p = changed.data; *p; p++)
			spaces += *p == ' ';
		assert_int_equal(n, spaces);
		km_buf_free(&changed);
		km_config_unref(before);
		km_config_unref(after);
	}
}

/* A configuration outlives the one that replaces it as long as somebody holds it. */
static void test_references(void **state)
{
	struct km_config *config = parse("[all]\ntext = held\n"), *held = km_config_ref(config);

	assert_ptr_equal(config, held);
	km_config_unref(config);
	assert_string_equal(values(held)->text, "held");
	km_config_unrefp(&held);
	assert_null(held);
	km_config_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_list_limit),
		cmocka_unit_test(test_show),
		cmocka_unit_test(test_sample),
		cmocka_unit_test(test_changed_fixed),
		cmocka_unit_test(test_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
