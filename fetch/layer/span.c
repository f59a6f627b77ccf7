/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding one span: nothing is shared between calls, so that spans decode on all cores.
 * A decoder never gets more room than the span has bytes; whatever the stored bytes became,
 * it ends with that many right ones, or with -EBADMSG.
 */
#include "fetch/layer/internal.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "fetch/at.h"
#include "fetch/reader.h"

/* The stored bytes of a span, piece by piece. */
struct stored {
	struct reader *blob; /* NULL: in the spool */
	int spool_fd;
	uint64_t offset;
	uint64_t left;
	EVP_MAC_CTX *mac; /* of those taken; NULL: no key, proved by SHA-256 */
	const uint8_t *expected;
	struct span_state state; /* of those taken from the blob */
	const struct span_state *end;
	uint8_t *piece;
	struct bytes in;
};

static int check_state(
	const struct span_state *state, const struct span_state *end, struct error *err)
{
	if (!memcmp(state, end, sizeof *state))
		return 0;
	return error_set(err, EBADMSG, "its digest is wrong");
}

static int check_mac(EVP_MAC_CTX *mac, const uint8_t *expected, struct error *err)
{
	uint8_t found[SPAN_MAC];

	if (mac_end(mac, found))
		return error_set(err, ENOMEM, "out of memory");
	return mac_is(found, expected) ? 0 : error_set(err, EBADMSG, "its MAC is wrong");
}

static int begin_mac(struct stored *stored, const struct layer *layer, const struct span *span,
	struct error *err)
{
	if (!layer->mac_key)
		return 0;
	stored->expected = span->mac;
	stored->mac = mac_new(layer->mac_key);
	if (!stored->mac || mac_begin(stored->mac, span->in_spool, span->stored_offset))
		return error_set(err, ENOMEM, "out of memory");
	return 0;
}

/* A spool can be made anew: one that cannot be read is a damaged one. */
static int read_spool(int fd, void *bytes, size_t len, uint64_t offset, struct error *err)
{
	ssize_t n = read_at(fd, bytes, len, offset);

	if (n < 0)
		return error_set(
			err, EBADMSG, "read at %" PRIu64 ": %s", offset, strerror((int)-n));
	if ((size_t)n < len)
		return error_set(err, EBADMSG, "ends at %" PRIu64, offset + (uint64_t)n);
	return 0;
}

static int read_blob(
	struct reader *blob, void *bytes, size_t len, uint64_t offset, struct error *err)
{
	ssize_t n = reader_read(blob, bytes, len, offset, err);

	if (n < 0 || (size_t)n == len)
		return n < 0 ? (int)n : 0;
	return error_set(err, EBADMSG, "ends at %" PRIu64, blob->size);
}

/* By a MAC, or those of the blob by SHA-256; the last ones are proved with all before them. */
static int prove(struct stored *stored, const void *bytes, size_t len, struct error *err)
{
	if (stored->mac) {
		if (mac_update(stored->mac, bytes, len))
			return error_set(err, ENOMEM, "out of memory");
		return stored->left ? 0 : check_mac(stored->mac, stored->expected, err);
	}
	if (!stored->blob)
		return 0;
	span_state_advance(&stored->state, bytes, len);
	return stored->left ? 0 : check_state(&stored->state, stored->end, err);
}

/* The next len bytes, exactly. */
static int take(struct stored *stored, void *bytes, size_t len, struct error *err)
{
	uint64_t offset = stored->offset;
	int rc;

	stored->offset += len;
	stored->left -= len;
	if (stored->blob)
		rc = read_blob(stored->blob, bytes, len, offset, err);
	else
		rc = read_spool(stored->spool_fd, bytes, len, offset, err);
	return rc ? rc : prove(stored, bytes, len, err);
}

/* Has stored->in hold something; -EBADMSG when all was taken. */
static int fill(struct stored *stored, struct error *err)
{
	size_t len = stored->left < READ_PIECE ? (size_t)stored->left : READ_PIECE;
	int rc;

	if (stored->in.left)
		return 0;
	if (!len)
		return error_set(err, EBADMSG, "its stored bytes decode to too few");
	rc = take(stored, stored->piece, len, err);
	if (rc)
		return rc;
	stored->in = (struct bytes){ stored->piece, len };
	return 0;
}

/* What the decoder left over: the span is proved by it, too. */
static int finish(struct stored *stored, struct error *err)
{
	int rc = 0;

	while (!rc && stored->left) {
		stored->in.left = 0;
		rc = fill(stored, err);
	}
	return rc;
}

/* Damaged data that was whole when the index was made: a wrong blob. */
static int as_damage(int rc)
{
	return rc == -ENOMEM ? rc : -EBADMSG;
}

static int decode_window(
	const struct layer *layer, uint32_t n, uint8_t *plain, size_t *ret_len, struct error *err)
{
	const struct window *window;
	const void *bytes;
	size_t len;

	*ret_len = 0;
	if (n == UINT32_MAX)
		return 0;
	if (index_window(layer, n, &window, &bytes, err))
		return -EBADMSG;
	len = ZSTD_decompress(plain, SPAN_WINDOW, bytes, window->len);
	if (ZSTD_isError(len))
		return as_damage(error_prefix(err, zstd_error(len, err), "window"));
	if (len != window->plain_len)
		return error_set(
			err, EBADMSG, "window: %zu bytes, not %" PRIu32, len, window->plain_len);
	*ret_len = len;
	return 0;
}

/* Puts the decoder where the span starts. */
static int enter(struct gunzip *gunzip, const struct layer *layer, const struct span *span,
	struct error *err)
{
	uint8_t window[SPAN_WINDOW];
	size_t window_len;
	int rc;

	if (span->start != SPAN_DEFLATE)
		return 0;
	rc = decode_window(layer, span->window, window, &window_len, err);
	if (rc)
		return rc;
	rc = gunzip_enter(gunzip, span->head, span->bits, window, window_len, err);
	return rc ? as_damage(rc) : 0;
}

/* Of right stored bytes a wrong window makes wrong plain ones. */
static int check_crc(const struct span *span, const uint8_t *plain, struct error *err)
{
	if (inflate_engine()->crc32(0, plain, span->plain_len) == span->crc)
		return 0;
	return error_set(err, EBADMSG, "its checksum is wrong");
}

static int decode_deflate(const struct layer *layer, const struct span *span, struct stored *stored,
	uint8_t *plain, struct error *err)
{
	struct gunzip gunzip;
	size_t n;
	int rc;

	rc = gunzip_init(&gunzip, span->stored_offset, false, err);
	if (rc)
		return rc;
	rc = enter(&gunzip, layer, span, err);
	for (size_t done = 0; !rc && done < span->plain_len; done += n) {
		/* With no input left, the engine may still hold output back. */
		rc = gunzip_step(
			&gunzip, &stored->in, plain + done, span->plain_len - done, false, &n, err);
		if (rc < 0)
			rc = as_damage(rc);
		else
			rc = done + n < span->plain_len ? fill(stored, err) : 0;
	}
	gunzip_release(&gunzip);
	return rc ? rc : check_crc(span, plain, err);
}

static int decode_zstd(
	const struct span *span, struct stored *stored, uint8_t *plain, struct error *err)
{
	CLEANUP(zstd_dctxp) ZSTD_DCtx *decompressor = ZSTD_createDCtx();
	ZSTD_outBuffer out = { plain, span->plain_len, 0 };
	int rc = 0;

	if (!decompressor)
		return error_set(err, ENOMEM, "out of memory");
	(void)ZSTD_DCtx_setParameter(decompressor, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
	while (!rc && out.pos < out.size) {
		ZSTD_inBuffer in = { stored->in.next, stored->in.left, 0 };
		size_t left = ZSTD_decompressStream(decompressor, &out, &in);

		if (ZSTD_isError(left))
			return as_damage(zstd_error(left, err));
		stored->in.next += in.pos;
		stored->in.left -= in.pos;
		rc = out.pos < out.size ? fill(stored, err) : 0;
	}
	return rc;
}

static int decode(const struct layer *layer, const struct span *span, struct stored *stored,
	uint8_t *plain, struct error *err)
{
	CLEANUP(freep) uint8_t *piece = NULL;

	if (span->start == SPAN_STORED)
		return take(stored, plain, span->plain_len, err);
	piece = malloc(stored->left < READ_PIECE ? stored->left : READ_PIECE);
	if (!piece)
		return error_set(err, ENOMEM, "out of memory");
	stored->piece = piece;
	stored->in.next = piece;
	if (span->start == SPAN_ZSTD)
		return decode_zstd(span, stored, plain, err);
	return decode_deflate(layer, span, stored, plain, err);
}

/* What is in the blob is proved by its stored bytes, before or while they are decoded; what is in
 * the spool, without a MAC, by what became of it. */
static int decode_and_prove(const struct layer *layer, const struct span *span,
	struct stored *stored, uint8_t *plain, struct error *err)
{
	int rc = begin_mac(stored, layer, span, err);

	if (!rc)
		rc = decode(layer, span, stored, plain, err);
	if (rc || !span->in_spool || stored->mac)
		return rc ? rc : finish(stored, err);
	span_state_advance(&stored->state, plain, span->plain_len);
	return check_state(&stored->state, stored->end, err);
}

int layer_decode_span(const struct layer *layer, uint32_t n, struct reader *blob, int spool_fd,
	void *plain, struct error *err)
{
	const struct span *span = &layer->spans[n];
	struct stored stored = { .blob = span->in_spool ? NULL : blob,
		.spool_fd = spool_fd,
		.offset = span->stored_offset,
		.left = span->stored_len,
		.state = layer->states[span->state],
		.end = &layer->states[span->state + 1] };
	int rc;

	assert(n < layer->span_count);
	rc = decode_and_prove(layer, span, &stored, plain, err);
	EVP_MAC_CTX_free(stored.mac);
	if (rc)
		return error_prefix(err, rc, "%s, span %" PRIu32 " of %" PRIu32,
			span->in_spool ? "spool" : "blob", n + 1, layer->span_count);
	return 0;
}
