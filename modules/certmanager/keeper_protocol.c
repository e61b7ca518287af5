/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper's short fixed list of requests, as JSON:
 *   {"op":"ensure"} -> {"items":[{"role","path","outcome","text"}], "problem"?: "..."}
 *   {"op":"issue","role":"serving"|"api-client","csr":PEM,"node":NAME,"ips":[...]} -> {"cert":PEM,"ca":PEM}
 * Whatever else is asked is refused. The administrator certificate is not on the list.
 */
#include <limits.h>
#include <string.h>

#include "certmanager/keeper.h"
#include "core/utf8.h"
#include "net/control.h"

#define IPS_MAX 32

/* Paths and names need not be UTF-8, and a message may be cut inside a character; jansson takes neither, and what is
 * left out of a reply reads as if nothing had happened. Such bytes become '?'. */
static json_t *text_new(const char *text)
{
	char clean[PATH_MAX];
	size_t n = strnlen(text, sizeof(clean) - 1), out = 0;

	for (size_t i = 0; i < n;) {
		size_t len = km_utf8_length(text + i, n - i);

		if (len == 0) {
			clean[out++] = '?';
			i++;
			continue;
		}
		memcpy(clean + out, text + i, len);
		out += len;
		i += len;
	}
	return json_stringn(clean, out);
}

static void collect(const char *role, const char *path, enum keeper_outcome outcome, const char *text, void *arg)
{
	json_array_append_new(arg, json_pack("{s:s, s:o, s:i, s:o}", "role", role, "path", text_new(path), "outcome",
					   (int)outcome, "text", text_new(text)));
}

static json_t *ensure(const struct keeper_paths *paths)
{
	json_t *items = json_array(), *reply;
	struct km_err err = {0};
	int r = keeper_ensure(paths, collect, items, &err);

	reply = json_pack("{s:o}", "items", items);
	if (r < 0)
		json_object_set_new(reply, "problem", text_new(err.text));
	return reply;
}

static json_t *issue(const struct keeper_paths *paths, json_t *request)
{
	const char *role = json_string_value(json_object_get(request, "role"));
	const char *csr = json_string_value(json_object_get(request, "csr"));
	const char *node = json_string_value(json_object_get(request, "node"));
	json_t *ips = json_object_get(request, "ips"), *ip;
	_cleanup_free_ char *cert = NULL, *ca = NULL;
	const char *list[IPS_MAX];
	struct km_err err = {0};
	enum keeper_leaf_role leaf;
	size_t i, n = 0;

	if (!role || !csr || !node || (ips && !json_is_array(ips)) || json_array_size(ips) > IPS_MAX)
		return km_control_error(2, "issue needs role, csr, node as strings and at most %d ips", IPS_MAX);
	if (strcmp(role, "serving") == 0)
		leaf = KEEPER_LEAF_SERVING;
	else if (strcmp(role, "api-client") == 0)
		leaf = KEEPER_LEAF_API_CLIENT;
	else
		return km_control_error(
			2, "no certificate is issued for role \"%.32s\": only serving and api-client", role);
	json_array_foreach(ips, i, ip)
	{
		if (!json_is_string(ip))
			return km_control_error(2, "ips[%zu] is not a string", i);
		list[n++] = json_string_value(ip);
	}
	if (keeper_issue(paths, leaf, csr, strlen(csr), node, list, n, &cert, &ca, &err) < 0)
		return km_control_error(1, "%s", err.text);
	return json_pack("{s:s, s:s}", "cert", cert, "ca", ca);
}

json_t *keeper_answer(const char *op, json_t *request, uid_t peer, void *arg)
{
	(void)peer; /* net/control has let in only root and the daemon's user */
	if (strcmp(op, "ensure") == 0)
		return ensure(arg);
	if (strcmp(op, "issue") == 0)
		return issue(arg, request);
	return km_control_error(2, "unknown request \"%.32s\": the keeper answers ensure and issue", op);
}
