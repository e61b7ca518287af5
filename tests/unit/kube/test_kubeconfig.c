/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubeconfigs: what is understood, what is refused and how it is said.
 */
#include "kube/kubeconfig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buf.h"
#include "kube/base64.h"
#include "tests/unit/support/pki.h"

/* A CA, a client pair and another key, as PEM and base64, in a folder of their own. */
struct world {
	struct test_cert ca, client, other;
	char *ca_pem, *cert_pem, *key_pem, *other_pem;
	char *ca_64, *cert_64, *key_64, *other_64;
	char dir[64];
};

static char *base64(const char *text)
{
	struct km_buf out = KM_BUF_INIT(64 * 1024);

	kube_base64_encode(text, strlen(text), &out);
	return km_buf_take(&out, NULL);
}

static void put(const struct world *w, const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	const struct test_cert_spec ca = {.cn = "ca", .ca = true};
	const struct test_cert_spec client = {.cn = "client", .o = "kmetricsd", .eku = "clientAuth", .issuer = &w->ca};

	test_cert_make(&ca, &w->ca);
	test_cert_make(&client, &w->client);
	test_cert_make(&client, &w->other);
	w->ca_pem = test_cert_pem(w->ca.cert);
	w->cert_pem = test_cert_pem(w->client.cert);
	w->key_pem = test_key_pem(w->client.key);
	w->other_pem = test_key_pem(w->other.key);
	w->ca_64 = base64(w->ca_pem);
	w->cert_64 = base64(w->cert_pem);
	w->key_64 = base64(w->key_pem);
	w->other_64 = base64(w->other_pem);
	snprintf(w->dir, sizeof(w->dir), "/tmp/test_kubeconfig.XXXXXX");
	if (!mkdtemp(w->dir))
		return -1;
	put(w, "ca.pem", w->ca_pem);
	put(w, "client.pem", w->cert_pem);
	put(w, "client-key.pem", w->key_pem);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	static const char *const files[] = {"ca.pem", "client.pem", "client-key.pem", "config"};
	struct world *w = *state;
	char path[128];

	for (size_t i = 0; i < KM_ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", w->dir, files[i]);
		unlink(path);
	}
	rmdir(w->dir);
	test_cert_free(&w->ca);
	test_cert_free(&w->client);
	test_cert_free(&w->other);
	free(w->ca_pem);
	free(w->cert_pem);
	free(w->key_pem);
	free(w->other_pem);
	free(w->ca_64);
	free(w->cert_64);
	free(w->key_64);
	free(w->other_64);
	free(w);
	return 0;
}

#define HEAD \
	"apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: c\n  context: {cluster: k, user: u}\n"

/* HEAD with this cluster and user (flow mappings). */
static int parse(
	const struct world *w, const char *cluster, const char *user, struct kube_access **ret, struct km_err *err)
{
	char *text;
	int r, n;

	n = asprintf(&text, HEAD "clusters:\n- name: k\n  cluster: %s\nusers:\n- name: u\n  user: %s\n", cluster, user);
	assert_true(n > 0);
	err->text[0] = '\0';
	*ret = NULL;
	r = kube_access_parse(text, (size_t)n, "the file", w->dir, NULL, ret, err);
	free(text);
	return r;
}

static void test_embedded(void **state)
{
	const struct world *w = *state;
	_cleanup_(kube_access_freep) struct kube_access *a = NULL;
	char cluster[8192], user[8192];
	struct km_err err;

	snprintf(cluster, sizeof(cluster),
		"{server: \"https://10.0.0.1:6443/prefix//\", certificate-authority-data: %s, tls-server-name: "
		"kubernetes}",
		w->ca_64);
	snprintf(user, sizeof(user), "{client-certificate-data: %s, client-key-data: %s, client-key: /nowhere}",
		w->cert_64, w->key_64);
	if (parse(w, cluster, user, &a, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(a->server, "https://10.0.0.1:6443/prefix");
	assert_int_equal(sk_X509_num(a->roots), 1);
	assert_true(km_x509_equal(sk_X509_value(a->roots, 0), w->ca.cert));
	assert_string_equal(a->server_name, "kubernetes");
	assert_non_null(a->identity);
	assert_true(km_x509_equal(sk_X509_value(a->identity->chain, 0), w->client.cert));
	assert_null(a->token);
	assert_false(a->insecure);
	assert_string_equal(a->source, "the file (context c)");
}

static void test_files(void **state)
{
	const struct world *w = *state;
	_cleanup_(kube_access_freep) struct kube_access *a = NULL;
	char path[128], expected[160];
	struct km_err err = {.text = ""};

	put(w, "config",
		HEAD
		"- name: d\n  context: {cluster: k, user: v}\n"
		"clusters:\n- name: k\n  cluster:\n    server: https://[::1]:6443\n    certificate-authority: ca.pem\n"
		"users:\n- name: u\n  user: {client-certificate: ./client.pem, client-key: client-key.pem}\n"
		"- name: v\n  user: {token: abc, tokenFile: run/token}\n");
	snprintf(path, sizeof(path), "%s/config", w->dir);
	if (kube_access_load(path, NULL, &a, &err) < 0)
		fail_msg("%s", err.text);
	assert_non_null(a->identity);
	assert_int_equal(sk_X509_num(a->roots), 1);
	kube_access_freep(&a);
	assert_int_equal(kube_access_load(path, "d", &a, &err), 0);
	assert_null(a->identity);
	assert_string_equal(a->token, "abc");
	snprintf(expected, sizeof(expected), "%s/run/token", w->dir);
	assert_string_equal(a->token_file, expected);
	kube_access_freep(&a);
	assert_int_equal(kube_access_load(path, "e", &a, &err), -ENOENT);
	assert_non_null(strstr(err.text, "there is no \"e\" among its contexts"));
	assert_int_equal(kube_access_load("/nowhere/config", NULL, &a, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nowhere/config"));
}

static void test_json_and_insecure(void **state)
{
	static const char text[] =
		"{\"current-context\":\"c\",\"contexts\":[{\"name\":\"c\",\"context\":{\"cluster\":\"k\"}}],"
		"\"clusters\":[{\"name\":\"k\",\"cluster\":{\"server\":\"https://"
		"h\",\"insecure-skip-tls-verify\":true}}]}";
	_cleanup_(kube_access_freep) struct kube_access *a = NULL;
	struct km_err err;

	assert_int_equal(kube_access_parse(text, strlen(text), "t", "/", NULL, &a, &err), 0);
	assert_true(a->insecure);
	assert_null(a->roots);
	assert_null(a->identity);
}

static void test_refused(void **state)
{
	static const struct {
		const char *cluster, *user;
		int error;
		const char *text;
	} rows[] = {
		{"{}", "{}", -EINVAL, "the cluster has no server"},
		{"{server: 7}", "{}", -EINVAL, "server must be a string"},
		{"{server: \"10.0.0.1:6443\"}", "{}", -EINVAL, "must start with https://"},
		{"{server: \"https://\"}", "{}", -EINVAL, "names no host"},
		{"{server: \"https:///x\"}", "{}", -EINVAL, "names no host"},
		{"{server: \"https://u:p@h\"}", "{}", -EINVAL, "user name"},
		{"{server: \"https://h/?a=b\"}", "{}", -EINVAL, "character"},
		{"{server: \"https://h\\r\\nX: y\"}", "{}", -EINVAL, "character"},
		{"{server: \"http://10.0.0.1:8080\"}", "{}", -EINVAL, "in the clear"},
		{"{server: \"http://127.0.0.1.evil.example\"}", "{}", -EINVAL, "in the clear"},
		{"{server: \"http://[::1].evil\"}", "{}", -EINVAL, "in the clear"},
		{"{server: \"https://h\", proxy-url: \"http://p\"}", "{}", -ENOTSUP, "proxy-url"},
		{"{server: \"https://h\", insecure-skip-tls-verify: \"yes\"}", "{}", -EINVAL, "true or false"},
		{"{server: \"https://h\", insecure-skip-tls-verify: true, certificate-authority: ca.pem}", "{}",
			-EINVAL, "remove one of them"},
		{"{server: \"https://h\", certificate-authority: nope.pem}", "{}", -ENOENT, "nope.pem"},
		{"{server: \"https://h\", certificate-authority-data: \"a b\"}", "{}", -EINVAL, "is not base64"},
		{"{server: \"https://h\", certificate-authority-data: Zm9v}", "{}", -ENODATA,
			"certificate-authority-data"},
		{"{server: \"https://h\"}", "{exec: {command: aws}}", -ENOTSUP, "exec"},
		{"{server: \"https://h\"}", "{auth-provider: {name: gcp}}", -ENOTSUP, "auth-provider"},
		{"{server: \"https://h\"}", "{username: admin, password: x}", -ENOTSUP, "username and password"},
		{"{server: \"https://h\"}", "{as: admin}", -ENOTSUP, "impersonation"},
		{"{server: \"https://h\"}", "{client-certificate: client.pem}", -EINVAL,
			"certificate without its client-key"},
		{"{server: \"https://h\"}", "{client-key: client-key.pem}", -EINVAL,
			"key without its client-certificate"},
		{"{server: \"https://h\"}", "{token: \"a b\"}", -EINVAL, "the token holds"},
		{"{server: \"https://h\"}", "{token: \"a\\nX: y\"}", -EINVAL, "the token holds"},
		{"{server: \"https://h\"}", "{token: 12345}", -EINVAL, "token must be a string"},
	};
	const struct world *w = *state;

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct kube_access *a;
		struct km_err err;
		int r = parse(w, rows[i].cluster, rows[i].user, &a, &err);
		if (r != rows[i].error || a || !strstr(err.text, rows[i].text))
			fail_msg("row %zu: %d \"%s\"", i, r, err.text);
		if (strstr(err.text, "12345") || strstr(err.text, "a b"))
			fail_msg("row %zu: a secret is in \"%s\"", i, err.text);
	}
}

static void test_plain_loopback(void **state)
{
	static const char *const servers[] = {
		"http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080/", "HTTP://127.1.2.3"};
	const struct world *w = *state;

	for (size_t i = 0; i < KM_ARRAY_LEN(servers); i++) {
		struct kube_access *a;
		struct km_err err;
		char cluster[128];
		snprintf(cluster, sizeof(cluster), "{server: \"%s\"}", servers[i]);
		assert_int_equal(parse(w, cluster, "{}", &a, &err), 0);
		kube_access_free(a);
	}
}

static void test_wrong_pair(void **state)
{
	const struct world *w = *state;
	struct kube_access *a;
	struct km_err err;
	char user[8192];

	snprintf(user, sizeof(user), "{client-certificate-data: %s, client-key-data: %s}", w->cert_64, w->other_64);
	assert_int_equal(parse(w, "{server: \"https://h\"}", user, &a, &err), -EKEYREJECTED);
	assert_null(a);
}

static void test_structure(void **state)
{
	static const struct {
		const char *text;
		int error;
		const char *message;
	} rows[] = {
		{"", -EINVAL, "t: is empty"},
		{"[]", -EINVAL, "t: is not a kubeconfig"},
		{"a: [", -EINVAL, "t:"},
		{"{}", -EINVAL, "has no current-context"},
		{"current-context: \"\"", -EINVAL, "has no current-context"},
		{"current-context: c", -ENOENT, "there is no \"c\" among its contexts"},
		{"{current-context: c, contexts: {c: {}}}", -ENOENT, "among its contexts"},
		{"{current-context: c, contexts: [{name: c}]}", -EINVAL, "contexts \"c\" has no context"},
		{"{current-context: c, contexts: [{name: c, context: {user: u}}]}", -EINVAL, "names no cluster"},
		{"{current-context: c, contexts: [{name: c, context: {cluster: k}}]}", -ENOENT, "among its clusters"},
		{"{current-context: c, contexts: [{name: c, context: {cluster: k, user: u}}], clusters: [{name: k, "
		 "cluster: "
		 "{server: \"https://h\"}}]}",
			-ENOENT, "there is no \"u\" among its users"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct kube_access *a = NULL;
		struct km_err err = {.text = ""};
		int r = kube_access_parse(rows[i].text, strlen(rows[i].text), "t", "/", NULL, &a, &err);
		if (r != rows[i].error || a || !strstr(err.text, rows[i].message))
			fail_msg("row %zu: %d \"%s\"", i, r, err.text);
	}
}

static void test_new(void **state)
{
	const struct world *w = *state;
	struct kube_access *a = NULL;
	struct km_err err;
	STACK_OF(X509) *roots = sk_X509_new_null();

	assert_true(sk_X509_push(roots, w->ca.cert) > 0);
	assert_int_equal(kube_access_new("https://h:6443/", roots, NULL, "/run/token", &a, &err), 0);
	sk_X509_free(roots);
	assert_string_equal(a->server, "https://h:6443");
	assert_string_equal(a->token_file, "/run/token");
	assert_true(km_x509_equal(sk_X509_value(a->roots, 0), w->ca.cert));
	kube_access_freep(&a);
	assert_int_equal(kube_access_new("h:6443", NULL, NULL, NULL, &a, &err), -EINVAL);
	assert_null(a);
}

static void test_write(void **state)
{
	const struct world *w = *state;
	_cleanup_(kube_access_freep) struct kube_access *a = NULL;
	struct km_err err = {.text = ""};
	char *text = NULL;

	assert_int_equal(kube_access_write_kubeconfig("https://10.0.0.1:6443", w->ca_pem, w->cert_pem, w->key_pem,
				 "kmetricsd:on", &text, &err),
		0);
	if (kube_access_parse(text, strlen(text), "t", "/", NULL, &a, &err) < 0)
		fail_msg("%s\n%s", err.text, text);
	assert_string_equal(a->server, "https://10.0.0.1:6443");
	assert_true(km_x509_equal(sk_X509_value(a->roots, 0), w->ca.cert));
	assert_true(km_x509_equal(sk_X509_value(a->identity->chain, 0), w->client.cert));
	free(text);
	text = NULL;
	assert_int_equal(
		kube_access_write_kubeconfig("https://h", w->ca_pem, w->cert_pem, w->key_pem, "\xff", &text, &err),
		-EINVAL);
	assert_null(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_embedded),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_json_and_insecure),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_plain_loopback),
		cmocka_unit_test(test_wrong_pair),
		cmocka_unit_test(test_structure),
		cmocka_unit_test(test_new),
		cmocka_unit_test(test_write),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
