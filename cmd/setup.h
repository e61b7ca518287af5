/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the configuration to what this host is and how the API server is reached: what several verbs need before they
 * can do anything.
 */
#pragma once

#include "certmanager/keeper.h"
#include "core/config.h"
#include "kube/kubeconfig.h"
#include "wiring/host.h"

/* Looks at this host with the INI's hints. any_network: see wiring/flags.h. */
int setup_host(const struct km_config *config, bool any_network, struct wiring_host **ret, struct km_err *err)
	_must_check_;
/* Where the host's certificates are, as the keeper wants it; borrows from config and host. */
struct keeper_paths setup_keeper_paths(const struct km_config *config, const struct wiring_host *host);
/* Access to the API server at host->server, trusted by the cluster CA, as identity. */
int setup_access(const struct wiring_host *host, struct km_identity *identity, struct kube_access **ret,
	struct km_err *err) _must_check_;
