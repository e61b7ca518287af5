/* SPDX-License-Identifier: Apache-2.0 */
#include "aggregator/kubelet_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/map.h"

#define UID_MAX 128

struct pin {
	char *uid;
	char *node; /* for people who read the file */
	bool verified;
	char fingerprint[KM_FINGERPRINT_MAX]; /* "" when verified */
};

struct agg_pins {
	struct km_map map; /* uid -> struct pin, owned */
	bool changed, damaged;
};

int agg_pins_new(struct agg_pins **ret)
{
	struct agg_pins *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	*ret = p;
	return 0;
}

static void free_pin(struct pin *pin)
{
	free(pin->uid);
	free(pin->node);
	free(pin);
}

void agg_pins_free(struct agg_pins *p)
{
	struct km_map_entry *e;
	size_t i = 0;

	if (!p)
		return;
	while ((e = km_map_next(&p->map, &i)))
		free_pin(e->value);
	km_map_free(&p->map);
	free(p);
}

static struct pin *find(const struct agg_pins *p, const char *uid)
{
	return km_map_get(&p->map, uid, strlen(uid));
}

static int set(struct agg_pins *p, const char *uid, const char *node, bool verified, const char *fingerprint)
{
	struct pin *pin = find(p, uid);

	if (!pin) {
		if (p->map.count >= AGG_PINS_MAX)
			return -ENOSPC;
		pin = calloc(1, sizeof(*pin));
		if (!pin || !(pin->uid = strdup(uid)) || !(pin->node = strdup(node)) ||
			km_map_put(&p->map, pin->uid, strlen(pin->uid), pin, NULL) < 0) {
			if (pin)
				free_pin(pin);
			return -ENOMEM;
		}
	}
	pin->verified = verified;
	snprintf(pin->fingerprint, sizeof(pin->fingerprint), "%s", fingerprint);
	p->changed = true;
	return 0;
}

static bool is_fingerprint(const char *s)
{
	return strlen(s) == KM_FINGERPRINT_MAX - 1 && s[strspn(s, "0123456789abcdef")] == '\0';
}

static int parse_one(struct agg_pins *p, const char *uid, json_t *o)
{
	const char *node = json_string_value(json_object_get(o, "node")),
		   *pinned = json_string_value(json_object_get(o, "sha256"));
	bool verified = json_is_true(json_object_get(o, "verified"));

	if (!node || strlen(uid) > UID_MAX || (verified ? pinned != NULL : !pinned || !is_fingerprint(pinned)))
		return -EBADMSG;
	return set(p, uid, node, verified, verified ? "" : pinned);
}

int agg_pins_parse(struct agg_pins *p, const char *text, size_t len, struct km_err *err)
{
	json_error_t problem = {.line = 0};
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &problem), *nodes = json_object_get(root, "nodes"),
	       *o;
	const char *uid;
	int r = json_is_object(nodes) && json_integer_value(json_object_get(root, "version")) == AGG_PINS_VERSION
			? 0
			: -EBADMSG;

	json_object_foreach(nodes, uid, o)
	{
		if (r == 0)
			r = parse_one(p, uid, o);
	}
	json_decref(root);
	p->changed = false;
	if (r == -EBADMSG) {
		/* To start afresh silently would hand the first use to whoever damaged the file. */
		p->damaged = true;
		return km_fail(err, r,
			"%s cannot be read (line %d): kubelets whose certificate no CA has signed are refused until it "
			"is mended; or remove it and restart kmetricsd to pin them anew",
			AGG_PINS_FILE, problem.line);
	}
	return r < 0 ? km_fail(err, r, "%s: %s", AGG_PINS_FILE, strerror(-r)) : 0;
}

char *agg_pins_print(const struct agg_pins *p, size_t *ret_len)
{
	json_t *nodes = json_object(), *root = json_pack("{s:i, s:o}", "version", AGG_PINS_VERSION, "nodes", nodes);
	struct km_map_entry *e;
	char *text;
	size_t i = 0;

	while ((e = km_map_next(&p->map, &i))) {
		const struct pin *pin = e->value;

		json_object_set_new(nodes, pin->uid,
			pin->verified ? json_pack("{s:s, s:b}", "node", pin->node, "verified", 1)
				      : json_pack("{s:s, s:s}", "node", pin->node, "sha256", pin->fingerprint));
	}
	text = root ? json_dumps(root, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
	json_decref(root);
	if (text)
		*ret_len = strlen(text);
	return text;
}

bool agg_pins_changed(struct agg_pins *p)
{
	bool changed = p->changed;

	p->changed = false;
	return changed;
}

void agg_pins_forget(struct agg_pins *p, const char *uid)
{
	struct pin *pin = km_map_remove(&p->map, uid, strlen(uid));

	if (!pin)
		return;
	free_pin(pin);
	p->changed = true;
}

/* Whether the certificate says that it is this node's: by the address or name dialled, by the node's name, or as
 * kubelets are named (spec certs-and-wiring 8, row 11). */
static int check_name(const struct agg_tls_question *q, struct km_err *err)
{
	unsigned char scratch[sizeof(struct in6_addr)];
	bool ip = inet_pton(AF_INET, q->address, scratch) == 1 || inet_pton(AF_INET6, q->address, scratch) == 1;
	_cleanup_free_ char *cn = km_x509_cn(q->leaf);
	char expected[300];

	snprintf(expected, sizeof(expected), "system:node:%s", q->node);
	if ((ip ? km_x509_has_ip(q->leaf, q->address) : km_x509_has_dns(q->leaf, q->address)) ||
		km_x509_has_dns(q->leaf, q->node) || (cn && strcmp(cn, expected) == 0))
		return 0;
	return km_fail(err, -EKEYREJECTED,
		"the kubelet's certificate is signed by the CA but is for somebody else (CN \"%.64s\"; neither %s nor "
		"node %s is among its names): is this another host's certificate or address?",
		cn ? cn : "", q->address, q->node);
}

static int verify(const struct agg_tls_question *q, struct km_err *err)
{
	int r;

	if (!q->roots || sk_X509_num(q->roots) == 0)
		return km_fail(err, -EKEYREJECTED, "x509: no CA is known that could have signed it");
	r = km_x509_verify(q->roots, q->leaf, q->chain, KM_X509_SERVER, q->now_s, err);
	return r < 0 ? r : check_name(q, err);
}

static int judge_pin(struct agg_pins *p, const struct agg_tls_question *q, struct km_err *err)
{
	const struct pin *pin = find(p, q->uid);
	char fingerprint[KM_FINGERPRINT_MAX];
	int r;

	km_x509_fingerprint(q->leaf, fingerprint);
	if (pin && !pin->verified) {
		if (strcmp(pin->fingerprint, fingerprint) == 0)
			return AGG_TLS_PINNED;
		return km_fail(err, -EKEYREJECTED,
			"the kubelet's certificate has changed: SHA-256 %s is pinned, now it shows %s. If the kubelet "
			"was re-installed or has renewed its self-signed certificate, remove \"%s\" from %s in "
			"state-dir and restart kmetricsd; if not, somebody answers in its place",
			pin->fingerprint, fingerprint, q->uid, AGG_PINS_FILE);
	}
	if (p->damaged)
		return km_fail(err, -EKEYREJECTED,
			"%s is damaged: no certificate is pinned until it is mended, or removed and kmetricsd "
			"restarted",
			AGG_PINS_FILE);
	if (strlen(q->uid) == 0 || strlen(q->uid) > UID_MAX)
		return km_fail(err, -EKEYREJECTED, "the Node has no usable UID to pin its certificate to");
	r = set(p, q->uid, q->node, false, fingerprint);
	return r < 0 ? km_fail(err, -EKEYREJECTED, "its certificate cannot be pinned: %s", strerror(-r))
		     : AGG_TLS_PINNED_NEW;
}

int agg_pins_judge(struct agg_pins *p, const struct agg_tls_question *q, struct km_err *err)
{
	const struct pin *pin = find(p, q->uid);
	struct km_err why = {0};

	if (q->mode == AGG_TLS_INSECURE)
		return AGG_TLS_UNCHECKED;
	if (q->mode == AGG_TLS_PIN)
		return judge_pin(p, q, err);
	if (verify(q, &why) == 0) {
		if (!pin || !pin->verified)
			(void)!set(p, q->uid, q->node, true,
				""); /* without room for the note only the downgrade protection is lost */
		return AGG_TLS_VERIFIED;
	}
	/* Signed by the CA but expired or for another host is never a matter for pinning: only a certificate that
	 * stands outside the CA is. */
	if (q->mode == AGG_TLS_AUTO && (!pin || !pin->verified) && strstr(why.text, "unknown authority"))
		return judge_pin(p, q, err);
	if (q->mode == AGG_TLS_AUTO && (!pin || !pin->verified) && (!q->roots || sk_X509_num(q->roots) == 0))
		return km_fail(err, -EKEYREJECTED, "%s", why.text);
	return km_fail(err, -EKEYREJECTED, "the kubelet's certificate cannot be verified: %s%s", why.text,
		pin && pin->verified ? "; it has verified before, so it is not pinned instead"
				     : "; give it a certificate of the CA, or set kubelet-certificate-authority, or "
				       "kubelet-tls = pin");
}
