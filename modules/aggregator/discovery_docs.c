/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery documents, key by key as recorded from metrics-server; see the header. */
#include "aggregator/discovery_docs.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "aggregator/health.h"
#include "aggregator/route.h"
#include "core/json.h"

/* The two resources. singularName stays empty: clients then guess "nodemetrics" and "podmetrics" and leave `kubectl get
 * node` alone. */
static const struct resource {
	const char *name, *kind;
	bool namespaced;
} resources[] = {{"nodes", "NodeMetrics", false}, {"pods", "PodMetrics", true}};

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
	km_json_str(j, "get");
	km_json_str(j, "list");
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
