/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.json, an array with an object for each image:
 *
 *	Config        member that is the config
 *	RepoTags      names, or null
 *	Layers        members that are the layers, base first, one for each diff_id
 *	LayerSources  by diff_id, the descriptor of a layer that lies elsewhere, too
 *
 * Entries are read one by one: a malformed one leaves the others alone.
 */
#include "fetch/archive/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "fetch/observer.h"
#include "model/cleanup.h"
#include "model/image.h"
#include "model/json.h"
#include "model/reference.h"

#define DEFAULT_TAG "latest"

enum {
	NAMES_MAX = 10000, /* names of one image */
};

static void strings_freep(char ***strings)
{
	strings_free(*strings);
}

/* --- reading --- */

static int parse_layers(struct archive_image *image, struct json_object *object, struct error *err)
{
	CLEANUP(strings_freep) char **names = NULL;
	size_t count = 0;
	int rc = json_get_strings(object, "Layers", &names, IMAGE_LAYERS_MAX, err);

	if (rc)
		return rc;
	while (names && names[count])
		count++;
	image->layers = calloc(count + 1, sizeof *image->layers);
	if (!image->layers)
		return error_set(err, ENOMEM, "out of memory");
	for (; !rc && image->layer_count < count; image->layer_count += !rc)
		rc = archive_member_path(
			&image->layers[image->layer_count], names[image->layer_count], err);
	return rc ? error_prefix(err, rc, "layer %zu of %zu", image->layer_count + 1, count) : 0;
}

static int parse_config(struct archive_image *image, struct json_object *object, struct error *err)
{
	CLEANUP(freep) char *name = NULL;
	int rc = json_get_string(object, "Config", &name, err);

	if (!rc && !name)
		rc = error_set(err, EIO, "no Config");
	return rc ? rc : archive_member_path(&image->config, name, err);
}

static int parse_foreign(struct foreign_layer *layer, const char *diff_id,
	struct json_object *object, struct error *err)
{
	CLEANUP(freep) char *digest = NULL;
	int rc;

	if (!json_object_is_type(object, json_type_object))
		return error_set(err, EIO, "not an object");
	rc = digest_parse(&layer->diff_id, diff_id, err);
	if (!rc)
		rc = json_get_string(object, "digest", &digest, err);
	if (!rc)
		rc = digest_parse(&layer->descriptor.digest, digest ? digest : "", err);
	layer->descriptor.size = DESCRIPTOR_SIZE_UNKNOWN;
	if (!rc)
		rc = json_get_size(object, "size", &layer->descriptor.size, err);
	if (!rc)
		rc = json_get_string(object, "mediaType", &layer->descriptor.media_type, err);
	if (!rc)
		rc = json_get_strings(
			object, "urls", &layer->descriptor.urls, DESCRIPTOR_URLS_MAX, err);
	if (!rc && layer->descriptor.size == DESCRIPTOR_SIZE_UNKNOWN)
		rc = error_set(err, EIO, "no size");
	return rc == -EINVAL ? -EIO : rc;
}

/* Docker 25 describes all layers here; one without URLs tells nothing that the member does not. */
static bool has_urls(struct json_object *object)
{
	struct json_object *urls = NULL;

	return json_object_is_type(object, json_type_object) &&
	       !json_get_array(object, "urls", &urls, NULL) && urls &&
	       json_object_array_length(urls);
}

static int parse_sources(struct archive_image *image, struct json_object *object, struct error *err)
{
	struct json_object *sources = NULL;
	int rc = json_get_object(object, "LayerSources", &sources, err);

	if (rc || !sources)
		return rc;
	image->foreign =
		calloc((size_t)json_object_object_length(sources) + 1, sizeof *image->foreign);
	if (!image->foreign)
		return error_set(err, ENOMEM, "out of memory");
	json_object_object_foreach(sources, diff_id, source)
	{
		if (!has_urls(source))
			continue;
		/* Counted at once: what a failure leaves half made is then released. */
		rc = parse_foreign(&image->foreign[image->foreign_count++], diff_id, source, err);
		if (rc)
			return error_prefix(err, rc, "LayerSources '%.100s'", diff_id);
	}
	return 0;
}

static int add_name(struct archive *archive, const char *name, size_t image, struct error *err)
{
	const char *tag;
	size_t repository_len = name_split(name, strlen(name), &tag);

	return archive_add_name(archive, name, repository_len, tag ? tag : DEFAULT_TAG, image, err);
}

static int parse_image(struct archive *archive, struct json_object *object, struct error *err)
{
	struct archive_image image = { 0 };
	CLEANUP(strings_freep) char **names = NULL;
	struct error why = { "" };
	size_t number;
	int rc;

	if (!json_object_is_type(object, json_type_object))
		return error_set(err, EIO, "not an object");
	rc = json_get_strings(object, "RepoTags", &names, NAMES_MAX, err);
	if (rc)
		return rc;
	rc = parse_config(&image, object, &why);
	if (!rc)
		rc = parse_layers(&image, object, &why);
	if (!rc)
		rc = parse_sources(&image, object, &why);
	rc = archive_image_break(&image, rc, &why, err);
	if (!rc)
		rc = archive_add_image(archive, &image, &number, err);
	if (rc) {
		archive_image_release(&image);
		return rc;
	}
	for (char **name = names; !rc && name && *name; name++)
		rc = add_name(archive, *name, number, err);
	return rc;
}

static int parse_images(struct archive *archive, struct json_object *array, struct error *err)
{
	size_t count = json_object_array_length(array);

	if (count > ARCHIVE_IMAGES_MAX)
		return error_set(err, EFBIG, "more than %d images", ARCHIVE_IMAGES_MAX);
	for (size_t i = 0; i < count; i++) {
		struct error why = { "" };
		int rc = parse_image(archive, json_object_array_get_idx(array, i), &why);

		if (rc == -ENOMEM)
			return error_set(err, ENOMEM, "%s", why.text);
		if (rc)
			observer_log(archive->observer, LOG_LEVEL_WARNING,
				"%s: manifest.json: image %zu left out: %s",
				bundle_name(archive->bundle), i, why.text);
	}
	return 0;
}

/* What Go tools write of no images. */
static bool is_null(const char *bytes, size_t len)
{
	static const char blanks[] = " \t\r\n";
	size_t skipped = strspn(bytes, blanks);

	return skipped + 4 <= len && !strncmp(bytes + skipped, "null", 4) &&
	       skipped + 4 + strspn(bytes + skipped + 4, blanks) == len;
}

int archive_saved_open(struct archive *archive, const char *bytes, size_t len, struct error *err)
{
	CLEANUP(json_putp) struct json_object *root = NULL;
	int rc;

	if (is_null(bytes, len))
		return 0;
	rc = json_parse(&root, bytes, len, err);
	if (!rc && !json_object_is_type(root, json_type_array))
		rc = error_set(err, EIO, "not an array");
	return rc ? rc : parse_images(archive, root, err);
}

/* --- making --- */

/* What the archive names and does not have makes it malformed: it is not there for others. */
static int missing(const char *path, struct error *err)
{
	return error_set(err, EIO, "'%.200s' is not in the archive", path);
}

static int set_type(struct descriptor *descriptor, const char *type, struct error *err)
{
	descriptor->media_type = strdup(type);
	return descriptor->media_type ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int make_config(
	struct archive *archive, const char *path, struct image *made, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { 0 };
	struct descriptor *config = &made->config;
	int rc;

	buf_init(&text, DOCUMENT_MAX);
	rc = bundle_read(archive->bundle, path, &text, err);
	if (rc == -ENOENT)
		rc = missing(path, err);
	if (!rc)
		rc = image_parse_config(made, text.data ? text.data : "", text.len, err);
	if (!rc)
		rc = digest_of(&config->digest, DIGEST_SHA256, text.data, text.len, err);
	if (rc)
		return rc;
	config->size = text.len;
	rc = set_type(config, media_type_name(ROLE_CONFIG, FAMILY_DOCKER), err);
	return rc ? rc : archive_blob_remember(archive, &config->digest, path, err);
}

static const struct foreign_layer *find_foreign(
	const struct archive_image *image, const struct digest *diff_id)
{
	for (size_t i = 0; i < image->foreign_count; i++)
		if (digest_equal(&image->foreign[i].diff_id, diff_id))
			return &image->foreign[i];
	return NULL;
}

/* What Docker has no word for is called plain: whoever reads the layer sniffs it again. */
static const char *layer_type(enum media_coding coding)
{
	const char *type = coding == CODING_UNKNOWN ? "" : media_type_layer(coding, FAMILY_DOCKER);

	return *type ? type : media_type_layer(CODING_PLAIN, FAMILY_DOCKER);
}

static int make_layer(struct archive *archive, const struct archive_image *image, size_t i,
	const struct digest *diff_id, struct descriptor *ret, struct cancel *cancel,
	struct error *err)
{
	const struct foreign_layer *foreign = find_foreign(image, diff_id);
	const char *path = image->layers[i];
	struct member_facts facts;
	int rc = archive_member_examine(archive, path, &facts, cancel, err);

	if (rc == -ENOENT && foreign)
		return descriptor_copy(ret, &foreign->descriptor, err);
	if (rc == -ENOENT)
		rc = missing(path, err);
	if (!rc)
		rc = set_type(ret, layer_type(facts.coding), err);
	if (rc)
		return rc;
	ret->digest = digest_is_set(&facts.digest) ? facts.digest : *diff_id;
	ret->size = facts.size;
	return archive_blob_remember(archive, &ret->digest, path, err);
}

static int make_layers(struct archive *archive, const struct archive_image *image,
	struct image *made, struct cancel *cancel, struct error *err)
{
	size_t count = image->layer_count;
	int rc = 0;

	if (made->parsed.diff_id_count != count)
		return error_set(err, EIO, "%zu layers, the config has %zu diff_ids", count,
			made->parsed.diff_id_count);
	made->layers = calloc(count + 1, sizeof *made->layers);
	if (!made->layers)
		return error_set(err, ENOMEM, "out of memory");
	made->layer_count = count;
	for (size_t i = 0; !rc && i < count; i++) {
		rc = make_layer(archive, image, i, &made->parsed.diff_ids[i], &made->layers[i],
			cancel, err);
		if (rc)
			rc = error_prefix(err, rc, "layer %zu of %zu", i + 1, count);
	}
	return rc;
}

int archive_saved_make(struct archive *archive, const struct archive_image *image, struct buf *ret,
	struct cancel *cancel, struct error *err)
{
	CLEANUP(image_release) struct image made = { .kind = DOCUMENT_SCHEMA2 };
	int rc = make_config(archive, image->config, &made, err);

	if (!rc)
		rc = make_layers(archive, image, &made, cancel, err);
	return rc ? rc : image_write(&made, FAMILY_DOCKER, ret, NULL, err);
}
