/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key holder on real files: what is missing is made, what is there stays byte for byte, half and mismatched pairs
 * are told and left alone, and what is signed says what it must.
 */
#include "certmanager/keeper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/check.h"
#include "certmanager/issue.h"
#include "core/clock.h"
#include "core/file.h"
#include "net/x509.h"

#define FILES 6

struct place {
	char dir[64], path[FILES + 2][128];
	struct keeper_paths paths;
	/* what was reported of each role, in order */
	enum keeper_outcome outcomes[8];
	char texts[8][KM_ERR_TEXT_MAX];
	size_t n;
};

static const char *const names[FILES + 2] = {"front-proxy-ca.pem", "front-proxy-ca-key.pem", "front-proxy-client.pem",
	"front-proxy-client-key.pem", "kmetricsd-ca.pem", "kmetricsd-ca-key.pem", "ca.pem", "ca-key.pem"};

static void place_make(struct place *p)
{
	*p = (struct place){0};
	snprintf(p->dir, sizeof(p->dir), "/tmp/kmetricsd-test-keeper.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	for (size_t i = 0; i < KM_ARRAY_LEN(names); i++)
		snprintf(p->path[i], sizeof(p->path[i]), "%s/%s", p->dir, names[i]);
	p->paths = (struct keeper_paths){
		.ssl_dir = p->dir,
		.front_proxy_ca_cert = p->path[0],
		.front_proxy_ca_key = p->path[1],
		.front_proxy_client_cert = p->path[2],
		.front_proxy_client_key = p->path[3],
		.front_proxy_client_cn = "aggregator",
		.serving_ca_cert = p->path[4],
		.serving_ca_key = p->path[5],
		.cluster_ca_cert = p->path[6],
		.cluster_ca_key = p->path[7],
	};
}

static void place_remove(struct place *p)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", p->dir);
	assert_int_equal(system(command), 0);
}

static void note(const char *role, const char *path, enum keeper_outcome outcome, const char *text, void *arg)
{
	struct place *p = arg;

	assert_true(p->n < KM_ARRAY_LEN(p->outcomes));
	snprintf(p->texts[p->n], sizeof(p->texts[p->n]), "%s", text);
	p->outcomes[p->n++] = outcome;
}

static int ensure(struct place *p, struct km_err *err)
{
	p->n = 0;
	return keeper_ensure(&p->paths, note, p, err);
}

static char *content(const char *path)
{
	char *text = NULL;
	size_t len;

	assert_int_equal(km_file_read(path, 65536, &text, &len, NULL), 0);
	return text;
}

static X509 *first_cert(const char *path)
{
	STACK_OF(X509) *certs = NULL;
	X509 *cert;

	assert_int_equal(km_x509_load(path, &certs, NULL), 0);
	cert = sk_X509_shift(certs);
	km_x509_stack_free(certs);
	return cert;
}

static void cn_is(X509 *cert, const char *want)
{
	char *cn = km_x509_cn(cert);

	assert_string_equal(cn, want);
	free(cn);
}

/* What one keeper_ensure made, once for all tests: making RSA keys is what takes the time. */
static char *made[FILES];

static void place_fill(struct place *p)
{
	for (size_t i = 0; i < FILES; i++)
		assert_int_equal(km_file_write_atomic(p->path[i], made[i], strlen(made[i]), i % 2 ? 0600 : 0644,
					 (uid_t)-1, (gid_t)-1, NULL),
			0);
}

static int make_once(void **state)
{
	struct place p;

	place_make(&p);
	if (ensure(&p, NULL) < 0)
		return -1;
	for (size_t i = 0; i < FILES; i++)
		made[i] = content(p.path[i]);
	place_remove(&p);
	return 0;
}

static int forget(void **state)
{
	for (size_t i = 0; i < FILES; i++)
		free(made[i]);
	return 0;
}

static int mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

/* The cluster CA, as an operator has it. */
static void make_cluster_ca(struct place *p, int64_t life_s)
{
	const struct cert_profile profile = {.cn = "kubernetes", .ca = true, .life_s = life_s};
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	char *pem;

	assert_int_equal(cert_make_key(CERT_KEY_P256, &key, NULL), 0);
	assert_int_equal(cert_issue(&profile, key, NULL, key, km_wall_ns() / KM_NSEC_PER_SEC, &cert, NULL), 0);
	pem = cert_to_pem(cert);
	assert_int_equal(km_file_write_atomic(p->path[6], pem, strlen(pem), 0644, (uid_t)-1, (gid_t)-1, NULL), 0);
	free(pem);
	pem = cert_key_to_pem(key);
	assert_int_equal(km_file_write_atomic(p->path[7], pem, strlen(pem), 0600, (uid_t)-1, (gid_t)-1, NULL), 0);
	cert_wipe(pem);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void test_makes_then_adopts(void **state)
{
	struct place p;
	struct km_err err = {0};
	char *before[FILES];
	X509 *ca, *client;
	STACK_OF(X509) *roots = NULL;

	place_make(&p);
	if (ensure(&p, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(p.n, 3);
	for (size_t i = 0; i < FILES; i++) {
		assert_int_equal(mode_of(p.path[i]), i % 2 ? 0600 : 0644);
		before[i] = content(p.path[i]);
	}
	for (size_t i = 0; i < p.n; i++)
		assert_int_equal(p.outcomes[i], KEEPER_CREATED);

	/* a client of its CA, named as kube-apiserver allows, that does not outlive it */
	assert_int_equal(km_x509_load(p.path[0], &roots, NULL), 0);
	ca = first_cert(p.path[0]);
	client = first_cert(p.path[2]);
	cn_is(client, "aggregator");
	assert_int_equal(km_x509_verify(roots, client, NULL, KM_X509_CLIENT, km_wall_ns() / KM_NSEC_PER_SEC, &err), 0);
	assert_true(km_x509_verify(roots, client, NULL, KM_X509_SERVER, km_wall_ns() / KM_NSEC_PER_SEC, &err) < 0);
	assert_true(km_x509_not_after(client) <= km_x509_not_after(ca));
	X509_free(ca);
	X509_free(client);
	km_x509_stack_free(roots);

	/* once more, also under another name: nothing is touched */
	p.paths.front_proxy_client_cn = "somebody-else";
	assert_int_equal(ensure(&p, &err), 0);
	for (size_t i = 0; i < p.n; i++)
		assert_int_equal(p.outcomes[i], KEEPER_ADOPTED);
	for (size_t i = 0; i < FILES; i++) {
		char *after = content(p.path[i]);

		assert_string_equal(after, before[i]);
		free(after);
		free(before[i]);
	}
	place_remove(&p);
}

/* A certificate without its key, a key without its certificate, a CA with another's key: told with the file, never
 * completed by force; the other pairs are made all the same. */
static void test_half_pairs(void **state)
{
	for (size_t missing = 0; missing < FILES; missing++) {
		struct place p;
		struct km_err err = {0};
		char *kept;

		place_make(&p);
		place_fill(&p);
		kept = content(p.path[missing ^ 1]);
		assert_int_equal(unlink(p.path[missing]), 0);
		(void)ensure(&p, &err);
		if (access(p.path[missing], F_OK) == 0)
			fail_msg("%s was made beside a %s that was there", names[missing], names[missing ^ 1]);
		else {
			char *now = content(p.path[missing ^ 1]);

			assert_string_equal(now, kept);
			free(now);
		}
		/* An operator may keep a CA's key elsewhere: only that half is no mistake. */
		if (missing != 1 && missing != 5)
			assert_mentions(&err, names[missing]);
		free(kept);
		place_remove(&p);
	}
}

static void test_mismatched_ca(void **state)
{
	struct place p;
	struct km_err err = {0};
	EVP_PKEY *other = NULL;
	char *pem;

	place_make(&p);
	place_fill(&p);
	assert_int_equal(cert_make_key(CERT_KEY_P256, &other, NULL), 0);
	pem = cert_key_to_pem(other);
	assert_int_equal(km_file_write_atomic(p.path[1], pem, strlen(pem), 0600, (uid_t)-1, (gid_t)-1, NULL), 0);
	assert_int_equal(unlink(p.path[2]), 0);
	assert_int_equal(unlink(p.path[3]), 0);
	assert_true(ensure(&p, &err) < 0);
	assert_mentions(&err, "front-proxy-ca");
	assert_int_not_equal(access(p.path[2], F_OK), 0);
	assert_int_not_equal(access(p.path[3], F_OK), 0);
	cert_wipe(pem);
	EVP_PKEY_free(other);
	place_remove(&p);
}

static void test_garbage_stays(void **state)
{
	struct place p;
	struct km_err err = {0};
	char *now;

	place_make(&p);
	assert_int_equal(km_file_write_atomic(p.path[0], "no certificate\n", 15, 0644, (uid_t)-1, (gid_t)-1, NULL), 0);
	assert_true(ensure(&p, &err) < 0);
	assert_mentions(&err, "front-proxy-ca.pem");
	now = content(p.path[0]);
	assert_string_equal(now, "no certificate\n");
	free(now);
	/* the serving CA does not suffer */
	assert_int_equal(access(p.path[4], F_OK), 0);
	place_remove(&p);
}

/* ---- signing ---- */

static int issue(
	struct place *p, enum keeper_leaf_role role, const char *node, const char *ip, X509 **ret, struct km_err *err)
{
	EVP_PKEY *key = NULL;
	char *csr = NULL, *cert = NULL, *ca = NULL;
	const char *ips[] = {ip};
	int r;

	assert_int_equal(cert_make_key(CERT_KEY_P256, &key, NULL), 0);
	assert_int_equal(cert_make_csr(key, &csr, NULL), 0);
	r = keeper_issue(&p->paths, role, csr, strlen(csr), node, ips, ip ? 1 : 0, &cert, &ca, err);
	if (r == 0) {
		STACK_OF(X509) *certs = NULL;

		assert_int_equal(km_x509_parse(cert, strlen(cert), "issued", &certs, NULL), 0);
		*ret = sk_X509_shift(certs);
		km_x509_stack_free(certs);
	}
	EVP_PKEY_free(key);
	free(csr);
	free(cert);
	free(ca);
	return r;
}

static void test_issue(void **state)
{
	struct place p;
	struct km_err err = {0};
	int64_t now_s = km_wall_ns() / KM_NSEC_PER_SEC;
	X509 *cert = NULL;

	place_make(&p);
	assert_int_equal(issue(&p, KEEPER_LEAF_API_CLIENT, "master-1", NULL, &cert, &err), -ENOENT);
	assert_mentions(&err, "ca");
	place_fill(&p);
	make_cluster_ca(&p, 30 * CERT_DAY_S);

	assert_int_equal(issue(&p, KEEPER_LEAF_API_CLIENT, "master-1", NULL, &cert, &err), 0);
	cn_is(cert, "kmetricsd:master-1");
	assert_true(km_x509_not_after(cert) <= now_s + 30 * CERT_DAY_S); /* 90 days, but not beyond its CA */
	X509_free(cert);

	assert_int_equal(issue(&p, KEEPER_LEAF_SERVING, "master-1", "10.0.0.5", &cert, &err), 0);
	assert_true(km_x509_has_dns(cert, "kmetricsd.kube-system.svc"));
	assert_true(km_x509_has_ip(cert, "10.0.0.5"));
	assert_false(km_x509_has_ip(cert, "10.0.0.6"));
	assert_true(km_x509_not_after(cert) > now_s + 89 * CERT_DAY_S);
	X509_free(cert);

	/* what the network side asks for is not believed */
	assert_true(issue(&p, KEEPER_LEAF_SERVING, "master-1", "kubernetes.default", &cert, &err) < 0);
	assert_mentions(&err, "kubernetes.default");
	assert_true(issue(&p, KEEPER_LEAF_API_CLIENT, "", NULL, &cert, &err) < 0);
	assert_true(issue(&p, KEEPER_LEAF_API_CLIENT, "a/b,O=system:masters", NULL, &cert, &err) < 0);
	place_remove(&p);
}

static void test_mint_admin(void **state)
{
	struct place p;
	struct km_err err = {0};
	struct km_identity *id = NULL;
	int64_t now_s = km_wall_ns() / KM_NSEC_PER_SEC;

	place_make(&p);
	assert_true(keeper_mint_admin(&p.paths, &id, &err) < 0);
	assert_mentions(&err, "ca");
	make_cluster_ca(&p, 365 * CERT_DAY_S);
	assert_int_equal(keeper_mint_admin(&p.paths, &id, &err), 0);
	cn_is(sk_X509_value(id->chain, 0), "kmetricsd-bootstrap");
	assert_true(km_x509_not_after(sk_X509_value(id->chain, 0)) <= now_s + 600);
	km_identity_unref(id);
	place_remove(&p);
}

/* ---- the socket's requests ---- */

static void test_requests(void **state)
{
	static const struct {
		const char *op, *request, *text;
	} rows[] = {
		{"mint", "{}", "unknown request"},
		{"", "{}", "unknown request"},
		{"issue", "{}", "needs role"},
		{"issue", "{\"role\":\"api-client\",\"csr\":5,\"node\":\"n\"}", "needs role"},
		{"issue", "{\"role\":\"admin\",\"csr\":\"x\",\"node\":\"n\"}", "no certificate is issued for role"},
		{"issue", "{\"role\":\"api-client\",\"csr\":\"x\",\"node\":\"n\",\"ips\":{}}", "needs role"},
		{"issue", "{\"role\":\"serving\",\"csr\":\"x\",\"node\":\"n\",\"ips\":[1]}", "ips[0]"},
		{"issue", "{\"role\":\"serving\",\"csr\":\"no csr\",\"node\":\"n\",\"ips\":[]}", "certificate request"},
	};
	struct place p;

	place_make(&p);
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		json_t *request = json_loads(rows[i].request, 0, NULL),
		       *reply = keeper_answer(rows[i].op, request, 0, &p.paths);
		char *text = json_dumps(reply, JSON_COMPACT);

		if (!strstr(text, rows[i].text))
			fail_msg("%s %s: %s", rows[i].op, rows[i].request, text);
		free(text);
		json_decref(reply);
		json_decref(request);
	}
	place_remove(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_makes_then_adopts),
		cmocka_unit_test(test_half_pairs),
		cmocka_unit_test(test_mismatched_ca),
		cmocka_unit_test(test_garbage_stays),
		cmocka_unit_test(test_issue),
		cmocka_unit_test(test_mint_admin),
		cmocka_unit_test(test_requests),
	};

	return cmocka_run_group_tests(tests, make_once, forget);
}
