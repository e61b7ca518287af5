/* SPDX-License-Identifier: Apache-2.0 */
/*
 * REST mappings from discovery documents of a scripted API server, on virtual time.
 */
#include "kube/mapper.h"

#include <errno.h>
#include <stdio.h>

#include "core/buf.h"
#include "kube/mapper_docs.h"
#include "tests/unit/support/apistub.h"
#include "tests/unit/support/check.h"

struct page {
	const char *path;
	int status; /* 0: no answer */
	const char *body;
};

struct world {
	struct km_clock_virtual clock;
	struct km_loop *loop;
	struct apistub *stub;
	struct kube_client *client;
	struct kube_mapper *mapper;
	struct page pages[8];
	struct km_buf log;         /* paths asked for */
	struct apistub_conn *held; /* the last one that got no answer */
	/* answers */
	size_t n, want;
	struct km_buf text;
	struct kube_mapper_call *cancel_next;
	bool ask_again;
};

#define SCALE_V1 "\"group\":\"autoscaling\",\"version\":\"v1\",\"kind\":\"Scale\""
#define APIS                                                                                                    \
	"{\"kind\":\"APIGroupList\",\"groups\":[7,{\"name\":\"apps\",\"versions\":[{\"version\":\"v1beta1\"},"  \
	"{\"version\":\"v1\"},{\"version\":\"v1beta2\"}],\"preferredVersion\":{\"version\":\"v1\"}},"           \
	"{\"name\":\"demo.example\",\"versions\":[{\"groupVersion\":\"demo.example/v1\",\"version\":\"v1\"}]}," \
	"{\"name\":\"none.example\"}]}"
#define APPS_V1                                                                                                      \
	"{\"kind\":\"APIResourceList\",\"resources\":[{\"name\":\"deployments/scale\",\"namespaced\":true," SCALE_V1 \
	"},{\"name\":\"deployments\",\"namespaced\":true,\"kind\":\"Deployment\"},"                                  \
	"{\"name\":\"deployments/status\",\"namespaced\":true,\"kind\":\"Deployment\"},"                             \
	"{\"name\":\"daemonsets\",\"namespaced\":true,\"kind\":\"DaemonSet\"}]}"
#define APPS_V1BETA1                                                                              \
	"{\"resources\":[{\"name\":\"deployments\",\"namespaced\":true,\"kind\":\"Deployment\"}," \
	"{\"name\":\"deployments/scale\",\"namespaced\":true,\"kind\":\"Scale\",\"group\":\"apps\"}]}"
#define CORE                                                                                                       \
	"{\"resources\":[{\"name\":\"replicationcontrollers\",\"namespaced\":true,\"kind\":"                       \
	"\"ReplicationController\"},{\"name\":\"replicationcontrollers/scale\",\"namespaced\":true," SCALE_V1 "}," \
	"{\"name\":\"nodes\",\"namespaced\":false,\"kind\":\"Node\"}]}"

static const struct page normal[] = {
	{"/apis", 200, APIS},
	{"/apis/apps/v1", 200, APPS_V1},
	{"/apis/apps/v1beta1", 200, APPS_V1BETA1},
	{"/apis/apps/v1beta2", 404, "{\"kind\":\"Status\",\"message\":\"gone\"}"},
	{"/apis/demo.example/v1", 503, "{\"kind\":\"Status\",\"message\":\"not ready\"}"},
	{"/api/v1", 200, CORE},
};

static struct page *page(struct world *w, const char *path)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(w->pages); i++)
		if (w->pages[i].path && strcmp(w->pages[i].path, path) == 0)
			return &w->pages[i];
	fail_msg("%s", path);
	abort();
}

static void on_request(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct world *w = arg;
	const struct page *p = page(w, request->target);

	assert_string_equal(request->method, "GET");
	km_buf_addf(&w->log, "%s ", request->target);
	if (p->status == 0)
		w->held = c;
	else
		apistub_reply(c, p->status, NULL, p->body);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct kube_access *access;

	if (!w || km_loop_new(&w->loop, NULL) < 0)
		return -1;
	w->log = KM_BUF_INIT(64 * 1024);
	w->text = KM_BUF_INIT(256 * 1024);
	memcpy(w->pages, normal, sizeof(normal));
	w->stub = apistub_new(w->loop, on_request, w);
	access = apistub_access(w->stub, NULL);
	w->clock = (struct km_clock_virtual){.monotonic_us = km_now_us(), .wall_ns = km_wall_ns()};
	km_clock_set_virtual(&w->clock);
	assert_int_equal(kube_client_new(w->loop, access, "t", &w->client, NULL), 0);
	kube_access_free(access);
	assert_int_equal(kube_mapper_new(w->client, &w->mapper), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	kube_mapper_free(w->mapper);
	kube_client_free(w->client);
	apistub_free(w->stub);
	km_clock_set_virtual(NULL);
	km_loop_free(w->loop);
	km_buf_free(&w->log);
	km_buf_free(&w->text);
	free(w);
	return 0;
}

static bool enough(void *arg)
{
	struct world *w = arg;

	return w->n >= w->want;
}

static bool is_held(void *arg)
{
	return ((struct world *)arg)->held != NULL;
}

static void on_found(struct kube_mapping *mapping, int error, const char *text, void *arg)
{
	struct world *w = arg;

	w->n++;
	if (!mapping) {
		km_buf_addf(&w->text, "%d %s; ", error, text);
	} else {
		assert_int_equal(error, 0);
		assert_int_equal(kube_mapping_count(mapping), mapping->n);
		km_buf_addf(&w->text, "%s %s:", mapping->group, mapping->kind);
		for (size_t i = 0; i < mapping->n; i++) {
			const struct kube_mapping_version *v = &mapping->versions[i];

			km_buf_addf(&w->text, " %s/%s%s", v->version, v->plural, v->namespaced ? "" : " cluster");
			if (v->scale_kind)
				km_buf_addf(&w->text, "=%s/%s/%s", v->scale_group, v->scale_version, v->scale_kind);
		}
		km_buf_adds(&w->text, "; ");
	}
	kube_mapping_free(mapping);
	kube_mapper_cancel(KM_TAKE(w->cancel_next));
	if (w->ask_again) {
		struct kube_mapper_call *call;

		w->ask_again = false;
		assert_int_equal(kube_mapper_find(w->mapper, "v1", "Node", on_found, w, &call), 0);
	}
}

static struct kube_mapper_call *ask(struct world *w, const char *api_version, const char *kind)
{
	struct kube_mapper_call *call = NULL;
	size_t n = w->n;

	assert_int_equal(kube_mapper_find(w->mapper, api_version, kind, on_found, w, &call), 0);
	assert_non_null(call);
	assert_int_equal(w->n, n); /* never from inside */
	w->want++;
	return call;
}

static void expect(struct world *w, const char *text, const char *log)
{
	assert_true(apistub_until(w->loop, enough, w));
	km_buf_adds(&w->text, "");
	km_buf_adds(&w->log, "");
	assert_string_equal(w->text.data, text);
	assert_string_equal(w->log.data, log);
	km_buf_reset(&w->text);
	km_buf_reset(&w->log);
}

#define DEPLOYMENT "apps Deployment: v1/deployments=autoscaling/v1/Scale v1beta1/deployments=apps/v1beta1/Scale; "
#define READ_APPS  "/apis/apps/v1 /apis/apps/v1beta1 /apis/apps/v1beta2 "

static void pass(struct world *w, uint64_t us)
{
	w->clock.monotonic_us += us;
}

static void test_mappings(void **state)
{
	struct world *w = *state;

	ask(w, "apps/v1", "Deployment");
	expect(w, DEPLOYMENT, "/apis " READ_APPS);
	/* From memory from here on: another version, the kind in lower case, one without scale. */
	ask(w, "apps/v1alpha7", "deployment");
	expect(w, DEPLOYMENT, "");
	ask(w, "apps/v1", "DaemonSet");
	expect(w, "apps DaemonSet: v1/daemonsets; ", "");
	ask(w, "apps/v1", "dEployment");
	expect(w, "-2 no matches for kind \"dEployment\" in group \"apps\"; ", "");
	ask(w, "v1", "ReplicationController");
	expect(w, " ReplicationController: v1/replicationcontrollers=autoscaling/v1/Scale; ", "/api/v1 ");
	ask(w, "/", "Node");
	expect(w, " Node: v1/nodes cluster; ", "");
}

static void test_no_match(void **state)
{
	static const struct {
		const char *api_version, *kind, *text;
	} rows[] = {
		{"extensions/v1beta1", "Deployment", "-2 no matches for kind \"Deployment\" in group \"extensions\"; "},
		{"", "Deployment", "-2 no matches for kind \"Deployment\" in group \"\"; "},
		{"none.example/v1", "X", "-2 no matches for kind \"X\" in group \"none.example\"; "},
		{"a/b/c", "X", "-22 unexpected GroupVersion string: a/b/c; "},
		{"///", "X", "-22 unexpected GroupVersion string: ///; "},
		{"apps/v1", "Deploy", "-2 no matches for kind \"Deploy\" in group \"apps\"; "},
		{"apps/v1", "Deployments", "-2 no matches for kind \"Deployments\" in group \"apps\"; "},
		{"apps/v1", "Scale", "-2 no matches for kind \"Scale\" in group \"apps\"; "},
		{"apps/v1", "", "-2 no matches for kind \"\" in group \"apps\"; "},
	};
	struct world *w = *state;
	char longer[KUBE_MAPPER_NAME_MAX + 2];

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		km_buf_reset(&w->text);
		ask(w, rows[i].api_version, rows[i].kind);
		assert_true(apistub_until(w->loop, enough, w));
		assert_string_equal(w->text.data, rows[i].text);
	}
	km_buf_reset(&w->text);
	memset(longer, 'k', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	ask(w, "apps/v1", longer);
	assert_true(apistub_until(w->loop, enough, w));
	assert_non_null(strstr(w->text.data, "-2 no matches for kind \"kkk"));
}

static void test_freshness(void **state)
{
	struct world *w = *state;

	ask(w, "late.example/v1", "Late");
	expect(w, "-2 no matches for kind \"Late\" in group \"late.example\"; ", "/apis ");
	ask(w, "apps/v1", "Deployment");
	expect(w, DEPLOYMENT, READ_APPS);
	/* A CRD is added. Not looked for while what we have is fresh, then once. */
	page(w, "/apis")->body = "{\"groups\":[{\"name\":\"late.example\",\"versions\":[{\"version\":\"v1\"}]},"
				 "{\"name\":\"apps\",\"versions\":[{\"version\":\"v1\"}]}]}";
	w->pages[6] = (struct page){"/apis/late.example/v1", 200,
		"{\"resources\":[{\"name\":\"lates\",\"namespaced\":true,\"kind\":\"Late\"}]}"};
	pass(w, 29 * KM_USEC_PER_SEC);
	ask(w, "late.example/v1", "Late");
	expect(w, "-2 no matches for kind \"Late\" in group \"late.example\"; ", "");
	ask(w, "apps/v1", "StatefulSet"); /* that one listed version is not there is no failure */
	expect(w, "-2 no matches for kind \"StatefulSet\" in group \"apps\"; ", "");
	pass(w, 1 * KM_USEC_PER_SEC);
	ask(w, "late.example/v1", "Late");
	expect(w, "late.example Late: v1/lates; ", "/apis /apis/late.example/v1 ");
	ask(w, "apps/v1", "StatefulSet");
	expect(w, "-2 no matches for kind \"StatefulSet\" in group \"apps\"; ", "/apis/apps/v1 ");
	/* What is found is believed for ten minutes, and then read again: v1beta1 is gone. */
	pass(w, 599 * KM_USEC_PER_SEC);
	ask(w, "apps/v1", "Deployment");
	expect(w, "apps Deployment: v1/deployments=autoscaling/v1/Scale; ", "");
	page(w, "/apis/apps/v1")->body = "{\"resources\":[]}";
	pass(w, 1 * KM_USEC_PER_SEC);
	ask(w, "apps/v1", "Deployment");
	expect(w, "-2 no matches for kind \"Deployment\" in group \"apps\"; ", "/apis /apis/apps/v1 ");
	/* A group that is gone. */
	page(w, "/apis")->body = "{\"groups\":[]}";
	pass(w, 600 * KM_USEC_PER_SEC);
	ask(w, "late.example/v1", "Late");
	expect(w, "-2 no matches for kind \"Late\" in group \"late.example\"; ", "/apis ");
}

static void test_failures(void **state)
{
	struct world *w = *state;

	ask(w, "demo.example/v1", "Demo");
	expect(w, "-121 GET /apis/demo.example/v1: 503 not ready; ", "/apis /apis/demo.example/v1 ");
	page(w, "/apis/demo.example/v1")->status = 200;
	page(w, "/apis/demo.example/v1")->body = "{\"resources\":[{\"name\":\"demos\",\"kind\":\"Demo\"}]}";
	pass(w, 4 * KM_USEC_PER_SEC); /* not asked again so soon */
	ask(w, "demo.example/v1", "Demo");
	expect(w, "-121 GET /apis/demo.example/v1: 503 not ready; ", "");
	pass(w, 1 * KM_USEC_PER_SEC);
	ask(w, "demo.example/v1", "Demo");
	expect(w, "demo.example Demo: v1/demos cluster; ", "/apis/demo.example/v1 ");
	/* What is known outlives failures, of the group's documents and of the list of groups. */
	ask(w, "apps/v1", "Deployment");
	expect(w, DEPLOYMENT, READ_APPS);
	pass(w, 600 * KM_USEC_PER_SEC);
	page(w, "/apis/apps/v1")->body = "garbage";
	page(w, "/apis/apps/v1beta1")->body = "[]";
	ask(w, "apps/v1", "Deployment");
	expect(w, DEPLOYMENT, "/apis " READ_APPS);
	pass(w, 600 * KM_USEC_PER_SEC);
	page(w, "/apis")->status = 500;
	page(w, "/apis")->body = "";
	ask(w, "apps/v1", "Deployment");
	expect(w, DEPLOYMENT, "/apis ");
	ask(w, "new.example/v1", "New");
	assert_true(apistub_until(w->loop, enough, w));
	assert_non_null(strstr(w->text.data, "-121 GET /apis: 500"));
	expect(w, w->text.data, "");
	/* One version that cannot be read does not hide the others. */
	page(w, "/apis")->status = 200;
	page(w, "/apis")->body = APIS;
	page(w, "/apis/apps/v1beta1")->body = APPS_V1BETA1;
	kube_mapper_free(w->mapper);
	assert_int_equal(kube_mapper_new(w->client, &w->mapper), 0);
	ask(w, "apps/v1", "Deployment");
	expect(w, "apps Deployment: v1beta1/deployments=apps/v1beta1/Scale; ", "/apis " READ_APPS);
	/* No connection at all. */
	apistub_stop(w->stub);
	ask(w, "v1", "Node");
	assert_true(apistub_until(w->loop, enough, w));
	assert_non_null(strstr(w->text.data, "GET /api/v1: https://127.0.0.1"));
}

static void test_together(void **state)
{
	struct world *w = *state;
	struct kube_mapper_call *call;

	for (int i = 0; i < 100; i++) /* one reading for all */
		ask(w, "apps/v1", "Nothing");
	assert_true(apistub_until(w->loop, enough, w));
	assert_string_equal(w->log.data, "/apis " READ_APPS);
	km_buf_reset(&w->log);
	km_buf_reset(&w->text);
	/* A group whose server hangs holds up nobody else. */
	page(w, "/apis/demo.example/v1")->status = 0;
	call = ask(w, "demo.example/v1", "Demo");
	ask(w, "demo.example/v1", "Demo");
	w->want -= 2;
	assert_true(apistub_until(w->loop, is_held, w));
	km_buf_reset(&w->log);
	ask(w, "v1", "Node");
	expect(w, " Node: v1/nodes cluster; ", "/api/v1 ");
	kube_mapper_cancel(call);
	kube_mapper_cancel(NULL);
	apistub_reply(w->held, 200, NULL, "{\"resources\":[{\"name\":\"demos\",\"kind\":\"Demo\"}]}");
	w->want++;
	expect(w, "demo.example Demo: v1/demos cluster; ", "");
	/* Cancelling another one, and asking, from inside the answer. */
	ask(w, "apps/v1", "Deployment");
	w->cancel_next = ask(w, "apps/v1", "Deployment");
	w->want--;
	w->ask_again = true;
	w->want++;
	expect(w, DEPLOYMENT " Node: v1/nodes cluster; ", "");
	/* Freed with all kinds of look-ups under way. */
	w->held = NULL;
	pass(w, 600 * KM_USEC_PER_SEC);
	ask(w, "demo.example/v1", "Demo");
	assert_true(apistub_until(w->loop, is_held, w));
	ask(w, "late.example/v1", "Late");
	ask(w, "a/b/c", "X");
	pass(w, 60 * KM_USEC_PER_SEC);
	ask(w, "late.example/v1", "Later");
	kube_mapper_free(KM_TAKE(w->mapper));
	kube_mapper_free(NULL);
}

static void test_limits(void **state)
{
	struct world *w = *state;
	struct km_buf apis = KM_BUF_INIT(64 * 1024);
	struct kube_mapper_call *call = NULL, *none = NULL;
	const char *first = "g0/v1";
	char name[32];

	/* Many groups, one after the other: each is found, the first ones are forgotten and read again. */
	km_buf_adds(&apis, "{\"groups\":[");
	for (int i = 0; i < KUBE_MAPPER_GROUPS_MAX + 10; i++)
		km_buf_addf(&apis, "%s{\"name\":\"g%d\",\"versions\":[{\"version\":\"v1\"}]}", i > 0 ? "," : "", i);
	km_buf_adds(&apis, "]}");
	page(w, "/apis")->body = apis.data;
	for (int i = 0; i < KUBE_MAPPER_GROUPS_MAX + 10; i++) {
		char path[48];

		snprintf(name, sizeof(name), "g%d/v1", i);
		snprintf(path, sizeof(path), "/apis/%s", name);
		w->pages[7] = (struct page){path, 200, "{\"resources\":[{\"name\":\"xs\",\"kind\":\"X\"}]}"};
		pass(w, 1000);
		ask(w, name, "X");
		assert_true(apistub_until(w->loop, enough, w));
	}
	assert_null(strstr(w->text.data, "no matches"));
	km_buf_reset(&w->log);
	km_buf_reset(&w->text);
	ask(w, name, "X");
	assert_true(apistub_until(w->loop, enough, w));
	assert_int_equal(w->log.len, 0);
	w->pages[7] = (struct page){"/apis/g0/v1", 200, "{\"resources\":[{\"name\":\"xs\",\"kind\":\"X\"}]}"};
	km_buf_reset(&w->text);
	ask(w, first, "X");
	expect(w, "g0 X: v1/xs cluster; ", "/apis/g0/v1 ");
	km_buf_free(&apis);
	/* Look-ups. */
	for (int i = 0; i < KUBE_MAPPER_LOOKUPS_MAX; i++)
		assert_int_equal(kube_mapper_find(w->mapper, "g0/v1", "X", on_found, w, &call), 0);
	assert_int_equal(kube_mapper_find(w->mapper, "g0/v1", "X", on_found, w, &none), -EAGAIN);
	assert_null(none);
	kube_mapper_cancel(call);
	assert_int_equal(kube_mapper_find(w->mapper, "g0/v1", "X", on_found, w, &call), 0);
	w->want += KUBE_MAPPER_LOOKUPS_MAX;
	assert_true(apistub_until(w->loop, enough, w));
}

static void test_documents(void **state)
{
	static const struct {
		const char *body, *found;
	} rows[] = {
		{"", NULL},
		{"{}", NULL},
		{"{\"resources\":{}}", NULL},
		{"{\"resources\":[]}", ""},
		{"{\"resources\":[7,null,\"x\",{},{\"name\":\"a\"},{\"kind\":\"X\"},{\"name\":\"\",\"kind\":\"X\"}]}",
			""},
		{"{\"resources\":[{\"name\":\"x\\u0000\",\"kind\":\"X\"}]}", NULL},
		{"{\"resources\":[{\"name\":\"xs\",\"kind\":\"X\"},{\"name\":\"xos\",\"kind\":\"X\"}]}", "xos"},
		{"{\"resources\":[{\"name\":\"xs\",\"kind\":\"x\"}]}", ""},
		{"{\"resources\":[{\"name\":\"y/scale\",\"kind\":\"S\"},{\"name\":\"/scale\",\"kind\":\"S\"},"
		 "{\"name\":\"xs/scale/x\",\"kind\":\"S\"},{\"name\":\"xs\",\"kind\":\"X\"}]}",
			"xs"},
		{"{\"resources\":[{\"name\":\"xs/scale\",\"kind\":\"S\"},{\"name\":\"xs\",\"kind\":\"X\"},"
		 "{\"name\":\"xs/scale\",\"kind\":\"T\"}]}",
			"xs=g/v1/S"},
	};
	struct km_buf many = KM_BUF_INIT(1024 * 1024);
	struct km_err err;

	(void)state;
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct kube_mapper_doc *doc = NULL;
		struct kube_mapping *m;
		char text[64] = "";
		int r = kube_mapper_doc_parse(rows[i].body, strlen(rows[i].body), "g", "v1", &doc, &err);

		assert_int_equal(r, rows[i].found ? 0 : -EBADMSG);
		if (r < 0)
			continue;
		m = kube_mapper_docs_find(&doc, 1, "g", "X");
		if (m)
			snprintf(text, sizeof(text), "%s%s%s%s%s%s%s", m->versions[0].plural,
				m->versions[0].scale_kind ? "=" : "",
				m->versions[0].scale_kind ? m->versions[0].scale_group : "",
				m->versions[0].scale_kind ? "/" : "",
				m->versions[0].scale_kind ? m->versions[0].scale_version : "",
				m->versions[0].scale_kind ? "/" : "",
				m->versions[0].scale_kind ? m->versions[0].scale_kind : "");
		assert_string_equal(text, rows[i].found);
		kube_mapping_free(m);
		kube_mapper_doc_free(doc);
	}
	km_buf_adds(&many, "{\"resources\":[1");
	for (int i = 0; i < KUBE_MAPPER_RESOURCES_MAX; i++)
		km_buf_adds(&many, ",1");
	km_buf_adds(&many, "]}");
	struct kube_mapper_doc *doc = NULL;
	assert_int_equal(kube_mapper_doc_parse(many.data, many.len, "g", "v1", &doc, &err), -EMSGSIZE);
	assert_mentions(&err, "more than 4096 resources");
	assert_int_equal(kube_mapper_doc_parse(many.data, KUBE_MAPPER_BODY_MAX + 1, "g", "v1", &doc, &err), -EMSGSIZE);
	km_buf_free(&many);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_mappings),
		TEST(test_no_match),
		TEST(test_freshness),
		TEST(test_failures),
		TEST(test_together),
		TEST(test_limits),
		cmocka_unit_test(test_documents),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
