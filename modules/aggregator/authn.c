/* SPDX-License-Identifier: Apache-2.0 */
/* The authenticators and how their answers are joined; see the header. */
#include "aggregator/authn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "aggregator/token.h"

/* What was found out about one connection's certificate. */
struct judgement {
	uint64_t connection_id, generation; /* generation 0: an empty slot */
	int64_t judged_s;
	bool front_proxy;      /* may name users in headers */
	struct agg_user *user; /* whom the certificate itself names, or NULL; one reference */
	struct km_err
		why_not; /* why it is no front proxy, or names nobody; "" when there is nothing to complain about */
};

struct agg_authn {
	struct agg_trust *trust; /* one reference, or NULL */
	uint64_t generation;     /* of the trust; 0 before the first */
	struct judgement slots[AGG_JUDGEMENTS_MAX];
};

int agg_authn_new(struct agg_authn **ret)
{
	struct agg_authn *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	*ret = a;
	return 0;
}

void agg_authn_free(struct agg_authn *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < AGG_JUDGEMENTS_MAX; i++)
		agg_user_unref(a->slots[i].user);
	agg_trust_unref(a->trust);
	free(a);
}

void agg_authn_set_trust(struct agg_authn *a, struct agg_trust *trust)
{
	struct agg_trust *old = a->trust;

	a->trust = agg_trust_ref(trust);
	a->generation++;
	agg_trust_unref(old);
}

const struct agg_trust *agg_authn_trust(const struct agg_authn *a)
{
	return a->trust;
}

static bool listed(char *const *list, const char *name)
{
	for (; *list; list++)
		if (strcmp(*list, name) == 0)
			return true;
	return false;
}

static bool listed_header(char *const *list, const char *name)
{
	for (; *list; list++)
		if (strcasecmp(*list, name) == 0)
			return true;
	return false;
}

/* "CN=x,O=y, issued by CN=z": which certificate a message is about. */
static void describe(X509 *cert, char *out, size_t size)
{
	_cleanup_free_ char *subject = km_x509_name_text(X509_get_subject_name(cert));
	_cleanup_free_ char *issuer = km_x509_name_text(X509_get_issuer_name(cert));

	snprintf(out, size, "%s, issued by %s", subject && *subject ? subject : "(no subject)",
		issuer && *issuer ? issuer : "(nobody)");
}

/* The group that Kubernetes adds to whoever was authenticated; users inside kube-apiserver's aggregator arrive without
 * it. */
static int add_authenticated(struct agg_user *u)
{
	if (agg_user_is_anonymous(u) || agg_user_in_group(u, AGG_GROUP_AUTHENTICATED))
		return 0;
	return agg_user_add_group(u, AGG_GROUP_AUTHENTICATED);
}

/* ---- the certificate ---- */

/* 0: a front proxy. -EKEYREJECTED with the reason otherwise. */
static int judge_front_proxy(const struct agg_trust *t, const struct agg_peer *peer, int64_t now_s, struct km_err *err)
{
	_cleanup_free_ char *cn = NULL;
	char names[256];
	size_t used = 0;
	int r = km_x509_verify(t->requestheader_ca, peer->cert, peer->chain, KM_X509_CLIENT, now_s, err);

	if (r < 0)
		return r;
	if (!t->allowed_names[0])
		return 0;
	cn = km_x509_cn(peer->cert);
	if (cn && listed(t->allowed_names, cn))
		return 0;
	names[0] = '\0';
	for (char *const *n = t->allowed_names; *n && used < sizeof(names); n++)
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", used ? "," : "", *n);
	return km_fail(err, -EKEYREJECTED,
		"x509: subject with cn=%s is not in the allowed list (requestheader-allowed-names is %s; issue the "
		"proxy "
		"client certificate of kube-apiserver with such a name, or add this one to its flag)",
		cn ? cn : "", names);
}

static int add_organization(const char *o, void *arg)
{
	return agg_user_add_group(arg, o);
}

/* The user a client certificate names: 0, *ret NULL when it has no common name (as upstream: then it names nobody). */
static int user_of(X509 *cert, struct agg_user **ret, struct km_err *err)
{
	_cleanup_(agg_user_unrefp) struct agg_user *u = NULL;
	_cleanup_free_ char *cn = km_x509_cn(cert);
	char id[sizeof("X509SHA256=") + KM_FINGERPRINT_MAX] = "X509SHA256=";
	int r;

	if (!cn || !*cn)
		return 0;
	km_x509_fingerprint(cert, id + strlen(id));
	if ((r = agg_user_new(cn, &u)) < 0 || (r = km_x509_organizations(cert, add_organization, u)) < 0 ||
		(r = agg_user_add_extra(u, AGG_CREDENTIAL_ID, id)) < 0 || (r = add_authenticated(u)) < 0)
		return r == -ENOMEM ? km_fail(err, r, "out of memory")
				    : km_fail(err, -EKEYREJECTED,
					      "x509: the subject's names cannot be used as user and groups");
	*ret = KM_TAKE(u);
	return 0;
}

static int judge_client(const struct agg_trust *t, const struct agg_peer *peer, int64_t now_s, struct agg_user **ret,
	struct km_err *err)
{
	int r = km_x509_verify(t->client_ca, peer->cert, peer->chain, KM_X509_CLIENT, now_s, err);

	return r < 0 ? r : user_of(peer->cert, ret, err);
}

static int judge(const struct agg_trust *t, const struct agg_peer *peer, int64_t now_s, struct judgement *j)
{
	struct km_err proxy = {0}, client = {0};
	char who[512];

	if (t->requestheader_ca) {
		int r = judge_front_proxy(t, peer, now_s, &proxy);

		if (r == -ENOMEM)
			return r;
		j->front_proxy = r == 0;
	}
	if (t->client_ca) {
		int r = judge_client(t, peer, now_s, &j->user, &client);

		if (r == -ENOMEM)
			return r;
	}
	if (!proxy.text[0] && !client.text[0])
		return 0;
	describe(peer->cert, who, sizeof(who));
	if (proxy.text[0] && client.text[0])
		(void)km_fail(&j->why_not, -EACCES, "certificate %s: [%.250s, %.250s]", who, proxy.text, client.text);
	else
		(void)km_fail(
			&j->why_not, -EACCES, "certificate %s: %s", who, proxy.text[0] ? proxy.text : client.text);
	return 0;
}

/* The kept judgement of this connection, or a new one. */
static int judgement_of(struct agg_authn *a, const struct agg_peer *peer, int64_t now_s, struct judgement **ret)
{
	struct judgement *j = &a->slots[peer->connection_id % AGG_JUDGEMENTS_MAX];
	struct judgement fresh = {.connection_id = peer->connection_id, .generation = a->generation, .judged_s = now_s};
	int r;

	if (j->generation != a->generation || j->connection_id != peer->connection_id || now_s < j->judged_s ||
		now_s - j->judged_s >= AGG_JUDGEMENT_TTL_S) {
		if ((r = judge(a->trust, peer, now_s, &fresh)) < 0)
			return r;
		agg_user_unref(j->user);
		*j = fresh;
	}
	*ret = j;
	return 0;
}

/* ---- headers ---- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The key of an extra header: lower-case, then %-unescaped; as it is when malformed (Kubernetes, unescapeExtraKey). %00
 * counts as malformed. */
static void extra_key(const char *escaped, char *out)
{
	char *o = out;

	for (const char *s = escaped; *s; s++) {
		int hi, lo;

		if (*s != '%') {
			*o++ = *s >= 'A' && *s <= 'Z' ? (char)(*s | 0x20) : *s;
			continue;
		}
		hi = hex(s[1]);
		lo = hi < 0 ? -1 : hex(s[2]);
		if (lo < 0 || (hi == 0 && lo == 0)) {
			o = out;
			for (s = escaped; *s; s++)
				*o++ = *s >= 'A' && *s <= 'Z' ? (char)(*s | 0x20) : *s;
			break;
		}
		*o++ = (char)(hi * 16 + lo);
		s += 2;
	}
	*o = '\0';
}

/* One walk over the request's headers. */
struct walk {
	const struct agg_trust *trust;
	const char *want;      /* the header looked for by first_value */
	const char *value;     /* its first value that is not empty */
	struct agg_user *user; /* being filled by identity_header */
	bool authorization, impersonate, remote_user;
	struct agg_bearer bearer; /* token NULL: none */
	int error;
};

static int match_first(const char *name, const char *value, void *arg)
{
	struct walk *w = arg;

	if (strcasecmp(name, w->want) != 0)
		return 0;
	w->value = value;
	return 1; /* Go's Header.Get looks at the first one only */
}

/* The first of these headers that has a value. */
static const char *first_value(const struct agg_peer *peer, char *const *names)
{
	for (; *names; names++) {
		struct walk w = {.want = *names};

		peer->headers(peer->source, match_first, &w);
		if (w.value && *w.value)
			return w.value;
	}
	return NULL;
}

static int identity_header(const char *name, const char *value, void *arg)
{
	struct walk *w = arg;
	char key[AGG_EXTRA_VALUE_MAX];

	if (listed_header(w->trust->group_headers, name))
		return *value ? (w->error = agg_user_add_group(w->user, value)) : 0;
	for (char *const *p = w->trust->extra_prefixes; *p; p++) {
		size_t n = strlen(*p);

		if (strncasecmp(name, *p, n) != 0)
			continue;
		if (strlen(name + n) >= sizeof(key))
			return w->error = -E2BIG;
		extra_key(name + n, key);
		return w->error = agg_user_add_extra(w->user, key, value);
	}
	return 0;
}

/* The user whom a verified front proxy names: 0, *ret NULL when its headers name none. */
static int user_of_headers(
	const struct agg_trust *t, const struct agg_peer *peer, struct agg_user **ret, struct km_err *note)
{
	_cleanup_(agg_user_unrefp) struct agg_user *u = NULL;
	const char *name = first_value(peer, t->username_headers), *uid;
	struct walk w = {.trust = t};
	int r;

	if (!name)
		return 0;
	if ((r = agg_user_new(name, &u)) == 0) {
		u->front_proxied = true;
		w.user = u;
		peer->headers(peer->source, identity_header, &w);
		r = w.error;
	}
	if (r == 0 && (uid = first_value(peer, t->uid_headers)))
		r = agg_user_set_uid(u, uid);
	if (r == 0)
		r = add_authenticated(u);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return km_fail(note, -EACCES, "the front proxy at %s names a user whose headers cannot be used: %s",
			peer->address, r == -EILSEQ ? "not UTF-8" : "too many groups or extra values");
	*ret = KM_TAKE(u);
	return 0;
}

static int notice_header(const char *name, const char *value, void *arg)
{
	struct walk *w = arg;

	if (strcasecmp(name, "Authorization") == 0) {
		/* Go's Header.Get looks at the first one only */
		if (!w->authorization && !agg_token_find(value, &w->bearer.token, &w->bearer.len))
			w->bearer.token = NULL;
		w->authorization = true;
	} else if (strncasecmp(name, "Impersonate-", strlen("Impersonate-")) == 0)
		w->impersonate = true;
	else if (w->trust && listed_header(w->trust->username_headers, name))
		w->remote_user = true;
	return 0;
}

/* ---- joined ---- */

static int anonymous(struct agg_user **ret)
{
	_cleanup_(agg_user_unrefp) struct agg_user *u = NULL;
	int r;

	if ((r = agg_user_new(AGG_USER_ANONYMOUS, &u)) < 0 ||
		(r = agg_user_add_group(u, AGG_GROUP_UNAUTHENTICATED)) < 0)
		return r;
	*ret = KM_TAKE(u);
	return 0;
}

/* Who the certificate, alone or with headers, says it is. *ret NULL and an empty note: it says nothing. */
static int by_certificate(struct agg_authn *a, const struct agg_peer *peer, int64_t now_s, bool remote_user,
	struct agg_user **ret, struct km_err *note)
{
	struct judgement *j = NULL;
	int r;

	if (!peer->cert || !a->trust)
		return 0;
	if ((r = judgement_of(a, peer, now_s, &j)) < 0)
		return r;
	if (j->front_proxy && (r = user_of_headers(a->trust, peer, ret, note)) < 0)
		return r;
	if (*ret)
		return 0;
	/* A front proxy that is not one by our rules, yet signed by the client CA, becomes a plain user and is then
	 * refused for lack of permissions, which puzzles everybody (metrics-server #550): so say why. */
	if (!j->user || remote_user)
		*note = j->why_not;
	if (j->user)
		*ret = agg_user_ref(j->user);
	return 0;
}

int agg_authn_admit(const struct agg_peer *peer, struct agg_user *user, struct km_err *note)
{
	struct walk w = {0};
	int r = add_authenticated(user);

	if (r < 0)
		return r;
	peer->headers(peer->source, notice_header, &w);
	if (!w.impersonate)
		return 0;
	return km_fail(note, -EPERM,
		"client %s: user \"%.200s\" asks for impersonation, which is not supported here; ask through the API "
		"server",
		peer->address, user->name);
}

int agg_authn_check(struct agg_authn *a, const struct agg_peer *peer, int64_t now_s, struct agg_user **ret,
	struct agg_bearer *ret_bearer, struct km_err *note)
{
	_cleanup_(agg_user_unrefp) struct agg_user *u = NULL;
	struct walk w = {.trust = a->trust};
	int r;

	note->text[0] = '\0';
	peer->headers(peer->source, notice_header, &w);
	if ((r = by_certificate(a, peer, now_s, w.remote_user, &u, note)) < 0)
		return r;
	if (!u && note->text[0])
		km_err_prefix(note, "client %s", peer->address);
	if (!u && w.bearer.token) {
		*ret_bearer = w.bearer;
		return 1;
	}
	if (!u && note->text[0])
		return -EACCES;
	if (!u && (r = anonymous(&u)) < 0)
		return r;
	if ((r = agg_authn_admit(peer, u, note)) < 0)
		return r;
	*ret = KM_TAKE(u);
	return 0;
}
