/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long things take, counted in buckets; for `kmetricsd status -o json` and the bench. Pure.
 */
#pragma once

#include <jansson.h>

#include "core/base.h"

#define HPA_DELAY_BUCKETS 13

struct hpa_delays {
	uint64_t n[HPA_DELAY_BUCKETS];
};

void hpa_delays_note(struct hpa_delays *d, uint64_t us);
/* {"1": n, "2": n, ..., "5000": n, "more": n}: how many took at most so many milliseconds, and more than the bucket
 * before. New reference. */
json_t *hpa_delays_json(const struct hpa_delays *d);
