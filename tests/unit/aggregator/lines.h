/* SPDX-License-Identifier: Apache-2.0 */
/* Lines as text, so that a parser's whole output is compared at once: "SERIES NAMESPACE/POD/CONTAINER VALUE TIME\n". */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/point.h"
#include "core/buf.h"

#define LINES_REQUEST_NS INT64_C(1795410090000000000) /* when the recorded samples were taken, about */

static inline const char *lines_series(enum agg_series series)
{
	static const char *const names[] = {
		[AGG_NODE_CPU] = "node-cpu",
		[AGG_NODE_MEMORY] = "node-mem",
		[AGG_NODE_SWAP] = "node-swap",
		[AGG_CONTAINER_CPU] = "cpu",
		[AGG_CONTAINER_MEMORY] = "mem",
		[AGG_CONTAINER_SWAP] = "swap",
		[AGG_CONTAINER_STORAGE] = "storage",
		[AGG_NODE_STORAGE] = "node-storage",
		[AGG_CONTAINER_START] = "start",
		[AGG_CONTAINER_LISTED] = "listed",
		[AGG_SCRAPE_ERROR] = "error",
	};

	return names[series];
}

/* An agg_line_fn; arg: struct km_buf. The time is left out where it is the request's, or there is none. */
static inline void lines_add(const struct agg_line *line, void *arg)
{
	struct km_buf *out = arg;

	km_buf_adds(out, lines_series(line->series));
	if (line->container)
		km_buf_addf(out, " %.*s/%.*s/%.*s", (int)line->namespace_len, line->namespace_, (int)line->pod_len,
			line->pod, (int)line->container_len, line->container);
	if (line->series != AGG_CONTAINER_LISTED)
		km_buf_addf(out, " %llu", (unsigned long long)line->value);
	if (line->series != AGG_CONTAINER_LISTED && line->timestamp_ns && line->timestamp_ns != LINES_REQUEST_NS)
		km_buf_addf(out, " @%lld", (long long)line->timestamp_ns);
	km_buf_addc(out, '\n');
}

/* A recorded sample; the tests run in the checkout's top folder. */
static inline char *lines_sample(const char *name, size_t *ret_len)
{
	char path[256];
	FILE *f;
	char *data;
	long n;

	snprintf(path, sizeof(path), "tests/data/samples/%s", name);
	f = fopen(path, "rb");
	if (!f || fseek(f, 0, SEEK_END) < 0 || (n = ftell(f)) < 0) {
		perror(path);
		abort();
	}
	rewind(f);
	data = malloc((size_t)n + 1);
	if (!data || fread(data, 1, (size_t)n, f) != (size_t)n)
		abort();
	fclose(f);
	data[n] = '\0';
	*ret_len = (size_t)n;
	return data;
}
