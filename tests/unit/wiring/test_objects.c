/* SPDX-License-Identifier: Apache-2.0 */
/* The objects around us: which there are for which server, what stands in them, who may own the APIService, and the
 * YAML. */
#include "wiring/objects.h"

#include <errno.h>
#include <stdio.h>

#include "../support/check.h"
#include "kube/yaml.h"

#define PEM "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

static const struct wiring_plan base = {
	.node = "master-1", .address = "10.0.0.5", .port = 4443, .ca_pem = PEM, .apiregistration = "v1"};

/* A server of this minor version that serves these groups ("group/version", NULL-terminated). */
static struct kube_discovery *server(int minor, const char *const *served)
{
	json_t *groups = json_array(), *version;
	struct kube_discovery *d = NULL;
	char text[16];

	snprintf(text, sizeof(text), "v1.%d.2", minor);
	version = json_pack("{s:s}", "gitVersion", text);
	for (size_t i = 0; served[i]; i++) {
		const char *slash = strchr(served[i], '/');
		char group[80];

		snprintf(group, sizeof(group), "%.*s", (int)(slash - served[i]), served[i]);
		json_array_append_new(groups, json_pack("{s:s, s:[{s:s, s:s}]}", "name", group, "versions",
						      "groupVersion", served[i], "version", slash + 1));
	}
	groups = json_pack("{s:o}", "groups", groups);
	assert_int_equal(kube_discovery_parse(version, groups, &d, NULL), 0);
	json_decref(version);
	json_decref(groups);
	return d;
}

static struct wiring_objects *make(const struct wiring_plan *plan)
{
	struct wiring_objects *o = NULL;
	struct km_err err = {0};

	if (wiring_objects_make(plan, &o, &err) < 0)
		fail_msg("%s", err.text);
	return o;
}

static const struct kube_apply_step *step(const struct wiring_objects *o, const char *resource, const char *name)
{
	for (size_t i = 0; i < o->n; i++)
		if (strcmp(o->steps[i].resource, resource) == 0 &&
			strcmp(json_string_value(
				       json_object_get(json_object_get(o->steps[i].object, "metadata"), "name")),
				name) == 0)
			return &o->steps[i];
	return NULL;
}

static void same_json(json_t *got, const char *want)
{
	json_t *wanted = json_loads(want, JSON_DECODE_ANY, NULL);

	assert_non_null(wanted);
	if (!json_equal(got, wanted))
		fail_msg("%s\nwanted %s", json_dumps(got, JSON_COMPACT | JSON_ENCODE_ANY), want);
	json_decref(wanted);
}

/* Spec certs-and-wiring 4.2: from 1.34 on the aggregator reads slices only; before, ours would be counted twice. */
static void test_versions(void **state)
{
	static const char *const old[] = {"apiregistration.k8s.io/v1beta1", NULL};
	static const char *const usual[] = {"apiregistration.k8s.io/v1", "discovery.k8s.io/v1", NULL};
	static const struct {
		int minor;
		const char *const *served;
		const char *apiregistration, *discovery;
		bool omit_port;
	} rows[] = {
		{8, old, "v1beta1", NULL, true},
		{14, usual, "v1", NULL, true},
		{15, usual, "v1", NULL, false},
		{20, usual, "v1", NULL, false},
		{33, usual, "v1", NULL, false},
		{34, usual, "v1", "v1", false},
		{36, usual, "v1", "v1", false},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct kube_discovery *d = server(rows[i].minor, rows[i].served);
		struct wiring_plan plan = base;

		wiring_plan_versions(&plan, d);
		assert_string_equal(plan.apiregistration, rows[i].apiregistration);
		if (rows[i].discovery ? !plan.discovery || strcmp(plan.discovery, rows[i].discovery) != 0
				      : plan.discovery != NULL)
			fail_msg("1.%d: slices %s", rows[i].minor, plan.discovery ? plan.discovery : "none");
		assert_int_equal(plan.omit_service_port, rows[i].omit_port);
		kube_discovery_unref(d);
	}
}

static void test_order_and_contents(void **state)
{
	struct wiring_objects *o = make(&base);
	const struct kube_apply_step *s;

	/* rights first, the APIService last: what it points to is there by then */
	assert_string_equal(o->steps[0].resource, "clusterroles");
	assert_string_equal(o->steps[o->n - 1].resource, "apiservices");
	assert_null(step(o, "endpointslices", "kmetricsd-master-1"));
	for (size_t i = 0; i < o->n; i++)
		same_json(json_object_get(json_object_get(json_object_get(o->steps[i].object, "metadata"), "labels"),
				  "app.kubernetes.io/managed-by"),
			"\"kmetricsd\"");
	s = step(o, "services", "kmetricsd");
	same_json(json_object_get(s->object, "spec"),
		"{\"ports\":[{\"name\":\"https\",\"port\":443,\"protocol\":\"TCP\"}]}");
	s = step(o, "endpoints", "kmetricsd");
	same_json(json_object_get(s->object, "subsets"), "[{\"addresses\":[{\"ip\":\"10.0.0.5\"}],\"ports\":[{\"name\":"
							 "\"https\",\"port\":4443,\"protocol\":\"TCP\"}]}]");
	s = step(o, "apiservices", "v1beta1.metrics.k8s.io");
	same_json(json_object_get(s->object, "spec"),
		"{\"group\":\"metrics.k8s.io\",\"version\":\"v1beta1\",\"groupPriorityMinimum\":100,"
		"\"versionPriority\":100,"
		"\"caBundle\":\"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUIKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=\","
		"\"insecureSkipTLSVerify\":null,\"service\":{\"name\":\"kmetricsd\",\"namespace\":\"kube-system\","
		"\"port\":443}}");
	/* the daemon may update what is named, and create nothing */
	s = step(o, "roles", "kmetricsd");
	same_json(json_object_get(json_array_get(json_object_get(s->object, "rules"), 0), "verbs"),
		"[\"get\",\"update\",\"patch\"]");
	same_json(json_object_get(json_array_get(json_object_get(s->object, "rules"), 0), "resourceNames"),
		"[\"kmetricsd\"]");
	s = step(o, "clusterroles", "system:aggregated-metrics-reader");
	same_json(json_object_get(s->object, "rules"), "[{\"apiGroups\":[\"metrics.k8s.io\"],\"resources\":[\"pods\","
						       "\"nodes\"],\"verbs\":[\"get\",\"list\",\"watch\"]}]");
	wiring_objects_free(o);
}

static void test_slices_and_old_servers(void **state)
{
	struct wiring_plan plan = base;
	struct wiring_objects *o;
	const struct kube_apply_step *s;

	plan.discovery = "v1";
	plan.address = "fd00::5";
	o = make(&plan);
	s = step(o, "endpointslices", "kmetricsd-master-1");
	same_json(json_object_get(s->object, "addressType"), "\"IPv6\"");
	same_json(json_object_get(s->object, "endpoints"),
		"[{\"addresses\":[\"fd00::5\"],\"conditions\":{\"ready\":true},\"nodeName\":\"master-1\"}]");
	/* ours is not to be mirrored beside it */
	same_json(
		json_object_get(json_object_get(json_object_get(step(o, "endpoints", "kmetricsd")->object, "metadata"),
					"labels"),
			"endpointslice.kubernetes.io/skip-mirror"),
		"\"true\"");
	wiring_objects_free(o);

	plan = base;
	plan.apiregistration = "v1beta1";
	plan.omit_service_port = true;
	o = make(&plan);
	s = step(o, "apiservices", "v1beta1.metrics.k8s.io");
	same_json(json_object_get(s->object, "apiVersion"), "\"apiregistration.k8s.io/v1beta1\"");
	same_json(json_object_get(json_object_get(s->object, "spec"), "service"),
		"{\"name\":\"kmetricsd\",\"namespace\":\"kube-system\"}");
	wiring_objects_free(o);
}

static void test_addresses_that_cannot_be(void **state)
{
	static const char *const bad[] = {"", "127.0.0.1", "::1", "master-1", "10.0.0.256"};

	for (size_t i = 0; i < KM_ARRAY_LEN(bad); i++) {
		struct wiring_plan plan = base;
		struct wiring_objects *o = NULL;
		struct km_err err = {0};

		plan.address = bad[i];
		assert_int_equal(wiring_objects_make(&plan, &o, &err), -EINVAL);
		assert_mentions(&err, "advertise-address");
	}
}

/* W12, W13: another owner's APIService, or one that is going, is left alone. */
static void test_guard(void **state)
{
	static const struct {
		const char *live;
		int want;
		const char *text;
	} rows[] = {
		{NULL, 0, ""},
		{"{\"spec\":{\"service\":{\"name\":\"kmetricsd\",\"namespace\":\"kube-system\"}}}", 0, ""},
		{"{\"spec\":{\"service\":{\"name\":\"metrics-server\",\"namespace\":\"kube-system\"}}}", -EEXIST,
			"kube-system/metrics-server"},
		{"{\"spec\":{\"service\":{\"name\":\"kmetricsd\",\"namespace\":\"default\"}}}", -EEXIST,
			"default/kmetricsd"},
		{"{\"spec\":{\"service\":null}}", -EEXIST, "kube-apiserver itself"},
		{"{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"},\"spec\":{\"service\":{\"name\":"
		 "\"kmetricsd\","
		 "\"namespace\":\"kube-system\"}}}",
			-EBUSY, "2026-01-01T00:00:00Z"},
	};
	struct wiring_objects *o = make(&base);
	const struct kube_apply_step *s = step(o, "apiservices", "v1beta1.metrics.k8s.io");

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		json_t *live = rows[i].live ? json_loads(rows[i].live, 0, NULL) : NULL;
		struct km_err err = {0};

		assert_int_equal(s->guard(live, NULL, &err), rows[i].want);
		assert_mentions(&err, rows[i].text);
		json_decref(live);
	}
	wiring_objects_free(o);
}

/* What is printed reads back as what would be applied, less the nulls that only merging understands. */
static void test_print(void **state)
{
	struct wiring_plan plan = base;
	struct wiring_objects *o;
	struct km_buf out = KM_BUF_INIT(1024 * 1024);
	char *at;
	size_t n = 0;

	plan.discovery = "v1";
	o = make(&plan);
	assert_int_equal(wiring_objects_print(o, &out), 0);
	for (at = out.data; at && *at; n++) {
		char *end;
		json_t *read = NULL, *want = json_deep_copy(o->steps[n].object);

		assert_int_equal(strncmp(at, "---\n", 4), 0);
		at += 4;
		end = strstr(at, "\n---\n");
		end = end ? end + 1 : at + strlen(at);
		assert_int_equal(kube_yaml_parse(at, (size_t)(end - at), "printed", &read, NULL), 0);
		json_object_del(json_object_get(want, "spec"), "insecureSkipTLSVerify");
		if (!json_equal(read, want))
			fail_msg("document %zu reads back differently: %.*s", n, (int)(end - at), at);
		json_decref(read);
		json_decref(want);
		at = end;
	}
	assert_int_equal(n, o->n);
	km_buf_free(&out);
	wiring_objects_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_order_and_contents),
		cmocka_unit_test(test_slices_and_old_servers),
		cmocka_unit_test(test_addresses_that_cannot_be),
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
