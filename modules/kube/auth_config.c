/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The authentication ConfigMap as a value (spec metrics-api 5b). The API server writes it, but whoever may edit
 * ConfigMaps in kube-system could too: sizes are limited, and what cannot be read never widens access.
 */
#include <errno.h>
#include <string.h>

#include "kube/cluster.h"
#include "net/x509.h"

#define LIST_MAX       256         /* names or header names in one list */
#define LIST_BYTES_MAX (64 * 1024) /* of JSON in one key */

static void list_free(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
}

struct kube_auth_config *kube_auth_config_ref(struct kube_auth_config *c)
{
	c->refs++;
	return c;
}

void kube_auth_config_unref(struct kube_auth_config *c)
{
	if (!c || --c->refs > 0)
		return;
	free(c->client_ca);
	free(c->requestheader_ca);
	list_free(c->allowed_names);
	list_free(c->username_headers);
	list_free(c->group_headers);
	list_free(c->extra_prefixes);
	list_free(c->uid_headers);
	free(c);
}

static int fill_list(json_t *array, char **into)
{
	json_t *item;
	size_t i;

	json_array_foreach(array, i, item)
	{
		const char *s = json_string_value(item);
		if (!s || strlen(s) != json_string_length(item))
			return -EINVAL;
		into[i] = strdup(s);
		if (!into[i])
			return -ENOMEM;
	}
	return 0;
}

/* A JSON array of strings in a key. Returns 0 (absent: an empty list), 1 (unreadable: an empty list, err says so) or
 * -ENOMEM. */
static int read_list(json_t *data, const char *key, char ***ret, struct km_err *err)
{
	json_t *value = json_object_get(data, key), *array = NULL;
	char **list;
	int r = 0;

	if (value && json_string_length(value) <= LIST_BYTES_MAX)
		array = json_loadb(json_string_value(value), json_string_length(value), 0, NULL);
	if (value && (!json_is_array(array) || json_array_size(array) > LIST_MAX))
		r = -EINVAL;
	list = calloc(json_array_size(array) + 1, sizeof(*list));
	if (!list)
		r = -ENOMEM;
	if (r == 0)
		r = fill_list(array, list);
	json_decref(array);
	if (r == -EINVAL) {
		list_free(list);
		list = calloc(1, sizeof(*list));
		km_fail(err, r,
			"ConfigMap kube-system/extension-apiserver-authentication: %s is not a JSON list of strings",
			key);
		r = list ? 1 : -ENOMEM;
	}
	if (r < 0) {
		list_free(list);
		return r;
	}
	*ret = list;
	return r;
}

static int read_pem(json_t *data, const char *key, char **ret, struct km_err *err)
{
	json_t *value = json_object_get(data, key);
	size_t len = json_string_length(value);

	if (len == 0)
		return 0;
	if (len > KM_PEM_MAX || strlen(json_string_value(value)) != len) {
		km_fail(err, -EINVAL,
			"ConfigMap kube-system/extension-apiserver-authentication: %s is not PEM text of at most 1 MiB",
			key);
		return 0;
	}
	*ret = strdup(json_string_value(value));
	return *ret ? 0 : -ENOMEM;
}

static int decode(json_t *data, struct kube_auth_config *c, struct km_err *err)
{
	const struct {
		const char *key;
		char ***into;
	} lists[] = {{"requestheader-allowed-names", &c->allowed_names},
		{"requestheader-username-headers", &c->username_headers},
		{"requestheader-group-headers", &c->group_headers},
		{"requestheader-extra-headers-prefix", &c->extra_prefixes},
		{"requestheader-uid-headers", &c->uid_headers}};
	bool names_known = true;
	int r;

	for (size_t i = 0; i < KM_ARRAY_LEN(lists); i++) {
		r = read_list(data, lists[i].key, lists[i].into, err);
		if (r < 0)
			return r;
		if (r > 0 && lists[i].into == &c->allowed_names)
			names_known = false;
	}
	r = read_pem(data, "client-ca-file", &c->client_ca, err);
	/* an empty list of names means "any": one that could not be read must not, so then no front proxy is believed
	 */
	if (r == 0 && names_known)
		r = read_pem(data, "requestheader-client-ca-file", &c->requestheader_ca, err);
	return r;
}

int kube_auth_config_decode(json_t *configmap, struct kube_auth_config **ret, struct km_err *err)
{
	struct kube_auth_config *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return km_fail(err, -ENOMEM, "out of memory");
	c->refs = 1;
	c->present = configmap != NULL;
	r = decode(json_object_get(configmap, "data"), c, err);
	if (r < 0) {
		kube_auth_config_unref(c);
		return km_fail(err, r, "out of memory");
	}
	*ret = c;
	return 0;
}
