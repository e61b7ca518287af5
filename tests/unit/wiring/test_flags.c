/* SPDX-License-Identifier: Apache-2.0 */
/* Flags of running components, from command lines as they are and processes of a made-up /proc. */
#include "wiring/flags.h"

#include <errno.h>

#include "fake_proc.h"

#define APISERVER "/opt/kubernetes/bin/kube-apiserver\0"

static struct wiring_flags *parse(const char *cmdline, size_t len)
{
	struct wiring_flags *f = NULL;

	assert_int_equal(wiring_flags_parse(cmdline, len, &f, NULL), 0);
	return f;
}

static void test_values(void **state)
{
	static const struct {
		const char *cmdline;
		size_t len;
		const char *name, *want;
	} rows[] = {
#define ROW(cmdline, name, want) {cmdline, sizeof(cmdline), name, want}
		ROW(APISERVER "--secure-port=6443", "secure-port", "6443"),
		ROW(APISERVER "--secure-port\0"
			      "6443",
			"secure-port", "6443"),
		ROW(APISERVER "-secure-port=6443", "secure-port", "6443"),
		ROW(APISERVER "--secure_port=6443", "secure-port", "6443"),
		ROW(APISERVER "--secure-port=", "secure-port", ""),
		/* the last occurrence wins */
		ROW(APISERVER "--v=2\0--v=4", "v", "4"),
		/* a flag alone is "true", also before another flag and at the end */
		ROW(APISERVER "--allow-privileged\0--v=2", "allow-privileged", "true"),
		ROW(APISERVER "--v=2\0--allow-privileged", "allow-privileged", "true"),
		/* a value may hold '=' and spaces */
		ROW(APISERVER "--feature-gates=A=true,B=false", "feature-gates", "A=true,B=false"),
		ROW(APISERVER "--x=a b", "x", "a b"),
		/* neither a longer nor a shorter name */
		ROW(APISERVER "--secure-port-x=1", "secure-port", NULL),
		ROW(APISERVER "--secure=1", "secure-port", NULL),
		ROW(APISERVER "secure-port=1", "secure-port", NULL),
		ROW(APISERVER, "secure-port", NULL),
		/* argv[0] is no flag */
		ROW("--secure-port=1", "secure-port", NULL),
		/* a last argument without its NUL */
		{APISERVER "--v=2", sizeof(APISERVER "--v=2") - 1, "v", "2"},
#undef ROW
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct wiring_flags *f = parse(rows[i].cmdline, rows[i].len);
		const char *got = wiring_flag(f, rows[i].name);

		if (rows[i].want ? !got || strcmp(got, rows[i].want) != 0 : got != NULL)
			fail_msg("row %zu: %s, wanted %s", i, got ? got : "(none)",
				rows[i].want ? rows[i].want : "(none)");
		wiring_flags_free(f);
	}
}

static void test_first_of_a_list(void **state)
{
	static const char line[] = APISERVER "--a=one\0--b=one,two\0--c=,two\0--d=";
	struct wiring_flags *f = parse(line, sizeof(line));
	char *a = wiring_flag_first(f, "a"), *b = wiring_flag_first(f, "b");

	assert_string_equal(a, "one");
	assert_string_equal(b, "one");
	assert_null(wiring_flag_first(f, "c"));
	assert_null(wiring_flag_first(f, "d"));
	assert_null(wiring_flag_first(f, "e"));
	free(a);
	free(b);
	wiring_flags_free(f);
}

static void test_sizes(void **state)
{
	size_t n = 300 * 1024;
	char *big = calloc(1, n);
	struct wiring_flags *f = NULL;
	struct km_err err = {0};

	assert_int_equal(wiring_flags_parse("", 0, &f, &err), -EINVAL);
	assert_mentions(&err, "0 bytes");
	assert_int_equal(wiring_flags_parse(big, n, &f, &err), -EINVAL);
	/* more arguments than are looked at: the first ones count */
	memcpy(big, APISERVER "--v=2", sizeof(APISERVER "--v=2"));
	assert_int_equal(wiring_flags_parse(big, 8000, &f, &err), 0);
	assert_string_equal(wiring_flag(f, "v"), "2");
	wiring_flags_free(f);
	free(big);
}

/* ---- finding the process ---- */

static int find(struct fake_proc *p, bool any_network, pid_t *ret_pid)
{
	struct wiring_flags *f = NULL;
	int r = wiring_flags_find(p->root, "kube-apiserver", any_network, &f, NULL);

	if (r == 0) {
		*ret_pid = wiring_flags_pid(f);
		wiring_flags_free(f);
	}
	return r;
}

static void test_find(void **state)
{
	struct fake_proc p;
	struct wiring_flags *f = NULL;
	struct km_err err = {0};
	char *path;
	pid_t pid;

	fake_proc_make(&p);
	assert_int_equal(wiring_flags_find(p.root, "kube-apiserver", false, &f, &err), -ENOENT);
	assert_mentions(&err, "kube-apiserver");
	FAKE_PROCESS(&p, 300, "/usr/bin/vim\0kube-apiserver", "net:[1]", "300", NULL);
	FAKE_PROCESS(&p, 301, "/bin/kube-apiserver-wrapper\0--v=9", "net:[1]", "301", NULL);
	fake_process(&p, 302, "", 0, "net:[1]", "302", NULL); /* a kernel thread */
	assert_int_equal(find(&p, false, &pid), -ENOENT);
	FAKE_PROCESS(&p, 1200, "kube-apiserver\0--v=2\0--client-ca-file=ssl/ca.pem\0--tls-cert-file=/a/b.pem",
		"net:[1]", "1200", "/srv");
	FAKE_PROCESS(&p, 900, "/opt/kubernetes/bin/kube-apiserver\0--v=1", "net:[1]", "900", NULL);
	/* the lowest pid */
	assert_int_equal(find(&p, false, &pid), 0);
	assert_int_equal(pid, 900);
	fake_proc_remove(&p);

	fake_proc_make(&p);
	FAKE_PROCESS(&p, 1200, "kube-apiserver\0--client-ca-file=ssl/ca.pem\0--tls-cert-file=/a/b.pem", "net:[1]",
		"1200", "/srv");
	assert_int_equal(wiring_flags_find(p.root, "kube-apiserver", false, &f, &err), 0);
	path = wiring_flag_path(f, "client-ca-file");
	assert_string_equal(path, "/srv/ssl/ca.pem");
	free(path);
	path = wiring_flag_path(f, "tls-cert-file");
	assert_string_equal(path, "/a/b.pem");
	free(path);
	assert_null(wiring_flag_path(f, "absent"));
	wiring_flags_free(f);
	fake_proc_remove(&p);
	assert_true(wiring_flags_find("/nonexistent", "kube-apiserver", false, &f, &err) < 0);
	assert_mentions(&err, "/nonexistent");
}

static void test_hyperkube(void **state)
{
	struct fake_proc p;
	struct wiring_flags *f = NULL;

	fake_proc_make(&p);
	FAKE_PROCESS(&p, 10, "/opt/hyperkube\0kube-apiserver\0--v=3", "net:[1]", "10", NULL);
	FAKE_PROCESS(&p, 9, "/opt/hyperkube\0kube-scheduler\0--v=4", "net:[1]", "9", NULL);
	assert_int_equal(wiring_flags_find(p.root, "kube-apiserver", false, &f, NULL), 0);
	assert_string_equal(wiring_flag(f, "v"), "3");
	wiring_flags_free(f);
	fake_proc_remove(&p);
}

/* Whose process is it? Ours unless it is in another network, or, where that cannot be told, has pids of its own. */
static void test_elsewhere(void **state)
{
	static const struct {
		const char *network, *nspid;
		bool any_network;
		int want;
	} rows[] = {
		{"net:[1]", "50", false, 0},
		{"net:[1]", "50\t7", false, 0}, /* host network in a container: a static pod of this host */
		{"net:[2]", "50", false, -ENOENT},
		{"net:[2]", "50\t7", false, -ENOENT},
		{NULL, "50", false, 0},
		{NULL, "50\t7", false, -ENOENT},
		/* the keeper has a network of its own: there it says nothing */
		{"net:[2]", "50", true, 0},
		{"net:[1]", "50\t7", true, -ENOENT},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct fake_proc p;
		pid_t pid;
		int r;

		fake_proc_make(&p);
		FAKE_PROCESS(&p, 50, "kube-apiserver\0--v=1", rows[i].network, rows[i].nspid, NULL);
		r = find(&p, rows[i].any_network, &pid);
		fake_proc_remove(&p);
		if (r != rows[i].want)
			fail_msg("row %zu: %d, wanted %d", i, r, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_first_of_a_list),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_hyperkube),
		cmocka_unit_test(test_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
