/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server restricts beyond the defaults of tls.h: the oldest version and the cipher suites, by the names that
 * Kubernetes' flags use (--tls-min-version, --tls-cipher-suites: the IANA names, as Go has them).
 */
#pragma once

#include <openssl/ssl.h>

#include "core/err.h"

struct km_tls_policy {
	bool tls13_only; /* else TLS 1.2 too */
	const char *const
		*ciphers; /* n_ciphers names; 0: OpenSSL's default. Those of TLS 1.2 and 1.3 may stand together */
	size_t n_ciphers;
};

/* 0, -EINVAL with the name that OpenSSL does not have or that contradicts the version, or -ENOMEM. */
int km_tls_policy_check(const struct km_tls_policy *policy, struct km_err *err) _must_check_;
/*
 * For a context that nobody uses yet. The suites of a version of which none is named: TLS 1.3's stay as they are, as in
 * Go, and TLS 1.2 is not spoken. Errors as above.
 */
int km_tls_policy_apply(SSL_CTX *ctx, const struct km_tls_policy *policy, struct km_err *err) _must_check_;
