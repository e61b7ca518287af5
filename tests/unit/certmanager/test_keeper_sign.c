/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper signs: the two kinds of leaves, for names and addresses it has checked, never beyond the CA; and the
 * administrator for five minutes. */
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "certmanager/issue.h"
#include "core/clock.h"
#include "net/x509.h"
#include "tests/unit/certmanager/ssl_folder.h"

static void cn_is(X509 *cert, const char *want)
{
	char *cn = km_x509_cn(cert);

	assert_string_equal(cn, want);
	free(cn);
}

/* The cluster CA, as an operator has it. */
static void make_cluster_ca(struct ssl_folder *p, int64_t life_s)
{
	const struct cert_profile profile = {.cn = "kubernetes", .ca = true, .life_s = life_s};
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	char *pem;

	assert_int_equal(cert_make_key(CERT_KEY_P256, &key, NULL), 0);
	assert_int_equal(cert_issue(&profile, key, NULL, key, km_wall_ns() / KM_NSEC_PER_SEC, &cert, NULL), 0);
	pem = cert_to_pem(cert);
	assert_int_equal(km_file_write_atomic(p->path[CA], pem, strlen(pem), 0644, (uid_t)-1, (gid_t)-1, NULL), 0);
	free(pem);
	pem = cert_key_to_pem(key);
	assert_int_equal(km_file_write_atomic(p->path[CA_KEY], pem, strlen(pem), 0600, (uid_t)-1, (gid_t)-1, NULL), 0);
	cert_wipe(pem);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static int issue(struct ssl_folder *p, enum keeper_leaf_role role, const char *node, const char *ip, X509 **ret,
	struct km_err *err)
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

static int o_is(const char *o, void *arg)
{
	assert_string_equal(o, arg);
	return 1;
}

static void has_o(X509 *cert, const char *want)
{
	assert_int_equal(km_x509_organizations(cert, o_is, (void *)(uintptr_t)want), 1);
}

static void test_issue(void **state)
{
	struct ssl_folder p;
	struct km_err err = {0};
	int64_t now_s = km_wall_ns() / KM_NSEC_PER_SEC;
	X509 *cert = NULL;

	ssl_folder_make(&p, false);
	assert_int_equal(issue(&p, KEEPER_LEAF_API_CLIENT, "master-1", NULL, &cert, &err), -ENOENT);
	assert_mentions(&err, "ca");
	ssl_folder_remove(&p);
	ssl_folder_make(&p, true);
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
	ssl_folder_remove(&p);
}

static void test_mint_admin(void **state)
{
	struct ssl_folder p;
	struct km_err err = {0};
	struct km_identity *id = NULL;
	int64_t now_s = km_wall_ns() / KM_NSEC_PER_SEC;

	ssl_folder_make(&p, false);
	assert_true(keeper_mint_admin(&p.paths, &id, &err) < 0);
	assert_mentions(&err, "ca");
	make_cluster_ca(&p, 365 * CERT_DAY_S);
	assert_int_equal(keeper_mint_admin(&p.paths, &id, &err), 0);
	cn_is(sk_X509_value(id->chain, 0), "kmetricsd-bootstrap");
	has_o(sk_X509_value(id->chain, 0), "system:masters");
	/* five minutes from now, less what the minute had run */
	assert_true(km_x509_not_after(sk_X509_value(id->chain, 0)) <= now_s + 301);
	assert_true(km_x509_not_after(sk_X509_value(id->chain, 0)) > now_s + 200);
	km_identity_unref(id);
	ssl_folder_remove(&p);
}

/* A node name as long as Kubernetes allows does not fit a CN; the group is what RBAC goes by. */
static void test_names(void **state)
{
	struct ssl_folder p;
	struct km_err err = {0};
	X509 *cert = NULL;
	char node[255];

	ssl_folder_make(&p, true);
	make_cluster_ca(&p, 365 * CERT_DAY_S);
	memset(node, 'n', 54);
	node[54] = '\0';
	assert_int_equal(issue(&p, KEEPER_LEAF_API_CLIENT, node, NULL, &cert, &err), 0);
	{
		_cleanup_free_ char *cn = km_x509_cn(cert);

		assert_int_equal(strlen(cn), 64);
	}
	has_o(cert, "kmetricsd");
	assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_CLIENT);
	X509_free(cert);
	memset(node, 'n', 253);
	node[253] = '\0';
	assert_int_equal(issue(&p, KEEPER_LEAF_API_CLIENT, node, NULL, &cert, &err), 0);
	cn_is(cert, "kmetricsd");
	has_o(cert, "kmetricsd");
	X509_free(cert);
	assert_int_equal(issue(&p, KEEPER_LEAF_SERVING, node, NULL, &cert, &err), 0);
	assert_true(km_x509_has_dns(cert, node));
	assert_true(km_x509_has_ip(cert, "127.0.0.1"));
	assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_SERVER);
	X509_free(cert);
	node[253] = 'n';
	node[254] = '\0';
	assert_int_equal(issue(&p, KEEPER_LEAF_SERVING, node, NULL, &cert, &err), -EINVAL);
	ssl_folder_remove(&p);
}

static void test_mismatched_signer(void **state)
{
	struct ssl_folder p;
	struct km_err err = {0};
	X509 *cert = NULL;
	_cleanup_free_ char *pem = NULL;

	ssl_folder_make(&p, true);
	pem = ssl_folder_read(&p, ssl_names[FP_CA_KEY]);
	ssl_folder_write(&p, SERVING_CA_KEY, pem, 0600);
	assert_int_equal(issue(&p, KEEPER_LEAF_SERVING, "n", NULL, &cert, &err), -EKEYREJECTED);
	assert_mentions(&err, "kmetricsd-ca.pem");
	assert_mentions(&err, "kmetricsd-ca-key.pem");
	ssl_folder_remove(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_issue),
		cmocka_unit_test(test_mint_admin),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_mismatched_signer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
