/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines of other processes: any bytes; whatever is asked for stands inside the line or is absent. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wiring/flags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {
		"client-ca-file", "requestheader-allowed-names", "secure-port", "advertise-address", "v"};
	struct wiring_flags *f = NULL;

	if (wiring_flags_parse((const char *)data, size, &f, NULL) < 0)
		return 0;
	for (size_t i = 0; i < KM_ARRAY_LEN(names); i++) {
		const char *value = wiring_flag(f, names[i]);
		char *first = wiring_flag_first(f, names[i]), *path = wiring_flag_path(f, names[i]);

		if ((value && strlen(value) > size && strcmp(value, "true") != 0) ||
			(first && (!*first || strchr(first, ','))) || (path && !*path))
			abort();
		free(first);
		free(path);
	}
	wiring_flags_free(f);
	return 0;
}
