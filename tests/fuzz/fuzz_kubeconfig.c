/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubeconfigs from anywhere. Files that one names are looked for in a folder that is not there.
 */
#include <stdlib.h>

#include "kube/kubeconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kube_access *access = NULL;
	struct km_err err = {.text = ""};

	if (kube_access_parse((const char *)data, size, "t", "/nowhere", NULL, &access, &err) == 0) {
		if (!access->server || !access->source || (access->insecure && access->roots))
			abort();
	} else if (!err.text[0] || access) {
		abort();
	}
	kube_access_free(access);
	return 0;
}
