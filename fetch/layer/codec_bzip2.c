/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bzip2 block could be entered, but libbzip2 knows no way to.  So all of it goes to the spool.
 *
 * Streams may follow one another, as pbzip2 writes them.  libbzip2 verifies their checksums.
 */
#include "fetch/layer/internal.h"

#include <bzlib.h>
#include <inttypes.h>

struct bzip2_codec {
	struct codec base;
	bz_stream stream;
	uint64_t offset; /* stored bytes so far */
	bool in_stream;
};

static struct bzip2_codec *bzip2_codec(struct codec *codec)
{
	return container_of(codec, struct bzip2_codec, base);
}

static int bzip2_error(const struct bzip2_codec *bzip2, int result, struct error *err)
{
	const char *why = "damaged data";

	if (result == BZ_MEM_ERROR)
		return error_set(err, ENOMEM, "index a layer: out of memory");
	if (result == BZ_DATA_ERROR_MAGIC)
		why = "garbage where a stream should begin";
	return error_set(err, EIO, "bzip2, offset %" PRIu64 ": %s", bzip2->offset, why);
}

static int begin_stream(struct bzip2_codec *bzip2, struct error *err)
{
	int result;

	bzip2->stream = (bz_stream){ 0 };
	result = BZ2_bzDecompressInit(&bzip2->stream, 0, 0);
	if (result != BZ_OK)
		return bzip2_error(bzip2, result, err);
	bzip2->in_stream = true;
	return 0;
}

static void end_stream(struct bzip2_codec *bzip2)
{
	if (bzip2->in_stream)
		(void)BZ2_bzDecompressEnd(&bzip2->stream);
	bzip2->in_stream = false;
}

/* Takes from in, and fills what room the cutter has. */
static int step(struct bzip2_codec *bzip2, struct bytes *in, bool *ret_is_full, struct error *err)
{
	struct cutter *cutter = bzip2->base.cutter;
	bz_stream *stream = &bzip2->stream;
	size_t room, taken;
	int result;

	stream->next_in = (char *)in->next;
	stream->avail_in = (unsigned)in->left;
	stream->next_out = (char *)cutter_room(cutter, &room);
	stream->avail_out = (unsigned)room;
	result = BZ2_bzDecompress(stream);
	taken = in->left - stream->avail_in;
	in->next += taken;
	in->left -= taken;
	bzip2->offset += taken;
	if (result != BZ_OK && result != BZ_STREAM_END)
		return bzip2_error(bzip2, result, err);
	room -= stream->avail_out;
	*ret_is_full = !stream->avail_out && result == BZ_OK;
	if (result == BZ_STREAM_END)
		end_stream(bzip2);
	return cutter_put(cutter, room, err);
}

static int bzip2_feed(struct codec *codec, struct bytes piece, struct error *err)
{
	struct bzip2_codec *bzip2 = bzip2_codec(codec);
	bool is_full = false;
	int rc = 0;

	while (!rc && (piece.left || is_full)) {
		if (!bzip2->in_stream)
			rc = begin_stream(bzip2, err);
		if (!rc)
			rc = step(bzip2, &piece, &is_full, err);
	}
	return rc;
}

static int bzip2_finish(struct codec *codec, struct error *err)
{
	struct bzip2_codec *bzip2 = bzip2_codec(codec);

	if (bzip2->in_stream)
		return error_set(
			err, EIO, "bzip2, offset %" PRIu64 ": ends inside a stream", bzip2->offset);
	return cutter_finish(codec->cutter, bzip2->offset, err);
}

static void bzip2_free(struct codec *codec)
{
	struct bzip2_codec *bzip2 = bzip2_codec(codec);

	end_stream(bzip2);
	free(bzip2);
}

static const struct codec_ops bzip2_ops = { bzip2_feed, bzip2_finish, bzip2_free };

int codec_bzip2_new(struct codec **ret, struct cutter *cutter, struct error *err)
{
	CLEANUP(freep) struct bzip2_codec *bzip2 = calloc(1, sizeof *bzip2);
	int rc;

	if (!bzip2)
		return error_set(err, ENOMEM, "index a layer: out of memory");
	rc = cutter_spool(cutter, err);
	if (rc)
		return rc;
	bzip2->base = (struct codec){ &bzip2_ops, cutter };
	*ret = &TAKE(bzip2)->base;
	return 0;
}
