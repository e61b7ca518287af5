/* SPDX-License-Identifier: Apache-2.0 */
#include "hpa/options.h"

#include "core/clock.h"
#include "hpa/presence.h"

#define SECOND KM_NSEC_PER_SEC
#define HOUR   (3600 * SECOND)

static const char *const modes[] = {
	[HPA_MODE_AUTO] = "auto", [HPA_MODE_ACTIVE] = "active", [HPA_MODE_SHADOW] = "shadow", NULL};

static const char *const compats[] = {[HPA_COMPAT_FIXED] = "fixed", [HPA_COMPAT_STRICT] = "strict", NULL};

static const struct km_opt rows[] = {
	{.key = "mode",
		.type = KM_OPT_ENUM,
		.offset = offsetof(struct hpa_options, mode),
		.dflt = "auto",
		.choices = modes,
		.doc = "auto: scales once kube-controller-manager's controller is proved to be off; active: scales; "
		       "shadow: computes and logs, scales nothing"},
	{.key = "compat",
		.type = KM_OPT_ENUM,
		.offset = offsetof(struct hpa_options, compat),
		.dflt = "fixed",
		.choices = compats,
		.doc = "strict: decides bit for bit as Kubernetes 1.36; fixed: without its defects that hurt (no step "
		       "down "
		       "when no pod is ready, no step against the usage, ended pods do not count)"},
	{.key = "hpa-metric-resolution",
		.type = KM_OPT_DURATION,
		.offset = offsetof(struct hpa_options, metric_resolution),
		.dflt = "5s",
		.min = 0,
		.max = HOUR,
		.doc = "nodes that carry pods of an HPA are scraped this often by the instance that scales; steps down "
		       "still need a whole metric-resolution; 0 or compat = strict: as often as the others"},
	{.key = "horizontal-pod-autoscaler-sync-period",
		.type = KM_OPT_DURATION,
		.offset = offsetof(struct hpa_options, sync_period),
		.dflt = "15s",
		.min = SECOND,
		.max = HOUR,
		.doc = "period of the fallback tick: each HPA is looked at at least this often"},
	{.key = "horizontal-pod-autoscaler-downscale-stabilization",
		.type = KM_OPT_DURATION,
		.offset = offsetof(struct hpa_options, downscale_stabilization),
		.dflt = "5m0s",
		.min = 0,
		.max = HOUR,
		.doc = "how far back the highest recommendation holds a scale-down, where the HPA says nothing"},
	{.key = "horizontal-pod-autoscaler-tolerance",
		.type = KM_OPT_DOUBLE,
		.offset = offsetof(struct hpa_options, tolerance),
		.dflt = "0.1",
		.min = 0,
		.max = 1000,
		.doc = "deviation of the usage ratio from 1.0 that does not scale"},
	{.key = "horizontal-pod-autoscaler-cpu-initialization-period",
		.type = KM_OPT_DURATION,
		.offset = offsetof(struct hpa_options, cpu_initialization_period),
		.dflt = "5m0s",
		.min = 0,
		.max = HOUR,
		.doc = "time after a pod's start in which CPU samples are doubted"},
	{.key = "horizontal-pod-autoscaler-initial-readiness-delay",
		.type = KM_OPT_DURATION,
		.offset = offsetof(struct hpa_options, initial_readiness_delay),
		.dflt = "30s",
		.min = 0,
		.max = HOUR,
		.doc = "time after a pod's start in which a change of readiness counts as its first"},
	{.key = "hpa-scale-to-zero",
		.type = KM_OPT_BOOL,
		.offset = offsetof(struct hpa_options, scale_to_zero),
		.dflt = "no",
		.doc = "kube-controller-manager's feature gate HPAScaleToZero: an HPA with minReplicas 0 and an Object "
		       "or "
		       "External metric scales to zero and back"},
};

const struct km_section hpa_section = {
	.name = "hpa",
	.doc = "The HPA controller: scales as kube-controller-manager's does, and only where that one does not.",
	.size = sizeof(struct hpa_options),
	.opts = rows,
	.n_opts = KM_ARRAY_LEN(rows),
};
