/* SPDX-License-Identifier: Apache-2.0 */
/*
 * There is no way into an xz stream worth the name: its blocks are as long as the stream, as
 * nearly everybody makes it.  So all of it goes to the spool.
 *
 * liblzma verifies the integrity checks, and passes over stream padding.  A dictionary of more
 * than XZ_MEMORY_MAX is refused, as zstd's windows are: no preset of xz(1) has half as much.
 */
#include "fetch/layer/internal.h"

#include <inttypes.h>
#include <lzma.h>

struct xz_codec {
	struct codec base;
	lzma_stream stream;
};

static struct xz_codec *xz_codec(struct codec *codec)
{
	return container_of(codec, struct xz_codec, base);
}

static int xz_error(const struct xz_codec *xz, lzma_ret result, struct error *err)
{
	const char *why = "damaged data";
	int errnum = EIO;

	switch (result) {
	case LZMA_MEM_ERROR:
		return error_set(err, ENOMEM, "index a layer: out of memory");
	case LZMA_MEMLIMIT_ERROR:
		errnum = EFBIG;
		why = "its dictionary needs too much memory";
		break;
	case LZMA_OPTIONS_ERROR:
		errnum = EOPNOTSUPP;
		why = "made with options that are not supported";
		break;
	case LZMA_BUF_ERROR:
		why = "ends inside a stream";
		break;
	default:
		break;
	}
	return error_set(
		err, errnum, "xz, offset %" PRIu64 ": %s", (uint64_t)xz->stream.total_in, why);
}

/* Decodes all there is: to the end of the input or, when no more follows, of the stream. */
static int run(struct xz_codec *xz, struct bytes in, lzma_action action, struct error *err)
{
	struct cutter *cutter = xz->base.cutter;
	lzma_stream *stream = &xz->stream;
	lzma_ret result;
	size_t room;
	int rc;

	stream->next_in = in.next;
	stream->avail_in = in.left;
	do {
		stream->next_out = cutter_room(cutter, &room);
		stream->avail_out = room;
		result = lzma_code(stream, action);
		if (result == LZMA_BUF_ERROR && action == LZMA_RUN)
			result = LZMA_OK; /* it was asked for output that is not there yet */
		if (result != LZMA_OK && result != LZMA_STREAM_END)
			return xz_error(xz, result, err);
		rc = cutter_put(cutter, room - stream->avail_out, err);
	} while (!rc && result == LZMA_OK &&
		 (action == LZMA_FINISH || stream->avail_in || !stream->avail_out));
	return rc;
}

static int xz_feed(struct codec *codec, struct bytes piece, struct error *err)
{
	return run(xz_codec(codec), piece, LZMA_RUN, err);
}

static int xz_finish(struct codec *codec, struct error *err)
{
	struct xz_codec *xz = xz_codec(codec);
	int rc = run(xz, (struct bytes){ NULL, 0 }, LZMA_FINISH, err);

	return rc ? rc : cutter_finish(codec->cutter, xz->stream.total_in, err);
}

static void xz_free(struct codec *codec)
{
	struct xz_codec *xz = xz_codec(codec);

	lzma_end(&xz->stream);
	free(xz);
}

static const struct codec_ops xz_ops = { xz_feed, xz_finish, xz_free };

int codec_xz_new(struct codec **ret, struct cutter *cutter, struct error *err)
{
	CLEANUP(freep) struct xz_codec *xz = calloc(1, sizeof *xz);
	lzma_ret result;
	int rc;

	if (!xz)
		return error_set(err, ENOMEM, "index a layer: out of memory");
	rc = cutter_spool(cutter, err);
	if (rc)
		return rc;
	xz->base = (struct codec){ &xz_ops, cutter };
	xz->stream = (lzma_stream)LZMA_STREAM_INIT;
	result = lzma_stream_decoder(&xz->stream, XZ_MEMORY_MAX, LZMA_CONCATENATED);
	if (result != LZMA_OK)
		return xz_error(xz, result, err);
	*ret = &TAKE(xz)->base;
	return 0;
}
