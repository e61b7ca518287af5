/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to kube/: the discovery documents as the mapper needs them. Pure; what a server sends is bounded here, and
 * what is missing or of another type is as if it were not there.
 */
#pragma once

#include "core/err.h"
#include "kube/mapper.h"

#define KUBE_MAPPER_NAME_MAX      253 /* bytes of a group, kind or resource; longer ones are not looked at */
#define KUBE_MAPPER_BODY_MAX      (4 * 1024 * 1024)
#define KUBE_MAPPER_APIS_MAX      1024 /* groups in /apis */
#define KUBE_MAPPER_VERSIONS_MAX  32   /* of one group; further ones are not looked at */
#define KUBE_MAPPER_RESOURCES_MAX 4096 /* of one version, subresources counted */

/* /apis: the array of groups. -EBADMSG, -EMSGSIZE, with the reason in err. */
int kube_mapper_apis_parse(const char *body, size_t len, json_t **ret_groups, struct km_err *err) _must_check_;
/* The group of this name; borrowed; NULL: not there. */
json_t *kube_mapper_apis_find(json_t *groups, const char *name);
/* The versions of a group, preferred first, malloc'ed, into ret. Their number, or -ENOMEM. NULL: the core group. */
int kube_mapper_versions(json_t *group, char *ret[KUBE_MAPPER_VERSIONS_MAX]) _must_check_;

struct kube_mapper_doc; /* the resources of one version */
int kube_mapper_doc_parse(const char *body, size_t len, const char *group, const char *version,
	struct kube_mapper_doc **ret, struct km_err *err) _must_check_;
void kube_mapper_doc_free(struct kube_mapper_doc *doc); /* NULL is fine */
const char *kube_mapper_doc_version(const struct kube_mapper_doc *doc);

/* The mapping of a kind, over all versions; NULL: none of them has it (or no memory). */
struct kube_mapping *kube_mapper_docs_find(
	struct kube_mapper_doc *const *docs, size_t n, const char *group, const char *kind);
