/* SPDX-License-Identifier: Apache-2.0 */
#include "aggregator/target.h"

#include <string.h>

static bool has(const struct agg_target *t, const char *host)
{
	for (size_t i = 0; i < t->n_hosts; i++)
		if (strcmp(t->hosts[i], host) == 0)
			return true;
	return false;
}

void agg_target_of(const struct kube_node *node, const struct agg_options *options, struct agg_target *ret)
{
	*ret = (struct agg_target){.port = (uint16_t)options->kubelet_port};
	if (options->kubelet_use_node_status_port && node->kubelet_port != 0)
		ret->port = node->kubelet_port;
	for (size_t i = 0; i < options->kubelet_preferred_address_types.n; i++)
		for (size_t k = 0; k < node->n_addresses; k++) {
			const struct kube_node_address *a = &node->addresses[k];

			if (strcmp(a->type, options->kubelet_preferred_address_types.items[i]) == 0 && *a->address &&
				!has(ret, a->address))
				ret->hosts[ret->n_hosts++] = a->address;
		}
}
