/* SPDX-License-Identifier: Apache-2.0 */
/* The replies recorded from metrics-server (tests/data/golden), asked for again over real TLS and compared byte for
 * byte: shape, key order, texts, status codes and headers. */
#include "tests/unit/aggregator/api_ask.h"

#define GOLDEN   "tests/data/golden/"
#define CASE_MAX 48

/* A row of requests.tsv, which tests/sim/golden reads too. */
struct golden {
	char file[32], method[8], target[128], accept[128];
	bool nobody;     /* without a certificate */
	bool shape_only; /* status and headers; the body's texts are ours */
};

static struct golden recorded[CASE_MAX];
static size_t n_recorded;

/* Takes the next of a row's columns, which are apart by tabs. */
static void column(char **row, char *out, size_t size)
{
	size_t n = strcspn(*row, "\t\n");

	assert_true(n < size);
	snprintf(out, size, "%.*s", (int)n, *row);
	*row += n + ((*row)[n] == '\t');
}

static void read_requests(void)
{
	char line[512], how[16], *row;
	FILE *f = fopen(GOLDEN "requests.tsv", "r");

	if (!f)
		fail_msg("cannot read " GOLDEN "requests.tsv (tests run in the source folder)");
	while (fgets(line, sizeof(line), f)) {
		struct golden *g = &recorded[n_recorded];

		if (*line == '#')
			continue;
		assert_true(n_recorded < CASE_MAX);
		row = line;
		column(&row, g->file, sizeof(g->file));
		column(&row, g->method, sizeof(g->method));
		column(&row, g->target, sizeof(g->target));
		column(&row, how, sizeof(how));
		column(&row, g->accept, sizeof(g->accept));
		g->nobody = strstr(how, "nobody");
		g->shape_only = strstr(how, "shape");
		n_recorded++;
	}
	fclose(f);
	assert_true(n_recorded > 30);
}

static char *read_golden(const char *name, char path[128])
{
	char *text = calloc(1, 65536);
	FILE *f;

	snprintf(path, 128, GOLDEN "%.64s.http", name);
	f = fopen(path, "r");
	if (!f)
		fail_msg("cannot read %s (tests run in the source folder)", path);
	assert_true(fread(text, 1, 65535, f) > 0);
	fclose(f);
	return text;
}

/* Each header of one head is in the other, with the same value unless it differs from run to run. */
static void compare_headers(const char *name, const char *golden, const char *ours, bool shape_only)
{
	static const char *const vary[] = {"Audit-Id", "Date"};
	char want[256], have[256], key[64];

	for (const char *s = strchr(golden, '\n'); s && s[1] && s[1] != '\n' && s[1] != '\r'; s = strchr(s + 1, '\n')) {
		bool any = shape_only &&
			   (strncasecmp(s + 1, "Content-Length", 14) == 0 || strncasecmp(s + 1, "ETag", 4) == 0);

		snprintf(key, sizeof(key), "%.*s", (int)strcspn(s + 1, ":"), s + 1);
		/* Go's file server says so of the OpenAPI documents; ours have neither parts nor an age */
		if (strcasecmp(key, "Accept-Ranges") == 0 || strcasecmp(key, "Last-Modified") == 0)
			continue;
		if (!header(ours, key, have))
			fail_msg("%s: no header %s", name, key);
		for (size_t i = 0; i < KM_ARRAY_LEN(vary); i++)
			any = any || strcasecmp(key, vary[i]) == 0;
		if (!any && strcmp(have, header(golden, key, want)) != 0)
			fail_msg("%s: header %s is \"%s\", recorded \"%s\"", name, key, have, want);
	}
	for (const char *s = strchr(ours, '\n'); s && s[1] && s[1] != '\r'; s = strchr(s + 1, '\n')) {
		snprintf(key, sizeof(key), "%.*s", (int)strcspn(s + 1, ":"), s + 1);
		if (!header(golden, key, want))
			fail_msg("%s: header %s was not recorded", name, key);
	}
}

static void compare(const struct golden *g, const struct test_reply *reply)
{
	char path[128], *golden = read_golden(g->file, path), *body = strstr(golden, "\n\n");
	int status = 0;

	assert_non_null(body);
	*++body = '\0';
	body++;
	assert_int_equal(sscanf(golden, "%*s %d", &status), 1);
	if (!reply->whole || reply->status != status)
		fail_msg("%s: status %d: %s", g->file, reply->status, reply->body ? reply->body : "");
	compare_headers(g->file, golden, reply->head, g->shape_only);
	if (!g->shape_only && strcmp(reply->body, body) != 0)
		fail_msg("%s:\n%s\nrecorded:\n%s", g->file, reply->body, body);
	free(golden);
}

/* What is ours in the recorded shapes. */
static void check_own_text(const struct golden *g, const struct test_reply *reply)
{
	static const struct {
		const char *file, *text;
	} texts[] = {
		{"root", "{\n  \"paths\": [\n    \"/apis\",\n    \"/apis/metrics.k8s.io\",\n    "
			 "\"/apis/metrics.k8s.io/v1beta1\",\n"
			 "    \"/healthz\",\n    \"/healthz/ping\",\n    \"/livez\",\n    \"/livez/ping\",\n    "
			 "\"/metrics\",\n    \"/openapi/v2\",\n    \"/openapi/v3\",\n    "
			 "\"/openapi/v3/\",\n    \"/readyz\",\n"},
		{"unknown-root", "{\n  \"paths\": [\n    \"/apis\",\n"},
		{"version", "{\n  \"major\": \"0\",\n  \"minor\": \"1\",\n  \"emulationMajor\": \"1\",\n"},
		{"openapi-v3", "{\"paths\":{\"apis\":{\"serverRelativeURL\":\"/openapi/v3/apis?hash="},
		{"livez-verbose", "[+]ping ok\nlivez check passed\n"},
		{"readyz-verbose", "[+]ping ok\n[+]node-cache-synced ok\n"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(texts); i++)
		if (strcmp(g->file, texts[i].file) == 0 &&
			strncmp(reply->body, texts[i].text, strlen(texts[i].text)) != 0)
			fail_msg("%s: %s", g->file, reply->body);
}

static void test_golden(void **state)
{
	struct exchange e[CASE_MAX] = {0};
	char headers[CASE_MAX][512];
	struct scene s;

	read_requests();
	scene_open(&s);
	s.reviews = REVIEWS_DENY;
	for (size_t i = 0; i < n_recorded; i++) {
		const struct golden *g = &recorded[i];

		snprintf(headers[i], sizeof(headers[i]), "%s%s%s%s", g->nobody ? "" : MASTER,
			*g->accept ? "Accept: " : "", g->accept, *g->accept ? "\r\n" : "");
		e[i] = REQUEST(g->method, g->target, headers[i], g->nobody ? NULL : &scene_front);
	}
	ask(&s, e, n_recorded);
	for (size_t i = 0; i < n_recorded; i++) {
		compare(&recorded[i], &e[i].reply);
		check_own_text(&recorded[i], &e[i].reply);
		test_reply_free(&e[i].reply);
	}
	scene_close(&s);
}

/* ---- protobuf ---- */

#define PROTOBUF "Accept: application/vnd.kubernetes.protobuf\r\n"

/* Upstream's order of containers is random; in this recording it differs from that of the others in one pod. Both of
 * its containers take the same number of bytes. */
static void swap_first_containers(char *bytes, size_t n)
{
	static const char first[] = "\x22\x2b\x0a\x02"
				    "c0";
	const size_t size = 45;
	char kept[45], *at = memmem(bytes, n, first, sizeof(first) - 1);

	assert_non_null(at);
	assert_memory_equal(at + size + 2,
		"\x0a\x02"
		"c1",
		4);
	memcpy(kept, at, size);
	memmove(at, at + size, size);
	memcpy(at + size, kept, size);
}

static void test_golden_protobuf(void **state)
{
	static const char *const files[] = {"nodes-list.pb", "pods-list-ns.pb"};
	struct exchange e[] = {
		REQUEST("GET", A "/nodes", MASTER PROTOBUF, &scene_front),
		REQUEST("GET", A "/namespaces/ns-01/pods", MASTER PROTOBUF, &scene_front),
	};
	char value[256], path[128], golden[4096];
	struct scene s;

	scene_open(&s);
	ask(&s, e, KM_ARRAY_LEN(e));
	for (size_t i = 0; i < KM_ARRAY_LEN(e); i++) {
		FILE *f;
		size_t n;

		snprintf(path, sizeof(path), GOLDEN "%s", files[i]);
		f = fopen(path, "r");
		assert_non_null(f);
		n = fread(golden, 1, sizeof(golden), f);
		fclose(f);
		if (i == 1)
			swap_first_containers(golden, n);
		assert_int_equal(e[i].reply.status, 200);
		assert_string_equal(
			header(e[i].reply.head, "Content-Type", value), "application/vnd.kubernetes.protobuf");
		assert_int_equal(e[i].reply.body_len, n);
		assert_memory_equal(e[i].reply.body, golden, n);
		test_reply_free(&e[i].reply);
	}
	scene_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_golden_protobuf),
	};

	return cmocka_run_group_tests(tests, scene_certs, scene_no_certs);
}
