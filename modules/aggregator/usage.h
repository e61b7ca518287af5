/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The samples as a usage source for the HPA controller, in process: the figures that the API would serve, without HTTP.
 */
#pragma once

#include "aggregator/view.h"
#include "usage_source.h"

struct agg_usage_reader;

/* view is borrowed and outlives the reader. 0 or -ENOMEM. */
int agg_usage_reader_new(const struct agg_view *view, struct agg_usage_reader **ret) _must_check_;
void agg_usage_reader_free(struct agg_usage_reader *r); /* NULL is fine */
struct km_usage_source agg_usage_source(struct agg_usage_reader *r);
/* New samples of this node's containers are in the store. */
void agg_usage_landed(struct agg_usage_reader *r, const char *node);
