/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper behind its socket, as whoever breaks into the daemon would use it: malformed, oversized and unknown
 * requests, what cannot be said in JSON, and the daemon's own side of the conversation.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "certmanager/issue.h"
#include "certmanager/own.h"
#include "core/clock.h"
#include "core/file.h"
#include "net/control.h"
#include "tests/unit/certmanager/ssl_folder.h"
#include "tests/unit/support/check.h"

static json_t *ask(struct ssl_folder *f, const char *op, json_t *request)
{
	json_t *reply = keeper_answer(op, request, 0, &f->paths);

	assert_non_null(reply);
	json_decref(request);
	return reply;
}

static json_t *issue_request(const char *role, const char *csr, const char *node, size_t n_ips)
{
	json_t *ips = json_array();

	for (size_t i = 0; i < n_ips; i++)
		json_array_append_new(ips, json_sprintf("10.0.0.%zu", i + 1));
	return json_pack(
		"{s:s, s:s, s:s, s:s, s:o}", "op", "issue", "role", role, "csr", csr, "node", node, "ips", ips);
}

static char *csr_new(void)
{
	_cleanup_(km_pkey_freep) EVP_PKEY *key = NULL;
	char *pem = NULL;

	assert_int_equal(cert_make_key(CERT_KEY_P256, &key, NULL), 0);
	assert_int_equal(cert_make_csr(key, &pem, NULL), 0);
	return pem;
}

static void refused(json_t *reply, int code, const char *words)
{
	const char *error = json_string_value(json_object_get(reply, "error"));

	if (!error || !strstr(error, words) || json_integer_value(json_object_get(reply, "code")) != code)
		fail_msg("\"%s\" (%d), expected \"%s\" (%d)", error ? error : "no error",
			(int)json_integer_value(json_object_get(reply, "code")), words, code);
	assert_null(json_object_get(reply, "cert"));
	json_decref(reply);
}

/* ---- requests ---- */

static void test_malformed(void **state)
{
	static const struct {
		const char *op, *request, *words;
		int code;
	} rows[] = {
		{"list", "{}", "the keeper answers ensure and issue", 2},
		{"mint-admin", "{}", "unknown request \"mint-admin\"", 2},
		{"ENSURE", "{}", "unknown request", 2},
		{"issue ", "{}", "unknown request", 2},
		{"issue", "{}", "needs role, csr, node", 2},
		{"issue", "{\"role\":null,\"csr\":\"x\",\"node\":\"n\"}", "needs role", 2},
		{"issue", "{\"role\":\"serving\",\"csr\":[\"x\"],\"node\":\"n\"}", "needs role", 2},
		{"issue", "{\"role\":\"serving\",\"csr\":\"x\",\"node\":{}}", "needs role", 2},
		{"issue", "{\"role\":\"serving\",\"csr\":\"x\",\"node\":\"n\",\"ips\":\"10.0.0.1\"}", "needs role", 2},
		{"issue", "{\"role\":\"serving\",\"csr\":\"x\",\"node\":\"n\",\"ips\":[null]}",
			"ips[0] is not a string", 2},
		{"issue", "{\"role\":\"serving\",\"csr\":\"x\",\"node\":\"n\",\"ips\":[\"10.0.0.1\",[]]}", "ips[1]", 2},
		{"issue", "{\"role\":\"admin\",\"csr\":\"x\",\"node\":\"n\"}", "only serving and api-client", 2},
		{"issue", "{\"role\":\"front-proxy-client\",\"csr\":\"x\",\"node\":\"n\"}", "only serving", 2},
		{"issue", "{\"role\":\"serving\",\"csr\":\"x\",\"node\":\"n\"}", "cannot be read", 1},
		{"issue", "{\"role\":\"serving\",\"csr\":\"\",\"node\":\"n\"}", "cannot be read", 1},
		{"issue", "{\"role\":\"serving\",\"csr\":\"x\",\"node\":\"\"}", "is not a node name", 1},
		{"issue", "{\"role\":\"api-client\",\"csr\":\"x\",\"node\":\"a,O=system:masters\"}",
			"is not a node name", 1},
		{"issue", "{\"role\":\"serving\",\"csr\":\"x\",\"node\":\"*.kube-system.svc\"}", "is not a node name",
			1},
		{"issue", "{\"role\":\"serving\",\"csr\":\"x\",\"node\":\"n\",\"ips\":[\"10.0.0.0/8\"]}", "not an IP",
			1},
		{"issue", "{\"role\":\"serving\",\"csr\":\"x\",\"node\":\"n\",\"ips\":[\"\"]}", "not an IP", 1},
	};
	struct ssl_folder f;

	ssl_folder_make(&f, true);
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		json_t *request = json_loads(rows[i].request, 0, NULL);

		assert_non_null(request);
		refused(ask(&f, rows[i].op, request), rows[i].code, rows[i].words);
	}
	ssl_folder_remove(&f);
}

static void test_limits(void **state)
{
	_cleanup_free_ char *csr = csr_new(), *big = malloc(KM_PEM_MAX + 2);
	char node[255];
	struct ssl_folder f;
	json_t *reply;

	ssl_folder_make(&f, true);
	memset(node, 'n', sizeof(node));
	node[254] = '\0';
	refused(ask(&f, "issue", issue_request("serving", csr, node, 1)), 1, "at most 253");
	node[253] = '\0';
	reply = ask(&f, "issue", issue_request("serving", csr, node, 32));
	assert_non_null(json_object_get(reply, "cert"));
	json_decref(reply);
	refused(ask(&f, "issue", issue_request("serving", csr, "n", 33)), 2, "at most 32 ips");
	memset(big, 'x', KM_PEM_MAX + 1);
	big[KM_PEM_MAX + 1] = '\0';
	refused(ask(&f, "issue", issue_request("serving", big, "n", 0)), 1, "larger than");
	/* names of anything, 200 KB long: cut in the reply */
	big[200000] = '\0';
	reply = ask(&f, big, json_object());
	assert_true(json_string_length(json_object_get(reply, "error")) < 200);
	refused(reply, 2, "unknown request");
	refused(ask(&f, "issue", issue_request(big, csr, "n", 0)), 2, "no certificate is issued");
	refused(ask(&f, "issue", issue_request("serving", csr, big, 0)), 1, "is not a node name");
	ssl_folder_remove(&f);
}

/* The reply to a good request: the leaf and the CA that signed it, and nothing else (no key). */
static void test_issue(void **state)
{
	_cleanup_free_ char *csr = csr_new(), *ca = NULL;
	_cleanup_(km_x509_stack_freep) STACK_OF(X509) *leaf = NULL;
	const char *pem;
	struct ssl_folder f;
	json_t *reply;

	ssl_folder_make(&f, true);
	reply = ask(&f, "issue", issue_request("serving", csr, "master-1", 2));
	assert_int_equal(json_object_size(reply), 2);
	ca = ssl_folder_read(&f, "kmetricsd-ca.pem");
	assert_string_equal(json_string_value(json_object_get(reply, "ca")), ca);
	pem = json_string_value(json_object_get(reply, "cert"));
	assert_int_equal(km_x509_parse(pem, strlen(pem), "reply", &leaf, NULL), 0);
	assert_true(km_x509_has_ip(sk_X509_value(leaf, 0), "10.0.0.2"));
	assert_true(km_x509_has_ip(sk_X509_value(leaf, 0), "127.0.0.1"));
	json_decref(reply);
	/* without ips at all */
	reply = ask(&f, "issue", json_pack("{s:s, s:s, s:s}", "role", "serving", "csr", csr, "node", "master-1"));
	assert_non_null(json_object_get(reply, "cert"));
	json_decref(reply);
	/* no cluster CA on this host */
	refused(ask(&f, "issue", issue_request("api-client", csr, "master-1", 0)), 1, "is not on this host");
	ssl_folder_remove(&f);
}

static void test_ensure(void **state)
{
	static const char *const roles[] = {"front-proxy-ca", "front-proxy-client", "serving-ca"};
	struct ssl_folder f;
	json_t *reply, *items;

	ssl_folder_make(&f, true);
	reply = ask(&f, "ensure", json_object());
	items = json_object_get(reply, "items");
	assert_null(json_object_get(reply, "problem"));
	assert_int_equal(json_array_size(items), 3);
	for (size_t i = 0; i < KM_ARRAY_LEN(roles); i++) {
		json_t *item = json_array_get(items, i);

		assert_string_equal(json_string_value(json_object_get(item, "role")), roles[i]);
		assert_int_equal(json_integer_value(json_object_get(item, "outcome")), KEEPER_ADOPTED);
		assert_string_equal(json_string_value(json_object_get(item, "text")), "");
	}
	json_decref(reply);
	ssl_folder_drop(&f, "kmetricsd-ca.pem");
	reply = ask(&f, "ensure", json_object());
	assert_non_null(strstr(json_string_value(json_object_get(reply, "problem")), "kmetricsd-ca-key.pem"));
	assert_int_equal(json_array_size(json_object_get(reply, "items")), 3);
	json_decref(reply);
	ssl_folder_remove(&f);
}

/* Paths and names need not be UTF-8, and a cut may fall into a character: neither the item nor the problem may get
 * lost, for a lost problem reads as success. */
static void test_what_json_cannot_say(void **state)
{
	struct ssl_folder f;
	char path[160];
	json_t *reply;

	ssl_folder_make(&f, true);
	snprintf(path, sizeof(path), "%s/\xff\xfe.pem", f.dir);
	f.paths.serving_ca_cert = path;
	reply = ask(&f, "ensure", json_object());
	assert_int_equal(json_array_size(json_object_get(reply, "items")), 3);
	assert_non_null(json_object_get(reply, "problem"));
	assert_non_null(strstr(json_string_value(json_object_get(reply, "problem")), "kmetricsd-ca-key.pem"));
	json_decref(reply);
	ssl_folder_remove(&f);
}

/* ---- the socket ---- */

struct server {
	struct km_loop *loop;
	struct km_control *control;
	struct km_timer *watchdog;
	struct own_config config;
	unsigned reported;
	bool saw_problem;
	int result;
	struct km_err err;
	char raw[300], reply[2][400];
	size_t raw_len;
	char path[160];
};

static void on_watchdog(void *arg)
{
	fail_msg("the scene is stuck");
}

static const char *const ips[] = {"10.0.0.5"};

static void serve(struct server *s, struct ssl_folder *f)
{
	struct km_err err = {0};

	*s = (struct server){0};
	snprintf(s->path, sizeof(s->path), "%s/keeper.sock", f->dir);
	assert_int_equal(km_loop_new(&s->loop, NULL), 0);
	if (km_control_new(s->loop,
		    &(const struct km_control_config){.path = s->path, .fd = -1, .fn = keeper_answer, .arg = &f->paths},
		    &s->control, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(km_timer_new(s->loop, on_watchdog, s, &s->watchdog), 0);
	/* far beyond what anything takes, also under valgrind */
	km_timer_set(s->watchdog, (getenv("KMETRICSD_TEST_SLOW") ? 200 : 20) * KM_USEC_PER_SEC);
	s->config = (struct own_config){.state_dir = f->state_dir,
		.keeper_socket = s->path,
		.node = "master-1",
		.ips = ips,
		.n_ips = 1,
		.n_ips_needed = 1,
		.deadline_us = 60 * KM_USEC_PER_SEC};
}

static void serve_end(struct server *s)
{
	km_timer_free(s->watchdog);
	km_control_free(s->control);
	km_loop_free(s->loop);
}

static void on_done(void *arg)
{
	km_loop_stop(((struct server *)arg)->loop);
}

static void run(struct server *s, void (*work)(void *))
{
	assert_int_equal(km_loop_work(s->loop, work, on_done, s), 0);
	assert_int_equal(km_loop_run(s->loop), 0);
}

static void count(const char *role, const char *path, enum keeper_outcome outcome, const char *text, void *arg)
{
	((struct server *)arg)->reported++;
}

static void work_ensure(void *arg)
{
	struct server *s = arg;

	s->result = own_ensure_host(&s->config, count, s, &s->err);
}

static void work_pair(void *arg)
{
	struct server *s = arg;
	struct km_identity *id = NULL;
	char *ca = NULL;
	bool created = false;

	s->result = own_ensure_pair(&s->config, KEEPER_LEAF_SERVING, &id, &created, &ca, &s->err);
	if (s->result == 0)
		s->result = created && ca ? 1 : 0;
	free(ca);
	km_identity_unref(id);
}

/* The daemon's side over the real socket: reports pass through, the key stays here, problems are errors. */
static void test_daemon_side(void **state)
{
	struct ssl_folder f;
	struct server s;
	char path[200];
	struct stat st;

	ssl_folder_make(&f, true);
	serve(&s, &f);
	assert_int_equal(stat(s.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	run(&s, work_ensure);
	assert_int_equal(s.result, 0);
	assert_int_equal(s.reported, 3);
	run(&s, work_pair);
	if (s.result != 1)
		fail_msg("%d %s", s.result, s.err.text);
	snprintf(path, sizeof(path), "%s/kmetricsd-serving-key.pem", f.state_dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	ssl_folder_drop(&f, "front-proxy-client-key.pem");
	s.reported = 0;
	run(&s, work_ensure);
	assert_int_equal(s.result, -EREMOTEIO);
	assert_mentions(&s.err, "front-proxy-client-key.pem");
	assert_int_equal(s.reported, 3);

	/* what the keeper refuses comes with its words and with who said so */
	s.config.node = "Not A Node";
	ssl_folder_drop_state(&f);
	run(&s, work_pair);
	assert_true(s.result < 0);
	assert_mentions(&s.err, "is not a node name");
	assert_mentions(&s.err, "keeper.sock");
	serve_end(&s);
	ssl_folder_remove(&f);
}

/* A signer that answers with another key's certificate is found before anything is written. */
static json_t *lies(const char *op, json_t *request, uid_t peer, void *arg)
{
	struct ssl_folder *f = arg;
	_cleanup_free_ char *csr = csr_new(), *ca = ssl_folder_read(f, "kmetricsd-ca.pem");

	if (f->lie == 1)
		return json_pack("{s:s}", "cert", ca);
	if (f->lie == 2)
		return json_pack("{s:i, s:s}", "cert", 5, "ca", ca);
	if (f->lie == 3)
		return json_pack("{s:s, s:s}", "cert", "garbage", "ca", ca);
	json_object_set_new(request, "csr", json_string(csr));
	return keeper_answer(op, request, peer, &f->paths);
}

static void test_lying_signer(void **state)
{
	static const char *const words[] = {
		"does not belong", "without a certificate", "without a certificate", "holds no certificate"};
	struct ssl_folder f;
	struct server s;
	char path[200];

	ssl_folder_make(&f, true);
	serve(&s, &f);
	km_control_free(s.control);
	assert_int_equal(km_control_new(s.loop,
				 &(const struct km_control_config){.path = s.path, .fd = -1, .fn = lies, .arg = &f},
				 &s.control, NULL),
		0);
	for (f.lie = 0; f.lie < KM_ARRAY_LEN(words); f.lie++) {
		run(&s, work_pair);
		assert_true(s.result < 0);
		assert_mentions(&s.err, words[f.lie]);
		snprintf(path, sizeof(path), "%s/kmetricsd-serving-key.pem", f.state_dir);
		assert_int_not_equal(access(path, F_OK), 0);
	}
	serve_end(&s);
	ssl_folder_remove(&f);
}

/* Bytes as they are, on the worker thread; the first line of the answer. */
static void work_raw(void *arg)
{
	struct server *s = arg;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = 60};
	char *big = NULL;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ssize_t n;

	s->result = -1;
	s->reply[0][0] = '\0';
	memcpy(address.sun_path, s->path, strlen(s->path) + 1);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
		if (s->raw_len > sizeof(s->raw)) {
			big = malloc(s->raw_len);
			memset(big, '{', s->raw_len);
		}
		(void)!send(fd, big ? big : s->raw, s->raw_len, MSG_NOSIGNAL);
		n = recv(fd, s->reply[0], sizeof(s->reply[0]) - 1, 0);
		s->reply[0][KM_MAX(n, 0)] = '\0';
		s->result = 0;
	}
	free(big);
	close(fd);
}

static void test_raw_bytes(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *words;
	} rows[] = {
		{"\n", 1, "not JSON"},
		{"garbage\n", 8, "not JSON"},
		{"[]\n", 3, "string \\\"op\\\""},
		{"{\"op\":7}\n", 9, "string \\\"op\\\""},
		{"{\"op\":\"ensure\",\"op\":\"issue\"}\n", 29, "not JSON"},
		{"{\"op\":\"en\\u0000sure\"}\n", 22, "not JSON"},
		{"{\"op\":\"\xff\"}\n", 11, "not JSON"},
		{"{\"op\":\"shell\"}\n", 15, "unknown request"},
		{"{\"op\":\"issue\"}\n", 15, "needs role"},
		{NULL, KM_CONTROL_REQUEST_MAX + 4096, "longer than"},
	};
	struct ssl_folder f;
	struct server s;

	ssl_folder_make(&f, true);
	serve(&s, &f);
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		s.raw_len = rows[i].len;
		if (rows[i].bytes)
			memcpy(s.raw, rows[i].bytes, rows[i].len);
		run(&s, work_raw);
		if (s.result != 0 || !strstr(s.reply[0], rows[i].words))
			fail_msg("row %zu: \"%s\"", i, s.reply[0]);
	}
	/* and it still answers */
	run(&s, work_ensure);
	assert_int_equal(s.result, 0);
	serve_end(&s);
	ssl_folder_remove(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_issue),
		cmocka_unit_test(test_ensure),
		cmocka_unit_test(test_what_json_cannot_say),
		cmocka_unit_test(test_daemon_side),
		cmocka_unit_test(test_lying_signer),
		cmocka_unit_test(test_raw_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
