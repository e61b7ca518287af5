/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controller's memory outside of it: in STATE_DIR/hpa-state for our own restart, and in ConfigMaps
 * kube-system/kmetricsd-hpa-state, -1, -2, ... (parts of at most 900 KiB) for whoever scales next. Both are written
 * every minute while we scale, and at the hand-over. What cannot be read is passed over with a log line: then windows
 * begin anew, as they do with Kubernetes' own controller.
 */
#pragma once

#include "hpa/controller.h"

#define HPA_STATE_FILE      "hpa-state"
#define HPA_STATE_NAMESPACE "kube-system"
#define HPA_STATE_NAME      "kmetricsd-hpa-state"
#define HPA_STATE_PART_MAX  ((size_t)900 << 10)
#define HPA_STATE_PARTS_MAX 4 /* made by wire apply; some 10,000 HPAs. What is beyond is in the file alone */

struct hpa_state;

/* Reads the file. Fails only without memory. client and dir are borrowed. */
int hpa_state_new(struct km_loop *loop, struct kube_client *client, const char *dir, struct hpa_state **ret)
	_must_check_;
void hpa_state_free(struct hpa_state *s); /* without writing; NULL is fine */
/* The controller whose memory this is from now on (borrowed; NULL: none): it is told what the file had. */
void hpa_state_attach(struct hpa_state *s, struct hpa_controller *c);
/* We are to scale from now on: what the former one left in the ConfigMaps is read, told to the controller if it is
 * newer than the file, and done is called, also when nothing could be read. One at a time. */
void hpa_state_take_over(struct hpa_state *s, km_loop_fn done, void *arg);
/* Writes file and ConfigMaps; done (NULL: nobody) is called when both have been written or given up, within seconds. A
 * writing that is under way counts. */
void hpa_state_save(struct hpa_state *s, km_loop_fn done, void *arg);
