/* SPDX-License-Identifier: Apache-2.0 */
/* From pod records and a usage source to what the calculator takes. */
#include "hpa/pods.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/check.h"
#include "core/clock.h"

static struct km_interner *in;
static struct kube_label_pool *pool;

static struct kube_pod *pod(const char *json)
{
	json_t *object = json_loads(json, 0, NULL);
	struct kube_pod *made = NULL;

	assert_non_null(object);
	assert_int_equal(kube_pod_decode(object, in, pool, &made, NULL), 0);
	json_decref(object);
	return made;
}

#define POD(name, app, spec, status)                                                                                   \
	"{\"metadata\":{\"namespace\":\"shop\",\"name\":\"" name "\",\"labels\":{\"app\":\"" app "\"}},\"spec\":" spec \
	",\"status\":" status "}"
#define ONE(requests) "{\"containers\":[{\"name\":\"app\",\"resources\":{\"requests\":" requests "}}]}"

/* Pods whose name ends in 0 have no usage; others one container of 1 nanocore and 3 bytes more than a million a digit.
 */
static int fake_pod(const struct kube_pod *p, void *arg, struct km_pod_usage *ret)
{
	static struct km_container_usage containers[2];
	char last = p->name[strlen(p->name) - 1];

	if (last == '0')
		return -ENOENT;
	containers[0] = (struct km_container_usage){.name = "app",
		.cpu_nanocores = (uint64_t)(last - '0') * 1000000 + 1,
		.memory_bytes = (uint64_t)(last - '0') * 1000000 + 3};
	containers[1] = containers[0];
	*ret = (struct km_pod_usage){
		.time_ns = 77, .window_ns = 88, .containers = containers, .n_containers = p->n_containers};
	return 0;
}
static const struct km_usage_source source = {.pod = fake_pod};

static void collect_of(struct hpa_pods *p, struct kube_pod **pods, size_t n, const char *selector, const char *resource,
	const char *container)
{
	struct kube_selector *s = NULL;

	assert_int_equal(kube_selector_parse(selector, &s, NULL), 0);
	assert_int_equal(hpa_pods_collect(p, (const struct kube_pod *const *)pods, n, s, resource, container, &source,
				 NULL, NULL),
		0);
	kube_selector_free(s);
}

static void collect(struct hpa_pods *p, struct kube_pod **pods, size_t n, const char *selector, const char *resource)
{
	collect_of(p, pods, n, selector, resource, "");
}

static void test_collect(void **state)
{
	struct kube_pod *pods[] = {
		pod(POD("a-0", "web", ONE("{\"cpu\":\"250m\"}"), "{\"phase\":\"Pending\"}")),
		pod(POD("a-1", "web",
			"{\"containers\":[{\"name\":\"app\",\"resources\":{\"requests\":{\"cpu\":\"1\",\"memory\":"
			"\"1Ki\"}}},"
			"{\"name\":\"side\"}]}",
			"{\"phase\":\"Running\",\"startTime\":\"2026-11-23T10:00:00Z\",\"conditions\":[{\"type\":"
			"\"Ready\","
			"\"status\":\"True\",\"lastTransitionTime\":\"2026-11-23T10:00:05Z\"}]}")),
		pod(POD("b-1", "other", ONE("{}"), "{\"phase\":\"Running\"}")),
		pod(POD("c-2", "web", ONE("{\"cpu\":\"0\"}"), "{\"phase\":\"Running\"}")),
	};
	struct hpa_pods p = {0};

	collect(&p, pods, KM_ARRAY_LEN(pods), "app=web", "cpu");
	assert_int_equal(p.n_pods, 3);
	assert_string_equal(p.pods[0].name, "a-0");
	assert_int_equal(p.pods[0].phase, KUBE_PENDING);
	assert_int_equal(p.pods[0].ready, KUBE_ABSENT);
	assert_true(p.pods[0].started_ns == HPA_TIME_NONE);
	assert_int_equal(p.pods[0].containers[0].request_milli, 250);
	assert_int_equal(p.pods[1].n_containers, 2);
	assert_true(p.pods[1].containers[0].has_request);
	assert_int_equal(p.pods[1].containers[0].request_milli, 1000);
	assert_false(p.pods[1].containers[1].has_request);
	assert_int_equal(p.pods[1].ready, KUBE_TRUE);
	assert_int_equal(p.pods[1].ready_since_ns - p.pods[1].started_ns, 5 * KM_NSEC_PER_SEC);
	assert_true(p.pods[2].containers[0].has_request); /* zero is a request */
	/* rounded up by container: 1.000001 m twice is 4 m, not 3 m */
	assert_int_equal(p.n_metrics, 2);
	assert_string_equal(p.metrics[0].pod, "a-1");
	assert_int_equal(p.metrics[0].value_milli, 4);
	assert_int_equal(p.metrics[0].time_ns, 77);
	assert_int_equal(p.metrics[0].window_ns, 88);
	assert_int_equal(p.metrics[1].value_milli, 3);

	/* the same buffers again, for another resource */
	collect(&p, pods, KM_ARRAY_LEN(pods), "app=web", "memory");
	assert_int_equal(p.n_pods, 3);
	assert_false(p.pods[0].containers[0].has_request);
	assert_int_equal(p.pods[1].containers[0].request_milli, 1024 * 1000);
	assert_int_equal(p.metrics[1].value_milli, INT64_C(2000003000));

	/* a resource that nobody has usage of */
	collect(&p, pods, KM_ARRAY_LEN(pods), "app=web", "example.com/slots");
	assert_int_equal(p.n_pods, 3);
	assert_int_equal(p.n_metrics, 0);
	assert_false(p.pods[1].containers[0].has_request);

	collect(&p, pods, KM_ARRAY_LEN(pods), "app=nobody", "cpu");
	assert_int_equal(p.n_pods, 0);
	hpa_pods_clear(&p);
	for (size_t i = 0; i < KM_ARRAY_LEN(pods); i++)
		kube_pod_free(pods[i], in, pool);
}

/* More than the first allocation holds: the pods' containers stay where they are looked for. */
static void test_many(void **state)
{
	enum { N = 500 };
	struct kube_pod *pods[N];
	struct hpa_pods p = {0};

	for (int i = 0; i < N; i++) {
		char json[400];

		snprintf(json, sizeof(json), POD("p%03d-1", "web", ONE("{\"cpu\":\"%dm\"}"), "{\"phase\":\"Running\"}"),
			i, i);
		pods[i] = pod(json);
	}
	collect(&p, pods, N, "app=web", "cpu");
	assert_int_equal(p.n_pods, N);
	for (int i = 0; i < N; i++)
		assert_int_equal(p.pods[i].containers[0].request_milli, i);
	hpa_pods_clear(&p);
	for (int i = 0; i < N; i++)
		kube_pod_free(pods[i], in, pool);
}

static int set_up(void **state)
{
	return km_interner_new(&in) < 0 || kube_label_pool_new(in, &pool) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	kube_label_pool_free(pool);
	km_interner_free(in);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_collect),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
