/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is made is not kept but for its digest: a manifest asked for by digest
 * is made again, from what is remembered of the members, so that an archive of many
 * long chains costs no more memory than its lists.
 */
#include "fetch/archive/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/cancel.h"
#include "fetch/observer.h"
#include "model/cleanup.h"
#include "model/image.h"
#include "model/reference.h"

static struct archive *archive_of(struct source *source)
{
	assert(source->kind == SOURCE_DOCKER_ARCHIVE);
	return container_of(source, struct archive, base);
}

static int prefix(struct archive *archive, int rc, struct error *err)
{
	return error_prefix(err, rc, "archive '%s'", bundle_name(archive->bundle));
}

/* --- images and names --- */

/* The array with room for one more (which it gets at powers of two), or NULL. */
static void *grow(void *array, size_t count, size_t size)
{
	return count & (count - 1) ? array : reallocarray(array, count ? count * 2 : 1, size);
}

int archive_add_image(
	struct archive *archive, const struct archive_image *image, size_t *ret, struct error *err)
{
	struct archive_image *images =
		grow(archive->images, archive->image_count, sizeof *archive->images);

	if (!images)
		return error_set(err, ENOMEM, "out of memory");
	archive->images = images;
	*ret = archive->image_count;
	images[archive->image_count++] = *image;
	return 0;
}

int archive_image_break(
	struct archive_image *image, int rc, const struct error *why, struct error *err)
{
	if (!rc)
		return 0;
	image->rc = rc;
	image->why = strdup(why->text);
	return rc != -ENOMEM && image->why ? 0 : error_set(err, ENOMEM, "out of memory");
}

void archive_image_release(struct archive_image *image)
{
	free(image->config);
	for (size_t i = 0; i < image->layer_count; i++)
		free(image->layers[i]);
	free(image->layers);
	for (size_t i = 0; i < image->foreign_count; i++)
		descriptor_release(&image->foreign[i].descriptor);
	free(image->foreign);
	free(image->why);
	*image = (struct archive_image){ 0 };
}

int archive_add_name(struct archive *archive, const char *repository, size_t repository_len,
	const char *tag, size_t image, struct error *err)
{
	struct archive_name name = { .image = image };
	struct archive_name *names;

	if (!*tag || !name_has_components(repository, repository_len)) {
		observer_log(archive->observer, LOG_LEVEL_WARNING, "%s: '%.*s:%s' is no name",
			bundle_name(archive->bundle), (int)repository_len, repository, tag);
		return 0;
	}
	names = grow(archive->names, archive->name_count, sizeof *archive->names);
	if (!names)
		return error_set(err, ENOMEM, "out of memory");
	archive->names = names;
	name.repository = strndup(repository, repository_len);
	name.tag = strdup(tag);
	names[archive->name_count++] = name; /* freed with the others */
	archive->images[image].has_name = true;
	return name.repository && name.tag ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int compare_name(const struct archive_name *name, const char *repository, const char *tag)
{
	int order = strcmp(name->repository, repository);

	return order ? order : strcmp(name->tag, tag);
}

/* Images have their numbers in order of appearance. */
static int by_name(const void *a, const void *b)
{
	const struct archive_name *x = a, *y = b;
	int order = compare_name(x, y->repository, y->tag);

	return order ? order : (x->image > y->image) - (x->image < y->image);
}

static void sort_names(struct archive *archive)
{
	struct archive_name *names = archive->names;

	if (!archive->name_count)
		return;
	qsort(names, archive->name_count, sizeof *names, by_name);
	for (size_t i = archive->name_count - 1; i-- > 0;) {
		const struct archive_name *next = &names[i + 1];

		names[i].is_lost = !compare_name(&names[i], next->repository, next->tag) &&
				   (names[i].image != next->image || next->is_lost);
	}
}

/* The first name that does not come before this one; those of a repository follow its tag "". */
static size_t first_name(const struct archive *archive, const char *repository, const char *tag)
{
	size_t low = 0, high = archive->name_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_name(&archive->names[middle], repository, tag) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_in_repository(const struct archive *archive, size_t i, const char *repository)
{
	return i < archive->name_count && !strcmp(archive->names[i].repository, repository);
}

static bool has_nameless(const struct archive *archive)
{
	for (size_t i = 0; i < archive->image_count; i++)
		if (!archive->images[i].has_name)
			return true;
	return false;
}

/* --- making --- */

/* A failure that says nothing about the image. */
static bool is_passing(int rc)
{
	return rc == -EINTR || rc == -ENOMEM;
}

static int make(struct archive *archive, const struct archive_image *image, struct buf *ret,
	struct cancel *cancel, struct error *err)
{
	if (image->rc)
		return error_set(err, -image->rc, "%s", image->why);
	return archive->is_v1 ? archive_v1_make(archive, image, ret, cancel, err)
			      : archive_saved_make(archive, image, ret, cancel, err);
}

/* Makes its manifest, if that was not done, and tells its digest and size. */
static int examine(struct archive *archive, struct archive_image *image, struct digest *ret,
	uint64_t *ret_size, struct cancel *cancel, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { 0 };
	int rc;

	(void)pthread_mutex_lock(&archive->lock);
	*ret = image->digest;
	*ret_size = image->size;
	(void)pthread_mutex_unlock(&archive->lock);
	if (digest_is_set(ret))
		return 0;
	buf_init(&text, DOCUMENT_MAX);
	rc = make(archive, image, &text, cancel, err);
	if (!rc)
		rc = digest_of(ret, DIGEST_SHA256, text.data, text.len, err);
	*ret_size = text.len;
	(void)pthread_mutex_lock(&archive->lock);
	image->was_tried = !is_passing(rc);
	if (!rc) {
		image->digest = *ret;
		image->size = *ret_size;
	}
	(void)pthread_mutex_unlock(&archive->lock);
	return rc;
}

/* Examines all images that were not; one that fails is passed over. */
static int examine_all(struct archive *archive, struct cancel *cancel, struct error *err)
{
	for (size_t i = 0; i < archive->image_count; i++) {
		struct archive_image *image = &archive->images[i];
		struct digest digest;
		uint64_t size;
		bool was_tried;
		int rc = 0;

		(void)pthread_mutex_lock(&archive->lock);
		was_tried = image->was_tried;
		(void)pthread_mutex_unlock(&archive->lock);
		if (!was_tried)
			rc = examine(archive, image, &digest, &size, cancel, err);
		if (is_passing(rc))
			return rc;
	}
	return 0;
}

static struct archive_image *known_image(struct archive *archive, const struct digest *digest)
{
	struct archive_image *found = NULL;

	(void)pthread_mutex_lock(&archive->lock);
	for (size_t i = 0; !found && i < archive->image_count; i++)
		if (digest_equal(&archive->images[i].digest, digest))
			found = &archive->images[i];
	(void)pthread_mutex_unlock(&archive->lock);
	return found;
}

static int find_image(struct archive *archive, const struct digest *digest,
	struct archive_image **ret, struct cancel *cancel, struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	int rc = 0;

	*ret = known_image(archive, digest);
	if (*ret)
		return 0;
	rc = examine_all(archive, cancel, err);
	if (rc)
		return rc;
	*ret = known_image(archive, digest);
	return *ret ? 0 : error_set(err, ENOENT, "no manifest %s", digest_format(digest, text));
}

static const char *manifest_type(const struct archive *archive)
{
	return document_media_type(archive->is_v1 ? DOCUMENT_V1 : DOCUMENT_SCHEMA2);
}

/* --- source_ops --- */

static int no_repository(struct archive *archive, const char *repository, struct error *err)
{
	return error_set(err, ENOENT, "archive '%s': no repository '%s'",
		bundle_name(archive->bundle), repository);
}

static int give_list(struct name_list *list, struct name_list *ret, int rc)
{
	if (rc) {
		name_list_release(list);
		return rc;
	}
	name_list_sort(list);
	*ret = *list;
	return 0;
}

static int repositories(
	struct source *source, struct name_list *ret, struct cancel *cancel, struct error *err)
{
	struct archive *archive = archive_of(source);
	struct name_list list = { NULL, 0 };
	int rc = has_nameless(archive) ? name_list_add(&list, "", err) : 0;

	(void)cancel;
	for (size_t i = 0; !rc && i < archive->name_count; i++)
		if (!i || strcmp(archive->names[i - 1].repository, archive->names[i].repository))
			rc = name_list_add(&list, archive->names[i].repository, err);
	return give_list(&list, ret, rc);
}

static bool has_repository(const struct archive *archive, const char *repository)
{
	if (!*repository)
		return archive->base.is_single_repository || has_nameless(archive);
	return is_in_repository(archive, first_name(archive, repository, ""), repository);
}

static int tags(struct source *source, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err)
{
	struct archive *archive = archive_of(source);
	struct name_list list = { NULL, 0 };
	int rc = 0;

	(void)cancel;
	if (!has_repository(archive, repository))
		return no_repository(archive, repository, err);
	for (size_t i = first_name(archive, repository, "");
		!rc && is_in_repository(archive, i, repository); i++)
		rc = name_list_add(&list, archive->names[i].tag, err);
	return give_list(&list, ret, rc);
}

/* A broken image has no digest to be listed by. */
static int add_untagged(struct archive *archive, size_t number, struct name_list *list,
	struct cancel *cancel, struct error *err)
{
	struct error why = { "" };
	char text[DIGEST_TEXT_MAX];
	struct digest digest;
	uint64_t size;
	int rc = examine(archive, &archive->images[number], &digest, &size, cancel, &why);

	if (is_passing(rc))
		return error_set(err, -rc, "%s", why.text);
	if (!rc)
		return name_list_add(list, digest_format(&digest, text), err);
	observer_log(archive->observer, LOG_LEVEL_WARNING, "%s: image %zu left out: %s",
		bundle_name(archive->bundle), number, why.text);
	return 0;
}

static int untagged(struct source *source, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err)
{
	struct archive *archive = archive_of(source);
	struct name_list list = { NULL, 0 };
	int rc = 0;

	if (!has_repository(archive, repository))
		return no_repository(archive, repository, err);
	for (size_t i = first_name(archive, repository, "");
		!rc && is_in_repository(archive, i, repository); i++)
		if (archive->names[i].is_lost)
			rc = add_untagged(archive, archive->names[i].image, &list, cancel, err);
	for (size_t i = 0; !rc && !*repository && i < archive->image_count; i++)
		if (!archive->images[i].has_name)
			rc = add_untagged(archive, i, &list, cancel, err);
	return give_list(&list, ret, rc);
}

static const struct archive_name *find_name(
	const struct archive *archive, const char *repository, const char *tag)
{
	for (size_t i = first_name(archive, repository, tag); i < archive->name_count; i++) {
		const struct archive_name *name = &archive->names[i];

		if (compare_name(name, repository, tag))
			break;
		if (!name->is_lost)
			return name;
	}
	return NULL;
}

static int resolve(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err)
{
	struct archive *archive = archive_of(source);
	const struct archive_name *name = find_name(archive, repository, tag);
	struct descriptor found = { 0 };
	int rc;

	if (!name)
		return error_set(err, ENOENT, "archive '%s': nothing is called '%s%s%s'",
			bundle_name(archive->bundle), repository, *repository ? ":" : "", tag);
	rc = examine(
		archive, &archive->images[name->image], &found.digest, &found.size, cancel, err);
	if (rc)
		return prefix(archive, rc, err);
	found.media_type = strdup(manifest_type(archive));
	if (!found.media_type)
		return error_set(err, ENOMEM, "out of memory");
	*ret = found;
	return 0;
}

static int manifest(struct source *source, const char *repository, const struct digest *digest,
	struct buf *body, char **ret_type, struct cancel *cancel, struct error *err)
{
	struct archive *archive = archive_of(source);
	CLEANUP(freep) char *type = strdup(manifest_type(archive));
	struct archive_image *image;
	int rc = type ? 0 : error_set(err, ENOMEM, "out of memory");

	(void)repository; /* images are common to all */
	if (!rc)
		rc = find_image(archive, digest, &image, cancel, err);
	if (!rc)
		rc = make(archive, image, body, cancel, err);
	if (rc)
		return prefix(archive, rc, err);
	if (ret_type)
		*ret_type = TAKE(type);
	return 0;
}

/* What the blobs of a manifest.json's images are comes out when those are made. */
static int open_known(struct archive *archive, const struct digest *digest, struct reader **ret,
	struct cancel *cancel, struct error *err)
{
	int rc = archive_blob_open(archive, digest, ret, err);

	if (rc != -ENOENT || archive->is_v1)
		return rc;
	rc = examine_all(archive, cancel, err);
	return rc ? rc : archive_blob_open(archive, digest, ret, err);
}

static int open_reader(struct source *source, const struct digest *digest, struct reader **ret,
	struct cancel *cancel, struct error *err)
{
	struct archive *archive = archive_of(source);
	int rc = open_known(archive, digest, ret, cancel, err);

	return rc ? prefix(archive, rc, err) : 0;
}

static int open_blob(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, struct blob_stream **ret, uint64_t *ret_offset, struct cancel *cancel,
	struct error *err)
{
	struct archive *archive = archive_of(source);
	CLEANUP(readerp) struct reader *reader = NULL;
	int rc = open_known(archive, &blob->digest, &reader, cancel, err);

	(void)repository;
	if (!rc)
		rc = reader_stream(ret, reader, offset, cancel, err);
	if (rc)
		return prefix(archive, rc, err);
	*ret_offset = offset;
	return 0;
}

static int open_layer(struct source *source, const char *repository, const char *layer_id,
	struct blob_stream **ret, struct cancel *cancel, struct error *err)
{
	struct archive *archive = archive_of(source);
	int rc = archive_v1_open_layer(archive, layer_id, ret, cancel, err);

	(void)repository;
	return rc ? prefix(archive, rc, err) : 0;
}

static const char *identity(struct source *source)
{
	(void)source;
	return "";
}

static int probe(
	struct source *source, const char *repository, struct cancel *cancel, struct error *err)
{
	struct archive *archive = archive_of(source);

	(void)cancel;
	return !repository || has_repository(archive, repository)
		       ? 0
		       : no_repository(archive, repository, err);
}

static void archive_free(struct source *source)
{
	struct archive *archive = archive_of(source);

	for (size_t i = 0; i < archive->image_count; i++)
		archive_image_release(&archive->images[i]);
	free(archive->images);
	for (size_t i = 0; i < archive->name_count; i++) {
		free(archive->names[i].repository);
		free(archive->names[i].tag);
	}
	free(archive->names);
	free(archive->nodes);
	archive_members_release(archive);
	bundle_free(archive->bundle);
	(void)pthread_mutex_destroy(&archive->lock);
	free(archive);
}

static const struct source_ops archive_ops = {
	.repositories = repositories,
	.tags = tags,
	.untagged = untagged,
	.resolve = resolve,
	.manifest = manifest,
	.open_blob = open_blob,
	.open_reader = open_reader,
	.open_layer = open_layer,
	.identity = identity,
	.probe = probe,
	.free = archive_free,
};

/* --- opening --- */

CLEANUP_POINTER(sourcep, struct source, source_free)

static int open_images(struct archive *archive, struct cancel *cancel, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { 0 };
	int rc;

	buf_init(&text, DOCUMENT_MAX);
	rc = bundle_read(archive->bundle, "manifest.json", &text, err);
	archive->is_v1 = rc == -ENOENT;
	archive->base.makes_manifests_from =
		archive->is_v1 ? "V1 images of the archive" : "manifest.json of the archive";
	if (archive->is_v1)
		return archive_v1_open(archive, cancel, err);
	if (!rc)
		rc = archive_saved_open(archive, text.data ? text.data : "", text.len, err);
	return rc ? error_prefix(err, rc, "manifest.json") : 0;
}

int docker_archive_open(struct source **ret, struct bundle *bundle, struct observer *observer,
	struct cancel *cancel, struct error *err)
{
	struct archive *archive = calloc(1, sizeof *archive);
	CLEANUP(sourcep) struct source *source = NULL;
	int rc;

	if (!archive) {
		bundle_free(bundle);
		return error_set(err, ENOMEM, "out of memory");
	}
	archive->base = (struct source){ SOURCE_DOCKER_ARCHIVE, &archive_ops, .is_local = true };
	source = &archive->base;
	archive->bundle = bundle;
	archive->observer = observer;
	(void)pthread_mutex_init(&archive->lock, NULL); /* cannot fail with default attributes */
	rc = open_images(archive, cancel, err);
	if (rc)
		return prefix(archive, rc, err);
	sort_names(archive);
	source->is_single_repository = !archive->name_count;
	*ret = TAKE(source);
	return 0;
}

/* The first character of a file that is no blank; 0 when there is none, or no file. */
static char first_character(struct bundle *bundle, const char *path)
{
	CLEANUP(buf_release) struct buf text = { 0 };

	buf_init(&text, DOCUMENT_MAX);
	if (bundle_read(bundle, path, &text, NULL) || !text.data)
		return '\0';
	return text.data[strspn(text.data, " \t\r\n")];
}

static bool has_v1_image(struct bundle *bundle)
{
	struct name_list names = { NULL, 0 };
	bool found = false;

	if (bundle_list(bundle, "", &names, NULL))
		return false;
	for (size_t i = 0; !found && i < names.count; i++) {
		CLEANUP(readerp) struct reader *json = NULL;
		char path[V1_ID_LEN + sizeof "/json"];

		if (!archive_v1_id_is_valid(names.names[i]))
			continue;
		(void)snprintf(path, sizeof path, "%s/json", names.names[i]);
		found = !bundle_file(bundle, path, &json, NULL);
	}
	name_list_release(&names);
	return found;
}

bool docker_archive_is(struct bundle *bundle)
{
	char first = first_character(bundle, "manifest.json");

	if (first) /* an array, or null; "dir:" has an object */
		return first == '[' || first == 'n';
	return first_character(bundle, "repositories") == '{' || has_v1_image(bundle);
}
