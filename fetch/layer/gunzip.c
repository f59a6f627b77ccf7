/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip member (RFC 1952, section 2.3)
 *
 *	| 1f 8b | 08 | flags | mtime 4 | xfl | os |		GUNZIP_FIXED
 *	| xlen 2 | xlen bytes |					if FEXTRA
 *	| name, 0 |						if FNAME
 *	| comment, 0 |						if FCOMMENT
 *	| crc16 of all of the above |				if FHCRC
 *	| deflate ... | crc32 4 | size modulo 2^32 4 |
 *
 * The states follow each other in that order; a header field whose flag is not set is
 * passed over.  After the trailer comes another member, the end, or zeroes up to
 * the end (tapes are padded with them).
 *
 * Raw deflate is the inflate engine's work, and the framing is ours, because the pass
 * has to see every member's first byte and a span may start inside a member.
 */
#include "fetch/layer/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FHCRC = 1 << 1, FEXTRA = 1 << 2, FNAME = 1 << 3, FCOMMENT = 1 << 4, RESERVED = 0xe0 };

/* The flag that announces each header field. */
static const uint8_t field_flags[] = {
	[GUNZIP_EXTRA_LEN] = FEXTRA,
	[GUNZIP_EXTRA] = FEXTRA,
	[GUNZIP_NAME] = FNAME,
	[GUNZIP_COMMENT] = FCOMMENT,
	[GUNZIP_HEADER_CRC] = FHCRC,
};

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

__attribute__((format(printf, 3, 4))) static int malformed(
	const struct gunzip *gunzip, struct error *err, const char *fmt, ...)
{
	char what[160];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	return error_set(err, EIO, "gzip, offset %" PRIu64 ": %s", gunzip->offset, what);
}

int gunzip_init(struct gunzip *gunzip, uint64_t offset, bool is_checked, struct error *err)
{
	*gunzip = (struct gunzip){
		.inflate = inflate_engine()->new (),
		.state = GUNZIP_NEXT,
		.is_checked = is_checked,
		.offset = offset,
	};
	return gunzip->inflate ? 0 : error_set(err, ENOMEM, "gzip: out of memory");
}

void gunzip_release(struct gunzip *gunzip)
{
	if (gunzip->inflate)
		gunzip->inflate->ops->free(gunzip->inflate);
}

static void take(struct gunzip *gunzip, struct bytes *in, size_t n)
{
	in->next += n;
	in->left -= n;
	gunzip->offset += n;
}

int gunzip_enter(struct gunzip *gunzip, unsigned head, unsigned bits, const void *window,
	size_t window_len, struct error *err)
{
	int rc;

	gunzip->state = GUNZIP_BODY;
	rc = gunzip->inflate->ops->enter(gunzip->inflate, head, bits, window, window_len);
	if (rc == -ENOMEM)
		return error_set(err, ENOMEM, "gzip: out of memory");
	return rc ? malformed(gunzip, err, "no way to start %u bits before", bits) : 0;
}

/* Goes to the next field that this member has; past the last one is its body. */
static void next_field(struct gunzip *gunzip)
{
	gunzip->field_len = 0;
	do
		gunzip->state++;
	while (gunzip->state < GUNZIP_BODY && !(gunzip->flags & field_flags[gunzip->state]));
	if (gunzip->state != GUNZIP_BODY)
		return;
	gunzip->inflate->ops->reset(gunzip->inflate);
	gunzip->crc = 0;
	gunzip->plain_len = 0;
}

/* Collects a field of len bytes; true when all are there. */
static bool gather(struct gunzip *gunzip, struct bytes *in, unsigned len)
{
	size_t n = len - gunzip->field_len;

	if (n > in->left)
		n = in->left;
	memcpy(gunzip->field + gunzip->field_len, in->next, n);
	gunzip->field_len += (unsigned)n;
	take(gunzip, in, n);
	return gunzip->field_len == len;
}

static uint32_t crc_of(const struct gunzip *gunzip, const void *bytes, size_t len)
{
	return gunzip->inflate->ops->crc32(gunzip->crc, bytes, len);
}

/* len plain bytes more.  They are read once, for the member's checksum and for whatever else they
 * are a part of. */
static void count(struct gunzip *gunzip, const void *bytes, size_t len)
{
	gunzip->plain_len += len;
	if (!gunzip->is_checked || !len)
		return;
	gunzip->step_crc = gunzip->inflate->ops->crc32(0, bytes, len);
	gunzip->crc = (uint32_t)crc32_combine(gunzip->crc, gunzip->step_crc, (z_off_t)len);
}

/* Takes n bytes of the header that do not matter but to its checksum. */
static void skip(struct gunzip *gunzip, struct bytes *in, size_t n)
{
	gunzip->crc = crc_of(gunzip, in->next, n);
	take(gunzip, in, n);
}

static int step_fixed(struct gunzip *gunzip, struct bytes *in, struct error *err)
{
	const uint8_t *field = gunzip->field;

	if (!gather(gunzip, in, 10))
		return 0;
	if (field[0] != 0x1f || field[1] != 0x8b)
		return malformed(gunzip, err, "no member header");
	if (field[2] != Z_DEFLATED)
		return malformed(gunzip, err, "compression method %u", field[2]);
	if (field[3] & RESERVED)
		return malformed(gunzip, err, "reserved flags are set");
	gunzip->flags = field[3];
	gunzip->crc = 0;
	gunzip->crc = crc_of(gunzip, field, 10);
	next_field(gunzip);
	return 0;
}

static void step_extra_len(struct gunzip *gunzip, struct bytes *in)
{
	if (!gather(gunzip, in, 2))
		return;
	gunzip->extra_left = gunzip->field[0] | (unsigned)gunzip->field[1] << 8;
	gunzip->crc = crc_of(gunzip, gunzip->field, 2);
	next_field(gunzip);
}

static void step_extra(struct gunzip *gunzip, struct bytes *in)
{
	size_t n = gunzip->extra_left < in->left ? gunzip->extra_left : in->left;

	skip(gunzip, in, n);
	gunzip->extra_left -= (unsigned)n;
	if (!gunzip->extra_left)
		next_field(gunzip);
}

static void step_text(struct gunzip *gunzip, struct bytes *in)
{
	const uint8_t *end = memchr(in->next, 0, in->left);

	skip(gunzip, in, end ? (size_t)(end - in->next) + 1 : in->left);
	if (end)
		next_field(gunzip);
}

static int step_header_crc(struct gunzip *gunzip, struct bytes *in, struct error *err)
{
	if (!gather(gunzip, in, 2))
		return 0;
	if ((gunzip->crc & 0xffff) != (gunzip->field[0] | (unsigned)gunzip->field[1] << 8))
		return malformed(gunzip, err, "the header's checksum is wrong");
	next_field(gunzip);
	return 0;
}

static int step_trailer(struct gunzip *gunzip, struct bytes *in, struct error *err)
{
	if (!gather(gunzip, in, 8))
		return 0;
	if (gunzip->is_checked && le32(gunzip->field) != gunzip->crc)
		return malformed(gunzip, err, "the member's checksum is wrong");
	if (gunzip->is_checked && le32(gunzip->field + 4) != (uint32_t)gunzip->plain_len)
		return malformed(gunzip, err, "the member's size is wrong");
	gunzip->state = GUNZIP_NEXT;
	return 0;
}

static int step_padding(struct gunzip *gunzip, struct bytes *in, struct error *err)
{
	for (; in->left; take(gunzip, in, 1))
		if (*in->next)
			return malformed(gunzip, err, "garbage after the last member");
	return 0;
}

/* All states but the body and the one before a member. */
static int step_frame(struct gunzip *gunzip, struct bytes *in, struct error *err)
{
	switch (gunzip->state) {
	case GUNZIP_FIXED:
		return step_fixed(gunzip, in, err);
	case GUNZIP_EXTRA_LEN:
		step_extra_len(gunzip, in);
		return 0;
	case GUNZIP_EXTRA:
		step_extra(gunzip, in);
		return 0;
	case GUNZIP_NAME:
	case GUNZIP_COMMENT:
		step_text(gunzip, in);
		return 0;
	case GUNZIP_HEADER_CRC:
		return step_header_crc(gunzip, in, err);
	case GUNZIP_TRAILER:
		return step_trailer(gunzip, in, err);
	case GUNZIP_PADDING:
		return step_padding(gunzip, in, err);
	case GUNZIP_BODY:
	case GUNZIP_NEXT:
		break;
	}
	return 0;
}

/* The deflate stream is complete; of the trailer there may be bytes already. */
static void end_body(struct gunzip *gunzip)
{
	gunzip->field_len = gunzip->inflate->excess_len;
	memcpy(gunzip->field, gunzip->inflate->excess, gunzip->field_len);
	gunzip->state = GUNZIP_TRAILER;
}

static int step_body(struct gunzip *gunzip, struct bytes *in, uint8_t *out, size_t room,
	bool stop_at_blocks, size_t *ret_len, struct error *err)
{
	struct inflate *inflate = gunzip->inflate;
	size_t before = in->left;
	const char *why = NULL;
	int event;

	event = inflate->ops->step(inflate, in, out, room < SPAN_SIZE_MAX ? room : SPAN_SIZE_MAX,
		stop_at_blocks, ret_len, &why);
	gunzip->offset += before - in->left;
	if (event == -ENOMEM)
		return error_set(err, ENOMEM, "gzip: out of memory");
	if (event < 0)
		return malformed(gunzip, err, "%s", why);
	count(gunzip, out, *ret_len);
	if (event == INFLATE_END)
		end_body(gunzip);
	if (event != INFLATE_BLOCK)
		return GUNZIP_MORE;
	gunzip->block_bit = gunzip->offset * 8 - inflate->unused_bits;
	return GUNZIP_BLOCK;
}

int gunzip_step(struct gunzip *gunzip, struct bytes *in, uint8_t *out, size_t room,
	bool stop_at_blocks, size_t *ret_len, struct error *err)
{
	int rc;

	*ret_len = 0;
	for (;;) {
		if (gunzip->state == GUNZIP_BODY) {
			rc = step_body(gunzip, in, out, room, stop_at_blocks, ret_len, err);
			if (rc || gunzip->state == GUNZIP_BODY)
				return rc;
		}
		if (!in->left)
			return GUNZIP_MORE;
		if (gunzip->state == GUNZIP_NEXT) {
			if (*in->next == 0x1f) {
				gunzip->field_len = 0;
				gunzip->state = GUNZIP_FIXED;
				return GUNZIP_MEMBER;
			}
			gunzip->state = GUNZIP_PADDING;
			return GUNZIP_END;
		}
		rc = step_frame(gunzip, in, err);
		if (rc)
			return rc;
		if (gunzip->state == GUNZIP_BODY)
			return GUNZIP_MORE;
	}
}

int gunzip_finish(const struct gunzip *gunzip, struct error *err)
{
	if (gunzip->state == GUNZIP_NEXT || gunzip->state == GUNZIP_PADDING)
		return 0;
	return malformed(gunzip, err, "ends inside a member");
}
