/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubeconfigs: what client-go understands of them, minus what a daemon must not do (run programs, send passwords).
 * Whatever would change whom we are or whom we reach and is not supported is refused, never ignored.
 */
#include "kube/kubeconfig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/buf.h"
#include "core/file.h"
#include "kube/base64.h"
#include "kube/yaml.h"

#define KUBECONFIG_MAX (1024 * 1024)
#define DATA_MAX       (1024 * 1024) /* decoded bytes of a -data key, or of the file in its place */
#define TOKEN_MAX      (16 * 1024)
#define SERVER_MAX     2048
#define SHOWN_NAME     64 /* characters of a foreign name shown in a message */

/* Bytes that may be a private key. */
struct secret {
	char *data;
	size_t len;
};

static void secret_wipe(struct secret *s)
{
	if (s->data)
		OPENSSL_cleanse(s->data, s->len);
	free(s->data);
	s->data = NULL;
}

void kube_access_free(struct kube_access *access)
{
	if (!access)
		return;
	free(access->server);
	km_x509_stack_free(access->roots);
	free(access->server_name);
	km_identity_unref(access->identity);
	if (access->token)
		OPENSSL_cleanse(access->token, strlen(access->token));
	free(access->token);
	free(access->token_file);
	free(access->source);
	free(access);
}

void kube_access_freep(struct kube_access **access)
{
	kube_access_free(*access);
	*access = NULL;
}

/* An address and not just a name that starts like one: 127.0.0.1.example.org is somewhere else. */
static bool is_loopback(const char *host, size_t len)
{
	char text[INET_ADDRSTRLEN];
	struct in_addr address;

	if ((len == 9 && strncasecmp(host, "localhost", 9) == 0) || (len == 5 && memcmp(host, "[::1]", 5) == 0))
		return true;
	if (len >= sizeof(text))
		return false;
	memcpy(text, host, len);
	text[len] = '\0';
	return inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* Checks "https://host[:port][/prefix]" and copies it without slashes at its end. */
static int server_copy(const char *server, const char *what, char **ret, struct km_err *err)
{
	size_t len = strlen(server), host;
	const char *rest;
	bool plain = false;
	char *copy;

	if (len == 0)
		return km_fail(err, -EINVAL, "%s: the cluster has no server", what);
	if (len > SERVER_MAX)
		return km_fail(err, -EINVAL, "%s: server is longer than %d characters", what, SERVER_MAX);
	for (size_t i = 0; i < len; i++)
		if (server[i] <= ' ' || server[i] == 0x7f || strchr("\"<>\\^`{|}?#", server[i]))
			return km_fail(err, -EINVAL, "%s: server holds a character that is not allowed in it", what);
	if (strncasecmp(server, "https://", 8) == 0) {
		rest = server + 8;
	} else if (strncasecmp(server, "http://", 7) == 0) {
		rest = server + 7;
		plain = true;
	} else {
		return km_fail(err, -EINVAL, "%s: server must start with https://", what);
	}
	host = strcspn(rest, "/");
	if (host == 0)
		return km_fail(err, -EINVAL, "%s: server names no host", what);
	if (memchr(rest, '@', host))
		return km_fail(
			err, -EINVAL, "%s: server holds a user name; put credentials in the kubeconfig's users", what);
	if (plain) {
		size_t bracket = rest[0] == '[' ? strcspn(rest, "]") : 0;
		size_t name = bracket + strcspn(rest + bracket, ":/");
		if (!is_loopback(rest, name))
			return km_fail(err, -EINVAL,
				"%s: server is http:// and not on this machine; credentials would cross the network in "
				"the "
				"clear. Use https://",
				what);
	}
	while (len > 0 && server[len - 1] == '/')
		len--;
	copy = strndup(server, len);
	if (!copy)
		return km_fail(err, -ENOMEM, "%s: out of memory", what);
	*ret = copy;
	return 0;
}

int kube_access_new(const char *server, STACK_OF(X509) *roots, struct km_identity *identity, const char *token_file,
	struct kube_access **ret, struct km_err *err)
{
	_cleanup_(kube_access_freep) struct kube_access *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return km_fail(err, -ENOMEM, "%s: out of memory", server);
	r = server_copy(server, "the configuration", &a->server, err);
	if (r < 0)
		return r;
	if (roots) {
		a->roots = X509_chain_up_ref(roots);
		if (!a->roots)
			return km_fail(err, -ENOMEM, "%s: out of memory", server);
	}
	if (identity)
		a->identity = km_identity_ref(identity);
	a->token_file = token_file && *token_file ? strdup(token_file) : NULL;
	a->source = strdup("the configuration");
	if (!a->source || (token_file && *token_file && !a->token_file))
		return km_fail(err, -ENOMEM, "%s: out of memory", server);
	*ret = KM_TAKE(a);
	return 0;
}

/* ---- a kubeconfig's parts ---- */

struct reader {
	const char *what; /* file, for messages */
	const char *base;
	struct km_err *err;
};

/* A member that must be a string when it is there; *ret is NULL when absent, null or "". Borrowed. */
static int text_of(const struct reader *rd, json_t *object, const char *where, const char *key, const char **ret)
{
	json_t *v = json_object_get(object, key);

	*ret = NULL;
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_string(v))
		return km_fail(
			rd->err, -EINVAL, "%s: %s: %s must be a string (put it in quotes)", rd->what, where, key);
	if (json_string_length(v) > 0)
		*ret = json_string_value(v);
	return 0;
}

/* The entry of a list like contexts: [{name: NAME, context: {...}}]. */
static int find_named(
	const struct reader *rd, json_t *config, const char *list, const char *member, const char *name, json_t **ret)
{
	json_t *entries = json_object_get(config, list), *entry;
	size_t i;

	json_array_foreach(entries, i, entry)
	{
		const char *n = json_string_value(json_object_get(entry, "name"));
		if (!n || strcmp(n, name) != 0)
			continue;
		json_t *v = json_object_get(entry, member);
		if (!json_is_object(v))
			return km_fail(rd->err, -EINVAL, "%s: %s \"%.*s\" has no %s", rd->what, list, SHOWN_NAME, name,
				member);
		*ret = v;
		return 0;
	}
	return km_fail(rd->err, -ENOENT, "%s: there is no \"%.*s\" among its %s", rd->what, SHOWN_NAME, name, list);
}

static int resolve(const struct reader *rd, const char *path, char **ret)
{
	char *full = NULL;

	if (path[0] == '/' || !rd->base || !*rd->base)
		full = strdup(path);
	else if (asprintf(&full, "%s/%s", rd->base, path) < 0)
		full = NULL;
	if (!full)
		return km_fail(rd->err, -ENOMEM, "%s: out of memory", rd->what);
	*ret = full;
	return 0;
}

/*
 * KEY-data (base64) or the file named by KEY; data wins, as in client-go. ret->data stays NULL when neither is there.
 * *ret_what names the place for messages of whoever parses it.
 */
static int material(const struct reader *rd, json_t *object, const char *where, const char *key, struct secret *ret,
	char **ret_what)
{
	_cleanup_free_ char *path = NULL, *name = NULL;
	const char *data, *file;
	char data_key[64];
	int r;

	snprintf(data_key, sizeof(data_key), "%s-data", key);
	r = text_of(rd, object, where, data_key, &data);
	if (r < 0)
		return r;
	r = text_of(rd, object, where, key, &file);
	if (r < 0 || (!data && !file))
		return r;
	if (data) {
		if (asprintf(&name, "%s: %s", rd->what, data_key) < 0) {
			name = NULL;
			return km_fail(rd->err, -ENOMEM, "%s: out of memory", rd->what);
		}
		r = kube_base64_decode(data, strlen(data), DATA_MAX, &ret->data, &ret->len);
		if (r < 0)
			return km_fail(rd->err, r, "%s: %s", name,
				r == -EMSGSIZE ? "larger than 1 MiB"
				: r == -ENOMEM ? "out of memory"
					       : "is not base64");
	} else {
		r = resolve(rd, file, &path);
		if (r < 0)
			return r;
		r = km_file_read(path, DATA_MAX, &ret->data, &ret->len, rd->err);
		if (r < 0) {
			km_err_prefix(rd->err, "%s: %s", rd->what, key);
			return r;
		}
		name = KM_TAKE(path);
	}
	free(*ret_what);
	*ret_what = KM_TAKE(name);
	return 0;
}

static int read_cluster(const struct reader *rd, json_t *cluster, struct kube_access *a)
{
	_cleanup_(secret_wipe) struct secret ca = {0};
	_cleanup_free_ char *what = NULL;
	const char *server, *name, *proxy;
	json_t *insecure = json_object_get(cluster, "insecure-skip-tls-verify");
	int r;

	r = text_of(rd, cluster, "cluster", "server", &server);
	if (r == 0)
		r = text_of(rd, cluster, "cluster", "tls-server-name", &name);
	if (r == 0)
		r = text_of(rd, cluster, "cluster", "proxy-url", &proxy);
	if (r == 0)
		r = server_copy(server ? server : "", rd->what, &a->server, rd->err);
	if (r < 0)
		return r;
	if (proxy)
		return km_fail(rd->err, -ENOTSUP, "%s: proxy-url is not supported", rd->what);
	if (insecure && !json_is_boolean(insecure) && !json_is_null(insecure))
		return km_fail(rd->err, -EINVAL, "%s: insecure-skip-tls-verify must be true or false", rd->what);
	a->insecure = json_is_true(insecure);
	r = material(rd, cluster, "cluster", "certificate-authority", &ca, &what);
	if (r < 0)
		return r;
	if (ca.data) {
		if (a->insecure)
			return km_fail(rd->err, -EINVAL,
				"%s: insecure-skip-tls-verify together with a certificate-authority; remove one of "
				"them",
				rd->what);
		r = km_x509_parse(ca.data, ca.len, what, &a->roots, rd->err);
		if (r < 0)
			return r;
	}
	if (name) {
		a->server_name = strdup(name);
		if (!a->server_name)
			return km_fail(rd->err, -ENOMEM, "%s: out of memory", rd->what);
	}
	return 0;
}

static int read_identity(const struct reader *rd, json_t *user, struct kube_access *a)
{
	_cleanup_(secret_wipe) struct secret cert = {0}, key = {0};
	_cleanup_free_ char *what = NULL, *key_what = NULL;
	int r;

	r = material(rd, user, "user", "client-certificate", &cert, &what);
	if (r == 0)
		r = material(rd, user, "user", "client-key", &key, &key_what);
	if (r < 0)
		return r;
	if (!cert.data && !key.data)
		return 0;
	if (!cert.data || !key.data)
		return km_fail(rd->err, -EINVAL, "%s: the user has a client %s without its %s", rd->what,
			cert.data ? "certificate" : "key", cert.data ? "client-key" : "client-certificate");
	return km_identity_parse(cert.data, cert.len, key.data, key.len, what, &a->identity, rd->err);
}

static int read_user(const struct reader *rd, json_t *user, struct kube_access *a)
{
	static const struct {
		const char *key, *text;
	} refused[] = {
		{"exec", "exec plugins are not run by a daemon; use a client certificate or a tokenFile"},
		{"auth-provider", "auth-provider is not supported; use a client certificate or a tokenFile"},
		{"username", "username and password are not supported; use a client certificate or a tokenFile"},
		{"password", "username and password are not supported; use a client certificate or a tokenFile"},
		{"as", "impersonation (as) is not supported"},
		{"as-uid", "impersonation (as-uid) is not supported"},
		{"as-groups", "impersonation (as-groups) is not supported"},
		{"as-user-extra", "impersonation (as-user-extra) is not supported"},
	};
	const char *token, *file;
	int r;

	for (size_t i = 0; i < KM_ARRAY_LEN(refused); i++) {
		json_t *v = json_object_get(user, refused[i].key);
		if (v && !json_is_null(v))
			return km_fail(rd->err, -ENOTSUP, "%s: %s", rd->what, refused[i].text);
	}
	r = read_identity(rd, user, a);
	if (r == 0)
		r = text_of(rd, user, "user", "token", &token);
	if (r == 0)
		r = text_of(rd, user, "user", "tokenFile", &file);
	if (r < 0)
		return r;
	if (token) {
		if (strlen(token) > TOKEN_MAX)
			return km_fail(rd->err, -EINVAL, "%s: the token is longer than 16 KiB", rd->what);
		for (const char *p = token; *p; p++)
			if (*p <= ' ' || *p >= 0x7f)
				return km_fail(
					rd->err, -EINVAL, "%s: the token holds spaces or control characters", rd->what);
		a->token = strdup(token);
		if (!a->token)
			return km_fail(rd->err, -ENOMEM, "%s: out of memory", rd->what);
	}
	return file ? resolve(rd, file, &a->token_file) : 0;
}

int kube_access_parse(const char *text, size_t len, const char *what, const char *base, const char *context,
	struct kube_access **ret, struct km_err *err)
{
	const struct reader rd = {.what = what, .base = base, .err = err};
	_cleanup_(kube_access_freep) struct kube_access *a = NULL;
	json_t *config = NULL, *part;
	const char *cluster, *user;
	int r;

	if (len > KUBECONFIG_MAX)
		return km_fail(err, -EMSGSIZE, "%s: larger than 1 MiB", what);
	r = kube_yaml_parse(text, len, what, &config, err);
	if (r < 0)
		return r;
	a = calloc(1, sizeof(*a));
	if (!a) {
		r = km_fail(err, -ENOMEM, "%s: out of memory", what);
		goto out;
	}
	r = -EINVAL;
	if (!json_is_object(config)) {
		km_fail(err, r, "%s: is not a kubeconfig", what);
		goto out;
	}
	if (!context) {
		r = text_of(&rd, config, "kubeconfig", "current-context", &context);
		if (r == 0 && !context)
			r = km_fail(err, -EINVAL,
				"%s: has no current-context; set one: kubectl config use-context NAME --kubeconfig %s",
				what, what);
		if (r < 0)
			goto out;
	}
	r = find_named(&rd, config, "contexts", "context", context, &part);
	if (r == 0)
		r = text_of(&rd, part, "context", "cluster", &cluster);
	if (r == 0)
		r = text_of(&rd, part, "context", "user", &user);
	if (r < 0)
		goto out;
	if (!cluster) {
		r = km_fail(err, -EINVAL, "%s: context \"%.*s\" names no cluster", what, SHOWN_NAME, context);
		goto out;
	}
	r = find_named(&rd, config, "clusters", "cluster", cluster, &part);
	if (r == 0)
		r = read_cluster(&rd, part, a);
	if (r == 0 && user) {
		r = find_named(&rd, config, "users", "user", user, &part);
		if (r == 0)
			r = read_user(&rd, part, a);
	}
	if (r < 0)
		goto out;
	if (asprintf(&a->source, "%s (context %s)", what, context) < 0) {
		a->source = NULL;
		r = km_fail(err, -ENOMEM, "%s: out of memory", what);
		goto out;
	}
	*ret = KM_TAKE(a);
out:
	json_decref(config);
	return r;
}

int kube_access_load(const char *path, const char *context, struct kube_access **ret, struct km_err *err)
{
	_cleanup_(secret_wipe) struct secret text = {0};
	_cleanup_free_ char *base = NULL;
	const char *slash = strrchr(path, '/');
	int r;

	base = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	if (!base)
		return km_fail(err, -ENOMEM, "%s: out of memory", path);
	r = km_file_read(path, KUBECONFIG_MAX, &text.data, &text.len, err);
	if (r < 0)
		return r;
	return kube_access_parse(text.data, text.len, path, base, context, ret, err);
}

/* ---- writing ---- */

static int add_scalar(struct km_buf *out, const char *key, const char *value)
{
	json_t *text = json_string(value);
	int r;

	if (!text)
		return -EINVAL;
	km_buf_adds(out, key);
	r = kube_yaml_emit(text, out);
	json_decref(text);
	return r;
}

static void add_data(struct km_buf *out, const char *key, const char *pem)
{
	km_buf_adds(out, key);
	kube_base64_encode(pem, strlen(pem), out);
	km_buf_addc(out, '\n');
}

int kube_access_write_kubeconfig(const char *server, const char *ca_pem, const char *cert_pem, const char *key_pem,
	const char *user, char **ret, struct km_err *err)
{
	struct km_buf out = KM_BUF_INIT(4 * DATA_MAX);
	size_t need =
		2 * (strlen(ca_pem) + strlen(cert_pem) + strlen(key_pem)) + 6 * (strlen(server) + 3 * strlen(user));
	char *text;
	int r;

	/* in one piece from the start: growing would leave copies of the key behind in freed memory */
	r = km_buf_reserve(&out, need + 1024);
	if (r < 0)
		return km_fail(err, r, "kubeconfig for %s: %s", server, r == -ENOMEM ? "out of memory" : "too large");
	km_buf_adds(&out, "apiVersion: v1\nkind: Config\nclusters:\n- name: kubernetes\n  cluster:\n");
	r = add_scalar(&out, "    server: ", server);
	add_data(&out, "    certificate-authority-data: ", ca_pem);
	km_buf_adds(&out, "users:\n");
	if (r == 0)
		r = add_scalar(&out, "- name: ", user);
	km_buf_adds(&out, "  user:\n");
	add_data(&out, "    client-certificate-data: ", cert_pem);
	add_data(&out, "    client-key-data: ", key_pem);
	km_buf_adds(&out, "contexts:\n- name: kubernetes\n  context:\n    cluster: kubernetes\n");
	if (r == 0)
		r = add_scalar(&out, "    user: ", user);
	km_buf_adds(&out, "current-context: kubernetes\n");
	if (r == 0)
		r = out.error;
	text = r == 0 ? km_buf_take(&out, NULL) : NULL;
	if (!text) {
		if (out.data)
			OPENSSL_cleanse(out.data, out.len);
		km_buf_free(&out);
		return km_fail(err, r < 0 ? r : -ENOMEM, "kubeconfig for %s: %s", server,
			r == -EINVAL ? "server or user is not UTF-8" : "out of memory");
	}
	*ret = text;
	return 0;
}
