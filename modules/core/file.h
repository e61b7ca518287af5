/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole files: bounded reading, atomic writing. Messages name the path.
 */
#pragma once

#include <sys/types.h>

#include "core/base.h"
#include "core/err.h"

/*
 * Reads a whole regular file of at most max bytes (not O_NONBLOCK devices, not FIFOs: -EINVAL). *ret_data is
 * malloc'ed, NUL-terminated (the NUL is not counted); the caller frees it. -EFBIG when larger; else the errno of
 * open/read.
 */
int km_file_read(const char *path, size_t max, char **ret_data, size_t *ret_len, struct km_err *err) _must_check_;

/*
 * Replaces path by a file with these bytes: temporary file in the same folder (O_CREAT|O_EXCL|O_NOFOLLOW, for its owner
 * alone at first), write, fchown, fchmod to mode, fsync, rename, fsync of the folder. On any failure the old file is
 * untouched and the temporary one is gone, but for a folder that cannot be synced: then the new file is in place, and
 * may be gone after a power cut. uid/gid -1: as created. Blocks on the disk: from the loop use km_loop_work.
 */
int km_file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, uid_t uid, gid_t gid,
	struct km_err *err) _must_check_;

/* The same, but fails with -EEXIST when path exists. The file never has a second link. */
int km_file_create_atomic(const char *path, const void *data, size_t len, mode_t mode, uid_t uid, gid_t gid,
	struct km_err *err) _must_check_;

/*
 * The same in pieces, for what is too large to be in memory twice: open, any number of adds, then commit or abort
 * (which is fine after a failure and after commit). The temporary file is PATH.new, mode 0600, and replaces one that a
 * killed process has left: one writer a path.
 */
struct km_file_stream {
	char *path; /* owned; NULL: not open */
	int fd;
};
int km_file_stream_open(struct km_file_stream *f, const char *path, struct km_err *err) _must_check_;
int km_file_stream_add(struct km_file_stream *f, const void *data, size_t len, struct km_err *err) _must_check_;
int km_file_stream_commit(struct km_file_stream *f, struct km_err *err) _must_check_; /* to disk, then into place */
void km_file_stream_abort(struct km_file_stream *f);

/* Makes a folder and its missing parents (mode for those made). 0 also when it exists. */
int km_mkdir_p(const char *path, mode_t mode, struct km_err *err) _must_check_;
