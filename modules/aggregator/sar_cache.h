/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of the API server about who may do what, remembered for a while: least recently used first out, bounded in
 * entries and bytes. The whole question is the key, so that no two of them can be taken for one another. No clock of
 * its own.
 */
#pragma once

#include "core/base.h"

#define AGG_SAR_ENTRIES_MAX 8192
#define AGG_SAR_BYTES_MAX   (8 * 1024 * 1024)
#define AGG_SAR_KEY_MAX                                                                                               \
	10000 /* bytes of a question; longer ones are asked every time (Kubernetes' webhook authorizer does the same) \
	       */

struct agg_sar_cache;

int agg_sar_cache_new(struct agg_sar_cache **ret) _must_check_; /* -ENOMEM */
void agg_sar_cache_free(struct agg_sar_cache *c);               /* NULL is fine */

struct agg_sar_answer {
	bool allowed;
	const char *reason; /* borrowed until the next put; "" if none */
};

/* 1 and the answer, or 0. */
int agg_sar_cache_get(
	struct agg_sar_cache *c, const void *key, size_t len, uint64_t now_us, struct agg_sar_answer *ret);
/* Remembers, or replaces, an answer until then. A key that is too long or a lack of memory: it is not remembered. */
void agg_sar_cache_put(
	struct agg_sar_cache *c, const void *key, size_t len, bool allowed, const char *reason, uint64_t until_us);
size_t agg_sar_cache_count(const struct agg_sar_cache *c);
