/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PEM text cut into its blocks, as leniently as Go's encoding/pem reads it: text around the blocks, CRLF, spaces at
 * line ends and lines of any length are fine. Own code, because OpenSSL's reader refuses long lines. Pure; fuzzed
 * through x509.h.
 */
#pragma once

#include "core/base.h"

#define KM_PEM_LABEL_MAX 64 /* "EC PRIVATE KEY" */

struct km_pem_block {
	char label[KM_PEM_LABEL_MAX]; /* between "-----BEGIN " and "-----"; cut when longer */
	const char *body;             /* the lines between BEGIN and END, without headers; borrowed from the text */
	size_t body_len;
	bool encrypted; /* has the header "Proc-Type: 4,ENCRYPTED" */
	bool damaged;   /* no END line of the same label before the next BEGIN or the end of the text */
};

/* Finds the next block in [*p, end) and moves *p behind it. 1 when there was one, 0 at the end. */
int km_pem_next(const char **p, const char *end, struct km_pem_block *ret);

/*
 * Decodes a block's base64 body. 0 and malloc'ed bytes (to be freed with OPENSSL_clear_free(bytes, len): they may be a
 * key), -EBADMSG, or -ENOMEM.
 */
int km_pem_decode(const struct km_pem_block *block, unsigned char **ret, size_t *ret_len) _must_check_;
