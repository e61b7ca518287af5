/* SPDX-License-Identifier: Apache-2.0 */
/*
 * REST mappings; see mapper.h. It owns the list of groups (/apis as read last), the documents of the groups that were
 * asked about, and the look-ups under way. A look-up is in one list at a time: waiting for /apis, for a group's
 * documents, or ready to be told in the next loop turn. Each group is read on its own, so that an extension server that
 * hangs holds up only those who ask about its group.
 */
#include "kube/mapper.h"

#include <errno.h>
#include <string.h>

#include "kube/mapper_docs.h"
#include "net/url.h"

#define MAPPER_MAGIC 0x6b6d6170U
#define CALL_MAGIC   0x6b6d6163U
#define GROUP_MAGIC  0x6b6d6167U

#define REQUEST_DEADLINE_US (10 * KM_USEC_PER_SEC)

struct list {
	struct kube_mapper_call *first, **last;
};

struct kube_mapper_call {
	uint32_t magic;
	struct kube_mapper *mapper;
	struct kube_mapper_call *next, **link;
	struct list *in;
	void (*fn)(struct kube_mapping *mapping, int error, const char *text, void *arg);
	void *arg;
	char *group, *kind; /* owned */
	/* the answer, once it is ready */
	struct kube_mapping *mapping; /* owned */
	int error;
	char *text; /* owned; NULL: out of memory */
};

/* One API group and what it serves. */
struct group {
	uint32_t magic;
	struct kube_mapper *mapper;
	struct group *next;
	char *name;                    /* owned */
	struct kube_mapper_doc **docs; /* owned, one a version that could be read, preferred first */
	size_t n_docs;
	uint64_t read_us, fresh_until_us; /* 0: never read */
	uint64_t used_us;
	struct km_err failure; /* of the reading done last; "" */
	/* being read */
	struct kube_call *call;
	char **versions; /* owned; NULL: nothing is being read */
	size_t n_versions, at;
	struct kube_mapper_doc **coming; /* owned; NULL where a version could not be read */
	struct list waiting;
};

struct kube_mapper {
	uint32_t magic;
	struct kube_client *client; /* borrowed */
	struct km_timer *tell;
	struct group *groups;
	size_t n_groups, n_lookups;
	json_t *apis; /* owned: the groups of /apis; NULL: never read */
	uint64_t apis_fresh_until_us;
	struct km_err apis_failure;
	struct kube_call *apis_call;
	struct list waiting, ready;
};

static void route(struct kube_mapper_call *lookup);
static void read_next(struct group *g);

/* ---- look-ups and their lists ---- */

static void list_add(struct list *list, struct kube_mapper_call *lookup)
{
	if (!list->last)
		list->last = &list->first;
	lookup->in = list;
	lookup->next = NULL;
	lookup->link = list->last;
	*list->last = lookup;
	list->last = &lookup->next;
}

static void list_remove(struct kube_mapper_call *lookup)
{
	*lookup->link = lookup->next;
	if (lookup->next)
		lookup->next->link = lookup->link;
	else
		lookup->in->last = lookup->link;
	lookup->in = NULL;
}

static void lookup_free(struct kube_mapper_call *lookup)
{
	lookup->mapper->n_lookups--;
	kube_mapping_free(lookup->mapping);
	free(lookup->group);
	free(lookup->kind);
	free(lookup->text);
	lookup->magic = 0;
	free(lookup);
}

void kube_mapper_cancel(struct kube_mapper_call *call)
{
	if (!call)
		return;
	assert(call->magic == CALL_MAGIC);
	list_remove(call);
	lookup_free(call);
}

/* The look-up is in no list. It is told in the next loop turn. */
static void answer(struct kube_mapper_call *lookup, struct kube_mapping *mapping, int error, const char *text)
{
	lookup->mapping = mapping;
	lookup->error = error;
	lookup->text = strdup(text);
	list_add(&lookup->mapper->ready, lookup);
	km_timer_set(lookup->mapper->tell, 0);
}

static void move(struct list *from, struct list *to)
{
	struct kube_mapper_call *lookup;

	while ((lookup = from->first)) {
		list_remove(lookup);
		list_add(to, lookup);
	}
}

static void reroute(struct list *list)
{
	struct kube_mapper_call *lookup;
	struct list waiting = {0};

	move(list, &waiting);
	while ((lookup = waiting.first)) {
		list_remove(lookup);
		route(lookup);
	}
}

static void on_tell(void *arg)
{
	struct kube_mapper *m = KM_CAST(struct kube_mapper, arg, MAPPER_MAGIC);
	struct kube_mapper_call *lookup;
	struct list now = {0};

	move(&m->ready, &now); /* what fn asks for anew is told in a later turn */
	while ((lookup = now.first)) {
		struct kube_mapping *mapping = KM_TAKE(lookup->mapping);
		void (*fn)(struct kube_mapping *, int, const char *, void *) = lookup->fn;
		char *text = KM_TAKE(lookup->text);
		void *fn_arg = lookup->arg;
		int error = lookup->error;

		list_remove(lookup);
		lookup_free(lookup);
		fn(mapping, error, text ? text : "out of memory", fn_arg);
		free(text);
	}
}

/* ---- groups ---- */

static void docs_free(struct kube_mapper_doc **docs, size_t n)
{
	for (size_t i = 0; docs && i < n; i++)
		kube_mapper_doc_free(docs[i]);
	free(docs);
}

static void drop_coming(struct group *g)
{
	docs_free(g->coming, g->n_versions);
	for (size_t i = 0; i < g->n_versions; i++)
		free(g->versions[i]);
	free(g->versions);
	g->versions = NULL;
	g->coming = NULL;
	g->n_versions = 0;
}

/* It has no look-ups waiting. */
static void group_free(struct group *g)
{
	kube_call_cancel(g->call);
	drop_coming(g);
	docs_free(g->docs, g->n_docs);
	free(g->name);
	g->magic = 0;
	free(g);
}

static struct group *group_find(struct kube_mapper *m, const char *name)
{
	for (struct group *g = m->groups; g; g = g->next)
		if (strcmp(g->name, name) == 0)
			return g;
	return NULL;
}

static void group_drop(struct kube_mapper *m, struct group *gone)
{
	for (struct group **at = &m->groups; *at; at = &(*at)->next) {
		if (*at != gone)
			continue;
		*at = gone->next;
		m->n_groups--;
		group_free(gone);
		return;
	}
}

/* Makes room for one more; false when all are being read. */
static bool make_room(struct kube_mapper *m)
{
	struct group *oldest = NULL;

	if (m->n_groups < KUBE_MAPPER_GROUPS_MAX)
		return true;
	for (struct group *g = m->groups; g; g = g->next)
		if (!g->versions && (!oldest || g->used_us < oldest->used_us))
			oldest = g;
	if (oldest)
		group_drop(m, oldest);
	return oldest != NULL;
}

static struct group *group_add(struct kube_mapper *m, const char *name)
{
	struct group *g = make_room(m) ? calloc(1, sizeof(*g)) : NULL;

	if (!g)
		return NULL;
	g->magic = GROUP_MAGIC;
	g->mapper = m;
	g->name = strdup(name);
	if (!g->name) {
		free(g);
		return NULL;
	}
	g->next = m->groups;
	m->groups = g;
	m->n_groups++;
	return g;
}

/* All versions were tried: what could be read replaces what there was; what could not stays as it was. */
static void read_done(struct group *g)
{
	uint64_t now = km_now_us();
	size_t n = 0;

	for (size_t i = 0; i < g->n_versions; i++) {
		for (size_t j = 0; !g->coming[i] && j < g->n_docs; j++)
			if (g->docs[j] && strcmp(kube_mapper_doc_version(g->docs[j]), g->versions[i]) == 0)
				g->coming[i] = KM_TAKE(g->docs[j]);
		if (g->coming[i])
			g->coming[n++] = g->coming[i];
	}
	docs_free(g->docs, g->n_docs);
	g->docs = KM_TAKE(g->coming);
	g->n_docs = n;
	drop_coming(g);
	g->read_us = now;
	g->fresh_until_us = now + (*g->failure.text ? KUBE_MAPPER_FAILED_US : KUBE_MAPPER_FRESH_US);
	reroute(&g->waiting);
}

static void on_doc(const struct kube_result *result, void *arg)
{
	struct group *g = KM_CAST(struct group, arg, GROUP_MAGIC);
	struct km_err err = {.text = ""};

	g->call = NULL;
	if (result->error != 0)
		km_fail(&err, result->error, "%s", result->text);
	else if (kube_mapper_doc_parse(
			 result->body, result->body_len, g->name, g->versions[g->at], &g->coming[g->at], &err) < 0)
		km_err_prefix(&err, "discovery of API group \"%s\", version %s", g->name, g->versions[g->at]);
	/* A version that is listed and not there (its CRD was just removed) has nothing; that is no failure. */
	if (*err.text && result->error != -ENOENT)
		g->failure = err;
	g->at++;
	read_next(g);
}

static int start_doc(struct group *g)
{
	_cleanup_buf_ struct km_buf path = KM_BUF_INIT(KM_URL_TARGET_MAX);
	struct kube_request request = {
		.method = "GET", .deadline_us = REQUEST_DEADLINE_US, .on_done = on_doc, .arg = g};

	km_buf_adds(&path, *g->name ? "/apis/" : "/api/");
	if (*g->name) {
		km_url_encode(&path, g->name);
		km_buf_adds(&path, "/");
	}
	km_url_encode(&path, g->versions[g->at]);
	if (path.error)
		return path.error;
	request.path = path.data;
	return kube_request_start(g->mapper->client, &request, &g->call);
}

static void read_next(struct group *g)
{
	for (; g->at < g->n_versions; g->at++) {
		if (start_doc(g) == 0)
			return;
		km_fail(&g->failure, -EAGAIN,
			"discovery of API group \"%s\": out of memory or too many calls under way", g->name);
	}
	read_done(g);
}

/* 0: being read; a failure else. listed: the group in /apis, NULL for the core group. */
static int group_read(struct group *g, json_t *listed)
{
	char *versions[KUBE_MAPPER_VERSIONS_MAX];
	int n = kube_mapper_versions(listed, versions);

	if (n < 0)
		return n;
	g->versions = calloc((size_t)n + 1, sizeof(*g->versions));
	g->coming = calloc((size_t)n + 1, sizeof(struct kube_mapper_doc *));
	if (!g->versions || !g->coming) {
		for (int i = 0; i < n; i++)
			free(versions[i]);
		drop_coming(g);
		return -ENOMEM;
	}
	if (n > 0)
		memcpy(g->versions, versions, (size_t)n * sizeof(*versions));
	g->n_versions = (size_t)n;
	g->at = 0;
	g->failure.text[0] = '\0';
	return 0;
}

/* ---- /apis ---- */

static void on_apis(const struct kube_result *result, void *arg)
{
	struct kube_mapper *m = KM_CAST(struct kube_mapper, arg, MAPPER_MAGIC);
	json_t *apis = NULL;

	m->apis_call = NULL;
	m->apis_failure.text[0] = '\0';
	if (result->error != 0)
		km_fail(&m->apis_failure, result->error, "%s", result->text);
	else if (kube_mapper_apis_parse(result->body, result->body_len, &apis, &m->apis_failure) == 0) {
		json_decref(m->apis);
		m->apis = apis;
	}
	m->apis_fresh_until_us = km_now_us() + (*m->apis_failure.text ? KUBE_MAPPER_FAILED_US : KUBE_MAPPER_FRESH_US);
	reroute(&m->waiting);
}

static int apis_read(struct kube_mapper *m)
{
	const struct kube_request request = {
		.method = "GET", .path = "/apis", .deadline_us = REQUEST_DEADLINE_US, .on_done = on_apis, .arg = m};

	return m->apis_call ? 0 : kube_request_start(m->client, &request, &m->apis_call);
}

/* ---- where a look-up goes ---- */

static void no_match(struct kube_mapper_call *lookup)
{
	struct km_err err;

	km_fail(&err, -ENOENT, "no matches for kind \"%s\" in group \"%s\"", lookup->kind, lookup->group);
	answer(lookup, NULL, -ENOENT, err.text);
}

/* It cannot be read anew: what is known is better than nothing. */
static void answer_stale(struct kube_mapper_call *lookup, struct group *g, int error, const char *text)
{
	struct kube_mapping *mapping = g ? kube_mapper_docs_find(g->docs, g->n_docs, g->name, lookup->kind) : NULL;

	if (mapping)
		answer(lookup, mapping, 0, "");
	else
		answer(lookup, NULL, error, text);
}

/* True: answered from what is known of the group. */
static bool answer_known(struct kube_mapper_call *lookup, struct group *g, uint64_t now)
{
	struct kube_mapping *mapping;

	if (!g || g->fresh_until_us == 0)
		return false;
	g->used_us = now;
	mapping = kube_mapper_docs_find(g->docs, g->n_docs, g->name, lookup->kind);
	if (mapping && now - g->read_us < KUBE_MAPPER_AGE_MAX_US) {
		answer(lookup, mapping, 0, "");
		return true;
	}
	if (!mapping && now < g->fresh_until_us) {
		if (g->n_docs == 0 && *g->failure.text)
			answer(lookup, NULL, -EREMOTEIO, g->failure.text);
		else
			no_match(lookup);
		return true;
	}
	kube_mapping_free(mapping);
	return false;
}

static void route_to_group(struct kube_mapper_call *lookup, struct group *g, json_t *listed)
{
	struct kube_mapper *m = lookup->mapper;
	int r;

	if (!g && !(g = group_add(m, lookup->group))) {
		answer(lookup, NULL, -EAGAIN, "discovery: out of memory or too many API groups at a time");
		return;
	}
	r = group_read(g, listed);
	if (r < 0) {
		answer_stale(lookup, g, r, "discovery: out of memory");
		return;
	}
	g->used_us = km_now_us();
	list_add(&g->waiting, lookup);
	read_next(g);
}

static void route(struct kube_mapper_call *lookup)
{
	struct kube_mapper *m = lookup->mapper;
	struct group *g = group_find(m, lookup->group);
	uint64_t now = km_now_us();
	json_t *listed;

	if (g && g->versions) {
		list_add(&g->waiting, lookup);
		return;
	}
	if (answer_known(lookup, g, now))
		return;
	if (!*lookup->group) {
		route_to_group(lookup, g, NULL);
		return;
	}
	if (now >= m->apis_fresh_until_us) {
		if (apis_read(m) < 0)
			answer_stale(lookup, g, -EAGAIN, "discovery: out of memory or too many calls under way");
		else
			list_add(&m->waiting, lookup);
		return;
	}
	if (*m->apis_failure.text) {
		answer_stale(lookup, g, -EREMOTEIO, m->apis_failure.text);
		return;
	}
	listed = kube_mapper_apis_find(m->apis, lookup->group);
	if (listed) {
		route_to_group(lookup, g, listed);
		return;
	}
	if (g)
		group_drop(m, g);
	no_match(lookup);
}

/* The group of an apiVersion as Go's schema.ParseGroupVersion splits it; malloc'ed, NULL without memory. */
static int group_of(const char *api_version, char **ret)
{
	const char *slash = strchr(api_version, '/');

	if (slash && strchr(slash + 1, '/'))
		return -EINVAL;
	*ret = slash ? strndup(api_version, (size_t)(slash - api_version)) : strdup("");
	return *ret ? 0 : -ENOMEM;
}

int kube_mapper_find(struct kube_mapper *mapper, const char *api_version, const char *kind,
	void (*fn)(struct kube_mapping *mapping, int error, const char *text, void *arg), void *arg,
	struct kube_mapper_call **ret)
{
	struct kube_mapper_call *lookup;
	int r;

	if (mapper->n_lookups >= KUBE_MAPPER_LOOKUPS_MAX)
		return -EAGAIN;
	lookup = calloc(1, sizeof(*lookup));
	if (!lookup)
		return -ENOMEM;
	mapper->n_lookups++;
	*lookup = (struct kube_mapper_call){.magic = CALL_MAGIC, .mapper = mapper, .fn = fn, .arg = arg};
	r = group_of(api_version, &lookup->group);
	lookup->kind = strdup(kind);
	if (r == -ENOMEM || !lookup->kind) {
		lookup_free(lookup);
		return -ENOMEM;
	}
	if (r == -EINVAL) {
		struct km_err err;

		km_fail(&err, -EINVAL, "unexpected GroupVersion string: %s", api_version);
		answer(lookup, NULL, -EINVAL, err.text);
	} else if (strlen(lookup->group) > KUBE_MAPPER_NAME_MAX || strlen(kind) > KUBE_MAPPER_NAME_MAX) {
		no_match(lookup);
	} else {
		route(lookup);
	}
	*ret = lookup;
	return 0;
}

/* ---- life ---- */

int kube_mapper_new(struct kube_client *client, struct kube_mapper **ret)
{
	struct kube_mapper *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->magic = MAPPER_MAGIC;
	m->client = client;
	if (km_timer_new(kube_client_loop(client), on_tell, m, &m->tell) < 0) {
		free(m);
		return -ENOMEM;
	}
	*ret = m;
	return 0;
}

static void drop_lookups(struct list *list)
{
	while (list->first)
		kube_mapper_cancel(list->first);
}

void kube_mapper_free(struct kube_mapper *mapper)
{
	if (!mapper)
		return;
	assert(mapper->magic == MAPPER_MAGIC);
	kube_call_cancel(mapper->apis_call);
	drop_lookups(&mapper->waiting);
	drop_lookups(&mapper->ready);
	while (mapper->groups) {
		struct group *g = mapper->groups;

		mapper->groups = g->next;
		drop_lookups(&g->waiting);
		group_free(g);
	}
	json_decref(mapper->apis);
	km_timer_free(mapper->tell);
	mapper->magic = 0;
	free(mapper);
}
