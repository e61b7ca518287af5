/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calling side of the local doors: blocking, with one deadline over everything.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "net/control.h"

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Waits until fd is ready; -ETIMEDOUT at the deadline. */
static int wait_for(int fd, short events, uint64_t until_us)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = events};
		uint64_t now = km_now_us();
		int r;

		if (now >= until_us)
			return -ETIMEDOUT;
		r = poll(&p, 1, (int)KM_MIN((until_us - now) / 1000 + 1, UINT64_C(60000)));
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

static int send_line(int fd, const char *text, size_t len, uint64_t until_us)
{
	while (len > 0) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		int r;

		if (n > 0) {
			text += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			if ((r = wait_for(fd, POLLOUT, until_us)) < 0)
				return r;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

static int read_line(int fd, struct km_buf *line, uint64_t until_us)
{
	for (;;) {
		ssize_t n;
		int r;

		if (km_buf_reserve(line, 65536) < 0)
			return line->error;
		n = recv(fd, line->data + line->len, 65536, MSG_DONTWAIT);
		if (n > 0) {
			char *end = memchr(line->data + line->len, '\n', (size_t)n);

			line->len += (size_t)n;
			if (end) {
				line->len = (size_t)(end - line->data);
				return 0;
			}
		} else if (n == 0) {
			return -EPIPE;
		} else if (errno == EAGAIN) {
			if ((r = wait_for(fd, POLLIN, until_us)) < 0)
				return r;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
}

/* connect() to a local socket waits while its queue is full, as long as the time for sending allows. */
static int connect_within(int fd, const char *path, uint64_t until_us)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	uint64_t now = km_now_us(), left = until_us > now ? until_us - now : 1;
	struct timeval limit = {
		.tv_sec = (time_t)(left / KM_USEC_PER_SEC), .tv_usec = (suseconds_t)(left % KM_USEC_PER_SEC)};

	memcpy(address.sun_path, path, strlen(path) + 1);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return 0;
}

static int exchange(const char *path, const char *request, struct km_buf *reply, uint64_t until_us, struct km_err *err)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0 || strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return km_fail(err, -EINVAL, "%s: not a usable socket path", path);
	if ((r = connect_within(fd, path, until_us)) < 0)
		return km_fail(err, r, "%s: %s", path, r == -ETIMEDOUT ? "no answer in time" : strerror(-r));
	if ((r = send_line(fd, request, strlen(request), until_us)) < 0 || (r = send_line(fd, "\n", 1, until_us)) < 0 ||
		(r = read_line(fd, reply, until_us)) < 0) {
		if (r == -EPIPE || r == -ECONNRESET)
			return km_fail(err, -EACCES,
				"%s: the connection was closed without an answer: is this user allowed there?", path);
		return km_fail(err, r, "%s: %s", path, r == -ETIMEDOUT ? "no answer in time" : strerror(-r));
	}
	return 0;
}

int km_control_call(
	const char *path, json_t *request, uint64_t deadline_us, json_t **ret, int *ret_code, struct km_err *err)
{
	_cleanup_buf_ struct km_buf line = KM_BUF_INIT(KM_CONTROL_REPLY_MAX + 65536);
	_cleanup_free_ char *text = json_dumps(request, JSON_COMPACT);
	json_t *reply;
	const char *problem;
	int r;

	if (!text)
		return km_fail(err, -ENOMEM, "out of memory");
	if (strlen(text) >= KM_CONTROL_REQUEST_MAX)
		return km_fail(err, -EMSGSIZE, "%s: the request is longer than %d bytes", path, KM_CONTROL_REQUEST_MAX);
	if ((r = exchange(path, text, &line, km_now_us() + deadline_us, err)) < 0)
		return r;
	reply = json_loadb(line.data, line.len, 0, NULL);
	if (!json_is_object(reply)) {
		json_decref(reply);
		return km_fail(err, -EBADMSG, "%s: the answer is no JSON object", path);
	}
	problem = json_string_value(json_object_get(reply, "error"));
	if (problem) {
		if (ret_code)
			*ret_code = (int)json_integer_value(json_object_get(reply, "code"));
		km_fail(err, -EREMOTEIO, "%s", problem);
		json_decref(reply);
		return -EREMOTEIO;
	}
	*ret = reply;
	return 0;
}
