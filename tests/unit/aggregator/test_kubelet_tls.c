/* SPDX-License-Identifier: Apache-2.0 */
/* Which kubelet certificates are trusted, by mode and by what is remembered; and the memory: its table, text and file.
 */
#include "aggregator/kubelet_tls.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "aggregator/pins_file.h"
#include "core/file.h"
#include "core/log.h"
#include "tests/unit/support/pki.h"

#define NODE    "node1"
#define NODE_IP "10.0.0.1"
#define UID     "2772a249-7fa7-47f5-87f2-f6790a228fc0"
#define PATH    "/var/lib/kmetricsd/kubelet-pins.json"

/* ---- certificates ---- */

enum {
	CA,
	NAMESAKE_CA, /* another CA of the same name */
	STRANGE_CA,
	BY_IP,
	BY_NODE_NAME,
	BY_HOSTNAME,
	BY_CN,
	BY_SHARED, /* cfssl's one certificate for all */
	OF_ANOTHER,
	EXPIRED,
	CLIENT_ONLY,
	SELF,
	SELF_EXPIRED,
	BY_STRANGE_CA,
	BY_NAMESAKE_CA,
	CERTS
};

static const struct {
	struct test_cert_spec spec;
	int issuer; /* -1: itself */
} specs[CERTS] = {
	[CA] = {{.cn = "kubernetes", .ca = true}, -1},
	[NAMESAKE_CA] = {{.cn = "kubernetes", .ca = true}, -1},
	[STRANGE_CA] = {{.cn = "node1-ca@1795409000", .ca = true}, -1},
	[BY_IP] = {{.cn = "kubelet", .eku = "serverAuth", .san = "IP:10.0.0.1"}, CA},
	[BY_NODE_NAME] = {{.cn = "kubelet", .eku = "serverAuth", .san = "DNS:node1"}, CA},
	[BY_HOSTNAME] = {{.cn = "kubelet", .eku = "serverAuth", .san = "DNS:node1.example.org"}, CA},
	[BY_CN] = {{.cn = "system:node:node1", .o = "system:nodes", .eku = "serverAuth", .san = "DNS:x"}, CA},
	[BY_SHARED] =
		{{.cn = "kubernetes", .o = "k8s", .eku = "serverAuth,clientAuth", .san = "IP:10.0.0.9,IP:10.0.0.1"},
			CA},
	[OF_ANOTHER] = {{.cn = "system:node:node2", .eku = "serverAuth", .san = "DNS:node2,IP:10.0.0.2"}, CA},
	[EXPIRED] = {{.cn = "system:node:node1",
			     .eku = "serverAuth",
			     .san = "IP:10.0.0.1",
			     .not_before = 1000,
			     .not_after = 2000},
		CA},
	[CLIENT_ONLY] = {{.cn = "system:node:node1", .eku = "clientAuth", .san = "IP:10.0.0.1"}, CA},
	[SELF] = {{.cn = "node1@1795409000", .eku = "serverAuth", .san = "DNS:node1"}, -1},
	[SELF_EXPIRED] =
		{{.cn = "node1@1700000000", .san = "DNS:node1", .not_before = 1700000000, .not_after = 1731536000}, -1},
	[BY_STRANGE_CA] = {{.cn = "node1@1795409000", .eku = "serverAuth", .san = "DNS:node1"}, STRANGE_CA},
	[BY_NAMESAKE_CA] = {{.cn = "system:node:node1", .eku = "serverAuth", .san = "IP:10.0.0.1"}, NAMESAKE_CA},
};
static struct test_cert certs[CERTS];
static char sha256[CERTS][KM_FINGERPRINT_MAX];
static STACK_OF(X509) *roots;

static int make_certs(void **state)
{
	for (size_t i = 0; i < CERTS; i++) {
		struct test_cert_spec spec = specs[i].spec;

		spec.issuer = specs[i].issuer < 0 ? NULL : &certs[specs[i].issuer];
		test_cert_make(&spec, &certs[i]);
		km_x509_fingerprint(certs[i].cert, sha256[i]);
	}
	roots = sk_X509_new_null();
	return !roots || sk_X509_push(roots, certs[CA].cert) <= 0;
}

static int free_certs(void **state)
{
	sk_X509_free(roots);
	for (size_t i = 0; i < CERTS; i++)
		test_cert_free(&certs[i]);
	return 0;
}

/* ---- judgement ---- */

enum memory { NOTHING, PINNED_SELF, PINNED_OTHER, VERIFIED, PINNED_AND_VERIFIED, DAMAGED };

static struct agg_pins *remember(enum memory memory)
{
	static const char both[] =
		"{\"version\":1,\"nodes\":{\"" UID "\":{\"node\":\"node1\",\"verified\":true,\"sha256\":"
		"\"%s\"}}}";
	struct agg_pins *pins;
	char text[512];

	assert_int_equal(agg_pins_new(&pins), 0);
	switch (memory) {
	case PINNED_SELF:
		assert_int_equal(agg_pins_add(pins, UID, NODE, sha256[SELF]), 0);
		break;
	case PINNED_OTHER:
		assert_int_equal(agg_pins_add(pins, UID, NODE, sha256[STRANGE_CA]), 0);
		break;
	case VERIFIED:
		assert_int_equal(agg_pins_verified(pins, UID, NODE), 0);
		break;
	case PINNED_AND_VERIFIED:
		snprintf(text, sizeof(text), both, sha256[SELF]);
		assert_int_equal(agg_pins_parse(pins, text, strlen(text), NULL), 0);
		break;
	case DAMAGED:
		agg_pins_mark_damaged(pins);
		break;
	case NOTHING:
		break;
	}
	return pins;
}

#define AUTO     AGG_TLS_AUTO
#define VERIFY   AGG_TLS_VERIFY
#define PIN      AGG_TLS_PIN
#define REJECTED (-EKEYREJECTED)
#define REVOKED  (-EKEYREVOKED)

static const struct {
	enum agg_kubelet_tls mode;
	int cert;
	enum memory memory;
	int verdict;
	const char *says[2];
} judgements[] = {
	{AUTO, BY_IP, NOTHING, AGG_TLS_VERIFIED, {NULL}},
	{AUTO, BY_NODE_NAME, NOTHING, AGG_TLS_VERIFIED, {NULL}},
	{AUTO, BY_HOSTNAME, NOTHING, AGG_TLS_VERIFIED, {NULL}},
	{AUTO, BY_CN, NOTHING, AGG_TLS_VERIFIED, {NULL}},
	{AUTO, BY_SHARED, NOTHING, AGG_TLS_VERIFIED, {NULL}},
	{AUTO, BY_IP, PINNED_OTHER, AGG_TLS_VERIFIED, {NULL}}, /* it has got a better certificate */
	{AUTO, BY_IP, DAMAGED, AGG_TLS_VERIFIED, {NULL}},
	{AUTO, OF_ANOTHER, NOTHING, REJECTED, {"for another host (CN \"system:node:node2\"", "kubelet-tls = pin"}},
	{AUTO, EXPIRED, NOTHING, REJECTED, {"has expired", NULL}},
	{AUTO, CLIENT_ONLY, NOTHING, REJECTED, {"incompatible key usage", NULL}},
	{AUTO, SELF, NOTHING, AGG_TLS_PIN_NEW, {NULL}},
	{AUTO, BY_STRANGE_CA, NOTHING, AGG_TLS_PIN_NEW, {NULL}},
	{AUTO, BY_NAMESAKE_CA, NOTHING, AGG_TLS_PIN_NEW, {NULL}},
	{AUTO, SELF_EXPIRED, NOTHING, AGG_TLS_PIN_NEW, {NULL}},
	{AUTO, SELF, PINNED_SELF, AGG_TLS_PINNED, {NULL}},
	{AUTO, SELF, PINNED_OTHER, REVOKED, {"has changed", "remove the entry \"" UID "\" from " PATH}},
	{AUTO, SELF, VERIFIED, REVOKED, {"verified before", "remove the entry \"" UID "\" from " PATH}},
	{AUTO, SELF, PINNED_AND_VERIFIED, REVOKED, {"verified before", NULL}},
	{AUTO, SELF, DAMAGED, REJECTED, {"is damaged", "systemctl reload kmetricsd"}},

	{VERIFY, BY_CN, NOTHING, AGG_TLS_VERIFIED, {NULL}},
	{VERIFY, OF_ANOTHER, NOTHING, REJECTED, {"for another", NULL}},
	{VERIFY, EXPIRED, NOTHING, REJECTED, {"has expired", NULL}},
	{VERIFY, SELF, NOTHING, REJECTED, {"unknown authority", "kubelet-tls = auto"}},
	{VERIFY, SELF, PINNED_SELF, REJECTED, {"unknown authority", NULL}},

	{PIN, BY_IP, NOTHING, AGG_TLS_PIN_NEW, {NULL}},
	{PIN, SELF, NOTHING, AGG_TLS_PIN_NEW, {NULL}},
	{PIN, SELF, VERIFIED, AGG_TLS_PIN_NEW, {NULL}},
	{PIN, SELF, PINNED_SELF, AGG_TLS_PINNED, {NULL}},
	{PIN, BY_IP, PINNED_SELF, REVOKED, {"has changed", NULL}},
	{PIN, SELF, DAMAGED, REJECTED, {"is damaged", NULL}},

	{AGG_TLS_INSECURE, SELF, PINNED_OTHER, AGG_TLS_UNCHECKED, {NULL}},
	{AGG_TLS_INSECURE, EXPIRED, NOTHING, AGG_TLS_UNCHECKED, {NULL}},
};

static struct agg_tls_question question(enum agg_kubelet_tls mode, int cert, const struct agg_pins *pins)
{
	return (struct agg_tls_question){
		.mode = mode,
		.pins = pins,
		.pins_path = PATH,
		.node = NODE,
		.uid = UID,
		.dialled = NODE_IP,
		.address = NODE_IP,
		.hostname = "node1.example.org",
		.leaf = certs[cert].cert,
		.roots = roots,
		.now_s = time(NULL),
	};
}

static void test_judgements(void **state)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(judgements); i++) {
		struct agg_pins *pins = remember(judgements[i].memory);
		struct agg_tls_question q = question(judgements[i].mode, judgements[i].cert, pins);
		struct km_err err = {0};

		print_message("row %zu\n", i);
		assert_int_equal(agg_kubelet_judge(&q, &err), judgements[i].verdict);
		if (judgements[i].verdict < 0)
			print_message("  %s\n", err.text);
		for (size_t k = 0; k < 2 && judgements[i].says[k]; k++)
			assert_non_null(strstr(err.text, judgements[i].says[k]));
		agg_pins_free(pins);
	}
}

static void test_dialled_by_name(void **state)
{
	struct agg_pins *pins = remember(NOTHING);
	struct agg_tls_question q = question(VERIFY, OF_ANOTHER, pins);

	/* a name that was dialled counts, and so does the address behind it */
	q.dialled = "node2";
	assert_int_equal(agg_kubelet_judge(&q, NULL), AGG_TLS_VERIFIED);
	q.dialled = "elsewhere";
	q.address = "10.0.0.2";
	assert_int_equal(agg_kubelet_judge(&q, NULL), AGG_TLS_VERIFIED);
	q.address = "10.0.0.1";
	q.hostname = NULL;
	assert_int_equal(agg_kubelet_judge(&q, NULL), REJECTED);
	agg_pins_free(pins);
}

static void test_no_roots(void **state)
{
	struct agg_pins *pins = remember(NOTHING);
	struct agg_tls_question q = question(AUTO, SELF, pins);
	struct km_err err = {0};

	q.roots = NULL;
	assert_int_equal(agg_kubelet_judge(&q, &err), REJECTED);
	assert_non_null(strstr(err.text, "kubelet-certificate-authority"));
	q.mode = PIN;
	assert_int_equal(agg_kubelet_judge(&q, &err), AGG_TLS_PIN_NEW);
	q.uid = "";
	assert_int_equal(agg_kubelet_judge(&q, &err), REJECTED);
	agg_pins_free(pins);
}

/* ---- the table and its text ---- */

static void test_text(void **state)
{
	struct agg_pins *a = remember(NOTHING), *b = remember(NOTHING);
	struct km_err err = {0};
	size_t len, len2;
	char *text, *again;

	assert_int_equal(agg_pins_add(a, "uid-1", "node1", sha256[SELF]), 0);
	assert_int_equal(agg_pins_verified(a, "uid-2", "node2"), 0);
	assert_int_equal(agg_pins_verified(a, "uid-3", "node3"), 0);
	assert_int_equal(agg_pins_add(a, "uid-3", "node3", sha256[SELF]), 0);
	text = agg_pins_print(a, &len);
	assert_int_equal(len, strlen(text));
	assert_int_equal(agg_pins_parse(b, text, len, &err), 0);
	assert_false(agg_pins_take_changed(b));
	assert_string_equal(agg_pins_find(b, "uid-1")->sha256, sha256[SELF]);
	assert_false(agg_pins_find(b, "uid-1")->verified);
	assert_true(agg_pins_find(b, "uid-2")->verified);
	assert_string_equal(agg_pins_find(b, "uid-2")->sha256, "");
	assert_true(agg_pins_find(b, "uid-3")->verified); /* pinned by kubelet-tls = pin: still no downgrade in auto */
	assert_string_equal(agg_pins_find(b, "uid-3")->node, "node3");
	assert_null(agg_pins_find(b, "uid-4"));
	again = agg_pins_print(b, &len2);
	assert_string_equal(text, again);
	/* reading replaces */
	assert_int_equal(agg_pins_parse(b, "{\"version\":1,\"nodes\":{}}", 24, &err), 0);
	assert_null(agg_pins_find(b, "uid-1"));
	free(text);
	free(again);
	agg_pins_free(a);
	agg_pins_free(b);
}

static void test_changes(void **state)
{
	struct agg_pins *p = remember(NOTHING);

	assert_int_equal(agg_pins_add(p, "uid-1", "node1", sha256[SELF]), 0);
	assert_true(agg_pins_take_changed(p));
	assert_false(agg_pins_take_changed(p));
	assert_int_equal(agg_pins_verified(p, "uid-1", "node1"), 0);
	assert_true(agg_pins_take_changed(p));
	assert_int_equal(agg_pins_verified(p, "uid-1", "node1"), 0); /* each handshake says so: nothing new */
	assert_false(agg_pins_take_changed(p));
	agg_pins_forget(p, "uid-2");
	assert_false(agg_pins_take_changed(p));
	agg_pins_forget(p, "uid-1");
	assert_true(agg_pins_take_changed(p));
	agg_pins_free(p);
}

#define HEX        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ONE(entry) "{\"version\":1,\"nodes\":{\"u\":" entry "}}"

static void test_damaged(void **state)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"{}",
		"{\"version\":1}",
		"{\"version\":2,\"nodes\":{}}",
		"{\"version\":\"1\",\"nodes\":{}}",
		"{\"version\":1,\"nodes\":[]}",
		"{\"version\":1,\"nodes\":{},\"nodes\":{}}",
		ONE("{}"),
		ONE("5"),
		ONE("{\"node\":\"n\"}"),
		ONE("{\"node\":\"n\",\"verified\":false}"),
		ONE("{\"node\":\"n\",\"verified\":1}"),
		ONE("{\"node\":\"n\",\"sha256\":\"abc\"}"),
		ONE("{\"node\":\"n\",\"sha256\":7}"),
		ONE("{\"node\":\"n\",\"verified\":true,\"sha256\":null}"),
		ONE("{\"verified\":true}"),
		"{\"version\":1,\"nodes\":{\"\":{\"node\":\"n\",\"sha256\":\"" HEX "\"}}}",
	};
	static const char good[] = ONE("{\"node\":\"n\",\"sha256\":\"" HEX "\"}");

	for (size_t i = 0; i < KM_ARRAY_LEN(texts); i++) {
		struct agg_pins *p = remember(PINNED_SELF);
		struct km_err err = {0};

		print_message("%s\n", texts[i]);
		assert_int_equal(agg_pins_parse(p, texts[i], strlen(texts[i]), &err), -EBADMSG);
		assert_true(*err.text != '\0');
		assert_true(agg_pins_damaged(p));
		/* what was known stays, nothing new is pinned, not even in place of the old */
		assert_non_null(agg_pins_find(p, UID));
		assert_int_equal(agg_pins_add(p, "uid-2", "node2", HEX), -EBADMSG);
		assert_int_equal(agg_pins_add(p, UID, "node1", HEX), -EBADMSG);
		assert_int_equal(agg_pins_parse(p, good, strlen(good), &err), 0);
		assert_false(agg_pins_damaged(p));
		assert_non_null(agg_pins_find(p, "u"));
		agg_pins_free(p);
	}
}

static void test_full(void **state)
{
	struct agg_pins *p = remember(NOTHING);
	struct agg_tls_question q = question(PIN, SELF, p);
	struct km_err err = {0};
	char uid[32];
	size_t len;
	char *text;

	for (int i = 0; i < AGG_PINS_MAX; i++) {
		snprintf(uid, sizeof(uid), "uid-%d", i);
		assert_int_equal(agg_pins_add(p, uid, "node", HEX), 0);
	}
	assert_int_equal(agg_kubelet_judge(&q, &err), REJECTED);
	assert_non_null(strstr(err.text, "remove those of nodes that are gone"));
	assert_int_equal(agg_pins_verified(p, UID, NODE), -ENOSPC);
	assert_int_equal(agg_pins_add(p, "uid-7", "node", sha256[SELF]), 0);
	text = agg_pins_print(p, &len);
	assert_true(len < AGG_PINS_TEXT_MAX);
	assert_int_equal(agg_pins_parse(p, text, len, &err), 0);
	free(text);
	agg_pins_free(p);
}

/* ---- the file ---- */

struct scene {
	struct km_loop *loop;
	char dir[64], path[128];
	unsigned errors;
};

static void on_log(int level, const struct km_log_fields *fields, const char *text, void *arg)
{
	struct scene *s = arg;

	s->errors += level == LOG_ERR;
}

static int file_set_up(void **state)
{
	static struct scene s;

	s = (struct scene){.dir = "/tmp/km-pins-XXXXXX"};
	if (!mkdtemp(s.dir) || km_loop_new(&s.loop, NULL) < 0)
		return -1;
	snprintf(s.path, sizeof(s.path), "%s/%s", s.dir, AGG_PINS_FILE);
	km_log_set_sink(on_log, &s);
	*state = &s;
	return 0;
}

static int file_tear_down(void **state)
{
	struct scene *s = *state;

	km_log_set_sink(NULL, NULL);
	km_loop_free(s->loop);
	unlink(s->path);
	return rmdir(s->dir);
}

static struct agg_pins_file *open_file(struct scene *s)
{
	struct agg_pins_file *f = NULL;

	assert_int_equal(agg_pins_file_new(s->loop, s->dir, &f, NULL), 0);
	return f;
}

static void put_file(struct scene *s, const char *text)
{
	assert_int_equal(km_file_write_atomic(s->path, text, strlen(text), 0600, (uid_t)-1, (gid_t)-1, NULL), 0);
}

/* Runs the loop until the file exists; by the test's own patience, not by a delay of the code under test. */
static void wait_for_file(struct scene *s)
{
	time_t until = time(NULL) + 10;

	while (access(s->path, F_OK) < 0 && time(NULL) < until)
		(void)!event_base_loop(km_loop_base(s->loop), EVLOOP_ONCE);
	assert_int_equal(access(s->path, F_OK), 0);
}

static void test_saved_soon(void **state)
{
	struct scene *s = *state;
	struct agg_pins_file *f = open_file(s), *g;
	struct stat st;

	assert_int_equal(s->errors, 0);
	assert_string_equal(agg_pins_file_path(f), s->path);
	assert_int_equal(agg_pins_add(agg_pins_file_pins(f), UID, NODE, HEX), 0);
	agg_pins_file_save(f);
	wait_for_file(s);
	assert_int_equal(stat(s->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	g = open_file(s);
	assert_string_equal(agg_pins_find(agg_pins_file_pins(g), UID)->sha256, HEX);
	agg_pins_file_free(g);
	agg_pins_file_free(f);
}

static void test_saved_at_end(void **state)
{
	struct scene *s = *state;
	struct agg_pins_file *f = open_file(s);

	assert_int_equal(agg_pins_add(agg_pins_file_pins(f), UID, NODE, HEX), 0);
	agg_pins_file_free(f);
	f = open_file(s);
	assert_non_null(agg_pins_find(agg_pins_file_pins(f), UID));
	agg_pins_file_free(f);
}

static void test_edited(void **state)
{
	struct scene *s = *state;
	struct agg_pins_file *f = open_file(s);

	assert_int_equal(agg_pins_add(agg_pins_file_pins(f), UID, NODE, HEX), 0);
	agg_pins_file_free(f);
	f = open_file(s);
	put_file(s, "{\"version\":1,\"nodes\":{}}");
	assert_non_null(agg_pins_find(agg_pins_file_pins(f), UID));
	agg_pins_file_reload(f);
	assert_null(agg_pins_find(agg_pins_file_pins(f), UID));
	/* removed altogether */
	assert_int_equal(agg_pins_add(agg_pins_file_pins(f), UID, NODE, HEX), 0);
	unlink(s->path);
	agg_pins_file_reload(f);
	assert_null(agg_pins_find(agg_pins_file_pins(f), UID));
	assert_int_equal(s->errors, 0);
	agg_pins_file_free(f);
}

/* A damaged file is not overwritten; once mended it counts. */
static void test_file_damaged(void **state)
{
	struct scene *s = *state;
	struct agg_pins_file *f;
	char *text;
	size_t len;

	put_file(s, "{\"version\":1,\"nodes\":{");
	f = open_file(s);
	assert_int_equal(s->errors, 1);
	assert_true(agg_pins_damaged(agg_pins_file_pins(f)));
	assert_int_equal(agg_pins_verified(agg_pins_file_pins(f), UID, NODE), 0);
	agg_pins_file_save(f);
	agg_pins_file_free(f);
	assert_int_equal(km_file_read(s->path, 4096, &text, &len, NULL), 0);
	assert_string_equal(text, "{\"version\":1,\"nodes\":{");
	free(text);
	f = open_file(s);
	put_file(s, "{\"version\":1,\"nodes\":{}}");
	agg_pins_file_reload(f);
	assert_false(agg_pins_damaged(agg_pins_file_pins(f)));
	agg_pins_file_free(f);
}

static void test_file_unwritable(void **state)
{
	struct scene *s = *state;
	struct agg_pins_file *f = NULL;

	assert_int_equal(agg_pins_file_new(s->loop, "/nonexistent/folder", &f, NULL), 0);
	assert_int_equal(s->errors, 0); /* a folder that is missing holds no pins */
	assert_int_equal(agg_pins_add(agg_pins_file_pins(f), UID, NODE, HEX), 0);
	agg_pins_file_free(f);
	assert_int_equal(s->errors, 1);
}

int main(void)
{
#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, file_set_up, file_tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judgements),
		cmocka_unit_test(test_dialled_by_name),
		cmocka_unit_test(test_no_roots),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_full),
		FILE_TEST(test_saved_soon),
		FILE_TEST(test_saved_at_end),
		FILE_TEST(test_edited),
		FILE_TEST(test_file_damaged),
		FILE_TEST(test_file_unwritable),
	};

	return cmocka_run_group_tests(tests, make_certs, free_certs);
}
