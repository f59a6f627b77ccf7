/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inflate by ISA-L, about twice as fast as zlib.
 *
 * It stops at no block's end but that of the last one, which the flag bfinal of a block's header
 * announces, and which it keeps in its state while it decodes the block.  So when a place between
 * blocks is wanted, bfinal is set from outside, and put right when it has stopped:
 *
 *	... block | header of the next block
 *	----------+---------+
 *	          ^         ^ fed so far
 *	          fed * 8 - tmp_in_size * 8 - read_in_length
 *
 * A call that begins before a block or in its header takes its flag from there, and so runs on
 * past its end: the next will do.
 *
 * What was decoded and had no room waits in tmp_out_buffer, behind the last 32 KiB that
 * were given out: a place counts only when nothing waits.  At the end of a stream ISA-L does
 * not put these 32 KiB there, as nothing is to follow: where it was made to stop, we do.
 *
 * Code sets that leave codes over are taken, which zlib refuses; a code of none that is met
 * is an error here, too.
 */
#include "fetch/layer/internal.h"

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <string.h>

struct isal_inflate {
	struct inflate base;
	struct inflate_state z;
	uint64_t taken; /* bytes since the stream began */
	uint64_t place; /* the last one told, in bits from the stream's begin */
};

static struct isal_inflate *isal_inflate_of(struct inflate *base)
{
	return container_of(base, struct isal_inflate, base);
}

static struct inflate *isal_new(void)
{
	struct isal_inflate *isal = malloc(sizeof *isal);

	if (!isal)
		return NULL;
	isal->base = (struct inflate){ .ops = &inflate_isal_ops };
	isal->taken = isal->place = 0;
	isal_inflate_init(&isal->z);
	return &isal->base;
}

static void isal_free(struct inflate *base)
{
	free(isal_inflate_of(base));
}

static void isal_reset(struct inflate *base)
{
	struct isal_inflate *isal = isal_inflate_of(base);

	isal->taken = isal->place = 0;
	isal_inflate_reset(&isal->z);
}

static int isal_enter(
	struct inflate *base, unsigned value, unsigned count, const void *window, size_t window_len)
{
	struct isal_inflate *isal = isal_inflate_of(base);

	isal->z.read_in = value;
	isal->z.read_in_length = (int32_t)count;
	if (window_len && isal_inflate_set_dict(&isal->z, (void *)window, (uint32_t)window_len))
		return -EIO;
	return 0;
}

/* How many of the bytes are to be fed at once. */
static size_t portion(const struct inflate_state *z, size_t left)
{
	size_t most = READ_PIECE;

	if (z->block_state == ISAL_BLOCK_HDR)
		most = sizeof z->tmp_in_buffer - (size_t)z->tmp_in_size;
	return left < most ? left : most;
}

static bool is_in_block(const struct inflate_state *z)
{
	return z->block_state == ISAL_BLOCK_CODED || z->block_state == ISAL_BLOCK_TYPE0;
}

/* What isal_inflate() does where a stream goes on.  It has just put len bytes below end. */
static void keep_window(struct inflate_state *z, const uint8_t *end, size_t len)
{
	size_t processed = (size_t)z->tmp_out_processed;
	size_t waiting = (size_t)z->tmp_out_valid - processed;

	if (len >= SPAN_WINDOW) {
		memmove(z->tmp_out_buffer + SPAN_WINDOW, z->tmp_out_buffer + processed, waiting);
		memcpy(z->tmp_out_buffer, end - SPAN_WINDOW, SPAN_WINDOW);
	} else if (processed > SPAN_WINDOW) {
		memmove(z->tmp_out_buffer, z->tmp_out_buffer + processed - SPAN_WINDOW,
			SPAN_WINDOW + waiting);
	} else {
		return;
	}
	z->tmp_out_processed = SPAN_WINDOW;
	z->tmp_out_valid = (int32_t)(SPAN_WINDOW + waiting);
}

/* isal_inflate() up to the end of the block at hand. */
static int inflate_block(struct inflate_state *z)
{
	uint32_t bfinal = z->bfinal, room = z->avail_out;
	int rc;

	z->bfinal = 1;
	rc = isal_inflate(z);
	z->bfinal = bfinal;
	if (rc < 0 || bfinal || is_in_block(z))
		return rc;
	z->block_state = ISAL_BLOCK_NEW_HDR;
	keep_window(z, z->next_out, room - z->avail_out);
	return rc;
}

static bool is_between_blocks(struct isal_inflate *isal)
{
	const struct inflate_state *z = &isal->z;
	unsigned unused = (unsigned)(z->tmp_in_size * 8 + z->read_in_length);
	uint64_t place = isal->taken * 8 - unused;

	if (z->block_state != ISAL_BLOCK_HDR && z->block_state != ISAL_BLOCK_NEW_HDR)
		return false;
	if (z->tmp_out_processed != z->tmp_out_valid || place == isal->place)
		return false;
	isal->place = place;
	isal->base.unused_bits = unused;
	isal->base.head = (uint8_t)(z->read_in & ((1U << z->read_in_length % 8) - 1));
	return true;
}

/* The bytes it took from behind the stream's end. */
static void give_excess(struct isal_inflate *isal)
{
	const struct inflate_state *z = &isal->z;
	uint64_t bits = z->read_in >> (z->read_in_length % 8);

	isal->base.excess_len = (unsigned)z->read_in_length / 8;
	for (unsigned i = 0; i < isal->base.excess_len; i++, bits >>= 8)
		isal->base.excess[i] = (uint8_t)bits;
}

static const char *why(int rc)
{
	switch (rc) {
	case ISAL_INVALID_BLOCK:
		return "invalid block type or header";
	case ISAL_INVALID_SYMBOL:
		return "invalid code";
	case ISAL_INVALID_LOOKBACK:
		return "invalid distance, too far back";
	}
	return "damaged data";
}

static int isal_step(struct inflate *base, struct bytes *in, uint8_t *out, size_t room,
	bool stop_at_blocks, size_t *ret_len, const char **ret_why)
{
	struct isal_inflate *isal = isal_inflate_of(base);
	struct inflate_state *z = &isal->z;
	size_t given = portion(z, in->left), taken;
	int rc;

	z->next_in = (uint8_t *)in->next;
	z->avail_in = (uint32_t)given;
	z->next_out = out;
	z->avail_out = (uint32_t)room;
	rc = stop_at_blocks && is_in_block(z) ? inflate_block(z) : isal_inflate(z);
	taken = given - z->avail_in;
	in->next += taken;
	in->left -= taken;
	isal->taken += taken;
	*ret_len = room - z->avail_out;
	if (rc < 0) {
		*ret_why = why(rc);
		return -EIO;
	}
	if (z->block_state == ISAL_BLOCK_FINISH) {
		give_excess(isal);
		return INFLATE_END;
	}
	if (in->left && !taken && !*ret_len && z->block_state == ISAL_BLOCK_HDR) {
		*ret_why = "a block's header without an end"; /* longer than any can be */
		return -EIO;
	}
	return stop_at_blocks && is_between_blocks(isal) ? INFLATE_BLOCK : INFLATE_MORE;
}

static size_t isal_window(struct inflate *base, uint8_t window[static SPAN_WINDOW])
{
	const struct inflate_state *z = &isal_inflate_of(base)->z;
	size_t valid = (size_t)z->tmp_out_valid;
	size_t len = valid < SPAN_WINDOW ? valid : SPAN_WINDOW;

	memcpy(window, z->tmp_out_buffer + valid - len, len);
	return len;
}

static uint32_t isal_crc32(uint32_t crc, const void *bytes, size_t len)
{
	return crc32_gzip_refl(crc, bytes, len);
}

const struct inflate_ops inflate_isal_ops = {
	"ISA-L",
	isal_new,
	isal_free,
	isal_reset,
	isal_enter,
	isal_step,
	isal_window,
	isal_crc32,
};
