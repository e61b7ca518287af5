/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one scrape says of a container or a node, and the rate between two of them. Pure (spec metrics-api 2c-3c).
 */
#pragma once

#include "core/base.h"

enum agg_series {
	AGG_NODE_CPU,         /* cumulative, ns */
	AGG_NODE_MEMORY,      /* working set, bytes */
	AGG_CONTAINER_CPU,
	AGG_CONTAINER_MEMORY,
	AGG_CONTAINER_START,  /* ns since 1970 */
	AGG_SCRAPE_ERROR,     /* scrape_error / resource_scrape_error: the kubelet could not get its figures (value 1) */
};

/* One line of /metrics/resource, or one figure of /stats/summary. Text pieces are borrowed, unescaped, not NUL-terminated; absent for nodes. */
struct agg_line {
	enum agg_series series;
	const char *namespace_, *pod, *container;
	size_t namespace_len, pod_len, container_len;
	uint64_t value;       /* ns or bytes; never wraps: bad or negative values do not become lines */
	int64_t timestamp_ns; /* since 1970; the request's start when the line had none */
};

typedef void (*agg_line_fn)(const struct agg_line *line, void *arg);

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
};

/*
 * Rate of two points of the same counter: 0 and the usage; -EAGAIN when later is not newer than earlier; -ERANGE when the counter went back or the container was
 * started in between (then only a fresh-container rate from its start is honest). Nanocores are truncated as upstream: (uint64_t)((double)delta / seconds).
 */
int agg_rate(const struct agg_point *earlier, const struct agg_point *later, struct agg_usage *ret) _must_check_;
