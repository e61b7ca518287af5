/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates and keys as values; see x509.h. Verification is in x509_verify.c.
 */
#include "net/x509.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/file.h"
#include "net/pem.h"

void km_x509_stack_free(STACK_OF(X509) *certs)
{
	sk_X509_pop_free(certs, X509_free);
}

void km_x509_stack_freep(STACK_OF(X509) **certs)
{
	km_x509_stack_free(*certs);
	*certs = NULL;
}

const char *km_openssl_error(char *out, size_t size)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	if (reason)
		snprintf(out, size, "%s", reason);
	else if (code)
		ERR_error_string_n(code, out, size);
	else
		snprintf(out, size, "no reason given");
	ERR_clear_error();
	return out;
}

/* ---- reading ---- */

static int check_size(size_t len, const char *what, struct km_err *err)
{
	if (len > KM_PEM_MAX)
		return km_fail(err, -EMSGSIZE, "%s is larger than %d bytes", what, KM_PEM_MAX);
	return 0;
}

static int parse_cert_block(
	const struct km_pem_block *block, size_t number, const char *what, X509 **ret, struct km_err *err)
{
	unsigned char *der = NULL;
	const unsigned char *p;
	char reason[128];
	size_t len = 0;
	X509 *cert;
	int r;

	r = km_pem_decode(block, &der, &len);
	if (r == -EBADMSG)
		return km_fail(err, r, "%s: certificate %zu is damaged: %s", what, number,
			block->damaged ? "it has no END line" : "it is not base64");
	if (r < 0)
		return km_fail(err, r, "%s: no memory", what);
	p = der;
	cert = d2i_X509(NULL, &p, (long)len);
	r = 0;
	if (!cert) {
		r = km_fail(err, -EBADMSG, "%s: certificate %zu is damaged: %s", what, number,
			km_openssl_error(reason, sizeof(reason)));
	} else if (p != der + len) {
		X509_free(cert);
		r = km_fail(err, -EBADMSG, "%s: certificate %zu is damaged: bytes follow its end", what, number);
	} else {
		*ret = cert;
	}
	OPENSSL_clear_free(der, len);
	return r;
}

int km_x509_parse(const char *pem, size_t len, const char *what, STACK_OF(X509) **ret, struct km_err *err)
{
	_cleanup_(km_x509_stack_freep) STACK_OF(X509) *certs = sk_X509_new_null();
	const char *p = pem, *end = pem + len;
	struct km_pem_block block;
	int r;

	if (!certs)
		return km_fail(err, -ENOMEM, "%s: no memory", what);
	r = check_size(len, what, err);
	if (r < 0)
		return r;
	while (km_pem_next(&p, end, &block)) {
		X509 *cert = NULL;

		if (strcmp(block.label, "CERTIFICATE") != 0)
			continue;
		if (sk_X509_num(certs) >= KM_PEM_CERTS_MAX)
			return km_fail(err, -EMSGSIZE, "%s holds more than %d certificates", what, KM_PEM_CERTS_MAX);
		r = parse_cert_block(&block, (size_t)sk_X509_num(certs) + 1, what, &cert, err);
		if (r < 0)
			return r;
		if (!sk_X509_push(certs, cert)) {
			X509_free(cert);
			return km_fail(err, -ENOMEM, "%s: no memory", what);
		}
	}
	if (sk_X509_num(certs) == 0)
		return km_fail(err, -ENODATA, "%s holds no certificate (no -----BEGIN CERTIFICATE----- block)", what);
	*ret = KM_TAKE(certs);
	return 0;
}

int km_x509_load(const char *path, STACK_OF(X509) **ret, struct km_err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r;

	r = km_file_read(path, KM_PEM_MAX, &text, &len, err);
	if (r < 0)
		return r;
	return km_x509_parse(text, len, path, ret, err);
}

static bool ends_with(const char *text, const char *tail)
{
	size_t n = strlen(text), m = strlen(tail);

	return n >= m && strcmp(text + n - m, tail) == 0;
}

static int parse_key_block(const struct km_pem_block *block, const char *what, EVP_PKEY **ret, struct km_err *err)
{
	unsigned char *der = NULL;
	const unsigned char *p;
	char reason[128];
	size_t len = 0;
	EVP_PKEY *key;
	int r;

	if (block->encrypted || ends_with(block->label, "ENCRYPTED PRIVATE KEY"))
		return km_fail(err, -ENOTSUP,
			"%s holds an encrypted private key; a daemon has nobody to ask for the password: decrypt it "
			"with "
			"`openssl pkey -in FILE -out NEWFILE`",
			what);
	r = km_pem_decode(block, &der, &len);
	if (r == -EBADMSG)
		return km_fail(err, r, "%s: the private key is damaged: %s", what,
			block->damaged ? "it has no END line" : "it is not base64");
	if (r < 0)
		return km_fail(err, r, "%s: no memory", what);
	p = der;
	key = d2i_AutoPrivateKey(NULL, &p, (long)len);
	if (key)
		*ret = key;
	else
		r = km_fail(err, -EBADMSG, "%s: the private key (%s) is damaged or of an unknown kind: %s", what,
			block->label, km_openssl_error(reason, sizeof(reason)));
	ERR_clear_error(); /* the kinds that were tried in vain leave errors behind even on success */
	OPENSSL_clear_free(der, len);
	return r;
}

int km_pkey_parse(const char *pem, size_t len, const char *what, EVP_PKEY **ret, struct km_err *err)
{
	const char *p = pem, *end = pem + len;
	struct km_pem_block block;
	int r;

	r = check_size(len, what, err);
	if (r < 0)
		return r;
	while (km_pem_next(&p, end, &block))
		if (ends_with(block.label, "PRIVATE KEY"))
			return parse_key_block(&block, what, ret, err);
	return km_fail(err, -ENODATA, "%s holds no private key (no block that ends in PRIVATE KEY)", what);
}

int km_pkey_load(const char *path, EVP_PKEY **ret, struct km_err *err)
{
	char *text = NULL;
	size_t len = 0;
	int r;

	r = km_file_read(path, KM_PEM_MAX, &text, &len, err);
	if (r < 0)
		return r;
	r = km_pkey_parse(text, len, path, ret, err);
	OPENSSL_clear_free(text, len);
	return r;
}

int km_x509_check_pair(X509 *cert, EVP_PKEY *key, const char *what, struct km_err *err)
{
	_cleanup_free_ char *subject = NULL;
	const char *kind;

	if (X509_check_private_key(cert, key) == 1)
		return 0;
	ERR_clear_error();
	subject = km_x509_name_text(X509_get_subject_name(cert));
	kind = EVP_PKEY_get0_type_name(key);
	return km_fail(err, -EKEYREJECTED, "%s: the %s private key does not belong to the certificate of %s", what,
		kind ? kind : "", subject ? subject : "(unreadable subject)");
}

/* ---- what a certificate says ---- */

void km_x509_fingerprint(X509 *cert, char out[KM_FINGERPRINT_MAX])
{
	static const char hex[] = "0123456789abcdef";
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	out[0] = '\0';
	if (X509_digest(cert, EVP_sha256(), md, &n) != 1 || 2 * n + 1 > KM_FINGERPRINT_MAX)
		return;
	for (unsigned i = 0; i < n; i++) {
		out[2 * i] = hex[md[i] >> 4];
		out[2 * i + 1] = hex[md[i] & 15];
	}
	out[2 * n] = '\0';
}

/* The i-th entry's value as malloc'ed UTF-8; NULL when it is no text or holds a NUL ("root\0.example" must not read as
 * "root"). */
static char *entry_text(const X509_NAME *name, int i)
{
	const ASN1_STRING *value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i));
	unsigned char *utf8 = NULL;
	char *text = NULL;
	int n;

	n = ASN1_STRING_to_UTF8(&utf8, value);
	if (n < 0) {
		ERR_clear_error();
		return NULL;
	}
	if (!memchr(utf8, '\0', (size_t)n))
		text = strndup((const char *)utf8, (size_t)n);
	OPENSSL_free(utf8);
	return text;
}

char *km_x509_cn(X509 *cert)
{
	const X509_NAME *name = X509_get_subject_name(cert);
	int last = -1;

	for (int i = X509_NAME_get_index_by_NID(name, NID_commonName, -1); i >= 0;
		i = X509_NAME_get_index_by_NID(name, NID_commonName, i))
		last = i;
	return last < 0 ? NULL : entry_text(name, last);
}

int km_x509_organizations(X509 *cert, int (*fn)(const char *o, void *arg), void *arg)
{
	const X509_NAME *name = X509_get_subject_name(cert);

	for (int i = X509_NAME_get_index_by_NID(name, NID_organizationName, -1); i >= 0;
		i = X509_NAME_get_index_by_NID(name, NID_organizationName, i)) {
		_cleanup_free_ char *text = entry_text(name, i);
		int r;

		if (!text)
			return -EINVAL;
		r = fn(text, arg);
		if (r != 0)
			return r;
	}
	return 0;
}

char *km_x509_name_text(const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL, *text = NULL;
	long n;

	if (!bio)
		return NULL;
	if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
		n = BIO_get_mem_data(bio, &data);
		if (n >= 0)
			text = strndup(data ? data : "", (size_t)n);
	}
	ERR_clear_error();
	BIO_free(bio);
	return text;
}

static bool seconds_of(const ASN1_TIME *t, int64_t *ret)
{
	struct tm tm;

	if (!t || ASN1_TIME_to_tm(t, &tm) != 1) {
		ERR_clear_error();
		return false;
	}
	*ret = timegm(&tm);
	return true;
}

int64_t km_x509_not_before(const X509 *cert)
{
	int64_t t;

	return seconds_of(X509_get0_notBefore(cert), &t) ? t : INT64_MAX;
}

int64_t km_x509_not_after(const X509 *cert)
{
	int64_t t;

	return seconds_of(X509_get0_notAfter(cert), &t) ? t : INT64_MIN;
}

bool km_x509_has_dns(X509 *cert, const char *name)
{
	/* Go never looks at the CN and allows "*" only as a whole label */
	unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
	bool has = X509_check_host(cert, name, 0, flags, NULL) == 1;

	ERR_clear_error();
	return has;
}

bool km_x509_has_ip(X509 *cert, const char *ip)
{
	bool has = X509_check_ip_asc(cert, ip, 0) == 1;

	ERR_clear_error();
	return has;
}

bool km_x509_equal(X509 *a, X509 *b)
{
	return X509_cmp(a, b) == 0;
}
