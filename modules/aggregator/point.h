/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one scrape says of a container or a node, the two points that are kept of each, and the rate between them. Pure:
 * no clock, no I/O, no memory of its own (spec metrics-api 2c-3c, with the improvements of 9).
 */
#pragma once

#include "aggregator/gauges.h"

enum agg_series {
	AGG_NODE_CPU,     /* cumulative, ns */
	AGG_NODE_MEMORY,  /* working set, bytes */
	AGG_NODE_SWAP,    /* bytes; kubelets from 1.28 on, and only they */
	AGG_NODE_STORAGE, /* bytes; this and the container's: of agg_summary_parse_storage only */
	AGG_CONTAINER_CPU,
	AGG_CONTAINER_MEMORY,
	AGG_CONTAINER_SWAP,
	AGG_CONTAINER_START, /* ns since 1970 */
	AGG_CONTAINER_STORAGE,
	AGG_CONTAINER_LISTED, /* no figure: the container is there, but a line of it could not be used */
	AGG_SCRAPE_ERROR, /* scrape_error / resource_scrape_error: the kubelet could not get its figures (value 1) */
};

/* One line of /metrics/resource, or one figure of /stats/summary. Text pieces are borrowed, unescaped, not
 * NUL-terminated; absent for nodes. */
struct agg_line {
	enum agg_series series;
	const char *namespace_, *pod, *container;
	size_t namespace_len, pod_len, container_len;
	uint64_t value;       /* ns or bytes; never wraps: bad or negative values do not become lines */
	int64_t timestamp_ns; /* since 1970; the request's start when the line had none */
};

typedef void (*agg_line_fn)(const struct agg_line *line, void *arg);

/*
 * Whether a sample's time can be believed: not before 2000 (kubelets have sent -62135596800000 around a pod's start and
 * end, spec 2d), not more than an hour after the request.
 */
bool agg_timestamp_ok(int64_t timestamp_ns, int64_t request_ns);

struct agg_point {
	int64_t cpu_ts_ns;  /* time of the CPU sample; 0: no CPU figure */
	uint64_t cpu_ns;    /* cumulative */
	int64_t mem_ts_ns;  /* 0: no memory figure */
	uint64_t mem_bytes; /* working set */
	int64_t start_ns;   /* of the container, 0: unknown */
};

/* A served figure. */
struct agg_usage {
	uint64_t cpu_nanocores;
	uint64_t mem_bytes;
	int64_t timestamp_ns; /* end of the window: the newer point's CPU time */
	int64_t window_ns;
	struct agg_gauges more;
};

/*
 * Rate of two points of the same counter: 0 and the usage; -EAGAIN when later is not newer than earlier; -ERANGE when
 * the counter went back, jumped beyond AGG_CORES_MAX, or the container was started in between (then only a
 * fresh-container rate from its start is honest). Nanocores are truncated as upstream: (uint64_t)((double)delta /
 * seconds).
 */
#define AGG_CORES_MAX 1024 /* more than a kubelet's machine has */
int agg_rate(const struct agg_point *earlier, const struct agg_point *later, struct agg_usage *ret) _must_check_;

/* ---- the two points that are kept of a container or node ---- */

/* A CPU figure to subtract from. */
struct agg_mark {
	int64_t cpu_ts_ns; /* 0: none */
	uint64_t cpu_ns;
};

struct agg_pair {
	struct agg_point earlier, newest; /* cpu_ts_ns == 0: none */
	struct agg_mark old, older;       /* a whole window apart each; see agg_pair_mark */
	int64_t dated_ns; /* by our own clock: since when newest can have been there; kubelets' clocks may be off */
};

#define AGG_MIN_WINDOW_NS INT64_C(1000000000)
/*
 * An average over more than this is no current usage: a point that old is no longer subtracted from, and an older
 * container gets no rate since its start. Five minutes is for how long the HPA controller itself looks at a sample's
 * window (its cpu-initialization-period).
 */
#define AGG_MAX_WINDOW_NS (300 * INT64_C(1000000000))
/* A sample that goes back by more means that the node's clock was set, not that the kubelet repeats itself. */
#define AGG_CLOCK_STEP_NS (60 * INT64_C(1000000000))

enum agg_added {
	AGG_ADDED,          /* also a first point */
	AGG_ADDED_REPEATED, /* the kubelet has no newer CPU figure; memory may have moved on */
	AGG_ADDED_RESET, /* counter or clock went back, or the container was restarted: the former points are dropped */
	AGG_ADDED_STALE, /* the former points were too old to subtract from */
};

/*
 * Takes what a scrape says into the pair. since_ns: our time of the scrape before this one, 0: none; now_ns: our time.
 * max_window_ns: at least AGG_MAX_WINDOW_NS. The rules (spec 3a, 9):
 * - the rate is over the newest point and the one before it that is at least AGG_MIN_WINDOW_NS away;
 * - with one point only, of a container whose start is known and in reach, the earlier point is its start with CPU 0;
 * - a figure that is missing in the sample stays as it was.
 */
enum agg_added agg_pair_add(
	struct agg_pair *pair, const struct agg_point *sample, int64_t since_ns, int64_t now_ns, int64_t max_window_ns);

/*
 * A node that is scraped more often than once a window has short windows; two marks, a whole window apart each, keep a
 * long one beside: from the older mark to the newest point it is at least window_ns and less than twice that and a
 * scrape. To be called after each agg_pair_add, with what that said.
 */
void agg_pair_mark(struct agg_pair *pair, enum agg_added added, int64_t window_ns);
/* CPU over that long window; -ENOENT: there is none yet. */
int agg_pair_full_cpu(const struct agg_pair *pair, uint64_t *ret_nanocores) _must_check_;

/* 0 and the usage, or -ENOENT while there is none: one point only, or no memory figure as new as the CPU's (up to
 * max_window_ns). */
int agg_pair_usage(const struct agg_pair *pair, int64_t max_window_ns, struct agg_usage *ret) _must_check_;
