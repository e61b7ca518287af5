/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PEM with certificates and keys, and everything that is asked of a certificate afterwards.
 */
#include <stdlib.h>
#include <string.h>

#include "net/x509.h"

#define NOW INT64_C(1800000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int ignore(const char *o, void *arg)
{
	return strlen(o) > 1000000;
}

static void look_at(X509 *cert, STACK_OF(X509) *all)
{
	char print[KM_FINGERPRINT_MAX];
	struct km_err err;

	free(km_x509_cn(cert));
	free(km_x509_name_text(X509_get_subject_name(cert)));
	(void)!km_x509_organizations(cert, ignore, NULL);
	km_x509_fingerprint(cert, print);
	km_x509_has_dns(cert, "a.example");
	km_x509_has_ip(cert, "10.0.0.1");
	if (km_x509_not_before(cert) > km_x509_not_after(cert))
		return;
	err.text[0] = '\0';
	if (km_x509_verify(all, cert, all, KM_X509_CLIENT, NOW, &err) < 0 && err.text[0] == '\0')
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	STACK_OF(X509) *certs = NULL;
	EVP_PKEY *key = NULL;
	struct km_err err = {0};

	if (km_x509_parse((const char *)data, size, "fuzz", &certs, &err) == 0) {
		if (sk_X509_num(certs) < 1)
			abort();
		for (int i = 0; i < sk_X509_num(certs) && i < 4; i++)
			look_at(sk_X509_value(certs, i), certs);
	} else if (err.text[0] == '\0' || certs) {
		abort();
	}
	if (km_pkey_parse((const char *)data, size, "fuzz", &key, &err) == 0 && certs)
		(void)!km_x509_check_pair(sk_X509_value(certs, 0), key, "fuzz", &err);
	EVP_PKEY_free(key);
	km_x509_stack_free(certs);
	return 0;
}
