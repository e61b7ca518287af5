/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key holder's half of certmanager: plain files and OpenSSL, no network, no Kubernetes. It owns the CA keys and the
 * files in the ssl folder and answers a short fixed list of requests. The same functions run in process when the daemon
 * is started by hand as root, or behind the keeper's socket (cmd/keeper.c) otherwise.
 *
 * Rules (spec certs-and-wiring 1.5, 9.3): creates what is missing, adopts what exists, never overwrites; keys 0600,
 * certificates 0644; atomic install by temporary file, fsync, rename, key first; a leaf never outlives its CA; a non-CA
 * is never used as a signer.
 */
#pragma once

#include <jansson.h>

#include "core/base.h"
#include "core/err.h"
#include "net/tls.h"

/* Where things are on this host; all strings borrowed, absolute paths. Made by cmd/ from the INI and the running
 * kube-apiserver's flags. */
struct keeper_paths {
	const char *ssl_dir; /* "/opt/kubernetes/ssl": only files in here are ever created */
	const char *front_proxy_ca_cert, *front_proxy_ca_key;
	const char *front_proxy_client_cert, *front_proxy_client_key;
	const char *front_proxy_client_cn; /* first of --requestheader-allowed-names, else "front-proxy-client" */
	const char *cluster_ca_cert, *cluster_ca_key; /* "" or NULL: not on this host (external-CA mode) */
	const char *serving_ca_cert, *serving_ca_key; /* kmetricsd-ca.pem, kmetricsd-ca-key.pem */
};

enum keeper_outcome { KEEPER_CREATED, KEEPER_ADOPTED, KEEPER_MISSING /* cannot be made here */, KEEPER_FAILED };

/* What became of one file pair; told for each, for the journal. text: "" or what and why. */
typedef void (*keeper_report_fn)(
	const char *role, const char *path, enum keeper_outcome outcome, const char *text, void *arg);

/*
 * Makes sure that front-proxy CA and client and the serving CA exist. 0 when all are there or were made; else the first
 * error (the others were tried all the same, each was reported). A half pair (certificate without key) is reported,
 * never completed by force.
 */
int keeper_ensure(const struct keeper_paths *paths, keeper_report_fn report, void *arg, struct km_err *err)
	_must_check_;

enum keeper_leaf_role { KEEPER_LEAF_SERVING, KEEPER_LEAF_API_CLIENT };

/*
 * Signs the public key of a CSR (its self-signature is checked; nothing else of it is believed) for a role: SERVING by
 * the serving CA with the fixed DNS names of spec 4.3 plus hostname and ips (checked to be IP literals, at most 32);
 * API_CLIENT by the cluster CA: CN kmetricsd:<node>, O kmetricsd. 90 days, clamped to the CA. *ret_cert_pem,
 * *ret_ca_pem: malloc'ed PEM. -ENOENT when the CA or its key is not on this host.
 */
int keeper_issue(const struct keeper_paths *paths, enum keeper_leaf_role role, const char *csr_pem, size_t csr_len,
	const char *node, const char *const *ips, size_t n_ips, char **ret_cert_pem, char **ret_ca_pem,
	struct km_err *err) _must_check_;

/*
 * A five-minute administrator certificate (CN kmetricsd-bootstrap, O system:masters) signed by the cluster CA, only
 * ever in memory, for `kmetricsd wire apply --auto` (spec 5 (c)). Not reachable through the socket.
 */
int keeper_mint_admin(const struct keeper_paths *paths, struct km_identity **ret, struct km_err *err) _must_check_;

/* ---- the socket's requests (ensure, issue), as JSON; shared by server and caller ---- */
/* Answers one request object for net/control.h's km_control_fn; arg: the struct keeper_paths. */
json_t *keeper_answer(const char *op, json_t *request, uid_t peer, void *arg);
