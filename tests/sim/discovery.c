/* SPDX-License-Identifier: Apache-2.0 */
/* /version, /api, /apis, and what each version serves. */
#include <string.h>

#include "tests/sim/api.h"

static const char *const v1[] = {"v1", NULL};

static const char *const groups[] = {"apps", "authentication.k8s.io", "autoscaling", "authorization.k8s.io",
	"coordination.k8s.io", "discovery.k8s.io", "apiregistration.k8s.io", "rbac.authorization.k8s.io"};

static const char *const *versions_of(const struct sim *sim, const char *group)
{
	return strcmp(group, "autoscaling") == 0 ? sim->autoscaling : v1;
}

static json_t *version_entry(const char *group, const char *version)
{
	char group_version[80];

	snprintf(group_version, sizeof(group_version), "%s/%s", group, version);
	return json_pack("{s:s, s:s}", "groupVersion", group_version, "version", version);
}

static json_t *group_entry(const struct sim *sim, const char *group)
{
	const char *const *versions = versions_of(sim, group);
	json_t *list = json_array();

	for (size_t i = 0; versions[i]; i++)
		json_array_append_new(list, version_entry(group, versions[i]));
	return json_pack("{s:s, s:o, s:o}", "name", group, "versions", list, "preferredVersion",
		version_entry(group, versions[0]));
}

static json_t *group_list(const struct sim *sim)
{
	json_t *list = json_array();

	for (size_t i = 0; i < KM_ARRAY_LEN(groups); i++)
		json_array_append_new(list, group_entry(sim, groups[i]));
	return json_pack("{s:s, s:s, s:o}", "kind", "APIGroupList", "apiVersion", "v1", "groups", list);
}

static json_t *resource_entry(const struct sim_resource *r)
{
	return json_pack("{s:s, s:s, s:b, s:s, s:[s,s,s,s,s,s,s]}", "name", r->plural, "singularName", "", "namespaced",
		r->namespaced, "kind", r->kind, "verbs", "create", "delete", "get", "list", "patch", "update", "watch");
}

static json_t *resource_list(const char *group, const char *version)
{
	json_t *list = json_array();
	char group_version[80];

	snprintf(group_version, sizeof(group_version), "%s%s%s", group, *group ? "/" : "", version);
	for (const struct sim_resource *r = sim_resources; r->plural; r++)
		if (strcmp(r->group, group) == 0)
			json_array_append_new(list, resource_entry(r));
	if (strcmp(group, "apps") == 0)
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:[s,s,s]}", "name", "deployments/scale",
				      "singularName", "", "namespaced", 1, "group", "autoscaling", "version", "v1",
				      "kind", "Scale", "verbs", "get", "patch", "update"));
	list = json_pack(
		"{s:s, s:s, s:o}", "kind", "APIResourceList", "groupVersion", group_version, "resources", list);
	if (*group) /* as in reality */
		json_object_set_new(list, "apiVersion", json_string("v1"));
	return list;
}

static bool is_group(const char *group)
{
	for (size_t i = 0; i < KM_ARRAY_LEN(groups); i++)
		if (strcmp(groups[i], group) == 0)
			return true;
	return false;
}

static bool serves(const struct sim *sim, const char *group, const char *version)
{
	const char *const *versions = versions_of(sim, group);

	for (size_t k = 0; is_group(group) && versions[k]; k++)
		if (strcmp(versions[k], version) == 0)
			return true;
	return false;
}

static json_t *one_group(const struct sim *sim, const char *group)
{
	json_t *o = group_entry(sim, group);

	json_object_set_new(o, "kind", json_string("APIGroup"));
	json_object_set_new(o, "apiVersion", json_string("v1"));
	return o;
}

bool sim_discovery(struct sim *sim, struct evhttp_request *req, char **parts, size_t n)
{
	if (n == 1 && strcmp(parts[0], "version") == 0)
		sim_reply_json(req, 200,
			json_pack("{s:s, s:s, s:s}", "major", "1", "minor", "30", "gitVersion", "v1.30.0-kmsim"));
	else if (n == 1 && strcmp(parts[0], "api") == 0)
		sim_reply_json(req, 200, json_pack("{s:s, s:[s]}", "kind", "APIVersions", "versions", "v1"));
	else if (n == 1 && strcmp(parts[0], "apis") == 0)
		sim_reply_json(req, 200, group_list(sim));
	else if (n == 2 && strcmp(parts[0], "api") == 0 && strcmp(parts[1], "v1") == 0)
		sim_reply_json(req, 200, resource_list("", "v1"));
	else if (n == 2 && strcmp(parts[0], "apis") == 0 && is_group(parts[1]))
		sim_reply_json(req, 200, one_group(sim, parts[1]));
	else if (n == 3 && strcmp(parts[0], "apis") == 0 && serves(sim, parts[1], parts[2]))
		sim_reply_json(req, 200, resource_list(parts[1], parts[2]));
	else if (n >= 3 && strcmp(parts[0], "apis") == 0 && is_group(parts[1]) && !serves(sim, parts[1], parts[2]))
		sim_status(req, 404, "NotFound", "the server could not find the requested resource");
	else if (n < 2 || (strcmp(parts[0], "api") != 0 && (strcmp(parts[0], "apis") != 0 || !is_group(parts[1]))))
		sim_reply_text(req, 404, "text/plain; charset=utf-8", "404 page not found\n");
	else
		return false;
	return true;
}
