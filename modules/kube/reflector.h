/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One list+watch of one resource, for as long as the daemon lives: first list at resourceVersion=0 streamed item by
 * item, then a watch resumed by resourceVersion and bookmarks; survives 410 (relist), 429 with Retry-After, truncated
 * streams and API server restarts, with jittered exponential back-off (0.8 s .. 30 s, reset after a healthy minute). A
 * watch is asked to end after 5-10 random minutes and is cut after a silence of 10.
 */
#pragma once

#include "kube/client.h"

struct kube_reflector;

enum kube_event { KUBE_LISTED, KUBE_ADDED, KUBE_MODIFIED, KUBE_DELETED };

struct kube_reflector_ops {
	/* A new list begins: what is not LISTED again before list_end is gone. A list that breaks off has no list_end:
	 * what was LISTED stays, nothing goes. */
	void (*list_begin)(void *arg);
	/* One object, parsed from its slice (borrowed). A negative return counts the object as undecodable (counted,
	 * told once through ->problem) and goes on. */
	int (*object)(enum kube_event event, json_t *object, void *arg, struct km_err *err);
	void (*list_end)(void *arg);
	/* State changes worth a line, once per change: error as in struct kube_result, -EBADMSG for an object that was
	 * left out; error 0 and text NULL: in order again (after a problem). May be NULL. */
	void (*problem)(int error, const char *text, void *arg);
};

struct kube_reflector_config {
	struct kube_client *client; /* borrowed; freed after the reflector */
	const char *path;           /* "/api/v1/pods"; copied */
	const char *query;          /* "fieldSelector=metadata.name%3Dx" or "" ; copied */
	struct kube_reflector_ops ops;
	void *arg;
	uint64_t backoff_min_us, backoff_max_us; /* 0: the defaults above; tests lower them */
	/* After a problem, a watch without an error for this long counts as being in order again. 0: 15 s. */
	uint64_t settle_us;
};

/* Starts at once. 0, -ENOMEM, -EAGAIN (too many calls under way), -EINVAL (path and query too long). */
int kube_reflector_new(const struct kube_reflector_config *config, struct kube_reflector **ret) _must_check_;
void kube_reflector_free(struct kube_reflector *r);         /* NULL is fine; not from inside an ops function */
bool kube_reflector_synced(const struct kube_reflector *r); /* a list has completed */

struct kube_reflector_stats {
	uint64_t lists, watches, events, bookmarks, undecodable, failures;
	uint64_t last_contact_us; /* monotonic: last byte of use from the API server; 0: never */
};
void kube_reflector_stats(const struct kube_reflector *r, struct kube_reflector_stats *ret);
