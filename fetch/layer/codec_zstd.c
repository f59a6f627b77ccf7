/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A span starts at a frame (RFC 8878); inside a frame there is no way in.  Frames up to
 * ZSTD_FRAME_MAX can be spans, longer ones go to the spool from their first byte on: the buffer
 * has room for them behind small ones that do not make a span yet.
 *
 * libzstd verifies content checksums, passes over skippable frames, and keeps up to
 * 128 MiB of window where a frame demands it.
 */
#include "fetch/layer/internal.h"

#include <inttypes.h>
#include <zstd_errors.h>

struct zstd_codec {
	struct codec base;
	ZSTD_DCtx *decompressor;
	uint64_t offset; /* stored bytes so far */
	bool in_frame;
};

static struct zstd_codec *zstd_codec(struct codec *codec)
{
	return container_of(codec, struct zstd_codec, base);
}

int zstd_error(size_t code, struct error *err)
{
	int errnum;

	switch (ZSTD_getErrorCode(code)) {
	case ZSTD_error_memory_allocation:
		errnum = ENOMEM;
		break;
	case ZSTD_error_frameParameter_windowTooLarge:
		errnum = EFBIG;
		break;
	case ZSTD_error_dictionary_wrong:
	case ZSTD_error_version_unsupported:
	case ZSTD_error_frameParameter_unsupported:
		errnum = EOPNOTSUPP;
		break;
	default:
		errnum = EIO;
		break;
	}
	return error_set(err, errnum, "zstd: %s", ZSTD_getErrorName(code));
}

static int at_frame(struct zstd_codec *zstd, struct error *err)
{
	struct span start = { .stored_offset = zstd->offset, .start = SPAN_ZSTD };

	zstd->in_frame = false;
	return cutter_boundary(zstd->base.cutter, &start, NULL, 0, err);
}

static int zstd_feed(struct codec *codec, struct bytes piece, struct error *err)
{
	struct zstd_codec *zstd = zstd_codec(codec);
	ZSTD_inBuffer in = { piece.next, piece.left, 0 };
	ZSTD_outBuffer out;
	int rc;

	do {
		size_t left, before = in.pos;

		out = (ZSTD_outBuffer){ .pos = 0 };
		out.dst = cutter_room(codec->cutter, &out.size);
		left = ZSTD_decompressStream(zstd->decompressor, &out, &in);
		zstd->offset += in.pos - before;
		if (ZSTD_isError(left))
			return error_prefix(
				err, zstd_error(left, err), "offset %" PRIu64, zstd->offset);
		rc = cutter_put(codec->cutter, out.pos, err);
		if (!rc && !left)
			rc = at_frame(zstd, err);
		else if (in.pos > before)
			zstd->in_frame = true;
	} while (!rc && (in.pos < in.size || (zstd->in_frame && out.pos == out.size)));
	return rc;
}

static int zstd_finish(struct codec *codec, struct error *err)
{
	struct zstd_codec *zstd = zstd_codec(codec);

	if (zstd->in_frame)
		return error_set(
			err, EIO, "zstd, offset %" PRIu64 ": ends inside a frame", zstd->offset);
	return cutter_finish(codec->cutter, zstd->offset, err);
}

static void zstd_free(struct codec *codec)
{
	struct zstd_codec *zstd = zstd_codec(codec);

	(void)ZSTD_freeDCtx(zstd->decompressor);
	free(zstd);
}

static const struct codec_ops zstd_ops = { zstd_feed, zstd_finish, zstd_free };

int codec_zstd_new(struct codec **ret, struct cutter *cutter, struct error *err)
{
	CLEANUP(freep) struct zstd_codec *zstd = calloc(1, sizeof *zstd);
	CLEANUP(zstd_dctxp) ZSTD_DCtx *decompressor = ZSTD_createDCtx();
	int rc;

	if (!zstd || !decompressor)
		return error_set(err, ENOMEM, "index a layer: out of memory");
	(void)ZSTD_DCtx_setParameter(decompressor, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
	rc = cutter_keep(cutter, SPAN_SIZE_MIN + ZSTD_FRAME_MAX, err);
	if (rc)
		return rc;
	zstd->base = (struct codec){ &zstd_ops, cutter };
	zstd->decompressor = TAKE(decompressor);
	cutter->span.start = SPAN_ZSTD;
	*ret = &TAKE(zstd)->base;
	return 0;
}
