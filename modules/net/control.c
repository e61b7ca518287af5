/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serving side of the local doors. One line in, one line out, any number of them on a connection; the connection is
 * the unit of every limit.
 */
#include "net/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"

#define CONTROL_MAGIC 0x6b6d6374u
#define PEER_MAGIC    0x6b6d6370u
#define BACKLOG       16
#define UIDS_MAX      4

struct peer {
	uint32_t magic;
	struct km_control *owner;
	struct bufferevent *bev;
	struct km_timer *deadline;
	uid_t uid;
	bool closing;
	struct peer *next, **self;
};

struct km_control {
	uint32_t magic;
	struct km_loop *loop;
	struct evconnlistener *listener;
	char *path; /* to unlink at the end; NULL for a passed socket */
	uid_t uids[UIDS_MAX];
	size_t n_uids;
	km_control_fn fn;
	void *arg;
	uint64_t deadline_us;
	struct peer *peers;
	size_t n_peers;
	uint64_t idle_since;
};

json_t *km_control_error(int code, const char *fmt, ...)
{
	char text[KM_ERR_TEXT_MAX];
	json_t *reply;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply = json_pack("{s:s, s:i}", "error", text, "code", code);
	/* a caller's bytes may be in the text, and jansson takes only UTF-8 */
	return reply ? reply : json_pack("{s:s, s:i}", "error", "an error whose text is not UTF-8", "code", code);
}

static void free_peer(void *arg)
{
	struct peer *p = KM_CAST(struct peer, arg, PEER_MAGIC);

	km_timer_free(p->deadline);
	bufferevent_free(p->bev);
	p->magic = 0;
	free(p);
}

/* Takes the peer off the list now and frees it when its callbacks have returned. */
static void drop_peer(struct peer *p)
{
	struct km_control *c = p->owner;

	if (!p->self)
		return;
	*p->self = p->next;
	if (p->next)
		p->next->self = p->self;
	p->self = NULL;
	if (--c->n_peers == 0)
		c->idle_since = km_now_us();
	bufferevent_disable(p->bev, EV_READ | EV_WRITE);
	km_timer_cancel(p->deadline);
	km_loop_reap(c->loop, free_peer, p);
}

static json_t *answer(struct peer *p, const char *line, size_t len)
{
	json_error_t problem;
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &problem), *reply;
	const char *op = json_string_value(json_object_get(request, "op"));

	if (!request)
		reply = km_control_error(2, "the request is not JSON: %s", problem.text);
	else if (!op)
		reply = km_control_error(2, "the request must be an object with a string \"op\"");
	else
		reply = p->owner->fn(op, request, p->uid, p->owner->arg);
	json_decref(request);
	return reply ? reply : km_control_error(1, "out of memory");
}

static int add_text(const char *text, size_t n, void *arg)
{
	struct evbuffer *out = arg;

	if (evbuffer_get_length(out) + n > KM_CONTROL_REPLY_MAX)
		return -1;
	return evbuffer_add(out, text, n);
}

static void send_reply(struct peer *p, json_t *reply)
{
	struct evbuffer *out = evbuffer_new();

	if (!out || json_dump_callback(reply, add_text, out, JSON_COMPACT) < 0) {
		if (out)
			evbuffer_drain(out, evbuffer_get_length(out));
		if (out)
			evbuffer_add_printf(out, "{\"error\":\"the reply is larger than %d bytes\",\"code\":1}",
				KM_CONTROL_REPLY_MAX);
	}
	json_decref(reply);
	if (!out || evbuffer_add(out, "\n", 1) < 0 || bufferevent_write_buffer(p->bev, out) < 0)
		drop_peer(p);
	if (out)
		evbuffer_free(out);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct peer *p = KM_CAST(struct peer, arg, PEER_MAGIC);
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t len;
	char *line;

	/* One request at a time: while a reply is being written nothing more is read, so a peer that does not read
	 * cannot make us collect replies. */
	if (!p->self || evbuffer_get_length(bufferevent_get_output(bev)) > 0)
		return;
	line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF);
	if (!line) {
		if (evbuffer_get_length(in) >= KM_CONTROL_REQUEST_MAX) {
			p->closing = true;
			send_reply(
				p, km_control_error(2, "the request is longer than %d bytes", KM_CONTROL_REQUEST_MAX));
		}
		return;
	}
	bufferevent_disable(bev, EV_READ);
	send_reply(p, answer(p, line, len));
	free(line);
	if (p->self)
		km_timer_set(p->deadline, p->owner->deadline_us);
}

static void on_written(struct bufferevent *bev, void *arg)
{
	struct peer *p = KM_CAST(struct peer, arg, PEER_MAGIC);

	if (!p->self)
		return;
	if (p->closing) {
		drop_peer(p);
		return;
	}
	bufferevent_enable(bev, EV_READ);
	on_read(bev, p); /* a request that was there already */
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))
		drop_peer(KM_CAST(struct peer, arg, PEER_MAGIC));
}

static void on_deadline(void *arg)
{
	drop_peer(KM_CAST(struct peer, arg, PEER_MAGIC));
}

static bool may_speak(const struct km_control *c, uid_t uid)
{
	for (size_t i = 0; i < c->n_uids; i++)
		if (c->uids[i] == uid)
			return true;
	return uid == 0 || uid == geteuid();
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int len, void *arg)
{
	struct km_control *c = KM_CAST(struct km_control, arg, CONTROL_MAGIC);
	struct ucred cred;
	socklen_t cred_len = sizeof(cred);
	struct peer *p;

	(void)listener;
	(void)address;
	(void)len;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) < 0 || !may_speak(c, cred.uid) ||
		c->n_peers >= KM_CONTROL_PEERS_MAX || !(p = calloc(1, sizeof(*p)))) {
		close(fd);
		return;
	}
	*p = (struct peer){.magic = PEER_MAGIC, .owner = c, .uid = cred.uid};
	p->bev = bufferevent_socket_new(km_loop_base(c->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	if (!p->bev || km_timer_new(c->loop, on_deadline, p, &p->deadline) < 0) {
		if (p->bev)
			bufferevent_free(p->bev);
		else
			close(fd);
		free(p);
		return;
	}
	p->next = c->peers;
	p->self = &c->peers;
	if (p->next)
		p->next->self = &p->next;
	c->peers = p;
	c->n_peers++;
	c->idle_since = 0;
	bufferevent_setcb(p->bev, on_read, on_written, on_event, p);
	bufferevent_setwatermark(p->bev, EV_READ, 0, KM_CONTROL_REQUEST_MAX);
	bufferevent_enable(p->bev, EV_READ | EV_WRITE);
	km_timer_set(p->deadline, c->deadline_us);
}

/* A socket file whose owner is gone is replaced; one that answers is not. */
static int clear_path(const char *path, struct km_err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;
	int fd, r;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : km_fail(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return km_fail(err, -EEXIST, "%s exists and is no socket: move it away", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof(address));
	r = r == 0 || errno == EAGAIN ? -EADDRINUSE : -errno;
	if (fd >= 0)
		close(fd);
	if (r == -EADDRINUSE)
		return km_fail(err, r, "%s: another process answers there", path);
	if (r != -ECONNREFUSED && r != -ENOENT) /* not ours, not of our kind: only a dead one may be removed */
		return km_fail(err, r, "%s: it cannot be told whether somebody answers there: %s", path, strerror(-r));
	return unlink(path) < 0 && errno != ENOENT ? km_fail(err, -errno, "%s: %s", path, strerror(errno)) : 0;
}

static int listen_at(const char *path, mode_t mode, struct km_err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t before;
	int fd, r;

	if (strlen(path) >= sizeof(address.sun_path))
		return km_fail(err, -ENAMETOOLONG, "%s: the path of a socket has at most %zu bytes", path,
			sizeof(address.sun_path) - 1);
	if ((r = clear_path(path, err)) < 0)
		return r;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return km_fail(err, -errno, "%s: %s", path, strerror(errno));
	before = umask(0777 & ~mode); /* right from the first instant, not by a later chmod */
	r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(before);
	if (r == 0 && listen(fd, BACKLOG) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		return km_fail(err, r, "%s: %s", path, strerror(-r));
	}
	return fd;
}

int km_control_new(
	struct km_loop *loop, const struct km_control_config *config, struct km_control **ret, struct km_err *err)
{
	struct km_control *c = calloc(1, sizeof(*c));
	int fd = config->fd;

	if (!c)
		return km_fail(err, -ENOMEM, "out of memory");
	*c = (struct km_control){.magic = CONTROL_MAGIC,
		.loop = loop,
		.fn = config->fn,
		.arg = config->arg,
		.deadline_us = config->deadline_us ? config->deadline_us : KM_CONTROL_DEADLINE_US,
		.idle_since = km_now_us()};
	for (size_t i = 0; i < config->n_uids && i < UIDS_MAX; i++)
		c->uids[c->n_uids++] = config->uids[i];
	if (fd < 0) {
		fd = listen_at(config->path, config->mode ? config->mode : 0600, err);
		if (fd < 0) {
			free(c);
			return fd;
		}
		c->path = strdup(config->path);
	}
	evutil_make_socket_nonblocking(fd);
	c->listener = evconnlistener_new(
		km_loop_base(loop), on_accept, c, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!c->listener || (config->fd < 0 && !c->path)) {
		if (!c->listener)
			close(fd);
		km_control_free(c);
		return km_fail(err, -ENOMEM, "%s: out of memory", config->path);
	}
	*ret = c;
	return 0;
}

void km_control_free(struct km_control *c)
{
	if (!c)
		return;
	while (c->peers)
		drop_peer(c->peers);
	if (c->listener)
		evconnlistener_free(c->listener);
	if (c->path)
		unlink(c->path);
	free(c->path);
	c->magic = 0;
	free(c);
}

uint64_t km_control_idle_since(const struct km_control *c)
{
	return c->idle_since;
}
