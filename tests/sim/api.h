/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated API server's parts; private to api.c, write.c, discovery.c and control.c. */
#pragma once

#include <event2/keyvalq_struct.h>

#include "tests/sim/render.h"
#include "tests/sim/store.h"

#define SIM_PATH_PARTS 12

/* A request taken apart: /apis/GROUP/VERSION/namespaces/NAMESPACE/RESOURCE/NAME/SUBRESOURCE */
struct sim_target {
	const char *group, *version, *namespace_, *plural, *name, *sub; /* "" where absent */
	const struct sim_resource *resource;                            /* NULL: none of ours */
	struct evkeyvalq query;
};

void sim_status(struct evhttp_request *req, int code, const char *reason, const char *fmt, ...) _printf_(4, 5);
void sim_reply_json(struct evhttp_request *req, int code, json_t *object); /* takes it over */
void sim_reply_object(struct evhttp_request *req, int code, json_t *object, const struct sim_target *t);
/* How errors name a resource: "leases.coordination.k8s.io", "deployments/scale.apps". Returns out. */
const char *sim_qualified(const struct sim_target *t, char out[200]);
/* The body as JSON, or NULL after a 400 was sent. */
json_t *sim_body(struct evhttp_request *req);

/* discovery.c: true if the path was one of /version, /api, /apis, /apis/G/V ...; parts are the path's. */
bool sim_discovery(struct sim *sim, struct evhttp_request *req, char **parts, size_t n);
/* write.c: POST, PUT, PATCH, DELETE, and the scale subresource */
void sim_write(struct sim *sim, struct evhttp_request *req, const struct sim_target *t);
void sim_get_scale(struct sim *sim, struct evhttp_request *req, const struct sim_target *t);
/* control.c: /sim/... */
void sim_control(struct sim *sim, struct evhttp_request *req, const char *what);
