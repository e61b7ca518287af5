/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kubelet for tests, on the loop of the test: TLS with any certificate, some of the three paths, and faults. Each
 * reply is a sample 15 s after the one before it, in which its one container "main" of pod "ns/POD" and the node itself
 * have used 3 s of CPU: 0.2 cores, however fast it is scraped.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/target.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/timetext.h"
#include "net/http_server.h"
#include "tests/unit/support/pki.h"

enum kubelet_fault {
	KUBELET_FINE,
	KUBELET_HANGS,
	KUBELET_BAD_LINE,     /* beside a second container of which one line is bad */
	KUBELET_SCRAPE_ERROR, /* nothing but scrape_error 1 */
	KUBELET_HTML,
};

struct kubelet {
	struct km_http_server *server;
	const char *pod;
	unsigned paths; /* bit per enum agg_path that it knows */
	int status;     /* 0: as it should be */
	enum kubelet_fault fault;
	int64_t base_ns;
	unsigned samples, requests[AGG_PATHS];
	unsigned storage_asked; /* for the whole summary */
	bool storage_told;
	char client[64]; /* CN of the certificate last shown, "" if none */
};

#define KUBELET_ALL_PATHS 7u

static inline SSL_CTX *kubelet_tls(const struct test_cert *cert)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	struct km_identity *id = NULL;
	SSL_CTX *tls = NULL;

	if (!chain || !X509_up_ref(cert->cert) || sk_X509_push(chain, cert->cert) <= 0 || !EVP_PKEY_up_ref(cert->key) ||
		km_identity_new(chain, cert->key, &id) < 0 || km_tls_server_ctx(id, NULL, &tls, NULL) < 0)
		abort();
	km_identity_unref(id);
	return tls;
}

static inline void kubelet_resource(const struct kubelet *k, struct km_buf *out, int64_t ms, unsigned cpu)
{
	static const char *const families[] = {
		"container_cpu_usage_seconds_total", "container_memory_working_set_bytes"};

	for (size_t f = 0; f < 2; f++) {
		unsigned value = f ? 4096 : cpu;

		if (k->fault == KUBELET_BAD_LINE)
			km_buf_addf(out, "%s{container=\"bad\",namespace=\"ns\",pod=\"other\"} %u -62135596800000\n",
				families[f], value);
		km_buf_addf(out, "%s{container=\"main\",namespace=\"ns\",pod=\"%s\"} %u %lld\n", families[f], k->pod,
			value, (long long)ms);
	}
	km_buf_addf(out,
		"node_cpu_usage_seconds_total %u %lld\nnode_memory_working_set_bytes 8192 %lld\nscrape_error 0\n", cpu,
		(long long)ms, (long long)ms);
}

static inline void kubelet_summary(const struct kubelet *k, struct km_buf *out, int64_t ns, unsigned cpu)
{
	char at[KM_RFC3339_TEXT_MAX], usage[512];

	km_rfc3339_format(ns, at);
	snprintf(usage, sizeof(usage),
		"\"cpu\":{\"time\":\"%s\",\"usageCoreNanoSeconds\":%u000000000},"
		"\"memory\":{\"time\":\"%s\",\"workingSetBytes\":4096}",
		at, cpu, at);
	km_buf_addf(out,
		"{\"node\":{%s},\"pods\":[{\"podRef\":{\"name\":\"%s\",\"namespace\":\"ns\"},"
		"\"containers\":[{\"name\":\"main\",%s}]}]}",
		usage, k->pod, usage);
}

/* The whole summary, of which only file systems matter. */
static inline void kubelet_storage(struct kubelet *k, struct km_http_req *req)
{
	static const char body[] =
		"{\"node\":{\"fs\":{\"usedBytes\":1073741824}},\"pods\":[{\"podRef\":{\"name\":\"pod\","
		"\"namespace\":\"ns\"},\"containers\":[{\"name\":\"main\",\"rootfs\":{\"usedBytes\":8192},"
		"\"logs\":{\"usedBytes\":4096}}]}]}";

	k->storage_asked++;
	if (k->storage_told)
		km_http_reply(req, 200, "application/json", body, sizeof(body) - 1);
	else
		km_http_reply(req, 403, "text/plain", "no\n", 3);
}

static inline void kubelet_answer(struct km_http_req *req, void *arg)
{
	struct kubelet *k = arg;
	X509 *cert = km_http_req_peer_cert(req);
	char *cn = cert ? km_x509_cn(cert) : NULL;
	struct km_buf body = KM_BUF_INIT(65536);
	unsigned path = 0;

	snprintf(k->client, sizeof(k->client), "%s", cn ? cn : "");
	free(cn);
	if (strcmp(km_http_req_target(req), "/stats/summary") == 0) {
		kubelet_storage(k, req);
		return;
	}
	while (path < AGG_PATHS && strcmp(km_http_req_target(req), agg_path_text[path]) != 0)
		path++;
	if (path < AGG_PATHS)
		k->requests[path]++;
	if (k->fault == KUBELET_HANGS)
		return;
	if (k->status || path == AGG_PATHS || !(k->paths & 1u << path)) {
		km_http_reply(req, k->status ? k->status : 404, "text/plain", "no\n", 3);
		return;
	}
	if (k->base_ns == 0) /* whole seconds: the summary has no others */
		k->base_ns = (km_wall_ns() / KM_NSEC_PER_SEC - 3000) * KM_NSEC_PER_SEC;
	if (k->fault == KUBELET_SCRAPE_ERROR)
		km_buf_adds(&body, "scrape_error 1\n");
	else if (k->fault == KUBELET_HTML)
		km_buf_adds(&body, "<html>hello</html>\n");
	else if (path == AGG_PATH_SUMMARY)
		kubelet_summary(k, &body, k->base_ns + k->samples * 15 * KM_NSEC_PER_SEC, 100 + 3 * k->samples);
	else
		kubelet_resource(
			k, &body, (k->base_ns + k->samples * 15 * KM_NSEC_PER_SEC) / 1000000, 100 + 3 * k->samples);
	k->samples++;
	km_http_reply(req, 200, "text/plain", body.data, body.len);
	km_buf_free(&body);
}

/* Listens on 127.0.0.1, any port. k->pod and the faults may be set before and changed at any time. */
static inline void kubelet_start(struct kubelet *k, struct km_loop *loop, const struct test_cert *cert)
{
	SSL_CTX *tls = kubelet_tls(cert);
	const struct km_http_server_config config = {
		.bind_address = "127.0.0.1", .tls = tls, .handler = kubelet_answer, .arg = k};
	struct km_err err = {0};

	if (km_http_server_new(loop, &config, &k->server, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	SSL_CTX_free(tls);
	if (!k->paths)
		k->paths = KUBELET_ALL_PATHS;
	if (!k->pod)
		k->pod = "pod";
}

static inline void kubelet_stop(struct kubelet *k)
{
	km_http_server_free(k->server);
	k->server = NULL;
}

/* New connections see another certificate. */
static inline void kubelet_certificate(struct kubelet *k, const struct test_cert *cert)
{
	SSL_CTX *tls = kubelet_tls(cert);

	km_http_server_set_tls(k->server, tls);
	SSL_CTX_free(tls);
}
