/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scale subresource; see scale_client.h. What was read is kept as it came, so that a PUT sends back all that the
 * server told us, with spec.replicas changed; it is put into another form only when discovery lists another known
 * form of Scale for the resource than the GET gave.
 */
#include "hpa/scale_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hpa/api_message.h"
#include "net/url.h"

#define SCALE_MAGIC  0x68706173U
#define DEADLINE_US  (10 * KM_USEC_PER_SEC)
#define SELECTOR_MAX (64 * 1024)
#define LABELS_MAX   256 /* in a selector that is a map */

struct hpa_scale_client {
	uint32_t magic;
	struct kube_client *client; /* borrowed */
	char *path;                 /* owned */
	char *api_version, *kind;   /* owned: what discovery says a PUT takes; NULL: it does not */
	json_t *object;             /* owned: as read last; NULL: not yet */
	struct kube_call *call;
	void (*got)(const struct hpa_scale *scale, const struct hpa_failure *failure, void *arg);
	void (*put)(const struct hpa_failure *failure, void *arg);
	void *arg;
};

/* ---- what a Scale says ---- */

enum shape { AUTOSCALING, EXTENSIONS /* and apps/v1beta1, apps/v1beta2: a map beside targetSelector */ };

static int shape_of(const char *api_version, enum shape *ret)
{
	static const struct {
		const char *api_version;
		enum shape shape;
	} known[] = {{"autoscaling/v1", AUTOSCALING}, {"extensions/v1beta1", EXTENSIONS}, {"apps/v1beta1", EXTENSIONS},
		{"apps/v1beta2", EXTENSIONS}};

	for (size_t i = 0; i < KM_ARRAY_LEN(known); i++) {
		if (strcmp(known[i].api_version, api_version) == 0) {
			*ret = known[i].shape;
			return 0;
		}
	}
	return -EINVAL;
}

static const char *text_of(json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

/* A replica count; absent counts as 0, as in Go. */
static int count_of(json_t *object, const char *key, int32_t *ret)
{
	json_t *v = json_object_get(object, key);

	if (v && !json_is_null(v) &&
		(!json_is_integer(v) || json_integer_value(v) < INT32_MIN || json_integer_value(v) > INT32_MAX))
		return -EINVAL;
	*ret = (int32_t)json_integer_value(v);
	return 0;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* labels.SelectorFromSet(map).String(): "a=1,b=2", by key. */
static int map_selector(json_t *map, char **ret, struct km_err *err)
{
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(SELECTOR_MAX);
	const char *keys[LABELS_MAX], *key;
	json_t *value;
	size_t n = 0;

	json_object_foreach(map, key, value)
	{
		if (n == LABELS_MAX)
			return km_fail(err, -EMSGSIZE, "the scale's selector has more than %d labels", LABELS_MAX);
		if (!json_is_string(value))
			return km_fail(err, -EINVAL, "the scale's selector has a label that is not a text");
		keys[n++] = key;
	}
	qsort(keys, n, sizeof(*keys), compare_texts);
	km_buf_adds(&out, "");
	for (size_t i = 0; i < n; i++)
		km_buf_addf(&out, "%s%s=%s", i > 0 ? "," : "", keys[i], text_of(map, keys[i]));
	if (out.error)
		return km_fail(err, out.error, "the scale's selector is too long");
	*ret = km_buf_take(&out, NULL);
	return *ret ? 0 : -ENOMEM;
}

int hpa_scale_decode(json_t *object, struct hpa_scale *ret, char **ret_selector, struct km_err *err)
{
	json_t *spec = json_object_get(object, "spec"), *status = json_object_get(object, "status"), *selector;
	const char *api_version = text_of(object, "apiVersion"), *kind = text_of(object, "kind");
	struct hpa_scale scale = {.resource_version = text_of(json_object_get(object, "metadata"), "resourceVersion")};
	char *made = NULL;
	enum shape shape;
	int r;

	if (strcmp(kind, "Scale") != 0 || shape_of(api_version, &shape) < 0)
		return km_fail(err, -EINVAL,
			"the server's reply is no Scale that is known here (apiVersion \"%.100s\", "
			"kind \"%.100s\")",
			api_version, kind);
	if (!json_is_object(json_object_get(object, "metadata")))
		return km_fail(err, -EINVAL, "the server's Scale has no metadata");
	if (count_of(spec, "replicas", &scale.replicas) < 0 || count_of(status, "replicas", &scale.status_replicas) < 0)
		return km_fail(err, -EINVAL, "the server's Scale has a replica count that is none");
	selector = json_object_get(status, "selector");
	scale.selector = text_of(status, shape == AUTOSCALING ? "selector" : "targetSelector");
	if (shape == EXTENSIONS && !*scale.selector && json_is_object(selector)) {
		r = map_selector(selector, &made, err);
		if (r < 0)
			return r;
		scale.selector = made;
	}
	if (strlen(scale.selector) > SELECTOR_MAX)
		return km_fail(err, -EMSGSIZE, "the scale's selector is too long");
	*ret = scale;
	*ret_selector = made;
	return 0;
}

/* ---- life ---- */

void hpa_scale_client_free(struct hpa_scale_client *scale)
{
	if (!scale)
		return;
	assert(scale->magic == SCALE_MAGIC);
	kube_call_cancel(scale->call);
	json_decref(scale->object);
	free(scale->path);
	free(scale->api_version);
	free(scale->kind);
	scale->magic = 0;
	free(scale);
}

/* "group/version", or "version" of the core group. */
static char *group_version(const char *group, const char *version)
{
	char *text;

	return asprintf(&text, "%s%s%s", group, *group ? "/" : "", version) < 0 ? NULL : text;
}

int hpa_scale_client_new(struct kube_client *client, const struct kube_mapping *mapping, const char *namespace_,
	const char *name, struct hpa_scale_client **ret)
{
	const struct kube_mapping_version *v = &mapping->versions[0]; /* the preferred one, whichever is tried */
	struct km_buf path = KM_BUF_INIT(KM_URL_TARGET_MAX);
	struct hpa_scale_client *scale = calloc(1, sizeof(*scale));

	if (!scale)
		return -ENOMEM;
	scale->magic = SCALE_MAGIC;
	scale->client = client;
	km_buf_adds(&path, *mapping->group ? "/apis/" : "/api/");
	if (*mapping->group) {
		km_url_encode(&path, mapping->group);
		km_buf_addc(&path, '/');
	}
	km_url_encode(&path, v->version);
	km_buf_adds(&path, "/namespaces/");
	km_url_encode(&path, namespace_);
	km_buf_addc(&path, '/');
	km_url_encode(&path, v->plural);
	km_buf_addc(&path, '/');
	km_url_encode(&path, name);
	km_buf_adds(&path, "/scale");
	scale->path = km_buf_take(&path, NULL);
	km_buf_free(&path);
	if (v->scale_kind) {
		scale->api_version = group_version(v->scale_group, v->scale_version);
		scale->kind = strdup(v->scale_kind);
	}
	if (!scale->path || (v->scale_kind && (!scale->api_version || !scale->kind))) {
		hpa_scale_client_free(scale);
		return -ENOMEM;
	}
	*ret = scale;
	return 0;
}

/* ---- requests ---- */

static void fail_get(struct hpa_scale_client *scale, const char *text)
{
	const struct hpa_failure failure = {.text = text};

	scale->got(NULL, &failure, scale->arg);
}

static void on_got(const struct kube_result *result, void *arg)
{
	struct hpa_scale_client *scale = KM_CAST(struct hpa_scale_client, arg, SCALE_MAGIC);
	_cleanup_free_ char *made = NULL;
	struct hpa_scale decoded;
	char message[HPA_API_MESSAGE_MAX];
	json_error_t where;
	struct km_err err;
	json_t *object;

	scale->call = NULL;
	if (result->error != 0) {
		const struct hpa_failure failure = {
			.text = hpa_api_message(result, message), .conflict = result->error == -EAGAIN};

		scale->got(NULL, &failure, scale->arg);
		return;
	}
	if (result->body_len > HPA_SCALE_BODY_MAX) {
		fail_get(scale, "the server's Scale is too large");
		return;
	}
	object = json_loadb(result->body, result->body_len, 0, &where);
	if (hpa_scale_decode(object, &decoded, &made, &err) < 0) {
		json_decref(object);
		fail_get(scale, err.text);
		return;
	}
	json_decref(scale->object);
	scale->object = json_incref(object); /* ours; the other reference keeps decoded alive if fn frees us */
	scale->got(&decoded, NULL, scale->arg);
	json_decref(object);
}

int hpa_scale_get(struct hpa_scale_client *scale,
	void (*fn)(const struct hpa_scale *scale, const struct hpa_failure *failure, void *arg), void *arg)
{
	const struct kube_request request = {
		.method = "GET", .path = scale->path, .deadline_us = DEADLINE_US, .on_done = on_got, .arg = scale};

	assert(!scale->call);
	scale->got = fn;
	scale->arg = arg;
	return kube_request_start(scale->client, &request, &scale->call);
}

int hpa_scale_know(struct hpa_scale_client *scale, const struct kube_scale_record *record, const char *namespace_,
	const char *name, struct hpa_scale *ret)
{
	json_t *object = json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:s, s:s}, s:{s:i}, s:{s:i, s:s}}", "kind", "Scale",
		"apiVersion", "autoscaling/v1", "metadata", "name", name, "namespace", namespace_, "uid", record->uid,
		"resourceVersion", record->resource_version, "creationTimestamp", record->created, "spec", "replicas",
		(int)record->replicas, "status", "replicas", (int)record->status_replicas, "selector",
		record->selector);

	if (!object)
		return -ENOMEM;
	json_decref(scale->object);
	scale->object = object;
	*ret = (struct hpa_scale){
		.replicas = record->replicas,
		.status_replicas = record->status_replicas,
		.selector = text_of(json_object_get(object, "status"), "selector"),
		.resource_version = text_of(json_object_get(object, "metadata"), "resourceVersion"),
	};
	return 0;
}

static void on_put(const struct kube_result *result, void *arg)
{
	struct hpa_scale_client *scale = KM_CAST(struct hpa_scale_client, arg, SCALE_MAGIC);
	struct hpa_failure failure = {.conflict = result->error == -EAGAIN};
	char message[HPA_API_MESSAGE_MAX];

	scale->call = NULL;
	if (result->error != 0)
		failure.text = hpa_api_message(result, message);
	scale->put(result->error != 0 ? &failure : NULL, scale->arg);
}

/* The status in the other shape. Steals nothing; NULL without memory. */
static json_t *converted_status(json_t *object, enum shape to)
{
	_cleanup_free_ char *made = NULL;
	struct hpa_scale scale;
	json_t *status;

	if (hpa_scale_decode(object, &scale, &made, NULL) < 0)
		return NULL;
	status = json_pack("{s:i}", "replicas", (int)scale.status_replicas);
	if (status && *scale.selector &&
		json_object_set_new(
			status, to == AUTOSCALING ? "selector" : "targetSelector", json_string(scale.selector)) < 0) {
		json_decref(status);
		return NULL;
	}
	return status;
}

/* What was read, with this count, as what discovery lists for the resource. NULL without memory. */
static json_t *make_body(const struct hpa_scale_client *scale, int32_t replicas, const char *resource_version)
{
	json_t *body = json_deep_copy(scale->object), *spec = json_object_get(body, "spec");
	enum shape from = AUTOSCALING, to = AUTOSCALING;
	int r = 0;

	if (!body)
		return NULL;
	if (scale->api_version && strcmp(scale->api_version, text_of(body, "apiVersion")) != 0 &&
		shape_of(scale->api_version, &to) == 0 && shape_of(text_of(body, "apiVersion"), &from) == 0) {
		if (from != to)
			r |= json_object_set_new(body, "status", converted_status(scale->object, to));
		r |= json_object_set_new(body, "apiVersion", json_string(scale->api_version));
		r |= json_object_set_new(body, "kind", json_string(scale->kind));
	}
	if (!json_is_object(spec)) {
		spec = json_object();
		r |= json_object_set_new(body, "spec", spec);
	}
	r |= json_object_set_new(spec, "replicas", json_integer(replicas));
	if (resource_version && *resource_version)
		r |= json_object_set_new(
			json_object_get(body, "metadata"), "resourceVersion", json_string(resource_version));
	if (r == 0)
		return body;
	json_decref(body);
	return NULL;
}

int hpa_scale_put(struct hpa_scale_client *scale, int32_t replicas, const char *resource_version,
	void (*fn)(const struct hpa_failure *failure, void *arg), void *arg)
{
	struct kube_request request = {
		.method = "PUT", .path = scale->path, .deadline_us = DEADLINE_US, .on_done = on_put, .arg = scale};
	json_t *body;
	int r;

	assert(!scale->call);
	if (!scale->object)
		return -EINVAL;
	body = make_body(scale, replicas, resource_version);
	if (!body)
		return -ENOMEM;
	scale->put = fn;
	scale->arg = arg;
	request.body = body;
	r = kube_request_start(scale->client, &request, &scale->call);
	json_decref(body);
	return r;
}
