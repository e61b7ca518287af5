/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to kube/: a call that makes several requests one after the other behind one handle (discovery asks two
 * things, a review asks again), so that whoever started it can cancel it as one.
 */
#pragma once

#include "kube/client.h"

/* From inside the call's own on_done: the handle goes on with this request instead of ending. On failure it ends. */
int kube_call_continue(struct kube_call *call, const struct kube_request *request) _must_check_;
/* fn(arg) runs once when the call is gone, however that came (end, cancel, client freed). */
void kube_call_on_free(struct kube_call *call, void (*fn)(void *arg), void *arg);
