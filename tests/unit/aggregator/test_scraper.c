/* SPDX-License-Identifier: Apache-2.0 */
/* The scraper against kubelets that behave and some that do not, over real TLS, at fifty scrapes a second. */
#include "aggregator/scraper.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/http.h>

#include "aggregator/kubelet_pins.h"
#include "core/file.h"
#include "core/log.h"
#include "tests/unit/aggregator/kubelet_stub.h"
#include "tests/unit/support/apistub.h"

#define MS INT64_C(1000000)

enum { CA, VERIFIED, SELF, OTHER_SELF, CLIENT, CERTS };
static struct test_cert certs[CERTS];

struct scene {
	struct km_loop *loop;
	struct kube_access *access;
	struct kube_client *client;
	struct kube_cluster *cluster;
	struct km_context ctx;
	struct agg_options options;
	const char *types[2];
	struct agg_store *store;
	STACK_OF(X509) *roots;
	struct km_identity *identity;
	struct agg_scraper *scraper;
	struct kubelet a, b;
	char dir[64], pins_path[128];
	struct km_buf log;
};

/* ---- set-up ---- */

/* Under valgrind everything takes ten times as long. */
static unsigned slowness(void)
{
	return getenv("KMETRICSD_TEST_SLOW") ? 10 : 1;
}

static int make_certs(void **state)
{
	signal(SIGPIPE, SIG_IGN);
	test_cert_make(&(struct test_cert_spec){.cn = "kubernetes", .ca = true}, &certs[CA]);
	test_cert_make(
		&(struct test_cert_spec){
			.cn = "kubelet", .eku = "serverAuth", .san = "IP:127.0.0.1", .issuer = &certs[CA]},
		&certs[VERIFIED]);
	test_cert_make(&(struct test_cert_spec){.cn = "node1@1", .san = "DNS:node1"}, &certs[SELF]);
	test_cert_make(&(struct test_cert_spec){.cn = "node1@2", .san = "DNS:node1"}, &certs[OTHER_SELF]);
	test_cert_make(&(struct test_cert_spec){.cn = "system:kmetricsd", .eku = "clientAuth", .issuer = &certs[CA]},
		&certs[CLIENT]);
	return 0;
}

static int free_certs(void **state)
{
	for (size_t i = 0; i < CERTS; i++)
		test_cert_free(&certs[i]);
	return 0;
}

static void on_log(int level, const struct km_log_fields *fields, const char *text, void *arg)
{
	struct scene *s = arg;

	km_buf_addf(&s->log, "%s: %s\n", fields && fields->node ? fields->node : "-", text);
}

static struct km_identity *identity_of(const struct test_cert *cert)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	struct km_identity *id = NULL;

	assert_true(
		chain && X509_up_ref(cert->cert) && sk_X509_push(chain, cert->cert) > 0 && EVP_PKEY_up_ref(cert->key));
	assert_int_equal(km_identity_new(chain, cert->key, &id), 0);
	return id;
}

static int set_up(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	struct km_err err = {0};

	assert_non_null(s);
	*s = (struct scene){.dir = "/tmp/km-scraper-XXXXXX",
		.log = KM_BUF_INIT(1024 * 1024),
		.types = {"InternalIP", "ExternalIP"}};
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->pins_path, sizeof(s->pins_path), "%s/%s", s->dir, AGG_PINS_FILE);
	km_log_set_sink(on_log, s);
	s->roots = sk_X509_new_null();
	assert_true(s->roots && sk_X509_push(s->roots, certs[CA].cert) > 0);
	assert_int_equal(km_loop_new(&s->loop, &err), 0);
	assert_int_equal(kube_access_new("https://127.0.0.1:1", s->roots, NULL, NULL, &s->access, &err), 0);
	assert_int_equal(kube_client_new(s->loop, s->access, "test", &s->client, &err), 0);
	assert_int_equal(kube_cluster_new(s->client, &s->cluster, &err), 0);
	s->options = (struct agg_options){
		.metric_resolution = 20 * MS,
		.kubelet_request_timeout = slowness() * 2000 * MS,
		.kubelet_tls = AGG_TLS_AUTO,
		.kubelet_preferred_address_types = {s->types, KM_ARRAY_LEN(s->types)},
		.kubelet_port = 10250,
		.kubelet_use_node_status_port = true,
		.node_selector = "",
	};
	s->ctx = (struct km_context){.loop = s->loop, .client = s->client, .cluster = s->cluster, .state_dir = s->dir};
	s->identity = identity_of(&certs[CLIENT]);
	assert_int_equal(agg_store_new(kube_cluster_interner(s->cluster), &s->store), 0);
	if (agg_scraper_new(&s->ctx, &s->options, s->store, s->roots, s->identity, &s->scraper, &err) < 0)
		fail_msg("%s", err.text);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *s = *state;

	agg_scraper_free(s->scraper);
	kubelet_stop(&s->a);
	kubelet_stop(&s->b);
	agg_store_free(s->store);
	km_identity_unref(s->identity);
	kube_cluster_free(s->cluster);
	kube_client_free(s->client);
	kube_access_free(s->access);
	km_loop_free(s->loop);
	sk_X509_free(s->roots);
	km_log_set_sink(NULL, NULL);
	km_buf_free(&s->log);
	unlink(s->pins_path);
	assert_int_equal(rmdir(s->dir), 0);
	free(s);
	return 0;
}

/* ---- acting ---- */

static struct kube_node *node_of(struct scene *s, const char *json)
{
	json_t *o = json_loads(json, 0, NULL);
	struct kube_node *node = NULL;
	struct km_err err = {0};

	assert_non_null(o);
	if (kube_node_decode(o, kube_cluster_interner(s->cluster), kube_cluster_label_pool(s->cluster), &node, &err) <
		0)
		fail_msg("%s", err.text);
	json_decref(o);
	return node;
}

/* Tells the scraper of a Node; addresses as a JSON array. port 0: left out. */
static void tell(
	struct scene *s, const char *name, const char *uid, const char *ready, const char *addresses, unsigned port)
{
	struct kube_node *node;
	char json[1024];

	snprintf(json, sizeof(json),
		"{\"metadata\":{\"name\":\"%s\",\"uid\":\"%s\",\"labels\":{\"name\":\"%s\"}},\"status\":{\"addresses\":"
		"%s,"
		"\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\",\"lastTransitionTime\":\"2026-11-23T05:01:30Z\"}"
		"],"
		"\"daemonEndpoints\":{\"kubeletEndpoint\":{\"Port\":%u}}}}",
		name, uid, name, addresses, ready, port);
	node = node_of(s, json);
	agg_scraper_node(s->scraper, node, node);
	kube_node_free(node, kube_cluster_interner(s->cluster), kube_cluster_label_pool(s->cluster));
}

#define LOCAL "[{\"type\":\"InternalIP\",\"address\":\"127.0.0.1\"}]"

static void tell_local(struct scene *s, const char *name, const struct kubelet *k)
{
	char uid[64];

	snprintf(uid, sizeof(uid), "uid-%s", name);
	tell(s, name, uid, "True", LOCAL, km_http_server_port(k->server));
}

static void gone(struct scene *s, const char *name)
{
	struct kube_node *node;
	char json[256];

	snprintf(json, sizeof(json), "{\"metadata\":{\"name\":\"%s\"}}", name);
	node = node_of(s, json);
	agg_scraper_node(s->scraper, node, NULL);
	kube_node_free(node, kube_cluster_interner(s->cluster), kube_cluster_label_pool(s->cluster));
}

static void reconfigure(struct scene *s)
{
	struct km_err err = {0};

	if (agg_scraper_reconfigure(s->scraper, &s->options, s->roots, s->identity, &err) < 0)
		fail_msg("%s", err.text);
}

/* ---- seeing ---- */

static const struct agg_scraper_counters *counters(const struct scene *s)
{
	return agg_scraper_counters(s->scraper);
}

static struct agg_scraper_state state_of(const struct scene *s)
{
	struct agg_scraper_state state;

	agg_scraper_state(s->scraper, &state);
	return state;
}

static bool node_has(const struct scene *s, const char *name)
{
	struct agg_usage u;

	if (agg_store_node(s->store, name, km_wall_ns(), &u) < 0)
		return false;
	assert_int_equal(u.cpu_nanocores, 200000000);
	assert_int_equal(u.window_ns, 15 * KM_NSEC_PER_SEC);
	return true;
}

static const char *interned(const struct scene *s, const char *name)
{
	return km_intern_find(kube_cluster_interner(s->cluster), name, strlen(name));
}

static bool pod_has(const struct scene *s, const char *pod)
{
	struct agg_container_usage u[4];

	if (agg_store_pod(s->store, interned(s, "ns"), interned(s, pod), NULL, NULL, 0, km_wall_ns(), u,
		    KM_ARRAY_LEN(u)) != 1)
		return false;
	assert_int_equal(u[0].usage.cpu_nanocores, 200000000);
	return true;
}

static unsigned logged(const struct scene *s, const char *what)
{
	unsigned n = 0;

	for (const char *p = s->log.data; p && (p = strstr(p, what)); p++)
		n++;
	return n;
}

/* A field of a node in the status. */
static void expect_status(const struct scene *s, const char *name, const char *key, const char *value)
{
	json_t *list = agg_scraper_status(s->scraper), *o;
	bool found = false;
	size_t i;

	json_array_foreach(list, i, o)
	{
		if (strcmp(json_string_value(json_object_get(o, "node")), name) != 0)
			continue;
		found = true;
		assert_string_equal(json_string_value(json_object_get(o, key)), value);
	}
	assert_true(found);
	json_decref(list);
}

static bool until(struct scene *s, bool (*cond)(void *arg), void *arg)
{
	for (unsigned i = 0; i < slowness(); i++)
		if (apistub_until(s->loop, cond, arg))
			return true;
	return false;
}

/* Conditions */
static struct {
	const char *node, *text;
	const struct kubelet *kubelet;
	uint64_t count;
} wanted;

static bool has_node(void *arg)
{
	return node_has(arg, wanted.node);
}

static bool has_logged(void *arg)
{
	return logged(arg, wanted.text) >= wanted.count;
}

static bool has_failures(void *arg)
{
	return counters(arg)->scrape_failures_total >= wanted.count;
}

static bool has_samples(void *arg)
{
	return wanted.kubelet->samples >= wanted.count;
}

static bool is_all_well(void *arg)
{
	struct agg_scraper_state state = state_of(arg);

	return state.healthy == state.nodes && state.failing == 0;
}

static void wait_node(struct scene *s, const char *node)
{
	wanted.node = node;
	if (!until(s, has_node, s))
		fail_msg("no figures of %s; the log:\n%s", node, s->log.data ? s->log.data : "");
}

static void wait_log(struct scene *s, const char *text, unsigned count)
{
	wanted.text = text;
	wanted.count = count;
	if (!until(s, has_logged, s))
		fail_msg("\"%s\" is not in the log:\n%s", text, s->log.data ? s->log.data : "");
}

static void wait_failures(struct scene *s, uint64_t more)
{
	wanted.count = counters(s)->scrape_failures_total + more;
	assert_true(until(s, has_failures, s));
}

static void wait_samples(struct scene *s, const struct kubelet *k, unsigned more)
{
	wanted.kubelet = k;
	wanted.count = k->samples + more;
	if (!until(s, has_samples, s))
		fail_msg("the kubelet is not scraped any more (%u of %u); the log:\n%s", k->samples,
			(unsigned)wanted.count, s->log.data ? s->log.data : "");
}

static void check_timing(const struct agg_node_timing *timing, void *arg)
{
	assert_string_equal(timing->name, "node1");
	assert_true(agg_histogram_count(&timing->requests) >= 5 && timing->requests.sum > 0);
	assert_true(timing->last_request_ns + 60 * (uint64_t)KM_NSEC_PER_SEC > (uint64_t)km_wall_ns());
}

/* ---- tests ---- */

static void test_usual(void **state)
{
	struct scene *s = *state;

	kubelet_start(&s->a, s->loop, &certs[VERIFIED]);
	tell_local(s, "node1", &s->a);
	wait_node(s, "node1");
	assert_true(pod_has(s, "pod"));
	wait_samples(s, &s->a, 5);
	assert_string_equal(s->a.client, "system:kmetricsd");
	assert_int_equal(state_of(s).nodes, 1);
	assert_int_equal(state_of(s).healthy, 1);
	assert_int_equal(state_of(s).failing, 0);
	assert_true(state_of(s).newest_success_ns > 0);
	assert_int_equal(counters(s)->scrape_failures_total, 0);
	assert_int_equal(counters(s)->pins_made_total, 0);
	assert_true(counters(s)->scrapes_total >= 5);
	assert_true(counters(s)->bytes_total > 1000);
	assert_true(agg_histogram_count(agg_scraper_scrapes(s->scraper)) >= 5);
	agg_scraper_timings(s->scraper, check_timing, NULL);
	expect_status(s, "node1", "tls", "verified");
	expect_status(s, "node1", "path", "/metrics/resource");
	assert_null(s->log.data); /* all is well: not a word */
	gone(s, "node1");
	assert_int_equal(state_of(s).nodes, 0);
	assert_false(node_has(s, "node1"));
}

static bool has_storage(void *arg)
{
	const struct scene *s = arg;
	struct agg_container_usage u[4];
	struct agg_usage node;

	return agg_store_node(s->store, "node1", km_wall_ns(), &node) == 0 && node.more.storage_bytes == 1073741824 &&
	       agg_store_pod(s->store, interned(s, "ns"), interned(s, "pod"), NULL, NULL, 0, km_wall_ns(), u,
		       KM_ARRAY_LEN(u)) == 1 &&
	       u[0].usage.more.storage_bytes == 12288;
}

/* Behind a good scrape, and not with each; who does not tell is scraped all the same. */
static void test_storage(void **state)
{
	struct scene *s = *state;

	s->a.storage_told = true;
	kubelet_start(&s->a, s->loop, &certs[VERIFIED]);
	kubelet_start(&s->b, s->loop, &certs[VERIFIED]);
	tell_local(s, "node1", &s->a);
	wait_samples(s, &s->a, 3);
	assert_int_equal(s->a.storage_asked, 0); /* nobody has asked for it */
	s->options.ephemeral_storage = true;
	reconfigure(s);
	assert_true(until(s, has_storage, s));
	tell_local(s, "node2", &s->b);
	wait_samples(s, &s->b, 5);
	wait_samples(s, &s->a, 10);
	assert_int_equal(s->a.storage_asked, 1);
	assert_int_equal(s->b.storage_asked, 1);
	assert_int_equal(counters(s)->scrape_failures_total, 0);
	assert_int_equal(logged(s, "kubelet node2 does not tell its ephemeral storage: /stats/summary: status 403; run "
				   "kmetricsd wire apply"),
		1);
	assert_int_equal(logged(s, "node1"), 0);
}

static void test_fallback(void **state)
{
	struct scene *s = *state;

	s->a.paths = 1u << AGG_PATH_SUMMARY;
	s->b.paths = 1u << AGG_PATH_RESOURCE_ALPHA;
	s->b.pod = "pod-b";
	kubelet_start(&s->a, s->loop, &certs[VERIFIED]);
	kubelet_start(&s->b, s->loop, &certs[VERIFIED]);
	tell_local(s, "node1", &s->a);
	tell_local(s, "node2", &s->b);
	wait_node(s, "node1");
	wait_node(s, "node2");
	assert_true(pod_has(s, "pod") && pod_has(s, "pod-b"));
	wait_samples(s, &s->a, 3);
	/* the other paths were asked for once */
	assert_int_equal(s->a.requests[AGG_PATH_RESOURCE], 1);
	assert_int_equal(s->a.requests[AGG_PATH_RESOURCE_ALPHA], 1);
	assert_int_equal(s->b.requests[AGG_PATH_RESOURCE], 1);
	assert_int_equal(s->b.requests[AGG_PATH_SUMMARY], 0);
	assert_int_equal(counters(s)->fallbacks_total, 1);
	assert_int_equal(counters(s)->scrape_failures_total, 0);
	expect_status(s, "node1", "path", agg_path_text[AGG_PATH_SUMMARY]);
	assert_int_equal(logged(s, "node1: kubelet node1 is scraped at /stats/summary"), 1);
	/* none of them at all */
	s->a.paths = 1u << 31;
	wait_log(s, "node1: kubelet node1 cannot be scraped", 1);
	assert_int_equal(logged(s, "none of the paths"), 1);
}

/* One that hangs delays nobody; it fails by its own deadline, and keeps its pace. */
static void test_hung(void **state)
{
	struct scene *s = *state;

	s->options.kubelet_request_timeout = slowness() * 300 * MS;
	s->a.fault = KUBELET_HANGS;
	s->b.pod = "pod-b";
	kubelet_start(&s->a, s->loop, &certs[VERIFIED]);
	kubelet_start(&s->b, s->loop, &certs[VERIFIED]);
	tell_local(s, "node1", &s->a);
	tell_local(s, "node2", &s->b);
	wait_node(s, "node2");
	wait_samples(s, &s->b, 2);
	assert_int_equal(counters(s)->scrape_failures_total, 0); /* all that while the first one was hanging */
	wait_failures(s, 1);
	assert_int_equal(logged(s, "node1: kubelet node1 cannot be scraped"), 1);
	assert_int_equal(logged(s, "does a firewall"), 1);
	assert_int_equal(state_of(s).healthy, 1);
	assert_int_equal(state_of(s).failing, 1);
	wait_samples(s, &s->b, 2);
	assert_int_equal(counters(s)->scrape_failures_total, 1);
	s->a.fault = KUBELET_FINE;
	wait_node(s, "node1");
	assert_int_equal(logged(s, "cannot be scraped"), 1);
	assert_int_equal(logged(s, "node1: kubelet node1 is scraped again"), 1);
}

static void test_forbidden(void **state)
{
	struct scene *s = *state;

	kubelet_start(&s->a, s->loop, &certs[VERIFIED]);
	s->a.status = 403;
	tell_local(s, "node1", &s->a);
	wait_failures(s, 5);
	assert_int_equal(logged(s, "cannot be scraped"), 1); /* once, not each time */
	assert_int_equal(logged(s, "user system:kmetricsd lacks the permission get nodes/metrics"), 1);
	assert_int_equal(logged(s, "run kmetricsd wire apply"), 1);
	s->a.status = 401;
	wait_log(s, "401 Unauthorized", 1);
	assert_int_equal(logged(s, "user system:kmetricsd"), 2);
	s->a.status = 500;
	wait_log(s, "answers with status 500", 1);
	s->a.status = 0;
	wait_node(s, "node1");
	assert_int_equal(logged(s, "cannot be scraped"), 3);
	assert_int_equal(logged(s, "is scraped again"), 1);
}

/* A bad line costs that line; the container it was about is not forgotten for it. */
static void test_bad_line(void **state)
{
	struct scene *s = *state;
	struct agg_store_stats stats;

	s->a.fault = KUBELET_BAD_LINE;
	kubelet_start(&s->a, s->loop, &certs[VERIFIED]);
	tell_local(s, "node1", &s->a);
	wait_node(s, "node1");
	assert_true(pod_has(s, "pod"));
	assert_false(pod_has(s, "other"));
	agg_store_stats(s->store, &stats);
	assert_int_equal(stats.containers, 2);
	assert_true(stats.lines_skipped_total >= 4);
	assert_int_equal(counters(s)->scrape_failures_total, 0);
}

/* The kubelet could not read its figures, or something else answers: what was known stays. */
static void test_useless_bodies(void **state)
{
	struct scene *s = *state;

	kubelet_start(&s->a, s->loop, &certs[VERIFIED]);
	tell_local(s, "node1", &s->a);
	wait_node(s, "node1");
	s->a.fault = KUBELET_SCRAPE_ERROR;
	wait_log(s, "scrape_error 1", 1);
	assert_true(node_has(s, "node1"));
	assert_true(pod_has(s, "pod"));
	s->a.fault = KUBELET_HTML;
	wait_log(s, "none of the series", 1);
	assert_true(pod_has(s, "pod"));
	s->a.fault = KUBELET_FINE;
	wait_log(s, "scraped again", 1);
}

static void test_addresses(void **state)
{
	struct scene *s = *state;
	const char *both = "[{\"type\":\"ExternalIP\",\"address\":\"127.0.0.1\"},"
			   "{\"type\":\"InternalIP\",\"address\":\"127.0.0.2\"}]";

	kubelet_start(&s->a, s->loop, &certs[VERIFIED]);
	tell(s, "node1", "uid-1", "True", both, km_http_server_port(s->a.server));
	wait_node(s, "node1");
	expect_status(s, "node1", "address", "127.0.0.1");
	assert_int_equal(counters(s)->scrape_failures_total, 0);
	/* none that we may use */
	tell(s, "node2", "uid-2", "True", "[{\"type\":\"Hostname\",\"address\":\"localhost\"}]", 1);
	wait_log(s, "node2: kubelet node2 cannot be scraped: the Node has no address", 1);
}

/* Nobody listens: asked less often, until the Node changes. */
static void test_refused_and_back(void **state)
{
	struct scene *s = *state;
	unsigned port;

	kubelet_start(&s->a, s->loop, &certs[VERIFIED]);
	port = km_http_server_port(s->a.server);
	tell_local(s, "node1", &s->a);
	wait_node(s, "node1");
	kubelet_stop(&s->a);
	wait_failures(s, 4);
	assert_int_equal(logged(s, "cannot be scraped"), 1);
	assert_true(node_has(s, "node1"));         /* the last good sample */
	s->options.metric_resolution = 60000 * MS; /* from now on only a change makes it come soon */
	reconfigure(s);
	kubelet_start(&s->b, s->loop, &certs[VERIFIED]);
	tell(s, "node1", "uid-node1", "True", LOCAL, km_http_server_port(s->b.server));
	assert_int_not_equal(port, km_http_server_port(s->b.server));
	wait_log(s, "is scraped again", 1);
	assert_int_equal(s->b.samples, 1);
}

/* Scrapes in between, of the nodes that are named and as long as they are. */
static void test_lane(void **state)
{
	struct scene *s = *state;
	unsigned before;

	kubelet_start(&s->a, s->loop, &certs[VERIFIED]);
	kubelet_start(&s->b, s->loop, &certs[VERIFIED]);
	tell_local(s, "node1", &s->a);
	tell_local(s, "node2", &s->b);
	wait_samples(s, &s->a, 3);
	wait_samples(s, &s->b, 3);
	s->options.metric_resolution = 60000 * MS; /* the usual scrapes are far away from now on */
	reconfigure(s);
	agg_scraper_set_lane(s->scraper, "node3", 20000); /* not there: no matter */
	agg_scraper_set_lane(s->scraper, "node1", 20000);
	wait_samples(s, &s->a, 10);
	agg_scraper_set_lane(s->scraper, "node1", 0);
	agg_scraper_set_lane(s->scraper, "node2", 20000);
	before = s->a.samples;
	wait_samples(s, &s->b, 10);
	assert_true(s->a.samples <= before + 1); /* the one that was under way */
	/* no faster than the usual ones: there are none */
	agg_scraper_set_lane(s->scraper, "node2", 70000 * UINT64_C(1000));
	agg_scraper_set_lane(s->scraper, "node1", 20000);
	before = s->b.samples;
	wait_samples(s, &s->a, 10);
	assert_true(s->b.samples <= before + 1);
}

static void test_pin(void **state)
{
	struct scene *s = *state;
	char sha256[2][KM_FINGERPRINT_MAX], entry[256];
	char *text;
	size_t len;

	km_x509_fingerprint(certs[SELF].cert, sha256[0]);
	km_x509_fingerprint(certs[OTHER_SELF].cert, sha256[1]);
	kubelet_start(&s->a, s->loop, &certs[SELF]);
	tell_local(s, "node1", &s->a);
	wait_node(s, "node1");
	expect_status(s, "node1", "tls", "pinned");
	assert_int_equal(counters(s)->pins_made_total, 1);
	assert_int_equal(logged(s, sha256[0]), 1);
	assert_int_equal(logged(s, "node1: kubelet node1 (127.0.0.1): its certificate is not verified"), 1);
	/* the pin outlives us */
	agg_scraper_free(s->scraper);
	assert_int_equal(km_file_read(s->pins_path, 65536, &text, &len, NULL), 0);
	assert_non_null(strstr(text, sha256[0]));
	free(text);
	assert_int_equal(agg_scraper_new(&s->ctx, &s->options, s->store, s->roots, s->identity, &s->scraper, NULL), 0);
	tell_local(s, "node1", &s->a);
	wait_samples(s, &s->a, 2);
	assert_int_equal(counters(s)->pins_made_total, 0);
	/* another certificate: refused, and the other side sees no request */
	kubelet_certificate(&s->a, &certs[OTHER_SELF]);
	reconfigure(s);
	wait_log(s, "the kubelet's certificate has changed", 1);
	snprintf(entry, sizeof(entry), "remove the entry \"uid-node1\" from %s", s->pins_path);
	assert_int_equal(logged(s, entry), 1);
	assert_int_equal(logged(s, sha256[1]), 1);
	len = s->a.samples;
	wait_failures(s, 3);
	assert_int_equal(s->a.samples, len);
	assert_true(counters(s)->pins_refused_total >= 3);
	expect_status(s, "node1", "tls", "refused");
	/* the remedy: the entry removed, reload */
	assert_int_equal(km_file_write_atomic(
				 s->pins_path, "{\"version\":1,\"nodes\":{}}", 24, 0600, (uid_t)-1, (gid_t)-1, NULL),
		0);
	reconfigure(s);
	wait_log(s, "is scraped again", 1);
	assert_int_equal(counters(s)->pins_made_total, 1);
	assert_int_equal(logged(s, sha256[1]), 2);
}

/* A Node made anew under the same name is another machine. */
static void test_new_uid(void **state)
{
	struct scene *s = *state;

	kubelet_start(&s->a, s->loop, &certs[SELF]);
	kubelet_start(&s->b, s->loop, &certs[OTHER_SELF]);
	tell_local(s, "node1", &s->a);
	wait_node(s, "node1");
	tell(s, "node1", "uid-new", "True", LOCAL, km_http_server_port(s->b.server));
	assert_false(node_has(s, "node1"));
	wait_node(s, "node1");
	assert_int_equal(counters(s)->pins_made_total, 2);
	assert_int_equal(counters(s)->pins_refused_total, 0);
	/* the first one's pin went with its Node */
	tell(s, "node1", "uid-node1", "True", LOCAL, km_http_server_port(s->b.server));
	wait_node(s, "node1");
	assert_int_equal(counters(s)->pins_made_total, 3);
}

/* It has verified once: a self-signed one is not pinned instead. */
static void test_downgrade(void **state)
{
	struct scene *s = *state;

	kubelet_start(&s->a, s->loop, &certs[VERIFIED]);
	tell_local(s, "node1", &s->a);
	wait_node(s, "node1");
	agg_scraper_free(s->scraper); /* remembered over a restart */
	assert_int_equal(agg_scraper_new(&s->ctx, &s->options, s->store, s->roots, s->identity, &s->scraper, NULL), 0);
	kubelet_certificate(&s->a, &certs[SELF]);
	tell_local(s, "node1", &s->a);
	wait_log(s, "it had one that verified before", 1);
	assert_int_equal(counters(s)->pins_made_total, 0);
	/* another mode is the operator's word */
	s->options.kubelet_insecure_tls = true;
	reconfigure(s);
	wait_log(s, "is scraped again", 1);
	wait_samples(s, &s->a, 3);
	assert_int_equal(logged(s, "kubelet certificates are not checked"), 1);
	expect_status(s, "node1", "tls", "insecure");
}

static void test_selector(void **state)
{
	struct scene *s = *state;
	struct km_err err = {0};

	kubelet_start(&s->a, s->loop, &certs[VERIFIED]);
	s->b.pod = "pod-b";
	kubelet_start(&s->b, s->loop, &certs[VERIFIED]);
	s->options.node_selector = "name=node2";
	reconfigure(s);
	tell_local(s, "node1", &s->a);
	tell_local(s, "node2", &s->b);
	assert_int_equal(state_of(s).nodes, 1);
	wait_node(s, "node2");
	assert_int_equal(s->a.samples, 0);
	/* a bad one changes nothing */
	s->options.node_selector = "name in";
	assert_int_equal(agg_scraper_reconfigure(s->scraper, &s->options, s->roots, s->identity, &err), -EINVAL);
	s->options.node_selector = "";
	reconfigure(s);
	tell_local(s, "node1", &s->a);
	wait_node(s, "node1");
	s->options.node_selector = "name=node1";
	reconfigure(s);
	tell_local(s, "node2", &s->b);
	assert_false(node_has(s, "node2"));
	assert_int_equal(state_of(s).nodes, 1);
	assert_true(until(s, is_all_well, s));
}

/* Freed with scrapes at every stage under way: the sanitizers look on. */
/* ---- without TLS, and by another path ---- */

/* A kubelet without TLS; any other path is 404. */
struct plain_kubelet {
	struct evhttp *http;
	uint16_t port;
	const char *path;
	struct kubelet figures;
};

static void plain_answer(struct evhttp_request *req, void *arg)
{
	struct plain_kubelet *p = arg;
	struct kubelet *k = &p->figures;
	struct km_buf body = KM_BUF_INIT(65536);

	if (strcmp(evhttp_request_get_uri(req), p->path) != 0) {
		evhttp_send_reply(req, 404, NULL, NULL);
		return;
	}
	if (k->base_ns == 0)
		k->base_ns = (km_wall_ns() / KM_NSEC_PER_SEC - 3000) * KM_NSEC_PER_SEC;
	kubelet_resource(k, &body, (k->base_ns + k->samples * 15 * KM_NSEC_PER_SEC) / 1000000, 100 + 3 * k->samples);
	k->samples++;
	evbuffer_add(evhttp_request_get_output_buffer(req), body.data, body.len);
	evhttp_send_reply(req, 200, NULL, NULL);
	km_buf_free(&body);
}

static void plain_start(struct plain_kubelet *p, struct scene *s, const char *path)
{
	struct sockaddr_in at;
	socklen_t len = sizeof(at);
	struct evhttp_bound_socket *bound;

	*p = (struct plain_kubelet){.http = evhttp_new(km_loop_base(s->loop)), .path = path, .figures = {.pod = "pod"}};
	assert_non_null(p->http);
	evhttp_set_gencb(p->http, plain_answer, p);
	bound = evhttp_bind_socket_with_handle(p->http, "127.0.0.1", 0);
	assert_non_null(bound);
	assert_int_equal(getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&at, &len), 0);
	p->port = ntohs(at.sin_port);
}

/* Only a kubelet that refuses, or does not listen, is asked without TLS. */
static void test_read_only_port(void **state)
{
	struct scene *s = *state;
	struct plain_kubelet plain;

	plain_start(&plain, s, "/metrics/resource");
	s->options.kubelet_read_only_port = plain.port;
	kubelet_start(&s->a, s->loop, &certs[VERIFIED]);
	kubelet_start(&s->b, s->loop, &certs[VERIFIED]);
	s->a.status = 401;
	tell_local(s, "node1", &s->a);
	wait_node(s, "node1");
	assert_int_equal(logged(s, "node1: kubelet node1 is scraped without TLS, at kubelet-read-only-port,"), 1);
	assert_int_equal(logged(s, "cannot be scraped"), 0);
	expect_status(s, "node1", "tls", "none");
	/* it stays there, without asking at the other one each time */
	{
		unsigned before = s->a.requests[AGG_PATH_RESOURCE];

		wait_samples(s, &plain.figures, 5);
		assert_int_equal(s->a.requests[AGG_PATH_RESOURCE], before);
	}
	gone(s, "node1");
	/* where nothing listens */
	tell(s, "node2", "uid-2", "True", LOCAL, 1);
	wait_node(s, "node2");
	expect_status(s, "node2", "tls", "none");
	gone(s, "node2");
	/* one that answers is not */
	s->b.status = 500;
	tell_local(s, "node3", &s->b);
	wait_failures(s, 3);
	expect_status(s, "node3", "tls", "verified");
	/* nor one whose certificate is not its own */
	kubelet_stop(&s->b);
	s->b = (struct kubelet){0};
	s->options.kubelet_tls = AGG_TLS_VERIFY;
	kubelet_start(&s->b, s->loop, &certs[SELF]);
	tell_local(s, "node3", &s->b);
	reconfigure(s);
	wait_failures(s, 3);
	expect_status(s, "node3", "tls", "refused");
	/* and no more when it is not wished for */
	s->options.kubelet_read_only_port = 0;
	reconfigure(s);
	tell_local(s, "node1", &s->a);
	wait_log(s, "401 Unauthorized", 1);
	evhttp_free(plain.http);
}

static void test_completely_insecure(void **state)
{
	struct scene *s = *state;
	struct plain_kubelet plain;

	plain_start(&plain, s, "/metrics/resource");
	s->options.kubelet_port = plain.port;
	s->options.deprecated_kubelet_completely_insecure = true;
	tell(s, "node1", "uid-1", "True", LOCAL, 10250); /* the status tells of the port with TLS */
	wait_node(s, "node1");
	expect_status(s, "node1", "tls", "none");
	evhttp_free(plain.http);
}

static void tell_path(struct scene *s, const char *path)
{
	struct kube_node *node;
	char json[1024];

	snprintf(json, sizeof(json),
		"{\"metadata\":{\"name\":\"node1\",\"uid\":\"1\",\"annotations\":{\"metrics.k8s.io/"
		"resource-metrics-path\":"
		"\"%s\"}},\"status\":{\"addresses\":" LOCAL "}}",
		path);
	node = node_of(s, json);
	agg_scraper_node(s->scraper, node, node);
	kube_node_free(node, kube_cluster_interner(s->cluster), kube_cluster_label_pool(s->cluster));
}

static void test_annotated_path(void **state)
{
	struct scene *s = *state;
	struct plain_kubelet plain;

	plain_start(&plain, s, "/metrics/mine?all=1");
	s->options.kubelet_port = plain.port;
	s->options.deprecated_kubelet_completely_insecure = true;
	tell_path(s, "no path");
	wait_log(s, "resource-metrics-path is not a path", 1);
	wait_failures(s, 1);
	expect_status(s, "node1", "path", "/stats/summary?only_cpu_and_memory=true");
	tell_path(s, "/metrics/mine?all=1");
	wait_node(s, "node1");
	expect_status(s, "node1", "path", "/metrics/mine?all=1");
	evhttp_free(plain.http);
}

static void test_free_any_time(void **state)
{
	struct scene *s = *state;
	char name[16];

	s->a.fault = KUBELET_HANGS;
	s->b.pod = "pod-b";
	kubelet_start(&s->a, s->loop, &certs[VERIFIED]);
	kubelet_start(&s->b, s->loop, &certs[SELF]);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "node%d", i);
		tell_local(s, name, i % 2 ? &s->a : &s->b);
	}
	wait_samples(s, &s->b, 15);
	for (int i = 0; i < 20; i += 3) {
		snprintf(name, sizeof(name), "node%d", i);
		gone(s, name);
	}
	wait_samples(s, &s->b, 3);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_usual),
		TEST(test_storage),
		TEST(test_fallback),
		TEST(test_hung),
		TEST(test_forbidden),
		TEST(test_bad_line),
		TEST(test_useless_bodies),
		TEST(test_addresses),
		TEST(test_refused_and_back),
		TEST(test_lane),
		TEST(test_pin),
		TEST(test_new_uid),
		TEST(test_downgrade),
		TEST(test_selector),
		TEST(test_read_only_port),
		TEST(test_completely_insecure),
		TEST(test_annotated_path),
		TEST(test_free_any_time),
	};

	return cmocka_run_group_tests(tests, make_certs, free_certs);
}
