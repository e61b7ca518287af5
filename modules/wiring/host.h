/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host is: where Kubernetes' files are, how the API server is reached from here, the node's name and
 * addresses. Made from the INI's values, then the running kube-apiserver's flags, then the documented layout; each
 * value says where it came from.
 */
#pragma once

#include "core/err.h"
#include "wiring/flags.h"

struct wiring_host_hints {   /* from the INI; "" or NULL: find out */
	const char *proc;    /* NULL: "/proc" */
	bool any_network;    /* see wiring_flags_find */
	const char *ssl_dir; /* [cert-manager] ssl-dir */
	const char *server, *node_name, *advertise_address;
	const char *cluster_ca_cert, *cluster_ca_key, *front_proxy_client_cn;
};

/* Everything owned, malloc'ed; "" where unknown. */
struct wiring_host {
	struct wiring_flags *apiserver; /* NULL: kube-apiserver does not run here */
	char *server; /* "https://10.0.0.1:6443": advertise/bind address and secure-port; loopback when bound to all */
	char *node_name; /* INI, else hostname in lower case (as the kubelet does) */
	char *address; /* the address for Endpoints: INI, --advertise-address, --bind-address, else that of the default
			  route; never loopback */
	char **addresses;
	size_t n_addresses; /* all global unicast addresses of this host (getifaddrs), address first */
	char *cluster_ca_cert, *cluster_ca_key;
	char *front_proxy_ca_cert, *front_proxy_ca_key, *front_proxy_client_cert, *front_proxy_client_key,
		*front_proxy_client_cn;
	char *serving_ca_cert, *serving_ca_key;
};

int wiring_host_find(const struct wiring_host_hints *hints, struct wiring_host **ret, struct km_err *err) _must_check_;
void wiring_host_free(struct wiring_host *h); /* NULL is fine */
void wiring_host_freep(struct wiring_host **h);
