/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The [hpa] section: keys carry kube-controller-manager's flag names and defaults (spec hpa 1.1).
 */
#pragma once

#include "core/config.h"

enum hpa_compat { HPA_COMPAT_FIXED, HPA_COMPAT_STRICT };

struct hpa_options {
	int64_t metric_resolution; /* ns; 0: no lane of its own */
	int64_t sync_period, downscale_stabilization, cpu_initialization_period, initial_readiness_delay; /* ns */
	double tolerance;
	int mode;   /* enum hpa_mode */
	int compat; /* enum hpa_compat */
	bool scale_to_zero;
};

extern const struct km_section hpa_section;
