/* SPDX-License-Identifier: Apache-2.0 */
/* Asking and telling; see the header. */
#define KM_LOG_MODULE "aggregator"
#include "aggregator/pending_csrs.h"

#include <errno.h>
#include <string.h>

#include "core/log.h"

#define CSRS_MAGIC 0x6b6d6373u
/* The API server keeps pending ones for a day and has no selector for them; signerName it has had since 1.18, and older
 * ones refuse to select by it. */
#define QUERY      "/certificatesigningrequests?limit=500"
#define NODE_USER  "system:node:"
#define MESSAGE_ID "7c1d2f0a9b5e4c3d8e6f1a2b3c4d5e6f"
#define NAMES_MAX  (64 * 1024)
#define NAME_BYTES 64 /* of each that is shown */

static const char *const paths[] = {"/apis/certificates.k8s.io/v1" QUERY, "/apis/certificates.k8s.io/v1beta1" QUERY};

struct agg_pending_csrs {
	uint32_t magic;
	struct kube_client *client;
	uint64_t period_us;
	bool (*wanted)(void *arg);
	void *arg;
	struct km_timer *timer;
	struct kube_call *call;
	size_t path; /* of the two, which there is */
	size_t count;
	char *told;       /* owned; the names in the last line */
	bool denied_told; /* that we may not ask */
};

/* ---- reading ---- */

static bool serves(json_t *usages)
{
	json_t *usage;
	size_t i;

	json_array_foreach(usages, i, usage)
	{
		const char *text = json_string_value(usage);

		if (text && strcmp(text, "server auth") == 0)
			return true;
	}
	return false;
}

static bool is_pending(json_t *item)
{
	json_t *spec = json_object_get(item, "spec"), *status = json_object_get(item, "status");
	const char *user = json_string_value(json_object_get(spec, "username"));

	return user && strncmp(user, NODE_USER, strlen(NODE_USER)) == 0 && serves(json_object_get(spec, "usages")) &&
	       json_array_size(json_object_get(status, "conditions")) == 0 && !json_object_get(status, "certificate");
}

ssize_t agg_pending_csrs_read(const char *body, size_t len, struct km_buf *names)
{
	json_t *list = json_loadb(body, len, 0, NULL), *items = json_object_get(list, "items"), *item;
	ssize_t n = 0;
	size_t i;

	if (!json_is_array(items)) {
		json_decref(list);
		return -EBADMSG;
	}
	json_array_foreach(items, i, item)
	{
		const char *name = json_string_value(json_object_get(json_object_get(item, "metadata"), "name"));

		if (!name || !is_pending(item) || n++ >= AGG_PENDING_CSRS_SHOWN)
			continue;
		km_buf_addf(names, "%s%.*s (%.*s)", n > 1 ? ", " : "", NAME_BYTES,
			json_string_value(json_object_get(json_object_get(item, "spec"), "username")) +
				strlen(NODE_USER),
			NAME_BYTES, name);
	}
	json_decref(list);
	if (n > AGG_PENDING_CSRS_SHOWN)
		km_buf_addf(names, " and %zd more", n - AGG_PENDING_CSRS_SHOWN);
	return names->error ? names->error : n;
}

/* ---- telling ---- */

static void tell(struct agg_pending_csrs *p, size_t n, const struct km_buf *names)
{
	const struct km_log_fields fields = {.module = KM_LOG_MODULE, .message_id = MESSAGE_ID};
	const char *text = names->data ? names->data : "";

	if (n > 0 && (!p->told || strcmp(p->told, text) != 0))
		km_log(LOG_WARNING, &fields,
			"%zu kubelet%s no serving certificate until somebody approves %s: %s; see kubectl get csr, "
			"then "
			"kubectl certificate approve NAME",
			n, n == 1 ? " has" : "s have", n == 1 ? "its request" : "their requests", text);
	else if (n == 0 && p->count > 0)
		km_log(LOG_NOTICE, &fields, "no kubelet's serving certificate waits for approval any more");
	free(p->told);
	p->told = strdup(text);
	p->count = n;
}

/* ---- asking ---- */

static void ask(struct agg_pending_csrs *p);

static void answered(const struct kube_result *result, void *arg)
{
	struct agg_pending_csrs *p = KM_CAST(struct agg_pending_csrs, arg, CSRS_MAGIC);
	_cleanup_buf_ struct km_buf names = KM_BUF_INIT(NAMES_MAX);
	ssize_t n;

	p->call = NULL;
	if (result->error == -ENOENT && p->path + 1 < KM_ARRAY_LEN(paths)) {
		p->path++;
		ask(p);
		return;
	}
	if (result->error == -EACCES && !p->denied_told) {
		p->denied_told = true;
		km_log_m(LOG_INFO,
			"whether kubelets wait for their serving certificates cannot be seen: %s; run kmetricsd "
			"wire apply",
			result->text);
	}
	if (result->error)
		return; /* there is nothing to tell, and it is asked again */
	p->denied_told = false;
	n = agg_pending_csrs_read(result->body, result->body_len, &names);
	if (n >= 0)
		tell(p, (size_t)n, &names);
}

static void ask(struct agg_pending_csrs *p)
{
	const struct kube_request request = {.method = "GET", .path = paths[p->path], .on_done = answered, .arg = p};

	if (kube_request_start(p->client, &request, &p->call) < 0)
		p->call = NULL; /* the next time */
}

static void on_timer(void *arg)
{
	struct agg_pending_csrs *p = KM_CAST(struct agg_pending_csrs, arg, CSRS_MAGIC);

	km_timer_set(p->timer, p->period_us);
	if (p->call || (p->count == 0 && !p->wanted(p->arg)))
		return;
	p->path = 0; /* an upgraded API server may have lost the older one */
	ask(p);
}

int agg_pending_csrs_new(struct kube_client *client, uint64_t period_us, bool (*wanted)(void *arg), void *arg,
	struct agg_pending_csrs **ret)
{
	struct agg_pending_csrs *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = (struct agg_pending_csrs){
		.magic = CSRS_MAGIC, .client = client, .period_us = period_us, .wanted = wanted, .arg = arg};
	if (km_timer_new(kube_client_loop(client), on_timer, p, &p->timer) < 0) {
		free(p);
		return -ENOMEM;
	}
	km_timer_set(p->timer, period_us);
	*ret = p;
	return 0;
}

void agg_pending_csrs_free(struct agg_pending_csrs *p)
{
	if (!p)
		return;
	kube_call_cancel(p->call);
	km_timer_free(p->timer);
	free(p->told);
	p->magic = 0;
	free(p);
}

size_t agg_pending_csrs_count(const struct agg_pending_csrs *p)
{
	return p->count;
}
