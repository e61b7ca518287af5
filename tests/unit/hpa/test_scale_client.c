/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scale subresource against a scripted API server: forms of Scale, what is sent back, what failures say.
 */
#include "hpa/scale_client.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/support/apistub.h"
#include "tests/unit/support/check.h"

struct world {
	struct km_loop *loop;
	struct apistub *stub;
	struct kube_client *client;
	struct hpa_scale_client *scale;
	int status; /* 0: no answer */
	const char *body;
	char request[512], sent[4096];
	bool asked, done, failed, conflict, free_in_callback;
	struct hpa_scale got;
	char text[2048]; /* selector and resourceVersion, or the failure's text */
};

/* A kind with up to two versions. */
struct kind {
	const char *group;
	size_t n;
	struct kube_mapping_version versions[2];
};

static const struct kind deployments = {"apps", 2,
	{{"v1", "deployments", true, "autoscaling", "v1", "Scale"},
		{"v1beta2", "deployments", true, "apps", "v1beta2", "Scale"}}};
static const struct kind old_deployments = {
	"extensions", 1, {{"v1beta1", "deployments", true, "extensions", "v1beta1", "Scale"}}};
static const struct kind controllers = {"", 1, {{"v1", "replicationcontrollers", true, "autoscaling", "v1", "Scale"}}};
static const struct kind unlisted = {"a b.example", 1, {{"v1", "xs", true, NULL, NULL, NULL}}};

static void on_request(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct world *w = arg;

	snprintf(w->request, sizeof(w->request), "%s %s", request->method, request->target);
	snprintf(w->sent, sizeof(w->sent), "%s", request->body);
	w->asked = true;
	if (w->status != 0)
		apistub_reply(c, w->status, NULL, w->body);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct kube_access *access;

	if (!w || km_loop_new(&w->loop, NULL) < 0)
		return -1;
	w->stub = apistub_new(w->loop, on_request, w);
	access = apistub_access(w->stub, NULL);
	assert_int_equal(kube_client_new(w->loop, access, "t", &w->client, NULL), 0);
	kube_access_free(access);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	hpa_scale_client_free(w->scale);
	kube_client_free(w->client);
	apistub_free(w->stub);
	km_loop_free(w->loop);
	free(w);
	return 0;
}

static bool is_done(void *arg)
{
	return ((struct world *)arg)->done;
}

static bool is_asked(void *arg)
{
	return ((struct world *)arg)->asked;
}

static void target(struct world *w, const struct kind *kind, const char *name)
{
	struct kube_mapping *mapping = calloc(1, sizeof(*mapping) + sizeof(kind->versions));

	assert_non_null(mapping);
	mapping->group = kind->group;
	mapping->kind = "Kind";
	mapping->n = kind->n;
	memcpy(mapping->versions, kind->versions, sizeof(kind->versions));
	hpa_scale_client_free(w->scale);
	assert_int_equal(hpa_scale_client_new(w->client, mapping, "ns", name, &w->scale), 0);
	kube_mapping_free(mapping); /* not needed any more */
}

static void note(struct world *w, const struct hpa_failure *failure)
{
	w->done = true;
	w->failed = failure != NULL;
	w->conflict = failure && failure->conflict;
	if (failure)
		snprintf(w->text, sizeof(w->text), "%s", failure->text);
	if (w->free_in_callback)
		hpa_scale_client_free(KM_TAKE(w->scale));
}

static void on_scale(const struct hpa_scale *scale, const struct hpa_failure *failure, void *arg)
{
	struct world *w = arg;

	assert_true((scale == NULL) == (failure != NULL));
	note(w, failure);
	if (!scale)
		return;
	w->got = *scale; /* valid even when note() freed the client */
	snprintf(w->text, sizeof(w->text), "%s@%s", scale->selector, scale->resource_version);
}

static void on_put(const struct hpa_failure *failure, void *arg)
{
	note(arg, failure);
}

static void start(struct world *w, int status, const char *body)
{
	w->status = status;
	w->body = body;
	w->done = w->asked = false;
	*w->text = '\0';
}

static void get(struct world *w, int status, const char *body)
{
	start(w, status, body);
	assert_int_equal(hpa_scale_get(w->scale, on_scale, w), 0);
	assert_false(w->done);
	assert_true(apistub_until(w->loop, is_done, w));
}

static void put(struct world *w, int32_t replicas, const char *resource_version, int status, const char *body)
{
	start(w, status, body);
	assert_int_equal(hpa_scale_put(w->scale, replicas, resource_version, on_put, w), 0);
	assert_false(w->done);
	assert_true(apistub_until(w->loop, is_done, w));
}

#define SCALE(api_version, spec, status)                                                                       \
	"{\"kind\":\"Scale\",\"apiVersion\":\"" api_version "\",\"metadata\":{\"name\":\"web\",\"namespace\":" \
	"\"ns\",\"uid\":\"u-1\",\"resourceVersion\":\"77\",\"creationTimestamp\":\"2026-01-02T03:04:05Z\"},"   \
	"\"spec\":" spec ",\"status\":" status "}"
#define NORMAL SCALE("autoscaling/v1", "{\"replicas\":3}", "{\"replicas\":2,\"selector\":\"app=web\"}")

static void expect_sent(struct world *w, const char *request, const char *body)
{
	json_t *sent = json_loads(w->sent, 0, NULL), *expected = json_loads(body, 0, NULL);

	assert_string_equal(w->request, request);
	if (!expected || !json_equal(sent, expected))
		fail_msg("%s\nis not\n%s", w->sent, body);
	json_decref(sent);
	json_decref(expected);
}

static void test_forms(void **state)
{
	static const struct {
		const char *body;
		int32_t replicas, status_replicas;
		const char *text;
	} rows[] = {
		{NORMAL, 3, 2, "app=web@77"},
		{SCALE("autoscaling/v1", "{}", "{\"replicas\":0}"), 0, 0, "@77"},
		{SCALE("autoscaling/v1", "null", "null"), 0, 0, "@77"},
		/* targetSelector is not a member of this one */
		{SCALE("autoscaling/v1", "{\"replicas\":1}", "{\"replicas\":1,\"targetSelector\":\"a=b\"}"), 1, 1,
			"@77"},
		{SCALE("extensions/v1beta1", "{\"replicas\":4}",
			 "{\"replicas\":4,\"selector\":{\"z\":\"1\",\"app\":\"web\",\"b\":\"\"}}"),
			4, 4, "app=web,b=,z=1@77"},
		{SCALE("apps/v1beta1", "{\"replicas\":4}",
			 "{\"replicas\":4,\"selector\":{\"z\":\"1\"},\"targetSelector\":\"app in (a,b)\"}"),
			4, 4, "app in (a,b)@77"},
		{SCALE("apps/v1beta2", "{\"replicas\":2147483647}", "{\"replicas\":-1}"), INT32_MAX, -1, "@77"},
		/* what is no Scale */
		{"{}", 0, 0, "is no Scale that is known here"},
		{"[]", 0, 0, "is no Scale"},
		{"garbage", 0, 0, "is no Scale"},
		{SCALE("autoscaling/v2", "{}", "{}"), 0, 0, "apiVersion \"autoscaling/v2\""},
		{SCALE("autoscaling/v1", "{\"replicas\":2147483648}", "{}"), 0, 0, "replica count"},
		{SCALE("autoscaling/v1", "{\"replicas\":\"3\"}", "{}"), 0, 0, "replica count"},
		{SCALE("autoscaling/v1", "{\"replicas\":3}", "{\"replicas\":1.5}"), 0, 0, "replica count"},
		{SCALE("apps/v1beta2", "{}", "{\"selector\":{\"a\":1}}"), 0, 0, "not a text"},
		{"{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/v1\"}", 0, 0, "no metadata"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		target(w, &deployments, "web");
		get(w, 200, rows[i].body);
		if (w->failed) {
			if (!strstr(w->text, rows[i].text))
				fail_msg("row %zu: %s", i, w->text);
			assert_false(w->conflict);
			assert_int_equal(hpa_scale_put(w->scale, 1, NULL, on_put, w), -EINVAL);
			continue;
		}
		assert_string_equal(w->text, rows[i].text);
		assert_int_equal(w->got.replicas, rows[i].replicas);
		assert_int_equal(w->got.status_replicas, rows[i].status_replicas);
	}
}

static void test_paths_and_puts(void **state)
{
	struct world *w = *state;

	target(w, &deployments, "web");
	get(w, 200, NORMAL);
	assert_string_equal(w->request, "GET /apis/apps/v1/namespaces/ns/deployments/web/scale");
	put(w, 9, "77", 200, "{}");
	assert_false(w->failed);
	expect_sent(w, "PUT /apis/apps/v1/namespaces/ns/deployments/web/scale",
		SCALE("autoscaling/v1", "{\"replicas\":9}", "{\"replicas\":2,\"selector\":\"app=web\"}"));
	/* Again, from what was read, with another version. */
	put(w, 0, "78", 200, "garbage");
	assert_false(w->failed);
	assert_non_null(strstr(w->sent, "\"resourceVersion\":\"78\""));
	assert_non_null(strstr(w->sent, "\"spec\":{\"replicas\":0}"));
	put(w, 1, NULL, 200, "{}");
	assert_non_null(strstr(w->sent, "\"resourceVersion\":\"77\""));

	target(w, &controllers, "a b");
	get(w, 200, NORMAL);
	assert_string_equal(w->request, "GET /api/v1/namespaces/ns/replicationcontrollers/a%20b/scale");

	/* What discovery lists is another form: the selector goes along. */
	target(w, &old_deployments, "web");
	get(w, 200, NORMAL);
	put(w, 5, NULL, 200, "{}");
	expect_sent(w, "PUT /apis/extensions/v1beta1/namespaces/ns/deployments/web/scale",
		SCALE("extensions/v1beta1", "{\"replicas\":5}", "{\"replicas\":2,\"targetSelector\":\"app=web\"}"));
	target(w, &deployments, "web");
	get(w, 200, SCALE("apps/v1beta2", "null", "{\"replicas\":2,\"selector\":{\"b\":\"2\",\"a\":\"1\"}}"));
	put(w, 5, NULL, 200, "{}");
	expect_sent(w, "PUT /apis/apps/v1/namespaces/ns/deployments/web/scale",
		SCALE("autoscaling/v1", "{\"replicas\":5}", "{\"replicas\":2,\"selector\":\"a=1,b=2\"}"));
	/* It lists none: as it came. */
	target(w, &unlisted, "web");
	get(w, 200, NORMAL);
	put(w, 5, NULL, 200, "{}");
	expect_sent(w, "PUT /apis/a%20b.example/v1/namespaces/ns/xs/web/scale",
		SCALE("autoscaling/v1", "{\"replicas\":5}", "{\"replicas\":2,\"selector\":\"app=web\"}"));
}

static void test_failures(void **state)
{
	static const char not_found[] = "{\"kind\":\"Status\",\"status\":\"Failure\",\"reason\":\"NotFound\","
					"\"message\":\"deployments.apps \\\"web\\\" not found\",\"code\":404}";
	static const char conflict[] = "{\"kind\":\"Status\",\"reason\":\"Conflict\",\"message\":\"Operation cannot be "
				       "fulfilled on deployments.apps \\\"web\\\": the object has been modified\"}";
	struct world *w = *state;

	target(w, &deployments, "web");
	get(w, 404, not_found);
	assert_true(w->failed && !w->conflict);
	assert_string_equal(w->text, "deployments.apps \"web\" not found");
	get(w, 502, "<html>");
	assert_non_null(strstr(w->text, "502"));
	get(w, 200, NORMAL);
	put(w, 5, "77", 409, conflict);
	assert_true(w->failed && w->conflict);
	assert_non_null(strstr(w->text, "the object has been modified"));
	/* The GET after it fails: what was read before is still there to be put. */
	get(w, 500, "{\"message\":7}");
	assert_true(w->failed);
	put(w, 5, NULL, 403, "{\"message\":\"no right\"}");
	assert_true(w->failed && !w->conflict);
	assert_string_equal(w->text, "no right");
	assert_non_null(strstr(w->sent, "\"uid\":\"u-1\""));
	apistub_stop(w->stub);
	put(w, 5, NULL, 0, NULL);
	assert_true(w->failed && !w->conflict);
	assert_non_null(strstr(w->text, "PUT /apis/apps/v1/namespaces/ns/deployments/web/scale: https://"));
}

static void test_limits(void **state)
{
	struct world *w = *state;
	struct km_buf body = KM_BUF_INIT(2 * HPA_SCALE_BODY_MAX);

	km_buf_adds(&body,
		"{\"kind\":\"Scale\",\"apiVersion\":\"apps/v1beta2\",\"metadata\":{},\"status\":{\"selector\":{");
	for (int i = 0; i < 257; i++)
		km_buf_addf(&body, "%s\"k%d\":\"v\"", i > 0 ? "," : "", i);
	km_buf_adds(&body, "}}}");
	target(w, &deployments, "web");
	get(w, 200, body.data);
	assert_string_equal(w->text, "the scale's selector has more than 256 labels");
	km_buf_reset(&body);
	km_buf_adds(&body,
		"{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/v1\",\"metadata\":{},\"status\":{\"selector\":\"");
	for (int i = 0; i < 64 * 1024 + 1; i++)
		km_buf_addc(&body, 'x');
	km_buf_adds(&body, "\"}}");
	get(w, 200, body.data);
	assert_string_equal(w->text, "the scale's selector is too long");
	while (body.len <= HPA_SCALE_BODY_MAX)
		km_buf_addc(&body, ' ');
	get(w, 200, body.data);
	assert_string_equal(w->text, "the server's Scale is too large");
	km_buf_free(&body);
}

static void test_freed(void **state)
{
	struct world *w = *state;

	w->free_in_callback = true;
	target(w, &deployments, "web");
	get(w, 200, SCALE("apps/v1beta1", "{}", "{\"selector\":{\"a\":\"1\"}}"));
	assert_null(w->scale);
	assert_string_equal(w->text, "a=1@77");
	target(w, &deployments, "web");
	get(w, 404, "");
	assert_null(w->scale);
	w->free_in_callback = false;
	target(w, &deployments, "web");
	get(w, 200, NORMAL);
	w->free_in_callback = true;
	put(w, 1, NULL, 200, "{}");
	assert_null(w->scale);
	/* and with a call under way */
	target(w, &deployments, "web");
	start(w, 0, NULL);
	assert_int_equal(hpa_scale_get(w->scale, on_scale, w), 0);
	assert_true(apistub_until(w->loop, is_asked, w));
	hpa_scale_client_free(KM_TAKE(w->scale));
	hpa_scale_client_free(NULL);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_forms), TEST(test_paths_and_puts), TEST(test_failures), TEST(test_limits), TEST(test_freed)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
