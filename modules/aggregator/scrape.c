/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scrapes of one node: when, what, and what comes of it.
 *
 * A scrape is one deadline over everything it takes: the next address when one cannot be reached, the next path on
 * 404. A node's scrapes stand on a grid of metric-resolution with a phase of its own; one that took too long skips a
 * slot instead of shifting the others.
 */
#define KM_LOG_MODULE "aggregator"
#include "aggregator/scrape.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "aggregator/prom.h"
#include "aggregator/summary.h"
#include "core/clock.h"
#include "core/log.h"

#define BODY_MAX         (16 * 1024 * 1024)      /* of /metrics/resource */
#define BACKOFF_MAX      4                       /* times metric-resolution */
#define SOON_US          KM_USEC_PER_SEC         /* within which a node that has changed is asked again */
#define ATTEMPT_MIN_US   (50 * KM_USEC_PER_MSEC) /* less is left of the deadline: not worth another attempt */
#define JITTER_PART      50                      /* of metric-resolution */
#define SLACK_PART       150                     /* of metric-resolution: scrapes due within it start together */
/* of the lane's period: */
#define REPEATED_PART    4 /* until a kubelet that had nothing new is asked again */
#define BETWEEN_GAP_PART 3 /* less than this before the usual scrape, one in between is not worth it */

#define MESSAGE_ID_PINNED       "4d1c8b0e6f2a4937a5c3e1d7f9b80246"
#define MESSAGE_ID_NODE_FAILING "9a8b7c6d5e4f43218f0e1d2c3b4a5968"

static void attempt(struct agg_scraped *n);

static struct km_log_fields about(const struct agg_scraped *n)
{
	return (struct km_log_fields){.module = KM_LOG_MODULE, .node = n->name};
}

static enum agg_kubelet_tls mode(const struct agg_scraper *s)
{
	return s->options->kubelet_insecure_tls ? AGG_TLS_INSECURE : (enum agg_kubelet_tls)s->options->kubelet_tls;
}

uint64_t agg_scrape_resolution_us(const struct agg_scraper *s)
{
	return (uint64_t)s->options->metric_resolution / 1000;
}

bool agg_scrape_is_plain(const struct agg_scraped *n)
{
	return n->plain_only || n->door.plain;
}

uint16_t agg_scrape_port(const struct agg_scraped *n)
{
	return n->door.plain ? n->plain_port : n->port;
}

const char *agg_scrape_path(const struct agg_scraped *n)
{
	bool own = n->path.at == AGG_PATH_RESOURCE && n->metrics_path && agg_target_path_ok(n->metrics_path);

	return own ? n->metrics_path : agg_path_text[n->path.at];
}

/* ---- trust ---- */

int agg_scrape_judge(X509 *leaf, STACK_OF(X509) *chain, const char *address, void *arg, struct km_err *err)
{
	struct agg_scraped *n = KM_CAST(struct agg_scraped, arg, AGG_SCRAPED_MAGIC);
	struct agg_scraper *s = n->owner;
	const struct agg_tls_question question = {
		.mode = mode(s),
		.pins = agg_pins_file_pins(s->pins),
		.pins_path = agg_pins_file_path(s->pins),
		.node = n->name,
		.uid = n->uid,
		.dialled = n->hosts[n->walk.at],
		.address = address,
		.hostname = n->hostname,
		.leaf = leaf,
		.chain = chain,
		.roots = s->roots,
		.now_s = km_wall_ns() / KM_NSEC_PER_SEC,
	};

	n->verdict = agg_kubelet_judge(&question, err);
	n->unsettled = n->verdict >= 0;
	if (n->verdict == AGG_TLS_PIN_NEW)
		km_x509_fingerprint(leaf, n->sha256);
	s->counters.pins_refused_total += n->verdict == -EKEYREVOKED;
	return KM_MIN(n->verdict, 0);
}

static void pin(struct agg_scraped *n)
{
	struct agg_scraper *s = n->owner;
	struct km_log_fields fields = about(n);
	int r = agg_pins_add(agg_pins_file_pins(s->pins), n->uid, n->name, n->sha256);

	if (r < 0) {
		km_log(LOG_ERR, &fields, "kubelet %s: its certificate could not be pinned: %s", n->name, strerror(-r));
		return;
	}
	n->verdict = AGG_TLS_PINNED;
	s->counters.pins_made_total++;
	fields.message_id = MESSAGE_ID_PINNED;
	km_log(LOG_NOTICE, &fields,
		"kubelet %s (%s): its certificate is not verified by a CA and is from now on pinned to this Node: "
		"SHA-256 %s",
		n->name, n->hosts[n->walk.at], n->sha256);
}

/* A reply came over a new connection: the other side holds the certificate's key. What was judged is remembered now. */
static void settle_trust(struct agg_scraped *n)
{
	struct agg_scraper *s = n->owner;

	if (!n->unsettled)
		return;
	n->unsettled = false;
	if (n->verdict == AGG_TLS_PIN_NEW) {
		pin(n);
	} else if (n->verdict == AGG_TLS_VERIFIED) {
		/* without room for the note only the protection against a later downgrade is lost */
		if (agg_pins_verified(agg_pins_file_pins(s->pins), n->uid, n->name) < 0)
			km_log_m(LOG_DEBUG, "kubelet %s: that it has verified cannot be remembered", n->name);
	} else if (n->verdict == AGG_TLS_UNCHECKED && !s->insecure_logged) {
		s->insecure_logged = true;
		km_log_m(LOG_WARNING, "kubelet certificates are not checked (kubelet-tls = insecure): whoever answers "
				      "at a node's address is believed");
	}
	agg_pins_file_save(s->pins);
}

/* ---- the schedule ---- */

/* When a scrape in between is due: sooner where the last one brought nothing new, for the kubelet's next sample is then
 * about to come. */
static uint64_t between_due(const struct agg_scraped *n)
{
	return n->begun_us + (n->repeated ? n->lane_us / REPEATED_PART : n->lane_us);
}

static void arm(struct agg_scraped *n)
{
	uint64_t period = agg_scrape_resolution_us(n->owner), now = km_now_us(), due = n->slot_us;

	n->between = n->lane_us > 0 && n->scraped && n->slack_failures == 0 &&
		     between_due(n) + n->lane_us / BETWEEN_GAP_PART < due;
	if (n->between) {
		due = between_due(n);
		period = n->lane_us;
	}
	km_timer_set_within(n->timer, (due > now ? due - now : 0) + km_random_below(period / JITTER_PART + 1),
		period / SLACK_PART + 1);
}

void agg_scrape_set_lane(struct agg_scraped *n, uint64_t period_us)
{
	if (n->lane_us == period_us)
		return;
	n->lane_us = period_us;
	if (km_timer_armed(n->timer))
		arm(n);
}

void agg_scrape_within(struct agg_scraped *n, uint64_t spread_us)
{
	n->slot_us = km_now_us() + km_random_below(spread_us + 1);
	arm(n);
}

void agg_scrape_soon(struct agg_scraped *n)
{
	n->slack_failures = 0;
	if (!km_timer_armed(n->timer))
		return; /* a scrape is under way; the pace is right again after it */
	agg_scrape_within(n, KM_MIN(agg_scrape_resolution_us(n->owner), SOON_US));
}

/* The slot after this one: the second scrape comes a little early, at random, which settles the node's phase. */
void agg_scrape_schedule(struct agg_scraped *n)
{
	uint64_t period = agg_scrape_resolution_us(n->owner), now = km_now_us(), steps = 1;

	if (n->between) {
		/* the usual one is still to come */
	} else if (!n->scraped) {
		n->scraped = true;
		n->slot_us += period / 2 + km_random_below(period / 2 + 1);
	} else {
		if (n->slack_failures > 1)
			steps = n->slack_failures > 2 ? BACKOFF_MAX : BACKOFF_MAX / 2;
		n->slot_us += steps * period;
	}
	if (n->slot_us < now)
		n->slot_us += (now - n->slot_us + period - 1) / period * period;
	arm(n);
}

/* ---- the outcome of a scrape ---- */

static double seconds_since(uint64_t us)
{
	return (double)(km_now_us() - us) / (double)KM_USEC_PER_SEC;
}

static void succeeded(struct agg_scraped *n)
{
	struct agg_scraper *s = n->owner;
	struct km_log_fields fields = about(n);

	if (agg_path_worked(&n->path, km_now_us())) {
		s->counters.fallbacks_total += n->path.at == AGG_PATH_SUMMARY;
		km_log(LOG_INFO, &fields, "kubelet %s is scraped at %s from now on", n->name, agg_scrape_path(n));
	}
	if (agg_door_worked(&n->door, km_now_us()))
		km_log(n->door.plain ? LOG_WARNING : LOG_INFO, &fields, "kubelet %s is scraped %s from now on", n->name,
			n->door.plain ? "without TLS, at kubelet-read-only-port," : "with TLS");
	if (n->logged)
		km_log(LOG_NOTICE, &fields, "kubelet %s is scraped again", n->name);
	n->logged = 0;
	n->failures = n->slack_failures = 0;
	free(n->error);
	n->error = NULL;
	n->last_success_ns = s->newest_success_ns = km_wall_ns();
	agg_histogram_observe(&s->scrapes, &agg_buckets_requests, seconds_since(n->begun_us));
	if (!agg_scrape_storage(n))
		agg_scrape_schedule(n);
}

/* Not there, or not now: may well be over by the next scrape. */
static bool passes(int cause)
{
	return cause == -ETIMEDOUT || cause == -ECONNREFUSED || cause == -ECONNRESET || cause == -EHOSTUNREACH ||
	       cause == -ENETUNREACH;
}

/*
 * cause: a negative errno or an HTTP status. Logged when it is another than the last time, and not while it may be a
 * hiccup: one missed scrape loses nothing.
 */
static void failed(struct agg_scraped *n, int cause, const char *fmt, ...) _printf_(3, 4);

static void failed(struct agg_scraped *n, int cause, const char *fmt, ...)
{
	struct km_log_fields fields = about(n);
	char text[2 * KM_ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n->owner->counters.scrape_failures_total++;
	n->failures++;
	/* a kubelet that is known to be down, or where nobody listens, is asked less often; one that is slow is not */
	n->slack_failures = !n->ready || (passes(cause) && cause != -ETIMEDOUT) ? n->slack_failures + 1 : 0;
	free(n->error);
	n->error = strdup(text);
	if (cause != n->logged && !(passes(cause) && n->last_success_ns && n->failures == 1)) {
		n->logged = cause;
		fields.message_id = MESSAGE_ID_NODE_FAILING;
		/* Kubernetes itself tells of a node that is not ready */
		km_log(n->ready ? LOG_WARNING : LOG_NOTICE, &fields, "kubelet %s cannot be scraped: %s", n->name, text);
	}
	agg_scrape_schedule(n);
}

static const char *advice(int error)
{
	switch (error) {
	case -ECONNREFUSED:
	case -ECONNRESET:
		return "; is the kubelet running there?";
	case -ETIMEDOUT:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
		return "; is the host up, and does a firewall let us through to it?";
	default:
		return "";
	}
}

/* Whom the kubelet takes us for. */
static char *our_user(const struct agg_scraper *s)
{
	return s->identity ? km_x509_cn(sk_X509_value(s->identity->chain, 0)) : NULL;
}

static void refused(struct agg_scraped *n, int status)
{
	_cleanup_free_ char *user = our_user(n->owner);
	const char *name = user ? user : "(no client certificate)", *host = n->hosts[n->walk.at];

	if (status == 401)
		failed(n, status,
			"%s:%u: 401 Unauthorized: the kubelet does not accept our client certificate, user %s; its "
			"--client-ca-file must be the cluster CA. If the certificate is missing or of another CA, run "
			"kmetricsd wire apply",
			host, agg_scrape_port(n), name);
	else
		failed(n, status, "%s:%u: 403 Forbidden: user %s lacks the permission get %s; run kmetricsd wire apply",
			host, agg_scrape_port(n), name,
			n->path.at == AGG_PATH_SUMMARY ? "nodes/stats (and nodes/metrics)" : "nodes/metrics");
}

/* ---- reading the reply ---- */

static int parse(
	struct agg_scraped *n, const struct km_fetch_result *result, struct agg_prom_stats *stats, struct km_err *err)
{
	struct agg_store *store = n->owner->store;
	int r;

	if (n->path.at == AGG_PATH_SUMMARY)
		return agg_summary_parse(
			result->body, result->body_len, result->started_wall_ns, agg_store_line, store, stats, err);
	r = agg_prom_parse(result->body, result->body_len, result->started_wall_ns, agg_store_line, store, stats);
	if (r < 0)
		return km_fail(err, r,
			"the reply of %s holds none of the series a kubelet has there; is something else listening on "
			"port %u?",
			agg_scrape_path(n), agg_scrape_port(n));
	return 0;
}

static void note_limit(struct agg_scraped *n, size_t refused_lines)
{
	struct km_log_fields fields = about(n);

	if (refused_lines > 0 && !n->over_limit)
		km_log(LOG_WARNING, &fields,
			"kubelet %s lists more than %d containers, or more than %d in one pod: %zu lines are left out",
			n->name, AGG_CONTAINERS_PER_NODE_MAX, AGG_CONTAINERS_PER_POD_MAX, refused_lines);
	n->over_limit = refused_lines > 0;
}

static void take_body(struct agg_scraped *n, const struct km_fetch_result *result)
{
	struct agg_store *store = n->owner->store;
	struct agg_prom_stats stats = {0};
	struct km_err err = {0};
	int r = agg_store_begin(store, n->name);

	if (r < 0) {
		failed(n, r, "out of memory");
		return;
	}
	r = parse(n, result, &stats, &err);
	/* With nothing but its own error in it, the reply does not say that the containers are gone. */
	if (r == 0 && stats.lines == 0 && (stats.scrape_error || stats.skipped > 0))
		r = km_fail(&err, -ENODATA,
			stats.scrape_error ? "the kubelet could not read its own figures (scrape_error 1); its log "
					     "says why"
					   : "none of its figures could be read");
	if (r < 0) {
		agg_store_abort(store);
		failed(n, r, "%s:%u: %s", n->hosts[n->walk.at], agg_scrape_port(n), err.text);
		return;
	}
	agg_store_skipped(store, stats.skipped);
	note_limit(n, agg_store_commit(store, km_wall_ns()));
	n->repeated = !agg_store_landed(store);
	succeeded(n);
	if (agg_store_landed(store) && n->owner->landed)
		n->owner->landed(agg_store_landed(store), n->owner->landed_arg);
}

static uint64_t time_left(const struct agg_scraped *n)
{
	uint64_t now = km_now_us();

	return n->deadline_us > now ? n->deadline_us - now : 0;
}

/* At the port without TLS, where there is one. True: it is being asked. */
static bool try_plain(struct agg_scraped *n, int cause, bool time)
{
	if (!time || n->plain_port == 0 || !agg_door_refused(&n->door, cause))
		return false;
	agg_walk_begin(&n->walk);
	agg_path_begin(&n->path, km_now_us());
	attempt(n);
	return true;
}

static void on_fetched(const struct km_fetch_result *result, void *arg)
{
	struct agg_scraped *n = KM_CAST(struct agg_scraped, arg, AGG_SCRAPED_MAGIC);
	bool time = time_left(n) >= ATTEMPT_MIN_US;

	agg_histogram_observe(&n->timing.requests, &agg_buckets_requests, seconds_since(n->asked_us));
	if (result->error) {
		if (agg_walk_failed(&n->walk, result->error) && time)
			attempt(n);
		else if (!try_plain(n, result->error, time))
			failed(n, result->error, "%s%s", result->error_text, advice(result->error));
		return;
	}
	agg_walk_worked(&n->walk);
	settle_trust(n);
	n->owner->counters.bytes_total += result->body_len;
	switch (result->status) {
	case 200:
		take_body(n, result);
		break;
	case 401:
	case 403:
		if (!try_plain(n, result->status, time))
			refused(n, result->status);
		break;
	case 404:
		if (agg_path_missing(&n->path) && time) {
			attempt(n);
			break;
		}
		failed(n, 404, "%s:%u: it has none of the paths a kubelet serves; is something else listening there?",
			n->hosts[n->walk.at], agg_scrape_port(n));
		break;
	default:
		failed(n, result->status, "%s:%u: %s answers with status %d", n->hosts[n->walk.at], agg_scrape_port(n),
			agg_scrape_path(n), result->status);
		break;
	}
}

/* One request, to n->walk.at for n->path.at. */
static void attempt(struct agg_scraped *n)
{
	struct km_err err = {0};
	int r;

	n->asked_us = km_now_us();
	n->timing.last_request_ns = (uint64_t)km_wall_ns();
	r = km_fetch_peer_target(n->peer, n->hosts[n->walk.at], agg_scrape_port(n), agg_scrape_is_plain(n), &err);

	if (r == 0)
		r = km_fetch_get(n->peer, agg_scrape_path(n), NULL, agg_walk_share(&n->walk, time_left(n)),
			n->path.at == AGG_PATH_SUMMARY ? AGG_SUMMARY_MAX : BODY_MAX, on_fetched, n);
	if (r == -EINVAL && agg_walk_failed(&n->walk, -ENOENT)) {
		attempt(n); /* an address that is none; each is tried at most once */
		return;
	}
	if (r < 0)
		failed(n, r, "%s", *err.text ? err.text : strerror(-r));
}

void agg_scrape(void *arg)
{
	struct agg_scraped *n = KM_CAST(struct agg_scraped, arg, AGG_SCRAPED_MAGIC);
	struct agg_scraper *s = n->owner;

	assert(!km_fetch_peer_busy(n->peer)); /* the timer is armed when a scrape has ended */
	s->counters.scrapes_total++;
	n->begun_us = km_now_us();
	n->deadline_us = n->begun_us + (uint64_t)s->options->kubelet_request_timeout / 1000;
	if (n->n_hosts == 0) {
		failed(n, -EDESTADDRREQ,
			"the Node has no address of the types in kubelet-preferred-address-types; add the type it has");
		return;
	}
	agg_door_begin(&n->door, n->begun_us);
	agg_walk_begin(&n->walk);
	agg_path_begin(&n->path, km_now_us());
	attempt(n);
}
