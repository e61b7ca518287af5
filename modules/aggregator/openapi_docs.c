/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptions as tables, and the two dialects they are written in; see the header. */
#include "aggregator/openapi_docs.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "aggregator/route.h"
#include "core/json.h"

#define DOC_MAX   ((size_t)64 * 1024)
#define TYPES     "io.k8s.metrics.pkg.apis.metrics.v1beta1."
#define RESOURCES "/apis/" AGG_GROUP_VERSION "/"

/* A document being written. */
struct writer {
	struct km_json j;
	bool v3;
};

/* ---- types ---- */

enum shape { TEXT, TIME, USAGE, META, LIST_META, ARRAY_OF };

struct property {
	const char *name, *description;
	enum shape shape;
	const char *of; /* ARRAY_OF: the element's type */
};

#define PROPERTIES_MAX 6
static const struct type {
	const char *name, *description;
	bool kind; /* an object of the API with kind and apiVersion */
	struct property properties[PROPERTIES_MAX];
	const char *required[4];
} types[] = {
	{"ContainerMetrics", "The usage of one container.", false,
		{{"name", "Name of the container, as in the pod's spec.", TEXT, NULL},
			{"usage", "CPU and memory used by the container.", USAGE, NULL}},
		{"name", "usage"}},
	{"NodeMetrics", "The usage of one node, as its kubelet reported it.", true,
		{{"metadata", NULL, META, NULL}, {"timestamp", "The end of the window.", TIME, NULL},
			{"usage", "CPU and memory used on the node.", USAGE, NULL},
			{"window", "The time over which CPU usage was averaged, a duration such as 15s.", TEXT, NULL}},
		{"timestamp", "window", "usage"}},
	{"NodeMetricsList", "A list of NodeMetrics.", true,
		{{"items", "The nodes that have figures, by name.", ARRAY_OF, "NodeMetrics"},
			{"metadata", NULL, LIST_META, NULL}},
		{"items"}},
	{"PodMetrics", "The usage of one running pod, container by container.", true,
		{{"containers", "The containers, in the order of the pod's spec.", ARRAY_OF, "ContainerMetrics"},
			{"metadata", NULL, META, NULL},
			{"timestamp", "The end of the window; of several containers', the earliest.", TIME, NULL},
			{"window", "The time over which CPU usage was averaged, a duration such as 15s.", TEXT, NULL}},
		{"timestamp", "window", "containers"}},
	{"PodMetricsList", "A list of PodMetrics.", true,
		{{"items", "The running pods that have figures, by namespace and name.", ARRAY_OF, "PodMetrics"},
			{"metadata", NULL, LIST_META, NULL}},
		{"items"}},
};

static void describe(struct km_json *j, const char *type, const char *description)
{
	if (description)
		km_json_kstr(j, "description", description);
	km_json_kstr(j, "type", type);
}

static void text_property(struct km_json *j, const char *name, const char *description, const char *format)
{
	km_json_key(j, name);
	km_json_object(j);
	describe(j, "string", description);
	if (format)
		km_json_kstr(j, "format", format);
	km_json_end_object(j);
}

static void any_text(struct km_json *j)
{
	km_json_key(j, "additionalProperties");
	km_json_object(j);
	km_json_kstr(j, "type", "string");
	km_json_end_object(j);
}

static void reference(struct writer *w, const char *type)
{
	char to[128];

	snprintf(to, sizeof(to), "#/%s/" TYPES "%s", w->v3 ? "components/schemas" : "definitions", type);
	km_json_object(&w->j);
	km_json_kstr(&w->j, "$ref", to);
	km_json_end_object(&w->j);
}

static void metadata(struct km_json *j)
{
	describe(j, "object", "Of the standard metadata of objects: what is copied from the node or pod.");
	km_json_key(j, "properties");
	km_json_object(j);
	text_property(j, "creationTimestamp", "The time of the request.", "date-time");
	km_json_key(j, "labels");
	km_json_object(j);
	describe(j, "object", "The labels of the node or pod.");
	any_text(j);
	km_json_end_object(j);
	text_property(j, "name", "Name of the node or pod.", NULL);
	text_property(j, "namespace", "Namespace of the pod.", NULL);
	km_json_end_object(j);
}

static void write_property(struct writer *w, const struct property *p)
{
	struct km_json *j = &w->j;

	if (p->shape == TEXT || p->shape == TIME) {
		text_property(j, p->name, p->description, p->shape == TIME ? "date-time" : NULL);
		return;
	}
	km_json_key(j, p->name);
	km_json_object(j);
	switch (p->shape) {
	case META:
		metadata(j);
		break;
	case LIST_META:
		describe(j, "object", "Standard metadata of lists; always empty.");
		break;
	case USAGE:
		describe(j, "object", p->description);
		any_text(j);
		break;
	case ARRAY_OF:
		describe(j, "array", p->description);
		km_json_key(j, "items");
		reference(w, p->of);
		break;
	default:
		break;
	}
	km_json_end_object(j);
}

static void group_version_kind(struct km_json *j, const char *kind)
{
	km_json_object(j);
	km_json_kstr(j, "group", AGG_GROUP);
	km_json_kstr(j, "kind", kind);
	km_json_kstr(j, "version", AGG_VERSION);
	km_json_end_object(j);
}

static void write_type(struct writer *w, const struct type *t)
{
	struct km_json *j = &w->j;
	char name[96];

	snprintf(name, sizeof(name), TYPES "%s", t->name);
	km_json_key(j, name);
	km_json_object(j);
	describe(j, "object", t->description);
	km_json_key(j, "required");
	km_json_array(j);
	for (size_t i = 0; i < KM_ARRAY_LEN(t->required) && t->required[i]; i++)
		km_json_str(j, t->required[i]);
	km_json_end_array(j);
	km_json_key(j, "properties");
	km_json_object(j);
	if (t->kind)
		text_property(j, "apiVersion", "Always " AGG_GROUP_VERSION ".", NULL);
	for (size_t i = 0; i < PROPERTIES_MAX && t->properties[i].name; i++)
		write_property(w, &t->properties[i]);
	if (t->kind)
		text_property(j, "kind", "What this object is.", NULL);
	km_json_end_object(j);
	if (t->kind) {
		km_json_key(j, "x-kubernetes-group-version-kind");
		km_json_array(j);
		group_version_kind(j, t->name);
		km_json_end_array(j);
	}
	km_json_end_object(j);
}

/* ---- operations ---- */

static const struct operation {
	enum agg_openapi_doc v3; /* the v3 document it is in */
	const char *path, *id, *description;
	const char *kind;   /* of the object that is meant; NULL: discovery */
	const char *result; /* its type */
	bool name, namespace_;
} operations[] = {
	{AGG_OPENAPI_V3_APIS, "/apis/", "getAPIVersions", "the API groups served here", NULL, NULL, false, false},
	{AGG_OPENAPI_V3_GROUP, "/apis/" AGG_GROUP "/", "getMetricsAPIGroup", "the group and its version", NULL, NULL,
		false, false},
	{AGG_OPENAPI_V3_RESOURCES, RESOURCES, "getMetricsV1beta1APIResources", "the resources of the group", NULL, NULL,
		false, false},
	{AGG_OPENAPI_V3_RESOURCES, RESOURCES "namespaces/{namespace}/pods", "listMetricsV1beta1NamespacedPodMetrics",
		"the usage of the running pods of a namespace", "PodMetrics", "PodMetricsList", false, true},
	{AGG_OPENAPI_V3_RESOURCES, RESOURCES "namespaces/{namespace}/pods/{name}",
		"readMetricsV1beta1NamespacedPodMetrics", "the usage of one running pod", "PodMetrics", "PodMetrics",
		true, true},
	{AGG_OPENAPI_V3_RESOURCES, RESOURCES "nodes", "listMetricsV1beta1NodeMetrics", "the usage of all nodes",
		"NodeMetrics", "NodeMetricsList", false, false},
	{AGG_OPENAPI_V3_RESOURCES, RESOURCES "nodes/{name}", "readMetricsV1beta1NodeMetrics", "the usage of one node",
		"NodeMetrics", "NodeMetrics", true, false},
	{AGG_OPENAPI_V3_RESOURCES, RESOURCES "pods", "listMetricsV1beta1PodMetricsForAllNamespaces",
		"the usage of all running pods", "PodMetrics", "PodMetricsList", false, false},
	{AGG_OPENAPI_V3_VERSION, "/version/", "getCodeVersion", "the version of this server", NULL, NULL, false, false},
};

static const struct {
	const char *name, *type, *description;
} list_parameters[] = {
	{"continue", "string", "Accepted without effect: lists always come whole."},
	{"fieldSelector", "string",
		"Restricts the list by the fields metadata.name and metadata.namespace; of pods also by spec.nodeName "
		"and status.phase."},
	{"labelSelector", "string", "Restricts the list by the labels of the nodes or pods."},
	{"limit", "integer", "Accepted without effect: lists always come whole."},
	{"resourceVersion", "string", "Accepted without effect: figures have no versions."},
};

static const char *const media[] = {"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"};

static void parameter(struct writer *w, const char *name, const char *type, const char *in, const char *description)
{
	struct km_json *j = &w->j;

	km_json_object(j);
	km_json_kstr(j, "name", name);
	km_json_kstr(j, "in", in);
	km_json_kstr(j, "description", description);
	if (strcmp(in, "path") == 0)
		km_json_kbool(j, "required", true);
	if (w->v3) {
		km_json_key(j, "schema");
		km_json_object(j);
	}
	km_json_kstr(j, "type", type);
	if (w->v3)
		km_json_end_object(j);
	km_json_end_object(j);
}

static void parameters(struct writer *w, const struct operation *o)
{
	km_json_key(&w->j, "parameters");
	km_json_array(&w->j);
	if (o->name)
		parameter(w, "name", "string", "path", "Name of the node or pod.");
	if (o->namespace_)
		parameter(w, "namespace", "string", "path", "Namespace of the pods.");
	parameter(w, "pretty", "string", "query", "If \"true\", JSON is indented.");
	for (size_t i = 0; o->kind && !o->name && i < KM_ARRAY_LEN(list_parameters); i++)
		parameter(w, list_parameters[i].name, list_parameters[i].type, "query", list_parameters[i].description);
	km_json_end_array(&w->j);
}

static void schema(struct writer *w, const struct operation *o)
{
	km_json_key(&w->j, "schema");
	if (o->result) {
		reference(w, o->result);
	} else {
		km_json_object(&w->j);
		km_json_kstr(&w->j, "type", "object");
		km_json_end_object(&w->j);
	}
}

static size_t media_of(const struct operation *o)
{
	return o->kind ? KM_ARRAY_LEN(media) : 2;
}

static void responses(struct writer *w, const struct operation *o)
{
	struct km_json *j = &w->j;

	km_json_key(j, "responses");
	km_json_object(j);
	km_json_key(j, "200");
	km_json_object(j);
	km_json_kstr(j, "description", "OK");
	if (w->v3) {
		km_json_key(j, "content");
		km_json_object(j);
		for (size_t i = 0; i < media_of(o); i++) {
			km_json_key(j, media[i]);
			km_json_object(j);
			schema(w, o);
			km_json_end_object(j);
		}
		km_json_end_object(j);
	} else {
		schema(w, o);
	}
	km_json_end_object(j);
	km_json_key(j, "401");
	km_json_object(j);
	km_json_kstr(j, "description", "Unauthorized");
	km_json_end_object(j);
	km_json_end_object(j);
}

static void texts(struct km_json *j, const char *key, const char *const *list, size_t n)
{
	km_json_key(j, key);
	km_json_array(j);
	for (size_t i = 0; i < n; i++)
		km_json_str(j, list[i]);
	km_json_end_array(j);
}

static void write_operation(struct writer *w, const struct operation *o)
{
	static const char *const tags[] = {"metrics_v1beta1"}, *const schemes[] = {"https"};
	struct km_json *j = &w->j;

	km_json_key(j, o->path);
	km_json_object(j);
	km_json_key(j, "get");
	km_json_object(j);
	texts(j, "tags", tags, 1);
	km_json_kstr(j, "description", o->description);
	km_json_kstr(j, "operationId", o->id);
	if (!w->v3) {
		texts(j, "produces", media, media_of(o));
		texts(j, "schemes", schemes, 1);
	}
	parameters(w, o);
	responses(w, o);
	if (o->kind) {
		km_json_kstr(j, "x-kubernetes-action", o->name ? "get" : "list");
		km_json_key(j, "x-kubernetes-group-version-kind");
		group_version_kind(j, o->kind);
	}
	km_json_end_object(j);
	km_json_end_object(j);
}

/* ---- documents ---- */

static void begin(struct writer *w)
{
	struct km_json *j = &w->j;

	km_json_object(j);
	km_json_kstr(j, w->v3 ? "openapi" : "swagger", w->v3 ? "3.0.0" : "2.0");
	km_json_key(j, "info");
	km_json_object(j);
	km_json_kstr(j, "title", "kmetricsd: the Kubernetes resource metrics API");
	km_json_kstr(j, "version", "v" KM_VERSION);
	km_json_end_object(j);
	km_json_key(j, "paths");
	km_json_object(j);
}

static void write_types(struct writer *w)
{
	if (w->v3) {
		km_json_key(&w->j, "components");
		km_json_object(&w->j);
	}
	km_json_key(&w->j, w->v3 ? "schemas" : "definitions");
	km_json_object(&w->j);
	for (size_t i = 0; i < KM_ARRAY_LEN(types); i++)
		write_type(w, &types[i]);
	km_json_end_object(&w->j);
	if (w->v3)
		km_json_end_object(&w->j);
}

static void write_doc(struct km_buf *out, enum agg_openapi_doc doc)
{
	struct writer w = {.j = KM_JSON_INIT(out, false), .v3 = doc != AGG_OPENAPI_V2};

	begin(&w);
	for (size_t i = 0; i < KM_ARRAY_LEN(operations); i++)
		if (!w.v3 || operations[i].v3 == doc)
			write_operation(&w, &operations[i]);
	km_json_end_object(&w.j);
	if (!w.v3 || doc == AGG_OPENAPI_V3_RESOURCES)
		write_types(&w);
	km_json_end_object(&w.j);
}

static const char *const v3_names[] = {
	[AGG_OPENAPI_V3_APIS] = "apis",
	[AGG_OPENAPI_V3_GROUP] = "apis/" AGG_GROUP,
	[AGG_OPENAPI_V3_RESOURCES] = "apis/" AGG_GROUP_VERSION,
	[AGG_OPENAPI_V3_VERSION] = "version",
	[AGG_OPENAPI_V3_INDEX] = "",
};

static void write_index(struct km_buf *out, const struct agg_openapi *o)
{
	struct km_json j = KM_JSON_INIT(out, false);
	char url[256];

	km_json_object(&j);
	km_json_key(&j, "paths");
	km_json_object(&j);
	for (int d = AGG_OPENAPI_V3_APIS; d < AGG_OPENAPI_V3_INDEX; d++) {
		snprintf(url, sizeof(url), "/openapi/v3/%s?hash=%s", v3_names[d], o->docs[d].hash);
		km_json_key(&j, v3_names[d]);
		km_json_object(&j);
		km_json_kstr(&j, "serverRelativeURL", url);
		km_json_end_object(&j);
	}
	km_json_end_object(&j);
	km_json_end_object(&j);
}

static int hash(const struct km_buf *body, char out[AGG_OPENAPI_HASH_MAX])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (body->error || EVP_Digest(body->data, body->len, digest, &len, EVP_sha512(), NULL) != 1)
		return -ENOMEM;
	for (unsigned i = 0; i < len; i++)
		sprintf(out + (size_t)2 * i, "%02X", digest[i]);
	return 0;
}

int agg_openapi_new(struct agg_openapi **ret)
{
	struct agg_openapi *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	for (int d = 0; d < AGG_OPENAPI_DOCS; d++) {
		struct km_buf *body = &o->docs[d].body;

		*body = KM_BUF_INIT(DOC_MAX);
		if (d == AGG_OPENAPI_V3_INDEX)
			write_index(body, o);
		else
			write_doc(body, (enum agg_openapi_doc)d);
		if (hash(body, o->docs[d].hash) < 0) {
			agg_openapi_free(o);
			return -ENOMEM;
		}
	}
	*ret = o;
	return 0;
}

void agg_openapi_free(struct agg_openapi *o)
{
	if (!o)
		return;
	for (int d = 0; d < AGG_OPENAPI_DOCS; d++)
		km_buf_free(&o->docs[d].body);
	free(o);
}

enum agg_openapi_doc agg_openapi_v3_named(const char *name)
{
	for (int d = AGG_OPENAPI_V3_APIS; d < AGG_OPENAPI_DOCS; d++)
		if (strcmp(v3_names[d], name) == 0)
			return (enum agg_openapi_doc)d;
	return AGG_OPENAPI_DOCS;
}

const char *agg_openapi_v3_name(enum agg_openapi_doc doc)
{
	return v3_names[doc];
}
