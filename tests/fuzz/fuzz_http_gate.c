/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: the verdict does not depend on how the bytes are cut, and a head that went through keeps what the gate
 * promises.
 */
#include <stdlib.h>
#include <string.h>

#include "net/http_gate.h"

#define LIMIT 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_head(const struct km_http_gate *gate, const char *head, size_t n)
{
	must(n <= LIMIT && n >= 18 && memcmp(head + n - 4, "\r\n\r\n", 4) == 0);
	must(memchr(head, '\0', n) == NULL);
	must(gate->method[0] && strncmp(head, gate->method, strlen(gate->method)) == 0);
	must(gate->minor <= 1);
	for (size_t i = 0; i < n; i++) {
		must(head[i] != '\n' || (i > 0 && head[i - 1] == '\r'));
		must(head[i] != '\r' || (i + 1 < n && head[i + 1] == '\n'));
	}
	must(memmem(head, n, "\r\n ", 3) == NULL && memmem(head, n, "\r\n\t", 3) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct km_http_gate whole, bytes;
	size_t at = 0;

	km_http_gate_init(&whole, LIMIT);
	km_http_gate_init(&bytes, LIMIT);
	for (;;) {
		size_t used = 0, slowly = 0;
		enum km_gate_verdict verdict = km_http_gate_feed(&whole, text + at, size - at, &used);
		enum km_gate_verdict same = KM_GATE_MORE;

		while (slowly < used && same == KM_GATE_MORE)
			same = km_http_gate_feed(&bytes, text + at + slowly++, 1, NULL);
		must(same == verdict && slowly == used);
		if (verdict == KM_GATE_BAD)
			must(whole.reason && whole.reason == bytes.reason && whole.status == bytes.status &&
				whole.status >= 400);
		if (verdict != KM_GATE_HEAD)
			return 0;
		check_head(&whole, text + at, used);
		at += used;
		km_http_gate_next(&whole);
		km_http_gate_next(&bytes);
	}
}
