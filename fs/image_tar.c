/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members, in this order:
 *
 *	oci.tar		oci-layout, index.json, blobs/, blobs/ALG/, blobs/ALG/HEX ...
 *	docker.tar	manifest.json, repositories, CONFIG-HEX.json, and for each layer
 *			ID/, ID/VERSION, ID/json, ID/layer.tar
 *
 * Small documents come first, so that who looks for one of them need not read
 * over all layers.
 *
 * layer.tar is the stored blob where that is plain or gzip, which everything that reads such
 * archives takes: so the size is known without a layer.  Other codings are
 * unpacked, which takes the layer's index to know the size.
 */
#include "fs/image_tar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/assembly.h"
#include "fs/spaces.h"
#include "model/cleanup.h"
#include "model/reference.h"
#include "model/tar/write.h"

CLEANUP_POINTER(assembly_freep, struct assembly, assembly_free)

enum { MEMBER_NAME_MAX = 32 + DIGEST_HEX_MAX };

/* What an archive is written with. */
struct archive {
	struct fs *fs;
	const struct place *place;
	const struct flavour *flavour;
	struct assembly *assembly;
	struct need *need;
};

/* --- members --- */

static void put_document(struct archive *archive, const char *name, const char *bytes, size_t len)
{
	struct buf *to = &archive->assembly->bytes;

	(void)tar_write_file(to, name, len);
	(void)buf_append(to, bytes, len);
	(void)tar_write_padding(to, len);
}

static int put_blob(struct archive *archive, const char *name, const struct descriptor *blob)
{
	struct buf *to = &archive->assembly->bytes;
	struct descriptor sized = *blob; /* borrows */
	int rc = blob_find_size(
		archive->fs, archive->place->repository, blob, false, &sized.size, archive->need);

	if (rc)
		return rc;
	(void)tar_write_file(to, name, sized.size);
	rc = assembly_add_blob(archive->assembly, &sized, &archive->need->err);
	(void)tar_write_padding(to, sized.size);
	return rc;
}

/* --- oci.tar --- */

static void blob_name(const struct digest *digest, char name[static MEMBER_NAME_MAX])
{
	char hex[DIGEST_HEX_MAX];

	(void)snprintf(name, MEMBER_NAME_MAX, "blobs/%s/%s",
		digest_algorithm_name(digest->algorithm), digest_hex(digest, hex));
}

static bool uses_algorithm(const struct flavour *flavour, enum digest_algorithm algorithm)
{
	for (size_t i = 0; i < flavour->document_count; i++)
		if (flavour->documents[i].descriptor.digest.algorithm == algorithm)
			return true;
	for (size_t i = 0; i < flavour->blob_count; i++)
		if (flavour->blobs[i].descriptor.digest.algorithm == algorithm)
			return true;
	return false;
}

static void put_directories(struct archive *archive)
{
	static const enum digest_algorithm algorithms[] = { DIGEST_SHA256, DIGEST_SHA512 };
	struct buf *to = &archive->assembly->bytes;
	char name[MEMBER_NAME_MAX];

	(void)tar_write_directory(to, "blobs/");
	for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++) {
		if (!uses_algorithm(archive->flavour, algorithms[i]))
			continue;
		(void)snprintf(
			name, sizeof name, "blobs/%s/", digest_algorithm_name(algorithms[i]));
		(void)tar_write_directory(to, name);
	}
}

static int put_index(struct archive *archive)
{
	const struct flavour *flavour = archive->flavour;
	const char *tag = archive->place->tag;
	struct buf idx;
	int rc;

	buf_init(&idx, DOCUMENT_MAX);
	rc = layout_index_write(&flavour->documents[flavour->top].descriptor,
		tag && *tag ? tag : NULL, &idx, &archive->need->err);
	if (!rc)
		put_document(archive, "index.json", idx.data, idx.len);
	buf_release(&idx);
	return rc;
}

static int put_manifest(struct archive *archive, const struct flavour_document *document)
{
	char name[MEMBER_NAME_MAX];
	const char *bytes;
	size_t len;
	int rc = flavour_document_bytes(
		archive->fs, archive->place->repository, document, &bytes, &len, archive->need);

	if (rc)
		return rc;
	blob_name(&document->descriptor.digest, name);
	put_document(archive, name, bytes, len);
	return 0;
}

static int write_oci(struct archive *archive)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	const struct flavour *flavour = archive->flavour;
	char name[MEMBER_NAME_MAX];
	int rc;

	put_document(archive, "oci-layout", layout, strlen(layout));
	rc = put_index(archive);
	put_directories(archive);
	for (size_t i = 0; !rc && i < flavour->document_count; i++)
		rc = put_manifest(archive, &flavour->documents[i]);
	for (size_t i = 0; !rc && i < flavour->blob_count; i++) {
		const struct flavour_blob *blob = &flavour->blobs[i];

		blob_name(&blob->descriptor.digest, name);
		if (blob->bytes)
			put_document(archive, name, blob->bytes, (size_t)blob->descriptor.size);
		else
			rc = put_blob(archive, name, &blob->descriptor);
	}
	return rc;
}

/* --- docker.tar --- */

struct docker {
	struct image image; /* as Docker says it, with its config */
	const char *config; /* borrowed */
	size_t config_len;
	struct v1_entry *entries;    /* of each layer */
	struct layer_object **plain; /* of each layer: unpacked; NULL: as it is stored */
	char *name;                  /* of the repository; NULL: has none that Docker could take */
};

static void docker_release(struct docker *docker)
{
	if (docker->entries)
		v1_entries_free(docker->entries, docker->image.layer_count);
	image_release(&docker->image);
	free(docker->plain);
	free(docker->name);
}

static int parse_manifest(struct archive *archive, struct docker *docker)
{
	const struct flavour *flavour = archive->flavour;
	struct error *err = &archive->need->err;
	const struct image *image = &docker->image;
	const char *bytes;
	size_t len;
	int rc = flavour_document_bytes(archive->fs, archive->place->repository,
		&flavour->documents[flavour->top], &bytes, &len, archive->need);

	if (!rc)
		rc = image_parse(&docker->image, DOCUMENT_SCHEMA2, bytes, len, err);
	if (rc)
		return rc;
	if (image->is_artifact)
		return error_set(err, EOPNOTSUPP, "an artifact is no image for Docker");
	for (size_t i = 0; i < image->layer_count; i++)
		if (media_type_find(image->layers[i].media_type)->role != ROLE_LAYER)
			return error_set(err, EOPNOTSUPP, "layer %zu of %zu: no layer type: '%s'",
				i + 1, image->layer_count, image->layers[i].media_type);
	return 0;
}

/* As the source has it: the type may differ, and with it what was asked for before. */
static const struct descriptor *stored(
	const struct archive *archive, const struct descriptor *descriptor)
{
	const struct flavour_blob *blob = flavour_find_blob(archive->flavour, &descriptor->digest);

	return blob ? &blob->descriptor : descriptor;
}

/* It may be one that was made here: of schema 1 and V1. */
static int find_config(struct archive *archive, struct docker *docker)
{
	const struct descriptor *descriptor = &docker->image.config;
	const struct flavour_blob *made = flavour_find_blob(archive->flavour, &descriptor->digest);
	const struct document *config;
	int rc;

	if (made && made->bytes) {
		docker->config = made->bytes;
		docker->config_len = (size_t)made->descriptor.size;
		return 0;
	}
	rc = small_blob_get(archive->fs, archive->place->repository, stored(archive, descriptor),
		&config, archive->need);
	if (rc)
		return rc;
	docker->config = config->bytes;
	docker->config_len = config->len;
	return 0;
}

static int read_config(struct archive *archive, struct docker *docker)
{
	int rc = find_config(archive, docker);

	return rc ? rc
		  : image_parse_config(&docker->image, docker->config, docker->config_len,
			    &archive->need->err);
}

/* What it proved to be, or else what it is said to be. */
static bool is_kept_as_stored(const struct archive *archive, const struct descriptor *blob)
{
	const struct layer_object *object =
		layer_peek(archive->fs, archive->place->repository, blob);
	const struct layer *layer = object ? layer_object_layer(object) : NULL;
	enum media_coding coding =
		layer ? layer->coding : media_type_find(blob->media_type)->coding;

	return coding == CODING_PLAIN || coding == CODING_GZIP;
}

/* All layers that have to be unpacked are asked for at once. */
static int find_plain(struct archive *archive, struct docker *docker)
{
	const struct image *image = &docker->image;
	struct need *need = archive->need;
	struct load *missing = NULL;

	docker->plain = calloc(image->layer_count + 1, sizeof(struct layer_object *));
	if (!docker->plain)
		return error_set(&need->err, ENOMEM, "out of memory");
	for (size_t i = 0; i < image->layer_count; i++) {
		const struct descriptor *blob = stored(archive, &image->layers[i]);
		int rc;

		if (is_kept_as_stored(archive, blob))
			continue;
		rc = layer_get(
			archive->fs, archive->place->repository, blob, &docker->plain[i], need);
		if (rc == LOAD_PENDING)
			missing = need->load;
		else if (rc)
			return error_prefix(
				&need->err, rc, "layer %zu of %zu", i + 1, image->layer_count);
	}
	need->load = missing;
	return missing ? LOAD_PENDING : 0;
}

/* A name of a layout or archive that is a whole one, host and all or as people say it. */
static bool is_docker_name(const char *repository, const char *tag)
{
	CLEANUP(freep) char *text = NULL;
	struct reference reference;
	bool is_valid;

	if (asprintf(&text, "%s:%s", repository, tag) < 0) {
		text = NULL;
		return false;
	}
	is_valid = !reference_parse(&reference, text, NULL);
	if (is_valid)
		reference_release(&reference);
	return is_valid;
}

static int find_name(struct archive *archive, struct docker *docker)
{
	const struct options *options = archive->fs->options;
	const struct place *place = archive->place;
	const char *slash;

	if (!place->tag || !tag_is_valid(place->tag))
		return 0;
	if (options_has_registry(options)) {
		docker->name = reference_familiar(options->reference.host, place->repository);
	} else if (*place->repository) {
		if (!is_docker_name(place->repository, place->tag))
			return 0;
		docker->name = strdup(place->repository);
	} else {
		slash = options->path ? strrchr(options->path, '/') : NULL;
		docker->name = repository_from_file_name(slash ? slash + 1 : "");
	}
	if (!docker->name)
		return error_set(&archive->need->err, ENOMEM, "out of memory");
	if (!*docker->name) {
		free(docker->name);
		docker->name = NULL;
	}
	return 0;
}

static int docker_open(struct archive *archive, struct docker *ret)
{
	int rc = parse_manifest(archive, ret);

	if (!rc)
		rc = read_config(archive, ret);
	if (!rc && ret->image.layer_count)
		rc = v1_entries_make(&ret->entries, &ret->image, ret->config, ret->config_len,
			&archive->need->err);
	if (!rc)
		rc = find_name(archive, ret);
	return rc ? rc : find_plain(archive, ret);
}

/* Ids, names and tags hold nothing that JSON would escape. */
static int put_docker_manifest(struct archive *archive, const struct docker *docker)
{
	const struct image *image = &docker->image;
	char hex[DIGEST_HEX_MAX];
	struct buf text;
	int rc;

	buf_init(&text, ASSEMBLY_BYTES_MAX);
	(void)buf_printf(&text,
		"[{\"Config\":\"%s.json\",\"RepoTags\":", digest_hex(&image->config.digest, hex));
	if (docker->name)
		(void)buf_printf(&text, "[\"%s:%s\"]", docker->name, archive->place->tag);
	else
		(void)buf_append_text(&text, "null");
	(void)buf_append_text(&text, ",\"Layers\":[");
	for (size_t i = 0; i < image->layer_count; i++)
		(void)buf_printf(&text, "%s\"%s/layer.tar\"", i ? "," : "", docker->entries[i].id);
	rc = buf_append_text(&text, "]}]\n");
	if (!rc)
		put_document(archive, "manifest.json", text.data, text.len);
	buf_release(&text);
	return rc ? error_set(&archive->need->err, -rc, "manifest.json: %s", strerror(-rc)) : 0;
}

/* For clients before 1.10: a name stands for its top layer. */
static int put_repositories(struct archive *archive, const struct docker *docker)
{
	size_t count = docker->image.layer_count;
	struct buf text;
	int rc;

	if (!docker->name || !count)
		return 0;
	buf_init(&text, DOCUMENT_MAX);
	rc = buf_printf(&text, "{\"%s\":{\"%s\":\"%s\"}}\n", docker->name, archive->place->tag,
		docker->entries[count - 1].id);
	if (!rc)
		put_document(archive, "repositories", text.data, text.len);
	buf_release(&text);
	return rc ? error_set(&archive->need->err, -rc, "repositories: %s", strerror(-rc)) : 0;
}

static int put_plain(struct archive *archive, const char *name, struct layer_object *layer)
{
	struct buf *to = &archive->assembly->bytes;
	uint64_t size;
	int rc = layer_plain_size(layer, &size, archive->need);

	if (rc)
		return rc;
	(void)tar_write_file(to, name, size);
	rc = assembly_add_plain(archive->assembly, layer, size, &archive->need->err);
	(void)tar_write_padding(to, size);
	return rc;
}

static int put_layer(struct archive *archive, const struct docker *docker, size_t layer)
{
	const struct v1_entry *entry = &docker->entries[layer];
	const struct descriptor *blob = stored(archive, &docker->image.layers[layer]);
	char name[MEMBER_NAME_MAX];

	(void)snprintf(name, sizeof name, "%s/", entry->id);
	(void)tar_write_directory(&archive->assembly->bytes, name);
	(void)snprintf(name, sizeof name, "%s/VERSION", entry->id);
	put_document(archive, name, "1.0", strlen("1.0"));
	(void)snprintf(name, sizeof name, "%s/json", entry->id);
	put_document(archive, name, entry->json, entry->json_len);
	(void)snprintf(name, sizeof name, "%s/layer.tar", entry->id);
	return docker->plain[layer] ? put_plain(archive, name, docker->plain[layer])
				    : put_blob(archive, name, blob);
}

static int write_docker(struct archive *archive, const struct docker *docker)
{
	char name[MEMBER_NAME_MAX];
	char hex[DIGEST_HEX_MAX];
	int rc = put_docker_manifest(archive, docker);

	if (!rc)
		rc = put_repositories(archive, docker);
	(void)snprintf(name, sizeof name, "%s.json", digest_hex(&docker->image.config.digest, hex));
	put_document(archive, name, docker->config, docker->config_len);
	for (size_t i = 0; !rc && i < docker->image.layer_count; i++)
		rc = put_layer(archive, docker, i);
	return rc;
}

static int make_docker(struct archive *archive)
{
	struct docker docker = { 0 };
	int rc = docker_open(archive, &docker);

	if (!rc)
		rc = write_docker(archive, &docker);
	docker_release(&docker);
	return rc;
}

/* --- reading --- */

struct reading {
	struct fs *fs;
	const char *repository;
	struct need *need;
};

/* Who reads on finds the next blobs on their way, as many as are fetched at once. */
static void start_next(const struct reading *reading, const struct assembly *assembly, size_t part)
{
	uint64_t left = reading->fs->options->max_transfers;

	for (size_t i = part + 1; left && i < assembly->count; i++) {
		if (assembly->parts[i].kind != PART_BLOB)
			continue;
		blob_start(reading->fs, reading->repository, &assembly->parts[i].blob,
			reading->need->asker);
		left--;
	}
}

static int read_blob(const struct reading *reading, const struct assembly *assembly, size_t part,
	uint64_t offset, size_t len, struct answer *answer)
{
	struct blob_object *object;
	int rc = blob_get(reading->fs, reading->repository, &assembly->parts[part].blob, &object,
		reading->need);

	if (rc == LOAD_PENDING || !offset)
		start_next(reading, assembly, part);
	return rc ? rc : blob_read(object, offset, len, answer, reading->need);
}

static int read_part(void *context, const struct assembly *assembly, size_t part, uint64_t offset,
	size_t len, struct answer *answer)
{
	const struct reading *reading = context;

	if (assembly->parts[part].kind == PART_BLOB)
		return read_blob(reading, assembly, part, offset, len, answer);
	return layer_read(reading->fs, assembly->parts[part].layer, offset, len,
		layer_object_layer(assembly->parts[part].layer)->plain_size, answer, reading->need);
}

static int image_tar_read(
	struct fs *fs, struct node *node, uint64_t offset, struct answer *answer, struct need *need)
{
	struct reading reading = { fs, node->place.repository, need };

	return assembly_read(node->assembly, offset, answer, read_part, &reading, &need->err);
}

static const struct view view_image_tar = {
	.name = "image_tar", .type = S_IFREG, .read = image_tar_read
};

/* --- the entry --- */

static int put_together(
	struct fs *fs, const struct place *place, struct assembly **ret, struct need *need)
{
	CLEANUP(assembly_freep) struct assembly *assembly = assembly_new();
	struct archive archive = { fs, place, NULL, assembly, need };
	int rc;

	if (!assembly)
		return error_set(&need->err, ENOMEM, "out of memory");
	rc = flavour_get(
		fs, place->repository, &place->manifest, place->family, &archive.flavour, need);
	if (!rc)
		rc = place->family == FAMILY_DOCKER ? make_docker(&archive) : write_oci(&archive);
	if (rc == -ENOENT) /* somebody named it: it is missing, not unknown */
		return error_prefix(&need->err, -EIO, "a manifest that should be there");
	if (rc)
		return rc;
	(void)tar_write_end(&assembly->bytes);
	rc = assembly_finish(assembly, &need->err);
	if (!rc)
		*ret = TAKE(assembly);
	return rc;
}

int entry_image_tar(struct fs *fs, struct node *dir, const char *name, const struct place *place,
	struct fuse_entry_param *ret, struct need *need)
{
	struct node *node = node_child(fs, dir, name);
	struct assembly *assembly = NULL;
	int rc;

	/* The size that was told once must stay, while the kernel knows the file. */
	if (node && node->assembly)
		return entry_node(fs, node, CONTENT_TIMEOUT_S, ret);
	rc = put_together(fs, place, &assembly, need);
	if (rc)
		return rc;
	node = node_make(fs, dir, name, &view_image_tar, place);
	if (!node) {
		assembly_free(assembly);
		return error_set(&need->err, ENOMEM, "out of memory");
	}
	node->assembly = assembly;
	node->content_len = (size_t)assembly->size;
	return entry_node(fs, node, CONTENT_TIMEOUT_S, ret);
}
