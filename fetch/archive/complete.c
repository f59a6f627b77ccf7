/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the layout beside a manifest.json worth more than it?  Early Docker 25.0
 * wrote ones that name nothing or whose manifests have no layers (moby/moby#47065), or have them
 * in the wrong order (moby/moby#47161), which shows where layers are plain.
 */
#include "fetch/archive/archive.h"

#include <errno.h>
#include <stdio.h>

#include "model/cleanup.h"
#include "model/image.h"

struct survey {
	struct bundle *bundle;
	unsigned documents; /* read so far */
	unsigned complete;  /* manifests */
};

static const char *blob_path(const struct digest *digest, char path[static 2 * DIGEST_TEXT_MAX])
{
	char hex[DIGEST_HEX_MAX];

	(void)snprintf(path, (size_t)2 * DIGEST_TEXT_MAX, "blobs/%s/%s",
		digest_algorithm_name(digest->algorithm), digest_hex(digest, hex));
	return path;
}

static bool has_blob(struct survey *survey, const struct descriptor *blob)
{
	CLEANUP(readerp) struct reader *reader = NULL;
	char path[2 * DIGEST_TEXT_MAX];

	return !bundle_file(survey->bundle, blob_path(&blob->digest, path), &reader, NULL) &&
	       reader->size == blob->size;
}

static int read_blob(struct survey *survey, const struct digest *digest, struct buf *ret)
{
	char path[2 * DIGEST_TEXT_MAX];

	if (survey->documents++ >= INDEX_ENTRIES_MAX)
		return -EFBIG;
	buf_init(ret, DOCUMENT_MAX);
	return bundle_read(survey->bundle, blob_path(digest, path), ret, NULL);
}

static bool layers_fit(const struct image *image)
{
	if (image->parsed.diff_id_count != image->layer_count)
		return false;
	for (size_t i = 0; i < image->layer_count; i++) {
		const struct descriptor *layer = &image->layers[i];

		if (media_type_find(layer->media_type)->coding == CODING_PLAIN &&
			!digest_equal(&layer->digest, &image->parsed.diff_ids[i]))
			return false;
	}
	return true;
}

static bool manifest_is_complete(
	struct survey *survey, enum document_kind kind, const struct buf *text)
{
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(buf_release) struct buf config = { 0 };

	if (image_parse(&image, kind, text->data, text->len, NULL))
		return false;
	for (size_t i = 0; i < image.layer_count; i++)
		if (!has_blob(survey, &image.layers[i]) && !image.layers[i].urls)
			return false;
	if (image.is_artifact)
		return has_blob(survey, &image.config);
	if (read_blob(survey, &image.config.digest, &config) || !config.data ||
		image_parse_config(&image, config.data, config.len, NULL))
		return false;
	survey->complete++;
	return layers_fit(&image);
}

static bool is_index(enum document_kind kind)
{
	return kind == DOCUMENT_OCI_INDEX || kind == DOCUMENT_DOCKER_LIST;
}

/* depth 0 is index.json; INDEX_DEPTH_MAX ends it. */
static bool index_is_complete(
	struct survey *survey, enum document_kind kind, const struct buf *text, unsigned depth);

static bool entry_is_complete(struct survey *survey, const struct descriptor *entry, unsigned depth)
{
	CLEANUP(buf_release) struct buf text = { 0 };
	enum document_kind kind;
	int rc = read_blob(survey, &entry->digest, &text);

	if (rc == -ENOENT && depth > 0) /* another platform's, which was not saved */
		return true;
	if (rc || !text.data || document_kind(&kind, entry->media_type, text.data, text.len, NULL))
		return false;
	return is_index(kind) ? index_is_complete(survey, kind, &text, depth + 1)
			      : manifest_is_complete(survey, kind, &text);
}

static bool index_is_complete(
	struct survey *survey, enum document_kind kind, const struct buf *text, unsigned depth)
{
	struct image_index idx = { 0 };
	bool is_complete = true;

	if (depth > INDEX_DEPTH_MAX || image_index_parse(&idx, kind, text->data, text->len, NULL))
		return false;
	for (size_t i = 0; is_complete && i < idx.entry_count; i++)
		is_complete = entry_is_complete(survey, &idx.entries[i], depth);
	image_index_release(&idx);
	return is_complete;
}

bool docker_archive_prefers_layout(struct bundle *bundle)
{
	CLEANUP(readerp) struct reader *version = NULL;
	CLEANUP(buf_release) struct buf text = { 0 };
	struct survey survey = { .bundle = bundle };
	enum document_kind kind;

	buf_init(&text, DOCUMENT_MAX);
	if (bundle_file(bundle, "oci-layout", &version, NULL) ||
		bundle_read(bundle, "index.json", &text, NULL) || !text.data ||
		document_kind(&kind, NULL, text.data, text.len, NULL) || !is_index(kind))
		return false;
	return index_is_complete(&survey, kind, &text, 0) && survey.complete;
}
