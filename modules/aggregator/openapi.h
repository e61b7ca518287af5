/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /openapi/v2 and /openapi/v3: documents under their tags (304 for who has them already); those of v3 may be kept for a
 * year under a URL that carries the tag, and a URL with an old tag leads to the new one (spec metrics-api 4b).
 */
#pragma once

#include "aggregator/openapi_docs.h"
#include "net/http_server.h"

/* Replies to a GET or HEAD of the document. JSON only: the protobuf form is for kube-apiserver's own clients. */
void agg_openapi_answer(struct km_http_req *req, const struct agg_openapi *o, enum agg_openapi_doc doc);
