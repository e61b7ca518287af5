/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects as an API server might send them: decoded as a pod, a node and the authentication ConfigMap. All references
 * must come back.
 */
#include <stdlib.h>

#include "kube/cluster.h"
#include "kube/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *object = json_loadb((const char *)data, size, JSON_ALLOW_NUL, NULL);
	struct kube_auth_config *auth = NULL;
	struct kube_label_pool *pool;
	struct km_interner *in;
	struct kube_node *node = NULL;
	struct kube_pod *pod = NULL;
	struct km_err err = {.text = ""};

	if (!object)
		return 0;
	if (km_interner_new(&in) < 0 || kube_label_pool_new(in, &pool) < 0)
		abort();
	if (kube_pod_decode(object, in, pool, &pod, &err) == 0 && (!pod->name || !pod->namespace_ || !pod->labels))
		abort();
	if (kube_node_decode(object, in, pool, &node, &err) == 0 && (!node->name || !node->labels))
		abort();
	if (kube_auth_config_decode(object, &auth, &err) == 0 && (!auth->allowed_names || !auth->uid_headers))
		abort();
	kube_auth_config_unref(auth);
	json_decref(object);
	kube_pod_free(pod, in, pool);
	kube_node_free(node, in, pool);
	if (km_interner_count(in) != 0)
		abort();
	kube_label_pool_free(pool);
	km_interner_free(in);
	return 0;
}
