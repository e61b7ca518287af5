/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes' records in STATE_DIR/samples: what can be read is written again, and read as the same. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "aggregator/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW (INT64_C(1795410000) * 1000000000)

static void print(const struct agg_store *s, struct km_buf *out)
{
	struct km_buf names = KM_BUF_INIT(1 << 24);

	agg_store_node_names(s, &names);
	for (size_t at = 0; at < names.len; at += strlen(names.data + at) + 1)
		agg_store_save(s, names.data + at, out);
	assert(!names.error && !out->error);
	km_buf_free(&names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct km_interner *in = NULL;
	struct agg_store *s = NULL, *t = NULL;
	struct km_buf text = KM_BUF_INIT(1 << 26), again = KM_BUF_INIT(1 << 26);
	struct agg_usage usage;
	size_t n, m;

	if (km_interner_new(&in) < 0 || agg_store_new(in, &s) < 0 || agg_store_new(in, &t) < 0)
		goto out;
	if (agg_store_restore(s, data, size, NOW, &n, NULL) < 0)
		goto out;
	(void)!agg_store_node(s, "node-1", NOW, &usage);
	agg_store_forget_old(s, NOW + 1);
	print(s, &text);
	if (agg_store_restore(t, text.data, text.len, NOW, &m, NULL) < 0)
		abort();
	print(t, &again);
	assert(m <= n && text.len == again.len);
out:
	km_buf_free(&text);
	km_buf_free(&again);
	agg_store_free(s);
	agg_store_free(t);
	km_interner_free(in);
	return 0;
}
