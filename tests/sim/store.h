/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the simulated API server keeps: objects of the small kinds as JSON, the events of all kinds for watches that
 * resume, and the watches themselves.
 */
#pragma once

#include "tests/sim/sim.h"

#define SIM_HISTORY_MAX 5000 /* events; a watch that resumes further back gets 410 */

struct sim_resource {
	const char *group, *plural, *kind;
	bool namespaced;
	bool built_in; /* rendered from the world, not kept as objects */
};
extern const struct sim_resource sim_resources[];
const struct sim_resource *sim_resource_find(const char *group, const char *plural);

struct sim_object {
	const struct sim_resource *resource;
	json_t *object; /* owned */
	char key[];     /* "group/resource/namespace/name" */
};

struct sim_object *sim_store_get(
	struct sim *sim, const struct sim_resource *r, const char *namespace_, const char *name);
/* Takes the object over: sets resourceVersion, tells the watches. */
void sim_store_put(
	struct sim *sim, const struct sim_resource *r, const char *namespace_, const char *name, json_t *object);
void sim_store_delete(struct sim *sim, struct sim_object *o);
void sim_store_init(struct sim *sim);
void sim_store_free(struct sim *sim);

/* An event of any kind; object is the JSON with kind and apiVersion. */
void sim_tell(struct sim *sim, const struct sim_resource *r, const char *namespace_, const char *name, const char *type,
	const char *object, size_t len);

struct sim_watch {
	const struct sim_resource *resource;
	char version[16];
	char namespace_[SIM_NAME_MAX], name[SIM_NAME_MAX]; /* "": all */
	uint64_t since;
	bool bookmarks;
	int64_t end_ns;
};
/* Serves the request from now on; 410 when it resumes too far back. */
void sim_watch_start(struct sim *sim, struct evhttp_request *req, const struct sim_watch *watch);
void sim_watch_tick(struct sim *sim, int64_t now_ns); /* ends those whose time is over; bookmarks */
void sim_watch_drop(struct sim *sim);                 /* cuts all */
void sim_watch_stale(struct sim *sim, bool stale);    /* faults.stale, and what had been held back once it ends */

/* The object as a list or a watch shows it, in the version asked for. */
void sim_dump(json_t *object, const struct sim_resource *r, const char *version, bool typed, struct km_buf *out);
/* "autoscaling/v2", "v1" */
void sim_api_version(const struct sim_resource *r, const char *version, char out[64]);
