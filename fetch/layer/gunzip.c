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
 * zlib decodes raw deflate here, and the framing is ours, because the pass
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
		.state = GUNZIP_NEXT,
		.is_checked = is_checked,
		.offset = offset,
		.member_end = offset,
	};
	if (inflateInit2(&gunzip->z, -MAX_WBITS) != Z_OK)
		return error_set(err, ENOMEM, "gzip: out of memory");
	return 0;
}

void gunzip_release(struct gunzip *gunzip)
{
	(void)inflateEnd(&gunzip->z); /* fails only on a stream never begun */
}

static void take(struct gunzip *gunzip, struct bytes *in, size_t n)
{
	in->next += n;
	in->left -= n;
	gunzip->offset += n;
}

int gunzip_enter(struct gunzip *gunzip, struct bytes *in, unsigned bits, const void *window,
	size_t window_len, struct error *err)
{
	gunzip->state = GUNZIP_BODY;
	if (bits) {
		if (inflatePrime(&gunzip->z, (int)(8 - bits), *in->next >> bits) != Z_OK)
			return malformed(gunzip, err, "no way to start at bit %u", bits);
		take(gunzip, in, 1);
	}
	if (window_len && inflateSetDictionary(&gunzip->z, window, (uInt)window_len) != Z_OK)
		return error_set(err, ENOMEM, "gzip: out of memory");
	return 0;
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
	(void)inflateReset(&gunzip->z); /* the stream is a good one */
	gunzip->crc = crc32(0, NULL, 0);
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

/* Takes n bytes of the header that do not matter but to its checksum. */
static void skip(struct gunzip *gunzip, struct bytes *in, size_t n)
{
	gunzip->crc = crc32_z(gunzip->crc, in->next, n);
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
	gunzip->crc = crc32(0, field, 10);
	next_field(gunzip);
	return 0;
}

static void step_extra_len(struct gunzip *gunzip, struct bytes *in)
{
	if (!gather(gunzip, in, 2))
		return;
	gunzip->extra_left = gunzip->field[0] | (unsigned)gunzip->field[1] << 8;
	gunzip->crc = crc32(gunzip->crc, gunzip->field, 2);
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
	gunzip->member_end = gunzip->offset;
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

/* One call of inflate().  The end of a block can be reached without a byte of input
 * or output, from bits that zlib holds: it says Z_BUF_ERROR then, which is none. */
static int step_body(struct gunzip *gunzip, struct bytes *in, uint8_t *out, size_t room,
	bool stop_at_blocks, size_t *ret_len, struct error *err)
{
	z_stream *z = &gunzip->z;
	size_t given = in->left < STORED_PIECE ? in->left : STORED_PIECE;
	int rc;

	z->next_in = (Bytef *)in->next;
	z->avail_in = (uInt)given;
	z->next_out = out;
	z->avail_out = (uInt)(room < SPAN_SIZE_MAX ? room : SPAN_SIZE_MAX);
	rc = inflate(z, stop_at_blocks ? Z_BLOCK : Z_NO_FLUSH);
	take(gunzip, in, given - z->avail_in);
	*ret_len = (size_t)(z->next_out - out);
	gunzip->plain_len += *ret_len;
	if (gunzip->is_checked)
		gunzip->crc = crc32_z(gunzip->crc, out, *ret_len);
	if (rc == Z_STREAM_END) {
		gunzip->field_len = 0;
		gunzip->state = GUNZIP_TRAILER;
		return GUNZIP_MORE;
	}
	if (rc == Z_MEM_ERROR)
		return error_set(err, ENOMEM, "gzip: out of memory");
	if (rc != Z_OK && rc != Z_BUF_ERROR)
		return malformed(gunzip, err, "%s", z->msg ? z->msg : "damaged data");
	/* zlib.h: 128 is set right behind a block, 64 behind the last one. */
	return stop_at_blocks && (z->data_type & (128 | 64)) == 128 ? GUNZIP_BLOCK : GUNZIP_MORE;
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
