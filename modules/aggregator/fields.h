/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Field selectors: the few fields that lists can be narrowed by (spec metrics-api 4c), with = == !=. Pods can be
 * narrowed by their node and phase as well, as those of the API server itself; metrics-server refuses that (7.22).
 * Pure, no allocation; fuzzed.
 */
#pragma once

#include <jansson.h>

#include "core/base.h"
#include "core/err.h"

#define AGG_FIELD_TERMS_MAX 8
#define AGG_FIELD_TEXT_MAX  1024 /* bytes of a selector */

/* The first two are those of every list, the others of pods only. */
enum agg_field { AGG_FIELD_NAME, AGG_FIELD_NAMESPACE, AGG_FIELD_NODE, AGG_FIELD_PHASE, AGG_FIELDS };

struct agg_field_term {
	enum agg_field field;
	bool equal;
	uint16_t value; /* where it starts in ->text */
};

struct agg_fields {
	struct agg_field_term terms[AGG_FIELD_TERMS_MAX];
	size_t n;
	char text[AGG_FIELD_TEXT_MAX];
};

/* 0, or -EINVAL with Kubernetes' message. An empty text selects everything. pods: of a list of those, else of nodes. */
int agg_fields_parse(const char *text, bool pods, struct agg_fields *ret, struct km_err *err) _must_check_;
/* The value a field must have, or NULL when it may have several. */
const char *agg_fields_exact(const struct agg_fields *f, enum agg_field field);
/* The terms as a SubjectAccessReview carries them: an array of {key, operator, values}. NULL: no memory, or a
 * value that is not UTF-8. */
json_t *agg_fields_requirements(const struct agg_fields *f) _must_check_;
/* values: of each field; NULL is as good as "". */
bool agg_fields_match(const struct agg_fields *f, const char *const values[AGG_FIELDS]);
