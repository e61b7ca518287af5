/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP client for the API server (and later custom metrics): libcurl multi on the loop through
 * curl_multi_socket_action. HTTP/1.1, pooled easy handles, deadlines on everything that is not a watch, streamed
 * bodies. Certificates are given as values (the SSL_CTX callback), so that rotation never depends on paths: a new
 * client is built and the old one drains.
 */
#pragma once

#include "core/base.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/loop.h"
#include "net/tls.h"

struct km_http_client;
struct km_http_call;

struct km_http_client_config {
	STACK_OF(X509) *roots;        /* NULL: the system's; copied (references) */
	struct km_identity *identity; /* NULL: none; referenced */
	bool insecure;                /* no verification (kubeconfig's insecure-skip-tls-verify) */
	const char *server_name;      /* verify this name instead of the URL's host; NULL: the host. Copied */
	const char *user_agent;       /* copied */
	unsigned max_connections;     /* to one host; 0: 8. Watches come on top (each has a connection of its own) */
};

int km_http_client_new(struct km_loop *loop, const struct km_http_client_config *config, struct km_http_client **ret,
	struct km_err *err) _must_check_;
/* Cancels what is under way (without callbacks) and frees. NULL is fine. */
void km_http_client_free(struct km_http_client *client);
/* Lets what is under way end, takes no more, then frees itself. */
void km_http_client_drain(struct km_http_client *client);

struct km_http_header {
	const char *name, *value;
};

struct km_http_result {
	int error;  /* 0: an HTTP reply came (whatever its status); else -ETIMEDOUT, -ECONNREFUSED, -EKEYREJECTED (TLS
		       verification), -EMSGSIZE (body too large), -EIO ... */
	int status; /* HTTP status, 0 if none */
	const char *error_text;   /* for people, names host and cause; "" when error == 0. Borrowed during the callback,
				     as all here */
	const char *content_type; /* "" if none */
	int64_t retry_after_s;    /* Retry-After in seconds, -1 if absent (dates are converted) */
	const char *body;         /* complete body when no on_data was given (NUL-terminated) */
	size_t body_len;
};

struct km_http_request {
	const char *method;                   /* "GET" */
	const char *url;                      /* https://host:port/path?query; copied */
	const struct km_http_header *headers; /* copied */
	size_t n_headers;
	const char
		*authorization; /* value of the Authorization header or NULL; copied, wiped when freed, never logged */
	const char *body;       /* NULL: none; copied */
	size_t body_len;
	const char *body_type; /* Content-Type of body */
	uint64_t deadline_us;  /* from start to end; 0: none (watches) */
	uint64_t idle_us;      /* longest silence while a body streams; 0: none */
	size_t max_body;       /* 0: 16 MiB. Ignored with on_data */
	bool dedicated;        /* a connection of its own (watch) */
	/* For streaming: status is known at the first call. Non-zero ends the call with that error (negative errno). */
	int (*on_data)(int status, const char *bytes, size_t n, void *arg);
	/* Exactly once, at the end, unless the call was cancelled. The call is gone afterwards. */
	void (*on_done)(const struct km_http_result *result, void *arg);
	void *arg;
};

/* Starts a call; on_done is never called from inside. -ENOMEM, or -EAGAIN when more than 1024 calls are under way. */
int km_http_call_start(struct km_http_client *client, const struct km_http_request *request, struct km_http_call **ret)
	_must_check_;
/* Ends a call without on_done. Allowed inside its own callbacks. NULL is fine. */
void km_http_call_cancel(struct km_http_call *call);
