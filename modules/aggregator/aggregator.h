/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The aggregator: scrapes the kubelets, keeps the samples, serves metrics.k8s.io. The registry in cmd/run.c needs
 * nothing but this.
 */
#pragma once

#include "module.h"
#include "usage_source.h"

extern const struct km_module agg_module;

/* The samples of this instance of the module; usable as long as it is. */
struct km_usage_source agg_module_usage(void *self);
/* Its faster scrapes; usable as long as it is. */
struct km_scrape_lane agg_module_lane(void *self);
