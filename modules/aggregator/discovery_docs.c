/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery documents, key by key as recorded from metrics-server; see the header. */
#include "aggregator/discovery_docs.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "aggregator/health.h"
#include "aggregator/item_proto.h"
#include "aggregator/route.h"
#include "core/json.h"
#include "core/proto.h"

/* The two resources. singularName stays empty: clients then guess "nodemetrics" and "podmetrics" and leave `kubectl get
 * node` alone. */
static const struct resource {
	const char *name, *kind;
	bool namespaced;
} resources[] = {{"nodes", "NodeMetrics", false}, {"pods", "PodMetrics", true}};

static const char *const verbs[] = {"get", "list"};

static const char *const fixed_paths[] = {
	"/apis",
	"/apis/" AGG_GROUP,
	"/apis/" AGG_GROUP_VERSION,
	"/healthz",
	"/livez",
	"/metrics",
	"/openapi/v2",
	"/openapi/v3",
	"/openapi/v3/",
	"/readyz",
	"/version",
};

#define PATHS_MAX     64
#define PATH_TEXT_MAX 80

static void end(struct km_buf *out, bool pretty)
{
	if (!pretty)
		km_buf_addc(out, '\n');
}

static void write_verbs(struct km_json *j)
{
	km_json_key(j, "verbs");
	km_json_array(j);
	for (size_t i = 0; i < KM_ARRAY_LEN(verbs); i++)
		km_json_str(j, verbs[i]);
	km_json_end_array(j);
}

static void write_version_pair(struct km_json *j)
{
	km_json_object(j);
	km_json_kstr(j, "groupVersion", AGG_GROUP_VERSION);
	km_json_kstr(j, "version", AGG_VERSION);
	km_json_end_object(j);
}

/* What APIGroup and the items of APIGroupList have in common. */
static void write_group(struct km_json *j)
{
	km_json_kstr(j, "name", AGG_GROUP);
	km_json_key(j, "versions");
	km_json_array(j);
	write_version_pair(j);
	km_json_end_array(j);
	km_json_key(j, "preferredVersion");
	write_version_pair(j);
}

void agg_doc_groups(struct km_buf *out, uint16_t port, bool pretty)
{
	struct km_json j = KM_JSON_INIT(out, pretty);
	char address[16];

	snprintf(address, sizeof(address), ":%u", (unsigned)port);
	km_json_object(&j);
	km_json_kstr(&j, "kind", "APIGroupList");
	km_json_key(&j, "groups");
	km_json_array(&j);
	km_json_object(&j);
	write_group(&j);
	km_json_key(&j, "serverAddressByClientCIDRs");
	km_json_array(&j);
	km_json_object(&j);
	km_json_kstr(&j, "clientCIDR", "0.0.0.0/0");
	km_json_kstr(&j, "serverAddress", address);
	km_json_end_object(&j);
	km_json_end_array(&j);
	km_json_end_object(&j);
	km_json_end_array(&j);
	km_json_end_object(&j);
	end(out, pretty);
}

void agg_doc_group(struct km_buf *out, bool pretty)
{
	struct km_json j = KM_JSON_INIT(out, pretty);

	km_json_object(&j);
	km_json_kstr(&j, "kind", "APIGroup");
	km_json_kstr(&j, "apiVersion", "v1");
	write_group(&j);
	km_json_end_object(&j);
	end(out, pretty);
}

void agg_doc_resources(struct km_buf *out, bool pretty)
{
	struct km_json j = KM_JSON_INIT(out, pretty);

	km_json_object(&j);
	km_json_kstr(&j, "kind", "APIResourceList");
	km_json_kstr(&j, "apiVersion", "v1");
	km_json_kstr(&j, "groupVersion", AGG_GROUP_VERSION);
	km_json_key(&j, "resources");
	km_json_array(&j);
	for (size_t i = 0; i < KM_ARRAY_LEN(resources); i++) {
		km_json_object(&j);
		km_json_kstr(&j, "name", resources[i].name);
		km_json_kstr(&j, "singularName", "");
		km_json_kbool(&j, "namespaced", resources[i].namespaced);
		km_json_kstr(&j, "kind", resources[i].kind);
		write_verbs(&j);
		km_json_end_object(&j);
	}
	km_json_end_array(&j);
	km_json_end_object(&j);
	end(out, pretty);
}

static void write_discovered(struct km_json *j, const struct resource *r)
{
	km_json_object(j);
	km_json_kstr(j, "resource", r->name);
	km_json_key(j, "responseKind");
	km_json_object(j);
	km_json_kstr(j, "group", "");
	km_json_kstr(j, "version", "");
	km_json_kstr(j, "kind", r->kind);
	km_json_end_object(j);
	km_json_kstr(j, "scope", r->namespaced ? "Namespaced" : "Cluster");
	km_json_kstr(j, "singularResource", "");
	write_verbs(j);
	km_json_end_object(j);
}

/* typed: with kind and apiVersion. */
static void write_aggregated(struct km_buf *out, bool pretty, bool typed)
{
	struct km_json j = KM_JSON_INIT(out, pretty);

	km_json_object(&j);
	if (typed) {
		km_json_kstr(&j, "kind", "APIGroupDiscoveryList");
		km_json_kstr(&j, "apiVersion", "apidiscovery.k8s.io/v2");
	}
	km_json_key(&j, "metadata");
	km_json_object(&j);
	km_json_end_object(&j);
	km_json_key(&j, "items");
	km_json_array(&j);
	km_json_object(&j);
	km_json_key(&j, "metadata");
	km_json_object(&j);
	km_json_kstr(&j, "name", AGG_GROUP);
	km_json_end_object(&j);
	km_json_key(&j, "versions");
	km_json_array(&j);
	km_json_object(&j);
	km_json_kstr(&j, "version", AGG_VERSION);
	km_json_key(&j, "resources");
	km_json_array(&j);
	for (size_t i = 0; i < KM_ARRAY_LEN(resources); i++)
		write_discovered(&j, &resources[i]);
	km_json_end_array(&j);
	km_json_kstr(&j, "freshness", "Current");
	km_json_end_object(&j);
	km_json_end_array(&j);
	km_json_end_object(&j);
	km_json_end_array(&j);
	km_json_end_object(&j);
}

void agg_doc_aggregated(struct km_buf *out, bool pretty)
{
	write_aggregated(out, pretty, true);
	end(out, pretty);
}

int agg_doc_etag(char out[AGG_ETAG_MAX])
{
	_cleanup_buf_ struct km_buf text = KM_BUF_INIT(4096);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	char *o = out;

	/* Kubernetes hashes the object before it is given its type. */
	write_aggregated(&text, false, false);
	if (text.error || EVP_Digest(text.data, text.len, digest, &len, EVP_sha512(), NULL) != 1)
		return -ENOMEM;
	*o++ = '"';
	for (unsigned i = 0; i < len; i++)
		o += sprintf(o, "%02X", digest[i]);
	*o++ = '"';
	*o = '\0';
	return 0;
}

/* ---- protobuf ---- */

/* Field numbers of meta/v1 and apidiscovery/v2 (generated.proto). */
enum { GROUPS_GROUP = 1 };
enum { GROUP_NAME = 1, GROUP_VERSIONS, GROUP_PREFERRED, GROUP_ADDRESSES };
enum { PAIR_GROUP_VERSION = 1, PAIR_VERSION };
enum { ADDRESS_CIDR = 1, ADDRESS_SERVER };
enum { RESOURCES_GROUP_VERSION = 1, RESOURCES_RESOURCE };
enum {
	RESOURCE_NAME = 1,
	RESOURCE_NAMESPACED,
	RESOURCE_KIND,
	RESOURCE_VERBS,
	RESOURCE_SINGULAR = 6,
	RESOURCE_GROUP = 8,
	RESOURCE_VERSION,
	RESOURCE_STORAGE_HASH,
};
enum { VERBS_ITEM = 1 };
enum { LIST_ITEM = 2 };
enum { DISCOVERY_META = 1, DISCOVERY_VERSIONS };
enum { VERSION_NAME = 1, VERSION_RESOURCES, VERSION_FRESHNESS };
enum {
	DISCOVERED_NAME = 1,
	DISCOVERED_KIND,
	DISCOVERED_SCOPE,
	DISCOVERED_SINGULAR,
	DISCOVERED_VERBS,
};
enum { KIND_GROUP = 1, KIND_VERSION, KIND_KIND };

static void envelop(struct km_buf *out, const char *api_version, const char *kind, const struct km_buf *raw)
{
	agg_proto_envelope_begin(out, api_version, kind, raw->len);
	km_buf_add(out, raw->data, raw->len);
	agg_proto_envelope_end(out);
	if (raw->error)
		out->error = raw->error;
}

static void version_pair(struct km_buf *out, unsigned field)
{
	size_t pair = km_proto_begin(out, field);

	km_proto_str(out, PAIR_GROUP_VERSION, AGG_GROUP_VERSION);
	km_proto_str(out, PAIR_VERSION, AGG_VERSION);
	km_proto_end(out, pair);
}

static void group_proto(struct km_buf *out)
{
	km_proto_str(out, GROUP_NAME, AGG_GROUP);
	version_pair(out, GROUP_VERSIONS);
	version_pair(out, GROUP_PREFERRED);
}

void agg_doc_groups_proto(struct km_buf *out, uint16_t port)
{
	_cleanup_buf_ struct km_buf raw = KM_BUF_INIT(4096);
	size_t group = km_proto_begin(&raw, GROUPS_GROUP), where;
	char address[16];

	snprintf(address, sizeof(address), ":%u", (unsigned)port);
	group_proto(&raw);
	where = km_proto_begin(&raw, GROUP_ADDRESSES);
	km_proto_str(&raw, ADDRESS_CIDR, "0.0.0.0/0");
	km_proto_str(&raw, ADDRESS_SERVER, address);
	km_proto_end(&raw, where);
	km_proto_end(&raw, group);
	envelop(out, "", "APIGroupList", &raw); /* as the JSON has no apiVersion either */
}

void agg_doc_group_proto(struct km_buf *out)
{
	_cleanup_buf_ struct km_buf raw = KM_BUF_INIT(4096);

	group_proto(&raw);
	envelop(out, "v1", "APIGroup", &raw);
}

void agg_doc_resources_proto(struct km_buf *out)
{
	_cleanup_buf_ struct km_buf raw = KM_BUF_INIT(4096);

	km_proto_str(&raw, RESOURCES_GROUP_VERSION, AGG_GROUP_VERSION);
	for (size_t i = 0; i < KM_ARRAY_LEN(resources); i++) {
		size_t resource = km_proto_begin(&raw, RESOURCES_RESOURCE), list;

		km_proto_str(&raw, RESOURCE_NAME, resources[i].name);
		km_proto_int(&raw, RESOURCE_NAMESPACED, resources[i].namespaced);
		km_proto_str(&raw, RESOURCE_KIND, resources[i].kind);
		list = km_proto_begin(&raw, RESOURCE_VERBS);
		for (size_t k = 0; k < KM_ARRAY_LEN(verbs); k++)
			km_proto_str(&raw, VERBS_ITEM, verbs[k]);
		km_proto_end(&raw, list);
		km_proto_str(&raw, RESOURCE_SINGULAR, "");
		km_proto_str(&raw, RESOURCE_GROUP, "");
		km_proto_str(&raw, RESOURCE_VERSION, "");
		km_proto_str(&raw, RESOURCE_STORAGE_HASH, "");
		km_proto_end(&raw, resource);
	}
	envelop(out, "v1", "APIResourceList", &raw);
}

static void discovered_proto(struct km_buf *out, const struct resource *r)
{
	size_t resource = km_proto_begin(out, VERSION_RESOURCES), kind;

	km_proto_str(out, DISCOVERED_NAME, r->name);
	kind = km_proto_begin(out, DISCOVERED_KIND);
	km_proto_str(out, KIND_GROUP, "");
	km_proto_str(out, KIND_VERSION, "");
	km_proto_str(out, KIND_KIND, r->kind);
	km_proto_end(out, kind);
	km_proto_str(out, DISCOVERED_SCOPE, r->namespaced ? "Namespaced" : "Cluster");
	km_proto_str(out, DISCOVERED_SINGULAR, "");
	for (size_t k = 0; k < KM_ARRAY_LEN(verbs); k++)
		km_proto_str(out, DISCOVERED_VERBS, verbs[k]);
	km_proto_end(out, resource);
}

void agg_doc_aggregated_proto(struct km_buf *out)
{
	_cleanup_buf_ struct km_buf raw = KM_BUF_INIT(4096);
	size_t item, version;

	agg_proto_list_meta(&raw);
	item = km_proto_begin(&raw, LIST_ITEM);
	agg_proto_named_meta(&raw, DISCOVERY_META, AGG_GROUP);
	version = km_proto_begin(&raw, DISCOVERY_VERSIONS);
	km_proto_str(&raw, VERSION_NAME, AGG_VERSION);
	for (size_t i = 0; i < KM_ARRAY_LEN(resources); i++)
		discovered_proto(&raw, &resources[i]);
	km_proto_str(&raw, VERSION_FRESHNESS, "Current");
	km_proto_end(&raw, version);
	km_proto_end(&raw, item);
	envelop(out, "apidiscovery.k8s.io/v2", "APIGroupDiscoveryList", &raw);
}

/* ---- version, paths ---- */

#if defined(__x86_64__)
#define ARCH "amd64"
#elif defined(__aarch64__)
#define ARCH "arm64"
#elif defined(__s390x__)
#define ARCH "s390x"
#elif defined(__powerpc64__)
#define ARCH "ppc64le"
#else
#define ARCH "unknown"
#endif

void agg_doc_version(struct km_buf *out)
{
	struct km_json j = KM_JSON_INIT(out, true);
	unsigned major = 0, minor = 0;
	char number[16];

	(void)sscanf(KM_VERSION, "%u.%u", &major, &minor);
	km_json_object(&j);
	snprintf(number, sizeof(number), "%u", major);
	km_json_kstr(&j, "major", number);
	snprintf(number, sizeof(number), "%u", minor);
	km_json_kstr(&j, "minor", number);
	/* The Kubernetes whose metrics API this is. */
	km_json_kstr(&j, "emulationMajor", "1");
	km_json_kstr(&j, "emulationMinor", "36");
	km_json_kstr(&j, "minCompatibilityMajor", "1");
	km_json_kstr(&j, "minCompatibilityMinor", "35");
	km_json_kstr(&j, "gitVersion", "v" KM_VERSION);
	km_json_kstr(&j, "gitCommit", "");
	km_json_kstr(&j, "gitTreeState", "");
	km_json_kstr(&j, "buildDate", "1970-01-01T00:00:00Z");
	km_json_kstr(&j, "goVersion", "");
	km_json_kstr(&j, "compiler", __VERSION__);
	km_json_kstr(&j, "platform", "linux/" ARCH);
	km_json_end_object(&j);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(a, b);
}

void agg_doc_paths(struct km_buf *out)
{
	static const char *const ends[] = {
		[AGG_HEALTHZ] = "/healthz", [AGG_LIVEZ] = "/livez", [AGG_READYZ] = "/readyz"};
	struct km_json j = KM_JSON_INIT(out, true);
	char paths[PATHS_MAX][PATH_TEXT_MAX];
	const char *check;
	size_t n = 0;

	for (size_t i = 0; i < KM_ARRAY_LEN(fixed_paths); i++)
		snprintf(paths[n++], PATH_TEXT_MAX, "%s", fixed_paths[i]);
	for (size_t e = 0; e < KM_ARRAY_LEN(ends); e++)
		for (size_t i = 0; (check = agg_health_name((enum agg_health_end)e, i)) && n < PATHS_MAX; i++)
			snprintf(paths[n++], PATH_TEXT_MAX, "%s/%s", ends[e], check);
	qsort(paths, n, sizeof(paths[0]), by_path);
	km_json_object(&j);
	km_json_key(&j, "paths");
	km_json_array(&j);
	for (size_t i = 0; i < n; i++)
		km_json_str(&j, paths[i]);
	km_json_end_array(&j);
	km_json_end_object(&j);
}
