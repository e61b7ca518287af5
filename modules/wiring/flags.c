/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Effective flags of a running component. The command line of the process is the truth: units, drop-ins and environment
 * files are only how it came about. Parsing follows pflag: --k=v, --k v when the next word is no flag, --k alone is
 * "true", the last occurrence wins.
 */
#include "wiring/flags.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CMDLINE_MAX (256 * 1024) /* the kernel's own limit of one argument is 128 KiB */
#define ARGS_MAX    1024

struct wiring_flags {
	char *text;  /* owned: the command line, arguments ended by NUL */
	char **args; /* into text */
	size_t n;
	size_t first; /* the first argument after the component's name */
	pid_t pid;
	char *cwd; /* NULL when it may not be read (the sandbox) */
};

void wiring_flags_free(struct wiring_flags *f)
{
	if (!f)
		return;
	free(f->cwd);
	free(f->args);
	free(f->text);
	free(f);
}

void wiring_flags_freep(struct wiring_flags **f)
{
	wiring_flags_free(*f);
	*f = NULL;
}

int wiring_flags_parse(const char *cmdline, size_t len, struct wiring_flags **ret, struct km_err *err)
{
	_cleanup_(wiring_flags_freep) struct wiring_flags *f = NULL;
	size_t n = 0;

	if (len == 0 || len > CMDLINE_MAX)
		return km_fail(err, -EINVAL, "a command line of %zu bytes", len);
	f = calloc(1, sizeof(*f));
	if (!f || !(f->text = malloc(len + 1)) || !(f->args = calloc(ARGS_MAX + 1, sizeof(*f->args))))
		return -ENOMEM;
	memcpy(f->text, cmdline, len);
	f->text[len] = '\0';
	for (size_t at = 0; at < len && n < ARGS_MAX; at += strlen(f->text + at) + 1)
		f->args[n++] = f->text + at;
	f->n = n;
	f->first = 1;
	*ret = KM_TAKE(f);
	return 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Which argument names the component: 0, or 1 behind hyperkube; -1: it is another program. */
static int component_argument(const struct wiring_flags *f, const char *component)
{
	if (f->n > 0 && strcmp(base_name(f->args[0]), component) == 0)
		return 0;
	if (f->n > 1 && strcmp(base_name(f->args[0]), "hyperkube") == 0 && strcmp(f->args[1], component) == 0)
		return 1;
	return -1;
}

/* /proc files have no size: read until the end or the limit. */
static ssize_t read_proc(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	if (fd < 0)
		return -errno;
	while (len < size) {
		ssize_t n = read(fd, out + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	return (ssize_t)len;
}

enum network { NETWORK_OURS, NETWORK_OTHER, NETWORK_UNKNOWN /* the sandbox may not look */ };

static enum network network_of(const char *proc, const char *pid_text)
{
	char path[PATH_MAX], theirs[64] = "", ours[64] = "";

	snprintf(path, sizeof(path), "%s/%s/ns/net", proc, pid_text);
	if (readlink(path, theirs, sizeof(theirs) - 1) < 0)
		return NETWORK_UNKNOWN;
	snprintf(path, sizeof(path), "%s/self/ns/net", proc);
	if (readlink(path, ours, sizeof(ours) - 1) < 0)
		return NETWORK_UNKNOWN;
	return strcmp(theirs, ours) == 0 ? NETWORK_OURS : NETWORK_OTHER;
}

/* Whether a process has pids of its own: NSpid lists one pid a namespace, ours first. Readable for everybody. */
static bool in_container(const char *proc, const char *pid_text)
{
	char path[PATH_MAX], text[4096], *line;
	ssize_t len;

	snprintf(path, sizeof(path), "%s/%s/status", proc, pid_text);
	len = read_proc(path, text, sizeof(text) - 1);
	if (len <= 0)
		return false;
	text[len] = '\0';
	line = strstr(text, "\nNSpid:");
	if (!line)
		return false;
	line += strlen("\nNSpid:");
	line[strcspn(line, "\n")] = '\0';
	line += strspn(line, "\t ");
	return line[strcspn(line, "\t ")] != '\0';
}

/* Whether a process is some other cluster's: in another network, or, where that cannot be told or means nothing, in a
 * container. */
static bool is_elsewhere(const char *proc, const char *pid_text, bool any_network)
{
	enum network network = any_network ? NETWORK_UNKNOWN : network_of(proc, pid_text);

	return network == NETWORK_OTHER || (network == NETWORK_UNKNOWN && in_container(proc, pid_text));
}

static int try_pid(const char *proc, const char *pid_text, const char *component, bool any_network, char *scratch,
	struct wiring_flags **ret)
{
	_cleanup_(wiring_flags_freep) struct wiring_flags *f = NULL;
	char path[PATH_MAX], cwd[PATH_MAX];
	int r, at;
	ssize_t len;

	snprintf(path, sizeof(path), "%s/%s/cmdline", proc, pid_text);
	len = read_proc(path, scratch, CMDLINE_MAX);
	if (len <= 0)
		return -ENOENT; /* gone meanwhile, or a kernel thread */
	r = wiring_flags_parse(scratch, (size_t)len, &f, NULL);
	if (r < 0)
		return r;
	at = component_argument(f, component);
	if (at < 0 || is_elsewhere(proc, pid_text, any_network))
		return -ENOENT;
	f->first = (size_t)at + 1;
	f->pid = (pid_t)strtol(pid_text, NULL, 10);
	snprintf(path, sizeof(path), "%s/%s/cwd", proc, pid_text);
	len = readlink(path, cwd, sizeof(cwd) - 1);
	if (len > 0) {
		cwd[len] = '\0';
		f->cwd = strdup(cwd);
	}
	*ret = KM_TAKE(f);
	return 0;
}

int wiring_flags_find(
	const char *proc, const char *component, bool any_network, struct wiring_flags **ret, struct km_err *err)
{
	_cleanup_(wiring_flags_freep) struct wiring_flags *best = NULL;
	_cleanup_free_ char *scratch = malloc(CMDLINE_MAX);
	struct dirent *entry;
	DIR *dir;

	if (!scratch)
		return -ENOMEM;
	dir = opendir(proc);
	if (!dir)
		return km_fail(err, -errno, "%s: %s", proc, strerror(errno));
	while ((entry = readdir(dir))) {
		struct wiring_flags *f;

		if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name))
			continue;
		if (try_pid(proc, entry->d_name, component, any_network, scratch, &f) < 0)
			continue;
		if (best && best->pid < f->pid) {
			wiring_flags_free(f);
			continue;
		}
		wiring_flags_free(best);
		best = f;
	}
	closedir(dir);
	if (!best)
		return km_fail(err, -ENOENT, "no %s runs on this host", component);
	*ret = KM_TAKE(best);
	return 0;
}

pid_t wiring_flags_pid(const struct wiring_flags *f)
{
	return f->pid;
}

/* Whether arg is "--name" or "--name=..." ('_' counts as '-'); *ret_value is what follows '=', or NULL. */
static bool is_flag(const char *arg, const char *name, const char **ret_value)
{
	if (arg[0] != '-')
		return false;
	arg += arg[1] == '-' ? 2 : 1;
	for (; *name; arg++, name++) {
		char c = *arg == '_' ? '-' : *arg;
		if (c != *name)
			return false;
	}
	if (*arg != '\0' && *arg != '=')
		return false;
	*ret_value = *arg == '=' ? arg + 1 : NULL;
	return true;
}

const char *wiring_flag(const struct wiring_flags *f, const char *name)
{
	const char *found = NULL;

	for (size_t i = f->first; i < f->n; i++) {
		const char *value;

		if (!is_flag(f->args[i], name, &value))
			continue;
		if (value)
			found = value;
		else if (i + 1 < f->n && f->args[i + 1][0] != '-')
			found = f->args[++i];
		else
			found = "true";
	}
	return found;
}

char *wiring_flag_first(const struct wiring_flags *f, const char *name)
{
	const char *value = wiring_flag(f, name);
	size_t len = value ? strcspn(value, ",") : 0;

	return len > 0 ? strndup(value, len) : NULL;
}

char *wiring_flag_path(const struct wiring_flags *f, const char *name)
{
	const char *value = wiring_flag(f, name);
	char *path;

	if (!value || !*value)
		return NULL;
	if (value[0] == '/' || !f->cwd)
		return strdup(value);
	return asprintf(&path, "%s/%s", f->cwd, value) < 0 ? NULL : path;
}
