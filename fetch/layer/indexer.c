/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pass in steps of STORED_PIECE bytes, however the bytes come, so that the index does not
 * depend on it: sha256 of the blob, then the codec, which pushes into the cutter, which pushes
 * the plain bytes on into sink() here.
 *
 *	undecided --first step--> decoding --bad data--> hashing only
 *
 * A tar that proves malformed only ends the parsing: digest of the plain stream and spans
 * are still made, so that the stream itself can be shown.
 */
#include "fetch/layer/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/descriptor.h"
#include "model/tar/tar.h"

enum { SNIFF = 512 };

struct indexer {
	struct digest digest; /* what the blob must prove to be; not set: to be found out */
	uint64_t size;
	struct hasher *blob_hash;
	uint64_t fed; /* stored bytes so far */

	uint8_t *piece; /* collects STORED_PIECE bytes */
	size_t piece_len;
	bool is_decided; /* the coding is known */
	enum media_coding coding;
	struct codec *codec; /* NULL while undecided, and when there is nothing to decode */
	struct cutter cutter;

	struct hasher *diff_hash;
	struct tar_parser *parser;
	struct tree_builder *builder;

	int decode_status; /* there is no plain stream, and why */
	int tree_status;   /* there is no tree, and why */
	char message[sizeof((struct layer *)0)->message];
};

/* What is made of each coding. */
static const struct {
	codec_new_fn *open;
	int status; /* when there is no codec */
	const char *message;
} codings[] = {
	[CODING_UNKNOWN] = { NULL, -EIO, "not a tar archive" },
	[CODING_PLAIN] = { codec_plain_new, 0, NULL },
	[CODING_GZIP] = { codec_gzip_new, 0, NULL },
	[CODING_ZSTD] = { codec_zstd_new, 0, NULL },
	[CODING_XZ] = { NULL, -EOPNOTSUPP, "xz compression is not supported" },
	[CODING_BZIP2] = { NULL, -EOPNOTSUPP, "bzip2 compression is not supported" },
};

static void codec_free(struct codec *codec)
{
	if (codec)
		codec->ops->free(codec);
}

/* Why there is no tree: the first cause, unless it turns out that there is no stream either. */
static void set_message(struct indexer *indexer, const char *text)
{
	(void)snprintf(indexer->message, sizeof indexer->message, "%s", text);
}

static void fail_tree(struct indexer *indexer, int rc, const char *text)
{
	indexer->tree_status = rc;
	set_message(indexer, text);
	tar_parser_free(TAKE(indexer->parser));
	tree_builder_free(TAKE(indexer->builder));
}

static void fail_decode(struct indexer *indexer, int rc, const char *text)
{
	fail_tree(indexer, rc, text);
	indexer->decode_status = rc;
	codec_free(TAKE(indexer->codec));
}

/* cutter_sink_fn: the plain bytes, in order. */
static int sink(void *context, const void *bytes, size_t len, struct error *err)
{
	struct indexer *indexer = context;
	struct error why = { "" };
	int rc;

	rc = hasher_update(indexer->diff_hash, bytes, len, err);
	if (rc || indexer->tree_status)
		return rc;
	rc = tar_parser_feed(indexer->parser, bytes, len, &why);
	if (rc == -ENOMEM)
		return error_set(err, ENOMEM, "%s", why.text);
	if (rc)
		fail_tree(indexer, rc, why.text);
	return 0;
}

CLEANUP_POINTER(indexerp, struct indexer, indexer_free)

int indexer_new(struct indexer **ret, const struct digest *digest, uint64_t size,
	indexer_spool_fn *spool, void *context, struct error *err)
{
	CLEANUP(indexerp) struct indexer *indexer = calloc(1, sizeof *indexer);
	int rc;

	if (!indexer)
		return error_set(err, ENOMEM, "index a layer: out of memory");
	if (digest)
		indexer->digest = *digest;
	indexer->size = size;
	indexer->piece = malloc(STORED_PIECE);
	if (!indexer->piece)
		return error_set(err, ENOMEM, "index a layer: out of memory");
	rc = cutter_init(&indexer->cutter, spool, context, sink, indexer, err);
	if (!rc)
		rc = hasher_new(
			&indexer->blob_hash, digest ? digest->algorithm : DIGEST_SHA256, err);
	if (!rc)
		rc = hasher_new(&indexer->diff_hash, DIGEST_SHA256, err);
	if (!rc)
		rc = tree_builder_new(&indexer->builder, err);
	if (!rc)
		rc = tar_parser_new(&indexer->parser, tree_builder_add, indexer->builder, err);
	if (rc)
		return rc;
	*ret = TAKE(indexer);
	return 0;
}

void indexer_set_cancel(struct indexer *indexer, struct cancel *cancel)
{
	indexer->cutter.cancel = cancel;
}

void indexer_free(struct indexer *indexer)
{
	if (!indexer)
		return;
	codec_free(indexer->codec);
	cutter_release(&indexer->cutter);
	tar_parser_free(indexer->parser);
	tree_builder_free(indexer->builder);
	hasher_free(indexer->diff_hash);
	hasher_free(indexer->blob_hash);
	free(indexer->piece);
	free(indexer);
}

/* Sorts a codec's result: the blob's fault is noted, ours ends the pass. */
static int judge(struct indexer *indexer, int rc, const struct error *why, struct error *err)
{
	if (!rc)
		return 0;
	if (indexer->cutter.broken || rc == -ENOMEM)
		return error_set(err, -rc, "%s", why->text);
	fail_decode(indexer, rc, why->text);
	return 0;
}

/* The first bytes of the blob tell the codec. */
static int decide(struct indexer *indexer, struct bytes in, struct error *err)
{
	enum media_coding coding = media_coding_sniff(in.next, in.left < SNIFF ? in.left : SNIFF);

	indexer->is_decided = true;
	indexer->coding = coding;
	if (codings[coding].open)
		return codings[coding].open(&indexer->codec, &indexer->cutter, err);
	fail_decode(indexer, codings[coding].status, codings[coding].message);
	return 0;
}

/* One step of the pass: with all that was collected. */
static int step(struct indexer *indexer, struct error *err)
{
	struct bytes in = { indexer->piece, indexer->piece_len };
	struct error why = { "" };
	int rc;

	indexer->piece_len = 0;
	rc = hasher_update(indexer->blob_hash, in.next, in.left, err);
	if (!rc && !indexer->is_decided)
		rc = decide(indexer, in, err);
	if (rc || !indexer->codec || !in.left)
		return rc;
	rc = indexer->codec->ops->feed(indexer->codec, in, &why);
	return judge(indexer, rc, &why, err);
}

int indexer_feed(struct indexer *indexer, const void *bytes, size_t len, struct error *err)
{
	const uint8_t *next = bytes;
	int rc = 0;

	if (indexer->size != DESCRIPTOR_SIZE_UNKNOWN && len > indexer->size - indexer->fed)
		return error_set(err, EBADMSG, "more than the %" PRIu64 " bytes it should have",
			indexer->size);
	indexer->fed += len;
	while (!rc && len) {
		size_t room = STORED_PIECE - indexer->piece_len, n = len < room ? len : room;

		memcpy(indexer->piece + indexer->piece_len, next, n);
		indexer->piece_len += n;
		next += n;
		len -= n;
		if (n == room)
			rc = step(indexer, err);
	}
	return rc;
}

static int verify(struct indexer *indexer, struct error *err)
{
	char want[DIGEST_TEXT_MAX], have[DIGEST_TEXT_MAX];
	struct digest digest;
	int rc;

	if (indexer->size != DESCRIPTOR_SIZE_UNKNOWN && indexer->fed != indexer->size)
		return error_set(err, EBADMSG,
			"%" PRIu64 " bytes, not the %" PRIu64 " it should have", indexer->fed,
			indexer->size);
	rc = hasher_final(indexer->blob_hash, &digest, err);
	if (!rc && !digest_is_set(&indexer->digest))
		indexer->digest = digest;
	if (rc || digest_equal(&digest, &indexer->digest))
		return rc;
	return error_set(err, EBADMSG, "its digest is %s, not %s", digest_format(&digest, have),
		digest_format(&indexer->digest, want));
}

/* Ends the decoding of a blob that is all there. */
static int finish_decode(struct indexer *indexer, struct error *err)
{
	struct error why = { "" };

	if (!indexer->codec)
		return 0;
	return judge(indexer, indexer->codec->ops->finish(indexer->codec, &why), &why, err);
}

static int finish_tree(
	struct indexer *indexer, void **ret_image, size_t *ret_len, struct error *err)
{
	struct error why = { "" };
	int rc;

	if (indexer->tree_status)
		return 0;
	rc = tar_parser_finish(indexer->parser, &why);
	if (!rc)
		rc = tree_builder_finish(indexer->builder, ret_image, ret_len, &why);
	if (rc == -ENOMEM)
		return error_set(err, ENOMEM, "%s", why.text);
	if (rc)
		fail_tree(indexer, rc, why.text);
	return 0;
}

/* The facts for the index's header. */
static int describe(struct indexer *indexer, struct layer *layer, struct error *err)
{
	const struct cutter *cutter = &indexer->cutter;

	*layer = (struct layer){
		.digest = indexer->digest,
		.stored_size = indexer->fed,
		.coding = indexer->coding,
		.status = indexer->tree_status,
	};
	memcpy(layer->message, indexer->message, sizeof layer->message);
	if (indexer->builder)
		layer->dropped = tree_builder_dropped(indexer->builder);
	if (indexer->decode_status)
		return 0;
	layer->plain_size = cutter->span.plain_offset;
	return hasher_final(indexer->diff_hash, &layer->diff_id, err);
}

int indexer_finish(struct indexer *indexer, int index_fd, struct error *err)
{
	const struct cutter *cutter = &indexer->cutter;
	CLEANUP(freep) void *tree = NULL;
	struct layer layer;
	struct index_parts parts = { .layer = &layer };
	int rc;

	rc = step(indexer, err);
	if (!rc)
		rc = verify(indexer, err);
	if (!rc)
		rc = finish_decode(indexer, err);
	if (!rc)
		rc = finish_tree(indexer, &tree, &parts.tree_len, err);
	if (!rc)
		rc = describe(indexer, &layer, err);
	if (rc)
		return rc;
	parts.tree = tree;
	if (!indexer->decode_status) {
		parts.spans = cutter->spans;
		parts.span_count = cutter->span_count;
		parts.window_table = cutter->window_table;
		parts.window_count = cutter->window_count;
		parts.windows = cutter->windows.data;
		parts.windows_len = cutter->windows.len;
		parts.spool_size = cutter->spool_size;
	}
	return index_write(index_fd, &parts, err);
}

const struct digest *indexer_digest(const struct indexer *indexer)
{
	return &indexer->digest;
}
