/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Label selectors as k8s.io/apimachinery/pkg/labels reads them: =, ==, !=, in, notin, KEY, !KEY, gt (>), lt (<), joined
 * by commas; error texts are upstream's (Kubernetes 1.36). Limits are ours, with texts of their own.
 */
#pragma once

#include "core/buf.h"
#include "core/err.h"
#include "kube/labels.h"

#define KUBE_SELECTOR_TEXT_MAX         8192
#define KUBE_SELECTOR_REQUIREMENTS_MAX 64
#define KUBE_SELECTOR_VALUES_MAX       256 /* of one requirement */

struct kube_selector;

/* An empty text selects everything. -EINVAL with upstream's text, cut to what an error holds; -ENOMEM. */
int kube_selector_parse(const char *text, struct kube_selector **ret, struct km_err *err) _must_check_;
/* From a LabelSelector object (matchLabels, matchExpressions); NULL or null selects nothing, {} everything, as in
 * apimachinery. -EINVAL also for members of the wrong type. */
int kube_selector_decode(json_t *label_selector, struct kube_selector **ret, struct km_err *err) _must_check_;
void kube_selector_free(struct kube_selector *selector); /* NULL is fine */
void kube_selector_freep(struct kube_selector **selector);
bool kube_selector_matches(const struct kube_selector *selector, const struct kube_labels *labels);
/* A label that everything it matches has with this value (of = and of an "in" with one value); false: there is none
 * such. Borrowed from the selector. For finding selectors by labels. */
bool kube_selector_asks_for(const struct kube_selector *selector, const char **ret_key, const char **ret_value);
/* Appends it as apimachinery's Selector.String() does, for a labelSelector parameter: requirements by key, values
 * sorted; "" for one that selects everything, and for one that selects nothing. */
void kube_selector_text(const struct kube_selector *selector, struct km_buf *out);
/* The requirements as a SubjectAccessReview carries them: an array of {key, operator, values} with In, NotIn, Exists
 * and DoesNotExist. Those it has no word for (gt, lt) are left out, which can only make the question wider. NULL: no
 * memory. */
json_t *kube_selector_requirements(const struct kube_selector *selector) _must_check_;
