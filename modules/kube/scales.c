/* SPDX-License-Identifier: Apache-2.0 */
/* Four watches and their records; see the header. */
#include "kube/scales.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/map.h"
#include "kube/reflector.h"
#include "kube/selector.h"

#define SELECTOR_MAX (64 * 1024)
#define KEY_MAX      600
#define TEXT_MAX     256 /* of a uid, resourceVersion or timestamp */

struct stored {
	struct kube_scale_record *record; /* owned */
	bool listed;                      /* in the list under way */
	char key[];                       /* "namespace/name" */
};

struct kind {
	const char *group, *plural, *path;
	struct kube_reflector *reflector; /* NULL: not asked for yet */
	struct km_map objects;            /* key -> struct stored, owned */
};

struct kube_scales {
	struct kube_client *client;
	struct kind kinds[4];
};

static const struct kind watched[] = {
	{.group = "apps", .plural = "deployments", .path = "/apis/apps/v1/deployments"},
	{.group = "apps", .plural = "replicasets", .path = "/apis/apps/v1/replicasets"},
	{.group = "apps", .plural = "statefulsets", .path = "/apis/apps/v1/statefulsets"},
	{.group = "", .plural = "replicationcontrollers", .path = "/api/v1/replicationcontrollers"},
};

/* ---- one object ---- */

static const char *text_of(json_t *metadata, const char *name)
{
	const char *text = json_string_value(json_object_get(metadata, name));

	return text && strlen(text) <= TEXT_MAX ? text : "";
}

/* A ReplicationController has a map of labels where the others have a LabelSelector. */
static int selector_text(json_t *spec, struct km_buf *out)
{
	json_t *selector = json_object_get(spec, "selector"), *wrapped = NULL;
	struct kube_selector *parsed = NULL;
	int r;

	if (!json_object_get(selector, "matchLabels") && !json_object_get(selector, "matchExpressions") &&
		json_object_size(selector) > 0)
		wrapped = json_pack("{s:O}", "matchLabels", selector);
	r = kube_selector_decode(wrapped ? wrapped : selector, &parsed, NULL);
	if (r == 0)
		kube_selector_text(parsed, out);
	kube_selector_free(parsed);
	json_decref(wrapped);
	return r < 0 ? r : out->error;
}

/* *ret: a count of replicas; absent: dflt. False: it is none. */
static bool count_of(json_t *object, int32_t dflt, int32_t *ret)
{
	json_t *n = json_object_get(object, "replicas");

	*ret = n ? (int32_t)json_integer_value(n) : dflt;
	return !n || (json_is_integer(n) && json_integer_value(n) >= 0 && json_integer_value(n) <= INT32_MAX);
}

static char *append(char *at, const char *text, const char **ret)
{
	*ret = at;
	return stpcpy(at, text) + 1;
}

static json_t *controller_of(json_t *metadata)
{
	json_t *owner;
	size_t i;

	json_array_foreach(json_object_get(metadata, "ownerReferences"), i,
		owner) if (json_is_true(json_object_get(owner, "controller"))) return owner;
	return NULL;
}

struct kube_scale_record *kube_scale_record_of(json_t *object)
{
	json_t *metadata = json_object_get(object, "metadata"), *spec = json_object_get(object, "spec");
	const char *version = text_of(metadata, "resourceVersion"), *uid = text_of(metadata, "uid"),
		   *created = text_of(metadata, "creationTimestamp");
	json_t *owner = controller_of(metadata);
	const char *owner_kind = text_of(owner, "kind"), *owner_name = text_of(owner, "name");
	_cleanup_buf_ struct km_buf selector = KM_BUF_INIT(SELECTOR_MAX);
	struct kube_scale_record *r;
	int32_t replicas, status_replicas;
	char *at;

	if (!count_of(spec, 1, &replicas) || !count_of(json_object_get(object, "status"), 0, &status_replicas) ||
		!*version || selector_text(spec, &selector) < 0)
		return NULL;
	r = malloc(sizeof(*r) + selector.len + strlen(version) + strlen(uid) + strlen(created) + strlen(owner_kind) +
		   strlen(owner_name) + 6);
	if (!r)
		return NULL;
	*r = (struct kube_scale_record){
		.replicas = replicas, .status_replicas = status_replicas, .version = strtoull(version, NULL, 10)};
	at = append((char *)(r + 1), selector.data ? selector.data : "", &r->selector);
	at = append(at, version, &r->resource_version);
	at = append(at, uid, &r->uid);
	at = append(at, created, &r->created);
	at = append(at, owner_kind, &r->owner_kind);
	append(at, owner_name, &r->owner_name);
	return r;
}

/* ---- a kind's objects ---- */

static void drop(struct kind *k, struct stored *s)
{
	km_map_remove(&k->objects, s->key, strlen(s->key));
	free(s->record);
	free(s);
}

static void on_list_begin(void *arg)
{
	struct kind *k = arg;
	struct km_map_entry *e;
	size_t cursor = 0;

	while ((e = km_map_next(&k->objects, &cursor)))
		((struct stored *)e->value)->listed = false;
}

static void on_list_end(void *arg)
{
	struct kind *k = arg;
	struct km_map_entry *e;
	size_t cursor = 0;

	while ((e = km_map_next(&k->objects, &cursor)))
		if (!((struct stored *)e->value)->listed)
			drop(k, e->value);
}

static int add(struct kind *k, const char *key, struct stored **ret)
{
	struct stored *s;

	if (k->objects.count >= KUBE_SCALES_MAX)
		return -ENOSPC;
	s = calloc(1, sizeof(*s) + strlen(key) + 1);
	if (!s)
		return -ENOMEM;
	memcpy(s->key, key, strlen(key) + 1);
	if (km_map_put(&k->objects, s->key, strlen(s->key), s, NULL) < 0) {
		free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

static int on_object(enum kube_event event, json_t *object, void *arg, struct km_err *err)
{
	json_t *metadata = json_object_get(object, "metadata");
	const char *namespace_ = json_string_value(json_object_get(metadata, "namespace"));
	const char *name = json_string_value(json_object_get(metadata, "name"));
	struct kube_scale_record *record;
	struct kind *k = arg;
	char key[KEY_MAX];
	struct stored *s;
	int r;

	if (!namespace_ || !name || snprintf(key, sizeof(key), "%s/%s", namespace_, name) >= (int)sizeof(key))
		return km_fail(err, -EINVAL, "an object without metadata.namespace or metadata.name");
	s = km_map_get(&k->objects, key, strlen(key));
	record = event == KUBE_DELETED ? NULL : kube_scale_record_of(object);
	if (!record) { /* what cannot be used is asked for where it is needed */
		if (s)
			drop(k, s);
		return 0;
	}
	if (!s && (r = add(k, key, &s)) < 0) {
		free(record);
		return km_fail(err, r, "%s: too many objects, or out of memory", key);
	}
	free(s->record);
	s->record = record;
	s->listed = true;
	return 0;
}

/* ---- the whole ---- */

int kube_scales_new(struct kube_client *client, struct kube_scales **ret)
{
	struct kube_scales *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->client = client;
	memcpy(s->kinds, watched, sizeof(watched));
	*ret = s;
	return 0;
}

void kube_scales_free(struct kube_scales *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < KM_ARRAY_LEN(s->kinds); i++) {
		struct km_map_entry *e;
		size_t cursor = 0;

		kube_reflector_free(s->kinds[i].reflector);
		while ((e = km_map_next(&s->kinds[i].objects, &cursor)))
			drop(&s->kinds[i], e->value);
		km_map_free(&s->kinds[i].objects);
	}
	free(s);
}

/* Not to be watched (no permission, no such kind) is no failure here: then there is no answer. */
static void begin(struct kube_scales *s, struct kind *k)
{
	const struct kube_reflector_config config = {
		.client = s->client,
		.path = k->path,
		.query = "",
		.ops = {.list_begin = on_list_begin, .object = on_object, .list_end = on_list_end},
		.arg = k,
	};

	if (kube_reflector_new(&config, &k->reflector) < 0)
		k->reflector = NULL; /* with the next question */
}

const struct kube_scale_record *kube_scales_find(
	struct kube_scales *s, const char *group, const char *plural, const char *namespace_, const char *name)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(s->kinds); i++) {
		struct kind *k = &s->kinds[i];
		const struct stored *found;
		char key[KEY_MAX];

		if (strcmp(k->group, group) != 0 || strcmp(k->plural, plural) != 0)
			continue;
		if (!k->reflector)
			begin(s, k);
		if (!k->reflector || !kube_reflector_synced(k->reflector) ||
			snprintf(key, sizeof(key), "%s/%s", namespace_, name) >= (int)sizeof(key))
			return NULL;
		found = km_map_get(&k->objects, key, strlen(key));
		return found ? found->record : NULL;
	}
	return NULL;
}
