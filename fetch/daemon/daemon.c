/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/daemon/daemon.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/daemon/internal.h"
#include "fetch/reader.h"
#include "model/cleanup.h"

enum {
	CONNECT_TIMEOUT_MS = 10000,
	/* An engine writes the whole archive somewhere before it sends the first byte. */
	STALL_TIMEOUT_MS = 600000,
	CONNECTIONS_MAX = 4,
};

static struct daemon *daemon_of(struct source *source)
{
	assert(source->kind == SOURCE_DAEMON);
	return container_of(source, struct daemon, base);
}

/* ---- names ------------------------------------------------------------------------------ */

static int repositories(
	struct source *source, struct name_list *ret, struct cancel *cancel, struct error *err)
{
	struct daemon_names names = { NULL, 0 };
	struct name_list list = { NULL, 0 };
	int rc = daemon_names_fetch(daemon_of(source), &names, cancel, err);

	for (size_t i = 0; !rc && i < names.count; i++)
		rc = name_list_add(&list, names.items[i].repository, err);
	daemon_names_release(&names);
	if (rc) {
		name_list_release(&list);
		return rc;
	}
	name_list_sort(&list);
	*ret = list;
	return 0;
}

static int no_repository(const struct daemon *daemon, const char *repository, struct error *err)
{
	return error_set(err, ENOENT, "'%s': no image is called '%s'", daemon->socket, repository);
}

static int tags(struct source *source, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err)
{
	struct daemon *daemon = daemon_of(source);
	struct daemon_names names = { NULL, 0 };
	struct name_list list = { NULL, 0 };
	int rc = daemon_names_fetch(daemon, &names, cancel, err);

	for (size_t i = 0; !rc && i < names.count; i++)
		if (!strcmp(names.items[i].repository, repository))
			rc = name_list_add(&list, names.items[i].tag, err);
	daemon_names_release(&names);
	if (!rc && !list.count)
		rc = no_repository(daemon, repository, err);
	if (rc) {
		name_list_release(&list);
		return rc;
	}
	name_list_sort(&list);
	*ret = list;
	return 0;
}

static int find_id(struct daemon *daemon, const char *repository, const char *tag,
	struct digest *ret, struct cancel *cancel, struct error *err)
{
	struct daemon_names names = { NULL, 0 };
	int rc = daemon_names_fetch(daemon, &names, cancel, err);

	if (rc)
		return rc;
	rc = -ENOENT;
	for (size_t i = 0; rc && i < names.count; i++) {
		const struct daemon_name *name = &names.items[i];

		if (strcmp(name->repository, repository) != 0 || strcmp(name->tag, tag) != 0)
			continue;
		*ret = name->id;
		rc = 0;
	}
	daemon_names_release(&names);
	return rc ? error_set(err, ENOENT, "'%s': no image is called '%s:%s'", daemon->socket,
			    repository, tag)
		  : 0;
}

/* ---- images ----------------------------------------------------------------------------- */

static int resolve(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err)
{
	struct daemon *daemon = daemon_of(source);
	struct daemon_image *image;
	struct descriptor found = { .media_type = NULL };
	struct digest id;
	int rc = find_id(daemon, repository, tag, &id, cancel, err);

	if (!rc)
		rc = daemon_image_get(daemon, &id, &image, cancel, err);
	if (rc)
		return rc;
	found.media_type = strdup(image->contents.media_type);
	found.digest = image->contents.manifest;
	found.size = image->contents.size;
	daemon_image_put(daemon, image);
	if (!found.media_type)
		return error_set(err, ENOMEM, "out of memory");
	*ret = found;
	return 0;
}

static int manifest(struct source *source, const char *repository, const struct digest *digest,
	struct buf *body, char **ret_type, struct cancel *cancel, struct error *err)
{
	struct daemon *daemon = daemon_of(source);
	struct daemon_image *image;
	int rc = daemon_image_get_by_manifest(daemon, digest, &image, cancel, err);

	if (rc)
		return rc;
	rc = image->inner->ops->manifest(
		image->inner, repository, digest, body, ret_type, cancel, err);
	daemon_image_put(daemon, image);
	return rc;
}

static int open_reader(struct source *source, const struct digest *digest, struct reader **ret,
	struct cancel *cancel, struct error *err)
{
	struct daemon *daemon = daemon_of(source);
	struct daemon_image *images[DAEMON_OPEN_MAX];
	size_t count = 1;
	int rc = daemon_image_get_by_blob(daemon, digest, &images[0], cancel, err);

	if (rc == -ENOENT)
		count = daemon_images_get_v1(daemon, images, ARRAY_SIZE(images));
	else if (rc)
		return rc;
	else
		rc = -ENOENT;
	for (size_t i = 0; i < count; i++) {
		struct source *inner = images[i]->inner;

		if (rc == -ENOENT)
			rc = inner->ops->open_reader(inner, digest, ret, cancel, err);
		daemon_image_put(daemon, images[i]);
	}
	return rc;
}

static int open_blob(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, struct blob_stream **ret, uint64_t *ret_offset, struct cancel *cancel,
	struct error *err)
{
	CLEANUP(readerp) struct reader *reader = NULL;
	int rc = open_reader(source, &blob->digest, &reader, cancel, err);

	(void)repository; /* images are common to all */
	if (!rc)
		rc = reader_stream(ret, reader, offset, cancel, err);
	if (!rc)
		*ret_offset = offset;
	return rc;
}

/* ---- layers of V1 images ---------------------------------------------------------------- */

/* Keeps the image open that the stream below belongs to. */
struct layer_stream {
	struct blob_stream base;
	struct blob_stream *below;
	struct daemon *daemon;
	struct daemon_image *image;
};

static ssize_t layer_read(struct blob_stream *base, void *bytes, size_t len, struct error *err)
{
	struct layer_stream *stream = container_of(base, struct layer_stream, base);

	return stream->below->ops->read(stream->below, bytes, len, err);
}

static void layer_free(struct blob_stream *base)
{
	struct layer_stream *stream = container_of(base, struct layer_stream, base);

	stream->below->ops->free(stream->below);
	daemon_image_put(stream->daemon, stream->image);
	free(stream);
}

static const struct blob_stream_ops layer_stream_ops = { layer_read, layer_free };

/* Takes the user that the image was given, when it succeeds. */
static int open_layer_of(struct daemon *daemon, struct daemon_image *image, const char *layer_id,
	struct blob_stream **ret, struct cancel *cancel, struct error *err)
{
	CLEANUP(freep) struct layer_stream *stream = calloc(1, sizeof *stream);
	struct source *inner = image->inner;
	int rc;

	if (!stream)
		return error_set(err, ENOMEM, "out of memory");
	*stream = (struct layer_stream){ { &layer_stream_ops }, NULL, daemon, image };
	rc = inner->ops->open_layer(inner, "", layer_id, &stream->below, cancel, err);
	if (rc)
		return rc;
	*ret = &TAKE(stream)->base;
	return 0;
}

static int open_layer(struct source *source, const char *repository, const char *layer_id,
	struct blob_stream **ret, struct cancel *cancel, struct error *err)
{
	struct daemon *daemon = daemon_of(source);
	struct daemon_image *images[DAEMON_OPEN_MAX];
	size_t count = daemon_images_get_v1(daemon, images, ARRAY_SIZE(images));
	int rc = error_set(err, ENOENT, "'%s': no image with layer '%.12s' was resolved",
		daemon->socket, layer_id);

	(void)repository;
	for (size_t i = 0; i < count; i++) {
		bool is_next = rc == -ENOENT;

		if (is_next)
			rc = open_layer_of(daemon, images[i], layer_id, ret, cancel, err);
		if (!is_next || rc)
			daemon_image_put(daemon, images[i]);
	}
	return rc;
}

/* ---- the rest --------------------------------------------------------------------------- */

static const char *identity(struct source *source)
{
	(void)source;
	return "";
}

static int probe(
	struct source *source, const char *repository, struct cancel *cancel, struct error *err)
{
	struct daemon *daemon = daemon_of(source);
	struct name_list list = { NULL, 0 };
	int rc = repositories(source, &list, cancel, err);

	if (!rc && repository && !name_list_has(&list, repository))
		rc = no_repository(daemon, repository, err);
	name_list_release(&list);
	return rc;
}

static void daemon_free(struct source *source)
{
	struct daemon *daemon = daemon_of(source);

	daemon_images_free(daemon);
	http_free(daemon->http);
	(void)pthread_cond_destroy(&daemon->changed);
	(void)pthread_mutex_destroy(&daemon->lock);
	free(daemon->socket);
	free(daemon);
}

static const struct source_ops daemon_ops = {
	.repositories = repositories,
	.tags = tags,
	.resolve = resolve,
	.manifest = manifest,
	.open_blob = open_blob,
	.open_reader = open_reader,
	.open_layer = open_layer,
	.identity = identity,
	.probe = probe,
	.free = daemon_free,
};

static int set_up(struct daemon *daemon, const struct daemon_config *config, struct error *err)
{
	struct http_config http = { .connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.stall_timeout_ms = STALL_TIMEOUT_MS,
		.max_connections = CONNECTIONS_MAX };
	int rc = engine_socket(&daemon->socket, config->socket, err);

	if (rc)
		return rc;
	http.unix_socket = daemon->socket;
	return http_new(&daemon->http, &http, daemon->observer, err);
}

int daemon_open(struct source **ret, const struct daemon_config *config, struct observer *observer,
	struct error *err)
{
	struct daemon *daemon = calloc(1, sizeof *daemon);
	int rc;

	if (!daemon)
		return error_set(err, ENOMEM, "out of memory");
	daemon->base = (struct source){ .kind = SOURCE_DAEMON,
		.ops = &daemon_ops,
		.is_local = true,
		.may_wait = true,
		.makes_manifests_from = "the engine's `images/REF/get`" };
	daemon->observer = observer;
	daemon->cache = config->cache;
	(void)pthread_mutex_init(&daemon->lock, NULL); /* neither fails with default attributes */
	(void)pthread_cond_init(&daemon->changed, NULL);
	rc = set_up(daemon, config, err);
	if (rc) {
		daemon_free(&daemon->base);
		return rc;
	}
	*ret = &daemon->base;
	return 0;
}
