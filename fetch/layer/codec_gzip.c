/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A span starts at a member, or between two deflate blocks with the 32 KiB before as its
 * window.
 *
 * The engine is asked to stop between blocks only when the current span is long enough.
 * Before that it runs on to exactly that length; it may then have passed a block's end
 * or not, depending on where the input was split: a block that ends exactly there does
 * not count.
 */
#include "fetch/layer/internal.h"

struct gzip_codec {
	struct codec base;
	struct gunzip gunzip;
	uint8_t window[SPAN_WINDOW];
};

static struct gzip_codec *gzip_codec(struct codec *codec)
{
	return container_of(codec, struct gzip_codec, base);
}

/* Where the next bytes go, and whether to look out for blocks. */
static uint8_t *gzip_room(const struct codec *codec, size_t *ret_room, bool *ret_blocks)
{
	const struct cutter *cutter = codec->cutter;
	uint8_t *out = cutter_room(codec->cutter, ret_room);

	*ret_blocks = cutter->span.in_spool || cutter->span.plain_len >= cutter->span_min;
	if (!*ret_blocks)
		*ret_room = cutter->span_min - cutter->span.plain_len;
	return out;
}

static int at_block(struct gzip_codec *gzip, struct error *err)
{
	struct cutter *cutter = gzip->base.cutter;
	struct inflate *inflate = gzip->gunzip.inflate;
	uint64_t bit = gzip->gunzip.block_bit;
	struct span start = {
		.stored_offset = (bit + 7) / 8,
		.start = SPAN_DEFLATE,
		.bits = -bit % 8,
		.head = inflate->head,
	};
	size_t window_len;

	if (!cutter->span.in_spool && cutter->span.plain_len == cutter->span_min)
		return 0;
	window_len = inflate->ops->window(inflate, gzip->window);
	return cutter_boundary(cutter, &start, gzip->window, window_len, err);
}

static int at_member(struct gzip_codec *gzip, struct error *err)
{
	struct span start = { .stored_offset = gzip->gunzip.offset, .start = SPAN_GZIP };

	return cutter_boundary(gzip->base.cutter, &start, NULL, 0, err);
}

static int at_event(struct gzip_codec *gzip, enum gunzip_event event, struct error *err)
{
	switch (event) {
	case GUNZIP_MORE:
		return 0;
	case GUNZIP_BLOCK:
		return at_block(gzip, err);
	case GUNZIP_MEMBER:
		return at_member(gzip, err);
	case GUNZIP_END:
		return cutter_finish(gzip->base.cutter, gzip->gunzip.offset, err);
	}
	return 0;
}

/* n bytes came out; they belong to the span at hand. */
static int put(struct gzip_codec *gzip, size_t n, struct error *err)
{
	struct cutter *cutter = gzip->base.cutter;
	struct span *span = &cutter->span;

	span->crc = (uint32_t)crc32_combine(span->crc, gzip->gunzip.step_crc, (z_off_t)n);
	return cutter_put(cutter, n, err);
}

static int gzip_feed(struct codec *codec, struct bytes in, struct error *err)
{
	struct gzip_codec *gzip = gzip_codec(codec);
	size_t room, n;
	bool stop_at_blocks;
	int event, rc;

	do {
		uint8_t *out = gzip_room(codec, &room, &stop_at_blocks);

		event = gunzip_step(&gzip->gunzip, &in, out, room, stop_at_blocks, &n, err);
		if (event < 0)
			return event;
		rc = n ? put(gzip, n, err) : 0;
		if (!rc)
			rc = at_event(gzip, (enum gunzip_event)event, err);
	} while (!rc && (in.left || n == room || event == GUNZIP_BLOCK));
	return rc;
}

static int gzip_finish(struct codec *codec, struct error *err)
{
	struct gzip_codec *gzip = gzip_codec(codec);
	int rc;

	rc = gunzip_finish(&gzip->gunzip, err);
	return rc ? rc : cutter_finish(codec->cutter, gzip->gunzip.offset, err);
}

static void gzip_free(struct codec *codec)
{
	struct gzip_codec *gzip = gzip_codec(codec);

	gunzip_release(&gzip->gunzip);
	free(gzip);
}

static const struct codec_ops gzip_ops = { gzip_feed, gzip_finish, gzip_free };

int codec_gzip_new(struct codec **ret, struct cutter *cutter, struct error *err)
{
	CLEANUP(freep) struct gzip_codec *gzip = malloc(sizeof *gzip);
	int rc;

	if (!gzip)
		return error_set(err, ENOMEM, "index a layer: out of memory");
	rc = cutter_keep(cutter, SPAN_SIZE_MAX, err);
	if (rc)
		return rc;
	rc = gunzip_init(&gzip->gunzip, 0, true, err);
	if (rc)
		return rc;
	gzip->base = (struct codec){ &gzip_ops, cutter };
	cutter->span.start = SPAN_GZIP;
	*ret = &TAKE(gzip)->base;
	return 0;
}
