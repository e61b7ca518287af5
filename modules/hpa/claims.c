/* SPDX-License-Identifier: Apache-2.0 */
#include "hpa/claims.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Claims that ask for the same label. Its names are the claims'. */
struct hpa_claim_place {
	struct place {
		const char *namespace_, *key, *value; /* interned */
	} place;
	struct hpa_claim *first;
};

void hpa_claims_init(struct hpa_claims *c, struct km_interner *in)
{
	*c = (struct hpa_claims){.in = in};
}

void hpa_claims_free(struct hpa_claims *c)
{
	assert(c->by_label.count == 0);
	km_map_free(&c->by_label);
}

static struct hpa_claim_place *find(const struct hpa_claims *c, const struct place *place)
{
	return km_map_get(&c->by_label, place, sizeof(*place));
}

static void unlink_claim(struct hpa_claims *c, struct hpa_claim *claim)
{
	struct hpa_claim_place *at = claim->place;
	struct hpa_claim **link = &at->first;

	while (*link != claim)
		link = &(*link)->next;
	*link = claim->next;
	if (at->first)
		return;
	km_map_remove(&c->by_label, &at->place, sizeof(at->place));
	free(at);
}

void hpa_claim_drop(struct hpa_claims *c, struct hpa_claim *claim)
{
	if (claim->place)
		unlink_claim(c, claim);
	km_istr_unref(c->in, claim->namespace_);
	km_istr_unref(c->in, claim->key);
	km_istr_unref(c->in, claim->value);
	kube_selector_free(claim->selector);
	free(claim->text);
	*claim = (struct hpa_claim){0};
}

static const char *intern(struct hpa_claims *c, const char *text)
{
	return km_intern(c->in, text, strlen(text));
}

/* Everything but its place in the map. */
static int fill(struct hpa_claims *c, struct hpa_claim *claim, const char *namespace_, const char *text)
{
	const char *key, *value;
	int r = kube_selector_parse(text, &claim->selector, NULL);

	if (r < 0)
		return r;
	claim->text = strdup(text);
	claim->namespace_ = intern(c, namespace_);
	if (!claim->text || !claim->namespace_)
		return -ENOMEM;
	if (!kube_selector_asks_for(claim->selector, &key, &value))
		return 0;
	claim->key = intern(c, key);
	claim->value = intern(c, value);
	return claim->key && claim->value ? 0 : -ENOMEM;
}

static int link_claim(struct hpa_claims *c, struct hpa_claim *claim)
{
	const struct place place = {claim->namespace_, claim->key, claim->value};
	struct hpa_claim_place *at = find(c, &place);

	if (!at) {
		if (!(at = calloc(1, sizeof(*at))))
			return -ENOMEM;
		at->place = place;
		if (km_map_put(&c->by_label, &at->place, sizeof(at->place), at, NULL) < 0) {
			free(at);
			return -ENOMEM;
		}
	}
	claim->next = at->first;
	claim->place = at;
	at->first = claim;
	return 0;
}

int hpa_claim_set(struct hpa_claims *c, struct hpa_claim *claim, void *who, const char *namespace_, const char *text)
{
	int r;

	if (claim->place && strcmp(claim->text, text) == 0)
		return 0;
	hpa_claim_drop(c, claim);
	claim->who = who;
	if ((r = fill(c, claim, namespace_, text)) < 0 || (r = link_claim(c, claim)) < 0)
		hpa_claim_drop(c, claim);
	return r;
}

static void tell(const struct hpa_claims *c, const struct place *place, const struct kube_labels *labels,
	void (*fn)(void *who, void *arg), void *arg)
{
	const struct hpa_claim_place *at = find(c, place);

	for (const struct hpa_claim *claim = at ? at->first : NULL; claim; claim = claim->next)
		if (kube_selector_matches(claim->selector, labels))
			fn(claim->who, arg);
}

void hpa_claims_of(const struct hpa_claims *c, const char *namespace_, const struct kube_labels *labels,
	void (*fn)(void *who, void *arg), void *arg)
{
	struct place place = {.namespace_ = namespace_};

	tell(c, &place, labels, fn, arg);
	for (uint32_t i = 0; i < labels->n; i++) {
		place.key = labels->items[i].key;
		place.value = labels->items[i].value;
		tell(c, &place, labels, fn, arg);
	}
}
