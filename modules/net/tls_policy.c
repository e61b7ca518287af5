/* SPDX-License-Identifier: Apache-2.0 */
/* IANA's names to OpenSSL's; see the header. */
#include "net/tls_policy.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#include "core/buf.h"

#define LIST_MAX (64 * 1024)

static void ctx_freep(SSL_CTX **ctx)
{
	SSL_CTX_free(*ctx);
	*ctx = NULL;
}

/* Go's short names for two of them. */
static const char *full_name(const char *name)
{
	if (strcmp(name, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305") == 0)
		return "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256";
	if (strcmp(name, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305") == 0)
		return "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
	return name;
}

static const SSL_CIPHER *find(STACK_OF(SSL_CIPHER) *all, const char *name)
{
	for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
		const char *standard = SSL_CIPHER_standard_name(sk_SSL_CIPHER_value(all, i));

		if (standard && strcmp(standard, full_name(name)) == 0)
			return sk_SSL_CIPHER_value(all, i);
	}
	return NULL;
}

static bool is_tls13(const SSL_CIPHER *cipher)
{
	return strcmp(SSL_CIPHER_get_version(cipher), "TLSv1.3") == 0;
}

/* The names as OpenSSL's two lists. */
static int translate(const struct km_tls_policy *p, struct km_buf *tls12, struct km_buf *tls13, struct km_err *err)
{
	_cleanup_(ctx_freep) SSL_CTX *every = SSL_CTX_new(TLS_server_method());
	STACK_OF(SSL_CIPHER) *all;

	/* those that ask for no certificate stay out: whoever connects must know whom */
	if (!every || SSL_CTX_set_cipher_list(every, "ALL:!aNULL:!eNULL") != 1)
		return km_fail(err, -ENOMEM, "out of memory");
	all = SSL_CTX_get_ciphers(every);
	for (size_t i = 0; i < p->n_ciphers; i++) {
		const SSL_CIPHER *cipher = find(all, p->ciphers[i]);
		struct km_buf *list;

		if (!cipher)
			return km_fail(err, -EINVAL,
				"cipher suite \"%s\" is not known to OpenSSL here; names are like "
				"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
				p->ciphers[i]);
		list = is_tls13(cipher) ? tls13 : tls12;
		km_buf_addf(list, "%s%s", list->len ? ":" : "", SSL_CIPHER_get_name(cipher));
	}
	if (tls12->error || tls13->error)
		return km_fail(err, -ENOMEM, "out of memory");
	if (p->tls13_only && tls12->len > 0 && tls13->len == 0)
		return km_fail(err, -EINVAL, "the cipher suites are those of TLS 1.2, which tls-min-version excludes");
	return 0;
}

int km_tls_policy_check(const struct km_tls_policy *policy, struct km_err *err)
{
	_cleanup_buf_ struct km_buf tls12 = KM_BUF_INIT(LIST_MAX), tls13 = KM_BUF_INIT(LIST_MAX);

	return translate(policy, &tls12, &tls13, err);
}

int km_tls_policy_apply(SSL_CTX *ctx, const struct km_tls_policy *policy, struct km_err *err)
{
	_cleanup_buf_ struct km_buf tls12 = KM_BUF_INIT(LIST_MAX), tls13 = KM_BUF_INIT(LIST_MAX);
	bool tls13_only = policy->tls13_only;
	int r = translate(policy, &tls12, &tls13, err);

	if (r < 0)
		return r;
	if (tls12.len > 0 && SSL_CTX_set_cipher_list(ctx, tls12.data) != 1)
		r = -EINVAL;
	if (tls13.len > 0 && SSL_CTX_set_ciphersuites(ctx, tls13.data) != 1)
		r = -EINVAL;
	tls13_only = tls13_only || (tls13.len > 0 && tls12.len == 0);
	if (tls13_only && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1)
		r = -EINVAL;
	if (r < 0) {
		ERR_clear_error();
		return km_fail(err, r, "OpenSSL refuses the TLS versions and cipher suites");
	}
	return 0;
}
