/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates and keys as values: reading PEM (leniently as Go does, spec certs-and-wiring 1.5.1), names,
 * fingerprints, and the verification of a peer's client certificate where each trusted CA is tried in its own store
 * (spec 1.5.4). No files are written, nothing is issued here.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "core/base.h"
#include "core/err.h"

#define KM_PEM_MAX         (1024 * 1024) /* bytes of a PEM file or of a ConfigMap key */
#define KM_PEM_CERTS_MAX   1024          /* certificates in one bundle (a real ConfigMap had 550) */
#define KM_FINGERPRINT_MAX 65            /* SHA-256 in lower-case hex, with the NUL */

static inline void km_x509_freep(X509 **p)
{
	X509_free(*p);
	*p = NULL;
}
static inline void km_pkey_freep(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
	*p = NULL;
}
void km_x509_stack_free(STACK_OF(X509) *certs); /* frees the certificates too; NULL is fine */
void km_x509_stack_freep(STACK_OF(X509) **certs);

/*
 * All CERTIFICATE blocks of a PEM text, in order; text around them is ignored. what names the source in messages
 * ("/opt/.../ca.pem"). -ENODATA when there is none, -EBADMSG when one is damaged, -EMSGSIZE beyond the limits.
 */
int km_x509_parse(const char *pem, size_t len, const char *what, STACK_OF(X509) **ret, struct km_err *err) _must_check_;
int km_x509_load(const char *path, STACK_OF(X509) **ret, struct km_err *err) _must_check_;

/*
 * The first private key of a PEM text: PKCS#8, PKCS#1, SEC1, and any label that ends in PRIVATE KEY around such DER
 * (cfssl's Ed25519); EC PARAMETERS blocks are skipped. An encrypted key is -ENOTSUP with a clear text. The text is the
 * caller's to wipe.
 */
int km_pkey_parse(const char *pem, size_t len, const char *what, EVP_PKEY **ret, struct km_err *err) _must_check_;
int km_pkey_load(const char *path, EVP_PKEY **ret, struct km_err *err) _must_check_; /* wipes what it read */

/* 0 when key belongs to cert, else -EKEYREJECTED and both named. */
int km_x509_check_pair(X509 *cert, EVP_PKEY *key, const char *what, struct km_err *err) _must_check_;

/* SHA-256 over the DER. */
void km_x509_fingerprint(X509 *cert, char out[KM_FINGERPRINT_MAX]);
/* The subject's CN, of several the last as in Go; malloc'ed UTF-8. NULL when there is none, or it is no text or holds a
 * NUL. */
char *km_x509_cn(X509 *cert);
/* The subject's O values, in order: calls fn for each (UTF-8, NUL-terminated). Values that are no text or hold a NUL
 * end the walk with -EINVAL; a non-zero return of fn ends it too and is returned. */
int km_x509_organizations(X509 *cert, int (*fn)(const char *o, void *arg), void *arg) _must_check_;
/* One-line subject or issuer as RFC 2253 ("CN=x,O=y"), malloc'ed. */
char *km_x509_name_text(const X509_NAME *name);
/* notBefore, notAfter in seconds since 1970; an unreadable time never lets a certificate be valid. */
int64_t km_x509_not_before(const X509 *cert);
int64_t km_x509_not_after(const X509 *cert);
/* Whether a certificate carries the DNS name or IP among its SANs (exact, or OpenSSL's wildcard rule for DNS). */
bool km_x509_has_dns(X509 *cert, const char *name);
bool km_x509_has_ip(X509 *cert, const char *ip);
/* DER equality. */
bool km_x509_equal(X509 *a, X509 *b);

enum km_x509_purpose { KM_X509_CLIENT, KM_X509_SERVER };

/*
 * Verifies leaf (with what else the peer sent as untrusted intermediates, may be NULL) against each trusted CA in turn,
 * at time now (seconds), requiring the extended key usage along the chain. Every certificate in trusted is an anchor.
 * 0, or -EKEYREJECTED with the most telling reason in Kubernetes' words
 * ("x509: certificate signed by unknown authority", "x509: certificate has expired or is not yet valid: ...",
 * "x509: certificate specifies an incompatible key usage").
 */
int km_x509_verify(STACK_OF(X509) *trusted, X509 *leaf, STACK_OF(X509) *untrusted, enum km_x509_purpose purpose,
	int64_t now, struct km_err *err) _must_check_;

/* OpenSSL's newest error as text ("reason") in out, and its queue emptied. Returns out. */
const char *km_openssl_error(char *out, size_t size);
