/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scene of the kubelet client's tests: one peer, a scripted HTTPS server, and what the last request came to.
 */
#pragma once

#include <errno.h>

#include "net/fetch.h"
#include "tests/unit/net/client_scene.h"

#define BODY_MAX 1000
#define AGAIN    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain"

struct outcome {
	unsigned done;
	int error, status;
	bool reused;
	char text[1200], body[BODY_MAX + 1];
};

struct scene {
	struct km_loop *loop;
	struct apistub *stub;
	struct raw raw;
	struct km_fetcher *fetcher;
	struct km_fetch_peer *peer;
	uint16_t port;
	struct outcome out;
	/* the judge */
	unsigned judged, refuse_from; /* 0: never */
	/* the server */
	const char *reply[8]; /* to the n-th request; NULL: none. Beyond: AGAIN */
	bool cut[8];
	unsigned requests, conns;
	struct apistub_conn *last;
	char head[2048];
	struct km_timer *drip;
};

static inline int judge(X509 *leaf, STACK_OF(X509) *chain, const char *address, void *arg, struct km_err *err)
{
	struct scene *s = arg;

	assert_string_equal(address, "127.0.0.1");
	assert_true(sk_X509_num(chain) == 1 && X509_cmp(sk_X509_value(chain, 0), leaf) == 0);
	s->judged++;
	if (s->refuse_from && s->judged >= s->refuse_from)
		return km_fail(err, -EKEYREJECTED, "this is not my kubelet");
	return 0;
}

static inline void answer(struct apistub_conn *c, const struct apistub_request *request, void *arg)
{
	struct scene *s = arg;
	unsigned i = s->requests++;

	if (c != s->last)
		s->conns++;
	s->last = c;
	snprintf(s->head, sizeof(s->head), "%s", request->head);
	if (i >= KM_ARRAY_LEN(s->reply)) {
		apistub_raw(c, AGAIN);
		return;
	}
	if (s->reply[i])
		apistub_raw(c, s->reply[i]);
	if (s->cut[i])
		apistub_cut(c);
}

static inline void open_scene(struct scene *s)
{
	struct km_err err = {0};

	*s = (struct scene){0};
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(km_loop_new(&s->loop, &err), 0);
	s->stub = apistub_new(s->loop, answer, s);
	s->port = (uint16_t)atoi(strrchr(apistub_url(s->stub), ':') + 1);
	for (size_t i = 0; i < KM_ARRAY_LEN(s->reply); i++)
		s->reply[i] = AGAIN;
	assert_int_equal(
		km_fetcher_new(s->loop, &(struct km_fetcher_config){.user_agent = "test/1"}, &s->fetcher, &err), 0);
	assert_int_equal(km_fetch_peer_new(s->fetcher, judge, s, &s->peer), 0);
	assert_int_equal(km_fetch_peer_target(s->peer, "127.0.0.1", s->port, false, &err), 0);
}

static inline void close_scene(struct scene *s)
{
	km_timer_free(s->drip);
	km_fetch_peer_free(s->peer);
	km_fetcher_free(s->fetcher);
	raw_stop(&s->raw);
	apistub_free(s->stub);
	km_loop_free(s->loop);
}

static inline void keep(const struct km_fetch_result *result, struct outcome *out)
{
	unsigned done = out->done + 1;

	*out = (struct outcome){
		.done = done, .error = result->error, .status = result->status, .reused = result->reused};
	assert_true(result->started_wall_ns > 0);
	if (result->error) {
		assert_null(result->body);
		assert_true(*result->error_text != '\0');
		snprintf(out->text, sizeof(out->text), "%s", result->error_text);
	} else {
		assert_true(result->body_len <= BODY_MAX);
		memcpy(out->body, result->body, result->body_len);
	}
}

static inline void on_done(const struct km_fetch_result *result, void *arg)
{
	keep(result, arg);
}

static inline bool is_done(void *arg)
{
	return ((struct outcome *)arg)->done > 0;
}

static inline struct outcome get_within(struct scene *s, uint64_t deadline_us)
{
	s->out = (struct outcome){0};
	assert_int_equal(km_fetch_get(s->peer, "/metrics/resource", NULL, deadline_us, BODY_MAX, on_done, &s->out), 0);
	assert_int_equal(s->out.done, 0);
	assert_true(km_fetch_peer_busy(s->peer));
	assert_int_equal(km_fetch_get(s->peer, "/", NULL, NEVER_US, BODY_MAX, on_done, &s->out), -EBUSY);
	if (!apistub_until(s->loop, is_done, &s->out))
		fail_msg("no result");
	assert_int_equal(s->out.done, 1);
	assert_false(km_fetch_peer_busy(s->peer));
	return s->out;
}

static inline struct outcome get(struct scene *s)
{
	return get_within(s, NEVER_US);
}

static inline void assert_text(const struct outcome *out, const char *needle)
{
	if (!strstr(out->text, needle))
		fail_msg("\"%s\" does not mention \"%s\"", out->text, needle);
}

static inline void assert_names(const struct outcome *out, uint16_t port)
{
	char where[32];

	snprintf(where, sizeof(where), "127.0.0.1:%u: ", port);
	assert_text(out, where);
}
