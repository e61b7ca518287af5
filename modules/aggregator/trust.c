/* SPDX-License-Identifier: Apache-2.0 */
/* Putting options and the authentication ConfigMap together; see the header. */
#include "aggregator/trust.h"

#include <errno.h>
#include <string.h>

static void free_list(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
}

static char **copy_list(const char *const *items, size_t n)
{
	char **list = calloc(n + 1, sizeof(*list));

	for (size_t i = 0; list && i < n; i++)
		if (!(list[i] = strdup(items[i]))) {
			free_list(list);
			return NULL;
		}
	return list;
}

static size_t length(char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

/* One list of the ConfigMap, or what stands in for it when it is empty (dflt NULL: nothing does). */
static char **from_configmap(char *const *list, const char *dflt)
{
	size_t n = length(list);

	if (n == 0 && dflt)
		return copy_list(&dflt, 1);
	return copy_list((const char *const *)list, n);
}

static char **from_option(const struct km_strlist *list)
{
	return copy_list(list->items, list->n);
}

static int take_lists(struct agg_trust *t, const struct agg_options *o, const struct kube_auth_config *c)
{
	if (*o->requestheader_client_ca_file) {
		t->allowed_names = from_option(&o->requestheader_allowed_names);
		t->username_headers = from_option(&o->requestheader_username_headers);
		t->group_headers = from_option(&o->requestheader_group_headers);
		t->extra_prefixes = from_option(&o->requestheader_extra_headers_prefix);
		t->uid_headers = from_option(&o->requestheader_uid_headers);
	} else {
		static char *const none[] = {NULL};

		t->allowed_names = from_configmap(c ? c->allowed_names : none, NULL);
		t->username_headers = from_configmap(c ? c->username_headers : none, "X-Remote-User");
		t->group_headers = from_configmap(c ? c->group_headers : none, "X-Remote-Group");
		t->extra_prefixes = from_configmap(c ? c->extra_prefixes : none, "X-Remote-Extra-");
		t->uid_headers = from_configmap(c ? c->uid_headers : none, NULL);
	}
	if (!t->allowed_names || !t->username_headers || !t->group_headers || !t->extra_prefixes || !t->uid_headers)
		return -ENOMEM;
	return 0;
}

static int take_ca(const char *path, const char *pem, const char *key, STACK_OF(X509) **ret, struct km_err *err)
{
	if (*path)
		return km_x509_load(path, ret, err);
	if (!pem || !*pem)
		return 0;
	return km_x509_parse(pem, strlen(pem), key, ret, err);
}

int agg_trust_new(
	const struct agg_options *o, const struct kube_auth_config *c, struct agg_trust **ret, struct km_err *err)
{
	_cleanup_(agg_trust_unrefp) struct agg_trust *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return km_fail(err, -ENOMEM, "out of memory");
	t->refs = 1;
	if (o->authentication_skip_lookup)
		c = NULL;
	t->known = (c && c->present) || *o->requestheader_client_ca_file;
	if ((r = take_lists(t, o, c)) < 0)
		return km_fail(err, r, "out of memory");
	if ((r = take_ca(o->client_ca_file, c ? c->client_ca : NULL,
		     "client-ca-file of ConfigMap kube-system/extension-apiserver-authentication", &t->client_ca,
		     err)) < 0)
		return r;
	if ((r = take_ca(o->requestheader_client_ca_file, c ? c->requestheader_ca : NULL,
		     "requestheader-client-ca-file of ConfigMap kube-system/extension-apiserver-authentication",
		     &t->requestheader_ca, err)) < 0)
		return r;
	*ret = KM_TAKE(t);
	return 0;
}

struct agg_trust *agg_trust_ref(struct agg_trust *t)
{
	assert(t->refs > 0);
	t->refs++;
	return t;
}

void agg_trust_unref(struct agg_trust *t)
{
	if (!t || --t->refs > 0)
		return;
	km_x509_stack_free(t->client_ca);
	km_x509_stack_free(t->requestheader_ca);
	free_list(t->allowed_names);
	free_list(t->username_headers);
	free_list(t->group_headers);
	free_list(t->extra_prefixes);
	free_list(t->uid_headers);
	free(t);
}

void agg_trust_unrefp(struct agg_trust **t)
{
	agg_trust_unref(*t);
	*t = NULL;
}
