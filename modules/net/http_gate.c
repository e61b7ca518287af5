/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate; see http_gate.h. One state a place in the head, one function a state.
 */
#include "net/http_gate.h"

#include <string.h>

enum state {
	METHOD,
	TARGET,
	VERSION,
	REQUEST_LF, /* after the CR of the request line */
	FIELD_START,
	NAME,
	VALUE_START, /* spaces before the value */
	VALUE,
	VALUE_LF,
	END_LF,
	DONE,
	BAD,
};

enum field { OTHER, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, HOST };

void km_http_gate_init(struct km_http_gate *gate, size_t head_bytes_max)
{
	memset(gate, 0, sizeof(*gate));
	gate->head_bytes_max = head_bytes_max;
}

void km_http_gate_next(struct km_http_gate *gate)
{
	if (gate->state == DONE)
		km_http_gate_init(gate, gate->head_bytes_max);
}

static void refuse(struct km_http_gate *g, int status, const char *reason)
{
	g->state = BAD;
	g->status = status;
	g->reason = reason;
}

static bool is_token(unsigned char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static char lower(unsigned char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static void enter(struct km_http_gate *g, enum state state)
{
	g->state = state;
	g->part = 0;
}

static void clear_token(struct km_http_gate *g)
{
	g->token_len = 0;
	memset(g->token, 0, sizeof(g->token));
}

/* A token that does not fit counts on: it is none of those looked for, and token_is sees the length. */
static void add_token(struct km_http_gate *g, unsigned char c)
{
	if (g->token_len < sizeof(g->token) - 1)
		g->token[g->token_len] = lower(c);
	g->token_len++;
}

static bool token_is(const struct km_http_gate *g, const char *text)
{
	return g->token_len == strlen(text) && memcmp(g->token, text, g->token_len) == 0;
}

static void on_method(struct km_http_gate *g, unsigned char c)
{
	if (c == ' ' && g->part > 0) {
		g->method[g->part] = '\0';
		/* the library would treat a tunnel's replies by other rules */
		if (strcmp(g->method, "CONNECT") == 0)
			refuse(g, 405, "the method CONNECT is not served");
		else
			enter(g, TARGET);
	} else if (!is_token(c)) {
		refuse(g, 400, "the request line does not start with a method");
	} else if (g->part == KM_HTTP_METHOD_MAX) {
		refuse(g, 400, "the method is too long");
	} else {
		g->method[g->part++] = (char)c;
	}
}

static void on_target(struct km_http_gate *g, unsigned char c)
{
	if (c == ' ' && g->part > 0)
		enter(g, VERSION);
	else if (c <= ' ' || c >= 0x7f)
		refuse(g, 400, "the request target holds a space, a control character or a byte that is not ASCII");
	else if (g->part == 0 && c != '/')
		refuse(g, 400, "the request target does not start with /");
	else if (g->part == 1 && c == '/')
		refuse(g, 400, "the request target starts with //");
	else if (g->part == KM_HTTP_TARGET_MAX)
		refuse(g, 414, "the request target is too long");
	else
		g->part++;
}

/* evhttp has an answer of its own, in HTML, to a request line that is shorter; no real method is. */
#define REQUEST_LINE_MIN (sizeof("GET / HTTP/1.0") - 1)

static void on_version(struct km_http_gate *g, unsigned char c)
{
	static const char pattern[] = "HTTP/9.9"; /* 9: any digit */
	size_t n = sizeof(pattern) - 1;

	if (g->part == n) {
		if (c != '\r')
			refuse(g, 400, "the request line does not end with CR LF after the version");
		else if (g->token[0] != '1' || g->token[1] > '1')
			refuse(g, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
		else if (g->head_bytes - 1 < REQUEST_LINE_MIN)
			refuse(g, 400, "the request line is too short");
		else
			enter(g, REQUEST_LF);
		return;
	}
	if (pattern[g->part] == '9' && c >= '0' && c <= '9') {
		g->token[g->part == n - 1] = (char)c;
	} else if (pattern[g->part] == '9' || (unsigned char)pattern[g->part] != c) {
		refuse(g, 400, "the request line does not end with an HTTP version");
		return;
	}
	g->part++;
}

static void on_request_lf(struct km_http_gate *g, unsigned char c)
{
	if (c != '\n') {
		refuse(g, 400, "a CR is not followed by LF");
		return;
	}
	g->minor = (unsigned)(g->token[1] - '0');
	g->close = g->minor == 0;
	enter(g, FIELD_START);
}

static void on_name(struct km_http_gate *g, unsigned char c)
{
	if (c == ':' && g->part > 0) {
		g->field = token_is(g, "content-length")      ? CONTENT_LENGTH
			   : token_is(g, "transfer-encoding") ? TRANSFER_ENCODING
			   : token_is(g, "connection")        ? CONNECTION
			   : token_is(g, "host")              ? HOST
							      : OTHER;
		clear_token(g);
		enter(g, VALUE_START);
	} else if (c == ' ' || c == '\t') {
		refuse(g, 400, "a space stands before the colon of a header");
	} else if (!is_token(c)) {
		refuse(g, 400, "a header's name holds a character that is not allowed, or there is no colon");
	} else if (g->part == KM_HTTP_NAME_MAX) {
		refuse(g, 431, "a header's name is too long");
	} else {
		add_token(g, c);
		g->part++;
	}
}

static void on_field_start(struct km_http_gate *g, unsigned char c)
{
	if (c == '\r') {
		enter(g, END_LF);
	} else if (c == ' ' || c == '\t') {
		refuse(g, 400, "a header is folded over two lines");
	} else if (g->headers == KM_HTTP_HEADERS_MAX) {
		refuse(g, 431, "there are too many headers");
	} else {
		g->headers++;
		clear_token(g);
		enter(g, NAME);
		on_name(g, c);
	}
}

/* Spaces at the end of a value or of an element of a list belong to neither. */
static void trim_token(struct km_http_gate *g)
{
	while (g->token_len > 0 && g->token_len < sizeof(g->token) &&
		(g->token[g->token_len - 1] == ' ' || g->token[g->token_len - 1] == '\t'))
		g->token_len--;
}

/* One element of Connection's list has ended. */
static void end_option(struct km_http_gate *g)
{
	trim_token(g);
	if (token_is(g, "close"))
		g->close = true;
	clear_token(g);
}

static void check_length(struct km_http_gate *g)
{
	bool digits;

	trim_token(g);
	digits = g->token_len > 0;
	for (size_t i = 0; i < KM_MIN(g->token_len, sizeof(g->token) - 1); i++)
		digits = digits && g->token[i] >= '0' && g->token[i] <= '9';
	if (g->has_length)
		refuse(g, 400, "Content-Length is given twice");
	else if (!digits)
		refuse(g, 400, "Content-Length is not a number");
	else if (!token_is(g, "0"))
		refuse(g, 400, "a request body is not accepted");
	g->has_length = true;
}

static void end_value(struct km_http_gate *g)
{
	enter(g, VALUE_LF);
	switch ((enum field)g->field) {
	case CONTENT_LENGTH:
		check_length(g);
		break;
	case TRANSFER_ENCODING:
		refuse(g, 400, "Transfer-Encoding is not accepted: a request has no body here");
		break;
	case CONNECTION:
		end_option(g);
		break;
	case HOST:
		if (g->has_host)
			refuse(g, 400, "Host is given twice");
		g->has_host = true;
		break;
	case OTHER:
		break;
	}
}

static void on_value(struct km_http_gate *g, unsigned char c)
{
	if (c == '\r')
		end_value(g);
	else if ((c < ' ' && c != '\t') || c == 0x7f)
		refuse(g, 400, "a header's value holds a control character");
	else if (g->field == CONNECTION && c == ',')
		end_option(g);
	else if (g->field != CONNECTION || g->token_len > 0 || (c != ' ' && c != '\t'))
		add_token(g, c);
}

static void on_value_start(struct km_http_gate *g, unsigned char c)
{
	if (c == ' ' || c == '\t')
		return;
	enter(g, VALUE);
	on_value(g, c);
}

static void on_end_lf(struct km_http_gate *g, unsigned char c)
{
	if (c != '\n')
		refuse(g, 400, "a CR is not followed by LF");
	else if (!g->has_host && g->minor > 0)
		refuse(g, 400, "the Host header is missing");
	else
		g->state = DONE;
}

static void on_byte(struct km_http_gate *g, unsigned char c)
{
	if (c == '\0') {
		refuse(g, 400, "the request head holds a NUL");
		return;
	}
	if (++g->head_bytes > g->head_bytes_max) {
		refuse(g, 431, "the request head is too large");
		return;
	}
	if (c == '\n' && g->state != REQUEST_LF && g->state != VALUE_LF && g->state != END_LF) {
		refuse(g, 400, "a LF is not preceded by CR");
		return;
	}
	switch ((enum state)g->state) {
	case METHOD:
		on_method(g, c);
		break;
	case TARGET:
		on_target(g, c);
		break;
	case VERSION:
		on_version(g, c);
		break;
	case REQUEST_LF:
		on_request_lf(g, c);
		break;
	case FIELD_START:
		on_field_start(g, c);
		break;
	case NAME:
		on_name(g, c);
		break;
	case VALUE_START:
		on_value_start(g, c);
		break;
	case VALUE:
		on_value(g, c);
		break;
	case VALUE_LF:
		if (c == '\n')
			enter(g, FIELD_START);
		else
			refuse(g, 400, "a CR is not followed by LF");
		break;
	case END_LF:
		on_end_lf(g, c);
		break;
	case DONE:
	case BAD:
		break;
	}
}

enum km_gate_verdict km_http_gate_feed(struct km_http_gate *gate, const char *bytes, size_t n, size_t *ret_used)
{
	size_t i = 0;

	while (i < n && gate->state != DONE && gate->state != BAD)
		on_byte(gate, (unsigned char)bytes[i++]);
	if (ret_used)
		*ret_used = i;
	return gate->state == DONE ? KM_GATE_HEAD : gate->state == BAD ? KM_GATE_BAD : KM_GATE_MORE;
}
