/* SPDX-License-Identifier: Apache-2.0 */
#include "core/utf8.h"

static bool continues(const unsigned char *s, size_t from, size_t to)
{
	for (; from < to; from++)
		if ((s[from] & 0xc0) != 0x80)
			return false;
	return true;
}

size_t km_utf8_length(const void *bytes, size_t n)
{
	const unsigned char *s = bytes;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		return n >= 2 && continues(s, 1, 2) ? 2 : 0;
	if ((s[0] & 0xf0) == 0xe0) {
		if (n < 3 || !continues(s, 1, 3))
			return 0;
		return (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ? 0 : 3;
	}
	if (s[0] >= 0xf0 && s[0] <= 0xf4) {
		if (n < 4 || !continues(s, 1, 4))
			return 0;
		return (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f) ? 0 : 4;
	}
	return 0;
}
