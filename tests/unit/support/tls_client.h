/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blocking TLS client for tests that send exact bytes; it runs beside the loop under test, on another thread. No call
 * waits longer than TEST_CLIENT_WAIT_S. Nothing here asserts (cmocka cannot be left from another thread): callers keep
 * what they saw and check later.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/unit/support/pki.h"

#define TEST_CLIENT_WAIT_S 10

struct test_client {
	int fd; /* -1: not connected */
	SSL_CTX *ctx;
	SSL *ssl;
	char ahead[65536]; /* read and not yet taken */
	size_t ahead_len;
};

struct test_reply {
	int status; /* 0: no reply came */
	char head[4096];
	char *body; /* malloc'ed, NUL-terminated; test_reply_free */
	size_t body_len;
	bool whole; /* the framing says that all of the body came */
	bool chunked;
};

/* TCP only. */
bool test_client_tcp(struct test_client *c, uint16_t port);
/* The handshake on top; cert may be NULL. */
bool test_client_tls(struct test_client *c, const struct test_cert *cert);
/* Both. */
bool test_client_connect(struct test_client *c, uint16_t port, const struct test_cert *cert);
bool test_client_send(struct test_client *c, const void *bytes, size_t n);
bool test_client_puts(struct test_client *c, const char *text);
/* Some bytes; 0 at the end, negative on an error (a reset, an end without close_notify, the wait is over). */
int test_client_some(struct test_client *c, char *out, size_t size);
/* Whether the server has closed: true when no byte comes any more, however that shows. */
bool test_client_closed(struct test_client *c);
/* One reply. head_only: to HEAD. False when no whole one came; what did come is in *ret. */
bool test_client_reply(struct test_client *c, bool head_only, struct test_reply *ret);
void test_reply_free(struct test_reply *reply);
void test_client_close(struct test_client *c); /* with close_notify */
void test_client_reset(struct test_client *c); /* without a word */
