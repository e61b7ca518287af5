/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading certificates and keys, what they say, and verification with Kubernetes' words.
 */
#include "net/x509.h"

#include <errno.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/support/pki.h"

#define UNKNOWN_AUTHORITY "x509: certificate signed by unknown authority"
#define USAGE             "x509: certificate specifies an incompatible key usage"

static struct test_cert ca, leaf, rsa, ed;

static int set_up(void **state)
{
	test_cert_make(&(struct test_cert_spec){.cn = "Test CA", .o = "Testers", .ca = true}, &ca);
	test_cert_make(&(struct test_cert_spec){.cn = "aggregator",
			       .o = "a",
			       .o2 = "b",
			       .eku = "clientAuth",
			       .san = "DNS:a.example,DNS:*.b.example,IP:10.0.0.1,IP:fd00::1",
			       .issuer = &ca},
		&leaf);
	test_cert_make(&(struct test_cert_spec){.cn = "rsa", .key = "rsa"}, &rsa);
	test_cert_make(&(struct test_cert_spec){.cn = "ed", .key = "ed25519"}, &ed);
	return 0;
}

static int tear_down(void **state)
{
	test_cert_free(&ca);
	test_cert_free(&leaf);
	test_cert_free(&rsa);
	test_cert_free(&ed);
	return 0;
}

/* ---- PEM ---- */

static char *one_line(const char *pem)
{
	char *out = strdup(pem), *o = out;
	const char *body = strchr(pem, '\n') + 1, *end = strstr(pem, "-----END");

	memcpy(o, pem, (size_t)(body - pem));
	o += body - pem;
	for (const char *p = body; p < end; p++)
		if (*p != '\n')
			*o++ = *p;
	*o++ = '\n';
	strcpy(o, end);
	return out;
}

static char *crlf(const char *pem)
{
	char *out = malloc(2 * strlen(pem) + 1), *o = out;

	for (; *pem; pem++) {
		if (*pem == '\n') {
			*o++ = ' ';
			*o++ = '\r';
		}
		*o++ = *pem;
	}
	*o = '\0';
	return out;
}

static void check_certs(const char *text, int n)
{
	_cleanup_(km_x509_stack_freep) STACK_OF(X509) *certs = NULL;
	struct km_err err = {0};

	if (km_x509_parse(text, strlen(text), "t.pem", &certs, &err) != 0)
		fail_msg("%s: %s", err.text, text);
	assert_int_equal(sk_X509_num(certs), n);
	assert_true(km_x509_equal(sk_X509_value(certs, 0), ca.cert));
}

static void test_parse_certs(void **state)
{
	_cleanup_free_ char *one = test_cert_pem(ca.cert), *two = test_cert_pem(leaf.cert),
			    *key = test_key_pem(leaf.key);
	_cleanup_free_ char *lines = one_line(one), *dos = crlf(one), *text = NULL;

	check_certs(one, 1);
	check_certs(lines, 1);
	check_certs(dos, 1);
	assert_true(asprintf(&text, "subject=/CN=x\n%s\nnoise: --\n%s%s# end", one, key, two) > 0);
	check_certs(text, 2);
	text[strlen(text) - 5] = '\0';
	free(KM_TAKE(text));
	/* no line feed at the end; a block of another kind that is damaged does not matter */
	assert_true(asprintf(&text, "-----BEGIN X509 CRL-----\n###\n%.*s", (int)strlen(one) - 1, one) > 0);
	check_certs(text, 1);
}

static void check_bad_certs(const char *text, size_t len, int code, const char *words)
{
	STACK_OF(X509) *certs = NULL;
	struct km_err err = {0};
	int r = km_x509_parse(text, len, "t.pem", &certs, &err);

	if (r != code || !strstr(err.text, words) || !strstr(err.text, "t.pem"))
		fail_msg("%d %s, expected %d %s", r, err.text, code, words);
	assert_null(certs);
}

static void test_parse_bad_certs(void **state)
{
	_cleanup_free_ char *one = test_cert_pem(ca.cert), *text = strdup(one), *big = calloc(1, KM_PEM_MAX + 1);
	char *p;

	check_bad_certs("", 0, -ENODATA, "no certificate");
	check_bad_certs("hello", 5, -ENODATA, "no certificate");
	check_bad_certs(big, KM_PEM_MAX + 1, -EMSGSIZE, "larger");
	check_bad_certs(one, strlen(one) - 10, -EBADMSG, "no END line");
	p = strchr(text, '\n') + 1;
	p[3] = '!';
	check_bad_certs(text, strlen(text), -EBADMSG, "not base64");
	p[3] = one[p + 3 - text];
	p[0] = p[1] = 'A'; /* not a SEQUENCE any more */
	check_bad_certs(text, strlen(text), -EBADMSG, "certificate 1 is damaged");
	check_bad_certs("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", 53, -EBADMSG, "not base64");
	check_bad_certs("-----BEGIN CERTIFICATE-----\nAAAA\n-----END X-----\n", 49, -EBADMSG, "no END line");
}

static void test_too_many_certs(void **state)
{
	_cleanup_free_ char *one = test_cert_pem(ca.cert), *text = NULL;
	size_t n = strlen(one);
	STACK_OF(X509) *certs = NULL;

	if (n * (KM_PEM_CERTS_MAX + 1) > KM_PEM_MAX)
		fail_msg("the certificate is too large for this test");
	text = malloc(n * (KM_PEM_CERTS_MAX + 1));
	for (size_t i = 0; i <= KM_PEM_CERTS_MAX; i++)
		memcpy(text + i * n, one, n);
	check_bad_certs(text, n * (KM_PEM_CERTS_MAX + 1), -EMSGSIZE, "more than");
	assert_int_equal(km_x509_parse(text, n * KM_PEM_CERTS_MAX, "t", &certs, NULL), 0);
	km_x509_stack_free(certs);
}

static void check_key(const char *text, const EVP_PKEY *expected)
{
	_cleanup_(km_pkey_freep) EVP_PKEY *key = NULL;
	struct km_err err = {0};

	if (km_pkey_parse(text, strlen(text), "t.pem", &key, &err) != 0)
		fail_msg("%s: %s", err.text, text);
	assert_int_equal(EVP_PKEY_eq(key, expected), 1);
}

/* The traditional form: PKCS#1 or SEC1; encrypted if a cipher is given. */
static char *traditional(const EVP_PKEY *key, const EVP_CIPHER *cipher)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL, *text;
	long n;

	assert_int_equal(PEM_write_bio_PrivateKey_traditional(
				 bio, key, cipher, (const unsigned char *)"pw", cipher ? 2 : 0, NULL, NULL),
		1);
	n = BIO_get_mem_data(bio, &data);
	text = strndup(data, (size_t)n);
	BIO_free(bio);
	return text;
}

static void test_parse_keys(void **state)
{
	_cleanup_free_ char *ec8 = test_key_pem(leaf.key), *rsa8 = test_key_pem(rsa.key), *ed8 = test_key_pem(ed.key);
	_cleanup_free_ char *ec1 = traditional(leaf.key, NULL), *rsa1 = traditional(rsa.key, NULL), *text = NULL;
	const char *body = strchr(ed8, '\n');

	check_key(ec8, leaf.key);
	check_key(rsa8, rsa.key);
	check_key(ed8, ed.key);
	check_key(ec1, leaf.key);
	check_key(rsa1, rsa.key);
	/* openssl ecparam -genkey puts the parameters in front */
	assert_true(asprintf(&text, "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n%s",
			    ec1) > 0);
	check_key(text, leaf.key);
	free(KM_TAKE(text));
	/* cfssl puts this label around the PKCS#8 form */
	assert_true(asprintf(&text, "-----BEGIN Ed25519 PRIVATE KEY-----%.*s-----END Ed25519 PRIVATE KEY-----\n",
			    (int)(strstr(body, "-----END") - body), body) > 0);
	check_key(text, ed.key);
}

static void check_bad_key(const char *text, int code, const char *words)
{
	EVP_PKEY *key = NULL;
	struct km_err err = {0};
	int r = km_pkey_parse(text, strlen(text), "t.pem", &key, &err);

	if (r != code || !strstr(err.text, words) || !strstr(err.text, "t.pem"))
		fail_msg("%d %s, expected %d %s", r, err.text, code, words);
	assert_null(key);
}

static void test_parse_bad_keys(void **state)
{
	_cleanup_free_ char *cert = test_cert_pem(leaf.cert), *locked = traditional(rsa.key, EVP_aes_128_cbc());
	BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL;

	check_bad_key("", -ENODATA, "no private key");
	check_bad_key(cert, -ENODATA, "no private key");
	check_bad_key(locked, -ENOTSUP, "encrypted");
	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, rsa.key, EVP_aes_128_cbc(), "pw", 2, NULL, NULL), 1);
	BIO_write(bio, "", 1);
	BIO_get_mem_data(bio, &data);
	check_bad_key(data, -ENOTSUP, "encrypted");
	BIO_free(bio);
	check_bad_key("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", -EBADMSG, "damaged");
	check_bad_key("-----BEGIN PRIVATE KEY-----\nAA*A\n-----END PRIVATE KEY-----\n", -EBADMSG, "not base64");
	check_bad_key("-----BEGIN PRIVATE KEY-----\nAAAA\n", -EBADMSG, "no END line");
	check_bad_key("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n",
		-EBADMSG, "OPENSSH PRIVATE KEY");
}

static void test_load(void **state)
{
	char path[] = "/tmp/kmetricsd-x509.XXXXXX";
	_cleanup_free_ char *cert = test_cert_pem(ca.cert), *key = test_key_pem(ca.key);
	_cleanup_(km_x509_stack_freep) STACK_OF(X509) *certs = NULL;
	_cleanup_(km_pkey_freep) EVP_PKEY *pkey = NULL;
	struct km_err err = {0};
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, cert, strlen(cert)), strlen(cert));
	assert_int_equal(write(fd, key, strlen(key)), strlen(key));
	close(fd);
	assert_int_equal(km_x509_load(path, &certs, &err), 0);
	assert_int_equal(km_pkey_load(path, &pkey, &err), 0);
	assert_int_equal(km_x509_check_pair(sk_X509_value(certs, 0), pkey, path, &err), 0);
	unlink(path);
	assert_int_equal(km_pkey_load(path, &pkey, &err), -ENOENT);
	assert_non_null(strstr(err.text, path));
}

static void test_check_pair(void **state)
{
	struct km_err err = {0};

	assert_int_equal(km_x509_check_pair(leaf.cert, leaf.key, "k.pem", &err), 0);
	assert_int_equal(km_x509_check_pair(leaf.cert, rsa.key, "k.pem", &err), -EKEYREJECTED);
	assert_non_null(strstr(err.text, "k.pem"));
	assert_non_null(strstr(err.text, "CN=aggregator"));
	assert_non_null(strstr(err.text, "RSA"));
}

/* ---- names ---- */

static int join(const char *o, void *arg)
{
	strcat(strcat(arg, o), ";");
	return strcmp(o, "stop") == 0 ? 7 : 0;
}

static void test_names(void **state)
{
	_cleanup_free_ char *cn = km_x509_cn(leaf.cert), *subject = km_x509_name_text(X509_get_subject_name(leaf.cert));
	char all[64] = "", print[KM_FINGERPRINT_MAX];

	assert_string_equal(cn, "aggregator");
	assert_string_equal(subject, "CN=aggregator,O=b,O=a");
	assert_int_equal(km_x509_organizations(leaf.cert, join, all), 0);
	assert_string_equal(all, "a;b;");
	km_x509_fingerprint(leaf.cert, print);
	assert_int_equal(strlen(print), 64);
	assert_int_equal(strspn(print, "0123456789abcdef"), 64);
	assert_true(km_x509_not_after(leaf.cert) - km_x509_not_before(leaf.cert) == 86400 + 3600);
	assert_true(km_x509_equal(leaf.cert, leaf.cert));
	assert_false(km_x509_equal(leaf.cert, ca.cert));
}

static void test_odd_names(void **state)
{
	struct test_cert none, two, stop, nul;
	char all[64] = "";
	_cleanup_free_ char *last = NULL, *text = NULL;

	test_cert_make(&(struct test_cert_spec){.o = "only"}, &none);
	assert_null(km_x509_cn(none.cert));
	test_cert_free(&none);
	/* Go takes the last of several */
	test_cert_make(&(struct test_cert_spec){.cn = "first", .cn2 = "J\xc3\xb6rg"}, &two);
	last = km_x509_cn(two.cert);
	assert_string_equal(last, "J\xc3\xb6rg");
	text = km_x509_name_text(X509_get_subject_name(two.cert));
	assert_string_equal(text, "CN=J\xc3\xb6rg,CN=first");
	test_cert_free(&two);
	test_cert_make(&(struct test_cert_spec){.cn = "x", .o = "stop", .o2 = "never"}, &stop);
	assert_int_equal(km_x509_organizations(stop.cert, join, all), 7);
	assert_string_equal(all, "stop;");
	test_cert_free(&stop);
	/* a NUL must not turn "system:masters\0x" into "system:masters" */
	test_cert_make(&(struct test_cert_spec){.cn = "x"}, &nul);
	assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(nul.cert), "O", MBSTRING_UTF8,
				 (const unsigned char *)"system:masters\0x", 16, -1, 0),
		1);
	assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(nul.cert), "CN", MBSTRING_UTF8,
				 (const unsigned char *)"admin\0x", 7, -1, 0),
		1);
	all[0] = '\0';
	assert_int_equal(km_x509_organizations(nul.cert, join, all), -EINVAL);
	assert_string_equal(all, "");
	assert_null(km_x509_cn(nul.cert));
	test_cert_free(&nul);
}

static void test_sans(void **state)
{
	assert_true(km_x509_has_dns(leaf.cert, "a.example"));
	assert_true(km_x509_has_dns(leaf.cert, "x.b.example"));
	assert_false(km_x509_has_dns(leaf.cert, "x.y.b.example"));
	assert_false(km_x509_has_dns(leaf.cert, "b.example"));
	assert_false(km_x509_has_dns(leaf.cert, "aggregator"));
	assert_false(km_x509_has_dns(rsa.cert, "rsa"));
	assert_true(km_x509_has_ip(leaf.cert, "10.0.0.1"));
	assert_true(km_x509_has_ip(leaf.cert, "fd00:0::1"));
	assert_false(km_x509_has_ip(leaf.cert, "10.0.0.2"));
	assert_false(km_x509_has_ip(leaf.cert, "a.example"));
}

/* ---- verification ---- */

static STACK_OF(X509) *stack(X509 *a, X509 *b)
{
	STACK_OF(X509) *s = sk_X509_new_null();

	for (int i = 0; i < 2; i++)
		if (i ? b : a)
			sk_X509_push(s, i ? b : a);
	return s;
}

/* words NULL: it verifies */
static void check_verify_at(X509 *ca1, X509 *ca2, X509 *cert, X509 *intermediate, enum km_x509_purpose purpose,
	int64_t now, const char *words)
{
	STACK_OF(X509) *trusted = stack(ca1, ca2), *untrusted = stack(intermediate, NULL);
	struct km_err err = {0};
	int r = km_x509_verify(trusted, cert, untrusted, purpose, now, &err);

	sk_X509_free(trusted);
	sk_X509_free(untrusted);
	if (!words && r != 0)
		fail_msg("%s", err.text);
	if (!words)
		return;
	if (r != -EKEYREJECTED || strcmp(err.text, words) != 0)
		fail_msg("%d \"%s\", expected \"%s\"", r, err.text, words);
}

static void check_verify(X509 *ca1, X509 *ca2, X509 *cert, X509 *intermediate, const char *words)
{
	check_verify_at(ca1, ca2, cert, intermediate, KM_X509_CLIENT, time(NULL), words);
}

static void test_verify(void **state)
{
	struct test_cert other, stranger;

	test_cert_make(&(struct test_cert_spec){.cn = "Other CA", .ca = true}, &other);
	test_cert_make(&(struct test_cert_spec){.cn = "x", .eku = "clientAuth", .issuer = &other}, &stranger);
	check_verify(ca.cert, NULL, leaf.cert, NULL, NULL);
	check_verify(other.cert, ca.cert, leaf.cert, NULL, NULL);
	check_verify(ca.cert, other.cert, leaf.cert, NULL, NULL);
	check_verify(other.cert, NULL, leaf.cert, NULL, UNKNOWN_AUTHORITY);
	check_verify(NULL, NULL, leaf.cert, NULL, UNKNOWN_AUTHORITY);
	check_verify(ca.cert, NULL, stranger.cert, other.cert, UNKNOWN_AUTHORITY);
	assert_int_equal(km_x509_verify(NULL, leaf.cert, NULL, KM_X509_CLIENT, time(NULL), NULL), -EKEYREJECTED);
	/* as in Go whatever is in the bundle is an anchor, also the leaf itself */
	check_verify(leaf.cert, NULL, leaf.cert, NULL, NULL);
	test_cert_free(&other);
	test_cert_free(&stranger);
}

static void test_verify_time(void **state)
{
	struct test_cert old_ca, under;
	const int64_t from = 1735689600, to = 1767225600; /* 2025-01-01, 2026-01-01 */

	test_cert_make(
		&(struct test_cert_spec){
			.cn = "x", .eku = "clientAuth", .not_before = from, .not_after = to, .issuer = &ca},
		&under);
	check_verify_at(ca.cert, NULL, under.cert, NULL, KM_X509_CLIENT, to + 3661,
		"x509: certificate has expired or is not yet valid: current time 2026-01-01T01:01:01Z is after "
		"2026-01-01T00:00:00Z");
	check_verify_at(ca.cert, NULL, under.cert, NULL, KM_X509_CLIENT, from - 1,
		"x509: certificate has expired or is not yet valid: current time 2024-12-31T23:59:59Z is before "
		"2025-01-01T00:00:00Z");
	/* the leaf's time is looked at before its authority, as in Go */
	check_verify_at(NULL, NULL, under.cert, NULL, KM_X509_CLIENT, from - 1,
		"x509: certificate has expired or is not yet valid: current time 2024-12-31T23:59:59Z is before "
		"2025-01-01T00:00:00Z");
	test_cert_free(&under);
	/* an expired CA */
	test_cert_make(
		&(struct test_cert_spec){.cn = "Old CA", .ca = true, .not_before = from, .not_after = to}, &old_ca);
	test_cert_make(
		&(struct test_cert_spec){
			.cn = "x", .eku = "clientAuth", .not_before = from, .not_after = to + 86400, .issuer = &old_ca},
		&under);
	check_verify_at(old_ca.cert, NULL, under.cert, NULL, KM_X509_CLIENT, to - 1, NULL);
	check_verify_at(old_ca.cert, NULL, under.cert, NULL, KM_X509_CLIENT, to + 1,
		"x509: certificate has expired or is not yet valid: current time 2026-01-01T00:00:01Z is after "
		"2026-01-01T00:00:00Z");
	test_cert_free(&old_ca);
	test_cert_free(&under);
}

static void test_verify_usage(void **state)
{
	static const struct {
		const char *eku, *ku;
		bool client, server;
	} cases[] = {
		{"clientAuth", NULL, true, false}, {"serverAuth", NULL, false, true},
		{"serverAuth,clientAuth", "critical,digitalSignature,keyEncipherment", true, true},
		{NULL, NULL, true, true}, {"anyExtendedKeyUsage", NULL, true, true},
		{"codeSigning", NULL, false, false}, {"1.2.3.4", NULL, false, false},
		{"clientAuth", "keyEncipherment", true, false}, /* Go does not look at the leaf's plain key usage */
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		struct test_cert c;

		test_cert_make(
			&(struct test_cert_spec){.cn = "x", .eku = cases[i].eku, .ku = cases[i].ku, .issuer = &ca}, &c);
		check_verify_at(
			ca.cert, NULL, c.cert, NULL, KM_X509_CLIENT, time(NULL), cases[i].client ? NULL : USAGE);
		check_verify_at(
			ca.cert, NULL, c.cert, NULL, KM_X509_SERVER, time(NULL), cases[i].server ? NULL : USAGE);
		test_cert_free(&c);
	}
}

static void test_verify_chain(void **state)
{
	struct test_cert middle, under, narrow, narrowed;

	test_cert_make(&(struct test_cert_spec){.cn = "Middle", .ca = true, .issuer = &ca}, &middle);
	test_cert_make(&(struct test_cert_spec){.cn = "x", .eku = "clientAuth", .issuer = &middle}, &under);
	check_verify(ca.cert, NULL, under.cert, middle.cert, NULL);
	check_verify(ca.cert, NULL, under.cert, NULL, UNKNOWN_AUTHORITY);
	check_verify(middle.cert, NULL, under.cert, NULL, NULL);
	/* the usage holds for the whole chain */
	test_cert_make(
		&(struct test_cert_spec){.cn = "Narrow", .ca = true, .eku = "serverAuth", .issuer = &ca}, &narrow);
	test_cert_make(&(struct test_cert_spec){.cn = "y", .eku = "clientAuth", .issuer = &narrow}, &narrowed);
	check_verify(ca.cert, NULL, narrowed.cert, narrow.cert, USAGE);
	test_cert_free(&middle);
	test_cert_free(&under);
	test_cert_free(&narrow);
	test_cert_free(&narrowed);
}

/* Two CAs of one name, as after a rotation, and a leaf that does not say by key identifier which of them signed. */
static void test_verify_same_name(void **state)
{
	struct test_cert before, after, under;

	test_cert_make(&(struct test_cert_spec){.cn = "front-proxy-ca", .ca = true}, &before);
	test_cert_make(&(struct test_cert_spec){.cn = "front-proxy-ca", .ca = true}, &after);
	test_cert_make(
		&(struct test_cert_spec){.cn = "x", .eku = "clientAuth", .no_aki = true, .issuer = &after}, &under);
	check_verify(before.cert, after.cert, under.cert, NULL, NULL);
	check_verify(after.cert, before.cert, under.cert, NULL, NULL);
	check_verify(before.cert, NULL, under.cert, NULL,
		UNKNOWN_AUTHORITY " (possibly because of \"x509: ECDSA verification failure\" while trying to verify "
				  "candidate authority certificate \"front-proxy-ca\")");
	test_cert_free(&before);
	test_cert_free(&after);
	test_cert_free(&under);
}

static void test_verify_not_a_ca(void **state)
{
	struct test_cert pretender, under, weak;

	test_cert_make(&(struct test_cert_spec){.cn = "pretender", .ku = "digitalSignature"}, &pretender);
	test_cert_make(
		&(struct test_cert_spec){.cn = "x", .eku = "clientAuth", .issuer = &pretender, .no_aki = true}, &under);
	check_verify(pretender.cert, NULL, under.cert, NULL,
		UNKNOWN_AUTHORITY
		" (possibly because of \"x509: invalid signature: parent certificate cannot sign this kind of "
		"certificate\" while trying to verify candidate authority certificate \"pretender\")");
	test_cert_make(
		&(struct test_cert_spec){.cn = "x", .eku = "clientAuth", .digest = "SHA1", .issuer = &ca}, &weak);
	check_verify(ca.cert, NULL, weak.cert, NULL,
		UNKNOWN_AUTHORITY
		" (possibly because of \"x509: cannot verify signature: insecure algorithm\" while trying "
		"to verify candidate authority certificate \"Test CA\")");
	test_cert_free(&pretender);
	test_cert_free(&under);
	test_cert_free(&weak);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_certs),
		cmocka_unit_test(test_parse_bad_certs),
		cmocka_unit_test(test_too_many_certs),
		cmocka_unit_test(test_parse_keys),
		cmocka_unit_test(test_parse_bad_keys),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_check_pair),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_odd_names),
		cmocka_unit_test(test_sans),
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_verify_time),
		cmocka_unit_test(test_verify_usage),
		cmocka_unit_test(test_verify_chain),
		cmocka_unit_test(test_verify_same_name),
		cmocka_unit_test(test_verify_not_a_ca),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
