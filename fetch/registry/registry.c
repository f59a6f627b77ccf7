/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening, closing, probing; the rest of the operations have files of their
 * own.  Names from outside become part of a URL only after the grammar's
 * predicates have let them pass, digests only from their parsed form.
 */
#include "fetch/registry/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"

#define HUB      "docker.io"
#define HUB_HOST "registry-1.docker.io"

struct registry *registry_of(struct source *source)
{
	assert(source->kind == SOURCE_REGISTRY);
	return container_of(source, struct registry, base);
}

static const char *registry_identity(struct source *source)
{
	return registry_of(source)->identity;
}

/* Without credentials, a registry that sends for a token is there: whether one helps
 * depends on the repository. */
static bool is_there(struct registry *registry, const struct call *call, long status)
{
	return status == 200 ||
	       (status == 401 && !call->repository && !auth_has_credentials(registry->auth, NULL));
}

/* The API's root may say anything to programs ("{}", "true", nothing at all), but no page is meant
 * for them. */
static int check_root(const struct buf *body, struct error *err)
{
	size_t blanks = 0;

	while (blanks < body->len && strchr(" \t\r\n", body->data[blanks]))
		blanks++;
	return blanks < body->len && body->data[blanks] == '<'
		       ? error_set(err, EIO, "a page for people")
		       : 0;
}

static int take_probe(struct registry *registry, const struct call *call,
	struct http_transfer *transfer, const struct buf *body, struct error *err)
{
	struct error why = { "" };
	long status = http_response(transfer)->status;

	if (!is_there(registry, call, status))
		return registry_refused(registry, call, transfer, body, err);
	if (call->repository ? registry_check_list(body, "tags", &why)
			     : status == 200 && check_root(body, &why))
		return registry_mistaken(registry, call, transfer, body,
			call->repository ? "a list of tags" : "an API", &why, err);
	return 0;
}

static int probe(struct registry *registry, const struct call *call, struct cancel *cancel,
	struct error *err)
{
	CLEANUP(buf_release) struct buf body = { .max = LIST_BYTES_MAX };
	struct http_transfer *transfer = NULL;
	int rc;

	rc = registry_call(registry, call, &body, &transfer, cancel, err);
	if (rc)
		return rc;
	rc = take_probe(registry, call, transfer, &body, err);
	http_close(transfer);
	return rc;
}

/* A list of tags tells unknown from forbidden, and is counted as a pull by nobody. */
static int registry_probe(
	struct source *source, const char *repository, struct cancel *cancel, struct error *err)
{
	struct registry *registry = registry_of(source);
	char path[REPOSITORY_MAX + 32], subject[REPOSITORY_MAX + 32];
	struct call call = { .repository = repository, .path = path, .subject = subject };

	if (!repository) {
		call.path = "/v2/";
		call.subject = "V2 API";
		return probe(registry, &call, cancel, err);
	}
	if (!repository_is_valid(repository))
		return error_set(err, ENOENT, "not a repository");
	(void)snprintf(path, sizeof path, "/v2/%s/tags/list?n=1", repository);
	(void)snprintf(subject, sizeof subject, "repository '%s'", repository);
	return probe(registry, &call, cancel, err);
}

static void registry_free(struct source *source)
{
	struct registry *registry = registry_of(source);

	registry_tear_down(registry);
	free(registry);
}

static const struct source_ops registry_ops = {
	.repositories = registry_repositories,
	.tags = registry_tags,
	.resolve = registry_resolve,
	.resolve_to_read = registry_resolve_to_read,
	.manifest = registry_manifest,
	.open_blob = registry_open_blob,
	.open_range = registry_open_range,
	.referrers = registry_referrers,
	.prove = registry_prove,
	.identity = registry_identity,
	.probe = registry_probe,
	.free = registry_free,
};

int registry_open(struct source **ret, const struct registry_config *config,
	struct observer *observer, struct error *err)
{
	const char *host = strcmp(config->host, HUB) ? config->host : HUB_HOST;
	struct registry *registry = calloc(1, sizeof *registry);
	int rc;

	if (!registry)
		return error_set(err, ENOMEM, "out of memory");
	registry->base = (struct source){ .kind = SOURCE_REGISTRY, .ops = &registry_ops };
	rc = registry_set_up(registry, config, host, observer, err);
	if (rc) {
		registry_free(&registry->base);
		return rc;
	}
	*ret = &registry->base;
	return 0;
}
