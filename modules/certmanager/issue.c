/* SPDX-License-Identifier: Apache-2.0 */
#include "certmanager/issue.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/utf8.h"

#define BACKDATE_S     300 /* clocks of masters differ a little */
#define SERIAL_BYTES   20
#define RSA_BITS_MIN   2048
#define EC_BITS_MIN    256
#define NAME_CHARS_MAX 64 /* X.520 ub-common-name, ub-organization-name: characters */

static int openssl_fail(struct km_err *err, const char *what)
{
	char reason[256];

	return km_fail(err, -EIO, "%s: %s", what, km_openssl_error(reason, sizeof(reason)));
}

int cert_make_key(enum cert_key_type type, EVP_PKEY **ret, struct km_err *err)
{
	EVP_PKEY *key = type == CERT_KEY_RSA_2048 ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");

	if (!key)
		return openssl_fail(err, "making a key");
	*ret = key;
	return 0;
}

/* Random, positive, 159 bits (spec 1.5.5). */
static bool set_serial(X509 *cert)
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *bn;
	bool ok;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x01);
	bn = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert));
	BN_free(bn);
	return ok;
}

static bool is_printable_string(const char *s)
{
	return s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")] == '\0';
}

/* PrintableString where the characters allow it, as Go does: issuers are matched by raw DER, so the choice matters when
 * a CA of the same name is made again. */
static bool add_name(X509_NAME *name, const char *field, const char *value)
{
	return X509_NAME_add_entry_by_txt(name, field,
		       is_printable_string(value) ? V_ASN1_PRINTABLESTRING : MBSTRING_UTF8,
		       (const unsigned char *)value, -1, -1, 0) == 1;
}

static bool set_subject(X509 *cert, const struct cert_profile *p)
{
	X509_NAME *name = X509_NAME_new();
	bool ok = name && (!p->o || add_name(name, "O", p->o)) && add_name(name, "CN", p->cn) &&
		  X509_set_subject_name(cert, name) == 1;

	X509_NAME_free(name);
	return ok;
}

static bool add_extension(X509 *cert, X509V3_CTX *ctx, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
	bool ok = ext && X509_add_ext(cert, ext, -1) == 1;

	X509_EXTENSION_free(ext);
	return ok;
}

/* SANs are set as values, not through OpenSSL's text form, where a comma in a name would start another one. */
static bool add_sans(X509 *cert, const struct cert_profile *p)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	bool ok = names != NULL;

	for (size_t i = 0; ok && i < p->n_dns + p->n_ips; i++) {
		bool ip = i >= p->n_dns;
		const char *text = ip ? p->ips[i - p->n_dns] : p->dns[i];
		GENERAL_NAME *name = GENERAL_NAME_new();
		ASN1_STRING *value = NULL;

		if (ip) {
			value = a2i_IPADDRESS(text);
		} else if ((value = ASN1_IA5STRING_new()) && ASN1_STRING_set(value, text, -1) != 1) {
			ASN1_STRING_free(value);
			value = NULL;
		}
		if (!name || !value) {
			GENERAL_NAME_free(name);
			ASN1_STRING_free(value);
			ok = false;
			break;
		}
		GENERAL_NAME_set0_value(name, ip ? GEN_IPADD : GEN_DNS, value);
		ok = sk_GENERAL_NAME_push(names, name) > 0;
		if (!ok)
			GENERAL_NAME_free(name);
	}
	ok = ok && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_APPEND) == 1;
	sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
	return ok;
}

/* Always there, by the key when the CA names no id of its own (spec 1.5.4): OpenSSL's "keyid:always" fails then. */
static bool add_authority_key_id(X509 *cert, X509 *ca)
{
	const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(ca);
	AUTHORITY_KEYID *akid = AUTHORITY_KEYID_new();
	unsigned char sha1[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	bool ok = akid && (akid->keyid = ASN1_OCTET_STRING_new());

	if (ok && id)
		ok = ASN1_OCTET_STRING_set(akid->keyid, ASN1_STRING_get0_data(id), ASN1_STRING_length(id)) == 1;
	else if (ok)
		ok = X509_pubkey_digest(ca, EVP_sha1(), sha1, &len) == 1 &&
		     ASN1_OCTET_STRING_set(akid->keyid, sha1, (int)len) == 1;
	ok = ok && X509_add1_ext_i2d(cert, NID_authority_key_identifier, akid, 0, X509V3_ADD_APPEND) == 1;
	AUTHORITY_KEYID_free(akid);
	return ok;
}

static bool add_extensions(X509 *cert, const struct cert_profile *p, X509 *ca, EVP_PKEY *subject_key)
{
	bool rsa = EVP_PKEY_is_a(subject_key, "RSA") == 1;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, ca ? ca : cert, cert, NULL, NULL, 0);
	X509V3_set_ctx_nodb(&ctx);
	/* cfssl's order: key usage, extended key usage, basic constraints, subject and authority key id, SAN (spec 1.3)
	 */
	if (!add_extension(cert, &ctx, NID_key_usage,
		    p->ca ? "critical,keyCertSign,cRLSign"
		    : rsa ? "critical,digitalSignature,keyEncipherment"
			  : "critical,digitalSignature"))
		return false;
	if (!p->ca && (p->server || p->client) &&
		!add_extension(cert, &ctx, NID_ext_key_usage,
			p->server && p->client ? "serverAuth,clientAuth"
			: p->server            ? "serverAuth"
					       : "clientAuth"))
		return false;
	if (!add_extension(cert, &ctx, NID_basic_constraints, p->ca ? "critical,CA:TRUE" : "critical,CA:FALSE") ||
		!add_extension(cert, &ctx, NID_subject_key_identifier, "hash"))
		return false;
	if (ca && !add_authority_key_id(cert, ca))
		return false;
	return p->n_dns + p->n_ips == 0 || add_sans(cert, p);
}

static const EVP_MD *digest_for(EVP_PKEY *key)
{
	int bits = EVP_PKEY_get_bits(key);

	if (EVP_PKEY_is_a(key, "ED25519") == 1)
		return NULL;
	if (EVP_PKEY_is_a(key, "RSA") == 1)
		return bits < 3072 ? EVP_sha256() : bits < 4096 ? EVP_sha384() : EVP_sha512();
	return bits <= 256 ? EVP_sha256() : bits <= 384 ? EVP_sha384() : EVP_sha512();
}

static int check_signer(X509 *ca, EVP_PKEY *ca_key, int64_t now, struct km_err *err)
{
	_cleanup_free_ char *name = km_x509_name_text(X509_get_subject_name(ca));
	int r;

	if (X509_check_ca(ca) != 1)
		return km_fail(err, -EINVAL, "\"%s\" is not a CA (basic constraints): it cannot sign certificates",
			name ? name : "?");
	if (km_x509_not_after(ca) <= now)
		return km_fail(err, -EINVAL, "the CA \"%s\" has expired: renew it first", name ? name : "?");
	/* A host whose clock fell back would sign what is over when the clock is right again (spec 9.3). */
	if (km_x509_not_before(ca) > now)
		return km_fail(
			err, -EINVAL, "the CA \"%s\" is not valid yet: is this host's clock right?", name ? name : "?");
	r = km_x509_check_pair(ca, ca_key, name ? name : "CA", err);
	return r < 0 ? -EINVAL : 0;
}

static int check_name(const char *field, const char *value, struct km_err *err)
{
	size_t n = strlen(value), chars = 0;

	for (size_t i = 0, len; i < n; i += len, chars++)
		if ((len = km_utf8_length(value + i, n - i)) == 0)
			return km_fail(err, -EINVAL, "a certificate's %s must be UTF-8", field);
	if (chars == 0 || chars > NAME_CHARS_MAX)
		return km_fail(err, -EINVAL, "a certificate's %s must have 1 to %d characters, this has %zu: \"%s\"",
			field, NAME_CHARS_MAX, chars, value);
	return 0;
}

static int check_addresses(const struct cert_profile *p, struct km_err *err)
{
	for (size_t i = 0; i < p->n_ips; i++) {
		ASN1_OCTET_STRING *ip = a2i_IPADDRESS(p->ips[i]);
		if (!ip)
			return km_fail(err, -EINVAL, "\"%.64s\" is not an IP address", p->ips[i]);
		ASN1_OCTET_STRING_free(ip);
	}
	return 0;
}

int cert_issue(const struct cert_profile *p, EVP_PKEY *subject_key, X509 *ca, EVP_PKEY *ca_key, int64_t now, X509 **ret,
	struct km_err *err)
{
	_cleanup_(km_x509_freep) X509 *cert = NULL;
	int64_t before = now - now % 60 - BACKDATE_S, after = before + p->life_s;
	int r;

	if ((p->o && (r = check_name("O", p->o, err)) < 0) || (r = check_name("CN", p->cn, err)) < 0 ||
		(r = check_addresses(p, err)) < 0 || (ca && (r = check_signer(ca, ca_key, now, err)) < 0))
		return r;
	if (ca && after > km_x509_not_after(ca))
		after = km_x509_not_after(ca);
	cert = X509_new();
	if (!cert || X509_set_version(cert, X509_VERSION_3) != 1 || !set_serial(cert) || !set_subject(cert, p) ||
		X509_set_issuer_name(cert, ca ? X509_get_subject_name(ca) : X509_get_subject_name(cert)) != 1 ||
		!ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)before) ||
		!ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)after) || X509_set_pubkey(cert, subject_key) != 1 ||
		!add_extensions(cert, p, ca, subject_key) ||
		X509_sign(cert, ca ? ca_key : subject_key, digest_for(ca ? ca_key : subject_key)) == 0)
		return openssl_fail(err, p->cn);
	*ret = KM_TAKE(cert);
	return 0;
}

/* What a memory BIO holds, as a malloc'ed string; the BIO is freed (memory BIOs for keys are secure by the caller's
 * wiping of the copy and OpenSSL's own clearing). */
static char *take_bio(BIO *bio)
{
	char *data, *text;
	long len = BIO_get_mem_data(bio, &data);

	text = len > 0 ? strndup(data, (size_t)len) : NULL;
	if (len > 0)
		OPENSSL_cleanse(data, (size_t)len);
	BIO_free(bio);
	return text;
}

char *cert_to_pem(X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (bio && PEM_write_bio_X509(bio, cert) == 1)
		return take_bio(bio);
	BIO_free(bio);
	return NULL;
}

char *cert_key_to_pem(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	bool traditional = EVP_PKEY_is_a(key, "RSA") == 1 || EVP_PKEY_is_a(key, "EC") == 1;

	if (bio && (traditional ? PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL)
				: PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) == 1)
		return take_bio(bio);
	BIO_free(bio);
	return NULL;
}

int cert_make_csr(EVP_PKEY *key, char **ret_pem, struct km_err *err)
{
	X509_REQ *req = X509_REQ_new();
	BIO *bio = BIO_new(BIO_s_mem());
	char *pem = NULL;

	if (req && bio && X509_REQ_set_version(req, X509_REQ_VERSION_1) == 1 &&
		X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", V_ASN1_PRINTABLESTRING,
			(const unsigned char *)"kmetricsd", -1, -1, 0) == 1 &&
		X509_REQ_set_pubkey(req, key) == 1 && X509_REQ_sign(req, key, digest_for(key)) != 0 &&
		PEM_write_bio_X509_REQ(bio, req) == 1) {
		pem = take_bio(bio);
		bio = NULL;
	}
	BIO_free(bio);
	X509_REQ_free(req);
	if (!pem)
		return openssl_fail(err, "making a certificate request");
	*ret_pem = pem;
	return 0;
}

/* Nobody is asked: the default reads the terminal, and a request may say of itself that it is encrypted. */
static int no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

int cert_csr_key(const char *pem, size_t len, EVP_PKEY **ret, struct km_err *err)
{
	BIO *bio = len <= KM_PEM_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
	X509_REQ *req = bio ? PEM_read_bio_X509_REQ(bio, NULL, no_password, NULL) : NULL;
	_cleanup_(km_pkey_freep) EVP_PKEY *key = req ? X509_REQ_get_pubkey(req) : NULL;
	int r = 0;

	if (len > KM_PEM_MAX)
		r = km_fail(err, -EINVAL, "the certificate request is larger than %d bytes", KM_PEM_MAX);
	else if (!key)
		r = openssl_fail(err, "the certificate request cannot be read");
	else if (X509_REQ_verify(req, key) != 1)
		r = openssl_fail(err, "the certificate request's own signature is wrong");
	else if (EVP_PKEY_is_a(key, "RSA") == 1 && EVP_PKEY_get_bits(key) < RSA_BITS_MIN)
		r = km_fail(err, -EINVAL, "the certificate request's RSA key has %d bits, fewer than %d",
			EVP_PKEY_get_bits(key), RSA_BITS_MIN);
	else if (EVP_PKEY_is_a(key, "EC") == 1 && EVP_PKEY_get_bits(key) < EC_BITS_MIN)
		r = km_fail(err, -EINVAL, "the certificate request's EC key has %d bits, fewer than %d",
			EVP_PKEY_get_bits(key), EC_BITS_MIN);
	else if (EVP_PKEY_is_a(key, "RSA") != 1 && EVP_PKEY_is_a(key, "EC") != 1 && EVP_PKEY_is_a(key, "ED25519") != 1)
		r = km_fail(err, -EINVAL, "the certificate request's key is neither RSA, EC nor Ed25519");
	X509_REQ_free(req);
	BIO_free(bio);
	if (r == 0)
		*ret = KM_TAKE(key);
	return r == -EIO ? -EINVAL : r;
}

void cert_time_text(int64_t seconds, char out[CERT_TIME_TEXT_MAX])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(out, CERT_TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(out, CERT_TIME_TEXT_MAX, "?");
}

void cert_wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void cert_wipep(char **text)
{
	cert_wipe(*text);
	*text = NULL;
}
