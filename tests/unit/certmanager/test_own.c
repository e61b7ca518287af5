/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's own pairs: made once, kept while they are good, made anew in time, never over what somebody else put
 * there. */
#include "certmanager/own.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "certmanager/issue.h"
#include "core/clock.h"
#include "core/file.h"
#include "net/x509.h"
#include "tests/unit/certmanager/ssl_folder.h"

#define START_NS (INT64_C(1795410000) * KM_NSEC_PER_SEC)

static const char *const ips[] = {"10.0.0.5", "172.17.0.1"};

struct place {
	struct ssl_folder f;
	char no_socket[96];
	struct own_config config;
	struct km_clock_virtual clock;
};

static void quiet(const char *role, const char *path, enum keeper_outcome outcome, const char *text, void *arg) {}

/* The keeper's files, with a cluster CA. */
static void place_make(struct place *p)
{
	static char *ca_pem, *ca_key_pem;

	*p = (struct place){.clock = {.monotonic_us = 1, .wall_ns = START_NS}};
	km_clock_set_virtual(&p->clock);
	ssl_folder_make(&p->f, true);
	if (!ca_pem) {
		const struct cert_profile profile = {.cn = "kubernetes", .ca = true, .life_s = 1825 * CERT_DAY_S};
		_cleanup_(km_pkey_freep) EVP_PKEY *key = NULL;
		_cleanup_(km_x509_freep) X509 *cert = NULL;

		assert_int_equal(cert_make_key(CERT_KEY_P256, &key, NULL), 0);
		assert_int_equal(cert_issue(&profile, key, NULL, key, START_NS / KM_NSEC_PER_SEC, &cert, NULL), 0);
		ca_pem = cert_to_pem(cert);
		ca_key_pem = cert_key_to_pem(key);
	}
	ssl_folder_write(&p->f, CA, ca_pem, 0644);
	ssl_folder_write(&p->f, CA_KEY, ca_key_pem, 0600);
	snprintf(p->no_socket, sizeof(p->no_socket), "%s/no-socket", p->f.dir);
	p->config = (struct own_config){.state_dir = p->f.state_dir,
		.keeper_socket = p->no_socket,
		.paths = &p->f.paths,
		.node = "master-1",
		.ips = ips,
		.n_ips = 2,
		.n_ips_needed = 1,
		.deadline_us = KM_USEC_PER_SEC};
	assert_int_equal(own_ensure_host(&p->config, quiet, NULL, NULL), 0);
}

static void place_remove(struct place *p)
{
	km_clock_set_virtual(NULL);
	ssl_folder_remove(&p->f);
}

/* 1: made anew; 0: kept; negative: an error. */
static int serving(struct place *p, struct km_identity **ret, struct km_err *err)
{
	bool created = false;
	int r = own_ensure_pair(&p->config, KEEPER_LEAF_SERVING, ret, &created, NULL, err);

	return r < 0 ? r : created;
}

static int serving_once(struct place *p, struct km_err *err)
{
	struct km_identity *id = NULL;
	int r = serving(p, &id, err);

	km_identity_unref(id);
	return r;
}

static void put(const char *path, const char *text, mode_t mode)
{
	assert_int_equal(km_file_write_atomic(path, text, strlen(text), mode, (uid_t)-1, (gid_t)-1, NULL), 0);
}

static void test_made_and_kept(void **state)
{
	struct place p;
	struct km_err err = {0};
	struct km_identity *id = NULL;
	char path[256];
	struct stat st;

	place_make(&p);
	assert_int_equal(serving(&p, &id, &err), 1);
	assert_true(km_x509_has_ip(sk_X509_value(id->chain, 0), "10.0.0.5"));
	assert_true(km_x509_has_dns(sk_X509_value(id->chain, 0), "kmetricsd.kube-system.svc"));
	km_identity_unref(id);
	snprintf(path, sizeof(path), "%s/kmetricsd-serving-key.pem", p.f.state_dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(p.f.state_dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(serving_once(&p, &err), 0);
	place_remove(&p);
}

/* 90 days: anew from two thirds on, not before. */
static void test_renewed_in_time(void **state)
{
	struct place p;
	struct km_err err = {0};

	place_make(&p);
	assert_int_equal(serving_once(&p, &err), 1);
	p.clock.wall_ns = START_NS + 59 * CERT_DAY_S * KM_NSEC_PER_SEC;
	assert_int_equal(serving_once(&p, &err), 0);
	p.clock.wall_ns = START_NS + 61 * CERT_DAY_S * KM_NSEC_PER_SEC;
	assert_int_equal(serving_once(&p, &err), 1);
	assert_int_equal(serving_once(&p, &err), 0);
	/* without its signer the one there is serves on, as long as it is valid */
	assert_int_equal(rename(p.f.path[SERVING_CA_KEY], p.no_socket), 0);
	p.config.keeper_socket = "/nonexistent/keeper.sock";
	p.clock.wall_ns += 61 * CERT_DAY_S * KM_NSEC_PER_SEC;
	{
		struct km_identity *id = NULL;
		bool created = true;

		assert_int_equal(own_ensure_pair(&p.config, KEEPER_LEAF_SERVING, &id, &created, NULL, &err), 1);
		assert_non_null(id);
		assert_false(created);
		assert_mentions(&err, "two thirds of its life are over"); /* and says so: nobody would know else */
		assert_mentions(&err, ssl_names[SERVING_CA_KEY]);
		km_identity_unref(id);
	}
	p.clock.wall_ns += 40 * CERT_DAY_S * KM_NSEC_PER_SEC;
	assert_true(serving_once(&p, &err) < 0);
	assert_mentions(&err, "kmetricsd-serving.pem");
	place_remove(&p);
}

static void test_addresses(void **state)
{
	static const char *const moved[] = {"10.0.0.9", "172.18.0.1"};
	struct place p;
	struct km_err err = {0};

	place_make(&p);
	assert_int_equal(serving_once(&p, &err), 1);
	/* a bridge that came or went changes nothing, the main address does */
	p.config.ips = (const char *const[]){"10.0.0.5", "172.18.0.1"};
	assert_int_equal(serving_once(&p, &err), 0);
	p.config.ips = moved;
	assert_int_equal(serving_once(&p, &err), 1);
	place_remove(&p);
}

static void test_what_is_not_ours(void **state)
{
	struct place p;
	struct km_err err = {0};
	EVP_PKEY *key = NULL;
	char path[256], *pem, *now;
	size_t len;

	place_make(&p);
	assert_int_equal(serving_once(&p, &err), 1);
	/* a key of another certificate: told, left alone */
	snprintf(path, sizeof(path), "%s/kmetricsd-serving-key.pem", p.f.state_dir);
	assert_int_equal(cert_make_key(CERT_KEY_P256, &key, NULL), 0);
	pem = cert_key_to_pem(key);
	assert_int_equal(km_file_write_atomic(path, pem, strlen(pem), 0600, (uid_t)-1, (gid_t)-1, NULL), 0);
	assert_int_equal(serving_once(&p, &err), -EKEYREJECTED);
	assert_mentions(&err, "kmetricsd-serving-key.pem");
	assert_mentions(&err, "move both away");
	assert_int_equal(km_file_read(path, 65536, &now, &len, NULL), 0);
	assert_string_equal(now, pem);
	free(now);
	/* a key alone is what a crash between the two renames leaves */
	snprintf(path, sizeof(path), "%s/kmetricsd-serving.pem", p.f.state_dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(serving_once(&p, &err), 1);
	cert_wipe(pem);
	EVP_PKEY_free(key);
	place_remove(&p);
}

static void test_no_cluster_ca_here(void **state)
{
	struct place p;
	struct km_err err = {0};
	struct km_identity *id = NULL;
	bool created;

	place_make(&p);
	p.f.paths.cluster_ca_cert = "/nonexistent/ca.pem";
	p.f.paths.cluster_ca_key = "/nonexistent/ca-key.pem";
	assert_true(own_ensure_pair(&p.config, KEEPER_LEAF_API_CLIENT, &id, &created, NULL, &err) < 0);
	assert_mentions(&err, "/nonexistent/ca");
	p.config.paths = NULL;
	assert_int_equal(own_ensure_pair(&p.config, KEEPER_LEAF_API_CLIENT, &id, &created, NULL, &err), -ENOENT);
	assert_mentions(&err, "no keeper at");
	place_remove(&p);
}

/* The API client: by the cluster CA, for this node, in the group that RBAC knows. */
static void test_api_client(void **state)
{
	_cleanup_(km_x509_stack_freep) STACK_OF(X509) *roots = NULL;
	_cleanup_free_ char *ca = NULL, *on_disk = NULL;
	struct place p;
	struct km_err err = {0};
	struct km_identity *id = NULL;
	char path[256], *cn;
	bool created;
	struct stat st;

	place_make(&p);
	assert_int_equal(own_ensure_pair(&p.config, KEEPER_LEAF_API_CLIENT, &id, &created, &ca, &err), 0);
	assert_true(created);
	on_disk = ssl_folder_read(&p.f, "ca.pem");
	assert_string_equal(ca, on_disk);
	cn = km_x509_cn(sk_X509_value(id->chain, 0));
	assert_string_equal(cn, "kmetricsd:master-1");
	free(cn);
	assert_int_equal(km_x509_load(p.f.path[CA], &roots, NULL), 0);
	if (km_x509_verify(
		    roots, sk_X509_value(id->chain, 0), NULL, KM_X509_CLIENT, START_NS / KM_NSEC_PER_SEC, &err) != 0)
		fail_msg("%s", err.text);
	km_identity_unref(id);
	snprintf(path, sizeof(path), "%s/kmetricsd-key.pem", p.f.state_dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	snprintf(path, sizeof(path), "%s/kmetricsd.pem", p.f.state_dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	/* kept, and its signer still told */
	free(KM_TAKE(ca));
	assert_int_equal(own_ensure_pair(&p.config, KEEPER_LEAF_API_CLIENT, &id, &created, &ca, &err), 0);
	assert_false(created);
	assert_string_equal(ca, on_disk);
	km_identity_unref(id);
	place_remove(&p);
}

/* The serving certificate must be what the caBundle of today verifies, and say the names of today. */
static void test_no_longer_fits(void **state)
{
	struct place p;
	struct km_err err = {0};

	place_make(&p);
	assert_int_equal(serving_once(&p, &err), 1);
	p.config.node = "master-2";
	assert_int_equal(serving_once(&p, &err), 1);
	assert_int_equal(serving_once(&p, &err), 0);
	/* the serving CA was made anew */
	ssl_folder_drop(&p.f, ssl_names[SERVING_CA]);
	ssl_folder_drop(&p.f, ssl_names[SERVING_CA_KEY]);
	assert_int_equal(own_ensure_host(&p.config, quiet, NULL, &err), 0);
	assert_int_equal(serving_once(&p, &err), 1);
	assert_int_equal(serving_once(&p, &err), 0);
	/* not to be read (the keeper's folder may be closed to us): no reason to make it anew */
	p.f.paths.serving_ca_cert = "/nonexistent/ca.pem";
	assert_int_equal(serving_once(&p, &err), 0);
	place_remove(&p);
}

/* A crash at any step of a renewal leaves a pair that works or is made whole; no key lies about for longer than that.
 */
static void test_crash_while_renewing(void **state)
{
	struct place p;
	struct km_err err = {0};
	char cert[256], key[256], next[256];
	_cleanup_free_ char *old_cert = NULL, *old_key = NULL, *new_cert = NULL, *new_key = NULL;
	struct stat st;

	place_make(&p);
	snprintf(cert, sizeof(cert), "%s/kmetricsd-serving.pem", p.f.state_dir);
	snprintf(key, sizeof(key), "%s/kmetricsd-serving-key.pem", p.f.state_dir);
	snprintf(next, sizeof(next), "%s/kmetricsd-serving-key.pem.next", p.f.state_dir);
	assert_int_equal(serving_once(&p, &err), 1);
	old_cert = ssl_folder_read(&p.f, "state/kmetricsd-serving.pem");
	old_key = ssl_folder_read(&p.f, "state/kmetricsd-serving-key.pem");
	p.clock.wall_ns += 61 * CERT_DAY_S * KM_NSEC_PER_SEC;
	assert_int_equal(serving_once(&p, &err), 1);
	assert_int_not_equal(access(next, F_OK), 0);
	new_cert = ssl_folder_read(&p.f, "state/kmetricsd-serving.pem");
	new_key = ssl_folder_read(&p.f, "state/kmetricsd-serving-key.pem");

	/* the new certificate is there, its key not yet in its place */
	put(key, old_key, 0600);
	put(next, new_key, 0600);
	if (serving_once(&p, &err) != 0)
		fail_msg("%s", err.text);
	free(KM_TAKE(old_key));
	old_key = ssl_folder_read(&p.f, "state/kmetricsd-serving-key.pem");
	assert_string_equal(old_key, new_key);
	assert_int_equal(stat(key, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_not_equal(access(next, F_OK), 0);

	/* the first making: no key in its place at all */
	assert_int_equal(rename(key, next), 0);
	assert_int_equal(serving_once(&p, &err), 0);
	assert_int_equal(access(key, F_OK), 0);

	/* a next key that belongs to nothing: the pair there counts, and the next renewal takes it away */
	put(next, "garbage\n", 0600);
	assert_int_equal(serving_once(&p, &err), 0);
	p.clock.wall_ns += 61 * CERT_DAY_S * KM_NSEC_PER_SEC;
	assert_int_equal(serving_once(&p, &err), 1);
	assert_int_not_equal(access(next, F_OK), 0);
	place_remove(&p);
}

/* What cannot be read is named, and stays. */
static void test_garbage_stays(void **state)
{
	struct place p;
	struct km_err err = {0};
	_cleanup_free_ char *now = NULL;
	char cert[256];

	place_make(&p);
	assert_int_equal(serving_once(&p, &err), 1);
	snprintf(cert, sizeof(cert), "%s/kmetricsd-serving.pem", p.f.state_dir);
	put(cert, "garbage\n", 0644);
	assert_true(serving_once(&p, &err) < 0);
	assert_mentions(&err, "kmetricsd-serving.pem");
	now = ssl_folder_read(&p.f, "state/kmetricsd-serving.pem");
	assert_string_equal(now, "garbage\n");
	place_remove(&p);
}

/* A keeper that was killed leaves its socket file. */
static void test_dead_socket(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct place p;
	struct km_err err = {0};

	place_make(&p);
	memcpy(address.sun_path, p.no_socket, strlen(p.no_socket) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (own_ensure_host(&p.config, quiet, NULL, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(serving_once(&p, &err), 1);
	/* what fails then names both */
	ssl_folder_drop(&p.f, ssl_names[SERVING_CA]);
	assert_true(own_ensure_host(&p.config, quiet, NULL, &err) < 0);
	assert_mentions(&err, "no-socket");
	assert_mentions(&err, ssl_names[SERVING_CA_KEY]);
	/* and where the keys are not ours to use, it is the keeper that is missed */
	p.config.paths = NULL;
	assert_int_equal(own_ensure_host(&p.config, quiet, NULL, &err), -ECONNREFUSED);
	assert_mentions(&err, "no-socket");
	close(fd);
	place_remove(&p);
}

static void test_too_long(void **state)
{
	struct place p;
	struct km_err err = {0};
	char *dir = malloc(5000);

	place_make(&p);
	memset(dir, 'd', 4999);
	dir[0] = '/';
	dir[4999] = '\0';
	p.config.state_dir = dir;
	assert_int_equal(serving_once(&p, &err), -ENAMETOOLONG);
	assert_mentions(&err, "state-dir");
	free(dir);
	place_remove(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made_and_kept),
		cmocka_unit_test(test_renewed_in_time),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_what_is_not_ours),
		cmocka_unit_test(test_no_cluster_ca_here),
		cmocka_unit_test(test_api_client),
		cmocka_unit_test(test_no_longer_fits),
		cmocka_unit_test(test_crash_while_renewing),
		cmocka_unit_test(test_garbage_stays),
		cmocka_unit_test(test_dead_socket),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
