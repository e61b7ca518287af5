/* SPDX-License-Identifier: Apache-2.0 */
#include "core/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/support/check.h"

#define NOBODY ((uid_t)-1), ((gid_t)-1)

static char folder[64];

/* A path below the test's folder, in one of a few turning buffers. */
static const char *at(const char *name)
{
	static char paths[4][256];
	static unsigned turn;
	char *path = paths[turn++ % KM_ARRAY_LEN(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%.40s/km-file-XXXXXX", tmp ? tmp : "/tmp");
	return mkdtemp(folder) ? 0 : -1;
}

/* Removes what stands in the folder (one level, and empty folders) and says how many entries there were. */
static int empty(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int n = 0;

	while (dir && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		n++;
		if (unlinkat(dirfd(dir), entry->d_name, 0) < 0)
			unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	}
	if (dir)
		closedir(dir);
	return n;
}

static int teardown(void **state)
{
	empty(folder);
	return rmdir(folder);
}

static int entries(void)
{
	DIR *dir = opendir(folder);
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static void put(const char *name, const char *text)
{
	struct km_err err = {0};

	if (km_file_write_atomic(at(name), text, strlen(text), 0600, NOBODY, &err) < 0)
		fail_msg("%s", err.text);
}

static void assert_holds(const char *name, const char *text)
{
	_cleanup_free_ char *data = NULL;
	size_t len;
	struct km_err err = {0};

	if (km_file_read(at(name), 1 << 20, &data, &len, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(len, strlen(text));
	assert_string_equal(data, text);
}

static void reading_is_bounded(void **state)
{
	char *data = NULL;
	size_t len;
	struct km_err err = {0};

	put("a", "0123456789");
	assert_int_equal(km_file_read(at("a"), 10, &data, &len, &err), 0);
	assert_int_equal(len, 10);
	assert_int_equal(data[10], '\0');
	free(data);
	data = NULL;
	assert_int_equal(km_file_read(at("a"), 9, &data, &len, &err), -EFBIG);
	assert_mentions(&err, folder);
	assert_mentions(&err, "9 bytes");
	assert_null(data);
	put("b", "");
	assert_int_equal(km_file_read(at("b"), 0, &data, &len, NULL), 0);
	assert_int_equal(len, 0);
	assert_string_equal(data, "");
	free(data);
}

static void reading_wants_a_file(void **state)
{
	char *data = NULL;
	size_t len;
	struct km_err err = {0};

	assert_int_equal(km_file_read(at("none"), 10, &data, &len, &err), -ENOENT);
	assert_mentions(&err, "/none");
	/* A FIFO without a writer would block for good. */
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	assert_int_equal(km_file_read(at("fifo"), 10, &data, &len, &err), -EINVAL);
	assert_mentions(&err, "not a regular file");
	assert_int_equal(km_file_read(folder, 10, &data, &len, &err), -EINVAL);
	assert_int_equal(km_file_read("/dev/zero", 10, &data, &len, &err), -EINVAL);
	assert_null(data);
}

/* Files in /proc say that they have no size. */
static void reading_does_not_trust_the_size(void **state)
{
	_cleanup_free_ char *data = NULL;
	size_t len;

	assert_int_equal(km_file_read("/proc/self/status", 1 << 20, &data, &len, NULL), 0);
	assert_true(len > 100);
	assert_non_null(strstr(data, "Pid:"));
}

static void writing_replaces(void **state)
{
	struct stat st, other;
	mode_t before = umask(0077);
	struct km_err err = {0};

	put("a", "old");
	put("target", "kept");
	assert_int_equal(symlink(at("target"), at("link")), 0);
	assert_int_equal(km_file_write_atomic(at("a"), "new", 3, 0644, getuid(), getgid(), &err), 0);
	assert_holds("a", "new");
	assert_int_equal(stat(at("a"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644); /* whatever the umask */
	assert_int_equal(st.st_nlink, 1);
	/* A link is replaced, never written through. */
	assert_int_equal(km_file_write_atomic(at("link"), "new", 3, 0400, NOBODY, &err), 0);
	assert_holds("target", "kept");
	assert_int_equal(lstat(at("link"), &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0400);
	assert_int_equal(stat(at("target"), &other), 0);
	assert_true(other.st_ino != st.st_ino);
	assert_int_equal(entries(), 3);
	umask(before);
}

static void a_failed_write_leaves_no_trace(void **state)
{
	static char large[8192];
	char path[PATH_MAX + 10];
	struct km_err err = {0};
	struct rlimit before, limit;

	put("a", "old");
	assert_int_equal(mkdir(at("dir"), 0700), 0);
	assert_int_equal(km_file_write_atomic(at("dir"), "x", 1, 0600, NOBODY, &err), -EISDIR);
	assert_mentions(&err, "/dir");
	assert_int_equal(km_file_write_atomic(at("none/a"), "x", 1, 0600, NOBODY, &err), -ENOENT);
	assert_mentions(&err, "/none/a");
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(km_file_write_atomic(path, "x", 1, 0600, NOBODY, &err), -ENAMETOOLONG);
	/* a full disk */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = (struct rlimit){.rlim_cur = 1024, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(km_file_write_atomic(at("a"), large, sizeof(large), 0600, NOBODY, &err), -EFBIG);
	assert_int_equal(km_file_create_atomic(at("b"), large, sizeof(large), 0600, NOBODY, &err), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_holds("a", "old");
	assert_int_equal(entries(), 2);
}

static void creating_never_replaces(void **state)
{
	struct km_err err = {0};
	struct stat st;

	assert_int_equal(km_file_create_atomic(at("a"), "first", 5, 0640, NOBODY, &err), 0);
	assert_int_equal(km_file_create_atomic(at("a"), "second", 6, 0640, NOBODY, &err), -EEXIST);
	assert_mentions(&err, "/a");
	assert_holds("a", "first");
	assert_int_equal(stat(at("a"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_nlink, 1);
	/* a link that leads nowhere is there, too */
	assert_int_equal(symlink("nowhere", at("b")), 0);
	assert_int_equal(km_file_create_atomic(at("b"), "x", 1, 0640, NOBODY, &err), -EEXIST);
	assert_int_equal(entries(), 2);
}

static void streams_replace_whole(void **state)
{
	struct km_err err = {0};
	struct km_file_stream f;
	struct rlimit before, limit;
	static const char large[4096];

	put("a", "old");
	put("a.new", "left behind by a process that was killed");
	assert_int_equal(km_file_stream_open(&f, at("a"), &err), 0);
	assert_int_equal(km_file_stream_add(&f, "one ", 4, &err), 0);
	assert_int_equal(km_file_stream_add(&f, "two", 3, &err), 0);
	assert_holds("a", "old");
	assert_int_equal(km_file_stream_commit(&f, &err), 0);
	km_file_stream_abort(&f);
	assert_holds("a", "one two");
	assert_int_equal(entries(), 1);
	/* given up */
	assert_int_equal(km_file_stream_open(&f, at("a"), &err), 0);
	assert_int_equal(km_file_stream_add(&f, "x", 1, &err), 0);
	km_file_stream_abort(&f);
	/* a full disk */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = (struct rlimit){.rlim_cur = 1024, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(km_file_stream_open(&f, at("a"), &err), 0);
	assert_int_equal(km_file_stream_add(&f, large, sizeof(large), &err), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_mentions(&err, "/a");
	km_file_stream_abort(&f);
	/* no folder */
	assert_int_equal(km_file_stream_open(&f, at("none/a"), &err), -ENOENT);
	km_file_stream_abort(&f);
	assert_holds("a", "one two");
	assert_int_equal(entries(), 1);
}

static void folders_are_made(void **state)
{
	struct km_err err = {0};
	struct stat st;
	mode_t before = umask(0022);

	assert_int_equal(km_mkdir_p(at("x/y//z/"), 0750, &err), 0);
	assert_int_equal(stat(at("x/y/z"), &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(km_mkdir_p(at("x/y/z"), 0750, &err), 0);
	assert_int_equal(km_mkdir_p("/", 0750, &err), 0);
	put("file", "");
	assert_int_equal(km_mkdir_p(at("file/x"), 0750, &err), -ENOTDIR);
	assert_mentions(&err, "/file");
	assert_int_equal(km_mkdir_p("", 0750, &err), -EINVAL);
	umask(before);
	assert_int_equal(rmdir(at("x/y/z")), 0);
	assert_int_equal(rmdir(at("x/y")), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reading_is_bounded),
		TEST(reading_wants_a_file),
		TEST(reading_does_not_trust_the_size),
		TEST(writing_replaces),
		TEST(a_failed_write_leaves_no_trace),
		TEST(creating_never_replaces),
		TEST(streams_replace_whole),
		TEST(folders_are_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
