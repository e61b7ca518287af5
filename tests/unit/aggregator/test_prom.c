/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus text of /metrics/resource: what becomes a line, exact numbers, and that a bad line costs only itself. */
#include "aggregator/prom.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "aggregator/store.h"
#include "core/clock.h"
#include "tests/unit/aggregator/lines.h"

#define L "{container=\"c\",namespace=\"n\",pod=\"p\"}"

static int parse(const char *text, size_t len, struct km_buf *out, struct agg_prom_stats *stats)
{
	/* exactly as large as the text, so that a byte too far is seen by the sanitizers */
	char *copy = malloc(len ? len : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, text, len);
	*out = KM_BUF_INIT(1024 * 1024);
	r = agg_prom_parse(copy, len, LINES_REQUEST_NS, lines_add, out, stats);
	free(copy);
	return r;
}

static const struct {
	const char *text, *lines;
	unsigned skipped;
	bool scrape_error;
} texts[] = {
	/* labels: any order, blanks, a trailing comma, others beside, none */
	{"container_memory_working_set_bytes{pod=\"p\",container=\"c\",namespace=\"n\"} 5\n", "mem n/p/c 5\n", 0,
		false},
	{"container_memory_working_set_bytes{ pod = \"p\" , id=\"x\",container=\"c\",namespace=\"n\", }  5\t\n",
		"mem n/p/c 5\n", 0, false},
	{"node_memory_working_set_bytes{} 5\nnode_cpu_usage_seconds_total{zone=\"z\"} 1\n",
		"node-mem 5\nnode-cpu 1000000000\n", 0, false},
	{"container_memory_working_set_bytes{namespace=\"a\\\\b\",pod=\"c\\\"d\",container=\"e\\nf\"} 5\n",
		"mem a\\b/c\"d/e\nf 5\n", 0, false},
	{"container_memory_working_set_bytes{namespace=\"n\",pod=\"p}\",container=\"c{,\"} 5\n", "mem n/p}/c{, 5\n", 0,
		false},
	{"container_memory_working_set_bytes{namespace=\"n\",pod=\"p\",container=\"c\",bad=\"x\\\"y\"} 5\n",
		"mem n/p/c 5\n", 0, false},
	{"container_swap_usage_bytes" L " 4.096e+03\nnode_swap_usage_bytes 0 1795410089907\npod_swap_usage_bytes" L
	 " 5\n",
		"swap n/p/c 4096\nnode-swap 0 @1795410089907000000\n", 0, false},
	{"container_swap_usage_bytes" L " -1\ncontainer_swap_limit_bytes" L " 5\n", "listed n/p/c\n", 1, false},
	/* almost as kubelets write them */
	{"container_memory_working_set_bytes{container=\"c\",namespace=\"n\",pod=\"p\",} 5\n", "mem n/p/c 5\n", 0,
		false},
	{"container_memory_working_set_bytes{container=\"c\",namespace=\"n\",pod=\"p\",id=\"x\"} 5\n", "mem n/p/c 5\n",
		0, false},
	{"container_memory_working_set_bytes{container=\"c\",namespace=\"n\",pod=\"p\",pod=\"q\"} 5\n", "", 1, false},
	{"container_memory_working_set_bytes{container=\"c\",namespace=\"n\",pod=\"p\\\"\"} 5\n", "mem n/p\"/c 5\n", 0,
		false},
	{"container_memory_working_set_bytes{container=\"c\",namespace=\"n\",pod=\"p} 5\n", "", 1, false},
	{"container_memory_working_set_bytes{container=\"c\",namespace=\"n\",pod=\"p\"\n", "", 1, false},
	{"container_memory_working_set_bytes_x" L " 5\ncontainer_memory_working_set_bytes" L
	 " 6\ncontainer_memory_working_set_bytes_x" L " 7\ncontainer_memory_working_set_byte" L " 8\n",
		"mem n/p/c 6\n", 0, false},
	{"container_memory_working_set_bytes" L " 5\ncontainer_memory_working_set_bytes\n", "mem n/p/c 5\n", 1, false},
	/* bad labels */
	{"container_memory_working_set_bytes 5\n", "", 1, false},
	{"container_memory_working_set_bytes{namespace=\"n\",pod=\"p\"} 5\n", "", 1, false},
	{"container_memory_working_set_bytes{namespace=\"n\",pod=\"p\",container=\"\"} 5\n", "", 1, false},
	{"container_memory_working_set_bytes{namespace=\"n\",pod=\"p\",container=\"c\",pod=\"q\"} 5\n", "", 1, false},
	{"container_memory_working_set_bytes{namespace=\"n\",pod=\"p\",container=\"c} 5\n", "", 1, false},
	{"container_memory_working_set_bytes{namespace=\"n\",pod=\"p\",container=\"\\x\"} 5\n", "", 1, false},
	{"container_memory_working_set_bytes{namespace=\"n\" pod=\"p\",container=\"c\"} 5\n", "", 1, false},
	{"container_memory_working_set_bytes{namespace=n,pod=\"p\",container=\"c\"} 5\n", "", 1, false},
	{"container_memory_working_set_bytes{=\"n\",pod=\"p\",container=\"c\"} 5\n", "", 1, false},
	{"container_memory_working_set_bytes{\n", "", 1, false},
	/* a bad figure: the container is there all the same */
	{"container_memory_working_set_bytes" L " NaN\n", "listed n/p/c\n", 1, false},
	{"container_memory_working_set_bytes" L " +Inf\n", "listed n/p/c\n", 1, false},
	{"container_memory_working_set_bytes" L " -1\n", "listed n/p/c\n", 1, false},
	{"container_memory_working_set_bytes" L " 1.2.3\n", "listed n/p/c\n", 1, false},
	{"container_memory_working_set_bytes" L " .\n", "listed n/p/c\n", 1, false},
	{"container_memory_working_set_bytes" L " 1e\n", "listed n/p/c\n", 1, false},
	{"container_memory_working_set_bytes" L " 1e+\n", "listed n/p/c\n", 1, false},
	{"container_memory_working_set_bytes" L " 0x10\n", "listed n/p/c\n", 1, false},
	{"container_memory_working_set_bytes" L " 1_000\n", "listed n/p/c\n", 1, false},
	{"container_memory_working_set_bytes" L "\n", "listed n/p/c\n", 1, false},
	{"container_memory_working_set_bytes" L " 1e300\n", "listed n/p/c\n", 1, false},
	{"container_memory_working_set_bytes" L " 9223372036854775808\n", "listed n/p/c\n", 1, false},
	/* timestamps */
	{"container_memory_working_set_bytes" L " 5 1795410089907\n", "mem n/p/c 5 @1795410089907000000\n", 0, false},
	{"container_cpu_usage_seconds_total" L " 5 -62135596800000\n", "listed n/p/c\n", 1, false},
	{"container_cpu_usage_seconds_total" L " 5 0\n", "listed n/p/c\n", 1, false},
	{"container_cpu_usage_seconds_total" L " 5 946684799999\n", "listed n/p/c\n", 1, false},
	{"container_cpu_usage_seconds_total" L " 5 946684800000\n", "cpu n/p/c 5000000000 @946684800000000000\n", 0,
		false},
	{"container_cpu_usage_seconds_total" L " 5 1795413690000\n", "cpu n/p/c 5000000000 @1795413690000000000\n", 0,
		false},
	{"container_cpu_usage_seconds_total" L " 5 1795413690001\n", "listed n/p/c\n", 1, false},
	{"container_cpu_usage_seconds_total" L " 5 99999999999999999999\n", "listed n/p/c\n", 1, false},
	{"container_cpu_usage_seconds_total" L " 5 1795410089907.5\n", "listed n/p/c\n", 1, false},
	{"container_cpu_usage_seconds_total" L " 5 1795410089907 7\n", "listed n/p/c\n", 1, false},
	/* starts */
	{"container_start_time_seconds" L " 1.7954100101234567e+09\n", "start n/p/c 1795410010123456700\n", 0, false},
	{"container_start_time_seconds" L " -6.21355968e+10\n", "listed n/p/c\n", 1, false},
	{"container_start_time_seconds" L " 0\n", "listed n/p/c\n", 1, false},
	{"container_start_time_seconds" L " 1.8e+09\n", "listed n/p/c\n", 1, false},
	/* names: exactly ours, and nothing else */
	{"scrape_error 0\ncontainer_cpu_usage_seconds_totals" L " 5\ncontainer_cpu" L
	 " 5\npod_cpu_usage_seconds_total 1\n",
		"", 0, false},
	{"# container_cpu_usage_seconds_total" L " 5\nscrape_error 0\n", "", 0, false},
	{"scrape_error 1\n", "", 0, true},
	{"resource_scrape_error 1\n", "", 0, true},
	{"scrape_error 0\nnode_memory_working_set_bytes 5\n", "node-mem 5\n", 0, false},
	/* a bad line among good ones, empty lines, a carriage return */
	{"node_memory_working_set_bytes x\n\n\nnode_cpu_usage_seconds_total 1\r\n", "node-cpu 1000000000\n", 1, false},
	/* cut short: "12" may have been "1234" */
	{"node_cpu_usage_seconds_total 1\nnode_memory_working_set_bytes 12", "node-cpu 1000000000\n", 1, false},
	{"node_cpu_usage_seconds_total 1\ncontainer_memory_working_set_bytes" L " 5", "node-cpu 1000000000\n", 1,
		false},
};

static void test_texts(void **state)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(texts); i++) {
		struct agg_prom_stats stats;
		struct km_buf out;
		size_t newlines = 0;

		print_message("%s", texts[i].text);
		assert_int_equal(parse(texts[i].text, strlen(texts[i].text), &out, &stats), 0);
		assert_string_equal(out.data ? out.data : "", texts[i].lines);
		assert_int_equal(stats.skipped, texts[i].skipped);
		assert_int_equal(stats.scrape_error, texts[i].scrape_error);
		for (const char *p = texts[i].lines; *p; p++)
			newlines += *p == '\n';
		if (!strstr(texts[i].lines, "listed") && !strstr(texts[i].lines, "e\nf"))
			assert_int_equal(stats.lines, newlines);
		km_buf_free(&out);
	}
}

/* Numbers as Go prints float64, and beyond: exact, to the nanosecond, rounded to nearest. */
static const struct {
	const char *text;
	const char *ns; /* of node_cpu_usage_seconds_total; NULL: refused */
} numbers[] = {
	{"0", "0"},
	{"-0", NULL},
	{"+1", "1000000000"},
	{"1327.903780777", "1327903780777"},
	{"2.98999808e+09", "2989998080000000000"},
	{"1e-09", "1"},
	{"4e-10", "0"},
	{"5e-10", "1"},
	{"4.99999999999999999999999999999999999999999999e-10", "0"},
	{"0.0000000014999", "1"},
	{"0.0000000015", "2"},
	{"1E2", "100000000000"},
	{"1.e1", "10000000000"},
	{".5", "500000000"},
	{"5.", "5000000000"},
	{".", NULL},
	{"1.0.0", NULL},
	{"1.1234567890", "1123456789"},
	{"1.1234567895", "1123456790"},
	{"9223372036.8547758", "9223372036854775800"},
	{"9223372037.0000000", NULL},
	{"999999999999999999", NULL},
	/* 123 CPU-days: a double of nanoseconds would have lost the last digit */
	{"10627200.123456789", "10627200123456789"},
	{"9223372036.854775807", "9223372036854775807"},
	{"9223372036.854775808", NULL},
	{"9.3e9", NULL},
	{"1e999999999999", NULL},
	{"1e-999999999999", "0"},
	{"0e999999999999", "0"},
	{"00000000000000000000000000000000000000000000000001", "1000000000"},
	{"1.0000000000000000000000000000000000000000000000000000000", "1000000000"},
};

static void test_numbers(void **state)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(numbers); i++) {
		char text[256], expected[64] = "";
		struct agg_prom_stats stats;
		struct km_buf out;

		snprintf(text, sizeof(text), "node_cpu_usage_seconds_total %s\n", numbers[i].text);
		if (numbers[i].ns && strcmp(numbers[i].text, "-0") != 0)
			snprintf(expected, sizeof(expected), "node-cpu %s\n", numbers[i].ns);
		print_message("%s", text);
		assert_int_equal(parse(text, strlen(text), &out, &stats), 0);
		assert_string_equal(out.data ? out.data : "", expected);
		assert_int_equal(stats.skipped, numbers[i].ns ? 0 : 1);
		km_buf_free(&out);
	}
}

static void test_not_ours(void **state)
{
	static const char *const bodies[] = {"", "\n\n", "<html>404</html>\n", "{\"node\":{}}", "# HELP x y\n",
		"kubelet_running_pods 3\n", "container_cpu_usage_seconds_tota"};

	for (size_t i = 0; i < KM_ARRAY_LEN(bodies); i++) {
		struct agg_prom_stats stats = {.lines = 77};
		struct km_buf out;

		assert_int_equal(parse(bodies[i], strlen(bodies[i]), &out, &stats), -EBADMSG);
		assert_int_equal(stats.lines, 77);
		assert_null(out.data);
	}
}

/* Names are handed on up to the limit of what is unescaped; the store judges the rest. */
static void test_long_names(void **state)
{
	char name[2 * AGG_NAME_MAX + 1], text[4 * AGG_NAME_MAX];
	struct agg_prom_stats stats;
	struct km_buf out;

	memset(name, 'x', sizeof(name));
	name[AGG_NAME_MAX - 1] = '\0';
	snprintf(text, sizeof(text),
		"container_memory_working_set_bytes{namespace=\"n\",pod=\"%s\\\\\",container=\"c\"} 5\n", name);
	assert_int_equal(parse(text, strlen(text), &out, &stats), 0);
	assert_int_equal(stats.lines, 1);
	km_buf_free(&out);
	name[AGG_NAME_MAX - 1] = 'x';
	name[AGG_NAME_MAX] = '\0';
	snprintf(text, sizeof(text),
		"container_memory_working_set_bytes{namespace=\"n\",pod=\"%s\\\\\",container=\"c\"} 5\n", name);
	assert_int_equal(parse(text, strlen(text), &out, &stats), 0);
	assert_int_equal(stats.lines, 0);
	assert_int_equal(stats.skipped, 1);
	km_buf_free(&out);
}

static void test_recorded(void **state)
{
	static const char expected[] = "cpu default/burn-5b9d9f5f88-7qmvl/main 2949658170 @1795410089907000000\n"
				       "cpu default/burn-5b9d9f5f88-zpzbp/main 3008483257 @1795410089926000000\n"
				       "mem default/burn-5b9d9f5f88-7qmvl/main 548864 @1795410089907000000\n"
				       "mem default/burn-5b9d9f5f88-zpzbp/main 716800 @1795410089926000000\n"
				       "node-cpu 1327903780777 @1795410081424000000\n"
				       "node-mem 2989998080 @1795410081424000000\n";
	struct agg_prom_stats stats;
	struct km_buf out;
	size_t len;
	char *text = lines_sample("resource-1.20.txt", &len);

	assert_int_equal(parse(text, len, &out, &stats), 0);
	assert_string_equal(out.data, expected);
	assert_int_equal(stats.lines, 6);
	assert_int_equal(stats.skipped, 0);
	assert_false(stats.scrape_error);
	km_buf_free(&out);
	/* cut anywhere: what is read is a part of the whole, never another figure */
	for (size_t n = 0; n < len; n++) {
		int r = parse(text, n, &out, &stats);

		assert_true(r == 0 || r == -EBADMSG);
		if (out.data)
			assert_memory_equal(out.data, expected, out.len);
		km_buf_free(&out);
	}
	free(text);
}

static void count(const struct agg_line *line, void *arg)
{
	++*(unsigned *)arg;
}

/* A body of 60 containers, as a busy node has it: the figure is printed, only a gross excess fails. */
static void test_speed(void **state)
{
	struct km_buf body = KM_BUF_INIT(1024 * 1024);
	static const char *const families[] = {"container_cpu_usage_seconds_total",
		"container_memory_working_set_bytes", "container_start_time_seconds"};
	uint64_t best = UINT64_MAX;

	for (size_t f = 0; f < KM_ARRAY_LEN(families); f++)
		for (int i = 0; i < 60; i++)
			km_buf_addf(&body,
				"%s{container=\"main\",namespace=\"namespace-%d\",pod=\"deployment-5b9d9f5f88-7qm%"
				"02d\"} "
				"1795410010.958%d 1795410089907\n",
				families[f], i % 7, i, i);
	for (int i = 0; i < 60; i++)
		km_buf_addf(&body,
			"pod_cpu_usage_seconds_total{namespace=\"namespace-%d\",pod=\"deployment-5b9d9f5f88-7qm%02d\"} "
			"1 "
			"1795410089907\n",
			i % 7, i);
	for (int i = 0; i < 50; i++) {
		struct agg_prom_stats stats;
		unsigned n = 0;
		uint64_t t = km_now_us();

		assert_int_equal(agg_prom_parse(body.data, body.len, LINES_REQUEST_NS, count, &n, &stats), 0);
		best = KM_MIN(best, km_now_us() - t);
		assert_int_equal(n, 180);
	}
	print_message("60 containers, %zu bytes: %llu us\n", body.len, (unsigned long long)best);
	assert_true(best < 5000);
	km_buf_free(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_not_ours),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_recorded),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
