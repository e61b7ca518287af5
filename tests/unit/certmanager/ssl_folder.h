/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A throw-away ssl folder with the names of a real one, and the keeper_paths that point into it. RSA keys are slow to
 * make: a filled folder gets copies of one set made per program.
 */
#pragma once

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certmanager/keeper.h"
#include "core/file.h"
#include "tests/unit/support/check.h"

enum ssl_file { FP_CA, FP_CA_KEY, FP, FP_KEY, SERVING_CA, SERVING_CA_KEY, SSL_MADE, CA = SSL_MADE, CA_KEY, SSL_FILES };

static const char *const ssl_names[SSL_FILES] = {"front-proxy-ca.pem", "front-proxy-ca-key.pem",
	"front-proxy-client.pem", "front-proxy-client-key.pem", "kmetricsd-ca.pem", "kmetricsd-ca-key.pem", "ca.pem",
	"ca-key.pem"};

struct ssl_folder {
	char dir[64], path[SSL_FILES][128], state_dir[128];
	struct keeper_paths paths;
	/* what was reported, in order */
	enum keeper_outcome outcomes[8];
	char texts[8][KM_ERR_TEXT_MAX];
	size_t n;
	unsigned lie;
};

static _unused_ void ssl_folder_note(
	const char *role, const char *path, enum keeper_outcome outcome, const char *text, void *arg)
{
	struct ssl_folder *f = arg;

	assert_true(f->n < KM_ARRAY_LEN(f->outcomes));
	snprintf(f->texts[f->n], sizeof(f->texts[f->n]), "%s", text);
	f->outcomes[f->n++] = outcome;
}

static _unused_ int ssl_folder_ensure(struct ssl_folder *f, struct km_err *err)
{
	f->n = 0;
	*err = (struct km_err){0};
	return keeper_ensure(&f->paths, ssl_folder_note, f, err);
}

static _unused_ void ssl_folder_write(struct ssl_folder *f, enum ssl_file file, const char *text, mode_t mode)
{
	assert_int_equal(km_file_write_atomic(f->path[file], text, strlen(text), mode, (uid_t)-1, (gid_t)-1, NULL), 0);
}

static _unused_ char *ssl_folder_read(struct ssl_folder *f, const char *name)
{
	char path[160], *text = NULL;
	size_t len;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	assert_int_equal(km_file_read(path, 65536, &text, &len, NULL), 0);
	return text;
}

static _unused_ void ssl_folder_drop(struct ssl_folder *f, const char *name)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	assert_int_equal(unlink(path), 0);
}

static _unused_ void ssl_folder_remove(struct ssl_folder *f)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
	assert_int_equal(system(command), 0);
}

static _unused_ void ssl_folder_drop_state(struct ssl_folder *f)
{
	char command[160];

	snprintf(command, sizeof(command), "rm -rf '%s'", f->state_dir);
	assert_int_equal(system(command), 0);
}

static void ssl_folder_empty(struct ssl_folder *f)
{
	*f = (struct ssl_folder){.dir = "/tmp/kmetricsd-test-ssl.XXXXXX"};
	assert_non_null(mkdtemp(f->dir));
	for (size_t i = 0; i < SSL_FILES; i++)
		snprintf(f->path[i], sizeof(f->path[i]), "%s/%s", f->dir, ssl_names[i]);
	snprintf(f->state_dir, sizeof(f->state_dir), "%s/state", f->dir);
	f->paths = (struct keeper_paths){
		.ssl_dir = f->dir,
		.front_proxy_ca_cert = f->path[FP_CA],
		.front_proxy_ca_key = f->path[FP_CA_KEY],
		.front_proxy_client_cert = f->path[FP],
		.front_proxy_client_key = f->path[FP_KEY],
		.front_proxy_client_cn = "aggregator",
		.serving_ca_cert = f->path[SERVING_CA],
		.serving_ca_key = f->path[SERVING_CA_KEY],
		.cluster_ca_cert = f->path[CA],
		.cluster_ca_key = f->path[CA_KEY],
	};
}

static char *ssl_made[SSL_MADE];

/* What is in this folder is what filled ones get from now on. */
static _unused_ void ssl_folder_keep(struct ssl_folder *f)
{
	for (enum ssl_file i = 0; i < SSL_MADE && !ssl_made[i]; i++)
		ssl_made[i] = ssl_folder_read(f, ssl_names[i]);
}

/* With what the keeper makes in it, when filled; the cluster CA never is. */
static _unused_ void ssl_folder_make(struct ssl_folder *f, bool filled)
{
	struct km_err err = {0};

	ssl_folder_empty(f);
	if (!filled)
		return;
	if (ssl_made[0]) {
		for (enum ssl_file i = 0; i < SSL_MADE; i++)
			ssl_folder_write(f, i, ssl_made[i], i % 2 ? 0600 : 0644);
		return;
	}
	if (ssl_folder_ensure(f, &err) != 0)
		fail_msg("%s", err.text);
	ssl_folder_keep(f);
}
