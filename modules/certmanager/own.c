/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's own pairs. Touches no loop and no log, so that it can run before the loop does, and on its worker thread
 * later.
 */
#include "certmanager/own.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "certmanager/issue.h"
#include "core/clock.h"
#include "core/file.h"
#include "net/control.h"

/* next: the key of a certificate that is about to be installed, for as long as key is still the one before. A crash
 * between the two renames would else leave a pair that cannot be told from one that somebody put there. */
struct files {
	char cert[PATH_MAX], key[PATH_MAX], next[PATH_MAX];
};

static const char *base_of(enum keeper_leaf_role role)
{
	return role == KEEPER_LEAF_SERVING ? "kmetricsd-serving" : "kmetricsd";
}

static int files_of(const struct own_config *c, enum keeper_leaf_role role, struct files *ret, struct km_err *err)
{
	if (snprintf(ret->cert, sizeof(ret->cert), "%s/%s.pem", c->state_dir, base_of(role)) >=
			(int)sizeof(ret->cert) ||
		snprintf(ret->key, sizeof(ret->key), "%s/%s-key.pem", c->state_dir, base_of(role)) >=
			(int)sizeof(ret->key) ||
		snprintf(ret->next, sizeof(ret->next), "%s/%s-key.pem.next", c->state_dir, base_of(role)) >=
			(int)sizeof(ret->next))
		return km_fail(err, -ENAMETOOLONG, "state-dir %s is too long", c->state_dir);
	return 0;
}

static bool by_socket(const struct own_config *c)
{
	return c->keeper_socket && *c->keeper_socket && access(c->keeper_socket, F_OK) == 0;
}

static int ensure_by_socket(const struct own_config *c, keeper_report_fn report, void *arg, struct km_err *err)
{
	json_t *request = json_pack("{s:s}", "op", "ensure"), *reply = NULL, *item;
	const char *problem;
	size_t i;
	int r = request ? km_control_call(c->keeper_socket, request, c->deadline_us, &reply, NULL, err) : -ENOMEM;

	json_decref(request);
	if (r < 0) {
		km_err_prefix(err, "the keeper (%s)", c->keeper_socket);
		return r;
	}
	json_array_foreach(json_object_get(reply, "items"), i, item)
	{
		const char *role = json_string_value(json_object_get(item, "role")),
			   *path = json_string_value(json_object_get(item, "path"));
		const char *text = json_string_value(json_object_get(item, "text"));
		json_int_t outcome = json_integer_value(json_object_get(item, "outcome"));

		if (role && path && text && outcome >= KEEPER_CREATED && outcome <= KEEPER_FAILED)
			report(role, path, (enum keeper_outcome)outcome, text, arg);
	}
	problem = json_string_value(json_object_get(reply, "problem"));
	r = problem ? km_fail(err, -EREMOTEIO, "%s", problem) : 0;
	json_decref(reply);
	return r;
}

/* A socket file may outlive its keeper: then it is as if there were none. */
static bool nobody_there(const struct own_config *c, int r)
{
	return r == -ECONNREFUSED && c->paths;
}

int own_ensure_host(const struct own_config *c, keeper_report_fn report, void *arg, struct km_err *err)
{
	bool asked = by_socket(c);
	int r = asked ? ensure_by_socket(c, report, arg, err) : 0;

	if (asked && !nobody_there(c, r))
		return r;
	if (!c->paths)
		return km_fail(err, -ENOENT, "there is no keeper at %s", c->keeper_socket);
	r = keeper_ensure(c->paths, report, arg, err);
	if (r < 0 && asked)
		km_err_prefix(err, "no keeper answers at %s, and without it", c->keeper_socket);
	return r;
}

static int issue_by_socket(const struct own_config *c, enum keeper_leaf_role role, const char *csr, char **ret_cert,
	char **ret_ca, struct km_err *err)
{
	json_t *ips = json_array(), *request, *reply = NULL;
	_cleanup_free_ char *cert = NULL, *ca = NULL;
	int r;

	for (size_t i = 0; i < c->n_ips; i++)
		json_array_append_new(ips, json_string(c->ips[i]));
	request = json_pack("{s:s, s:s, s:s, s:s, s:o}", "op", "issue", "role",
		role == KEEPER_LEAF_SERVING ? "serving" : "api-client", "csr", csr, "node", c->node, "ips", ips);
	r = request ? km_control_call(c->keeper_socket, request, c->deadline_us, &reply, NULL, err) : -ENOMEM;
	json_decref(request);
	if (r < 0) {
		km_err_prefix(err, "the keeper (%s)", c->keeper_socket);
		return r;
	}
	if (json_unpack(reply, "{s:s, s:s}", "cert", &cert, "ca", &ca) == 0) {
		cert = strdup(cert); /* json_unpack lends its strings */
		ca = strdup(ca);
	} else {
		cert = ca = NULL;
	}
	json_decref(reply);
	if (!cert || !ca)
		return km_fail(err, -EBADMSG, "the keeper (%s) answered without a certificate", c->keeper_socket);
	*ret_cert = KM_TAKE(cert);
	*ret_ca = KM_TAKE(ca);
	return 0;
}

static int issue(const struct own_config *c, enum keeper_leaf_role role, const char *csr, char **ret_cert,
	char **ret_ca, struct km_err *err)
{
	bool asked = by_socket(c);
	int r = asked ? issue_by_socket(c, role, csr, ret_cert, ret_ca, err) : 0;

	if (asked && !nobody_there(c, r))
		return r;
	if (!c->paths)
		return km_fail(err, -ENOENT, "there is no keeper at %s", c->keeper_socket);
	r = keeper_issue(c->paths, role, csr, strlen(csr), c->node, c->ips, c->n_ips, ret_cert, ret_ca, err);
	if (r < 0 && asked)
		km_err_prefix(err, "no keeper answers at %s, and without it", c->keeper_socket);
	return r;
}

/* Whether one of today's serving CAs has signed it. A CA that may not be read here says nothing against it. */
static bool signer_is_there(const struct own_config *c, X509 *cert)
{
	_cleanup_(km_x509_stack_freep) STACK_OF(X509) *cas = NULL;
	bool found = false;

	if (!c->paths || km_x509_load(c->paths->serving_ca_cert, &cas, NULL) < 0)
		return true;
	for (int i = 0; i < sk_X509_num(cas) && !found; i++)
		found = X509_verify(cert, X509_get0_pubkey(sk_X509_value(cas, i))) == 1;
	ERR_clear_error();
	return found;
}

/* Whether a loaded pair still does; why not, for the journal, in out. */
static bool still_good(
	const struct own_config *c, enum keeper_leaf_role role, const struct km_identity *id, char *out, size_t size)
{
	X509 *cert = sk_X509_value(id->chain, 0);
	int64_t now = km_wall_ns() / KM_NSEC_PER_SEC, from = km_x509_not_before(cert), to = km_x509_not_after(cert);

	if (now >= from + (to - from) / 3 * 2) {
		snprintf(out, size, "two thirds of its life are over");
		return false;
	}
	if (role != KEEPER_LEAF_SERVING)
		return true;
	if (!km_x509_has_dns(cert, c->node)) {
		snprintf(out, size, "it does not cover the name %.64s", c->node);
		return false;
	}
	if (!signer_is_there(c, cert)) {
		snprintf(out, size, "its signer is no longer the serving CA");
		return false;
	}
	for (size_t i = 0; i < c->n_ips_needed; i++)
		if (!km_x509_has_ip(cert, c->ips[i])) {
			snprintf(out, size, "it does not cover the address %s", c->ips[i]);
			return false;
		}
	return true;
}

/* The signer's certificate as text, for a pair that was there already. */
static int signer_of(const struct own_config *c, enum keeper_leaf_role role, char **ret, struct km_err *err)
{
	size_t len;

	if (!c->paths)
		return km_fail(err, -ENOENT, "the signer's certificate is not known here");
	return km_file_read(role == KEEPER_LEAF_SERVING ? c->paths->serving_ca_cert : c->paths->cluster_ca_cert,
		KM_PEM_MAX, ret, &len, err);
}

static int write_text(const char *path, const char *text, mode_t mode, struct km_err *err)
{
	return km_file_write_atomic(path, text, strlen(text), mode, (uid_t)-1, (gid_t)-1, err);
}

/* Ends what a crash cut short: the certificate is the new one, its key still under the other name. -ENOENT when it is
 * not that. */
static int finish_install(const struct files *f, struct km_identity **ret, struct km_err *err)
{
	_cleanup_(km_identity_unrefp) struct km_identity *id = NULL;
	_cleanup_(cert_wipep) char *pem = NULL;
	int r;

	if (km_identity_load(f->cert, f->next, &id, NULL) < 0)
		return -ENOENT;
	pem = cert_key_to_pem(id->key);
	if (!pem)
		return km_fail(err, -ENOMEM, "out of memory");
	r = write_text(f->key, pem, 0600, err);
	if (r < 0)
		return r;
	unlink(f->next);
	*ret = KM_TAKE(id);
	return 0;
}

static int make_pair(const struct own_config *c, enum keeper_leaf_role role, const struct files *f,
	struct km_identity **ret, char **ret_ca, struct km_err *err)
{
	_cleanup_(km_pkey_freep) EVP_PKEY *key = NULL;
	_cleanup_(cert_wipep) char *key_pem = NULL;
	_cleanup_free_ char *csr = NULL, *cert_pem = NULL, *ca_pem = NULL;
	_cleanup_(km_identity_unrefp) struct km_identity *id = NULL;
	int r;

	if ((r = cert_make_key(CERT_KEY_P256, &key, err)) < 0 || (r = cert_make_csr(key, &csr, err)) < 0 ||
		(r = issue(c, role, csr, &cert_pem, &ca_pem, err)) < 0)
		return r;
	key_pem = cert_key_to_pem(key);
	if (!key_pem)
		return km_fail(err, -ENOMEM, "out of memory");
	/* Read back what will be installed: a signer that answers with another key's certificate is found here, before
	 * anything is written. */
	if ((r = km_identity_parse(cert_pem, strlen(cert_pem), key_pem, strlen(key_pem), f->cert, &id, err)) < 0 ||
		(r = km_mkdir_p(c->state_dir, 0700, err)) < 0 || (r = write_text(f->next, key_pem, 0600, err)) < 0 ||
		(r = write_text(f->cert, cert_pem, 0644, err)) < 0 || (r = write_text(f->key, key_pem, 0600, err)) < 0)
		return r; /* whatever is in place by now, the next try finds a pair in it */
	unlink(f->next);
	*ret = KM_TAKE(id);
	*ret_ca = KM_TAKE(ca_pem);
	return 0;
}

int own_ensure_pair(const struct own_config *c, enum keeper_leaf_role role, struct km_identity **ret, bool *ret_created,
	char **ret_ca_pem, struct km_err *err)
{
	_cleanup_(km_identity_unrefp) struct km_identity *id = NULL;
	_cleanup_free_ char *ca_pem = NULL;
	char why[128] = "";
	struct files f;
	bool created = false, kept = false;
	int r = files_of(c, role, &f, err);

	if (r < 0)
		return r;
	if (access(f.cert, F_OK) == 0 || access(f.key, F_OK) == 0) {
		r = km_identity_load(f.cert, f.key, &id, err);
		if (r == -ENOENT || r == -EKEYREJECTED) {
			int e = finish_install(&f, &id, err);

			if (e != -ENOENT)
				r = e;
		}
		/* half a pair is ours and replaceable; one that does not match was put there */
		if (r == -EKEYREJECTED)
			return km_fail(err, r,
				"%s and %s do not belong together: move both away to have them made anew", f.cert,
				f.key);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	r = 0;
	if (!id || !still_good(c, role, id, why, sizeof(why))) {
		struct km_identity *fresh = NULL;

		r = make_pair(c, role, &f, &fresh, &ca_pem, err);
		if (r < 0)
			km_err_prefix(err, "%s%s%s", f.cert, *why ? ": " : "", why);
		if (r < 0 && (!id || km_x509_not_after(sk_X509_value(id->chain, 0)) <= km_wall_ns() / KM_NSEC_PER_SEC))
			return r;
		if (r == 0) {
			km_identity_unref(id);
			id = fresh;
		}
		created = r == 0;
		kept = r < 0; /* the one we have serves until the next try */
	}
	if (ret_ca_pem && !ca_pem && (r = signer_of(c, role, &ca_pem, err)) < 0)
		return r;
	*ret = KM_TAKE(id);
	*ret_created = created;
	if (ret_ca_pem)
		*ret_ca_pem = KM_TAKE(ca_pem);
	return kept ? 1 : 0;
}
