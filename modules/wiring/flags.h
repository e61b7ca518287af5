/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The effective flags of a running Kubernetes component, from its command line (spec certs-and-wiring 9.2): only
 * /proc/PID/cmdline is needed, which is readable inside the sandbox too. Reads, never writes.
 */
#pragma once

#include <sys/types.h>

#include "core/base.h"
#include "core/err.h"

struct wiring_flags; /* a process's flags */

/*
 * The running process whose argv[0] has this base name ("kube-apiserver"; hyperkube's "hyperkube kube-apiserver" too).
 * One in another network namespace is some other cluster's (in containers, say) and does not count; nor does one in a
 * container where networks cannot be compared (the sandbox), or need not be: any_network is for the keeper, which has a
 * network of its own. Several: the one with the lowest pid. -ENOENT: none. proc: "/proc", or a folder made by a test.
 */
int wiring_flags_find(const char *proc, const char *component, bool any_network, struct wiring_flags **ret,
	struct km_err *err) _must_check_;
/* From NUL-separated arguments. */
int wiring_flags_parse(const char *cmdline, size_t len, struct wiring_flags **ret, struct km_err *err) _must_check_;
void wiring_flags_free(struct wiring_flags *f); /* NULL is fine */
void wiring_flags_freep(struct wiring_flags **f);
pid_t wiring_flags_pid(const struct wiring_flags *f);
/* Value of a flag (without dashes; '_' and '-' are the same): --k=v, --k v, --k (then "true"); the last occurrence
 * wins. NULL: not given. */
const char *wiring_flag(const struct wiring_flags *f, const char *name);
/* First item of a comma-separated flag, malloc'ed; NULL: not given or empty. */
char *wiring_flag_first(const struct wiring_flags *f, const char *name);
/* A path flag, made absolute against the process's working folder; malloc'ed; NULL: not given. -ENOENT semantics are
 * the caller's. */
char *wiring_flag_path(const struct wiring_flags *f, const char *name);
