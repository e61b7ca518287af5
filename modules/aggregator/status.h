/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors as clients of Kubernetes expect them: Status objects (spec metrics-api 4d), with the key order of the recorded
 * replies. Pure.
 */
#pragma once

#include "core/buf.h"

/* One of several things that are wrong. */
struct agg_status_cause {
	const char *reason, *message, *field;
};

struct agg_status {
	int code;           /* HTTP status too */
	const char *reason; /* "NotFound" */
	const char *message;
	bool details;                          /* "details" is there, even if it is empty */
	const char *name, *group, *kind;       /* in details; NULL: absent */
	const struct agg_status_cause *causes; /* in details */
	size_t n_causes;
	int retry_after_s; /* in details; 0: absent */
};

/* Appends the object; compact ones end with a newline, as Go's encoder does. */
void agg_status_write(struct km_buf *out, const struct agg_status *status, bool pretty);

/* The same as protobuf, in its envelope. */
void agg_status_write_proto(struct km_buf *out, const struct agg_status *status);

/* Appends text as Go's %q does. */
void agg_quote(struct km_buf *out, const char *text);
