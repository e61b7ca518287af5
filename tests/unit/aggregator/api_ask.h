/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the scene's API over TLS from the worker thread, and a view of many pods that come and go. */
#pragma once

#include "tests/unit/aggregator/api_scene.h"

#include <strings.h>

#define A      "/apis/metrics.k8s.io/v1beta1"
#define MASTER "X-Remote-User: admin\r\nX-Remote-Group: system:masters\r\n"
#define JANE   "X-Remote-User: jane\r\nX-Remote-Group: dev\r\n"
#define TABLE  "Accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n"

/* ---- asking ---- */

struct exchange {
	const char *method, *target, *headers;
	const struct test_cert *cert; /* NULL: none */
	struct test_reply reply;
};

/* An exchange that is still to come. */
#define REQUEST(m, t, h, c) ((struct exchange){.method = (m), .target = (t), .headers = (h), .cert = (c)})

static struct {
	struct scene *s;
	struct exchange *all;
	size_t n;
} asking;

/* On the worker thread: one connection a request, so that certificates can differ. */
static inline void ask_all(void *arg)
{
	for (size_t i = 0; i < asking.n; i++) {
		struct exchange *e = &asking.all[i];
		struct test_client c = {.fd = -1};
		char text[4096];

		snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: x\r\nUser-Agent: golden/1\r\n%s\r\n", e->method,
			e->target, e->headers ? e->headers : "");
		if (test_client_connect(&c, asking.s->port, e->cert) && test_client_puts(&c, text))
			(void)test_client_reply(&c, strcmp(e->method, "HEAD") == 0, &e->reply);
		test_client_close(&c);
	}
}

static inline void run(struct scene *s, void (*client)(void *scene))
{
	km_timer_set(s->watchdog, RUN_MAX_US);
	assert_int_equal(km_loop_work(s->loop, client, scene_stop, s), 0);
	assert_int_equal(km_loop_run(s->loop), 0);
	assert_false(s->stuck);
	km_timer_cancel(s->watchdog);
}

static inline void ask(struct scene *s, struct exchange *all, size_t n)
{
	asking.s = s;
	asking.all = all;
	asking.n = n;
	run(s, ask_all);
}

/* The value of a header in a head ("" if there, but empty), or NULL; into a buffer of the caller's. */
static inline const char *header(const char *head, const char *name, char out[256])
{
	for (const char *line = strchr(head, '\n'); line; line = strchr(line + 1, '\n')) {
		const char *s = line + 1;
		size_t n = strlen(name);

		if (strncasecmp(s, name, n) != 0 || s[n] != ':')
			continue;
		s += n + 1;
		s += strspn(s, " ");
		snprintf(out, 256, "%.*s", (int)strcspn(s, "\r\n"), s);
		return out;
	}
	return NULL;
}

/* ---- a long list ---- */

#define LONG_PODS 2000

/* A view of one namespace whose pods come and go between slices. */
struct long_view {
	struct scene *s;
	struct kube_pod *pods[LONG_PODS];
	const struct kube_pod *shown[LONG_PODS];
	size_t slices;
	const char *names[1];
};

static inline const char *const *long_namespaces(const void *source, size_t *ret_n)
{
	*ret_n = 1;
	return ((const struct long_view *)source)->names;
}

/* Every third pod is shown or not, in turns. */
static const struct kube_pod *const *long_pods(const void *source, const char *namespace_, size_t *ret_n)
{
	struct long_view *v = (struct long_view *)(uintptr_t)source;
	size_t n = 0;

	v->slices++;
	for (size_t i = 0; i < LONG_PODS; i++)
		if (i % 3 != 0 || (i + v->slices) % 2 == 0)
			v->shown[n++] = v->pods[i];
	*ret_n = n;
	return v->shown;
}

static inline bool always(const void *source)
{
	return true;
}

static inline void long_open(struct long_view *v, struct scene *s)
{
	v->s = s;
	v->slices = 0;
	v->names[0] = "long";
	for (int pass = 0; pass < 2; pass++) {
		assert_int_equal(agg_store_begin(s->store, "node-long"), 0);
		for (size_t i = 0; i < LONG_PODS; i++) {
			char name[32];
			int64_t at = (SAMPLES_S - (pass ? 0 : 15)) * KM_NSEC_PER_SEC;

			snprintf(name, sizeof(name), "pod-%05zu", i);
			if (pass == 0)
				v->pods[i] = scene_pod(s, "long", name, "app", "node-long", "Running", "c0", "c1");
			for (int c = 0; c < 2; c++) {
				scene_line(s, AGG_CONTAINER_CPU, "long", name, c ? "c1" : "c0",
					UINT64_C(1000000000) * (uint64_t)(pass + 1), at);
				scene_line(s, AGG_CONTAINER_MEMORY, "long", name, c ? "c1" : "c0", 1 << 20, at);
				scene_line(s, AGG_CONTAINER_START, "long", name, c ? "c1" : "c0",
					(uint64_t)(SAMPLES_S - 3600) * 1000000000u, at);
			}
		}
		agg_store_commit(s->store, (SAMPLES_S - (pass ? 0 : 15)) * KM_NSEC_PER_SEC);
	}
}

static inline void long_close(struct long_view *v, struct scene *s)
{
	for (size_t i = 0; i < LONG_PODS; i++)
		kube_pod_free(v->pods[i], s->in, s->pool);
}

static const struct agg_view_ops long_ops = {
	.nodes_synced = always, .pods_synced = always, .namespaces = long_namespaces, .pods = long_pods};
