/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pass in steps of STORED_PIECE bytes, however the bytes come, so that the index does not
 * depend on it: the codec, which pushes into the cutter, and the blob's digest.  The plain bytes
 * come back from hashing, into sink() here.  From HASH_APART on digests and sink are another
 * thread's work; pieces and the cutter's buffers are used again when it is through with them.
 *
 * A piece is hashed one step after it was decoded.  An engine tells of a place up to some 350 bytes
 * behind it, where the next block's header did not end; that can be in the piece before, but
 * no farther back: all pieces but the last one are full.
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

enum {
	SNIFF = 512,
	HASH_APART = 1 << 20, /* stored bytes: for less a thread is not worth it */
	PIECES = 8,           /* that may wait to be hashed */
};

struct piece {
	uint8_t *bytes; /* STORED_PIECE; NULL until there is a need */
	size_t len;
	uint64_t until; /* hashing's number: then it may be filled again */
};

struct indexer {
	struct digest digest; /* what the blob must prove to be; not set: to be found out */
	uint64_t size;
	uint64_t fed; /* stored bytes so far */

	struct piece pieces[PIECES];
	unsigned current;   /* the piece that is filled */
	struct piece *held; /* decoded, and not hashed yet; may be NULL */
	bool is_decided;    /* the coding is known */
	enum media_coding coding;
	struct codec *codec; /* NULL while undecided, and when there is nothing to decode */
	struct cutter cutter;

	struct hashing *hashing;
	struct mac_key *mac_key; /* NULL: no MACs */
	struct mac_origin mac_origin;
	struct digest diff_id; /* as found */
	int decode_status;     /* there is no plain stream, and why */

	/* The sink's, so hashing's thread's; ours before the first job and after a drain. */
	struct tar_parser *parser;
	struct tree_builder *builder;
	int tree_status; /* there is no tree, and why */
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
	[CODING_XZ] = { codec_xz_new, 0, NULL },
	[CODING_BZIP2] = { codec_bzip2_new, 0, NULL },
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
	hashing_drain(indexer->hashing); /* the sink touches what is freed here */
	fail_tree(indexer, rc, text);
	indexer->decode_status = rc;
	codec_free(TAKE(indexer->codec));
}

/* hashing_sink_fn */
static int sink(void *context, const void *bytes, size_t len, struct error *err)
{
	struct indexer *indexer = context;
	struct error why = { "" };
	int rc;

	if (indexer->tree_status)
		return 0;
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
	rc = hashing_new(
		&indexer->hashing, digest ? digest->algorithm : DIGEST_SHA256, sink, indexer, err);
	if (rc)
		return rc;
	cutter_init(&indexer->cutter, indexer->hashing, spool, context);
	rc = tree_builder_new(&indexer->builder, err);
	if (!rc)
		rc = tar_parser_new(&indexer->parser, tree_builder_add, indexer->builder, err);
	if (rc)
		return rc;
	*ret = TAKE(indexer);
	return 0;
}

int indexer_set_secret(struct indexer *indexer, const struct secret *secret, struct error *err)
{
	int rc;

	if (!secret)
		return 0;
	indexer->mac_key = mac_key_new(secret, &indexer->mac_origin);
	if (!indexer->mac_key) /* an index without is as good */
		return 0;
	rc = hashing_set_key(indexer->hashing, indexer->mac_key, err);
	return rc ? rc : cutter_set_key(&indexer->cutter, indexer->mac_key, err);
}

void indexer_set_cancel(struct indexer *indexer, struct cancel *cancel)
{
	indexer->cutter.cancel = cancel;
}

void indexer_set_limit(struct indexer *indexer, uint64_t plain_max)
{
	indexer->cutter.plain_max = plain_max;
}

void indexer_free(struct indexer *indexer)
{
	if (!indexer)
		return;
	codec_free(indexer->codec);
	hashing_free(indexer->hashing);
	cutter_release(&indexer->cutter);
	mac_key_free(indexer->mac_key);
	tar_parser_free(indexer->parser);
	tree_builder_free(indexer->builder);
	for (unsigned i = 0; i < PIECES; i++)
		free(indexer->pieces[i].bytes);
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
	if (coding == CODING_PLAIN)
		hashing_stored_is_plain(indexer->hashing);
	if (codings[coding].open)
		return codings[coding].open(&indexer->codec, &indexer->cutter, err);
	fail_decode(indexer, codings[coding].status, codings[coding].message);
	return 0;
}

static int decode(struct indexer *indexer, struct bytes in, struct error *err)
{
	struct error why = { "" };
	int rc;

	if (!indexer->codec || !in.left)
		return 0;
	rc = indexer->codec->ops->feed(indexer->codec, in, &why);
	return judge(indexer, rc, &why, err);
}

/* The plain codec may have posted some of the piece before; the last job is what counts. */
static void hash_held(struct indexer *indexer)
{
	struct piece *held = indexer->held;

	if (held)
		held->until = hashing_post_stored(indexer->hashing, held->bytes, held->len);
	indexer->held = NULL;
}

/* One step of the pass: with all that was collected. */
static int step(struct indexer *indexer, struct error *err)
{
	struct piece *piece = &indexer->pieces[indexer->current];
	struct bytes in = { piece->bytes, piece->len };
	int rc = 0;

	if (indexer->fed > HASH_APART)
		hashing_start(indexer->hashing);
	if (!indexer->is_decided)
		rc = decide(indexer, in, err);
	if (!rc)
		rc = decode(indexer, in, err);
	hash_held(indexer);
	indexer->held = piece;
	indexer->current = (indexer->current + 1) % PIECES;
	indexer->pieces[indexer->current].len = 0;
	return rc;
}

uint8_t *indexer_room(struct indexer *indexer, size_t *ret_len, struct error *err)
{
	struct piece *piece = &indexer->pieces[indexer->current];

	if (!piece->bytes)
		piece->bytes = malloc(STORED_PIECE);
	if (!piece->bytes) {
		(void)error_set(err, ENOMEM, "index a layer: out of memory");
		return NULL;
	}
	hashing_wait(indexer->hashing, piece->until);
	piece->until = 0;
	*ret_len = STORED_PIECE - piece->len;
	return piece->bytes + piece->len;
}

int indexer_put(struct indexer *indexer, size_t n, struct error *err)
{
	if (indexer->size != DESCRIPTOR_SIZE_UNKNOWN && n > indexer->size - indexer->fed)
		return error_set(err, EBADMSG, "more than the %" PRIu64 " bytes it should have",
			indexer->size);
	indexer->fed += n;
	indexer->pieces[indexer->current].len += n;
	return indexer->pieces[indexer->current].len == STORED_PIECE ? step(indexer, err) : 0;
}

static int verify(struct indexer *indexer, struct error *err)
{
	char want[DIGEST_TEXT_MAX], have[DIGEST_TEXT_MAX];
	struct digest digest;
	int rc;

	rc = hashing_finish(indexer->hashing, &digest, &indexer->diff_id, err);
	if (rc)
		return rc;
	if (indexer->size != DESCRIPTOR_SIZE_UNKNOWN && indexer->fed != indexer->size)
		return error_set(err, EBADMSG,
			"%" PRIu64 " bytes, not the %" PRIu64 " it should have", indexer->fed,
			indexer->size);
	if (!digest_is_set(&indexer->digest))
		indexer->digest = digest;
	if (digest_equal(&digest, &indexer->digest))
		return 0;
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
static void describe(const struct indexer *indexer, struct layer *layer)
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
		return;
	layer->plain_size = cutter->span.plain_offset;
	layer->diff_id = indexer->diff_id;
}

int indexer_finish(struct indexer *indexer, int index_fd, struct error *err)
{
	struct cutter *cutter = &indexer->cutter;
	CLEANUP(freep) void *tree = NULL;
	struct layer layer;
	struct index_parts parts = { .layer = &layer };
	int rc;

	rc = step(indexer, err);
	if (!rc)
		rc = finish_decode(indexer, err);
	hash_held(indexer);
	if (!rc)
		rc = verify(indexer, err);
	if (!rc)
		rc = finish_tree(indexer, &tree, &parts.tree_len, err);
	if (rc)
		return rc;
	describe(indexer, &layer);
	parts.tree = tree;
	if (!indexer->decode_status) {
		parts.spans = cutter->spans;
		parts.span_count = cutter->span_count;
		parts.spool_size = cutter->spool_size;
		if (indexer->mac_key)
			parts.mac_origin = indexer->mac_origin;
		hashing_describe(indexer->hashing, cutter->spans, cutter->span_count, &parts);
	}
	return index_write(index_fd, &parts, err);
}

const struct digest *indexer_digest(const struct indexer *indexer)
{
	return &indexer->digest;
}
