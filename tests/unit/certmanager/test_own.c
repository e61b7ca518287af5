/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's own pairs: made once, kept while they are good, made anew in time, never over what somebody else put
 * there. */
#include "certmanager/own.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/check.h"
#include "certmanager/issue.h"
#include "core/clock.h"
#include "core/file.h"
#include "net/x509.h"

#define START_NS (INT64_C(1795410000) * KM_NSEC_PER_SEC)

static const char *const ips[] = {"10.0.0.5", "172.17.0.1"};

struct place {
	char dir[64], path[8][128];
	struct keeper_paths paths;
	struct own_config config;
	struct km_clock_virtual clock;
};

static void quiet(const char *role, const char *path, enum keeper_outcome outcome, const char *text, void *arg) {}

static void place_make(struct place *p)
{
	static const char *const names[] = {"fp-ca.pem", "fp-ca-key.pem", "fp.pem", "fp-key.pem", "serving-ca.pem",
		"serving-ca-key.pem", "state", "no-socket"};

	*p = (struct place){.clock = {.monotonic_us = 1, .wall_ns = START_NS}};
	km_clock_set_virtual(&p->clock);
	snprintf(p->dir, sizeof(p->dir), "/tmp/kmetricsd-test-own.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	for (size_t i = 0; i < KM_ARRAY_LEN(names); i++)
		snprintf(p->path[i], sizeof(p->path[i]), "%s/%s", p->dir, names[i]);
	p->paths = (struct keeper_paths){.ssl_dir = p->dir,
		.front_proxy_ca_cert = p->path[0],
		.front_proxy_ca_key = p->path[1],
		.front_proxy_client_cert = p->path[2],
		.front_proxy_client_key = p->path[3],
		.front_proxy_client_cn = "front-proxy-client",
		.serving_ca_cert = p->path[4],
		.serving_ca_key = p->path[5]};
	p->config = (struct own_config){.state_dir = p->path[6],
		.keeper_socket = p->path[7],
		.paths = &p->paths,
		.node = "master-1",
		.ips = ips,
		.n_ips = 2,
		.n_ips_needed = 1,
		.deadline_us = KM_USEC_PER_SEC};
	assert_int_equal(own_ensure_host(&p->config, quiet, NULL, NULL), 0);
}

static void place_remove(struct place *p)
{
	char command[128];

	km_clock_set_virtual(NULL);
	snprintf(command, sizeof(command), "rm -rf '%s'", p->dir);
	assert_int_equal(system(command), 0);
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
	snprintf(path, sizeof(path), "%s/kmetricsd-serving-key.pem", p.path[6]);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(p.path[6], &st), 0);
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
	assert_int_equal(rename(p.path[5], p.path[7]), 0);
	p.config.keeper_socket = "/nonexistent/keeper.sock";
	p.clock.wall_ns += 61 * CERT_DAY_S * KM_NSEC_PER_SEC;
	assert_int_equal(serving_once(&p, &err), 0);
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
	snprintf(path, sizeof(path), "%s/kmetricsd-serving-key.pem", p.path[6]);
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
	snprintf(path, sizeof(path), "%s/kmetricsd-serving.pem", p.path[6]);
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
	p.paths.cluster_ca_cert = "/nonexistent/ca.pem";
	p.paths.cluster_ca_key = "/nonexistent/ca-key.pem";
	assert_true(own_ensure_pair(&p.config, KEEPER_LEAF_API_CLIENT, &id, &created, NULL, &err) < 0);
	assert_mentions(&err, "/nonexistent/ca");
	p.config.paths = NULL;
	assert_int_equal(own_ensure_pair(&p.config, KEEPER_LEAF_API_CLIENT, &id, &created, NULL, &err), -ENOENT);
	assert_mentions(&err, "no keeper at");
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
