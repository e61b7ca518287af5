/* SPDX-License-Identifier: Apache-2.0 */
/* The rules, the question as a key, the reviews under way and who waits for them; see the header. */
#include "aggregator/authz.h"

#include <errno.h>
#include <string.h>

#include "aggregator/sar_cache.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/map.h"

#define WAITER_MAGIC 0x57414954u
#define REVIEW_MAGIC 0x52455657u
#define KEY_MAX      (256 * 1024) /* a user of 32 KiB of headers and a path of 8 KiB stay far below */

struct review {
	uint32_t magic;
	struct agg_authz *authz;
	struct kube_call *call;
	struct agg_waiter *waiters; /* owned */
	bool anonymous;
	char *key; /* owned */
	size_t key_len;
};

struct agg_waiter {
	uint32_t magic;
	struct review *review;
	struct agg_waiter *next, **link;
	agg_verdict_fn fn;
	void *arg;
};

struct agg_authz {
	struct agg_reviewer reviewer;
	struct agg_sar_cache *cache;
	struct km_map under_way; /* question -> struct review, owned */
	size_t anonymous_under_way;
	uint64_t authorized_us, unauthorized_us;
	struct km_strlist open_to_all; /* borrowed: paths, or with * at the end how they begin */
	struct agg_authz_stats stats;
};

int agg_authz_new(const struct agg_reviewer *reviewer, struct agg_authz **ret)
{
	struct agg_authz *z = calloc(1, sizeof(*z));

	if (!z)
		return -ENOMEM;
	z->reviewer = *reviewer;
	if (agg_sar_cache_new(&z->cache) < 0) {
		free(z);
		return -ENOMEM;
	}
	*ret = z;
	return 0;
}

static void waiter_free(struct agg_waiter *w)
{
	if ((*w->link = w->next))
		w->next->link = w->link;
	w->review->authz->stats.waiting--;
	w->magic = 0;
	free(w);
}

/* Out of the table, so that a new question of the same kind starts anew; its waiters are the caller's business. */
static void review_forget(struct review *review)
{
	struct agg_authz *z = review->authz;

	km_map_remove(&z->under_way, review->key, review->key_len);
	z->stats.under_way--;
	if (review->anonymous)
		z->anonymous_under_way--;
}

static void review_free(struct review *review)
{
	while (review->waiters)
		waiter_free(review->waiters);
	review->magic = 0;
	free(review->key);
	free(review);
}

void agg_authz_free(struct agg_authz *z)
{
	struct km_map_entry *e;
	size_t cursor = 0;

	if (!z)
		return;
	while ((e = km_map_next(&z->under_way, &cursor))) {
		struct review *review = e->value;

		z->reviewer.cancel(z->reviewer.source, review->call);
		review_forget(review);
		review_free(review);
	}
	km_map_free(&z->under_way);
	agg_sar_cache_free(z->cache);
	free(z);
}

void agg_authz_configure(struct agg_authz *z, const struct agg_options *o)
{
	z->authorized_us = (uint64_t)o->authorization_authorized_ttl / 1000;
	z->unauthorized_us = (uint64_t)o->authorization_unauthorized_ttl / 1000;
	z->open_to_all = o->authorization_always_allow_paths;
}

/* ---- the question as bytes: fields with their lengths in front, sets in order ---- */

static void field(struct km_buf *key, const char *text)
{
	size_t n = strlen(text);

	km_buf_addf(key, "%zu:", n);
	km_buf_add(key, text, n);
}

static int add_text(const char *text, size_t len, void *key)
{
	km_buf_add(key, text, len);
	return 0;
}

/* JSON ends by itself, so it needs no length in front. */
static void requirements(struct km_buf *key, json_t *list)
{
	if (!list)
		km_buf_addc(key, '-');
	else if (json_dump_callback(list, add_text, key, JSON_COMPACT) < 0)
		key->error = key->error ? key->error : -ENOMEM;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct kube_extra *)a)->key, ((const struct kube_extra *)b)->key);
}

/* The user's sets in order, borrowed from the user: what goes into the key and into the review. */
struct sorted {
	const char **groups;
	struct kube_extra *extra;
};

static void sorted_free(struct sorted *s)
{
	free(s->groups);
	free(s->extra);
}

static int sort_user(const struct agg_user *u, struct sorted *ret)
{
	struct sorted s = {
		.groups = calloc(u->n_groups + 1, sizeof(*s.groups)),
		.extra = calloc(u->n_extra + 1, sizeof(*s.extra)),
	};

	if (!s.groups || !s.extra) {
		sorted_free(&s);
		return -ENOMEM;
	}
	for (size_t i = 0; i < u->n_groups; i++)
		s.groups[i] = u->groups[i];
	for (size_t i = 0; i < u->n_extra; i++)
		s.extra[i] = (struct kube_extra){
			.key = u->extra[i].key, .values = (const char *const *)u->extra[i].values, .n = u->extra[i].n};
	qsort(s.groups, u->n_groups, sizeof(*s.groups), by_text);
	qsort(s.extra, u->n_extra, sizeof(*s.extra), by_key);
	*ret = s;
	return 0;
}

static void make_key(
	struct km_buf *key, const struct agg_user *u, const struct sorted *s, const struct agg_attributes *what)
{
	field(key, u->name);
	field(key, u->uid);
	km_buf_addf(key, "g%zu:", u->n_groups);
	for (size_t i = 0; i < u->n_groups; i++)
		field(key, s->groups[i]);
	km_buf_addf(key, "e%zu:", u->n_extra);
	for (size_t i = 0; i < u->n_extra; i++) {
		field(key, s->extra[i].key);
		km_buf_addf(key, "v%zu:", s->extra[i].n);
		for (size_t k = 0; k < s->extra[i].n; k++)
			field(key, s->extra[i].values[k]);
	}
	field(key, what->verb);
	if (!what->resource) {
		km_buf_adds(key, "path:");
		field(key, what->path);
		return;
	}
	field(key, what->group);
	field(key, what->version);
	field(key, what->resource_name);
	field(key, what->namespace_);
	field(key, what->name);
	requirements(key, what->field_requirements);
	requirements(key, what->label_requirements);
}

/* ---- reviews ---- */

static void remember(struct agg_authz *z, const struct review *review, const struct kube_review_result *result)
{
	uint64_t ttl = result->allowed ? z->authorized_us : z->unauthorized_us;

	if (ttl > 0)
		agg_sar_cache_put(
			z->cache, review->key, review->key_len, result->allowed, result->reason, km_now_us() + ttl);
}

static void answered(const struct kube_review_result *result, void *arg)
{
	struct review *review = KM_CAST(struct review, arg, REVIEW_MAGIC);
	struct agg_authz *z = review->authz;
	enum agg_verdict verdict = result->error ? AGG_FAILED : result->allowed ? AGG_ALLOWED : AGG_DENIED;
	const char *text = result->error ? result->text : result->reason;

	review_forget(review);
	if (result->error)
		z->stats.failures_total++;
	else
		remember(z, review, result);
	/* A callback may cancel any other waiter of this review, so take the first until none is left. */
	while (review->waiters) {
		agg_verdict_fn fn = review->waiters->fn;
		void *fn_arg = review->waiters->arg;

		waiter_free(review->waiters);
		fn(verdict, text ? text : "", fn_arg);
	}
	review_free(review);
}

static const char *or_null(const char *text)
{
	return *text ? text : NULL;
}

/* Starts the review of this question and puts it into the table. 0, -EBUSY (too many) or another errno. */
static int review_start(struct agg_authz *z, const struct agg_user *u, const struct sorted *s,
	const struct agg_attributes *what, struct km_buf *key, struct review **ret)
{
	struct kube_review question = {
		.user = u->name,
		.uid = or_null(u->uid),
		.groups = s->groups,
		.n_groups = u->n_groups,
		.extra = s->extra,
		.n_extra = u->n_extra,
		.verb = what->verb,
	};
	bool anonymous = agg_user_is_anonymous(u);
	struct review *review;
	int r;

	if (z->stats.under_way >= AGG_REVIEWS_MAX || (anonymous && z->anonymous_under_way >= AGG_REVIEWS_ANONYMOUS_MAX))
		return -EBUSY;
	if (what->resource) {
		question.group = or_null(what->group);
		question.version = or_null(what->version);
		question.resource = what->resource_name;
		question.namespace_ = or_null(what->namespace_);
		question.name = or_null(what->name);
		question.field_requirements = what->field_requirements;
		question.label_requirements = what->label_requirements;
	} else {
		question.path = what->path;
	}
	if (!(review = calloc(1, sizeof(*review))))
		return -ENOMEM;
	*review = (struct review){.magic = REVIEW_MAGIC, .authz = z, .anonymous = anonymous};
	review->key = km_buf_take(key, &review->key_len);
	if (!review->key || (r = km_map_put(&z->under_way, review->key, review->key_len, review, NULL)) < 0) {
		review_free(review);
		return -ENOMEM;
	}
	z->stats.under_way++;
	z->anonymous_under_way += anonymous;
	if ((r = z->reviewer.start(z->reviewer.source, &question, answered, review, &review->call)) < 0) {
		review_forget(review);
		review_free(review);
		return r;
	}
	z->stats.reviews_total++;
	*ret = review;
	return 0;
}

static int join(struct review *review, agg_verdict_fn fn, void *arg, struct agg_waiter **ret)
{
	struct agg_waiter *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	*w = (struct agg_waiter){.magic = WAITER_MAGIC, .review = review, .fn = fn, .arg = arg};
	w->link = &review->waiters;
	if ((w->next = review->waiters))
		w->next->link = &w->next;
	review->waiters = w;
	review->authz->stats.waiting++;
	*ret = w;
	return 0;
}

void agg_authz_cancel(struct agg_waiter *waiter)
{
	waiter_free(KM_CAST(struct agg_waiter, waiter, WAITER_MAGIC));
}

/* ---- the rules ---- */

static bool is_open_to_all(const struct agg_authz *z, const char *path)
{
	for (size_t i = 0; i < z->open_to_all.n; i++) {
		const char *open = z->open_to_all.items[i];
		size_t n = strlen(open);

		if (n > 0 && open[n - 1] == '*' ? strncmp(path, open, n - 1) == 0 : strcmp(path, open) == 0)
			return true;
	}
	return false;
}

/* Allowed without asking anybody. */
static bool allowed_by_rule(const struct agg_authz *z, const struct agg_user *u, const struct agg_attributes *what)
{
	if (agg_user_in_group(u, AGG_GROUP_MASTERS))
		return true;
	if (what->resource)
		return false;
	return is_open_to_all(z, what->path) || (what->discovery && u->front_proxied && !agg_user_is_anonymous(u));
}

static enum agg_verdict failed(struct km_err *reason, int r)
{
	(void)km_fail(reason, r, "the review could not be started: %s", strerror(-r));
	return AGG_FAILED;
}

enum agg_verdict agg_authz_ask(struct agg_authz *z, const struct agg_user *u, const struct agg_attributes *what,
	uint64_t now_us, struct km_err *reason, agg_verdict_fn fn, void *arg, struct agg_waiter **ret_waiter)
{
	_cleanup_(sorted_free) struct sorted s = {0};
	_cleanup_buf_ struct km_buf key = KM_BUF_INIT(KEY_MAX);
	struct agg_sar_answer answer;
	struct review *review;
	int r;

	if (allowed_by_rule(z, u, what))
		return AGG_ALLOWED;
	if ((r = sort_user(u, &s)) < 0)
		return failed(reason, r);
	make_key(&key, u, &s, what);
	if (key.error)
		return failed(reason, key.error);
	if (agg_sar_cache_get(z->cache, key.data, key.len, now_us, &answer)) {
		z->stats.cache_hits_total++;
		if (answer.allowed)
			return AGG_ALLOWED;
		(void)km_fail(reason, -EACCES, "%s", answer.reason);
		return AGG_DENIED;
	}
	if (z->stats.waiting >= AGG_WAITERS_MAX) {
		z->stats.refused_total++;
		return AGG_TOO_MANY;
	}
	review = km_map_get(&z->under_way, key.data, key.len);
	if (!review && (r = review_start(z, u, &s, what, &key, &review)) < 0) {
		if (r != -EBUSY)
			return failed(reason, r);
		z->stats.refused_total++;
		return AGG_TOO_MANY;
	}
	if ((r = join(review, fn, arg, ret_waiter)) < 0)
		return failed(reason, r);
	return AGG_WAIT;
}

void agg_authz_stats(const struct agg_authz *z, struct agg_authz_stats *ret)
{
	*ret = z->stats;
	ret->remembered = agg_sar_cache_count(z->cache);
}
