/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The [aggregator] section: keys carry metrics-server's flag names (spec metrics-api 1).
 */
#pragma once

#include "core/config.h"
#include "net/tls_policy.h"

enum agg_tls_min_version { AGG_TLS_MIN_12, AGG_TLS_MIN_13 };
enum agg_kubelet_tls { AGG_TLS_AUTO, AGG_TLS_VERIFY, AGG_TLS_PIN, AGG_TLS_INSECURE };

struct agg_options {
	/* scraping */
	int64_t metric_resolution;       /* ns */
	int64_t kubelet_request_timeout; /* ns */
	int kubelet_tls;                 /* enum agg_kubelet_tls */
	bool kubelet_insecure_tls;       /* metrics-server's name for kubelet-tls = insecure */
	struct km_strlist kubelet_preferred_address_types;
	int64_t kubelet_port;
	bool kubelet_use_node_status_port;
	const char *kubelet_certificate_authority, *kubelet_client_certificate, *kubelet_client_key;
	const char *node_selector;
	bool ephemeral_storage;
	int64_t kubelet_read_only_port; /* 0: never */
	bool deprecated_kubelet_completely_insecure;
	/* serving */
	const char *bind_address;
	int64_t secure_port;
	const char *tls_cert_file, *tls_private_key_file;
	int tls_min_version; /* enum agg_tls_min_version */
	struct km_strlist tls_cipher_suites;
	const char *client_ca_file;
	bool authentication_skip_lookup;
	const char *requestheader_client_ca_file;
	struct km_strlist requestheader_allowed_names, requestheader_username_headers, requestheader_group_headers,
		requestheader_extra_headers_prefix, requestheader_uid_headers;
	int64_t authentication_token_ttl, authorization_authorized_ttl, authorization_unauthorized_ttl; /* ns */
	struct km_strlist authorization_always_allow_paths;
	int64_t max_requests_inflight;
};

extern const struct km_section agg_section;

/* What the server's TLS is restricted to; borrows from the options. */
struct km_tls_policy agg_tls_policy(const struct agg_options *options);
