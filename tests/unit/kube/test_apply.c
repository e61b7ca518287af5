/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applying objects against a scripted API server: what is written and when, conflicts, guards, cancelling.
 */
#include "kube/apply.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/buf.h"
#include "tests/unit/support/apistub.h"

/* What is answered to each request, in order. */
struct answer {
	int status;
	const char *body;
};

struct world {
	struct km_loop *loop;
	struct apistub *stub;
	struct kube_client *client;
	const struct answer *answers;
	size_t n, at;
	struct km_buf log; /* requests as "GET name", outcomes, "done:error" */
	char body[4096], text[1024];
	struct kube_apply *apply;
	bool cancel_in_report, done;
	int refuse;
};

static const char *const outcomes[] = {"unchanged", "created", "updated", "refused", "failed"};

static void on_request(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct world *w = arg;

	km_buf_addf(&w->log, "%s %s; ", request->method, strrchr(request->target, '/') + 1);
	if (*request->body)
		snprintf(w->body, sizeof(w->body), "%s", request->body);
	if (w->at == w->n)
		return; /* no answer */
	apistub_reply(c, w->answers[w->at].status, NULL, w->answers[w->at].body);
	w->at++;
}

static void on_report(const struct kube_apply_step *step, enum kube_apply_outcome outcome, const char *text, void *arg)
{
	struct world *w = arg;

	km_buf_addf(&w->log, "%s; ", outcomes[outcome]);
	snprintf(w->text, sizeof(w->text), "%s", text);
	if (w->cancel_in_report) {
		kube_apply_cancel(w->apply);
		w->done = true;
	}
}

static void on_done(int error, void *arg)
{
	struct world *w = arg;

	km_buf_addf(&w->log, "done:%d", error);
	w->done = true;
	kube_apply_cancel(w->apply); /* too late, but allowed */
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct kube_access *access;

	if (!w || km_loop_new(&w->loop, NULL) < 0)
		return -1;
	w->log = KM_BUF_INIT(4096);
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

	kube_client_free(w->client);
	apistub_free(w->stub);
	km_loop_free(w->loop);
	km_buf_free(&w->log);
	free(w);
	return 0;
}

static bool is_done(void *arg)
{
	return ((struct world *)arg)->done;
}

static json_t *service(const char *name)
{
	return json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:i}, s:n}", "apiVersion", "v1", "kind", "Service", "metadata",
		"name", name, "namespace", "kube-system", "spec", "port", 443, "gone");
}

static void run(struct world *w, const struct kube_apply_step *steps, size_t n_steps, const struct answer *answers,
	size_t n, const char *log)
{
	w->answers = answers;
	w->n = n;
	w->at = 0;
	w->done = false;
	w->body[0] = '\0';
	km_buf_reset(&w->log);
	km_buf_adds(&w->log, "");
	assert_int_equal(kube_apply_start(w->client, steps, n_steps, on_report, on_done, w, &w->apply), 0);
	assert_string_equal(w->log.data, "");
	assert_true(apistub_until(w->loop, is_done, w));
	assert_string_equal(w->log.data, log);
}

#define LIVE(port, rv)                                                                                            \
	"{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"x\",\"namespace\":\"kube-system\"," \
	"\"resourceVersion\":\"" rv "\"},\"spec\":{\"port\":" port ",\"clusterIP\":\"10.1.0.9\"}}"
#define RUN(steps, answers, log) run(w, steps, KM_ARRAY_LEN(steps), answers, KM_ARRAY_LEN(answers), log)

static void test_steps(void **state)
{
	static const struct answer answers[] = {{404, "{\"reason\":\"NotFound\"}"}, {201, "{}"},
		{200, LIVE("443", "7")}, {200, LIVE("80", "8")}, {200, "{}"}};
	struct world *w = *state;
	struct kube_apply_step steps[] = {
		{service("a"), "services", NULL}, {service("x"), "services", NULL}, {service("x"), "services", NULL}};
	json_t *body;

	RUN(steps, answers, "GET a; POST services; created; GET x; unchanged; GET x; PUT x; updated; done:0");
	body = json_loads(w->body, 0, NULL);
	/* with the version that was read, what we do not name, and without our nulls */
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(body, "metadata"), "resourceVersion")), "8");
	assert_string_equal(json_string_value(json_object_get(json_object_get(body, "spec"), "clusterIP")), "10.1.0.9");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(body, "spec"), "port")), 443);
	assert_null(json_object_get(body, "gone"));
	json_decref(body);
	for (size_t i = 0; i < KM_ARRAY_LEN(steps); i++)
		json_decref(steps[i].object);
}

static void test_created_without_nulls(void **state)
{
	static const struct answer answers[] = {{404, ""}, {201, "{}"}};
	struct world *w = *state;
	struct kube_apply_step steps[] = {{service("a"), "services", NULL}};

	RUN(steps, answers, "GET a; POST services; created; done:0");
	assert_non_null(strstr(w->body, "\"port\":443"));
	assert_null(strstr(w->body, "gone"));
	json_decref(steps[0].object);
}

static void test_races(void **state)
{
	static const struct answer conflict[] = {
		{200, LIVE("80", "8")}, {409, "{\"reason\":\"Conflict\"}"}, {200, LIVE("80", "9")}, {200, "{}"}};
	static const struct answer appeared[] = {
		{404, ""}, {409, "{\"reason\":\"AlreadyExists\"}"}, {200, LIVE("443", "9")}};
	static const struct answer vanished[] = {{200, LIVE("80", "8")}, {404, ""}, {404, ""}, {201, "{}"}};
	static const struct answer forever[] = {{200, LIVE("80", "1")}, {409, ""}, {200, LIVE("80", "2")}, {409, ""},
		{200, LIVE("80", "3")}, {409, ""}, {200, LIVE("80", "4")}, {409, ""}, {200, LIVE("80", "5")},
		{409, ""}};
	struct world *w = *state;
	struct kube_apply_step steps[] = {{service("x"), "services", NULL}};

	RUN(steps, conflict, "GET x; PUT x; GET x; PUT x; updated; done:0");
	assert_non_null(strstr(w->body, "\"resourceVersion\":\"9\""));
	RUN(steps, appeared, "GET x; POST services; GET x; unchanged; done:0");
	RUN(steps, vanished, "GET x; PUT x; GET x; POST services; created; done:0");
	RUN(steps, forever,
		"GET x; PUT x; GET x; PUT x; GET x; PUT x; GET x; PUT x; GET x; PUT x; failed; done:-11"); /* -EAGAIN */
	json_decref(steps[0].object);
}

static void test_failures(void **state)
{
	static const struct answer forbidden[] = {{403, "{\"message\":\"no\"}"}};
	static const struct answer no_namespace[] = {{404, ""}, {404, "{\"message\":\"namespaces not found\"}"}};
	static const struct answer garbage[] = {{200, "[]"}};
	struct world *w = *state;
	struct kube_apply_step steps[] = {{service("x"), "services", NULL}, {service("never"), "services", NULL}};
	struct kube_apply_step nameless[] = {{json_object(), "services", NULL}};
	char expected[64];

	snprintf(expected, sizeof(expected), "GET x; failed; done:%d", -EACCES);
	RUN(steps, forbidden, expected);
	assert_string_equal(w->text, "GET /api/v1/namespaces/kube-system/services/x: 403 no");
	snprintf(expected, sizeof(expected), "GET x; POST services; failed; done:%d", -ENOENT);
	RUN(steps, no_namespace, expected);
	assert_non_null(strstr(w->text, "namespaces not found"));
	snprintf(expected, sizeof(expected), "GET x; failed; done:%d", -EBADMSG);
	RUN(steps, garbage, expected);
	assert_int_equal(kube_apply_start(w->client, nameless, 1, on_report, on_done, w, &w->apply), -EINVAL);
	json_decref(steps[0].object);
	json_decref(steps[1].object);
	json_decref(nameless[0].object);
}

static int guard(json_t *live, void *arg, struct km_err *err)
{
	struct world *w = arg;

	km_buf_addf(&w->log, "guard:%s; ", live ? "there" : "absent");
	return w->refuse ? km_fail(err, w->refuse, "it is somebody else's") : 0;
}

static void test_guard(void **state)
{
	static const struct answer there[] = {{200, LIVE("80", "8")}, {200, "{}"}};
	static const struct answer absent[] = {{404, ""}};
	struct world *w = *state;
	struct kube_apply_step steps[] = {{service("x"), "services", guard}};

	RUN(steps, there, "GET x; guard:there; PUT x; updated; done:0");
	w->refuse = -EPERM;
	RUN(steps, absent, "GET x; guard:absent; refused; done:-1");
	assert_string_equal(w->text, "it is somebody else's");
	json_decref(steps[0].object);
}

static bool all_closed(void *arg)
{
	return apistub_open(((struct world *)arg)->stub) == 0;
}

static bool was_asked(void *arg)
{
	return ((struct world *)arg)->log.len > 0;
}

static void test_cancel(void **state)
{
	static const struct answer answers[] = {{200, LIVE("443", "8")}};
	struct world *w = *state;
	struct kube_apply_step steps[] = {{service("x"), "services", NULL}, {service("y"), "services", NULL}};

	/* nothing to do is done on the next turn, and can be cancelled before */
	run(w, NULL, 0, NULL, 0, "done:0");
	w->done = false;
	assert_int_equal(kube_apply_start(w->client, NULL, 0, on_report, on_done, w, &w->apply), 0);
	kube_apply_cancel(w->apply);
	kube_apply_cancel(NULL);
	km_buf_reset(&w->log);
	/* at once, and while the server thinks */
	w->n = w->at = 0;
	assert_int_equal(kube_apply_start(w->client, steps, 2, on_report, on_done, w, &w->apply), 0);
	kube_apply_cancel(w->apply);
	assert_int_equal(kube_apply_start(w->client, steps, 2, on_report, on_done, w, &w->apply), 0);
	assert_true(apistub_until(w->loop, was_asked, w));
	kube_apply_cancel(w->apply);
	assert_true(apistub_until(w->loop, all_closed, w));
	assert_false(w->done);
	/* inside a report: no further step, no done */
	w->cancel_in_report = true;
	RUN(steps, answers, "GET x; unchanged; ");
	json_decref(steps[0].object);
	json_decref(steps[1].object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_created_without_nulls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_races, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guard, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
