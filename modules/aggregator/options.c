/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of [aggregator] and what must hold between them. Keys and defaults are metrics-server's flags and its
 * shipped manifest's values (spec metrics-api 1); where ours differ, the row says why.
 */
#include "aggregator/options.h"

#include <arpa/inet.h>

#include "core/clock.h"
#include "kube/selector.h"

#define SECOND KM_NSEC_PER_SEC
#define MINUTE (60 * SECOND)

static const char *const tls_min_version_choices[] = {"VersionTLS12", "VersionTLS13", NULL};
static const char *const kubelet_tls_choices[] = {"auto", "verify", "pin", "insecure", NULL};

#define ROW(name, opt_type, member) .key = (name), .type = (opt_type), .offset = offsetof(struct agg_options, member)

static const struct km_opt rows[] = {
	{ROW("metric-resolution", KM_OPT_DURATION, metric_resolution), .dflt = "15s", .min = 5 * SECOND,
		.max = 10 * MINUTE,
		.doc = "how often each kubelet is scraped; a sample is served until it is 2.5 times as old"},
	{ROW("kubelet-request-timeout", KM_OPT_DURATION, kubelet_request_timeout), .dflt = "10s", .min = SECOND / 10,
		.max = 10 * MINUTE, .doc = "how long one kubelet may take to answer; delays no other node"},
	{ROW("kubelet-tls", KM_OPT_ENUM, kubelet_tls), .dflt = "auto", .choices = kubelet_tls_choices,
		.doc = "auto: verified by the CA, a self-signed certificate pinned to the node on first use; verify: "
		       "CA only; "
		       "pin: always pinned; insecure: never checked"},
	{ROW("kubelet-insecure-tls", KM_OPT_BOOL, kubelet_insecure_tls), .dflt = "no",
		.doc = "metrics-server's name for kubelet-tls = insecure"},
	{ROW("kubelet-preferred-address-types", KM_OPT_LIST, kubelet_preferred_address_types),
		.dflt = "InternalIP,ExternalIP,Hostname",
		.doc = "node address types, the first that a node has is dialled"},
	{ROW("kubelet-port", KM_OPT_INT, kubelet_port), .dflt = "10250", .min = 1, .max = 65535,
		.doc = "the kubelets' port"},
	{ROW("kubelet-use-node-status-port", KM_OPT_BOOL, kubelet_use_node_status_port), .dflt = "yes",
		.doc = "a port in the node's status wins over kubelet-port"},
	{ROW("kubelet-read-only-port", KM_OPT_INT, kubelet_read_only_port), .dflt = "0", .max = 65535,
		.doc = "10255: a kubelet that refuses us at its port, or does not listen there, is asked at this one "
		       "without TLS "
		       "(nodes of Kubernetes 1.8's time); whoever answers there is believed; 0: never"},
	{ROW("deprecated-kubelet-completely-insecure", KM_OPT_BOOL, deprecated_kubelet_completely_insecure),
		.dflt = "no",
		.doc = "every kubelet is asked at kubelet-port without TLS; whoever answers there is believed"},
	{ROW("kubelet-certificate-authority", KM_OPT_PATH, kubelet_certificate_authority),
		.doc = "PEM of the CAs that sign the kubelets' serving certificates; empty: the cluster CA"},
	{ROW("kubelet-client-certificate", KM_OPT_PATH, kubelet_client_certificate),
		.doc = "PEM certificate shown to kubelets; empty: the daemon's own API client certificate"},
	{ROW("kubelet-client-key", KM_OPT_PATH, kubelet_client_key), .doc = "key of kubelet-client-certificate"},
	{ROW("node-selector", KM_OPT_STRING, node_selector),
		.doc = "label selector: only these nodes are scraped and listed; empty: all"},
	{ROW("ephemeral-storage", KM_OPT_BOOL, ephemeral_storage), .dflt = "no",
		.doc = "usage[\"ephemeral-storage\"] too: a container's writable layer and logs, a node's file system; "
		       "costs "
		       "a request for the whole /stats/summary a node and minute (metrics-server has none)"},

	{ROW("bind-address", KM_OPT_STRING, bind_address), .dflt = "0.0.0.0", .flags = KM_OPT_NO_RELOAD,
		.doc = "IP address the metrics API listens on"},
	{ROW("secure-port", KM_OPT_INT, secure_port), .dflt = "4443", .min = 1, .max = 65535, .flags = KM_OPT_NO_RELOAD,
		.doc = "port the metrics API listens on (not 10250: that is the kubelet's on the same host)"},
	{ROW("tls-cert-file", KM_OPT_PATH, tls_cert_file),
		.doc = "PEM serving certificate with its chain; empty: the one [cert-manager] keeps"},
	{ROW("tls-private-key-file", KM_OPT_PATH, tls_private_key_file), .doc = "key of tls-cert-file"},
	{ROW("tls-min-version", KM_OPT_ENUM, tls_min_version), .dflt = "VersionTLS12",
		.choices = tls_min_version_choices, .doc = "the oldest TLS version that is spoken"},
	{ROW("tls-cipher-suites", KM_OPT_LIST, tls_cipher_suites),
		.doc = "the cipher suites that are spoken, as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256; empty: OpenSSL's "
		       "default"},
	{ROW("client-ca-file", KM_OPT_PATH, client_ca_file),
		.doc = "PEM of the CAs for client certificates; empty: from the ConfigMap "
		       "extension-apiserver-authentication"},
	{ROW("authentication-skip-lookup", KM_OPT_BOOL, authentication_skip_lookup), .dflt = "no",
		.doc = "the ConfigMap extension-apiserver-authentication does not count, only these options do"},
	{ROW("requestheader-client-ca-file", KM_OPT_PATH, requestheader_client_ca_file),
		.doc = "PEM of the front proxy's CAs; empty: this and the other requestheader options come from the "
		       "ConfigMap "
		       "extension-apiserver-authentication"},
	{ROW("requestheader-allowed-names", KM_OPT_LIST, requestheader_allowed_names),
		.doc = "common names the front proxy's certificate may have; empty: any"},
	{ROW("requestheader-username-headers", KM_OPT_LIST, requestheader_username_headers), .dflt = "X-Remote-User",
		.doc = "headers that may carry the user's name"},
	{ROW("requestheader-group-headers", KM_OPT_LIST, requestheader_group_headers), .dflt = "X-Remote-Group",
		.doc = "headers that carry the user's groups"},
	{ROW("requestheader-extra-headers-prefix", KM_OPT_LIST, requestheader_extra_headers_prefix),
		.dflt = "X-Remote-Extra-", .doc = "prefixes of the headers that carry more about the user"},
	{ROW("requestheader-uid-headers", KM_OPT_LIST, requestheader_uid_headers),
		.doc = "headers that may carry the user's uid; empty: none is believed"},
	{ROW("authentication-token-webhook-cache-ttl", KM_OPT_DURATION, authentication_token_ttl), .dflt = "10s",
		.max = 60 * MINUTE, .doc = "how long it is remembered whose a bearer token is, or that it is nobody's"},
	{ROW("authorization-webhook-cache-authorized-ttl", KM_OPT_DURATION, authorization_authorized_ttl),
		.dflt = "60s", .max = 60 * MINUTE,
		.doc = "how long a permission is remembered; longer than the HPA's 15s, so that its polling costs no "
		       "reviews (metrics-server: 10s)"},
	{ROW("authorization-webhook-cache-unauthorized-ttl", KM_OPT_DURATION, authorization_unauthorized_ttl),
		.dflt = "10s", .max = 60 * MINUTE,
		.doc = "how long a refusal is remembered; a new permission takes that long to be noticed"},
	{ROW("authorization-always-allow-paths", KM_OPT_LIST, authorization_always_allow_paths),
		.dflt = "/healthz,/healthz/*,/livez,/livez/*,/readyz,/readyz/*",
		.doc = "paths that anybody may read; * at the end: all that begin so"},
	{ROW("max-requests-inflight", KM_OPT_INT, max_requests_inflight), .dflt = "400", .min = 1, .max = 10000,
		.doc = "requests at once; further ones are answered 429, but for system:masters"},
};

static bool set(const char *text)
{
	return text && *text;
}

static void both_or_neither(struct km_diag *diag, const char *key_a, const char *a, const char *key_b, const char *b)
{
	if (set(a) != set(b))
		km_diag_key(diag, set(a) ? key_a : key_b, "%s is set without %s; set both or neither",
			set(a) ? key_a : key_b, set(a) ? key_b : key_a);
}

static void check_kubelet(const struct agg_options *o, struct km_diag *diag)
{
	/* Upstream wants timeout <= 0.9 x resolution, because its store waits for the slowest kubelet. Here only the
	 * age at which a sample stops being served (2.5 x resolution) must not be reached by one slow answer. */
	if (2 * o->kubelet_request_timeout >= 5 * o->metric_resolution)
		km_diag_key(diag, "kubelet-request-timeout",
			"kubelet-request-timeout must be shorter than 2.5 times metric-resolution, after which a "
			"sample is no "
			"longer served; shorten it or raise metric-resolution");
	both_or_neither(diag, "kubelet-client-certificate", o->kubelet_client_certificate, "kubelet-client-key",
		o->kubelet_client_key);
	if (o->kubelet_insecure_tls && o->kubelet_tls != AGG_TLS_AUTO && o->kubelet_tls != AGG_TLS_INSECURE)
		km_diag_key(diag, "kubelet-insecure-tls",
			"kubelet-insecure-tls contradicts kubelet-tls = %s; keep one of them",
			kubelet_tls_choices[o->kubelet_tls]);
	if ((o->kubelet_insecure_tls || o->kubelet_tls == AGG_TLS_INSECURE) && set(o->kubelet_certificate_authority))
		km_diag_key(diag, o->kubelet_insecure_tls ? "kubelet-insecure-tls" : "kubelet-tls",
			"unchecked kubelet certificates and kubelet-certificate-authority exclude each other; remove "
			"one of them");
	if (o->deprecated_kubelet_completely_insecure &&
		(o->kubelet_tls != AGG_TLS_AUTO || o->kubelet_insecure_tls || set(o->kubelet_certificate_authority) ||
			set(o->kubelet_client_certificate)))
		km_diag_key(diag, "deprecated-kubelet-completely-insecure",
			"deprecated-kubelet-completely-insecure excludes all that concerns TLS towards kubelets; "
			"remove it, or "
			"kubelet-tls, kubelet-insecure-tls, kubelet-certificate-authority and "
			"kubelet-client-certificate");
	if (o->deprecated_kubelet_completely_insecure && o->kubelet_read_only_port != 0)
		km_diag_key(diag, "kubelet-read-only-port",
			"kubelet-read-only-port is what deprecated-kubelet-completely-insecure does with kubelet-port; "
			"keep one "
			"of them");
	if (o->kubelet_preferred_address_types.n == 0)
		km_diag_key(diag, "kubelet-preferred-address-types",
			"kubelet-preferred-address-types is empty; name at least one type, as InternalIP");
}

static void check_serving(const struct agg_options *o, struct km_diag *diag)
{
	struct km_tls_policy policy;
	struct in6_addr address;
	struct km_err err = {0};

	if (inet_pton(AF_INET, o->bind_address, &address) != 1 && inet_pton(AF_INET6, o->bind_address, &address) != 1)
		km_diag_key(diag, "bind-address",
			"bind-address \"%s\" is not an IP address; write one as 0.0.0.0 or ::", o->bind_address);
	policy = agg_tls_policy(o);
	if (km_tls_policy_check(&policy, &err) < 0)
		km_diag_key(diag, "tls-cipher-suites", "tls-cipher-suites: %s", err.text);
	both_or_neither(diag, "tls-cert-file", o->tls_cert_file, "tls-private-key-file", o->tls_private_key_file);
	if (set(o->requestheader_client_ca_file) && o->requestheader_username_headers.n == 0)
		km_diag_key(diag, "requestheader-username-headers",
			"requestheader-username-headers is empty, so that no front proxy could name a user; write "
			"X-Remote-User");
}

struct km_tls_policy agg_tls_policy(const struct agg_options *o)
{
	return (struct km_tls_policy){
		.tls13_only = o->tls_min_version == AGG_TLS_MIN_13,
		.ciphers = o->tls_cipher_suites.items,
		.n_ciphers = o->tls_cipher_suites.n,
	};
}

static void check_clients(const struct agg_options *o, struct km_diag *diag)
{
	if (o->authentication_skip_lookup && !set(o->requestheader_client_ca_file))
		km_diag_key(diag, "authentication-skip-lookup",
			"authentication-skip-lookup without requestheader-client-ca-file would refuse all that "
			"kube-apiserver "
			"passes on; set that, or remove this");
	for (size_t i = 0; i < o->authorization_always_allow_paths.n; i++)
		if (o->authorization_always_allow_paths.items[i][0] != '/')
			km_diag_key(diag, "authorization-always-allow-paths",
				"authorization-always-allow-paths: \"%s\" is not a path; begin it with /",
				o->authorization_always_allow_paths.items[i]);
}

static void check(const void *conf, struct km_diag *diag)
{
	const struct agg_options *o = conf;

	check_kubelet(o, diag);
	check_serving(o, diag);
	check_clients(o, diag);
	if (set(o->node_selector)) {
		struct kube_selector *selector = NULL;
		struct km_err err = {0};

		if (kube_selector_parse(o->node_selector, &selector, &err) < 0)
			km_diag_key(diag, "node-selector", "node-selector \"%s\": %s", o->node_selector, err.text);
		kube_selector_free(selector);
	}
}

const struct km_section agg_section = {
	.name = "aggregator",
	.doc = "The metrics API: scrapes the kubelets and serves metrics.k8s.io.",
	.size = sizeof(struct agg_options),
	.opts = rows,
	.n_opts = KM_ARRAY_LEN(rows),
	.check = check,
};
