/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One list+watch. The states follow one another like this; at most one request is under way, and the one timer is
 * either the back-off before the next request or, while a watch is silent, the time after which silence counts as
 * health.
 *
 *   LIST --complete--> WATCH --ends--> (pause) --> WATCH
 *     ^  \--fails--> (pause) --> LIST      |
 *     '------------- 410 Gone -------------'
 *
 * The first list is at resourceVersion=0: any state the API server has in memory will do. After a 410 that state may be
 * the very one that was too old, so the list is then a consistent read (no resourceVersion), else list and watch could
 * chase each other for ever.
 */
#include "kube/reflector.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/slicer.h"
#include "kube/status.h"
#include "net/url.h"

#define REFLECTOR_MAGIC 0x6b72666cU

#define ITEM_MAX     (2 * 1024 * 1024) /* etcd takes 1.5 MiB an object */
#define ENVELOPE_MAX (64 * 1024)
#define RV_MAX       128 /* opaque, in practice a 64-bit number */
#define PATH_LEN_MAX 1024

#define BACKOFF_MIN_US (800 * KM_USEC_PER_MSEC)
#define BACKOFF_MAX_US (30 * KM_USEC_PER_SEC)
#define HEALTHY_US                                                                                         \
	(60 * KM_USEC_PER_SEC) /* after this long without a failure back-off starts from its minimum again \
				*/

/*
 * A watch that nothing happens in sends nothing for up to a minute, not even its status can be seen. One that has
 * lasted this long without an error is taken for accepted; longer than the transport tries to connect (10 s).
 */
#define SETTLE_US (15 * KM_USEC_PER_SEC)

#define RETRY_AFTER_MAX_S 300 /* a longer wish of the server's is not followed */
#define LIST_DEADLINE_US  (300 * KM_USEC_PER_SEC)
#define LIST_IDLE_US      (30 * KM_USEC_PER_SEC)
#define WATCH_MIN_S       300
#define WATCH_MAX_S       600
#define WATCH_IDLE_US     (600 * KM_USEC_PER_SEC)
#define WATCH_GRACE_S     60 /* beyond the time the server was asked to end it */
#define WATCH_SHORT_US    KM_USEC_PER_SEC

#define WATCH_REFUSALS_MAX 5 /* refused this often in a row, the resourceVersion itself is suspect: list anew */

enum state { LISTING, WATCHING, PAUSED };

struct kube_reflector {
	uint32_t magic;
	struct kube_client *client; /* borrowed */
	char *path, *query;         /* owned */
	struct kube_reflector_ops ops;
	void *arg;
	uint64_t backoff_min_us, backoff_max_us, settle_us;

	enum state state;
	struct kube_call *call;   /* under way in LISTING and WATCHING */
	struct km_slicer *slicer; /* of the reply under way */
	struct km_timer *timer;
	char *resource_version; /* of the last complete list, event or bookmark; NULL: list first */
	bool consistent_list;   /* the next list is without resourceVersion=0 */
	bool synced;
	bool list_open; /* list_begin was called for the list under way */

	uint64_t started_us; /* the request under way */
	uint64_t backoff_us; /* 0: the next failure is the first */
	unsigned refusals;   /* watches refused in a row */

	/* an ERROR event of the watch under way, which decides what comes after it */
	int event_error;
	int64_t event_retry_after_s;
	struct km_err event_text;
	struct km_err stream_text; /* what the slicer found wrong with the reply under way */

	/* what was told through ->problem and still stands */
	int trouble, trouble_status;
	bool trouble_of_watch; /* then a good list does not end it */
	uint64_t bad_items;    /* of the present list and its watches */
	bool item_told;
	struct km_err item_text;

	struct kube_reflector_stats stats;
};

static void go(struct kube_reflector *r);

/* ---- telling ---- */

static void tell(struct kube_reflector *r, int error, const char *text)
{
	if (r->ops.problem)
		r->ops.problem(error, text, r->arg);
}

static void trouble(struct kube_reflector *r, int error, int status, const char *text)
{
	r->stats.failures++;
	if (r->trouble == error && r->trouble_status == status)
		return;
	r->trouble = error;
	r->trouble_status = status;
	r->trouble_of_watch = r->resource_version != NULL;
	tell(r, error, text);
}

static void in_order(struct kube_reflector *r)
{
	if (r->trouble == 0)
		return;
	r->trouble = 0;
	r->trouble_status = 0;
	if (r->item_told)
		tell(r, -EBADMSG, r->item_text.text);
	else
		tell(r, 0, NULL);
}

static void bad_item(struct kube_reflector *r, const char *text)
{
	r->stats.undecodable++;
	r->bad_items++;
	if (r->item_told)
		return;
	r->item_told = true;
	km_fail(&r->item_text, -EBADMSG, "%s: an object was left out: %s", r->path, text);
	tell(r, -EBADMSG, r->item_text.text);
}

/* ---- objects and events ---- */

static const char *version_of(json_t *object)
{
	const char *rv = json_string_value(json_object_get(json_object_get(object, "metadata"), "resourceVersion"));

	return rv && *rv && strlen(rv) <= RV_MAX ? rv : NULL;
}

static int remember(struct kube_reflector *r, const char *rv)
{
	char *copy = strdup(rv);

	if (!copy)
		return -ENOMEM;
	free(r->resource_version);
	r->resource_version = copy;
	return 0;
}

static void hand_over(struct kube_reflector *r, enum kube_event event, json_t *object)
{
	struct km_err err = {.text = ""};

	if (!json_is_object(object)) {
		bad_item(r, "it is not a JSON object");
		return;
	}
	if (r->ops.object(event, object, r->arg, &err) < 0)
		bad_item(r, err.text[0] ? err.text : "it could not be decoded");
}

static int on_listed(const char *json, size_t len, void *arg)
{
	struct kube_reflector *r = KM_CAST(struct kube_reflector, arg, REFLECTOR_MAGIC);
	json_error_t where;
	json_t *object = json_loadb(json, len, 0, &where);

	if (!object)
		bad_item(r, where.text);
	else
		hand_over(r, KUBE_LISTED, object);
	json_decref(object);
	return 0;
}

/* An ERROR event ends the watch; what it says is kept for watch_done. */
static int on_error_event(struct kube_reflector *r, json_t *object)
{
	char title[PATH_LEN_MAX + 32];
	int code;

	snprintf(title, sizeof(title), "watch of %s", r->path);
	r->event_retry_after_s = -1;
	r->event_error = kube_status_object_error(title, object, &code, &r->event_retry_after_s, &r->event_text);
	return -ECONNABORTED;
}

static int on_watched(const char *json, size_t len, void *arg)
{
	static const struct {
		const char *name;
		enum kube_event event;
	} types[] = {{"ADDED", KUBE_ADDED}, {"MODIFIED", KUBE_MODIFIED}, {"DELETED", KUBE_DELETED}};
	struct kube_reflector *r = KM_CAST(struct kube_reflector, arg, REFLECTOR_MAGIC);
	json_error_t where;
	json_t *event = json_loadb(json, len, 0, &where);
	json_t *object = json_object_get(event, "object");
	const char *type = json_string_value(json_object_get(event, "type"));
	const char *rv = version_of(object);
	int ret = 0;
	size_t i;

	if (!event || !type || !json_is_object(object)) {
		bad_item(r, event ? "a watch event without type or object" : where.text);
		goto out;
	}
	if (strcmp(type, "ERROR") == 0) {
		ret = on_error_event(r, object);
		goto out;
	}
	if (strcmp(type, "BOOKMARK") == 0) {
		r->stats.bookmarks++;
	} else {
		for (i = 0; i < KM_ARRAY_LEN(types) && strcmp(type, types[i].name) != 0; i++)
			;
		if (i == KM_ARRAY_LEN(types)) {
			bad_item(r, "a watch event of an unknown type");
			goto out;
		}
		r->stats.events++;
		hand_over(r, types[i].event, object);
	}
	if (rv)
		ret = remember(r, rv);
	r->refusals = 0;
	in_order(r);
out:
	json_decref(event);
	return ret;
}

/* ---- pauses ---- */

static void pause_for(struct kube_reflector *r, uint64_t delay_us)
{
	r->state = PAUSED;
	km_timer_set(r->timer, delay_us);
}

/* The pause after a failure: doubled each time, half of it random, never shorter than the server asked for. */
static void back_off(struct kube_reflector *r, int64_t retry_after_s)
{
	uint64_t d, wish = 0;

	r->backoff_us = r->backoff_us == 0 ? r->backoff_min_us : KM_MIN(2 * r->backoff_us, r->backoff_max_us);
	d = r->backoff_us / 2 + km_random_below(r->backoff_us / 2 + 1);
	if (retry_after_s > 0)
		wish = (uint64_t)KM_MIN(retry_after_s, (int64_t)RETRY_AFTER_MAX_S) * KM_USEC_PER_SEC +
		       km_random_below(r->backoff_min_us);
	pause_for(r, KM_MAX(d, wish));
}

static void list_anew(struct kube_reflector *r)
{
	free(r->resource_version);
	r->resource_version = NULL;
	r->consistent_list = true;
	r->refusals = 0;
}

static void refused(struct kube_reflector *r)
{
	if (++r->refusals >= WATCH_REFUSALS_MAX)
		list_anew(r);
}

static void on_timer(void *arg)
{
	struct kube_reflector *r = KM_CAST(struct kube_reflector, arg, REFLECTOR_MAGIC);

	if (r->state == PAUSED) {
		go(r);
		return;
	}
	r->refusals = 0; /* a watch that is accepted and quiet */
	in_order(r);
}

static void end_request(struct kube_reflector *r)
{
	km_timer_cancel(r->timer);
	r->call = NULL;
	km_slicer_free(r->slicer);
	r->slicer = NULL;
}

static int on_data(int status, const char *bytes, size_t n, void *arg)
{
	struct kube_reflector *r = KM_CAST(struct kube_reflector, arg, REFLECTOR_MAGIC);

	if (n == 0)
		return 0;
	r->stats.last_contact_us = km_now_us();
	if (r->state == LISTING && !r->list_open) {
		r->list_open = true;
		r->bad_items = 0;
		r->ops.list_begin(r->arg);
	}
	return km_slicer_feed(r->slicer, bytes, n, &r->stream_text);
}

/* ---- the list ---- */

static int list_finish(struct kube_reflector *r, struct km_err *err)
{
	const char *envelope, *rv;
	json_error_t where;
	json_t *object;
	size_t len;
	int ret;

	ret = km_slicer_finish(r->slicer, err);
	if (ret < 0)
		return ret;
	envelope = km_slicer_envelope(r->slicer, &len);
	object = json_loadb(envelope, len, 0, &where);
	rv = version_of(object);
	/* without a resourceVersion no watch can start where the list ends */
	ret = rv ? remember(r, rv) : km_fail(err, -EBADMSG, "the list has no resourceVersion");
	json_decref(object);
	return ret;
}

static void list_done(const struct kube_result *result, void *arg)
{
	struct kube_reflector *r = KM_CAST(struct kube_reflector, arg, REFLECTOR_MAGIC);
	struct km_err err = {.text = ""}, text;
	int error = result->error, status = result->status < 300 ? 0 : result->status;
	int64_t retry_after_s = result->retry_after_s;

	if (error != 0)
		snprintf(text.text, sizeof(text.text), "%s", result->text);
	/* the slicer's own finding says more than the transport, which only knows that we broke off */
	if (error != 0 && status == 0 && r->stream_text.text[0])
		km_fail(&text, error, "GET %s: %s", r->path, r->stream_text.text);
	if (error == 0) {
		error = list_finish(r, &err);
		if (error != 0)
			km_fail(&text, error, "GET %s: %s", r->path, err.text[0] ? err.text : "out of memory");
	}
	end_request(r);
	if (error != 0) {
		/* what was LISTED so far stays applied and nothing is swept: list_end is not called */
		if (error == -ESTALE)
			r->consistent_list = true;
		trouble(r, error, status, text.text);
		back_off(r, retry_after_s);
		return;
	}
	if (!r->list_open) { /* cannot happen with a reply that has an envelope; keeps the pairing whole */
		r->bad_items = 0;
		r->ops.list_begin(r->arg);
	}
	r->list_open = false;
	r->synced = true;
	r->consistent_list = false;
	r->stats.lists++;
	r->ops.list_end(r->arg);
	if (r->item_told && r->bad_items == 0) {
		r->item_told = false;
		if (r->trouble == 0)
			tell(r, 0, NULL);
	}
	if (!r->trouble_of_watch)
		in_order(r);
	go(r);
}

/* ---- the watch ---- */

static void watch_done(const struct kube_result *result, void *arg)
{
	struct kube_reflector *r = KM_CAST(struct kube_reflector, arg, REFLECTOR_MAGIC);
	bool accepted = result->status > 0 && result->status < 300;
	uint64_t lasted = km_now_us() - r->started_us;
	int error = result->error;

	if (error == 0)
		error = km_slicer_finish(r->slicer, &r->stream_text);
	end_request(r);
	if (accepted && lasted >= HEALTHY_US)
		r->backoff_us = 0;
	if (r->event_error == -ESTALE ||
		error == -ESTALE) { /* the history we need is gone: nothing is wrong with the server */
		list_anew(r);
		back_off(r, -1);
	} else if (r->event_error != 0) { /* the server ended it with an ERROR event */
		trouble(r, r->event_error, 0, r->event_text.text);
		refused(r);
		back_off(r, r->event_retry_after_s);
	} else if (error == 0 && lasted >= WATCH_SHORT_US) { /* its time was up */
		in_order(r);
		pause_for(r, km_random_below(r->backoff_min_us / 8 + 1));
	} else if (accepted) {
		/* Cut short, damaged, or ended at once (a sick server or a proxy; not to be asked in a tight loop): go
		 * on from the last event. Only if that fails too it is worth a line. */
		r->stats.failures++;
		back_off(r, -1);
	} else {
		trouble(r, error, result->status, result->text);
		if (result->status > 0)
			refused(r);
		back_off(r, result->retry_after_s);
	}
}

/* ---- requests ---- */

static int request_path(const struct kube_reflector *r, bool watch, unsigned seconds, char **ret)
{
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(PATH_LEN_MAX + 4 * RV_MAX + 256);

	km_buf_addf(&out, "%s?%s", r->path, r->query);
	if (*r->query)
		km_buf_addc(&out, '&');
	if (watch) {
		km_buf_addf(&out, "watch=1&allowWatchBookmarks=true&timeoutSeconds=%u&resourceVersion=", seconds);
		km_url_encode(&out, r->resource_version);
	} else {
		/* "" and an absent one mean the same: a consistent read */
		km_buf_addf(&out, "resourceVersion=%s", r->consistent_list ? "" : "0");
	}
	*ret = km_buf_take(&out, NULL);
	return *ret ? 0 : -ENOMEM;
}

static int start(struct kube_reflector *r)
{
	bool watch = r->resource_version != NULL;
	unsigned seconds = WATCH_MIN_S + (unsigned)km_random_below(WATCH_MAX_S - WATCH_MIN_S + 1);
	char *path = NULL;
	int ret;

	ret = request_path(r, watch, seconds, &path);
	if (ret < 0)
		return ret;
	r->event_error = 0;
	r->event_text.text[0] = '\0';
	r->stream_text.text[0] = '\0';
	r->list_open = false;
	ret = watch ? km_slicer_new(KM_SLICE_DOCS, ITEM_MAX, ENVELOPE_MAX, on_watched, r, &r->slicer)
		    : km_slicer_new(KM_SLICE_LIST, ITEM_MAX, ENVELOPE_MAX, on_listed, r, &r->slicer);
	if (ret == 0) {
		const struct kube_request request = {
			.method = "GET",
			.path = path,
			.deadline_us = watch ? (seconds + WATCH_GRACE_S) * KM_USEC_PER_SEC : LIST_DEADLINE_US,
			.idle_us = watch ? WATCH_IDLE_US : LIST_IDLE_US,
			.dedicated = watch,
			.on_data = on_data,
			.on_done = watch ? watch_done : list_done,
			.arg = r,
		};
		ret = kube_request_start(r->client, &request, &r->call);
	}
	free(path);
	if (ret < 0) {
		km_slicer_free(r->slicer);
		r->slicer = NULL;
		return ret;
	}
	r->started_us = km_now_us();
	r->state = watch ? WATCHING : LISTING;
	if (watch) {
		r->stats.watches++;
		if (r->trouble != 0)
			km_timer_set(r->timer, r->settle_us);
	}
	return 0;
}

static void go(struct kube_reflector *r)
{
	int ret = start(r);

	if (ret < 0) {
		struct km_err text;
		km_fail(&text, ret, "GET %s: %s", r->path,
			ret == -EAGAIN ? "too many calls under way" : "out of memory");
		trouble(r, ret, 0, text.text);
		back_off(r, -1);
	}
}

/* ---- life ---- */

int kube_reflector_new(const struct kube_reflector_config *config, struct kube_reflector **ret)
{
	struct kube_reflector *r;
	int error;

	if (strlen(config->path) + strlen(config->query) > PATH_LEN_MAX)
		return -EINVAL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->magic = REFLECTOR_MAGIC;
	r->client = config->client;
	r->ops = config->ops;
	r->arg = config->arg;
	r->backoff_min_us = config->backoff_min_us ? config->backoff_min_us : BACKOFF_MIN_US;
	r->backoff_max_us = config->backoff_max_us ? config->backoff_max_us : BACKOFF_MAX_US;
	r->settle_us = config->settle_us ? config->settle_us : SETTLE_US;
	r->path = strdup(config->path);
	r->query = strdup(config->query);
	error = r->path && r->query ? 0 : -ENOMEM;
	if (error == 0)
		error = km_timer_new(kube_client_loop(r->client), on_timer, r, &r->timer);
	if (error == 0)
		error = start(r);
	if (error < 0) {
		kube_reflector_free(r);
		return error;
	}
	*ret = r;
	return 0;
}

void kube_reflector_free(struct kube_reflector *r)
{
	if (!r)
		return;
	assert(r->magic == REFLECTOR_MAGIC);
	kube_call_cancel(r->call);
	km_slicer_free(r->slicer);
	km_timer_free(r->timer);
	free(r->resource_version);
	free(r->path);
	free(r->query);
	r->magic = 0;
	free(r);
}

bool kube_reflector_synced(const struct kube_reflector *r)
{
	return r->synced;
}

void kube_reflector_stats(const struct kube_reflector *r, struct kube_reflector_stats *ret)
{
	*ret = r->stats;
}
