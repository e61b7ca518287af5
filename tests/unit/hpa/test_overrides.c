/* SPDX-License-Identifier: Apache-2.0 */
/* An HPA's own annotations: one row a value, what it sets or what is said of it. */
#include "hpa/overrides.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/support/check.h"

static json_t *object_with(const char *annotations)
{
	_cleanup_free_ char *text = NULL;
	json_t *object;

	assert_true(asprintf(&text, "{\"metadata\":{\"annotations\":{%s}}}", annotations) > 0);
	object = json_loads(text, 0, NULL);
	assert_non_null(object);
	return object;
}

static const struct row {
	const char *annotations, *shown; /* what is set, as show() prints it */
	const char *error;               /* NULL: none */
} rows[] = {
	{"", "-1 -1 -1 0 n n ''", NULL},
	{"\"other.io/tolerance\":\"x\"", "-1 -1 -1 0 n n ''", NULL},
	{"\"hpa.kmetricsd.io/tolerance\":\"0.05\"", "0.05 -1 -1 0 n n ''", NULL},
	{"\"hpa.kmetricsd.io/tolerance\":\"0\"", "0 -1 -1 0 n n ''", NULL},
	{"\"hpa.kmetricsd.io/tolerance\":\".5\"", "0.5 -1 -1 0 n n ''", NULL},
	{"\"hpa.kmetricsd.io/tolerance\":\"-0.1\"", "-1 -1 -1 0 n n ''",
		"annotation hpa.kmetricsd.io/tolerance takes a number from 0 to 1000, as 0.05"},
	{"\"hpa.kmetricsd.io/tolerance\":\"1001\"", "-1 -1 -1 0 n n ''",
		"annotation hpa.kmetricsd.io/tolerance takes a number from 0 to 1000, as 0.05"},
	{"\"hpa.kmetricsd.io/tolerance\":\"0x1\"", "-1 -1 -1 0 n n ''",
		"annotation hpa.kmetricsd.io/tolerance takes a number from 0 to 1000, as 0.05"},
	{"\"hpa.kmetricsd.io/tolerance\":\"1.2.3\"", "-1 -1 -1 0 n n ''",
		"annotation hpa.kmetricsd.io/tolerance takes a number from 0 to 1000, as 0.05"},
	{"\"hpa.kmetricsd.io/tolerance\":\"\"", "-1 -1 -1 0 n n ''",
		"annotation hpa.kmetricsd.io/tolerance takes a number from 0 to 1000, as 0.05"},
	{"\"hpa.kmetricsd.io/cpu-initialization-period\":\"2m\",\"hpa.kmetricsd.io/initial-readiness-delay\":\"10s\"",
		"-1 120 10 0 n n ''", NULL},
	{"\"hpa.kmetricsd.io/cpu-initialization-period\":\"2h\"", "-1 -1 -1 0 n n ''",
		"annotation hpa.kmetricsd.io/cpu-initialization-period takes a duration up to 1h, as 2m"},
	{"\"hpa.kmetricsd.io/hold-last-value\":\"10m\",\"hpa.kmetricsd.io/hold-replicas\":\"yes\"",
		"-1 -1 -1 600 y n ''", NULL},
	{"\"hpa.kmetricsd.io/hold-replicas\":\"perhaps\"", "-1 -1 -1 0 n n ''",
		"annotation hpa.kmetricsd.io/hold-replicas takes yes or no"},
	{"\"hpa.kmetricsd.io/accept-shared-pods\":\"true\"", "-1 -1 -1 0 n y ''", NULL},
	{"\"hpa.kmetricsd.io/container\":\"app\"", "-1 -1 -1 0 n n 'app'", NULL},
	{"\"hpa.kmetricsd.io/container\":\"not a name\"", "-1 -1 -1 0 n n ''",
		"annotation hpa.kmetricsd.io/container takes a container's name"},
	{"\"hpa.kmetricsd.io/tolerence\":\"0.2\"", "-1 -1 -1 0 n n ''",
		"annotation hpa.kmetricsd.io/tolerence is none that kmetricsd knows: correct or remove it"},
	/* one that is wrong does not cost the others */
	{"\"hpa.kmetricsd.io/tolerance\":7,\"hpa.kmetricsd.io/hold-last-value\":\"1m\",\"hpa.kmetricsd.io/x\":\"\"",
		"-1 -1 -1 60 n n ''",
		"annotation hpa.kmetricsd.io/tolerance takes a number from 0 to 1000, as 0.05; annotation "
		"hpa.kmetricsd.io/x is none that kmetricsd knows: correct or remove it"},
};

static void show(const struct hpa_overrides *o, char *out, size_t size)
{
	snprintf(out, size, "%g %lld %lld %lld %c %c '%s'", o->tolerance,
		(long long)(o->cpu_initialization_ns < 0 ? -1 : o->cpu_initialization_ns / 1000000000),
		(long long)(o->readiness_delay_ns < 0 ? -1 : o->readiness_delay_ns / 1000000000),
		(long long)(o->hold_value_ns / 1000000000), o->hold_replicas ? 'y' : 'n', o->shared_pods ? 'y' : 'n',
		o->container);
}

static void each_annotation(void **state)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		json_t *object = object_with(rows[i].annotations);
		struct km_err err = {""};
		struct hpa_overrides o;
		char shown[200];

		assert_int_equal(hpa_overrides_decode(object, &o, &err), rows[i].error ? -EINVAL : 0);
		show(&o, shown, sizeof(shown));
		assert_string_equal(shown, rows[i].shown);
		assert_string_equal(err.text, rows[i].error ? rows[i].error : "");
		json_decref(object);
	}
}

static void many_that_are_wrong(void **state)
{
	json_t *object = object_with(""), *annotations;
	struct km_err err = {""};
	struct hpa_overrides o;
	char key[64];

	annotations = json_object_get(json_object_get(object, "metadata"), "annotations");
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "hpa.kmetricsd.io/x%d", i);
		json_object_set_new(annotations, key, json_null());
	}
	assert_int_equal(hpa_overrides_decode(object, &o, &err), -EINVAL);
	assert_true(strlen(err.text) < sizeof(err.text));
	json_decref(object);
}

static void only_ours_are_compared(void **state)
{
	json_t *none = object_with(""), *other = object_with("\"a\":\"b\""),
	       *ours = object_with("\"hpa.kmetricsd.io/tolerance\":\"0.1\""),
	       *changed = object_with("\"hpa.kmetricsd.io/tolerance\":\"0.2\"");

	assert_true(hpa_overrides_same(none, other));
	assert_false(hpa_overrides_same(none, ours));
	assert_false(hpa_overrides_same(ours, none));
	assert_false(hpa_overrides_same(ours, changed));
	assert_true(hpa_overrides_same(ours, ours));
	json_decref(none);
	json_decref(other);
	json_decref(ours);
	json_decref(changed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_annotation),
		cmocka_unit_test(many_that_are_wrong),
		cmocka_unit_test(only_ours_are_compared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
