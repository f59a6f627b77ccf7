/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images that were resolved, those used last first.  The first DAEMON_OPEN_MAX that nobody
 * uses at the moment stay open.  Of those that were closed is remembered what is in them, so
 * that a digest still leads to its image.
 *
 *	closed --daemon_image_get()--> opening --> open, with users
 *	   ^                       |              |
 *	   +------ failure --------+              |
 *	   +--------------- shrink() -------------+ without users
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/archive/archive.h"
#include "fetch/cache/cache.h"
#include "fetch/cancel.h"
#include "fetch/daemon/internal.h"
#include "model/cleanup.h"
#include "model/image.h"

CLEANUP_POINTER(sourcep, struct source, source_free)

/* ---- the list, under lock ---------------------------------------------------------------- */

static void contents_release(struct daemon_contents *contents)
{
	free(contents->media_type);
	free(contents->blobs);
}

static void image_free(struct daemon_image *image)
{
	source_free(image->inner);
	contents_release(&image->contents);
	free(image);
}

static void move_to_front(struct daemon *daemon, struct daemon_image *image)
{
	struct daemon_image **at = &daemon->images;

	while (*at && *at != image)
		at = &(*at)->next;
	if (*at)
		*at = image->next;
	image->next = daemon->images;
	daemon->images = image;
}

static struct daemon_image *find(struct daemon *daemon, const struct digest *id)
{
	struct daemon_image *image = daemon->images;

	while (image && !digest_equal(&image->id, id))
		image = image->next;
	return image;
}

static struct daemon_image *find_or_add(struct daemon *daemon, const struct digest *id)
{
	struct daemon_image *image = find(daemon, id);

	if (!image) {
		image = calloc(1, sizeof *image);
		if (!image)
			return NULL;
		image->id = *id;
	}
	move_to_front(daemon, image);
	return image;
}

/* Closes, and forgets, what is beyond the bounds and not used. */
static void shrink(struct daemon *daemon)
{
	size_t open = 0, known = 0;

	for (struct daemon_image **at = &daemon->images; *at;) {
		struct daemon_image *image = *at;

		open += image->inner != NULL;
		known++;
		if (open > DAEMON_OPEN_MAX && image->inner && !image->users) {
			source_free(TAKE(image->inner));
			open--;
		}
		if (known > DAEMON_KNOWN_MAX && !image->users) {
			*at = image->next;
			image_free(image);
			known--;
		} else {
			at = &image->next;
		}
	}
}

/* ---- opening ----------------------------------------------------------------------------- */

static int open_archive(struct daemon *daemon, struct reader *archive, struct source **ret,
	struct cancel *cancel, struct error *err)
{
	struct bundle *bundle = NULL;
	int rc = bundle_open_reader(
		&bundle, archive, "archive of the engine", daemon->observer, cancel, err);

	return rc ? rc : docker_archive_open(ret, bundle, daemon->observer, cancel, err);
}

/* Asked for by its id, an image comes without names. */
static int find_nameless(
	struct source *inner, struct digest *ret, struct cancel *cancel, struct error *err)
{
	struct name_list list = { NULL, 0 };
	int rc = inner->ops->untagged(inner, "", &list, cancel, err);

	if (!rc && !list.count)
		rc = error_set(err, ENOENT, "holds no image");
	if (!rc)
		rc = digest_parse(ret, list.names[0], err);
	name_list_release(&list);
	return rc;
}

/* But some engines give it all its names. */
static int find_named(
	struct source *inner, struct digest *ret, struct cancel *cancel, struct error *err)
{
	struct name_list repositories = { NULL, 0 }, tags = { NULL, 0 };
	struct descriptor found = { .media_type = NULL };
	int rc = inner->ops->repositories(inner, &repositories, cancel, err);

	if (!rc && repositories.count)
		rc = inner->ops->tags(inner, repositories.names[0], &tags, cancel, err);
	if (!rc && !tags.count)
		rc = error_set(err, EIO, "holds no image");
	if (!rc)
		rc = inner->ops->resolve(
			inner, repositories.names[0], tags.names[0], &found, cancel, err);
	*ret = found.digest;
	descriptor_release(&found);
	name_list_release(&repositories);
	name_list_release(&tags);
	return rc;
}

static int take_blobs(
	struct daemon_contents *contents, const struct image *image, struct error *err)
{
	contents->blobs = calloc(image->layer_count + 1, sizeof *contents->blobs);
	if (!contents->blobs)
		return error_set(err, ENOMEM, "out of memory");
	contents->blobs[contents->blob_count++] = image->config.digest;
	for (size_t i = 0; i < image->layer_count; i++)
		contents->blobs[contents->blob_count++] = image->layers[i].digest;
	return 0;
}

static int list_blobs(struct daemon_contents *contents, const struct buf *body, struct error *err)
{
	struct image image = { .layers = NULL };
	enum document_kind kind;
	int rc = document_kind(&kind, contents->media_type, body->data, body->len, err);

	if (!rc)
		rc = image_parse(&image, kind, body->data, body->len, err);
	if (!rc && kind != DOCUMENT_V1)
		rc = take_blobs(contents, &image, err);
	image_release(&image);
	return rc;
}

static int examine(
	struct source *inner, struct daemon_contents *ret, struct cancel *cancel, struct error *err)
{
	CLEANUP(buf_release) struct buf body = { .max = DOCUMENT_MAX };
	int rc = find_nameless(inner, &ret->manifest, cancel, err);

	if (rc == -ENOENT)
		rc = find_named(inner, &ret->manifest, cancel, err);
	if (!rc)
		rc = inner->ops->manifest(
			inner, "", &ret->manifest, &body, &ret->media_type, cancel, err);
	ret->size = body.len;
	return rc ? rc : list_blobs(ret, &body, err);
}

/* What is opened for an image, before others see it. */
struct opening {
	struct source *inner;
	struct daemon_contents contents;
	struct digest kept; /* the archive as a blob of the cache; not set: it is none */
};

static void opening_release(struct opening *opening)
{
	source_free(opening->inner);
	contents_release(&opening->contents);
	*opening = (struct opening){ 0 };
}

static int try_open(struct daemon *daemon, const struct digest *id, struct opening *ret,
	struct cancel *cancel, struct error *err)
{
	CLEANUP(readerp) struct reader *archive = NULL;
	int rc = saved_open(daemon, id, &archive, &ret->kept, cancel, err);

	if (!rc)
		rc = open_archive(daemon, archive, &ret->inner, cancel, err);
	return rc ? rc : examine(ret->inner, &ret->contents, cancel, err);
}

/* A kept archive that cannot be read is dropped, and the engine asked for another one. */
static int open_image(struct daemon *daemon, const struct digest *id, struct opening *ret,
	struct cancel *cancel, struct error *err)
{
	int rc = try_open(daemon, id, ret, cancel, err);

	if (!rc || rc == -EINTR || rc == -ENOMEM || !digest_is_set(&ret->kept))
		return rc;
	cache_drop(daemon->cache, CACHE_BLOB, &ret->kept);
	opening_release(ret);
	return try_open(daemon, id, ret, cancel, err);
}

struct waiter {
	struct daemon *daemon;
	bool is_cancelled; /* under daemon->lock */
};

static void wake(void *context)
{
	struct waiter *waiter = context;

	(void)pthread_mutex_lock(&waiter->daemon->lock);
	waiter->is_cancelled = true;
	(void)pthread_cond_broadcast(&waiter->daemon->changed);
	(void)pthread_mutex_unlock(&waiter->daemon->lock);
}

/* Until nobody else opens it; it is ours to open, then, if it is not open. */
static int await_turn(struct daemon *daemon, struct daemon_image *image, struct cancel *cancel,
	bool *ret_is_open, struct error *err)
{
	struct waiter waiter = { .daemon = daemon };

	if (!cancel_watch(cancel, wake, &waiter))
		return error_set(err, EINTR, "interrupted");
	(void)pthread_mutex_lock(&daemon->lock);
	while (image->is_opening && !waiter.is_cancelled)
		(void)pthread_cond_wait(&daemon->changed, &daemon->lock);
	*ret_is_open = image->inner;
	if (!waiter.is_cancelled && !image->inner)
		image->is_opening = true;
	(void)pthread_mutex_unlock(&daemon->lock);
	cancel_unwatch(cancel);
	return waiter.is_cancelled ? error_set(err, EINTR, "interrupted") : 0;
}

static int open_in_turn(
	struct daemon *daemon, struct daemon_image *image, struct cancel *cancel, struct error *err)
{
	CLEANUP(opening_release) struct opening opening = { 0 };
	bool is_open = false;
	int rc = await_turn(daemon, image, cancel, &is_open, err);

	if (rc || is_open)
		return rc;
	rc = open_image(daemon, &image->id, &opening, cancel, err);
	(void)pthread_mutex_lock(&daemon->lock);
	image->is_opening = false;
	if (!rc) {
		image->inner = TAKE(opening.inner);
		if (!digest_is_set(&image->contents.manifest)) {
			image->contents = opening.contents;
			opening.contents = (struct daemon_contents){ 0 };
		}
	}
	(void)pthread_cond_broadcast(&daemon->changed);
	(void)pthread_mutex_unlock(&daemon->lock);
	return rc;
}

void daemon_image_put(struct daemon *daemon, struct daemon_image *image)
{
	(void)pthread_mutex_lock(&daemon->lock);
	image->users--;
	shrink(daemon);
	(void)pthread_mutex_unlock(&daemon->lock);
}

/* The image has been given a user. */
static int open_used(struct daemon *daemon, struct daemon_image *image, struct daemon_image **ret,
	struct cancel *cancel, struct error *err)
{
	int rc = open_in_turn(daemon, image, cancel, err);

	if (rc) {
		daemon_image_put(daemon, image);
		return rc;
	}
	*ret = image;
	return 0;
}

int daemon_image_get(struct daemon *daemon, const struct digest *id, struct daemon_image **ret,
	struct cancel *cancel, struct error *err)
{
	struct daemon_image *image;

	(void)pthread_mutex_lock(&daemon->lock);
	image = find_or_add(daemon, id);
	if (image)
		image->users++;
	(void)pthread_mutex_unlock(&daemon->lock);
	return image ? open_used(daemon, image, ret, cancel, err)
		     : error_set(err, ENOMEM, "out of memory");
}

/* ---- by what is in them ------------------------------------------------------------------ */

static bool has_manifest(const struct daemon_image *image, const struct digest *digest)
{
	return digest_equal(&image->contents.manifest, digest);
}

static bool has_blob(const struct daemon_image *image, const struct digest *digest)
{
	for (size_t i = 0; i < image->contents.blob_count; i++)
		if (digest_equal(&image->contents.blobs[i], digest))
			return true;
	return false;
}

/* One that is open, if there is one. */
static int get_by(struct daemon *daemon,
	bool (*has)(const struct daemon_image *, const struct digest *),
	const struct digest *digest, struct daemon_image **ret, struct cancel *cancel,
	struct error *err)
{
	struct daemon_image *found = NULL;
	char text[DIGEST_TEXT_MAX];

	(void)pthread_mutex_lock(&daemon->lock);
	for (struct daemon_image *image = daemon->images; image; image = image->next)
		if ((!found || (image->inner && !found->inner)) && has(image, digest))
			found = image;
	if (found) {
		found->users++;
		move_to_front(daemon, found);
	}
	(void)pthread_mutex_unlock(&daemon->lock);
	return found ? open_used(daemon, found, ret, cancel, err)
		     : error_set(err, ENOENT, "'%s': no image with %s was resolved", daemon->socket,
			       digest_format(digest, text));
}

int daemon_image_get_by_manifest(struct daemon *daemon, const struct digest *manifest,
	struct daemon_image **ret, struct cancel *cancel, struct error *err)
{
	return get_by(daemon, has_manifest, manifest, ret, cancel, err);
}

int daemon_image_get_by_blob(struct daemon *daemon, const struct digest *blob,
	struct daemon_image **ret, struct cancel *cancel, struct error *err)
{
	return get_by(daemon, has_blob, blob, ret, cancel, err);
}

size_t daemon_images_get_v1(struct daemon *daemon, struct daemon_image **ret, size_t max)
{
	size_t count = 0;

	(void)pthread_mutex_lock(&daemon->lock);
	for (struct daemon_image *image = daemon->images; image && count < max;
		image = image->next) {
		if (!image->inner || image->contents.blob_count)
			continue;
		image->users++;
		ret[count++] = image;
	}
	(void)pthread_mutex_unlock(&daemon->lock);
	return count;
}

void daemon_images_free(struct daemon *daemon)
{
	for (struct daemon_image *image = daemon->images, *next; image; image = next) {
		next = image->next;
		image_free(image);
	}
}
