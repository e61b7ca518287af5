/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key holder: which files there must be, and who signs what. Everything happens under a lock on the ssl folder, so
 * that a keeper and a verb run by hand cannot interleave a key of one with a certificate of the other.
 */
#include "certmanager/keeper.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "certmanager/issue.h"
#include "core/clock.h"
#include "core/file.h"

#define CA_LIFE_S     (3650 * CERT_DAY_S) /* spec 9.3 */
#define CLIENT_LIFE_S (365 * CERT_DAY_S)
#define OWN_LIFE_S    (90 * CERT_DAY_S)
#define ADMIN_LIFE_S  (2 * 300) /* five minutes from now: the backdating takes the other five */
#define NODE_NAME_MAX 253
#define CN_MAX        64 /* X.520 ub-common-name */
#define IPS_MAX       32

static int64_t now_s(void)
{
	return km_wall_ns() / KM_NSEC_PER_SEC;
}

static bool given(const char *path)
{
	return path && *path;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static void unlockp(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static int lock_folder(const char *dir, int *ret_fd, struct km_err *err)
{
	int fd, r = km_mkdir_p(dir, 0755, err);

	if (r < 0)
		return r;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return km_fail(err, -errno, "%s: %s", dir, strerror(errno));
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR) {
			r = km_fail(err, -errno, "%s: lock: %s", dir, strerror(errno));
			close(fd);
			return r;
		}
	*ret_fd = fd;
	return 0;
}

/* A CA as files: the certificate that belongs to the key (the file may be a bundle) and the key. */
struct ca {
	X509 *cert;
	EVP_PKEY *key;
};

static void ca_clear(struct ca *ca)
{
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	*ca = (struct ca){0};
}

static int ca_load(const char *cert_path, const char *key_path, struct ca *ret, struct km_err *err)
{
	_cleanup_(km_x509_stack_freep) STACK_OF(X509) *certs = NULL;
	_cleanup_(km_pkey_freep) EVP_PKEY *key = NULL;
	int r;

	if (!given(cert_path) || !given(key_path) || !exists(key_path))
		return km_fail(
			err, -ENOENT, "the CA's key %s is not on this host", given(key_path) ? key_path : "(unknown)");
	if ((r = km_x509_load(cert_path, &certs, err)) < 0 || (r = km_pkey_load(key_path, &key, err)) < 0)
		return r;
	for (int i = 0; i < sk_X509_num(certs); i++) {
		X509 *cert = sk_X509_value(certs, i);

		if (X509_check_private_key(cert, key) != 1)
			continue;
		X509_up_ref(cert);
		*ret = (struct ca){.cert = cert, .key = KM_TAKE(key)};
		return 0;
	}
	return km_fail(err, -EKEYREJECTED, "the key %s belongs to no certificate in %s", key_path, cert_path);
}

/* Only names directly inside the ssl folder: a flag that points elsewhere is somebody else's arrangement. */
static int check_inside(const char *dir, const char *path, struct km_err *err)
{
	size_t len = strlen(dir);

	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (strncmp(path, dir, len) != 0 || path[len] != '/' || strchr(path + len + 1, '/') ||
		strcmp(path + len, "/..") == 0)
		return km_fail(err, -EPERM,
			"%s is missing and lies outside %s: put it there by hand, or set ssl-dir in [cert-manager]",
			path, dir);
	return 0;
}

/* Takes away what was written a moment ago and only that: a key alone would block the next try, but what somebody else
 * put there in the same instant stays. */
static void take_back(const char *path, const char *text)
{
	_cleanup_(cert_wipep) char *now = NULL;
	size_t len;

	if (km_file_read(path, KM_PEM_MAX, &now, &len, NULL) == 0 && strcmp(now, text) == 0)
		unlink(path);
}

/* Key first, then certificate: whoever sees the certificate finds its key. An error may also come when a file is in
 * place and only its folder could not be synced. */
static int install_pair(const char *cert_path, const char *key_path, X509 *cert, EVP_PKEY *key, struct km_err *err)
{
	_cleanup_(cert_wipep) char *key_pem = cert_key_to_pem(key);
	_cleanup_free_ char *cert_pem = cert_to_pem(cert);
	int r;

	if (!key_pem || !cert_pem)
		return km_fail(err, -ENOMEM, "out of memory");
	r = km_file_create_atomic(key_path, key_pem, strlen(key_pem), 0600, (uid_t)-1, (gid_t)-1, err);
	if (r == 0) {
		r = km_file_create_atomic(cert_path, cert_pem, strlen(cert_pem), 0644, (uid_t)-1, (gid_t)-1, err);
		if (r < 0)
			take_back(cert_path, cert_pem);
	}
	if (r < 0)
		take_back(key_path, key_pem);
	return r;
}

struct duty {
	const char *role, *cert_path, *key_path;
	struct cert_profile profile;
	enum cert_key_type key_type;
	const char *ca_cert, *ca_key; /* NULL: self-signed */
};

/* When a CA's file stops being of use: its signing certificate's end, of a bundle without a key the last one's. */
static int64_t ca_end(STACK_OF(X509) *certs, X509 *signer)
{
	int64_t end = INT64_MIN;

	if (signer)
		return km_x509_not_after(signer);
	for (int i = 0; i < sk_X509_num(certs); i++)
		end = KM_MAX(end, km_x509_not_after(sk_X509_value(certs, i)));
	return end;
}

/* What is there already: told, and judged only as far as it is unusable. */
static int adopt(const struct duty *d, keeper_report_fn report, void *arg, struct km_err *err)
{
	_cleanup_(km_x509_stack_freep) STACK_OF(X509) *certs = NULL;
	_cleanup_(km_pkey_freep) EVP_PKEY *key = NULL;
	_cleanup_(ca_clear) struct ca ca = {0};
	_cleanup_free_ char *cn = NULL;
	struct km_err note = {0};
	bool has_key = exists(d->key_path);
	X509 *first;
	int r = km_x509_load(d->cert_path, &certs, err);

	if (r < 0)
		return r;
	first = sk_X509_value(certs, 0);
	if (!has_key && !d->profile.ca)
		return km_fail(err, -ENOENT,
			"%s is there but its key %s is not: restore the key, or move the certificate away to have both "
			"made anew",
			d->cert_path, d->key_path);
	if (has_key && d->profile.ca)
		r = ca_load(d->cert_path, d->key_path, &ca, err);
	else if (has_key && (r = km_pkey_load(d->key_path, &key, err)) == 0)
		r = km_x509_check_pair(first, key, d->cert_path, err);
	if (r < 0)
		return r;
	if (!has_key)
		km_fail(&note, 0, "its key is not on this host: nothing is issued from it here");
	cn = km_x509_cn(first);
	if (!d->profile.ca && cn && strcmp(cn, d->profile.cn) != 0)
		km_fail(&note, 0,
			"its CN is \"%s\", a new one would have \"%s\": if kube-apiserver has "
			"--requestheader-allowed-names and \"%s\" is not among them, aggregated APIs will answer 401",
			cn, d->profile.cn, cn);
	if (d->profile.ca ? ca_end(certs, ca.cert) <= now_s() : km_x509_not_after(first) <= now_s())
		km_fail(&note, 0, "it has EXPIRED: move it and its key away to have both made anew");
	report(d->role, d->cert_path, KEEPER_ADOPTED, note.text, arg);
	return 0;
}

/* *ret_outcome: what to report of a failure. */
static int create(const char *dir, const struct duty *d, enum keeper_outcome *ret_outcome, struct km_err *err)
{
	_cleanup_(km_pkey_freep) EVP_PKEY *key = NULL;
	_cleanup_(km_x509_freep) X509 *cert = NULL;
	_cleanup_(ca_clear) struct ca ca = {0};
	int r;

	if (d->ca_cert && (r = ca_load(d->ca_cert, d->ca_key, &ca, err)) < 0) {
		if (r == -ENOENT)
			*ret_outcome = KEEPER_MISSING;
		return r;
	}
	if ((r = check_inside(dir, d->cert_path, err)) < 0 || (r = check_inside(dir, d->key_path, err)) < 0 ||
		(r = cert_make_key(d->key_type, &key, err)) < 0 ||
		(r = cert_issue(&d->profile, key, ca.cert, ca.key, now_s(), &cert, err)) < 0)
		return r;
	return install_pair(d->cert_path, d->key_path, cert, key, err);
}

static int ensure_one(const char *dir, const struct duty *d, keeper_report_fn report, void *arg, struct km_err *err)
{
	enum keeper_outcome failed = KEEPER_FAILED;
	int r;

	if (exists(d->cert_path)) {
		r = adopt(d, report, arg, err);
	} else if (exists(d->key_path)) {
		r = km_fail(err, -EEXIST,
			"%s is there but its certificate %s is not: restore the certificate, or move the key away to "
			"have both made anew",
			d->key_path, d->cert_path);
	} else {
		r = create(dir, d, &failed, err);
		if (r == 0)
			report(d->role, d->cert_path, KEEPER_CREATED, "", arg);
	}
	if (r < 0)
		report(d->role, d->cert_path, failed, err->text, arg);
	return r;
}

int keeper_ensure(const struct keeper_paths *p, keeper_report_fn report, void *arg, struct km_err *err)
{
	const struct duty duties[] = {
		{"front-proxy-ca", p->front_proxy_ca_cert, p->front_proxy_ca_key,
			{.cn = "front-proxy-ca", .ca = true, .life_s = CA_LIFE_S}, CERT_KEY_RSA_2048, NULL, NULL},
		{"front-proxy-client", p->front_proxy_client_cert, p->front_proxy_client_key,
			{.cn = p->front_proxy_client_cn, .client = true, .life_s = CLIENT_LIFE_S}, CERT_KEY_RSA_2048,
			p->front_proxy_ca_cert, p->front_proxy_ca_key},
		{"serving-ca", p->serving_ca_cert, p->serving_ca_key,
			{.cn = "kmetricsd-ca", .ca = true, .life_s = CA_LIFE_S}, CERT_KEY_P256, NULL, NULL},
	};
	_cleanup_(unlockp) int lock = -1;
	int first = lock_folder(p->ssl_dir, &lock, err);

	if (first < 0)
		return first;
	for (size_t i = 0; i < KM_ARRAY_LEN(duties); i++) {
		struct km_err one = {0};
		int r = ensure_one(p->ssl_dir, &duties[i], report, arg, &one);

		if (r < 0 && first == 0) {
			first = r;
			if (err)
				*err = one;
		}
	}
	return first;
}

static int check_node(const char *node, struct km_err *err)
{
	size_t len = strlen(node);

	if (len == 0 || len > NODE_NAME_MAX || strspn(node, "abcdefghijklmnopqrstuvwxyz0123456789.-") != len)
		return km_fail(err, -EINVAL,
			"\"%.64s\" is not a node name (lower-case letters, digits, '-' and '.', at most %d)", node,
			NODE_NAME_MAX);
	return 0;
}

static int check_ips(const char *const *ips, size_t n, struct km_err *err)
{
	unsigned char scratch[sizeof(struct in6_addr)];

	if (n > IPS_MAX)
		return km_fail(err, -EINVAL, "%zu addresses asked for, more than %d", n, IPS_MAX);
	for (size_t i = 0; i < n; i++)
		if (inet_pton(AF_INET, ips[i], scratch) != 1 && inet_pton(AF_INET6, ips[i], scratch) != 1)
			return km_fail(err, -EINVAL, "\"%.64s\" is not an IP address", ips[i]);
	return 0;
}

static int issue_serving(const struct keeper_paths *p, EVP_PKEY *key, const char *node, const char *const *ips,
	size_t n_ips, struct ca *ca, X509 **ret, struct km_err *err)
{
	/* The names under which API servers may dial us; those of the APIServices we may take over are included, so
	 * that nothing is re-issued then (spec 4.3). */
	const char *dns[] = {
		"kmetricsd.kube-system.svc",
		"kmetricsd.kube-system.svc.cluster.local",
		"metrics-server.kube-system.svc",
		"metrics-server.kube-system.svc.cluster.local",
		"custom-metrics-apiserver.monitoring.svc",
		"custom-metrics-apiserver.monitoring.svc.cluster.local",
		"localhost",
		node,
	};
	const char *all_ips[IPS_MAX + 1] = {"127.0.0.1"};
	struct cert_profile profile = {.cn = "kmetricsd",
		.server = true,
		.dns = dns,
		.n_dns = KM_ARRAY_LEN(dns),
		.ips = all_ips,
		.n_ips = 1,
		.life_s = OWN_LIFE_S};
	int r;

	for (size_t i = 0; i < n_ips; i++)
		if (strcmp(ips[i], "127.0.0.1") != 0)
			all_ips[profile.n_ips++] = ips[i];
	if ((r = ca_load(p->serving_ca_cert, p->serving_ca_key, ca, err)) < 0)
		return r;
	return cert_issue(&profile, key, ca->cert, ca->key, now_s(), ret, err);
}

static int issue_client(
	const struct keeper_paths *p, EVP_PKEY *key, const char *node, struct ca *ca, X509 **ret, struct km_err *err)
{
	struct cert_profile profile = {.o = "kmetricsd", .client = true, .life_s = OWN_LIFE_S};
	char cn[NODE_NAME_MAX + 16];
	int r;

	snprintf(cn, sizeof(cn), "kmetricsd:%s", node);
	profile.cn = strlen(cn) <= CN_MAX ? cn : "kmetricsd";
	if ((r = ca_load(p->cluster_ca_cert, p->cluster_ca_key, ca, err)) < 0)
		return r;
	return cert_issue(&profile, key, ca->cert, ca->key, now_s(), ret, err);
}

int keeper_issue(const struct keeper_paths *p, enum keeper_leaf_role role, const char *csr_pem, size_t csr_len,
	const char *node, const char *const *ips, size_t n_ips, char **ret_cert_pem, char **ret_ca_pem,
	struct km_err *err)
{
	_cleanup_(km_pkey_freep) EVP_PKEY *key = NULL;
	_cleanup_(km_x509_freep) X509 *cert = NULL;
	_cleanup_(ca_clear) struct ca ca = {0};
	_cleanup_free_ char *cert_pem = NULL, *ca_pem = NULL;
	int r;

	if ((r = check_node(node, err)) < 0 || (r = check_ips(ips, n_ips, err)) < 0 ||
		(r = cert_csr_key(csr_pem, csr_len, &key, err)) < 0)
		return r;
	r = role == KEEPER_LEAF_SERVING ? issue_serving(p, key, node, ips, n_ips, &ca, &cert, err)
					: issue_client(p, key, node, &ca, &cert, err);
	if (r < 0)
		return r;
	cert_pem = cert_to_pem(cert);
	ca_pem = cert_to_pem(ca.cert);
	if (!cert_pem || !ca_pem)
		return km_fail(err, -ENOMEM, "out of memory");
	*ret_cert_pem = KM_TAKE(cert_pem);
	*ret_ca_pem = KM_TAKE(ca_pem);
	return 0;
}

int keeper_mint_admin(const struct keeper_paths *p, struct km_identity **ret, struct km_err *err)
{
	const struct cert_profile profile = {
		.cn = "kmetricsd-bootstrap", .o = "system:masters", .client = true, .life_s = ADMIN_LIFE_S};
	_cleanup_(km_pkey_freep) EVP_PKEY *key = NULL;
	_cleanup_(ca_clear) struct ca ca = {0};
	STACK_OF(X509) *chain = sk_X509_new_null();
	X509 *cert = NULL;
	int r;

	if (!chain)
		return km_fail(err, -ENOMEM, "out of memory");
	if ((r = ca_load(p->cluster_ca_cert, p->cluster_ca_key, &ca, err)) < 0 ||
		(r = cert_make_key(CERT_KEY_P256, &key, err)) < 0 ||
		(r = cert_issue(&profile, key, ca.cert, ca.key, now_s(), &cert, err)) < 0) {
		sk_X509_free(chain);
		return r;
	}
	if (sk_X509_push(chain, cert) <= 0) {
		X509_free(cert);
		sk_X509_free(chain);
		return km_fail(err, -ENOMEM, "out of memory");
	}
	r = km_identity_new(chain, KM_TAKE(key), ret);
	return r < 0 ? km_fail(err, r, "out of memory") : 0;
}
