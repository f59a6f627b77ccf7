/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inflate by zlib, which can stop between blocks (Z_BLOCK).
 */
#include "fetch/layer/internal.h"

struct zlib_inflate {
	struct inflate base;
	z_stream z;   /* raw inflate */
	uint8_t last; /* byte taken */
};

static struct zlib_inflate *zlib_inflate(struct inflate *base)
{
	return container_of(base, struct zlib_inflate, base);
}

static struct inflate *zlib_new(void)
{
	CLEANUP(freep) struct zlib_inflate *zlib = calloc(1, sizeof *zlib);

	if (!zlib || inflateInit2(&zlib->z, -MAX_WBITS) != Z_OK)
		return NULL;
	zlib->base.ops = &inflate_zlib_ops;
	return &TAKE(zlib)->base;
}

static void zlib_free(struct inflate *base)
{
	struct zlib_inflate *zlib = zlib_inflate(base);

	(void)inflateEnd(&zlib->z); /* fails only on a stream never begun */
	free(zlib);
}

static void zlib_reset(struct inflate *base)
{
	(void)inflateReset(&zlib_inflate(base)->z); /* the stream is a good one */
}

static int zlib_enter(
	struct inflate *base, unsigned value, unsigned count, const void *window, size_t window_len)
{
	z_stream *z = &zlib_inflate(base)->z;

	if (count && inflatePrime(z, (int)count, (int)value) != Z_OK)
		return -EIO;
	if (window_len && inflateSetDictionary(z, window, (uInt)window_len) != Z_OK)
		return -ENOMEM;
	return 0;
}

/* The end of a block can be reached without a byte of input or output, from bits that zlib
 * holds: it says Z_BUF_ERROR then, which is none. */
static int zlib_step(struct inflate *base, struct bytes *in, uint8_t *out, size_t room,
	bool stop_at_blocks, size_t *ret_len, const char **ret_why)
{
	struct zlib_inflate *zlib = zlib_inflate(base);
	z_stream *z = &zlib->z;
	size_t given = in->left < READ_PIECE ? in->left : READ_PIECE;
	int rc;

	z->next_in = (Bytef *)in->next;
	z->avail_in = (uInt)given;
	z->next_out = out;
	z->avail_out = (uInt)room;
	rc = inflate(z, stop_at_blocks ? Z_BLOCK : Z_NO_FLUSH);
	in->next += given - z->avail_in;
	in->left -= given - z->avail_in;
	*ret_len = room - z->avail_out;
	if (given > z->avail_in)
		zlib->last = in->next[-1];
	base->unused_bits = (unsigned)z->data_type & 7;
	base->head = (uint8_t)(zlib->last >> (8 - base->unused_bits));
	if (rc == Z_STREAM_END)
		return INFLATE_END;
	if (rc == Z_MEM_ERROR)
		return -ENOMEM;
	if (rc != Z_OK && rc != Z_BUF_ERROR) {
		*ret_why = z->msg ? z->msg : "damaged data";
		return -EIO;
	}
	/* zlib.h: 128 is set right behind a block, 64 behind the last one. */
	return stop_at_blocks && (z->data_type & (128 | 64)) == 128 ? INFLATE_BLOCK : INFLATE_MORE;
}

static size_t zlib_window(struct inflate *base, uint8_t window[static SPAN_WINDOW])
{
	uInt len = 0;

	(void)inflateGetDictionary(&zlib_inflate(base)->z, window, &len);
	return len;
}

static uint32_t zlib_crc32(uint32_t crc, const void *bytes, size_t len)
{
	return (uint32_t)crc32_z(crc, bytes, len);
}

const struct inflate_ops inflate_zlib_ops = {
	"zlib",
	zlib_new,
	zlib_free,
	zlib_reset,
	zlib_enter,
	zlib_step,
	zlib_window,
	zlib_crc32,
};
