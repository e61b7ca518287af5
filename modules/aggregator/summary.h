/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a kubelet's /stats/summary, for kubelets before 1.14, which have no /metrics/resource. Pure; fuzzed. The
 * whole document is parsed at once: such kubelets are few and old, a node's summary of CPU and memory has a kilobyte a
 * container, and the body is limited to AGG_SUMMARY_MAX, of which jansson makes some ten times as much for an instant.
 */
#pragma once

#include "aggregator/prom.h"
#include "core/err.h"

#define AGG_SUMMARY_MAX (8 * 1024 * 1024)

/*
 * Figures without a time of their own get request_ns; one with an unreadable or absurd time is skipped, alone. What is
 * handed on and counted is as in agg_prom_parse. -EBADMSG: not a summary; -EMSGSIZE: longer than AGG_SUMMARY_MAX.
 */
int agg_summary_parse(const char *text, size_t len, int64_t request_ns, agg_line_fn fn, void *arg,
	struct agg_prom_stats *ret, struct km_err *err) _must_check_;

/*
 * The other part of the whole summary (without only_cpu_and_memory): AGG_NODE_STORAGE, bytes used of the node's file
 * system, and AGG_CONTAINER_STORAGE, the writable layer and the logs of a container. No timestamps. No line comes when
 * it fails; what cannot be read is left out.
 */
int agg_summary_parse_storage(const char *text, size_t len, agg_line_fn fn, void *arg, struct km_err *err) _must_check_;
