/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's native protocol is a datagram of KEY=value lines (values with line breaks: KEY, newline, 64-bit
 * little-endian length, value, newline). It is written here with MSG_DONTWAIT because sd_journal_send() blocks while
 * journald is stalled, and then so would the loop.
 */
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/utf8.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define LINE_MAX_BYTES 4096 /* also PIPE_BUF: one write of it is never interleaved */

enum target { TO_STDERR, TO_TERMINAL, TO_JOURNAL };

static struct {
	const char *ident, *journal_socket;
	enum target target;
	int level, journal_fd;
	uint64_t dropped, dropped_told;
	km_log_sink_fn sink;
	void *sink_arg;
} state = {.ident = "kmetricsd", .journal_socket = JOURNAL_SOCKET, .level = LOG_INFO, .journal_fd = -1};

/* systemd puts device and inode of the stream it connected to stderr into JOURNAL_STREAM; a redirected stderr no longer
 * matches. */
static bool stderr_is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return text && sscanf(text, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == device && st.st_ino == inode;
}

void km_log_open(const char *ident, int max_level)
{
	state.ident = ident;
	state.level = max_level;
	state.target = isatty(STDERR_FILENO) ? TO_TERMINAL : TO_STDERR;
	if (!stderr_is_journal())
		return;
	if (state.journal_fd < 0)
		state.journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (state.journal_fd >= 0)
		state.target = TO_JOURNAL;
}

void km_log_set_level(int max_level)
{
	state.level = max_level;
}

uint64_t km_log_dropped(void)
{
	return state.dropped;
}

void km_log_set_sink(km_log_sink_fn sink, void *arg)
{
	state.sink = sink;
	state.sink_arg = arg;
}

void km_log_set_journal_socket(const char *path)
{
	state.journal_socket = path ? path : JOURNAL_SOCKET;
}

static void add_field(struct km_buf *out, const char *key, const char *value)
{
	if (!value)
		return;
	if (strchr(value, '\n')) {
		uint64_t len = strlen(value);

		km_buf_addf(out, "%s\n", key);
		for (int i = 0; i < 8; i++)
			km_buf_addc(out, (char)(len >> (8 * i)));
		km_buf_add(out, value, len);
		km_buf_addc(out, '\n');
	} else {
		km_buf_addf(out, "%s=%s\n", key, value);
	}
}

static bool to_journal(int level, const struct km_log_fields *f, const char *text)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(16 * LINE_MAX_BYTES);
	struct iovec iov;
	struct msghdr message = {
		.msg_name = &address, .msg_namelen = sizeof(address), .msg_iov = &iov, .msg_iovlen = 1};
	char priority[4];

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", state.journal_socket);
	snprintf(priority, sizeof(priority), "%d", level & LOG_PRIMASK);
	add_field(&out, "MESSAGE", text);
	add_field(&out, "PRIORITY", priority);
	add_field(&out, "SYSLOG_IDENTIFIER", state.ident);
	if (f) {
		add_field(&out, "KM_MODULE", f->module);
		add_field(&out, "KM_NODE", f->node);
		add_field(&out, "KM_NAMESPACE", f->namespace_);
		add_field(&out, "KM_POD", f->pod);
		add_field(&out, "KM_HPA", f->hpa);
		add_field(&out, "MESSAGE_ID", f->message_id);
	}
	if (out.error)
		return false;
	iov = (struct iovec){.iov_base = out.data, .iov_len = out.len};
	return sendmsg(state.journal_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)out.len;
}

static const char *level_word(int level)
{
	static const char *const words[] = {"emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"};

	return words[level & LOG_PRIMASK];
}

/* Ready for one atomic write, or nothing is written: the pipe's reader may be stalled. */
static bool to_stderr(int level, const struct km_log_fields *f, const char *text)
{
	struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
	char line[LINE_MAX_BYTES];
	int n;

	if (state.target == TO_TERMINAL)
		n = snprintf(line, sizeof(line), "%-7s %s%s%s\n", level_word(level), f && f->module ? f->module : "",
			f && f->module ? ": " : "", text);
	else
		n = snprintf(line, sizeof(line), "<%d>%s%s%s\n", level & LOG_PRIMASK, f && f->module ? f->module : "",
			f && f->module ? ": " : "", text);
	if (n >= (int)sizeof(line)) {
		n = sizeof(line) - 1;
		line[n - 1] = '\n';
	}
	if (poll(&ready, 1, 0) != 1 || ready.revents != POLLOUT)
		return false;
	return write(STDERR_FILENO, line, (size_t)n) == n;
}

static bool emit(int level, const struct km_log_fields *f, const char *text)
{
	return state.target == TO_JOURNAL ? to_journal(level, f, text) : to_stderr(level, f, text);
}

/*
 * What a message quotes are other people's bytes (names, certificates, replies): none of them may start a line of its
 * own or move a terminal's cursor, so controls (C0, DEL, C1) are escaped, and so are bytes that are not UTF-8, for
 * which journalctl would show "[blob data]" instead of the line.
 */
static void escape(const char *in, size_t len, char *out, size_t size)
{
	size_t n = 0;

	while (len > 0 && n + 5 < size) {
		const unsigned char *c = (const unsigned char *)in;
		size_t width = km_utf8_length(in, len);

		if (width == 0 || *c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0)) {
			n += (size_t)snprintf(out + n, size - n, "\\x%02x", *c);
			width = 1;
		} else {
			memcpy(out + n, in, width);
			n += width;
		}
		in += width;
		len -= width;
	}
	out[n] = '\0';
}

void km_log(int level, const struct km_log_fields *fields, const char *fmt, ...)
{
	char raw[LINE_MAX_BYTES - 64], text[LINE_MAX_BYTES - 64];
	va_list ap;

	if ((level & LOG_PRIMASK) > state.level)
		return;
	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	escape(raw, strlen(raw), text, sizeof(text));
	if (state.sink) {
		state.sink(level, fields, text, state.sink_arg);
		return;
	}
	if (state.dropped > state.dropped_told) {
		char note[96];

		snprintf(note, sizeof(note), "%" PRIu64 " log lines were dropped: the log was stalled",
			state.dropped - state.dropped_told);
		if (emit(LOG_WARNING, NULL, note))
			state.dropped_told = state.dropped;
	}
	if (!emit(level, fields, text))
		state.dropped++;
}
