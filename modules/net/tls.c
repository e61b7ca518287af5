/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts; see tls.h. What is set here is set once and for all connections of a context.
 */
#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#define PEER_CHAIN_BYTES_MAX (64 * 1024) /* certificates a peer may send; OpenSSL's own limit is 100 KiB */

static const unsigned char session_context[] = "kmetricsd";
static const unsigned char alpn_http11[] = "http/1.1";

/* ---- identities ---- */

int km_identity_new(STACK_OF(X509) *chain, EVP_PKEY *key, struct km_identity **ret)
{
	struct km_identity *id;

	if (sk_X509_num(chain) < 1 || !key) {
		km_x509_stack_free(chain);
		EVP_PKEY_free(key);
		return -EINVAL;
	}
	id = calloc(1, sizeof(*id));
	if (!id) {
		km_x509_stack_free(chain);
		EVP_PKEY_free(key);
		return -ENOMEM;
	}
	id->refs = 1;
	id->chain = chain;
	id->key = key;
	km_x509_fingerprint(sk_X509_value(chain, 0), id->fingerprint);
	*ret = id;
	return 0;
}

static int identity_from(
	STACK_OF(X509) *chain, EVP_PKEY *key, const char *what, struct km_identity **ret, struct km_err *err)
{
	int r = km_x509_check_pair(sk_X509_value(chain, 0), key, what, err);

	if (r < 0) {
		km_x509_stack_free(chain);
		EVP_PKEY_free(key);
		return r;
	}
	r = km_identity_new(chain, key, ret);
	return r < 0 ? km_fail(err, r, "%s: no memory", what) : 0;
}

int km_identity_load(const char *cert_path, const char *key_path, struct km_identity **ret, struct km_err *err)
{
	_cleanup_(km_x509_stack_freep) STACK_OF(X509) *chain = NULL;
	EVP_PKEY *key = NULL;
	int r;

	r = km_x509_load(cert_path, &chain, err);
	if (r < 0)
		return r;
	r = km_pkey_load(key_path, &key, err);
	if (r < 0)
		return r;
	r = identity_from(KM_TAKE(chain), key, key_path, ret, err);
	if (r == -EKEYREJECTED)
		km_err_prefix(err, "%s", cert_path);
	return r;
}

int km_identity_parse(const char *cert_pem, size_t cert_len, const char *key_pem, size_t key_len, const char *what,
	struct km_identity **ret, struct km_err *err)
{
	_cleanup_(km_x509_stack_freep) STACK_OF(X509) *chain = NULL;
	EVP_PKEY *key = NULL;
	int r;

	r = km_x509_parse(cert_pem, cert_len, what, &chain, err);
	if (r < 0)
		return r;
	r = km_pkey_parse(key_pem, key_len, what, &key, err);
	if (r < 0)
		return r;
	return identity_from(KM_TAKE(chain), key, what, ret, err);
}

struct km_identity *km_identity_ref(struct km_identity *id)
{
	id->refs++;
	return id;
}

void km_identity_unref(struct km_identity *id)
{
	if (!id || --id->refs > 0)
		return;
	km_x509_stack_free(id->chain);
	EVP_PKEY_free(id->key);
	free(id);
}

void km_identity_unrefp(struct km_identity **id)
{
	km_identity_unref(*id);
	*id = NULL;
}

/* ---- contexts ---- */

static void ctx_freep(SSL_CTX **ctx)
{
	SSL_CTX_free(*ctx);
	*ctx = NULL;
}

static int openssl_fail(struct km_err *err, int code, const char *what)
{
	char reason[160];

	return km_fail(err, code, "TLS: %s: %s", what, km_openssl_error(reason, sizeof(reason)));
}

/*
 * The chain is given as it is: OpenSSL must neither complete it from the trust store (SSL_MODE_NO_AUTO_CHAIN) nor judge
 * its order.
 */
static int use_identity(SSL_CTX *ctx, struct km_identity *id, struct km_err *err)
{
	if (SSL_CTX_use_certificate(ctx, sk_X509_value(id->chain, 0)) != 1)
		return openssl_fail(err, -EINVAL, "the certificate cannot be used");
	if (SSL_CTX_use_PrivateKey(ctx, id->key) != 1)
		return openssl_fail(err, -EINVAL, "the private key cannot be used");
	for (int i = 1; i < sk_X509_num(id->chain); i++)
		if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(id->chain, i)) != 1)
			return openssl_fail(err, -EINVAL, "a certificate of the chain cannot be used");
	return 0;
}

static int new_ctx(const SSL_METHOD *method, SSL_CTX **ret, struct km_err *err)
{
	_cleanup_(ctx_freep) SSL_CTX *ctx = SSL_CTX_new(method);

	if (!ctx)
		return openssl_fail(err, -ENOMEM, "no context");
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
		return openssl_fail(err, -EINVAL, "TLS 1.2 cannot be made the oldest version");
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	/* the last two are what a non-blocking caller with a moving buffer (libevent) needs */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_max_cert_list(ctx, PEER_CHAIN_BYTES_MAX);
	*ret = KM_TAKE(ctx);
	return 0;
}

/* A client that offers ALPN without http/1.1 is refused, as RFC 7301 wants; one without ALPN speaks HTTP/1.1. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
	unsigned int in_len, void *arg)
{
	const unsigned n = sizeof(alpn_http11) - 1;

	for (unsigned i = 0; i < in_len; i += 1u + in[i])
		if (in[i] == n && i + 1 + n <= in_len && memcmp(in + i + 1, alpn_http11, n) == 0) {
			*out = in + i + 1;
			*out_len = (unsigned char)n;
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/*
 * Any client certificate passes the handshake, without a chain being built: who it is, if anybody, is judged with the
 * request, by km_x509_verify. The result left behind is an error, so that nobody mistakes "passed" for "verified".
 */
static int accept_any(X509_STORE_CTX *store, void *arg)
{
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 1;
}

static int set_hints(SSL_CTX *ctx, STACK_OF(X509) *hints, struct km_err *err)
{
	size_t bytes = 0;

	for (int i = 0; i < sk_X509_num(hints); i++) {
		int n = i2d_X509_NAME(X509_get_subject_name(sk_X509_value(hints, i)), NULL);

		bytes += n > 0 ? (size_t)n + 2 : 0;
	}
	if (bytes > KM_TLS_HINTS_MAX)
		return 0;
	for (int i = 0; i < sk_X509_num(hints); i++)
		if (SSL_CTX_add_client_CA(ctx, sk_X509_value(hints, i)) != 1)
			return openssl_fail(err, -ENOMEM, "the CA names cannot be listed");
	return 0;
}

int km_tls_server_ctx(struct km_identity *id, STACK_OF(X509) *hints, SSL_CTX **ret, struct km_err *err)
{
	_cleanup_(ctx_freep) SSL_CTX *ctx = NULL;
	int r;

	r = new_ctx(TLS_server_method(), &ctx, err);
	if (r < 0)
		return r;
	/* without a session context a client that resumes with a certificate is an error, not just a full handshake */
	if (SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1) != 1 ||
		SSL_CTX_set_num_tickets(ctx, 0) != 1)
		return openssl_fail(err, -EINVAL, "sessions cannot be turned off");
	r = use_identity(ctx, id, err);
	if (r < 0)
		return r;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, accept_any, NULL);
	SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
	r = set_hints(ctx, hints, err);
	if (r < 0)
		return r;
	*ret = KM_TAKE(ctx);
	return 0;
}

static int set_roots(SSL_CTX *ctx, STACK_OF(X509) *roots, struct km_err *err)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);

	if (!roots) {
		if (SSL_CTX_set_default_verify_paths(ctx) != 1)
			return openssl_fail(err, -ENOENT, "the system's CA certificates cannot be used");
		return 0;
	}
	for (int i = 0; i < sk_X509_num(roots); i++)
		if (X509_STORE_add_cert(store, sk_X509_value(roots, i)) != 1)
			return openssl_fail(err, -ENOMEM, "a CA certificate cannot be added");
	/* as in Go, whatever is in the bundle is an anchor, also an intermediate */
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	return 0;
}

int km_tls_client_ctx(STACK_OF(X509) *roots, struct km_identity *id, bool verify, SSL_CTX **ret, struct km_err *err)
{
	_cleanup_(ctx_freep) SSL_CTX *ctx = NULL;
	int r;

	r = new_ctx(TLS_client_method(), &ctx, err);
	if (r < 0)
		return r;
	if (id) {
		r = use_identity(ctx, id, err);
		if (r < 0)
			return r;
	}
	if (verify) {
		r = set_roots(ctx, roots, err);
		if (r < 0)
			return r;
	}
	SSL_CTX_set_verify(ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	*ret = KM_TAKE(ctx);
	return 0;
}
