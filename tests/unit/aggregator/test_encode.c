/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies that are not JSON: protobuf as a decoder of the test's own reads it, YAML, and gzip, short and long, over
 * real TLS. The recorded ones are compared in test_golden.c.
 */
#include "tests/unit/aggregator/api_ask.h"

#include <jansson.h>
#include <zlib.h>

#include "aggregator/gzip.h"
#include "aggregator/stream.h"
#include "kube/yaml.h"

#define PROTOBUF "Accept: application/vnd.kubernetes.protobuf\r\n"
#define YAML     "Accept: application/yaml\r\n"
#define GZIP     "Accept-Encoding: deflate, gzip\r\n"

/* ---- a decoder ---- */

struct field {
	unsigned number, wire;
	uint64_t value; /* or the length of: */
	const char *bytes;
};

static uint64_t take_varint(const char **s, const char *end)
{
	uint64_t value = 0;

	for (unsigned shift = 0;; shift += 7) {
		assert_true(*s < end && shift < 64);
		value |= (uint64_t)(**s & 0x7f) << shift;
		if (!(*(*s)++ & 0x80))
			return value;
	}
}

/* The next field of a message; false at its end. */
static bool take_field(const char **s, const char *end, struct field *ret)
{
	uint64_t tag;

	if (*s == end)
		return false;
	tag = take_varint(s, end);
	*ret = (struct field){.number = (unsigned)(tag >> 3), .wire = tag & 7};
	ret->value = take_varint(s, end);
	if (ret->wire == 2) {
		assert_true((uint64_t)(end - *s) >= ret->value);
		ret->bytes = *s;
		*s += ret->value;
	} else {
		assert_int_equal(ret->wire, 0);
	}
	return true;
}

/* The field along a path of numbers ("2.1.1"), the first of each; fails when it is not there. */
static struct field find(const char *bytes, size_t n, const char *path)
{
	const char *s = bytes, *end = bytes + n;
	struct field f;

	while (take_field(&s, end, &f)) {
		if (f.number != (unsigned)atoi(path))
			continue;
		path = strchr(path, '.');
		if (!path)
			return f;
		path++;
		s = f.bytes;
		end = f.bytes + f.value;
	}
	fail_msg("no field %s", path);
	return f;
}

static void check_text(const char *bytes, size_t n, const char *path, const char *want)
{
	struct field f = find(bytes, n, path);

	if (f.wire != 2 || f.value != strlen(want) || memcmp(f.bytes, want, f.value) != 0)
		fail_msg("field %s: \"%.*s\", not \"%s\"", path, (int)f.value, f.bytes, want);
}

static size_t count(const char *bytes, size_t n, unsigned number)
{
	const char *s = bytes, *end = bytes + n;
	struct field f;
	size_t found = 0;

	while (take_field(&s, end, &f))
		found += f.number == number;
	return found;
}

/* What is in the envelope, which must be of this type. */
static struct field open_envelope(const char *body, size_t n, const char *api_version, const char *kind)
{
	assert_true(n > 4);
	assert_memory_equal(body, "k8s\0", 4);
	check_text(body + 4, n - 4, "1.1", api_version);
	check_text(body + 4, n - 4, "1.2", kind);
	check_text(body + 4, n - 4, "3", "");
	check_text(body + 4, n - 4, "4", "");
	return find(body + 4, n - 4, "2");
}

/* ---- one request ---- */

static struct test_reply get(struct scene *s, const char *target, const char *headers)
{
	struct exchange e = REQUEST("GET", target, headers, &scene_front);

	ask(s, &e, 1);
	if (!e.reply.whole)
		fail_msg("%s: no whole reply", target);
	return e.reply;
}

static void check_header(const struct test_reply *r, const char *name, const char *want)
{
	char value[256];
	const char *have = header(r->head, name, value);

	if (want ? !have || strcmp(have, want) != 0 : have != NULL)
		fail_msg("%s: %s, not %s", name, have ? have : "none", want ? want : "none");
}

static void test_protobuf_objects(void **state)
{
	struct test_reply r;
	struct field raw;
	struct scene s;

	scene_open(&s);
	r = get(&s, A "/nodes/node-00001", MASTER PROTOBUF);
	raw = open_envelope(r.body, r.body_len, "metrics.k8s.io/v1beta1", "NodeMetrics");
	check_text(raw.bytes, raw.value, "1.1", "node-00001");
	check_text(raw.bytes, raw.value, "1.3", "");
	check_text(raw.bytes, raw.value, "1.11.2", "z1");
	assert_int_equal(find(raw.bytes, raw.value, "2.1").value, SAMPLES_S);
	assert_int_equal(find(raw.bytes, raw.value, "3.1").value, 14992000000);
	check_text(raw.bytes, raw.value, "4.1", "cpu");
	check_text(raw.bytes, raw.value, "4.2.1", "1139993500n");
	test_reply_free(&r);

	r = get(&s, A "/namespaces/ns-01/pods/app-01-00001-01", MASTER PROTOBUF);
	raw = open_envelope(r.body, r.body_len, "metrics.k8s.io/v1beta1", "PodMetrics");
	check_text(raw.bytes, raw.value, "4.1", "c0");
	check_text(raw.bytes, raw.value, "4.2.2.1", "204998831n");
	assert_int_equal(count(raw.bytes, raw.value, 4), 2);
	test_reply_free(&r);

	r = get(&s, A "/nodes/node-00001",
		MASTER "Accept: application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io\r\n");
	raw = open_envelope(r.body, r.body_len, "meta.k8s.io/v1", "PartialObjectMetadata");
	check_text(raw.bytes, raw.value, "1.1", "node-00001");
	assert_int_equal(count(raw.bytes, raw.value, 2), 0);
	test_reply_free(&r);

	r = get(&s, A "/pods",
		MASTER
		"Accept: application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io\r\n");
	raw = open_envelope(r.body, r.body_len, "meta.k8s.io/v1", "PartialObjectMetadataList");
	assert_int_equal(count(raw.bytes, raw.value, 2), 6);
	check_text(raw.bytes, raw.value, "2.1.3", "ns-00");
	test_reply_free(&r);

	r = get(&s, A "/namespaces/empty/pods", MASTER PROTOBUF);
	raw = open_envelope(r.body, r.body_len, "metrics.k8s.io/v1beta1", "PodMetricsList");
	assert_int_equal(raw.value, 8);
	assert_memory_equal(raw.bytes, "\x0a\x06\x0a\0\x12\0\x1a\0", 8);
	test_reply_free(&r);
	scene_close(&s);
}

static void test_protobuf_status(void **state)
{
	struct test_reply r;
	struct field raw;
	struct scene s;

	scene_open(&s);
	r = get(&s, A "/namespaces/ns-01/pods/nope", MASTER PROTOBUF);
	assert_int_equal(r.status, 404);
	check_header(&r, "Content-Type", "application/vnd.kubernetes.protobuf");
	raw = open_envelope(r.body, r.body_len, "v1", "Status");
	check_text(raw.bytes, raw.value, "2", "Failure");
	check_text(raw.bytes, raw.value, "3", "pods \"nope\" not found");
	check_text(raw.bytes, raw.value, "4", "NotFound");
	check_text(raw.bytes, raw.value, "5.1", "nope");
	check_text(raw.bytes, raw.value, "5.3", "pods");
	assert_int_equal(find(raw.bytes, raw.value, "6").value, 404);
	test_reply_free(&r);
	/* without details */
	r = get(&s, A "/pods?labelSelector=a%20b%20c", MASTER PROTOBUF);
	raw = open_envelope(r.body, r.body_len, "v1", "Status");
	assert_int_equal(count(raw.bytes, raw.value, 5), 0);
	test_reply_free(&r);
	/* never negotiated, as upstream */
	r = get(&s, "/version", MASTER PROTOBUF);
	assert_int_equal(r.status, 200);
	check_header(&r, "Content-Type", "application/json");
	test_reply_free(&r);
	scene_close(&s);
}

static void test_yaml(void **state)
{
	static const struct {
		const char *target, *headers, *body;
	} cases[] = {
		{A "/nodes/node-00001", MASTER YAML,
			"apiVersion: metrics.k8s.io/v1beta1\nkind: NodeMetrics\nmetadata:\n  creationTimestamp: "
			"\"2026-11-23T05:20:36Z\"\n  labels:\n    zone: z1\n  name: node-00001\ntimestamp: "
			"\"2026-11-23T05:20:30Z\"\nusage:\n  cpu: 1139993500n\n  memory: 108Mi\nwindow: 14.992s\n"},
		{A "/namespaces/empty/pods", MASTER YAML,
			"apiVersion: metrics.k8s.io/v1beta1\nitems: []\nkind: PodMetricsList\nmetadata: {}\n"},
		{A "/namespaces/empty/pods", MASTER "Accept: application/yaml;as=Table;v=v1;g=meta.k8s.io\r\n",
			"apiVersion: meta.k8s.io/v1\ncolumnDefinitions: null\nkind: Table\nmetadata: {}\nrows: null\n"},
		{A "/nodes/nope", MASTER YAML,
			"apiVersion: v1\ncode: 404\ndetails:\n  kind: node\n  name: nope\nkind: Status\nmessage: "
			"\"node \\\"nope\\\" not found\"\nmetadata: {}\nreason: NotFound\nstatus: Failure\n"},
		{"/apis/metrics.k8s.io", MASTER YAML,
			"apiVersion: v1\nkind: APIGroup\nname: metrics.k8s.io\npreferredVersion:\n  groupVersion: "
			"metrics.k8s.io/v1beta1\n  version: v1beta1\nversions:\n- groupVersion: "
			"metrics.k8s.io/v1beta1\n  version: v1beta1\n"},
	};
	struct scene s;

	scene_open(&s);
	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		struct test_reply r = get(&s, cases[i].target, cases[i].headers);

		check_header(&r, "Content-Type", "application/yaml");
		assert_string_equal(r.body, cases[i].body);
		test_reply_free(&r);
	}
	scene_close(&s);
}

/* YAML and JSON of the same say the same. */
static void test_yaml_equals_json(void **state)
{
	static const struct {
		const char *target, *as;
	} cases[] = {
		{A "/pods", ""},
		{A "/nodes", ""},
		{A "/nodes/node-00000", ""},
		{A "/namespaces/ns-00/pods/app-00-00001-00", ""},
		{A "/pods", ";as=Table;v=v1;g=meta.k8s.io"},
		{A "/pods?includeObject=Object", ";as=Table;v=v1;g=meta.k8s.io"},
		{A "/nodes?includeObject=None", ";as=Table;v=v1beta1;g=meta.k8s.io"},
		{A "/nodes/node-00000", ";as=Table;v=v1;g=meta.k8s.io"},
		{A "/nodes", ";as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"},
		{A "/nodes/node-00000", ";as=PartialObjectMetadata;v=v1;g=meta.k8s.io"},
		{A, ""},
		{"/apis", ""},
	};
	struct scene s;

	scene_open(&s);
	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		char headers[2][256];
		struct test_reply r[2];
		json_t *tree[2] = {NULL, NULL};
		struct km_err err = {0};

		for (int k = 0; k < 2; k++) {
			snprintf(headers[k], sizeof(headers[k]), MASTER "Accept: application/%s%s\r\n",
				k ? "json" : "yaml", cases[i].as);
			r[k] = get(&s, cases[i].target, headers[k]);
			assert_int_equal(r[k].status, 200);
		}
		check_header(&r[0], "Content-Type", "application/yaml");
		if (kube_yaml_parse(r[0].body, r[0].body_len, "reply", &tree[0], &err) < 0)
			fail_msg("%s%s: %s\n%s", cases[i].target, cases[i].as, err.text, r[0].body);
		tree[1] = json_loadb(r[1].body, r[1].body_len, 0, NULL);
		if (!json_equal(tree[0], tree[1]))
			fail_msg("%s%s:\n%s\n%s", cases[i].target, cases[i].as, r[0].body, r[1].body);
		for (int k = 0; k < 2; k++) {
			json_decref(tree[k]);
			test_reply_free(&r[k]);
		}
	}
	scene_close(&s);
}

/* ---- long lists ---- */

/* Inflates a whole gzip reply. */
static char *gunzip(const char *bytes, size_t n, size_t *ret_len)
{
	const size_t room = (size_t)8 << 20;
	char *out = malloc(room);
	z_stream z = {.next_in = (z_const Bytef *)(uintptr_t)bytes,
		.avail_in = (uInt)n,
		.next_out = (Bytef *)out,
		.avail_out = (uInt)room};

	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END); /* checksum and length, too */
	assert_int_equal(z.avail_in, 0);
	*ret_len = z.total_out;
	inflateEnd(&z);
	return out;
}

/* The items of a protobuf list: names in order, as many as expected at least. */
static void check_long_proto(const char *body, size_t n)
{
	struct field raw = open_envelope(body, n, "metrics.k8s.io/v1beta1", "PodMetricsList"), f;
	const char *p = raw.bytes, *end = raw.bytes + raw.value;
	char name[32] = "";
	size_t items = 0;

	while (take_field(&p, end, &f)) {
		struct field have;

		if (f.number != 2)
			continue;
		have = find(f.bytes, f.value, "1.1");
		assert_true(have.value == 9 && memcmp(name, have.bytes, 9) < 0);
		memcpy(name, have.bytes, 9);
		items++;
	}
	assert_true(items >= LONG_PODS * 2 / 3);
}

static void check_long_json(const char *body, size_t n)
{
	json_t *root = json_loadb(body, n, 0, NULL);

	assert_true(json_array_size(json_object_get(root, "items")) >= LONG_PODS * 2 / 3);
	json_decref(root);
}

static void check_long_yaml(const char *body, size_t n)
{
	static const char tail[] = "kind: PodMetricsList\nmetadata: {}\n";
	size_t items = 0;

	assert_memory_equal(body + n - strlen(tail), tail, strlen(tail));
	for (const char *p = body; (p = memmem(p, n - (size_t)(p - body), "\n- containers:", 14)); p++)
		items++;
	assert_true(items >= LONG_PODS * 2 / 3);
}

static void test_long(void **state)
{
	static const struct {
		const char *headers;
		void (*check)(const char *body, size_t n);
		bool gzip;
	} cases[] = {
		{MASTER, check_long_json, false},
		{MASTER GZIP, check_long_json, true},
		{MASTER "Accept-Encoding: gzip;q=0, br\r\n", check_long_json, false},
		{MASTER YAML, check_long_yaml, false},
		{MASTER YAML GZIP, check_long_yaml, true},
		{MASTER PROTOBUF, check_long_proto, false},
		{MASTER PROTOBUF GZIP, check_long_proto, true},
	};
	struct long_view *v = calloc(1, sizeof(*v));
	struct scene s;

	scene_open(&s);
	long_open(v, &s);
	s.view = (struct agg_view){.ops = &long_ops, .source = v, .store = s.store};
	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		struct test_reply r = get(&s, A "/pods", cases[i].headers);
		size_t n;
		char *plain;

		assert_int_equal(r.status, 200);
		check_header(&r, "Content-Encoding", cases[i].gzip ? "gzip" : NULL);
		check_header(&r, "Vary", cases[i].gzip ? "Accept-Encoding" : NULL);
		assert_true(r.chunked);
		if (cases[i].gzip) {
			plain = gunzip(r.body, r.body_len, &n);
			assert_true(r.body_len < n / 4);
			cases[i].check(plain, n);
			free(plain);
		} else {
			cases[i].check(r.body, r.body_len);
		}
		test_reply_free(&r);
	}
	/* what is short is not compressed */
	{
		struct test_reply r = get(&s, A "/pods?fieldSelector=metadata.name%3Dpod-00001", MASTER GZIP);

		check_header(&r, "Content-Encoding", NULL);
		assert_false(r.chunked);
		test_reply_free(&r);
	}
	long_close(v, &s);
	free(v);
	scene_close(&s);
}

/* Long protobuf lists are made in memory: together they have a limit. */
static void test_staged_limit(void **state)
{
	struct long_view *v = calloc(1, sizeof(*v));
	struct exchange e = REQUEST("GET", A "/pods", MASTER PROTOBUF, &scene_front);
	struct agg_api_stats stats;
	struct test_reply r;
	char value[256];
	struct scene s;

	/* one that outgrows it is cut off, so that the client sees it */
	scene_open_limited(&s, 200000);
	long_open(v, &s);
	s.view = (struct agg_view){.ops = &long_ops, .source = v, .store = s.store};
	ask(&s, &e, 1);
	assert_int_equal(e.reply.status, 200);
	assert_false(e.reply.whole);
	test_reply_free(&e.reply);
	/* gzipped, it has room */
	r = get(&s, A "/pods", MASTER PROTOBUF GZIP);
	assert_true(r.whole);
	test_reply_free(&r);
	agg_api_stats(s.api, &stats);
	assert_int_equal(stats.under_way, 0);
	long_close(v, &s);
	scene_close(&s);

	/* none is begun when it is nearly full: JSON, if that will do */
	scene_open_limited(&s, 1);
	long_open(v, &s);
	s.view = (struct agg_view){.ops = &long_ops, .source = v, .store = s.store};
	r = get(&s, A "/pods", MASTER "Accept: application/vnd.kubernetes.protobuf, */*\r\n");
	check_header(&r, "Content-Type", "application/json");
	check_long_json(r.body, r.body_len);
	test_reply_free(&r);
	r = get(&s, A "/pods", MASTER PROTOBUF);
	assert_int_equal(r.status, 429);
	assert_string_equal(header(r.head, "Retry-After", value), "1");
	test_reply_free(&r);
	long_close(v, &s);
	scene_close(&s);
	free(v);
}

/* Pieces and prefixes of all kinds come out as what went in. */
static void test_gzip_pieces(void **state)
{
	static char text[300000];
	static const size_t pieces[] = {1, 7, 1000, 65536, sizeof(text)}, prefixes[] = {0, 1, 200, AGG_GZIP_PREFIX_MAX};
	struct km_buf deflated = KM_BUF_INIT(1 << 20), out = KM_BUF_INIT(1 << 20);

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * i >> 7);
	for (size_t i = 0; i < KM_ARRAY_LEN(pieces) * KM_ARRAY_LEN(prefixes); i++) {
		size_t piece = pieces[i % KM_ARRAY_LEN(pieces)], prefix = prefixes[i / KM_ARRAY_LEN(pieces)], n;
		size_t whole = piece == 1 ? 5000 : sizeof(text);
		struct agg_gzip *g = NULL;
		char *plain;

		km_buf_reset(&deflated);
		km_buf_reset(&out);
		assert_int_equal(agg_gzip_new(&g), 0);
		for (size_t at = prefix; at < whole; at += piece)
			assert_int_equal(
				agg_gzip_add(g, text + at, KM_MIN(piece, whole - at), at + piece >= whole, &deflated),
				0);
		agg_gzip_head(text, prefix, &out);
		km_buf_add(&out, deflated.data, deflated.len);
		agg_gzip_tail(g, text, prefix, &out);
		if (whole > prefix) {
			plain = gunzip(out.data, out.len, &n);
			assert_int_equal(n, whole);
			assert_memory_equal(plain, text, whole);
			free(plain);
		}
		agg_gzip_free(g);
	}
	km_buf_free(&deflated);
	km_buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_protobuf_objects),
		cmocka_unit_test(test_protobuf_status),
		cmocka_unit_test(test_yaml),
		cmocka_unit_test(test_yaml_equals_json),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_staged_limit),
		cmocka_unit_test(test_gzip_pieces),
	};

	return cmocka_run_group_tests(tests, scene_certs, scene_no_certs);
}
