/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discovery: /version and /apis, as small sorted values. The legacy group "" is always there as v1 and is not asked
 * for.
 */
#include "kube/discovery.h"

#include <errno.h>
#include <string.h>

#include "kube/call.h"

#define GROUPS_MAX   1024 /* clusters with many CRDs have a few hundred */
#define VERSIONS_MAX 32   /* of one group */
#define NAME_MAX_LEN 253

struct group {
	char *name;
	char **versions; /* newest first */
	size_t n;
	char *preferred; /* NULL: the server says nothing of it */
};

struct kube_discovery {
	unsigned refs;
	int minor;
	char *git_version;
	struct group *groups;
	size_t n;
};

/* ---- order of versions (k8s.io/apimachinery/pkg/version.CompareKubeAwareVersionStrings) ---- */

struct version {
	int stage; /* 2: v1, 1: v1beta1, 0: v1alpha1 */
	unsigned long major, minor;
};

static bool number(const char **p, unsigned long *ret)
{
	char *end;

	if (**p < '1' || **p > '9')
		return false;
	errno = 0;
	*ret = strtoul(*p, &end, 10);
	*p = end;
	return errno == 0;
}

/* ^v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?$ */
static bool parse_version(const char *s, struct version *ret)
{
	*ret = (struct version){.stage = 2};
	if (*s++ != 'v' || !number(&s, &ret->major))
		return false;
	if (*s == '\0')
		return true;
	if (strncmp(s, "beta", 4) == 0) {
		ret->stage = 1;
		s += 4;
	} else if (strncmp(s, "alpha", 5) == 0) {
		ret->stage = 0;
		s += 5;
	} else {
		return false;
	}
	return number(&s, &ret->minor) && *s == '\0';
}

static int order(unsigned long a, unsigned long b)
{
	return (a > b) - (a < b);
}

int kube_version_compare(const char *a, const char *b)
{
	struct version va, vb;
	bool known_a = parse_version(a, &va), known_b = parse_version(b, &vb);

	if (!known_a || !known_b)
		return known_a != known_b ? (known_a ? 1 : -1) : strcmp(b, a);
	if (va.stage != vb.stage)
		return va.stage > vb.stage ? 1 : -1;
	return va.major != vb.major ? order(va.major, vb.major) : order(va.minor, vb.minor);
}

/* ---- parsing ---- */

static int newest_first(const void *a, const void *b)
{
	return kube_version_compare(*(char *const *)b, *(char *const *)a);
}

static void discovery_free(struct kube_discovery *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n; i++) {
		for (size_t j = 0; j < d->groups[i].n; j++)
			free(d->groups[i].versions[j]);
		free(d->groups[i].versions);
		free(d->groups[i].preferred);
		free(d->groups[i].name);
	}
	free(d->groups);
	free(d->git_version);
	free(d);
}

static void discovery_freep(struct kube_discovery **d)
{
	discovery_free(*d);
}

struct kube_discovery *kube_discovery_ref(struct kube_discovery *d)
{
	d->refs++;
	return d;
}

void kube_discovery_unref(struct kube_discovery *d)
{
	if (d && --d->refs == 0)
		discovery_free(d);
}

static const char *name_of(json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s && *s && strlen(s) <= NAME_MAX_LEN ? s : NULL;
}

static int add_group(struct kube_discovery *d, json_t *object, const char *name, struct km_err *err)
{
	json_t *versions = json_object_get(object, "versions"), *v;
	const char *preferred = name_of(json_object_get(object, "preferredVersion"), "version");
	struct group *g = &d->groups[d->n];
	size_t i;

	if (json_array_size(versions) > VERSIONS_MAX)
		return km_fail(err, -EMSGSIZE, "/apis: group %s has more than %d versions", name, VERSIONS_MAX);
	g->name = strdup(name);
	g->versions = calloc(json_array_size(versions) + 1, sizeof(*g->versions));
	d->n++;
	if (!g->name || !g->versions)
		return km_fail(err, -ENOMEM, "/apis: out of memory");
	json_array_foreach(versions, i, v)
	{
		const char *text = name_of(v, "version");
		if (!text)
			continue;
		g->versions[g->n] = strdup(text);
		if (!g->versions[g->n])
			return km_fail(err, -ENOMEM, "/apis: out of memory");
		g->n++;
	}
	qsort(g->versions, g->n, sizeof(*g->versions), newest_first);
	if (preferred && !(g->preferred = strdup(preferred)))
		return km_fail(err, -ENOMEM, "/apis: out of memory");
	return 0;
}

/* "v1.20.2", "v1.28.3+rke2r1": the number behind the first dot, -1 if it is not of that form. */
static int minor_of(const char *git_version)
{
	unsigned long major, minor = 0;
	const char *p = git_version;

	if (*p++ != 'v' || !number(&p, &major) || *p++ != '.')
		return -1;
	if (*p == '0')
		return 0;
	return number(&p, &minor) && minor < 10000 ? (int)minor : -1;
}

int kube_discovery_parse(json_t *version, json_t *groups, struct kube_discovery **ret, struct km_err *err)
{
	_cleanup_(discovery_freep) struct kube_discovery *d = calloc(1, sizeof(*d));
	json_t *list = json_object_get(groups, "groups"), *g;
	const char *git = name_of(version, "gitVersion");
	size_t i;
	int r;

	if (!d)
		return km_fail(err, -ENOMEM, "discovery: out of memory");
	d->refs = 1;
	d->minor = git ? minor_of(git) : -1;
	if (d->minor < 0)
		return km_fail(err, -EBADMSG,
			"/version: no gitVersion like v1.20.2 in the reply; is this a Kubernetes API server?");
	if (!json_is_array(list))
		return km_fail(
			err, -EBADMSG, "/apis: no list of groups in the reply; is this a Kubernetes API server?");
	if (json_array_size(list) > GROUPS_MAX)
		return km_fail(err, -EMSGSIZE, "/apis: more than %d API groups", GROUPS_MAX);
	d->git_version = strdup(git);
	d->groups = calloc(json_array_size(list) + 1, sizeof(*d->groups));
	if (!d->git_version || !d->groups)
		return km_fail(err, -ENOMEM, "discovery: out of memory");
	json_array_foreach(list, i, g)
	{
		const char *name = name_of(g, "name");
		if (!name)
			continue;
		r = add_group(d, g, name, err);
		if (r < 0)
			return r;
	}
	*ret = KM_TAKE(d);
	return 0;
}

/* ---- look-ups ---- */

static const struct group *find(const struct kube_discovery *d, const char *name)
{
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->groups[i].name, name) == 0)
			return &d->groups[i];
	return NULL;
}

int kube_discovery_minor(const struct kube_discovery *d)
{
	return d->minor;
}

const char *kube_discovery_git_version(const struct kube_discovery *d)
{
	return d->git_version;
}

bool kube_discovery_serves(const struct kube_discovery *d, const char *group, const char *version)
{
	const struct group *g = find(d, group);

	if (!*group)
		return strcmp(version, "v1") == 0;
	for (size_t i = 0; g && i < g->n; i++)
		if (strcmp(g->versions[i], version) == 0)
			return true;
	return false;
}

const char *kube_discovery_newest(const struct kube_discovery *d, const char *group)
{
	const struct group *g = find(d, group);

	if (!*group)
		return "v1";
	return g && g->n > 0 ? g->versions[0] : NULL;
}

const char *kube_discovery_preferred(const struct kube_discovery *d, const char *group)
{
	const struct group *g = find(d, group);

	return g && g->preferred ? g->preferred : kube_discovery_newest(d, group);
}

/* ---- asking ---- */

struct asking {
	void (*fn)(struct kube_discovery *d, const char *text, void *arg);
	void *arg;
	struct kube_call *call; /* borrowed: it owns this */
	json_t *version;
};

static void asking_free(void *arg)
{
	struct asking *a = arg;

	json_decref(a->version);
	free(a);
}

static json_t *body_object(const struct kube_result *result, const char *path, struct km_err *err)
{
	json_error_t where;
	json_t *object = json_loadb(result->body, result->body_len, 0, &where);

	if (json_is_object(object))
		return object;
	json_decref(object);
	km_fail(err, -EBADMSG, "GET %s: the reply is not a JSON object", path);
	return NULL;
}

static void on_groups(const struct kube_result *result, void *arg)
{
	struct asking *a = arg;
	struct kube_discovery *d = NULL;
	struct km_err err = {.text = ""};
	json_t *groups;

	if (result->error != 0) {
		a->fn(NULL, result->text, a->arg);
		return;
	}
	groups = body_object(result, "/apis", &err);
	if (!groups || kube_discovery_parse(a->version, groups, &d, &err) < 0)
		a->fn(NULL, err.text, a->arg);
	else
		a->fn(d, "", a->arg);
	kube_discovery_unref(d);
	json_decref(groups);
}

static void on_version(const struct kube_result *result, void *arg)
{
	struct asking *a = arg;
	const struct kube_request request = {.method = "GET", .path = "/apis", .on_done = on_groups, .arg = a};
	struct km_err err = {.text = ""};

	if (result->error != 0) {
		a->fn(NULL, result->text, a->arg);
		return;
	}
	a->version = body_object(result, "/version", &err);
	if (!a->version) {
		a->fn(NULL, err.text, a->arg);
		return;
	}
	if (kube_call_continue(a->call, &request) < 0)
		a->fn(NULL, "GET /apis: out of memory or too many calls under way", a->arg);
}

int kube_discover(struct kube_client *client, void (*fn)(struct kube_discovery *d, const char *text, void *arg),
	void *arg, struct kube_call **ret)
{
	struct asking *a = calloc(1, sizeof(*a));
	const struct kube_request request = {.method = "GET", .path = "/version", .on_done = on_version, .arg = a};
	int r;

	if (!a)
		return -ENOMEM;
	a->fn = fn;
	a->arg = arg;
	r = kube_request_start(client, &request, &a->call);
	if (r < 0) {
		free(a);
		return r;
	}
	kube_call_on_free(a->call, asking_free, a);
	*ret = a->call;
	return 0;
}
