/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging: the journal's native protocol with structured fields when stderr is connected to the journal
 * (JOURNAL_STREAM), readable lines with a <N> priority otherwise (without the <N> on a terminal). Never blocks: when
 * the journal or the pipe behind stderr is stalled, lines are dropped and counted, and the next line that goes through
 * says how many. Secrets and tokens are never passed to these functions. Only the loop's thread logs (the worker
 * reports through its result).
 */
#pragma once

#include <stdint.h>
#include <syslog.h> /* LOG_ERR .. LOG_DEBUG */

#include "core/base.h"

/* Structured fields of a line; each NULL when it does not apply. Borrowed during the call. */
struct km_log_fields {
	const char *module;     /* KM_MODULE */
	const char *node;       /* KM_NODE */
	const char *namespace_; /* KM_NAMESPACE */
	const char *pod;        /* KM_POD */
	const char *hpa;        /* KM_HPA */
	const char *message_id; /* MESSAGE_ID, 32 hex digits, for the events of packaging/kmetricsd.catalog */
};

/* Opens the log. ident is borrowed for the life of the process. max_level: LOG_*; lines above it are not formatted. */
void km_log_open(const char *ident, int max_level);
void km_log_set_level(int max_level);

/* One line. A line longer than 4 KiB is cut. fields may be NULL. */
void km_log(int level, const struct km_log_fields *fields, const char *fmt, ...) _printf_(3, 4);

/* The same for a file that says `#define KM_LOG_MODULE "aggregator"` before its includes. */
#define km_log_m(level, ...) km_log((level), &(const struct km_log_fields){.module = KM_LOG_MODULE}, __VA_ARGS__)

/* Lines dropped since the start. */
uint64_t km_log_dropped(void);

/* Test seam: lines go to sink instead (NULL: back to normal). */
typedef void (*km_log_sink_fn)(int level, const struct km_log_fields *fields, const char *text, void *arg);
void km_log_set_sink(km_log_sink_fn sink, void *arg);
/* Test seam: the journal's socket (NULL: the real one). Borrowed. */
void km_log_set_journal_socket(const char *path);
