/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/support/pki.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MUST(x)                                                                        \
	do {                                                                           \
		if (!(x)) {                                                            \
			fprintf(stderr, "%s:%d: %s failed\n", __FILE__, __LINE__, #x); \
			abort();                                                       \
		}                                                                      \
	} while (0)

static EVP_PKEY *make_key(const char *kind)
{
	EVP_PKEY *key;

	if (!kind || strcmp(kind, "ec") == 0)
		key = EVP_EC_gen("P-256");
	else if (strcmp(kind, "ed25519") == 0)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	else
		key = EVP_RSA_gen(2048);
	MUST(key);
	return key;
}

static void add_name(X509_NAME *name, const char *field, const char *value)
{
	if (value)
		MUST(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0));
}

static void add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	if (!value)
		return;
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	MUST(ext && X509_add_ext(cert, ext, -1));
	X509_EXTENSION_free(ext);
}

void test_cert_make(const struct test_cert_spec *spec, struct test_cert *ret)
{
	static long serial;
	X509 *cert = X509_new(), *issuer = spec->issuer ? spec->issuer->cert : cert;
	EVP_PKEY *key = make_key(spec->key), *signer = spec->issuer ? spec->issuer->key : key;
	const EVP_MD *md = spec->digest ? EVP_get_digestbyname(spec->digest) : EVP_sha256();
	int64_t now = time(NULL);
	X509_NAME *name;

	MUST(cert && X509_set_version(cert, X509_VERSION_3));
	MUST(ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial));
	MUST(ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(spec->not_before ? spec->not_before : now - 3600)));
	MUST(ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)(spec->not_after ? spec->not_after : now + 86400)));
	name = X509_get_subject_name(cert);
	add_name(name, "O", spec->o);
	add_name(name, "O", spec->o2);
	add_name(name, "CN", spec->cn);
	add_name(name, "CN", spec->cn2);
	MUST(X509_set_issuer_name(cert, X509_get_subject_name(issuer)));
	MUST(X509_set_pubkey(cert, key));
	add_ext(cert, issuer, NID_basic_constraints, spec->ca ? "critical,CA:TRUE" : NULL);
	add_ext(cert, issuer, NID_key_usage, spec->ku);
	add_ext(cert, issuer, NID_ext_key_usage, spec->eku);
	add_ext(cert, issuer, NID_subject_alt_name, spec->san);
	if (spec->ca)
		add_ext(cert, issuer, NID_subject_key_identifier, "hash");
	if (spec->issuer && !spec->no_aki)
		add_ext(cert, issuer, NID_authority_key_identifier, "keyid");
	MUST(X509_sign(cert, signer, EVP_PKEY_get_base_id(signer) == EVP_PKEY_ED25519 ? NULL : md));
	*ret = (struct test_cert){.cert = cert, .key = key};
}

void test_cert_free(struct test_cert *c)
{
	X509_free(c->cert);
	EVP_PKEY_free(c->key);
	*c = (struct test_cert){0};
}

static char *take_text(BIO *bio)
{
	char *data = NULL, *text;
	long n = BIO_get_mem_data(bio, &data);

	text = strndup(data, (size_t)n);
	MUST(text);
	BIO_free(bio);
	return text;
}

char *test_cert_pem(X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());

	MUST(bio && PEM_write_bio_X509(bio, cert));
	return take_text(bio);
}

char *test_key_pem(const EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());

	MUST(bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
	return take_text(bio);
}
