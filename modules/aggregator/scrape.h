/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by scraper.c (which nodes there are) and scrape.c (the scrapes of one).
 */
#pragma once

#include "aggregator/kubelet_tls.h"
#include "aggregator/pins_file.h"
#include "aggregator/scraper.h"
#include "aggregator/target.h"
#include "core/map.h"
#include "kube/selector.h"
#include "net/fetch.h"

#define AGG_SCRAPER_MAGIC 0x6b6d7363u
#define AGG_SCRAPED_MAGIC 0x6b6d736eu

/* One node. */
struct agg_scraped {
	uint32_t magic;
	struct agg_scraper *owner;
	/* who and where it is; these never change: a Node that has moved gets a new struct */
	char *name, *uid, *hostname;          /* hostname: NULL when it has none */
	char *hosts[KUBE_NODE_ADDRESSES_MAX]; /* owned, in the order to try */
	size_t n_hosts;
	uint16_t port, plain_port; /* as in agg_target */
	bool plain_only;
	char *metrics_path; /* owned; of the annotation, or NULL */
	char *version;      /* of the kubelet */
	bool ready;         /* by the Node's condition */
	int64_t ready_since_s;
	struct km_fetch_peer *peer;
	struct km_timer *timer;
	struct agg_walk walk;
	struct agg_path_walk path;
	struct agg_door door;
	/* the schedule */
	uint64_t slot_us;     /* of the usual scrape that is next, or under way */
	uint64_t lane_us;     /* period of scrapes in between, 0: none (scrape_lane.h) */
	bool between;         /* the scrape that is next, or under way, is one of those */
	bool repeated;        /* the last one brought nothing new */
	uint64_t deadline_us; /* of the scrape under way */
	bool scraped;         /* at least once: the phase is settled */
	/* how it fares */
	unsigned failures, slack_failures; /* in a row; those that slacken the pace */
	int logged;                        /* the cause that was logged last, 0: none, all is well */
	bool over_limit;
	int64_t last_success_ns;
	struct agg_node_timing timing; /* name: borrowed from above */
	uint64_t asked_us;             /* when the request under way was sent */
	uint64_t begun_us;             /* when the scrape under way began */
	char *error;                   /* owned, NULL while it fares well */
	/* ephemeral storage */
	uint64_t storage_due_us; /* when it is asked for again */
	bool storage_missed;     /* the last time it was not to be had */
	/* trust, of the connection in use */
	int verdict; /* enum agg_tls_verdict, or negative */
	bool unsettled;
	char sha256[KM_FINGERPRINT_MAX]; /* to be pinned */
};

struct agg_scraper {
	uint32_t magic;
	struct km_context *ctx;
	const struct agg_options *options; /* borrowed */
	struct agg_store *store;
	struct km_identity *identity; /* one reference, or NULL */
	struct km_fetcher *fetcher;
	STACK_OF(X509) *roots;          /* owned, or NULL */
	struct kube_selector *selector; /* owned; NULL: all */
	struct agg_pins_file *pins;
	struct km_map nodes; /* name -> struct agg_scraped, owned */
	struct agg_scraper_counters counters;
	void (*landed)(const char *node, void *arg); /* or NULL */
	void *landed_arg;
	struct agg_histogram scrapes;
	int64_t newest_success_ns;
	bool insecure_logged;
};

/* Judges the kubelet's certificate; a km_fetch_judge_fn, arg: the node. */
int agg_scrape_judge(X509 *leaf, STACK_OF(X509) *chain, const char *address, void *arg, struct km_err *err);
/* What the node's timer calls: one scrape, and when it has ended the timer is set again. arg: the node. */
void agg_scrape(void *arg);
/* A scrape has ended, and all that goes with it: sets the timer for the next one. */
void agg_scrape_schedule(struct agg_scraped *n);
/* Behind a good scrape: true when more is asked for, and agg_scrape_schedule is called when that has ended. */
bool agg_scrape_storage(struct agg_scraped *n);
/* Scrapes in between this often; 0: none. */
void agg_scrape_set_lane(struct agg_scraped *n, uint64_t period_us);
/* Sets the timer to come at random within this time from now on. */
void agg_scrape_within(struct agg_scraped *n, uint64_t spread_us);
/* Something has changed that may make a failing node work: it is asked again within a second. */
void agg_scrape_soon(struct agg_scraped *n);
/* Whether the kubelet is asked without TLS, at which port, and for what. */
bool agg_scrape_is_plain(const struct agg_scraped *n);
uint16_t agg_scrape_port(const struct agg_scraped *n);
const char *agg_scrape_path(const struct agg_scraped *n);
uint64_t agg_scrape_resolution_us(const struct agg_scraper *s);
