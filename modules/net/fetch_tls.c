/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS to a kubelet over a socket of ours. OpenSSL's own socket BIO reads the header of each record, then the record,
 * then finds that there is no more: a reply of 20 kB is eight calls of read. Here the socket is read once an event,
 * into memory that all connections share, and OpenSSL takes from there.
 *
 * The judge is called from OpenSSL's verification, before our own certificate is sent: a refused kubelet learns
 * nothing.
 */
#include <errno.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "net/fetch_internal.h"

static int ex_index = -1;
static BIO_METHOD *bio_method; /* lives as long as the process: connections may outlive their fetcher for a moment */

void fetch_input_begin(struct fetch_conn *c)
{
	struct fetch_input *in = &c->fetcher->input;

	in->owner = c;
	in->read = false;
	in->at = in->len = 0;
}

void fetch_input_end(struct fetch_conn *c)
{
	if (c->fetcher && c->fetcher->input.owner == c)
		c->fetcher->input.owner = NULL;
}

bool fetch_input_used_up(const struct fetch_conn *c)
{
	return c->fetcher->input.at == c->fetcher->input.len;
}

ssize_t fetch_input_take(struct fetch_conn *c, void *out, size_t n)
{
	struct fetch_input *in;

	if (!c->fetcher || c->fetcher->input.owner != c)
		return 0;
	in = &c->fetcher->input;
	if (in->at == in->len) {
		ssize_t got;

		if (in->read)
			return 0; /* should there be more, the loop calls again */
		in->read = true;
		got = recv(c->fd, in->data, sizeof(in->data), 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		c->ended = got <= 0;
		if (got <= 0) {
			c->io_errno = got < 0 ? errno : 0;
			return -1;
		}
		in->at = 0;
		in->len = (size_t)got;
	}
	n = KM_MIN(n, in->len - in->at);
	memcpy(out, in->data + in->at, n);
	in->at += n;
	return (ssize_t)n;
}

/* ---- what OpenSSL sees of it ---- */

static int bio_read(BIO *bio, char *out, int n)
{
	ssize_t got = fetch_input_take(KM_CAST(struct fetch_conn, BIO_get_data(bio), CONN_MAGIC), out, (size_t)n);

	BIO_clear_retry_flags(bio);
	if (got == 0)
		BIO_set_retry_read(bio);
	return got > 0 ? (int)got : -1;
}

static int bio_write(BIO *bio, const char *bytes, int n)
{
	struct fetch_conn *c = KM_CAST(struct fetch_conn, BIO_get_data(bio), CONN_MAGIC);
	ssize_t sent = send(c->fd, bytes, (size_t)n, MSG_NOSIGNAL);

	BIO_clear_retry_flags(bio);
	if (sent >= 0)
		return (int)sent;
	if (errno == EAGAIN || errno == EINTR)
		BIO_set_retry_write(bio);
	else
		c->io_errno = errno;
	return -1;
}

static long bio_ctrl(BIO *bio, int what, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return what == BIO_CTRL_FLUSH; /* nothing is held back; all else is unknown */
}

static int on_verify(X509_STORE_CTX *store, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct fetch_conn *c = KM_CAST(struct fetch_conn, SSL_get_ex_data(ssl, ex_index), CONN_MAGIC);
	X509 *leaf = X509_STORE_CTX_get0_cert(store);

	(void)arg;
	if (!c->peer)
		return 0;
	if (!leaf)
		km_fail(c->judged, -EKEYREJECTED, "the kubelet sent no certificate");
	else if (c->peer->judge(
			 leaf, X509_STORE_CTX_get0_untrusted(store), c->address, c->peer->judge_arg, c->judged) == 0)
		return 1;
	c->refused = -EKEYREJECTED;
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

static bool set_up(void)
{
	if (ex_index < 0)
		ex_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if (!bio_method) {
		bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "kubelet");
		if (bio_method && (BIO_meth_set_read(bio_method, bio_read) != 1 ||
					  BIO_meth_set_write(bio_method, bio_write) != 1 ||
					  BIO_meth_set_ctrl(bio_method, bio_ctrl) != 1)) {
			BIO_meth_free(bio_method);
			bio_method = NULL;
		}
	}
	return ex_index >= 0 && bio_method;
}

int fetch_tls_new(struct fetch_conn *c, const struct km_fetch_peer *peer)
{
	BIO *bio;

	if (!set_up())
		return -ENOMEM;
	SSL_CTX_set_cert_verify_callback(c->fetcher->ctx, on_verify, NULL);
	SSL_CTX_set_verify(c->fetcher->ctx, SSL_VERIFY_PEER, NULL);
	c->ssl = SSL_new(c->fetcher->ctx);
	bio = c->ssl ? BIO_new(bio_method) : NULL;
	if (!bio)
		return -ENOMEM;
	BIO_set_data(bio, c);
	BIO_set_init(bio, 1);
	SSL_set_bio(c->ssl, bio, bio);
	SSL_set_connect_state(c->ssl);
	return SSL_set_ex_data(c->ssl, ex_index, c) == 1 &&
			       (peer->literal || SSL_set_tlsext_host_name(c->ssl, peer->host) == 1)
		       ? 0
		       : -ENOMEM;
}
