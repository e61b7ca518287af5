/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controller and the world of its rounds against a scripted API server: when an HPA is reconciled, what is written,
 * and what is not when the right to write is missing or lost.
 */
#include "tests/unit/hpa/controller_scene.h"

/* 200m of 100m requested is 200 %, the target 50 %: 8 wanted, 5 at most. Our own write, come back through the watch, is
 * no reason for another round; a changed spec is one at once. */
static void test_rounds(void **state)
{
	struct world *w = *state;
	json_t *echo;

	tell(w, KUBE_ADDED, "web", 1, 5);
	wait_for(w, wanted_statuses, 1);
	assert_int_equal(w->scale_puts, 1);
	assert_int_equal(w->put_replicas, 5);
	assert_int_equal(json_integer_value(json_object_get(w->status, "desiredReplicas")), 5);
	assert_int_equal(counters(w).scaled_total, 1);
	assert_true(until(w, an_event_came)); /* SuccessfulRescale */

	echo = hpa("web", w->version, 5, "Deployment");
	json_object_set(echo, "status", w->status);
	assert_int_equal(hpa_controller_object(w->controller, KUBE_MODIFIED, echo, NULL), 0);
	json_decref(echo);
	tell(w, KUBE_MODIFIED, "web", w->version + 1, 6);
	w->version++;
	wait_for(w, wanted_statuses, 2);
	assert_int_equal(counters(w).rounds_total, 2);
	assert_int_equal(w->put_replicas, 6);
}

/* What changes during a round counts right after it. */
static void test_change_during_a_round(void **state)
{
	struct world *w = *state;

	w->hold = true;
	tell(w, KUBE_ADDED, "web", 1, 3);
	wait_for(w, wanted_held, 1);
	tell(w, KUBE_MODIFIED, "web", 2, 4);
	w->newest = 2;
	release(w);
	wait_for(w, wanted_statuses, 1);
	assert_int_equal(counters(w).rounds_total, 2);
	assert_int_equal(w->put_replicas, 4);
}

static void test_deleted_during_a_round(void **state)
{
	struct world *w = *state;

	w->hold = true;
	tell(w, KUBE_ADDED, "web", 1, 5);
	wait_for(w, wanted_held, 1);
	tell(w, KUBE_DELETED, "web", 2, 5);
	assert_int_equal(counters(w).hpas, 0);
	release(w);
	tell(w, KUBE_ADDED, "other", 1, 1);
	w->replicas = 1;
	wait_for(w, wanted_statuses, 1);
	assert_string_equal(w->last_name, "other");
	assert_int_equal(w->scale_puts, 0);
	assert_int_equal(w->status_puts, 1);
}

/* Without the right to write the decision is made and shown, and nothing is written. */
static void test_shadow(void **state)
{
	struct world *w = *state;
	char text[64];

	w->may_write = false;
	tell(w, KUBE_ADDED, "web", 1, 5);
	wait_for(w, wanted_rounds_over, 1);
	assert_string_equal(state_of(w, "desired", text, sizeof(text)), "5");
	assert_string_equal(state_of(w, "action", text, sizeof(text)), "scale_up");
	assert_int_equal(counters(w).scaled_total, 0);

	/* nothing of it was on its way either */
	w->may_write = true;
	hpa_controller_wake(w->controller);
	wait_for(w, wanted_statuses, 1);
	assert_int_equal(w->scale_puts, 1);
	assert_int_equal(w->status_puts, 1);
	assert_int_equal(w->put_replicas, 5);
}

/* The right is asked for in the loop turn of each write: lost during the GET, there is no PUT. */
static void test_right_lost_during_a_round(void **state)
{
	struct world *w = *state;
	unsigned gets;

	w->hold = true;
	tell(w, KUBE_ADDED, "web", 1, 5);
	wait_for(w, wanted_held, 1);
	w->may_write = false;
	gets = w->scale_gets;
	release(w);
	/* the abandoned round leaves no outcome: the next one, in the shadow, is the first that does */
	tell(w, KUBE_MODIFIED, "web", 2, 4);
	wait_for(w, wanted_rounds_over, 1);
	assert_int_equal(w->scale_puts + w->status_puts + w->event_posts, 0);
	assert_int_equal(w->scale_gets, gets + 1);

	w->may_write = true;
	hpa_controller_wake(w->controller);
	assert_true(until(w, scale_was_put));
	assert_int_equal(w->put_replicas, 4);
}

/* Another HPA of the same name, whose predecessor's deletion nobody saw: what was recommended for that one is
 * forgotten. (Upstream would step up to the 8 of a moment ago.) */
static void test_recreated(void **state)
{
	struct world *w = *state;
	json_t *object;

	tell(w, KUBE_ADDED, "web", 1, 5);
	wait_for(w, wanted_statuses, 1);
	assert_int_equal(w->put_replicas, 5);
	w->usage_milli = 50; /* as wanted */
	object = hpa("web", 200, 20, "Deployment");
	json_object_set_new(json_object_get(object, "metadata"), "uid", json_string("another"));
	w->version = 200;
	assert_int_equal(hpa_controller_object(w->controller, KUBE_LISTED, object, NULL), 0);
	json_decref(object);
	wait_for(w, wanted_statuses, 2);
	assert_int_equal(w->scale_puts, 1);
}

/* A watch may lag behind our own write; a list never does. */
static void test_older_objects(void **state)
{
	struct world *w = *state;

	tell(w, KUBE_ADDED, "web", 50, 5);
	wait_for(w, wanted_statuses, 1);
	assert_int_equal(w->put_replicas, 5);
	tell(w, KUBE_MODIFIED, "web", 99, 3); /* older than the 101 of the status write */
	tell(w, KUBE_MODIFIED, "web", 102, 6);
	w->version = 102;
	wait_for(w, wanted_statuses, 2);
	assert_int_equal(w->put_replicas, 6);
	assert_int_equal(counters(w).rounds_total, 2);
	tell(w, KUBE_LISTED, "web", 10, 3); /* a restored etcd */
	wait_for(w, wanted_statuses, 3);
	assert_int_equal(w->put_replicas, 3);
}

static void test_lists(void **state)
{
	struct world *w = *state;

	w->may_write = false;
	tell(w, KUBE_ADDED, "a", 1, 5);
	tell(w, KUBE_ADDED, "b", 1, 5);
	hpa_controller_list(w->controller, true);
	tell(w, KUBE_LISTED, "b", 1, 5);
	tell(w, KUBE_LISTED, "c", 1, 5);
	assert_int_equal(counters(w).hpas, 3);
	hpa_controller_list(w->controller, false);
	assert_int_equal(counters(w).hpas, 2);
}

/* Two HPAs whose pods are the same: neither scales, both say why. */
static void test_ambiguous(void **state)
{
	struct world *w = *state;
	json_t *conditions;
	const char *message = NULL;

	tell(w, KUBE_ADDED, "one", 1, 5);
	wait_for(w, wanted_statuses, 1);
	assert_int_equal(w->scale_puts, 1);
	tell(w, KUBE_ADDED, "two", 1, 5);
	wait_for(w, wanted_statuses, 2);
	assert_string_equal(w->last_name, "two");
	assert_int_equal(w->scale_puts, 1);
	conditions = json_object_get(w->status, "conditions");
	for (size_t i = 0; i < json_array_size(conditions); i++)
		if (strcmp(json_string_value(json_object_get(json_array_get(conditions, i), "type")),
			    "ScalingActive") == 0)
			message = json_string_value(json_object_get(json_array_get(conditions, i), "message"));
	assert_non_null(message);
	assert_non_null(strstr(message, "[shop/one shop/two]"));
}

static void test_unreadable(void **state)
{
	struct world *w = *state;
	json_t *object = hpa("web", 1, 5, "Deployment");
	struct km_err err = {0};

	json_object_set_new(json_object_get(object, "spec"), "maxReplicas", json_string("many"));
	assert_int_equal(hpa_controller_object(w->controller, KUBE_ADDED, object, NULL), 0);
	json_object_del(json_object_get(object, "metadata"), "name");
	assert_int_equal(hpa_controller_object(w->controller, KUBE_ADDED, object, &err), -EINVAL);
	assert_mentions(&err, "metadata.name");
	json_decref(object);
	tell(w, KUBE_MODIFIED, "web", 2, 5);
	wait_for(w, wanted_statuses, 1);
	assert_int_equal(counters(w).rounds_total, 1);
}

static void test_unknown_kind(void **state)
{
	struct world *w = *state;
	json_t *object = hpa("web", 1, 5, "Wagon");
	char text[1024];

	assert_int_equal(hpa_controller_object(w->controller, KUBE_ADDED, object, NULL), 0);
	json_decref(object);
	wait_for(w, wanted_statuses, 1);
	assert_non_null(strstr(state_of(w, "error", text, sizeof(text)), "no matches for kind \"Wagon\""));
	assert_int_equal(w->scale_gets + w->scale_puts, 0);
	assert_int_equal(counters(w).errors_total, 1);
}

/* A status that cannot be written is an error of this round only. */
static void test_status_conflict(void **state)
{
	struct world *w = *state;

	w->status_code = 409;
	tell(w, KUBE_ADDED, "web", 1, 5);
	wait_for(w, wanted_rounds_over, 1);
	assert_int_equal(counters(w).status_writes_total, 0);
	assert_int_equal(counters(w).errors_total, 1);
	w->status_code = 200;
	hpa_controller_wake(w->controller);
	wait_for(w, wanted_statuses, 1);
}

/* So many side by side and no more; the others have their turn. */
static void test_crowd(void **state)
{
	struct world *w = *state;
	char name[16];

	w->hold = true;
	w->may_write = false; /* they share a target, which is ambiguous; the rounds are what counts */
	for (unsigned i = 0; i < HPA_ROUNDS_MAX + 8; i++) {
		snprintf(name, sizeof(name), "h%u", i);
		tell(w, KUBE_ADDED, name, 1, 5);
	}
	wait_for(w, wanted_held, 1);
	assert_true(counters(w).rounds_total <= HPA_ROUNDS_MAX);
	release(w);
	wait_for(w, wanted_rounds_over, HPA_ROUNDS_MAX + 8);
	assert_int_equal(counters(w).rounds_total, HPA_ROUNDS_MAX + 8);
}

/* Nothing is computed from nothing: until there are samples no round begins. */
static void test_waits_for_samples(void **state)
{
	struct world *w = *state;

	w->usage_ready = false;
	tell(w, KUBE_ADDED, "web", 1, 5);
	hpa_controller_wake(w->controller);
	assert_int_equal(counters(w).rounds_total, 0);
	w->usage_ready = true;
	wait_for(w, wanted_statuses, 1);
	assert_int_equal(w->put_replicas, 5);
}

static void land(struct world *w, const char *node)
{
	struct km_interner *in = kube_cluster_interner(w->cluster);
	const char *interned = km_intern(in, node, strlen(node));

	w->landed(interned, w->landed_arg);
	km_istr_unref(in, interned);
}

/* A new sample of a node wakes the HPAs that have pods there, and no other; the usage of that moment counts. */
static void test_sample_wakes(void **state)
{
	struct world *w = *state;

	w->usage_milli = 50; /* as wanted: 3 stay */
	tell(w, KUBE_ADDED, "web", 1, 9);
	wait_for(w, wanted_statuses, 1);
	assert_int_equal(w->scale_puts, 0);
	w->usage_milli = 100;
	for (int i = 0; i < 20; i++)
		land(w, "elsewhere");
	land(w, "n1");
	land(w, "n1");
	assert_true(until(w, scale_was_put));
	assert_int_equal(w->put_replicas, 4); /* 2 pods at twice the target */
	wait_for(w, wanted_statuses, 2);
	assert_int_equal(counters(w).rounds_total, 2);
	/* what lands while a round is under way may not have been seen by it */
	w->hold = true;
	w->usage_milli = 150;
	land(w, "n1");
	wait_for(w, wanted_held, 1);
	w->usage_milli = 200;
	land(w, "n1");
	release(w);
	wait_for(w, wanted_rounds, 4);
	/* one that is deleted is woken no more */
	tell(w, KUBE_DELETED, "web", 9, 9);
	land(w, "n1");
}

static const char *message_of(const struct world *w, const char *type)
{
	json_t *c;
	size_t i;

	json_array_foreach(json_object_get(w->status, "conditions"), i, c)
	{
		if (strcmp(json_string_value(json_object_get(c, "type")), type) == 0)
			return json_string_value(json_object_get(c, "message"));
	}
	return "";
}

/* extensions/v1beta1, as old manifests have it, means apps/v1 where that group is gone, and the HPA says so; strict
 * does as upstream. */
static void test_legacy_target(void **state)
{
	struct world *w = *state;
	json_t *object = hpa("web", 1, 5, "Deployment"), *later;

	json_object_set_new(json_object_get(json_object_get(object, "spec"), "scaleTargetRef"), "apiVersion",
		json_string("extensions/v1beta1"));
	w->options.compat = HPA_COMPAT_FIXED;
	hpa_controller_configure(w->controller, &w->options);
	assert_int_equal(hpa_controller_object(w->controller, KUBE_ADDED, object, NULL), 0);
	wait_for(w, wanted_statuses, 1);
	assert_int_equal(w->put_replicas, 5);
	assert_non_null(strstr(message_of(w, "AbleToScale"), "; scaleTargetRef names extensions/v1beta1"));
	later = json_deep_copy(object);
	json_decref(object);
	w->options.compat = HPA_COMPAT_STRICT;
	hpa_controller_configure(w->controller, &w->options);
	json_object_set_new(json_object_get(later, "spec"), "maxReplicas", json_integer(6));
	json_object_set_new(json_object_get(later, "metadata"), "resourceVersion", json_string("200"));
	w->version = 200;
	assert_int_equal(hpa_controller_object(w->controller, KUBE_MODIFIED, later, NULL), 0);
	wait_for(w, wanted_statuses, 2);
	assert_int_equal(w->put_replicas, 5);
	assert_string_equal(message_of(w, "AbleToScale"), "the HPA controller was unable to get the target's current "
							  "scale: no matches for kind \"Deployment\" in "
							  "group \"extensions\"");
	json_decref(later);
}

static bool deployments_are_watched(void *arg)
{
	return ((struct world *)arg)->deployments != NULL;
}

/* Another round, for the sake of a sample. */
static void next_round(struct world *w)
{
	unsigned before = counters(w).rounds_total;

	land(w, "n1");
	wait_for(w, wanted_rounds, before + 1);
	wait_for(w, wanted_rounds_over, 1);
}

/* Replicas and selector are known from the watch; the API server is asked before it has listed, and for as long as the
 * watch has not told our own last write. */
static void test_scale_from_watch(void **state)
{
	struct world *w = *state;

	w->tells_deployments = true;
	w->usage_milli = 50;
	tell(w, KUBE_ADDED, "web", 1, 9);
	wait_for(w, wanted_statuses, 1);
	assert_int_equal(counters(w).scale_gets_total, 1);
	assert_true(until(w, deployments_are_watched));
	next_round(w);
	assert_int_equal(counters(w).scale_gets_total, 1);
	w->usage_milli = 100;
	next_round(w);
	assert_true(until(w, scale_was_put));
	assert_int_equal(w->put_replicas, 4);
	assert_int_equal(counters(w).scale_gets_total, 1);
	next_round(w);
	assert_int_equal(
		counters(w).scale_gets_total, 2); /* 7 has been replaced, and the watch does not know by what */
	apistub_chunk(w->deployments, "{\"type\":\"MODIFIED\",\"object\":" DEPLOYMENT("8", "4") "}\n");
	w->replicas = 99; /* whoever asks now would learn something else */
	while (kube_scales_find(w->scales, "apps", "deployments", "shop", "web")->version < 8)
		assert_int_equal(event_base_loop(km_loop_base(w->loop), EVLOOP_ONCE), 0);
	next_round(w);
	assert_int_equal(counters(w).scale_gets_total, 2);
}

/* ---- why, and how often it is told ---- */

static void test_explain(void **state)
{
	struct world *w = *state;
	json_t *one, *metric, *all;

	tell(w, KUBE_ADDED, "web", 1, 9);
	assert_null(hpa_controller_explain(w->controller, "shop/other"));
	one = hpa_controller_explain(w->controller, "shop/web"); /* before the first round */
	assert_null(json_object_get(one, "decidedAt"));
	json_decref(one);
	wait_for(w, wanted_statuses, 1);
	one = hpa_controller_explain(w->controller, "shop/web");
	assert_int_equal(json_integer_value(json_object_get(one, "current")), 3);
	assert_int_equal(json_integer_value(json_object_get(one, "desired")), 6);
	assert_string_equal(json_string_value(json_object_get(one, "target")), "Deployment/web");
	assert_true(json_is_true(json_object_get(one, "writes")));
	metric = json_array_get(json_object_get(one, "metrics"), 0);
	assert_int_equal(json_array_size(json_object_get(metric, "pods")), 2);
	json_decref(one);
	all = hpa_controller_explain_all(w->controller);
	assert_int_equal(json_array_size(all), 1);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(all, 0), "desired")), 6);
	assert_null(json_object_get(json_array_get(all, 0), "metrics"));
	json_decref(all);
}

/* In the shadow ours is set beside theirs. */
static void test_explain_diff(void **state)
{
	struct world *w = *state;
	json_t *object = hpa("web", 1, 9, "Deployment"), *one;

	w->may_write = false;
	json_object_set_new(object, "status", json_pack("{s:i, s:i}", "currentReplicas", 3, "desiredReplicas", 4));
	assert_int_equal(hpa_controller_object(w->controller, KUBE_ADDED, object, NULL), 0);
	json_decref(object);
	wait_for(w, wanted_rounds_over, 1);
	one = hpa_controller_explain(w->controller, "shop/web");
	assert_int_equal(json_integer_value(json_object_get(one, "desired")), 6);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(one, "inTree"), "desiredReplicas")), 4);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(one, "shadow"), "rounds")), 1);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(one, "shadow"), "agreed")), 0);
	json_decref(one);
}

/* Figures that move are no reason for a write at once; replicas and conditions are. */
static void test_status_is_damped(void **state)
{
	struct world *w = *state;

	w->usage_milli = 50;
	tell(w, KUBE_ADDED, "web", 1, 9);
	wait_for(w, wanted_statuses, 1);
	w->usage_milli = 52;
	next_round(w);
	wait_for(w, wanted_rounds_over, 1);
	assert_int_equal(w->status_puts, 1);
	w->usage_milli = 100;
	next_round(w);
	wait_for(w, wanted_statuses, 2);
	assert_int_equal(w->put_replicas, 4);
	/* strict writes each of them, as upstream does */
	w->options.compat = HPA_COMPAT_STRICT;
	hpa_controller_configure(w->controller, &w->options);
	w->usage_milli = 51;
	next_round(w);
	wait_for(w, wanted_statuses, 3);
	w->usage_milli = 52;
	next_round(w);
	wait_for(w, wanted_statuses, 4);
}

static void test_annotations(void **state)
{
	struct world *w = *state;
	json_t *object = hpa("web", 1, 9, "Deployment"), *metadata = json_object_get(object, "metadata"), *changed;

	w->usage_milli = 100; /* twice the target */
	json_object_set_new(metadata, "annotations",
		json_pack(
			"{s:s, s:s}", "hpa.kmetricsd.io/tolerance", "1.5", "hpa.kmetricsd.io/hold-replicas", "maybe"));
	assert_int_equal(hpa_controller_object(w->controller, KUBE_ADDED, object, NULL), 0);
	wait_for(w, wanted_statuses, 1);
	assert_true(until(w, an_event_came));
	assert_int_equal(w->scale_puts, 0);
	next_round(w);
	wait_for(w, wanted_rounds_over, 1);
	assert_int_equal(counters(w).events_total, 1); /* what is wrong is told once */
	/* without it the spec is the same, and counts at once */
	changed = json_deep_copy(object);
	json_decref(object);
	metadata = json_object_get(changed, "metadata");
	json_object_del(metadata, "annotations");
	json_object_set_new(metadata, "resourceVersion", json_string("900"));
	assert_int_equal(hpa_controller_object(w->controller, KUBE_MODIFIED, changed, NULL), 0);
	assert_true(until(w, scale_was_put));
	assert_int_equal(w->put_replicas, 4);
	json_decref(changed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_change_during_a_round, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deleted_during_a_round, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shadow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_right_lost_during_a_round, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recreated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_older_objects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ambiguous, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_kind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_status_conflict, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crowd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waits_for_samples, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sample_wakes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_legacy_target, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scale_from_watch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_explain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_explain_diff, setup, teardown),
		cmocka_unit_test_setup_teardown(test_status_is_damped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_annotations, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
