/* SPDX-License-Identifier: Apache-2.0 */
#include "hpa/presence.h"

#include "core/clock.h"

#define CLEAR_EVERY_US (60 * KM_USEC_PER_SEC)
#define SYNC_PERIODS   3 /* an in-tree controller refills the canary within one and a bit */

/* This name of the controller is understood by every version; the newer one is not. */
#define HAND_OVER "to hand over, start it with --controllers=*,-horizontalpodautoscaling"

void hpa_presence_reset(struct hpa_presence *p)
{
	p->canary = HPA_CANARY_UNKNOWN;
	p->cleared = false;
	p->since_us = p->clear_at_us = 0;
	p->turn = HPA_TURN_WAITING;
}

void hpa_presence_canary(struct hpa_presence *p, enum hpa_canary canary, uint64_t now_us)
{
	if (canary == HPA_CANARY_EMPTY && p->canary != HPA_CANARY_EMPTY) {
		p->cleared = true;
		p->since_us = now_us;
	}
	/* Filled after it was empty: whoever did that is alive. Found filled at the start, it may be old. */
	if (canary == HPA_CANARY_FILLED && p->canary == HPA_CANARY_EMPTY)
		p->turn = HPA_TURN_THEIRS;
	if (canary != HPA_CANARY_EMPTY)
		p->cleared = false;
	if (canary == HPA_CANARY_MISSING)
		p->turn = HPA_TURN_WAITING;
	p->canary = canary;
}

void hpa_presence_in_tree(struct hpa_presence *p, enum hpa_in_tree in_tree)
{
	p->in_tree = in_tree;
	if (in_tree == HPA_IN_TREE_ON)
		p->turn = HPA_TURN_THEIRS;
}

bool hpa_presence_tick(struct hpa_presence *p, uint64_t now_us)
{
	if (p->mode != HPA_MODE_AUTO)
		return false;
	if (p->cleared && p->in_tree != HPA_IN_TREE_ON && now_us - p->since_us >= SYNC_PERIODS * p->sync_us)
		p->turn = HPA_TURN_OURS;
	if (p->canary != HPA_CANARY_FILLED || now_us < p->clear_at_us)
		return false;
	p->clear_at_us = now_us + CLEAR_EVERY_US;
	return true;
}

enum hpa_turn hpa_presence_turn(const struct hpa_presence *p)
{
	switch (p->mode) {
	case HPA_MODE_ACTIVE:
		return HPA_TURN_OURS;
	case HPA_MODE_SHADOW:
		return HPA_TURN_THEIRS;
	case HPA_MODE_AUTO:
		break;
	}
	return p->turn;
}

const char *hpa_presence_text(const struct hpa_presence *p)
{
	if (p->mode == HPA_MODE_ACTIVE)
		return "HPA active (mode = active)";
	if (p->mode == HPA_MODE_SHADOW)
		return "HPA passive (mode = shadow)";
	if (p->turn == HPA_TURN_OURS)
		return "HPA active";
	if (p->in_tree == HPA_IN_TREE_ON)
		return "HPA passive: this host's kube-controller-manager scales; " HAND_OVER;
	if (p->canary == HPA_CANARY_MISSING)
		return "HPA passive: HPA " HPA_CANARY_NAMESPACE "/" HPA_CANARY_NAME
		       ", which tells whether kube-controller-manager scales, is missing: run kmetricsd wire apply";
	if (p->turn == HPA_TURN_THEIRS)
		return "HPA passive: a kube-controller-manager scales; " HAND_OVER;
	return "HPA passive: watching whether a kube-controller-manager scales";
}
