/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-floor: what a scrape costs at the very least. The daemon's own kubelet client fetches the same path from the
 * same kubelets over kept connections, in the same rhythm (each peer on a grid of the period with a random phase, those
 * due within a 150th of it together), and drops the bytes. What the daemon's scrape costs beyond this is parsing,
 * storing and bookkeeping.
 *
 * Reads "ADDRESS PORT" lines, one a kubelet, from standard input. The first round makes the connections and is not
 * measured. Ends with one line "floor FETCHES CPU_US_A_FETCH BYTES_A_FETCH"; any failed fetch is an error, because its
 * cost is not that of a fetch.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/clock.h"
#include "core/loop.h"
#include "net/fetch.h"

#define PEERS_MAX   20000
#define ROUNDS_MAX  10000
#define BODY_MAX    (64 * 1024 * 1024)
#define SLACK_PART  150 /* as in aggregator/scrape.c */
#define DEADLINE_US (10 * KM_USEC_PER_SEC)

struct bench;

struct peer {
	struct bench *bench; /* borrowed */
	struct km_fetch_peer *fetch;
	struct km_timer *timer;
	uint64_t next_us;
	bool warm;
	unsigned rounds; /* measured ones that are done */
};

struct bench {
	struct km_loop *loop;
	struct km_fetcher *fetcher;
	struct peer *peers; /* owned */
	size_t n_peers;
	const char *path;
	uint64_t period_us;
	unsigned rounds; /* measured ones a peer */
	uint64_t fetches, bytes, cpu_start_us;
	bool measuring; /* from the moment when all peers are connected */
	size_t n_warm, ended;
	struct km_err err; /* set: the run failed */
};

static uint64_t cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * KM_USEC_PER_SEC +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static int accept_any(X509 *leaf, STACK_OF(X509) *chain, const char *address, void *arg, struct km_err *err)
{
	(void)leaf;
	(void)chain;
	(void)address;
	(void)arg;
	(void)err;
	return 0;
}

static void give_up(struct bench *b, const char *text)
{
	km_fail(&b->err, -EIO, "%s", text);
	km_loop_stop(b->loop);
}

static void on_fetched(const struct km_fetch_result *result, void *arg)
{
	struct peer *p = arg;
	struct bench *b = p->bench;
	uint64_t now = km_now_us();

	if (result->error < 0 || result->status != 200) {
		char text[64];

		snprintf(text, sizeof(text), "a kubelet answered %d", result->status);
		give_up(b, result->error < 0 ? result->error_text : text);
		return;
	}
	if (p->warm && !result->reused) {
		give_up(b, "a kubelet did not keep the connection: what is measured are kept connections");
		return;
	}
	if (b->measuring) {
		b->fetches++;
		b->bytes += result->body_len;
		if (++p->rounds == b->rounds) {
			if (++b->ended == b->n_peers)
				km_loop_stop(b->loop);
			return;
		}
	}
	if (!p->warm) {
		p->warm = true;
		if (++b->n_warm == b->n_peers) {
			b->measuring = true;
			b->cpu_start_us = cpu_us();
		}
	}
	p->next_us += b->period_us;
	km_timer_set_within(p->timer, p->next_us > now ? p->next_us - now : 0, b->period_us / SLACK_PART + 1);
}

static void on_due(void *arg)
{
	struct peer *p = arg;
	struct bench *b = p->bench;

	if (km_fetch_get(p->fetch, b->path, NULL, DEADLINE_US, BODY_MAX, on_fetched, p) < 0)
		give_up(b, "a fetch could not be started");
}

static int add_peer(struct bench *b, const char *host, uint16_t port, struct km_err *err)
{
	struct peer *p = &b->peers[b->n_peers];
	int r;

	p->bench = b;
	if ((r = km_fetch_peer_new(b->fetcher, accept_any, NULL, &p->fetch)) < 0 ||
		(r = km_timer_new(b->loop, on_due, p, &p->timer)) < 0)
		return km_fail(err, r, "out of memory");
	b->n_peers++;
	return km_fetch_peer_target(p->fetch, host, port, false, err);
}

static int read_peers(struct bench *b, struct km_err *err)
{
	char host[64];
	unsigned port;
	int r;

	while (scanf("%63s %u", host, &port) == 2) {
		if (port == 0 || port > UINT16_MAX)
			return km_fail(err, -EINVAL, "port %u of %s is none", port, host);
		if (b->n_peers == PEERS_MAX)
			return km_fail(err, -E2BIG, "more than %d peers", PEERS_MAX);
		if ((r = add_peer(b, host, (uint16_t)port, err)) < 0)
			return r;
	}
	return b->n_peers > 0 ? 0 : km_fail(err, -ENODATA, "no \"ADDRESS PORT\" line on standard input");
}

static int run(struct bench *b, const char *cert, const char *key, struct km_err *err)
{
	struct km_fetcher_config config = {.connects_per_second = 1000, .user_agent = "kmetricsd-bench-floor"};
	struct km_identity *identity = NULL;
	int r;

	if ((r = km_loop_new(&b->loop, err)) < 0 || (r = km_identity_load(cert, key, &identity, err)) < 0)
		return r;
	config.identity = identity;
	r = km_fetcher_new(b->loop, &config, &b->fetcher, err);
	km_identity_unref(identity);
	if (r < 0 || (r = read_peers(b, err)) < 0)
		return r;
	for (size_t i = 0; i < b->n_peers; i++) {
		uint64_t phase = km_random_below(b->period_us);

		b->peers[i].next_us = km_now_us() + phase;
		km_timer_set(b->peers[i].timer, phase);
	}
	if ((r = km_loop_run(b->loop)) < 0)
		return km_fail(err, r, "the event loop ended: %s", strerror(-r));
	if (*b->err.text)
		return km_fail(err, -EIO, "%s", b->err.text);
	printf("floor %llu %.1f %llu\n", (unsigned long long)b->fetches,
		(double)(cpu_us() - b->cpu_start_us) / (double)b->fetches, (unsigned long long)(b->bytes / b->fetches));
	return 0;
}

static void finish(struct bench *b)
{
	for (size_t i = 0; i < b->n_peers; i++) {
		km_timer_free(b->peers[i].timer);
		km_fetch_peer_free(b->peers[i].fetch);
	}
	km_fetcher_free(b->fetcher);
	if (b->loop)
		km_loop_free(b->loop);
	free(b->peers);
}

static bool parse_count(const char *text, unsigned long max, unsigned long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoul(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *ret > 0 && *ret <= max;
}

int main(int argc, char **argv)
{
	struct bench b = {0};
	struct km_err err = {0};
	unsigned long period_ms, rounds;
	int r;

	if (argc != 6 || !parse_count(argv[1], 3600 * 1000, &period_ms) || !parse_count(argv[2], ROUNDS_MAX, &rounds)) {
		fprintf(stderr, "Usage: bench-floor PERIOD_MS ROUNDS PATH CLIENT_CERT CLIENT_KEY <ADDRESSES\n\n"
				"ADDRESSES: \"ADDRESS PORT\" lines, one a kubelet.\n");
		return 2;
	}
	b.period_us = period_ms * KM_USEC_PER_MSEC;
	b.rounds = (unsigned)rounds;
	b.path = argv[3];
	b.peers = calloc(PEERS_MAX, sizeof(*b.peers));
	r = b.peers ? run(&b, argv[4], argv[5], &err) : km_fail(&err, -ENOMEM, "out of memory");
	if (r < 0)
		fprintf(stderr, "bench-floor: %s\n", err.text);
	finish(&b);
	return r < 0;
}
