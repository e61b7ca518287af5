/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing; see the header. */
#define KM_LOG_MODULE "aggregator"
#include "aggregator/pins_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"

#define FILE_MAGIC     0x6b6d7069u
#define FILE_MODE      0600
#define SAVE_DELAY_US  (500 * KM_USEC_PER_MSEC) /* many first handshakes make one write */
#define RETRY_DELAY_US (60 * KM_USEC_PER_SEC)   /* after a write that failed */

struct job {
	struct agg_pins_file *file; /* NULL: it has been freed */
	char *path, *text;
	size_t len;
	int error;
	struct km_err err;
};

struct agg_pins_file {
	uint32_t magic;
	struct km_loop *loop;
	struct agg_pins *pins;
	char *path;
	struct km_timer *timer;
	struct job *job;    /* under way */
	bool unsaved;       /* there is something to write */
	bool reload_wanted; /* when the job is done */
	bool failed_logged;
};

static void free_job(struct job *j)
{
	free(j->path);
	free(j->text);
	free(j);
}

/* NULL without memory. */
static struct job *new_job(const struct agg_pins_file *f)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->path = strdup(f->path);
	j->text = agg_pins_print(f->pins, &j->len);
	if (!j->path || !j->text) {
		free_job(j);
		return NULL;
	}
	return j;
}

static void job_work(void *arg)
{
	struct job *j = arg;

	j->error = km_file_write_atomic(j->path, j->text, j->len, FILE_MODE, (uid_t)-1, (gid_t)-1, &j->err);
}

static void log_outcome(struct agg_pins_file *f, const struct job *j)
{
	if (j->error < 0 && !f->failed_logged)
		km_log_m(LOG_ERR,
			"%s; until that works a restart forgets which kubelet certificates were pinned or verified",
			j->err.text);
	else if (j->error == 0 && f->failed_logged)
		km_log_m(LOG_NOTICE, "%s is written again", f->path);
	f->failed_logged = j->error < 0;
}

static void job_done(void *arg)
{
	struct job *j = arg;
	struct agg_pins_file *f = j->file;

	if (f) {
		f->job = NULL;
		log_outcome(f, j);
		if (f->reload_wanted) {
			agg_pins_file_reload(f);
		} else if (j->error < 0) {
			f->unsaved = true;
			km_timer_set(f->timer, RETRY_DELAY_US);
		} else if (f->unsaved) {
			km_timer_set(f->timer, SAVE_DELAY_US);
		}
	}
	free_job(j);
}

static void on_timer(void *arg)
{
	struct agg_pins_file *f = KM_CAST(struct agg_pins_file, arg, FILE_MAGIC);
	struct job *j;

	if (f->job || !f->unsaved || agg_pins_damaged(f->pins))
		return;
	j = new_job(f);
	if (!j || km_loop_work(f->loop, job_work, job_done, j) < 0) {
		if (j)
			free_job(j);
		km_timer_set(f->timer, RETRY_DELAY_US);
		return;
	}
	j->file = f;
	f->job = j;
	f->unsaved = false;
}

void agg_pins_file_save(struct agg_pins_file *f)
{
	if (!agg_pins_take_changed(f->pins))
		return;
	f->unsaved = true;
	if (!f->job && !km_timer_armed(f->timer))
		km_timer_set(f->timer, SAVE_DELAY_US);
}

static void read_file(struct agg_pins_file *f)
{
	_cleanup_free_ char *text = NULL;
	struct km_err err = {0};
	size_t len;
	int r = km_file_read(f->path, AGG_PINS_TEXT_MAX, &text, &len, &err);

	if (r == -ENOENT) {
		agg_pins_clear(f->pins);
		return;
	}
	if (r == 0) {
		r = agg_pins_parse(f->pins, text, len, &err);
		if (r < 0)
			km_err_prefix(&err, "%s", f->path);
	}
	if (r == 0)
		return;
	agg_pins_mark_damaged(f->pins);
	km_log_m(LOG_ERR,
		"%s; no kubelet certificate is pinned until that is mended, or the file removed (then every kubelet is "
		"trusted anew at first sight), and systemctl reload kmetricsd run",
		err.text);
}

void agg_pins_file_reload(struct agg_pins_file *f)
{
	if (f->job) {
		f->reload_wanted = true;
		return;
	}
	f->reload_wanted = false;
	f->unsaved = false;
	km_timer_cancel(f->timer);
	read_file(f);
}

int agg_pins_file_new(struct km_loop *loop, const char *dir, struct agg_pins_file **ret, struct km_err *err)
{
	struct agg_pins_file *f = calloc(1, sizeof(*f));

	if (!f)
		return km_fail(err, -ENOMEM, "out of memory");
	f->magic = FILE_MAGIC;
	f->loop = loop;
	if (asprintf(&f->path, "%s/%s", dir, AGG_PINS_FILE) < 0)
		f->path = NULL;
	if (!f->path || agg_pins_new(&f->pins) < 0 || km_timer_new(loop, on_timer, f, &f->timer) < 0) {
		agg_pins_file_free(f);
		return km_fail(err, -ENOMEM, "out of memory");
	}
	read_file(f);
	*ret = f;
	return 0;
}

/* A write under way cannot be waited for without blocking the loop; what changed after it began is lost. */
static void save_now(struct agg_pins_file *f)
{
	struct job *j;

	agg_pins_file_save(f);
	if (!f->unsaved || f->job || agg_pins_damaged(f->pins) || !(j = new_job(f)))
		return;
	job_work(j);
	log_outcome(f, j);
	free_job(j);
}

void agg_pins_file_free(struct agg_pins_file *f)
{
	if (!f)
		return;
	if (f->timer) {
		save_now(f);
		km_timer_free(f->timer);
	}
	if (f->job)
		f->job->file = NULL;
	agg_pins_free(f->pins);
	free(f->path);
	f->magic = 0;
	free(f);
}

struct agg_pins *agg_pins_file_pins(struct agg_pins_file *f)
{
	return f->pins;
}

const char *agg_pins_file_path(const struct agg_pins_file *f)
{
	return f->path;
}
