/* SPDX-License-Identifier: Apache-2.0 */
/* A user record: growing, sharing, freeing. */
#include "aggregator/user.h"

#include <errno.h>
#include <string.h>

/* Length of the UTF-8 sequence at s, 0 when it is none (overlong forms, surrogates and beyond U+10FFFF are none). */
static size_t sequence(const unsigned char *s)
{
	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		return (s[1] & 0xc0) == 0x80 ? 2 : 0;
	if (s[0] >= 0xe0 && s[0] <= 0xef) {
		if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))
			return 0;
		return (s[1] & 0xc0) == 0x80 && (s[2] & 0xc0) == 0x80 ? 3 : 0;
	}
	if (s[0] >= 0xf0 && s[0] <= 0xf4) {
		if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
			return 0;
		return (s[1] & 0xc0) == 0x80 && (s[2] & 0xc0) == 0x80 && (s[3] & 0xc0) == 0x80 ? 4 : 0;
	}
	return 0;
}

/* A copy of a text that is UTF-8. */
static int copy(const char *text, char **ret)
{
	size_t n;
	char *c;

	for (const unsigned char *s = (const unsigned char *)text; *s; s += n)
		if ((n = sequence(s)) == 0)
			return -EILSEQ;
	if (!(c = strdup(text)))
		return -ENOMEM;
	*ret = c;
	return 0;
}

/* One more text at the end of an array that grows by doubling: n is a power of two (or 0) when it is full. */
static int append(char ***array, size_t *n, size_t max, const char *text)
{
	char *c = NULL;
	int r;

	if (*n >= max)
		return -E2BIG;
	if ((r = copy(text, &c)) < 0)
		return r;
	if ((*n & (*n - 1)) == 0) {
		char **grown = realloc(*array, (*n ? 2 * *n : 1) * sizeof(*grown));

		if (!grown) {
			free(c);
			return -ENOMEM;
		}
		*array = grown;
	}
	(*array)[(*n)++] = c;
	return 0;
}

int agg_user_new(const char *name, struct agg_user **ret)
{
	_cleanup_(agg_user_unrefp) struct agg_user *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->refs = 1;
	if ((r = copy(name, &u->name)) < 0 || (r = copy("", &u->uid)) < 0)
		return r;
	*ret = KM_TAKE(u);
	return 0;
}

int agg_user_set_uid(struct agg_user *u, const char *uid)
{
	char *c = NULL;
	int r = copy(uid, &c);

	if (r < 0)
		return r;
	free(u->uid);
	u->uid = c;
	return 0;
}

int agg_user_add_group(struct agg_user *u, const char *group)
{
	return append(&u->groups, &u->n_groups, AGG_USER_GROUPS_MAX, group);
}

int agg_user_add_extra(struct agg_user *u, const char *key, const char *value)
{
	struct agg_user_extra *e = NULL;
	int r;

	for (size_t i = 0; i < u->n_extra && !e; i++)
		if (strcmp(u->extra[i].key, key) == 0)
			e = &u->extra[i];
	if (!e) {
		struct agg_user_extra *grown;
		char *c = NULL;

		if (u->n_extra >= AGG_USER_EXTRA_MAX)
			return -E2BIG;
		if (!(grown = realloc(u->extra, (u->n_extra + 1) * sizeof(*grown))))
			return -ENOMEM;
		u->extra = grown;
		if ((r = copy(key, &c)) < 0)
			return r;
		e = &u->extra[u->n_extra++];
		*e = (struct agg_user_extra){.key = c};
	}
	return append(&e->values, &e->n, AGG_USER_EXTRA_MAX, value);
}

struct agg_user *agg_user_ref(struct agg_user *u)
{
	assert(u->refs > 0);
	u->refs++;
	return u;
}

static void free_array(char **array, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(array[i]);
	free(array);
}

void agg_user_unref(struct agg_user *u)
{
	if (!u || --u->refs > 0)
		return;
	free(u->name);
	free(u->uid);
	free_array(u->groups, u->n_groups);
	for (size_t i = 0; i < u->n_extra; i++) {
		free(u->extra[i].key);
		free_array(u->extra[i].values, u->extra[i].n);
	}
	free(u->extra);
	free(u);
}

void agg_user_unrefp(struct agg_user **u)
{
	agg_user_unref(*u);
	*u = NULL;
}

bool agg_user_in_group(const struct agg_user *u, const char *group)
{
	for (size_t i = 0; i < u->n_groups; i++)
		if (strcmp(u->groups[i], group) == 0)
			return true;
	return false;
}

bool agg_user_is_anonymous(const struct agg_user *u)
{
	return strcmp(u->name, AGG_USER_ANONYMOUS) == 0 || agg_user_in_group(u, AGG_GROUP_UNAUTHENTICATED);
}
