/* SPDX-License-Identifier: Apache-2.0 */
/* Kubelets' requests for serving certificates that nobody has approved: which they are, and that they are told once. */
#include "aggregator/pending_csrs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/log.h"
#include "tests/unit/support/apistub.h"

#define CSR(name, user, usage, status)                                         \
	"{\"metadata\":{\"name\":\"" name "\"},\"spec\":{\"username\":\"" user \
	"\",\"usages\":[\"digital signature\",\"" usage "\"]},\"status\":{" status "}}"
#define LIST(items) "{\"kind\":\"CertificateSigningRequestList\",\"items\":[" items "]}"
#define PENDING     CSR("csr-1", "system:node:node-1", "server auth", "")
#define APPROVED    "\"conditions\":[{\"type\":\"Approved\"}]"

static void expect(const char *body, ssize_t n, const char *names)
{
	struct km_buf out = KM_BUF_INIT(4096);

	assert_int_equal(agg_pending_csrs_read(body, strlen(body), &out), n);
	assert_string_equal(out.data ? out.data : "", names);
	km_buf_free(&out);
}

static void which_they_are(void **state)
{
	struct km_buf many = KM_BUF_INIT(65536);

	expect(LIST(""), 0, "");
	expect(LIST(PENDING), 1, "node-1 (csr-1)");
	expect(LIST(PENDING "," CSR("csr-2", "system:node:node-2", "server auth", "")), 2,
		"node-1 (csr-1), node-2 (csr-2)");
	expect(LIST(CSR("c", "system:node:n", "server auth", APPROVED)), 0, "");
	expect(LIST(CSR("c", "system:node:n", "server auth", "\"certificate\":\"eA==\"")), 0, "");
	expect(LIST(CSR("c", "system:node:n", "client auth", "")), 0, "");
	expect(LIST(CSR("c", "system:bootstrap:abc", "server auth", "")), 0, "");
	expect(LIST("{},[],7,{\"metadata\":{\"name\":\"x\"},\"spec\":7}"), 0, "");
	expect("{}", -EBADMSG, "");
	expect("", -EBADMSG, "");
	expect("[1", -EBADMSG, "");
	km_buf_adds(&many, "{\"items\":[" PENDING);
	for (int i = 0; i < 7; i++)
		km_buf_adds(&many, "," PENDING);
	km_buf_adds(&many, "]}");
	expect(many.data, 8,
		"node-1 (csr-1), node-1 (csr-1), node-1 (csr-1), node-1 (csr-1), node-1 (csr-1) and 3 more");
	km_buf_free(&many);
}

struct scene {
	struct km_loop *loop;
	struct apistub *stub;
	struct kube_access *access;
	struct kube_client *client;
	struct agg_pending_csrs *csrs;
	const char *body; /* NULL: 403 */
	bool wanted, old;
	unsigned asked, wanted_asked;
	struct km_buf log;
};

static void on_log(int level, const struct km_log_fields *fields, const char *text, void *arg)
{
	struct scene *s = arg;

	km_buf_addf(&s->log, "%s\n", text);
}

static void answer(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct scene *s = arg;

	if (s->old && strstr(request->target, "/v1/")) {
		apistub_reply(c, 404, NULL, "{}");
		return;
	}
	assert_non_null(strstr(request->target,
		s->old ? "/apis/certificates.k8s.io/v1beta1/cert" : "/apis/certificates.k8s.io/v1/cert"));
	s->asked++;
	apistub_reply(c, s->body ? 200 : 403, "Content-Type: application/json\r\n", s->body ? s->body : "{}");
}

static bool wanted(void *arg)
{
	return ((struct scene *)arg)->wanted;
}

static bool is_asked(void *arg)
{
	struct scene *s = arg;

	return s->asked >= s->wanted_asked;
}

/* Two answers later, of which the second has certainly been asked for after the change. */
static void wait_asked(struct scene *s)
{
	s->wanted_asked = s->asked + 2;
	assert_true(apistub_until(s->loop, is_asked, s));
}

static unsigned logged(const struct scene *s, const char *what)
{
	unsigned n = 0;

	for (const char *p = s->log.data; p && (p = strstr(p, what)); p++)
		n++;
	return n;
}

static void told_once(void **state)
{
	struct scene s = {.body = LIST(PENDING), .wanted = true, .old = true, .log = KM_BUF_INIT(65536)};

	km_log_set_sink(on_log, &s);
	assert_int_equal(km_loop_new(&s.loop, NULL), 0);
	s.stub = apistub_new(s.loop, answer, &s);
	s.access = apistub_access(s.stub, NULL);
	assert_int_equal(kube_client_new(s.loop, s.access, "test", &s.client, NULL), 0);
	assert_int_equal(agg_pending_csrs_new(s.client, 1000, wanted, &s, &s.csrs), 0);
	wait_asked(&s);
	wait_asked(&s);
	assert_int_equal(agg_pending_csrs_count(s.csrs), 1);
	assert_int_equal(
		logged(&s,
			"1 kubelet has no serving certificate until somebody approves its request: node-1 (csr-1); "),
		1);
	/* one more */
	s.old = false;
	s.body = LIST(PENDING "," PENDING);
	wait_asked(&s);
	wait_asked(&s);
	assert_int_equal(logged(&s, "2 kubelets have"), 1);
	/* not to be seen: as it was */
	s.body = NULL;
	wait_asked(&s);
	wait_asked(&s);
	assert_int_equal(logged(&s, "cannot be seen"), 1);
	assert_int_equal(agg_pending_csrs_count(s.csrs), 2);
	/* approved; and while every kubelet fares well nobody asks */
	s.wanted = false;
	s.body = LIST("");
	s.wanted_asked = s.asked + 1;
	assert_true(apistub_until(s.loop, is_asked, &s));
	while (agg_pending_csrs_count(s.csrs) > 0)
		assert_int_equal(event_base_loop(km_loop_base(s.loop), EVLOOP_ONCE), 0);
	assert_int_equal(logged(&s, "waits for approval any more"), 1);
	agg_pending_csrs_free(s.csrs);
	kube_client_free(s.client);
	kube_access_free(s.access);
	apistub_free(s.stub);
	km_loop_free(s.loop);
	km_log_set_sink(NULL, NULL);
	km_buf_free(&s.log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(which_they_are),
		cmocka_unit_test(told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
