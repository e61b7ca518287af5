/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes over the keeper's socket, as net/control hands it over: any bytes. The keeper answers all of them with an
 * object; it signs only where the whole request is right, and then the reply is a certificate for the key asked for.
 * There are no files here, so `ensure` (which reads none of the request) is left out, and a CA is never found: what is
 * left is the reading of a hostile request, its CSR included.
 */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "certmanager/issue.h"
#include "certmanager/keeper.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct keeper_paths paths = {.ssl_dir = "/nonexistent",
	.serving_ca_cert = "/nonexistent/kmetricsd-ca.pem",
	.serving_ca_key = "/nonexistent/kmetricsd-ca-key.pem"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *request = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL), *reply;
	const char *op = json_string_value(json_object_get(request, "op")), *text, *csr;

	if (op && strcmp(op, "ensure") != 0) {
		EVP_PKEY *key = NULL;
		char *dump;

		reply = keeper_answer(op, request, 0, (void *)(uintptr_t)&paths);
		text = json_string_value(json_object_get(reply, "error"));
		assert(text && *text && strlen(text) < KM_ERR_TEXT_MAX);
		assert(!json_object_get(reply, "cert"));
		dump = json_dumps(reply, JSON_COMPACT); /* whatever the request was, the reply can be sent */
		assert(dump);
		/* only a good request gets as far as the missing CA (a name from the request may hold the same words,
		 * but not at the beginning) */
		csr = json_string_value(json_object_get(request, "csr"));
		if (strncmp(text, "the CA's key ", 13) == 0 && csr) {
			assert(strcmp(op, "issue") == 0);
			assert(cert_csr_key(csr, strlen(csr), &key, NULL) == 0);
		}
		EVP_PKEY_free(key);
		free(dump);
		json_decref(reply);
	}
	json_decref(request);
	return 0;
}
