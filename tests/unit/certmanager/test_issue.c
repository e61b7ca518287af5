/* SPDX-License-Identifier: Apache-2.0 */
/* What is issued, byte for byte where others look at it, and what is refused: bad signers, bad names, bad requests. */
#include "certmanager/issue.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/support/check.h"
#include "tests/unit/support/pki.h"

#define NOW  INT64_C(1795410007) /* 2026-11-23, seven seconds past a minute */
#define DAY  CERT_DAY_S
#define LONG "0123456789012345678901234567890123456789012345678901234567890123456789"

static struct test_cert ca, rsa_ca, plain;
static EVP_PKEY *key;

static int set_up(void **state)
{
	const int64_t from = NOW - DAY, to = NOW + 1000 * DAY;

	test_cert_make(&(struct test_cert_spec){.cn = "Test CA", .ca = true, .not_before = from, .not_after = to}, &ca);
	test_cert_make(
		&(struct test_cert_spec){.cn = "RSA CA", .ca = true, .not_before = from, .not_after = to, .key = "rsa"},
		&rsa_ca);
	test_cert_make(&(struct test_cert_spec){.cn = "no CA", .not_before = from, .not_after = to}, &plain);
	return cert_make_key(CERT_KEY_P256, &key, NULL);
}

static int tear_down(void **state)
{
	test_cert_free(&ca);
	test_cert_free(&rsa_ca);
	test_cert_free(&plain);
	EVP_PKEY_free(key);
	return 0;
}

static X509 *issue(const struct cert_profile *p, EVP_PKEY *subject, const struct test_cert *signer, int64_t now)
{
	struct km_err err = {0};
	X509 *cert = NULL;

	if (cert_issue(p, subject, signer ? signer->cert : NULL, signer ? signer->key : subject, now, &cert, &err) != 0)
		fail_msg("%s", err.text);
	return cert;
}

/* ---- what is issued ---- */

/* The names of the extensions in their order, a '!' behind a critical one. */
static void extensions_are(X509 *cert, const char *want)
{
	char got[256] = "";

	for (int i = 0; i < X509_get_ext_count(cert); i++) {
		X509_EXTENSION *e = X509_get_ext(cert, i);
		size_t n = strlen(got);

		snprintf(got + n, sizeof(got) - n, "%s%s%s", i ? " " : "",
			OBJ_nid2sn(OBJ_obj2nid(X509_EXTENSION_get_object(e))),
			X509_EXTENSION_get_critical(e) ? "!" : "");
	}
	assert_string_equal(got, want);
}

static void subject_is(X509 *cert, const char *want)
{
	_cleanup_free_ char *text = km_x509_name_text(X509_get_subject_name(cert));

	assert_string_equal(text, want);
}

static void test_leaf(void **state)
{
	static const char *const dns[] = {"a.example", "b,DNS:c.example"}, *const ips[] = {"10.0.0.1", "fd00::1"};
	const struct cert_profile p = {.cn = "kmetricsd",
		.o = "kmetricsd",
		.server = true,
		.dns = dns,
		.n_dns = 2,
		.ips = ips,
		.n_ips = 2,
		.life_s = 90 * DAY};
	X509 *cert = issue(&p, key, &ca, NOW), *again = issue(&p, key, &ca, NOW);
	const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);

	extensions_are(cert, "keyUsage! extendedKeyUsage basicConstraints! subjectKeyIdentifier authorityKeyIdentifier "
			     "subjectAltName");
	subject_is(cert, "CN=kmetricsd,O=kmetricsd");
	assert_int_equal(X509_get_version(cert), X509_VERSION_3);
	assert_int_equal(X509_verify(cert, ca.key), 1);
	assert_int_equal(X509_get_signature_nid(cert), NID_ecdsa_with_SHA256);
	assert_int_equal(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE);
	assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_SERVER);
	/* the issuer is the CA's subject, DER for DER */
	assert_int_equal(X509_NAME_cmp(X509_get_issuer_name(cert), X509_get_subject_name(ca.cert)), 0);
	assert_int_equal(ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(cert), X509_get0_subject_key_id(ca.cert)), 0);
	/* five minutes back, on the minute */
	assert_int_equal(km_x509_not_before(cert), NOW - 7 - 300);
	assert_int_equal(km_x509_not_after(cert), NOW - 7 - 300 + 90 * DAY);
	/* random, positive, never zero */
	assert_int_equal(ASN1_STRING_type(serial), V_ASN1_INTEGER);
	assert_int_equal(ASN1_STRING_length(serial), 20);
	assert_int_not_equal(ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(again)), 0);
	assert_true(km_x509_has_dns(cert, "a.example"));
	assert_false(km_x509_has_dns(cert, "c.example")); /* a comma does not begin another name */
	assert_true(km_x509_has_ip(cert, "10.0.0.1"));
	assert_true(km_x509_has_ip(cert, "fd00::1"));
	X509_free(cert);
	X509_free(again);
}

static void test_usages(void **state)
{
	static const struct {
		bool server, client, rsa;
		uint32_t ku, eku;
	} rows[] = {
		{false, true, false, KU_DIGITAL_SIGNATURE, XKU_SSL_CLIENT},
		{true, true, false, KU_DIGITAL_SIGNATURE, XKU_SSL_CLIENT | XKU_SSL_SERVER},
		{false, true, true, KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT, XKU_SSL_CLIENT},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		const struct cert_profile p = {
			.cn = "x", .server = rows[i].server, .client = rows[i].client, .life_s = DAY};
		X509 *cert = issue(&p, rows[i].rsa ? rsa_ca.key : key, &ca, NOW);

		assert_int_equal(X509_get_key_usage(cert), rows[i].ku);
		assert_int_equal(X509_get_extended_key_usage(cert), rows[i].eku);
		assert_int_equal(X509_check_ca(cert), 0);
		X509_free(cert);
	}
}

static void test_own_ca(void **state)
{
	const struct cert_profile p = {.cn = "front-proxy-ca", .ca = true, .life_s = 3650 * DAY};
	X509 *cert = issue(&p, rsa_ca.key, NULL, NOW);
	const X509_NAME_ENTRY *cn = X509_NAME_get_entry(X509_get_subject_name(cert), 0);

	extensions_are(cert, "keyUsage! basicConstraints! subjectKeyIdentifier");
	assert_int_equal(X509_check_ca(cert), 1);
	assert_int_equal(X509_get_key_usage(cert), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	assert_int_equal(X509_verify(cert, rsa_ca.key), 1);
	/* as Go writes it: issuers are matched by their bytes */
	assert_int_equal(ASN1_STRING_type(X509_NAME_ENTRY_get_data(cn)), V_ASN1_PRINTABLESTRING);
	X509_free(cert);
}

/* A CA without a subject key id (others make such) signs too, and the authority key id is there all the same. */
static void test_ca_without_key_id(void **state)
{
	const struct cert_profile p = {.cn = "x", .client = true, .life_s = DAY};
	struct test_cert bare = {.cert = X509_dup(ca.cert), .key = ca.key};
	STACK_OF(X509) *roots = sk_X509_new_null();
	struct km_err err = {0};
	X509 *cert;

	X509_EXTENSION_free(X509_delete_ext(bare.cert, X509_get_ext_by_NID(bare.cert, NID_subject_key_identifier, -1)));
	assert_true(X509_sign(bare.cert, bare.key, EVP_sha256()) > 0);
	cert = issue(&p, key, &bare, NOW);
	assert_non_null(X509_get0_authority_key_id(cert));
	assert_int_equal(ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(cert), X509_get0_subject_key_id(ca.cert)), 0);
	sk_X509_push(roots, bare.cert);
	if (km_x509_verify(roots, cert, NULL, KM_X509_CLIENT, NOW, &err) != 0)
		fail_msg("%s", err.text);
	km_x509_stack_free(roots);
	X509_free(cert);
}

static void test_lifetimes(void **state)
{
	const struct cert_profile leaf = {.cn = "x", .client = true, .life_s = 3650 * DAY},
				  century = {.cn = "x", .ca = true, .life_s = 36500 * DAY};
	X509 *cert = issue(&leaf, key, &ca, NOW);

	assert_int_equal(km_x509_not_after(cert), km_x509_not_after(ca.cert));
	X509_free(cert);
	cert = issue(&century, key, NULL, NOW);
	assert_int_equal(km_x509_not_after(cert), NOW - 7 - 300 + 36500 * DAY);
	assert_int_equal(ASN1_STRING_type(X509_get0_notAfter(cert)), V_ASN1_GENERALIZEDTIME);
	X509_free(cert);
}

/* ---- what is refused ---- */

static void test_refused(void **state)
{
	static const char *const name[] = {"nonsense"}, *const wide[] = {"\xff\xfe"};
	const struct {
		struct cert_profile p;
		const struct test_cert *signer, *signer_key;
		int64_t now;
		const char *text[2];
	} rows[] = {
		{{.cn = "x", .life_s = DAY}, &plain, &plain, NOW, {"no CA", "is not a CA"}},
		{{.cn = "x", .life_s = DAY}, &ca, &rsa_ca, NOW, {"Test CA", "does not belong"}},
		{{.cn = "x", .life_s = DAY}, &ca, &ca, NOW + 1000 * DAY, {"Test CA", "has expired"}},
		{{.cn = "x", .life_s = DAY}, &ca, &ca, NOW - 2 * DAY, {"Test CA", "clock"}},
		{{.cn = "x", .ips = name, .n_ips = 1, .life_s = DAY}, &ca, &ca, NOW, {"nonsense", "IP address"}},
		{{.cn = "x", .ips = wide, .n_ips = 1, .life_s = DAY}, &ca, &ca, NOW, {"IP address", ""}},
		{{.cn = "", .life_s = DAY}, &ca, &ca, NOW, {"CN", "1 to 64"}},
		{{.cn = LONG, .life_s = DAY}, &ca, &ca, NOW, {"CN", "64"}},
		{{.cn = "\xe5\x90\xff", .life_s = DAY}, &ca, &ca, NOW, {"CN", "UTF-8"}},
		{{.cn = "x", .o = LONG, .life_s = DAY}, NULL, NULL, NOW, {"O must", "64"}},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct km_err err = {0};
		X509 *cert = NULL;
		int r = cert_issue(&rows[i].p, key, rows[i].signer ? rows[i].signer->cert : NULL,
			rows[i].signer_key ? rows[i].signer_key->key : key, rows[i].now, &cert, &err);

		if (r != -EINVAL || !strstr(err.text, rows[i].text[0]) || !strstr(err.text, rows[i].text[1]))
			fail_msg("row %zu: %d \"%s\"", i, r, err.text);
		assert_null(cert);
	}
}

/* Names may be Chinese: 64 characters, not bytes. */
static void test_wide_names(void **state)
{
	char cn[64 * 3 + 1] = "";
	struct cert_profile p = {.cn = cn, .client = true, .life_s = DAY};
	X509 *cert;
	char *back;

	for (int i = 0; i < 64; i++)
		memcpy(cn + 3 * i, "\xe5\x90\x8d", 4);
	cert = issue(&p, key, &ca, NOW);
	back = km_x509_cn(cert);
	assert_string_equal(back, cn);
	free(back);
	X509_free(cert);
}

/* ---- PEM ---- */

static void test_pem(void **state)
{
	static const char *const kinds[] = {"ec", "rsa", "ed25519"}, *const begins[] = {
									     "-----BEGIN EC PRIVATE KEY-----\n",
									     "-----BEGIN RSA PRIVATE KEY-----\n",
									     "-----BEGIN PRIVATE KEY-----\n"};

	for (size_t i = 0; i < KM_ARRAY_LEN(kinds); i++) {
		struct test_cert c;
		STACK_OF(X509) *certs = NULL;
		EVP_PKEY *back = NULL;
		char *pem;

		test_cert_make(&(struct test_cert_spec){.cn = "x", .key = kinds[i]}, &c);
		pem = cert_key_to_pem(c.key);
		assert_int_equal(strncmp(pem, begins[i], strlen(begins[i])), 0);
		assert_int_equal(km_pkey_parse(pem, strlen(pem), "k", &back, NULL), 0);
		assert_int_equal(EVP_PKEY_eq(back, c.key), 1);
		EVP_PKEY_free(back);
		cert_wipep(&pem);
		assert_null(pem);
		pem = cert_to_pem(c.cert);
		assert_int_equal(km_x509_parse(pem, strlen(pem), "c", &certs, NULL), 0);
		assert_true(km_x509_equal(sk_X509_value(certs, 0), c.cert));
		km_x509_stack_free(certs);
		free(pem);
		test_cert_free(&c);
	}
	cert_wipe(NULL);
}

/* ---- requests ---- */

static char *csr_of(EVP_PKEY *k, EVP_PKEY *signer, const EVP_MD *md)
{
	X509_REQ *req = X509_REQ_new();
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *text;
	long n;

	assert_int_equal(X509_REQ_set_pubkey(req, k), 1);
	assert_true(X509_REQ_sign(req, signer, md) > 0);
	assert_int_equal(PEM_write_bio_X509_REQ(bio, req), 1);
	n = BIO_get_mem_data(bio, &data);
	text = strndup(data, (size_t)n);
	BIO_free(bio);
	X509_REQ_free(req);
	return text;
}

static void csr_refused(const char *pem, size_t len, const char *words)
{
	struct km_err err = {0};
	EVP_PKEY *got = NULL;
	int r = cert_csr_key(pem, len, &got, &err);

	if (r != -EINVAL || !strstr(err.text, words))
		fail_msg("%d \"%s\", expected \"%s\"", r, err.text, words);
	assert_null(got);
}

/* A request for k signed by signer: who asks must hold the key. */
static void csr_of_refused(EVP_PKEY *k, EVP_PKEY *signer, const char *words)
{
	_cleanup_free_ char *pem = csr_of(k, signer, EVP_PKEY_is_a(signer, "ED448") ? NULL : EVP_sha256());

	csr_refused(pem, strlen(pem), words);
}

static void test_csr(void **state)
{
	_cleanup_(km_pkey_freep) EVP_PKEY *got = NULL, *small = EVP_RSA_gen(1024), *narrow = EVP_EC_gen("secp224r1"),
					  *other = EVP_EC_gen("P-256"), *odd = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
	_cleanup_free_ char *ours = NULL, *big = calloc(1, KM_PEM_MAX + 1);
	struct km_err err = {0};

	assert_int_equal(cert_make_csr(key, &ours, &err), 0);
	assert_int_equal(cert_csr_key(ours, strlen(ours), &got, &err), 0);
	assert_int_equal(EVP_PKEY_eq(got, key), 1);

	csr_refused("", 0, "cannot be read");
	csr_refused("garbage", 7, "cannot be read");
	csr_refused(big, KM_PEM_MAX + 1, "larger than");
	csr_refused(ours, strlen(ours) / 2, "cannot be read");
	csr_of_refused(small, small, "1024 bits");
	csr_of_refused(narrow, narrow, "224 bits");
	csr_of_refused(odd, odd, "neither RSA, EC nor Ed25519");
	csr_of_refused(key, other, "own signature is wrong");
}

/*
 * An encrypted PEM block must not make the keeper ask for a password: OpenSSL would read the terminal, or standard
 * input, and the keeper would hang. In a child without a terminal, standard input is not touched.
 */
static void test_csr_asks_nobody(void **state)
{
	static const char pem[] = "-----BEGIN CERTIFICATE REQUEST-----\nProc-Type: 4,ENCRYPTED\n"
				  "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"
				  "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n-----END CERTIFICATE REQUEST-----\n";
	int fds[2], status = 0, left = 0;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "secret\n", 7), 7);
	close(fds[1]);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		EVP_PKEY *got = NULL;

		setsid();
		dup2(fds[0], STDIN_FILENO);
		_exit(cert_csr_key(pem, sizeof(pem) - 1, &got, NULL) == -EINVAL ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(ioctl(fds[0], FIONREAD, &left), 0);
	assert_int_equal(left, 7);
	close(fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaf),
		cmocka_unit_test(test_usages),
		cmocka_unit_test(test_own_ca),
		cmocka_unit_test(test_ca_without_key_id),
		cmocka_unit_test(test_lifetimes),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_wide_names),
		cmocka_unit_test(test_pem),
		cmocka_unit_test(test_csr),
		cmocka_unit_test(test_csr_asks_nobody),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
