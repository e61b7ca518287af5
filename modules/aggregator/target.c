/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and paths; see the header. */
#include "aggregator/target.h"

#include <errno.h>
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
	*ret = (struct agg_target){
		.port = (uint16_t)options->kubelet_port,
		.plain_port = (uint16_t)options->kubelet_read_only_port,
		.plain = options->deprecated_kubelet_completely_insecure,
		.metrics_path = node->metrics_path,
	};
	/* the port in the status is the one with TLS */
	if (options->kubelet_use_node_status_port && node->kubelet_port != 0 && !ret->plain)
		ret->port = node->kubelet_port;
	for (size_t i = 0; i < options->kubelet_preferred_address_types.n; i++)
		for (size_t k = 0; k < node->n_addresses; k++) {
			const struct kube_node_address *a = &node->addresses[k];

			if (strcmp(a->type, options->kubelet_preferred_address_types.items[i]) == 0 && *a->address &&
				!has(ret, a->address))
				ret->hosts[ret->n_hosts++] = a->address;
		}
}

bool agg_target_path_ok(const char *path)
{
	size_t n = strlen(path);

	if (path[0] != '/' || n > AGG_TARGET_PATH_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (path[i] <= ' ' || path[i] > '~' || path[i] == '#')
			return false;
	return true;
}

/* ---- which address ---- */

void agg_walk_reset(struct agg_walk *w, size_t n)
{
	*w = (struct agg_walk){.n = (unsigned)n};
}

static bool one_only(const struct agg_walk *w)
{
	return w->proven || w->n <= 1 || w->rounds % 2 == 0;
}

void agg_walk_begin(struct agg_walk *w)
{
	w->tried = 0;
	if (w->proven || w->n == 0)
		return;
	w->rounds++;
	if (one_only(w))
		w->at = (w->rounds / 2 - (w->n > 1)) % w->n;
}

uint64_t agg_walk_share(const struct agg_walk *w, uint64_t left)
{
	return one_only(w) ? left : left / (w->n - w->tried);
}

/* Nobody is there; or somebody who speaks no TLS, or breaks it off: it may be another host's address. */
static bool is_unreached(int error)
{
	return error == -EPROTO || error == -ECONNREFUSED || error == -ECONNRESET || error == -EHOSTUNREACH ||
	       error == -ENETUNREACH || error == -ENOENT;
}

bool agg_walk_failed(struct agg_walk *w, int error)
{
	if (error == -ETIMEDOUT) {
		/* the time of an address that is believed in is used up */
		if (one_only(w)) {
			if (w->proven && ++w->timeouts == AGG_PROVEN_TIMEOUTS)
				agg_walk_reset(w, w->n);
			return false;
		}
	} else if (!is_unreached(error)) {
		return false; /* somebody is there: what is wrong would be wrong elsewhere too */
	}
	if (++w->tried >= w->n)
		return false;
	w->at = (w->at + 1) % w->n;
	return true;
}

void agg_walk_worked(struct agg_walk *w)
{
	w->proven = true;
	w->timeouts = 0;
}

/* ---- with TLS or without ---- */

void agg_door_begin(struct agg_door *d, uint64_t now_us)
{
	d->plain = d->plain_worked && now_us - d->settled_us < AGG_DOOR_PROBE_US;
}

/* Not when the kubelet's certificate was refused: whoever stands in between would have it easy. */
bool agg_door_refused(struct agg_door *d, int cause)
{
	if (d->plain || (cause != 401 && cause != 403 && cause != -ECONNREFUSED))
		return false;
	d->plain = true;
	return true;
}

bool agg_door_worked(struct agg_door *d, uint64_t now_us)
{
	bool changed = d->plain != d->plain_worked;

	if (changed || now_us - d->settled_us >= AGG_DOOR_PROBE_US)
		d->settled_us = now_us;
	d->plain_worked = d->plain;
	return changed;
}

/* ---- which path ---- */

const char *const agg_path_text[AGG_PATHS] = {
	[AGG_PATH_RESOURCE] = "/metrics/resource",
	[AGG_PATH_RESOURCE_ALPHA] = "/metrics/resource/v1alpha1",
	[AGG_PATH_SUMMARY] = "/stats/summary?only_cpu_and_memory=true",
};

void agg_path_begin(struct agg_path_walk *w, uint64_t now_us)
{
	w->tried = 0;
	w->at = now_us - w->settled_us >= AGG_PATH_PROBE_US ? AGG_PATH_RESOURCE : w->settled;
}

bool agg_path_missing(struct agg_path_walk *w)
{
	if (++w->tried == AGG_PATHS)
		return false;
	w->at = (w->at + 1) % AGG_PATHS;
	return true;
}

bool agg_path_worked(struct agg_path_walk *w, uint64_t now_us)
{
	bool changed = w->at != w->settled;

	w->settled = w->at;
	if (changed || now_us - w->settled_us >= AGG_PATH_PROBE_US)
		w->settled_us = now_us;
	return changed;
}
