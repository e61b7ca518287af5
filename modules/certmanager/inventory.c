/* SPDX-License-Identifier: Apache-2.0 */
#include "certmanager/inventory.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certmanager/issue.h"
#include "core/json.h"
#include "net/x509.h"

#define WARN_LEAF_DAYS 30
#define WARN_CA_DAYS   90
#define SUBJECT_WIDTH  44

/* The first thing that needs attention is the one to tell; a broken state beats a warning. */
static void note(struct cert_report *r, enum cert_state state, const char *fmt, ...) _printf_(3, 4);

static void note(struct cert_report *r, enum cert_state state, const char *fmt, ...)
{
	va_list ap;

	if (state <= r->state)
		return;
	r->state = state;
	va_start(ap, fmt);
	vsnprintf(r->note, sizeof(r->note), fmt, ap);
	va_end(ap);
}

static int mode_of(const char *path)
{
	struct stat st;

	return path && stat(path, &st) == 0 ? (int)(st.st_mode & 07777) : -1;
}

/* A leaf's key belongs to the first certificate of its file, a CA's to any: the file may be a bundle. */
static bool belongs(EVP_PKEY *key, STACK_OF(X509) *certs, bool any)
{
	bool found = false;

	for (int i = 0; i < (any ? sk_X509_num(certs) : 1) && !found; i++)
		found = X509_check_private_key(sk_X509_value(certs, i), key) == 1;
	ERR_clear_error();
	return found;
}

static void inspect_key(const struct cert_item *item, STACK_OF(X509) *certs, struct cert_report *r)
{
	_cleanup_(km_pkey_freep) EVP_PKEY *key = NULL;
	struct km_err err = {0};
	int e;

	if (!item->key_path)
		return;
	r->key_mode = mode_of(item->key_path);
	if (r->key_mode < 0) {
		if (!r->is_ca)
			note(r, CERT_BROKEN, "its key %s is missing", item->key_path);
		return;
	}
	if (r->key_mode & 077)
		note(r, CERT_ATTENTION, "%s is mode %04o; private keys must be 0600. Fix: chmod 600 %s", item->key_path,
			(unsigned)r->key_mode, item->key_path);
	e = km_pkey_load(item->key_path, &key, &err);
	if (e == -EACCES)
		return; /* not ours to read; said by key_checked */
	r->key_checked = true;
	r->key_matches = e == 0 && belongs(key, certs, r->is_ca);
	if (e < 0)
		note(r, CERT_BROKEN, "%.200s", err.text);
	else if (!r->key_matches)
		note(r, CERT_BROKEN, "the key %s belongs to another certificate", item->key_path);
}

static void inspect_chain(const struct cert_item *item, X509 *cert, int64_t now, struct cert_report *r)
{
	_cleanup_(km_x509_stack_freep) STACK_OF(X509) *cas = NULL;
	struct km_err err = {0};
	bool alive = false;

	if (!item->ca_path && !r->is_ca)
		note(r, CERT_BROKEN, "it is no CA (basic constraints) and cannot sign");
	if (!item->ca_path || r->is_ca) {
		r->chain_ok = r->is_ca && X509_verify(cert, X509_get0_pubkey(cert)) == 1;
		ERR_clear_error();
		if (r->is_ca && !r->chain_ok)
			note(r, CERT_ATTENTION, "it is not signed by itself");
		return;
	}
	if (km_x509_load(item->ca_path, &cas, &err) < 0) {
		note(r, CERT_ATTENTION, "its signer cannot be read: %.180s", err.text);
		return;
	}
	/* A CA renewed with the same key may stand beside its expired self: one that lives is enough. */
	for (int i = 0; i < sk_X509_num(cas); i++)
		if (X509_verify(cert, X509_get0_pubkey(sk_X509_value(cas, i))) == 1) {
			r->chain_ok = true;
			alive = alive || km_x509_not_after(sk_X509_value(cas, i)) > now;
		}
	ERR_clear_error();
	if (!r->chain_ok)
		note(r, CERT_BROKEN, "no certificate in %s has signed it", item->ca_path);
	else if (!alive)
		note(r, CERT_BROKEN, "its CA %s has expired", item->ca_path);
}

static void inspect_time(int64_t now, struct cert_report *r)
{
	int64_t warn = (r->is_ca ? WARN_CA_DAYS : WARN_LEAF_DAYS) * CERT_DAY_S;

	if (!r->times_known)
		note(r, CERT_BROKEN, "its validity cannot be read");
	else if (r->not_after <= now)
		note(r, CERT_BROKEN, "it has expired");
	else if (r->not_before > now)
		note(r, CERT_BROKEN, "it is not valid yet: is this host's clock right?");
	/* Our own pairs live 90 days and are renewed at 60: warn only when that has not happened. */
	else if (r->not_after - now < KM_MIN(warn, (r->not_after - r->not_before) / 4))
		note(r, CERT_ATTENTION, "it expires in %lld days", (long long)((r->not_after - now) / CERT_DAY_S));
}

void cert_inspect(const struct cert_item *item, int64_t now, struct cert_report *r)
{
	_cleanup_(km_x509_stack_freep) STACK_OF(X509) *certs = NULL;
	struct km_err err = {0};
	X509 *cert;
	int e;

	*r = (struct cert_report){.state = CERT_OK, .cert_mode = mode_of(item->cert_path), .key_mode = -1};
	e = km_x509_load(item->cert_path, &certs, &err);
	if (e < 0) {
		note(r, e == -ENOENT ? CERT_MISSING : CERT_BROKEN, "%.200s", err.text);
		return;
	}
	cert = sk_X509_value(certs, 0);
	r->subject = km_x509_name_text(X509_get_subject_name(cert));
	r->issuer = km_x509_name_text(X509_get_issuer_name(cert));
	r->not_before = km_x509_not_before(cert);
	r->not_after = km_x509_not_after(cert);
	/* what net/x509.h gives for a time that is none must not be reckoned with */
	r->times_known = r->not_before != INT64_MAX && r->not_after != INT64_MIN;
	r->is_ca = X509_check_ca(cert) == 1;
	km_x509_fingerprint(cert, r->fingerprint);
	inspect_time(now, r);
	inspect_key(item, certs, r);
	inspect_chain(item, cert, now, r);
}

void cert_report_clear(struct cert_report *r)
{
	free(r->subject);
	free(r->issuer);
	*r = (struct cert_report){0};
}

static const char *state_text(enum cert_state s)
{
	static const char *const texts[] = {"ok", "missing", "attention", "BROKEN"};

	return texts[s];
}

static const char *state_colour(enum cert_state s)
{
	static const char *const colours[] = {"\033[32m", "\033[33m", "\033[33m", "\033[31m"};

	return colours[s];
}

/* "9y 364d", "89d", "5h" */
static void left_text(int64_t seconds, char *out, size_t size)
{
	if (seconds <= 0)
		snprintf(out, size, "expired");
	else if (seconds >= 365 * CERT_DAY_S)
		snprintf(out, size, "%lldy %lldd", (long long)(seconds / (365 * CERT_DAY_S)),
			(long long)(seconds % (365 * CERT_DAY_S) / CERT_DAY_S));
	else if (seconds >= CERT_DAY_S)
		snprintf(out, size, "%lldd", (long long)(seconds / CERT_DAY_S));
	else
		snprintf(out, size, "%lldh", (long long)(seconds / 3600));
}

static void print_row(
	const struct cert_item *item, const struct cert_report *r, int64_t now, bool colour, struct km_buf *out)
{
	char expires[CERT_TIME_TEXT_MAX] = "-", left[32] = "-", modes[32] = "-", match[8] = "-";

	if (r->times_known) {
		cert_time_text(r->not_after, expires);
		left_text(r->not_after - now, left, sizeof(left));
	}
	if (r->cert_mode >= 0 && r->key_mode >= 0)
		snprintf(modes, sizeof(modes), "%04o/%04o", (unsigned)r->cert_mode, (unsigned)r->key_mode);
	else if (r->cert_mode >= 0)
		snprintf(modes, sizeof(modes), "%04o/-", (unsigned)r->cert_mode);
	if (r->key_checked)
		snprintf(match, sizeof(match), "%s", r->key_matches ? "yes" : "NO");
	km_buf_addf(out, "%-18s %s%-9s%s %-21s %-9s %-9s %-4s %-5s %-*.*s %-*.*s %s\n", item->role,
		colour ? state_colour(r->state) : "", state_text(r->state), colour ? "\033[0m" : "", expires, left,
		modes, match, r->subject ? (r->chain_ok ? "yes" : "NO") : "-", SUBJECT_WIDTH, SUBJECT_WIDTH,
		r->subject ? r->subject : "-", SUBJECT_WIDTH / 2, SUBJECT_WIDTH / 2, r->issuer ? r->issuer : "-",
		item->cert_path);
	if (*r->note)
		km_buf_addf(out, "%-18s   %s\n", "", r->note);
}

static void print_json(struct km_json *j, const struct cert_item *item, const struct cert_report *r, int64_t now)
{
	char text[CERT_TIME_TEXT_MAX];

	km_json_object(j);
	km_json_kstr(j, "role", item->role);
	km_json_kstr(j, "path", item->cert_path);
	km_json_kstr(j, "state", state_text(r->state));
	if (r->subject) {
		km_json_kstr(j, "subject", r->subject);
		km_json_kstr(j, "issuer", r->issuer ? r->issuer : "");
	}
	if (r->times_known) {
		cert_time_text(r->not_before, text);
		km_json_kstr(j, "notBefore", text);
		cert_time_text(r->not_after, text);
		km_json_kstr(j, "notAfter", text);
		km_json_kint(j, "secondsLeft", r->not_after - now);
	}
	if (r->subject) {
		km_json_kstr(j, "fingerprintSHA256", r->fingerprint);
		km_json_kbool(j, "ca", r->is_ca);
		km_json_kbool(j, "chainOK", r->chain_ok);
	}
	if (r->cert_mode >= 0)
		km_json_kint(j, "mode", r->cert_mode);
	if (item->key_path) {
		km_json_kstr(j, "keyPath", item->key_path);
		if (r->key_mode >= 0)
			km_json_kint(j, "keyMode", r->key_mode);
		if (r->key_checked)
			km_json_kbool(j, "keyMatches", r->key_matches);
	}
	if (*r->note)
		km_json_kstr(j, "note", r->note);
	km_json_end_object(j);
}

enum cert_state cert_list_print(
	const struct cert_item *items, size_t n, int64_t now, bool json, bool colour, struct km_buf *out)
{
	struct km_json j = KM_JSON_INIT(out, true);
	enum cert_state worst = CERT_OK;

	if (json)
		km_json_array(&j);
	else
		km_buf_addf(out, "%-18s %-9s %-21s %-9s %-9s %-4s %-5s %-*s %-*s %s\n", "ROLE", "STATE", "EXPIRES",
			"LEFT", "MODES", "KEY", "CHAIN", SUBJECT_WIDTH, "SUBJECT", SUBJECT_WIDTH / 2, "ISSUER", "PATH");
	for (size_t i = 0; i < n; i++) {
		struct cert_report r;

		cert_inspect(&items[i], now, &r);
		if (json)
			print_json(&j, &items[i], &r, now);
		else
			print_row(&items[i], &r, now, colour, out);
		worst = KM_MAX(worst, r.state);
		cert_report_clear(&r);
	}
	if (json) {
		km_json_end_array(&j);
		km_buf_addc(out, '\n');
	}
	return worst;
}
