/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members of a tar archive.
 *
 * Its index is a tree as of a layer (model/tree): so names are cleaned, the last of two members
 * wins and hard links are resolved by the one place that knows how.  A file is a section of the
 * plain stream.
 */
#include "fetch/bundle/internal.h"

#include <inttypes.h>
#include <string.h>

#include "fetch/cancel.h"
#include "fetch/layer/layer.h"
#include "fetch/observer.h"
#include "model/media_type.h"
#include "model/tar/tar.h"

enum {
	SNIFF = TAR_BLOCK,    /* bytes that tell the coding */
	SCAN_PIECE = 4 << 10, /* bytes per read: a header, and small members behind it */
};

struct archive {
	struct bundle base;
	struct reader *plain; /* the tar stream */
	struct tree tree;
	void *image; /* owned: what the tree is in */
};

static struct archive *archive_of(struct bundle *bundle)
{
	return container_of(bundle, struct archive, base);
}

/* --- members --- */

static int find(struct archive *archive, const char *path, uint32_t *ret, struct error *err)
{
	const struct tree *tree = &archive->tree;
	struct steps steps;
	const char *name;
	uint32_t at = 0, child;
	int rc = steps_begin(&steps, path, err);

	while (!rc && (name = steps_next(&steps))) {
		if (!strcmp(name, "..")) {
			if (!at)
				return steps_leave(err);
			at = tree_entry(tree, at)->parent;
			continue;
		}
		child = S_ISDIR(tree_entry(tree, at)->mode)
				? tree_lookup(tree, at, name, strlen(name))
				: TREE_NONE;
		if (child == TREE_NONE)
			return steps_missing(&steps, err);
		if (S_ISLNK(tree_entry(tree, child)->mode))
			rc = steps_follow(&steps, tree_link(tree, child), err);
		else
			at = child;
	}
	if (!rc)
		*ret = at;
	return rc;
}

static int archive_file(
	struct bundle *bundle, const char *path, struct reader **ret, struct error *err)
{
	struct archive *archive = archive_of(bundle);
	const struct tree_entry *entry;
	const struct tree_segment *segments;
	struct tree_segment single;
	uint32_t number, count;
	int rc = find(archive, path, &number, err);

	if (rc)
		return rc;
	entry = tree_entry(&archive->tree, number);
	if (!S_ISREG(entry->mode))
		return not_regular(err);
	if (entry->flags & TREE_LINK_OUTSIDE)
		return error_set(err, EIO, "a hard link to a member that is not there");
	segments = tree_segments(&archive->tree, number, &single, &count);
	if (segments != &single)
		return error_set(err, EIO, "a sparse member, which nobody writes");
	return reader_section(ret, archive->plain, entry->u.data_offset, entry->size, err);
}

static int archive_list(
	struct bundle *bundle, const char *path, struct name_list *ret, struct error *err)
{
	struct archive *archive = archive_of(bundle);
	const struct tree_entry *directory;
	uint32_t number;
	int rc = find(archive, path, &number, err);

	if (rc)
		return rc;
	directory = tree_entry(&archive->tree, number);
	if (!S_ISDIR(directory->mode))
		return error_set(err, ENOENT, "not a directory");
	for (uint32_t i = 0; !rc && i < directory->u.children.count; i++)
		rc = name_list_add(
			ret, tree_name(&archive->tree, directory->u.children.first + i), err);
	return rc;
}

static void archive_free(struct bundle *bundle)
{
	struct archive *archive = archive_of(bundle);

	reader_unref(archive->plain);
	free(archive->image);
	free(archive);
}

static const struct bundle_ops archive_ops = {
	.is_archive = true,
	.file = archive_file,
	.list = archive_list,
	.free = archive_free,
};

/* --- a plain archive --- */

struct scan {
	struct tree_builder *builder;
	struct tar_parser *parser;
	uint32_t members;
};

static void scan_release(struct scan *scan)
{
	tar_parser_free(scan->parser);
	tree_builder_free(scan->builder);
}

/* tar_entry_fn */
static int add_member(void *context, const struct tar_entry *entry, struct error *err)
{
	struct scan *scan = context;

	if (scan->members++ == BUNDLE_MEMBERS_MAX)
		return error_set(err, EFBIG, "more than %d members", BUNDLE_MEMBERS_MAX);
	return tree_builder_add(scan->builder, entry, err);
}

/* Reads the headers, and passes over what lies between them. */
static int scan_headers(struct scan *scan, const struct archive_job *job, struct error *err)
{
	struct reader *archive = job->archive;
	char piece[SCAN_PIECE];
	uint64_t offset = 0;

	while (offset < archive->size) {
		uint64_t skip;
		ssize_t n;
		int rc;

		if (cancel_is_set(job->cancel))
			return error_set(err, EINTR, "interrupted");
		n = reader_read(archive, piece, sizeof piece, offset, err);
		rc = n < 0 ? (int)n : tar_parser_feed(scan->parser, piece, (size_t)n, err);
		if (rc)
			return rc;
		offset += (uint64_t)n;
		skip = tar_parser_skippable(scan->parser);
		if (skip > archive->size - offset)
			skip = archive->size - offset;
		tar_parser_skip(scan->parser, skip);
		offset += skip;
	}
	return tar_parser_finish(scan->parser, err);
}

static void tell_dropped(const struct archive_job *job, uint32_t dropped)
{
	if (dropped && job->observer)
		observer_log(job->observer, LOG_LEVEL_WARNING,
			"'%s': %" PRIu32 " members left out: their names cannot be used", job->name,
			dropped);
}

static int open_plain(struct archive *archive, const struct archive_job *job, struct error *err)
{
	CLEANUP(scan_release) struct scan scan = { 0 };
	size_t len;
	int rc = tree_builder_new(&scan.builder, err);

	if (!rc)
		rc = tar_parser_new(&scan.parser, add_member, &scan, err);
	if (!rc)
		rc = scan_headers(&scan, job, err);
	if (!rc)
		rc = tree_builder_finish(scan.builder, &archive->image, &len, err);
	if (!rc)
		rc = tree_open(&archive->tree, archive->image, len, err);
	if (rc)
		return rc;
	tell_dropped(job, tree_builder_dropped(scan.builder));
	archive->plain = reader_ref(job->archive);
	return 0;
}

/* --- a compressed one --- */

static int check_index(const struct layer *layer, struct error *err)
{
	if (layer->status)
		return error_set(err, -layer->status, "%s", layer->message);
	if (layer->tree.entry_count > BUNDLE_MEMBERS_MAX)
		return error_set(err, EFBIG, "more than %d members", BUNDLE_MEMBERS_MAX);
	return 0;
}

static int open_compressed(
	struct archive *archive, const struct archive_job *job, struct error *err)
{
	CLEANUP(archive_index_release) struct archive_index idx = ARCHIVE_INDEX_NONE;
	int rc = compressed_index(&idx, job, err);

	if (!rc)
		rc = check_index(idx.layer, err);
	if (rc)
		return rc;
	tell_dropped(job, idx.layer->dropped);
	archive->tree = idx.layer->tree; /* the stream keeps what it is in */
	return spans_open(&archive->plain, job, &idx, err);
}

/* --- opening --- */

static int open_any(struct archive *archive, const struct archive_job *job, struct error *err)
{
	enum media_coding coding;
	char head[SNIFF];
	ssize_t n = reader_read(job->archive, head, sizeof head, 0, err);

	if (n < 0)
		return (int)n;
	coding = media_coding_sniff(head, (size_t)n);
	switch (coding) {
	case CODING_PLAIN:
		return open_plain(archive, job, err);
	case CODING_GZIP:
	case CODING_ZSTD:
	case CODING_XZ:
	case CODING_BZIP2:
		return open_compressed(archive, job, err);
	case CODING_UNKNOWN:
		break;
	}
	return error_set(err, EIO, "not a tar archive");
}

int archive_open(struct bundle **ret, const struct archive_job *job, struct error *err)
{
	CLEANUP(bundlep) struct bundle *bundle = NULL;
	struct archive *archive = calloc(1, sizeof *archive);
	int rc;

	if (!archive)
		return error_set(err, ENOMEM, "out of memory");
	archive->base.ops = &archive_ops;
	bundle = &archive->base;
	rc = open_any(archive, job, err);
	if (rc)
		return rc;
	*ret = TAKE(bundle);
	return 0;
}
