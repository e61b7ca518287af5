/* SPDX-License-Identifier: Apache-2.0 */
/* TokenReviews against a scripted server, and a SubjectAccessReview's selectors. */
#include "kube/token_review.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kube/review.h"
#include "kube/selector.h"
#include "tests/unit/support/apistub.h"

struct world {
	struct km_loop *loop;
	struct apistub *stub;
	struct kube_client *client;
	const char *replies[2]; /* bodies, in order; the last again and again */
	int statuses[2];
	unsigned requests, done;
	char target[256], body[4096];

	int error;
	bool authenticated;
	char user[256], text[1024];
	struct kube_call *call;
};

static void on_request(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct world *w = arg;
	unsigned i = w->requests && w->replies[1] ? 1 : 0;

	w->requests++;
	snprintf(w->target, sizeof(w->target), "%s %s", request->method, request->target);
	snprintf(w->body, sizeof(w->body), "%s", request->body);
	apistub_reply(c, w->statuses[i], NULL, w->replies[i]);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct kube_access *access;

	if (!w || km_loop_new(&w->loop, NULL) < 0)
		return -1;
	w->stub = apistub_new(w->loop, on_request, w);
	access = apistub_access(w->stub, "s3cret");
	if (kube_client_new(w->loop, access, "kmetricsd/test", &w->client, NULL) < 0)
		return -1;
	kube_access_free(access);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	kube_client_free(w->client);
	apistub_free(w->stub);
	km_loop_free(w->loop);
	free(w);
	return 0;
}

static bool is_done(void *arg)
{
	return ((struct world *)arg)->done > 0;
}

static void on_judged(const struct kube_token_result *r, void *arg)
{
	struct world *w = arg;
	const char *user = json_string_value(json_object_get(r->user, "username"));

	w->done++;
	w->error = r->error;
	w->authenticated = r->authenticated;
	snprintf(w->user, sizeof(w->user), "%s", user ? user : "");
	snprintf(w->text, sizeof(w->text), "%s", r->text);
}

static void judge(struct world *w, int first_status, const char *first, int second_status, const char *second)
{
	w->statuses[0] = first_status;
	w->replies[0] = first;
	w->statuses[1] = second_status;
	w->replies[1] = second;
	w->requests = w->done = 0;
	assert_int_equal(kube_token_review_start(w->client, "t0k\"en", on_judged, w, &w->call), 0);
	assert_true(apistub_until(w->loop, is_done, w));
	assert_int_equal(w->done, 1);
}

#define YES "{\"status\": {\"authenticated\": true, \"user\": {\"username\": \"jane\", \"groups\": [\"dev\"]}}}"

static void test_answers(void **state)
{
	static const struct {
		const char *reply;
		int error;
		bool authenticated;
		const char *user, *text;
	} cases[] = {
		{YES, 0, true, "jane", ""},
		{"{\"status\": {\"authenticated\": false}}", 0, false, "", ""},
		{"{\"status\": {\"error\": \"token expired\"}}", 0, false, "", "token expired"},
		{"{\"status\": {}}", 0, false, "", ""},
		{"{}", -EBADMSG, false, "", "the reply has no status, or names no user"},
		{"{\"status\": {\"authenticated\": true}}", -EBADMSG, false, "", "names no user"},
		{"{\"status\": {\"authenticated\": true, \"user\": \"jane\"}}", -EBADMSG, false, "", "names no user"},
	};
	struct world *w = *state;
	json_t *body, *want;

	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		judge(w, 201, cases[i].reply, 0, NULL);
		if (w->error != cases[i].error || w->authenticated != cases[i].authenticated ||
			strcmp(w->user, cases[i].user) != 0 || !strstr(w->text, cases[i].text))
			fail_msg("case %zu: %d, %d, \"%s\", \"%s\"", i, w->error, w->authenticated, w->user, w->text);
	}
	assert_string_equal(w->target, "POST /apis/authentication.k8s.io/v1/tokenreviews");
	body = json_loads(w->body, 0, NULL);
	want = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "authentication.k8s.io/v1", "kind", "TokenReview", "spec",
		"token", "t0k\"en");
	assert_true(json_equal(body, want));
	json_decref(body);
	json_decref(want);
}

static void test_retry(void **state)
{
	struct world *w = *state;

	judge(w, 503, "etcd", 201, YES);
	assert_int_equal(w->error, 0);
	assert_int_equal(w->requests, 2);
	judge(w, 500, "oops", 0, NULL);
	assert_int_equal(w->error, -EREMOTEIO);
	assert_int_equal(w->requests, 2);
	assert_non_null(strstr(w->text, "tokenreviews: 500 oops"));
	judge(w, 403, "no", 0, NULL);
	assert_int_equal(w->error, -EACCES);
	assert_int_equal(w->requests, 1);
}

static void test_not_started(void **state)
{
	struct world *w = *state;

	assert_int_equal(kube_token_review_start(w->client, "t\xff", on_judged, w, &w->call), -EINVAL);
	assert_int_equal(kube_token_review_start(w->client, "t", on_judged, w, &w->call), 0);
	kube_call_cancel(w->call);
	assert_int_equal(w->done, 0);
}

/* ---- selectors of a SubjectAccessReview ---- */

static void on_reviewed(const struct kube_review_result *r, void *arg)
{
	struct world *w = arg;

	w->done++;
	w->error = r->error;
}

static void test_review_selectors(void **state)
{
	struct world *w = *state;
	struct kube_selector *selector = NULL;
	struct kube_review what = {.user = "jane", .verb = "list", .resource = "pods"};
	json_t *body, *want, *attributes;
	struct km_err err;

	assert_int_equal(kube_selector_parse("a=1,b!=2,c in (3,4),d notin (5),e,!f,g>6,h<7,a==8", &selector, &err), 0);
	what.label_requirements = kube_selector_requirements(selector);
	what.field_requirements =
		json_pack("[{s:s, s:s, s:[s]}]", "key", "metadata.name", "operator", "In", "values", "p");
	w->statuses[0] = 201;
	w->replies[0] = "{\"status\": {\"allowed\": true}}";
	assert_int_equal(kube_review_start(w->client, &what, on_reviewed, w, &w->call), 0);
	assert_true(apistub_until(w->loop, is_done, w));
	assert_int_equal(w->error, 0);
	want = json_loads(
		"{\"verb\": \"list\", \"resource\": \"pods\","
		"\"fieldSelector\": {\"requirements\": [{\"key\": \"metadata.name\", \"operator\": \"In\", "
		"\"values\": [\"p\"]}]}, \"labelSelector\": {\"requirements\": ["
		"{\"key\": \"a\", \"operator\": \"In\", \"values\": [\"1\"]},"
		"{\"key\": \"b\", \"operator\": \"NotIn\", \"values\": [\"2\"]},"
		"{\"key\": \"c\", \"operator\": \"In\", \"values\": [\"3\", \"4\"]},"
		"{\"key\": \"d\", \"operator\": \"NotIn\", \"values\": [\"5\"]},"
		"{\"key\": \"e\", \"operator\": \"Exists\"}, {\"key\": \"f\", \"operator\": \"DoesNotExist\"},"
		"{\"key\": \"a\", \"operator\": \"In\", \"values\": [\"8\"]}]}}",
		0, NULL);
	assert_non_null(want);
	body = json_loads(w->body, 0, NULL);
	attributes = json_object_get(json_object_get(body, "spec"), "resourceAttributes");
	if (!json_equal(attributes, want))
		fail_msg("%s", w->body);
	json_decref(want);
	json_decref(body);
	json_decref(what.label_requirements);
	json_decref(what.field_requirements);
	kube_selector_free(selector);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(answers), TEST(retry), TEST(not_started), TEST(review_selectors)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
