/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HPA as the controller keeps it; private to controller.c and world.c.
 */
#pragma once

#include "core/map.h"
#include "hpa/claims.h"
#include "hpa/controller.h"
#include "hpa/delays.h"
#include "hpa/overrides.h"
#include "hpa/pods.h"
#include "hpa/reconcile.h"
#include "hpa/scale_client.h"
#include "hpa/wake.h"

#define HPA_ENTRY_MAGIC   0x48504145u
#define HPA_WARNINGS_TOLD 8 /* of one HPA, remembered so as not to be logged each round */

enum hpa_entry_state {
	HPA_IDLE,     /* the timer says when it is due */
	HPA_MAPPING,  /* the target's kind is being looked up */
	HPA_ROUND,    /* a round is under way */
	HPA_FINISHED, /* the round is over, to be freed in the next loop turn */
	HPA_ABANDONED /* we may not write any more: the round is to be freed unanswered */
};

/* A metric of an entry that custom or external APIs were asked for. */
struct hpa_metric_slot {
	struct hpa_entry *entry;
	size_t i;
	struct hpa_metrics_call *call; /* NULL: answered */
};

struct hpa_entry {
	uint32_t magic;
	struct hpa_controller *c;
	char *key;                     /* owned: "namespace/name", as in the map */
	const char *namespace_, *name; /* owned, interned */
	json_t *object;                /* owned: the newest known, without managedFields */
	json_t *pending;               /* owned: newer, to be taken when the round is over; or NULL */
	struct hpa_spec *spec;         /* owned; NULL: cannot be read */
	struct hpa_memory memory;
	struct hpa_overrides overrides;
	struct hpa_flags flags;    /* the controller's, with the overrides */
	char *complaint;           /* owned: of an annotation, not told yet; or NULL */
	struct hpa_trace *trace;   /* owned: of the last round; NULL: there was none */
	struct hpa_claim claim;    /* to the target's pods, as of the last round */
	bool owns_pods;            /* the target's kind is one whose pods' owner is known */
	int64_t status_ns;         /* wall clock of the last status write; 0: none */
	bool listed;               /* in the list under way */
	bool due_now;              /* changed while a round was under way */
	struct hpa_wake_set nodes; /* of its pods, as of the last round */
	bool landed;               /* a sample of them has, since the last round began */
	uint64_t begun_us;         /* when that was; 0: never */
	uint64_t landed_us;        /* when the first of them has; 0: none */
	uint64_t sample_us;        /* the same of those that the round under way reads */
	uint64_t due_us;           /* when the timer fires, while it is armed */

	struct hpa_world world; /* its arg is the entry */
	enum hpa_entry_state state;
	struct km_timer *timer;
	bool writes; /* this round's: false in the shadow */
	struct hpa_round *round;
	struct kube_mapping *mapping; /* owned, of this round; NULL: mapping_error says why */
	struct km_err mapping_error;
	int mapping_code;
	struct kube_mapper_call *mapper_call;
	bool legacy;                    /* the target's group is gone, and its kind is looked up in apps */
	struct hpa_scale_client *scale; /* owned, of this round */
	bool from_watch;                /* the last scale was known without asking */
	uint64_t read_version;          /* resourceVersion of the last scale */
	uint64_t put_version;           /* that which our last write replaced: until the watch tells a newer one, it
					   does not know that write */
	struct hpa_metric_slot *slots;  /* owned, one a metric; NULL: none was asked for in this round */
	struct kube_call *status_call;

	uint64_t told[HPA_WARNINGS_TOLD]; /* hashes of the warnings logged since all was well; the oldest gives way */
	size_t n_told;
	uint64_t shadow_rounds, shadow_agreed; /* rounds in the shadow; those with the count the status had */
	int32_t would;    /* in the shadow: what it was last said to be scaled to; -1: nothing since it was right */
	bool warned;      /* in this round */
	int64_t round_ns; /* wall clock of the last round's end; 0: none */
	struct hpa_outcome outcome; /* of the last round; its texts are static */
};

struct hpa_controller {
	struct hpa_controller_config config;
	struct hpa_flags flags;
	struct km_map entries; /* by key; values struct hpa_entry */
	struct hpa_wake wake;  /* whom a node's sample concerns */
	struct hpa_claims claims;
	json_t *recalled;     /* owned: what was remembered of HPAs that have not come yet; or NULL */
	size_t rounds;        /* under way */
	struct hpa_pods pods; /* scratch of the round that is asking */
	struct hpa_controller_counters counters;
	struct hpa_delays rounds_after,
		puts_after; /* a sample has landed: until the round begins, the scale is written */
};

/* Period of the faster scrapes; 0: there are none. */
static inline uint64_t hpa_lane_us(const struct hpa_controller *c)
{
	return c->config.options->compat == HPA_COMPAT_FIXED ? (uint64_t)c->config.options->metric_resolution / 1000
							     : 0;
}

extern const struct hpa_world hpa_world_of_entry; /* arg to be set to the entry */
/* A newer object, borrowed, to be taken over when the round is over. */
void hpa_entry_set_pending(struct hpa_entry *e, json_t *object);
/* An entry without a round takes what was remembered of it, if there is something. */
void hpa_entry_recall(struct hpa_entry *e);
/* Ends what the round has under way, and the round. */
void hpa_entry_drop_round(struct hpa_entry *e);
