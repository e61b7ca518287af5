/* SPDX-License-Identifier: Apache-2.0 */
/* Scales from watches: what an object says, and which questions have an answer without asking. */
#include "kube/scales.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/support/apistub.h"

/* ---- one object ---- */

static const struct {
	const char *object, *expected; /* "REPLICAS/STATUS SELECTOR @VERSION", "" when it cannot be used */
} objects[] = {
	{"{'metadata':{'resourceVersion':'7'},'spec':{'replicas':3,'selector':{'matchLabels':{'app':'web'}}},"
	 "'status':{'replicas':2}}",
		"3/2 app=web @7"},
	/* as LabelSelectorAsSelector prints it: by key */
	{"{'metadata':{'resourceVersion':'8'},'spec':{'replicas':0,'selector':{'matchLabels':{'b':'1'},"
	 "'matchExpressions':[{'key':'a','operator':'In','values':['y','x']},{'key':'c','operator':'DoesNotExist'}]}}}",
		"0/0 a in (x,y),b=1,!c @8"},
	/* a ReplicationController's */
	{"{'metadata':{'resourceVersion':'9'},'spec':{'selector':{'z':'1','app':'rc'}},'status':{'replicas':1}}",
		"1/1 app=rc,z=1 @9"},
	{"{'metadata':{'resourceVersion':'9'},'spec':{'replicas':1}}", "1/0  @9"},
	{"{'metadata':{'resourceVersion':'9'},'spec':{'replicas':1,'selector':{}}}", "1/0  @9"},
	{"{'metadata':{},'spec':{'replicas':1}}", ""},
	{"{'metadata':{'resourceVersion':'9'},'spec':{'replicas':-1}}", ""},
	{"{'metadata':{'resourceVersion':'9'},'spec':{'replicas':'1'}}", ""},
	{"{'metadata':{'resourceVersion':'9'},'spec':{'replicas':4294967297}}", ""},
	{"{'metadata':{'resourceVersion':'9'},'spec':{'selector':{'matchLabels':{'app':7}}}}", ""},
	{"{'metadata':{'resourceVersion':'9'},'spec':{'selector':{'matchLabels':7}}}", ""},
	{"{}", ""},
};

static void what_an_object_says(void **state)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(objects); i++) {
		char text[512], got[512] = "";
		struct kube_scale_record *r;
		json_t *o;

		snprintf(text, sizeof(text), "%s", objects[i].object);
		for (char *p = text; *p; p++)
			*p = *p == '\'' ? '"' : *p;
		o = json_loads(text, 0, NULL);
		assert_non_null(o);
		r = kube_scale_record_of(o);
		if (r)
			snprintf(got, sizeof(got), "%d/%d %s @%s", (int)r->replicas, (int)r->status_replicas,
				r->selector, r->resource_version);
		assert_string_equal(got, objects[i].expected);
		free(r);
		json_decref(o);
	}
}

/* ---- the watch ---- */

#define DEPLOYMENT(name, version, replicas)                                                                        \
	"{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"shop\",\"uid\":\"u\",\"resourceVersion\":\"" version \
	"\"},\"spec\":{\"replicas\":" replicas ",\"selector\":{\"matchLabels\":{\"app\":\"" name "\"}}}}"

struct scene {
	struct km_loop *loop;
	struct apistub *stub;
	struct kube_client *client;
	struct kube_scales *scales;
	struct apistub_conn *watch;
	unsigned lists, sets;
	const char *name;
	int32_t wanted; /* -1: no answer */
};

static void answer(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct scene *s = arg;

	if (strstr(request->target, "statefulsets")) {
		s->sets++;
		apistub_reply(c, 403, NULL, "{\"kind\":\"Status\",\"code\":403}");
	} else if (strstr(request->target, "watch=1")) {
		apistub_stream(c, 200);
		s->watch = c;
	} else {
		assert_int_equal(strncmp(request->target, "/apis/apps/v1/deployments?", 26), 0);
		s->lists++;
		apistub_reply(c, 200, NULL,
			"{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[" DEPLOYMENT(
				"web", "3", "2") "," DEPLOYMENT("db", "4", "1") "]}");
	}
}

static bool answers(void *arg)
{
	struct scene *s = arg;
	const struct kube_scale_record *r = kube_scales_find(s->scales, "apps", "deployments", "shop", s->name);

	return (r ? r->replicas : -1) == s->wanted;
}

static bool is_watched(void *arg)
{
	return ((struct scene *)arg)->watch != NULL;
}

static bool is_refused(void *arg)
{
	return ((struct scene *)arg)->sets > 0;
}

static void wait_for(struct scene *s, const char *name, int32_t replicas)
{
	s->name = name;
	s->wanted = replicas;
	assert_true(apistub_until(s->loop, answers, s));
}

static void which_questions_have_an_answer(void **state)
{
	struct scene s = {0};
	struct kube_access *access;

	assert_int_equal(km_loop_new(&s.loop, NULL), 0);
	s.stub = apistub_new(s.loop, answer, &s);
	access = apistub_access(s.stub, NULL);
	assert_int_equal(kube_client_new(s.loop, access, "test", &s.client, NULL), 0);
	assert_int_equal(kube_scales_new(s.client, &s.scales), 0);
	/* nothing is watched that nobody has asked for */
	assert_int_equal(s.lists, 0);
	assert_null(kube_scales_find(s.scales, "apps", "daemonsets", "shop", "web"));
	assert_null(kube_scales_find(s.scales, "", "deployments", "shop", "web"));
	assert_null(kube_scales_find(s.scales, "apps", "deployments", "shop", "web"));
	wait_for(&s, "web", 2);
	wait_for(&s, "db", 1);
	wait_for(&s, "none", -1);
	assert_int_equal(s.lists, 1);
	assert_string_equal(kube_scales_find(s.scales, "apps", "deployments", "shop", "web")->selector, "app=web");
	assert_true(apistub_until(s.loop, is_watched, &s));
	apistub_chunk(s.watch, "{\"type\":\"MODIFIED\",\"object\":" DEPLOYMENT("web", "6", "5") "}\n");
	wait_for(&s, "web", 5);
	assert_int_equal(kube_scales_find(s.scales, "apps", "deployments", "shop", "web")->version, 6);
	apistub_chunk(s.watch, "{\"type\":\"ADDED\",\"object\":" DEPLOYMENT("new", "7", "1") "}\n");
	wait_for(&s, "new", 1);
	apistub_chunk(s.watch, "{\"type\":\"DELETED\",\"object\":" DEPLOYMENT("web", "8", "5") "}\n");
	wait_for(&s, "web", -1);
	/* one that says what cannot be is no answer */
	apistub_chunk(s.watch, "{\"type\":\"MODIFIED\",\"object\":" DEPLOYMENT("db", "9", "-1") "}\n");
	wait_for(&s, "db", -1);
	/* not permitted: no answer, and no harm */
	assert_null(kube_scales_find(s.scales, "apps", "statefulsets", "shop", "web"));
	assert_true(apistub_until(s.loop, is_refused, &s));
	assert_null(kube_scales_find(s.scales, "apps", "statefulsets", "shop", "web"));
	kube_scales_free(s.scales);
	kube_client_free(s.client);
	kube_access_free(access);
	apistub_free(s.stub);
	km_loop_free(s.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_an_object_says),
		cmocka_unit_test(which_questions_have_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
