/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a node's kubelet is and what it is asked for: addresses in the order of kubelet-preferred-address-types, the
 * port, the path; and how one goes on to the next address or path. Pure (spec metrics-api 1a, 2b; 7 row 17).
 */
#pragma once

#include "aggregator/options.h"
#include "kube/record.h"

struct agg_target {
	const char *hosts[KUBE_NODE_ADDRESSES_MAX]; /* borrowed from the node's record */
	size_t n_hosts;
	uint16_t port;
	uint16_t plain_port;      /* asked without TLS once the other one has refused; 0: never */
	bool plain;               /* all is asked without TLS */
	const char *metrics_path; /* the node's annotation, whatever it says; NULL: none; borrowed likewise */
};

/* What may be sent as a request's path: "/..." in printable ASCII without blanks, #, or more than AGG_TARGET_PATH_MAX.
 */
#define AGG_TARGET_PATH_MAX 256
bool agg_target_path_ok(const char *path);

/* n_hosts is 0 when the node has no address of a preferred type. */
void agg_target_of(const struct kube_node *node, const struct agg_options *options, struct agg_target *ret);

/* ---- which address ---- */

#define AGG_PROVEN_TIMEOUTS 3 /* after so many in a row an address that once worked is no longer preferred */

/*
 * The address that worked is used again. While none has, a scrape's time is shared between all of them; as a slow
 * kubelet may need all of it, every other scrape goes to one address only, each in turn. n: of the addresses.
 */
struct agg_walk {
	unsigned n, at, tried; /* at: index into the hosts */
	unsigned rounds, timeouts;
	bool proven;
};

void agg_walk_reset(struct agg_walk *w, size_t n); /* the addresses have changed */
void agg_walk_begin(struct agg_walk *w);           /* a scrape begins at w->at */
/* How much of the time that is left (any unit) the attempt at w->at may take. */
uint64_t agg_walk_share(const struct agg_walk *w, uint64_t left);
/* The attempt failed with this negative errno: true when w->at now is another address to be tried at once. */
bool agg_walk_failed(struct agg_walk *w, int error);
void agg_walk_worked(struct agg_walk *w); /* a reply came, whatever it says */

/* ---- with TLS or without: kubelet-read-only-port ---- */

#define AGG_DOOR_PROBE_US (UINT64_C(3600) * 1000000) /* after this long the port with TLS is tried again */

struct agg_door {
	bool plain;          /* which one is tried */
	bool plain_worked;   /* which one worked last */
	uint64_t settled_us; /* since when */
};

void agg_door_begin(struct agg_door *d, uint64_t now_us); /* a scrape begins with d->plain */
/* The one with TLS failed with this negative errno or HTTP status: true when the one without is to be tried. */
bool agg_door_refused(struct agg_door *d, int cause);
/* It worked; true when it is another than before. */
bool agg_door_worked(struct agg_door *d, uint64_t now_us);

/* ---- which path ---- */

enum agg_path { AGG_PATH_RESOURCE, AGG_PATH_RESOURCE_ALPHA, AGG_PATH_SUMMARY, AGG_PATHS };

extern const char *const agg_path_text[AGG_PATHS];

#define AGG_PATH_PROBE_US (UINT64_C(3600) * 1000000) /* after this long a newer path is asked for again */

struct agg_path_walk {
	enum agg_path at, settled; /* settled: what worked last */
	unsigned tried;
	uint64_t settled_us;
};

void agg_path_begin(struct agg_path_walk *w, uint64_t now_us); /* a scrape begins with w->at */
/* 404: true when w->at now is the next older path. */
bool agg_path_missing(struct agg_path_walk *w);
/* It worked; true when it is another than before. */
bool agg_path_worked(struct agg_path_walk *w, uint64_t now_us);
