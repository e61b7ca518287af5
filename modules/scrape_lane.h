/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which nodes deserve to be scraped more often: those that carry pods somebody scales by. The aggregator scrapes, hpa
 * says which; cmd/run.c joins the two.
 */
#pragma once

#include "core/base.h"

struct km_scrape_lane {
	/* From now on this node (if it is one) is scraped this often, beside its usual scrapes; 0: no more. Costs a
	 * look-up where nothing changes. */
	void (*set)(const char *node, uint64_t period_us, void *arg);
	void *arg;
};
