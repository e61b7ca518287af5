/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API client over net/http_client: URL, credentials, JSON bodies, Status errors in words. It owns the HTTP client
 * that belongs to the present access and the list of calls under way; a call lives until its on_done has returned or it
 * is cancelled.
 */
#include "kube/client.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/file.h"
#include "kube/call.h"
#include "kube/status.h"

#define CLIENT_MAGIC 0x6b63616cU
#define CALL_MAGIC   0x6b63636dU

#define DEFAULT_DEADLINE_US (30 * KM_USEC_PER_SEC)
#define TOKEN_RECHECK_US    (60 * KM_USEC_PER_SEC)
#define TOKEN_FILE_MAX      (16 * 1024)
#define PATH_MAX_BYTES      8192

struct kube_client {
	uint32_t magic;
	struct km_loop *loop;        /* borrowed */
	struct km_http_client *http; /* owned */
	char *server, *user_agent;   /* owned */
	char *token;                 /* owned; the latest known, or NULL */
	char *token_file;            /* owned, or NULL */
	uint64_t token_read_us;
	struct kube_call *calls; /* under way */
};

struct kube_call {
	uint32_t magic;
	struct kube_client *client; /* NULL when it was freed from inside on_done */
	struct kube_call *next, **link;
	struct km_http_call *http; /* NULL while on_done runs */
	char *title;               /* "GET /api/v1/nodes", owned */
	int (*on_data)(int status, const char *bytes, size_t n, void *arg);
	void (*on_done)(const struct kube_result *result, void *arg);
	void *arg;
	void (*on_free)(void *arg);
	void *on_free_arg;
	int status;            /* of a streamed reply, once known */
	struct km_buf problem; /* the body of a streamed reply that is an error */
	bool in_done, cancelled;
};

/* ---- life of the client ---- */

static void token_set(struct kube_client *c, char *token)
{
	if (c->token) {
		OPENSSL_cleanse(c->token, strlen(c->token));
		free(c->token);
	}
	c->token = token;
}

/*
 * Reads the token file when the last look is a minute old (projected service account tokens are renewed hourly). This
 * one small file is read on the loop: it is on a local disk or tmpfs, and at most once a minute. A file that cannot be
 * read leaves the former token in force.
 */
static void token_refresh(struct kube_client *c)
{
	uint64_t now = km_now_us();
	char *text;
	size_t len;

	if (!c->token_file || (c->token_read_us != 0 && now - c->token_read_us < TOKEN_RECHECK_US))
		return;
	c->token_read_us = now;
	if (km_file_read(c->token_file, TOKEN_FILE_MAX, &text, &len, NULL) < 0)
		return;
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == ' '))
		text[--len] = '\0';
	for (size_t i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] >= 0x7f) {
			len = 0;
			break;
		}
	}
	if (len == 0) {
		free(text);
		return;
	}
	token_set(c, text);
}

/* The parts of an access that a client keeps; all or nothing. */
static int use_access(struct kube_client *c, const struct kube_access *access, struct km_err *err)
{
	const struct km_http_client_config config = {
		.roots = access->roots,
		.identity = access->identity,
		.insecure = access->insecure,
		.server_name = access->server_name,
		.user_agent = c->user_agent,
		.max_connections = KUBE_CONNECTIONS_MAX,
	};
	_cleanup_free_ char *server = strdup(access->server);
	_cleanup_free_ char *token_file = access->token_file ? strdup(access->token_file) : NULL;
	_cleanup_free_ char *token = access->token ? strdup(access->token) : NULL;
	struct km_http_client *http;
	int r;

	if (!server || (access->token_file && !token_file) || (access->token && !token))
		return km_fail(err, -ENOMEM, "%s: out of memory", access->source);
	r = km_http_client_new(c->loop, &config, &http, err);
	if (r < 0)
		return r;
	if (c->http)
		km_http_client_drain(c->http);
	c->http = http;
	free(c->server);
	c->server = KM_TAKE(server);
	free(c->token_file);
	c->token_file = KM_TAKE(token_file);
	token_set(c, KM_TAKE(token));
	c->token_read_us = 0;
	return 0;
}

int kube_client_new(struct km_loop *loop, const struct kube_access *access, const char *user_agent,
	struct kube_client **ret, struct km_err *err)
{
	struct kube_client *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return km_fail(err, -ENOMEM, "%s: out of memory", access->source);
	c->magic = CLIENT_MAGIC;
	c->loop = loop;
	c->user_agent = strdup(user_agent);
	r = c->user_agent ? use_access(c, access, err) : km_fail(err, -ENOMEM, "%s: out of memory", access->source);
	if (r < 0) {
		kube_client_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

int kube_client_set_access(struct kube_client *client, const struct kube_access *access, struct km_err *err)
{
	return use_access(client, access, err);
}

const char *kube_client_server(const struct kube_client *client)
{
	return client->server;
}

struct km_loop *kube_client_loop(struct kube_client *client)
{
	return client->loop;
}

void kube_client_free(struct kube_client *client)
{
	if (!client)
		return;
	assert(client->magic == CLIENT_MAGIC);
	while (client->calls)
		kube_call_cancel(client->calls);
	if (client->http)
		km_http_client_free(client->http);
	token_set(client, NULL);
	free(client->token_file);
	free(client->server);
	free(client->user_agent);
	client->magic = 0;
	free(client);
}

/* ---- calls ---- */

static void call_free(struct kube_call *call)
{
	void (*on_free)(void *arg) = call->on_free;
	void *arg = call->on_free_arg;

	km_buf_free(&call->problem);
	free(call->title);
	call->magic = 0;
	free(call);
	if (on_free)
		on_free(arg);
}

static void call_unlink(struct kube_call *call)
{
	if (!call->client)
		return;
	*call->link = call->next;
	if (call->next)
		call->next->link = call->link;
	call->client = NULL;
}

void kube_call_cancel(struct kube_call *call)
{
	if (!call)
		return;
	assert(call->magic == CALL_MAGIC);
	call_unlink(call);
	if (call->http)
		km_http_call_cancel(KM_TAKE(call->http));
	if (call->in_done) { /* the frame below still stands on it */
		call->cancelled = true;
		return;
	}
	call_free(call);
}

void kube_call_on_free(struct kube_call *call, void (*fn)(void *arg), void *arg)
{
	call->on_free = fn;
	call->on_free_arg = arg;
}

static int on_http_data(int status, const char *bytes, size_t n, void *arg)
{
	struct kube_call *call = KM_CAST(struct kube_call, arg, CALL_MAGIC);

	call->status = status;
	if (status < 300)
		return call->on_data(status, bytes, n, call->arg); /* may have cancelled and freed the call */
	km_buf_add(&call->problem, bytes, n);
	return call->problem.error; /* an error body without end is cut off */
}

/* The transport's text without the URL in front, whose query is long and differs each time. */
static const char *without_url(const char *text)
{
	const char *colon = strncmp(text, "http", 4) == 0 ? strstr(text, ": ") : NULL;

	return colon ? colon + 2 : text;
}

static void on_http_done(const struct km_http_result *http, void *arg)
{
	struct kube_call *call = KM_CAST(struct kube_call, arg, CALL_MAGIC);
	struct kube_result result = {.retry_after_s = http->retry_after_s, .body = "", .text = ""};
	struct km_err text;

	call->http = NULL;
	if (call->on_data) {
		result.status = call->status != 0 ? call->status : http->status;
		if (call->problem.len > 0) {
			result.body = call->problem.data;
			result.body_len = call->problem.len;
		}
	} else {
		result.status = http->status;
		if (http->body_len > 0) {
			result.body = http->body;
			result.body_len = http->body_len;
		}
	}
	if (result.status == 401)
		call->client->token_read_us = 0; /* it may have been replaced before the minute was over */
	if (result.status >= 300) {
		result.error = kube_status_error(
			call->title, result.status, result.body, result.body_len, &result.retry_after_s, &text);
		result.text = text.text;
	} else if (http->error != 0) {
		result.error = km_fail(&text, http->error, "%s: %s: %s", call->title, call->client->server,
			without_url(http->error_text));
		result.text = text.text;
	}
	call->in_done = true;
	call->on_done(&result, call->arg);
	call->in_done = false;
	if (call->http) /* it goes on with another request */
		return;
	call_unlink(call);
	call_free(call);
}

static int start_http(struct kube_call *call, const struct kube_request *request)
{
	struct kube_client *c = call->client;
	_cleanup_free_ char *url = NULL, *body = NULL, *bearer = NULL;
	struct km_http_header accept = {"Accept", request->accept ? request->accept : "application/json"};
	int r;

	if (strlen(request->path) > PATH_MAX_BYTES || request->path[0] != '/')
		return -EINVAL;
	token_refresh(c);
	if (c->token && asprintf(&bearer, "Bearer %s", c->token) < 0) {
		bearer = NULL;
		return -ENOMEM;
	}
	if (asprintf(&url, "%s%s", c->server, request->path) < 0) {
		url = NULL;
		r = -ENOMEM;
		goto out;
	}
	if (request->body) {
		body = json_dumps(request->body, JSON_COMPACT);
		if (!body) {
			r = -ENOMEM;
			goto out;
		}
	}
	free(call->title);
	/* without the query: resourceVersions would make each message another one */
	if (asprintf(&call->title, "%s %.*s", request->method, (int)strcspn(request->path, "?"), request->path) < 0) {
		call->title = NULL;
		r = -ENOMEM;
		goto out;
	}
	call->on_data = request->on_data;
	call->on_done = request->on_done;
	call->arg = request->arg;
	call->status = 0;
	km_buf_reset(&call->problem);

	const struct km_http_request http = {
		.method = request->method,
		.url = url,
		.headers = &accept,
		.n_headers = 1,
		.authorization = bearer,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.body_type = request->patch_type ? request->patch_type : "application/json",
		.deadline_us = request->deadline_us == 0            ? DEFAULT_DEADLINE_US
			       : request->deadline_us == UINT64_MAX ? 0
								    : request->deadline_us,
		.idle_us = request->idle_us,
		.dedicated = request->dedicated,
		.on_data = request->on_data ? on_http_data : NULL,
		.on_done = on_http_done,
		.arg = call,
	};
	r = km_http_call_start(c->http, &http, &call->http);
out:
	if (bearer)
		OPENSSL_cleanse(bearer, strlen(bearer));
	return r;
}

int kube_request_start(struct kube_client *client, const struct kube_request *request, struct kube_call **ret)
{
	struct kube_call *call = calloc(1, sizeof(*call));
	int r;

	if (!call)
		return -ENOMEM;
	call->magic = CALL_MAGIC;
	call->client = client;
	call->problem = KM_BUF_INIT(KUBE_STATUS_MAX);
	r = start_http(call, request);
	if (r < 0) {
		call_free(call);
		return r;
	}
	call->next = client->calls;
	if (call->next)
		call->next->link = &call->next;
	call->link = &client->calls;
	client->calls = call;
	*ret = call;
	return 0;
}

int kube_call_continue(struct kube_call *call, const struct kube_request *request)
{
	assert(call->in_done);
	if (call->cancelled || !call->client)
		return -ECANCELED;
	return start_http(call, request);
}
