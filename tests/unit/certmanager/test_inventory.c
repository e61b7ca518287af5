/* SPDX-License-Identifier: Apache-2.0 */
/* `certs list`: what a row says of each thing that can be wrong with a pair, and how the table and the JSON show it. */
#include "certmanager/inventory.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "certmanager/issue.h"
#include "core/file.h"
#include "tests/unit/support/check.h"
#include "tests/unit/support/pki.h"

#define NOW INT64_C(1795410000) /* 2026-11-23 */
#define DAY CERT_DAY_S

static char dir[64];

struct pair {
	EVP_PKEY *key;
	X509 *cert;
};

static struct pair make(const char *cn, bool ca, const struct pair *issuer, int64_t at, int64_t life_s)
{
	const struct cert_profile profile = {.cn = cn, .ca = ca, .client = !ca, .life_s = life_s};
	struct pair p = {0};
	struct km_err err = {0};

	assert_int_equal(cert_make_key(CERT_KEY_P256, &p.key, NULL), 0);
	if (cert_issue(&profile, p.key, issuer ? issuer->cert : NULL, issuer ? issuer->key : p.key, at, &p.cert, &err) <
		0)
		fail_msg("%s", err.text);
	return p;
}

static void drop(struct pair *p)
{
	EVP_PKEY_free(p->key);
	X509_free(p->cert);
}

static const char *path(const char *name)
{
	static char paths[8][128];
	static unsigned next;
	char *out = paths[next++ % KM_ARRAY_LEN(paths)];

	snprintf(out, sizeof(paths[0]), "%s/%s", dir, name);
	return out;
}

static void put(const char *name, char *text, mode_t mode)
{
	assert_int_equal(km_file_write_atomic(path(name), text, strlen(text), mode, (uid_t)-1, (gid_t)-1, NULL), 0);
	free(text);
}

static struct pair ca, other_ca, leaf, stranger;

static int set_up(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/kmetricsd-test-inventory.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	ca = make("front-proxy-ca", true, NULL, NOW - 10 * DAY, 3650 * DAY);
	other_ca = make("other-ca", true, NULL, NOW - 10 * DAY, 3650 * DAY);
	leaf = make("front-proxy-client", false, &ca, NOW - 10 * DAY, 365 * DAY);
	stranger = make("stranger", false, &other_ca, NOW - 10 * DAY, 365 * DAY);
	put("ca.pem", cert_to_pem(ca.cert), 0644);
	put("ca-key.pem", cert_key_to_pem(ca.key), 0600);
	put("leaf.pem", cert_to_pem(leaf.cert), 0644);
	put("leaf-key.pem", cert_key_to_pem(leaf.key), 0600);
	put("open-key.pem", cert_key_to_pem(leaf.key), 0644);
	put("stranger.pem", cert_to_pem(stranger.cert), 0644);
	put("stranger-key.pem", cert_key_to_pem(stranger.key), 0600);
	put("garbage.pem", strdup("nothing of use\n"), 0644);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	drop(&ca);
	drop(&other_ca);
	drop(&leaf);
	drop(&stranger);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static void test_rows(void **state)
{
	static const struct {
		const char *cert, *key, *ca;
		int64_t at; /* days from now */
		enum cert_state want;
		bool key_matches, chain_ok;
		const char *note;
	} rows[] = {
		{"leaf.pem", "leaf-key.pem", "ca.pem", 0, CERT_OK, true, true, ""},
		{"ca.pem", "ca-key.pem", NULL, 0, CERT_OK, true, true, ""},
		/* a CA's key may be kept elsewhere, a leaf's may not */
		{"ca.pem", "absent-key.pem", NULL, 0, CERT_OK, false, true, ""},
		{"leaf.pem", "absent-key.pem", "ca.pem", 0, CERT_BROKEN, false, true, "absent-key.pem is missing"},
		{"leaf.pem", "stranger-key.pem", "ca.pem", 0, CERT_BROKEN, false, true,
			"belongs to another certificate"},
		{"leaf.pem", "garbage.pem", "ca.pem", 0, CERT_BROKEN, false, true, "garbage.pem"},
		{"leaf.pem", "open-key.pem", "ca.pem", 0, CERT_ATTENTION, true, true, "chmod 600"},
		{"stranger.pem", "stranger-key.pem", "ca.pem", 0, CERT_BROKEN, true, false, "has signed it"},
		{"leaf.pem", "leaf-key.pem", "absent.pem", 0, CERT_ATTENTION, true, false, "absent.pem"},
		{"absent.pem", "leaf-key.pem", "ca.pem", 0, CERT_MISSING, false, false, "absent.pem"},
		{"garbage.pem", "leaf-key.pem", "ca.pem", 0, CERT_BROKEN, false, false, "garbage.pem"},
		/* where a CA must be there is none: cfssl would sign with it without a word */
		{"leaf.pem", "leaf-key.pem", NULL, 0, CERT_BROKEN, true, false, "it is no CA"},
		/* time: a leaf warns 30 days ahead */
		{"leaf.pem", "leaf-key.pem", "ca.pem", 320, CERT_OK, true, true, ""},
		{"leaf.pem", "leaf-key.pem", "ca.pem", 330, CERT_ATTENTION, true, true, "expires in 2"},
		{"leaf.pem", "leaf-key.pem", "ca.pem", 356, CERT_BROKEN, true, true, "it has expired"},
		{"leaf.pem", "leaf-key.pem", "ca.pem", -11, CERT_BROKEN, true, true, "clock"},
		{"ca.pem", "ca-key.pem", NULL, 3570, CERT_ATTENTION, true, true, "expires in"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		const struct cert_item item = {.role = "r",
			.cert_path = path(rows[i].cert),
			.key_path = path(rows[i].key),
			.ca_path = rows[i].ca ? path(rows[i].ca) : NULL};
		struct cert_report r;

		cert_inspect(&item, NOW + rows[i].at * DAY, &r);
		if (r.state != rows[i].want || r.key_matches != rows[i].key_matches || r.chain_ok != rows[i].chain_ok ||
			!strstr(r.note, rows[i].note) || (!*rows[i].note && *r.note))
			fail_msg("row %zu: state %d, key %d, chain %d, note \"%s\"", i, r.state, r.key_matches,
				r.chain_ok, r.note);
		cert_report_clear(&r);
	}
}

/* A file may hold more than one: during a rotation the key belongs to any of them, and one signer that lives is
 * enough. */
static void test_bundles(void **state)
{
	struct pair renewed = {.key = ca.key}, dead = {.key = ca.key};
	const struct cert_profile profile = {.cn = "front-proxy-ca", .ca = true, .life_s = 3650 * DAY},
				  over = {.cn = "front-proxy-ca", .ca = true, .life_s = 20 * DAY};
	_cleanup_free_ char *a = cert_to_pem(other_ca.cert), *b = cert_to_pem(ca.cert), *c = NULL, *d = NULL;
	struct cert_item item = {.role = "front-proxy-ca", .key_path = path("ca-key.pem")};
	struct cert_report r;
	char *both;

	assert_true(asprintf(&both, "%s%s", a, b) > 0);
	put("bundle.pem", both, 0644);
	item.cert_path = path("bundle.pem");
	cert_inspect(&item, NOW, &r);
	assert_true(r.key_matches);
	assert_int_equal(r.state, CERT_OK);
	cert_report_clear(&r);

	/* the CA renewed with the same key: the old one in the file has expired, the leaf lives on */
	assert_int_equal(cert_issue(&profile, renewed.key, NULL, renewed.key, NOW - DAY, &renewed.cert, NULL), 0);
	assert_int_equal(cert_issue(&over, dead.key, NULL, dead.key, NOW - 30 * DAY, &dead.cert, NULL), 0);
	c = cert_to_pem(dead.cert);
	d = cert_to_pem(renewed.cert);
	assert_true(asprintf(&both, "%s%s", c, d) > 0);
	put("renewed.pem", both, 0644);
	item = (struct cert_item){.role = "r",
		.cert_path = path("leaf.pem"),
		.key_path = path("leaf-key.pem"),
		.ca_path = path("renewed.pem")};
	cert_inspect(&item, NOW, &r);
	assert_true(r.chain_ok);
	assert_string_equal(r.note, "");
	cert_report_clear(&r);
	put("dead.pem", KM_TAKE(c), 0644);
	item.ca_path = path("dead.pem");
	cert_inspect(&item, NOW, &r);
	assert_int_equal(r.state, CERT_BROKEN);
	assert_non_null(strstr(r.note, "dead.pem has expired"));
	cert_report_clear(&r);
	X509_free(renewed.cert);
	X509_free(dead.cert);
}

/* Certificates "for ever", and times that are none: rows, not overflows. */
static void test_odd_times(void **state)
{
	static const char *const rows[][2] = {{"99991231235959Z", "9999-12-31T23:59:59Z"}, {"garbage", ""}};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct test_cert c;
		ASN1_TIME *t = ASN1_GENERALIZEDTIME_new();
		struct km_buf out = KM_BUF_INIT(65536);
		struct cert_item item = {.role = "api-client", .ca_path = path("odd.pem")};
		json_t *list;
		const char *text;

		test_cert_make(
			&(struct test_cert_spec){.cn = "odd", .not_before = NOW - DAY, .not_after = NOW + DAY}, &c);
		assert_int_equal(ASN1_STRING_set(t, rows[i][0], -1), 1);
		assert_int_equal(X509_set1_notAfter(c.cert, t), 1);
		assert_true(X509_sign(c.cert, c.key, EVP_sha256()) > 0);
		put("odd.pem", test_cert_pem(c.cert), 0644);
		item.cert_path = path("odd.pem");
		assert_int_equal(
			cert_list_print(&item, 1, NOW, false, false, &out), *rows[i][1] ? CERT_OK : CERT_BROKEN);
		assert_non_null(strstr(out.data, *rows[i][1] ? rows[i][1] : "cannot be read"));
		km_buf_reset(&out);
		(void)cert_list_print(&item, 1, NOW, true, false, &out);
		list = json_loads(out.data, 0, NULL);
		text = json_string_value(json_object_get(json_array_get(list, 0), "notAfter"));
		assert_string_equal(text ? text : "", rows[i][1]);
		json_decref(list);
		km_buf_free(&out);
		ASN1_TIME_free(t);
		test_cert_free(&c);
	}
}

/* Not PEM files at all: a folder, a device that never ends, something huge, a loop of links. */
static void test_no_files(void **state)
{
	static const char *const names[] = {"folder", "zero", "huge", "loop"}, *const words[] = {"not a regular file",
										       "not a regular file",
										       "larger than", "symbolic links"};
	char text[160];

	assert_int_equal(mkdir(path("folder"), 0755), 0);
	assert_int_equal(symlink("/dev/zero", path("zero")), 0);
	put("huge", strdup("x"), 0644);
	assert_int_equal(truncate(path("huge"), INT64_C(1) << 33), 0);
	assert_int_equal(symlink("loop", path("loop")), 0);
	for (size_t i = 0; i < KM_ARRAY_LEN(names); i++) {
		struct cert_item item = {.role = "r", .cert_path = path(names[i]), .key_path = path("leaf-key.pem")};
		struct cert_report r;

		cert_inspect(&item, NOW, &r);
		assert_int_equal(r.state, CERT_BROKEN);
		assert_null(r.subject);
		if (!strstr(r.note, words[i]) || !strstr(r.note, names[i]))
			fail_msg("%s: %s", names[i], r.note);
		cert_report_clear(&r);
		/* the same as a key; a loop cannot even be asked for its mode */
		item = (struct cert_item){.role = "r", .cert_path = path("leaf.pem"), .key_path = path(names[i])};
		cert_inspect(&item, NOW, &r);
		assert_int_equal(r.state, CERT_BROKEN);
		assert_false(r.key_matches);
		cert_report_clear(&r);
	}
	snprintf(text, sizeof(text), "%s/huge", dir);
	assert_int_equal(unlink(text), 0);
}

/* Who may not read the key is told neither yes nor no. */
static void test_key_not_ours(void **state)
{
	int status = 0;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(dir, 0755), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct cert_item item = {.role = "r",
			.cert_path = path("leaf.pem"),
			.key_path = path("leaf-key.pem"),
			.ca_path = path("ca.pem")};
		struct km_buf out = KM_BUF_INIT(65536);
		struct cert_report r;
		bool ok;

		if (setgid(65534) != 0 || setuid(65534) != 0)
			_exit(2);
		cert_inspect(&item, NOW, &r);
		ok = r.state == CERT_OK && !r.key_checked && !r.key_matches && r.key_mode == 0600 && r.chain_ok;
		cert_report_clear(&r);
		ok = ok && cert_list_print(&item, 1, NOW, true, false, &out) == CERT_OK &&
		     !strstr(out.data, "keyMatches");
		km_buf_free(&out);
		_exit(ok ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_what_it_says(void **state)
{
	const struct cert_item item = {.role = "front-proxy-client",
		.cert_path = path("leaf.pem"),
		.key_path = path("leaf-key.pem"),
		.ca_path = path("ca.pem")};
	struct cert_report r;

	cert_inspect(&item, NOW, &r);
	assert_string_equal(r.subject, "CN=front-proxy-client");
	assert_string_equal(r.issuer, "CN=front-proxy-ca");
	assert_int_equal(r.cert_mode, 0644);
	assert_int_equal(r.key_mode, 0600);
	assert_false(r.is_ca);
	assert_int_equal(strlen(r.fingerprint), 64);
	assert_int_equal((r.not_after - NOW) / DAY, 354);
	cert_report_clear(&r);
}

static void test_print(void **state)
{
	const struct cert_item items[] = {
		{.role = "front-proxy-client",
			.cert_path = path("leaf.pem"),
			.key_path = path("leaf-key.pem"),
			.ca_path = path("ca.pem")},
		{.role = "front-proxy-ca", .cert_path = path("absent.pem"), .key_path = NULL, .ca_path = NULL},
	};
	struct km_buf out = KM_BUF_INIT(65536);
	json_t *list;

	/* the worst of all rows */
	assert_int_equal(cert_list_print(items, 2, NOW, false, false, &out), CERT_MISSING);
	assert_non_null(strstr(out.data, "leaf.pem"));
	assert_non_null(strstr(out.data, "CN=front-proxy-client"));
	assert_non_null(strstr(out.data, "354d"));
	assert_null(strchr(out.data, '\033')); /* colours only when asked for */
	km_buf_reset(&out);
	assert_int_equal(cert_list_print(items, 2, NOW, false, true, &out), CERT_MISSING);
	assert_non_null(strchr(out.data, '\033'));
	km_buf_reset(&out);
	assert_int_equal(cert_list_print(items, 2, NOW, true, true, &out), CERT_MISSING);
	list = json_loads(out.data, 0, NULL);
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "state")), "ok");
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 1), "state")), "missing");
	json_decref(list);
	km_buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_bundles),
		cmocka_unit_test(test_odd_times),
		cmocka_unit_test(test_no_files),
		cmocka_unit_test(test_key_not_ours),
		cmocka_unit_test(test_what_it_says),
		cmocka_unit_test(test_print),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
