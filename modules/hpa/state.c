/* SPDX-License-Identifier: Apache-2.0 */
#define KM_LOG_MODULE "hpa"
#include "hpa/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "hpa/memory_saved.h"
#include "kube/apply.h"

#define STATE_MAGIC 0x48505354u
#define FILE_MAX    ((size_t)64 << 20)
#define READ_US     (5 * KM_USEC_PER_SEC) /* of one ConfigMap */
#define GIVE_UP_US  (3 * KM_USEC_PER_SEC) /* waiting for ConfigMaps to be written */
#define PATH_MAX_   200

/* The file as the worker writes it. */
struct file_job {
	struct hpa_state *state; /* NULL: it has been freed */
	char *path;
	char *text;
	size_t len;
	int error;
	struct km_err err;
};

struct hpa_state {
	uint32_t magic;
	struct km_loop *loop;
	struct kube_client *client;
	struct hpa_controller *controller;
	char *path;
	json_t *from_file; /* owned: the hpas that no controller was told yet; or NULL */
	int64_t file_ns;   /* when these were saved */
	/* taking over */
	struct kube_call *reading;
	size_t part, parts;
	json_t *found;    /* owned: of the parts read so far */
	int64_t found_ns; /* when the first part was saved */
	km_loop_fn taken;
	void *taken_arg;
	/* saving */
	struct file_job *job;
	struct kube_apply *apply;
	struct kube_apply_step steps[HPA_STATE_PARTS_MAX]; /* their objects are owned */
	size_t n_steps;
	struct km_timer *give_up;
	km_loop_fn saved;
	void *saved_arg;
	bool file_failed, cluster_failed; /* as logged last */
};

static struct hpa_state *cast(void *arg)
{
	return KM_CAST(struct hpa_state, arg, STATE_MAGIC);
}

/* ---- the file ---- */

/* One part a line. */
static int parse_file(const char *text, json_t *hpas, int64_t *ret_saved_ns, struct km_err *err)
{
	for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
		json_t *document = json_loadb(text, (size_t)(end - text), 0, NULL);
		json_t *some = document ? hpa_saved_hpas(document, ret_saved_ns, err) : NULL;
		int r = some ? json_object_update(hpas, some) : -1;

		json_decref(document);
		if (r < 0)
			return km_fail(
				err, -EBADMSG, "%s", document ? "not a state of HPAs of this version" : "not JSON");
	}
	return *text ? km_fail(err, -EBADMSG, "its end is missing") : 0;
}

static void read_file(struct hpa_state *s)
{
	_cleanup_free_ char *text = NULL;
	json_t *hpas = json_object();
	struct km_err err = {0};
	size_t len;
	int r = km_file_read(s->path, FILE_MAX, &text, &len, &err);

	if (r == 0)
		r = parse_file(text, hpas, &s->file_ns, &err);
	if (r == 0) {
		s->from_file = hpas;
		return;
	}
	if (r != -ENOENT)
		km_log_m(LOG_WARNING, "%s is passed over, windows of stabilization begin anew: %s", s->path, err.text);
	json_decref(hpas);
}

/* On the worker. */
static void write_file(void *arg)
{
	struct file_job *j = arg;

	j->error = km_file_write_atomic(j->path, j->text, j->len, 0600, (uid_t)-1, (gid_t)-1, &j->err);
}

static void maybe_saved(struct hpa_state *s)
{
	km_loop_fn saved = s->saved;

	if (s->job || s->apply || !saved)
		return;
	s->saved = NULL;
	km_timer_cancel(s->give_up);
	saved(s->saved_arg);
}

static void file_written(void *arg)
{
	struct file_job *j = arg;
	struct hpa_state *s = j->state;

	if (s) {
		if (j->error < 0 && !s->file_failed)
			km_log_m(LOG_WARNING, "%s; until that works a restart begins windows of stabilization anew",
				j->err.text);
		else if (j->error == 0 && s->file_failed)
			km_log_m(LOG_NOTICE, "%s is written again", s->path);
		s->file_failed = j->error < 0;
		s->job = NULL;
	}
	free(j->path);
	free(j->text);
	free(j);
	if (s)
		maybe_saved(s);
}

/* text is taken over. */
static void start_file(struct hpa_state *s, char *text, size_t len)
{
	struct file_job *j = calloc(1, sizeof(*j));

	if (j && (j->path = strdup(s->path))) {
		j->state = s;
		j->text = text;
		j->len = len;
		s->job = j;
		if (km_loop_work(s->loop, write_file, file_written, j) == 0)
			return;
		s->job = NULL;
		free(j->path);
	}
	free(j);
	free(text);
	km_log_m(LOG_ERR, "%s is not written: out of memory, or too much to do", s->path);
}

/* ---- the ConfigMaps ---- */

static void part_name(size_t part, char out[64])
{
	if (part == 0)
		snprintf(out, 64, "%s", HPA_STATE_NAME);
	else
		snprintf(out, 64, "%s-%zu", HPA_STATE_NAME, part);
}

static void drop_steps(struct hpa_state *s)
{
	for (size_t i = 0; i < s->n_steps; i++)
		json_decref(s->steps[i].object);
	s->n_steps = 0;
}

static void reported(const struct kube_apply_step *step, enum kube_apply_outcome outcome, const char *text, void *arg)
{
	struct hpa_state *s = cast(arg);

	if (outcome != KUBE_APPLY_REFUSED && outcome != KUBE_APPLY_FAILED)
		return;
	if (!s->cluster_failed)
		km_log_m(LOG_WARNING,
			"ConfigMap %s/%s cannot be written, another master would begin windows of stabilization anew: "
			"%s; run "
			"kmetricsd wire apply",
			HPA_STATE_NAMESPACE, HPA_STATE_NAME, text);
	s->cluster_failed = true;
}

static void applied(int error, void *arg)
{
	struct hpa_state *s = cast(arg);

	s->apply = NULL;
	drop_steps(s);
	if (error == 0 && s->cluster_failed)
		km_log_m(LOG_NOTICE, "ConfigMap %s/%s is written again", HPA_STATE_NAMESPACE, HPA_STATE_NAME);
	s->cluster_failed = error != 0;
	maybe_saved(s);
}

/* False without memory. */
static bool add_step(struct hpa_state *s, const char *text, size_t parts)
{
	char name[64], count[24];

	part_name(s->n_steps, name);
	snprintf(count, sizeof(count), "%zu", parts);
	s->steps[s->n_steps] = (struct kube_apply_step){.resource = "configmaps",
		.object = json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s}}", "apiVersion", "v1", "kind", "ConfigMap",
			"metadata", "name", name, "namespace", HPA_STATE_NAMESPACE, "data", "parts", count,
			"state.json", text)};
	return s->steps[s->n_steps++].object;
}

static void start_apply(struct hpa_state *s, const struct km_buf *parts, size_t n)
{
	bool fine = true;

	if (n > HPA_STATE_PARTS_MAX)
		km_log_m(LOG_WARNING,
			"%zu parts of the HPAs' state are more than %d: the last ones are kept in %s alone", n,
			HPA_STATE_PARTS_MAX, s->path);
	n = KM_MIN(n, (size_t)HPA_STATE_PARTS_MAX);
	for (size_t i = 0; i < n && fine; i++)
		fine = add_step(s, parts[i].data, n);
	if (!fine || kube_apply_start(s->client, s->steps, s->n_steps, reported, applied, s, &s->apply) < 0) {
		drop_steps(s);
		km_log_m(LOG_ERR, "ConfigMap %s/%s is not written: out of memory", HPA_STATE_NAMESPACE, HPA_STATE_NAME);
	}
}

/* ---- saving ---- */

static void give_up(void *arg)
{
	struct hpa_state *s = cast(arg);

	kube_apply_cancel(s->apply);
	s->apply = NULL;
	drop_steps(s);
	if (s->job)
		s->job->state = NULL; /* the worker ends it, whoever waits */
	s->job = NULL;
	maybe_saved(s);
}

/* A file has the parts one a line. NULL without memory. */
static char *join(const struct km_buf *parts, size_t n, size_t *ret_len)
{
	_cleanup_buf_ struct km_buf all = KM_BUF_INIT(FILE_MAX);

	for (size_t i = 0; i < n; i++) {
		km_buf_add(&all, parts[i].data, parts[i].len);
		km_buf_addc(&all, '\n');
	}
	return km_buf_take(&all, ret_len);
}

void hpa_state_save(struct hpa_state *s, km_loop_fn done, void *arg)
{
	struct km_buf *parts = NULL;
	size_t n = 0, len;
	char *text;

	s->saved = done;
	s->saved_arg = arg;
	if (done)
		km_timer_set(s->give_up, GIVE_UP_US);
	if (s->controller && !s->job && !s->apply &&
		hpa_controller_save(s->controller, HPA_STATE_PART_MAX, &parts, &n) == 0) {
		start_apply(s, parts, n);
		if ((text = join(parts, n, &len)))
			start_file(s, text, len);
	}
	for (size_t i = 0; i < n; i++)
		km_buf_free(&parts[i]);
	free(parts);
	maybe_saved(s);
}

/* ---- taking over ---- */

static void end_reading(struct hpa_state *s)
{
	km_loop_fn taken = s->taken;
	bool newer = s->found && s->found_ns > s->file_ns;

	if (s->controller)
		hpa_controller_recall(s->controller, newer ? s->found : s->from_file, true);
	if (newer)
		km_log_m(LOG_INFO, "what the former instance remembered of %zu HPAs is taken over",
			json_object_size(s->found));
	json_decref(s->found);
	json_decref(s->from_file); /* the controller has it as long as it needs it */
	s->found = s->from_file = NULL;
	s->taken = NULL;
	if (taken)
		taken(s->taken_arg);
}

static void read_part(struct hpa_state *s);

static void on_part(const struct kube_result *result, void *arg)
{
	struct hpa_state *s = cast(arg);
	json_t *object, *data, *document = NULL, *hpas = NULL;
	struct km_err err = {0};
	const char *text;
	int64_t saved_ns = 0;

	s->reading = NULL;
	if (result->error && result->error != -ENOENT)
		km_log_m(LOG_WARNING, "what the former instance remembered of HPAs cannot be read: %s", result->text);
	object = result->error ? NULL : json_loadb(result->body, result->body_len, 0, NULL);
	data = json_object_get(object, "data");
	text = json_string_value(json_object_get(data, "state.json"));
	if (text && !(document = json_loads(text, 0, NULL)))
		(void)km_fail(&err, -EBADMSG, "not JSON");
	if (document)
		hpas = hpa_saved_hpas(document, &saved_ns, &err);
	if (*err.text)
		km_log_m(LOG_WARNING, "ConfigMap %s/%s (part %zu) is passed over: %s", HPA_STATE_NAMESPACE,
			HPA_STATE_NAME, s->part, err.text);
	if (hpas && s->part == 0) {
		const char *parts = json_string_value(json_object_get(data, "parts"));

		s->found_ns = saved_ns;
		s->parts = parts ? strtoul(parts, NULL, 10) : 1;
	}
	if (hpas && !s->found)
		s->found = json_object();
	if (hpas)
		json_object_update(s->found, hpas);
	json_decref(document);
	json_decref(object);
	if (hpas && ++s->part < KM_MIN(s->parts, (size_t)HPA_STATE_PARTS_MAX))
		read_part(s);
	else
		end_reading(s);
}

static void read_part(struct hpa_state *s)
{
	char name[64], path[PATH_MAX_];

	part_name(s->part, name);
	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/configmaps/%s", HPA_STATE_NAMESPACE, name);
	if (kube_request_start(s->client,
		    &(const struct kube_request){
			    .method = "GET", .path = path, .deadline_us = READ_US, .on_done = on_part, .arg = s},
		    &s->reading) < 0)
		end_reading(s);
}

void hpa_state_take_over(struct hpa_state *s, km_loop_fn done, void *arg)
{
	kube_call_cancel(s->reading);
	s->reading = NULL;
	json_decref(s->found);
	s->found = NULL;
	s->part = 0;
	s->parts = 1;
	s->taken = done;
	s->taken_arg = arg;
	read_part(s);
}

/* ---- life ---- */

void hpa_state_attach(struct hpa_state *s, struct hpa_controller *c)
{
	s->controller = c;
	if (c && s->from_file)
		hpa_controller_recall(c, s->from_file, false);
}

int hpa_state_new(struct km_loop *loop, struct kube_client *client, const char *dir, struct hpa_state **ret)
{
	struct hpa_state *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->magic = STATE_MAGIC;
	s->loop = loop;
	s->client = client;
	if (asprintf(&s->path, "%s/%s", dir, HPA_STATE_FILE) < 0) {
		s->path = NULL;
		hpa_state_free(s);
		return -ENOMEM;
	}
	if (km_timer_new(loop, give_up, s, &s->give_up) < 0) {
		hpa_state_free(s);
		return -ENOMEM;
	}
	read_file(s);
	*ret = s;
	return 0;
}

void hpa_state_free(struct hpa_state *s)
{
	if (!s)
		return;
	kube_call_cancel(s->reading);
	kube_apply_cancel(s->apply);
	drop_steps(s);
	if (s->job)
		s->job->state = NULL;
	km_timer_free(s->give_up);
	json_decref(s->from_file);
	json_decref(s->found);
	free(s->path);
	s->magic = 0;
	free(s);
}
