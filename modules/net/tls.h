/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts for the server and the clients. A context is built whole from values in memory and then never changed:
 * rotation builds a new one and swaps (SSL_CTX is reference-counted: SSL_CTX_up_ref / SSL_CTX_free).
 */
#pragma once

#include <openssl/ssl.h>

#include "core/base.h"
#include "core/err.h"
#include "net/x509.h"

/* The longest list of CA names in a certificate request: TLS ends at 64 KiB, and hundreds of CAs are seen in the wild.
 */
#define KM_TLS_HINTS_MAX (32 * 1024)

/* A key pair with its chain: the currency of identity.h. Immutable after it was made, reference-counted. */
struct km_identity {
	unsigned refs;
	STACK_OF(X509) *chain; /* owned; leaf first */
	EVP_PKEY *key;         /* owned */
	char fingerprint[KM_FINGERPRINT_MAX];
};

/* Loads and checks a pair. 0 or negative errno. */
int km_identity_load(const char *cert_path, const char *key_path, struct km_identity **ret, struct km_err *err)
	_must_check_;
int km_identity_parse(const char *cert_pem, size_t cert_len, const char *key_pem, size_t key_len, const char *what,
	struct km_identity **ret, struct km_err *err) _must_check_;
/* Takes ownership of chain and key, also on failure. */
int km_identity_new(STACK_OF(X509) *chain, EVP_PKEY *key, struct km_identity **ret) _must_check_;
struct km_identity *km_identity_ref(struct km_identity *id);
void km_identity_unref(struct km_identity *id); /* NULL is fine */
void km_identity_unrefp(struct km_identity **id);

/*
 * Server: TLS >= 1.2, no renegotiation, no compression, session cache and tickets off, session id context set, ALPN
 * http/1.1 only, asks for a client certificate and accepts any or none in the handshake (the authenticators judge it
 * afterwards, spec metrics-api 5a; SSL_get_verify_result never says X509_V_OK for one); hints: the CA names to put in
 * the request (may be NULL; more than KM_TLS_HINTS_MAX bytes of them are left out altogether, which means "any").
 * SSL_MODE_RELEASE_BUFFERS.
 */
int km_tls_server_ctx(struct km_identity *id, STACK_OF(X509) *hints, SSL_CTX **ret, struct km_err *err) _must_check_;

/*
 * Client: TLS >= 1.2. roots NULL: the system's. id NULL: no client certificate. verify false: the caller verifies (or
 * has been told not to). The name to check is the caller's to set on each SSL (SSL_set1_host,
 * X509_VERIFY_PARAM_set1_ip_asc). SSL_MODE_RELEASE_BUFFERS, no session cache.
 */
int km_tls_client_ctx(STACK_OF(X509) *roots, struct km_identity *id, bool verify, SSL_CTX **ret, struct km_err *err)
	_must_check_;
