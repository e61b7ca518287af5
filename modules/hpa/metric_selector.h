/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The label selector of a metric (Pods, Object, External) in the forms it is needed in: as the API asks for it, as
 * Kubernetes' texts show it, and as the status has it (spec hpa 3.1, 6). Pure.
 */
#pragma once

#include <jansson.h>

#include "core/err.h"

#define HPA_SELECTOR_TEXT_MAX 8192 /* bytes of each form */

struct hpa_metric_selector {
	json_t *object; /* one reference; NULL: none is set */
	char *query;    /* owned: for the API; "" selects everything */
	char *shown;    /* owned: "nil", or "&LabelSelector{MatchLabels:map[string]string{a: b,},...}" */
	char *error;    /* owned: why it is none, with apimachinery's text; NULL: it is one */
};

/* in: the member, NULL or null when it is absent. What is wrong with it goes to ->error: the metric fails when it is
 * computed, as upstream's. 0 or -ENOMEM. */
int hpa_metric_selector_read(json_t *in, struct hpa_metric_selector *ret) _must_check_;
void hpa_metric_selector_clear(struct hpa_metric_selector *selector); /* a zeroed one is fine */
