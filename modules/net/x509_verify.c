/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verification of a peer's certificate as Go's crypto/x509 does it (Certificate.Verify of go1.22), with its words.
 *
 * Each trusted CA is tried in an X509_STORE of its own: with two CAs of the same name in one store OpenSSL may pick the
 * wrong one and give up (spec certs-and-wiring 1.5.4). Only CAs that could end the chain are tried, so a bundle of
 * hundreds costs a name comparison each. As in Go every certificate of the bundle is an anchor, also an intermediate;
 * and the extended key usage is checked along the whole chain, while the leaf's plain key usage is not.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "net/x509.h"

#define CHAIN_DEPTH_MAX   10 /* intermediates */
#define PEER_CERTS_MAX    64 /* of those the peer sent beside its own, the ones looked at */
#define AUTH_LEVEL        1  /* OpenSSL's: refuses MD5 and SHA-1 signatures, as Go does */
#define REASON_MAX        512
#define UNKNOWN_AUTHORITY "x509: certificate signed by unknown authority"

/* The better a CA fits, the more telling is why it failed in the end. */
enum rank { RANK_UNKNOWN, RANK_HINT, RANK_CONSTRAINT, RANK_EXPIRED, RANK_USAGE };

struct reason {
	enum rank rank;
	char text[REASON_MAX];
};

static void rfc3339(int64_t seconds, char *out, size_t size)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(out, size, "(unreadable time)");
}

/* Fills text and returns false when cert is not valid at now. */
static bool check_time(const X509 *cert, int64_t now, char *text, size_t size)
{
	int64_t before = km_x509_not_before(cert), after = km_x509_not_after(cert);
	char at[40], bound[40];

	if (now >= before && now <= after)
		return true;
	rfc3339(now, at, sizeof(at));
	rfc3339(now < before ? before : after, bound, sizeof(bound));
	snprintf(text, size, "x509: certificate has expired or is not yet valid: current time %s is %s %s", at,
		now < before ? "before" : "after", bound);
	return false;
}

/* The name Go gives a candidate authority in a hint. */
static void candidate_name(X509 *ca, char *out, size_t size)
{
	_cleanup_free_ char *cn = km_x509_cn(ca), *subject = NULL;

	if (!cn)
		subject = km_x509_name_text(X509_get_subject_name(ca));
	snprintf(out, size, "%.100s", cn ? cn : subject ? subject : "");
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f || *p == '"')
			*p = '?';
}

static const char *signature_failure(X509 *ca)
{
	EVP_PKEY *key = X509_get0_pubkey(ca);

	switch (key ? EVP_PKEY_get_base_id(key) : 0) {
	case EVP_PKEY_RSA:
		return "crypto/rsa: verification error";
	case EVP_PKEY_EC:
		return "x509: ECDSA verification failure";
	case EVP_PKEY_ED25519:
		return "x509: Ed25519 verification failure";
	default:
		return "x509: cannot verify signature: algorithm unimplemented";
	}
}

static void set_hint(struct reason *reason, X509 *ca, const char *hint)
{
	char name[128];

	candidate_name(ca, name, sizeof(name));
	reason->rank = RANK_HINT;
	snprintf(reason->text, sizeof(reason->text),
		UNKNOWN_AUTHORITY
		" (possibly because of \"%s\" while trying to verify candidate authority certificate \"%s\")",
		hint, name);
}

static void set_reason(struct reason *reason, enum rank rank, const char *text)
{
	reason->rank = rank;
	snprintf(reason->text, sizeof(reason->text), "%s", text);
}

/* OpenSSL's verdict in Go's words. */
static void explain(X509_STORE_CTX *ctx, X509 *ca, int64_t now, struct reason *reason)
{
	X509 *current = X509_STORE_CTX_get_current_cert(ctx);
	char text[REASON_MAX];

	switch (X509_STORE_CTX_get_error(ctx)) {
	case X509_V_ERR_CERT_NOT_YET_VALID:
	case X509_V_ERR_CERT_HAS_EXPIRED:
		if (current && !check_time(current, now, text, sizeof(text)))
			set_reason(reason, RANK_EXPIRED, text);
		else
			set_reason(reason, RANK_EXPIRED, "x509: certificate has expired or is not yet valid");
		break;
	case X509_V_ERR_INVALID_CA:
	case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
		set_hint(
			reason, ca, "x509: invalid signature: parent certificate cannot sign this kind of certificate");
		break;
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		set_hint(reason, ca, signature_failure(ca));
		break;
	case X509_V_ERR_CA_MD_TOO_WEAK:
		set_hint(reason, ca, "x509: cannot verify signature: insecure algorithm");
		break;
	case X509_V_ERR_PATH_LENGTH_EXCEEDED:
	case X509_V_ERR_CERT_CHAIN_TOO_LONG:
		set_reason(reason, RANK_CONSTRAINT, "x509: too many intermediates for path length constraint");
		break;
	case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
		set_reason(reason, RANK_CONSTRAINT, "x509: unhandled critical extension");
		break;
	default:
		set_reason(reason, RANK_UNKNOWN, UNKNOWN_AUTHORITY);
		break;
	}
}

/* No extended key usage at all means any, here as in Go. */
static bool allows(X509 *cert, enum km_x509_purpose purpose)
{
	uint32_t wanted = (purpose == KM_X509_CLIENT ? XKU_SSL_CLIENT : XKU_SSL_SERVER) | XKU_ANYEKU;
	uint32_t usage = X509_get_extended_key_usage(cert);

	return usage == UINT32_MAX || (usage & wanted) != 0;
}

static bool chain_allows(STACK_OF(X509) *chain, enum km_x509_purpose purpose)
{
	for (int i = 0; i < sk_X509_num(chain); i++)
		if (!allows(sk_X509_value(chain, i), purpose))
			return false;
	return true;
}

/* 1 verified, 0 not (reason filled), or -ENOMEM. */
static int verify_with(X509 *ca, X509 *leaf, STACK_OF(X509) *untrusted, enum km_x509_purpose purpose, int64_t now,
	struct reason *reason)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *param;
	int r = -ENOMEM;

	if (!store || !ctx || X509_STORE_add_cert(store, ca) != 1 ||
		X509_STORE_CTX_init(ctx, store, leaf, untrusted) != 1)
		goto out;
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_time(param, (time_t)now);
	X509_VERIFY_PARAM_set_depth(param, CHAIN_DEPTH_MAX);
	X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
	if (X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) != 1)
		goto out;
	r = 0;
	if (X509_verify_cert(ctx) != 1)
		explain(ctx, ca, now, reason);
	else if (!chain_allows(X509_STORE_CTX_get0_chain(ctx), purpose))
		set_reason(reason, RANK_USAGE, "x509: certificate specifies an incompatible key usage");
	else
		r = 1;
out:
	ERR_clear_error();
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return r;
}

static bool issued_by_name(const X509 *cert, const X509 *ca)
{
	return X509_NAME_cmp(X509_get_issuer_name(cert), X509_get_subject_name(ca)) == 0;
}

/* Whether a chain from leaf could end at ca at all. */
static bool could_end(X509 *ca, X509 *leaf, STACK_OF(X509) *untrusted)
{
	if (issued_by_name(leaf, ca) || km_x509_equal(leaf, ca))
		return true;
	for (int i = 0; i < sk_X509_num(untrusted); i++)
		if (issued_by_name(sk_X509_value(untrusted, i), ca))
			return true;
	return false;
}

int km_x509_verify(STACK_OF(X509) *trusted, X509 *leaf, STACK_OF(X509) *untrusted, enum km_x509_purpose purpose,
	int64_t now, struct km_err *err)
{
	struct reason best = {.rank = RANK_UNKNOWN, .text = UNKNOWN_AUTHORITY}, reason;
	STACK_OF(X509) *some = NULL;
	int r = -EKEYREJECTED;

	if (!check_time(leaf, now, best.text, sizeof(best.text)))
		return km_fail(err, -EKEYREJECTED, "%s", best.text);
	if (sk_X509_num(untrusted) > 0) {
		some = sk_X509_new_null(); /* references are borrowed */
		for (int i = 0; some && i < KM_MIN(sk_X509_num(untrusted), PEER_CERTS_MAX); i++)
			if (!sk_X509_push(some, sk_X509_value(untrusted, i)))
				break;
		if (!some)
			return km_fail(err, -ENOMEM, "no memory to verify a certificate");
	}
	for (int i = 0; i < sk_X509_num(trusted); i++) {
		X509 *ca = sk_X509_value(trusted, i);
		int v;

		if (!could_end(ca, leaf, some))
			continue;
		v = verify_with(ca, leaf, some, purpose, now, &reason);
		if (v == 1) {
			r = 0;
			break;
		}
		if (v == 0 && reason.rank > best.rank)
			best = reason;
		if (v < 0)
			r = v;
	}
	sk_X509_free(some);
	if (r == -ENOMEM)
		return km_fail(err, r, "no memory to verify a certificate");
	return r == 0 ? 0 : km_fail(err, r, "%s", best.text);
}
