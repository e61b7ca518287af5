/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates as cfssl would make them, save for what it gets wrong (spec certs-and-wiring 1.3, 1.5): a leaf never
 * outlives its CA, the authority key id is always there, a non-CA never signs. No files, no clock of its own.
 */
#pragma once

#include "core/err.h"
#include "net/x509.h"

#define CERT_DAY_S INT64_C(86400)

enum cert_key_type { CERT_KEY_RSA_2048, CERT_KEY_P256 };

struct cert_profile {
	const char *cn;
	const char *o;          /* NULL: none */
	bool ca;                /* certSign, cRLSign, CA:TRUE; else a leaf */
	bool server, client;    /* extended key usages of a leaf */
	const char *const *dns; /* SANs */
	size_t n_dns;
	const char *const *ips;
	size_t n_ips;
	int64_t life_s;
};

int cert_make_key(enum cert_key_type type, EVP_PKEY **ret, struct km_err *err) _must_check_;

/*
 * A certificate for subject_key (only its public half is used), signed by ca/ca_key, or by itself when ca is NULL. now:
 * seconds since 1970; notBefore is five minutes earlier, on the minute; notAfter is clamped to the CA's. -EINVAL: ca is
 * no CA, its key does not match, it has expired or is not valid yet, or a name is unusable (CN and O: 1 to 64
 * characters).
 */
int cert_issue(const struct cert_profile *profile, EVP_PKEY *subject_key, X509 *ca, EVP_PKEY *ca_key, int64_t now,
	X509 **ret, struct km_err *err) _must_check_;

/* PEM texts, malloc'ed; NULL without memory. Keys in the traditional form that kube-apiserver and OpenSSL both read;
 * wipe after use. */
char *cert_to_pem(X509 *cert);
char *cert_key_to_pem(EVP_PKEY *key);
/* A CSR that carries nothing but the key (the signer decides the rest). */
int cert_make_csr(EVP_PKEY *key, char **ret_pem, struct km_err *err) _must_check_;
/* The public key of a CSR whose own signature is right and whose key is strong enough (RSA >= 2048, EC >= 256 bits,
 * Ed25519). */
int cert_csr_key(const char *pem, size_t len, EVP_PKEY **ret, struct km_err *err) _must_check_;

#define CERT_TIME_TEXT_MAX 32
/* "2026-11-23T05:20:36Z" for whatever time a certificate may carry: year 9999 means for ever (RFC 5280 4.1.2.5), and
 * nanoseconds since 1970 end in 2262. "?" beyond. */
void cert_time_text(int64_t seconds, char out[CERT_TIME_TEXT_MAX]);
/* Wipes and frees a text. */
void cert_wipe(char *text);
void cert_wipep(char **text);
