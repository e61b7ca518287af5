/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/support/tls_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

bool test_client_tcp(struct test_client *c, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct timeval wait = {.tv_sec = TEST_CLIENT_WAIT_S};
	int on = 1;

	c->ctx = NULL;
	c->ssl = NULL;
	c->ahead_len = 0;
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return false;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return true;
	close(c->fd);
	c->fd = -1;
	return false;
}

bool test_client_tls(struct test_client *c, const struct test_cert *cert)
{
	c->ctx = SSL_CTX_new(TLS_client_method());
	if (!c->ctx)
		return false;
	SSL_CTX_set_mode(c->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (cert &&
		(SSL_CTX_use_certificate(c->ctx, cert->cert) != 1 || SSL_CTX_use_PrivateKey(c->ctx, cert->key) != 1))
		return false;
	c->ssl = SSL_new(c->ctx);
	if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
		return false;
	return SSL_connect(c->ssl) == 1;
}

bool test_client_connect(struct test_client *c, uint16_t port, const struct test_cert *cert)
{
	return test_client_tcp(c, port) && test_client_tls(c, cert);
}

bool test_client_send(struct test_client *c, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n > 0) {
		int some = c->ssl ? SSL_write(c->ssl, p, (int)n) : (int)send(c->fd, p, n, MSG_NOSIGNAL);

		if (some <= 0)
			return false;
		p += some;
		n -= (size_t)some;
	}
	return true;
}

bool test_client_puts(struct test_client *c, const char *text)
{
	return test_client_send(c, text, strlen(text));
}

int test_client_some(struct test_client *c, char *out, size_t size)
{
	int n;

	ERR_clear_error();
	if (!c->ssl)
		return (int)recv(c->fd, out, size, 0);
	n = SSL_read(c->ssl, out, (int)size);
	if (n > 0)
		return n;
	return SSL_get_error(c->ssl, n) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

bool test_client_closed(struct test_client *c)
{
	struct timeval start, now;
	char byte;

	gettimeofday(&start, NULL);
	if (c->ahead_len > 0 || test_client_some(c, &byte, 1) > 0)
		return false;
	gettimeofday(&now, NULL);
	return now.tv_sec - start.tv_sec < TEST_CLIENT_WAIT_S - 1; /* else it was our own wait that ended */
}

static bool more(struct test_client *c)
{
	int n;

	if (c->ahead_len == sizeof(c->ahead) - 1)
		return false;
	n = test_client_some(c, c->ahead + c->ahead_len, sizeof(c->ahead) - 1 - c->ahead_len);
	if (n <= 0)
		return false;
	c->ahead_len += (size_t)n;
	c->ahead[c->ahead_len] = '\0';
	return true;
}

static void take(struct test_client *c, size_t n)
{
	memmove(c->ahead, c->ahead + n, c->ahead_len - n + 1);
	c->ahead_len -= n;
}

static const char *header(const char *head, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = strstr(head, "\r\n"); p && p[2]; p = strstr(p + 2, "\r\n"))
		if (strncasecmp(p + 2, name, n) == 0 && p[2 + n] == ':')
			return p + 2 + n + 1 + strspn(p + 2 + n + 1, " ");
	return NULL;
}

static void append(struct test_reply *r, const char *bytes, size_t n)
{
	r->body = realloc(r->body, r->body_len + n + 1);
	if (!r->body)
		abort();
	memcpy(r->body + r->body_len, bytes, n);
	r->body_len += n;
	r->body[r->body_len] = '\0';
}

static bool read_sized(struct test_client *c, size_t n, struct test_reply *r)
{
	while (n > 0) {
		size_t some;

		if (c->ahead_len == 0 && !more(c))
			return false;
		some = n < c->ahead_len ? n : c->ahead_len;
		append(r, c->ahead, some);
		take(c, some);
		n -= some;
	}
	return true;
}

static bool read_chunked(struct test_client *c, struct test_reply *r)
{
	for (;;) {
		char *eol, *end;
		size_t n, keep;

		while (!(eol = c->ahead_len ? strstr(c->ahead, "\r\n") : NULL))
			if (!more(c))
				return false;
		n = strtoul(c->ahead, &end, 16);
		if (end != eol)
			return false;
		take(c, (size_t)(eol - c->ahead) + 2);
		if (!read_sized(c, n, r))
			return false;
		keep = r->body_len;
		if (!read_sized(c, 2, r) || memcmp(r->body + keep, "\r\n", 2) != 0)
			return false;
		r->body_len = keep;
		r->body[keep] = '\0';
		if (n == 0)
			return true;
	}
}

static bool read_to_end(struct test_client *c, struct test_reply *r)
{
	char some[4096];
	int n;

	append(r, c->ahead, c->ahead_len);
	c->ahead_len = 0;
	while ((n = test_client_some(c, some, sizeof(some))) > 0)
		append(r, some, (size_t)n);
	return n == 0;
}

bool test_client_reply(struct test_client *c, bool head_only, struct test_reply *ret)
{
	const char *end, *value;
	size_t n;

	memset(ret, 0, sizeof(*ret));
	append(ret, "", 0);
	while (!(end = c->ahead_len ? strstr(c->ahead, "\r\n\r\n") : NULL))
		if (!more(c))
			return false;
	n = (size_t)(end - c->ahead) + 4;
	if (n >= sizeof(ret->head) || sscanf(c->ahead, "HTTP/1.%*1[01] %d ", &ret->status) != 1)
		return false;
	memcpy(ret->head, c->ahead, n);
	take(c, n);
	value = header(ret->head, "Transfer-Encoding");
	ret->chunked = value && strncmp(value, "chunked\r\n", 9) == 0;
	value = header(ret->head, "Content-Length");
	if (head_only || ret->status == 204 || ret->status == 304)
		ret->whole = true;
	else if (ret->chunked)
		ret->whole = read_chunked(c, ret);
	else if (value)
		ret->whole = read_sized(c, strtoul(value, NULL, 10), ret);
	else
		ret->whole = read_to_end(c, ret);
	return ret->whole;
}

void test_reply_free(struct test_reply *reply)
{
	free(reply->body);
	reply->body = NULL;
}

void test_client_reset(struct test_client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	if (c->fd >= 0)
		close(c->fd);
	c->ssl = NULL;
	c->ctx = NULL;
	c->fd = -1;
}

void test_client_close(struct test_client *c)
{
	if (c->ssl && SSL_is_init_finished(c->ssl))
		SSL_shutdown(c->ssl);
	ERR_clear_error();
	test_client_reset(c);
}
