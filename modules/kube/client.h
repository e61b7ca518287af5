/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API client: requests to the one API server, as JSON, with Status errors understood. Retries are the caller's
 * business (reflectors, apply and reviews know what is safe to repeat).
 */
#pragma once

#include <jansson.h>

#include "core/loop.h"
#include "kube/kubeconfig.h"
#include "net/http_client.h"

/* To the API server, beside those of watches; requests beyond wait their turn. Adapters behind aggregated APIs may hang
 * each of theirs for as long as its deadline. */
#define KUBE_CONNECTIONS_MAX 32

struct kube_client;
struct kube_call;

/* A token file is read again each minute, and after a 401, on the loop when a request starts: it is small and local. */
int kube_client_new(struct km_loop *loop, const struct kube_access *access, const char *user_agent,
	struct kube_client **ret, struct km_err *err) _must_check_; /* access is copied as far as needed */
/* Later requests use this access (rotation); requests under way end on the old one. */
int kube_client_set_access(struct kube_client *client, const struct kube_access *access, struct km_err *err)
	_must_check_;
/* Calls under way end without callbacks. Not from inside one. NULL is fine. */
void kube_client_free(struct kube_client *client);
const char *kube_client_server(const struct kube_client *client);
struct km_loop *kube_client_loop(struct kube_client *client);

struct kube_result {
	/*
	 * 0: HTTP status < 300. Else: -ENOENT 404, -EEXIST 409 AlreadyExists, -EAGAIN 409 Conflict, -EACCES 401/403,
	 * -ESTALE 410, -EBUSY 429, -EINVAL 400/422, -EREMOTEIO other HTTP errors, or the transport's error (-ETIMEDOUT,
	 * -ECONNREFUSED, -EKEYREJECTED, ...).
	 */
	int error;
	int status; /* HTTP status or 0 */
	/* For people, with method and path in front: the Status message, or the transport's text. "" without error. */
	const char *text;
	int64_t retry_after_s; /* -1: none */
	const char *body;      /* borrowed; "" if streamed */
	size_t body_len;
};

struct kube_request {
	const char *method;     /* "GET", "POST", "PUT", "PATCH", "DELETE" */
	const char *path;       /* "/api/v1/nodes?limit=1": already encoded; copied */
	json_t *body;           /* borrowed during the call of kube_request_start; NULL: none */
	const char *patch_type; /* for PATCH: "application/merge-patch+json" */
	const char *accept;     /* NULL: application/json */
	uint64_t deadline_us;   /* 0: 30 s; UINT64_MAX: none (watch) */
	uint64_t idle_us;
	bool dedicated;
	/* Streamed. Error bodies (status >= 300) are not passed to it. Non-zero ends the call with that error. */
	int (*on_data)(int status, const char *bytes, size_t n, void *arg);
	/* Exactly once unless cancelled; never from inside kube_request_start. */
	void (*on_done)(const struct kube_result *result, void *arg);
	void *arg;
};

/* 0, -ENOMEM, -EAGAIN (too many calls under way), -EINVAL (the path is too long). */
int kube_request_start(struct kube_client *client, const struct kube_request *request, struct kube_call **ret)
	_must_check_;
void kube_call_cancel(struct kube_call *call); /* without on_done; NULL is fine; allowed in callbacks */
