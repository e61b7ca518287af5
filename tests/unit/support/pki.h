/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates for tests, made on the spot with OpenSSL. Failing aborts.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

struct test_cert {
	X509 *cert;
	EVP_PKEY *key;
};

struct test_cert_spec {
	const char *cn, *cn2, *o, *o2; /* NULL: left out */
	bool ca;
	const char *ku, *eku, *san;     /* as in an OpenSSL configuration; NULL: left out */
	int64_t not_before, not_after;  /* 0: an hour ago, in a day */
	const char *key;                /* "ec" (NULL), "rsa", "ed25519" */
	const char *digest;             /* NULL: SHA-256, none for Ed25519 */
	bool no_aki;                    /* without an authority key identifier */
	const struct test_cert *issuer; /* NULL: self-signed */
};

void test_cert_make(const struct test_cert_spec *spec, struct test_cert *ret);
void test_cert_free(struct test_cert *c);
char *test_cert_pem(X509 *cert);         /* malloc'ed */
char *test_key_pem(const EVP_PKEY *key); /* PKCS#8; malloc'ed */
