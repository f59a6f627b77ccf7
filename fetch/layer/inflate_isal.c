/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inflate by ISA-L, about twice as fast as zlib.
 *
 * It cannot stop between blocks.  But a block's header that is not all there yet leaves it in
 * ISAL_BLOCK_HDR, with what came of the header in tmp_in_buffer: so when a place between
 * blocks is wanted, it is fed HUNT bytes at a time, less than most headers have.
 *
 *	... block | header of the next block
 *	----------+--------+
 *	          ^        ^ fed so far
 *	          fed * 8 - tmp_in_size * 8 - read_in_length
 *
 * A stored block is fed up to its last byte.  Some places are passed unseen (between blocks
 * of fixed codes most are): the next will do.
 *
 * What was decoded and had no room waits in tmp_out_buffer, behind the last 32 KiB that
 * were given out: a place counts only when nothing waits.
 *
 * Code sets that leave codes over are taken, which zlib refuses; a code of none that is met
 * is an error here, too.
 */
#include "fetch/layer/internal.h"

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <string.h>

enum { HUNT = 64 };

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
static size_t portion(const struct inflate_state *z, size_t left, bool stop_at_blocks)
{
	size_t most = stop_at_blocks ? HUNT : STORED_PIECE;

	if (z->block_state == ISAL_BLOCK_HDR) {
		size_t room = sizeof z->tmp_in_buffer - (size_t)z->tmp_in_size;

		most = most < room ? most : room;
	}
	if (z->block_state == ISAL_BLOCK_TYPE0 && stop_at_blocks) {
		int32_t held = z->read_in_length / 8;

		most = z->type0_block_len > held ? (size_t)(z->type0_block_len - held) : 0;
	}
	return left < most ? left : most;
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
	size_t given = portion(z, in->left, stop_at_blocks), taken;
	int rc;

	z->next_in = (uint8_t *)in->next;
	z->avail_in = (uint32_t)given;
	z->next_out = out;
	z->avail_out = (uint32_t)room;
	rc = isal_inflate(z);
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
