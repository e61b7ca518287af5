/* SPDX-License-Identifier: Apache-2.0 */
/* /stats/summary: what becomes a line, and that a bad figure costs only itself. */
#include "aggregator/summary.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/aggregator/lines.h"

#define POD(containers) \
	"{\"node\":{},\"pods\":[{\"podRef\":{\"name\":\"p\",\"namespace\":\"n\"},\"containers\":[" containers "]}]}"
#define T "\"time\":\"2026-11-23T05:01:30Z\""

static const struct {
	const char *json, *lines;
	unsigned skipped;
} texts[] = {
	{"{\"node\":{}}", "", 0},
	{"{\"node\":{\"cpu\":{" T ",\"usageCoreNanoSeconds\":7},\"memory\":{" T ",\"workingSetBytes\":8}}}",
		"node-cpu 7\nnode-mem 8\n", 0},
	{POD("{\"name\":\"c\",\"startTime\":\"2026-11-23T05:00:00Z\",\"cpu\":{" T
	     ",\"usageCoreNanoSeconds\":7},\"memory\":{" T ",\"workingSetBytes\":8}}"),
		"cpu n/p/c 7\nmem n/p/c 8\nstart n/p/c 1795410000000000000\n", 0},
	/* no time: the request's; zero is a value */
	{POD("{\"name\":\"c\",\"cpu\":{\"usageCoreNanoSeconds\":0},\"memory\":{\"workingSetBytes\":0}}"),
		"cpu n/p/c 0\nmem n/p/c 0\n", 0},
	{POD("{\"name\":\"c\",\"swap\":{\"swapUsageBytes\":4096,\"swapAvailableBytes\":7}}"), "swap n/p/c 4096\n", 0},
	{"{\"node\":{\"swap\":{\"swapUsageBytes\":0}}}", "node-swap 0\n", 0},
	/* swap that cannot be read hides nothing else */
	{POD("{\"name\":\"c\",\"cpu\":{\"usageCoreNanoSeconds\":7},\"swap\":{\"swapUsageBytes\":-1}}"), "cpu n/p/c 7\n",
		1},
	/* nothing there */
	{POD("{\"name\":\"c\"}"), "", 0},
	{POD("{\"name\":\"c\",\"startTime\":null,\"cpu\":null,\"memory\":{\"workingSetBytes\":null}}"), "", 0},
	/* bad figures and times */
	{POD("{\"name\":\"c\",\"cpu\":{\"usageCoreNanoSeconds\":-1},\"memory\":{\"workingSetBytes\":8}}"),
		"mem n/p/c 8\nlisted n/p/c\n", 1},
	{POD("{\"name\":\"c\",\"cpu\":{\"time\":\"0001-01-01T00:00:00Z\",\"usageCoreNanoSeconds\":7}}"),
		"listed n/p/c\n", 1},
	{POD("{\"name\":\"c\",\"cpu\":{\"time\":\"2026-11-23T07:01:30Z\",\"usageCoreNanoSeconds\":7}}"),
		"listed n/p/c\n", 1},
	{POD("{\"name\":\"c\",\"cpu\":{\"time\":5,\"usageCoreNanoSeconds\":7}}"), "listed n/p/c\n", 1},
	{POD("{\"name\":\"c\",\"cpu\":{\"usageCoreNanoSeconds\":\"7\"}}"), "listed n/p/c\n", 1},
	{POD("{\"name\":\"c\",\"startTime\":\"never\",\"cpu\":{\"usageCoreNanoSeconds\":7}}"), "cpu n/p/c 7\n", 1},
	/* a counter that has wrapped costs itself */
	{POD("{\"name\":\"c\",\"cpu\":{\"usageCoreNanoSeconds\":18446744073709551615},\"memory\":{\"workingSetBytes\":"
	     "8192}}"),
		"mem n/p/c 8192\nlisted n/p/c\n", 1},
	/* names */
	{POD("{\"name\":\"\"},{\"name\":5},{},7,{\"name\":\"d\",\"cpu\":{\"usageCoreNanoSeconds\":7}}"),
		"cpu n/p/d 7\n", 4},
	{"{\"node\":{},\"pods\":[{\"containers\":[]},{\"podRef\":{\"name\":\"p\"}},5]}", "", 3},
	{"{\"node\":{},\"pods\":{\"a\":1}}", "", 0},
};

static int parse(const char *text, size_t len, struct km_buf *out, struct agg_prom_stats *stats, struct km_err *err)
{
	*out = KM_BUF_INIT(1024 * 1024);
	return agg_summary_parse(text, len, LINES_REQUEST_NS, lines_add, out, stats, err);
}

static void test_texts(void **state)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(texts); i++) {
		struct agg_prom_stats stats;
		struct km_err err = {0};
		struct km_buf out;

		print_message("%s\n", texts[i].json);
		assert_int_equal(parse(texts[i].json, strlen(texts[i].json), &out, &stats, &err), 0);
		assert_string_equal(out.data ? out.data : "", texts[i].lines);
		assert_int_equal(stats.skipped, texts[i].skipped);
		km_buf_free(&out);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{"", "not JSON"},
		{"<html>", "not JSON"},
		{"{\"node\":{}", "not JSON"},
		{"{\"node\":{\"cpu\":1e999}}", "not JSON"},
		{"[]", "no \"node\""},
		{"{}", "no \"node\""},
		{"{\"node\":[]}", "no \"node\""},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(bad); i++) {
		struct agg_prom_stats stats = {.lines = 77};
		struct km_err err = {0};
		struct km_buf out;

		assert_int_equal(parse(bad[i].text, strlen(bad[i].text), &out, &stats, &err), -EBADMSG);
		assert_non_null(strstr(err.text, bad[i].says));
		assert_int_equal(stats.lines, 77);
	}
}

static void test_too_long(void **state)
{
	char *text = malloc(AGG_SUMMARY_MAX + 1);
	struct agg_prom_stats stats;
	struct km_err err = {0};
	struct km_buf out;

	assert_non_null(text);
	memset(text, ' ', AGG_SUMMARY_MAX + 1);
	assert_int_equal(parse(text, AGG_SUMMARY_MAX + 1, &out, &stats, &err), -EMSGSIZE);
	free(text);
}

static void test_recorded(void **state)
{
	struct agg_prom_stats stats;
	struct km_err err = {0};
	struct km_buf out;
	size_t len;
	char *text = lines_sample("summary-1.20.json", &len);

	assert_int_equal(parse(text, len, &out, &stats, &err), 0);
	assert_int_equal(stats.skipped, 0);
	assert_int_equal(stats.lines, 8);
	assert_non_null(strstr(out.data, "node-cpu 1327903780777 @1795410081000000000\n"
					 "node-mem 2989998080 @1795410081000000000\n"
					 "cpu default/burn-5b9d9f5f88-7qmvl/main 2986411004\n"
					 "mem default/burn-5b9d9f5f88-7qmvl/main 729088\n"
					 "start default/burn-5b9d9f5f88-7qmvl/main 1795410062000000000\n"));
	km_buf_free(&out);
	free(text);
}

static int parse_storage(const char *text, size_t len, struct km_buf *out, struct km_err *err)
{
	*out = KM_BUF_INIT(65536);
	return agg_summary_parse_storage(text, len, lines_add, out, err);
}

static void test_storage(void **state)
{
	static const struct {
		const char *json, *lines; /* lines NULL: refused */
	} cases[] = {
		{"{\"node\":{\"fs\":{\"usedBytes\":7}}}", "node-storage 7\n"},
		{"{\"node\":{\"fs\":{\"capacityBytes\":7}},\"pods\":null}", ""},
		{POD("{\"name\":\"c\",\"rootfs\":{\"usedBytes\":4},\"logs\":{\"usedBytes\":8}}"), "storage n/p/c 12\n"},
		{POD("{\"name\":\"c\",\"logs\":{\"usedBytes\":8}},{\"name\":\"d\",\"rootfs\":{\"usedBytes\":0}}"),
			"storage n/p/c 8\nstorage n/p/d 0\n"},
		{POD("{\"name\":\"c\",\"logs\":{\"usedBytes\":-8},\"rootfs\":{}},{\"name\":\"\"},7"), ""},
		{POD("{\"name\":\"c\",\"logs\":{\"usedBytes\":9223372036854775807},\"rootfs\":{\"usedBytes\":1}}"), ""},
		{"{\"pods\":[]}", NULL},
		{"{\"node\":{\"fs\":{\"usedBytes\":7}},", NULL},
	};
	struct km_err err = {0};
	struct km_buf out;
	size_t len;
	char *text;

	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		int r = parse_storage(cases[i].json, strlen(cases[i].json), &out, &err);

		if ((r < 0) != !cases[i].lines || strcmp(out.data ? out.data : "", r < 0 ? "" : cases[i].lines) != 0)
			fail_msg("%s: %d %s", cases[i].json, r, out.data ? out.data : "");
		km_buf_free(&out);
	}
	text = lines_sample("summary-1.20.json", &len);
	assert_int_equal(parse_storage(text, len, &out, &err), 0);
	assert_non_null(strstr(out.data, "storage default/burn-5b9d9f5f88-7qmvl/main 2035712\n"));
	km_buf_free(&out);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_recorded),
		cmocka_unit_test(test_storage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
