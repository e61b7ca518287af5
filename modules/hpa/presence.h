/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose turn it is: the in-tree HPA controller's or ours. The in-tree one is proved by a canary: an HPA on a target
 * that does not exist, whose status a living in-tree controller fills in within about 17 s. We clear it from time to
 * time; when it stays empty for three sync periods, and this host's kube-controller-manager does not run the loop
 * either, the other one is gone. Pure: told the time and what was seen, says what to do.
 */
#pragma once

#include "core/base.h"

#define HPA_CANARY_NAMESPACE "kube-system"
#define HPA_CANARY_NAME      "kmetricsd-canary"

enum hpa_mode { HPA_MODE_AUTO, HPA_MODE_ACTIVE, HPA_MODE_SHADOW }; /* as in the INI */

/* What this host's kube-controller-manager is told by its flags. */
enum hpa_in_tree { HPA_IN_TREE_NOT_HERE, HPA_IN_TREE_OFF, HPA_IN_TREE_ON };

enum hpa_canary { HPA_CANARY_UNKNOWN /* not read yet */, HPA_CANARY_MISSING, HPA_CANARY_EMPTY, HPA_CANARY_FILLED };

enum hpa_turn { HPA_TURN_WAITING /* nothing is proved yet */, HPA_TURN_THEIRS, HPA_TURN_OURS };

struct hpa_presence {
	/* set by the owner at any time */
	enum hpa_mode mode;
	uint64_t sync_us; /* sync period */

	/* private */
	enum hpa_canary canary;
	enum hpa_in_tree in_tree;
	bool cleared;         /* the canary is empty because we cleared it (or found it so) at since_us */
	uint64_t since_us;    /* when it was */
	uint64_t clear_at_us; /* not to be cleared again before */
	enum hpa_turn turn;
};

/* Nothing is proved (any more): at the start, and when the Lease was gained. The canary is to be told anew. */
void hpa_presence_reset(struct hpa_presence *p);
/* The canary as the watch shows it now. */
void hpa_presence_canary(struct hpa_presence *p, enum hpa_canary canary, uint64_t now_us);
void hpa_presence_in_tree(struct hpa_presence *p, enum hpa_in_tree in_tree);
/* To be called at least every second: judges anew. True: the canary's status is to be cleared now. */
bool hpa_presence_tick(struct hpa_presence *p, uint64_t now_us) _must_check_;
/* In mode active ours, in mode shadow theirs, in mode auto what is proved. */
enum hpa_turn hpa_presence_turn(const struct hpa_presence *p);
/* Why, in one line for logs and STATUS=, with what hands over. Static. */
const char *hpa_presence_text(const struct hpa_presence *p);
