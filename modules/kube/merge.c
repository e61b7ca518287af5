/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pure half of apply.h: merging what is ours into what is there, and paths of objects.
 */
#include <errno.h>
#include <string.h>

#include "kube/apply.h"
#include "net/url.h"

#define MERGE_NESTING_MAX 64
#define PATH_BYTES_MAX    2048

static bool is_scalar(json_t *v)
{
	return !json_is_object(v) && !json_is_array(v);
}

static bool same(json_t *live, json_t *ours, unsigned depth);

/*
 * Inside arrays an object of ours stands for the whole element, but the API server fills in defaults there (a port's
 * targetPort, a subject's apiGroup): scalars that we do not name are taken for such. Lists and objects that we do not
 * name are someone's addition.
 */
static bool same_element_object(json_t *live, json_t *ours, unsigned depth)
{
	const char *key;
	json_t *v;

	json_object_foreach(ours, key, v)
	{
		json_t *there = json_object_get(live, key);
		if (json_is_null(v) ? there && !json_is_null(there) : !there || !same(there, v, depth))
			return false;
	}
	json_object_foreach(live, key, v)
	{
		if (!json_object_get(ours, key) && !is_scalar(v))
			return false;
	}
	return true;
}

/* Whether an array element (or what is inside one) already is as ours says. */
static bool same(json_t *live, json_t *ours, unsigned depth)
{
	if (depth == MERGE_NESTING_MAX)
		return false;
	if (json_is_object(live) && json_is_object(ours))
		return same_element_object(live, ours, depth + 1);
	if (json_is_array(live) && json_is_array(ours)) {
		if (json_array_size(live) != json_array_size(ours))
			return false;
		for (size_t i = 0; i < json_array_size(ours); i++)
			if (!same(json_array_get(live, i), json_array_get(ours, i), depth + 1))
				return false;
		return true;
	}
	if (json_is_number(live) && json_is_number(ours) && json_typeof(live) != json_typeof(ours))
		return json_number_value(live) == json_number_value(ours);
	return json_equal(live, ours);
}

/* Merges ours into live in place. Returns 1 when something changed, 0 when not. */
static int merge_object(json_t *live, json_t *ours, unsigned depth)
{
	const char *key;
	json_t *v;
	int changed = 0, r;

	if (depth == MERGE_NESTING_MAX)
		return -EINVAL;
	json_object_foreach(ours, key, v)
	{
		json_t *there = json_object_get(live, key), *fresh;

		if (json_is_null(v)) {
			if (there) {
				json_object_del(live, key);
				changed = 1;
			}
			continue;
		}
		if (json_is_object(v)) {
			if (!json_is_object(
				    there)) { /* merged into an empty one, so that nulls inside are dropped as well */
				there = json_object();
				if (json_object_set_new(live, key, there) < 0)
					return -ENOMEM;
				changed = 1;
			}
			r = merge_object(there, v, depth + 1);
			if (r < 0)
				return r;
			changed |= r;
			continue;
		}
		if (there && same(there, v, depth + 1))
			continue;
		fresh = json_deep_copy(v);
		if (!fresh || json_object_set_new(live, key, fresh) < 0)
			return -ENOMEM;
		changed = 1;
	}
	return changed;
}

int kube_merge(json_t *live, json_t *ours, json_t **ret_merged)
{
	json_t *merged;
	int r;

	if (!json_is_object(live) || !json_is_object(ours))
		return -EINVAL;
	merged = json_deep_copy(live);
	if (!merged)
		return -ENOMEM;
	r = merge_object(merged, ours, 0);
	if (r <= 0) {
		json_decref(merged);
		merged = NULL;
	}
	if (r < 0)
		return r;
	*ret_merged = merged;
	return 0;
}

char *kube_object_path(json_t *object, const char *resource, bool collection)
{
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(PATH_BYTES_MAX);
	json_t *metadata = json_object_get(object, "metadata");
	const char *version = json_string_value(json_object_get(object, "apiVersion"));
	const char *namespace_ = json_string_value(json_object_get(metadata, "namespace"));
	const char *name = json_string_value(json_object_get(metadata, "name"));
	const char *slash;

	if (!version || !*version || (!collection && (!name || !*name)))
		return NULL;
	slash = strchr(version, '/');
	if (slash) {
		km_buf_adds(&out, "/apis/");
		km_buf_add(&out, version, (size_t)(slash - version));
		km_buf_addc(&out, '/');
		km_url_encode(&out, slash + 1);
	} else {
		km_buf_adds(&out, "/api/");
		km_url_encode(&out, version);
	}
	if (namespace_ && *namespace_) {
		km_buf_adds(&out, "/namespaces/");
		km_url_encode(&out, namespace_);
	}
	km_buf_addc(&out, '/');
	km_url_encode(&out, resource);
	if (!collection) {
		km_buf_addc(&out, '/');
		km_url_encode(&out, name);
	}
	return km_buf_take(&out, NULL);
}
