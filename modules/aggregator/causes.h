/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines once per cause: clients repeat a refused request many times a minute, and its reason belongs in the journal
 * once. A bounded table of hashes; a cause is told again after an hour, and when more causes turn up than fit, that is
 * told once instead of them (a client can make up causes at will).
 */
#pragma once

#include "core/base.h"

#define AGG_CAUSES_MAX    128
#define AGG_CAUSE_HOUR_US (UINT64_C(3600) * 1000000)

struct agg_causes {
	uint64_t hashes[AGG_CAUSES_MAX];
	size_t n;
	uint64_t since_us; /* when the table was last empty */
	bool full_told;
	uint64_t untold; /* lines not logged since then */
};

enum agg_cause { AGG_CAUSE_KNOWN, AGG_CAUSE_NEW, AGG_CAUSE_FULL /* say once that further causes are not logged */ };

/* Whether this text is to be logged now. A zeroed struct is an empty table. */
enum agg_cause agg_causes_note(struct agg_causes *c, const char *text, uint64_t now_us);
