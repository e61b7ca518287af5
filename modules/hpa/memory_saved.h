/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is remembered of HPAs across a restart or a change of leader: recommendations and scale events (spec hpa 10.18),
 * as JSON: {"version":1,"savedAt":"...","hpas":{"namespace/name":{"uid":"...","recommendations":[[replicas,ms],...],
 * "up":[[change,ms],...],"down":[...]}}}. Times are milliseconds since 1970. Pure.
 */
#pragma once

#include "core/err.h"
#include "core/json.h"
#include "hpa/reconcile.h"

#define HPA_SAVED_VERSION 1
/* Beyond the longest window and period that the API server lets pass nothing is of use. */
#define HPA_SAVED_AGE_NS  (3600 * INT64_C(1000000000))

/* The value of one HPA; false: there is nothing to save that the next one would not know by itself. Of recommendations
 * that followed one another and were the same the last one is kept: it holds back for as long as all of them. */
bool hpa_memory_save(struct km_json *j, const char *uid, const struct hpa_memory *memory, int64_t now_ns);
/* From such a value into an empty memory. What is too old or of the future is left out. 0; -EINVAL: it is none (or of
 * another uid), -ENOMEM; the memory is then as it was. */
int hpa_memory_restore(json_t *saved, const char *uid, int64_t now_ns, struct hpa_memory *ret) _must_check_;

/* Whole documents: the "hpas" of one that can be read (borrowed), and when it was saved; NULL with why in err. */
json_t *hpa_saved_hpas(json_t *document, int64_t *ret_saved_ns, struct km_err *err);
