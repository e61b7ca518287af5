/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the network clients share: a raw TCP server on the test's loop that answers the first bytes of each
 * connection with fixed bytes, for what a scripted HTTPS server (apistub) cannot say: plain HTTP, alerts, hanging up.
 */
#pragma once

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "tests/unit/support/apistub.h"
#include "tests/unit/support/check.h"
#include "tests/unit/support/pki.h"

#define MS       KM_USEC_PER_MSEC
/* for what is not meant to expire; also under valgrind */
#define NEVER_US (60 * KM_USEC_PER_SEC)

#define RAW_CONNS 64

struct raw {
	struct km_loop *loop;
	struct evconnlistener *listener;
	uint32_t address;  /* 0: 127.0.0.1 */
	uint16_t port;     /* 0: any, and the one taken then stands here */
	const char *reply; /* NULL: says nothing */
	size_t reply_len;  /* 0: strlen */
	bool cut;          /* closes after the reply, or at once without one */
	unsigned accepted, asked;
	size_t received;
	struct bufferevent *conns[RAW_CONNS];
};

static inline void raw_drop(struct raw *r, struct bufferevent *bev)
{
	for (size_t i = 0; i < RAW_CONNS; i++)
		if (r->conns[i] == bev)
			r->conns[i] = NULL;
	bufferevent_free(bev);
}

static inline void raw_read(struct bufferevent *bev, void *arg)
{
	struct raw *r = arg;
	struct evbuffer *in = bufferevent_get_input(bev);

	r->received += evbuffer_get_length(in);
	evbuffer_drain(in, evbuffer_get_length(in));
	r->asked++;
	if (r->reply)
		bufferevent_write(bev, r->reply, r->reply_len ? r->reply_len : strlen(r->reply));
}

static inline void raw_written(struct bufferevent *bev, void *arg)
{
	if (((struct raw *)arg)->cut)
		raw_drop(arg, bev);
}

static inline void raw_event(struct bufferevent *bev, short what, void *arg)
{
	raw_drop(arg, bev);
}

static inline void raw_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int len, void *arg)
{
	struct raw *r = arg;
	size_t i = r->accepted++;

	assert_true(i < RAW_CONNS);
	r->conns[i] = bufferevent_socket_new(km_loop_base(r->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	assert_non_null(r->conns[i]);
	bufferevent_setcb(r->conns[i], raw_read, raw_written, raw_event, r);
	bufferevent_enable(r->conns[i], EV_READ);
	if (r->cut && !r->reply)
		raw_drop(r, r->conns[i]);
}

static inline void raw_start(struct raw *r, struct km_loop *loop)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons(r->port),
		.sin_addr.s_addr = htonl(r->address ? r->address : INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	r->loop = loop;
	r->listener = evconnlistener_new_bind(km_loop_base(loop), raw_accept, r, LEV_OPT_CLOSE_ON_FREE, 128,
		(struct sockaddr *)&address, sizeof(address));
	assert_non_null(r->listener);
	assert_int_equal(getsockname(evconnlistener_get_fd(r->listener), (struct sockaddr *)&address, &len), 0);
	r->port = ntohs(address.sin_port);
}

static inline void raw_stop(struct raw *r)
{
	if (r->listener)
		evconnlistener_free(KM_TAKE(r->listener));
	for (size_t i = 0; i < RAW_CONNS; i++)
		if (r->conns[i])
			raw_drop(r, r->conns[i]);
}

/* A port of 127.0.0.1 on which nobody listens. */
static inline uint16_t closed_port(struct km_loop *loop)
{
	struct raw r = {0};

	raw_start(&r, loop);
	raw_stop(&r);
	return r.port;
}
