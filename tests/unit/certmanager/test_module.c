/* SPDX-License-Identifier: Apache-2.0 */
/* cert-manager as the daemon drives it: its section's checks, what it makes and publishes at the start, what it says
 * of itself when something is amiss. */
#include "certmanager/certmanager.h"

#include <stdio.h>
#include <unistd.h>

#include "certmanager/keeper.h"
#include "core/clock.h"
#include "core/log.h"
#include "tests/unit/certmanager/ssl_folder.h"

static const struct km_section *const sections[] = {&certmanager_section, NULL};
static const char *const addresses[] = {"10.0.0.5", "fd00::5"};

struct scene {
	struct ssl_folder f;
	struct km_loop *loop;
	struct km_config *config;
	struct km_identity_hub hub;
	struct km_context ctx;
	void *self;
	struct km_timer *poll;
	uint64_t renewals_wanted, deadline_us;
	char logged[4096];
};

static void sink(int level, const struct km_log_fields *fields, const char *text, void *arg)
{
	struct scene *s = arg;
	size_t used = strlen(s->logged);

	snprintf(s->logged + used, sizeof(s->logged) - used, "%d %s\n", level, text);
}

static int parse(const char *text, struct km_config **ret, struct km_diag *diag)
{
	return km_config_parse(sections, "t.ini", text, strlen(text), ret, diag);
}

static void begin(struct scene *s, const char *more)
{
	struct km_diag diag = KM_DIAG_INIT("t.ini");
	char ini[512];

	*s = (struct scene){0};
	ssl_folder_make(&s->f, true);
	assert_int_equal(km_loop_new(&s->loop, NULL), 0);
	snprintf(ini, sizeof(ini), "[cert-manager]\nssl-dir = %s\nkeeper-socket = %s/none.sock\n%s", s->f.dir, s->f.dir,
		more);
	if (parse(ini, &s->config, &diag) < 0)
		fail_msg("%s", diag.text.data);
	km_diag_free(&diag);
	s->ctx = (struct km_context){.loop = s->loop,
		.config = s->config,
		.identities = &s->hub,
		.state_dir = s->f.state_dir,
		.node_name = "master-1",
		.addresses = addresses,
		.n_addresses = 2,
		.keeper_paths = &s->f.paths};
	km_log_set_sink(sink, s);
}

static void start(struct scene *s)
{
	struct km_err err = {0};

	if (certmanager_module.init(&s->ctx, &s->self, &err) < 0 || certmanager_module.start(s->self, &err) < 0)
		fail_msg("%s", err.text);
}

static void end(struct scene *s)
{
	certmanager_module.fini(s->self);
	km_log_set_sink(NULL, NULL);
	km_identity_hub_clear(&s->hub);
	km_config_unref(s->config);
	km_loop_free(s->loop);
	ssl_folder_remove(&s->f);
}

static uint64_t counter(struct scene *s, const char *name)
{
	const char *base = certmanager_module.counters_base(s->self);

	for (size_t i = 0; i < certmanager_module.n_counters; i++)
		if (strcmp(certmanager_module.counters[i].name, name) == 0)
			return *(const uint64_t *)(const void *)(base + certmanager_module.counters[i].offset);
	fail_msg("no counter %s", name);
	return 0;
}

static void test_section(void **state)
{
	static const struct {
		const char *ini, *problem;
	} rows[] = {
		{"[cert-manager]\nserving-addresses = 10.0.0.1, fd00::1\n", NULL},
		{"[cert-manager]\nserving-addresses = 10.0.0.1, master-1\n", "master-1"},
		{"[cert-manager]\nssl-dir =\n", "ssl-dir"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct km_config *config = NULL;
		struct km_diag diag = KM_DIAG_INIT("t.ini");
		int r = parse(rows[i].ini, &config, &diag);

		assert_true(rows[i].problem ? r < 0 : r == 0);
		if (rows[i].problem)
			assert_non_null(strstr(diag.text.data, rows[i].problem));
		km_diag_free(&diag);
		km_config_unref(config);
	}
}

/* Nothing there but the host's files: without a cluster CA there is no API client, and that is said; the rest works. */
static void test_start(void **state)
{
	struct scene s;
	struct km_health health = {0};
	X509 *cert;

	begin(&s, "");
	start(&s);
	assert_int_equal(counter(&s, "certificates_adopted_total"), 3);
	assert_int_equal(counter(&s, "certificates_created_total"), 1);
	assert_int_equal(counter(&s, "certificate_failures_total"), 1);
	assert_non_null(s.hub.current[KM_ROLE_SERVING]);
	assert_null(s.hub.current[KM_ROLE_API_CLIENT]);
	cert = sk_X509_value(s.hub.current[KM_ROLE_SERVING]->chain, 0);
	assert_true(km_x509_has_ip(cert, addresses[0]));
	assert_true(km_x509_has_ip(cert, addresses[1]));
	assert_non_null(strstr(s.logged, "made our own serving certificate"));
	assert_non_null(strstr(s.logged, s.hub.current[KM_ROLE_SERVING]->fingerprint));
	assert_non_null(strstr(s.logged, "no api-client certificate of our own"));
	assert_null(strstr(s.logged, "PRIVATE KEY"));
	certmanager_module.health(s.self, &health);
	assert_false(health.ok);
	assert_non_null(strstr(health.text, "ca-key.pem"));
	end(&s);
}

/* A kubeconfig in the INI takes the API client's place; addresses in the INI those of the host. */
static void test_given(void **state)
{
	struct scene s;
	struct km_health health = {0};
	X509 *cert;

	begin(&s, "serving-addresses = 192.0.2.7\n");
	s.ctx.kubeconfig_given = true;
	start(&s);
	cert = sk_X509_value(s.hub.current[KM_ROLE_SERVING]->chain, 0);
	assert_true(km_x509_has_ip(cert, "192.0.2.7"));
	assert_false(km_x509_has_ip(cert, addresses[0]));
	assert_null(s.hub.current[KM_ROLE_API_CLIENT]);
	assert_int_equal(counter(&s, "certificate_failures_total"), 0);
	certmanager_module.health(s.self, &health);
	assert_true(health.ok);
	end(&s);
}

/* The signer is gone when our own pair has run two thirds of its life: served on, and said at once. */
static void test_cannot_renew(void **state)
{
	struct km_clock_virtual clock = {.monotonic_us = 1, .wall_ns = km_wall_ns()};
	struct scene s;
	struct km_health health = {0};

	begin(&s, "");
	s.ctx.kubeconfig_given = true;
	start(&s);
	certmanager_module.fini(s.self);
	km_identity_hub_clear(&s.hub);
	ssl_folder_drop(&s.f, ssl_names[SERVING_CA_KEY]);
	clock.wall_ns += INT64_C(61) * 86400 * KM_NSEC_PER_SEC;
	km_clock_set_virtual(&clock);
	s.logged[0] = '\0';
	start(&s);
	assert_non_null(s.hub.current[KM_ROLE_SERVING]);
	assert_non_null(strstr(s.logged, "renewing the serving certificate"));
	assert_non_null(strstr(s.logged, "kmetricsd-ca-key.pem"));
	certmanager_module.health(s.self, &health);
	assert_false(health.ok);
	end(&s);
	km_clock_set_virtual(NULL);
}

static void stop_when_settled(void *arg)
{
	struct scene *s = arg;

	if (counter(s, "certificate_renewals_total") < s->renewals_wanted && km_now_us() < s->deadline_us)
		km_timer_set(s->poll, 1000);
	else
		km_loop_stop(s->loop);
}

/* Runs the loop until so many renewals have been seen. */
static void until_renewals(struct scene *s, uint64_t n)
{
	s->renewals_wanted = n;
	s->deadline_us = km_now_us() + 20 * KM_USEC_PER_SEC;
	assert_int_equal(km_timer_new(s->loop, stop_when_settled, s, &s->poll), 0);
	km_timer_set(s->poll, 0);
	assert_int_equal(km_loop_run(s->loop), 0);
	km_timer_free(s->poll);
	assert_int_equal(counter(s, "certificate_renewals_total"), n);
}

/* A reload looks at once: a pair that was taken away is made anew and published; nothing else is touched. */
static void test_reload(void **state)
{
	char first[KM_FINGERPRINT_MAX], path[512];
	struct scene s;
	struct km_err err = {0};

	begin(&s, "");
	s.ctx.kubeconfig_given = true;
	start(&s);
	for (uint64_t i = 1; i <= 2; i++) {
		snprintf(first, sizeof(first), "%s", s.hub.current[KM_ROLE_SERVING]->fingerprint);
		for (int key = 0; key < 2; key++) {
			snprintf(path, sizeof(path), "%s/kmetricsd-serving%s.pem", s.f.state_dir, key ? "-key" : "");
			assert_int_equal(unlink(path), 0);
		}
		assert_int_equal(certmanager_module.reload_prepare(s.self, s.config, &err), 0);
		certmanager_module.reload_commit(s.self);
		until_renewals(&s, i);
		assert_string_not_equal(first, s.hub.current[KM_ROLE_SERVING]->fingerprint);
	}
	assert_int_equal(counter(&s, "certificates_adopted_total"), 3);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_section),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_given),
		cmocka_unit_test(test_cannot_renew),
		cmocka_unit_test(test_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
