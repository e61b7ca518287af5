/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's own key pairs in the state dir (serving, API client with its kubeconfig): the key is made here and never
 * leaves, the certificate comes from the keeper, over its socket or in process. Used before the loop runs (it may wait
 * for the keeper).
 */
#pragma once

#include "certmanager/keeper.h"
#include "net/tls.h"

struct own_config {
	const char *state_dir;     /* "/var/lib/kmetricsd" */
	const char *keeper_socket; /* asked when somebody answers; else in process, if paths is not NULL */
	const struct keeper_paths *paths;
	const char *node;
	const char *const *ips; /* SANs of the serving certificate */
	size_t n_ips;
	size_t n_ips_needed; /* of those, the first so many must be in a pair that is kept: bridges come and go */
	uint64_t deadline_us;
};

/* Asks the keeper to make sure that what it owns exists (keeper_ensure), wherever it runs. */
int own_ensure_host(const struct own_config *config, keeper_report_fn report, void *arg, struct km_err *err)
	_must_check_;

/*
 * The pair of a role: loads state_dir/{kmetricsd-serving,kmetricsd}{,-key}.pem when both are there, match, are in the
 * first two thirds of their life and (serving) cover the node's name and the ips needed and are signed by the serving
 * CA of today, as far as it can be read here; else makes a new key (ECDSA P-256), has it signed and installs both
 * (0600/0644); what a crash in between leaves is put in order by the next call. A pair somebody put there that does not
 * match is an error that names it, never overwritten. While a new one cannot be had, one that is not expired serves on:
 * that is 1, and err says why. *ret_created: whether it was made now. *ret_ca_pem (may be NULL): the signer, malloc'ed.
 */
int own_ensure_pair(const struct own_config *config, enum keeper_leaf_role role, struct km_identity **ret,
	bool *ret_created, char **ret_ca_pem, struct km_err *err) _must_check_;
