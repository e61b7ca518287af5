/* SPDX-License-Identifier: Apache-2.0 */
/* Who a request comes from: certificates, front-proxy headers, how both are joined, and how long a judgement lasts. */
#include "aggregator/authn.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/support/pki.h"

#define HEADERS_MAX 16

/* ---- the cluster's certificates ---- */

enum {
	FRONT_CA,
	CLIENT_CA,
	OTHER_CA,
	FRONT,
	FRONT_OTHER_CN,
	FRONT_SERVER_EKU,
	FRONT_EXPIRED,
	JANE,
	NAMELESS,
	STRANGER,
	FRONT_BY_CLIENT_CA,
	CERTS
};

static const struct {
	struct test_cert_spec spec;
	int issuer; /* -1: itself */
} specs[CERTS] = {
	[FRONT_CA] = {{.cn = "front-proxy-ca", .ca = true}, -1},
	[CLIENT_CA] = {{.cn = "kubernetes", .ca = true}, -1},
	[OTHER_CA] = {{.cn = "other", .ca = true}, -1},
	[FRONT] = {{.cn = "aggregator", .eku = "clientAuth"}, FRONT_CA},
	[FRONT_OTHER_CN] = {{.cn = "front-proxy-client", .eku = "clientAuth"}, FRONT_CA},
	[FRONT_SERVER_EKU] = {{.cn = "aggregator", .eku = "serverAuth"}, FRONT_CA},
	[FRONT_EXPIRED] = {{.cn = "aggregator", .eku = "clientAuth", .not_before = 1000, .not_after = 2000}, FRONT_CA},
	[JANE] = {{.cn = "jane", .o = "dev", .o2 = "ops", .eku = "clientAuth"}, CLIENT_CA},
	[NAMELESS] = {{.o = "dev", .eku = "clientAuth"}, CLIENT_CA},
	[STRANGER] = {{.cn = "eve", .o = "system:masters", .eku = "clientAuth"}, OTHER_CA},
	[FRONT_BY_CLIENT_CA] = {{.cn = "aggregator", .eku = "clientAuth"}, CLIENT_CA},
};
static struct test_cert certs[CERTS];

static int make_certs(void **state)
{
	for (size_t i = 0; i < CERTS; i++) {
		struct test_cert_spec spec = specs[i].spec;

		spec.issuer = specs[i].issuer < 0 ? NULL : &certs[specs[i].issuer];
		if (i == FRONT)
			spec.not_after = time(NULL) + 3600; /* before its CA's end */
		test_cert_make(&spec, &certs[i]);
	}
	return 0;
}

static int free_certs(void **state)
{
	for (size_t i = 0; i < CERTS; i++)
		test_cert_free(&certs[i]);
	return 0;
}

/* ---- trust ---- */

static const struct agg_options no_options = {.client_ca_file = "", .requestheader_client_ca_file = ""};

struct config_spec {
	int front_ca, client_ca; /* -1: none */
	const char *allowed[3], *user[3], *group[3], *extra[3], *uid[3];
};

static char **list(const char *const *items)
{
	char **l = calloc(4, sizeof(*l));

	for (size_t i = 0; i < 3 && items[i]; i++)
		l[i] = strdup(items[i]);
	return l;
}

static struct agg_trust *trust_of(const struct config_spec *s)
{
	struct kube_auth_config *c = calloc(1, sizeof(*c));
	struct agg_trust *t = NULL;
	struct km_err err = {0};

	*c = (struct kube_auth_config){.refs = 1,
		.present = true,
		.client_ca = s->client_ca >= 0 ? test_cert_pem(certs[s->client_ca].cert) : NULL,
		.requestheader_ca = s->front_ca >= 0 ? test_cert_pem(certs[s->front_ca].cert) : NULL,
		.allowed_names = list(s->allowed),
		.username_headers = list(s->user),
		.group_headers = list(s->group),
		.extra_prefixes = list(s->extra),
		.uid_headers = list(s->uid)};
	if (agg_trust_new(&no_options, c, &t, &err) < 0)
		fail_msg("%s", err.text);
	kube_auth_config_unref(c);
	return t;
}

static const struct config_spec usual = {
	.front_ca = FRONT_CA,
	.client_ca = CLIENT_CA,
	.allowed = {"aggregator"},
	.user = {"X-Remote-User"},
	.group = {"X-Remote-Group"},
	.extra = {"X-Remote-Extra-"},
};

/* ---- a request ---- */

struct header {
	const char *name, *value;
};

static int headers_of(const void *source, int (*fn)(const char *name, const char *value, void *arg), void *arg)
{
	const struct header *h = source;
	int r;

	for (; h->name; h++)
		if ((r = fn(h->name, h->value, arg)) != 0)
			return r;
	return 0;
}

static int ask(struct agg_authn *a, uint64_t connection, int cert, const struct header *headers, int64_t when,
	struct agg_user **ret, struct agg_bearer *ret_bearer, struct km_err *note)
{
	static const struct header none[] = {{NULL, NULL}};
	struct agg_peer peer = {
		.connection_id = connection,
		.address = "10.0.0.7",
		.cert = cert >= 0 ? certs[cert].cert : NULL,
		.headers = headers_of,
		.source = headers ? headers : none,
	};

	return agg_authn_check(a, &peer, when, ret, ret_bearer, note);
}

/* As ask(), of a request without a token. */
static int check(struct agg_authn *a, uint64_t connection, int cert, const struct header *headers, int64_t when,
	struct agg_user **ret, struct km_err *note)
{
	struct agg_bearer bearer = {0};
	int r = ask(a, connection, cert, headers, when, ret, &bearer, note);

	assert_null(bearer.token);
	return r;
}

/* "name|uid|group,group|key=value,..." and "|proxied" */
static void describe(const struct agg_user *u, char *out, size_t size)
{
	size_t n = (size_t)snprintf(out, size, "%s|%s|", u->name, u->uid);

	for (size_t i = 0; i < u->n_groups; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%s", i ? "," : "", u->groups[i]);
	n += (size_t)snprintf(out + n, size - n, "|");
	for (size_t i = 0; i < u->n_extra; i++)
		for (size_t k = 0; k < u->extra[i].n; k++)
			n += (size_t)snprintf(out + n, size - n, "%s%s=%s", i || k ? "," : "", u->extra[i].key,
				strncmp(u->extra[i].values[k], "X509SHA256=", 11) == 0 ? "X509"
										       : u->extra[i].values[k]);
	snprintf(out + n, size - n, "%s", u->front_proxied ? "|proxied" : "");
}

#define ANONYMOUS "system:anonymous||system:unauthenticated|"
#define JANE_USER "jane||dev,ops,system:authenticated|authentication.kubernetes.io/credential-id=X509"

struct request_case {
	const char *what;
	int cert;
	struct header headers[HEADERS_MAX];
	int r;
	const char *user; /* r == 0; r == 1: the token */
	const char *note; /* part of the note; "": it is empty */
};

static void run_cases(const struct config_spec *config, const struct request_case *cases, size_t n)
{
	struct agg_authn *a = NULL;
	struct agg_trust *t = trust_of(config);

	assert_int_equal(agg_authn_new(&a), 0);
	agg_authn_set_trust(a, t);
	agg_trust_unref(t);
	for (size_t i = 0; i < n; i++) {
		struct agg_user *u = NULL;
		struct agg_bearer bearer;
		struct km_err note = {0};
		char text[1024] = "";
		int r;

		/* twice: judged, and remembered */
		for (int pass = 0; pass < 2; pass++) {
			r = ask(a, 100 + i, cases[i].cert, cases[i].headers, time(NULL), &u, &bearer, &note);
			if (r == 0)
				describe(u, text, sizeof(text));
			if (r == 1)
				snprintf(text, sizeof(text), "%.*s", (int)bearer.len, bearer.token);
			agg_user_unref(u);
			u = NULL;
			if (r != cases[i].r)
				fail_msg("%s: %d (%s)", cases[i].what, r, note.text);
			if (r >= 0 && strcmp(text, cases[i].user) != 0)
				fail_msg("%s: %s", cases[i].what, text);
			if (cases[i].note && (*cases[i].note ? !strstr(note.text, cases[i].note) : *note.text != '\0'))
				fail_msg("%s: note \"%s\"", cases[i].what, note.text);
		}
	}
	agg_authn_free(a);
}

static void test_usual(void **state)
{
	static const struct request_case cases[] = {
		{"no certificate", -1, {{0}}, 0, ANONYMOUS, ""},
		{"headers without a certificate are ignored", -1,
			{{"X-Remote-User", "admin"}, {"X-Remote-Group", "system:masters"}}, 0, ANONYMOUS, ""},
		{"front proxy", FRONT, {{"X-Remote-User", "jane"}, {"X-Remote-Group", "a"}, {"x-remote-group", "b"}}, 0,
			"jane||a,b,system:authenticated||proxied", ""},
		{"front proxy, no groups: authenticated is added", FRONT, {{"X-Remote-User", "system:aggregator"}}, 0,
			"system:aggregator||system:authenticated||proxied", ""},
		{"front proxy, authenticated already", FRONT,
			{{"X-Remote-User", "j"}, {"X-Remote-Group", "system:authenticated"}, {"X-Remote-Group", ""}}, 0,
			"j||system:authenticated||proxied", ""},
		{"front proxy for an anonymous user", FRONT,
			{{"X-Remote-User", "system:anonymous"}, {"X-Remote-Group", "system:unauthenticated"}}, 0,
			"system:anonymous||system:unauthenticated||proxied", ""},
		{"front proxy, unauthenticated group only", FRONT,
			{{"X-Remote-User", "x"}, {"X-Remote-Group", "system:unauthenticated"}}, 0,
			"x||system:unauthenticated||proxied", ""},
		{"extra: lower-cased, unescaped, several values", FRONT,
			{{"X-Remote-User", "j"},
				{"X-Remote-Extra-Authentication.kubernetes.io%2fcredential-Id", "X509SHA256=1"},
				{"X-Remote-Extra-Scopes", "view"}, {"x-remote-extra-scopes", "edit"}},
			0,
			"j||system:authenticated|authentication.kubernetes.io/"
			"credential-id=X509,scopes=view,scopes=edit|proxied",
			""},
		{"extra: malformed escapes stay", FRONT,
			{{"X-Remote-User", "j"}, {"X-Remote-Extra-A%", "1"}, {"X-Remote-Extra-B%2", "2"},
				{"X-Remote-Extra-C%zz", "3"}, {"X-Remote-Extra-D%00", "4"},
				{"X-Remote-Extra-E%2Ff+g", "5"}},
			0, "j||system:authenticated|a%=1,b%2=2,c%zz=3,d%00=4,e/f+g=5|proxied", ""},
		{"uid header is not believed unless listed", FRONT, {{"X-Remote-User", "j"}, {"X-Remote-Uid", "u1"}}, 0,
			"j||system:authenticated||proxied", ""},
		{"not UTF-8", FRONT, {{"X-Remote-User", "j\xff"}}, -EACCES, NULL, "not UTF-8"},
		{"not UTF-8 in a group", FRONT, {{"X-Remote-User", "j"}, {"X-Remote-Group", "\xc0\xaf"}}, -EACCES, NULL,
			"not UTF-8"},
		{"an empty user header is none", FRONT, {{"X-Remote-User", ""}, {"X-Remote-User", "admin"}}, -EACCES,
			NULL, "signed by unknown authority"},
		{"front proxy without a user", FRONT, {{0}}, -EACCES, NULL, "signed by unknown authority"},
		{"front proxy of another name", FRONT_OTHER_CN, {{"X-Remote-User", "admin"}}, -EACCES, NULL,
			"x509: subject with cn=front-proxy-client is not in the allowed list "
			"(requestheader-allowed-names is aggregator;"},
		{"front proxy, server certificate", FRONT_SERVER_EKU, {{"X-Remote-User", "admin"}}, -EACCES, NULL,
			"x509: certificate specifies an incompatible key usage"},
		{"front proxy, expired", FRONT_EXPIRED, {{"X-Remote-User", "admin"}}, -EACCES, NULL,
			"x509: certificate has expired or is not yet valid"},
		{"client certificate", JANE, {{0}}, 0, JANE_USER, ""},
		{"client certificate: its remote headers are ignored, and that is told", JANE,
			{{"X-Remote-User", "admin"}, {"X-Remote-Group", "system:masters"}}, 0, JANE_USER,
			"certificate"},
		{"client certificate without a name", NAMELESS, {{0}}, -EACCES, NULL, "signed by unknown authority"},
		{"unknown CA is no anonymity", STRANGER, {{0}}, -EACCES, NULL, "client 10.0.0.7: certificate CN=eve"},
		{"unknown CA with headers", STRANGER, {{"X-Remote-User", "admin"}}, -EACCES, NULL,
			"x509: certificate signed by unknown authority"},
		{"token", -1, {{"authorization", "Bearer secret"}}, 1, "secret", ""},
		{"token: the word in any case, blanks around", -1, {{"Authorization", "  bEARER secret \t"}}, 1,
			"secret", ""},
		{"token: the first header counts", -1,
			{{"Authorization", "Bearer one"}, {"Authorization", "Bearer two"}}, 1, "one", ""},
		{"token: what follows it is left out", -1, {{"Authorization", "Bearer one two"}}, 1, "one", ""},
		{"token: none after the word", -1, {{"Authorization", "Bearer"}}, 0, ANONYMOUS, ""},
		{"token: an empty one", -1, {{"Authorization", "Bearer  x"}}, 0, ANONYMOUS, ""},
		{"another scheme says nothing", -1, {{"Authorization", "Basic c2VjcmV0"}}, 0, ANONYMOUS, ""},
		{"token beside a certificate that nobody vouches for", STRANGER, {{"Authorization", "Bearer secret"}},
			1, "secret", "signed by unknown authority"},
		{"token beside a front proxy without a user", FRONT, {{"Authorization", "Bearer secret"}}, 1, "secret",
			"signed by unknown authority"},
		{"token and a user named by the front proxy", FRONT,
			{{"X-Remote-User", "j"}, {"Authorization", "Bearer secret"}}, 0,
			"j||system:authenticated||proxied", ""},
		{"token beside a certificate", JANE, {{"Authorization", "Bearer secret"}}, 0, JANE_USER, ""},
		{"impersonation", JANE, {{"Impersonate-User", "admin"}}, -EPERM, NULL, "impersonation"},
		{"impersonation of a group only", FRONT,
			{{"X-Remote-User", "j"}, {"impersonate-group", "system:masters"}}, -EPERM, NULL, "user \"j\""},
		{"impersonation by nobody", -1, {{"Impersonate-Uid", "1"}}, -EPERM, NULL, "system:anonymous"},
	};

	run_cases(&usual, cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_other_configs(void **state)
{
	static const struct config_spec any_name = {
		.front_ca = FRONT_CA, .client_ca = CLIENT_CA, .uid = {"X-Remote-Uid"}};
	static const struct request_case any_name_cases[] = {
		{"any name, default headers", FRONT_OTHER_CN,
			{{"X-Remote-User", "j"}, {"X-Remote-Group", "g"}, {"X-Remote-Extra-K", "v"},
				{"X-Remote-Uid", "u1"}},
			0, "j|u1|g,system:authenticated|k=v|proxied", ""},
	};
	static const struct config_spec own_headers = {
		.front_ca = FRONT_CA, .client_ca = -1, .user = {"X-A", "X-B"}, .group = {"X-G"}, .extra = {"X-E-"}};
	static const struct request_case own_headers_cases[] = {
		{"first of the listed headers", FRONT, {{"X-B", "b"}, {"X-A", "a"}, {"X-G", "g"}, {"X-E-k", "v"}}, 0,
			"a||g,system:authenticated|k=v|proxied", ""},
		{"second of the listed headers", FRONT, {{"X-B", "b"}, {"X-A", ""}}, 0,
			"b||system:authenticated||proxied", ""},
		{"usual headers do not count", FRONT, {{"X-Remote-User", "admin"}}, 0, ANONYMOUS, ""},
	};
	static const struct config_spec same_ca = {
		.front_ca = CLIENT_CA, .client_ca = CLIENT_CA, .allowed = {"front-proxy-client"}};
	static const struct request_case same_ca_cases[] = {
		{"one CA for both, wrong name: a plain user, with the reason", FRONT_BY_CLIENT_CA,
			{{"X-Remote-User", "admin"}}, 0,
			"aggregator||system:authenticated|authentication.kubernetes.io/credential-id=X509",
			"not in the allowed list"},
	};
	static const struct config_spec nothing = {.front_ca = -1, .client_ca = -1};
	static const struct request_case nothing_cases[] = {
		{"nobody is trusted: a certificate means nothing", STRANGER, {{"X-Remote-User", "admin"}}, 0, ANONYMOUS,
			""},
	};

	run_cases(&any_name, any_name_cases, sizeof(any_name_cases) / sizeof(any_name_cases[0]));
	run_cases(&own_headers, own_headers_cases, sizeof(own_headers_cases) / sizeof(own_headers_cases[0]));
	run_cases(&same_ca, same_ca_cases, sizeof(same_ca_cases) / sizeof(same_ca_cases[0]));
	run_cases(&nothing, nothing_cases, sizeof(nothing_cases) / sizeof(nothing_cases[0]));
}

/* A connection lives on while the trust changes and while its certificate expires. */
static void test_judged_again(void **state)
{
	static const struct header as_admin[] = {{"X-Remote-User", "admin"}, {NULL, NULL}};
	const struct config_spec other_name = {
		.front_ca = FRONT_CA, .client_ca = CLIENT_CA, .allowed = {"somebody-else"}};
	struct agg_trust *before = trust_of(&usual), *after = trust_of(&other_name);
	int64_t now = time(NULL), end = km_x509_not_after(certs[FRONT].cert);
	struct agg_authn *a = NULL;
	struct agg_user *u = NULL;
	struct km_err note = {0};

	assert_int_equal(agg_authn_new(&a), 0);
	/* before anything is known: nobody */
	assert_int_equal(check(a, 1, FRONT, as_admin, now, &u, &note), 0);
	assert_string_equal(u->name, AGG_USER_ANONYMOUS);
	agg_user_unref(u);
	agg_authn_set_trust(a, before);
	assert_int_equal(check(a, 1, FRONT, as_admin, now, &u, &note), 0);
	assert_string_equal(u->name, "admin");
	agg_user_unref(u);
	agg_authn_set_trust(a, after);
	assert_int_equal(check(a, 1, FRONT, as_admin, now, &u, &note), -EACCES);
	agg_authn_set_trust(a, before);
	assert_int_equal(check(a, 1, FRONT, as_admin, now, &u, &note), 0);
	agg_user_unref(u);
	/* another connection in the same slot */
	assert_int_equal(check(a, 1 + AGG_JUDGEMENTS_MAX, STRANGER, as_admin, now, &u, &note), -EACCES);
	assert_int_equal(check(a, 1, FRONT, as_admin, now, &u, &note), 0);
	agg_user_unref(u);
	/* the end of the certificate is noticed within a minute */
	assert_int_equal(check(a, 1, FRONT, as_admin, end - 1, &u, &note), 0);
	agg_user_unref(u);
	assert_int_equal(check(a, 1, FRONT, as_admin, end - 1 + AGG_JUDGEMENT_TTL_S, &u, &note), -EACCES);
	assert_non_null(strstr(note.text, "expired"));
	agg_authn_free(a);
	agg_trust_unref(before);
	agg_trust_unref(after);
}

static void test_trust_sources(void **state)
{
	struct agg_options options = no_options;
	struct kube_auth_config broken = {.refs = 1, .present = true};
	char *none[] = {NULL}, path[] = "/tmp/km-test-authn-XXXXXX", *pem = test_cert_pem(certs[FRONT_CA].cert);
	const char *names[] = {"n1", "n2"}, *user[] = {"X-U"};
	char *ignored[] = {strdup("ignored"), NULL};
	struct agg_trust *t = NULL;
	struct km_err err = {0};
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	fputs(pem, f);
	fclose(f);
	/* nothing known */
	assert_int_equal(agg_trust_new(&options, NULL, &t, &err), 0);
	assert_false(t->known);
	assert_null(t->requestheader_ca);
	agg_trust_unref(t);
	/* a damaged key refuses the whole */
	broken.allowed_names = broken.username_headers = broken.group_headers = broken.extra_prefixes =
		broken.uid_headers = none;
	broken.requestheader_ca = (char[]){"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
	t = NULL;
	assert_true(agg_trust_new(&options, &broken, &t, &err) < 0);
	assert_null(t);
	assert_non_null(strstr(err.text, "requestheader-client-ca-file"));
	/* a file replaces CA and names of the ConfigMap */
	options.requestheader_client_ca_file = path;
	options.requestheader_allowed_names = (struct km_strlist){names, 2};
	options.requestheader_username_headers = (struct km_strlist){user, 1};
	broken.allowed_names = ignored;
	assert_int_equal(agg_trust_new(&options, &broken, &t, &err), 0);
	assert_true(t->known);
	assert_int_equal(sk_X509_num(t->requestheader_ca), 1);
	assert_string_equal(t->allowed_names[1], "n2");
	assert_string_equal(t->username_headers[0], "X-U");
	assert_null(t->group_headers[0]);
	agg_trust_unref(t);
	options.client_ca_file = "/nonexistent/ca.pem";
	assert_int_equal(agg_trust_new(&options, NULL, &t, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/ca.pem"));
	unlink(path);
	free(pem);
	free(ignored[0]);
}

static void test_user_limits(void **state)
{
	struct agg_user *u = NULL;
	char key[16];

	assert_int_equal(agg_user_new("bad\xed\xa0\x80", &u), -EILSEQ);
	assert_int_equal(agg_user_new("\xf4\x90\x80\x80", &u), -EILSEQ);
	assert_int_equal(agg_user_new("j\xc3\xa4ne \xe2\x82\xac \xf0\x9f\x98\x80", &u), 0);
	for (size_t i = 0; i < AGG_USER_GROUPS_MAX; i++)
		assert_int_equal(agg_user_add_group(u, "g"), 0);
	assert_int_equal(agg_user_add_group(u, "g"), -E2BIG);
	for (size_t i = 0; i < AGG_USER_EXTRA_MAX; i++) {
		snprintf(key, sizeof(key), "%zu", i);
		assert_int_equal(agg_user_add_extra(u, key, "v"), 0);
	}
	assert_int_equal(agg_user_add_extra(u, "more", "v"), -E2BIG);
	assert_int_equal(agg_user_add_extra(u, "0", "v"), 0);
	agg_user_unref(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usual),
		cmocka_unit_test(test_other_configs),
		cmocka_unit_test(test_judged_again),
		cmocka_unit_test(test_trust_sources),
		cmocka_unit_test(test_user_limits),
	};

	return cmocka_run_group_tests(tests, make_certs, free_certs);
}
