/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kmsim: the simulator's parts in one struct. One loop, one thread; kubelets and API server are evhttp servers over
 * TLS. It is what demos, benches and fault tests run on, never proof: tests/sim/compare keeps it honest.
 */
#pragma once

#include <event2/http.h>
#include <jansson.h>
#include <openssl/ssl.h>

#include "core/buf.h"
#include "tests/sim/need.h"
#include "tests/sim/world.h"
#include "tests/unit/support/pki.h"

#define SIM_TOKEN "sim-token" /* the bearer token that is accepted everywhere */

enum sim_kubelet_fault {
	SIM_NO_FAULT,
	SIM_HANG,      /* never answers */
	SIM_GARBAGE,   /* bytes that are no metrics */
	SIM_TRUNCATED, /* the connection ends in the middle of the reply */
	SIM_401,
	SIM_500,
	SIM_SLOW,      /* a few bytes at a time */
	SIM_BACKWARDS, /* time goes backwards: each sample is older than the one before */
	SIM_DUPLICATE, /* every series twice */
	SIM_KUBELET_FAULTS
};

/* Of the API server; each until it is switched off, dropping excepted, which happens once. */
struct sim_api_faults {
	bool too_old;  /* 410 for watches that resume */
	bool too_many; /* 429 for lists and watches */
	bool broken;   /* 500 for everything */
	bool stale;    /* a GET of a scale shows what was before, and watches of Deployments tell nothing */
};

struct sim_stats {
	uint64_t scrapes, summaries, lists, watches, events_sent, gets, writes, reviews, conflicts;
	uint64_t kubelet_connections, api_connections;
};

struct sim_watcher;

struct sim_server {
	SSL_CTX *tls;
	uint64_t *connections;
};

struct sim {
	struct event_base *base;
	struct sim_world world;
	struct test_cert ca, front_proxy_ca, client, front_proxy_client, api_cert;
	struct test_cert *node_certs; /* one a node */
	struct sim_server kubelet_server, api_server;
	struct evhttp *kubelets, *api;
	uint16_t kubelet_port, api_port;
	const char *out;                /* folder for what the daemon needs */
	bool summary_only;              /* kubelets without /metrics/resource */
	bool swap;                      /* kubelets tell how much is swapped out */
	const char *const *autoscaling; /* served versions, newest first; NULL-terminated */
	const char *const *allowed;     /* users whom reviews allow everything; NULL-terminated; NULL: all */
	uint8_t *kubelet_faults;        /* one a node */
	int64_t *backwards_ns;          /* one a node: how far its clock has gone back */
	struct sim_api_faults faults;
	struct sim_stats stats;
	struct km_map objects; /* store.c: "group/resource/namespace/name" to struct sim_object */
	struct sim_watcher *watchers;
	uint64_t stale_since; /* what watches of Deployments have been told, while faults.stale */
	struct sim_history *history;
};

int64_t sim_now_ns(void);

/* net.c: an evhttp that serves over TLS; the server is borrowed, and stays where it is */
struct evhttp *sim_http(struct event_base *base, struct sim_server *server,
	void (*fn)(struct evhttp_request *req, void *arg), void *arg);
/* Binds and listens; *port 0: any, told back. */
void sim_listen(struct evhttp *http, const char *address, uint16_t *port);
SSL_CTX *sim_tls(struct sim *sim);
SSL *sim_request_ssl(struct evhttp_request *req);
/* Whether the request comes with a certificate of the simulator's CA, or with its token. */
bool sim_is_known(struct evhttp_request *req);
void sim_reply(struct evhttp_request *req, int code, const char *type, struct km_buf *body);
void sim_reply_text(struct evhttp_request *req, int code, const char *type, const char *text);
/* Frees a request that was being answered in pieces when its client left: libevent hands it over to us then, and to
 * nobody otherwise. */
void sim_forget(struct evhttp_request *req);
/* Cuts the connection of a request that is not answered otherwise. */
void sim_cut(struct evhttp_request *req);

/* kubelet.c */
void sim_kubelets_start(struct sim *sim);
/* "hang", ...; -1: no such fault */
int sim_kubelet_fault_of(const char *name);

/* api.c */
void sim_api_start(struct sim *sim);

/* control.c: faults as /sim/faults and --fault have them. False: not understood, or they hit nobody. */
#define SIM_FAULTS_OF_KUBELETS "kubelet=none|hang|garbage|truncated|401|500|slow|backwards|duplicate[&nodes=A-B]"
#define SIM_FAULTS_OF_API      "api=none|too-old|too-many|broken|stale|drop,..."
bool sim_fault(struct sim *sim, const char *text);
