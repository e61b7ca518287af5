/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's way: head -> route -> authentication -> authorization (perhaps later) -> answer. One struct request a
 * request, freed when it was answered or the client has gone.
 */
#define KM_LOG_MODULE "aggregator"
#include "aggregator/api.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "aggregator/causes.h"
#include "aggregator/discovery_docs.h"
#include "aggregator/item_yaml.h"
#include "aggregator/openapi.h"
#include "aggregator/reply.h"
#include "aggregator/stream.h"
#include "core/clock.h"
#include "core/log.h"

#define API_MAGIC     0x41504931u
#define REQUEST_MAGIC 0x52455155u

struct agg_api {
	uint32_t magic;
	const struct agg_view *view;
	struct agg_authn *authn;
	struct agg_tokens *tokens;
	struct agg_authz *authz;
	uint16_t port;
	void (*figures)(void *arg, struct agg_figures *ret);
	void *figures_arg;
	size_t requests_max; /* at once */
	bool stopping;
	char etag[AGG_ETAG_MAX];
	struct agg_openapi *openapi; /* owned */
	struct agg_causes causes;
	struct agg_streams streams;
	struct agg_histogram freshness;
	struct agg_api_stats stats;
};

struct request {
	uint32_t magic;
	struct agg_api *api;
	struct km_http_req *http; /* ends with the reply */
	struct agg_user *user;    /* one reference; NULL: not needed */
	struct agg_token_waiter *token_waiter;
	struct agg_waiter *waiter;
	struct km_err note; /* what was wrong with the certificate, while a token is judged */
	struct agg_route route;
	bool pretty;
	bool narrowed; /* the selectors are part of the question: it is asked for the second time */
};

int agg_api_new(const struct agg_api_config *config, struct agg_api **ret)
{
	struct agg_api *api = calloc(1, sizeof(*api));

	if (!api)
		return -ENOMEM;
	*api = (struct agg_api){
		.magic = API_MAGIC,
		.view = config->view,
		.authn = config->authn,
		.tokens = config->tokens,
		.authz = config->authz,
		.port = config->port,
		.requests_max = AGG_REQUESTS_MAX,
		.figures = config->figures,
		.figures_arg = config->figures_arg,
		.streams.staged_max = config->staged_max ? config->staged_max : AGG_STAGED_MAX,
	};
	if (agg_doc_etag(api->etag) < 0 || agg_openapi_new(&api->openapi) < 0) {
		free(api);
		return -ENOMEM;
	}
	*ret = api;
	return 0;
}

void agg_api_free(struct agg_api *api)
{
	if (!api)
		return;
	assert(api->stats.under_way == 0);
	api->magic = 0;
	agg_openapi_free(api->openapi);
	free(api);
}

void agg_api_configure(struct agg_api *api, size_t requests_max)
{
	api->requests_max = requests_max;
}

void agg_api_stopping(struct agg_api *api)
{
	api->stopping = true;
}

void agg_api_health(const struct agg_api *api, struct agg_health_state *ret)
{
	const struct agg_trust *trust = agg_authn_trust(api->authn);

	*ret = (struct agg_health_state){
		.nodes_synced = api->view->ops->nodes_synced(api->view->source),
		.pods_synced = api->view->ops->pods_synced(api->view->source),
		.auth_known = trust && trust->known,
		.stopping = api->stopping,
	};
}

void agg_api_stats(const struct agg_api *api, struct agg_api_stats *ret)
{
	*ret = api->stats;
}

/* ---- one request's life ---- */

static void request_free(struct request *q)
{
	q->api->stats.under_way--;
	agg_user_unref(q->user);
	json_decref(q->route.what.field_requirements);
	json_decref(q->route.what.label_requirements);
	q->magic = 0;
	free(q);
}

static void request_freep(struct request **q)
{
	if (*q)
		request_free(*q);
}

static void on_cancel(void *arg)
{
	struct request *q = KM_CAST(struct request, arg, REQUEST_MAGIC);

	agg_tokens_cancel(q->token_waiter);
	if (q->waiter)
		agg_authz_cancel(q->waiter);
	request_free(q);
}

/* A refusal's reason belongs in the journal once. Parts of it were chosen by the client: no control characters. */
static void log_cause(struct agg_api *api, int level, struct km_err *cause)
{
	for (char *s = cause->text; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
	switch (agg_causes_note(&api->causes, cause->text, km_now_us())) {
	case AGG_CAUSE_NEW:
		km_log_m(level, "%s", cause->text);
		break;
	case AGG_CAUSE_FULL:
		km_log_m(level,
			"more than %d different reasons to refuse requests within an hour; further ones are not logged",
			AGG_CAUSES_MAX);
		break;
	case AGG_CAUSE_KNOWN:
		break;
	}
}

/* ---- answers ---- */

static void answer_paths(struct request *q, int code)
{
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(AGG_REPLY_MAX);

	agg_doc_paths(&out);
	agg_reply_json(q->http, code, &out);
}

static void answer_aggregated(struct request *q, enum agg_media media)
{
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(AGG_REPLY_MAX), yaml = KM_BUF_INIT(AGG_REPLY_MAX);
	char type[128];

	if (media == AGG_MEDIA_PROTOBUF)
		agg_doc_aggregated_proto(&out);
	else
		agg_doc_aggregated(&out, q->pretty);
	if (media == AGG_MEDIA_YAML && agg_yaml_of_json(&out, &yaml) < 0) {
		agg_reply_no_memory(q->http);
		return;
	}
	snprintf(type, sizeof(type), "%s;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", agg_media_type(media));
	agg_reply_tagged(q->http,
		&(const struct agg_tagged){
			.etag = q->api->etag, .content_type = type, .cache_control = "public", .vary = true},
		media == AGG_MEDIA_YAML ? &yaml : &out);
}

static void answer_groups(struct request *q, const struct agg_accept *accept)
{
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(AGG_REPLY_MAX);

	if (accept->form == AGG_FORM_AGGREGATED) {
		answer_aggregated(q, accept->media);
	} else if (accept->media == AGG_MEDIA_PROTOBUF) {
		agg_doc_groups_proto(&out, q->api->port);
		agg_reply_media(q->http, 200, accept->media, &out);
	} else {
		agg_doc_groups(&out, q->api->port, q->pretty);
		agg_reply_document(q->http, 200, accept->media, &out);
	}
}

static void answer_document(struct request *q, const struct agg_accept *accept)
{
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(AGG_REPLY_MAX);

	bool group = q->route.place == AGG_PLACE_GROUP;

	if (accept->media == AGG_MEDIA_PROTOBUF) {
		if (group)
			agg_doc_group_proto(&out);
		else
			agg_doc_resources_proto(&out);
		agg_reply_media(q->http, 200, accept->media, &out);
		return;
	}
	if (group)
		agg_doc_group(&out, q->pretty);
	else
		agg_doc_resources(&out, q->pretty);
	agg_reply_document(q->http, 200, accept->media, &out);
}

/* As upstream, JSON whatever is accepted. */
static void answer_version(struct request *q)
{
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(AGG_REPLY_MAX);

	if (!q->route.get) {
		agg_reply_no_method(q->http, q->pretty);
		return;
	}
	agg_doc_version(&out);
	agg_reply_json(q->http, 200, &out);
}

static void answer_metrics(struct request *q)
{
	struct agg_api *api = q->api;
	struct agg_figures figures = {0};
	struct agg_exposition *x;

	if (!q->route.get && !q->route.head) {
		agg_reply_no_method(q->http, q->pretty);
		return;
	}
	if (api->figures)
		api->figures(api->figures_arg, &figures);
	figures.store = api->view->store;
	figures.freshness = &api->freshness;
	if (agg_exposition_new(&figures, &x) < 0)
		agg_reply_no_memory(q->http);
	else
		agg_reply_stream(q->http, "text/plain; version=0.0.4; charset=utf-8", false, agg_exposition_produce,
			agg_exposition_done, x);
}

static void answer_health(struct request *q)
{
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(AGG_REPLY_MAX);
	struct agg_health_state state;
	int code;

	agg_api_health(q->api, &state);
	code = agg_health_write(&q->route, km_http_req_url(q->http), &state, &out);
	if (code == 404)
		answer_paths(q, code);
	else
		agg_reply_text(q->http, code, out.data, out.len);
}

/* true: both caches that the place needs are there; else it has been answered. */
static bool synced(struct request *q)
{
	const struct agg_view *v = q->api->view;
	bool pods = q->route.place == AGG_PLACE_PODS || q->route.place == AGG_PLACE_POD;

	if (pods ? v->ops->pods_synced(v->source) : v->ops->nodes_synced(v->source))
		return true;
	q->api->stats.errors_total++;
	agg_reply_unavailable(q->http, "the node and pod caches have not synced yet", q->pretty);
	return false;
}

static void answer_single(struct request *q, struct agg_query *query)
{
	_cleanup_buf_ struct km_buf out = KM_BUF_INIT(AGG_OBJECT_MAX);
	const struct agg_attributes *what = &q->route.what;
	const struct agg_view *view = q->api->view;
	_cleanup_free_ struct agg_item *item = malloc(sizeof(*item));
	const struct kube_node *node = NULL;
	const struct kube_pod *pod = NULL;
	struct agg_encoder encoder;
	bool there, served;

	if (agg_option_flag(km_http_req_url(q->http), "export")) {
		agg_reply_bad_request(
			q->http, "the export parameter, deprecated since v1.14, is no longer supported", q->pretty);
		return;
	}
	if (!synced(q))
		return;
	if (!item) {
		agg_reply_no_memory(q->http);
		return;
	}
	if (query->pods)
		pod = view->ops->pod(view->source, what->namespace_, what->name);
	else
		node = view->ops->node(view->source, what->name);
	there = query->pods ? pod && pod->phase == KUBE_RUNNING : node != NULL;
	served = there && (query->pods ? agg_item_of_pod(view, pod, km_wall_ns(), item)
				       : agg_item_of_node(view, node, km_wall_ns(), item));
	if (!there) {
		agg_reply_no_object(q->http, query->pods ? "pods" : "node", what->name, q->pretty);
	} else if (!served) {
		agg_reply_no_metrics(
			q->http, query->pods ? "podmetrics" : "nodemetrics", what->namespace_, what->name, q->pretty);
	} else {
		agg_encoder_init(&encoder, &query->accept, query->include, query->pods, query->pretty);
		agg_encode_single(&encoder, &out, item);
		agg_item_note_age(item, km_wall_ns(), &q->api->freshness);
		agg_reply_media(q->http, 200, query->accept.media, &out);
	}
}

/* Reads the selectors into query; false: it has been answered with 400. */
static bool read_selectors(struct request *q, struct agg_query *query)
{
	const char *text = km_url_param(km_http_req_url(q->http), "labelSelector");
	struct km_err err = {0};

	if (agg_list_options_parse(km_http_req_url(q->http), &err) < 0) {
		agg_reply_bad_request(q->http, err.text, q->pretty);
		return false;
	}
	if (q->route.fields_error.text[0]) {
		agg_reply_bad_request(q->http, q->route.fields_error.text, q->pretty);
		return false;
	}
	query->fields = q->route.fields;
	if (!text || !*text)
		return true;
	if (kube_selector_parse(text, &query->labels, &err) == 0)
		return true;
	agg_reply_bad_request(q->http, err.text, q->pretty);
	return false;
}

/* false: it has been answered. */
static bool options_ok(struct request *q, bool pods)
{
	struct agg_list_faults faults;

	agg_list_options_judge(km_http_req_url(q->http), q->route.watch, &faults);
	if (faults.n > 0)
		agg_reply_invalid_options(q->http, &faults, q->pretty);
	else if (q->route.watch)
		agg_reply_no_watch(q->http, pods ? "pods" : "nodes", q->pretty);
	return faults.n == 0 && !q->route.watch;
}

static void streamed(void *arg)
{
	struct agg_api *api = KM_CAST(struct agg_api, arg, API_MAGIC);

	api->stats.under_way--;
}

/* Too much is being made at once of what cannot be sent slice by slice. false: it has been answered. */
static bool admit_proto(struct request *q, struct agg_query *query)
{
	if (query->accept.media != AGG_MEDIA_PROTOBUF || !agg_streams_full(&q->api->streams))
		return true;
	if (query->accept.json_too) {
		query->accept.media = AGG_MEDIA_JSON;
		return true;
	}
	q->api->stats.refused_total++;
	agg_reply_too_many(q->http);
	return false;
}

static void answer_list(struct request *q, struct agg_query *query)
{
	struct agg_list *list;

	if (!read_selectors(q, query) || !options_ok(q, query->pods) || !synced(q) || !admit_proto(q, query))
		return;
	if (agg_list_new(q->api->view, query, &list) < 0) {
		agg_reply_no_memory(q->http);
		return;
	}
	q->api->stats.under_way++;
	agg_stream_list(q->http, &q->api->streams, list, streamed, q->api);
}

static void answer_figures(struct request *q, const struct agg_accept *accept)
{
	struct agg_query query = {
		.pods = q->route.place == AGG_PLACE_PODS || q->route.place == AGG_PLACE_POD,
		.namespace_ = q->route.what.namespace_,
		.accept = *accept,
		.pretty = q->pretty,
		.freshness = &q->api->freshness,
	};
	struct km_err err = {0};

	if (accept->form == AGG_FORM_TABLE &&
		agg_table_include(km_url_param(km_http_req_url(q->http), "includeObject"), &query.include, &err) < 0) {
		agg_reply_bad_request(q->http, err.text, q->pretty);
		return;
	}
	q->api->stats.protobuf_total += accept->media == AGG_MEDIA_PROTOBUF;
	if (q->route.place == AGG_PLACE_NODES || q->route.place == AGG_PLACE_PODS)
		answer_list(q, &query);
	else
		answer_single(q, &query);
	kube_selector_free(query.labels);
}

static enum agg_offer offer_at(enum agg_place place)
{
	switch (place) {
	case AGG_PLACE_APIS:
		return AGG_OFFER_GROUPS;
	case AGG_PLACE_NODES:
	case AGG_PLACE_PODS:
		return AGG_OFFER_LIST;
	case AGG_PLACE_NODE:
	case AGG_PLACE_POD:
		return AGG_OFFER_OBJECT;
	default:
		return AGG_OFFER_DOCUMENT;
	}
}

/* Places below the API's root: GET only, content negotiated. */
static void answer_api(struct request *q)
{
	struct agg_accept accept;

	if (!q->route.get) {
		agg_reply_no_method(q->http, q->pretty);
		return;
	}
	if (agg_accept_choose(km_http_req_header(q->http, "Accept"), offer_at(q->route.place), &accept) < 0) {
		agg_reply_not_acceptable(q->http);
		return;
	}
	q->pretty = q->pretty || accept.pretty;
	if (q->route.place == AGG_PLACE_APIS)
		answer_groups(q, &accept);
	else if (offer_at(q->route.place) == AGG_OFFER_DOCUMENT)
		answer_document(q, &accept);
	else
		answer_figures(q, &accept);
}

/* Replies, whatever it is. The caller frees the request. */
static void answer(struct request *q)
{
	switch (q->route.place) {
	case AGG_PLACE_UNKNOWN_API:
		agg_reply_not_found(q->http, q->pretty);
		break;
	case AGG_PLACE_ROOT:
	case AGG_PLACE_UNKNOWN:
		answer_paths(q, q->route.place == AGG_PLACE_ROOT ? 200 : 404);
		break;
	case AGG_PLACE_HEALTH:
		answer_health(q);
		break;
	case AGG_PLACE_VERSION:
		answer_version(q);
		break;
	case AGG_PLACE_METRICS:
		answer_metrics(q);
		break;
	case AGG_PLACE_OPENAPI:
		if (q->route.get || q->route.head)
			agg_openapi_answer(q->http, q->api->openapi, q->route.openapi);
		else
			agg_reply_no_method(q->http, q->pretty);
		break;
	default:
		answer_api(q);
		break;
	}
}

static void conclude(struct request *q, enum agg_verdict verdict, const char *text)
{
	struct km_err cause;

	switch (verdict) {
	case AGG_ALLOWED:
		answer(q);
		break;
	case AGG_FAILED:
		(void)km_fail(&cause, -EIO, "requests cannot be authorized: %s", text);
		log_cause(q->api, LOG_ERR, &cause);
		q->api->stats.errors_total++;
		/* Discovery never answers 5xx: an API that fails there blocks the deletion of every namespace. */
		if (!q->route.what.discovery)
			agg_reply_review_failed(q->http, text);
		else
			agg_reply_forbidden(q->http, q->user, &q->route.what, text, q->pretty, NULL);
		break;
	case AGG_TOO_MANY:
		q->api->stats.refused_total++;
		agg_reply_too_many(q->http);
		break;
	case AGG_DENIED:
	case AGG_WAIT:
		q->api->stats.forbidden_total++;
		agg_reply_forbidden(q->http, q->user, &q->route.what, text, q->pretty, &cause);
		log_cause(q->api, LOG_NOTICE, &cause);
		break;
	}
}

/* ---- whether ---- */

/*
 * The requirements of the request's selectors, for the second question. False: there are none, or they cannot be read,
 * which is told to those who may ask only.
 */
static bool narrow(struct request *q)
{
	const char *text = km_url_param(km_http_req_url(q->http), "labelSelector");
	_cleanup_(kube_selector_freep) struct kube_selector *labels = NULL;
	struct agg_attributes *what = &q->route.what;
	struct km_err err;

	if (q->route.fields_error.text[0] || (text && *text && kube_selector_parse(text, &labels, &err) < 0))
		return false;
	if (q->route.fields.n > 0)
		what->field_requirements = agg_fields_requirements(&q->route.fields);
	if (labels)
		what->label_requirements = kube_selector_requirements(labels);
	return what->field_requirements || what->label_requirements;
}

/* Refused without selectors: whoever may see only what they select (Kubernetes 1.31, AuthorizeWithSelectors) is found
 * out by asking again with them. */
static bool ask_again(struct request *q, enum agg_verdict verdict)
{
	const struct agg_attributes *what = &q->route.what;

	return verdict == AGG_DENIED && what->resource && (strcmp(what->verb, "list") == 0 || q->route.watch) &&
	       !q->narrowed && (q->narrowed = narrow(q));
}

static bool authorize(struct request *q);

static void decided(enum agg_verdict verdict, const char *text, void *arg)
{
	struct request *q = KM_CAST(struct request, arg, REQUEST_MAGIC);

	q->waiter = NULL;
	km_http_req_on_cancel(q->http, NULL, NULL);
	if (ask_again(q, verdict)) {
		if (authorize(q))
			request_free(q);
		return;
	}
	conclude(q, verdict, text);
	request_free(q);
}

/* The user is known: may they? True: it has been answered, the caller frees the request; else it waits. */
static bool authorize(struct request *q)
{
	struct agg_api *api = q->api;
	struct km_err reason = {0};
	enum agg_verdict verdict;

	if (api->stats.under_way > api->requests_max && !agg_user_in_group(q->user, AGG_GROUP_MASTERS)) {
		conclude(q, AGG_TOO_MANY, "");
		return true;
	}
	do {
		verdict = agg_authz_ask(
			api->authz, q->user, &q->route.what, km_now_us(), &reason, decided, q, &q->waiter);
	} while (ask_again(q, verdict));
	if (verdict == AGG_WAIT) {
		km_http_req_on_cancel(q->http, on_cancel, q);
		return false;
	}
	conclude(q, verdict, reason.text);
	return true;
}

/* ---- who ---- */

static int each_header(const void *source, int (*fn)(const char *name, const char *value, void *arg), void *arg)
{
	return km_http_req_headers(source, fn, arg);
}

static struct agg_peer peer_of(const struct request *q)
{
	return (struct agg_peer){
		.connection_id = km_http_req_connection_id(q->http),
		.address = km_http_req_peer_address(q->http),
		.cert = km_http_req_peer_cert(q->http),
		.chain = km_http_req_peer_chain(q->http),
		.headers = each_header,
		.source = q->http,
	};
}

/* Not to be let in; note tells why. */
static void turn_away(struct request *q, int error, struct km_err *note)
{
	if (note->text[0])
		log_cause(q->api, LOG_WARNING, note);
	if (error == -EACCES) {
		q->api->stats.unauthorized_total++;
		agg_reply_unauthorized(q->http, q->pretty);
	} else if (error == -EPERM) {
		q->api->stats.forbidden_total++;
		agg_reply_no_impersonation(q->http, q->pretty);
	} else {
		agg_reply_no_memory(q->http);
	}
}

/* What became of the token. user: one reference, taken over. Returns as authorize() does. */
static bool judged(struct request *q, enum agg_token_verdict verdict, struct agg_user *user, const char *text)
{
	const struct agg_peer peer = peer_of(q);
	struct km_err note = {0};
	int r;

	switch (verdict) {
	case AGG_TOKEN_USER:
		q->user = user;
		if ((r = agg_authn_admit(&peer, user, &note)) == 0)
			return authorize(q);
		turn_away(q, r, &note);
		return true;
	case AGG_TOKEN_REFUSED:
		(void)km_fail(&note, -EACCES, "client %s: %s%s%s", peer.address, text, *q->note.text ? "; " : "",
			q->note.text);
		turn_away(q, -EACCES, &note);
		return true;
	case AGG_TOKEN_FAILED:
		/* as upstream: who it is cannot be said, so that nobody is let in */
		(void)km_fail(&note, -EACCES, "bearer tokens cannot be judged: %s", text);
		turn_away(q, -EACCES, &note);
		return true;
	default:
		conclude(q, AGG_TOO_MANY, "");
		return true;
	}
}

static void token_judged(enum agg_token_verdict verdict, struct agg_user *user, const char *text, void *arg)
{
	struct request *q = KM_CAST(struct request, arg, REQUEST_MAGIC);

	q->token_waiter = NULL;
	km_http_req_on_cancel(q->http, NULL, NULL);
	if (judged(q, verdict, user, text))
		request_free(q);
}

/* Returns as authorize() does. */
static bool ask_token(struct request *q, const struct agg_bearer *bearer)
{
	_cleanup_free_ char *token = strndup(bearer->token, bearer->len);
	struct agg_user *user = NULL;
	struct km_err reason = {0};
	enum agg_token_verdict verdict;

	if (!token) {
		agg_reply_no_memory(q->http);
		return true;
	}
	verdict = agg_tokens_ask(q->api->tokens, token, km_http_req_peer_address(q->http), km_now_us(), &user, &reason,
		token_judged, q, &q->token_waiter);
	OPENSSL_cleanse(token, bearer->len);
	if (verdict == AGG_TOKEN_WAIT) {
		km_http_req_on_cancel(q->http, on_cancel, q);
		return false;
	}
	return judged(q, verdict, user, reason.text);
}

/* Returns as authorize() does. */
static bool authenticate(struct request *q)
{
	const struct agg_peer peer = peer_of(q);
	struct agg_bearer bearer;
	int r = agg_authn_check(q->api->authn, &peer, km_wall_ns() / KM_NSEC_PER_SEC, &q->user, &bearer, &q->note);

	if (r < 0) {
		turn_away(q, r, &q->note);
		return true;
	}
	if (r > 0)
		return ask_token(q, &bearer);
	if (q->note.text[0])
		log_cause(q->api, LOG_WARNING, &q->note);
	return authorize(q);
}

/*
 * Whether anybody may have this answer. Where nothing is, nothing is to be protected. And as long as the ConfigMap with
 * the front proxy's CA has not been read, nobody can be recognised, yet kube-apiserver already asks whether we are
 * there: the discovery documents are constants, and a refusal would take the API away from the whole cluster.
 */
static bool open_to_anybody(const struct request *q)
{
	const struct agg_trust *trust = agg_authn_trust(q->api->authn);
	enum agg_place place = q->route.place;

	if (place == AGG_PLACE_UNKNOWN_API)
		return true;
	return (!trust || !trust->known) &&
	       (place == AGG_PLACE_APIS || place == AGG_PLACE_GROUP || place == AGG_PLACE_RESOURCES);
}

void agg_api_handle(struct km_http_req *http, void *arg)
{
	struct agg_api *api = KM_CAST(struct agg_api, arg, API_MAGIC);
	_cleanup_(request_freep) struct request *q = calloc(1, sizeof(*q));

	agg_reply_audit_id(http);
	if (!q) {
		agg_reply_no_memory(http);
		return;
	}
	q->magic = REQUEST_MAGIC;
	q->api = api;
	q->http = http;
	api->stats.requests_total++;
	api->stats.under_way++;
	q->pretty = agg_reply_wants_pretty(http);
	agg_route_find(km_http_req_method(http), km_http_req_url(http), &q->route);
	if (open_to_anybody(q)) {
		answer(q);
		return;
	}
	if (!authenticate(q))
		(void)KM_TAKE(q); /* its waiter has it */
}
