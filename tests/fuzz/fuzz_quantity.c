/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantities: canonical text reads back as the same quantity and is its own canonical text; the printers of the served
 * API agree with the general one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kube/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_printers(uint64_t value)
{
	struct km_quantity cpu = {.mantissa = value, .scale = -9},
			   memory = {.mantissa = value, .format = KM_QUANTITY_BINARY_SI};
	char fast[KM_QUANTITY_TEXT_MAX], general[KM_QUANTITY_TEXT_MAX];
	size_t printed;

	if (value > INT64_MAX) /* a digit is lost on purpose */
		cpu.mantissa = memory.mantissa = value - value % 10;
	printed = km_quantity_format_cpu(value, fast);
	must(km_quantity_format(&cpu, general) == printed && strcmp(fast, general) == 0);
	printed = km_quantity_format_memory(value, fast);
	must(km_quantity_format(&memory, general) == printed && strcmp(fast, general) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[KM_QUANTITY_TEXT_MAX], twice[KM_QUANTITY_TEXT_MAX];
	struct km_quantity q, again;
	int64_t milli = 0;
	uint64_t value;
	size_t printed;
	int r = km_quantity_parse((const char *)data, size, &q);

	must(r == 0 || r == -EINVAL || r == -ERANGE);
	must(km_quantity_parse_milli((const char *)data, size, &milli) == (r == -ERANGE ? 0 : r));
	if (size >= sizeof(value)) {
		memcpy(&value, data, sizeof(value));
		check_printers(value);
	}
	if (r < 0)
		return 0;
	must(milli == km_quantity_milli(&q));
	must(q.scale >= -9 && (q.mantissa > 0 || !q.negative));
	must(km_quantity_float(&q) == km_quantity_float(&q)); /* never NaN */
	printed = km_quantity_format(&q, text);
	must(printed == strlen(text));
	must(km_quantity_parse(text, strlen(text), &again) == 0);
	must(km_quantity_milli(&again) == milli && again.negative == q.negative);
	must(km_quantity_format(&again, twice) == printed && strcmp(text, twice) == 0);
	return 0;
}
