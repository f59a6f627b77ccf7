/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/registry_v1/registry_v1.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fetch/observer.h"
#include "fetch/registry_v1/internal.h"
#include "model/cleanup.h"

struct registry_v1 *registry_v1_of(struct source *source)
{
	assert(source->kind == SOURCE_REGISTRY_V1);
	return container_of(source, struct registry_v1, registry.base);
}

/* It has the form of a sha256, which it is not. */
bool v1_id_is_valid(const char *id)
{
	struct digest ignored;

	return !digest_parse_parts(&ignored, "sha256", id, NULL);
}

static int repositories(
	struct source *source, struct name_list *ret, struct cancel *cancel, struct error *err)
{
	(void)ret, (void)cancel;
	return error_set(err, EOPNOTSUPP, "%s: registries of the V1 protocol have no catalogue",
		registry_v1_of(source)->registry.name);
}

static int probe_repository(
	struct source *source, const char *repository, struct cancel *cancel, struct error *err)
{
	struct name_list ignored = { NULL, 0 };
	int rc = v1_tags(source, repository, &ignored, cancel, err);

	name_list_release(&ignored);
	return rc;
}

/* What the identity may list it may read: layers have no access rules of their own.  But which
 * are in a repository shows by their ids; of a digest alone nobody here knows. */
static int prove(struct source *source, const char *repository, const struct descriptor *blob,
	struct cancel *cancel, struct error *err)
{
	char text[DIGEST_TEXT_MAX];

	if (!blob->layer_id)
		return error_set(err, ENOENT, "%s: '%s': no layer is known to be %s",
			registry_v1_of(source)->registry.name, repository,
			digest_format(&blob->digest, text));
	return v1_was_proven(registry_v1_of(source), repository)
		       ? 0
		       : probe_repository(source, repository, cancel, err);
}

static const char *identity(struct source *source)
{
	return registry_v1_of(source)->registry.identity;
}

/* Trees of plain files have no _ping; whether there is more shows with a repository. */
static int probe(
	struct source *source, const char *repository, struct cancel *cancel, struct error *err)
{
	struct registry_v1 *v1 = registry_v1_of(source);
	enum v1_mode mode;
	int rc;

	if (repository)
		return probe_repository(source, repository, cancel, err);
	rc = v1_ping(v1, &mode, cancel, err);
	if (!rc && mode == V1_MODE_UNSURE)
		observer_log(v1->registry.observer, LOG_LEVEL_WARNING,
			"%s: does not say that it speaks V1", v1->registry.name);
	return rc;
}

static void free_source(struct source *source)
{
	struct registry_v1 *v1 = registry_v1_of(source);

	registry_tear_down(&v1->registry);
	v1_sessions_free(v1);
	v1_documents_free(v1);
	(void)pthread_mutex_destroy(&v1->lock);
	free(v1);
}

static const struct source_ops ops = {
	.repositories = repositories,
	.tags = v1_tags,
	.resolve = v1_resolve,
	.manifest = v1_manifest,
	.open_blob = v1_open_blob,
	.open_layer = v1_open_layer,
	.prove = prove,
	.identity = identity,
	.probe = probe,
	.free = free_source,
};

int registry_v1_open(struct source **ret, const struct registry_config *config,
	struct observer *observer, struct error *err)
{
	struct registry_config with_cookies = *config;
	struct registry_v1 *v1 = calloc(1, sizeof *v1);
	int rc;

	if (!v1)
		return error_set(err, ENOMEM, "out of memory");
	with_cookies.http.keeps_cookies = true;
	v1->registry.base = (struct source){ .kind = SOURCE_REGISTRY_V1,
		.ops = &ops,
		.makes_manifests_from = "V1 images of the registry" };
	(void)pthread_mutex_init(&v1->lock, NULL); /* cannot fail with default attributes */
	rc = registry_set_up(&v1->registry, &with_cookies, config->host, observer, err);
	if (rc) {
		free_source(&v1->registry.base);
		return rc;
	}
	auth_use_basic(v1->registry.auth);
	*ret = &v1->registry.base;
	return 0;
}
