/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HPA controller: scales on the aggregator's samples as kube-controller-manager does, and only where that one does
 * not. The registry in cmd/run.c needs nothing but this.
 */
#pragma once

#include "module.h"

extern const struct km_module hpa_module;
