/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How to reach the API server and as whom: read from a kubeconfig or put together from explicit keys.
 */
#pragma once

#include "core/err.h"
#include "net/tls.h"

/* A value; everything owned. Immutable after it was made. */
struct kube_access {
	char *server;          /* "https://10.0.0.1:6443", without a trailing slash; a path prefix is kept */
	STACK_OF(X509) *roots; /* NULL: the system's */
	bool insecure;
	char *server_name;            /* tls-server-name, or NULL */
	struct km_identity *identity; /* client certificate, or NULL */
	char *token;                  /* or NULL; never logged */
	char *token_file;             /* or NULL: read again every minute */
	char *source;                 /* for messages: "/x/y.kubeconfig (context z)" */
};

/*
 * Loads a kubeconfig (YAML or JSON; KUBECONFIG's list form is not used). context NULL: current-context. Relative paths
 * are relative to the file. Understood: clusters' server, certificate-authority(-data), insecure-skip-tls-verify,
 * tls-server-name; users' client-certificate(-data), client-key(-data), token, tokenFile. Refused with a clear text:
 * exec, auth-provider, username/password, http:// servers other than loopback, missing names.
 */
int kube_access_load(const char *path, const char *context, struct kube_access **ret, struct km_err *err) _must_check_;
/* The same from text (tests, fuzzing): base is the folder for relative paths. */
int kube_access_parse(const char *text, size_t len, const char *what, const char *base, const char *context,
	struct kube_access **ret, struct km_err *err) _must_check_;

/* From explicit parts; strings copied (NULL: absent), roots and identity referenced. */
int kube_access_new(const char *server, STACK_OF(X509) *roots, struct km_identity *identity, const char *token_file,
	struct kube_access **ret, struct km_err *err) _must_check_;
void kube_access_free(struct kube_access *access); /* wipes the token; NULL is fine */
void kube_access_freep(struct kube_access **access);

/* A kubeconfig with everything embedded, as YAML text; the caller wipes and frees (it holds a private key). */
int kube_access_write_kubeconfig(const char *server, const char *ca_pem, const char *cert_pem, const char *key_pem,
	const char *user, char **ret, struct km_err *err) _must_check_;
