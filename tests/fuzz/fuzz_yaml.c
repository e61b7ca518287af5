/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML in; what could be read is written and read again, and must be the same. The same bytes as JSON check the writer
 * on values that YAML text rarely gives.
 */
#include <stdlib.h>
#include <string.h>

#include "kube/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(json_t *value)
{
	struct km_buf out = KM_BUF_INIT(8 * 1024 * 1024);
	struct km_err err = {.text = ""};
	json_t *back = NULL;
	int r = kube_yaml_emit(value, &out);

	if (r == 0 && out.len <= 1024 * 1024) {
		if (kube_yaml_parse(out.data, out.len, "t", &back, &err) < 0)
			abort();
		if (!json_equal(value, back))
			abort();
	}
	json_decref(back);
	km_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct km_err err = {.text = ""};
	json_t *value = NULL;

	if (kube_yaml_parse((const char *)data, size, "t", &value, &err) == 0)
		round_trip(value);
	else if (!err.text[0])
		abort(); /* an error without a text */
	json_decref(value);
	value = json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	if (value)
		round_trip(value);
	json_decref(value);
	return 0;
}
