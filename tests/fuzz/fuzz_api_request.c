/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pure part of the metrics API's way: input is METHOD, target and Accept header, one a line. Whatever comes in, it
 * leads to a place, and what is derived from it holds together.
 */
#include <assert.h>
#include <string.h>

#include "aggregator/accept.h"
#include "aggregator/health.h"
#include "aggregator/list_options.h"
#include "aggregator/route.h"
#include "aggregator/table.h"

#define INPUT_MAX 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fields(const struct agg_fields *f)
{
	const char *exact = agg_fields_exact(f, AGG_FIELD_NAME);
	const char *const values[AGG_FIELDS] = {[AGG_FIELD_NAME] = exact ? exact : "p", [AGG_FIELD_NODE] = "n"};

	assert(f->n <= AGG_FIELD_TERMS_MAX);
	(void)agg_fields_match(f, values);
}

static void check_options(const struct km_url *url, bool watch)
{
	struct agg_list_faults faults;
	struct km_err err = {0};

	assert((agg_list_options_parse(url, &err) < 0) == (err.text[0] != '\0'));
	agg_list_options_judge(url, watch, &faults);
	assert(faults.n <= AGG_LIST_FAULTS_MAX);
}

static void check_route(const struct agg_route *r, const struct km_url *url)
{
	const struct agg_health_state state = {.nodes_synced = true};
	struct km_buf out = KM_BUF_INIT(65536);
	enum agg_include include;

	assert(r->what.verb && r->what.path && r->what.name && r->what.namespace_);
	/* Whoever is let through by a path rule must not reach figures. */
	if (r->place >= AGG_PLACE_NODES)
		assert(r->what.resource && !r->what.discovery && *r->what.resource_name);
	if (r->place == AGG_PLACE_OPENAPI)
		assert(r->what.discovery && r->openapi < AGG_OPENAPI_DOCS);
	if (r->place == AGG_PLACE_NODE || r->place == AGG_PLACE_POD)
		assert(*r->what.name);
	if (r->place == AGG_PLACE_HEALTH) {
		int code = agg_health_write(r, url, &state, &out);

		assert(code == 200 || code == 404 || code == 500);
	}
	check_fields(&r->fields);
	check_options(url, r->watch);
	(void)!agg_table_include(km_url_param(url, "includeObject"), &include, NULL);
	km_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct km_url url;
	static struct agg_route route;
	static char text[INPUT_MAX + 1];
	struct agg_accept accept;
	char *target, *header = NULL;

	if (size > INPUT_MAX)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	target = strchr(text, '\n');
	if (!target)
		return 0;
	*target++ = '\0';
	header = strchr(target, '\n');
	if (header)
		*header++ = '\0';
	for (int offer = AGG_OFFER_DOCUMENT; offer <= AGG_OFFER_LIST; offer++)
		if (agg_accept_choose(header, (enum agg_offer)offer, &accept) == 0)
			assert(accept.meta_version && agg_media_type(accept.media));
	(void)agg_accept_gzip(header);
	(void)agg_accept_has_tag(header, "\"tag\"");
	if (km_url_parse(target, strlen(target), &url) < 0)
		return 0;
	agg_route_find(text, &url, &route);
	check_route(&route, &url);
	return 0;
}
