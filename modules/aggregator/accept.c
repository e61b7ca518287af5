/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the Accept header; see the header. */
#include "aggregator/accept.h"

#include <errno.h>
#include <string.h>

/* A piece of the header, without spaces around. */
struct piece {
	const char *s;
	size_t n;
};

struct clause {
	struct piece type, subtype, as, group, version;
	unsigned weight; /* q in thousandths */
	bool pretty, malformed;
};

static struct piece trimmed(const char *s, size_t n)
{
	while (n > 0 && (*s == ' ' || *s == '\t')) {
		s++;
		n--;
	}
	while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		n--;
	return (struct piece){s, n};
}

static bool is(struct piece p, const char *text)
{
	return p.n == strlen(text) && memcmp(p.s, text, p.n) == 0;
}

/* "0.5" in thousandths; what is no number weighs nothing. */
static unsigned weight(struct piece p)
{
	unsigned value = 0, unit = 100;

	if (p.n == 0 || (p.s[0] != '0' && p.s[0] != '1') || (p.n > 1 && p.s[1] != '.'))
		return 0;
	value = p.s[0] == '1' ? 1000 : 0;
	for (size_t i = 2; i < p.n && unit > 0; i++, unit /= 10) {
		if (p.s[i] < '0' || p.s[i] > '9')
			return 0;
		value += (unsigned)(p.s[i] - '0') * unit;
	}
	return KM_MIN(value, 1000u);
}

static void parameter(struct clause *c, struct piece p)
{
	const char *eq = memchr(p.s, '=', p.n);
	struct piece key, value;

	if (!eq)
		return;
	key = trimmed(p.s, (size_t)(eq - p.s));
	value = trimmed(eq + 1, p.n - (size_t)(eq - p.s) - 1);
	if (is(key, "q"))
		c->weight = weight(value);
	else if (is(key, "as"))
		c->as = value;
	else if (is(key, "g"))
		c->group = value;
	else if (is(key, "v"))
		c->version = value;
	else if (is(key, "pretty"))
		c->pretty = is(value, "1");
}

static struct clause read_clause(const char *s, size_t n)
{
	struct clause c = {.weight = 1000};
	const char *end = s + n, *semicolon = memchr(s, ';', n), *slash;
	struct piece media = trimmed(s, (size_t)((semicolon ? semicolon : end) - s));

	slash = memchr(media.s, '/', media.n);
	if (slash) {
		c.type = trimmed(media.s, (size_t)(slash - media.s));
		c.subtype = trimmed(slash + 1, media.n - (size_t)(slash - media.s) - 1);
	} else {
		c.type = c.subtype = media;
		c.malformed = !is(media, "*");
	}
	while (semicolon) {
		const char *from = semicolon + 1;

		semicolon = memchr(from, ';', (size_t)(end - from));
		parameter(&c, trimmed(from, (size_t)((semicolon ? semicolon : end) - from)));
	}
	return c;
}

static const struct {
	const char *type, *subtype;
} media[] = {
	[AGG_MEDIA_JSON] = {"application/json", "json"},
	[AGG_MEDIA_YAML] = {"application/yaml", "yaml"},
	[AGG_MEDIA_PROTOBUF] = {"application/vnd.kubernetes.protobuf", "vnd.kubernetes.protobuf"},
};

const char *agg_media_type(enum agg_media m)
{
	return media[m].type;
}

/* The first encoding on offer that a clause names; wildcards mean JSON. */
static bool encoded(const struct clause *c, enum agg_media *ret)
{
	*ret = AGG_MEDIA_JSON;
	if (is(c->type, "*"))
		return is(c->subtype, "*");
	if (!is(c->type, "application"))
		return false;
	if (is(c->subtype, "*"))
		return true;
	for (size_t i = 0; i < KM_ARRAY_LEN(media); i++)
		if (is(c->subtype, media[i].subtype)) {
			*ret = (enum agg_media)i;
			return true;
		}
	return false;
}

/* Whether the transformation a clause asks for is on offer. */
static bool transformed(const struct clause *c, enum agg_offer offer, struct agg_accept *ret)
{
	if (is(c->group, "apidiscovery.k8s.io")) {
		ret->form = AGG_FORM_AGGREGATED;
		return offer == AGG_OFFER_GROUPS && is(c->as, "APIGroupDiscoveryList") && is(c->version, "v2");
	}
	if (!is(c->group, "meta.k8s.io") || (offer != AGG_OFFER_OBJECT && offer != AGG_OFFER_LIST))
		return false;
	if (is(c->version, "v1"))
		ret->meta_version = "meta.k8s.io/v1";
	else if (is(c->version, "v1beta1"))
		ret->meta_version = "meta.k8s.io/v1beta1";
	else
		return false;
	ret->form = is(c->as, "Table") ? AGG_FORM_TABLE : AGG_FORM_PARTIAL;
	if (is(c->as, "Table")) /* which has no protobuf form */
		return ret->media != AGG_MEDIA_PROTOBUF;
	return is(c->as, offer == AGG_OFFER_LIST ? "PartialObjectMetadataList" : "PartialObjectMetadata");
}

static bool suits(const struct clause *c, enum agg_offer offer, struct agg_accept *ret)
{
	struct agg_accept a = {.form = AGG_FORM_PLAIN, .meta_version = "meta.k8s.io/v1", .pretty = c->pretty};

	if (c->malformed || c->weight == 0 || !encoded(c, &a.media) || (c->as.n > 0 && !transformed(c, offer, &a)))
		return false;
	*ret = a;
	return true;
}

/* Exact types come before wildcards of the same weight, as in Kubernetes. */
static unsigned rank(const struct clause *c)
{
	return c->weight * 4 + (is(c->type, "*") ? 0 : 2) + (is(c->subtype, "*") ? 0 : 1);
}

int agg_accept_choose(const char *header, enum agg_offer offer, struct agg_accept *ret)
{
	struct agg_accept best = {.form = AGG_FORM_PLAIN, .meta_version = "meta.k8s.io/v1"}, candidate;
	unsigned best_rank = 0, json_forms = 0;
	const char *comma = header;

	if (!header || !*header) {
		*ret = best;
		return 0;
	}
	for (size_t i = 0; comma && i < AGG_ACCEPT_CLAUSES_MAX; i++) {
		struct clause c;

		header = comma;
		comma = strchr(header, ',');
		c = read_clause(header, comma ? (size_t)(comma - header) : strlen(header));
		if (comma)
			comma++;
		if (!suits(&c, offer, &candidate))
			continue;
		if (candidate.media == AGG_MEDIA_JSON)
			json_forms |= 1u << candidate.form;
		if (rank(&c) > best_rank) {
			best = candidate;
			best_rank = rank(&c);
		}
	}
	if (best_rank == 0)
		return -ENOENT;
	best.json_too = best.media != AGG_MEDIA_JSON && (json_forms & 1u << best.form);
	*ret = best;
	return 0;
}

bool agg_accept_gzip(const char *s)
{
	while (s && *s) {
		size_t n = strcspn(s, ",");

		if (is(trimmed(s, n), "gzip"))
			return true;
		s += n + (s[n] == ',');
	}
	return false;
}

bool agg_accept_has_tag(const char *s, const char *etag)
{
	while (s && *s) {
		size_t n = strcspn(s, ",");
		struct piece tag = trimmed(s, n);

		if (tag.n > 2 && strncmp(tag.s, "W/", 2) == 0)
			tag = (struct piece){tag.s + 2, tag.n - 2};
		if (is(tag, "*") || is(tag, etag))
			return true;
		s += n + (s[n] == ',');
	}
	return false;
}
