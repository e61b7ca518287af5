/* SPDX-License-Identifier: Apache-2.0 */
#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STEP 65536

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

int km_file_read(const char *path, size_t max, char **ret_data, size_t *ret_len, struct km_err *err)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	_cleanup_free_ char *data = NULL;
	size_t len = 0, cap = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return km_fail(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return km_fail(err, -EINVAL, "%s is not a regular file", path);
	/* Not by st_size alone: files in /proc have none, and a file may grow while it is read. */
	for (;;) {
		ssize_t n;

		if (cap - len < 2) {
			size_t want = cap ? cap * 2 : (size_t)KM_MAX(st.st_size + 2, 512);
			char *more;

			want = KM_MIN(want, max + 2);
			if (want <= cap)
				return km_fail(err, -EFBIG, "%s is larger than %zu bytes", path, max);
			more = realloc(data, want);
			if (!more)
				return km_fail(err, -ENOMEM, "%s: out of memory", path);
			data = more;
			cap = want;
		}
		n = read(fd, data + len, KM_MIN(cap - len - 1, (size_t)READ_STEP * 16));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return km_fail(err, -errno, "%s: %s", path, strerror(errno));
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max)
			return km_fail(err, -EFBIG, "%s is larger than %zu bytes", path, max);
	}
	data[len] = '\0';
	*ret_data = KM_TAKE(data);
	*ret_len = len;
	return 0;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int sync_folder(const char *path)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	_cleanup_(closep) int fd = -1;

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)KM_MAX(slash - path, 1) : 1, slash ? path : ".");
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Some file systems cannot sync a folder; the rename has happened all the same. */
	return fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
}

/* Makes the temporary file with everything in it, on disk. */
static int write_temporary(const char *temporary, const void *data, size_t len, mode_t mode, uid_t uid, gid_t gid)
{
	/* 0600 until everything is right: nobody reads a key for an instant, whatever the umask. */
	_cleanup_(closep) int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, data, len);
	if (r == 0 && (uid != (uid_t)-1 || gid != (gid_t)-1) && fchown(fd, uid, gid) < 0)
		r = -errno;
	if (r == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
		r = -errno;
	if (r < 0)
		unlink(temporary);
	return r;
}

/* Renames without replacing. Not link(): kube-apiserver's file watch misses changes of a file that has, or had, a
 * second link (spec certs-and-wiring 2.2). */
static int rename_new(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* A file system without RENAME_NOREPLACE (NFS): claim the name with an empty file, then replace that. */
	_cleanup_(closep) int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (rename(from, to) < 0) {
		int e = -errno;
		unlink(to);
		return e;
	}
	return 0;
}

static int write_file(const char *path, const void *data, size_t len, mode_t mode, uid_t uid, gid_t gid, bool replace,
	struct km_err *err)
{
	char temporary[PATH_MAX];
	uint64_t random = 0;
	int r;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return km_fail(err, -EIO, "%s: no random numbers for a temporary name", path);
	if (snprintf(temporary, sizeof(temporary), "%s.tmp-%016llx", path, (unsigned long long)random) >=
		(int)sizeof(temporary))
		return km_fail(err, -ENAMETOOLONG, "%.64s...: the path is too long", path);
	r = write_temporary(temporary, data, len, mode, uid, gid);
	if (r < 0)
		return km_fail(err, r, "%s: cannot be written: %s", path, strerror(-r));
	r = replace ? (rename(temporary, path) < 0 ? -errno : 0) : rename_new(temporary, path);
	if (r < 0) {
		unlink(temporary);
		return km_fail(err, r, "%s: %s", path, strerror(-r));
	}
	r = sync_folder(path);
	return r < 0 ? km_fail(err, r, "%s: written, but its folder could not be synced: %s", path, strerror(-r)) : 0;
}

int km_file_write_atomic(
	const char *path, const void *data, size_t len, mode_t mode, uid_t uid, gid_t gid, struct km_err *err)
{
	return write_file(path, data, len, mode, uid, gid, true, err);
}

int km_file_create_atomic(
	const char *path, const void *data, size_t len, mode_t mode, uid_t uid, gid_t gid, struct km_err *err)
{
	return write_file(path, data, len, mode, uid, gid, false, err);
}

/* ---- in pieces ---- */

static int temporary_of(const struct km_file_stream *f, char *ret, size_t size)
{
	return snprintf(ret, size, "%s.new", f->path) < (int)size ? 0 : -ENAMETOOLONG;
}

static int stream_failed(struct km_file_stream *f, int r, struct km_err *err)
{
	return km_fail(err, r, "%s: cannot be written: %s", f->path, strerror(-r));
}

int km_file_stream_open(struct km_file_stream *f, const char *path, struct km_err *err)
{
	char temporary[PATH_MAX];

	*f = (struct km_file_stream){.fd = -1, .path = strdup(path)};
	if (!f->path)
		return km_fail(err, -ENOMEM, "%s: out of memory", path);
	if (temporary_of(f, temporary, sizeof(temporary)) < 0)
		return stream_failed(f, -ENAMETOOLONG, err);
	if (unlink(temporary) < 0 && errno != ENOENT)
		return stream_failed(f, -errno, err);
	f->fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return f->fd < 0 ? stream_failed(f, -errno, err) : 0;
}

int km_file_stream_add(struct km_file_stream *f, const void *data, size_t len, struct km_err *err)
{
	int r = write_all(f->fd, data, len);

	return r < 0 ? stream_failed(f, r, err) : 0;
}

int km_file_stream_commit(struct km_file_stream *f, struct km_err *err)
{
	char temporary[PATH_MAX];
	int r = temporary_of(f, temporary, sizeof(temporary));

	if (r < 0 || fsync(f->fd) < 0 || rename(temporary, f->path) < 0)
		return stream_failed(f, r < 0 ? r : -errno, err);
	closep(&f->fd);
	f->fd = -1; /* there is no temporary file any more */
	r = sync_folder(f->path);
	return r < 0 ? km_fail(err, r, "%s: written, but its folder could not be synced: %s", f->path, strerror(-r))
		     : 0;
}

void km_file_stream_abort(struct km_file_stream *f)
{
	char temporary[PATH_MAX];

	if (f->path && f->fd >= 0) {
		close(f->fd);
		if (temporary_of(f, temporary, sizeof(temporary)) == 0)
			unlink(temporary);
	}
	free(f->path);
	*f = (struct km_file_stream){.fd = -1};
}

int km_mkdir_p(const char *path, mode_t mode, struct km_err *err)
{
	char part[PATH_MAX];
	size_t len = strlen(path);

	if (len == 0)
		return km_fail(err, -EINVAL, "a folder's name is empty");
	if (len >= sizeof(part))
		return km_fail(err, -ENAMETOOLONG, "%.64s...: the path is too long", path);
	memcpy(part, path, len + 1);
	for (size_t i = 1; i <= len; i++) {
		struct stat st;

		if (part[i] != '/' && part[i] != '\0')
			continue;
		part[i] = '\0';
		if (mkdir(part, mode) < 0 && (errno != EEXIST || stat(part, &st) < 0 || !S_ISDIR(st.st_mode))) {
			int e = errno == EEXIST ? ENOTDIR : errno;
			return km_fail(err, -e, "%s: the folder cannot be made: %s", part, strerror(e));
		}
		if (i < len)
			part[i] = '/';
	}
	return 0;
}
