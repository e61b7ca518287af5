/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replaying what Kubernetes 1.36 answered (recorded; one JSON object a line): the program vectors_hpa.c reads the files
 * and hands each line to the function of its "kind"; these functions live in a file a kind.
 */
#pragma once

#include <jansson.h>

#include "core/base.h"

struct vectors_report {
	const char *where;  /* "file:number id", for texts; borrowed */
	size_t differences; /* of this line */
};

/* Prints "where: ..." and counts one difference. */
void vectors_differ(struct vectors_report *report, const char *fmt, ...) _printf_(2, 3);

/* One line of a kind. 0 when it was run, whatever came out (differences are in the report); -EINVAL, and printed, when
 * it was not: a function or a member that the replayer does not know, or no memory. */
int hpa_calc_run(json_t *line, struct vectors_report *report) _must_check_; /* hpa_calc.c: "calc" */
int hpa_rate_run(json_t *line, struct vectors_report *report) _must_check_; /* hpa_rate.c: "rate" */
int hpa_stab_run(json_t *line, struct vectors_report *report) _must_check_; /* hpa_stab.c: "stab" */
int hpa_seq_run(json_t *line, struct vectors_report *report) _must_check_;  /* hpa_seq.c: "seq" */

/* A member of an object as upstream's decoder has it: absent (or null) is 0, "" and false. Integers are exact. */
static inline int64_t vectors_int(json_t *object, const char *key)
{
	return (int64_t)json_integer_value(json_object_get(object, key));
}

static inline const char *vectors_text(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static inline bool vectors_true(json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static inline double vectors_double(json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

/* The four above take what is not there for nothing, but a member of another type must not pass for nothing: true when
 * each member of the object is named in keys (NULL-terminated) as "i:name" integer, "s:name" string, "b:name" boolean,
 * "d:name" number, "a:name" array, "o:name" object, and is that (or null); else a difference is noted. */
bool vectors_known(json_t *object, const char *const *keys, struct vectors_report *report);
