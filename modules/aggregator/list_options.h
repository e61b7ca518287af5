/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of a list beside its selectors (meta/v1 ListOptions): limit, continue, resourceVersion and timeoutSeconds
 * change nothing here, but what Kubernetes refuses in them is refused, in its words (apimachinery 1.36: the conversion
 * of queries, and internalversion's validation; spec metrics-api 4c). Pure.
 */
#pragma once

#include "aggregator/status.h"
#include "core/err.h"
#include "net/url.h"

/* A boolean option: true when it is there and neither "false" nor "0"; empty, too. */
bool agg_option_flag(const struct km_url *url, const char *key);

/* 0, or -EINVAL and why a number among the options is none (answered with 400). */
int agg_list_options_parse(const struct km_url *url, struct km_err *err) _must_check_;

#define AGG_LIST_FAULTS_MAX 4

/* What is wrong with options that could be read; answered with 422. A zeroed struct is empty. */
struct agg_list_faults {
	struct agg_status_cause causes[AGG_LIST_FAULTS_MAX]; /* texts: constant, or in ->unsupported */
	size_t n;
	char unsupported[256];
};

void agg_list_options_judge(const struct km_url *url, bool watch, struct agg_list_faults *ret);
