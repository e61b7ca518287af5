/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The correlator; see event_correlator.h. Three bounded tables, each with the records in order of their last use, keyed
 * by a seeded 64-bit hash of what makes events alike: that two of some thousand collide is not to be expected, and
 * would only count one event on another.
 */
#include "hpa/event_correlator.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/map.h"

#define KEY_MAX (64 * 1024)

struct record {
	uint64_t key;
	struct record *newer, *older;
	union {
		struct { /* events that are counted on one */
			uint32_t count;
			int64_t first_ns;
			char *name; /* owned */
		} seen;
		struct { /* different messages of one (object, type, reason) */
			uint64_t last_us;
			uint64_t messages[HPA_EVENT_MESSAGES_MAX]; /* hashes */
			unsigned n;
		} similar;
		struct {                    /* the token bucket of one (object, type) */
			uint64_t filled_us; /* when it would have been full, had nothing been taken since */
		} spam;
	};
};

struct table {
	struct km_map map; /* by key */
	struct record *newest, *oldest;
	bool names;
};

struct hpa_correlator {
	struct table seen, similar, spam;
};

/* ---- tables ---- */

static void unlink_record(struct table *t, struct record *r)
{
	*(r->newer ? &r->newer->older : &t->newest) = r->older;
	*(r->older ? &r->older->newer : &t->oldest) = r->newer;
}

static void link_newest(struct table *t, struct record *r)
{
	r->newer = NULL;
	r->older = t->newest;
	*(t->newest ? &t->newest->newer : &t->oldest) = r;
	t->newest = r;
}

static void drop(struct table *t, struct record *r)
{
	km_map_remove(&t->map, &r->key, sizeof(r->key));
	unlink_record(t, r);
	if (t->names)
		free(r->seen.name);
	free(r);
}

static void table_free(struct table *t)
{
	while (t->oldest)
		drop(t, t->oldest);
	km_map_free(&t->map);
}

/* The record of this key, made zeroed when there was none; now the one used last. NULL without memory. */
static struct record *use(struct table *t, uint64_t key, bool *ret_new)
{
	struct record *r = km_map_get(&t->map, &key, sizeof(key));

	*ret_new = !r;
	if (r) {
		unlink_record(t, r);
		link_newest(t, r);
		return r;
	}
	if (t->map.count >= HPA_EVENT_RECORDS_MAX)
		drop(t, t->oldest);
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->key = key;
	if (km_map_put(&t->map, &r->key, sizeof(r->key), r, NULL) < 0) {
		free(r);
		return NULL;
	}
	link_newest(t, r);
	return r;
}

int hpa_correlator_new(struct hpa_correlator **ret)
{
	struct hpa_correlator *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->seen.names = true;
	*ret = c;
	return 0;
}

void hpa_correlator_free(struct hpa_correlator *c)
{
	if (!c)
		return;
	table_free(&c->seen);
	table_free(&c->similar);
	table_free(&c->spam);
	free(c);
}

/* ---- keys ---- */

struct keys {
	uint64_t object_type, reason, message; /* each on top of the one before */
};

static int make_keys(const struct hpa_event_facts *f, struct keys *ret)
{
	_cleanup_buf_ struct km_buf text = KM_BUF_INIT(KEY_MAX);
	const char *const parts[] = {f->namespace_, f->name, f->uid, f->type};
	size_t to_type, to_reason;

	for (size_t i = 0; i < KM_ARRAY_LEN(parts); i++)
		km_buf_add(&text, parts[i], strlen(parts[i]) + 1);
	to_type = text.len;
	km_buf_add(&text, f->reason, strlen(f->reason) + 1);
	to_reason = text.len;
	km_buf_adds(&text, f->message);
	if (text.error)
		return text.error;
	ret->object_type = km_hash(text.data, to_type);
	ret->reason = km_hash(text.data, to_reason);
	ret->message = km_hash(text.data, text.len);
	return 0;
}

/* ---- the three questions ---- */

/* Whether it is the tenth different message or a later one. */
static int is_combined(struct hpa_correlator *c, const struct keys *keys, uint64_t now_us, bool *ret)
{
	bool is_new, known = false;
	struct record *r = use(&c->similar, keys->reason, &is_new);

	if (!r)
		return -ENOMEM;
	if (now_us - r->similar.last_us > HPA_EVENT_SIMILAR_US)
		r->similar.n = 0;
	r->similar.last_us = now_us;
	for (unsigned i = 0; i < r->similar.n; i++)
		known |= r->similar.messages[i] == keys->message;
	/* The set never holds as many as combine: upstream takes one out again each time it is full. */
	*ret = !known && r->similar.n == HPA_EVENT_MESSAGES_MAX - 1;
	if (!known && !*ret)
		r->similar.messages[r->similar.n++] = keys->message;
	return 0;
}

/* "<object>.<hex nanoseconds>"; an object whose name leaves no room for that is cut, to what still is a DNS name. */
static void make_name(const char *object, int64_t now_ns, char ret[HPA_EVENT_NAME_MAX + 1])
{
	char suffix[24];
	int room, len;

	snprintf(suffix, sizeof(suffix), ".%llx", (unsigned long long)now_ns);
	room = HPA_EVENT_NAME_MAX - (int)strlen(suffix);
	len = (int)strnlen(object, (size_t)room);
	while (len > 0 && (object[len - 1] == '.' || object[len - 1] == '-'))
		len--;
	snprintf(ret, HPA_EVENT_NAME_MAX + 1, "%.*s%s", len, object, suffix);
}

static int observe(
	struct hpa_correlator *c, uint64_t key, const char *object, int64_t now_ns, struct hpa_event_verdict *v)
{
	bool is_new;
	struct record *r = use(&c->seen, key, &is_new);

	if (!r)
		return -ENOMEM;
	if (is_new) {
		make_name(object, now_ns, v->event_name);
		r->seen.name = strdup(v->event_name);
		if (!r->seen.name) {
			drop(&c->seen, r);
			return -ENOMEM;
		}
		r->seen.first_ns = now_ns;
	}
	if (r->seen.count < INT32_MAX)
		r->seen.count++;
	snprintf(v->event_name, sizeof(v->event_name), "%s", r->seen.name);
	v->count = r->seen.count;
	v->first_ns = r->seen.first_ns;
	return 0;
}

/* Takes a token; true when there is none. The bucket is kept as the time at which it was or will be full. */
static int is_spam(struct hpa_correlator *c, uint64_t key, uint64_t now_us, bool *ret)
{
	const uint64_t depth = (HPA_EVENT_BURST - 1) * HPA_EVENT_REFILL_US;
	bool is_new;
	struct record *r = use(&c->spam, key, &is_new);

	if (!r)
		return -ENOMEM;
	if (is_new || r->spam.filled_us < now_us)
		r->spam.filled_us = now_us;
	*ret = r->spam.filled_us - now_us > depth;
	if (!*ret)
		r->spam.filled_us += HPA_EVENT_REFILL_US;
	return 0;
}

int hpa_correlator_judge(struct hpa_correlator *c, const struct hpa_event_facts *facts, uint64_t now_us, int64_t now_ns,
	struct hpa_event_verdict *ret)
{
	struct hpa_event_verdict v = {0};
	struct keys keys;
	int r = make_keys(facts, &keys);

	if (r == 0)
		r = is_combined(c, &keys, now_us, &v.combined);
	if (r == 0) /* what is filtered counts all the same, as upstream */
		r = observe(c, v.combined ? keys.reason : keys.message, facts->name, now_ns, &v);
	if (r == 0)
		r = is_spam(c, keys.object_type, now_us, &v.filtered);
	if (r < 0)
		return r;
	*ret = v;
	return 0;
}
