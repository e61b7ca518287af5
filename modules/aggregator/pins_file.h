/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pins on disk: read at the start and at each reload, written on the worker thread soon after a change. A file that
 * is damaged is left as it is until somebody mends or removes it; meanwhile nothing is pinned and nothing is written.
 */
#pragma once

#include "aggregator/kubelet_pins.h"
#include "core/loop.h"

struct agg_pins_file;

/* Reads DIR/kubelet-pins.json; a missing one is empty, a damaged one is logged. Fails only without memory. */
int agg_pins_file_new(struct km_loop *loop, const char *dir, struct agg_pins_file **ret, struct km_err *err)
	_must_check_;
/* Writes what has not been written, on the spot. NULL is fine. */
void agg_pins_file_free(struct agg_pins_file *f);

struct agg_pins *agg_pins_file_pins(struct agg_pins_file *f);
const char *agg_pins_file_path(const struct agg_pins_file *f);
/* To be called after changes of the pins: they are saved soon, many together. */
void agg_pins_file_save(struct agg_pins_file *f);
/* Somebody may have edited the file: what it says counts (after a write that is under way; a change that has not begun
 * to be written is lost, and made again with the kubelet's next handshake). */
void agg_pins_file_reload(struct agg_pins_file *f);
