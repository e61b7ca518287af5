/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery documents for the mapper; see mapper_docs.h. */
#include "kube/mapper_docs.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

struct resource {
	char *plural, *kind; /* owned, like all here */
	bool namespaced;
	char *scale_group, *scale_version, *scale_kind; /* all or none */
};

struct kube_mapper_doc {
	char *version;
	struct resource *resources;
	size_t n;
};

/* A string member of 1 to KUBE_MAPPER_NAME_MAX bytes, or NULL. */
static const char *text_of(json_t *object, const char *key)
{
	json_t *v = json_object_get(object, key);
	size_t len = json_string_length(v);

	return len > 0 && len <= KUBE_MAPPER_NAME_MAX && strlen(json_string_value(v)) == len ? json_string_value(v)
											     : NULL;
}

/* The array member of a document; the caller owns *ret_object. NULL with the reason in err. */
static json_t *load_array(const char *body, size_t len, const char *key, size_t max, json_t **ret_object,
	struct km_err *err, int *ret_error)
{
	json_error_t where;
	json_t *object, *array;

	if (len > KUBE_MAPPER_BODY_MAX) {
		*ret_error = km_fail(err, -EMSGSIZE, "the reply has more than %d bytes", KUBE_MAPPER_BODY_MAX);
		return NULL;
	}
	object = json_loadb(body, len, 0, &where);
	array = json_object_get(object, key);
	if (json_is_array(array) && json_array_size(array) <= max) {
		*ret_object = object;
		return array;
	}
	if (json_is_array(array))
		*ret_error = km_fail(err, -EMSGSIZE, "the reply has more than %zu %s", max, key);
	else
		*ret_error =
			km_fail(err, -EBADMSG, "the reply is not a discovery document (it has no list of %s)", key);
	json_decref(object);
	return NULL;
}

/* ---- /apis ---- */

int kube_mapper_apis_parse(const char *body, size_t len, json_t **ret_groups, struct km_err *err)
{
	json_t *object, *groups;
	int r;

	groups = load_array(body, len, "groups", KUBE_MAPPER_APIS_MAX, &object, err, &r);
	if (!groups) {
		km_err_prefix(err, "GET /apis");
		return r;
	}
	*ret_groups = json_incref(groups);
	json_decref(object);
	return 0;
}

json_t *kube_mapper_apis_find(json_t *groups, const char *name)
{
	json_t *g;
	size_t i;

	json_array_foreach(groups, i, g)
	{
		const char *text = text_of(g, "name");

		if (text && strcmp(text, name) == 0)
			return g;
	}
	return NULL;
}

static int add_version(char **versions, int n, const char *version)
{
	if (!version || n == KUBE_MAPPER_VERSIONS_MAX)
		return n;
	for (int i = 0; i < n; i++)
		if (strcmp(versions[i], version) == 0)
			return n;
	versions[n] = strdup(version);
	return versions[n] ? n + 1 : -ENOMEM;
}

int kube_mapper_versions(json_t *group, char *ret[KUBE_MAPPER_VERSIONS_MAX])
{
	json_t *versions = json_object_get(group, "versions"), *v;
	int n = 0, r;
	size_t i;

	if (!group)
		return add_version(ret, 0, "v1");
	r = add_version(ret, 0, text_of(json_object_get(group, "preferredVersion"), "version"));
	json_array_foreach(versions, i, v)
	{
		if (r < 0)
			break;
		n = r;
		r = add_version(ret, n, text_of(v, "version"));
	}
	if (r >= 0)
		return r;
	while (n > 0)
		free(ret[--n]);
	return r;
}

/* ---- /apis/G/V ---- */

void kube_mapper_doc_free(struct kube_mapper_doc *doc)
{
	if (!doc)
		return;
	for (size_t i = 0; i < doc->n; i++) {
		struct resource *r = &doc->resources[i];

		free(r->plural);
		free(r->kind);
		free(r->scale_group);
		free(r->scale_version);
		free(r->scale_kind);
	}
	free(doc->resources);
	free(doc->version);
	free(doc);
}

const char *kube_mapper_doc_version(const struct kube_mapper_doc *doc)
{
	return doc->version;
}

static int add_resource(struct kube_mapper_doc *doc, json_t *object)
{
	const char *name = text_of(object, "name"), *kind = text_of(object, "kind");
	struct resource *r = &doc->resources[doc->n];

	if (!name || !kind || strchr(name, '/'))
		return 0;
	doc->n++;
	r->plural = strdup(name);
	r->kind = strdup(kind);
	r->namespaced = json_is_true(json_object_get(object, "namespaced"));
	return r->plural && r->kind ? 0 : -ENOMEM;
}

/* "deployments/scale": what its objects are, by default of the group and version of their parent. */
static int add_scale(struct kube_mapper_doc *doc, json_t *object, const char *group)
{
	const char *name = text_of(object, "name"), *kind = text_of(object, "kind"), *slash;
	const char *scale_group = text_of(object, "group"), *scale_version = text_of(object, "version");

	slash = name ? strchr(name, '/') : NULL;
	if (!slash || !kind || strcmp(slash, "/scale") != 0)
		return 0;
	if (!scale_group || !scale_version) {
		scale_group = group;
		scale_version = doc->version;
	}
	for (size_t i = 0; i < doc->n; i++) {
		struct resource *r = &doc->resources[i];

		if (r->scale_kind || strlen(r->plural) != (size_t)(slash - name) ||
			strncmp(r->plural, name, (size_t)(slash - name)) != 0)
			continue;
		r->scale_group = strdup(scale_group);
		r->scale_version = strdup(scale_version);
		r->scale_kind = strdup(kind);
		return r->scale_group && r->scale_version && r->scale_kind ? 0 : -ENOMEM;
	}
	return 0;
}

int kube_mapper_doc_parse(const char *body, size_t len, const char *group, const char *version,
	struct kube_mapper_doc **ret, struct km_err *err)
{
	struct kube_mapper_doc *doc = NULL;
	json_t *object, *list, *resource;
	size_t i;
	int r;

	list = load_array(body, len, "resources", KUBE_MAPPER_RESOURCES_MAX, &object, err, &r);
	if (!list)
		return r;
	doc = calloc(1, sizeof(*doc));
	if (doc) {
		doc->version = strdup(version);
		doc->resources = calloc(json_array_size(list) + 1, sizeof(*doc->resources));
	}
	r = doc && doc->version && doc->resources ? 0 : -ENOMEM;
	json_array_foreach(list, i, resource)
	{
		if (r == 0)
			r = add_resource(doc, resource);
	}
	json_array_foreach(list, i, resource)
	{
		if (r == 0)
			r = add_scale(doc, resource, group);
	}
	json_decref(object);
	if (r < 0) {
		kube_mapper_doc_free(doc);
		return km_fail(err, r, "out of memory");
	}
	*ret = doc;
	return 0;
}

/* ---- mappings ---- */

/* Upstream registers each kind twice, as it is and in lower case. */
static bool kind_is(const char *kind, const char *asked)
{
	if (strcmp(kind, asked) == 0)
		return true;
	for (; *kind && tolower((unsigned char)*kind) == (unsigned char)*asked; kind++)
		asked++;
	return !*kind && !*asked;
}

/* Of two resources of one kind the later one counts, as upstream. */
static const struct resource *doc_find(const struct kube_mapper_doc *doc, const char *kind)
{
	for (size_t i = doc->n; i > 0; i--)
		if (kind_is(doc->resources[i - 1].kind, kind))
			return &doc->resources[i - 1];
	return NULL;
}

static size_t size_of(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

/* Copies text behind the mapping. */
static const char *append(char **at, const char *text)
{
	char *start = *at;

	if (!text)
		return NULL;
	memcpy(start, text, strlen(text) + 1);
	*at += strlen(text) + 1;
	return start;
}

struct kube_mapping *kube_mapper_docs_find(
	struct kube_mapper_doc *const *docs, size_t n, const char *group, const char *kind)
{
	const struct resource *found[KUBE_MAPPER_VERSIONS_MAX];
	const char *versions[KUBE_MAPPER_VERSIONS_MAX];
	struct kube_mapping *mapping;
	size_t n_found = 0, size = size_of(group);
	char *at;

	for (size_t i = 0; i < n && n_found < KUBE_MAPPER_VERSIONS_MAX; i++) {
		const struct resource *r = doc_find(docs[i], kind);

		if (!r)
			continue;
		size += size_of(docs[i]->version) + size_of(r->plural) + size_of(r->scale_group) +
			size_of(r->scale_version) + size_of(r->scale_kind);
		versions[n_found] = docs[i]->version;
		found[n_found++] = r;
	}
	if (n_found == 0)
		return NULL;
	size += size_of(found[0]->kind) + sizeof(*mapping) + n_found * sizeof(mapping->versions[0]);
	mapping = calloc(1, size);
	if (!mapping)
		return NULL;
	at = (char *)&mapping->versions[n_found];
	mapping->group = append(&at, group);
	mapping->kind = append(&at, found[0]->kind);
	mapping->n = n_found;
	for (size_t i = 0; i < n_found; i++)
		mapping->versions[i] = (struct kube_mapping_version){
			.version = append(&at, versions[i]),
			.plural = append(&at, found[i]->plural),
			.namespaced = found[i]->namespaced,
			.scale_group = append(&at, found[i]->scale_group),
			.scale_version = append(&at, found[i]->scale_version),
			.scale_kind = append(&at, found[i]->scale_kind),
		};
	return mapping;
}

void kube_mapping_free(struct kube_mapping *mapping)
{
	free(mapping);
}
