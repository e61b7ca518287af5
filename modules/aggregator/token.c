/* SPDX-License-Identifier: Apache-2.0 */
/* What is remembered of tokens, the reviews under way and who waits for them, and the rates; see the header. */
#include "aggregator/token.h"

#include <errno.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/clock.h"
#include "core/map.h"

#define REVIEW_MAGIC 0x544f4b52u
#define WAITER_MAGIC 0x544f4b57u
#define KEY_LEN      32 /* of HMAC-SHA256 */
#define SPACES       " \t\r\n"

/* A token that was judged. */
struct entry {
	struct entry *newer, *older;
	unsigned char key[KEY_LEN];
	uint64_t until_us;
	struct agg_user *user; /* one reference; NULL: refused */
};

struct review {
	uint32_t magic;
	struct agg_tokens *tokens;
	struct kube_call *call;
	struct agg_token_waiter *waiters; /* owned */
	unsigned char key[KEY_LEN];
};

struct agg_token_waiter {
	uint32_t magic;
	struct review *review;
	struct agg_token_waiter *next, **link;
	agg_token_fn fn;
	void *arg;
};

/* So many at once, so many a second. */
struct bucket {
	double left;
	uint64_t since_us;
};

struct peer {
	struct peer *newer, *older;
	struct bucket bucket;
	char address[]; /* the key */
};

struct agg_tokens {
	struct agg_token_reviewer reviewer;
	unsigned char secret[KEY_LEN];
	uint64_t ttl_us;
	struct km_map entries; /* by key */
	struct entry *newest, *oldest;
	struct km_map under_way; /* by key */
	struct km_map peers;     /* by address */
	struct peer *newest_peer, *oldest_peer;
	struct bucket all;
	struct agg_token_stats stats;
};

/* ---- the header ---- */

bool agg_token_find(const char *authorization, const char **ret, size_t *ret_len)
{
	const char *p = authorization + strspn(authorization, SPACES);
	size_t word = strcspn(p, " ");

	if (word != strlen("bearer") || strncasecmp(p, "bearer", word) != 0 || p[word] != ' ')
		return false;
	p += word + 1;
	*ret = p;
	*ret_len = strcspn(p, SPACES);
	return *ret_len > 0;
}

/* ---- what is remembered ---- */

/* Both lists, of tokens and of peers, are in order of use. */
#define UNLINK(newest_, oldest_, e)                                          \
	do {                                                                 \
		*((e)->newer ? &(e)->newer->older : (newest_)) = (e)->older; \
		*((e)->older ? &(e)->older->newer : (oldest_)) = (e)->newer; \
	} while (0)
#define LINK_NEWEST(newest_, oldest_, e)                                \
	do {                                                            \
		(e)->older = *(newest_);                                \
		(e)->newer = NULL;                                      \
		*(*(newest_) ? &(*(newest_))->newer : (oldest_)) = (e); \
		*(newest_) = (e);                                       \
	} while (0)

static void drop(struct agg_tokens *t, struct entry *e)
{
	km_map_remove(&t->entries, e->key, KEY_LEN);
	UNLINK(&t->newest, &t->oldest, e);
	agg_user_unref(e->user);
	free(e);
}

static struct entry *remembered(struct agg_tokens *t, const unsigned char key[KEY_LEN], uint64_t now_us)
{
	struct entry *e = km_map_get(&t->entries, key, KEY_LEN);

	if (!e)
		return NULL;
	if (now_us >= e->until_us) {
		drop(t, e);
		return NULL;
	}
	UNLINK(&t->newest, &t->oldest, e);
	LINK_NEWEST(&t->newest, &t->oldest, e);
	return e;
}

/* Without memory it is not remembered. */
static void remember(struct agg_tokens *t, const unsigned char key[KEY_LEN], struct agg_user *user)
{
	struct entry *e = km_map_get(&t->entries, key, KEY_LEN);

	if (e)
		drop(t, e);
	if (t->ttl_us == 0 || !(e = calloc(1, sizeof(*e))))
		return;
	memcpy(e->key, key, KEY_LEN);
	e->until_us = km_now_us() + t->ttl_us;
	if (km_map_put(&t->entries, e->key, KEY_LEN, e, NULL) < 0) {
		free(e);
		return;
	}
	e->user = user ? agg_user_ref(user) : NULL;
	LINK_NEWEST(&t->newest, &t->oldest, e);
	if (t->entries.count > AGG_TOKENS_MAX)
		drop(t, t->oldest);
}

/* ---- rates ---- */

static bool take(struct bucket *b, double rate, double burst, uint64_t now_us)
{
	if (b->since_us == 0)
		b->left = burst;
	else
		b->left = KM_MIN(burst, b->left + rate * (double)(now_us - b->since_us) / KM_USEC_PER_SEC);
	b->since_us = now_us;
	if (b->left < 1)
		return false;
	b->left--;
	return true;
}

static struct peer *peer_of(struct agg_tokens *t, const char *address)
{
	size_t len = strlen(address);
	struct peer *p = km_map_get(&t->peers, address, len);

	if (p) {
		UNLINK(&t->newest_peer, &t->oldest_peer, p);
		LINK_NEWEST(&t->newest_peer, &t->oldest_peer, p);
		return p;
	}
	if (!(p = calloc(1, sizeof(*p) + len + 1)))
		return NULL;
	memcpy(p->address, address, len);
	if (km_map_put(&t->peers, p->address, len, p, NULL) < 0) {
		free(p);
		return NULL;
	}
	LINK_NEWEST(&t->newest_peer, &t->oldest_peer, p);
	if (t->peers.count > AGG_TOKEN_PEERS_MAX) {
		struct peer *oldest = t->oldest_peer;

		km_map_remove(&t->peers, oldest->address, strlen(oldest->address));
		UNLINK(&t->newest_peer, &t->oldest_peer, oldest);
		free(oldest);
	}
	return p;
}

/* The peer's own share first: one that floods does not use up what others may. */
static bool may_review(struct agg_tokens *t, const char *address, uint64_t now_us)
{
	struct peer *p = peer_of(t, address);

	return p && t->stats.under_way < AGG_TOKEN_REVIEWS_MAX &&
	       take(&p->bucket, AGG_TOKEN_PEER_RATE, AGG_TOKEN_PEER_BURST, now_us) &&
	       take(&t->all, AGG_TOKEN_RATE, AGG_TOKEN_BURST, now_us);
}

/* ---- whose it is ---- */

static int add_groups(struct agg_user *u, json_t *list)
{
	json_t *item;
	size_t i;
	int r = 0;

	json_array_foreach(list, i, item)
	{
		if (!json_is_string(item))
			return -EBADMSG;
		if ((r = agg_user_add_group(u, json_string_value(item))) < 0)
			return r;
	}
	return 0;
}

static int add_extra(struct agg_user *u, json_t *extra)
{
	const char *key;
	json_t *values, *value;
	size_t i;
	int r;

	json_object_foreach(extra, key, values)
	{
		json_array_foreach(values, i, value)
		{
			if (!json_is_string(value))
				return -EBADMSG;
			if ((r = agg_user_add_extra(u, key, json_string_value(value))) < 0)
				return r;
		}
	}
	return 0;
}

static int user_of(json_t *object, struct agg_user **ret)
{
	_cleanup_(agg_user_unrefp) struct agg_user *u = NULL;
	const char *name = json_string_value(json_object_get(object, "username"));
	const char *uid = json_string_value(json_object_get(object, "uid"));
	int r;

	if (!name || !*name)
		return -EBADMSG;
	if ((r = agg_user_new(name, &u)) < 0 || (uid && (r = agg_user_set_uid(u, uid)) < 0) ||
		(r = add_groups(u, json_object_get(object, "groups"))) < 0 ||
		(r = add_extra(u, json_object_get(object, "extra"))) < 0)
		return r;
	*ret = KM_TAKE(u);
	return 0;
}

/* ---- reviews ---- */

static void waiter_free(struct agg_token_waiter *w)
{
	if ((*w->link = w->next))
		w->next->link = w->link;
	w->review->tokens->stats.waiting--;
	w->magic = 0;
	free(w);
}

/* Out of the table, so that the next one with this token is judged anew or from memory. */
static void review_forget(struct review *review)
{
	km_map_remove(&review->tokens->under_way, review->key, KEY_LEN);
	review->tokens->stats.under_way--;
}

static void review_free(struct review *review)
{
	while (review->waiters)
		waiter_free(review->waiters);
	review->magic = 0;
	free(review);
}

static void tell_all(struct review *review, enum agg_token_verdict verdict, struct agg_user *user, const char *text)
{
	/* A callback may cancel any other waiter of this review, so take the first until none is left. */
	while (review->waiters) {
		agg_token_fn fn = review->waiters->fn;
		void *arg = review->waiters->arg;

		waiter_free(review->waiters);
		fn(verdict, user ? agg_user_ref(user) : NULL, text, arg);
	}
}

static const char *const refused_text = "the API server does not know this bearer token";

static void answered(const struct kube_token_result *result, void *arg)
{
	struct review *review = KM_CAST(struct review, arg, REVIEW_MAGIC);
	struct agg_tokens *t = review->tokens;
	_cleanup_(agg_user_unrefp) struct agg_user *user = NULL;
	int error = result->error;
	const char *text = result->text;

	review_forget(review);
	if (error == 0 && result->authenticated && (error = user_of(result->user, &user)) < 0)
		text = "the API server's TokenReview names a user that cannot be used";
	if (error < 0) {
		t->stats.failures_total++;
		tell_all(review, AGG_TOKEN_FAILED, NULL, text);
	} else {
		remember(t, review->key, user);
		tell_all(review, user ? AGG_TOKEN_USER : AGG_TOKEN_REFUSED, user, *text ? text : refused_text);
	}
	review_free(review);
}

static int review_start(struct agg_tokens *t, const unsigned char key[KEY_LEN], const char *token, struct review **ret)
{
	struct review *review = calloc(1, sizeof(*review));
	int r;

	if (!review)
		return -ENOMEM;
	*review = (struct review){.magic = REVIEW_MAGIC, .tokens = t};
	memcpy(review->key, key, KEY_LEN);
	if (km_map_put(&t->under_way, review->key, KEY_LEN, review, NULL) < 0) {
		free(review);
		return -ENOMEM;
	}
	t->stats.under_way++;
	if ((r = t->reviewer.start(t->reviewer.source, token, answered, review, &review->call)) < 0) {
		review_forget(review);
		free(review);
		return r;
	}
	t->stats.reviews_total++;
	*ret = review;
	return 0;
}

static int join(struct review *review, agg_token_fn fn, void *arg, struct agg_token_waiter **ret)
{
	struct agg_token_waiter *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	*w = (struct agg_token_waiter){.magic = WAITER_MAGIC, .review = review, .fn = fn, .arg = arg};
	w->link = &review->waiters;
	if ((w->next = review->waiters))
		w->next->link = &w->next;
	review->waiters = w;
	review->tokens->stats.waiting++;
	*ret = w;
	return 0;
}

void agg_tokens_cancel(struct agg_token_waiter *waiter)
{
	if (waiter)
		waiter_free(KM_CAST(struct agg_token_waiter, waiter, WAITER_MAGIC));
}

/* ---- asking ---- */

static enum agg_token_verdict failed(struct km_err *reason, int r)
{
	(void)km_fail(reason, r, "the TokenReview could not be started: %s", strerror(-r));
	return AGG_TOKEN_FAILED;
}

static enum agg_token_verdict limited(struct agg_tokens *t)
{
	t->stats.limited_total++;
	return AGG_TOKEN_TOO_MANY;
}

enum agg_token_verdict agg_tokens_ask(struct agg_tokens *t, const char *token, const char *peer, uint64_t now_us,
	struct agg_user **ret_user, struct km_err *reason, agg_token_fn fn, void *arg,
	struct agg_token_waiter **ret_waiter)
{
	size_t len = strlen(token);
	unsigned char key[KEY_LEN];
	struct review *review;
	struct entry *e;
	int r;

	if (len > AGG_TOKEN_MAX) {
		(void)km_fail(reason, -EACCES, "the bearer token is longer than %d bytes", AGG_TOKEN_MAX);
		return AGG_TOKEN_REFUSED;
	}
	if (!HMAC(EVP_sha256(), t->secret, KEY_LEN, (const unsigned char *)token, len, key, NULL))
		return failed(reason, -ENOMEM);
	if ((e = remembered(t, key, now_us))) {
		t->stats.cache_hits_total++;
		if (!e->user) {
			(void)km_fail(reason, -EACCES, "%s", refused_text);
			return AGG_TOKEN_REFUSED;
		}
		*ret_user = agg_user_ref(e->user);
		return AGG_TOKEN_USER;
	}
	if (t->stats.waiting >= AGG_TOKEN_WAITERS_MAX)
		return limited(t);
	review = km_map_get(&t->under_way, key, KEY_LEN);
	if (!review) {
		if (!may_review(t, peer, now_us))
			return limited(t);
		r = review_start(t, key, token, &review);
		if (r == -EINVAL) {
			(void)km_fail(reason, -EACCES, "the bearer token is no text");
			return AGG_TOKEN_REFUSED;
		}
		if (r < 0)
			return failed(reason, r);
	}
	if ((r = join(review, fn, arg, ret_waiter)) < 0)
		return failed(reason, r);
	return AGG_TOKEN_WAIT;
}

/* ---- life ---- */

int agg_tokens_new(const struct agg_token_reviewer *reviewer, struct agg_tokens **ret)
{
	struct agg_tokens *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->reviewer = *reviewer;
	if (RAND_bytes(t->secret, KEY_LEN) != 1) {
		free(t);
		return -EIO;
	}
	*ret = t;
	return 0;
}

void agg_tokens_free(struct agg_tokens *t)
{
	struct km_map_entry *e;
	size_t cursor = 0;

	if (!t)
		return;
	while ((e = km_map_next(&t->under_way, &cursor))) {
		struct review *review = e->value;

		t->reviewer.cancel(t->reviewer.source, review->call);
		review_forget(review);
		review_free(review);
	}
	while (t->oldest)
		drop(t, t->oldest);
	for (struct peer *p = t->newest_peer, *older; p; p = older) {
		older = p->older;
		free(p);
	}
	km_map_free(&t->under_way);
	km_map_free(&t->entries);
	km_map_free(&t->peers);
	OPENSSL_cleanse(t->secret, KEY_LEN);
	free(t);
}

void agg_tokens_configure(struct agg_tokens *t, int64_t ttl_ns)
{
	t->ttl_us = (uint64_t)ttl_ns / 1000;
}

void agg_tokens_stats(const struct agg_tokens *t, struct agg_token_stats *ret)
{
	*ret = t->stats;
	ret->remembered = t->entries.count;
}
