/* SPDX-License-Identifier: Apache-2.0 */
/* kubelet-pins.json, which an operator may edit: what can be read is printed and read again as the same. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "aggregator/kubelet_pins.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct agg_pins *p = NULL, *q = NULL;
	char *text = NULL, *again = NULL;
	size_t len = 0, len2 = 0;

	if (agg_pins_new(&p) < 0 || agg_pins_new(&q) < 0)
		goto out;
	if (agg_pins_parse(p, (const char *)data, size, NULL) < 0) {
		assert(agg_pins_damaged(p));
		goto out;
	}
	text = agg_pins_print(p, &len);
	assert(text && agg_pins_parse(q, text, len, NULL) == 0);
	again = agg_pins_print(q, &len2);
	assert(again && len == len2 && memcmp(text, again, len) == 0);
out:
	free(text);
	free(again);
	agg_pins_free(p);
	agg_pins_free(q);
	return 0;
}
