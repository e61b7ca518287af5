/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks: what the authenticators find out and the authorizer passes on. Reference-counted; changed only while it is
 * being made.
 */
#pragma once

#include "core/base.h"

#define AGG_USER_GROUPS_MAX 2048 /* groups of a user; a request's head of 32 KiB holds about that many */
#define AGG_USER_EXTRA_MAX  512  /* extra keys, and values a key */

#define AGG_USER_ANONYMOUS        "system:anonymous"
#define AGG_GROUP_MASTERS         "system:masters"
#define AGG_GROUP_AUTHENTICATED   "system:authenticated"
#define AGG_GROUP_UNAUTHENTICATED "system:unauthenticated"

struct agg_user_extra {
	char *key;
	char **values;
	size_t n;
};

struct agg_user {
	unsigned refs;
	char *name, *uid; /* owned; uid "" when unknown */
	char **groups;    /* owned, in the order given */
	size_t n_groups;
	struct agg_user_extra *extra; /* owned, in the order of first appearance */
	size_t n_extra;
	bool front_proxied; /* named by a verified front proxy */
};

/* All texts must be UTF-8 (they travel on in a JSON review): -EILSEQ otherwise. -E2BIG beyond the limits. -ENOMEM. */
int agg_user_new(const char *name, struct agg_user **ret) _must_check_;
int agg_user_set_uid(struct agg_user *u, const char *uid) _must_check_;
int agg_user_add_group(struct agg_user *u, const char *group) _must_check_;
int agg_user_add_extra(struct agg_user *u, const char *key, const char *value) _must_check_;

struct agg_user *agg_user_ref(struct agg_user *u);
void agg_user_unref(struct agg_user *u); /* NULL is fine */
void agg_user_unrefp(struct agg_user **u);

bool agg_user_in_group(const struct agg_user *u, const char *group);
bool agg_user_is_anonymous(const struct agg_user *u); /* by name, or in system:unauthenticated */
