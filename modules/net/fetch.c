/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers and their requests: resolve, wait for a token, connect, ask, answer; one deadline over all of it.
 */
#include "net/fetch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "net/fetch_internal.h"

static void step_connect(struct km_fetch_peer *peer, const char *address);

void fetch_where(const struct km_fetch_peer *peer, char out[FETCH_WHERE_MAX])
{
	snprintf(out, FETCH_WHERE_MAX, strchr(peer->host, ':') ? "[%s]:%u" : "%s:%u", peer->host, peer->port);
}

/* ---- the end of a request ---- */

static void end_request(struct km_fetch_peer *peer, struct km_fetch_result *result)
{
	void (*on_done)(const struct km_fetch_result *, void *) = peer->on_done;
	void *arg = peer->arg;

	result->reused = peer->reused;
	result->started_wall_ns = peer->started_wall_ns;
	peer->state = GET_IDLE;
	peer->stale = false;
	km_timer_cancel(peer->deadline);
	free(peer->path);
	if (peer->authorization)
		explicit_bzero(peer->authorization, strlen(peer->authorization));
	free(peer->authorization);
	peer->path = peer->authorization = NULL;
	on_done(result, arg); /* may start the next one, or free the peer */
}

static void fail(struct km_fetch_peer *peer, int error, const char *text)
{
	struct km_fetch_result result = {.error = error, .error_text = text};

	fetch_conn_drop(peer->conn);
	end_request(peer, &result);
}

static void leave_queue(struct km_fetch_peer *peer)
{
	struct km_fetcher *f = peer->fetcher;

	if (!peer->wait.self)
		return;
	*peer->wait.self = peer->wait.next;
	if (peer->wait.next)
		peer->wait.next->wait.self = peer->wait.self;
	else
		f->waiting_last = peer->wait.self;
	peer->wait.self = NULL;
}

/* ---- resolving, on the worker thread ---- */

struct resolve {
	struct km_fetch_peer *peer; /* NULL: nobody waits any more */
	char host[FETCH_HOST_MAX + 1];
	char address[FETCH_ADDRESS_MAX];
	int error; /* EAI_* */
};

static void resolve_work(void *arg)
{
	struct resolve *r = arg;
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG},
			*list = NULL;

	r->error = getaddrinfo(r->host, NULL, &hints, &list);
	if (r->error == 0)
		r->error = getnameinfo(
			list->ai_addr, list->ai_addrlen, r->address, sizeof(r->address), NULL, 0, NI_NUMERICHOST);
	if (list)
		freeaddrinfo(list);
}

static void resolve_done(void *arg)
{
	struct resolve *r = arg;
	struct km_fetch_peer *peer = r->peer;
	char text[400];

	if (peer) {
		peer->resolve = NULL;
		if (r->error == 0) {
			step_connect(peer, r->address);
		} else {
			snprintf(text, sizeof(text), "%s: the name cannot be resolved: %s", r->host,
				gai_strerror(r->error));
			fail(peer, -ENOENT, text);
		}
	}
	free(r);
}

static int start_resolve(struct km_fetch_peer *peer)
{
	struct resolve *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->peer = peer;
	snprintf(r->host, sizeof(r->host), "%s", peer->host);
	e = km_loop_work(peer->fetcher->loop, resolve_work, resolve_done, r);
	if (e < 0) {
		free(r);
		return e;
	}
	peer->resolve = r;
	peer->state = GET_RESOLVING;
	return 0;
}

/* ---- the token bucket for new connections ---- */

static void refill(struct km_fetcher *f)
{
	uint64_t now = km_now_us(), cap = f->rate * KM_USEC_PER_SEC;

	f->tokens = KM_MIN(f->tokens + (now - f->refilled_us) * f->rate, cap);
	f->refilled_us = now;
}

static bool take_token(struct km_fetcher *f)
{
	refill(f);
	if (f->tokens < KM_USEC_PER_SEC)
		return false;
	f->tokens -= KM_USEC_PER_SEC;
	return true;
}

static void start_step(struct km_fetch_peer *peer);

static void on_refill(void *arg)
{
	struct km_fetcher *f = KM_CAST(struct km_fetcher, arg, FETCHER_MAGIC);

	while (f->waiting && take_token(f)) {
		struct km_fetch_peer *peer = f->waiting;

		leave_queue(peer);
		start_step(peer);
	}
	if (f->waiting)
		km_timer_set(f->refill, KM_USEC_PER_SEC / f->rate + 1);
}

static void wait_for_token(struct km_fetch_peer *peer)
{
	struct km_fetcher *f = peer->fetcher;

	peer->state = GET_WAITING;
	peer->wait.next = NULL;
	peer->wait.self = f->waiting_last;
	*f->waiting_last = peer;
	f->waiting_last = &peer->wait.next;
	if (!km_timer_armed(f->refill))
		km_timer_set(f->refill, KM_USEC_PER_SEC / f->rate + 1);
}

/* ---- the steps ---- */

static void step_connect(struct km_fetch_peer *peer, const char *address)
{
	struct km_err err = {0};
	int r = fetch_conn_open(peer, address, &err);

	if (r < 0)
		fail(peer, r, *err.text ? err.text : "the connection could not be made");
}

/* With a token in hand: resolve if needed, then connect. */
static void start_step(struct km_fetch_peer *peer)
{
	int r;

	if (peer->literal) {
		step_connect(peer, peer->host);
		return;
	}
	r = start_resolve(peer);
	if (r < 0)
		fail(peer, r, "too many names are being resolved");
}

static void new_connection(struct km_fetch_peer *peer)
{
	peer->reused = false;
	/* one that is earned belongs to whoever waits longest, not to who asks before the timer fires */
	if (!peer->fetcher->waiting && take_token(peer->fetcher))
		start_step(peer);
	else
		wait_for_token(peer);
}

/* Runs from the loop, so that on_done is never called from inside km_fetch_get. */
static void begin(void *arg)
{
	struct km_fetch_peer *peer = KM_CAST(struct km_fetch_peer, arg, PEER_MAGIC);

	if (peer->state != GET_BEGIN)
		return; /* ended before it began */
	fetch_conn_drop(peer->conn);
	new_connection(peer);
}

static void on_deadline(void *arg)
{
	struct km_fetch_peer *peer = KM_CAST(struct km_fetch_peer, arg, PEER_MAGIC);
	static const char *const doing[] = {"", "not begun", "resolving its name", "waiting for a free connection slot",
		"connecting, or waiting for the reply"};
	char text[400], where[FETCH_WHERE_MAX];

	if (peer->state == GET_IDLE)
		return;
	fetch_where(peer, where);
	snprintf(text, sizeof(text), "%s: no answer within the deadline (%s)", where, doing[peer->state]);
	leave_queue(peer);
	if (peer->resolve) {
		peer->resolve->peer = NULL;
		peer->resolve = NULL;
	}
	fail(peer, -ETIMEDOUT, text);
}

/* ---- replies ---- */

void fetch_failed(struct fetch_conn *c, int error, const char *text)
{
	struct km_fetch_peer *peer = c->peer;

	/* The kubelet closed the kept connection just when we asked: once more, on a new one. */
	if (peer->reused && !peer->retried && c->received == 0) {
		peer->retried = true;
		fetch_conn_drop(c);
		new_connection(peer);
		return;
	}
	fail(peer, error, text);
}

void fetch_replied(struct fetch_conn *c, bool keep)
{
	struct km_fetch_peer *peer = c->peer;
	struct km_fetcher *f = peer->fetcher;
	struct km_fetch_result result = {.error_text = "", .status = c->reply.status, .body_len = c->reply.body_len};
	size_t body_at = c->reply.body_at;

	/* The fetcher keeps the bytes until the next reply comes, which is not before on_done has returned. */
	km_buf_free(&f->spare);
	f->spare = c->reply.in;
	c->reply = (struct fetch_reply){0};
	result.body = f->spare.data + body_at;
	if (!keep || peer->stale || peer->conn_generation != f->generation)
		fetch_conn_drop(c);
	end_request(peer, &result);
}

/* ---- peers ---- */

int km_fetch_peer_new(struct km_fetcher *f, km_fetch_judge_fn judge, void *arg, struct km_fetch_peer **ret)
{
	struct km_fetch_peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return -ENOMEM;
	*peer = (struct km_fetch_peer){.magic = PEER_MAGIC, .fetcher = f, .judge = judge, .judge_arg = arg};
	if (km_timer_new(f->loop, on_deadline, peer, &peer->deadline) < 0) {
		free(peer);
		return -ENOMEM;
	}
	*ret = peer;
	return 0;
}

static void free_peer(void *arg)
{
	struct km_fetch_peer *peer = KM_CAST(struct km_fetch_peer, arg, PEER_MAGIC);

	km_timer_free(peer->deadline);
	free(peer->host);
	free(peer->path);
	if (peer->authorization)
		explicit_bzero(peer->authorization, strlen(peer->authorization));
	free(peer->authorization);
	peer->magic = 0;
	free(peer);
}

void km_fetch_peer_free(struct km_fetch_peer *peer)
{
	if (!peer)
		return;
	leave_queue(peer);
	if (peer->resolve)
		peer->resolve->peer = NULL;
	fetch_conn_drop(peer->conn);
	km_timer_cancel(peer->deadline);
	peer->state = GET_IDLE;
	/* later than any begin() that is on the loop's list */
	km_loop_reap(peer->fetcher->loop, free_peer, peer);
}

static bool is_name(const char *host)
{
	size_t n = strlen(host);

	return n > 0 && n <= FETCH_HOST_MAX && host[0] != '-' && host[0] != '.' &&
	       strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == n;
}

int km_fetch_peer_target(struct km_fetch_peer *peer, const char *host, uint16_t port, bool plain, struct km_err *err)
{
	unsigned char scratch[sizeof(struct in6_addr)];
	bool literal = inet_pton(AF_INET, host, scratch) == 1 || inet_pton(AF_INET6, host, scratch) == 1;
	char *copy;

	if (port == 0 || (!literal && !is_name(host)))
		return km_fail(err, -EINVAL, "\"%.64s\":%u is not an address", host, port);
	if (peer->host && strcmp(peer->host, host) == 0 && peer->port == port && peer->plain == plain)
		return 0;
	copy = strdup(host);
	if (!copy)
		return km_fail(err, -ENOMEM, "out of memory");
	km_fetch_peer_disconnect(peer);
	free(peer->host);
	peer->host = copy;
	peer->port = port;
	peer->plain = plain;
	peer->literal = literal;
	return 0;
}

void km_fetch_peer_disconnect(struct km_fetch_peer *peer)
{
	if (peer->state == GET_IDLE)
		fetch_conn_drop(peer->conn);
	else
		peer->stale = true;
}

bool km_fetch_peer_busy(const struct km_fetch_peer *peer)
{
	return peer->state != GET_IDLE;
}

int km_fetch_get(struct km_fetch_peer *peer, const char *path, const char *authorization, uint64_t deadline_us,
	size_t max_body, void (*on_done)(const struct km_fetch_result *, void *), void *arg)
{
	if (peer->state != GET_IDLE)
		return -EBUSY;
	if (!peer->host)
		return -EINVAL;
	peer->path = strdup(path);
	peer->authorization = authorization ? strdup(authorization) : NULL;
	if (!peer->path || (authorization && !peer->authorization)) {
		free(peer->path);
		peer->path = NULL;
		return -ENOMEM;
	}
	peer->max_body = max_body;
	peer->on_done = on_done;
	peer->arg = arg;
	peer->retried = false;
	peer->state = GET_BEGIN;
	peer->started_wall_ns = km_wall_ns();
	km_timer_set(peer->deadline, deadline_us);
	if (peer->conn && peer->conn_generation == peer->fetcher->generation) {
		peer->reused = true;
		if (fetch_conn_send(peer) == 0)
			return 0; /* without another turn of the loop */
		peer->state = GET_BEGIN;
	}
	km_loop_reap(peer->fetcher->loop, begin, peer);
	return 0;
}

/* ---- the fetcher ---- */

int km_fetcher_new(
	struct km_loop *loop, const struct km_fetcher_config *config, struct km_fetcher **ret, struct km_err *err)
{
	struct km_fetcher *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return km_fail(err, -ENOMEM, "out of memory");
	*f = (struct km_fetcher){.magic = FETCHER_MAGIC,
		.loop = loop,
		.rate = config->connects_per_second ? config->connects_per_second : FETCH_RATE_DEFAULT};
	f->waiting_last = &f->waiting;
	f->tokens = f->rate * KM_USEC_PER_SEC;
	f->refilled_us = km_now_us();
	f->user_agent = strdup(config->user_agent ? config->user_agent : "kmetricsd");
	r = f->user_agent ? km_tls_client_ctx(NULL, config->identity, false, &f->ctx, err) : -ENOMEM;
	if (r == 0)
		r = km_timer_new(loop, on_refill, f, &f->refill);
	if (r < 0) {
		km_fetcher_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

int km_fetcher_set_identity(struct km_fetcher *f, struct km_identity *identity, struct km_err *err)
{
	SSL_CTX *ctx;
	int r = km_tls_client_ctx(NULL, identity, false, &ctx, err);

	if (r < 0)
		return r;
	SSL_CTX_free(f->ctx);
	f->ctx = ctx;
	f->generation++; /* kept connections of the old one are dropped at their next use */
	return 0;
}

void km_fetcher_free(struct km_fetcher *f)
{
	if (!f)
		return;
	assert(!f->waiting);
	km_timer_free(f->refill);
	km_buf_free(&f->spare);
	SSL_CTX_free(f->ctx);
	free(f->user_agent);
	f->magic = 0;
	free(f);
}
