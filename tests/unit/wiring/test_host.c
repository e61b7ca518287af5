/* SPDX-License-Identifier: Apache-2.0 */
/* What a host is found to be: from the INI, from a running kube-apiserver's flags, from the documented layout. */
#include "wiring/host.h"

#include <ctype.h>
#include <errno.h>

#include "fake_proc.h"

#define SSL "/opt/kubernetes/ssl"

static struct wiring_host *find(struct fake_proc *p, struct wiring_host_hints hints)
{
	struct wiring_host *h = NULL;
	struct km_err err = {0};

	hints.proc = p->root;
	hints.ssl_dir = SSL;
	if (wiring_host_find(&hints, &h, &err) < 0)
		fail_msg("%s", err.text);
	return h;
}

static void test_documented_layout(void **state)
{
	struct fake_proc p;
	struct wiring_host *h;
	char name[256];

	fake_proc_make(&p);
	h = find(&p, (struct wiring_host_hints){0});
	assert_null(h->apiserver);
	assert_string_equal(h->server, "https://127.0.0.1:6443");
	assert_string_equal(h->cluster_ca_cert, SSL "/ca.pem");
	assert_string_equal(h->cluster_ca_key, SSL "/ca-key.pem");
	assert_string_equal(h->front_proxy_ca_cert, SSL "/front-proxy-ca.pem");
	assert_string_equal(h->front_proxy_ca_key, SSL "/front-proxy-ca-key.pem");
	assert_string_equal(h->front_proxy_client_cert, SSL "/front-proxy-client.pem");
	assert_string_equal(h->front_proxy_client_key, SSL "/front-proxy-client-key.pem");
	assert_string_equal(h->front_proxy_client_cn, "front-proxy-client");
	assert_string_equal(h->serving_ca_cert, SSL "/kmetricsd-ca.pem");
	assert_string_equal(h->serving_ca_key, SSL "/kmetricsd-ca-key.pem");
	gethostname(name, sizeof(name) - 1);
	for (char *c = name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	assert_string_equal(h->node_name, name);
	for (size_t i = 0; i < h->n_addresses; i++)
		assert_true(strncmp(h->addresses[i], "127.", 4) != 0);
	wiring_host_free(h);
	fake_proc_remove(&p);
}

static void test_running_apiserver(void **state)
{
	struct fake_proc p;
	struct wiring_host *h;

	fake_proc_make(&p);
	FAKE_PROCESS(&p, 77,
		"/usr/bin/kube-apiserver\0--secure-port=8443\0--bind-address=0.0.0.0\0--advertise-address=192.168.7.9\0"
		"--client-ca-file=/etc/kubernetes/pki/ca.crt\0--requestheader-client-ca-file=pki/front-proxy-ca.crt\0"
		"--requestheader-allowed-names=aggregator,front-proxy-client\0--proxy-client-cert-file=/x/client.pem\0"
		"--proxy-client-key-file=/x/client.key",
		"net:[1]", "77", "/etc/kubernetes");
	h = find(&p, (struct wiring_host_hints){0});
	assert_int_equal(wiring_flags_pid(h->apiserver), 77);
	assert_string_equal(h->server, "https://127.0.0.1:8443");
	assert_string_equal(h->address, "192.168.7.9");
	assert_string_equal(h->addresses[0], "192.168.7.9");
	assert_string_equal(h->cluster_ca_cert, "/etc/kubernetes/pki/ca.crt");
	assert_string_equal(h->cluster_ca_key, "/etc/kubernetes/pki/ca.key");
	/* relative to where it runs */
	assert_string_equal(h->front_proxy_ca_cert, "/etc/kubernetes/pki/front-proxy-ca.crt");
	assert_string_equal(h->front_proxy_ca_key, "/etc/kubernetes/pki/front-proxy-ca.key");
	assert_string_equal(h->front_proxy_client_cert, "/x/client.pem");
	assert_string_equal(h->front_proxy_client_key, "/x/client.key");
	/* the first of the allowed names */
	assert_string_equal(h->front_proxy_client_cn, "aggregator");
	wiring_host_free(h);
	fake_proc_remove(&p);
}

static void test_the_ini_comes_first(void **state)
{
	struct fake_proc p;
	struct wiring_host *h;

	fake_proc_make(&p);
	FAKE_PROCESS(&p, 77,
		"kube-apiserver\0--advertise-address=192.168.7.9\0--client-ca-file=/flag/ca.pem\0"
		"--requestheader-allowed-names=aggregator",
		"net:[1]", "77", NULL);
	h = find(&p, (struct wiring_host_hints){.server = "https://lb:443",
			     .node_name = "master-1",
			     .advertise_address = "10.1.1.1",
			     .cluster_ca_cert = "/ini/root.pem",
			     .cluster_ca_key = "/safe/root-key.pem",
			     .front_proxy_client_cn = "me"});
	assert_string_equal(h->server, "https://lb:443");
	assert_string_equal(h->node_name, "master-1");
	assert_string_equal(h->address, "10.1.1.1");
	assert_string_equal(h->cluster_ca_cert, "/ini/root.pem");
	assert_string_equal(h->cluster_ca_key, "/safe/root-key.pem");
	assert_string_equal(h->front_proxy_client_cn, "me");
	wiring_host_free(h);
	fake_proc_remove(&p);
}

/* Where the API server answers, and where it reaches us. */
static void test_addresses(void **state)
{
	static const struct {
		const char *cmdline;
		size_t len;
		const char *server, *address; /* NULL: this host's own, whatever it is */
	} rows[] = {
#define ROW(cmdline, server, address) {"kube-apiserver\0" cmdline, sizeof("kube-apiserver\0" cmdline), server, address}
		ROW("--bind-address=10.0.0.5", "https://10.0.0.5:6443", "10.0.0.5"),
		ROW("--bind-address=10.0.0.5\0--advertise-address=10.0.0.6", "https://10.0.0.5:6443", "10.0.0.6"),
		ROW("--bind-address=::\0--secure-port=443", "https://127.0.0.1:443", NULL),
		ROW("--bind-address=fd00::5", "https://[fd00::5]:6443", "fd00::5"),
		/* what Endpoints would refuse is no address of ours */
		ROW("--bind-address=127.0.0.1\0--advertise-address=127.0.0.1", "https://127.0.0.1:6443", NULL),
		ROW("--advertise-address=169.254.1.1", "https://127.0.0.1:6443", NULL),
		ROW("--advertise-address=nonsense", "https://127.0.0.1:6443", NULL),
#undef ROW
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		struct fake_proc p;
		struct wiring_host *h;

		fake_proc_make(&p);
		fake_process(&p, 5, rows[i].cmdline, rows[i].len, "net:[1]", "5", NULL);
		h = find(&p, (struct wiring_host_hints){0});
		assert_string_equal(h->server, rows[i].server);
		if (rows[i].address)
			assert_string_equal(h->address, rows[i].address);
		else if (strncmp(h->address, "127.", 4) == 0 || strncmp(h->address, "169.254.", 8) == 0 ||
			 strcmp(h->address, "nonsense") == 0)
			fail_msg("row %zu: %s", i, h->address);
		wiring_host_free(h);
		fake_proc_remove(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documented_layout),
		cmocka_unit_test(test_running_apiserver),
		cmocka_unit_test(test_the_ini_comes_first),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
