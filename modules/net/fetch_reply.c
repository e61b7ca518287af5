/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reply of a kubelet, piece by piece; see fetch_reply.h. The verdict does not depend on how the pieces are cut.
 */
#include "net/fetch_reply.h"

#include <errno.h>
#include <strings.h>

#define CHUNK_DIGITS_MAX  16 /* what fits in 64 bits */
#define LENGTH_DIGITS_MAX 18 /* what fits in 63; more is too large whatever the limit */

struct framing {
	bool has_length, too_long, chunked;
	uint64_t length;
};

void fetch_reply_begin(struct fetch_reply *r, struct km_buf *in, size_t max_body)
{
	*r = (struct fetch_reply){.in = *in, .max_body = max_body};
	*in = (struct km_buf){0};
	/* what is read ahead of a verdict fits; the limits themselves are checked where the reader knows what it is */
	r->in.max = max_body < SIZE_MAX / 2 ? max_body + FETCH_HEADERS_MAX + 2 * FETCH_PIECE_MAX : SIZE_MAX / 2;
	km_buf_reset(&r->in);
}

static int not_http(struct km_err *err, const char *why)
{
	return km_fail(err, -EBADMSG, "the reply is not HTTP: %s", why);
}

static int too_large(const struct fetch_reply *r, struct km_err *err)
{
	return km_fail(err, -EMSGSIZE, "the reply is larger than %zu bytes", r->max_body);
}

/* ---- the head ---- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) ||
	       (c && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_word(const char *text, size_t n, const char *word)
{
	return n == strlen(word) && strncasecmp(text, word, n) == 0;
}

/* "HTTP/1.1 200 OK", "HTTP/1.0 200" */
static int parse_status(struct fetch_reply *r, const char *line, size_t n, struct km_err *err)
{
	if (n < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') || line[8] != ' ' ||
		!is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]) || (n > 12 && line[12] != ' '))
		return not_http(err, "a malformed status line");
	r->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
	r->keeps_alive = line[7] == '1';
	/* we ask for no interim reply, and no kubelet sends one */
	return r->status < 200 ? km_fail(err, -EBADMSG, "status %d in place of a reply", r->status) : 0;
}

static int parse_length(struct framing *f, const char *value, size_t n, struct km_err *err)
{
	if (f->has_length || n == 0)
		return not_http(err, "Content-Length twice, or without a value");
	f->has_length = true;
	for (size_t i = 0; i < n; i++) {
		if (!is_digit(value[i]))
			return not_http(err, "Content-Length is not a number");
		f->length = f->length * 10 + (uint64_t)(value[i] - '0');
		if (i + 1 > LENGTH_DIGITS_MAX)
			f->too_long = true;
	}
	return 0;
}

static bool has_close(const char *value, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t end;

		while (i < n && (value[i] == ' ' || value[i] == '\t' || value[i] == ','))
			i++;
		for (end = i; end < n && is_name_char(value[end]); end++)
			;
		if (is_word(value + i, end - i, "close"))
			return true;
		i = end > i ? end : i + 1;
	}
	return false;
}

static int parse_field(struct fetch_reply *r, struct framing *f, const char *line, size_t n, struct km_err *err)
{
	const char *value;
	size_t name = 0;

	while (name < n && is_name_char(line[name]))
		name++;
	if (name == 0 || name == n || line[name] != ':')
		return not_http(err, "a malformed header");
	value = line + name + 1;
	n -= name + 1;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)value[i] < ' ' && value[i] != '\t')
			return not_http(err, "a control character in a header");
	while (n > 0 && (*value == ' ' || *value == '\t')) {
		value++;
		n--;
	}
	while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'))
		n--;
	if (is_word(line, name, "content-length"))
		return parse_length(f, value, n, err);
	if (is_word(line, name, "connection")) {
		r->keeps_alive = r->keeps_alive && !has_close(value, n);
	} else if (is_word(line, name, "transfer-encoding")) {
		if (f->chunked || !is_word(value, n, "chunked"))
			return km_fail(err, -EBADMSG, "a reply with Transfer-Encoding \"%.*s\"%s",
				(int)KM_MIN(n, (size_t)32), value, f->chunked ? " once more" : "");
		f->chunked = true;
	}
	return 0;
}

/* Where the body ends, which is where the next reply begins (RFC 9112, 6.3). */
static int frame(struct fetch_reply *r, const struct framing *f, struct km_err *err)
{
	if (f->chunked && f->has_length)
		return km_fail(err, -EBADMSG, "a reply with both Transfer-Encoding and Content-Length");
	if (r->status == 204 || r->status == 304) {
		r->part = REPLY_WHOLE;
	} else if (f->chunked) {
		r->part = REPLY_CHUNK_SIZE;
	} else if (!f->has_length) {
		/* until the connection ends, which cannot be told from one that was cut short */
		return km_fail(err, -EBADMSG, "a reply without a length");
	} else if (f->too_long || f->length > r->max_body) {
		return too_large(r, err);
	} else {
		r->left = f->length;
		r->part = REPLY_BODY;
	}
	return 0;
}

static int read_head(struct fetch_reply *r, struct km_err *err)
{
	static const char begin[] = "HTTP/1.";
	const char *data = r->in.data, *line, *end;
	struct framing f = {0};
	int e;

	if (memcmp(data, begin, KM_MIN(r->in.len, sizeof(begin) - 1)) != 0)
		return not_http(err, "it does not begin with HTTP/1");
	end = memmem(data + r->searched, r->in.len - r->searched, "\r\n\r\n", 4);
	if ((end ? (size_t)(end - data) + 4 : r->in.len) > FETCH_HEADERS_MAX)
		return km_fail(err, -EMSGSIZE, "the reply's headers are longer than %d bytes", FETCH_HEADERS_MAX);
	if (!end) {
		r->searched = r->in.len > 3 ? r->in.len - 3 : 0;
		return 0;
	}
	r->body_at = r->next = (size_t)(end - data) + 4;
	line = data;
	while (line < end + 2) {
		/* there is one: the head ends with it */
		const char *eol = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);

		e = line == data ? parse_status(r, line, (size_t)(eol - line), err)
				 : parse_field(r, &f, line, (size_t)(eol - line), err);
		if (e < 0)
			return e;
		line = eol + 2;
	}
	e = frame(r, &f, err);
	return e < 0 ? e : 1;
}

/* ---- the body ---- */

static int read_body(struct fetch_reply *r)
{
	if (r->in.len - r->next < r->left)
		return 0;
	r->body_len = r->left;
	r->next += r->left;
	r->part = REPLY_WHOLE;
	return 1;
}

static int malformed(struct km_err *err)
{
	return km_fail(err, -EBADMSG, "the reply's chunks are malformed");
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Whether CRLF stands at `at` of the bytes that are not decoded: 1, 0 as far as one can see, or an error. */
static int crlf(const struct fetch_reply *r, size_t at, struct km_err *err)
{
	const char *data = r->in.data + r->next + at;
	size_t n = r->in.len - r->next - at;

	if ((n > 0 && data[0] != '\r') || (n > 1 && data[1] != '\n'))
		return malformed(err);
	return n > 1;
}

/* Extensions are refused: nobody sends them but who wants two readers to disagree. */
static int read_chunk_size(struct fetch_reply *r, struct km_err *err)
{
	const char *data = r->in.data + r->next;
	size_t n = r->in.len - r->next, i;
	uint64_t size = 0;
	int e;

	for (i = 0; i < n && hex_digit(data[i]) >= 0; i++) {
		if (i == CHUNK_DIGITS_MAX)
			return malformed(err);
		size = size * 16 + (uint64_t)hex_digit(data[i]);
	}
	if (i == 0 && n > 0)
		return malformed(err);
	e = crlf(r, i, err);
	if (e <= 0)
		return e;
	if (size > r->max_body - r->body_len)
		return too_large(r, err);
	r->next += i + 2;
	r->left = size;
	r->part = size > 0 ? REPLY_CHUNK : REPLY_TRAILER;
	return 1;
}

static int read_chunk(struct fetch_reply *r)
{
	char *to = r->in.data + r->body_at + r->body_len, *from = r->in.data + r->next;
	size_t n = KM_MIN(r->left, r->in.len - r->next);

	memmove(to, from, n);
	r->body_len += n;
	r->next += n;
	r->left -= n;
	if (r->left > 0)
		return 0;
	r->part = REPLY_CHUNK_END;
	return 1;
}

static int read_chunk_end(struct fetch_reply *r, struct km_err *err)
{
	int e = crlf(r, 0, err);

	if (e <= 0)
		return e;
	r->next += 2;
	r->part = REPLY_CHUNK_SIZE;
	return 1;
}

/* Fields after the last chunk mean nothing to us. */
static int read_trailer(struct fetch_reply *r, struct km_err *err)
{
	const char *line = r->in.data + r->next;
	size_t n = r->in.len - r->next;
	const char *lf = memchr(line, '\n', n);

	if (lf)
		n = (size_t)(lf - line) + 1;
	if (n > FETCH_HEADERS_MAX - r->trailer)
		return km_fail(err, -EMSGSIZE, "the reply's headers are longer than %d bytes", FETCH_HEADERS_MAX);
	if (!lf)
		return 0;
	if (n < 2 || line[n - 2] != '\r')
		return malformed(err);
	r->next += n;
	r->trailer += n;
	if (n == 2)
		r->part = REPLY_WHOLE;
	return 1;
}

/* The framing that was decoded makes room, so that the buffer holds no more than head, body and what was just read. */
static void close_gap(struct fetch_reply *r)
{
	size_t end = r->body_at + r->body_len, n = r->in.len - r->next;

	memmove(r->in.data + end, r->in.data + r->next, n);
	r->next = end;
	r->in.len = end + n;
}

static int step(struct fetch_reply *r, struct km_err *err)
{
	switch (r->part) {
	case REPLY_HEAD:
		return read_head(r, err);
	case REPLY_BODY:
		return read_body(r);
	case REPLY_CHUNK_SIZE:
		return read_chunk_size(r, err);
	case REPLY_CHUNK:
		return read_chunk(r);
	case REPLY_CHUNK_END:
		return read_chunk_end(r, err);
	case REPLY_TRAILER:
		return read_trailer(r, err);
	case REPLY_WHOLE:
		break;
	}
	return 0;
}

int fetch_reply_check(struct fetch_reply *r, struct km_err *err)
{
	int e;

	if (r->in.error)
		return km_fail(err, r->in.error, "the reply could not be held");
	while (r->in.len > 0 && r->part != REPLY_WHOLE && (e = step(r, err)) != 0)
		if (e < 0)
			return e;
	if (r->part == REPLY_WHOLE)
		return 1;
	if (r->part > REPLY_BODY)
		close_gap(r);
	return 0;
}
