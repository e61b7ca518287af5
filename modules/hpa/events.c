/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event recorder; see events.h. A bounded queue whose head is being written or waits for its next try; what stands
 * behind it waits, so that an event is there before it is counted up.
 */
#define KM_LOG_MODULE "hpa"
#include "hpa/events.h"

#include <errno.h>
#include <string.h>

#include "core/buf.h"
#include "core/log.h"
#include "core/timetext.h"
#include "core/utf8.h"
#include "hpa/event_correlator.h"
#include "net/url.h"

#define EVENTS_MAGIC 0x68706165U
#define DEADLINE_US  (10 * KM_USEC_PER_SEC)
#define REASON_MAX   128 /* upstream's limit */

struct job {
	struct job *next;
	json_t *event; /* owned: as it is to be created */
	bool patch;    /* it should be there: only count, time and message change */
	unsigned tries;
};

struct hpa_events {
	uint32_t magic;
	struct kube_client *client; /* borrowed */
	char *api_version;          /* owned */
	uint64_t retry_us;
	struct hpa_correlator *correlator;
	struct km_timer *timer;
	struct kube_call *call;
	struct job *first, **last;
	struct hpa_events_counters counters;
	bool failing; /* and that was logged */
};

static void start_head(struct hpa_events *e);

/* ---- making events ---- */

/* A text as JSON can hold it: cut to max bytes between characters, bytes that are no UTF-8 replaced. */
static json_t *make_text(const char *text, size_t max)
{
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(HPA_EVENT_MESSAGE_MAX + sizeof(HPA_EVENT_COMBINED));
	size_t left = strlen(text);

	km_buf_adds(&out, "");
	while (left > 0) {
		size_t n = km_utf8_length(text, left), width = n > 0 ? n : 1;

		if (out.len + width > max)
			break;
		if (n > 0)
			km_buf_add(&out, text, n);
		else
			km_buf_addc(&out, '?');
		text += width;
		left -= width;
	}
	return out.error ? NULL : json_string(out.data);
}

static const char *member(json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

static json_t *make_event(const struct hpa_events *e, json_t *metadata, const struct hpa_event_facts *facts,
	const struct hpa_event_verdict *verdict, int64_t now_ns)
{
	char first[KM_RFC3339_TEXT_MAX], last[KM_RFC3339_TEXT_MAX];
	_cleanup_buf_ struct km_buf message = KM_BUF_INIT(HPA_EVENT_MESSAGE_MAX + sizeof(HPA_EVENT_COMBINED));

	km_rfc3339_format(verdict->first_ns, first);
	km_rfc3339_format(now_ns, last);
	km_buf_adds(&message, verdict->combined ? HPA_EVENT_COMBINED : "");
	km_buf_adds(&message, facts->message);
	if (message.error)
		return NULL;
	return json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s, s:s, s:s}, s:s, s:s, s:s, s:I, s:s, s:s, "
			 "s:{s:s}, s:s, s:s}",
		"apiVersion", "v1", "kind", "Event", "metadata", "name", verdict->event_name, "namespace",
		facts->namespace_, "involvedObject", "kind", "HorizontalPodAutoscaler", "namespace", facts->namespace_,
		"name", facts->name, "uid", facts->uid, "apiVersion", e->api_version, "resourceVersion",
		member(metadata, "resourceVersion"), "type", facts->type, "reason", facts->reason, "message",
		message.data, "count", (json_int_t)verdict->count, "firstTimestamp", first, "lastTimestamp", last,
		"source", "component", HPA_EVENTS_COMPONENT, "reportingComponent", HPA_EVENTS_COMPONENT,
		"reportingInstance", "");
}

static int enqueue(struct hpa_events *e, json_t *event, bool patch)
{
	struct job *job = event ? calloc(1, sizeof(*job)) : NULL;

	if (!job) {
		json_decref(event);
		return -ENOMEM;
	}
	*job = (struct job){.event = event, .patch = patch};
	*e->last = job;
	e->last = &job->next;
	e->counters.queued++;
	if (e->first == job)
		start_head(e);
	return 0;
}

void hpa_events_post(struct hpa_events *events, json_t *hpa, const char *type, const char *reason, const char *message)
{
	json_t *metadata = json_object_get(hpa, "metadata");
	json_t *text = make_text(message, HPA_EVENT_MESSAGE_MAX), *short_reason = make_text(reason, REASON_MAX);
	const struct hpa_event_facts facts = {
		.namespace_ = member(metadata, "namespace"),
		.name = member(metadata, "name"),
		.uid = member(metadata, "uid"),
		.type = type,
		.reason = short_reason ? json_string_value(short_reason) : "",
		.message = text ? json_string_value(text) : "",
	};
	struct hpa_event_verdict verdict;
	int64_t now_ns = km_wall_ns();
	int r = text && short_reason ? 0 : -ENOMEM;

	events->counters.posted++;
	if (r == 0 && events->counters.queued >= HPA_EVENTS_QUEUE_MAX)
		r = -EAGAIN;
	if (r == 0)
		r = hpa_correlator_judge(events->correlator, &facts, km_now_us(), now_ns, &verdict);
	if (r == 0 && verdict.filtered)
		events->counters.filtered++;
	else if (r == 0)
		r = enqueue(events, make_event(events, metadata, &facts, &verdict, now_ns), verdict.count > 1);
	if (r < 0)
		events->counters.dropped++;
	json_decref(text);
	json_decref(short_reason);
}

/* ---- writing them ---- */

static void job_free(struct job *job)
{
	json_decref(job->event);
	free(job);
}

/* The head is written or given up; the next one's turn comes in the next loop turn. */
static void pop(struct hpa_events *e)
{
	struct job *job = e->first;

	e->first = job->next;
	if (!e->first)
		e->last = &e->first;
	e->counters.queued--;
	job_free(job);
	if (e->first)
		km_timer_set(e->timer, 0);
}

static void give_up(struct hpa_events *e, const char *text, bool worth_a_line)
{
	if (worth_a_line && !e->failing) {
		e->failing = true;
		km_log_m(LOG_WARNING,
			"events on HPAs cannot be written: %s; run kmetricsd wire apply if a right is missing", text);
	}
	e->counters.dropped++;
	pop(e);
}

static void retry(struct hpa_events *e, const char *text)
{
	struct job *job = e->first;

	if (++job->tries >= HPA_EVENTS_TRIES_MAX)
		give_up(e, text, true);
	else /* the first time a part of it, so that not all come back at once when an API server is back */
		km_timer_set(e->timer, job->tries == 1 ? km_random_below(e->retry_us) : e->retry_us);
}

static void on_written(const struct kube_result *result, void *arg)
{
	struct hpa_events *e = KM_CAST(struct hpa_events, arg, EVENTS_MAGIC);

	e->call = NULL;
	if (result->error == 0) {
		e->counters.written++;
		if (e->failing)
			km_log_m(LOG_NOTICE, "events on HPAs are written again");
		e->failing = false;
		pop(e);
	} else if (e->first->patch && result->error == -ENOENT) { /* it has expired */
		e->first->patch = false;
		start_head(e);
	} else if (result->status < 300 || result->status == 429 || result->status >= 500) {
		retry(e, result->text);
	} else { /* refused for good. In a namespace that is being deleted that is as it should be. */
		give_up(e, result->text, result->error == -EACCES && !strstr(result->text, "being terminated"));
	}
}

static int send_head(struct hpa_events *e)
{
	const struct job *job = e->first;
	json_t *metadata = json_object_get(job->event, "metadata"), *body;
	_cleanup_buf_ struct km_buf path = KM_BUF_INIT(KM_URL_TARGET_MAX);
	struct kube_request request = {.method = job->patch ? "PATCH" : "POST",
		.patch_type = job->patch ? "application/merge-patch+json" : NULL,
		.deadline_us = DEADLINE_US,
		.on_done = on_written,
		.arg = e};
	int r;

	km_buf_adds(&path, "/api/v1/namespaces/");
	km_url_encode(&path, member(metadata, "namespace"));
	km_buf_adds(&path, "/events");
	if (job->patch) {
		km_buf_addc(&path, '/');
		km_url_encode(&path, member(metadata, "name"));
	}
	if (path.error)
		return path.error;
	body = job->patch ? json_pack("{s:O, s:O, s:O}", "count", json_object_get(job->event, "count"), "lastTimestamp",
				    json_object_get(job->event, "lastTimestamp"), "message",
				    json_object_get(job->event, "message"))
			  : json_incref(job->event);
	if (!body)
		return -ENOMEM;
	request.path = path.data;
	request.body = body;
	r = kube_request_start(e->client, &request, &e->call);
	json_decref(body);
	return r;
}

static void start_head(struct hpa_events *e)
{
	if (send_head(e) < 0)
		retry(e, "out of memory or too many calls under way");
}

static void on_timer(void *arg)
{
	struct hpa_events *e = KM_CAST(struct hpa_events, arg, EVENTS_MAGIC);

	if (e->first && !e->call)
		start_head(e);
}

/* ---- life ---- */

int hpa_events_new(const struct hpa_events_config *config, struct hpa_events **ret)
{
	struct hpa_events *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->magic = EVENTS_MAGIC;
	e->client = config->client;
	e->retry_us = config->retry_us ? config->retry_us : HPA_EVENTS_RETRY_US;
	e->last = &e->first;
	e->api_version = strdup(config->api_version);
	if (!e->api_version || hpa_correlator_new(&e->correlator) < 0 ||
		km_timer_new(kube_client_loop(config->client), on_timer, e, &e->timer) < 0) {
		hpa_events_free(e);
		return -ENOMEM;
	}
	*ret = e;
	return 0;
}

void hpa_events_free(struct hpa_events *events)
{
	if (!events)
		return;
	assert(events->magic == EVENTS_MAGIC);
	kube_call_cancel(events->call);
	while (events->first) {
		struct job *job = events->first;

		events->first = job->next;
		job_free(job);
	}
	hpa_correlator_free(events->correlator);
	km_timer_free(events->timer);
	free(events->api_version);
	events->magic = 0;
	free(events);
}

void hpa_events_counters(const struct hpa_events *events, struct hpa_events_counters *ret)
{
	*ret = events->counters;
}
