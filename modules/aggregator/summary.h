/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a kubelet's /stats/summary, for kubelets before 1.14, which have no /metrics/resource. The whole document is
 * parsed at once: such kubelets are few and old, and a node's summary has at most a few megabytes.
 */
#pragma once

#include "aggregator/prom.h"
#include "core/err.h"

/* Figures without a time of their own get request_ns. -EBADMSG: not a summary. ret counts figures as lines. */
int agg_summary_parse(const char *text, size_t len, int64_t request_ns, agg_line_fn fn, void *arg,
	struct agg_prom_stats *ret, struct km_err *err) _must_check_;
