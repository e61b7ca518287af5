/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leader election; see lease.h. One timer drives it: each tick first looks whether what we hold has run out, then
 * starts a try unless one is under way. A try is GET and, if the Lease is ours or free, PUT (POST when there is none);
 * the holder starts with the PUT and looks again only when somebody else has written.
 */
#include "kube/lease.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/timetext.h"

#define LEASE_MAGIC 0x6b6c6561U

#define TRY_DEADLINE_US     (5 * KM_USEC_PER_SEC) /* of each request; half of the renew deadline */
#define RELEASE_DEADLINE_US (2 * KM_USEC_PER_SEC)
#define RELEASE_TRIES_MAX   3
#define BODY_MAX            (64 * 1024)
#define DURATION_MAX_S      60 /* a record that claims more is taken for this */
#define NAME_BYTES_MAX      253
#define UID_BYTES_MAX       128
#define UUID_TEXT_SIZE      37
#define JITTER_PERMILLE     1200 /* client-go's JitterFactor 1.2 */

enum state { IDLE, TRYING, RELEASING };

struct kube_lease {
	uint32_t magic;
	struct kube_lease_config config; /* without its strings */
	char identity[KUBE_LEASE_IDENTITY_MAX];
	char *path, *collection, *api_version, *namespace_, *name; /* owned */
	struct km_timer *tick;

	enum state state;
	struct kube_call *call; /* under way, or NULL */
	uint64_t started_us;    /* when the request under way was */
	unsigned tries;         /* GETs of this try */

	bool held;
	bool wrote;          /* since the start something was sent that may have made us the holder */
	uint64_t renewed_us; /* start of the renewal that made or kept us the holder */

	json_t *object; /* owned: as read or written last; NULL: not known */
	char holder[KUBE_LEASE_IDENTITY_MAX], uid[UID_BYTES_MAX];
	uint64_t seen_us;     /* when the record was seen to have changed */
	uint64_t duration_us; /* after that it may be taken */

	struct km_err trouble;
	km_loop_fn stopped;
	void *stopped_arg;
	bool in_callback, freed;
};

static void try_get(struct kube_lease *l);

static struct kube_lease *cast(void *arg)
{
	return KM_CAST(struct kube_lease, arg, LEASE_MAGIC);
}

/* ---- life ---- */

static void destroy(struct kube_lease *l)
{
	km_timer_free(l->tick);
	json_decref(l->object);
	free(l->path);
	free(l->collection);
	free(l->api_version);
	free(l->namespace_);
	free(l->name);
	l->magic = 0;
	free(l);
}

void kube_lease_free(struct kube_lease *lease)
{
	if (!lease)
		return;
	assert(lease->magic == LEASE_MAGIC);
	kube_call_cancel(KM_TAKE(lease->call));
	km_timer_cancel(lease->tick);
	lease->state = IDLE;
	lease->held = false;
	lease->freed = true;
	if (!lease->in_callback)
		destroy(lease);
}

/* A random (version 4) UUID. */
static int make_uuid(char out[UUID_TEXT_SIZE])
{
	uint8_t b[16];

	if (RAND_bytes(b, sizeof(b)) != 1)
		return -EIO;
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	snprintf(out, UUID_TEXT_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
		b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
	return 0;
}

/* Names go into paths as they are, so they must be DNS names. */
static bool is_dns_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-.");

	return n > 0 && s[n] == '\0' && n <= NAME_BYTES_MAX && s[0] != '.';
}

static int print(char **ret, const char *fmt, ...) _printf_(2, 3);
static int print(char **ret, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(ret, fmt, ap);
	va_end(ap);
	if (n >= 0)
		return 0;
	*ret = NULL;
	return -ENOMEM;
}

static void on_tick(void *arg);

int kube_lease_new(const struct kube_lease_config *config, struct kube_lease **ret, struct km_err *err)
{
	struct kube_lease *l;
	char uuid[UUID_TEXT_SIZE];

	if (!config->version)
		return km_fail(err, -EOPNOTSUPP,
			"Lease %s/%s: the API server has no coordination.k8s.io Leases (Kubernetes before 1.12); "
			"only one instance can be told to be the active one, and this cannot be decided here",
			config->namespace_, config->name);
	if (!is_dns_name(config->namespace_) || !is_dns_name(config->name) || !is_dns_name(config->version))
		return km_fail(err, -EINVAL, "Lease %s/%s (%s): not a Kubernetes name", config->namespace_,
			config->name, config->version);
	if (!*config->host || strlen(config->host) + sizeof("_") + sizeof(uuid) > KUBE_LEASE_IDENTITY_MAX)
		return km_fail(err, -EINVAL, "Lease %s/%s: the host name is empty or too long", config->namespace_,
			config->name);
	l = calloc(1, sizeof(*l));
	if (!l)
		return km_fail(err, -ENOMEM, "Lease %s/%s: out of memory", config->namespace_, config->name);
	l->magic = LEASE_MAGIC;
	l->config = *config;
	if (l->config.retry_us == 0)
		l->config.retry_us = KUBE_LEASE_RETRY_US;
	l->config.version = l->config.namespace_ = l->config.name = l->config.host = NULL;
	if (make_uuid(uuid) < 0 || print(&l->api_version, "coordination.k8s.io/%s", config->version) < 0 ||
		print(&l->collection, "/apis/%s/namespaces/%s/leases", l->api_version, config->namespace_) < 0 ||
		print(&l->path, "%s/%s", l->collection, config->name) < 0 ||
		!(l->namespace_ = strdup(config->namespace_)) || !(l->name = strdup(config->name)) ||
		km_timer_new(kube_client_loop(config->client), on_tick, l, &l->tick) < 0) {
		destroy(l);
		return km_fail(err, -ENOMEM, "Lease %s/%s: out of memory", config->namespace_, config->name);
	}
	snprintf(l->identity, sizeof(l->identity), "%s_%s", config->host, uuid);
	*ret = l;
	return 0;
}

/* ---- what is told ---- */

/* Runs a callback; false when it freed the lease. */
#define TELL(l, call)                           \
	({                                      \
		(l)->in_callback = true;        \
		call;                           \
		(l)->in_callback = false;       \
		bool tell_alive_ = !(l)->freed; \
		if (!tell_alive_)               \
			destroy(l);             \
		tell_alive_;                    \
	})

static bool set_trouble(struct kube_lease *l, const char *text)
{
	if (strncmp(l->trouble.text, text, sizeof(l->trouble.text) - 1) == 0)
		return true;
	snprintf(l->trouble.text, sizeof(l->trouble.text), "%s", text);
	return !l->config.trouble || TELL(l, l->config.trouble(l->trouble.text, l->config.arg));
}

static bool set_lost(struct kube_lease *l, const char *text)
{
	l->held = false;
	return TELL(l, l->config.lost(text, l->config.arg));
}

/* The renewal we live on was started too long ago. */
static bool ran_out(const struct kube_lease *l)
{
	return km_boottime_us() - l->renewed_us >= KUBE_LEASE_RENEW_DEADLINE_US;
}

static bool lost_by_time(struct kube_lease *l)
{
	struct km_err err;

	km_fail(&err, -ETIMEDOUT, "it could not be renewed for %d s%s%s",
		(int)(KUBE_LEASE_RENEW_DEADLINE_US / KM_USEC_PER_SEC), *l->trouble.text ? ": " : "", l->trouble.text);
	return set_lost(l, err.text);
}

/* ---- ticks ---- */

/* When to look again: while held after the retry period, and not after it runs out; else with jitter. */
static void arm(struct kube_lease *l)
{
	uint64_t delay = l->config.retry_us, age = km_boottime_us() - l->renewed_us;

	if (l->state != TRYING)
		return;
	if (!l->held)
		delay += km_random_below(delay * JITTER_PERMILLE / 1000);
	else if (age < KUBE_LEASE_RENEW_DEADLINE_US)
		delay = KM_MIN(delay, KUBE_LEASE_RENEW_DEADLINE_US - age);
	km_timer_set(l->tick, delay);
}

bool kube_lease_valid(const struct kube_lease *lease)
{
	return lease && lease->held && lease->state == TRYING && !ran_out(lease);
}

const char *kube_lease_identity(const struct kube_lease *lease)
{
	return lease->identity;
}

const char *kube_lease_holder(const struct kube_lease *lease)
{
	return lease->holder;
}

const char *kube_lease_trouble(const struct kube_lease *lease)
{
	return lease->trouble.text;
}

/* ---- the record ---- */

static json_t *spec_of(json_t *object)
{
	return json_object_get(object, "spec");
}

static const char *member(json_t *object, const char *of, const char *key)
{
	const char *s = json_string_value(json_object_get(json_object_get(object, of), key));

	return s ? s : "";
}

/* Takes over an object that the server sent. True when the record is not the one we knew. */
static bool observe(struct kube_lease *l, json_t *object, uint64_t now_us)
{
	json_t *spec = spec_of(object);
	bool changed = !l->object || !json_equal(spec_of(l->object), spec);
	json_int_t duration_s = json_integer_value(json_object_get(spec, "leaseDurationSeconds"));

	json_decref(l->object);
	l->object = json_incref(object);
	/* of no use here; without it a PUT keeps the live ones */
	json_object_del(json_object_get(object, "metadata"), "managedFields");
	snprintf(l->uid, sizeof(l->uid), "%s", member(object, "metadata", "uid"));
	if (!changed)
		return false;
	snprintf(l->holder, sizeof(l->holder), "%s", member(object, "spec", "holderIdentity"));
	l->seen_us = now_us;
	/* The holder counts on our patience being at least our own duration, whatever stands there. */
	l->duration_us = KM_MAX(
		KUBE_LEASE_DURATION_US, (uint64_t)KM_MIN(KM_MAX(duration_s, 0), DURATION_MAX_S) * KM_USEC_PER_SEC);
	return true;
}

/* Somebody else was seen to hold it, and may still think so. */
static bool held_by_other(const struct kube_lease *l, uint64_t now_us)
{
	return *l->holder && strcmp(l->holder, l->identity) != 0 && now_us - l->seen_us < l->duration_us;
}

/* The record that makes us the holder: what is there, with our members set. */
static json_t *make_record(struct kube_lease *l, const char *holder)
{
	bool was_ours = strcmp(member(l->object, "spec", "holderIdentity"), l->identity) == 0;
	json_t *object = l->object ? json_deep_copy(l->object)
				   : json_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", l->api_version, "kind",
					     "Lease", "metadata", "name", l->name, "namespace", l->namespace_);
	json_t *spec = spec_of(object);
	json_int_t transitions = json_integer_value(json_object_get(spec, "leaseTransitions"));
	char now[KM_RFC3339_TEXT_MAX];
	int r = 0;

	if (!object)
		return NULL;
	if (!json_is_object(spec)) {
		spec = json_object();
		r |= json_object_set_new(object, "spec", spec);
	}
	km_rfc3339_format_micro(km_wall_ns(), now);
	r |= json_object_set_new(spec, "holderIdentity", json_string(holder));
	r |= json_object_set_new(
		spec, "leaseDurationSeconds", json_integer((json_int_t)(KUBE_LEASE_DURATION_US / KM_USEC_PER_SEC)));
	r |= json_object_set_new(spec, "renewTime", json_string(now));
	if (!was_ours) {
		r |= json_object_set_new(spec, "acquireTime", json_string(now));
		/* the first holder is no transition; the count of a peer may be anything */
		transitions = l->object && transitions >= 0 && transitions < INT32_MAX ? transitions + 1 : 0;
	}
	r |= json_object_set_new(spec, "leaseTransitions", json_integer(transitions));
	if (r == 0)
		return object;
	json_decref(object);
	return NULL;
}

static json_t *body_of(const struct kube_result *result)
{
	json_error_t where;
	json_t *object = result->body_len <= BODY_MAX ? json_loadb(result->body, result->body_len, 0, &where) : NULL;

	if (json_is_object(object) && json_is_object(json_object_get(object, "metadata")))
		return object;
	json_decref(object);
	return NULL;
}

/* ---- a try ---- */

static bool send_request(struct kube_lease *l, const char *method, json_t *body,
	void (*on_done)(const struct kube_result *result, void *arg))
{
	const struct kube_request request = {
		.method = method,
		.path = strcmp(method, "POST") == 0 ? l->collection : l->path,
		.body = body,
		.deadline_us = l->state == RELEASING ? RELEASE_DEADLINE_US : TRY_DEADLINE_US,
		.on_done = on_done,
		.arg = l,
	};

	l->started_us = km_boottime_us();
	return kube_request_start(l->config.client, &request, &l->call) == 0;
}

/* A try came to nothing. Another one follows with the next tick. */
static void failed(struct kube_lease *l, const char *text)
{
	if (set_trouble(l, text) && l->held && ran_out(l))
		lost_by_time(l);
}

static void failed_here(struct kube_lease *l)
{
	failed(l, "the Lease cannot be asked for: out of memory or too many calls under way");
}

static void refused(struct kube_lease *l, const struct kube_result *result)
{
	struct km_err err;

	km_fail(&err, result->error, "Lease %s/%s: %s%s", l->namespace_, l->name, result->text,
		result->error == -EACCES || result->error == -ENOENT
			? "; run kmetricsd wire apply, which puts the Lease and the right to write it there"
			: "");
	failed(l, err.text);
}

static void on_written(const struct kube_result *result, void *arg)
{
	struct kube_lease *l = cast(arg);
	json_t *object;

	l->call = NULL;
	/* Somebody wrote or deleted it since it was read: look again, once. */
	if ((result->error == -EAGAIN || result->error == -EEXIST || result->error == -ENOENT) && l->tries == 0) {
		try_get(l);
		return;
	}
	if (result->error == -EAGAIN || result->error == -EEXIST) /* somebody was quicker; the next try shows who */
		return;
	if (result->error != 0) {
		refused(l, result);
		return;
	}
	object = body_of(result);
	if (!object || strcmp(member(object, "spec", "holderIdentity"), l->identity) != 0) {
		json_decref(object);
		failed(l, "the API server's reply to the Lease we wrote is not that Lease");
		return;
	}
	observe(l, object, km_boottime_us());
	json_decref(object);
	l->renewed_us = l->started_us;
	if (!set_trouble(l, ""))
		return;
	if (ran_out(l)) { /* the answer took too long to be worth anything */
		if (l->held)
			set_lost(l, "its renewal was answered too late");
		return;
	}
	if (l->held || l->state != TRYING)
		return;
	l->held = true;
	arm(l);
	TELL(l, l->config.gained(l->config.arg));
}

static void write_record(struct kube_lease *l)
{
	json_t *record = make_record(l, l->identity);

	l->wrote = true;
	if (!record || !send_request(l, l->object ? "PUT" : "POST", record, on_written))
		failed_here(l);
	json_decref(record);
}

static void on_got(const struct kube_result *result, void *arg)
{
	struct kube_lease *l = cast(arg);
	uint64_t now = km_boottime_us();
	bool other_lease;
	json_t *object;

	l->call = NULL;
	if (result->error == -ENOENT) {
		json_decref(l->object);
		l->object = NULL;
		/* Deleted under a holder, who may not know it yet. */
		if (held_by_other(l, now))
			set_trouble(l, "");
		else
			write_record(l);
		return;
	}
	if (result->error != 0) {
		refused(l, result);
		return;
	}
	object = body_of(result);
	if (!object) {
		failed(l, "the API server's reply to a GET of the Lease is not a Lease");
		return;
	}
	/* A new Lease of the same name that nobody holds is not one that its holder has given back. */
	other_lease = *l->uid && strcmp(l->uid, member(object, "metadata", "uid")) != 0;
	if (other_lease && !*member(object, "spec", "holderIdentity") && held_by_other(l, now)) {
		json_decref(object);
		set_trouble(l, "");
		return;
	}
	observe(l, object, now);
	json_decref(object);
	if (!held_by_other(l, now)) {
		write_record(l);
		return;
	}
	if (l->held) {
		struct km_err err;

		km_fail(&err, -EBUSY, "%s holds it now", l->holder);
		if (!set_lost(l, err.text))
			return;
	}
	set_trouble(l, "");
}

static void try_get(struct kube_lease *l)
{
	l->tries++;
	if (!send_request(l, "GET", NULL, on_got))
		failed_here(l);
}

/* ---- giving back ---- */

static void release_get(struct kube_lease *l);

static void stopped(struct kube_lease *l)
{
	km_loop_fn fn = KM_TAKE(l->stopped);
	void *arg = l->stopped_arg;

	l->state = IDLE;
	l->wrote = false;
	km_timer_cancel(l->tick);
	if (fn)
		TELL(l, fn(arg));
}

static void on_released(const struct kube_result *result, void *arg)
{
	struct kube_lease *l = cast(arg);

	l->call = NULL;
	/* A renewal of ours that was cut off may have been carried out meanwhile. */
	if (result->error == -EAGAIN && l->tries < RELEASE_TRIES_MAX) {
		release_get(l);
		return;
	}
	if (result->error == 0)
		*l->holder = '\0';
	stopped(l);
}

static void on_release_got(const struct kube_result *result, void *arg)
{
	struct kube_lease *l = cast(arg);
	json_t *object = result->error == 0 ? body_of(result) : NULL, *record = NULL;
	bool sent = false;

	l->call = NULL;
	if (object) {
		observe(l, object, km_boottime_us());
		if (strcmp(l->holder, l->identity) == 0)
			record = make_record(l, "");
	}
	if (record)
		sent = send_request(l, "PUT", record, on_released);
	json_decref(record);
	json_decref(object);
	if (!sent)
		stopped(l);
}

static void release_get(struct kube_lease *l)
{
	l->tries++;
	if (!send_request(l, "GET", NULL, on_release_got))
		stopped(l);
}

/* ---- start, tick, stop ---- */

static void on_tick(void *arg)
{
	struct kube_lease *l = cast(arg);

	if (l->state == RELEASING) {
		if (l->wrote)
			release_get(l);
		else
			stopped(l);
		return;
	}
	if (l->held && ran_out(l)) {
		if (!lost_by_time(l) || l->state != TRYING)
			return;
	}
	arm(l);
	if (l->call)
		return;
	l->tries = 0;
	if (l->held && l->object)
		write_record(l);
	else
		try_get(l);
}

void kube_lease_start(struct kube_lease *lease)
{
	if (lease->state != IDLE)
		return;
	lease->state = TRYING;
	km_timer_set(lease->tick, 0);
}

void kube_lease_stop(struct kube_lease *lease, km_loop_fn done, void *arg)
{
	kube_call_cancel(KM_TAKE(lease->call));
	lease->held = false;
	lease->state = RELEASING;
	lease->stopped = done;
	lease->stopped_arg = arg;
	lease->tries = 0;
	km_timer_set(lease->tick, 0);
}
