/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cert-manager module: the [cert-manager] section, and what it does at start: make sure that the host's and our own
 * certificates exist, publish ours.
 */
#pragma once

#include "module.h"

struct certmanager_options {
	const char *ssl_dir;                 /* "/opt/kubernetes/ssl" */
	const char *keeper_socket;           /* "/run/kmetricsd/keeper.sock" */
	const char *front_proxy_client_cn;   /* "": first of kube-apiserver's allowed names, else front-proxy-client */
	struct km_strlist serving_addresses; /* IPs for the serving certificate; empty: this host's */
	const char *cluster_ca_cert,
		*cluster_ca_key; /* "": kube-apiserver's --client-ca-file, else ssl-dir/ca.pem; key beside it */
};

extern const struct km_section certmanager_section;
extern const struct km_module certmanager_module;
