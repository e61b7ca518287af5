/* SPDX-License-Identifier: Apache-2.0 */
#include "setup.h"

#include "certmanager/certmanager.h"
#include "sections.h"

int setup_host(const struct km_config *config, bool any_network, struct wiring_host **ret, struct km_err *err)
{
	const struct kubernetes_options *kubernetes = km_config_section(config, &kubernetes_section);
	const struct certmanager_options *certs = km_config_section(config, &certmanager_section);
	const struct wiring_host_hints hints = {
		.any_network = any_network,
		.ssl_dir = certs->ssl_dir,
		.server = kubernetes->server,
		.node_name = kubernetes->node_name,
		.advertise_address = kubernetes->advertise_address,
		.cluster_ca_cert = certs->cluster_ca_cert,
		.cluster_ca_key = certs->cluster_ca_key,
		.front_proxy_client_cn = certs->front_proxy_client_cn,
	};

	return wiring_host_find(&hints, ret, err);
}

struct keeper_paths setup_keeper_paths(const struct km_config *config, const struct wiring_host *host)
{
	const struct certmanager_options *certs = km_config_section(config, &certmanager_section);

	return (struct keeper_paths){
		.ssl_dir = certs->ssl_dir,
		.front_proxy_ca_cert = host->front_proxy_ca_cert,
		.front_proxy_ca_key = host->front_proxy_ca_key,
		.front_proxy_client_cert = host->front_proxy_client_cert,
		.front_proxy_client_key = host->front_proxy_client_key,
		.front_proxy_client_cn = host->front_proxy_client_cn,
		.cluster_ca_cert = host->cluster_ca_cert,
		.cluster_ca_key = host->cluster_ca_key,
		.serving_ca_cert = host->serving_ca_cert,
		.serving_ca_key = host->serving_ca_key,
	};
}

int setup_access(
	const struct wiring_host *host, struct km_identity *identity, struct kube_access **ret, struct km_err *err)
{
	_cleanup_(km_x509_stack_freep) STACK_OF(X509) *roots = NULL;
	int r = km_x509_load(host->cluster_ca_cert, &roots, err);

	return r < 0 ? r : kube_access_new(host->server, roots, identity, NULL, ret, err);
}
