/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The aggregator: scrapes the kubelets, keeps the samples, serves metrics.k8s.io. The registry in cmd/run.c needs
 * nothing but this.
 */
#pragma once

#include "module.h"

extern const struct km_module agg_module;
