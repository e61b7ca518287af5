/* SPDX-License-Identifier: Apache-2.0 */
/* The judgement; see the header. */
#include "aggregator/kubelet_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define UNKNOWN_AUTHORITY "x509: certificate signed by unknown authority" /* km_x509_verify's words */

static bool is_ip(const char *text)
{
	unsigned char scratch[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, scratch) == 1 || inet_pton(AF_INET6, text, scratch) == 1;
}

static bool carries(X509 *cert, const char *name)
{
	return is_ip(name) ? km_x509_has_ip(cert, name) : km_x509_has_dns(cert, name);
}

static bool is_for_node(const struct agg_tls_question *q, const char *cn)
{
	char expected[300];

	if (carries(q->leaf, q->dialled) || carries(q->leaf, q->address) || carries(q->leaf, q->node) ||
		(q->hostname && carries(q->leaf, q->hostname)))
		return true;
	snprintf(expected, sizeof(expected), "system:node:%s", q->node);
	return cn && strcmp(cn, expected) == 0;
}

static int verify(const struct agg_tls_question *q, struct km_err *err)
{
	_cleanup_free_ char *cn = NULL;
	int r = km_x509_verify(q->roots, q->leaf, q->chain, KM_X509_SERVER, q->now_s, err);

	if (r < 0)
		return r;
	cn = km_x509_cn(q->leaf);
	if (is_for_node(q, cn))
		return 0;
	return km_fail(err, -EKEYREJECTED,
		"it is signed by the CA, but for another host (CN \"%.64s\"; neither %.64s nor %.64s is among its "
		"names)",
		cn ? cn : "", q->dialled, q->node);
}

/*
 * Whether the certificate claims to come from a CA of ours, good or not: asked at a time when it was valid, because
 * verification ends with the first thing that is wrong.
 */
static bool is_ours(const struct agg_tls_question *q)
{
	struct km_err why = {0};
	int r = km_x509_verify(q->roots, q->leaf, q->chain, KM_X509_SERVER, km_x509_not_after(q->leaf), &why);

	return r == 0 || strncmp(why.text, UNKNOWN_AUTHORITY, strlen(UNKNOWN_AUTHORITY)) != 0;
}

static int judge_pin(const struct agg_tls_question *q, const struct agg_pin *pin, struct km_err *err)
{
	char sha256[KM_FINGERPRINT_MAX];

	km_x509_fingerprint(q->leaf, sha256);
	if (pin && *pin->sha256) {
		if (strcmp(pin->sha256, sha256) == 0)
			return AGG_TLS_PINNED;
		return km_fail(err, -EKEYREVOKED,
			"the kubelet's certificate has changed: its SHA-256 is %s, pinned is %s. If the kubelet was "
			"set up anew or given a new certificate, remove the entry \"%s\" from %s and run systemctl "
			"reload kmetricsd; if not, somebody else answers in its place",
			sha256, pin->sha256, q->uid, q->pins_path);
	}
	switch (agg_pins_may_add(q->pins, q->uid)) {
	case 0:
		return AGG_TLS_PIN_NEW;
	case -EBADMSG:
		return km_fail(err, -EKEYREJECTED,
			"its certificate is not pinned, because %s is damaged; mend it, or remove it to trust every "
			"kubelet anew at first sight, and run systemctl reload kmetricsd",
			q->pins_path);
	case -ENOSPC:
		return km_fail(err, -EKEYREJECTED,
			"its certificate is not pinned, because %s has %d entries; remove those of nodes that are gone "
			"and run systemctl reload kmetricsd",
			q->pins_path, AGG_PINS_MAX);
	default:
		return km_fail(err, -EKEYREJECTED, "its certificate cannot be pinned: the Node has no usable UID");
	}
}

static int judge_auto(const struct agg_tls_question *q, const struct agg_pin *pin, struct km_err *err)
{
	struct km_err why = {0};
	char sha256[KM_FINGERPRINT_MAX];

	if (sk_X509_num(q->roots) <= 0)
		return km_fail(err, -EKEYREJECTED,
			"the kubelet's certificate cannot be judged: the cluster CA is not known (yet); set "
			"kubelet-certificate-authority, or kubelet-tls = pin");
	if (verify(q, &why) == 0)
		return AGG_TLS_VERIFIED;
	if (is_ours(q))
		return km_fail(err, -EKEYREJECTED,
			"the kubelet's certificate is refused: %s. Give it a right one, or set kubelet-tls = pin",
			why.text);
	if (!pin || !pin->verified)
		return judge_pin(q, pin, err);
	km_x509_fingerprint(q->leaf, sha256);
	return km_fail(err, -EKEYREVOKED,
		"no CA of ours has signed the kubelet's certificate (SHA-256 %s), but it had one that verified before. "
		"Give it a certificate of the CA; or, if it is right, remove the entry \"%s\" from %s and run "
		"systemctl reload kmetricsd; if not, somebody else answers in its place",
		sha256, q->uid, q->pins_path);
}

int agg_kubelet_judge(const struct agg_tls_question *q, struct km_err *err)
{
	const struct agg_pin *pin = agg_pins_find(q->pins, q->uid);
	struct km_err why = {0};

	switch (q->mode) {
	case AGG_TLS_INSECURE:
		return AGG_TLS_UNCHECKED;
	case AGG_TLS_PIN:
		return judge_pin(q, pin, err);
	case AGG_TLS_AUTO:
		return judge_auto(q, pin, err);
	case AGG_TLS_VERIFY:
		break;
	}
	if (verify(q, &why) == 0)
		return AGG_TLS_VERIFIED;
	return km_fail(err, -EKEYREJECTED,
		"the kubelet's certificate is refused: %s. Give it a certificate of the CA, or set "
		"kubelet-certificate-authority, or kubelet-tls = auto",
		why.text);
}
