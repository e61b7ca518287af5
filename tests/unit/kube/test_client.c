/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API client and what asks one or two questions with it (discovery, access reviews), against a scripted server.
 */
#include "kube/client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "kube/discovery.h"
#include "kube/review.h"
#include "tests/unit/support/apistub.h"

struct world {
	struct km_loop *loop;
	struct apistub *stub;
	struct kube_client *client;
	apistub_fn answer;
	unsigned requests;
	char target[256], head[2048], body[4096], method[16];
	struct apistub_conn *last;

	unsigned done;
	int error, status;
	int64_t retry_after_s;
	char text[1024], got[8192];
	int stop_with; /* what on_data returns */
	struct kube_call *call;
	bool cancel_in_data, cancel_in_done;
	struct kube_discovery *discovery;
	bool allowed;
};

static void on_request(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct world *w = arg;

	w->requests++;
	w->last = c;
	snprintf(w->method, sizeof(w->method), "%s", request->method);
	snprintf(w->target, sizeof(w->target), "%s", request->target);
	snprintf(w->head, sizeof(w->head), "%s", request->head);
	snprintf(w->body, sizeof(w->body), "%s", request->body);
	w->answer(c, request, w);
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

static void on_done(const struct kube_result *result, void *arg)
{
	struct world *w = arg;

	w->done++;
	w->error = result->error;
	w->status = result->status;
	w->retry_after_s = result->retry_after_s;
	snprintf(w->text, sizeof(w->text), "%s", result->text);
	if (result->body_len > 0)
		snprintf(w->got, sizeof(w->got), "%s", result->body);
	if (w->cancel_in_done)
		kube_call_cancel(w->call);
}

static int on_data(int status, const char *bytes, size_t n, void *arg)
{
	struct world *w = arg;
	size_t have = strlen(w->got);

	assert_int_equal(status, 200);
	snprintf(w->got + have, sizeof(w->got) - have, "%.*s", (int)n, bytes);
	if (w->cancel_in_data) {
		kube_call_cancel(w->call);
		w->done++;
	}
	return w->stop_with;
}

static void run(struct world *w, const struct kube_request *request)
{
	struct kube_request r = *request;

	r.on_done = on_done;
	r.arg = w;
	w->done = 0;
	w->got[0] = '\0';
	assert_int_equal(kube_request_start(w->client, &r, &w->call), 0);
	assert_int_equal(w->done, 0);
	assert_true(apistub_until(w->loop, is_done, w));
}

/* ---- requests ---- */

static void answer_ok(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	apistub_reply(c, 200, NULL, "{\"kind\":\"X\"}");
}

static void test_get(void **state)
{
	struct world *w = *state;

	w->answer = answer_ok;
	run(w, &(struct kube_request){.method = "GET", .path = "/api/v1/nodes?limit=1"});
	assert_int_equal(w->error, 0);
	assert_int_equal(w->status, 200);
	assert_string_equal(w->got, "{\"kind\":\"X\"}");
	assert_string_equal(w->text, "");
	assert_string_equal(w->target, "/api/v1/nodes?limit=1");
	assert_non_null(strcasestr(w->head, "\r\nAuthorization: Bearer s3cret\r\n"));
	assert_non_null(strcasestr(w->head, "\r\nUser-Agent: kmetricsd/test\r\n"));
	assert_non_null(strcasestr(w->head, "\r\nAccept: application/json\r\n"));
}

static void test_body(void **state)
{
	struct world *w = *state;
	json_t *body = json_pack("{s:s}", "a", "b");

	w->answer = answer_ok;
	run(w, &(struct kube_request){.method = "POST", .path = "/x", .body = body});
	assert_string_equal(w->method, "POST");
	assert_string_equal(w->body, "{\"a\":\"b\"}");
	assert_non_null(strcasestr(w->head, "\r\nContent-Type: application/json\r\n"));
	run(w, &(struct kube_request){
		       .method = "PATCH", .path = "/x", .body = body, .patch_type = "application/merge-patch+json"});
	assert_string_equal(w->method, "PATCH");
	assert_non_null(strcasestr(w->head, "\r\nContent-Type: application/merge-patch+json\r\n"));
	run(w, &(struct kube_request){.method = "DELETE", .path = "/x"});
	assert_string_equal(w->method, "DELETE");
	assert_string_equal(w->body, "");
	json_decref(body);
}

static void answer_403(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	apistub_reply(
		c, 403, NULL, "{\"kind\":\"Status\",\"message\":\"nodes is forbidden: no\",\"reason\":\"Forbidden\"}");
}

static void answer_401(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	apistub_reply(c, 401, NULL, "Unauthorized");
}

static void answer_429(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	apistub_reply(c, 429, "Retry-After: 7\r\n", "slow down\n");
}

static void answer_cut(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	apistub_stream(c, 200);
	apistub_chunk(c, "{\"half");
	apistub_cut(c);
}

static void answer_long_error(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	char piece[4097];

	memset(piece, 'x', 4096);
	piece[4096] = '\0';
	apistub_stream(c, 500);
	for (int i = 0; i < 64; i++)
		apistub_chunk(c, piece);
	/* and no end */
}

static void answer_never(struct apistub_conn *c, const struct apistub_request *request, void *arg) {}

static void test_errors(void **state)
{
	struct world *w = *state;

	w->answer = answer_403;
	run(w, &(struct kube_request){.method = "GET", .path = "/api/v1/nodes?x=1"});
	assert_int_equal(w->error, -EACCES);
	assert_int_equal(w->status, 403);
	assert_string_equal(w->text, "GET /api/v1/nodes: 403 nodes is forbidden: no");
	w->answer = answer_429;
	run(w, &(struct kube_request){.method = "GET", .path = "/p"});
	assert_int_equal(w->error, -EBUSY);
	assert_int_equal(w->retry_after_s, 7);
	assert_string_equal(w->text, "GET /p: 429 slow down");
	w->answer = answer_cut;
	run(w, &(struct kube_request){.method = "GET", .path = "/p"});
	assert_true(w->error < 0);
	assert_true(strncmp(w->text, "GET /p: https://127.0.0.1:", 26) == 0);
	w->answer = answer_never;
	run(w, &(struct kube_request){.method = "GET", .path = "/p", .deadline_us = 50000});
	assert_int_equal(w->error, -ETIMEDOUT);
	apistub_stop(w->stub);
	run(w, &(struct kube_request){.method = "GET", .path = "/p"});
	assert_int_equal(w->error, -ECONNREFUSED);
	assert_int_equal(w->status, 0);
}

static void test_bad_path(void **state)
{
	struct world *w = *state;
	struct kube_request request = {.method = "GET", .path = "no-slash", .on_done = on_done, .arg = w};
	char *path = malloc(9001);

	assert_int_equal(kube_request_start(w->client, &request, &w->call), -EINVAL);
	memset(path, '/', 9000);
	path[9000] = '\0';
	request.path = path;
	assert_int_equal(kube_request_start(w->client, &request, &w->call), -EINVAL);
	free(path);
	assert_int_equal(w->done, 0);
}

/* ---- streams ---- */

static void answer_stream(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	apistub_stream(c, 200);
	apistub_chunk(c, "one ");
	apistub_chunk(c, "two");
	apistub_end(c);
}

static void test_stream(void **state)
{
	struct world *w = *state;

	w->answer = answer_stream;
	run(w, &(struct kube_request){.method = "GET", .path = "/p", .on_data = on_data, .dedicated = true});
	assert_int_equal(w->error, 0);
	assert_int_equal(w->status, 200);
	assert_string_equal(w->got, "one two");
	w->stop_with = -EMSGSIZE;
	run(w, &(struct kube_request){.method = "GET", .path = "/p", .on_data = on_data});
	assert_int_equal(w->error, -EMSGSIZE);
	assert_int_equal(w->status, 200);
}

static void test_stream_errors(void **state)
{
	struct world *w = *state;

	w->answer = answer_403; /* on_data would complain about the status */
	run(w, &(struct kube_request){.method = "GET", .path = "/p", .on_data = on_data});
	assert_int_equal(w->error, -EACCES);
	assert_string_equal(w->text, "GET /p: 403 nodes is forbidden: no");
	w->answer = answer_long_error;
	run(w, &(struct kube_request){.method = "GET", .path = "/p", .on_data = on_data, .deadline_us = UINT64_MAX});
	assert_int_equal(w->error, -EREMOTEIO);
	assert_int_equal(w->status, 500);
	w->answer = answer_429;
	run(w, &(struct kube_request){.method = "GET", .path = "/p", .on_data = on_data});
	assert_int_equal(w->error, -EBUSY);
	assert_int_equal(w->retry_after_s, 7);
}

/* ---- cancelling ---- */

static bool was_asked(void *arg)
{
	return ((struct world *)arg)->requests > 0;
}

static bool all_closed(void *arg)
{
	return apistub_open(((struct world *)arg)->stub) == 0;
}

static void test_cancel(void **state)
{
	struct world *w = *state;
	struct kube_request request = {.method = "GET", .path = "/p", .on_done = on_done, .arg = w};

	/* at once */
	w->answer = answer_never;
	assert_int_equal(kube_request_start(w->client, &request, &w->call), 0);
	kube_call_cancel(w->call);
	/* while the server thinks */
	assert_int_equal(kube_request_start(w->client, &request, &w->call), 0);
	assert_true(apistub_until(w->loop, was_asked, w));
	kube_call_cancel(w->call);
	assert_true(apistub_until(w->loop, all_closed, w));
	kube_call_cancel(NULL);
	assert_int_equal(w->done, 0);
	/* inside on_data, and inside on_done */
	w->answer = answer_stream;
	w->cancel_in_data = true;
	run(w, &(struct kube_request){.method = "GET", .path = "/p", .on_data = on_data});
	assert_int_equal(w->done, 1);
	w->cancel_in_data = false;
	w->cancel_in_done = true;
	run(w, &(struct kube_request){.method = "GET", .path = "/p"});
	assert_int_equal(w->done, 1);
	/* with the client */
	w->answer = answer_never;
	w->requests = 0;
	w->done = 0;
	assert_int_equal(kube_request_start(w->client, &request, &w->call), 0);
	assert_true(apistub_until(w->loop, was_asked, w));
	kube_client_free(w->client);
	w->client = NULL;
	assert_true(apistub_until(w->loop, all_closed, w));
	assert_int_equal(w->done, 0);
}

/* ---- tokens and rotation ---- */

static void test_token_file(void **state)
{
	struct world *w = *state;
	struct km_clock_virtual clock = {.monotonic_us = 1000 * KM_USEC_PER_SEC};
	struct kube_access *access = apistub_access(w->stub, NULL);
	char path[] = "/tmp/test_client.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0 && write(fd, "first\n", 6) == 6);
	access->token_file = strdup(path);
	assert_int_equal(kube_client_set_access(w->client, access, NULL), 0);
	kube_access_free(access);
	w->answer = answer_ok;
	km_clock_set_virtual(&clock);
	run(w, &(struct kube_request){.method = "GET", .path = "/p"});
	assert_non_null(strcasestr(w->head, "\r\nAuthorization: Bearer first\r\n"));
	assert_true(ftruncate(fd, 0) == 0 && pwrite(fd, "second\n", 7, 0) == 7);
	clock.monotonic_us += 59 * KM_USEC_PER_SEC;
	run(w, &(struct kube_request){.method = "GET", .path = "/p"});
	assert_non_null(strcasestr(w->head, "\r\nAuthorization: Bearer first\r\n"));
	clock.monotonic_us += 2 * KM_USEC_PER_SEC;
	run(w, &(struct kube_request){.method = "GET", .path = "/p"});
	assert_non_null(strcasestr(w->head, "\r\nAuthorization: Bearer second\r\n"));
	/* after a 401 at once */
	assert_true(ftruncate(fd, 0) == 0 && pwrite(fd, "third", 5, 0) == 5);
	w->answer = answer_401;
	run(w, &(struct kube_request){.method = "GET", .path = "/p"});
	assert_int_equal(w->error, -EACCES);
	w->answer = answer_ok;
	run(w, &(struct kube_request){.method = "GET", .path = "/p"});
	assert_non_null(strcasestr(w->head, "\r\nAuthorization: Bearer third\r\n"));
	assert_true(ftruncate(fd, 0) == 0 && pwrite(fd, "second", 6, 0) == 6);
	clock.monotonic_us += 61 * KM_USEC_PER_SEC;
	run(w, &(struct kube_request){.method = "GET", .path = "/p"});
	/* one that could split the header, and one that is gone, leave the former in force */
	assert_true(ftruncate(fd, 0) == 0 && pwrite(fd, "a\r\nX: y", 7, 0) == 7);
	clock.monotonic_us += 61 * KM_USEC_PER_SEC;
	run(w, &(struct kube_request){.method = "GET", .path = "/p"});
	assert_non_null(strcasestr(w->head, "\r\nAuthorization: Bearer second\r\n"));
	unlink(path);
	clock.monotonic_us += 61 * KM_USEC_PER_SEC;
	run(w, &(struct kube_request){.method = "GET", .path = "/p"});
	assert_non_null(strcasestr(w->head, "\r\nAuthorization: Bearer second\r\n"));
	km_clock_set_virtual(NULL);
	close(fd);
}

static void test_set_access(void **state)
{
	struct world *w = *state;
	struct kube_request request = {.method = "GET", .path = "/slow", .on_done = on_done, .arg = w};
	struct kube_access *access = apistub_access(w->stub, "other");
	struct apistub_conn *slow;

	w->answer = answer_never;
	assert_int_equal(kube_request_start(w->client, &request, &w->call), 0);
	assert_true(apistub_until(w->loop, was_asked, w));
	slow = w->last;
	assert_int_equal(kube_client_set_access(w->client, access, NULL), 0);
	kube_access_free(access);
	apistub_reply(slow, 200, NULL, "{}");
	assert_true(apistub_until(w->loop, is_done, w));
	assert_int_equal(w->error, 0);
	w->answer = answer_ok;
	run(w, &(struct kube_request){.method = "GET", .path = "/p"});
	assert_non_null(strcasestr(w->head, "\r\nAuthorization: Bearer other\r\n"));
	assert_string_equal(kube_client_server(w->client), apistub_url(w->stub));
}

/* ---- discovery ---- */

static void on_discovered(struct kube_discovery *d, const char *text, void *arg)
{
	struct world *w = arg;

	w->done++;
	w->discovery = d ? kube_discovery_ref(d) : NULL;
	snprintf(w->text, sizeof(w->text), "%s", text);
	if (w->cancel_in_done)
		kube_call_cancel(w->call);
}

static void answer_discovery(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	if (strcmp(request->target, "/version") == 0)
		apistub_reply(c, 200, NULL, "{\"gitVersion\":\"v1.20.2\"}");
	else if (strcmp(request->target, "/apis") == 0)
		apistub_reply(c, 200, NULL, "{\"groups\":[{\"name\":\"a.io\",\"versions\":[{\"version\":\"v1\"}]}]}");
	else
		apistub_reply(c, 404, NULL, "");
}

static void answer_version_only(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	if (strcmp(request->target, "/version") == 0)
		apistub_reply(c, 200, NULL, "{\"gitVersion\":\"v1.20.2\"}");
	else
		answer_403(c, request, arg);
}

static void discover(struct world *w, apistub_fn answer)
{
	w->answer = answer;
	w->done = 0;
	assert_int_equal(kube_discover(w->client, on_discovered, w, &w->call), 0);
	assert_true(apistub_until(w->loop, is_done, w));
	assert_int_equal(w->done, 1);
}

static void test_discover(void **state)
{
	struct world *w = *state;

	discover(w, answer_discovery);
	assert_non_null(w->discovery);
	assert_int_equal(kube_discovery_minor(w->discovery), 20);
	assert_true(kube_discovery_serves(w->discovery, "a.io", "v1"));
	kube_discovery_unref(w->discovery);
	discover(w, answer_version_only);
	assert_null(w->discovery);
	assert_non_null(strstr(w->text, "GET /apis: 403"));
	discover(w, answer_403);
	assert_null(w->discovery);
	assert_non_null(strstr(w->text, "GET /version: 403"));
	discover(w, answer_stream);
	assert_null(w->discovery);
	assert_non_null(strstr(w->text, "GET /version: the reply is not a JSON object"));
	discover(w, answer_ok);
	assert_non_null(strstr(w->text, "gitVersion"));
	w->cancel_in_done = true;
	discover(w, answer_403);
	/* between the two questions */
	w->answer = answer_never;
	w->requests = 0;
	w->done = 0;
	assert_int_equal(kube_discover(w->client, on_discovered, w, &w->call), 0);
	assert_true(apistub_until(w->loop, was_asked, w));
	w->requests = 0;
	apistub_reply(w->last, 200, NULL, "{\"gitVersion\":\"v1.20.2\"}");
	assert_true(apistub_until(w->loop, was_asked, w));
	assert_string_equal(w->target, "/apis");
	kube_call_cancel(w->call);
	assert_true(apistub_until(w->loop, all_closed, w));
	assert_int_equal(w->done, 0);
}

/* ---- access reviews ---- */

static void on_reviewed(const struct kube_review_result *r, void *arg)
{
	struct world *w = arg;

	w->done++;
	w->error = r->error;
	w->allowed = r->allowed;
	snprintf(w->text, sizeof(w->text), "%s", r->error ? r->text : r->reason);
}

static void review(struct world *w, apistub_fn answer, const struct kube_review *what)
{
	w->answer = answer;
	w->done = 0;
	w->requests = 0;
	assert_int_equal(kube_review_start(w->client, what, on_reviewed, w, &w->call), 0);
	assert_true(apistub_until(w->loop, is_done, w));
}

static void answer_allowed(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	apistub_reply(c, 201, NULL, "{\"status\":{\"allowed\":true,\"reason\":\"RBAC: yes\"}}");
}

static void answer_denied(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	apistub_reply(c, 201, NULL, "{\"status\":{\"allowed\":false,\"evaluationError\":\"no such role\"}}");
}

static void answer_contradiction(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	apistub_reply(c, 201, NULL, "{\"status\":{\"allowed\":true,\"denied\":true}}");
}

static void answer_second_time(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct world *w = arg;

	if (w->requests == 1)
		apistub_reply(c, 503, NULL, "etcd");
	else
		answer_allowed(c, request, arg);
}

static void answer_cut_first(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct world *w = arg;

	if (w->requests == 1)
		answer_cut(c, request, arg);
	else
		answer_allowed(c, request, arg);
}

static void answer_500(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	apistub_reply(c, 500, NULL, "oops");
}

static void test_review(void **state)
{
	struct world *w = *state;
	static const char *const groups[] = {"system:authenticated", "dev"}, *const values[] = {"1", "2"};
	static const struct kube_extra extra[] = {{"scopes", values, 2}};
	const struct kube_review resource = {.user = "jane",
		.uid = "7",
		.groups = groups,
		.n_groups = 2,
		.extra = extra,
		.n_extra = 1,
		.verb = "list",
		.group = "metrics.k8s.io",
		.version = "v1beta1",
		.resource = "pods",
		.namespace_ = "shop"};
	const struct kube_review path = {.user = "jane", .verb = "get", .path = "/metrics"};
	json_t *body, *spec;

	review(w, answer_allowed, &resource);
	assert_int_equal(w->error, 0);
	assert_true(w->allowed);
	assert_string_equal(w->text, "RBAC: yes");
	assert_string_equal(w->method, "POST");
	assert_string_equal(w->target, "/apis/authorization.k8s.io/v1/subjectaccessreviews");
	body = json_loads(w->body, 0, NULL);
	spec = json_pack("{s:s, s:s, s:[s,s], s:{s:[s,s]}, s:{s:s, s:s, s:s, s:s, s:s}}", "user", "jane", "uid", "7",
		"groups", "system:authenticated", "dev", "extra", "scopes", "1", "2", "resourceAttributes", "verb",
		"list", "group", "metrics.k8s.io", "version", "v1beta1", "resource", "pods", "namespace", "shop");
	assert_true(json_equal(json_object_get(body, "spec"), spec));
	assert_string_equal(json_string_value(json_object_get(body, "kind")), "SubjectAccessReview");
	json_decref(spec);
	json_decref(body);

	review(w, answer_denied, &path);
	assert_int_equal(w->error, 0);
	assert_false(w->allowed);
	assert_string_equal(w->text, "no such role");
	body = json_loads(w->body, 0, NULL);
	spec = json_pack(
		"{s:s, s:{s:s, s:s}}", "user", "jane", "nonResourceAttributes", "verb", "get", "path", "/metrics");
	assert_true(json_equal(json_object_get(body, "spec"), spec));
	json_decref(spec);
	json_decref(body);
	review(w, answer_contradiction, &path);
	assert_int_equal(w->error, 0);
	assert_false(w->allowed);
}

static void test_review_retry(void **state)
{
	struct world *w = *state;
	const struct kube_review path = {.user = "jane", .verb = "get", .path = "/metrics"};
	const struct kube_review not_utf8 = {.user = "j\xff", .verb = "get", .path = "/metrics"};

	review(w, answer_second_time, &path);
	assert_int_equal(w->error, 0);
	assert_true(w->allowed);
	assert_int_equal(w->requests, 2);
	review(w, answer_cut_first, &path);
	assert_int_equal(w->error, 0);
	assert_int_equal(w->requests, 2);
	review(w, answer_500, &path);
	assert_int_equal(w->error, -EREMOTEIO);
	assert_int_equal(w->requests, 2);
	assert_non_null(strstr(w->text, "subjectaccessreviews: 500 oops"));
	review(w, answer_403, &path);
	assert_int_equal(w->error, -EACCES);
	assert_int_equal(w->requests, 1);
	review(w, answer_ok, &path);
	assert_int_equal(w->error, -EBADMSG);
	w->done = 0;
	assert_int_equal(kube_review_start(w->client, &not_utf8, on_reviewed, w, &w->call), -EINVAL);
	assert_int_equal(kube_review_start(w->client, &path, on_reviewed, w, &w->call), 0);
	kube_call_cancel(w->call);
	assert_int_equal(w->done, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_get, setup, teardown),
		cmocka_unit_test_setup_teardown(test_body, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_path, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_token_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_access, setup, teardown),
		cmocka_unit_test_setup_teardown(test_discover, setup, teardown),
		cmocka_unit_test_setup_teardown(test_review, setup, teardown),
		cmocka_unit_test_setup_teardown(test_review_retry, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
