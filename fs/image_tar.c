/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members, in this order:
 *
 *	oci.tar		oci-layout, index.json, blobs/, blobs/ALG/, blobs/ALG/HEX ...
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
		if (flavour->blobs[i].digest.algorithm == algorithm)
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
		blob_name(&flavour->blobs[i].digest, name);
		rc = put_blob(archive, name, &flavour->blobs[i]);
	}
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
	uint64_t offset, char *buf, size_t len)
{
	struct blob_object *object;
	int rc = blob_get(reading->fs, reading->repository, &assembly->parts[part].blob, &object,
		reading->need);

	if (rc == LOAD_PENDING || !offset)
		start_next(reading, assembly, part);
	return rc ? rc : blob_read(object, offset, buf, len, reading->need);
}

static int read_part(void *context, const struct assembly *assembly, size_t part, uint64_t offset,
	char *buf, size_t len)
{
	const struct reading *reading = context;

	if (assembly->parts[part].kind == PART_BLOB)
		return read_blob(reading, assembly, part, offset, buf, len);
	return layer_read(
		reading->fs, assembly->parts[part].layer, offset, buf, len, reading->need);
}

static int image_tar_read(
	struct fs *fs, struct node *node, uint64_t offset, char *buf, size_t len, struct need *need)
{
	struct reading reading = { fs, node->place.repository, need };

	return assembly_read(node->assembly, offset, buf, len, read_part, &reading);
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
		rc = write_oci(&archive);
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
