/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scene of the HTTP client's tests: a client that trusts a scripted HTTPS server, which answers by the path asked
 * for.
 */
#pragma once

#include <errno.h>

#include "net/http_client.h"
#include "tests/unit/net/client_scene.h"

#define SEEN_MAX  6000
#define MAX_CALLS 8

struct outcome {
	unsigned done, pieces; /* pieces: calls of on_data */
	int error, status, piece_status;
	int64_t retry_after_s;
	size_t len;
	char type[64], text[600], body[SEEN_MAX];
	int answer; /* what on_data returns */
};

struct scene {
	struct km_loop *loop;
	struct apistub *stub;
	struct raw raw;
	struct km_http_client *client;
	const char *base;
	/* the server */
	const char *reply; /* to /raw */
	bool cut;
	unsigned requests, conns;
	struct apistub_conn *last;
	char method[16], head[2048], body[512];
};

static inline void scene_answer(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct scene *s = arg;

	s->requests++;
	s->conns += c != s->last;
	s->last = c;
	snprintf(s->method, sizeof(s->method), "%s", request->method);
	snprintf(s->head, sizeof(s->head), "%s", request->head);
	snprintf(s->body, sizeof(s->body), "%s", request->body);
	if (strcmp(request->target, "/ok") == 0)
		apistub_reply(c, 200, NULL, "fine");
	else if (strcmp(request->target, "/stream") == 0)
		apistub_stream(c, 200);
	else if (strcmp(request->target, "/raw") == 0 && s->reply)
		apistub_raw(c, s->reply);
	/* any other path: silence */
	if (s->cut)
		apistub_cut(c);
}

static inline struct km_http_client *new_client(struct scene *s, X509 *root, const char *server_name)
{
	STACK_OF(X509) *roots = sk_X509_new_null();
	struct km_http_client *client = NULL;
	struct km_err err = {0};

	assert_true(roots && sk_X509_push(roots, root) > 0);
	if (km_http_client_new(s->loop,
		    &(struct km_http_client_config){
			    .roots = roots, .server_name = server_name, .user_agent = "test/1", .max_connections = 2},
		    &client, &err) < 0)
		fail_msg("%s", err.text);
	sk_X509_free(roots);
	return client;
}

static inline void open_scene(struct scene *s)
{
	struct km_err err = {0};

	*s = (struct scene){0};
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(km_loop_new(&s->loop, &err), 0);
	s->stub = apistub_new(s->loop, scene_answer, s);
	s->base = apistub_url(s->stub);
	s->client = new_client(s, apistub_cert(s->stub), NULL);
}

static inline void close_scene(struct scene *s)
{
	km_http_client_free(s->client);
	raw_stop(&s->raw);
	apistub_free(s->stub);
	km_loop_free(s->loop);
}

static inline void on_done(const struct km_http_result *result, void *arg)
{
	struct outcome *o = arg;

	o->done++;
	o->error = result->error;
	o->status = result->status;
	o->retry_after_s = result->retry_after_s;
	snprintf(o->type, sizeof(o->type), "%s", result->content_type);
	snprintf(o->text, sizeof(o->text), "%s", result->error_text);
	assert_int_equal(result->error == 0, *result->error_text == '\0');
	if (o->pieces > 0)
		return;
	assert_true(result->body_len < SEEN_MAX);
	assert_int_equal(result->body[result->body_len], '\0');
	o->len = result->body_len;
	memcpy(o->body, result->body, result->body_len + 1);
}

static inline int on_data(int status, const char *bytes, size_t n, void *arg)
{
	struct outcome *o = arg;

	o->pieces++;
	o->piece_status = status;
	assert_true(o->len + n < SEEN_MAX);
	memcpy(o->body + o->len, bytes, n);
	o->len += n;
	o->body[o->len] = '\0';
	return o->answer;
}

/* Starts `request`, whose url is a path here, filling in what it leaves out. */
static inline struct km_http_call *start(struct scene *s, struct km_http_request request, struct outcome *o)
{
	struct km_http_call *call = NULL;
	char url[256];

	snprintf(url, sizeof(url), "%s%s", *request.url == '/' ? s->base : "", request.url);
	request.url = url;
	request.method = request.method ? request.method : "GET";
	request.on_done = request.on_done ? request.on_done : on_done;
	request.arg = request.arg ? request.arg : o;
	assert_int_equal(km_http_call_start(s->client, &request, &call), 0);
	return call;
}

static inline bool is_done(void *arg)
{
	return ((struct outcome *)arg)->done > 0;
}

static inline void finish(struct scene *s, struct outcome *o)
{
	if (!apistub_until(s->loop, is_done, o))
		fail_msg("no result");
	assert_int_equal(o->done, 1);
}

static inline struct outcome perform(struct scene *s, struct km_http_request request)
{
	struct outcome o = {0};

	(void)start(s, request, &o);
	assert_int_equal(o.done, 0);
	finish(s, &o);
	return o;
}

static inline void assert_text(const struct outcome *o, const char *needle)
{
	if (!strstr(o->text, needle))
		fail_msg("\"%s\" does not mention \"%s\"", o->text, needle);
}

static inline bool none_open(void *arg)
{
	return apistub_open(arg) == 0;
}

static inline bool has_request(void *arg)
{
	return ((struct scene *)arg)->requests > 0;
}
