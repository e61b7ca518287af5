/* SPDX-License-Identifier: Apache-2.0 */
/* The pure half of the API: what a request asks for, which form it accepts, field selectors, health texts, documents,
 * options. */
#include "aggregator/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "aggregator/accept.h"
#include "aggregator/health.h"
#include "aggregator/options.h"
#include "aggregator/status.h"
#include "aggregator/table.h"

#define A "/apis/metrics.k8s.io/v1beta1"

static struct km_url url;
static struct agg_route route;

static void find(const char *method, const char *target)
{
	if (km_url_parse(target, strlen(target), &url) < 0)
		fail_msg("%s is no target", target);
	agg_route_find(method, &url, &route);
}

static void test_places(void **state)
{
	static const struct {
		const char *method, *target;
		enum agg_place place;
		const char *what; /* "verb resource ns name" or "verb path"; a leading ! marks discovery */
	} cases[] = {
		{"GET", "/", AGG_PLACE_ROOT, "get /"},
		{"GET", "/index.html", AGG_PLACE_ROOT, "get /index.html"},
		{"GET", "/frob", AGG_PLACE_UNKNOWN, "get /frob"},
		{"GET", "/api", AGG_PLACE_UNKNOWN, "get /api"},
		{"HEAD", "/metrics", AGG_PLACE_METRICS, "head /metrics"},
		{"GET", "/apis", AGG_PLACE_APIS, "!get /apis"},
		{"GET", "/apis/", AGG_PLACE_APIS, "!get /apis/"},
		{"GET", "/apis/metrics.k8s.io", AGG_PLACE_GROUP, "!get /apis/metrics.k8s.io"},
		{"GET", "/apis/metrics.k8s.io?timeout=32s", AGG_PLACE_GROUP, "!get /apis/metrics.k8s.io"},
		{"GET", "/apis/apps", AGG_PLACE_UNKNOWN, "get /apis/apps"},
		{"GET", "/apis/apps/v1/pods", AGG_PLACE_UNKNOWN, "get /apis/apps/v1/pods"},
		{"GET", "/apis/metrics.k8s.io/v1", AGG_PLACE_UNKNOWN_API, "!get /apis/metrics.k8s.io/v1"},
		{"GET", "/apis/metrics.k8s.io/v1/nodes", AGG_PLACE_UNKNOWN_API, "get /apis/metrics.k8s.io/v1/nodes"},
		{"GET", A, AGG_PLACE_RESOURCES, "!get " A},
		{"POST", A, AGG_PLACE_RESOURCES, "!post " A},
		{"GET", A "/nodes", AGG_PLACE_NODES, "list nodes - -"},
		{"GET", A "/nodes/", AGG_PLACE_NODES, "list nodes - -"},
		{"GET", A "/nodes/n1", AGG_PLACE_NODE, "get nodes - n1"},
		{"GET", A "/nodes/n1/status", AGG_PLACE_UNKNOWN_API, "get nodes - n1"},
		{"GET", A "/pods", AGG_PLACE_PODS, "list pods - -"},
		{"GET", A "/pods/p", AGG_PLACE_UNKNOWN_API, "get pods - p"},
		{"GET", A "/namespaces/d/pods", AGG_PLACE_PODS, "list pods d -"},
		{"GET", A "/namespaces/d/pods/p", AGG_PLACE_POD, "get pods d p"},
		{"GET", A "/namespaces/d/pods/p%2e1", AGG_PLACE_POD, "get pods d p.1"},
		{"GET", A "/namespaces/d/pods/p/log", AGG_PLACE_UNKNOWN_API, "get pods d p"},
		{"GET", A "/namespaces/d/nodes", AGG_PLACE_UNKNOWN_API, "list nodes d -"},
		{"GET", A "/namespaces/d", AGG_PLACE_UNKNOWN_API, "get namespaces - d"},
		{"GET", A "/namespaces", AGG_PLACE_UNKNOWN_API, "list namespaces - -"},
		{"GET", A "/frobs", AGG_PLACE_UNKNOWN_API, "list frobs - -"},
		{"GET", A "/namespaces/%ff/pods", AGG_PLACE_UNKNOWN_API, "list pods \xff -"},
		{"GET", A "/pods?watch=true", AGG_PLACE_PODS, "watch pods - -"},
		{"GET", A "/pods?watch=", AGG_PLACE_PODS, "watch pods - -"},
		{"GET", A "/pods?watch=False", AGG_PLACE_PODS, "list pods - -"},
		{"GET", A "/pods?watch=0", AGG_PLACE_PODS, "list pods - -"},
		{"GET", A "/namespaces/d/pods/p?watch=1", AGG_PLACE_POD, "get pods d p"},
		{"GET", A "/pods?fieldSelector=metadata.name%3Dx", AGG_PLACE_PODS, "list pods - x"},
		{"GET", A "/pods?fieldSelector=metadata.name!%3Dx", AGG_PLACE_PODS, "list pods - -"},
		{"GET", A "/pods?fieldSelector=metadata.name%3Da%2Fb", AGG_PLACE_PODS, "list pods - -"},
		{"POST", A "/nodes", AGG_PLACE_NODES, "create nodes - -"},
		{"PUT", A "/nodes/n", AGG_PLACE_NODE, "update nodes - n"},
		{"PATCH", A "/nodes/n", AGG_PLACE_NODE, "patch nodes - n"},
		{"DELETE", A "/nodes/n", AGG_PLACE_NODE, "delete nodes - n"},
		{"DELETE", A "/nodes", AGG_PLACE_NODES, "deletecollection nodes - -"},
		{"BREW", A "/nodes", AGG_PLACE_NODES, "unknown nodes - -"},
		{"GET", "/version", AGG_PLACE_VERSION, "!get /version"},
		{"GET", "/version/x", AGG_PLACE_UNKNOWN, "get /version/x"},
		{"GET", "/openapi/v2", AGG_PLACE_OPENAPI, "!get /openapi/v2"},
		{"GET", "/openapi/v2/x", AGG_PLACE_UNKNOWN_API, "!get /openapi/v2/x"},
		{"GET", "/openapi/v3", AGG_PLACE_OPENAPI, "!get /openapi/v3"},
		{"GET", "/openapi/v3/", AGG_PLACE_OPENAPI, "!get /openapi/v3/"},
		{"GET", "/openapi/v3/apis", AGG_PLACE_OPENAPI, "!get /openapi/v3/apis"},
		{"GET", "/openapi/v3/apis/metrics.k8s.io/v1beta1", AGG_PLACE_OPENAPI,
			"!get /openapi/v3/apis/metrics.k8s.io/v1beta1"},
		{"GET", "/openapi/v3/apis/metrics.k8s.io/v1beta1/nodes", AGG_PLACE_UNKNOWN_API,
			"!get /openapi/v3/apis/metrics.k8s.io/v1beta1/nodes"},
		{"GET", "/openapi/v3/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			AGG_PLACE_UNKNOWN_API,
			"!get /openapi/v3/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		{"GET", "/openapi", AGG_PLACE_UNKNOWN_API, "!get /openapi"},
		{"GET", "/metrics", AGG_PLACE_METRICS, "get /metrics"},
		{"GET", "/metrics/x", AGG_PLACE_UNKNOWN, "get /metrics/x"},
		{"GET", "/healthz", AGG_PLACE_HEALTH, "get /healthz"},
		{"GET", "/readyz/ping?verbose", AGG_PLACE_HEALTH, "get /readyz/ping"},
		{"GET", "/livez/a/b", AGG_PLACE_UNKNOWN, "get /livez/a/b"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];

		find(cases[i].method, cases[i].target);
		if (route.what.resource)
			snprintf(text, sizeof(text), "%s %s %s %s", route.what.verb, route.what.resource_name,
				*route.what.namespace_ ? route.what.namespace_ : "-",
				*route.what.name ? route.what.name : "-");
		else
			snprintf(text, sizeof(text), "%s%s %s", route.what.discovery ? "!" : "", route.what.verb,
				route.what.path);
		if (route.place != cases[i].place || strcmp(text, cases[i].what) != 0)
			fail_msg("%s %s: place %d, %s", cases[i].method, cases[i].target, route.place, text);
	}
}

static void test_accept(void **state)
{
	static const struct {
		const char *header;
		enum agg_offer offer;
		int form; /* -1: 406 */
		bool pretty;
	} cases[] = {
		{NULL, AGG_OFFER_LIST, AGG_FORM_PLAIN, false},
		{"", AGG_OFFER_LIST, AGG_FORM_PLAIN, false},
		{"*/*", AGG_OFFER_LIST, AGG_FORM_PLAIN, false},
		{"*", AGG_OFFER_LIST, AGG_FORM_PLAIN, false},
		{"application/json", AGG_OFFER_LIST, AGG_FORM_PLAIN, false},
		{"application/*", AGG_OFFER_LIST, AGG_FORM_PLAIN, false},
		{"application/json;pretty=1", AGG_OFFER_LIST, AGG_FORM_PLAIN, true},
		{"application/vnd.kubernetes.protobuf, */*", AGG_OFFER_LIST, AGG_FORM_PLAIN, false},
		{"application/vnd.kubernetes.protobuf,application/json", AGG_OFFER_LIST, AGG_FORM_PLAIN, false},
		{"application/vnd.kubernetes.protobuf", AGG_OFFER_LIST, AGG_FORM_PLAIN, false},
		{"application/vnd.kubernetes.protobuf", AGG_OFFER_DOCUMENT, AGG_FORM_PLAIN, false},
		{"application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", AGG_OFFER_LIST, -1, false},
		{"text/html", AGG_OFFER_LIST, -1, false},
		{"text/*", AGG_OFFER_LIST, -1, false},
		{"json", AGG_OFFER_LIST, -1, false},
		{"application/json;q=0", AGG_OFFER_LIST, -1, false},
		{"text/html, application/xhtml+xml, */*;q=0.8", AGG_OFFER_LIST, AGG_FORM_PLAIN, false},
		{"application/json;as=Table;v=v1;g=meta.k8s.io", AGG_OFFER_LIST, AGG_FORM_TABLE, false},
		{" application/json ; as=Table ; v=v1beta1 ; g=meta.k8s.io ", AGG_OFFER_OBJECT, AGG_FORM_TABLE, false},
		{"application/json;as=Table;v=v2;g=meta.k8s.io", AGG_OFFER_LIST, -1, false},
		{"application/json;as=Table;v=v2;g=meta.k8s.io,application/json", AGG_OFFER_LIST, AGG_FORM_PLAIN,
			false},
		{"application/json;as=Table;v=v1;g=meta.k8s.io,application/"
		 "json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
			AGG_OFFER_LIST, AGG_FORM_TABLE, false},
		{"application/json,application/json;as=Table;v=v1;g=meta.k8s.io", AGG_OFFER_LIST, AGG_FORM_PLAIN,
			false},
		{"application/json;q=0.5,application/json;as=Table;v=v1;g=meta.k8s.io;q=0.9", AGG_OFFER_LIST,
			AGG_FORM_TABLE, false},
		{"application/json;as=Table;v=v1;g=meta.k8s.io", AGG_OFFER_DOCUMENT, -1, false},
		{"application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", AGG_OFFER_LIST, AGG_FORM_PARTIAL,
			false},
		{"application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", AGG_OFFER_OBJECT, -1, false},
		{"application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", AGG_OFFER_OBJECT, AGG_FORM_PARTIAL,
			false},
		{"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", AGG_OFFER_GROUPS,
			AGG_FORM_AGGREGATED, false},
		{"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer,"
		 "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
			AGG_OFFER_GROUPS, AGG_FORM_AGGREGATED, false},
		{"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
			AGG_OFFER_GROUPS, AGG_FORM_PLAIN, false},
		{"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList", AGG_OFFER_GROUPS, -1,
			false},
		{"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", AGG_OFFER_LIST, -1, false},
		{",,;;=,/,application/json;q=x,application/json", AGG_OFFER_LIST, AGG_FORM_PLAIN, false},
		{"application/json;q=2", AGG_OFFER_LIST, -1, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct agg_accept a = {.form = AGG_FORM_PLAIN};
		int r = agg_accept_choose(cases[i].header, cases[i].offer, &a);

		if ((r == 0 ? (int)a.form : -1) != cases[i].form || (r == 0 && a.pretty != cases[i].pretty))
			fail_msg("%s: %d, form %d", cases[i].header, r, a.form);
	}
}

static void test_accept_media(void **state)
{
	static const struct {
		const char *header;
		enum agg_offer offer;
		enum agg_media media;
		bool json_too;
	} cases[] = {
		{NULL, AGG_OFFER_LIST, AGG_MEDIA_JSON, false},
		{"application/vnd.kubernetes.protobuf", AGG_OFFER_LIST, AGG_MEDIA_PROTOBUF, false},
		{"application/vnd.kubernetes.protobuf, */*", AGG_OFFER_LIST, AGG_MEDIA_PROTOBUF, true},
		{"application/vnd.kubernetes.protobuf, */*", AGG_OFFER_DOCUMENT, AGG_MEDIA_PROTOBUF, true},
		{"application/vnd.kubernetes.protobuf,application/json", AGG_OFFER_OBJECT, AGG_MEDIA_PROTOBUF, true},
		{"application/json,application/vnd.kubernetes.protobuf", AGG_OFFER_LIST, AGG_MEDIA_JSON, false},
		{"application/json;q=0.1,application/vnd.kubernetes.protobuf", AGG_OFFER_STATUS, AGG_MEDIA_PROTOBUF,
			true},
		{"application/yaml", AGG_OFFER_DOCUMENT, AGG_MEDIA_YAML, false},
		{"application/yaml,application/json;as=Table;v=v1;g=meta.k8s.io", AGG_OFFER_LIST, AGG_MEDIA_YAML,
			false},
		{"application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
			AGG_OFFER_LIST, AGG_MEDIA_PROTOBUF, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct agg_accept a = {.form = AGG_FORM_PLAIN};

		if (agg_accept_choose(cases[i].header, cases[i].offer, &a) < 0 || a.media != cases[i].media ||
			a.json_too != cases[i].json_too)
			fail_msg("%s: media %d, JSON too %d", cases[i].header, a.media, a.json_too);
	}
}

static void test_other_negotiation(void **state)
{
	static const struct {
		const char *header;
		bool gzip, tag;
	} cases[] = {
		{NULL, false, false},
		{"", false, false},
		{"gzip", true, false},
		{"deflate,\tgzip , br", true, false},
		{"gzip;q=0", false, false},
		{"gzip;q=1.0", false, false}, /* as upstream */
		{"xgzip, gzipx", false, false},
		{"*", false, true},
		{"\"abc\"", false, true},
		{"\"x\", W/\"abc\"", false, true},
		{"abc", false, false},
		{"\"abcd\", \"ab\"", false, false},
		{",,, ,", false, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (agg_accept_gzip(cases[i].header) != cases[i].gzip ||
			agg_accept_has_tag(cases[i].header, "\"abc\"") != cases[i].tag)
			fail_msg("%s", cases[i].header);
}

static void test_fields(void **state)
{
	static const struct {
		const char *text, *error; /* error NULL: fine */
		bool p, q;                /* whether d/p (running on n) and e/q (pending, nowhere) are selected */
	} cases[] = {
		{"", NULL, true, true},
		{",", NULL, true, true},
		{"metadata.name=p", NULL, true, false},
		{"metadata.name==p", NULL, true, false},
		{"metadata.name!=p", NULL, false, true},
		{"metadata.namespace=e,metadata.name=q", NULL, false, true},
		{"metadata.namespace=e,metadata.name=p", NULL, false, false},
		{"metadata.name=", NULL, false, false},
		{"metadata.name=a\\,b\\=c\\\\", NULL, false, false},
		{"spec.foo=x",
			"\"spec.foo\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\", "
			"\"spec.nodeName\", \"status.phase\"",
			false, false},
		{"spec.nodeName=n", NULL, true, false},
		{"spec.nodeName!=n", NULL, false, true},
		{"spec.nodeName=", NULL, false, true},
		{"spec.nodeName==n,status.phase=Running,metadata.namespace=d", NULL, true, false},
		{"status.phase=Running", NULL, true, false},
		{"status.phase!=Running", NULL, false, true},
		{"status.phase=running", NULL, false, false},
		{"metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'", false, false},
		{"metadata.name=a=b", "invalid field selector: unescaped character in value: =", false, false},
		{"metadata.name=a\\b", "invalid field selector: invalid escape sequence: \\b", false, false},
		{"metadata.name=a\\", "invalid field selector: invalid escape sequence: \\", false, false},
	};
	char longest[AGG_FIELD_TEXT_MAX + 1],
		many[] = "metadata.name!=1,metadata.name!=2,metadata.name!=3,metadata.name!=4,"
			 "metadata.name!=5,metadata.name!=6,metadata.name!=7,metadata.name!=8,"
			 "metadata.name!=9";
	static const char *const p[AGG_FIELDS] = {"p", "d", "n", "Running"}, *const q[AGG_FIELDS] = {
										     "q", "e", NULL, ""};
	struct agg_fields f;
	struct km_err err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = agg_fields_parse(cases[i].text, true, &f, &err);

		if ((r < 0) != (cases[i].error != NULL) || (r < 0 && strcmp(err.text, cases[i].error) != 0))
			fail_msg("%s: %d %s", cases[i].text, r, r < 0 ? err.text : "");
		if (r == 0 && (agg_fields_match(&f, p) != cases[i].p || agg_fields_match(&f, q) != cases[i].q))
			fail_msg("%s: selects otherwise", cases[i].text);
	}
	memset(longest, ',', sizeof(longest));
	longest[AGG_FIELD_TEXT_MAX] = '\0';
	assert_true(agg_fields_parse(longest, true, &f, &err) < 0);
	assert_true(agg_fields_parse(many, true, &f, &err) < 0);
	*strrchr(many, ',') = '\0';
	assert_int_equal(agg_fields_parse(many, true, &f, &err), 0);
	/* nodes have no node and no phase */
	assert_true(agg_fields_parse("spec.nodeName=n", false, &f, &err) < 0);
	assert_string_equal(err.text, "\"spec.nodeName\" is not a known field selector: only \"metadata.name\", "
				      "\"metadata.namespace\"");
}

static void test_health(void **state)
{
	static const struct {
		const char *target;
		struct agg_health_state state; /* nodes, pods, auth, stopping */
		int code;
		const char *text;
	} cases[] = {
		{"/healthz", {false, false, false, true}, 200, "ok"},
		{"/livez?verbose", {false, false, false, true}, 200, "[+]ping ok\nlivez check passed\n"},
		{"/readyz", {true, true, true, false}, 200, "ok"},
		{"/readyz?verbose=1", {true, true, true, false}, 200,
			"[+]ping ok\n[+]node-cache-synced ok\n[+]pod-cache-synced ok\n[+]authentication-config "
			"ok\n[+]shutdown "
			"ok\nreadyz check passed\n"},
		{"/readyz", {true, false, true, true}, 500,
			"[+]ping ok\n[+]node-cache-synced ok\n[-]pod-cache-synced failed: reason "
			"withheld\n[+]authentication-config "
			"ok\n[-]shutdown failed: reason withheld\nreadyz check failed\n"},
		{"/readyz?exclude=pod-cache-synced&exclude=shutdown", {true, false, true, true}, 200, "ok"},
		{"/livez?verbose&exclude=ping&exclude=x&exclude=a%22b", {true, true, true, false}, 200,
			"[+]ping excluded: ok\nwarn: some health checks cannot be excluded: no matches for \"x\", "
			"\"a\\\"b\"\nlivez check "
			"passed\n"},
		{"/readyz/shutdown", {true, true, true, false}, 200, "ok"},
		{"/readyz/shutdown", {true, true, true, true}, 500, "internal server error: shutdown failed\n"},
		{"/livez/shutdown", {true, true, true, true}, 404, ""},
		{"/readyz/frob", {true, true, true, true}, 404, ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct km_buf out = KM_BUF_INIT(4096);
		int code;

		find("GET", cases[i].target);
		code = agg_health_write(&route, &url, &cases[i].state, &out);
		if (code != cases[i].code || strcmp(out.data ? out.data : "", cases[i].text) != 0)
			fail_msg("%s: %d %s", cases[i].target, code, out.data);
		km_buf_free(&out);
	}
}

static void test_quote_and_include(void **state)
{
	struct km_buf out = KM_BUF_INIT(4096);
	enum agg_include include = AGG_INCLUDE_METADATA;
	struct km_err err = {0};

	agg_quote(&out, "a\"b\\c\n\x01\x7f\xc3\xa4");
	assert_string_equal(out.data, "\"a\\\"b\\\\c\\n\\x01\\x7f\xc3\xa4\"");
	km_buf_free(&out);
	assert_int_equal(agg_table_include("None", &include, &err), 0);
	assert_int_equal(include, AGG_INCLUDE_NONE);
	assert_int_equal(agg_table_include("Object", &include, &err), 0);
	assert_int_equal(include, AGG_INCLUDE_OBJECT);
	assert_int_equal(agg_table_include(NULL, &include, &err), 0);
	assert_int_equal(include, AGG_INCLUDE_METADATA);
	assert_true(agg_table_include("none", &include, &err) < 0);
}

/* What must hold between options; each case is an INI that has one fault, or none. */
static void test_options(void **state)
{
	static const struct {
		const char *ini, *error;
	} cases[] = {
		{"", NULL},
		{"metric-resolution = 4s", "metric-resolution"},
		{"metric-resolution = 5s\nkubelet-request-timeout = 12s", NULL},
		{"metric-resolution = 5s\nkubelet-request-timeout = 12500ms", "2.5 times metric-resolution"},
		{"kubelet-client-certificate = /a", "without kubelet-client-key"},
		{"kubelet-client-key = /a", "without kubelet-client-certificate"},
		{"kubelet-client-certificate = /a\nkubelet-client-key = /b", NULL},
		{"tls-cert-file = /a", "without tls-private-key-file"},
		{"kubelet-insecure-tls = yes\nkubelet-tls = verify", "contradicts"},
		{"kubelet-insecure-tls = yes\nkubelet-tls = insecure", NULL},
		{"kubelet-insecure-tls = yes\nkubelet-certificate-authority = /ca.pem", "exclude each other"},
		{"kubelet-tls = insecure\nkubelet-certificate-authority = /ca.pem", "exclude each other"},
		{"kubelet-tls = sometimes", "kubelet-tls"},
		{"kubelet-preferred-address-types =", "is empty"},
		{"bind-address = localhost", "not an IP address"},
		{"bind-address = ::", NULL},
		{"secure-port = 0", "secure-port"},
		{"secure-port = 65536", "secure-port"},
		{"node-selector = a in (b,c),!d", NULL},
		{"node-selector = a b c", "unable to parse requirement"},
		{"requestheader-client-ca-file = /a\nrequestheader-username-headers =", "X-Remote-User"},
		{"authorization-webhook-cache-authorized-ttl = 0s", NULL},
		{"frob = 1", "frob"},
	};
	static const struct km_section *const sections[] = {&agg_section, NULL};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct km_diag diag = KM_DIAG_INIT("t.ini");
		struct km_config *config = NULL;
		char text[512];
		int r;

		snprintf(text, sizeof(text), "[aggregator]\n%s\n", cases[i].ini);
		r = km_config_parse(sections, "t.ini", text, strlen(text), &config, &diag);
		if ((r < 0) != (cases[i].error != NULL) || (r < 0 && !strstr(diag.text.data, cases[i].error)))
			fail_msg("%s: %d %s", cases[i].ini, r, diag.text.data ? diag.text.data : "");
		km_config_unref(config);
		km_diag_free(&diag);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_accept_media),
		cmocka_unit_test(test_other_negotiation),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_quote_and_include),
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
