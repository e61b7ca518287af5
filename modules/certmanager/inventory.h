/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `kmetricsd certs list`: what certificates there are, what they say, and whether key and chain match. Reads files
 * only.
 */
#pragma once

#include "core/buf.h"
#include "core/err.h"

struct cert_item {
	const char *role;      /* "front-proxy-ca", "front-proxy-client", "serving-ca", "serving", "api-client",
				  "cluster-ca", ... */
	const char *cert_path; /* may hold a bundle */
	const char *key_path;  /* NULL: none expected */
	const char *ca_path;   /* signer to check the chain against; NULL: itself (a CA) */
};

enum cert_state {
	CERT_OK,
	CERT_MISSING,
	CERT_ATTENTION /* expires soon, key readable by others ... */,
	CERT_BROKEN /* expired, mismatch, unreadable */
};

struct cert_report {
	enum cert_state state;
	char *subject, *issuer;        /* malloc'ed, NULL if unreadable */
	int64_t not_before, not_after; /* seconds since 1970, if times_known */
	bool times_known;
	int cert_mode, key_mode; /* permission bits, -1 if absent */
	bool key_matches, chain_ok, is_ca, key_checked /* false: may not be read by us */;
	char fingerprint[65];
	char note[256]; /* what needs attention and the remedy; "" if nothing */
};

/* now: seconds since 1970. Always fills the report. */
void cert_inspect(const struct cert_item *item, int64_t now, struct cert_report *ret);
void cert_report_clear(struct cert_report *report);

/* Prints the table (colour when colour) or, with json, an array of objects. Returns the worst state seen. */
enum cert_state cert_list_print(
	const struct cert_item *items, size_t n, int64_t now, bool json, bool colour, struct km_buf *out);
