/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes as a blob: what the indexer and the reader make of it has to be what a plain loop
 * over zlib, libzstd, liblzma or libbz2 makes of it, byte for byte, or an error in both.  Each
 * inflate engine indexes it, and each reads what the others indexed.
 *
 * The first byte says how long the pieces are that the indexer is fed with.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "fetch/layer/indexer.h"
#include "fetch/layer/internal.h"
#include "fetch/layer/layer.h"
#include "fetch/reader.h"
#include "model/cleanup.h"
#include "tests/unit/feed.h"

enum { PLAIN_MAX = 48 << 20, WINDOW_LOG_MAX = 27 };

static uint8_t plain[PLAIN_MAX + 1], decoded[SPAN_SIZE_MAX];

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* The reference decoders give the number of plain bytes, PLAIN_MAX + 1 when there are more
 * than it is worth, or -1. */

static bool all_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i])
			return false;
	return true;
}

/* zlib refused a block for what ISA-L takes: its code sets leave codes over. */
static bool is_strict;

static bool leaves_codes_over(const char *why)
{
	return why && (!strcmp(why, "invalid code lengths set") ||
			      !strcmp(why, "invalid literal/lengths set") ||
			      !strcmp(why, "invalid distances set"));
}

static long gunzip_all(const uint8_t *bytes, size_t len)
{
	z_stream z = { .next_in = (Bytef *)bytes,
		.avail_in = (uInt)len,
		.next_out = plain,
		.avail_out = sizeof plain };
	int rc;

	must(inflateInit2(&z, 15 + 16) == Z_OK);
	do {
		rc = inflate(&z, Z_NO_FLUSH);
		if (rc == Z_STREAM_END && z.avail_in && *z.next_in == 0x1f)
			rc = inflateReset(&z);
	} while (rc == Z_OK && z.avail_out && z.avail_in);
	if (rc == Z_STREAM_END && !all_zero(z.next_in, z.avail_in))
		rc = Z_DATA_ERROR;
	is_strict = rc == Z_DATA_ERROR && leaves_codes_over(z.msg);
	(void)inflateEnd(&z);
	if (!z.avail_out)
		return sizeof plain;
	return rc == Z_STREAM_END ? z.next_out - plain : -1;
}

static long unzstd_all(const uint8_t *bytes, size_t len)
{
	ZSTD_DCtx *decompressor = ZSTD_createDCtx();
	ZSTD_inBuffer in = { bytes, len, 0 };
	ZSTD_outBuffer out = { plain, sizeof plain, 0 };
	size_t left = 0;

	must(decompressor);
	(void)ZSTD_DCtx_setParameter(decompressor, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
	while (in.pos < in.size && out.pos < out.size && !ZSTD_isError(left))
		left = ZSTD_decompressStream(decompressor, &out, &in);
	(void)ZSTD_freeDCtx(decompressor);
	if (out.pos == out.size)
		return sizeof plain;
	return left ? -1 : (long)out.pos;
}

static long unxz_all(const uint8_t *bytes, size_t len)
{
	lzma_stream xz = LZMA_STREAM_INIT;
	lzma_ret result;

	must(lzma_stream_decoder(&xz, XZ_MEMORY_MAX, LZMA_CONCATENATED) == LZMA_OK);
	xz.next_in = bytes;
	xz.avail_in = len;
	xz.next_out = plain;
	xz.avail_out = sizeof plain;
	do
		result = lzma_code(&xz, LZMA_FINISH);
	while (result == LZMA_OK && xz.avail_out);
	lzma_end(&xz);
	if (!xz.avail_out)
		return sizeof plain;
	return result == LZMA_STREAM_END ? xz.next_out - plain : -1;
}

static long bunzip2_all(const uint8_t *bytes, size_t len)
{
	size_t done = 0;
	int result = BZ_STREAM_END;

	while (len && done < sizeof plain && result == BZ_STREAM_END) {
		bz_stream stream = { .next_in = (char *)(uintptr_t)bytes,
			.avail_in = (unsigned)len,
			.next_out = (char *)plain + done,
			.avail_out = (unsigned)(sizeof plain - done) };

		must(BZ2_bzDecompressInit(&stream, 0, 0) == BZ_OK);
		result = BZ2_bzDecompress(&stream);
		bytes += len - stream.avail_in;
		len = stream.avail_in;
		done = sizeof plain - stream.avail_out;
		(void)BZ2_bzDecompressEnd(&stream);
	}
	if (done == sizeof plain)
		return sizeof plain;
	return result == BZ_STREAM_END ? (long)done : -1;
}

static long decode_all(enum media_coding coding, const uint8_t *bytes, size_t len)
{
	switch (coding) {
	case CODING_GZIP:
		return gunzip_all(bytes, len);
	case CODING_ZSTD:
		return unzstd_all(bytes, len);
	case CODING_PLAIN:
		memcpy(plain, bytes, len);
		return (long)len;
	case CODING_XZ:
		return unxz_all(bytes, len);
	case CODING_BZIP2:
		return bunzip2_all(bytes, len);
	case CODING_UNKNOWN:
		break;
	}
	return -1;
}

static int temporary(void)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	must(fd >= 0);
	return fd;
}

static int open_spool(void *context, uint64_t size, struct error *err)
{
	int *fd = context;

	(void)size;
	(void)err;
	if (*fd < 0)
		*fd = temporary();
	return *fd;
}

static const struct secret secret = { "0123456789abcdef0123456789abcde" };

static void index_blob(const uint8_t *bytes, size_t len, size_t piece, const struct digest *digest,
	int index_fd, int *spool_fd)
{
	struct indexer *indexer = NULL;
	struct error err;

	must(indexer_new(&indexer, digest, len, open_spool, spool_fd, &err) == 0);
	must(indexer_set_secret(indexer, &secret, &err) == 0);
	for (size_t done = 0; done < len; done += piece)
		must(feed_bytes(indexer, bytes + done, piece < len - done ? piece : len - done,
			     &err) == 0);
	must(indexer_finish(indexer, index_fd, &err) == 0);
	indexer_free(indexer);
}

static void compare(const struct layer *layer, long len, struct reader *blob, int spool_fd)
{
	struct digest diff_id;
	struct error err;

	if (len < 0) {
		must(layer->status < 0 && !layer->span_count && !digest_is_set(&layer->diff_id));
		return;
	}
	must(layer->plain_size == (uint64_t)len);
	must(digest_of(&diff_id, DIGEST_SHA256, plain, (size_t)len, &err) == 0);
	must(digest_equal(&diff_id, &layer->diff_id));
	for (uint32_t i = 0; i < layer->span_count; i++) {
		const struct span *span = &layer->spans[i];

		must(!i || span->in_spool != span[-1].in_spool ||
			span->stored_offset == span[-1].stored_offset + span[-1].stored_len);
		must(layer_decode_span(layer, i, blob, spool_fd, decoded, &err) == 0);
		must(memcmp(decoded, plain + span->plain_offset, span->plain_len) == 0);
	}
}

/* By the engine that is chosen. */
static void try_engine(const uint8_t *bytes, size_t len, size_t piece, const struct digest *digest,
	struct reader *blob, long plain_len)
{
	CLEANUP(closep) int index_fd = temporary();
	CLEANUP(closep) int spool_fd = -1;
	struct layer *layer = NULL;
	struct error err;

	index_blob(bytes, len, piece, digest, index_fd, &spool_fd);
	must(layer_open(&layer, index_fd, digest, &err) == 0);
	if (plain_len >= 0 || !is_strict || inflate_engine() == &inflate_zlib_ops)
		for (size_t i = 0; inflate_engines[i]; i++) {
			inflate_choose(&inflate_engines[i]);
			layer_set_secret(layer, (i + piece) % 2 ? &secret : NULL);
			compare(layer, plain_len, blob, spool_fd);
		}
	layer_free(layer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *bytes = data + 1;
	size_t len = size - 1;
	CLEANUP(readerp) struct reader *blob = NULL;
	struct digest digest;
	struct error err;
	long plain_len;
	int blob_fd;

	if (!size || len > PLAIN_MAX)
		return 0;
	is_strict = false;
	plain_len = decode_all(media_coding_sniff(bytes, len < 512 ? len : 512), bytes, len);
	if (plain_len > PLAIN_MAX)
		return 0;
	must(digest_of(&digest, DIGEST_SHA256, bytes, len, &err) == 0);
	blob_fd = temporary();
	must(write(blob_fd, bytes, len) == (ssize_t)len);
	must(reader_of_fd(&blob, blob_fd, &err) == 0);
	for (size_t i = 0; inflate_engines[i]; i++) {
		inflate_choose(&inflate_engines[i]);
		try_engine(bytes, len, 1 + (size_t)data[0] * data[0], &digest, blob, plain_len);
	}
	return 0;
}
