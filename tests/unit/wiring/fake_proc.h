/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A /proc made by a test: processes with a command line, a network namespace, pid namespaces and a working folder.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/check.h"

struct fake_proc {
	char root[64];
};

static inline void fake_dir(const char *root, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static inline void fake_file(const char *root, const char *name, const void *bytes, size_t n)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static inline void fake_link(const char *root, const char *name, const char *target)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(symlink(target, path), 0);
}

/* Our own process is in network net:[1]. */
static inline void fake_proc_make(struct fake_proc *p)
{
	snprintf(p->root, sizeof(p->root), "/tmp/kmetricsd-test-proc.XXXXXX");
	assert_non_null(mkdtemp(p->root));
	fake_dir(p->root, "self");
	fake_dir(p->root, "self/ns");
	fake_link(p->root, "self/ns/net", "net:[1]");
	fake_dir(p->root, "sys"); /* no process */
	fake_file(p->root, "version", "Linux\n", 6);
}

/* cmdline: with its NULs, as sizeof of a literal counts it. network NULL: may not be looked at. nspid: "7" or "7\t1".
 */
static inline void fake_process(struct fake_proc *p, int pid, const char *cmdline, size_t len, const char *network,
	const char *nspid, const char *cwd)
{
	char name[64], status[200];

	snprintf(name, sizeof(name), "%d", pid);
	fake_dir(p->root, name);
	snprintf(name, sizeof(name), "%d/cmdline", pid);
	fake_file(p->root, name, cmdline, len);
	snprintf(name, sizeof(name), "%d/ns", pid);
	fake_dir(p->root, name);
	snprintf(name, sizeof(name), "%d/ns/net", pid);
	if (network)
		fake_link(p->root, name, network);
	snprintf(status, sizeof(status), "Name:\tkube-apiserver\nPid:\t%d\nNSpid:\t%s\nNSpgid:\t%s\n", pid, nspid,
		nspid);
	snprintf(name, sizeof(name), "%d/status", pid);
	fake_file(p->root, name, status, strlen(status));
	snprintf(name, sizeof(name), "%d/cwd", pid);
	if (cwd)
		fake_link(p->root, name, cwd);
}
#define FAKE_PROCESS(p, pid, cmdline, network, nspid, cwd) \
	fake_process(p, pid, cmdline, sizeof(cmdline), network, nspid, cwd)

static inline void fake_proc_remove(struct fake_proc *p)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf '%s'", p->root);
	assert_int_equal(system(command), 0);
}
