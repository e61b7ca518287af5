/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key holder on real files: what is missing is made, what is there stays byte for byte, half and mismatched pairs
 * are told and left alone, nothing half is left behind.
 */
#include "certmanager/keeper.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "certmanager/issue.h"
#include "core/clock.h"
#include "core/file.h"
#include "net/x509.h"
#include "tests/unit/certmanager/ssl_folder.h"
#include "tests/unit/support/pki.h"

/* The file syncs of a folder, of a file, that fail from now on: what a full or dying disk does. */
static bool folder_syncs_fail;
static unsigned file_syncs_left = ~0u;

int fsync(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && (S_ISDIR(st.st_mode) ? folder_syncs_fail : file_syncs_left-- == 0)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

static X509 *first_cert(const char *path)
{
	STACK_OF(X509) *certs = NULL;
	X509 *cert;

	assert_int_equal(km_x509_load(path, &certs, NULL), 0);
	cert = sk_X509_shift(certs);
	km_x509_stack_free(certs);
	return cert;
}

static void cn_is(X509 *cert, const char *want)
{
	char *cn = km_x509_cn(cert);

	assert_string_equal(cn, want);
	free(cn);
}

static int mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void test_makes_then_adopts(void **state)
{
	struct ssl_folder p;
	struct km_err err = {0};
	char *before[SSL_MADE];
	X509 *ca, *client;
	STACK_OF(X509) *roots = NULL;

	ssl_folder_make(&p, false);
	if (ssl_folder_ensure(&p, &err) < 0)
		fail_msg("%s", err.text);
	ssl_folder_keep(&p);
	assert_int_equal(p.n, 3);
	for (size_t i = 0; i < SSL_MADE; i++) {
		assert_int_equal(mode_of(p.path[i]), i % 2 ? 0600 : 0644);
		before[i] = ssl_folder_read(&p, ssl_names[i]);
	}
	for (size_t i = 0; i < p.n; i++)
		assert_int_equal(p.outcomes[i], KEEPER_CREATED);

	/* a client of its CA, named as kube-apiserver allows, that does not outlive it */
	assert_int_equal(km_x509_load(p.path[FP_CA], &roots, NULL), 0);
	ca = first_cert(p.path[FP_CA]);
	client = first_cert(p.path[FP]);
	cn_is(client, "aggregator");
	assert_int_equal(km_x509_verify(roots, client, NULL, KM_X509_CLIENT, km_wall_ns() / KM_NSEC_PER_SEC, &err), 0);
	assert_true(km_x509_verify(roots, client, NULL, KM_X509_SERVER, km_wall_ns() / KM_NSEC_PER_SEC, &err) < 0);
	assert_true(km_x509_not_after(client) <= km_x509_not_after(ca));
	X509_free(ca);
	X509_free(client);
	km_x509_stack_free(roots);

	/* once more, also under another name: nothing is touched */
	p.paths.front_proxy_client_cn = "somebody-else";
	assert_int_equal(ssl_folder_ensure(&p, &err), 0);
	for (size_t i = 0; i < p.n; i++)
		assert_int_equal(p.outcomes[i], KEEPER_ADOPTED);
	for (size_t i = 0; i < SSL_MADE; i++) {
		char *after = ssl_folder_read(&p, ssl_names[i]);

		assert_string_equal(after, before[i]);
		free(after);
		free(before[i]);
	}
	ssl_folder_remove(&p);
}

/* A certificate without its key, a key without its certificate, a CA with another's key: told with the file, never
 * completed by force; the other pairs are made all the same. */
static void test_half_pairs(void **state)
{
	for (size_t missing = 0; missing < SSL_MADE; missing++) {
		struct ssl_folder p;
		struct km_err err = {0};
		char *kept;

		ssl_folder_make(&p, true);
		kept = ssl_folder_read(&p, ssl_names[missing ^ 1]);
		assert_int_equal(unlink(p.path[missing]), 0);
		(void)ssl_folder_ensure(&p, &err);
		if (access(p.path[missing], F_OK) == 0)
			fail_msg("%s was made beside a %s that was there", ssl_names[missing], ssl_names[missing ^ 1]);
		else {
			char *now = ssl_folder_read(&p, ssl_names[missing ^ 1]);

			assert_string_equal(now, kept);
			free(now);
		}
		/* An operator may keep a CA's key elsewhere: only that half is no mistake. */
		if (missing != 1 && missing != 5)
			assert_mentions(&err, ssl_names[missing]);
		free(kept);
		ssl_folder_remove(&p);
	}
}

static void test_mismatched_ca(void **state)
{
	struct ssl_folder p;
	struct km_err err = {0};
	EVP_PKEY *other = NULL;
	char *pem;

	ssl_folder_make(&p, true);
	assert_int_equal(cert_make_key(CERT_KEY_P256, &other, NULL), 0);
	pem = cert_key_to_pem(other);
	assert_int_equal(
		km_file_write_atomic(p.path[FP_CA_KEY], pem, strlen(pem), 0600, (uid_t)-1, (gid_t)-1, NULL), 0);
	assert_int_equal(unlink(p.path[FP]), 0);
	assert_int_equal(unlink(p.path[FP_KEY]), 0);
	assert_true(ssl_folder_ensure(&p, &err) < 0);
	assert_mentions(&err, "front-proxy-ca");
	assert_int_not_equal(access(p.path[FP], F_OK), 0);
	assert_int_not_equal(access(p.path[FP_KEY], F_OK), 0);
	cert_wipe(pem);
	EVP_PKEY_free(other);
	ssl_folder_remove(&p);
}

static void test_garbage_stays(void **state)
{
	struct ssl_folder p;
	struct km_err err = {0};
	char *now;

	ssl_folder_make(&p, false);
	assert_int_equal(
		km_file_write_atomic(p.path[FP_CA], "no certificate\n", 15, 0644, (uid_t)-1, (gid_t)-1, NULL), 0);
	assert_true(ssl_folder_ensure(&p, &err) < 0);
	assert_mentions(&err, "front-proxy-ca.pem");
	now = ssl_folder_read(&p, ssl_names[FP_CA]);
	assert_string_equal(now, "no certificate\n");
	free(now);
	/* the serving CA does not suffer */
	assert_int_equal(access(p.path[SERVING_CA], F_OK), 0);
	ssl_folder_remove(&p);
}

/* ---- what goes wrong while installing ---- */

static unsigned files_in(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* The disk is full, or syncing fails, at each step of a pair: nothing half stays, and the next try makes it. */
static void test_no_half_installs(void **state)
{
	for (unsigned step = 0; step < 3; step++) {
		struct ssl_folder p;
		struct km_err err = {0};

		ssl_folder_make(&p, true);
		ssl_folder_drop(&p, ssl_names[SERVING_CA]);
		ssl_folder_drop(&p, ssl_names[SERVING_CA_KEY]);
		if (step < 2)
			file_syncs_left = step;
		else
			folder_syncs_fail = true;
		assert_true(ssl_folder_ensure(&p, &err) < 0);
		file_syncs_left = ~0u;
		folder_syncs_fail = false;
		assert_mentions(&err, "kmetricsd-ca");
		assert_int_equal(p.outcomes[2], KEEPER_FAILED);
		assert_int_equal(files_in(p.dir), SSL_MADE - 2);
		if (ssl_folder_ensure(&p, &err) != 0)
			fail_msg("after step %u: %s", step, err.text);
		assert_int_equal(p.outcomes[2], KEEPER_CREATED);
		ssl_folder_remove(&p);
	}
}

/* A link that leads nowhere is something somebody put there. */
static void test_dangling_links(void **state)
{
	for (enum ssl_file file = SERVING_CA; file <= SERVING_CA_KEY; file++) {
		struct ssl_folder p;
		struct km_err err;
		char to[64];

		ssl_folder_make(&p, true);
		ssl_folder_drop(&p, ssl_names[SERVING_CA]);
		ssl_folder_drop(&p, ssl_names[SERVING_CA_KEY]);
		assert_int_equal(symlink("/nonexistent/elsewhere", p.path[file]), 0);
		assert_true(ssl_folder_ensure(&p, &err) < 0);
		assert_mentions(&err, ssl_names[file]);
		assert_int_equal(readlink(p.path[file], to, sizeof(to)), 22);
		assert_int_equal(files_in(p.dir), SSL_MADE - 1);
		ssl_folder_remove(&p);
	}
}

static void test_modes_whatever_the_umask(void **state)
{
	static const mode_t masks[] = {0, 0077, 0777};

	for (size_t i = 0; i < KM_ARRAY_LEN(masks); i++) {
		struct ssl_folder p;
		struct km_err err;
		mode_t before;
		int r;

		ssl_folder_make(&p, true);
		ssl_folder_drop(&p, ssl_names[SERVING_CA]);
		ssl_folder_drop(&p, ssl_names[SERVING_CA_KEY]);
		before = umask(masks[i]);
		r = ssl_folder_ensure(&p, &err);
		umask(before);
		assert_int_equal(r, 0);
		assert_int_equal(mode_of(p.path[SERVING_CA]), 0644);
		assert_int_equal(mode_of(p.path[SERVING_CA_KEY]), 0600);
		ssl_folder_remove(&p);
	}
}

/* A keeper and a verb run by hand at the same time: one makes, the others adopt. */
static void test_two_at_once(void **state)
{
	struct ssl_folder p;
	struct km_err err;
	pid_t pids[3];
	unsigned made = 0;
	int status;

	ssl_folder_make(&p, true);
	ssl_folder_drop(&p, ssl_names[SERVING_CA]);
	ssl_folder_drop(&p, ssl_names[SERVING_CA_KEY]);
	for (size_t i = 0; i < KM_ARRAY_LEN(pids); i++)
		if ((pids[i] = fork()) == 0)
			_exit(ssl_folder_ensure(&p, &err) < 0 ? 9 : p.outcomes[2] == KEEPER_CREATED);
	for (size_t i = 0; i < KM_ARRAY_LEN(pids); i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
		made += (unsigned)WEXITSTATUS(status);
	}
	assert_int_equal(made, 1);
	assert_int_equal(ssl_folder_ensure(&p, &err), 0);
	ssl_folder_remove(&p);
}

static void test_only_in_the_ssl_folder(void **state)
{
	static const char *const elsewhere[] = {"/sub/ca.pem", "-other/ca.pem", "/../km-test-ca.pem"};

	for (size_t i = 0; i < KM_ARRAY_LEN(elsewhere); i++) {
		struct ssl_folder p;
		struct km_err err;
		char cert[128], key[128];

		ssl_folder_make(&p, true);
		snprintf(cert, sizeof(cert), "%s%s", p.dir, elsewhere[i]);
		snprintf(key, sizeof(key), "%s/new-key.pem", p.dir);
		p.paths.serving_ca_cert = cert;
		p.paths.serving_ca_key = key;
		assert_int_equal(ssl_folder_ensure(&p, &err), -EPERM);
		assert_mentions(&err, cert);
		assert_mentions(&err, "ssl-dir");
		assert_int_not_equal(access(key, F_OK), 0);
		/* and the other way round */
		p.paths.serving_ca_cert = key;
		p.paths.serving_ca_key = cert;
		assert_int_equal(ssl_folder_ensure(&p, &err), -EPERM);
		assert_int_not_equal(access(key, F_OK), 0);
		ssl_folder_remove(&p);
	}
}

/* ---- what is adopted, and with what words ---- */

static void write_pair(struct ssl_folder *p, enum ssl_file cert, const struct test_cert *c)
{
	_cleanup_free_ char *cert_pem = test_cert_pem(c->cert), *key_pem = test_key_pem(c->key);

	ssl_folder_write(p, cert, cert_pem, 0644);
	ssl_folder_write(p, cert + 1, key_pem, 0600);
}

static void test_notes(void **state)
{
	static const struct {
		const char *cn, *text;
		int64_t from, to; /* days from now; 0: as usual */
	} rows[] = {
		{"aggregator", "", 0, 0},
		{"other", "its CN is \"other\", a new one would have \"aggregator\"", 0, 0},
		/* longer in bytes than in characters: never cut inside one */
		{"\xe5\x89\x8d\xe7\xab\xaf\xe4\xbb\xa3\xe7\x90\x86\xe5\xae\xa2\xe6\x88\xb7\xe7\xab\xaf\xe8\xaf\x81\xe4"
		 "\xb9\xa6\xe5\x89\x8d\xe7\xab\xaf\xe4\xbb\xa3\xe7\x90\x86\xe5\xae\xa2\xe6\x88\xb7\xe7\xab\xaf\xe8\xaf"
		 "\x81\xe4\xb9\xa6\xe5\x89\x8d\xe7\xab\xaf\xe4\xbb\xa3",
			"\xe5\x89\x8d\xe7\xab\xaf\xe4\xbb\xa3\" is not among them", 0, 0},
		{"aggregator", "EXPIRED", -20, -1},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct ssl_folder p;
		struct km_err err;
		struct test_cert c;
		int64_t now = km_wall_ns() / KM_NSEC_PER_SEC;

		ssl_folder_make(&p, true);
		test_cert_make(&(struct test_cert_spec){.cn = rows[i].cn,
				       .not_before = rows[i].from ? now + rows[i].from * CERT_DAY_S : 0,
				       .not_after = rows[i].to ? now + rows[i].to * CERT_DAY_S : 0},
			&c);
		write_pair(&p, FP, &c);
		if (ssl_folder_ensure(&p, &err) != 0)
			fail_msg("%s", err.text);
		assert_int_equal(p.outcomes[1], KEEPER_ADOPTED);
		if (*rows[i].text ? !strstr(p.texts[1], rows[i].text) : *p.texts[1] != '\0')
			fail_msg("row %zu: %s", i, p.texts[1]);
		test_cert_free(&c);
		ssl_folder_remove(&p);
	}
}

/* During a rotation the file holds the old CA too, and that may have expired: it is the signing one that counts, and it
 * signs. */
static void test_bundle(void **state)
{
	struct ssl_folder p;
	struct km_err err;
	struct test_cert old, ca;
	int64_t now = km_wall_ns() / KM_NSEC_PER_SEC;
	_cleanup_free_ char *old_pem = NULL, *ca_pem = NULL, *both = NULL;

	ssl_folder_make(&p, true);
	test_cert_make(
		&(struct test_cert_spec){
			.cn = "old", .ca = true, .not_before = now - 20 * CERT_DAY_S, .not_after = now - CERT_DAY_S},
		&old);
	test_cert_make(&(struct test_cert_spec){.cn = "new", .ca = true}, &ca);
	write_pair(&p, FP_CA, &ca);
	old_pem = test_cert_pem(old.cert);
	ca_pem = test_cert_pem(ca.cert);
	assert_true(asprintf(&both, "%s%s", old_pem, ca_pem) > 0);
	ssl_folder_write(&p, FP_CA, both, 0644);
	ssl_folder_drop(&p, ssl_names[FP]);
	ssl_folder_drop(&p, ssl_names[FP_KEY]);
	if (ssl_folder_ensure(&p, &err) != 0)
		fail_msg("%s", err.text);
	assert_string_equal(p.texts[0], "");
	assert_int_equal(p.outcomes[1], KEEPER_CREATED);
	{
		_cleanup_(km_x509_freep) X509 *client = first_cert(p.path[FP]);

		assert_int_equal(X509_verify(client, ca.key), 1);
	}
	/* the key elsewhere: still not expired */
	ssl_folder_drop(&p, ssl_names[FP_CA_KEY]);
	assert_int_equal(ssl_folder_ensure(&p, &err), 0);
	assert_non_null(strstr(p.texts[0], "not on this host"));
	/* all of it over */
	ssl_folder_write(&p, FP_CA, old_pem, 0644);
	assert_int_equal(ssl_folder_ensure(&p, &err), 0);
	assert_non_null(strstr(p.texts[0], "EXPIRED"));
	test_cert_free(&old);
	test_cert_free(&ca);
	ssl_folder_remove(&p);
}

/* The CA's key is elsewhere and its client is not there: said as what cannot be done here, once. */
static void test_cannot_be_made_here(void **state)
{
	struct ssl_folder p;
	struct km_err err;

	ssl_folder_make(&p, true);
	ssl_folder_drop(&p, ssl_names[FP_CA_KEY]);
	ssl_folder_drop(&p, ssl_names[FP]);
	ssl_folder_drop(&p, ssl_names[FP_KEY]);
	assert_int_equal(ssl_folder_ensure(&p, &err), -ENOENT);
	assert_int_equal(p.n, 3);
	assert_int_equal(p.outcomes[0], KEEPER_ADOPTED);
	assert_int_equal(p.outcomes[1], KEEPER_MISSING);
	assert_non_null(strstr(p.texts[1], "front-proxy-ca-key.pem"));
	assert_int_equal(p.outcomes[2], KEEPER_ADOPTED);
	ssl_folder_remove(&p);
}

/* Who may not sign: a certificate that is no CA, an encrypted key. */
static void test_unfit_signers(void **state)
{
	static const char encrypted[] =
		"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
	struct ssl_folder p;
	struct km_err err;
	struct test_cert leaf;

	ssl_folder_make(&p, true);
	ssl_folder_drop(&p, ssl_names[FP]);
	ssl_folder_drop(&p, ssl_names[FP_KEY]);
	test_cert_make(&(struct test_cert_spec){.cn = "no CA"}, &leaf);
	write_pair(&p, FP_CA, &leaf);
	assert_int_equal(ssl_folder_ensure(&p, &err), -EINVAL);
	assert_mentions(&err, "is not a CA");
	assert_int_equal(p.outcomes[1], KEEPER_FAILED);
	ssl_folder_write(&p, FP_CA_KEY, encrypted, 0600);
	assert_int_equal(ssl_folder_ensure(&p, &err), -ENOTSUP);
	assert_mentions(&err, "front-proxy-ca-key.pem");
	assert_mentions(&err, "openssl pkey");
	assert_int_not_equal(access(p.path[FP], F_OK), 0);
	test_cert_free(&leaf);
	ssl_folder_remove(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_makes_then_adopts),
		cmocka_unit_test(test_half_pairs),
		cmocka_unit_test(test_mismatched_ca),
		cmocka_unit_test(test_garbage_stays),
		cmocka_unit_test(test_no_half_installs),
		cmocka_unit_test(test_dangling_links),
		cmocka_unit_test(test_modes_whatever_the_umask),
		cmocka_unit_test(test_two_at_once),
		cmocka_unit_test(test_only_in_the_ssl_folder),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_bundle),
		cmocka_unit_test(test_cannot_be_made_here),
		cmocka_unit_test(test_unfit_signers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
