/* SPDX-License-Identifier: Apache-2.0 */
/* The aggregator as the daemon drives it, with an API server that is down: it serves all the same, reloads, waits for
 * its certificate, stops. */
#include "aggregator/aggregator.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "aggregator/options.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "tests/unit/support/apistub.h"
#include "tests/unit/support/pki.h"
#include "tests/unit/support/tls_client.h"

static const struct km_section *const sections[] = {&agg_section, NULL};

struct scene {
	struct km_loop *loop;
	struct apistub *stub;
	struct kube_access *access;
	struct kube_cluster *cluster;
	struct kube_client *client;
	struct km_identity_hub hub;
	struct km_context ctx;
	struct km_config *config, *next;
	struct km_timer *watchdog;
	struct test_cert ca, cert;
	struct km_identity *id;
	char folder[64], cert_path[96], key_path[96];
	uint16_t port;
	void *self;
	struct test_reply reply;
	bool stopped, stuck;
	char logged[2048];
};

static void sink(int level, const struct km_log_fields *fields, const char *text, void *arg)
{
	struct scene *s = arg;
	size_t used = strlen(s->logged);

	snprintf(s->logged + used, sizeof(s->logged) - used, "%s\n", text);
}

static void refuse(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	apistub_reply(c, 503, NULL, "{}");
}

static void on_watchdog(void *arg)
{
	struct scene *s = arg;

	s->stuck = true;
	km_loop_stop(s->loop);
}

static uint16_t free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	close(fd);
	return ntohs(a.sin_port);
}

static struct km_config *configure(struct scene *s, bool with_files, const char *more)
{
	struct km_diag diag = KM_DIAG_INIT("t.ini");
	struct km_config *config = NULL;
	char text[1024];

	snprintf(text, sizeof(text), "[aggregator]\nbind-address = 127.0.0.1\nsecure-port = %u\n", s->port);
	if (with_files)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			"tls-cert-file = %s\ntls-private-key-file = %s\n", s->cert_path, s->key_path);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s", more);
	if (km_config_parse(sections, "t.ini", text, strlen(text), &config, &diag) < 0)
		fail_msg("%s", diag.text.data);
	km_diag_free(&diag);
	return config;
}

static void write_file(const char *path, char *text)
{
	assert_int_equal(km_file_write_atomic(path, text, strlen(text), 0600, (uid_t)-1, (gid_t)-1, NULL), 0);
	free(text);
}

static void open_scene(struct scene *s, bool with_files)
{
	struct km_err err = {0};

	*s = (struct scene){.port = free_port(), .folder = "/tmp/km-test-module-XXXXXX"};
	signal(SIGPIPE, SIG_IGN);
	km_log_set_sink(sink, s);
	assert_non_null(mkdtemp(s->folder));
	snprintf(s->cert_path, sizeof(s->cert_path), "%s/tls.pem", s->folder);
	snprintf(s->key_path, sizeof(s->key_path), "%s/tls-key.pem", s->folder);
	test_cert_make(&(struct test_cert_spec){.cn = "ca", .ca = true}, &s->ca);
	test_cert_make(&(struct test_cert_spec){.cn = "serving", .eku = "serverAuth", .issuer = &s->ca}, &s->cert);
	write_file(s->cert_path, test_cert_pem(s->cert.cert));
	write_file(s->key_path, test_key_pem(s->cert.key));
	assert_int_equal(km_identity_load(s->cert_path, s->key_path, &s->id, &err), 0);
	assert_int_equal(km_loop_new(&s->loop, &err), 0);
	assert_int_equal(km_timer_new(s->loop, on_watchdog, s, &s->watchdog), 0);
	s->stub = apistub_new(s->loop, refuse, NULL);
	s->access = apistub_access(s->stub, NULL);
	assert_int_equal(kube_client_new(s->loop, s->access, "test", &s->client, &err), 0);
	assert_int_equal(kube_cluster_new(s->client, &s->cluster, &err), 0);
	s->config = configure(s, with_files, "");
	s->ctx = (struct km_context){.loop = s->loop,
		.config = s->config,
		.client = s->client,
		.cluster = s->cluster,
		.identities = &s->hub,
		.state_dir = s->folder,
		.node_name = "here",
		.cluster_roots = s->access->roots};
	if (agg_module.init(&s->ctx, &s->self, &err) < 0 || agg_module.start(s->self, &err) < 0 ||
		kube_cluster_start(s->cluster, &err) < 0)
		fail_msg("%s", err.text);
}

static void close_scene(struct scene *s)
{
	char path[128];

	agg_module.fini(s->self);
	kube_cluster_free(s->cluster);
	kube_client_free(s->client);
	kube_access_free(s->access);
	apistub_free(s->stub);
	km_identity_hub_clear(&s->hub);
	km_identity_unref(s->id);
	km_timer_free(s->watchdog);
	km_loop_free(s->loop);
	km_config_unref(s->config);
	test_cert_free(&s->ca);
	test_cert_free(&s->cert);
	test_reply_free(&s->reply);
	unlink(s->cert_path);
	unlink(s->key_path);
	snprintf(path, sizeof(path), "%s/kubelet-pins.json", s->folder);
	unlink(path);
	km_log_set_sink(NULL, NULL);
	rmdir(s->folder);
}

static void get_apis(void *arg)
{
	struct scene *s = arg;
	struct test_client c = {.fd = -1};

	test_reply_free(&s->reply);
	s->reply = (struct test_reply){0};
	if (test_client_connect(&c, s->port, NULL) &&
		test_client_puts(
			&c, "GET /apis/metrics.k8s.io/v1beta1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
		(void)test_client_reply(&c, false, &s->reply);
	test_client_close(&c);
}

static void stop_loop(void *arg)
{
	km_loop_stop(((struct scene *)arg)->loop);
}

static int status_of_apis(struct scene *s)
{
	km_timer_set(s->watchdog, 20 * KM_USEC_PER_SEC);
	assert_int_equal(km_loop_work(s->loop, get_apis, stop_loop, s), 0);
	assert_int_equal(km_loop_run(s->loop), 0);
	assert_false(s->stuck);
	return s->reply.status;
}

static const uint64_t *counter(struct scene *s, const char *name)
{
	const char *base = agg_module.counters_base(s->self);

	for (size_t i = 0; i < agg_module.n_counters; i++)
		if (strcmp(agg_module.counters[i].name, name) == 0)
			return (const uint64_t *)(const void *)(base + agg_module.counters[i].offset);
	fail_msg("no counter %s", name);
	return NULL;
}

static void on_stopped(void *arg)
{
	struct scene *s = arg;

	s->stopped = true;
	km_loop_stop(s->loop);
}

static void test_serves_while_the_api_server_is_down(void **state)
{
	struct km_health health = {0};
	struct scene s;
	json_t *status;

	open_scene(&s, true);
	assert_int_equal(status_of_apis(&s), 200);
	assert_non_null(strstr(s.reply.body, "APIResourceList"));
	agg_module.health(s.self, &health);
	assert_false(health.ok);
	assert_string_equal(health.text, "waiting for the API server's nodes and pods");
	status = agg_module.status(s.self);
	assert_true(json_is_true(json_object_get(status, "listening")));
	assert_int_equal(json_integer_value(json_object_get(status, "port")), s.port);
	json_decref(status);
	assert_int_equal(*counter(&s, "api_requests_total"), 1);
	agg_module.stop(s.self, on_stopped, &s);
	km_timer_set(s.watchdog, 20 * KM_USEC_PER_SEC);
	if (!s.stopped)
		assert_int_equal(km_loop_run(s.loop), 0);
	assert_true(s.stopped);
	close_scene(&s);
}

static void test_waits_for_its_certificate(void **state)
{
	struct km_health health = {0};
	struct scene s;

	open_scene(&s, false);
	assert_non_null(
		strstr(s.logged, "there is no serving certificate; enable [cert-manager], or set tls-cert-file"));
	agg_module.health(s.self, &health);
	assert_false(health.ok);
	assert_non_null(strstr(health.text, "no serving certificate"));
	km_identity_publish(&s.hub, KM_ROLE_SERVING, s.id);
	assert_int_equal(status_of_apis(&s), 200);
	/* a newer one and a client identity are taken while serving */
	km_identity_publish(&s.hub, KM_ROLE_SERVING, s.id);
	km_identity_publish(&s.hub, KM_ROLE_API_CLIENT, s.id);
	assert_int_equal(status_of_apis(&s), 200);
	close_scene(&s);
}

static void test_reload(void **state)
{
	struct km_config *bad, *good, *old;
	struct km_err err = {0};
	struct scene s;

	open_scene(&s, true);
	/* what names a file that is not there is refused, and nothing changes */
	bad = configure(&s, true, "kubelet-certificate-authority = /nonexistent/ca.pem\n");
	assert_int_equal(agg_module.reload_prepare(s.self, bad, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/ca.pem"));
	agg_module.reload_discard(s.self);
	km_config_unref(bad);
	/* prepared, but a sibling failed */
	good = configure(&s, true, "metric-resolution = 5s\nnode-selector = a=b\n");
	assert_int_equal(agg_module.reload_prepare(s.self, good, &err), 0);
	agg_module.reload_discard(s.self);
	assert_int_equal(agg_module.reload_prepare(s.self, good, &err), 0);
	old = s.config;
	s.config = good;
	s.ctx.config = good;
	agg_module.reload_commit(s.self);
	km_config_unref(old);
	assert_int_equal(status_of_apis(&s), 200);
	close_scene(&s);
}

static void test_port_taken(void **state)
{
	struct km_err err = {0};
	void *second = NULL;
	struct scene s;

	open_scene(&s, true);
	assert_int_equal(agg_module.init(&s.ctx, &second, &err), 0);
	assert_int_equal(agg_module.start(second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "127.0.0.1"));
	/* it failed before it subscribed to anything */
	assert_int_equal(s.hub.n_subscribers, 1);
	agg_module.fini(second);
	close_scene(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_serves_while_the_api_server_is_down),
		cmocka_unit_test(test_waits_for_its_certificate),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_port_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
