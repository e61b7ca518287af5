/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identities and contexts; handshakes run in memory over a pair of BIOs.
 */
#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/tls_policy.h"
#include "tests/unit/support/pki.h"

static struct test_cert ca, server_cert, client_cert, stranger_ca;

static int set_up(void **state)
{
	test_cert_make(&(struct test_cert_spec){.cn = "CA", .ca = true}, &ca);
	test_cert_make(
		&(struct test_cert_spec){.cn = "server", .eku = "serverAuth", .san = "DNS:s.example", .issuer = &ca},
		&server_cert);
	test_cert_make(&(struct test_cert_spec){.cn = "client", .eku = "clientAuth", .issuer = &ca}, &client_cert);
	test_cert_make(&(struct test_cert_spec){.cn = "Stranger", .ca = true}, &stranger_ca);
	return 0;
}

static int tear_down(void **state)
{
	test_cert_free(&ca);
	test_cert_free(&server_cert);
	test_cert_free(&client_cert);
	test_cert_free(&stranger_ca);
	return 0;
}

static struct km_identity *identity_of(const struct test_cert *c)
{
	_cleanup_free_ char *cert = test_cert_pem(c->cert), *key = test_key_pem(c->key);
	struct km_identity *id = NULL;
	struct km_err err = {0};

	if (km_identity_parse(cert, strlen(cert), key, strlen(key), "test", &id, &err) != 0)
		fail_msg("%s", err.text);
	return id;
}

static STACK_OF(X509) *stack(X509 *a)
{
	STACK_OF(X509) *s = sk_X509_new_null();

	if (a)
		sk_X509_push(s, a);
	return s;
}

static SSL_CTX *server_ctx(STACK_OF(X509) *hints)
{
	struct km_identity *id = identity_of(&server_cert);
	struct km_err err = {0};
	SSL_CTX *ctx = NULL;

	if (km_tls_server_ctx(id, hints, &ctx, &err) != 0)
		fail_msg("%s", err.text);
	km_identity_unref(id);
	return ctx;
}

static SSL_CTX *client_ctx(X509 *root, const struct test_cert *cert, bool verify)
{
	STACK_OF(X509) *roots = root ? stack(root) : NULL;
	struct km_identity *id = cert ? identity_of(cert) : NULL;
	struct km_err err = {0};
	SSL_CTX *ctx = NULL;

	if (km_tls_client_ctx(roots, id, verify, &ctx, &err) != 0)
		fail_msg("%s", err.text);
	km_identity_unref(id);
	sk_X509_free(roots);
	return ctx;
}

struct pair {
	SSL *server, *client;
	int server_r, client_r; /* 1: handshake done */
};

static void connect_pair(struct pair *p, SSL_CTX *server, SSL_CTX *client)
{
	BIO *a, *b;

	assert_int_equal(BIO_new_bio_pair(&a, 65536, &b, 65536), 1);
	p->server = SSL_new(server);
	p->client = SSL_new(client);
	SSL_set_bio(p->server, a, a);
	SSL_set_bio(p->client, b, b);
	SSL_set_accept_state(p->server);
	SSL_set_connect_state(p->client);
}

static void shake(struct pair *p)
{
	for (int i = 0; i < 8; i++) {
		p->client_r = SSL_do_handshake(p->client);
		p->server_r = SSL_do_handshake(p->server);
	}
	ERR_clear_error();
}

static void free_pair(struct pair *p)
{
	SSL_free(p->server);
	SSL_free(p->client);
}

static void test_identity(void **state)
{
	struct km_identity *id = identity_of(&server_cert), *other = NULL;
	_cleanup_free_ char *cert = test_cert_pem(server_cert.cert), *key = test_key_pem(client_cert.key);
	char print[KM_FINGERPRINT_MAX];
	struct km_err err = {0};

	km_x509_fingerprint(server_cert.cert, print);
	assert_string_equal(id->fingerprint, print);
	assert_ptr_equal(km_identity_ref(id), id);
	km_identity_unref(id);
	assert_int_equal(id->refs, 1);
	km_identity_unrefp(&id);
	assert_null(id);
	assert_int_equal(km_identity_parse(cert, strlen(cert), key, strlen(key), "x", &other, &err), -EKEYREJECTED);
	assert_int_equal(km_identity_parse("", 0, key, strlen(key), "x", &other, &err), -ENODATA);
	assert_int_equal(km_identity_parse(cert, strlen(cert), "", 0, "x", &other, &err), -ENODATA);
	assert_int_equal(km_identity_new(sk_X509_new_null(), NULL, &other), -EINVAL);
	assert_null(other);
}

static void write_file(char *path, const char *text)
{
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void test_identity_load(void **state)
{
	char cert_path[] = "/tmp/kmetricsd-tls.XXXXXX", key_path[] = "/tmp/kmetricsd-tls.XXXXXX";
	_cleanup_free_ char *cert = test_cert_pem(server_cert.cert), *key = test_key_pem(server_cert.key);
	_cleanup_free_ char *wrong = test_key_pem(client_cert.key);
	struct km_identity *id = NULL;
	struct km_err err = {0};

	write_file(cert_path, cert);
	write_file(key_path, key);
	assert_int_equal(km_identity_load(cert_path, key_path, &id, &err), 0);
	km_identity_unrefp(&id);
	unlink(key_path);
	assert_int_equal(km_identity_load(cert_path, key_path, &id, &err), -ENOENT);
	strcpy(key_path, "/tmp/kmetricsd-tls.XXXXXX");
	write_file(key_path, wrong);
	assert_int_equal(km_identity_load(cert_path, key_path, &id, &err), -EKEYREJECTED);
	assert_non_null(strstr(err.text, cert_path));
	assert_non_null(strstr(err.text, key_path));
	unlink(cert_path);
	unlink(key_path);
}

/* Whatever certificate the client has or has not, it gets in; and nobody can take that for verified. */
static void test_server_accepts_any(void **state)
{
	const struct {
		const struct test_cert *cert;
	} cases[] = {{NULL}, {&client_cert}, {&stranger_ca}, {&server_cert}};
	SSL_CTX *server = server_ctx(NULL);

	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		SSL_CTX *client = client_ctx(ca.cert, cases[i].cert, true);
		struct pair p;
		X509 *seen;

		connect_pair(&p, server, client);
		shake(&p);
		assert_int_equal(p.server_r, 1);
		assert_int_equal(p.client_r, 1);
		seen = SSL_get0_peer_certificate(p.server);
		if (cases[i].cert) {
			assert_true(km_x509_equal(seen, cases[i].cert->cert));
			assert_int_not_equal(SSL_get_verify_result(p.server), X509_V_OK);
		} else {
			assert_null(seen);
		}
		assert_int_equal(SSL_session_reused(p.server), 0);
		free_pair(&p);
		SSL_CTX_free(client);
	}
	SSL_CTX_free(server);
}

static void test_no_resumption(void **state)
{
	const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	SSL_CTX *server = server_ctx(NULL);

	for (size_t i = 0; i < KM_ARRAY_LEN(versions); i++) {
		SSL_CTX *client = client_ctx(ca.cert, &client_cert, true);
		struct pair p;
		SSL_SESSION *session;
		char byte;

		SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT);
		SSL_CTX_set_max_proto_version(client, versions[i]);
		SSL_CTX_clear_options(client, SSL_OP_NO_TICKET);
		connect_pair(&p, server, client);
		shake(&p);
		assert_int_equal(SSL_version(p.client), versions[i]);
		/* tickets of TLS 1.3 would come with the first read */
		assert_int_equal(SSL_write(p.server, "x", 1), 1);
		assert_int_equal(SSL_read(p.client, &byte, 1), 1);
		session = SSL_get1_session(p.client);
		assert_false(SSL_SESSION_has_ticket(session));
		SSL_shutdown(p.client);
		free_pair(&p);
		connect_pair(&p, server, client);
		SSL_set_session(p.client, session);
		shake(&p);
		assert_int_equal(p.client_r, 1);
		assert_int_equal(SSL_session_reused(p.client), 0);
		SSL_SESSION_free(session);
		free_pair(&p);
		SSL_CTX_free(client);
	}
	SSL_CTX_free(server);
}

static void test_versions_and_renegotiation(void **state)
{
	SSL_CTX *server = server_ctx(NULL), *client = client_ctx(ca.cert, NULL, true);
	struct pair p;

	SSL_CTX_set_min_proto_version(client, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(client, TLS1_1_VERSION);
	SSL_CTX_set_cipher_list(client, "ALL:@SECLEVEL=0");
	connect_pair(&p, server, client);
	shake(&p);
	assert_int_not_equal(p.server_r, 1);
	free_pair(&p);
	SSL_CTX_free(client);

	client = client_ctx(ca.cert, NULL, true);
	SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION);
	SSL_CTX_clear_options(client, SSL_OP_NO_RENEGOTIATION);
	connect_pair(&p, server, client);
	shake(&p);
	assert_int_equal(p.server_r, 1);
	if (SSL_renegotiate(p.client) == 1) {
		char byte;

		SSL_do_handshake(p.client);
		assert_true(SSL_read(p.server, &byte, 1) <= 0);
		shake(&p);
		assert_int_not_equal(p.client_r, 1); /* it was told no_renegotiation */
	}
	free_pair(&p);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
}

static void test_alpn(void **state)
{
	static const struct {
		const char *offer, *chosen; /* NULL: refused; "": none */
	} cases[] = {
		{"\x02h2\x08http/1.1", "http/1.1"},
		{"\x08http/1.1", "http/1.1"},
		{"\x02h2", NULL},
		{"\x08http/1.0", NULL},
		{"", ""},
	};
	SSL_CTX *server = server_ctx(NULL);

	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		SSL_CTX *client = client_ctx(ca.cert, NULL, true);
		const unsigned char *got = NULL;
		unsigned n = 0;
		struct pair p;

		SSL_CTX_set_alpn_protos(
			client, (const unsigned char *)cases[i].offer, (unsigned)strlen(cases[i].offer));
		connect_pair(&p, server, client);
		shake(&p);
		assert_int_equal(p.client_r == 1, cases[i].chosen != NULL);
		if (cases[i].chosen) {
			SSL_get0_alpn_selected(p.client, &got, &n);
			assert_int_equal(n, strlen(cases[i].chosen));
			assert_memory_equal(got, cases[i].chosen, n);
		}
		free_pair(&p);
		SSL_CTX_free(client);
	}
	SSL_CTX_free(server);
}

static int count_names(STACK_OF(X509) *hints)
{
	SSL_CTX *server = server_ctx(hints), *client = client_ctx(ca.cert, NULL, true);
	const STACK_OF(X509_NAME) *names;
	struct pair p;
	int n;

	connect_pair(&p, server, client);
	shake(&p);
	assert_int_equal(p.client_r, 1);
	names = SSL_get0_peer_CA_list(p.client);
	n = names ? sk_X509_NAME_num(names) : 0;
	free_pair(&p);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
	return n;
}

static void test_hints(void **state)
{
	STACK_OF(X509) *hints = stack(ca.cert);
	char cn[65] = {0};
	struct test_cert many;

	assert_int_equal(count_names(NULL), 0);
	sk_X509_push(hints, stranger_ca.cert);
	assert_int_equal(count_names(hints), 2);
	/* more than fit: none at all, and the handshake still works */
	memset(cn, 'x', sizeof(cn) - 1);
	test_cert_make(&(struct test_cert_spec){.cn = cn, .o = cn, .o2 = cn, .ca = true}, &many);
	for (int i = 0; i < 400; i++)
		sk_X509_push(hints, many.cert);
	assert_int_equal(count_names(hints), 0);
	test_cert_free(&many);
	sk_X509_free(hints);
}

static void test_client_verifies(void **state)
{
	const struct {
		X509 *root;
		bool verify;
		const char *name;
		bool fine;
	} cases[] = {
		{ca.cert, true, "s.example", true}, {ca.cert, true, "t.example", false},
		{stranger_ca.cert, true, "s.example", false},
		{NULL, true, "s.example", false}, /* the system's roots do not know it */
		{NULL, false, NULL, true},
		{server_cert.cert, true, "s.example", true}, /* whatever is trusted is an anchor */
	};
	SSL_CTX *server = server_ctx(NULL);

	for (size_t i = 0; i < KM_ARRAY_LEN(cases); i++) {
		SSL_CTX *client = client_ctx(cases[i].root, NULL, cases[i].verify);
		struct pair p;

		connect_pair(&p, server, client);
		if (cases[i].name)
			SSL_set1_host(p.client, cases[i].name);
		shake(&p);
		if ((p.client_r == 1) != cases[i].fine)
			fail_msg("case %zu", i);
		free_pair(&p);
		SSL_CTX_free(client);
	}
	SSL_CTX_free(server);
}

/* What a server with this policy agrees on with a client that speaks versions up to max ("": nothing). */
static void expect_agreed(const struct km_tls_policy *policy, int max, const char *version, const char *cipher)
{
	SSL_CTX *server = server_ctx(NULL), *client = client_ctx(ca.cert, NULL, true);
	struct km_err err = {0};
	struct pair p;

	if (km_tls_policy_check(policy, &err) < 0 || km_tls_policy_apply(server, policy, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(SSL_CTX_set_max_proto_version(client, max), 1);
	connect_pair(&p, server, client);
	shake(&p);
	assert_string_equal(p.client_r == 1 ? SSL_get_version(p.client) : "", version);
	if (*cipher)
		assert_string_equal(SSL_CIPHER_standard_name(SSL_get_current_cipher(p.client)), cipher);
	free_pair(&p);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}

#define RSA128   "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
#define ECDSA128 "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
#define OF_13    "TLS_AES_128_GCM_SHA256"

static void test_policy(void **state)
{
	static const char *const
		of_12[] = {RSA128, ECDSA128},
		*const of_13[] = {OF_13}, *const both[] = {ECDSA128, RSA128, OF_13},
		*const go[] = {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305"},
		*const bad[] = {RSA128, "TLS_NO_SUCH"}, *const anonymous[] = {"TLS_DH_anon_WITH_AES_128_GCM_SHA256"};
	const char *cipher12 = EVP_PKEY_get_base_id(server_cert.key) == EVP_PKEY_EC ? ECDSA128 : RSA128;
	struct km_tls_policy p = {0};
	struct km_err err = {0};

	expect_agreed(&p, TLS1_3_VERSION, "TLSv1.3", "");
	expect_agreed(&p, TLS1_2_VERSION, "TLSv1.2", "");
	p.tls13_only = true;
	expect_agreed(&p, TLS1_3_VERSION, "TLSv1.3", "");
	expect_agreed(&p, TLS1_2_VERSION, "", "");
	p = (struct km_tls_policy){.ciphers = of_12, .n_ciphers = 2};
	expect_agreed(&p, TLS1_2_VERSION, "TLSv1.2", cipher12);
	expect_agreed(&p, TLS1_3_VERSION, "TLSv1.3", "");
	p.tls13_only = true;
	assert_int_equal(km_tls_policy_check(&p, &err), -EINVAL);
	assert_non_null(strstr(err.text, "tls-min-version"));
	p = (struct km_tls_policy){.ciphers = of_13, .n_ciphers = 1};
	expect_agreed(&p, TLS1_3_VERSION, "TLSv1.3", OF_13);
	expect_agreed(&p, TLS1_2_VERSION, "", "");
	p = (struct km_tls_policy){.ciphers = both, .n_ciphers = 3};
	expect_agreed(&p, TLS1_3_VERSION, "TLSv1.3", OF_13);
	expect_agreed(&p, TLS1_2_VERSION, "TLSv1.2", cipher12);
	p = (struct km_tls_policy){.ciphers = go, .n_ciphers = 2};
	expect_agreed(&p, TLS1_2_VERSION, "TLSv1.2", "");
	p = (struct km_tls_policy){.ciphers = bad, .n_ciphers = 2};
	assert_int_equal(km_tls_policy_check(&p, &err), -EINVAL);
	assert_non_null(strstr(err.text, "TLS_NO_SUCH"));
	p = (struct km_tls_policy){.ciphers = anonymous, .n_ciphers = 1};
	assert_int_equal(km_tls_policy_check(&p, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_identity_load),
		cmocka_unit_test(test_server_accepts_any),
		cmocka_unit_test(test_no_resumption),
		cmocka_unit_test(test_versions_and_renegotiation),
		cmocka_unit_test(test_alpn),
		cmocka_unit_test(test_hints),
		cmocka_unit_test(test_client_verifies),
		cmocka_unit_test(test_policy),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
