/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's multi interface on the loop. libcurl tells which sockets it wants watched and when it wants to be called
 * again; everything else happens in its callbacks and in reap(), which runs after them, because no easy handle may be
 * removed inside one of its own callbacks.
 */
#include "net/http_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"

#define CLIENT_MAGIC 0x6b6d6863u
#define CALL_MAGIC   0x6b6d686cu
#define SOCKET_MAGIC 0x6b6d6873u

#define CALLS_MAX           1024
#define MAX_BODY_DEFAULT    (16 * 1024 * 1024)
#define CONNECTIONS_DEFAULT 8
#define CONNECT_TIMEOUT_MS  10000L

struct km_http_client {
	uint32_t magic;
	struct km_loop *loop;
	CURLM *multi;
	struct event *timer;
	STACK_OF(X509) *roots;
	struct km_identity *identity;
	bool insecure;
	char *server_name, *user_agent;
	struct km_http_call *calls;
	size_t n_calls;
	bool reaping, draining, freed;
};

struct km_http_call {
	uint32_t magic;
	struct km_http_client *client;
	CURL *easy;
	struct curl_slist *headers;
	char *body;
	struct km_buf reply;
	struct km_timer *idle;
	uint64_t idle_us;
	int (*on_data)(int, const char *, size_t, void *);
	void (*on_done)(const struct km_http_result *, void *);
	void *arg;
	int abort_error; /* why our own callback ended it */
	bool cancelled, added;
	char curl_error[CURL_ERROR_SIZE];
	struct km_http_call *next, **self;
};

struct watched {
	uint32_t magic;
	struct event *event;
	struct km_http_client *client;
	curl_socket_t fd;
};

static void pump(struct km_http_client *client);
static void free_client(void *arg);

/* ---- sockets and the timer ---- */

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct km_http_client *client = KM_CAST(struct watched, arg, SOCKET_MAGIC)->client;
	int running;

	curl_multi_socket_action(client->multi, fd,
		(what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0), &running);
	pump(client);
}

static void free_watched(void *arg)
{
	struct watched *w = KM_CAST(struct watched, arg, SOCKET_MAGIC);

	event_free(w->event);
	w->magic = 0;
	free(w);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct km_http_client *client = KM_CAST(struct km_http_client, arg, CLIENT_MAGIC);
	struct watched *w = socket_arg;
	short events =
		(short)(EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w) {
			event_del(w->event);
			curl_multi_assign(client->multi, fd, NULL);
			km_loop_reap(client->loop, free_watched, w); /* it may be the event that is running */
		}
		return 0;
	}
	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w)
			return -1;
		*w = (struct watched){.magic = SOCKET_MAGIC, .client = client, .fd = fd};
		w->event = event_new(km_loop_base(client->loop), fd, events, on_socket, w);
		if (!w->event) {
			free(w);
			return -1;
		}
		curl_multi_assign(client->multi, fd, w);
	} else {
		event_del(w->event);
		event_assign(w->event, km_loop_base(client->loop), fd, events, on_socket, w);
	}
	return event_add(w->event, NULL);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct km_http_client *client = KM_CAST(struct km_http_client, arg, CLIENT_MAGIC);
	int running;

	(void)fd;
	(void)what;
	curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	pump(client);
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct km_http_client *client = KM_CAST(struct km_http_client, arg, CLIENT_MAGIC);
	struct timeval delay = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};

	(void)multi;
	if (timeout_ms < 0)
		evtimer_del(client->timer);
	else
		evtimer_add(client->timer, &delay);
	return 0;
}

/* ---- TLS: certificates as values ---- */

static CURLcode set_up_tls(CURL *easy, void *ssl_ctx, void *arg)
{
	struct km_http_client *client = KM_CAST(struct km_http_call, arg, CALL_MAGIC)->client;
	SSL_CTX *ctx = ssl_ctx;

	(void)easy;
	if (client->roots) {
		X509_STORE *store = X509_STORE_new(); /* in place of the system's: only the cluster's CA counts */

		if (!store)
			return CURLE_OUT_OF_MEMORY;
		for (int i = 0; i < sk_X509_num(client->roots); i++)
			X509_STORE_add_cert(store, sk_X509_value(client->roots, i));
		SSL_CTX_set_cert_store(ctx, store);
	}
	if (client->server_name) {
		/* libcurl would compare with the URL's host: that check is off (VERIFYHOST 0) and OpenSSL makes this
		 * one instead. */
		X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
		bool ip = strspn(client->server_name, "0123456789.") == strlen(client->server_name) ||
			  strchr(client->server_name, ':');

		if ((ip ? X509_VERIFY_PARAM_set1_ip_asc(param, client->server_name)
			: X509_VERIFY_PARAM_set1_host(param, client->server_name, 0)) != 1)
			return CURLE_SSL_CERTPROBLEM;
	}
	if (client->identity) {
		if (SSL_CTX_use_certificate(ctx, sk_X509_value(client->identity->chain, 0)) != 1 ||
			SSL_CTX_use_PrivateKey(ctx, client->identity->key) != 1)
			return CURLE_SSL_CERTPROBLEM;
		for (int i = 1; i < sk_X509_num(client->identity->chain); i++)
			SSL_CTX_add1_chain_cert(ctx, sk_X509_value(client->identity->chain, i));
	}
	return CURLE_OK;
}

/* ---- the body ---- */

static void touch(struct km_http_call *call)
{
	if (call->idle)
		km_timer_set(call->idle, call->idle_us);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct km_http_call *call = KM_CAST(struct km_http_call, arg, CALL_MAGIC);
	long status = 0;
	int r;

	n *= size;
	if (call->cancelled)
		return 0;
	touch(call);
	if (!call->on_data) {
		km_buf_add(&call->reply, bytes, n);
		call->abort_error = call->reply.error;
		return call->reply.error ? 0 : n;
	}
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	r = call->on_data((int)status, bytes, n, call->arg);
	if (r != 0)
		call->abort_error = r < 0 ? r : -ECANCELED;
	return r != 0 || call->cancelled ? 0 : n;
}

/* ---- the end of a call ---- */

static void free_call(struct km_http_call *call)
{
	struct km_http_client *client = call->client;

	if (call->added)
		curl_multi_remove_handle(client->multi, call->easy);
	curl_easy_cleanup(call->easy);
	for (struct curl_slist *line = call->headers; line; line = line->next)
		explicit_bzero(line->data, strlen(line->data)); /* one of them may be the token */
	curl_slist_free_all(call->headers);
	free(call->body);
	km_buf_free(&call->reply);
	km_timer_free(call->idle);
	*call->self = call->next;
	if (call->next)
		call->next->self = call->self;
	client->n_calls--;
	call->magic = 0;
	free(call);
}

static int error_of(const struct km_http_call *call, CURLcode code)
{
	long os_errno = 0;

	if (call->abort_error)
		return call->abort_error;
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_COULDNT_CONNECT:
		curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os_errno);
		return os_errno > 0 ? -(int)os_errno : -ECONNREFUSED;
	case CURLE_COULDNT_RESOLVE_HOST:
		return -ENOENT;
	case CURLE_PEER_FAILED_VERIFICATION:
		return -EKEYREJECTED;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		return -ECONNRESET;
	case CURLE_PARTIAL_FILE:
		return -EBADMSG;
	case CURLE_FILESIZE_EXCEEDED:
		return -EMSGSIZE;
	default:
		return -EIO;
	}
}

static void describe(const struct km_http_call *call, CURLcode code, int error, char *out, size_t size)
{
	char *url = NULL;

	curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &url);
	if (error == 0)
		*out = '\0';
	else if (error == -EMSGSIZE && !call->on_data)
		snprintf(out, size, "%.200s: the reply is larger than %zu bytes", url ? url : "?", call->reply.max);
	else if (call->abort_error)
		snprintf(out, size, "%.200s: ended: %s", url ? url : "?", strerror(-error));
	else
		snprintf(out, size, "%.200s: %s%s%s", url ? url : "?",
			*call->curl_error ? call->curl_error : curl_easy_strerror(code),
			code == CURLE_COULDNT_CONNECT ? ": " : "",
			code == CURLE_COULDNT_CONNECT ? strerror(-error) : "");
}

static void finish(struct km_http_call *call, CURLcode code)
{
	int error = error_of(call, code);
	char text[512];
	curl_off_t retry = 0;
	const char *type = NULL;
	long status = 0;
	struct km_http_result result = {.error = error,
		.error_text = text,
		.retry_after_s = -1,
		.body = call->reply.data ? call->reply.data : "",
		.body_len = call->reply.len};

	if (call->cancelled)
		return;
	describe(call, code, error, text, sizeof(text));
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
	if (curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry) == CURLE_OK && retry > 0)
		result.retry_after_s = retry;
	result.status = (int)status;
	result.content_type = type ? type : "";
	call->cancelled = true; /* a cancel inside on_done finds it ended */
	call->on_done(&result, call->arg);
}

/* Ends what has finished or was cancelled. Runs from the loop, never inside a callback of libcurl. */
static void reap(void *arg)
{
	struct km_http_client *client = KM_CAST(struct km_http_client, arg, CLIENT_MAGIC);
	CURLMsg *message;
	int left;

	client->reaping = false;
	while (!client->freed && (message = curl_multi_info_read(client->multi, &left))) {
		struct km_http_call *call;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		KM_CAST(struct km_http_call, call, CALL_MAGIC);
		finish(call, code);
		free_call(call);
	}
	for (struct km_http_call *call = client->calls, *next; call; call = next) {
		next = call->next;
		if (call->cancelled || client->freed)
			free_call(call);
	}
	/* on_done above may have asked for another reap, which then is the last to touch the client */
	if ((client->freed || (client->draining && !client->calls)) && !client->reaping)
		free_client(client);
}

static void pump(struct km_http_client *client)
{
	if (client->reaping)
		return;
	client->reaping = true;
	km_loop_reap(client->loop, reap, client);
}

static void on_idle(void *arg)
{
	struct km_http_call *call = KM_CAST(struct km_http_call, arg, CALL_MAGIC);

	/* Finished as a time-out by hand: libcurl has no limit on silence for streams. */
	if (call->cancelled)
		return;
	call->abort_error = -ETIMEDOUT;
	finish(call, CURLE_OPERATION_TIMEDOUT);
	pump(call->client);
}

/* ---- starting a call ---- */

static int add_header(struct km_http_call *call, const char *line)
{
	struct curl_slist *more = curl_slist_append(call->headers, line);

	if (!more)
		return -ENOMEM;
	call->headers = more;
	return 0;
}

static int add_headers(struct km_http_call *call, const struct km_http_request *request)
{
	char line[8192];
	int r = 0;

	for (size_t i = 0; i < request->n_headers && r == 0; i++) {
		if (snprintf(line, sizeof(line), "%s: %s", request->headers[i].name, request->headers[i].value) >=
			(int)sizeof(line))
			return -EMSGSIZE;
		r = add_header(call, line);
	}
	if (r == 0 && request->body) {
		snprintf(line, sizeof(line), "Content-Type: %s",
			request->body_type ? request->body_type : "application/json");
		r = add_header(call, line);
		if (r == 0)
			r = add_header(call, "Expect:"); /* no round trip before a small body */
	}
	if (r == 0 && request->authorization) {
		_cleanup_free_ char *secret = NULL;

		if (asprintf(&secret, "Authorization: %s", request->authorization) < 0) {
			secret = NULL;
			return -ENOMEM;
		}
		r = add_header(call, secret);
		explicit_bzero(secret, strlen(secret));
	}
	return r;
}

static bool set_options(struct km_http_call *call, const struct km_http_request *request)
{
	struct km_http_client *client = call->client;
	CURL *e = call->easy;
	bool ok = true;

#define SET(option, value) (ok = ok && curl_easy_setopt(e, (option), (value)) == CURLE_OK)
	SET(CURLOPT_URL, request->url);
	SET(CURLOPT_PRIVATE, call);
	SET(CURLOPT_ERRORBUFFER, call->curl_error);
	SET(CURLOPT_NOSIGNAL, 1L);
	/* The API server is the next door: an HTTPS_PROXY in the environment is for other traffic (spec
	 * certs-and-wiring 3.3). */
	SET(CURLOPT_NOPROXY, "*");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_TCP_KEEPIDLE, 30L);
	SET(CURLOPT_TCP_KEEPINTVL, 10L);
	SET(CURLOPT_ACCEPT_ENCODING, request->dedicated ? NULL : ""); /* a compressed watch would arrive late */
	SET(CURLOPT_USERAGENT, client->user_agent);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, call);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_CTX_FUNCTION, set_up_tls);
	SET(CURLOPT_SSL_CTX_DATA, call);
	SET(CURLOPT_SSL_VERIFYPEER, client->insecure ? 0L : 1L);
	SET(CURLOPT_SSL_VERIFYHOST, client->insecure || client->server_name ? 0L : 2L);
	if (client->roots) { /* ours come by set_up_tls; the system's are not even loaded */
		SET(CURLOPT_CAINFO, NULL);
		SET(CURLOPT_CAPATH, NULL);
	}
	SET(CURLOPT_CUSTOMREQUEST, request->method);
	if (request->body) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
		SET(CURLOPT_POSTFIELDS, call->body);
	}
	if (!request->on_data) /* what says that it is too long is not read at all */
		SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)call->reply.max);
	if (request->deadline_us)
		SET(CURLOPT_TIMEOUT_MS, (long)KM_MIN(request->deadline_us / 1000 + 1, (uint64_t)LONG_MAX));
	if (request->dedicated) {
		SET(CURLOPT_FRESH_CONNECT, 1L);
		SET(CURLOPT_FORBID_REUSE, 1L);
	}
	SET(CURLOPT_HTTPHEADER, call->headers);
#undef SET
	return ok;
}

int km_http_call_start(struct km_http_client *client, const struct km_http_request *request, struct km_http_call **ret)
{
	struct km_http_call *call;
	int r;

	if (client->n_calls >= CALLS_MAX || client->draining || client->freed)
		return -EAGAIN;
	call = calloc(1, sizeof(*call));
	if (!call)
		return -ENOMEM;
	*call = (struct km_http_call){.magic = CALL_MAGIC,
		.client = client,
		.on_data = request->on_data,
		.on_done = request->on_done,
		.arg = request->arg,
		.idle_us = request->idle_us};
	call->reply = KM_BUF_INIT(request->max_body ? request->max_body : MAX_BODY_DEFAULT);
	call->next = client->calls;
	call->self = &client->calls;
	if (call->next)
		call->next->self = &call->next;
	client->calls = call;
	client->n_calls++;
	call->easy = curl_easy_init();
	if (request->body) {
		call->body = malloc(request->body_len + 1);
		if (call->body)
			memcpy(call->body, request->body, request->body_len);
	}
	r = !call->easy || (request->body && !call->body) ? -ENOMEM : add_headers(call, request);
	if (r == 0 && !set_options(call, request))
		r = -ENOMEM;
	if (r == 0 && request->idle_us)
		r = km_timer_new(client->loop, on_idle, call, &call->idle);
	if (r == 0 && curl_multi_add_handle(client->multi, call->easy) != CURLM_OK)
		r = -ENOMEM;
	if (r < 0) {
		free_call(call);
		return r;
	}
	call->added = true;
	touch(call);
	*ret = call;
	return 0;
}

void km_http_call_cancel(struct km_http_call *call)
{
	if (!call || call->cancelled)
		return;
	call->cancelled = true;
	pump(call->client);
}

/* ---- the client ---- */

int km_http_client_new(struct km_loop *loop, const struct km_http_client_config *config, struct km_http_client **ret,
	struct km_err *err)
{
	struct km_http_client *client = calloc(1, sizeof(*client));
	long connections = config->max_connections ? (long)config->max_connections : CONNECTIONS_DEFAULT;
	bool ok;

	if (!client || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(client);
		return km_fail(err, -ENOMEM, "the HTTP client could not be made");
	}
	*client = (struct km_http_client){.magic = CLIENT_MAGIC, .loop = loop, .insecure = config->insecure};
	client->user_agent = strdup(config->user_agent ? config->user_agent : "kmetricsd");
	client->server_name = config->server_name ? strdup(config->server_name) : NULL;
	client->roots = config->roots ? X509_chain_up_ref(config->roots) : NULL;
	client->identity = config->identity ? km_identity_ref(config->identity) : NULL;
	client->multi = curl_multi_init();
	client->timer = evtimer_new(km_loop_base(loop), on_timer, client);
	ok = client->multi && client->timer && client->user_agent && (client->server_name || !config->server_name) &&
	     (client->roots || !config->roots) &&
	     curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, watch_socket) == CURLM_OK &&
	     curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client) == CURLM_OK &&
	     curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer) == CURLM_OK &&
	     curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client) == CURLM_OK &&
	     /* what is over the number waits inside libcurl; watches are few and of the module's own making, so they
		are given room on top */
	     curl_multi_setopt(client->multi, CURLMOPT_MAX_HOST_CONNECTIONS, connections + 8) == CURLM_OK &&
	     curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, connections) == CURLM_OK;
	if (!ok) {
		free_client(client);
		return km_fail(err, -ENOMEM, "the HTTP client could not be made");
	}
	*ret = client;
	return 0;
}

static void free_client(void *arg)
{
	struct km_http_client *client = KM_CAST(struct km_http_client, arg, CLIENT_MAGIC);

	while (client->calls)
		free_call(client->calls);
	if (client->multi)
		curl_multi_cleanup(client->multi); /* closes sockets, which calls watch_socket */
	if (client->timer)
		event_free(client->timer);
	km_x509_stack_free(client->roots);
	km_identity_unref(client->identity);
	free(client->server_name);
	free(client->user_agent);
	client->magic = 0;
	free(client);
}

void km_http_client_free(struct km_http_client *client)
{
	if (!client)
		return;
	for (struct km_http_call *call = client->calls; call; call = call->next)
		call->cancelled = true;
	client->freed = true;
	pump(client); /* whoever frees us may stand inside one of our callbacks */
}

void km_http_client_drain(struct km_http_client *client)
{
	client->draining = true;
	if (!client->calls)
		pump(client);
}
