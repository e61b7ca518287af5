/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scripted HTTPS API server on the loop of the test: the test's function gets each request and answers it as it
 * likes, at once or later, whole, in pieces, cut short or not at all. Nothing of it is clever: HTTP/1.1 with
 * Content-Length in, anything out. Failing aborts.
 */
#pragma once

#include <string.h>

#include "core/loop.h"
#include "kube/client.h"

struct apistub;
struct apistub_conn; /* valid until apistub_free, even after it was closed (then answering does nothing) */

struct apistub_request {
	const char *method, *target, *body; /* target with its query */
	const char *head;                   /* request line and headers as received */
};

typedef void (*apistub_fn)(struct apistub_conn *c, const struct apistub_request *request, void *arg);

struct apistub *apistub_new(struct km_loop *loop, apistub_fn fn, void *arg); /* listens on 127.0.0.1, any port */
void apistub_stop(struct apistub *s);    /* refuses connections, cuts those there are */
void apistub_restart(struct apistub *s); /* listens again on the same port */
void apistub_free(struct apistub *s);
size_t apistub_open(const struct apistub *s); /* connections open now */

const char *apistub_url(const struct apistub *s); /* "https://127.0.0.1:PORT" */
X509 *apistub_cert(const struct apistub *s);      /* borrowed; its own root */

/*
 * Trusts the stub; token may be NULL. The caller frees it. (Here and not in apistub.c, which is linked with the tests
 * of the layers below kube as well.)
 */
static inline struct kube_access *apistub_access(struct apistub *s, const char *token)
{
	STACK_OF(X509) *roots = sk_X509_new_null();
	struct kube_access *access = NULL;

	if (!roots || sk_X509_push(roots, apistub_cert(s)) <= 0 ||
		kube_access_new(apistub_url(s), roots, NULL, NULL, &access, NULL) < 0)
		abort();
	sk_X509_free(roots);
	access->token = token ? strdup(token) : NULL;
	return access;
}

/* A whole reply. headers: NULL or lines each ended by CRLF. */
void apistub_reply(struct apistub_conn *c, int status, const char *headers, const char *body);
/* A chunked reply. */
void apistub_stream(struct apistub_conn *c, int status);
void apistub_chunk(struct apistub_conn *c, const char *text);
void apistub_end(struct apistub_conn *c);
/* Bytes as they are. */
void apistub_raw(struct apistub_conn *c, const char *bytes);
/* Closes once what was sent is out. */
void apistub_cut(struct apistub_conn *c);
bool apistub_is_open(const struct apistub_conn *c);

/* Runs the loop until cond(arg) holds; false after five seconds (fifty with KMETRICSD_TEST_SLOW, for valgrind). */
bool apistub_until(struct km_loop *loop, bool (*cond)(void *arg), void *arg);
