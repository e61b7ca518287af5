/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Go durations and RFC 3339: what is read prints, and what is printed reads back the same.
 */
#include "core/timetext.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_duration(const char *text, size_t size)
{
	char out[KM_DURATION_TEXT_MAX];
	int64_t ns = 0x5a5a, again;
	int r = km_duration_parse(text, size, &ns);
	size_t len;

	must(r == 0 || ((r == -EINVAL || r == -ERANGE) && ns == 0x5a5a));
	if (r != 0)
		return;
	must(ns == 0 || (ns < 0) == (text[0] == '-'));
	len = km_duration_format(ns, out);
	must(len < sizeof(out) && strlen(out) == len);
	must(km_duration_parse(out, len, &again) == 0 && again == ns);
}

/* ns rounded down to a multiple of unit */
static int64_t floor_to(int64_t ns, int64_t unit)
{
	int64_t rest = ns % unit;

	return ns - (rest < 0 ? rest + unit : rest);
}

static void check_rfc3339(const char *text, size_t size)
{
	char out[KM_RFC3339_TEXT_MAX];
	int64_t ns = 0x5a5a, again;
	int r = km_rfc3339_parse(text, size, &ns);
	size_t len;

	must(r == 0 || ((r == -EINVAL || r == -ERANGE) && ns == 0x5a5a));
	if (r != 0)
		return;
	len = km_rfc3339_format(ns, out);
	must(len == 20 && strlen(out) == len);
	if (ns < INT64_MIN + KM_NSEC_PER_SEC) /* rounded down it would be out of range */
		return;
	must(km_rfc3339_parse(out, len, &again) == 0 && again == floor_to(ns, KM_NSEC_PER_SEC));
	len = km_rfc3339_format_micro(ns, out);
	must(len == 27 && strlen(out) == len);
	must(km_rfc3339_parse(out, len, &again) == 0 && again == floor_to(ns, 1000));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_duration((const char *)data, size);
	check_rfc3339((const char *)data, size);
	return 0;
}
