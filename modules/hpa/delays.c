/* SPDX-License-Identifier: Apache-2.0 */
#include "hpa/delays.h"

#include <stdio.h>

static const uint64_t upper_ms[HPA_DELAY_BUCKETS - 1] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000};

void hpa_delays_note(struct hpa_delays *d, uint64_t us)
{
	size_t i = 0;

	while (i < KM_ARRAY_LEN(upper_ms) && us > upper_ms[i] * 1000)
		i++;
	d->n[i]++;
}

json_t *hpa_delays_json(const struct hpa_delays *d)
{
	json_t *o = json_object();
	char key[24];

	for (size_t i = 0; i < KM_ARRAY_LEN(upper_ms); i++) {
		snprintf(key, sizeof(key), "%llu", (unsigned long long)upper_ms[i]);
		json_object_set_new(o, key, json_integer((json_int_t)d->n[i]));
	}
	json_object_set_new(o, "more", json_integer((json_int_t)d->n[HPA_DELAY_BUCKETS - 1]));
	return o;
}
