/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing; see the header. */
#define KM_LOG_MODULE "aggregator"
#include "aggregator/samples_file.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"

#define FILE_MAGIC  0x6b6d7366u
#define HEADING     "kmetricsd samples "
#define VERSION     "1\n"
#define SLICE_BYTES ((size_t)256 << 10) /* a fraction of a millisecond of the loop's time */
/* a node that runs the most a node may, with the longest names, and the slice it comes on top of */
#define SLICE_MAX   (SLICE_BYTES + (size_t)AGG_CONTAINERS_PER_NODE_MAX * 1024)
#define NAMES_MAX   ((size_t)64 << 20)

/* One writing of the file. The worker has it while a slice is written, the loop between the slices. */
struct job {
	struct agg_samples_file *file; /* NULL: it has been freed */
	struct km_file_stream out;
	struct km_buf names; /* of the nodes, agg_store_node_names */
	size_t at;           /* of the next node's */
	struct km_buf slice;
	uint32_t crc;
	bool opened, last;
	char *path;
	int error;
	struct km_err err;
};

struct agg_samples_file {
	uint32_t magic;
	struct km_loop *loop;
	struct agg_store *store;
	char *path;
	struct km_timer *timer;
	uint64_t period_us;
	struct job *job;  /* under way */
	int64_t saved_ns; /* newest scrape at the start of the last writing */
	bool failed_logged;
};

/* ---- writing ---- */

static void free_job(struct job *j)
{
	if (j->opened)
		km_file_stream_abort(&j->out);
	km_buf_free(&j->names);
	km_buf_free(&j->slice);
	free(j->path);
	free(j);
}

static int64_t newest_scrape(const struct agg_samples_file *f)
{
	struct agg_store_stats stats;

	agg_store_stats(f->store, &stats);
	return stats.newest_commit_ns;
}

/* NULL without memory. */
static struct job *new_job(struct agg_samples_file *f)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->file = f;
	j->names = KM_BUF_INIT(NAMES_MAX);
	j->slice = KM_BUF_INIT(SLICE_MAX);
	j->path = strdup(f->path);
	agg_store_node_names(f->store, &j->names);
	km_buf_adds(&j->slice, HEADING VERSION);
	if (!j->path || j->names.error || j->slice.error) {
		free_job(j);
		return NULL;
	}
	f->saved_ns = newest_scrape(f);
	return j;
}

static void fill_slice(struct job *j)
{
	while (j->at < j->names.len && j->slice.len < SLICE_BYTES) {
		const char *name = j->names.data + j->at;

		agg_store_save(j->file->store, name, &j->slice);
		j->at += strlen(name) + 1;
	}
	j->last = j->at == j->names.len;
	if (j->slice.error < 0)
		j->error = km_fail(&j->err, j->slice.error, "%s: cannot be written: out of memory", j->path);
}

static int write_checksum(struct job *j)
{
	const uint32_t crc = htole32(j->crc);

	return km_file_stream_add(&j->out, &crc, sizeof(crc), &j->err);
}

/* On the worker: it touches nothing but the job. */
static void write_slice(void *arg)
{
	struct job *j = arg;

	if (!j->opened) {
		j->opened = true;
		j->error = km_file_stream_open(&j->out, j->path, &j->err);
	}
	j->crc = (uint32_t)crc32_z(j->crc, (const unsigned char *)j->slice.data, j->slice.len);
	if (j->error == 0)
		j->error = km_file_stream_add(&j->out, j->slice.data, j->slice.len, &j->err);
	if (j->error == 0 && j->last && (j->error = write_checksum(j)) == 0)
		j->error = km_file_stream_commit(&j->out, &j->err);
}

static void log_outcome(struct agg_samples_file *f, const struct job *j)
{
	if (j->error < 0 && !f->failed_logged)
		km_log_m(LOG_WARNING, "%s; until that works a restart begins without figures", j->err.text);
	else if (j->error == 0 && f->failed_logged)
		km_log_m(LOG_NOTICE, "%s is written again", f->path);
	f->failed_logged = j->error < 0;
}

static void end_job(struct job *j)
{
	struct agg_samples_file *f = j->file;

	if (f) {
		f->job = NULL;
		log_outcome(f, j);
	}
	free_job(j);
}

static void slice_written(void *arg);

static void next_slice(struct job *j)
{
	fill_slice(j);
	if (j->error == 0 && km_loop_work(j->file->loop, write_slice, slice_written, j) < 0)
		j->error = km_fail(&j->err, -EAGAIN, "%s: cannot be written: the worker is overloaded", j->path);
	if (j->error < 0)
		end_job(j);
}

static void slice_written(void *arg)
{
	struct job *j = arg;

	km_buf_reset(&j->slice);
	if (j->file && j->error == 0 && !j->last)
		next_slice(j);
	else
		end_job(j);
}

static void on_timer(void *arg)
{
	struct agg_samples_file *f = KM_CAST(struct agg_samples_file, arg, FILE_MAGIC);

	km_timer_set(f->timer, f->period_us);
	agg_store_forget_old(f->store, km_wall_ns());
	if (f->job || newest_scrape(f) == f->saved_ns || !(f->job = new_job(f)))
		return;
	next_slice(f->job);
}

void agg_samples_file_configure(struct agg_samples_file *f, uint64_t period_us)
{
	f->period_us = period_us;
	km_timer_set(f->timer, period_us);
}

static void save_now(struct agg_samples_file *f)
{
	struct job *j;

	if (f->job || newest_scrape(f) == f->saved_ns || !(j = new_job(f)))
		return;
	do {
		fill_slice(j);
		if (j->error == 0)
			write_slice(j);
		km_buf_reset(&j->slice);
	} while (j->error == 0 && !j->last);
	end_job(j);
}

/* ---- reading ---- */

/* The nodes' part of the file, or NULL and why. */
static const char *body_of(const char *data, size_t len, size_t *ret_len, struct km_err *err)
{
	const size_t heading = strlen(HEADING), begin = strlen(HEADING VERSION);
	uint32_t crc;

	if (len < begin + sizeof(crc) || memcmp(data, HEADING, heading) != 0) {
		km_fail(err, -EBADMSG, "it is cut off, or no file of samples");
		return NULL;
	}
	if (memcmp(data + heading, VERSION, strlen(VERSION)) != 0) {
		km_fail(err, -EBADMSG, "it was written by another version of kmetricsd");
		return NULL;
	}
	len -= sizeof(crc);
	memcpy(&crc, data + len, sizeof(crc));
	if (le32toh(crc) != (uint32_t)crc32_z(0, (const unsigned char *)data, len)) {
		km_fail(err, -EBADMSG, "its checksum is wrong");
		return NULL;
	}
	*ret_len = len - begin;
	return data + begin;
}

static void read_file(struct agg_samples_file *f)
{
	_cleanup_free_ char *data = NULL;
	struct km_err err = {0};
	size_t len, nodes = 0;
	const char *body;
	int r = km_file_read(f->path, AGG_SAMPLES_FILE_MAX, &data, &len, &err);

	if (r == -ENOENT)
		return;
	if (r < 0) {
		km_log_m(LOG_WARNING, "the samples of before the restart are not used: %s", err.text);
		return;
	}
	body = body_of(data, len, &len, &err);
	if (!body || agg_store_restore(f->store, body, len, km_wall_ns(), &nodes, &err) < 0) {
		km_log_m(LOG_WARNING, "the samples of before the restart are not used: %s: %s", f->path, err.text);
		return;
	}
	f->saved_ns = newest_scrape(f);
	if (nodes > 0)
		km_log_m(LOG_INFO, "samples of %zu node%s are known from before the restart", nodes,
			nodes == 1 ? "" : "s");
}

int agg_samples_file_new(struct km_loop *loop, const char *dir, struct agg_store *store, struct agg_samples_file **ret,
	struct km_err *err)
{
	struct agg_samples_file *f = calloc(1, sizeof(*f));

	if (!f)
		return km_fail(err, -ENOMEM, "out of memory");
	f->magic = FILE_MAGIC;
	f->loop = loop;
	f->store = store;
	if (asprintf(&f->path, "%s/%s", dir, AGG_SAMPLES_FILE) < 0)
		f->path = NULL;
	if (!f->path || km_timer_new(loop, on_timer, f, &f->timer) < 0) {
		free(f->path);
		free(f);
		return km_fail(err, -ENOMEM, "out of memory");
	}
	read_file(f);
	*ret = f;
	return 0;
}

void agg_samples_file_free(struct agg_samples_file *f)
{
	if (!f)
		return;
	save_now(f);
	if (f->job)
		f->job->file = NULL;
	km_timer_free(f->timer);
	free(f->path);
	f->magic = 0;
	free(f);
}
