/* SPDX-License-Identifier: Apache-2.0 */
/* The table and its text; see the header. */
#include "aggregator/kubelet_pins.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "core/map.h"

#define UID_LENGTH_MAX 128 /* Kubernetes' are 36 */

struct agg_pins {
	struct km_map map; /* uid -> struct agg_pin, owned */
	bool changed, damaged;
};

int agg_pins_new(struct agg_pins **ret)
{
	struct agg_pins *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	*ret = p;
	return 0;
}

static void free_pin(struct agg_pin *pin)
{
	free(pin->uid);
	free(pin->node);
	free(pin);
}

static void free_all(struct km_map *map)
{
	struct km_map_entry *e;
	size_t i = 0;

	while ((e = km_map_next(map, &i)))
		free_pin(e->value);
	km_map_free(map);
}

void agg_pins_free(struct agg_pins *p)
{
	if (!p)
		return;
	free_all(&p->map);
	free(p);
}

/* The entry of uid, made when there is none. */
static int need(struct km_map *map, const char *uid, const char *node, struct agg_pin **ret)
{
	struct agg_pin *pin = km_map_get(map, uid, strlen(uid));

	if (!pin) {
		if (*uid == '\0' || strlen(uid) > UID_LENGTH_MAX)
			return -EINVAL;
		if (map->count >= AGG_PINS_MAX)
			return -ENOSPC;
		pin = calloc(1, sizeof(*pin));
		if (!pin)
			return -ENOMEM;
		pin->uid = strdup(uid);
		pin->node = strdup(node);
		if (!pin->uid || !pin->node || km_map_put(map, pin->uid, strlen(pin->uid), pin, NULL) < 0) {
			free_pin(pin);
			return -ENOMEM;
		}
	}
	*ret = pin;
	return 0;
}

/* ---- the text ---- */

static bool is_fingerprint(const char *s)
{
	return strlen(s) == KM_FINGERPRINT_MAX - 1 && s[strspn(s, "0123456789abcdef")] == '\0';
}

static int parse_one(struct km_map *map, const char *uid, json_t *o)
{
	json_t *verified = json_object_get(o, "verified"), *sha256 = json_object_get(o, "sha256");
	const char *node = json_string_value(json_object_get(o, "node"));
	struct agg_pin *pin;
	int r;

	/* an entry that says neither is as bad as one that says something unreadable */
	if (!node || (!json_is_true(verified) && !sha256) || (verified && !json_is_boolean(verified)) ||
		(sha256 && (!json_is_string(sha256) || !is_fingerprint(json_string_value(sha256)))))
		return -EBADMSG;
	r = need(map, uid, node, &pin);
	if (r < 0)
		return r == -ENOMEM ? r : -EBADMSG;
	pin->verified = json_is_true(verified);
	memcpy(pin->sha256, sha256 ? json_string_value(sha256) : "", sha256 ? KM_FINGERPRINT_MAX : 1);
	return 0;
}

static int parse_nodes(struct km_map *map, json_t *root, struct km_err *err)
{
	json_t *nodes = json_object_get(root, "nodes"), *version = json_object_get(root, "version"), *o;
	const char *uid;
	int r;

	if (!json_is_integer(version) || json_integer_value(version) != AGG_PINS_VERSION)
		return km_fail(
			err, -EBADMSG, "its version is not %d: was it written by a later kmetricsd?", AGG_PINS_VERSION);
	if (!json_is_object(nodes))
		return km_fail(err, -EBADMSG, "it has no object \"nodes\"");
	json_object_foreach(nodes, uid, o)
	{
		r = parse_one(map, uid, o);
		if (r < 0)
			return r == -ENOMEM ? km_fail(err, r, "out of memory")
					    : km_fail(err, r, "the entry \"%.64s\" is not one of this program's", uid);
	}
	return 0;
}

int agg_pins_parse(struct agg_pins *p, const char *text, size_t len, struct km_err *err)
{
	struct km_map map = {0};
	json_error_t problem;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &problem);
	int r = root ? parse_nodes(&map, root, err) : km_fail(err, -EBADMSG, "line %d: %s", problem.line, problem.text);

	json_decref(root);
	if (r < 0) {
		free_all(&map);
		p->damaged |= r == -EBADMSG;
		return r;
	}
	free_all(&p->map);
	*p = (struct agg_pins){.map = map};
	return 0;
}

void agg_pins_clear(struct agg_pins *p)
{
	free_all(&p->map);
	*p = (struct agg_pins){0};
}

void agg_pins_mark_damaged(struct agg_pins *p)
{
	p->damaged = true;
}

bool agg_pins_damaged(const struct agg_pins *p)
{
	return p->damaged;
}

static json_t *print_one(const struct agg_pin *pin)
{
	json_t *o = json_pack("{s:s}", "node", pin->node);

	if (o && pin->verified && json_object_set_new(o, "verified", json_true()) < 0) {
		json_decref(o);
		return NULL;
	}
	if (o && *pin->sha256 && json_object_set_new(o, "sha256", json_string(pin->sha256)) < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

char *agg_pins_print(const struct agg_pins *p, size_t *ret_len)
{
	json_t *nodes = json_object(), *root;
	struct km_map_entry *e;
	char *text = NULL;
	size_t i = 0;

	while (nodes && (e = km_map_next(&p->map, &i))) {
		const struct agg_pin *pin = e->value;

		if (json_object_set_new(nodes, pin->uid, print_one(pin)) < 0) {
			json_decref(nodes);
			nodes = NULL;
		}
	}
	root = nodes ? json_pack("{s:i, s:o}", "version", AGG_PINS_VERSION, "nodes", nodes) : NULL;
	if (root)
		text = json_dumps(root, JSON_INDENT(1) | JSON_SORT_KEYS);
	json_decref(root);
	if (text)
		*ret_len = strlen(text);
	return text;
}

/* ---- one entry ---- */

const struct agg_pin *agg_pins_find(const struct agg_pins *p, const char *uid)
{
	return km_map_get(&p->map, uid, strlen(uid));
}

int agg_pins_may_add(const struct agg_pins *p, const char *uid)
{
	if (p->damaged)
		return -EBADMSG;
	if (*uid == '\0' || strlen(uid) > UID_LENGTH_MAX)
		return -EINVAL;
	return p->map.count >= AGG_PINS_MAX && !agg_pins_find(p, uid) ? -ENOSPC : 0;
}

int agg_pins_add(struct agg_pins *p, const char *uid, const char *node, const char *sha256)
{
	struct agg_pin *pin;
	int r = agg_pins_may_add(p, uid);

	assert(is_fingerprint(sha256));
	if (r == 0)
		r = need(&p->map, uid, node, &pin);
	if (r < 0)
		return r;
	memcpy(pin->sha256, sha256, KM_FINGERPRINT_MAX);
	p->changed = true;
	return 0;
}

int agg_pins_verified(struct agg_pins *p, const char *uid, const char *node)
{
	struct agg_pin *pin;
	int r = need(&p->map, uid, node, &pin);

	if (r < 0)
		return r;
	if (pin->verified && !*pin->sha256)
		return 0;
	pin->verified = true;
	pin->sha256[0] = '\0';
	p->changed = true;
	return 0;
}

void agg_pins_forget(struct agg_pins *p, const char *uid)
{
	struct agg_pin *pin = km_map_remove(&p->map, uid, strlen(uid));

	if (!pin)
		return;
	free_pin(pin);
	p->changed = true;
}

bool agg_pins_take_changed(struct agg_pins *p)
{
	bool changed = p->changed;

	p->changed = false;
	return changed;
}
