/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenAPI documents hold together, and are served under their tags. */
#include "tests/unit/aggregator/api_ask.h"

#include <jansson.h>

#include "aggregator/openapi_docs.h"

#define ACCEPT_JSON "Accept: application/json\r\n"

/* Each "$ref" below value leads to something in root. */
static size_t check_references(json_t *root, json_t *value)
{
	size_t found = 0, i;
	const char *key;
	json_t *v;

	json_array_foreach(value, i, v) found += check_references(root, v);
	json_object_foreach(value, key, v)
	{
		char path[256], *save = NULL;
		json_t *at = root;

		found += check_references(root, v);
		if (strcmp(key, "$ref") != 0)
			continue;
		snprintf(path, sizeof(path), "%s", json_string_value(v));
		for (char *part = strtok_r(path + 2, "/", &save); part; part = strtok_r(NULL, "/", &save))
			at = json_object_get(at, part);
		if (!at)
			fail_msg("%s leads nowhere", json_string_value(v));
		found++;
	}
	return found;
}

static json_t *doc(const struct agg_openapi *o, enum agg_openapi_doc d)
{
	json_t *root = json_loadb(o->docs[d].body.data, o->docs[d].body.len, JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(root);
	return root;
}

static void test_documents(void **state)
{
	struct agg_openapi *o = NULL;
	json_t *v2, *v3, *kind;
	const char *path;
	json_t *value;

	assert_int_equal(agg_openapi_new(&o), 0);
	v2 = doc(o, AGG_OPENAPI_V2);
	v3 = doc(o, AGG_OPENAPI_V3_RESOURCES);
	assert_string_equal(json_string_value(json_object_get(v2, "swagger")), "2.0");
	assert_string_equal(json_string_value(json_object_get(v3, "openapi")), "3.0.0");
	assert_true(check_references(v2, v2) >= 8);
	assert_true(check_references(v3, v3) >= 8);
	/* what v3 has is in v2 */
	json_object_foreach(json_object_get(v3, "paths"), path, value)
		assert_non_null(json_object_get(json_object_get(v2, "paths"), path));
	assert_int_equal(json_object_size(json_object_get(v3, "paths")), 6);
	assert_int_equal(json_object_size(json_object_get(v2, "paths")), 9);
	/* kubectl explain finds the types by this */
	json_object_foreach(json_object_get(json_object_get(v3, "components"), "schemas"), path, value)
	{
		assert_non_null(json_object_get(value, "description"));
		kind = json_object_get(
			json_array_get(json_object_get(value, "x-kubernetes-group-version-kind"), 0), "kind");
		if (!strstr(path, "ContainerMetrics"))
			assert_string_equal(strrchr(path, '.') + 1, json_string_value(kind));
	}
	json_decref(v2);
	json_decref(v3);
	agg_openapi_free(o);
}

static struct test_reply ask_one(struct scene *s, const char *method, const char *target, const char *headers)
{
	struct exchange e = REQUEST(method, target, headers, &scene_front);

	ask(s, &e, 1);
	return e.reply;
}

/* Every document of the index is where it says, for a year; under an old tag it leads to the new one. */
static void test_index(void **state)
{
	static const char *const names[] = {"apis", "apis/metrics.k8s.io", "apis/metrics.k8s.io/v1beta1", "version"};
	struct test_reply index, r;
	const char *name, *url;
	json_t *root, *entry;
	char value[256];
	struct scene s;
	size_t n = 0;

	scene_open(&s);
	index = ask_one(&s, "GET", "/openapi/v3", MASTER);
	root = json_loadb(index.body, index.body_len, 0, NULL);
	json_object_foreach(json_object_get(root, "paths"), name, entry)
	{
		char plain[128], headers[512];

		assert_string_equal(name, names[n++]);
		url = json_string_value(json_object_get(entry, "serverRelativeURL"));
		r = ask_one(&s, "GET", url, MASTER ACCEPT_JSON);
		assert_int_equal(r.status, 200);
		assert_string_equal(header(r.head, "Cache-Control", value), "public, immutable");
		assert_string_equal(header(r.head, "Expires", value), "Tue, 23 Nov 2027 05:20:36 GMT");
		assert_string_equal(header(r.head, "Vary", value), "Accept");
		assert_non_null(strstr(r.body, "{\"openapi\":\"3.0.0\",\"info\":{\"title\":"));
		assert_memory_equal(header(r.head, "ETag", value) + 1, strchr(url, '=') + 1, 128);
		test_reply_free(&r);

		snprintf(plain, sizeof(plain), "/openapi/v3/%s", name);
		snprintf(headers, sizeof(headers), MASTER "If-None-Match: \"x\", W/%s\r\n", value);
		r = ask_one(&s, "GET", plain, headers);
		assert_int_equal(r.status, 304);
		assert_string_equal(header(r.head, "Cache-Control", value), "no-cache, private");
		test_reply_free(&r);

		strcat(plain, "?hash=old");
		r = ask_one(&s, "GET", plain, MASTER);
		assert_int_equal(r.status, 301);
		assert_string_equal(header(r.head, "Location", value), url);
		test_reply_free(&r);
	}
	assert_int_equal(n, 4);
	json_decref(root);
	test_reply_free(&index);
	scene_close(&s);
}

static void test_v2(void **state)
{
	char tag[512], value[256];
	struct test_reply r;
	struct scene s;

	scene_open(&s);
	r = ask_one(&s, "GET", "/openapi/v2", MASTER ACCEPT_JSON);
	assert_int_equal(r.status, 200);
	assert_string_equal(header(r.head, "Content-Type", value), "application/json");
	assert_string_equal(header(r.head, "Vary", value), "Accept");
	snprintf(tag, sizeof(tag), MASTER "If-None-Match: %s\r\n", header(r.head, "ETag", value));
	test_reply_free(&r);
	r = ask_one(&s, "GET", "/openapi/v2", tag);
	assert_int_equal(r.status, 304);
	assert_int_equal(r.body_len, 0);
	test_reply_free(&r);
	r = ask_one(&s, "GET", "/openapi/v2", MASTER "If-None-Match: \"0\"\r\n");
	assert_int_equal(r.status, 200);
	test_reply_free(&r);
	r = ask_one(&s, "HEAD", "/openapi/v2", MASTER);
	assert_int_equal(r.status, 200);
	test_reply_free(&r);
	r = ask_one(&s, "POST", "/openapi/v2", MASTER);
	assert_int_equal(r.status, 405);
	test_reply_free(&r);
	r = ask_one(&s, "GET", "/openapi/v2",
		MASTER "Accept: application/com.github.proto-openapi.spec.v2.v1.0+protobuf\r\n");
	assert_int_equal(r.status, 406);
	test_reply_free(&r);
	r = ask_one(&s, "GET", "/openapi/v2",
		MASTER "Accept: application/com.github.proto-openapi.spec.v2.v1.0+protobuf,application/json\r\n");
	assert_int_equal(r.status, 200);
	test_reply_free(&r);
	/* like other discovery, not for those who are nobody */
	{
		struct exchange e = REQUEST("GET", "/openapi/v2", "", NULL);

		s.reviews = REVIEWS_DENY;
		ask(&s, &e, 1);
		assert_int_equal(e.reply.status, 403);
		test_reply_free(&e.reply);
	}
	scene_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_v2),
	};

	return cmocka_run_group_tests(tests, scene_certs, scene_no_certs);
}
