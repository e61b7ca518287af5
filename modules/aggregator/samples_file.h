/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The samples on disk, so that a restart answers with figures at once: STATE_DIR/samples, a line "kmetricsd samples 1",
 * the store's nodes (store.h, agg_store_save), and the CRC-32 of all that. Read at the start; written every so often,
 * in slices, by the worker thread, and at the end. What cannot be used is passed over with a log line: the kubelets
 * tell the same within one metric-resolution.
 */
#pragma once

#include "aggregator/store.h"
#include "core/loop.h"

#define AGG_SAMPLES_FILE     "samples"
#define AGG_SAMPLES_FILE_MAX ((size_t)512 << 20) /* 5,000 nodes with 150,000 pods make 36 MB */

struct agg_samples_file;

/* Fills the store, which is empty and configured, with what the file has. Fails only without memory. store: borrowed.
 */
int agg_samples_file_new(struct km_loop *loop, const char *dir, struct agg_store *store, struct agg_samples_file **ret,
	struct km_err *err) _must_check_;
/* How often it is written, from now on (microseconds). */
void agg_samples_file_configure(struct agg_samples_file *f, uint64_t period_us);
/* Writes it on the spot, unless the worker is about it: then the file of one period ago stays. NULL is fine. */
void agg_samples_file_free(struct agg_samples_file *f);
