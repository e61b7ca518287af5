/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request and its reply. The handler may answer at once or later; meanwhile the connection is read just far enough to
 * notice that the client has gone. Who frees evhttp's request then depends on how far it was: see
 * km_http_request_abandon.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "core/json.h"
#include "net/http_internal.h"

#define STATUS_BODY_MAX 8192

static struct km_http_conn *conn_of(const struct km_http_req *req)
{
	assert(req->conn->magic == KM_HTTP_CONN_MAGIC && req->evreq);
	return req->conn;
}

/* ---- what it says ---- */

const char *km_http_req_method(const struct km_http_req *req)
{
	return conn_of(req)->gate.method;
}

const struct km_url *km_http_req_url(const struct km_http_req *req)
{
	return &req->url;
}

const char *km_http_req_target(const struct km_http_req *req)
{
	return evhttp_request_get_uri(req->evreq);
}

/* evhttp takes off spaces at both ends, but tabs only at the far one. */
static const char *trimmed(const char *value)
{
	return value + strspn(value, " \t");
}

int km_http_req_headers(
	const struct km_http_req *req, int (*fn)(const char *name, const char *value, void *arg), void *arg)
{
	const struct evkeyval *header;

	TAILQ_FOREACH(header, evhttp_request_get_input_headers(req->evreq), next)
	{
		int r = fn(header->key, trimmed(header->value), arg);

		if (r != 0)
			return r;
	}
	return 0;
}

const char *km_http_req_header(const struct km_http_req *req, const char *name)
{
	const char *value = evhttp_find_header(evhttp_request_get_input_headers(req->evreq), name);

	return value ? trimmed(value) : NULL;
}

X509 *km_http_req_peer_cert(const struct km_http_req *req)
{
	return SSL_get0_peer_certificate(conn_of(req)->ssl);
}

STACK_OF(X509) *km_http_req_peer_chain(const struct km_http_req *req)
{
	return SSL_get_peer_cert_chain(conn_of(req)->ssl);
}

const char *km_http_req_peer_address(const struct km_http_req *req)
{
	return conn_of(req)->address;
}

uint64_t km_http_req_connection_id(const struct km_http_req *req)
{
	return conn_of(req)->id;
}

void km_http_req_on_cancel(struct km_http_req *req, void (*fn)(void *arg), void *arg)
{
	req->on_cancel = fn;
	req->cancel_arg = arg;
}

/* ---- replies ---- */

const char *km_http_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} phrases[] = {
		{200, "OK"},
		{201, "Created"},
		{204, "No Content"},
		{301, "Moved Permanently"},
		{304, "Not Modified"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{406, "Not Acceptable"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{414, "URI Too Long"},
		{415, "Unsupported Media Type"},
		{422, "Unprocessable Entity"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < KM_ARRAY_LEN(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "Status";
}

void km_http_status_body(struct km_buf *out, int code, const char *message)
{
	struct km_json j = KM_JSON_INIT(out, false);

	km_json_object(&j);
	km_json_kstr(&j, "kind", "Status");
	km_json_kstr(&j, "apiVersion", "v1");
	km_json_key(&j, "metadata");
	km_json_object(&j);
	km_json_end_object(&j);
	km_json_kstr(&j, "status", "Failure");
	km_json_kstr(&j, "message", message);
	if (code == 400)
		km_json_kstr(&j, "reason", "BadRequest");
	else if (code == 405)
		km_json_kstr(&j, "reason", "MethodNotAllowed");
	km_json_kint(&j, "code", code);
	km_json_end_object(&j);
}

static bool is_plain(const char *text)
{
	for (; *text; text++)
		if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
			return false;
	return true;
}

void km_http_req_add_header(struct km_http_req *req, const char *name, const char *value)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(conn_of(req)->req.evreq);

	assert(is_plain(name) && is_plain(value));
	assert(strcasecmp(name, "Content-Length") != 0 && strcasecmp(name, "Date") != 0 &&
		strcasecmp(name, "Connection") != 0);
	evhttp_add_header(headers, name, value);
}

/*
 * evhttp takes any call of its write callback for "all is written". A deferred call that was under way when the output
 * was empty for a moment may come after the end of the reply was queued; evhttp would then stop writing with the end
 * still there. So the callback is let through only when the output is empty.
 */
static void on_written(struct bufferevent *bev, void *evcon)
{
	struct km_http_conn *conn = km_http_conn_of(bev);

	if (evbuffer_get_length(bufferevent_get_output(bev)) == 0)
		conn->evhttp_written(bev, evcon);
}

static void guard_written(struct km_http_conn *conn)
{
	bufferevent_event_cb event_cb = NULL;
	void *evcon = NULL;

	if (conn->state != KM_CONN_WRITE)
		return; /* a reply without a byte left to write may be over already */
	bufferevent_getcb(conn->bev, NULL, &conn->evhttp_written, &event_cb, &evcon);
	bufferevent_setcb(conn->bev, NULL, on_written, event_cb, evcon);
}

static bool has_body(const struct km_http_conn *conn, int status)
{
	return strcmp(conn->gate.method, "HEAD") != 0 && status != 204 && status != 304;
}

static void say_close(struct km_http_conn *conn)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(conn->req.evreq);

	/* for HTTP/1.0 evhttp would promise keep-alive beside it if it were asked to */
	evhttp_remove_header(evhttp_request_get_input_headers(conn->req.evreq), "Connection");
	if (!evhttp_find_header(headers, "Connection"))
		evhttp_add_header(headers, "Connection", "close");
}

static void begin_reply(struct km_http_conn *conn, const char *content_type)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(conn->req.evreq);

	conn->req.on_cancel = NULL;
	if (content_type)
		evhttp_add_header(headers, "Content-Type", content_type);
	conn->close_after = conn->close_after || conn->gate.close || conn->server->draining;
	if (conn->close_after)
		say_close(conn);
}

void km_http_reply(struct km_http_req *req, int status, const char *content_type, const void *body, size_t len)
{
	struct km_http_conn *conn = conn_of(req);
	struct evbuffer *buf = NULL;
	char length[32];

	assert(conn->state == KM_CONN_PENDING);
	begin_reply(conn, content_type);
	if (status != 204 && status != 304) {
		snprintf(length, sizeof(length), "%zu", len);
		evhttp_add_header(evhttp_request_get_output_headers(req->evreq), "Content-Length", length);
	}
	if (len > 0 && has_body(conn, status)) {
		buf = evbuffer_new();
		if (!buf || evbuffer_add(buf, body, len) < 0) {
			if (buf)
				evbuffer_free(buf);
			km_http_conn_close_later(conn);
			return;
		}
	}
	km_http_conn_replying(conn, KM_CONN_WRITE);
	evhttp_send_reply(req->evreq, status, km_http_phrase(status), buf);
	guard_written(conn);
	if (buf)
		evbuffer_free(buf);
}

/* ---- streams ---- */

/* The producer is told that it is over, once. */
static void end_producer(struct km_http_req *req)
{
	km_loop_fn done = KM_TAKE(req->done);

	req->produce = NULL;
	km_buf_free(&req->slice);
	if (done)
		done(req->produce_arg);
}

/* One call of the producer: what it returned, or negative when its slice is broken. */
static int produce(struct km_http_req *req)
{
	int r;

	km_buf_reset(&req->slice);
	r = req->produce(&req->slice, req->produce_arg);
	return r >= 0 && req->slice.error ? req->slice.error : r;
}

static bool send_slice(struct km_http_req *req)
{
	struct evbuffer *buf = evbuffer_new();
	bool fine = buf && evbuffer_add(buf, req->slice.data, req->slice.len) == 0;

	if (fine)
		evhttp_send_reply_chunk(req->evreq, buf);
	if (buf)
		evbuffer_free(buf);
	return fine;
}

/* Cut off, without the last chunk: the client must not take what it has for the whole. */
static void break_off(struct km_http_conn *conn)
{
	end_producer(&conn->req);
	km_http_conn_close_later(conn);
}

void km_http_request_pump(void *arg)
{
	struct km_http_conn *conn = KM_CAST(struct km_http_conn, arg, KM_HTTP_CONN_MAGIC);
	struct km_http_req *req = &conn->req;
	int r;

	if (conn->state != KM_CONN_STREAM || !req->produce)
		return;
	if (evbuffer_get_length(bufferevent_get_output(conn->bev)) >= conn->server->limits.output_high_water) {
		req->pump_paused = true;
		return;
	}
	r = produce(req);
	if (r < 0 || (req->slice.len > 0 && !send_slice(req))) {
		break_off(conn);
	} else if (r > 0) {
		km_timer_set(conn->pump, 0);
	} else {
		end_producer(req);
		km_http_conn_replying(conn, KM_CONN_WRITE);
		evhttp_send_reply_end(req->evreq);
		guard_written(conn);
	}
}

void km_http_request_output_drained(struct km_http_conn *conn, size_t left)
{
	if (!conn->req.pump_paused || left > conn->server->limits.output_high_water / 2)
		return;
	conn->req.pump_paused = false;
	km_timer_set(conn->pump, 0);
}

void km_http_stream(struct km_http_req *req, int status, const char *content_type, km_http_produce_fn produce_fn,
	km_loop_fn done, void *arg)
{
	struct km_http_conn *conn = conn_of(req);
	int r;

	assert(conn->state == KM_CONN_PENDING);
	req->on_cancel = NULL;
	req->produce = produce_fn;
	req->done = done;
	req->produce_arg = arg;
	req->slice = KM_BUF_INIT(KM_HTTP_SLICE_BYTES_MAX);
	r = produce(req);
	if (r < 0) {
		break_off(conn);
	} else if (r == 0) {
		struct km_buf whole = req->slice;

		req->slice = (struct km_buf){0};
		end_producer(req);
		km_http_reply(req, status, content_type, whole.data, whole.len);
		km_buf_free(&whole);
	} else if (!has_body(conn, status)) {
		end_producer(req);
		begin_reply(conn, content_type);
		km_http_conn_replying(conn, KM_CONN_WRITE);
		evhttp_send_reply(req->evreq, status, km_http_phrase(status), NULL);
		guard_written(conn);
	} else {
		begin_reply(conn, content_type);
		km_http_conn_replying(conn, KM_CONN_STREAM);
		evhttp_send_reply_start(req->evreq, status, km_http_phrase(status));
		if (req->slice.len > 0 && !send_slice(req))
			break_off(conn);
		else
			km_timer_set(conn->pump, 0);
	}
}

/* ---- coming and going ---- */

/* evhttp has written the reply and is about to read on, or to close if an output header says so. */
static void on_complete(struct evhttp_request *evreq, void *arg)
{
	struct km_http_conn *conn = KM_CAST(struct km_http_conn, arg, KM_HTTP_CONN_MAGIC);

	if (conn->close_after || conn->server->draining || !km_http_conn_next_head(conn)) {
		conn->close_after = true;
		say_close(conn);
		SSL_shutdown(conn->ssl);
	}
	conn->req.evreq = NULL;
}

void km_http_request_abandon(struct km_http_conn *conn)
{
	struct km_http_req *req = &conn->req;
	struct evhttp_request *evreq = KM_TAKE(req->evreq);
	void (*on_cancel)(void *arg) = KM_TAKE(req->on_cancel);

	if (!evreq)
		return;
	end_producer(req);
	/* evhttp lets go of a request that the user has not finished answering; in all other cases it frees it with the
	 * connection */
	if (!evhttp_request_get_connection(evreq))
		evhttp_request_free(evreq);
	if (on_cancel)
		on_cancel(req->cancel_arg);
}

/* While the handler thinks: evhttp's read callback must not run, but the client's end is to be seen. */
static void watch_for_end(struct km_http_conn *conn)
{
	bufferevent_data_cb write_cb = NULL;
	bufferevent_event_cb event_cb = NULL;
	void *arg = NULL;

	bufferevent_getcb(conn->bev, NULL, &write_cb, &event_cb, &arg);
	bufferevent_setcb(conn->bev, NULL, write_cb, event_cb, arg);
	bufferevent_enable(conn->bev, EV_READ);
}

static void refuse_target(struct km_http_req *req, int r)
{
	_cleanup_buf_ struct km_buf body = KM_BUF_INIT(STATUS_BODY_MAX);
	int status = r == -EMSGSIZE ? 414 : 400;

	km_http_status_body(&body, status,
		r == -EMSGSIZE ? "the request target has too many segments or parameters"
			       : "the request target cannot be read");
	km_http_reply(req, status, "application/json", body.data, body.len);
}

void km_http_request_arrived(struct evhttp_request *evreq, void *arg)
{
	struct km_http_server *server = KM_CAST(struct km_http_server, arg, KM_HTTP_SERVER_MAGIC);
	struct bufferevent *bev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(evreq));
	struct km_http_conn *conn = km_http_conn_of(bev);
	const char *uri = evhttp_request_get_uri(evreq);
	struct km_http_req *req;
	int r;

	if (!conn) {
		evhttp_send_error(evreq, 400, "This is an HTTPS port");
		return;
	}
	req = &conn->req;
	req->evreq = evreq;
	evhttp_request_set_on_complete_cb(evreq, on_complete, conn);
	conn->state = KM_CONN_PENDING;
	km_timer_cancel(conn->timer);
	/* The gate and evhttp must agree where this head ends. They do; if ever they do not, nothing on this connection
	 * can be believed. */
	if (!conn->gate_done || conn->beyond != evbuffer_get_length(bufferevent_get_input(bev))) {
		server->stats.refused_framing++;
		km_http_conn_close_later(conn);
		return;
	}
	bufferevent_setwatermark(bev, EV_READ, 0, KM_HTTP_PENDING_INPUT_MAX);
	server->stats.requests++;
	r = km_url_parse(uri, strlen(uri), &req->url);
	if (r < 0) {
		refuse_target(req, r);
		return;
	}
	server->handler(req, server->arg);
	if (conn->state == KM_CONN_PENDING && !conn->closing)
		watch_for_end(conn);
}
