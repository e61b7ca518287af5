/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a node's kubelet is: addresses in the order of kubelet-preferred-address-types, and the port. Pure (spec
 * metrics-api 1a; all addresses are tried, spec 7 row 17).
 */
#pragma once

#include "aggregator/options.h"
#include "kube/record.h"

struct agg_target {
	const char *hosts[KUBE_NODE_ADDRESSES_MAX]; /* borrowed from the node's record */
	size_t n_hosts;
	uint16_t port;
};

/* n_hosts is 0 when the node has no address of a preferred type. */
void agg_target_of(const struct kube_node *node, const struct agg_options *options, struct agg_target *ret);
